//! The certificate that Agones' door shows where that is a Secret of the user's own, of the type `kubernetes.io/tls`.

use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::ObjectRef;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::runtime::telemetry::chain;
use crate::runtime::watch::Watched;

const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";

/// What is wrong with the Secret.
#[derive(Debug, thiserror::Error)]
enum SecretError {
    #[error("it has no entry {0}")]
    Missing(&'static str),
    #[error("failed to read entry {0}")]
    Pem(&'static str, #[source] pem::Error),
    #[error("{CERTIFICATE} and {KEY} do not make a certificate with its key")]
    Key(#[source] rustls::Error),
}

/// The certificate that is shown at this moment; without one no connection comes about.
pub(super) struct Certificate {
    shown: RwLock<Option<Arc<CertifiedKey>>>,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Certificate") // and never the key
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.shown.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Certificate {
    pub(super) fn new(provider: Arc<CryptoProvider>) -> Self {
        Self { shown: RwLock::default(), provider }
    }

    /// Follows the Secret until `stop`.
    pub(super) async fn follow(self: Arc<Self>, secrets: Watched<Secret>, stop: CancellationToken) {
        let mut changes = Box::pin(secrets.concerning(|secret: &Secret| vec![ObjectRef::from_obj(secret)]));
        while let Some(Some(_)) = stop.run_until_cancelled(changes.next()).await {
            for secret in secrets.store().state() {
                self.learn(&secret);
            }
        }
    }

    /// A Secret that cannot be read, or is gone, changes nothing: what was shown is shown on.
    fn learn(&self, secret: &Secret) {
        match read(secret, &self.provider) {
            Ok(key) => {
                info!("read the certificate of Agones' door");
                *self.shown.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(key));
            }
            Err(error) => warn!(error = chain(&error), "failed to read the certificate of Agones' door"),
        }
    }
}

fn read(secret: &Secret, provider: &CryptoProvider) -> Result<CertifiedKey, SecretError> {
    let entry = |name| {
        let entry = secret.data.as_ref().and_then(|data| data.get(name));
        entry.map(|bytes| bytes.0.as_slice()).ok_or(SecretError::Missing(name))
    };
    let certificates = CertificateDer::pem_slice_iter(entry(CERTIFICATE)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| SecretError::Pem(CERTIFICATE, error))?;
    let key = PrivateKeyDer::from_pem_slice(entry(KEY)?).map_err(|error| SecretError::Pem(KEY, error))?;
    CertifiedKey::from_der(certificates, key, provider).map_err(SecretError::Key)
}

#[cfg(test)]
mod tests {
    use super::super::clients::tests::{make, secret};
    use super::*;
    use rustls::crypto::ring::default_provider;

    #[test]
    fn a_secret_that_is_not_whole_says_what_it_lacks_and_what_was_shown_is_shown_on() {
        let (made, other) = (make(false), make(false));
        let (key, foreign) = (made.key.serialize_pem(), other.key.serialize_pem());
        let certificate = Certificate::new(Arc::new(default_provider()));
        let shown = || certificate.shown.read().unwrap().as_ref().map(|key| key.cert[0].clone());
        for (entries, fault) in [
            (&[][..], Some("it has no entry tls.crt")),
            (&[(CERTIFICATE, made.pem.as_str())], Some("it has no entry tls.key")),
            (&[(CERTIFICATE, &made.pem), (KEY, &made.pem)], Some("failed to read entry tls.key")),
            (
                &[(CERTIFICATE, &made.pem), (KEY, &foreign)],
                Some("tls.crt and tls.key do not make a certificate with its key"),
            ),
            (
                &[(CERTIFICATE, ""), (KEY, &key)],
                Some("tls.crt and tls.key do not make a certificate with its key"),
            ),
            (&[(CERTIFICATE, &made.pem), (KEY, &key)], None),
        ] {
            let secret = secret(entries);
            let said = read(&secret, &default_provider()).map(drop).map_err(|error| error.to_string());
            assert_eq!(said.err().as_deref(), fault, "{entries:?}");
            certificate.learn(&secret);
        }
        assert_eq!(shown(), Some(made.der.clone()));
        certificate.learn(&secret(&[]));
        assert_eq!(shown(), Some(made.der));
    }
}
