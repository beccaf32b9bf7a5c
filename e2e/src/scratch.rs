//! A namespace for one test, and what tests do in it.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{
    DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::{Api, Resource, ResourceExt};
use operator_api::labels::TAKES_FLEETS_FROM;
use operator_api::{AutoScaler, Fleet, GameServer};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::time::timeout;

use crate::command::{operator, try_kubectl, words};
use crate::region::{PATIENCE, Region};
use crate::wait::eventually;

/// Label of every namespace of this suite, by which those of a run that was cut off are found.
const LABEL: &str = "cranewing-e2e";

/// A namespace for one test.
pub struct Scratch {
    /// Where it is.
    pub region: Region,
    /// Its name, which no other run has.
    pub namespace: String,
    manifests: Mutex<Vec<String>>,
}

impl Scratch {
    /// Makes a namespace.
    pub(crate) async fn create(region: Region, test: &str, name: &str) -> Self {
        let api: Api<Namespace> = region.all();
        let label = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let labels = [label("pod-security.kubernetes.io/enforce", "privileged"), label(LABEL, test)];
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(labels.into_iter().collect()),
                annotations: Some([label(TAKES_FLEETS_FROM, "*")].into()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        drop(api.create(&PostParams::default(), &namespace).await.unwrap());
        Self { region, namespace: name.to_owned(), manifests: Mutex::default() }
    }

    /// Objects of a kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.region.client.clone(), &self.namespace)
    }

    /// Applies one object from YAML and gives it back as the API server has it.
    pub async fn apply<K>(&self, yaml: &str) -> K
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        self.try_apply(yaml).await.unwrap_or_else(|error| panic!("refused: {error}\n{yaml}"))
    }

    /// The same, with the API server's refusal if it refuses.
    pub async fn try_apply<K>(&self, yaml: &str) -> kube::Result<K>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let object: Value = serde_yaml::from_str(yaml).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.api().patch(&name, &PatchParams::apply("e2e").force(), &Patch::Apply(object)).await
    }

    /// Applies objects that lie outside of the namespace; they are removed with it.
    pub async fn apply_everywhere(&self, yaml: &str) {
        self.manifests.lock().unwrap().push(yaml.to_owned());
        try_kubectl(&self.region, &["apply", "--filename=-"], yaml).await.unwrap();
    }

    /// kubectl in this namespace; panics with its words when it fails.
    pub async fn kubectl(&self, arguments: &[&str]) -> String {
        let all = [&["--namespace", &self.namespace], arguments].concat();
        crate::command::kubectl(&self.region, &all).await
    }

    /// `operator rollout ...` in this namespace; its words, which are an error if it fails.
    pub fn try_rollout(&self, arguments: &[&str]) -> Result<String, String> {
        let mut operator = operator();
        operator.arg("rollout").args(arguments).args(["--namespace", &self.namespace]);
        operator.args(["--kubeconfig", &self.region.kubeconfig]);
        words(operator)
    }

    /// Waits until as many game servers as wanted are Ready and nothing else is there.
    pub async fn await_fleet(&self, fleet: &str, ready: usize) -> Vec<GameServer> {
        let what = format!("Fleet {fleet} with {ready} Ready");
        eventually(&what, PATIENCE, || async {
            let servers = self.servers(fleet).await?;
            let states: Vec<_> = servers.iter().map(state).collect();
            let settled = states.len() == ready && states.iter().all(|state| *state == "Ready");
            if settled { Ok(servers) } else { Err(format!("{states:?}")) }
        })
        .await
    }

    /// Game servers of a Fleet, those being deleted left out; or why they cannot be read.
    pub async fn servers(&self, fleet: &str) -> Result<Vec<GameServer>, String> {
        let selector = ListParams::default().labels(&operator_api::labels::fleet_selector(fleet));
        let servers = self.api::<GameServer>().list(&selector).await.map_err(|error| error.to_string())?;
        let left = servers.items.into_iter();
        Ok(left.filter(|server| server.metadata.deletion_timestamp.is_none()).collect())
    }

    /// Uid of each game server of a Fleet and of its pod, with the restarts of its container: what must not change while
    /// nothing is replaced.
    pub async fn identities(&self, fleet: &str) -> BTreeMap<String, (String, String, i32)> {
        let pods = self.api::<Pod>();
        let mut identities = BTreeMap::new();
        for server in self.servers(fleet).await.unwrap() {
            let pod = pods.get(&server.name_any()).await.unwrap();
            let containers = pod.status.as_ref().and_then(|status| status.container_statuses.as_ref());
            let restarts = containers.into_iter().flatten().map(|container| container.restart_count).sum();
            let identity = (server.uid().unwrap(), pod.uid().unwrap(), restarts);
            drop(identities.insert(server.name_any(), identity));
        }
        identities
    }

    /// Waits until a condition of an object has a status.
    pub async fn await_condition<K>(&self, name: &str, type_: &str, status: &str)
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug,
    {
        eventually(&format!("{name} is {type_}={status}"), PATIENCE, || async {
            let object = self.api::<K>().get(name).await.map_err(|error| error.to_string())?;
            let object = serde_json::to_value(object).map_err(|error| error.to_string())?;
            let conditions = &object["status"]["conditions"];
            let all = conditions.as_array().into_iter().flatten();
            if all.into_iter().any(|one| one["type"] == type_ && one["status"] == status) {
                Ok(())
            } else {
                Err(conditions.to_string())
            }
        })
        .await;
    }

    /// Every version of the objects of a kind from resource version `since` on, until one `is_last`.
    pub async fn versions<K>(&self, since: &str, is_last: impl Fn(&Value) -> bool) -> Vec<Value>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + serde::Serialize
            + std::fmt::Debug,
    {
        versions(&self.api::<K>(), &WatchParams::default(), since, is_last).await
    }

    /// Removes everything and waits until no pod is left. The empty namespace goes by itself after that.
    pub(crate) async fn remove(self) {
        // newest first: what was applied later may stand on what was applied before
        let manifests = std::mem::take(&mut *self.manifests.lock().unwrap());
        for yaml in manifests.iter().rev() {
            let delete = ["delete", "--ignore-not-found", "--timeout=60s", "--filename=-"];
            if let Err(said) = try_kubectl(&self.region, &delete, yaml).await {
                // a test that takes the definitions out takes their objects along
                assert!(said.contains("no matches for kind"), "{said}");
            }
        }
        eventually("nothing is left", PATIENCE, || async {
            let left = [
                self.clear::<AutoScaler>(false).await?,
                self.clear::<Fleet>(false).await?,
                self.clear::<GameServer>(false).await?,
                // the operator gives a pod that it deletes its whole time to drain
                self.clear::<Pod>(true).await?,
            ];
            if left == [0; 4] { Ok(()) } else { Err(format!("{left:?}")) }
        })
        .await;
        let api: Api<Namespace> = self.region.all();
        drop(api.delete(&self.namespace, &DeleteParams::background()).await.unwrap());
    }

    /// Deletes all objects of a kind and says how many were there; none where the kind itself is not. Those that are being deleted
    /// are deleted again if it `insists`.
    async fn clear<K>(&self, insists: bool) -> Result<usize, String>
    where
        K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api = self.api::<K>();
        let found = match api.list_metadata(&ListParams::default()).await {
            Err(kube::Error::Api(status)) if status.code == 404 => return Ok(0),
            found => found.map_err(|error| error.to_string())?.items,
        };
        if found.iter().any(|object| insists || object.metadata.deletion_timestamp.is_none()) {
            // pods must not wait for players that nobody sends away
            let soon = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::background() };
            let deleted = api.delete_collection(&soon, &ListParams::default()).await;
            drop(deleted.map_err(|error| error.to_string())?);
        }
        Ok(found.len())
    }
}

/// Removes the namespaces of an earlier run that was cut off.
pub(crate) async fn clear_leftovers(region: &Region) {
    let api: Api<Namespace> = region.all();
    let leftovers = api.list(&ListParams::default().labels(LABEL)).await.unwrap();
    for leftover in leftovers.items.iter().filter(|found| found.metadata.deletion_timestamp.is_none()) {
        drop(api.delete(&leftover.name_any(), &DeleteParams::background()).await.unwrap());
    }
}

/// A name of a namespace that no other run has.
pub(crate) fn fresh_name(test: &str) -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    format!("e2e-{test}-{:x}", since.as_millis() & 0xfff_ffff)
}

/// Every version of the objects that `which` selects from resource version `since` on, until one `is_last`.
pub(crate) async fn versions<K>(
    api: &Api<K>,
    which: &WatchParams,
    since: &str,
    is_last: impl Fn(&Value) -> bool,
) -> Vec<Value>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + serde::Serialize + std::fmt::Debug,
{
    let mut events = std::pin::pin!(api.watch(which, since).await.unwrap());
    let mut versions = Vec::new();
    let last = async {
        while let Some(event) = events.next().await {
            let (WatchEvent::Added(object) | WatchEvent::Modified(object)) = event.unwrap() else {
                continue;
            };
            versions.push(serde_json::to_value(object).unwrap());
            if versions.last().is_some_and(&is_last) {
                return;
            }
        }
    };
    let ended = timeout(PATIENCE, last).await;
    assert!(
        ended.is_ok() && versions.last().is_some_and(&is_last),
        "the last version never came; versions: {versions:#?}"
    );
    versions
}

/// State of a game server in one word.
pub fn state(server: &GameServer) -> &'static str {
    let state = server.status.as_ref().and_then(|status| status.state);
    state.map_or("none", |state| state.as_str())
}
