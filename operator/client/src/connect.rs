//! Connections: TLS by the authorities of a file, which is read for each.

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::future::Future;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// Authorities of a bundle that count at most.
const AUTHORITIES_MAX: usize = 256;

/// Dials the operator.
#[derive(Clone, Debug)]
pub(crate) struct Connect {
    pub(crate) ca: PathBuf,
    /// `HOST:PORT` that is dialled.
    pub(crate) address: String,
    /// Name that its certificate must have.
    pub(crate) name: ServerName<'static>,
}

impl Connect {
    async fn dial(self) -> io::Result<TlsStream<TcpStream>> {
        let config = config(&self.ca)?;
        let said = |error: io::Error| {
            io::Error::new(error.kind(), format!("failed to dial {}: {error}", self.address))
        };
        let socket = TcpStream::connect(&self.address).await.map_err(said)?;
        socket.set_nodelay(true)?;
        TlsConnector::from(config).connect(self.name.clone(), socket).await.map_err(said)
    }
}

impl Service<Uri> for Connect {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _of_the_channel: Uri) -> Self::Future {
        let dialling = self.clone().dial();
        Box::pin(async move { dialling.await.map(TokioIo::new) })
    }
}

fn config(ca: &Path) -> io::Result<Arc<ClientConfig>> {
    let said = |error: &dyn std::fmt::Display| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("failed to read the authorities in {}: {error}", ca.display()),
        )
    };
    // a small file that the kubelet has mounted from memory
    let bundle = std::fs::read(ca).map_err(|error| said(&error))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&bundle).take(AUTHORITIES_MAX) {
        let certificate = certificate.map_err(|error| said(&error))?;
        roots.add(certificate).map_err(|error| said(&error))?;
    }
    if roots.is_empty() {
        return Err(said(&"there is no certificate in it"));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config =
        ClientConfig::builder_with_provider(provider).with_protocol_versions(&[&rustls::version::TLS13]);
    let mut config =
        config.map_err(|error| said(&error))?.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Arc::new(config))
}
