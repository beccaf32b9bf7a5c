//! Secrets from which the key of each server is derived (rules 16): a Fleet's, or a lone server's own.
//!
//! Invariants:
//! - A secret belongs to an owner, known by its uid: what another owner of the same name had is never used.
//! - It is read once for each owner and kept, because each server asks at each connect; nobody waits for the secret of
//!   another owner to be read.

use gameserver_protocol::derive_server_key;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client, Resource, ResourceExt};
use operator_api::{Fleet, GameServer, labels};
use ring::rand::{SecureRandom, SystemRandom};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Secrets kept at most; the whole cache is dropped beyond that.
const CACHE_MAX: usize = 1024;
/// Bytes of a secret.
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
    #[error(
        "Secret {0} belongs to somebody else; one that is left of an older object of that name goes by itself, delete any other"
    )]
    Foreign(String),
    #[error("Secret {0} has no entry `secret` of 32 bytes")]
    Malformed(String),
    #[error("failed to draw random bytes")]
    Random,
}

/// Whose secret a server's key comes from, and where it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SecretOf {
    pub(crate) name: String,
    pub(crate) owner: OwnerReference,
}

impl SecretOf {
    /// The Fleet's own.
    pub(crate) fn fleet(fleet: &Fleet) -> Self {
        let owner = fleet.controller_owner_ref(&()).unwrap_or_default();
        Self { name: labels::fleet_secret_name(&fleet.name_any()), owner }
    }

    /// That of the server's Fleet or, without one, its own. Who owns a server decides, not its labels, which anybody may
    /// write.
    pub(crate) fn server(server: &GameServer) -> Self {
        let group = format!("{}/", operator_api::GROUP);
        let is_fleet =
            |owner: &&OwnerReference| owner.kind == Fleet::kind(&()) && owner.api_version.starts_with(&group);
        match server.owner_references().iter().find(is_fleet) {
            Some(fleet) => Self { name: labels::fleet_secret_name(&fleet.name), owner: fleet.clone() },
            None => Self {
                name: labels::server_secret_name(&server.name_any()),
                owner: server.controller_owner_ref(&()).unwrap_or_default(),
            },
        }
    }
}

type Known = Arc<OnceCell<[u8; SECRET_BYTES]>>;

/// Secrets by the uid of their owner.
pub(crate) struct FleetKeys {
    client: Client,
    known: Mutex<HashMap<String, Known>>,
}

impl FleetKeys {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, known: Mutex::default() }
    }

    /// Key of the server with this uid, from that secret.
    pub(crate) async fn server_key(
        &self,
        namespace: &str,
        of: &SecretOf,
        uid: &str,
    ) -> Result<[u8; 32], KeyError> {
        let known = self.known(&of.owner.uid);
        let secret = known.get_or_try_init(|| self.read(namespace, of)).await?;
        Ok(derive_server_key(secret, uid))
    }

    /// Makes the secret if it is not there; its owner takes it along when it goes. One that was deleted by mistake comes
    /// back as it was, as long as this replica remembers it.
    pub(crate) async fn ensure(&self, namespace: &str, of: &SecretOf) -> Result<(), KeyError> {
        let name = &of.name;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let read =
            || async { api.get_opt(name).await.map_err(|source| KeyError::Read(name.clone(), source)) };
        if let Some(found) = read().await? {
            return check_owner(&found, of);
        }
        let mut secret = [0; SECRET_BYTES];
        match self.known(&of.owner.uid).get() {
            Some(known) => secret = *known,
            None => SystemRandom::new().fill(&mut secret).map_err(|_unspecified| KeyError::Random)?,
        }
        match api.create(&PostParams::default(), &build(of, &secret)).await {
            Ok(_) => Ok(()),
            // Made meanwhile, or the answer to a create was lost: whose it is decides.
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let found = read().await?.ok_or_else(|| KeyError::Missing(name.clone()))?;
                check_owner(&found, of)
            }
            Err(source) => Err(KeyError::Create(name.clone(), source)),
        }
    }

    async fn read(&self, namespace: &str, of: &SecretOf) -> Result<[u8; SECRET_BYTES], KeyError> {
        let name = &of.name;
        let api: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|source| KeyError::Read(name.clone(), source))?;
        let found = found.ok_or_else(|| KeyError::Missing(name.clone()))?;
        check_owner(&found, of)?;
        secret_of(&found).ok_or_else(|| KeyError::Malformed(name.clone()))
    }

    fn known(&self, owner: &str) -> Known {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(secret) = known.get(owner) {
            return Arc::clone(secret);
        }
        if known.len() >= CACHE_MAX {
            known.clear();
        }
        Arc::clone(known.entry(owner.to_owned()).or_default())
    }
}

fn check_owner(secret: &Secret, of: &SecretOf) -> Result<(), KeyError> {
    let owned = secret.owner_references().iter().any(|owner| owner.uid == of.owner.uid);
    if owned { Ok(()) } else { Err(KeyError::Foreign(of.name.clone())) }
}

fn secret_of(secret: &Secret) -> Option<[u8; SECRET_BYTES]> {
    secret.data.as_ref()?.get(labels::FLEET_SECRET_KEY)?.0.as_slice().try_into().ok()
}

fn build(of: &SecretOf, secret: &[u8]) -> Secret {
    Secret {
        metadata: ObjectMeta {
            name: Some(of.name.clone()),
            owner_references: Some(vec![of.owner.clone()]),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_api::MockApi;

    const SECRET: &str = "/api/v1/namespaces/games/secrets/arena-keys";

    fn of(uid: &str) -> SecretOf {
        let owner = OwnerReference { uid: uid.to_owned(), ..OwnerReference::default() };
        SecretOf { name: "arena-keys".to_owned(), owner }
    }

    #[tokio::test]
    async fn a_fleet_that_is_made_again_under_its_name_gets_keys_of_its_own() {
        let api = MockApi::default();
        let (leader, standby) = (FleetKeys::new(api.client()), FleetKeys::new(api.client()));
        leader.ensure("games", &of("old")).await.unwrap();
        let old = standby.server_key("games", &of("old"), "s").await.unwrap();
        // The old Fleet's Secret is there until garbage collection comes by.
        let refused = leader.ensure("games", &of("new")).await;
        assert!(matches!(refused, Err(KeyError::Foreign(_))), "{refused:?}");
        let refused = standby.server_key("games", &of("new"), "s").await;
        assert!(matches!(refused, Err(KeyError::Foreign(_))), "{refused:?}");
        api.remove(SECRET);
        leader.ensure("games", &of("new")).await.unwrap();
        let new = standby.server_key("games", &of("new"), "s").await.unwrap();
        assert_ne!(old, new);
        assert_eq!(leader.server_key("games", &of("new"), "s").await.unwrap(), new, "replicas agree");
    }

    #[tokio::test]
    async fn a_secret_that_was_deleted_by_mistake_comes_back_as_it_was() {
        let api = MockApi::default();
        let keys = FleetKeys::new(api.client());
        keys.ensure("games", &of("fleet")).await.unwrap();
        keys.server_key("games", &of("fleet"), "s").await.unwrap();
        let before = api.get(SECRET).unwrap()["data"].clone();
        api.remove(SECRET);
        keys.ensure("games", &of("fleet")).await.unwrap();
        assert_eq!(api.get(SECRET).unwrap()["data"], before);
    }

    #[tokio::test]
    async fn a_secret_is_read_once_for_many_servers_and_again_after_a_failure() {
        let api = MockApi::default();
        let keys = FleetKeys::new(api.client());
        keys.ensure("games", &of("fleet")).await.unwrap();
        api.take_seen();
        api.fail(|_| Some(500));
        assert!(keys.server_key("games", &of("fleet"), "s").await.is_err());
        api.heal();
        for uid in ["s", "t", "u"] {
            keys.server_key("games", &of("fleet"), uid).await.unwrap();
        }
        assert_eq!(api.take_briefs(), ["GET secrets/arena-keys", "GET secrets/arena-keys"]);
    }

    #[tokio::test]
    async fn a_create_whose_answer_was_lost_counts_by_its_owner() {
        for (owner, accepted) in [("fleet", true), ("stranger", false)] {
            let api = MockApi::default();
            let keys = FleetKeys::new(api.client());
            let made = serde_json::to_value(build(&of(owner), &[7; SECRET_BYTES])).unwrap();
            let mut first = true;
            api.fail(move |_| std::mem::take(&mut first).then_some(404));
            api.put(SECRET, made);
            assert_eq!(keys.ensure("games", &of("fleet")).await.is_ok(), accepted, "{owner}");
        }
    }

    #[test]
    fn a_lone_server_never_shares_a_fleets_secret() {
        let server = |metadata: &str| -> GameServer {
            serde_yaml::from_str(&format!(
                "apiVersion: cranewing.dev/v1alpha1\nkind: GameServer\nmetadata: {{name: arena, uid: u, {metadata}}}\nspec: {{}}"
            ))
            .unwrap()
        };
        let lone = SecretOf::server(&server("labels: {cranewing.dev/fleet: arena}"));
        assert_eq!((lone.name.as_str(), lone.owner.uid.as_str()), ("arena-server-key", "u"));
        let owner = "{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, name: big, uid: f}";
        let fleets = SecretOf::server(&server(&format!("ownerReferences: [{owner}]")));
        assert_eq!((fleets.name.as_str(), fleets.owner.uid.as_str()), ("big-keys", "f"));
    }
}
