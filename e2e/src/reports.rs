//! A report stream as somebody else than a game server would open it.

use gameserver_contract::{
    Backend, CONTRACT_VERSION, Hello, MAX_FRAME_BYTES, OperatorMessage, REPORT_TLS_NAME, ServerMessage,
};
use k8s_openapi::api::core::v1::ConfigMap;
use operator_api::{GameServer, labels};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::region::{OPERATOR_NAMESPACE, Region};
use crate::scratch::Scratch;

/// For the whole of one answer.
const LIMIT: Duration = Duration::from_secs(20);

/// A way from this machine to the report endpoint of one replica, for as long as this lives.
pub struct Way {
    _forward: Child,
    /// Kept open, because kubectl ends when it cannot say what it does.
    _said: BufReader<ChildStdout>,
    port: u16,
}

impl Way {
    /// Opens it.
    pub async fn to(region: &Region, replica: &str) -> Self {
        Self::to_port(region, replica, 8443).await
    }

    /// The same to another of its endpoints.
    pub async fn to_port(region: &Region, replica: &str, port: u16) -> Self {
        let mut forward = Command::new("kubectl")
            .args(["--kubeconfig", &region.kubeconfig, "--namespace", OPERATOR_NAMESPACE])
            .args(["port-forward", &format!("pod/{replica}"), &format!(":{port}")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(forward.stdout.take().unwrap());
        let mut line = String::new();
        timeout(LIMIT, said.read_line(&mut line)).await.unwrap().unwrap();
        // `Forwarding from 127.0.0.1:41234 -> 8443`
        let port = line.split("127.0.0.1:").nth(1).and_then(|rest| rest.split(' ').next());
        let port = port.and_then(|port| port.parse().ok());
        let port = port.unwrap_or_else(|| panic!("kubectl said: {line}"));
        Self { _forward: forward, _said: said, port }
    }

    /// Sends bytes in plain, and gives what comes back before the stream ends.
    pub async fn say_in_plain(&self, bytes: &[u8]) -> Vec<u8> {
        let exchange = async {
            let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            // a stream that is cut off gives what came until then
            drop(stream.read_to_end(&mut answer).await);
            answer
        };
        timeout(LIMIT, exchange).await.unwrap()
    }

    /// Sends bytes over TLS, verified as in [`Self::say`], and gives what comes back before the stream ends.
    pub async fn say_bytes(&self, scratch: &Scratch, bytes: &[u8]) -> Vec<u8> {
        let connector = TlsConnector::from(Arc::new(client_config(scratch).await));
        let exchange = async {
            let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            let name = ServerName::try_from(REPORT_TLS_NAME).unwrap();
            let mut stream = connector.connect(name, tcp).await.unwrap();
            stream.write_all(bytes).await.unwrap();
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            answer
        };
        timeout(LIMIT, exchange).await.unwrap()
    }

    /// Sends one message over TLS, verified by the bundle in the test's namespace; gives the replica's answer, none if it
    /// hangs up without a word.
    pub async fn say(&self, scratch: &Scratch, message: &ServerMessage) -> Option<OperatorMessage> {
        let connector = TlsConnector::from(Arc::new(client_config(scratch).await));
        let exchange = async {
            let tcp = TcpStream::connect(("127.0.0.1", self.port)).await.unwrap();
            let name = ServerName::try_from(REPORT_TLS_NAME).unwrap();
            let mut stream = connector.connect(name, tcp).await.unwrap();
            let body = rmp_serde::to_vec_named(message).unwrap();
            stream.write_u32(u32::try_from(body.len()).unwrap()).await.unwrap();
            stream.write_all(&body).await.unwrap();
            stream.flush().await.unwrap();
            let length = stream.read_u32().await.ok()? as usize;
            assert!(length <= MAX_FRAME_BYTES, "a frame of {length} bytes");
            let mut body = vec![0; length];
            stream.read_exact(&mut body).await.ok()?;
            Some(rmp_serde::from_slice(&body).unwrap())
        };
        timeout(LIMIT, exchange).await.unwrap()
    }
}

async fn client_config(scratch: &Scratch) -> ClientConfig {
    let bundle = scratch.api::<ConfigMap>().get(labels::CA_BUNDLE_CONFIG_MAP).await.unwrap();
    let pem = bundle.data.unwrap().remove(labels::CA_BUNDLE_KEY).unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

/// What a game server would say first, with a token of the caller's choice.
pub fn hello(server: &GameServer, token: &str) -> Hello {
    let name = |value: &Option<String>| value.clone().unwrap();
    Hello {
        contract_version: CONTRACT_VERSION,
        server_version: "0.1.0".to_owned(),
        token: token.to_owned(),
        namespace: name(&server.metadata.namespace),
        game_server: name(&server.metadata.name),
        game_server_uid: name(&server.metadata.uid),
        boot_unix_ms: 1,
        backend: Backend::Memory,
        tick_hz: 64,
        capacity: 9999,
        drain_order: None,
        sessions: 0,
        hears_outdated: false,
    }
}

/// A token like the one that the kubelet projects into a game server's pod, for any audience.
pub async fn token(scratch: &Scratch, pod: Option<&str>, audience: &str) -> String {
    let audience = format!("--audience={audience}");
    let bound = pod.map(|pod| ["--bound-object-kind=Pod".to_owned(), format!("--bound-object-name={pod}")]);
    let bound: Vec<&str> = bound.iter().flatten().map(String::as_str).collect();
    let said =
        scratch.kubectl(&[&["create", "token", "default", &audience], bound.as_slice()].concat()).await;
    said.trim().to_owned()
}
