//! The door over real connections, with certificates that are made for it, and its messages byte by byte as Agones documents them.

use super::clients::tests::{Made, make, secret};
use super::proto::allocation_service_client::AllocationServiceClient;
use super::*;
use crate::allocation::words::ServerView;
use crate::mock_api::MockApi;
use crate::runtime::metrics::Metrics;
use hyper_util::rt::TokioIo;
use kube::runtime::reflector::store;
use kube::runtime::reflector::store::Writer;
use kube::runtime::watcher::Event;
use prost::Message as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Endpoint, Uri};
use tower::service_fn;

/// What the server's own certificate is for.
const NAME: &str = "allocator.example";
const SERVER: &str = "/apis/cranewing.dev/v1alpha1/namespaces/games/gameservers/arena-0";

struct Opened {
    address: SocketAddr,
    api: MockApi,
    clients: (Watched<Secret>, Writer<Secret>),
    server: CertificateDer<'static>,
    metrics: AllocationMetrics,
    tasks: Tasks,
}

/// A client's certificate and key.
type Shows = Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>;

fn game_server() -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "GameServer", "spec": {},
        "metadata": {
            "name": "arena-0", "namespace": "games", "uid": "u-0",
            "labels": { "mode": "red" }, "annotations": { "note": "old" },
        },
        "status": { "state": "Ready", "nodeName": "node-1" },
    })
}

fn seen<K>(object: Value) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + serde::de::DeserializeOwned + 'static,
{
    let (seen, mut feed) = store();
    feed.apply_watcher_event(&Event::Apply(serde_json::from_value(object).unwrap()));
    seen
}

fn given_server() -> Outcome {
    let server = ServerView {
        namespace: "games".to_owned(),
        name: "arena-0".to_owned(),
        address: Some("192.0.2.1".to_owned()),
        ports: vec![("game".to_owned(), 7000)],
        labels: [("mode".to_owned(), "red".to_owned())].into(),
    };
    Outcome::Given(Given { uid: "u-0".into(), server: Some(Arc::new(server)) })
}

/// Of the type that the user gives: with a name that clients check.
fn own_certificate() -> (CertificateDer<'static>, Secret) {
    let key = rcgen::KeyPair::generate().unwrap();
    let made = rcgen::CertificateParams::new(vec![NAME.to_owned()]).unwrap().self_signed(&key).unwrap();
    let entries = [("tls.crt", made.pem()), ("tls.key", key.serialize_pem())];
    (made.der().clone(), secret(&entries.each_ref().map(|(name, text)| (*name, text.as_str()))))
}

impl Opened {
    /// A door behind which everybody is told the same.
    async fn new(desk: Desk) -> Self {
        let (api, metrics) = (MockApi::default(), Metrics::new().unwrap().allocations);
        api.put(SERVER, game_server());
        let node = json!({
            "metadata": { "name": "node-1" },
            "status": { "addresses": [{ "type": "ExternalIP", "address": "192.0.2.1" }, { "type": "Hostname", "address": "n" }] },
        });
        let door = AgonesDoor {
            desk,
            marker: Marker::new(api.client()),
            namespaces: Namespaces::of(&["games".to_owned()]),
            game_servers: seen(game_server()),
            nodes: seen(node),
            metrics: metrics.clone(),
            clock: Clock::start(),
        };
        let (server, own) = own_certificate();
        let (watched, mut writer) = Watched::fed();
        watched.bring(&mut writer, own);
        let (clients, feed) = Watched::fed();
        let trust = AgonesTrust { clients: clients.clone(), own: Ok(watched) };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, mut tasks) = (listener.local_addr().unwrap(), Tasks::default());
        open(door, trust, listener, &mut tasks).unwrap();
        Self { address, api, clients: (clients, feed), server, metrics, tasks }
    }

    /// The Secret of client certificates has these from now on.
    fn take(&mut self, entries: &[(&str, &str)]) {
        let (watched, feed) = &mut self.clients;
        watched.bring(feed, secret(entries));
    }

    /// A connection as far as its first answer: TLS 1.3 lets a client speak before it hears that it is not taken.
    async fn connect(&self, shows: &Shows, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match shows {
            Some((certificate, key)) => {
                config.with_client_auth_cert(vec![certificate.clone()], key.clone_key()).unwrap()
            }
            None => config.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let socket = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), socket).await
    }

    async fn rest(
        &self,
        shows: &Shows,
        key: Option<&str>,
        body: &Value,
    ) -> std::io::Result<(u16, String, Value)> {
        let mut stream = self.connect(shows, b"http/1.1").await?;
        let (body, key) = (body.to_string(), key.map(|key| format!("idempotency-key: {key}\r\n")));
        let head = format!(
            "POST /gameserverallocation HTTP/1.1\r\nhost: {NAME}\r\ncontent-length: {}\r\nconnection: close\r\n{}\r\n",
            body.len(),
            key.unwrap_or_default(),
        );
        stream.write_all(format!("{head}{body}").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").ok_or(std::io::ErrorKind::UnexpectedEof)?;
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Ok((status, head.to_lowercase(), serde_json::from_str(body).unwrap()))
    }

    async fn grpc(
        &self,
        shows: &Shows,
        request: AllocationRequest,
    ) -> Result<tonic::Response<AllocationResponse>, Status> {
        let stream = self.connect(shows, b"h2").await.map_err(|error| Status::from_error(error.into()))?;
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut stream = Some(stream);
        let connector = service_fn(move |_: Uri| {
            let stream = stream.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotConnected)) }
        });
        let channel =
            Endpoint::from_static("http://allocator.example").connect_with_connector(connector).await;
        let channel = channel.map_err(|error| Status::from_error(error.into()))?;
        AllocationServiceClient::new(channel).allocate(request).await
    }

    /// Asks until the door has heard of a change of its Secret.
    async fn until(&self, shows: &Shows, is_taken: bool) {
        for _ in 0..1000 {
            if self.rest(shows, None, &request()).await.is_ok() == is_taken {
                return;
            }
            tokio::task::yield_now().await;
        }
        panic!("never taken: {is_taken}");
    }

    async fn close(self) {
        self.tasks.stop(Duration::from_secs(3)).await.unwrap();
    }
}

/// A client that this authority has issued.
fn issued(authority: &Made) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let (certificate, key) = authority.issue();
    (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
}

fn request() -> Value {
    json!({ "namespace": "games", "gameServerSelectors": [{ "matchLabels": { "mode": "red" } }] })
}

#[tokio::test]
async fn only_who_shows_a_certificate_that_is_taken_is_heard_and_one_that_is_added_counts_without_a_restart()
{
    let mut door = Opened::new(Desk::scripted(|_| given_server())).await;
    let (ours, later) = (make(true), make(true));
    let (one, other, alone) = (Some(issued(&ours)), Some(issued(&later)), make(false));
    let alone_shows = Some((alone.der.clone(), PrivateKeyDer::try_from(alone.key.serialize_der()).unwrap()));
    door.take(&[("a.crt", &ours.pem)]);
    door.until(&one, true).await;
    for (case, shows) in [("another authority", &other), ("none", &None), ("nobody issued it", &alone_shows)]
    {
        assert!(door.rest(shows, None, &request()).await.is_err(), "{case}");
        let request: AllocationRequest = serde_json::from_value(request()).unwrap();
        let refused = door.grpc(shows, request).await.unwrap_err();
        assert!(![Code::Ok, Code::InvalidArgument].contains(&refused.code()), "{case}: {refused}");
    }
    door.take(&[("a.crt", &ours.pem), ("b.crt", &later.pem), ("c.crt", &alone.pem)]);
    door.until(&other, true).await;
    door.until(&alone_shows, true).await;
    door.take(&[("b.crt", &later.pem)]);
    door.until(&one, false).await;
    assert!(door.rest(&other, None, &request()).await.is_ok());
    door.close().await;
}

#[tokio::test]
async fn both_ways_give_the_same_answer_with_what_the_server_and_its_node_say() {
    let mut door = Opened::new(Desk::scripted(|_| given_server())).await;
    let authority = make(true);
    door.take(&[("a.crt", &authority.pem)]);
    let shows = Some(issued(&authority));
    door.until(&shows, true).await;
    let expected = json!({
        "gameServerName": "arena-0", "ports": [{ "name": "game", "port": 7000 }], "address": "192.0.2.1",
        "addresses": [{ "type": "ExternalIP", "address": "192.0.2.1" }, { "type": "Hostname", "address": "n" }],
        "nodeName": "node-1", "source": "local",
        "metadata": { "labels": { "mode": "red" }, "annotations": { "note": "old" } },
    });
    let (status, head, said) = door.rest(&shows, Some("match-1"), &request()).await.unwrap();
    assert_eq!((status, &said), (200, &expected));
    assert!(head.contains("idempotency-key: match-1"), "{head}");
    let by_grpc = door.grpc(&shows, serde_json::from_value(request()).unwrap()).await.unwrap();
    let key = by_grpc.metadata().get(KEY_HEADER).unwrap().to_str().unwrap().to_owned();
    assert!(key.starts_with("agones-") && key.len() == 39, "{key}");
    assert_eq!(serde_json::to_value(by_grpc.get_ref()).unwrap(), expected);
    assert!(!door.api.take_seen().iter().any(|seen| seen.method == http::Method::PATCH));

    let mut marked = request();
    marked["metadata"] = json!({ "labels": { "match": "7" }, "annotations": { "note": "new" } });
    let (status, _, said) = door.rest(&shows, None, &marked).await.unwrap();
    let metadata = json!({ "labels": { "mode": "red", "match": "7" }, "annotations": { "note": "new" } });
    assert_eq!((status, &said["metadata"]), (200, &metadata));
    assert_eq!(door.api.get(SERVER).unwrap()["metadata"]["annotations"], metadata["annotations"]);
    door.close().await;
}

#[tokio::test]
async fn each_request_has_a_key_of_its_own_unless_it_names_one() {
    let asked = Arc::new(std::sync::Mutex::new(Vec::new()));
    let kept = Arc::clone(&asked);
    let desk = Desk::scripted(move |asked| {
        kept.lock().unwrap().push(asked.key.to_string());
        given_server()
    });
    let mut door = Opened::new(desk).await;
    let authority = make(true);
    door.take(&[("a.crt", &authority.pem)]);
    let shows = Some(issued(&authority));
    door.until(&shows, true).await;
    for key in [None, None, Some("match-1"), Some("match-1")] {
        assert_eq!(door.rest(&shows, key, &request()).await.unwrap().0, 200);
    }
    let asked = std::mem::take(&mut *asked.lock().unwrap());
    let [.., first, second, third, fourth] = &asked[..] else { panic!("{asked:?}") };
    assert!(first != second && first.starts_with("games/agones-"), "{asked:?}");
    assert_eq!((third.as_str(), fourth.as_str()), ("games/match-1", "games/match-1"));
    door.close().await;
}

#[tokio::test]
async fn what_gets_no_server_is_said_as_a_gateway_says_it_and_counted() {
    let Outcome::Given(over) = given_server() else { panic!("it is given") };
    let gone = Outcome::Given(Given { uid: "u-0".into(), server: None });
    for (outcome, status, code, counted) in [
        (Outcome::NoServer, 429, Code::ResourceExhausted, "none"),
        (Outcome::Ended(over), 404, Code::NotFound, "ended"),
        (Outcome::Lost("u-0".into()), 404, Code::NotFound, "lost"),
        (gone, 404, Code::NotFound, "lost"),
        (Outcome::Busy, 429, Code::ResourceExhausted, "too_many"),
        (Outcome::Differs, 409, Code::AlreadyExists, "differs"),
        (Outcome::TooLate, 504, Code::DeadlineExceeded, "too_late"),
    ] {
        let told = outcome.clone();
        let mut door = Opened::new(Desk::scripted(move |_| told.clone())).await;
        let authority = make(true);
        door.take(&[("a.crt", &authority.pem)]);
        let shows = Some(issued(&authority));
        door.until(&shows, true).await;
        let (said_status, head, said) = door.rest(&shows, Some("match-1"), &request()).await.unwrap();
        assert_eq!(
            (said_status, said["code"].as_i64()),
            (status, Some(i64::from(i32::from(code)))),
            "{said}"
        );
        assert!(head.contains("idempotency-key: match-1"), "who may ask again knows with which key: {head}");
        let refused = door.grpc(&shows, serde_json::from_value(request()).unwrap()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{outcome:?}");
        assert!(refused.metadata().get(KEY_HEADER).is_some(), "{outcome:?}");
        let metrics = &door.metrics;
        let times = |of: &prometheus::IntCounterVec| of.with_label_values(&[counted]).get();
        // by the request that waited for the door, and by each of both
        assert_eq!(times(&metrics.outcomes) + times(&metrics.refused), 3, "{counted}");
        door.close().await;
    }
}

#[tokio::test]
async fn who_asks_elsewhere_or_for_what_cannot_be_had_is_told_so_and_nobody_is_asked() {
    let desk = Desk::scripted(|asked| panic!("nobody is to be asked: {asked:?}"));
    let mut door = Opened::new(desk).await;
    let authority = make(true);
    door.take(&[("a.crt", &authority.pem)]);
    let shows = Some(issued(&authority));
    let elsewhere = json!({ "namespace": "others" });
    for _ in 0..1000 {
        if door.rest(&shows, None, &elsewhere).await.is_ok() {
            break;
        }
        tokio::task::yield_now().await;
    }
    let (status, _, said) = door.rest(&shows, None, &elsewhere).await.unwrap();
    assert_eq!((status, said["code"].as_i64()), (403, Some(7)), "{said}");
    let counters = json!({ "namespace": "games", "counters": { "rooms": { "action": "Increment" } } });
    let (status, _, said) = door.rest(&shows, None, &counters).await.unwrap();
    assert_eq!((status, said["code"].as_i64()), (400, Some(3)), "{said}");
    assert!(said["message"].as_str().unwrap().starts_with("counters: "), "{said}");
    let request = serde_json::from_value(json!({ "namespace": "games", "priorities": [{}] })).unwrap();
    let refused = door.grpc(&shows, request).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    assert!(refused.message().starts_with("priorities: "), "{refused}");
    door.close().await;
}

#[test]
fn only_the_namespaces_that_are_named_are_open_unless_all_are() {
    for (names, namespace, is_open) in [
        (&["games", "more"][..], "more", true),
        (&["games"], "other", false),
        (&["games"], "*", false),
        (&[], "games", false),
        (&["*"], "games", true),
    ] {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        assert_eq!(Namespaces::of(&names).has(namespace), is_open, "{names:?} {namespace}");
    }
}

/// A field of bytes, as protobuf writes it.
fn bytes(number: u8, of: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2, u8::try_from(of.len()).unwrap()], of].concat()
}

/// A field of a small number.
fn number(field: u8, value: u8) -> Vec<u8> {
    vec![field << 3, value]
}

/// An entry of a map from names to texts.
fn entry(field: u8, name: &str, value: &[u8]) -> Vec<u8> {
    bytes(field, &[bytes(1, name.as_bytes()), bytes(2, value)].concat())
}

/// What a client sends that was made from Agones' own definitions, written down by the numbers that these document.
#[test]
fn each_field_of_a_request_has_the_number_that_agones_documents() {
    let expression = bytes(6, &[bytes(1, b"mode"), number(2, 1), bytes(3, b"red")].concat());
    let selector = [
        entry(1, "map", b"ice"),
        number(2, 1),
        bytes(3, &[]),
        entry(4, "c", &[]),
        entry(5, "l", &[]),
        expression,
    ]
    .concat();
    let patch = |name: &str| [entry(1, name, b"v"), entry(2, name, b"w")].concat();
    let setting = [number(1, 1), bytes(2, &entry(1, "p", b"q"))].concat();
    let request = [
        bytes(1, b"games"),
        bytes(2, &setting),
        bytes(3, &entry(1, "required", b"v")),
        bytes(4, &entry(1, "preferred", b"v")),
        number(5, 1),
        bytes(6, &patch("older")),
        bytes(7, &patch("newer")),
        bytes(8, &selector),
        bytes(9, &[number(1, 1), bytes(2, b"rooms")].concat()),
        entry(10, "counter", &bytes(1, &bytes(1, b"Increment"))),
        entry(11, "list", &bytes(1, b"one")),
    ]
    .concat();
    let read = AllocationRequest::decode(request.as_slice()).unwrap();
    let expected = json!({
        "namespace": "games",
        "multiClusterSetting": { "enabled": true, "policySelector": { "matchLabels": { "p": "q" } } },
        "requiredGameServerSelector": { "matchLabels": { "required": "v" } },
        "preferredGameServerSelectors": [{ "matchLabels": { "preferred": "v" } }],
        "scheduling": "Distributed",
        "metaPatch": { "labels": { "older": "v" }, "annotations": { "older": "w" } },
        "metadata": { "labels": { "newer": "v" }, "annotations": { "newer": "w" } },
        "gameServerSelectors": [{
            "matchLabels": { "map": "ice" }, "gameServerState": "ALLOCATED", "players": {},
            "counters": { "c": {} }, "lists": { "l": {} },
            "matchExpressions": [{ "key": "mode", "operator": "NotIn", "values": ["red"] }],
        }],
        "priorities": [{ "type": "List", "key": "rooms" }],
        "counters": { "counter": { "action": "Increment" } },
        "lists": { "list": { "addValues": ["one"] } },
    });
    assert_eq!(read, serde_json::from_value(expected).unwrap());
}

#[test]
fn each_field_of_an_answer_has_the_number_that_agones_documents() {
    let Outcome::Given(Given { server: Some(server), .. }) = given_server() else { panic!("it is given") };
    let object: GameServer = serde_json::from_value(game_server()).unwrap();
    let node = json!({ "metadata": {}, "status": { "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }] } });
    let answer = response::show(&server, Some(&object), Some(&serde_json::from_value(node).unwrap()));
    let port = [bytes(1, b"game"), vec![2 << 3, 0xd8, 0x36]].concat();
    let metadata = [entry(1, "mode", b"red"), entry(2, "note", b"old")].concat();
    let expected = [
        bytes(2, b"arena-0"),
        bytes(3, &port),
        bytes(4, b"192.0.2.1"),
        bytes(5, b"node-1"),
        bytes(6, b"local"),
        bytes(7, &metadata),
        bytes(8, &[bytes(1, b"InternalIP"), bytes(2, b"10.0.0.1")].concat()),
    ];
    assert_eq!(answer.encode_to_vec(), expected.concat());
    assert_eq!(SERVICE_NAME, "allocation.AllocationService");
}
