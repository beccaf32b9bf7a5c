//! Both doors over loopback sockets, their limits, and the command that asks.

use super::proto::placement_client::PlacementClient;
use super::*;
use crate::args::{Args, Command};
use crate::mock_api::MockApi;
use ::http::Method;
use ::http::header::CONTENT_TYPE;
use axum::body::Body;
use clap::Parser as _;
use kube::Client;
use operator_core::regions::membership::{Source, Standing};
use serde_json::{Value, json};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tonic::transport::Channel;
use tower::{ServiceExt as _, service_fn};

impl Candidates for BTreeMap<RegionId, Candidate> {
    fn now(&self) -> Self {
        self.clone()
    }
}

/// Five that take players, sg only one of them, and five that take nobody, or their own alone.
fn placement() -> Placement {
    let candidates = [
        ("au", Standing::Connected, 1000),
        ("br", Standing::Unreachable, 1000),
        ("de", Standing::Isolated, 1000),
        ("in", Standing::Degraded(Source::Votes), 1000),
        ("jp", Standing::Connected, 1000),
        ("kr", Standing::Connected, 1000),
        ("sg", Standing::Connected, 1),
        ("tw", Standing::Connected, 1000),
        ("us", Standing::Gone, 1000),
        ("za", Standing::Connected, 1000),
    ];
    let candidates: BTreeMap<RegionId, Candidate> = candidates
        .into_iter()
        .map(|(region, standing, headroom)| {
            let drained = ["de", "us", "za"].contains(&region);
            (region.parse().unwrap(), Candidate { standing, headroom, drained })
        })
        .collect();
    let journal = Arc::new(Journal::new(Clock::start()));
    Placement::new(Arc::new(candidates), journal, Metrics::new().unwrap(), Clock::start())
}

/// Both doors on a port.
struct Doors {
    address: SocketAddr,
    metrics: Metrics,
    stop: CancellationToken,
    serving: JoinHandle<()>,
}

impl Doors {
    async fn open() -> Self {
        let (placement, stop) = (placement(), CancellationToken::new());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, metrics) = (listener.local_addr().unwrap(), placement.metrics.clone());
        let serving = tokio::spawn(placement.serve(listener, stop.clone()));
        Self { address, metrics, stop, serving }
    }

    /// Status and answer.
    async fn http(&self, body: &str) -> (u16, Value) {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        let head = format!(
            "POST /v1/place HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            body.len()
        );
        // Who is refused early reads no more of it.
        let _sent = socket.write_all([head.as_bytes(), body.as_bytes()].concat().as_slice()).await;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }

    async fn grpc(&self) -> PlacementClient<Channel> {
        let endpoint = Channel::from_shared(format!("http://{}", self.address)).unwrap();
        PlacementClient::new(endpoint.connect().await.unwrap())
    }

    fn refused(&self, reason: &str) -> u64 {
        self.metrics.placements.refused.with_label_values(&[reason]).get()
    }
}

fn players(latencies: &[Value]) -> Value {
    latencies.iter().map(|latencies| json!({ "latenciesMs": latencies })).collect()
}

fn region_of<'a>(answer: &'a Value, region: &str) -> &'a Value {
    answer["regions"].as_array().unwrap().iter().find(|found| found["region"] == region).unwrap()
}

#[test]
fn where_players_are_placed_is_noted_with_what_spoke_against_the_others() {
    let placement = placement();
    for (latencies, times) in [(json!({ "kr": 5, "jp": 30 }), 2), (json!({ "us": 5 }), 1)] {
        let request: PlaceRequest =
            serde_json::from_value(json!({ "players": players(&[latencies]) })).unwrap();
        for _ in 0..times {
            drop(placement.answer(&request).unwrap());
        }
    }
    let entries = placement.journal.entries();
    let found: Vec<_> =
        entries.iter().map(|entry| (entry.object.as_str(), entry.decided.as_str(), entry.times)).collect();
    assert_eq!(found, [("1 players", "kr", 2), ("1 players", NO_REGION, 1)]);
    assert!(
        entries[0].why.contains("jp: fartherThanChosen") && !entries[0].why.contains("kr:"),
        "{}",
        entries[0].why
    );
}

#[tokio::test]
async fn both_doors_give_the_same_answer() {
    let doors = Doors::open().await;
    let mut grpc = doors.grpc().await;
    let one = |latencies| json!({ "players": players(&[latencies]) });
    let two = |one, other| json!({ "players": players(&[one, other]) });
    for (name, request, chosen, region, reason) in [
        ("the best", one(json!({ "kr": 10, "jp": 40 })), "kr", "jp", "fartherThanChosen"),
        (
            "for the worst off",
            two(json!({ "jp": 5, "kr": 1 }), json!({ "jp": 5, "kr": 6 })),
            "jp",
            "kr",
            "fartherThanChosen",
        ),
        ("at no distance", one(json!({ "kr": 0 })), "kr", "jp", "unmeasured"),
        (
            "not measured by one",
            two(json!({ "jp": 5, "kr": 6 }), json!({ "kr": 6 })),
            "kr",
            "jp",
            "unmeasured",
        ),
        ("just at the limit", one(json!({ "kr": 100, "jp": 101 })), "kr", "jp", "tooFar"),
        ("over the limit", one(json!({ "kr": 101 })), "", "kr", "tooFar"),
        ("room for one of two", two(json!({ "sg": 5 }), json!({ "sg": 5 })), "", "sg", "full"),
        ("room for one", one(json!({ "sg": 5 })), "sg", "kr", "unmeasured"),
        ("unreachable", one(json!({ "br": 5 })), "", "br", "notConnected"),
        ("isolated", one(json!({ "de": 5 })), "", "de", "notConnected"),
        ("degraded", one(json!({ "in": 5 })), "", "in", "notConnected"),
        ("gone", one(json!({ "us": 5 })), "", "us", "notConnected"),
        ("drained", one(json!({ "za": 5, "kr": 90 })), "kr", "za", "drained"),
        ("drained and not measured", one(json!({ "kr": 90 })), "kr", "za", "drained"),
        ("not registered", one(json!({ "mars": 5 })), "", "kr", "unmeasured"),
    ] {
        let (status, answer) = doors.http(&request.to_string()).await;
        assert_eq!(status, 200, "{name}: {answer}");
        assert_eq!(answer["region"].as_str().unwrap_or_default(), chosen, "{name}: {answer}");
        assert_eq!(answer["worstLatencyMs"].is_u64(), !chosen.is_empty(), "{name}: {answer}");
        assert_eq!(region_of(&answer, region)["reason"], reason, "{name}");
        let is_refused = |region: &&Value| region["reason"].is_string() && region["message"].is_string();
        let refused = answer["regions"].as_array().unwrap().iter().filter(is_refused).count();
        assert_eq!(refused, if chosen.is_empty() { 10 } else { 9 }, "{name}: {answer}");
        let by_grpc = grpc.place(serde_json::from_value::<PlaceRequest>(request).unwrap()).await.unwrap();
        assert_eq!(serde_json::to_value(by_grpc.into_inner()).unwrap(), answer, "{name}");
    }
    let outcomes = |outcome| doors.metrics.placements.outcomes.with_label_values(&[outcome]).get();
    assert_eq!(["kr", "jp", "sg", NO_REGION].map(outcomes), [12, 2, 2, 14]);
    assert_eq!(doors.metrics.placements.seconds.get_sample_count(), 30);
}

#[tokio::test]
async fn every_reason_is_told_in_words() {
    let doors = Doors::open().await;
    let ann = json!({ "id": "ann", "latenciesMs": { "jp": 40, "kr": 10, "sg": 5, "tw": 101, "au": 9 } });
    let other = json!({ "latenciesMs": { "jp": 9, "kr": 12, "sg": 5, "tw": 9 } });
    let (_, answer) = doors.http(&json!({ "players": [ann, other] }).to_string()).await;
    for (region, message) in [
        ("au", json!("1 of 2 players have not measured it, first players[1]")),
        ("br", json!("it is not read from here, and no majority says more")),
        ("de", json!("it sees no majority of the regions and takes its own players alone")),
        ("in", json!("a majority of the regions does not read it")),
        ("jp", json!("ann has 40 ms, 24 ms in the mean; kr: 12 ms, 11 ms")),
        ("kr", Value::Null),
        ("sg", json!("2 players are to be placed, and 1 still fit")),
        ("tw", json!("ann has 101 ms and accepts 100 ms")),
        ("us", json!("a majority of the regions hears nothing of it")),
        ("za", json!("a majority of the regions says that it shall be left")),
    ] {
        assert_eq!(region_of(&answer, region)["message"], message, "{region}");
    }
}

#[tokio::test]
async fn an_answer_says_how_each_region_stands_and_what_it_costs() {
    let doors = Doors::open().await;
    let party = players(&[json!({ "jp": 40, "de": 7, "us": 8 }), json!({ "jp": 45, "de": 9 })]);
    let request = json!({ "players": party, "maxLatencyMs": 45, "ownRegion": "jp" });
    let (_, answer) = doors.http(&request.to_string()).await;
    assert_eq!(
        (&answer["region"], &answer["worstLatencyMs"], &answer["meanLatencyMs"]),
        (&json!("jp"), &json!(45), &json!(42))
    );
    let chosen = json!({ "region": "jp", "standing": "connected", "headroom": 1000, "worstLatencyMs": 45 });
    assert_eq!(region_of(&answer, "jp"), &chosen);
    assert_eq!(region_of(&answer, "de")["worstLatencyMs"], 9, "of a region that takes nobody too");
    assert!(region_of(&answer, "us")["worstLatencyMs"].is_null(), "one of them has not measured it");
    let standings: Vec<&Value> =
        answer["regions"].as_array().unwrap().iter().map(|region| &region["standing"]).collect();
    assert_eq!(
        standings,
        [
            "connected",
            "unreachable",
            "isolated",
            "degraded",
            "connected",
            "connected",
            "connected",
            "connected",
            "gone",
            "connected"
        ]
    );
    let (_, answer) = doors.http(&json!({ "players": party, "ownRegion": "de" }).to_string()).await;
    assert_eq!(answer["region"], "de", "an isolated region takes its own");
}

#[tokio::test]
async fn both_doors_refuse_a_request_by_the_path_of_the_field_that_is_wrong() {
    let doors = Doors::open().await;
    let mut grpc = doors.grpc().await;
    let kr = || json!({ "kr": 5 });
    let many: Value =
        (0..65).map(|at| (format!("r{at}"), json!(1))).collect::<serde_json::Map<_, _>>().into();
    let with = |field: &str, value: Value| json!({ "players": players(&[kr()]), field: value });
    let cases = [
        ("nobody", json!({}), "players: their number must be from 1 to 1000, and is 0"),
        (
            "too many",
            json!({ "players": players(&vec![kr(); 1001]) }),
            "players: their number must be from 1 to 1000, and is 1001",
        ),
        (
            "a long id",
            json!({ "players": [{ "id": "ñ".repeat(65), "latenciesMs": kr() }] }),
            "players[0].id: its length must be from 0 to 64, and is 65",
        ),
        (
            "many latencies",
            json!({ "players": players(&[kr(), many]) }),
            "players[1].latenciesMs: their number must be from 0 to 64, and is 65",
        ),
        (
            "a long way",
            json!({ "players": players(&[json!({ "kr": 10_001 })]) }),
            "players[0].latenciesMs.kr: it must be from 0 to 10000, and is 10001",
        ),
        (
            "no region",
            json!({ "players": players(&[json!({ "KR": 5 })]) }),
            "players[0].latenciesMs.KR: a region is named by 1 to 8 lower case letters and digits, beginning with a letter",
        ),
        ("no limit", with("maxLatencyMs", json!(0)), "maxLatencyMs: it must be from 1 to 10000, and is 0"),
        (
            "a high limit",
            with("maxLatencyMs", json!(10_001)),
            "maxLatencyMs: it must be from 1 to 10000, and is 10001",
        ),
        (
            "no own region",
            with("ownRegion", json!("")),
            "ownRegion: a region is named by 1 to 8 lower case letters and digits, beginning with a letter",
        ),
    ];
    for (name, request, expected) in &cases {
        let (status, said) = doors.http(&request.to_string()).await;
        assert_eq!(status, 400, "{name}: {said}");
        let fault = format!("{}: {}", said["field"].as_str().unwrap(), said["message"].as_str().unwrap());
        assert_eq!(fault, *expected, "{name}");
        let request: PlaceRequest = serde_json::from_value(request.clone()).unwrap();
        let refused = grpc.place(request).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::InvalidArgument, *expected), "{name}");
    }
    assert_eq!(doors.refused("invalid"), 2 * u64::try_from(cases.len()).unwrap());
    let most = json!({ "players": players(&vec![kr(); 1000]), "maxLatencyMs": 10_000 });
    assert_eq!(doors.http(&most.to_string()).await.0, 200);
}

#[tokio::test]
async fn json_that_is_not_understood_is_refused_by_its_path() {
    let doors = Doors::open().await;
    for (body, field) in [
        ("", "."),
        ("{}{}", "."),
        ("7", "."),
        (r#"{"players": 1}"#, "players"),
        (
            r#"{"players": [{"latenciesMs": {"kr": 5}}, {"latenciesMs": {"jp": -5}}]}"#,
            "players[1].latenciesMs.jp",
        ),
        (r#"{"players": [{"latenciesMs": {"kr": 5.5}}]}"#, "players[0].latenciesMs.kr"),
        (r#"{"players": [{"id": 7}]}"#, "players[0].id"),
        (r#"{"players": [{"latencyMs": {"kr": 5}}]}"#, "players[0].latencyMs"),
        (r#"{"maxLatency": 5}"#, "maxLatency"),
    ] {
        let (status, said) = doors.http(body).await;
        assert_eq!((status, &said["field"]), (400, &json!(field)), "{body}: {said}");
        let is_no_json = matches!(body, "" | "{}{}");
        assert_eq!(said["message"].as_str().unwrap().contains(" column "), is_no_json, "{body}: {said}");
    }
}

#[tokio::test]
async fn what_is_longer_than_a_mebibyte_is_refused_and_counted() {
    let doors = Doors::open().await;
    let spaces = " ".repeat(REQUEST.bytes);
    let (status, said) = doors.http(&format!("{spaces}{{}}")).await;
    assert_eq!((status, &said["message"]), (413, &json!("it is longer than 1048576 bytes")));
    let player = proto::Player { id: Some(spaces), ..proto::Player::default() };
    let request = PlaceRequest { players: vec![player], ..PlaceRequest::default() };
    assert_eq!(doors.grpc().await.place(request).await.unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(doors.refused("too_large"), 2);
}

/// A request to either door.
fn asked(path: &str, content: &str, body: Body) -> Request {
    let request = Request::builder().method(Method::POST).uri(path);
    request.header(CONTENT_TYPE, format!("application/{content}")).body(body).unwrap()
}

fn grpc_code(response: &Response) -> Option<Code> {
    response.extensions().get::<Status>().map(Status::code)
}

#[tokio::test(start_paused = true)]
async fn so_many_are_answered_at_once_and_each_has_its_time() {
    let placement = Arc::new(placement());
    let router = Arc::clone(&placement).router();
    let ask = |at: usize| {
        let doors = [("/v1/place", "json"), ("/cranewing.placement.v1.Placement/Place", "grpc")];
        let (path, content) = doors[at % 2];
        let unending = Body::from_stream(futures::stream::pending::<std::io::Result<Vec<u8>>>());
        router.clone().oneshot(asked(path, content, unending))
    };
    let held: Vec<_> = (0..REQUESTS_MAX).map(|at| tokio::spawn(ask(at))).collect();
    while placement.requests.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let [by_http, by_grpc] = [ask(0).await.unwrap(), ask(1).await.unwrap()];
    assert_eq!((by_http.status(), grpc_code(&by_http)), (StatusCode::TOO_MANY_REQUESTS, None));
    assert_eq!((by_grpc.status(), grpc_code(&by_grpc)), (StatusCode::OK, Some(Code::ResourceExhausted)));
    for (at, held) in held.into_iter().enumerate() {
        let late = held.await.unwrap().unwrap();
        let expected = [(StatusCode::REQUEST_TIMEOUT, None), (StatusCode::OK, Some(Code::DeadlineExceeded))];
        assert_eq!((late.status(), grpc_code(&late)), expected[at % 2], "{at}");
    }
    let refused = |reason| placement.metrics.placements.refused.with_label_values(&[reason]).get();
    assert_eq!((refused("too_many"), refused("too_slow")), (2, u64::try_from(REQUESTS_MAX).unwrap()));
    let body = json!({ "players": players(&[json!({ "kr": 5 })]) }).to_string();
    let answer = router.oneshot(asked("/v1/place", "json", body.into())).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "their places are free again");
}

#[tokio::test]
async fn serving_ends_though_somebody_stays_connected() {
    let doors = Doors::open().await;
    let mut grpc = doors.grpc().await;
    grpc.place(PlaceRequest::default()).await.unwrap_err();
    let mut silent = TcpStream::connect(doors.address).await.unwrap();
    doors.stop.cancel();
    timeout(Duration::from_secs(3), doors.serving).await.unwrap().unwrap();
    assert_eq!(silent.read(&mut [0]).await.unwrap_or(0), 0);
}

const PROXY: &str = "/api/v1/namespaces/cranewing-system/services/cranewing-placement:placement/proxy";

/// An API server that leads to the doors.
fn api_server() -> Client {
    let router = Arc::new(placement()).router();
    let proxy = service_fn(move |request: ::http::Request<kube::client::Body>| {
        let (mut parts, body) = request.into_parts();
        parts.uri = parts.uri.path().strip_prefix(PROXY).unwrap().parse().unwrap();
        router.clone().oneshot(::http::Request::from_parts(parts, Body::new(body)))
    });
    Client::new(proxy, "default")
}

/// What `operator place` prints, notes with a mark, and why it fails.
async fn operator_place(client: Client, more: &[&str]) -> (String, Option<String>) {
    let (said, failure) = try_place(client, more).await;
    (said, failure.map(|(_, failure)| failure))
}

/// The same, with the exit code.
async fn try_place(client: Client, more: &[&str]) -> (String, Option<(u8, String)>) {
    let Command::Place(args) = Args::parse_from(["operator", "place"].iter().chain(more)).command else {
        panic!("it is `place`")
    };
    let (mut out, mut notes) = (Vec::new(), Vec::new());
    let done = ask::place(&client, &args, (&mut out, &mut notes)).await;
    let [notes, out] = [notes, out].map(|said| String::from_utf8(said).unwrap());
    let notes = notes.lines().map(|line| format!("stderr: {line}\n"));
    (notes.chain([out]).collect(), done.err().map(|error| (error.code(), format!("{error:#}"))))
}

#[tokio::test]
async fn operator_place_prints_the_region_alone_and_fails_with_every_reason_if_none_fits() {
    let (said, failure) = operator_place(api_server(), &["--latency=kr=5", "--latency=jp=30"]).await;
    assert_eq!((said.as_str(), failure), ("kr\n", None));
    let (said, failure) = operator_place(api_server(), &["--latency=kr=5", "--max-latency=4"]).await;
    let failure = failure.unwrap();
    assert!(
        said.is_empty() && failure.starts_with("no region fits\n  au: unmeasured: 1 of 1 players"),
        "{failure}"
    );
    assert!(failure.contains("\n  kr: tooFar: players[0] has 5 ms and accepts 4 ms\n"), "{failure}");
    assert_eq!(failure.lines().count(), 11, "{failure}");
}

#[tokio::test]
async fn operator_place_explains_every_region() {
    let (said, failure) =
        operator_place(api_server(), &["--latency=kr=5", "--latency=jp=30", "--explain"]).await;
    assert_eq!(failure, None);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "REGION    STANDING     WORST     HEADROOM  VERDICT");
    assert_eq!(
        lines[5],
        "jp        connected    30 ms     1000      fartherThanChosen: players[0] has 30 ms, 30 ms in the mean; kr: 5 ms, 5 ms"
    );
    assert_eq!(lines[6], "kr        connected    5 ms      1000      chosen");
    assert_eq!(
        lines[9],
        "us        gone         -         1000      notConnected: a majority of the regions hears nothing of it"
    );
    let (said, failure) =
        operator_place(api_server(), &["--latency=kr=5", "--own-region=kr", "--output=json"]).await;
    assert_eq!(
        (serde_json::from_str::<Value>(&said).unwrap()["region"].as_str(), failure),
        (Some("kr"), None)
    );
}

#[tokio::test]
async fn operator_place_gives_reasons_once_and_says_which_regions_are_strangers() {
    let far = ["--latency=kr=5", "--max-latency=4", "--explain"];
    let (said, failure) = operator_place(api_server(), &far).await;
    assert_eq!(failure.as_deref(), Some("no region fits"), "the table says why");
    assert!(said.contains("tooFar: players[0] has 5 ms and accepts 4 ms"), "{said}");
    let (said, failure) =
        operator_place(api_server(), &["--latency=kr=5", "--latency=krx=1", "--own-region=xx"]).await;
    assert_eq!(failure, None);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 3, "{said}");
    assert!(lines[0].starts_with("stderr: note: no region krx is registered there: au, "), "{said}");
    assert!(lines[1].starts_with("stderr: note: no region xx is registered there: au, "), "{said}");
    assert_eq!(lines[2], "kr");
}

/// Or a script takes a mistake for an answer.
#[tokio::test]
async fn operator_place_says_what_is_wrong_and_with_what() {
    let file = std::env::temp_dir().join(format!("cranewing-place-{}.json", std::process::id()));
    let path = file.to_str().unwrap();
    let (nobody, silent) = (MockApi::default(), MockApi::default());
    nobody.fail(|_| Some(404));
    silent.fail(|_| Some(503));
    let ann = r#"[{ "latenciesMs": { "jp": 9 } }, { "id": "ann", "latenciesMs": "#;
    let players = ["--players", path];
    for (client, players, more, code, expected) in [
        (
            api_server(),
            "{ \"KR\": 5 } }]",
            &players[..],
            2,
            "400 Bad Request: players[1].latenciesMs.KR: a region is",
        ),
        (
            api_server(),
            "{ \"kr\": 5, \"kr\": 7 } }]",
            &players,
            2,
            "ann has two latencies for kr, 5 and 7; give one",
        ),
        (
            api_server(),
            "{}, \"latencyMs\": {} }]",
            &players,
            2,
            "players[1].latencyMs: unknown field `latencyMs`",
        ),
        (
            api_server(),
            "5 }]",
            &players,
            2,
            "expected latencies by region, such as {\"kr\": 5} at line 1 column 64",
        ),
        (api_server(), "{ \"kr\": 5 }", &players, 2, "EOF while parsing an object at line 1 column 74"),
        (api_server(), "", &["--players", "no such file"], 2, "failed to open no such file: No such file"),
        (
            api_server(),
            "",
            &["--latency=kr=5", "--latency=kr=7"],
            2,
            "players[0] has two latencies for kr, 5 and 7",
        ),
        (api_server(), "", &["--latency=kr=5", "--max-latency=4"], 3, "no region fits"),
        (
            nobody.client(),
            "",
            &["--latency=kr=5"],
            1,
            "404 Not Found; install the operator there, name its namespace",
        ),
        (silent.client(), "", &["--latency=kr=5"], 1, "see that the operator runs"),
    ] {
        std::fs::write(&file, format!("{ann}{players}")).unwrap();
        let (said, failure) = try_place(client, more).await;
        let (found, words) = failure.unwrap();
        assert!(said.is_empty() && words.contains(expected), "{words}");
        assert_eq!(found, code, "{words}");
        let is_of_the_file = !words.contains("answered") && words.contains("failed to read");
        assert!(is_of_the_file || !words.contains(" column "), "a column of what? {words}");
    }
    std::fs::remove_file(&file).unwrap();
    for more in [&["--explain"][..], &["--latency=kr"], &["--latency=kr=5", "--players=p.json"]] {
        assert!(Args::try_parse_from(["operator", "place"].iter().chain(more)).is_err(), "{more:?}");
    }
}
