//! The key by which this region's operators prove themselves to other regions, in a Secret that all replicas share.
//!
//! A second key beside it is told to other regions by `operator region join` before it is used, so that a change of keys
//! leaves no moment without trust.

use anyhow::Context as _;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use operator_api::labels;
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::sign::CertifiedKey;
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) use crate::runtime::raw_keys::PublicKey;
use crate::runtime::raw_keys::own_key;

/// Entry of the Secret with the key that is used.
const KEY: &str = "key.pem";
/// Entry with the key that will be used next, if there is one.
const NEXT: &str = "next.pem";
/// Entry with the regionId of the region whose key it is.
const REGION: &str = "regionId";
/// Why a key cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum IdentityError {
    #[error("Secret {name} has no entry {0}; delete it, and the operator makes a new one when it starts", name = labels::LINK_SECRET)]
    Missing(&'static str),
    #[error("entry {0} in Secret {name} is no Ed25519 key in PEM form", name = labels::LINK_SECRET)]
    Malformed(&'static str),
    #[error("Secret {name} is of region {0} and this is {1}; delete it, and let the regions join again", name = labels::LINK_SECRET)]
    OtherRegion(String, String),
    #[error("failed to make a key")]
    Make(#[source] rcgen::Error),
}

/// Who this region is to others.
pub(crate) struct Identity {
    pub(crate) region: String,
    /// What TLS shows, and signs with.
    pub(crate) key: Arc<CertifiedKey>,
    /// What others are to trust: the key that is used, and the next one.
    pub(crate) public_keys: Vec<PublicKey>,
}

impl Identity {
    /// Reads the key, or makes it if there is none. Of replicas that begin at once the API server lets one create the
    /// Secret, and the others read it.
    pub(crate) async fn open(client: Client, namespace: &str, region: &str) -> anyhow::Result<Self> {
        let api: Api<Secret> = Api::namespaced(client, namespace);
        let read = || async { api.get_opt(labels::LINK_SECRET).await.context("failed to read the link key") };
        let mut found = read().await?;
        if found.is_none() {
            match api.create(&PostParams::default(), &fresh(region)?).await {
                Ok(created) => found = Some(created),
                Err(kube::Error::Api(status)) if status.code == 409 => found = read().await?,
                Err(error) => return Err(error).context("failed to keep the link key"),
            }
        }
        let identity = Self::from_secret(&found.context("the Secret of the link key went")?)?;
        if identity.region != region {
            return Err(IdentityError::OtherRegion(identity.region, region.to_owned()).into());
        }
        Ok(identity)
    }

    pub(crate) fn from_secret(secret: &Secret) -> Result<Self, IdentityError> {
        let entry = |name| Some(secret.data.as_ref()?.get(name)?.0.as_slice());
        let (key, public) = read_key(KEY, entry(KEY).ok_or(IdentityError::Missing(KEY))?)?;
        let next = entry(NEXT).map(|pem| read_key(NEXT, pem)).transpose()?;
        let region = entry(REGION).ok_or(IdentityError::Missing(REGION))?;
        Ok(Self {
            region: String::from_utf8_lossy(region).into_owned(),
            key,
            public_keys: std::iter::once(public).chain(next.map(|(_, public)| public)).collect(),
        })
    }
}

fn read_key(entry: &'static str, pem: &[u8]) -> Result<(Arc<CertifiedKey>, PublicKey), IdentityError> {
    let malformed = || IdentityError::Malformed(entry);
    let Ok(PrivateKeyDer::Pkcs8(der)) = PrivateKeyDer::from_pem_slice(pem) else { return Err(malformed()) };
    own_key(&der).ok_or_else(malformed)
}

fn fresh(region: &str) -> Result<Secret, IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ED25519).map_err(IdentityError::Make)?;
    let entry = |name: &str, text: String| (name.to_owned(), ByteString(text.into_bytes()));
    let managed = (labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_OPERATOR.to_owned());
    Ok(Secret {
        metadata: ObjectMeta {
            name: Some(labels::LINK_SECRET.to_owned()),
            labels: Some(BTreeMap::from([managed])),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([entry(KEY, key.serialize_pem()), entry(REGION, region.to_owned())])),
        ..Secret::default()
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::mock_api::MockApi;

    /// A region's own.
    pub(crate) fn identity(region: &str) -> Identity {
        Identity::from_secret(&fresh(region).unwrap()).unwrap()
    }

    #[tokio::test]
    async fn replicas_that_begin_at_once_agree_on_one_key_and_the_next_one_finds_it() {
        let api = MockApi::default();
        let open = || Identity::open(api.client(), "cranewing-system", "kr");
        let (one, two) = tokio::join!(open(), open());
        let (one, two, three) = (one.unwrap(), two.unwrap(), open().await.unwrap());
        assert_eq!((&one.public_keys, one.public_keys.len()), (&two.public_keys, 1));
        assert_eq!(one.public_keys, three.public_keys);
        let other = Identity::open(api.client(), "cranewing-system", "jp").await.err().unwrap().to_string();
        assert!(other.contains("of region kr and this is jp; delete it"), "{other}");
    }

    #[test]
    fn a_next_key_is_told_and_not_used() {
        let (mut secret, next) = (fresh("kr").unwrap(), fresh("kr").unwrap());
        let old = Identity::from_secret(&secret).unwrap();
        let data = secret.data.as_mut().unwrap();
        data.insert(NEXT.to_owned(), next.data.as_ref().unwrap()[KEY].clone());
        let both = Identity::from_secret(&secret).unwrap();
        assert_eq!(both.public_keys[0], old.public_keys[0]);
        assert_eq!(both.public_keys[1..], Identity::from_secret(&next).unwrap().public_keys);
        assert_eq!(both.key.cert, old.key.cert);
    }

    #[test]
    fn a_secret_that_lacks_a_part_says_which_and_what_to_do() {
        for (name, entry, value, expected) in [
            ("no key", KEY, None, "no entry key.pem; delete it"),
            ("no region", REGION, None, "no entry regionId; delete it"),
            ("no PEM", KEY, Some("x"), "entry key.pem in Secret cranewing-link is no Ed25519 key"),
            ("a next key that is none", NEXT, Some(""), "entry next.pem in Secret cranewing-link is no"),
        ] {
            let mut secret = fresh("kr").unwrap();
            let data = secret.data.as_mut().unwrap();
            match value {
                Some(value) => drop(data.insert(entry.to_owned(), ByteString(value.into()))),
                None => drop(data.remove(entry)),
            }
            let refused = Identity::from_secret(&secret).err().unwrap().to_string();
            assert!(refused.contains(expected), "{name}: {refused}");
        }
        let other = KeyPair::generate().unwrap().serialize_pem();
        assert!(read_key(KEY, other.as_bytes()).is_err(), "of another kind");
    }
}
