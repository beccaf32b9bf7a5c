//! Who is admitted, and what happens to those that come while there is no place.

use super::*;
use crate::mock_api::MockApi;
use crate::reports::identity::tests::{ClusterKey, claims, publish};
use crate::reports::live::tests as live;
use crate::reports::trust::Trust;
use crate::runtime::accept::ACCEPT_AGAIN_AFTER;
use crate::runtime::watch::Watched;
use gameserver_contract::REPORT_TLS_NAME;
use kube::runtime::watcher::Event;
use operator_core::authority::Terms;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

const HOUR: Duration = Duration::from_secs(3600);
const TERMS: Terms =
    Terms { lifetime: Duration::from_secs(9000 * 3600), overlap: HOUR, certificate_lifetime: HOUR };

const ONE: Limits = Limits { streams: 1, greetings: 1 };

fn object(name: &str, uid: &str, owner: &str) -> Value {
    json!({
        "metadata": {
            "name": name, "namespace": "games", "uid": uid,
            "ownerReferences": [{ "apiVersion": "x/v1", "kind": "X", "name": "x", "uid": owner }],
        },
        "spec": {},
    })
}

/// What the watches brought.
fn store<K: crate::runtime::watch::Watchable>(objects: &[Value]) -> Store<K> {
    let (watched, mut writer) = Watched::<K>::fed();
    for object in objects {
        writer.apply_watcher_event(&Event::Apply(serde_json::from_value(object.clone()).unwrap()));
    }
    watched.store().clone()
}

fn hello(namespace: &str, game_server: &str, uid: &str) -> Hello {
    Hello { namespace: namespace.to_owned(), game_server_uid: uid.to_owned(), ..live::hello(game_server) }
}

/// B2: a token says which pod speaks, and a pod speaks for its own GameServer alone.
#[test]
fn a_pod_speaks_for_the_one_game_server_that_owns_it() {
    let pods = store(&[object("arena-0", "p-0", "g-0"), object("arena-1", "p-1", "g-1")]);
    let servers = store(&[object("arena-0", "g-0", "f"), object("arena-1", "g-1", "f")]);
    for (name, (namespace, pod, pod_uid), claim, expected) in [
        ("its own", ("games", "arena-0", "p-0"), ("games", "arena-0", "g-0"), "admitted"),
        ("another's name", ("games", "arena-0", "p-0"), ("games", "arena-1", "g-0"), "wrong_pod"),
        ("another's uid", ("games", "arena-0", "p-0"), ("games", "arena-0", "g-1"), "wrong_pod"),
        ("another's name and uid", ("games", "arena-0", "p-0"), ("games", "arena-1", "g-1"), "wrong_pod"),
        ("another namespace", ("games", "arena-0", "p-0"), ("other", "arena-0", "g-0"), "wrong_pod"),
        ("one that is not there", ("games", "arena-0", "p-0"), ("games", "arena-9", "g-9"), "unknown_pod"),
        ("a pod that went before", ("games", "arena-0", "p-9"), ("games", "arena-0", "g-0"), "unknown_pod"),
        ("another pod's uid", ("games", "arena-0", "p-1"), ("games", "arena-0", "g-0"), "unknown_pod"),
        ("a pod that is not there", ("games", "arena-9", "p-0"), ("games", "arena-0", "g-0"), "unknown_pod"),
        (
            "a pod of another namespace",
            ("other", "arena-0", "p-0"),
            ("games", "arena-0", "g-0"),
            "unknown_pod",
        ),
    ] {
        let identity =
            PodIdentity { namespace: namespace.to_owned(), pod: pod.to_owned(), pod_uid: pod_uid.to_owned() };
        let (namespace, game_server, uid) = claim;
        let found = game_server_of(&pods, &servers, &identity, &hello(namespace, game_server, uid));
        let outcome = found.as_ref().map_or_else(StreamError::label, |_| "admitted");
        assert_eq!(outcome, expected, "{name}");
    }
}

/// An endpoint that knows one pod and its game server, and a client that trusts it.
async fn endpoint(api: &MockApi, limits: Limits) -> (Endpoint, TlsConnector) {
    let (clock, metrics) = (Clock::start(), Metrics::new().unwrap());
    let when = (TERMS, clock.unix());
    let trust = Trust::open(api.client(), "cranewing-system", when, metrics.clone()).await.unwrap();
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.bundle().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let (_replicas, replicas) = watch::channel(Vec::new());
    let endpoint = Endpoint {
        desk: Desk::idle(),
        acceptor: TlsAcceptor::from(trust.server_config(&[]).unwrap()),
        live: Arc::new(LiveServers::new()),
        verifier: Arc::new(Verifier::new(api.client(), clock)),
        keys: Arc::new(FleetKeys::new(api.client())),
        game_servers: store(&[object("arena-0", "g-0", "f")]),
        pods: store(&[object("arena-0", "p-0", "g-0")]),
        nodes: None,
        replicas,
        limits,
        metrics,
        clock,
    };
    (endpoint, TlsConnector::from(Arc::new(config)))
}

/// An endpoint that listens, with a client that trusts it.
struct Listening {
    address: SocketAddr,
    metrics: Metrics,
    connector: TlsConnector,
    stop: CancellationToken,
    serving: tokio::task::JoinHandle<()>,
}

impl Listening {
    async fn start<A: Accept + Send + Sync + 'static>(
        limits: Limits,
        accept: impl FnOnce(TcpListener) -> A,
    ) -> Self {
        Self::start_with(&MockApi::default(), limits, accept).await
    }

    async fn start_with<A: Accept + Send + Sync + 'static>(
        api: &MockApi,
        limits: Limits,
        accept: impl FnOnce(TcpListener) -> A,
    ) -> Self {
        let (endpoint, connector) = endpoint(api, limits).await;
        let metrics = endpoint.metrics.clone();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let serving = tokio::spawn(endpoint.serve(accept(listener), stop.clone()));
        Self { address, metrics, connector, stop, serving }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn greet(&self, stream: TcpStream) -> TlsStream<TcpStream> {
        let name = ServerName::try_from(REPORT_TLS_NAME).unwrap();
        self.connector.connect(name, stream).await.unwrap()
    }

    async fn end(self) {
        self.stop.cancel();
        self.serving.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_while_every_place_is_taken_is_served_when_one_is_free() {
    for (name, limits) in [
        ("of all streams", Limits { streams: 1, greetings: 9 }),
        ("of those that nobody knows yet", Limits { streams: 9, greetings: 1 }),
    ] {
        let endpoint = Listening::start(limits, |listener| listener).await;
        let (_silent, waiting) = (endpoint.connect().await, endpoint.connect().await);
        let began = Instant::now();
        // The one before says nothing, and loses its place by that.
        let greeted = endpoint.greet(waiting).await;
        assert!(began.elapsed() >= PATIENCE, "{name}: served at once: {:?}", began.elapsed());
        assert_eq!(endpoint.metrics.streams_refused.with_label_values(&["too_slow"]).get(), 1, "{name}");
        drop(greeted);
        endpoint.end().await;
    }
}

/// B2. In real time, which here is that of a handshake: the welcomed one would keep the other waiting for half a minute.
#[tokio::test]
async fn who_is_welcomed_leaves_its_place_among_those_that_nobody_knows_yet() {
    let api = MockApi::default();
    let key = ClusterKey::new("one");
    publish(&api, &[&key]);
    let server: GameServer = serde_json::from_value(object("arena-0", "g-0", "f")).unwrap();
    FleetKeys::new(api.client()).ensure("games", &SecretOf::server(&server)).await.unwrap();
    let limits = Limits { streams: 2, greetings: 1 };
    let endpoint = Listening::start_with(&api, limits, |listener| listener).await;

    let mut first = endpoint.greet(endpoint.connect().await).await;
    let hello = Hello { token: key.sign(&claims()), ..hello("games", "arena-0", "g-0") };
    write_frame(&mut first, &ServerMessage::Hello(hello)).await.unwrap();
    let mut first = FrameReader::new(first);
    let answer: OperatorMessage = first.read().await.unwrap();
    assert!(matches!(answer, OperatorMessage::Welcome(_)), "{answer:?}");
    let second = async { endpoint.greet(endpoint.connect().await).await };
    assert!(timeout(PATIENCE, second).await.is_ok(), "the first still has the place");
    assert_eq!(endpoint.metrics.streams.get(), 1);
    endpoint.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_full_endpoint_stops_at_once_when_it_is_told_to() {
    let endpoint = Listening::start(ONE, |listener| listener).await;
    let _greeted = endpoint.greet(endpoint.connect().await).await;
    let began = Instant::now();
    endpoint.end().await;
    assert_eq!(began.elapsed(), Duration::ZERO, "at once");
}

/// A listener that has no file left for the first ones.
struct Exhausted {
    listener: TcpListener,
    failures: AtomicUsize,
}

impl Accept for Exhausted {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let left =
            self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() { Err(io::Error::other("too many open files")) } else { self.listener.accept().await }
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_cannot_be_accepted_is_tried_again_after_a_pause_and_costs_no_place() {
    let failing = |listener| Exhausted { listener, failures: AtomicUsize::new(20) };
    let endpoint = Listening::start(ONE, failing).await;
    let began = Instant::now();
    drop(endpoint.greet(endpoint.connect().await).await);
    let waited = began.elapsed();
    assert!(waited >= ACCEPT_AGAIN_AFTER * 20 && waited < ACCEPT_AGAIN_AFTER * 21, "{waited:?}");
    endpoint.end().await;
}

/// B2: what the operator cannot know it does not say of whoever came.
#[test]
fn a_token_that_cannot_be_verified_now_is_counted_apart_from_a_false_one() {
    let away = Arc::new(kube::Error::LinesCodecMaxLineLengthExceeded);
    for (error, label) in [
        (IdentityError::Keys(away), "keys"),
        (IdentityError::UnknownKey, "token"),
        (IdentityError::NotAPod, "token"),
    ] {
        assert_eq!(StreamError::from(error).label(), label);
    }
}

#[tokio::test]
async fn a_stream_whose_task_panics_counts_no_more() {
    let (endpoint, _connector) = endpoint(&MockApi::default(), ONE).await;
    let (orders, _received) = mpsc::channel(ORDERS_MAX);
    let connected = Connected::begin(&endpoint, "g-0".to_owned(), &hello("games", "arena-0", "g-0"), orders);
    let is_connected = || endpoint.live.get(endpoint.clock.elapsed(), "g-0").unwrap().connected;
    assert_eq!((endpoint.metrics.streams.get(), is_connected()), (1, true));
    let panicked = tokio::spawn(async move {
        let _connected = connected;
        panic!("as a test wants it");
    });
    assert!(panicked.await.is_err());
    assert_eq!((endpoint.metrics.streams.get(), is_connected()), (0, false));
}

#[tokio::test]
async fn a_server_is_told_the_external_address_of_its_node_if_that_is_how_players_come() {
    let (mut endpoint, _) = endpoint(&MockApi::default(), LIMITS).await;
    let mut pod = object("arena-0", "p-0", "g-0");
    pod["spec"] = json!({ "nodeName": "a", "containers": [] });
    endpoint.pods = store(&[pod]);
    let identity =
        PodIdentity { namespace: "games".to_owned(), pod: "arena-0".to_owned(), pod_uid: "p-0".to_owned() };
    let node = |addresses: &[(&str, &str)]| {
        let address = |(type_, address): &(&str, &str)| json!({ "type": type_, "address": address });
        let addresses: Vec<_> = addresses.iter().map(address).collect();
        json!({ "metadata": { "name": "a" }, "status": { "addresses": addresses } })
    };
    let internal = ("InternalIP", "10.0.0.7");
    for (name, addresses, expected) in [
        ("none outside", vec![internal], None),
        ("one outside", vec![internal, ("ExternalIP", "192.0.2.7")], Some("192.0.2.7")),
        (
            "the first of two",
            vec![("ExternalIP", "2001:db8::7"), ("ExternalIP", "192.0.2.7")],
            Some("2001:db8::7"),
        ),
        (
            "what is none",
            vec![("ExternalIP", "node-7.example"), ("ExternalIP", "192.0.2.7")],
            Some("192.0.2.7"),
        ),
    ] {
        endpoint.nodes = Some(store(&[node(&addresses)]));
        let expected = expected.map(|address| address.parse::<IpAddr>().unwrap());
        assert_eq!(endpoint.reached_at(&identity), expected, "{name}");
        endpoint.nodes = None;
        assert_eq!(endpoint.reached_at(&identity), None, "{name}, and nobody asked");
    }
}
