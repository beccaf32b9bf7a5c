//! What this region knows of another one before it has heard it: a Secret with the label `cranewing.dev/peer`.

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ObjectMeta;
use operator_api::labels;
use operator_core::regions::{InvalidRegionId, RegionId};
use std::collections::BTreeMap;
use std::net::SocketAddr;

use super::identity::PublicKey;

const ADDRESSES: &str = "addresses";
const PUBLIC_KEYS: &str = "publicKeys";
const RESPONDERS: &str = "responders";
/// Addresses of a peer's links.
pub(crate) const ADDRESSES_MAX: usize = 8;
/// Keys of a peer: the one that it uses, and the next.
const KEYS_MAX: usize = 2;
/// Responders that are probed in a region.
pub(crate) const RESPONDERS_MAX: usize = 8;

/// What is wrong in a Secret, by the field.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PeerError {
    #[error("label {label}: `{0}` is no regionId; {InvalidRegionId}", label = labels::PEER)]
    Region(String),
    #[error("label {label}: `{0}` is this region itself", label = labels::PEER)]
    Own(RegionId),
    #[error("label {label}: {0} other regions are registered already", label = labels::PEER)]
    TooManyPeers(usize),
    #[error("label {label}: `{0}` is registered twice; the first Secret by name counts", label = labels::PEER)]
    Twice(RegionId),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{0}: at most {1}, with commas between them")]
    TooMany(&'static str, usize),
    #[error("{ADDRESSES}: `{0}` is not host:port")]
    Address(String),
    #[error("{PUBLIC_KEYS}: `{0}` is no Ed25519 subject public key info in base64")]
    Key(String),
    #[error("{RESPONDERS}: `{0}` is not an IP address with a port")]
    Responder(String),
}

/// Another region: where it is reached and by which keys it is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) region: RegionId,
    pub(crate) addresses: Vec<String>,
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) responders: Vec<SocketAddr>,
}

impl Peer {
    pub(crate) fn from_secret(secret: &Secret) -> Result<Self, PeerError> {
        let entry = |field, limit| {
            let parts = parts_of(secret, field);
            if parts.len() > limit { Err(PeerError::TooMany(field, limit)) } else { Ok(parts) }
        };
        let needed = |field, limit| match entry(field, limit) {
            Ok(parts) if parts.is_empty() => Err(PeerError::Missing(field)),
            parts => parts,
        };
        let key = |text: String| PublicKey::from_base64(&text).ok_or(PeerError::Key(text));
        Ok(Self {
            region: Self::region_of(secret)?,
            addresses: needed(ADDRESSES, ADDRESSES_MAX)?
                .into_iter()
                .map(check_address)
                .collect::<Result<_, _>>()?,
            keys: needed(PUBLIC_KEYS, KEYS_MAX)?.into_iter().map(key).collect::<Result<_, _>>()?,
            responders: entry(RESPONDERS, RESPONDERS_MAX)?
                .into_iter()
                .map(|text| text.parse().map_err(|_no_address| PeerError::Responder(text)))
                .collect::<Result<_, _>>()?,
        })
    }

    /// The region that a Secret registers, whatever else is wrong in it.
    pub(crate) fn region_of(secret: &Secret) -> Result<RegionId, PeerError> {
        let label = secret.labels().get(labels::PEER).cloned().unwrap_or_default();
        label.parse().map_err(|_invalid| PeerError::Region(label))
    }

    /// One whose Secret is not understood: it is trusted by the keys that can be read there now, whatever was there before,
    /// and reached where it was, if that is `known`. Without a key it is unreachable.
    pub(crate) fn as_far_as_understood(region: RegionId, secret: &Secret, known: Option<&Self>) -> Self {
        let keys = parts_of(secret, PUBLIC_KEYS);
        let keys = keys.iter().filter_map(|text| PublicKey::from_base64(text)).take(KEYS_MAX).collect();
        let (addresses, responders) =
            known.map(|peer| (peer.addresses.clone(), peer.responders.clone())).unwrap_or_default();
        Self { region, addresses, keys, responders }
    }

    pub(crate) fn to_secret(&self) -> Secret {
        let labels =
            [(labels::PEER, self.region.as_str()), (labels::MANAGED_BY, labels::MANAGED_BY_OPERATOR)];
        let keys: Vec<String> = self.keys.iter().map(PublicKey::to_base64).collect();
        let mut data = vec![(ADDRESSES, self.addresses.join(",")), (PUBLIC_KEYS, keys.join(","))];
        if !self.responders.is_empty() {
            data.push((RESPONDERS, join(&self.responders)));
        }
        let data = data.into_iter().map(|(field, text)| (field.to_owned(), ByteString(text.into_bytes())));
        Secret {
            metadata: ObjectMeta {
                name: Some(labels::peer_secret_name(self.region.as_str())),
                labels: Some(labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()),
                ..ObjectMeta::default()
            },
            data: Some(data.collect::<BTreeMap<_, _>>()),
            ..Secret::default()
        }
    }
}

fn parts_of(secret: &Secret, field: &str) -> Vec<String> {
    let bytes = secret.data.as_ref().and_then(|data| data.get(field));
    let text = String::from_utf8_lossy(bytes.map_or(&[][..], |bytes| &bytes.0)).into_owned();
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// An address to dial, such as `192.0.2.1:30844` or `link.kr.example:8444`.
pub(crate) fn check_address(text: String) -> Result<String, PeerError> {
    let parts = text
        .rsplit_once(':')
        .filter(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0));
    if parts.is_some() { Ok(text) } else { Err(PeerError::Address(text)) }
}

/// Addresses as a Secret and an annotation have them.
pub(crate) fn join(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::links::identity::tests::identity;

    /// A region as others know it.
    pub(crate) fn peer(region: &str) -> Peer {
        Peer {
            region: region.parse().unwrap(),
            addresses: vec!["192.0.2.1:30844".to_owned(), "link.example:8444".to_owned()],
            keys: identity(region).public_keys,
            responders: vec!["192.0.2.1:8444".parse().unwrap(), "[2001:db8::1]:8444".parse().unwrap()],
        }
    }

    #[test]
    fn a_peer_survives_its_secret() {
        let whole = peer("kr");
        assert_eq!(Peer::from_secret(&whole.to_secret()).unwrap(), whole);
        let bare = Peer { responders: Vec::new(), ..whole };
        assert_eq!(Peer::from_secret(&bare.to_secret()).unwrap(), bare);
    }

    #[test]
    fn a_bad_secret_is_refused_by_the_field_that_is_wrong() {
        let key = identity("kr").public_keys[0].to_base64();
        let nine = ["a:1"; 9].join(",");
        for (name, field, text, expected) in [
            ("nowhere to dial", ADDRESSES, "", "addresses is missing"),
            ("commas alone", ADDRESSES, " , ", "addresses is missing"),
            ("without a port", ADDRESSES, "a:1,link.example", "addresses: `link.example` is not"),
            ("without a host", ADDRESSES, ":8444", "addresses: `:8444` is not"),
            ("a port that is none", ADDRESSES, "a:70000", "addresses: `a:70000` is not"),
            ("port 0", ADDRESSES, "a:0", "addresses: `a:0` is not"),
            ("too many addresses", ADDRESSES, &nine, "addresses: at most 8"),
            ("no key", PUBLIC_KEYS, "", "publicKeys is missing"),
            ("what is no key", PUBLIC_KEYS, "AAAA", "publicKeys: `AAAA` is no"),
            ("three keys", PUBLIC_KEYS, &[key.as_str(); 3].join(","), "publicKeys: at most 2"),
            ("a responder's name", RESPONDERS, "link.example:8444", "responders: `link.example:8444` is"),
        ] {
            let mut secret = peer("kr").to_secret();
            secret.data.as_mut().unwrap().insert(field.to_owned(), ByteString(text.into()));
            let refused = Peer::from_secret(&secret).unwrap_err().to_string();
            assert!(refused.starts_with(expected), "{name}: {refused}");
        }
        for label in ["", "KR", "0kr", "kr-1", "ninechars"] {
            let mut secret = peer("kr").to_secret();
            secret.labels_mut().insert(labels::PEER.to_owned(), label.to_owned());
            assert!(matches!(Peer::from_secret(&secret), Err(PeerError::Region(_))), "{label}");
        }
    }
}
