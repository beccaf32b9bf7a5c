//! An operator's end of the report streams: replicas that speak the contract over TLS, as a test has them say it.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use gameserver::encode_frame;
use gameserver_contract::{Hello, OperatorMessage, REPORT_TLS_NAME, Report, ServerMessage, Welcome};
use gameserver_sys::Clock;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{PATIENCE, Server, TempFile, await_some};

/// An authority and what it signed for the replicas.
pub struct Authority {
    pub bundle: String,
    config: Arc<ServerConfig>,
}

impl Authority {
    pub fn new() -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&authority_key).unwrap();
        let issuer = Issuer::new(params, &authority_key);
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![REPORT_TLS_NAME.to_owned()]).unwrap();
        let certificate: CertificateDer<'static> = params.signed_by(&key, &issuer).unwrap().der().clone();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        Self { bundle: authority.pem(), config: Arc::new(config) }
    }
}

/// An operator replica's report endpoint.
pub struct Replica {
    listener: TcpListener,
    config: Arc<ServerConfig>,
}

impl Replica {
    pub fn new(authority: &Authority) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        Self { listener, config: Arc::clone(&authority.config) }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// From now on it shows what this authority has signed.
    pub fn renew(&mut self, authority: &Authority) {
        self.config = Arc::clone(&authority.config);
    }

    /// The next stream, before anything is said on it.
    pub fn accept_anybody(&self) -> Stream {
        let (tcp, _) = await_some("a stream", || self.listener.accept().ok());
        tcp.set_nonblocking(false).unwrap();
        tcp.set_read_timeout(Some(PATIENCE)).unwrap();
        let tls = ServerConnection::new(Arc::clone(&self.config)).unwrap();
        Stream(StreamOwned::new(tls, tcp))
    }

    /// The next stream and its hello.
    pub fn accept(&self) -> (Stream, Hello) {
        let mut stream = self.accept_anybody();
        match stream.read() {
            Some(ServerMessage::Hello(hello)) => (stream, hello),
            other => panic!("{other:?} came before the hello"),
        }
    }
}

pub struct Stream(StreamOwned<ServerConnection, TcpStream>);

impl Stream {
    pub fn say(&mut self, message: &OperatorMessage) {
        self.0.write_all(&encode_frame(message).unwrap()).unwrap();
        self.0.flush().unwrap();
    }

    pub fn welcome(&mut self, replicas: &[&Replica], server_key: [u8; 32]) {
        self.welcome_at(replicas, server_key, None);
    }

    /// The same to a server that players reach at this address.
    pub fn welcome_at(&mut self, replicas: &[&Replica], server_key: [u8; 32], reached_at: Option<IpAddr>) {
        let replicas = replicas.iter().map(|replica| replica.address()).collect();
        self.say(&OperatorMessage::Welcome(Welcome {
            replicas,
            server_key,
            report_period_ms: 100,
            allocates: true,
            tells_outdated: true,
            reached_at,
        }));
    }

    /// The next message; `None` when the stream has ended.
    pub fn read(&mut self) -> Option<ServerMessage> {
        let mut length = [0; 4];
        self.0.read_exact(&mut length).ok()?;
        let mut body = vec![0; u32::from_be_bytes(length) as usize];
        self.0.read_exact(&mut body).ok()?;
        Some(rmp_serde::from_slice(&body).unwrap())
    }

    /// Reads on until a report satisfies `wanted`.
    pub fn report(&mut self, what: &str, wanted: impl Fn(&Report) -> bool) -> Report {
        let (clock, mut seen) = (Clock::start(), None);
        loop {
            assert!(clock.monotonic() < PATIENCE, "waited in vain for {what}, and last saw {seen:?}");
            match self.read() {
                Some(ServerMessage::Report(report)) if wanted(&report) => return report,
                Some(other) => seen = Some(other),
                None => panic!("the stream ended before {what}"),
            }
        }
    }

    /// Reads on beside a test whose players play on.
    pub fn listen(mut self) -> Receiver<ServerMessage> {
        let (heard, messages) = channel();
        let _ends_with_the_stream = std::thread::spawn(move || {
            for message in std::iter::from_fn(|| self.read()) {
                // nobody listens any more when the test has ended
                let _heard = heard.send(message);
            }
        });
        messages
    }

    /// Reads on until the stream ends.
    pub fn until_ended(mut self) -> Vec<ServerMessage> {
        std::iter::from_fn(|| self.read()).collect()
    }
}

pub struct Files {
    pub bundle: TempFile,
    pub token: TempFile,
}

impl Files {
    pub fn new(bundle: &str) -> Self {
        Self { bundle: TempFile::new("ca.pem", bundle), token: TempFile::new("token", "first token\n") }
    }
}

/// A server of fifty players that reports there.
pub fn start(service: SocketAddr, bundle: &str) -> (Server, Files) {
    start_with(service, bundle, &[])
}

/// The same, told more.
pub fn start_with(service: SocketAddr, bundle: &str, more: &[&str]) -> (Server, Files) {
    let files = Files::new(bundle);
    (start_again(service, &files, more), files)
}

/// Another process that has what the one before had.
pub fn start_again(service: SocketAddr, files: &Files, more: &[&str]) -> Server {
    let service = service.to_string();
    let args = [
        "--report-endpoint",
        &service,
        "--report-ca-file",
        files.bundle.path(),
        "--report-token-file",
        files.token.path(),
        "--namespace",
        "games",
        "--game-server",
        "arena-1",
        "--game-server-uid",
        "7a3d",
        "--fleet",
        "arena",
        "--capacity",
        "50",
    ];
    Server::start(&[&args[..], more].concat())
}
