//! Both doors without a socket, with tokens that are signed for real and an API server that is a table.

use super::proto::allocation_client::AllocationClient;
use super::*;
use crate::allocation::words::{Given, Outcome, ServerView};
use crate::mock_api::MockApi;
use crate::reports::identity::Verifier;
use crate::reports::identity::tests::{ClusterKey, publish, user_claims};
use crate::reports::keys::{FleetKeys, SecretOf};
use crate::reports::trust::Trust;
use crate::runtime::clock::Clock;
use crate::runtime::http::PROTOCOLS;
use crate::runtime::metrics::Metrics;
use ::http::{Method, Request as HttpRequest};
use axum::body::{Body, to_bytes};
use gameserver_protocol::{ConnectToken, PrivateToken};
use kube::runtime::reflector::store;
use kube::runtime::watcher::Event;
use operator_api::GameServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::Request as Ask;
use tower::ServiceExt as _;

const REVIEWS: &str = "/apis/authorization.k8s.io/v1/subjectaccessreviews";

pub(super) struct Doors {
    pub(super) router: Router,
    pub(super) api: MockApi,
    key: ClusterKey,
}

impl Doors {
    /// Doors behind which everybody is told the same.
    fn open(outcome: &Outcome) -> Self {
        let outcome = outcome.clone();
        Self::before(Desk::scripted(move |_| outcome.clone()))
    }

    pub(super) fn before(desk: Desk) -> Self {
        let api = MockApi::default();
        let key = ClusterKey::new("one");
        publish(&api, &[&key]);
        let clock = Clock::start();
        let verifier = Arc::new(Verifier::new(api.client(), clock));
        let callers = Callers::new(api.client(), verifier, clock);
        let (game_servers, mut feed) = store();
        feed.apply_watcher_event(&Event::Apply(serde_json::from_value(game_server()).unwrap()));
        let minter = Minter { keys: Arc::new(FleetKeys::new(api.client())), game_servers, clock };
        let marker = Marker::new(api.client());
        let door = Door::new(desk, callers, (marker, minter), Metrics::new().unwrap().allocations);
        Self { router: Arc::new(door).router(), api, key }
    }

    pub(super) fn token(&self) -> String {
        self.key.sign(&user_claims("system:serviceaccount:games:matchmaker", callers::AUDIENCE))
    }

    async fn http(&self, token: Option<&str>, body: &Value) -> (u16, Value) {
        let mut request = HttpRequest::builder().method(Method::POST).uri("/v1/allocate");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(Body::from(body.to_string())).unwrap();
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), REQUEST.bytes).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap_or_default())
    }

    async fn grpc(&self, token: &str, request: AllocateRequest) -> Result<AllocateResponse, Status> {
        let mut request = Ask::new(request);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        let answer = AllocationClient::new(self.router.clone()).allocate(request).await?;
        Ok(answer.into_inner())
    }

    /// The operator's authority, and its certificate.
    pub(super) async fn trust(&self) -> Trust {
        let (lifetime, hour) = (Duration::from_secs(900 * 3600), Duration::from_secs(3600));
        let terms = operator_core::authority::Terms { lifetime, overlap: hour, certificate_lifetime: hour };
        let when = (terms, Clock::start().unix());
        Trust::open(self.api.client(), "games", when, Metrics::new().unwrap()).await.unwrap()
    }

    /// What the cluster says to each question of what is allowed.
    pub(super) fn allow(&self, is_allowed: bool) {
        self.api.judge(REVIEWS, json!({ "allowed": is_allowed }));
    }
}

fn game_server() -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1",
        "kind": "GameServer",
        "metadata": { "name": "arena-0", "namespace": "games", "uid": "u-0" },
        "spec": {},
    })
}

pub(super) fn given() -> Outcome {
    let server = ServerView {
        namespace: "games".to_owned(),
        name: "arena-0".to_owned(),
        address: Some("192.0.2.1".to_owned()),
        ports: vec![("game".to_owned(), 7000)],
        labels: BTreeMap::from([("mode".to_owned(), "red".to_owned())]),
    };
    Outcome::Given(Given { uid: "u-0".into(), server: Some(Arc::new(server)) })
}

fn request() -> Value {
    json!({ "key": "match-1", "namespace": "games", "matchLabels": { "mode": "red" }, "spread": "packed", "waitMs": 100 })
}

#[tokio::test]
async fn both_doors_give_the_same_answer() {
    let doors = Doors::open(&given());
    doors.allow(true);
    let token = doors.token();
    let expected = json!({
        "state": "given",
        "gameServer": {
            "namespace": "games", "name": "arena-0", "uid": "u-0", "address": "192.0.2.1",
            "ports": [{ "name": "game", "port": 7000 }], "labels": { "mode": "red" },
        },
    });
    assert_eq!(doors.http(Some(&token), &request()).await, (200, expected.clone()));
    let by_grpc = doors.grpc(&token, serde_json::from_value(request()).unwrap()).await.unwrap();
    assert_eq!(serde_json::to_value(by_grpc).unwrap(), expected);
}

/// Rule 16: a token opens with the server's own key, which is that of its secret and uid.
#[tokio::test]
async fn each_player_gets_a_token_that_the_server_opens_and_nobody_else() {
    let doors = Doors::open(&given());
    doors.allow(true);
    let token = doors.token();
    let mut request = request();
    request["players"] = json!([7, 8]);
    let (status, said) = doors.http(Some(&token), &request).await;
    assert_eq!(status, 503, "the server's secret is not there: {said}");
    let server: GameServer = serde_json::from_value(game_server()).unwrap();
    let keys = FleetKeys::new(doors.api.client());
    keys.ensure("games", &SecretOf::server(&server)).await.unwrap();
    let key = keys.server_key("games", &SecretOf::server(&server), "u-0").await.unwrap();
    let (status, said) = doors.http(Some(&token), &request).await;
    assert_eq!(status, 200, "{said}");
    for (place, player) in [7_u64, 8].into_iter().enumerate() {
        assert_eq!(said["tokens"][place]["player"], player);
        let bytes = STANDARD.decode(said["tokens"][place]["token"].as_str().unwrap()).unwrap();
        let token = ConnectToken::parse(&bytes).unwrap();
        assert_eq!(token.server_addresses.as_slice(), ["192.0.2.1:7000".parse().unwrap()]);
        let open = |key: &[u8; 32]| {
            let mut sealed = *token.private_token;
            PrivateToken::open(&mut sealed, token.protocol_id, token.expire_unix, &token.nonce, key)
        };
        assert_eq!(open(&key).unwrap().client_id, player);
        assert!(open(&[1; 32]).is_err());
    }
}

#[tokio::test]
async fn what_is_wrong_is_named_by_its_field() {
    let doors = Doors::open(&given());
    doors.allow(true);
    let token = doors.token();
    let labels: BTreeMap<String, String> =
        (0..17).map(|number| (format!("l{number}"), String::new())).collect();
    for (field, value, expected) in [
        ("key", json!(""), "key"),
        ("key", json!("x".repeat(65)), "key"),
        ("namespace", json!(""), "namespace"),
        ("matchLabels", json!(labels), "matchLabels"),
        ("matchLabels", json!({ "mode": "x".repeat(64) }), "matchLabels.mode"),
        ("matchLabels", json!({ "mode": 7 }), "matchLabels.mode"),
        ("matchLabels", json!({ "a b": "x" }), "matchLabels.a b"),
        ("matchLabels", json!({ "mode": "duel " }), "matchLabels.mode"),
        ("selectors", json!([{}, { "matchLabels": { "mode": "-" } }]), "selectors[1].matchLabels.mode"),
        (
            "selectors",
            json!([{ "matchExpressions": [{ "key": "mode" }] }]),
            "selectors[0].matchExpressions[0].operator",
        ),
        (
            "selectors",
            json!([{ "matchExpressions": [{ "key": "mode", "operator": "in" }] }]),
            "selectors[0].matchExpressions[0].values",
        ),
        ("selectors", json!(vec![json!({}); 5]), "selectors"),
        ("metadata", json!({ "labels": { "mode": "-" } }), "metadata.labels.mode"),
        (
            "metadata",
            json!({ "annotations": { "cranewing.dev/x": "" } }),
            "metadata.annotations.cranewing.dev/x",
        ),
        ("metadata", json!({ "label": {} }), "metadata.label"),
        ("waitMs", json!(60_001), "waitMs"),
        ("players", json!(vec![1; 251]), "players"),
        ("players", json!([1, -1]), "players[1]"),
        ("spread", json!("wide"), "spread"),
        ("kye", json!("match-1"), "kye"),
    ] {
        let mut request = request();
        request[field] = value;
        let (status, said) = doors.http(Some(&token), &request).await;
        assert_eq!((status, said["field"].as_str()), (400, Some(expected)), "{said}");
    }
}

#[tokio::test]
async fn only_whom_the_cluster_lets_is_answered() {
    let doors = Doors::open(&given());
    doors.allow(false);
    assert_eq!(doors.http(None, &request()).await.0, 401);
    assert_eq!(doors.http(Some("nonsense"), &request()).await.0, 401);
    let of_reports = doors.key.sign(&user_claims("system:serviceaccount:games:default", "cranewing-report"));
    assert_eq!(doors.http(Some(&of_reports), &request()).await.0, 401);
    let (status, said) = doors.http(Some(&doors.token()), &request()).await;
    assert_eq!(status, 403);
    let expected =
        "system:serviceaccount:games:matchmaker may not create gameserverallocations in namespace games";
    assert_eq!(said["message"], expected);
}

/// Over a connection, with the operator's own certificate.
#[tokio::test]
async fn a_client_that_names_what_it_speaks_is_answered_in_that() {
    let doors = Doors::open(&given());
    let trust = doors.trust().await;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(trust.bundle().as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), CancellationToken::new());
    let acceptor = TlsAcceptor::from(trust.server_config(&PROTOCOLS).unwrap());
    let serving = tokio::spawn(serve_tls("one", (acceptor, listener), doors.router.clone(), stop.clone()));
    for (offers, speaks) in
        [(&[b"h2".to_vec()][..], Some(&b"h2"[..])), (&[b"http/1.1".to_vec()], Some(b"http/1.1")), (&[], None)]
    {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(roots.clone()).with_no_client_auth();
        config.alpn_protocols = offers.to_vec();
        let socket = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("cranewing-allocation.games.svc").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), speaks);
    }
    stop.cancel();
    serving.await.unwrap();
}

#[tokio::test]
async fn what_has_no_answer_says_what_to_do() {
    for (outcome, status, code) in [
        (Outcome::TooLate, 504, Code::DeadlineExceeded),
        (Outcome::Busy, 429, Code::ResourceExhausted),
        (Outcome::Differs, 409, Code::AlreadyExists),
    ] {
        let doors = Doors::open(&outcome);
        doors.allow(true);
        let token = doors.token();
        assert_eq!(doors.http(Some(&token), &request()).await.0, status, "{outcome:?}");
        let refused = doors.grpc(&token, serde_json::from_value(request()).unwrap()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{outcome:?}");
    }
    let doors = Doors::open(&Outcome::NoServer);
    doors.allow(true);
    let (status, said) = doors.http(Some(&doors.token()), &request()).await;
    assert_eq!((status, said), (200, json!({ "state": "none" })), "an answer, and no error");
}

const SERVER: &str = "/apis/cranewing.dev/v1alpha1/namespaces/games/gameservers/arena-0";

fn with_metadata() -> Value {
    let mut request = request();
    request["metadata"] =
        json!({ "labels": { "match": "4711" }, "annotations": { "example.com/map": "ice, night" } });
    request
}

#[tokio::test]
async fn metadata_is_written_on_the_server_that_is_given_beside_what_it_has_and_on_no_other() {
    let doors = Doors::open(&given());
    doors.allow(true);
    let mut server = game_server();
    server["metadata"]["labels"] = json!({ "mode": "red", "match": "4710" });
    doors.api.put(SERVER, server);
    let token = doors.token();
    doors.api.take_seen();
    assert_eq!(doors.http(Some(&token), &request()).await.0, 200);
    assert!(
        !doors.api.take_seen().iter().any(|seen| seen.method == Method::PATCH),
        "nothing unless it is asked for"
    );
    let (status, said) = doors.http(Some(&token), &with_metadata()).await;
    assert_eq!((status, &said["gameServer"]["labels"]), (200, &json!({ "mode": "red", "match": "4711" })));
    let written = doors.api.get(SERVER).unwrap();
    assert_eq!(written["metadata"]["labels"], said["gameServer"]["labels"]);
    assert_eq!(written["metadata"]["annotations"], json!({ "example.com/map": "ice, night" }));

    let mut other = game_server();
    other["metadata"]["uid"] = json!("u-1");
    doors.api.put(SERVER, other);
    let refused = doors.grpc(&token, serde_json::from_value(with_metadata()).unwrap()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    assert_eq!(doors.api.get(SERVER).unwrap()["metadata"]["labels"], Value::Null, "one that was made anew");
}

#[tokio::test]
async fn nothing_is_written_where_no_server_is_given() {
    let Outcome::Given(server) = given() else { panic!("it is given") };
    for outcome in [Outcome::NoServer, Outcome::Lost("u-0".into()), Outcome::Ended(server)] {
        let doors = Doors::open(&outcome);
        doors.allow(true);
        let token = doors.token();
        assert_eq!(doors.http(Some(&token), &with_metadata()).await.0, 200, "{outcome:?}");
        assert!(!doors.api.take_seen().iter().any(|seen| seen.method == Method::PATCH), "{outcome:?}");
    }
}
