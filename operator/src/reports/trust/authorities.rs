//! The certificate authorities of the report endpoint, and the Secret that all replicas share.

use gameserver_contract::REPORT_TLS_NAME;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ObjectMeta;
use operator_api::labels;
use operator_core::authority::{self, Terms};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// Entry of the Secret with the authorities; [`labels::CA_BUNDLE_KEY`] beside it is for people.
const ENTRY: &str = "authorities.json";
/// Certificates begin to be valid this long before they are made, for clocks that are behind.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(3600);

/// Why authorities cannot be read or made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuthorityError {
    #[error("Secret {name} has no entry {ENTRY}; delete it, and a new authority is made", name = labels::CA_SECRET)]
    Missing,
    #[error("failed to read {ENTRY} in Secret {name}", name = labels::CA_SECRET)]
    Read(#[source] serde_json::Error),
    #[error("failed to write {ENTRY}")]
    Write(#[source] serde_json::Error),
    #[error("failed to make a certificate")]
    Make(#[source] rcgen::Error),
    #[error("failed to use a certificate")]
    Use(#[source] rustls::Error),
    #[error("failed to use a key: {0}")]
    Key(&'static str),
    #[error("no authority is valid")]
    None,
}

/// One authority: its certificate for everybody, its key for the replicas. Times in seconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    certificate: String,
    key: String,
    made_at: u64,
    expires_at: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    published_at: Option<u64>,
}

/// The authorities, oldest first.
#[derive(Clone, Default, PartialEq, Eq)]
pub(crate) struct Authorities(Vec<Record>);

/// A certificate of one replica's own; its key is never written anywhere.
pub(crate) struct Issued {
    pub(crate) key: CertifiedKey,
    pub(crate) begins_at: Duration,
    pub(crate) expires_at: Duration,
}

impl Authorities {
    /// The authorities in the Secret.
    pub(crate) fn from_secret(secret: &Secret) -> Result<Self, AuthorityError> {
        let data = secret.data.as_ref();
        let json = data.and_then(|data| data.get(ENTRY)).ok_or(AuthorityError::Missing)?;
        serde_json::from_slice(&json.0).map(Self).map_err(AuthorityError::Read)
    }

    /// The Secret with these authorities, on condition that it is still of this version.
    pub(crate) fn to_secret(&self, version: Option<String>) -> Result<Secret, AuthorityError> {
        let json = serde_json::to_vec(&self.0).map_err(AuthorityError::Write)?;
        let data = BTreeMap::from([
            (labels::CA_BUNDLE_KEY.to_owned(), ByteString(self.bundle().into_bytes())),
            (ENTRY.to_owned(), ByteString(json)),
        ]);
        let managed = (labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_OPERATOR.to_owned());
        Ok(Secret {
            metadata: ObjectMeta {
                name: Some(labels::CA_SECRET.to_owned()),
                labels: Some(BTreeMap::from([managed])),
                resource_version: version,
                ..ObjectMeta::default()
            },
            data: Some(data),
            ..Secret::default()
        })
    }

    /// PEM bundle that game servers verify with.
    pub(crate) fn bundle(&self) -> String {
        self.0.iter().map(|record| record.certificate.as_str()).collect()
    }

    /// What is decided over.
    pub(crate) fn view(&self) -> Vec<authority::Authority> {
        let view = |record: &Record| authority::Authority {
            made_at: Duration::from_secs(record.made_at),
            expires_at: Duration::from_secs(record.expires_at),
            published_at: record.published_at.map(Duration::from_secs),
        };
        self.0.iter().map(view).collect()
    }

    /// Makes another one, the newest. The very first has nobody to tell before it is used.
    pub(crate) fn make(&mut self, now: Duration, terms: Terms) -> Result<(), AuthorityError> {
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let expires_at = now.saturating_add(terms.lifetime);
        let mut params = validity(now, expires_at);
        let name = format!("cranewing report authority {}", now.as_secs());
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Make)?;
        let published_at = self.0.is_empty().then_some(now.as_secs());
        self.0.push(Record {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
            made_at: now.as_secs(),
            expires_at: expires_at.as_secs(),
            published_at,
        });
        Ok(())
    }

    /// Records that the bundle has reached every namespace.
    pub(crate) fn set_published(&mut self, now: Duration) {
        if let Some(newest) = self.0.last_mut() {
            newest.published_at = Some(now.as_secs());
        }
    }

    /// Forgets the authorities at these places.
    pub(crate) fn retire(&mut self, places: &[usize]) {
        let mut place = 0..;
        self.0.retain(|_| !place.next().is_some_and(|place| places.contains(&place)));
    }

    /// Issues a certificate for a replica; it ends with its authority at the latest.
    pub(crate) fn issue(
        &self,
        issuer: usize,
        now: Duration,
        terms: Terms,
        names: &[String],
    ) -> Result<Issued, AuthorityError> {
        let record = self.0.get(issuer).ok_or(AuthorityError::None)?;
        let authority_key = KeyPair::from_pem(&record.key).map_err(AuthorityError::Make)?;
        let issuer =
            Issuer::from_ca_cert_pem(&record.certificate, authority_key).map_err(AuthorityError::Make)?;
        let expires_at =
            now.saturating_add(terms.certificate_lifetime).min(Duration::from_secs(record.expires_at));
        let key = KeyPair::generate().map_err(AuthorityError::Make)?;
        let mut params = validity(now, expires_at);
        let name = |name: &str| name.try_into().map(rcgen::SanType::DnsName).map_err(AuthorityError::Make);
        params.subject_alt_names = names.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
        params.distinguished_name.push(DnType::CommonName, "cranewing report endpoint");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &issuer).map_err(AuthorityError::Make)?;
        let chain = vec![CertificateDer::from(certificate.der().to_vec())];
        let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(AuthorityError::Key)?;
        let provider = rustls::crypto::ring::default_provider();
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(AuthorityError::Use)?;
        Ok(Issued { key, begins_at: now, expires_at })
    }

    /// What tells one issuer from another.
    pub(crate) fn name_of(&self, place: usize) -> Option<&str> {
        self.0.get(place).map(|record| record.certificate.as_str())
    }
}

/// Names of every replica's certificate: that of the report endpoint, and those by which pods of a cluster reach the Service of the
/// allocation endpoint.
pub(crate) fn names_in(namespace: &str) -> Vec<String> {
    let of_service = |service: &str| {
        ["", ".svc", ".svc.cluster.local"].map(|domain| format!("{service}.{namespace}{domain}"))
    };
    let doors = [labels::ALLOCATION_SERVICE, labels::AGONES_SERVICE].into_iter().flat_map(of_service);
    std::iter::once(REPORT_TLS_NAME.to_owned()).chain(doors).collect()
}

fn validity(now: Duration, expires_at: Duration) -> CertificateParams {
    let epoch = date_time_ymd(1970, 1, 1);
    let mut params = CertificateParams::default();
    params.not_before = epoch + now.saturating_sub(CLOCK_SKEW_MAX);
    params.not_after = epoch + expires_at;
    params
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);
    const TERMS: Terms =
        Terms { lifetime: Duration::from_secs(900 * 3600), overlap: HOUR, certificate_lifetime: HOUR };

    fn two() -> Authorities {
        let mut authorities = Authorities::default();
        authorities.make(NOW, TERMS).unwrap();
        authorities.make(NOW + HOUR, TERMS).unwrap();
        authorities
    }

    #[test]
    fn authorities_survive_their_secret_and_issue_certificates() {
        let authorities = Authorities::from_secret(&two().to_secret(None).unwrap()).unwrap();
        assert!(authorities == two() || authorities.view() == two().view(), "times are kept");
        assert_eq!(authorities.view()[1].published_at, None, "the second must be published first");
        assert_eq!(authorities.bundle().matches("BEGIN CERTIFICATE").count(), 2);
        let issued = authorities.issue(1, NOW, TERMS, &names_in("games")).unwrap();
        assert_eq!(issued.expires_at, NOW + HOUR);
    }

    #[test]
    fn a_certificate_never_outlives_its_authority() {
        let late = NOW + TERMS.lifetime.saturating_sub(Duration::from_secs(60));
        assert_eq!(two().issue(0, late, TERMS, &names_in("games")).unwrap().expires_at, NOW + TERMS.lifetime);
        assert!(matches!(two().issue(2, NOW, TERMS, &names_in("games")), Err(AuthorityError::None)));
    }

    #[test]
    fn retired_authorities_leave_the_bundle() {
        let mut authorities = two();
        let newest = authorities.name_of(1).unwrap().to_owned();
        authorities.retire(&[0]);
        assert_eq!(authorities.bundle(), newest);
    }

    #[test]
    fn a_secret_that_lacks_a_part_says_what_to_do() {
        let mut secret = two().to_secret(None).unwrap();
        secret.data.as_mut().unwrap().remove(ENTRY);
        let error = Authorities::from_secret(&secret).err().unwrap().to_string();
        assert!(error.contains("authorities.json") && error.contains("delete it"), "{error}");
        secret.data.as_mut().unwrap().insert(ENTRY.to_owned(), ByteString(b"{".to_vec()));
        assert!(matches!(Authorities::from_secret(&secret), Err(AuthorityError::Read(_))));
    }
}
