//! The whole answer: its status, its code, and the checks of a server with and without an operator.

use super::*;
use crate::zone::Seat;
use serde_json::Value;

/// Of a server with two zones.
fn health(streams: Option<watch::Receiver<usize>>, files: Vec<PathBuf>) -> (Health, Boards) {
    let boards = Boards::blank(2, &[]);
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
    let zone = |backend, node| {
        let seat = Seat { placement: "on-node", node: Some(node), memory: "applied" };
        ZoneFacts { backend, seat }
    };
    let zones = vec![zone(Backend::Uring, 1), zone(Backend::Mmsg, 3)];
    let clock = Clock::start();
    let (_outdated, outdated) = watch::channel(true);
    let boards_seen = boards.clone();
    let sources = Sources { service, boards: boards_seen, zones, phase, outdated, streams, files, clock };
    (Health::new(sources), boards)
}

fn answer(health: &Health) -> (StatusCode, Value) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (code, report) = runtime.block_on(health.report());
    (code, serde_json::to_value(&report).unwrap())
}

/// The check of this name, of the zone if of one.
fn check<'a>(answer: &'a Value, name: &str, zone: Option<u64>) -> &'a Value {
    let checks = answer["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name && check["zone"].as_u64() == zone);
    found.unwrap_or_else(|| panic!("no {name} of {zone:?} in {answer:#}"))
}

#[test]
fn the_worst_check_is_the_status_and_only_what_players_notice_is_an_error() {
    for (status, expected) in
        [(Status::Healthy, 200), (Status::Degraded, 200), (Status::Unhealthy, 503), (Status::Critical, 503)]
    {
        assert_eq!(code(status).as_u16(), expected, "{status:?}");
    }
    let (health, boards) = health(None, Vec::new());
    for board in boards.iter() {
        board.set(Figure::Ticks, 1);
        board.set(Figure::TickedAtUs, u64::MAX);
    }
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
    assert_eq!(check(&status_of(&health), "zone", Some(1))["status"], "healthy");
    boards.iter().last().unwrap().set(Figure::SocketOverflows, 1000);
    let answer = status_of(&health);
    let socket = check(&answer, "socket", Some(1));
    assert_eq!(socket["status"], "unhealthy", "{answer:#}");
    assert_eq!(socket["message"], "1000 of 1000 datagrams were dropped in the last 0 s");
    assert_eq!(check(&answer, "socket", Some(0))["status"], "healthy", "of the other zone");
}

#[test]
fn every_check_says_its_status_message_and_duration_and_zones_are_numbered() {
    let (_streams, streams) = watch::channel(0);
    let missing = PathBuf::from("/nowhere/token");
    let (health, _boards) = health(Some(streams), vec![missing]);
    let (_, answer) = answer(&health);
    let of_zone = |zone| {
        [("zone", "degraded"), ("lateness", "healthy"), ("socket", "healthy"), ("cpu", "healthy")]
            .map(|(name, status)| (name, Some(zone), Some(status)))
    };
    let of_process =
        [("reports", None, Some("degraded")), ("memory", None, None), ("files", None, Some("unhealthy"))];
    for (name, zone, status) in of_zone(0).into_iter().chain(of_zone(1)).chain(of_process) {
        let check = check(&answer, name, zone);
        assert!(status.is_none_or(|status| check["status"] == status), "{check:#}");
        assert!(
            !check["message"].as_str().unwrap().is_empty() && check["duration_ms"].as_f64().unwrap() >= 0.0
        );
    }
    let page = include_str!("../../../../docs/health.md");
    let checks = answer["checks"].as_array().unwrap();
    assert_eq!(checks.len(), 2 * 4 + 3);
    for check in checks {
        let row = format!("\n| `{}` | ", check["name"].as_str().unwrap());
        assert!(page.contains(&row), "docs/health.md does not explain {check:#}");
    }
}

#[test]
fn the_answer_says_what_runs_where_and_for_how_long() {
    let (health, boards) = health(None, Vec::new());
    for (board, players) in boards.iter().zip([12, 5]) {
        board.set(Figure::Players, players);
    }
    let (_, answer) = answer(&health);
    assert_eq!(
        answer["service"],
        serde_json::json!({
            "version": "1.2.3", "contract_version": 1, "namespace": "games", "game_server": "arena-0", "fleet": null,
            "backend": "tokio-uring", "tick_hz": 64, "capacity": 1000,
        })
    );
    let numa = |node| serde_json::json!({ "placement": "on-node", "node": node, "memory": "applied" });
    let zones = serde_json::json!([
        { "zone": 0, "players": 12, "backend": "uring", "numa": numa(1) },
        { "zone": 1, "players": 5, "backend": "mmsg", "numa": numa(3) },
    ]);
    assert_eq!(answer["zones"], zones);
    assert_eq!((answer["phase"].as_str(), answer["players"].as_u64()), (Some("ready"), Some(17)));
    assert_eq!(answer["outdated"], true);
    assert!(
        answer["uptime_seconds"].as_f64().unwrap() >= 0.0 && answer["duration_ms"].as_f64().unwrap() >= 0.0
    );
    assert_eq!(check(&answer, "reports", None)["message"], "standalone: nobody to report to");
    assert!(answer["checks"].as_array().unwrap().iter().all(|check| check["name"] != "files"));
}

#[test]
fn a_lost_stream_is_counted_from_when_it_was_last_seen() {
    let (opened, streams) = watch::channel(1);
    let (health, _boards) = health(Some(streams), Vec::new());
    let connected_at = |health: &Health| health.past().connected_at;
    let start = connected_at(&health);
    health.sample();
    let seen = connected_at(&health);
    assert!(seen > start);
    assert_eq!(check(&answer(&health).1, "reports", None)["message"], "open report streams: 1");
    opened.send_replace(0);
    health.sample();
    assert_eq!(connected_at(&health), seen);
    assert_eq!(check(&answer(&health).1, "reports", None)["message"], "no report stream for 0 s");
}
