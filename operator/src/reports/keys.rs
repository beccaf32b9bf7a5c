//! Fleet secrets, from which the key of each server is derived (rules 16).
//!
//! A secret is read once per Fleet and kept, because each server asks at each connect.

use gameserver_protocol::derive_server_key;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use operator_api::labels;
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeMap, HashMap};
use tokio::sync::Mutex;

/// Secrets kept at most; the whole cache is dropped beyond that.
const CACHE_MAX: usize = 1024;
/// Bytes of a Fleet secret.
const SECRET_BYTES: usize = 32;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("failed to read Secret {0}")]
    Read(String, #[source] kube::Error),
    #[error("failed to create Secret {0}")]
    Create(String, #[source] kube::Error),
    #[error("Secret {0} is not there yet")]
    Missing(String),
    #[error("Secret {0} has no entry `secret` of 32 bytes")]
    Malformed(String),
    #[error("failed to draw random bytes")]
    Random,
}

/// Fleet secrets by namespace and name of the Secret.
pub(crate) struct FleetKeys {
    client: Client,
    known: Mutex<HashMap<(String, String), [u8; SECRET_BYTES]>>,
}

impl FleetKeys {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// Key of the server with this uid, whose Fleet (or, without one, whose own) secret is in Secret `name`.
    pub(crate) async fn server_key(
        &self,
        namespace: &str,
        name: &str,
        uid: &str,
    ) -> Result<[u8; 32], KeyError> {
        let at = (namespace.to_owned(), name.to_owned());
        let mut known = self.known.lock().await;
        if let Some(secret) = known.get(&at) {
            return Ok(derive_server_key(secret, uid));
        }
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|source| KeyError::Read(name.to_owned(), source))?;
        let secret = secret_of(&found.ok_or_else(|| KeyError::Missing(name.to_owned()))?)
            .ok_or_else(|| KeyError::Malformed(name.to_owned()))?;
        if known.len() >= CACHE_MAX {
            known.clear();
        }
        known.insert(at, secret);
        Ok(derive_server_key(&secret, uid))
    }

    /// Makes the secret if it is not there; `owner` takes it along when it goes.
    pub(crate) async fn ensure(
        &self,
        namespace: &str,
        name: &str,
        owner: OwnerReference,
    ) -> Result<(), KeyError> {
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|source| KeyError::Read(name.to_owned(), source))?;
        if found.is_some() {
            return Ok(());
        }
        // A Fleet of the same name may have been here before: what is known of it is void.
        self.known.lock().await.remove(&(namespace.to_owned(), name.to_owned()));
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new().fill(&mut secret).map_err(|_unspecified| KeyError::Random)?;
        match api.create(&PostParams::default(), &build(name, &secret, owner)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(KeyError::Create(name.to_owned(), source)),
        }
    }
}

fn secret_of(secret: &Secret) -> Option<[u8; SECRET_BYTES]> {
    secret.data.as_ref()?.get(labels::FLEET_SECRET_KEY)?.0.as_slice().try_into().ok()
}

fn build(name: &str, secret: &[u8], owner: OwnerReference) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: Some(vec![owner]),
            labels: Some(BTreeMap::from([(
                labels::MANAGED_BY.to_owned(),
                labels::MANAGED_BY_OPERATOR.to_owned(),
            )])),
            ..ObjectMeta::default()
        },
        immutable: Some(true),
        data: Some(BTreeMap::from([(labels::FLEET_SECRET_KEY.to_owned(), ByteString(secret.to_vec()))])),
        ..Secret::default()
    }
}
