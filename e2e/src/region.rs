//! A region's cluster, and a namespace in it for one test.

use k8s_openapi::api::core::v1::{Event, Namespace, Pod};
use kube::api::{DeleteParams, ListParams, LogParams, ObjectMeta, Patch, PatchParams, PostParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use operator_api::{Fleet, GameServer};
use serde::de::DeserializeOwned;
use std::fmt::Write as _;
use std::time::Duration;

use crate::helm;
use crate::wait::eventually;

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "cranewing-system";
/// How long anything may take on a machine that is busy; a tenfold ceiling, so that a hang fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// A region's cluster.
#[derive(Clone)]
pub struct Region {
    /// regionId.
    pub id: &'static str,
    /// Path of its kubeconfig.
    pub kubeconfig: String,
    /// Its API server, as an administrator.
    pub client: Client,
}

impl Region {
    /// The region with this id, from the environment.
    pub async fn open(id: &'static str) -> Self {
        let variable = format!("CRANEWING_E2E_KUBECONFIG_{}", id.to_uppercase());
        let kubeconfig = std::env::var(&variable).unwrap_or_else(|_| {
            panic!("{variable} is not set; `cargo xtask test` makes clusters and sets it")
        });
        let read = Kubeconfig::read_from(&kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        Self { id, kubeconfig, client: Client::try_from(config).unwrap() }
    }

    /// The region with an operator in it that is up to date.
    pub async fn with_operator(id: &'static str) -> Self {
        let region = Self::open(id).await;
        helm::install(&region, &[]).await;
        region
    }

    /// Objects of a kind in all namespaces, or of a kind without namespaces.
    pub fn all<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    /// A namespace for one test.
    pub async fn scratch(&self, test: &str) -> Scratch {
        let name = format!("e2e-{test}");
        let api: Api<Namespace> = self.all();
        let labels = [("pod-security.kubernetes.io/enforce".to_owned(), "privileged".to_owned())];
        let namespace = Namespace {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                labels: Some(labels.into_iter().collect()),
                ..ObjectMeta::default()
            },
            ..Namespace::default()
        };
        api.create(&PostParams::default(), &namespace).await.unwrap();
        Scratch { region: self.clone(), namespace: name }
    }
}

/// A namespace for one test. Call [`Scratch::remove`] at its end.
pub struct Scratch {
    /// Where it is.
    pub region: Region,
    /// Its name.
    pub namespace: String,
}

impl Scratch {
    /// Objects of a kind in it.
    pub fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.region.client.clone(), &self.namespace)
    }

    /// Applies one object from YAML and gives it back as the API server has it.
    pub async fn apply<K>(&self, yaml: &str) -> K
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        self.try_apply(yaml).await.unwrap_or_else(|error| panic!("refused: {error}\n{yaml}"))
    }

    /// The same, with the API server's refusal if it refuses.
    pub async fn try_apply<K>(&self, yaml: &str) -> kube::Result<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let object: serde_json::Value = serde_yaml::from_str(yaml).unwrap();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        self.api().patch(&name, &PatchParams::apply("e2e").force(), &Patch::Apply(object)).await
    }

    /// Waits until as many game servers as wanted are Ready and nothing else is there.
    pub async fn await_fleet(&self, fleet: &str, ready: usize) -> Vec<GameServer> {
        let what = format!("Fleet {fleet} with {ready} Ready");
        let waiting = eventually(&what, PATIENCE, || async {
            let servers = self.servers(fleet).await;
            let states: Vec<_> = servers
                .iter()
                .map(|server| {
                    server
                        .status
                        .as_ref()
                        .and_then(|status| status.state)
                        .map_or("none", |state| state.as_str())
                })
                .collect();
            if states.len() == ready && states.iter().all(|state| *state == "Ready") {
                Ok(servers)
            } else {
                Err(format!("{states:?}\n{}", self.describe().await))
            }
        });
        waiting.await
    }

    /// Game servers of a Fleet, those being deleted left out.
    pub async fn servers(&self, fleet: &str) -> Vec<GameServer> {
        let selector = ListParams::default().labels(&operator_api::labels::fleet_selector(fleet));
        let servers = self.api::<GameServer>().list(&selector).await.unwrap().items;
        servers.into_iter().filter(|server| server.metadata.deletion_timestamp.is_none()).collect()
    }

    /// Sets a Fleet's replicas by its scale subresource, as `kubectl scale` does.
    pub async fn scale(&self, fleet: &str, replicas: i32) {
        let patch = Patch::Merge(serde_json::json!({ "spec": { "replicas": replicas } }));
        self.api::<Fleet>().patch_scale(fleet, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Events, objects and the operator's log, for the message of a failure.
    pub async fn describe(&self) -> String {
        let mut text = String::new();
        for event in
            self.api::<Event>().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
        {
            let about = event.involved_object.name.unwrap_or_default();
            writeln!(
                text,
                "event {about}: {} {}",
                event.reason.unwrap_or_default(),
                event.message.unwrap_or_default()
            )
            .unwrap();
        }
        for pod in
            self.api::<Pod>().list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default()
        {
            let phase = pod.status.and_then(|status| status.phase).unwrap_or_default();
            writeln!(text, "pod {}: {phase}", pod.metadata.name.unwrap_or_default()).unwrap();
        }
        let pods: Api<Pod> = Api::namespaced(self.region.client.clone(), OPERATOR_NAMESPACE);
        for pod in pods.list(&ListParams::default()).await.map(|list| list.items).unwrap_or_default() {
            let log = LogParams { tail_lines: Some(20), ..LogParams::default() };
            let said = pods.logs(&pod.name_any(), &log).await.unwrap_or_default();
            writeln!(text, "operator {}:\n{said}", pod.name_any()).unwrap();
        }
        text
    }

    /// Removes the namespace and waits until it is gone.
    pub async fn remove(self) {
        // Pods of a failed test must not wait for players that nobody sends away.
        let now = DeleteParams { grace_period_seconds: Some(1), ..DeleteParams::background() };
        let fleets =
            self.api::<Fleet>().delete_collection(&DeleteParams::background(), &ListParams::default()).await;
        drop(fleets.unwrap());
        let servers = self.api::<GameServer>();
        drop(servers.delete_collection(&DeleteParams::background(), &ListParams::default()).await.unwrap());
        drop(self.api::<Pod>().delete_collection(&now, &ListParams::default()).await.unwrap());
        let api: Api<Namespace> = self.region.all();
        drop(api.delete(&self.namespace, &DeleteParams::background()).await.unwrap());
        eventually("namespace gone", PATIENCE, || async {
            match api.get_opt(&self.namespace).await {
                Ok(None) => Ok(()),
                other => Err(format!("{:?}", other.map(|found| found.and_then(|found| found.status)))),
            }
        })
        .await;
    }
}
