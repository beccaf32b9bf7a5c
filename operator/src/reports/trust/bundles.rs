//! The bundle in every namespace with game servers: their pods mount it.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::{Api, Client};
use operator_api::labels;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use super::Trust;

/// Publishes the bundle, and remembers where it is as it should be, so that nothing is asked or written twice.
pub(crate) struct Bundles {
    client: Client,
    trust: Arc<Trust>,
    published: Mutex<HashMap<String, String>>,
}

impl Bundles {
    pub(crate) fn new(client: Client, trust: Arc<Trust>) -> Self {
        Self { client, trust, published: Mutex::default() }
    }

    /// Makes sure that the namespace has the bundle as it is now.
    pub(crate) async fn ensure(&self, namespace: &str) -> kube::Result<()> {
        let bundle = self.trust.bundle();
        if self.lock().get(namespace) == Some(&bundle) {
            return Ok(());
        }
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        let data = BTreeMap::from([(labels::CA_BUNDLE_KEY.to_owned(), bundle.clone())]);
        let found = api.get_opt(labels::CA_BUNDLE_CONFIG_MAP).await?;
        if found.and_then(|found| found.data).as_ref() != Some(&data) {
            let config_map = ConfigMap {
                metadata: ObjectMeta {
                    name: Some(labels::CA_BUNDLE_CONFIG_MAP.to_owned()),
                    ..ObjectMeta::default()
                },
                data: Some(data),
                ..ConfigMap::default()
            };
            let params = PatchParams::apply("cranewing-gameserver").force();
            api.patch(labels::CA_BUNDLE_CONFIG_MAP, &params, &Patch::Apply(config_map)).await?;
        }
        self.lock().insert(namespace.to_owned(), bundle);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.published.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
