//! The bundle in every namespace with game servers: their pods mount it.

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client, CustomResourceExt, Resource};
use operator_api::{GameServer, labels};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use super::Trust;

/// Owners remembered at most; beyond that the memory starts anew, which costs one read each.
const OWNERS_MAX: usize = 10_000;

/// Publishes the bundle, and remembers where it is as it should be, so that nothing is asked or written twice.
pub(crate) struct Bundles {
    client: Client,
    trust: Arc<Trust>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Namespace to the bundle that it has.
    published: HashMap<String, String>,
    /// Uids of those for whom a namespace was asked for.
    owners: HashSet<String>,
}

impl Bundles {
    pub(crate) fn new(client: Client, trust: Arc<Trust>) -> Self {
        Self { client, trust, memory: Mutex::default() }
    }

    /// Makes sure that the namespace has the bundle for the game servers of this owner, by its uid. One that is new may
    /// live in a namespace that is new, under a name that was there before.
    pub(crate) async fn ensure_for(&self, namespace: &str, owner: String) -> kube::Result<()> {
        if !self.lock().owners.contains(&owner) {
            self.lock().published.remove(namespace);
        }
        self.ensure(namespace).await?;
        let mut memory = self.lock();
        if memory.owners.len() >= OWNERS_MAX {
            memory.owners.clear();
        }
        memory.owners.insert(owner);
        Ok(())
    }

    /// Makes sure that the namespace has the bundle as it is now.
    pub(crate) async fn ensure(&self, namespace: &str) -> kube::Result<()> {
        let bundle = self.trust.bundle();
        if self.lock().published.get(namespace) == Some(&bundle) {
            return Ok(());
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let data = BTreeMap::from([(labels::CA_BUNDLE_KEY.to_owned(), bundle.clone())]);
        let found = api.get_opt(labels::CA_BUNDLE_CONFIG_MAP).await?;
        if found.and_then(|found| found.data).as_ref() != Some(&data) {
            let config_map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(labels::CA_BUNDLE_CONFIG_MAP.to_owned()),
                    owner_references: self.owner().await?.map(|owner| vec![owner]),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            let params = PatchParams::apply("cranewing-gameserver").force();
            api.patch(labels::CA_BUNDLE_CONFIG_MAP, &params, &Patch::Apply(config_map)).await?;
        }
        self.lock().published.insert(namespace.to_owned(), bundle);
        Ok(())
    }

    /// The definition of game servers, so that no bundle is left in any namespace when that goes.
    async fn owner(&self) -> kube::Result<Option<OwnerReference>> {
        let api: Api<CustomResourceDefinition> = Api::all(self.client.clone());
        let found = api.get_metadata_opt(GameServer::crd_name()).await?;
        Ok(found.and_then(|definition| definition.metadata.uid).map(|uid| OwnerReference {
            api_version: CustomResourceDefinition::api_version(&()).into_owned(),
            kind: CustomResourceDefinition::kind(&()).into_owned(),
            name: GameServer::crd_name().to_owned(),
            uid,
            ..OwnerReference::default()
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
