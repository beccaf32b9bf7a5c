//! The whole answer: its status, its code, and the checks of a server with and without an operator.

use super::*;
use serde_json::Value;

fn health(streams: Option<watch::Receiver<usize>>, files: Vec<PathBuf>) -> (Health, Arc<Board>) {
    let board = Arc::new(Board::new(std::iter::empty()));
    let (_phase, phase) = watch::channel(Phase::Ready);
    let service = Service {
        version: "1.2.3",
        contract_version: 1,
        namespace: Some("games".into()),
        game_server: Some("arena-0".into()),
        fleet: None,
        backend: Backend::TokioUring,
        tick_hz: 64,
        capacity: 1000,
    };
    let seat = Seat { placement: "on-node", node: Some(1), memory: "applied" };
    let sources =
        Sources { service, board: Arc::clone(&board), seat, phase, streams, files, clock: Clock::start() };
    (Health::new(sources), board)
}

fn answer(health: &Health) -> (StatusCode, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (code, report) = runtime.block_on(health.report());
    (code, serde_json::to_value(&report).unwrap())
}

fn check<'a>(answer: &'a Value, name: &str) -> &'a Value {
    let checks = answer["checks"].as_array().unwrap();
    checks.iter().find(|check| check["name"] == name).unwrap_or_else(|| panic!("no {name} in {answer:#}"))
}

#[test]
fn the_worst_check_is_the_status_and_only_what_players_notice_is_an_error() {
    for (status, expected) in
        [(Status::Healthy, 200), (Status::Degraded, 200), (Status::Unhealthy, 503), (Status::Critical, 503)]
    {
        assert_eq!(code(status).as_u16(), expected, "{status:?}");
    }
    let (health, board) = health(None, Vec::new());
    board.set(Figure::Ticks, 1);
    board.set(Figure::TickedAtUs, u64::MAX);
    // memory is this machine's, which is not for this test to judge
    let status_of = |health: &Health| {
        let (code, answer) = answer(health);
        let worst = ["critical", "unhealthy", "degraded", "healthy"].into_iter().find(|status| {
            answer["checks"].as_array().unwrap().iter().any(|check| check["status"] == *status)
        });
        assert_eq!(answer["status"].as_str(), worst);
        assert_eq!(code == StatusCode::OK, matches!(worst, Some("healthy" | "degraded")), "{answer:#}");
        answer
    };
    assert_eq!(check(&status_of(&health), "zone")["status"], "healthy");
    board.set(Figure::SocketOverflows, 1000);
    let answer = status_of(&health);
    assert_eq!(check(&answer, "socket")["status"], "unhealthy", "{answer:#}");
    assert_eq!(check(&answer, "socket")["message"], "1000 of 1000 datagrams were dropped in the last 0 s");
}

#[test]
fn every_check_says_its_status_message_and_duration_and_zones_are_numbered() {
    let (_streams, streams) = watch::channel(0);
    let missing = PathBuf::from("/nowhere/token");
    let (health, _board) = health(Some(streams), vec![missing]);
    let (_, answer) = answer(&health);
    for (name, zone, status) in [
        ("zone", Some(0), Some("degraded")),
        ("lateness", Some(0), Some("healthy")),
        ("socket", Some(0), Some("healthy")),
        ("cpu", Some(0), Some("healthy")),
        ("reports", None, Some("degraded")),
        ("memory", None, None),
        ("files", None, Some("unhealthy")),
    ] {
        let check = check(&answer, name);
        assert_eq!(check["zone"].as_u64(), zone, "{name}");
        assert!(status.is_none_or(|status| check["status"] == status), "{check:#}");
        assert!(
            !check["message"].as_str().unwrap().is_empty() && check["duration_ms"].as_f64().unwrap() >= 0.0
        );
    }
    let page = include_str!("../../../../docs/health.md");
    let checks = answer["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 7);
    for check in checks {
        let row = format!("\n| `{}` | ", check["name"].as_str().unwrap());
        assert!(page.contains(&row), "docs/health.md does not explain {check:#}");
    }
}

#[test]
fn the_answer_says_what_runs_where_and_for_how_long() {
    let (health, board) = health(None, Vec::new());
    board.set(Figure::Players, 12);
    let (_, answer) = answer(&health);
    assert_eq!(
        answer["service"],
        serde_json::json!({
            "version": "1.2.3", "contract_version": 1, "namespace": "games", "game_server": "arena-0", "fleet": null,
            "backend": "tokio-uring", "tick_hz": 64, "capacity": 1000,
        })
    );
    let numa = serde_json::json!({ "placement": "on-node", "node": 1, "memory": "applied" });
    assert_eq!(answer["zones"], serde_json::json!([{ "zone": 0, "players": 12, "numa": numa }]));
    assert_eq!((answer["phase"].as_str(), answer["players"].as_u64()), (Some("ready"), Some(12)));
    assert!(
        answer["uptime_seconds"].as_f64().unwrap() >= 0.0 && answer["duration_ms"].as_f64().unwrap() >= 0.0
    );
    assert_eq!(check(&answer, "reports")["message"], "standalone: nobody to report to");
    assert!(answer["checks"].as_array().unwrap().iter().all(|check| check["name"] != "files"));
}

#[test]
fn a_lost_stream_is_counted_from_when_it_was_last_seen() {
    let (opened, streams) = watch::channel(1);
    let (health, _board) = health(Some(streams), Vec::new());
    health.sample();
    assert_eq!(check(&answer(&health).1, "reports")["message"], "open report streams: 1");
    opened.send_replace(0);
    health.sample();
    assert_eq!(check(&answer(&health).1, "reports")["message"], "no report stream for 0 s");
}
