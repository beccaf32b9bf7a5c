//! TLS towards the operator, by the bundle that it publishes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use gameserver_contract::REPORT_TLS_NAME;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, pem};
use rustls::{ClientConfig, RootCertStore};

/// Why no TLS client can be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    #[error("failed to read certificates from {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: pem::Error,
    },
    #[error("no usable certificate in {path}")]
    Empty { path: PathBuf },
    #[error("failed to set up TLS")]
    Setup(#[source] rustls::Error),
}

/// A TLS 1.3 client that trusts just the certificates in `bundle`.
pub(crate) fn client_config(bundle: &Path) -> Result<Arc<ClientConfig>, TlsError> {
    let read = |source| TlsError::Read { path: bundle.to_owned(), source };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(bundle).map_err(read)? {
        // one that rustls does not like must not keep the others of a rotated bundle from counting
        let _added = roots.add(certificate.map_err(read)?);
    }
    if roots.is_empty() {
        return Err(TlsError::Empty { path: bundle.to_owned() });
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(TlsError::Setup)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// The name that every replica's certificate carries.
pub(crate) fn server_name() -> ServerName<'static> {
    ServerName::try_from(REPORT_TLS_NAME).expect("the contract's name is a DNS name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_and_an_empty_bundle_are_told_by_their_path() {
        let missing = client_config(Path::new("/nonexistent/ca.pem")).unwrap_err();
        assert_eq!(missing.to_string(), "failed to read certificates from /nonexistent/ca.pem");
        let empty = client_config(Path::new("/dev/null")).unwrap_err();
        assert_eq!(empty.to_string(), "no usable certificate in /dev/null");
    }

    #[test]
    fn the_contract_names_a_server() {
        assert_eq!(server_name().to_str(), REPORT_TLS_NAME);
    }
}
