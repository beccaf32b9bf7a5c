//! Which client certificates are taken: those that an authority of a Secret has issued, and those that stand there themselves.
//!
//! Each entry `*.crt` or `*.pem` of the Secret has such certificates. They count from the next connection on, and one that is taken out
//! counts no more; without the Secret nobody is taken.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore, SignatureScheme,
};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use x509_parser::prelude::{FromDer as _, X509Certificate};
use x509_parser::time::ASN1Time;

use crate::runtime::telemetry::chain;
use crate::runtime::watch::Watched;

/// Certificates of a Secret that count at most: each is tried for each connection. Beyond it those of the first entries by name count.
const CERTIFICATES_MAX: usize = 256;

/// What is wrong with an entry of the Secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    #[error("entry {0} is no PEM")]
    Pem(String, #[source] pem::Error),
    #[error("entry {0} has no certificate")]
    Empty(String),
    #[error("a certificate of entry {0} is not understood: it must be X.509 of version 3")]
    Certificate(String, #[source] Error),
    #[error(
        "there are more than {CERTIFICATES_MAX} certificates; those of entry {0} and after it do not count"
    )]
    TooMany(String),
}

/// The client certificates that are taken at this moment.
pub(super) struct Clients {
    known: RwLock<Known>,
    provider: Arc<CryptoProvider>,
}

/// What the Secret says.
#[derive(Default)]
struct Known {
    /// Takes what an authority has issued; none without an authority.
    issued: Option<Arc<dyn ClientCertVerifier>>,
    /// Certificates that stand there themselves, as the self-signed ones of clients do.
    listed: BTreeSet<Vec<u8>>,
}

impl fmt::Debug for Clients {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clients")
    }
}

impl Clients {
    /// Nobody.
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { known: RwLock::default(), provider }
    }

    /// Follows the Secret until `stop`.
    pub(super) async fn follow(self: Arc<Self>, secrets: Watched<Secret>, stop: CancellationToken) {
        let mut changes = Box::pin(secrets.concerning(|secret: &Secret| vec![ObjectRef::from_obj(secret)]));
        while let Some(Some(_)) = stop.run_until_cancelled(changes.next()).await {
            self.learn(secrets.store().state().first().map(Arc::as_ref));
        }
    }

    /// The Secret is this, or none.
    pub(super) fn learn(&self, secret: Option<&Secret>) {
        let (certificates, faults) = secret.map(read).unwrap_or_default();
        for fault in &faults {
            warn!(error = chain(fault), "left out client certificates of Agones' door");
        }
        match Known::of(certificates, &self.provider) {
            Ok(known) => {
                info!(certificates = known.listed.len(), "read the client certificates of Agones' door");
                *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
            }
            Err(error) => {
                warn!(error = chain(&error), "failed to read the client certificates of Agones' door");
            }
        }
    }
}

impl Known {
    fn of(listed: BTreeSet<Vec<u8>>, provider: &Arc<CryptoProvider>) -> Result<Self, VerifierBuilderError> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(listed.iter().cloned().map(CertificateDer::from));
        if roots.is_empty() {
            return Ok(Self::default());
        }
        let issued =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build()?;
        Ok(Self { issued: Some(issued), listed })
    }
}

/// The certificates of a Secret, and what is wrong with it. An entry that is wrong takes none of the others along.
fn read(secret: &Secret) -> (BTreeSet<Vec<u8>>, Vec<EntryError>) {
    let (mut certificates, mut faults) = (BTreeSet::new(), Vec::new());
    for (name, bytes) in secret.data.iter().flatten() {
        if !name.rsplit_once('.').is_some_and(|(_, kind)| ["crt", "pem"].contains(&kind)) {
            continue;
        }
        match read_entry(name, &bytes.0) {
            Ok(read) if certificates.len() + read.len() > CERTIFICATES_MAX => {
                faults.push(EntryError::TooMany(name.clone()));
                break;
            }
            Ok(read) => certificates.extend(read.iter().map(|certificate| certificate.to_vec())),
            Err(fault) => faults.push(fault),
        }
    }
    (certificates, faults)
}

fn read_entry(name: &str, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, EntryError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| EntryError::Pem(name.to_owned(), error))?;
    if certificates.is_empty() {
        return Err(EntryError::Empty(name.to_owned()));
    }
    let mut tried = RootCertStore::empty();
    for certificate in &certificates {
        tried.add(certificate.clone()).map_err(|error| EntryError::Certificate(name.to_owned(), error))?;
    }
    Ok(certificates)
}

/// A certificate that stands in the Secret itself needs no issuer; its time counts all the same.
fn check_time(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let bad = Error::InvalidCertificate(CertificateError::BadEncoding);
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_malformed| bad.clone())?;
    let seconds = i64::try_from(now.as_secs()).map_err(|_never| bad.clone())?;
    let now = ASN1Time::from_timestamp(seconds).map_err(|_never| bad)?;
    let validity = parsed.validity();
    if now < validity.not_before {
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    } else if now > validity.not_after {
        Err(Error::InvalidCertificate(CertificateError::Expired))
    } else {
        Ok(())
    }
}

impl ClientCertVerifier for Clients {
    /// Clients are not told which authorities count: these may change while a client chooses, and most have one certificate.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        if known.listed.contains(shown.as_ref()) {
            return check_time(shown, now).map(|()| ClientCertVerified::assertion());
        }
        match &known.issued {
            Some(issued) => issued.verify_client_cert(shown, intermediates, now),
            None => Err(Error::InvalidCertificate(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use k8s_openapi::ByteString;
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
    use rustls::crypto::ring::default_provider;
    use std::time::Duration;

    /// 2027: within the time of all that is made here.
    const NOW: Duration = Duration::from_secs(1_800_000_000);

    /// An authority, or a client that has issued itself.
    pub(in crate::allocation::door::agones) struct Made {
        pub(in crate::allocation::door::agones) pem: String,
        pub(in crate::allocation::door::agones) der: CertificateDer<'static>,
        pub(in crate::allocation::door::agones) key: KeyPair,
        params: CertificateParams,
    }

    pub(in crate::allocation::door::agones) fn make(is_ca: bool) -> Made {
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
        if is_ca {
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        }
        let certificate = params.self_signed(&key).unwrap();
        Made { pem: certificate.pem(), der: certificate.der().clone(), key, params }
    }

    impl Made {
        /// A client's certificate of this authority, and its key.
        pub(in crate::allocation::door::agones) fn issue(&self) -> (CertificateDer<'static>, KeyPair) {
            let key = KeyPair::generate().unwrap();
            let issuer = Issuer::from_params(&self.params, &self.key);
            let certificate = CertificateParams::default().signed_by(&key, &issuer).unwrap();
            (certificate.der().clone(), key)
        }
    }

    pub(in crate::allocation::door::agones) fn secret(entries: &[(&str, &str)]) -> Secret {
        let entry = |(name, text): &(&str, &str)| ((*name).to_owned(), ByteString(text.as_bytes().to_vec()));
        let mut secret = Secret { data: Some(entries.iter().map(entry).collect()), ..Secret::default() };
        secret.metadata.name = Some("one".to_owned());
        secret
    }

    fn clients() -> Clients {
        Clients::new(Arc::new(default_provider()))
    }

    fn takes(clients: &Clients, shown: &CertificateDer<'_>, now: Duration) -> bool {
        clients.verify_client_cert(shown, &[], UnixTime::since_unix_epoch(now)).is_ok()
    }

    #[test]
    fn who_was_issued_by_an_entry_is_taken_and_who_is_one_as_long_as_it_stands_there() {
        let (ours, other, alone, alone_as_ca) = (make(true), make(true), make(false), make(true));
        let (issued, ..) = ours.issue();
        let (foreign, ..) = other.issue();
        let clients = clients();
        assert!(!takes(&clients, &issued, NOW), "nobody without a Secret");
        let both = format!("{}{}", ours.pem, alone.pem);
        clients.learn(Some(&secret(&[("a.crt", &both), ("b.pem", &alone_as_ca.pem), ("c.txt", &other.pem)])));
        for (case, shown, is_taken) in [
            ("issued", &issued, true),
            ("by an authority that is no entry", &foreign, false),
            ("listed", &alone.der, true),
            ("listed, and by its own word an authority", &alone_as_ca.der, true),
            ("the authority itself", &ours.der, true),
            ("another authority", &other.der, false),
        ] {
            assert_eq!(takes(&clients, shown, NOW), is_taken, "{case}");
        }
        clients.learn(Some(&secret(&[("c.crt", &other.pem)])));
        assert!(
            takes(&clients, &foreign, NOW)
                && !takes(&clients, &issued, NOW)
                && !takes(&clients, &alone.der, NOW)
        );
        clients.learn(None);
        assert!(!takes(&clients, &foreign, NOW));
    }

    #[test]
    fn a_certificate_that_stands_there_counts_within_its_time_alone() {
        let hour = Duration::from_secs(3600);
        let (key, mut params) = (KeyPair::generate().unwrap(), CertificateParams::default());
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        (params.not_before, params.not_after) = (epoch + NOW, epoch + NOW + hour);
        let made = params.self_signed(&key).unwrap();
        let clients = clients();
        clients.learn(Some(&secret(&[("a.crt", &made.pem())])));
        let (second, hour_before) = (Duration::from_secs(1), NOW.saturating_sub(hour));
        for (now, is_taken) in
            [(hour_before, false), (NOW, true), (NOW + hour, true), (NOW + hour + second, false)]
        {
            assert_eq!(takes(&clients, made.der(), now), is_taken, "{now:?}");
        }
    }

    #[test]
    fn an_entry_that_is_wrong_takes_none_of_the_others_along() {
        let (good, key) = (make(true), KeyPair::generate().unwrap());
        let garbage = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let cut = "-----BEGIN CERTIFICATE-----\n";
        let key = key.serialize_pem();
        let (certificates, faults) =
            read(&secret(&[("a.crt", garbage), ("b.crt", cut), ("c.crt", &key), ("d.crt", &good.pem)]));
        assert_eq!(certificates, BTreeSet::from([good.der.to_vec()]));
        assert!(
            matches!(&faults[..], [EntryError::Certificate(a, _), EntryError::Pem(b, _), EntryError::Empty(c)]
                if a == "a.crt" && b == "b.crt" && c == "c.crt"),
            "{faults:?}"
        );
        let many = good.pem.repeat(CERTIFICATES_MAX);
        let (certificates, faults) = read(&secret(&[("a.crt", &many), ("b.crt", &make(true).pem)]));
        // the same one counts once
        assert_eq!((certificates.len(), faults.len()), (2, 0));
        let all: Vec<Made> = (0..3).map(|_| make(true)).collect();
        let third =
            all.iter().map(|made| made.pem.as_str()).collect::<String>().repeat(CERTIFICATES_MAX / 3 + 1);
        let (certificates, faults) =
            read(&secret(&[("a.crt", &good.pem), ("b.crt", &third), ("c.crt", &good.pem)]));
        assert_eq!(certificates.len(), 1);
        assert!(matches!(&faults[..], [EntryError::TooMany(b)] if b == "b.crt"), "{faults:?}");
    }
}
