//! A server by itself: players come, move and are confirmed on every backend, and it ends in order.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;
#[path = "../net/tests/seccomp/mod.rs"]
mod seccomp;

use std::time::Duration;

use common::{Players, Server, TempFile, by_zone, command};
use gameserver::{format_key, random_bytes};
use gameserver_client::{ClientState, DisconnectReason, Event, RejectReason};
use gameserver_contract::env;

const PLAYERS: u64 = 20;

fn key() -> ([u8; 32], TempFile) {
    let key = random_bytes().unwrap();
    (key, TempFile::new("key", format_key(&key)))
}

/// Players join over `server`, move ten times each, and every move is confirmed.
fn play(server: &Server, key: &[u8; 32]) -> Players {
    let mut players = Players::new(PLAYERS, server.udp, key);
    players.play_until("everyone's tenth move", |players| {
        players.iter().all(|player| player.latencies.len() >= 10)
    });
    for player in &players.players {
        // a match begins with the second player and everyone elsewhere: one move may have been meant from before
        let meant_from_before =
            |event: &&Event| matches!(event, Event::Rejected { reason: RejectReason::MoveTooFar, .. });
        let count = player.rejected.iter().filter(meant_from_before).count();
        assert!(count <= 1 && player.rejected.len() == count, "{:?}", player.rejected);
    }
    players
}

fn p99(players: &Players) -> Duration {
    let mut latencies: Vec<_> = players.players.iter().flat_map(|player| player.latencies.clone()).collect();
    latencies.sort();
    latencies[latencies.len() * 99 / 100]
}

fn players_play_and_the_server_ends_with_them(net: &str) {
    let (key, file) = key();
    let server = Server::start(&["--net", net, "--key-file", file.path()]);
    let mut players = play(&server, &key);
    // two ticks are 31 ms; ten times as much on a busy machine, so that only a hang fails
    assert!(p99(&players) < Duration::from_millis(310), "{:?}", p99(&players));

    assert_eq!(server.get("/readyz"), (200, "ok\n".to_owned()));
    assert_eq!(server.get("/livez").0, 200);
    assert!((server.metric("gameserver_players") - 20.0).abs() < f64::EPSILON);
    assert!(
        (server.metric(&format!("gameserver_backend_info{{backend=\"{net}\"}}")) - 1.0).abs() < f64::EPSILON
    );
    let build = format!("gameserver_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"));
    assert!((server.metric(&build) - 1.0).abs() < f64::EPSILON);
    assert!(server.metric("gameserver_input_latency_seconds_count") >= 200.0);
    assert!(server.metric("gameserver_packets_in_total") > 0.0);
    the_threads_time_is_told_in_full(&server);
    for counted in ["snapshots_total", "round_trip_seconds_count", "inputs_total", "zone_cpu_seconds_total"] {
        assert!(server.metric(&format!("gameserver_{counted}")) > 0.0, "{counted}");
    }
    // the answer arrives in the middle of many requests, which all get one
    for _ in 0..20 {
        is_answered_in_full(&server, net);
    }

    server.signal("-TERM");
    server.logged("draining before the end");
    assert_eq!(server.get("/readyz"), (503, "draining\n".to_owned()));
    let moves = players.players[0].latencies.len();
    players
        .play_until("players to play on in a draining server", |players| players[0].latencies.len() > moves);
    players.leave();
    let (status, log) = server.wait();
    assert!(status.success(), "{log:#?}");
    assert_eq!(log.last().unwrap()["message"], "stopped");
}

/// Wait, receiving, work and flush make up the time of the thread.
fn the_threads_time_is_told_in_full(server: &Server) {
    let (_, text) = server.get("/metrics");
    let value = |name: String| -> f64 {
        let found = by_zone(&text, &name);
        assert_eq!(found.len(), 1, "{name} of one zone in\n{text}");
        found[0]
    };
    let parts = ["wait", "receive", "work", "flush"];
    let [wait, receive, work, flush] = parts.map(|part| value(format!("gameserver_tick_{part}_seconds_sum")));
    let ticks = value("gameserver_tick_work_seconds_count".into());
    let all = wait + receive + work + flush;
    // the last tick begins in its period, and a machine that is busy skips some
    assert!(all > (ticks - 2.0) / 64.0, "{ticks} ticks in {wait} + {receive} + {work} + {flush} s");
    assert!(all < common::PATIENCE.as_secs_f64() && wait > 0.0 && receive > 0.0, "{wait} + {receive} s");
}

/// Everything that `/health` says, whatever this machine makes of it.
fn is_answered_in_full(server: &Server, net: &str) {
    let (code, body) = server.get("/health");
    let health: serde_json::Value = serde_json::from_str(&body).unwrap();
    let is_well = matches!(health["status"].as_str(), Some("healthy" | "degraded"));
    assert_eq!(code, if is_well { 200 } else { 503 }, "{health:#}");
    let names: Vec<_> = health["checks"].as_array().unwrap().iter().map(|check| &check["name"]).collect();
    assert_eq!(names, ["zone", "lateness", "socket", "cpu", "reports", "memory"]);
    let zone = &health["checks"][0];
    let message = zone["message"].as_str().unwrap();
    let age_ms: f64 =
        message.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().expect("one number of ms");
    let uptime_ms = health["uptime_seconds"].as_f64().unwrap() * 1e3;
    assert!(age_ms * 2.0 < uptime_ms, "it ticks, and did not only begin to: {health:#}");
    assert_eq!(health["checks"][4]["message"], "standalone: nobody to report to");
    let service = &health["service"];
    assert_eq!((service["backend"].as_str(), &service["game_server"]), (Some(net), &serde_json::Value::Null));
    assert_eq!((&health["phase"], health["players"].as_u64()), (&"ready".into(), Some(PLAYERS)));
}

#[test]
fn players_play_over_io_uring_and_sigterm_waits_for_them() {
    players_play_and_the_server_ends_with_them("uring");
}

#[test]
fn players_play_over_mmsg_and_sigterm_waits_for_them() {
    players_play_and_the_server_ends_with_them("mmsg");
}

#[test]
fn players_play_over_tokio_uring_and_sigterm_waits_for_them() {
    players_play_and_the_server_ends_with_them("tokio-uring");
}

#[test]
fn players_who_stay_are_told_goodbye_at_the_deadline() {
    let (key, file) = key();
    let mut command = command(&["--key-file", file.path()]);
    // as the operator says it in a pod whose grace period is one second
    command.env(env::DRAIN_DEADLINE, "0.5");
    let server = Server::spawn(command);
    let mut players = play(&server, &key);
    server.signal("-TERM");
    let told = ClientState::Disconnected { reason: DisconnectReason::ByServer };
    players.play_until("a goodbye", |players| players.iter().all(|player| player.client.state() == told));
    let (status, log) = server.wait();
    assert!(status.success(), "{log:#?}");
    assert_eq!(log.last().unwrap()["message"], "stopped");
}

#[test]
fn an_endless_deadline_waits_for_the_players_and_for_nothing_else() {
    let (key, file) = key();
    let mut command = command(&["--key-file", file.path()]);
    command.env(env::DRAIN_DEADLINE, "1e19");
    let server = Server::spawn(command);
    let mut players = play(&server, &key);
    server.signal("-TERM");
    server.logged("draining before the end");
    players.leave();
    assert!(server.wait().0.success());
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let (key, file) = key();
    let server = Server::start(&["--key-file", file.path(), "--drain-deadline", "3600"]);
    let _players = play(&server, &key);
    server.signal("-INT");
    server.logged("draining before the end");
    server.signal("-INT");
    assert!(server.wait().0.success());
}

#[test]
fn a_full_server_says_no_and_counts_it() {
    let (key, file) = key();
    let server = Server::start(&["--key-file", file.path(), "--capacity", "1"]);
    let mut first = Players::new(1, server.udp, &key);
    first.play_until("the first player", |players| players[0].is_playing());
    let mut second = Players::new(2, server.udp, &key);
    second.players.remove(0); // who has the id of the one who plays
    second.play_until("a refusal", |players| players[0].client.state() == ClientState::Denied);
}

#[test]
fn where_io_uring_is_denied_mmsg_plays_on_and_says_why() {
    let denied = std::thread::spawn(|| {
        seccomp::deny_io_uring_on_this_thread();
        let (key, file) = key();
        let server = Server::start(&["--key-file", file.path()]);
        let reason = server.logged("io_uring is not to be had here; recvmmsg and sendmmsg play on");
        assert_eq!(reason["step"], "set up a ring");
        assert!(reason["remedy"].as_str().unwrap().contains("seccomp"), "{reason}");
        assert!(reason["reason"].as_str().unwrap().contains("Operation not permitted"), "{reason}");
        assert_eq!(server.logged("listening")["backend"], "mmsg");
        let control = server.logged("the control thread runs on plain tokio");
        assert!(control["reason"].as_str().unwrap().contains("Operation not permitted"), "{control}");
        play(&server, &key).leave();
        server.signal("-TERM");
        assert!(server.wait().0.success());
    });
    denied.join().unwrap();
}

#[test]
fn who_insists_on_io_uring_where_it_is_denied_gets_an_error() {
    let denied = std::thread::spawn(|| {
        seccomp::deny_io_uring_on_this_thread();
        command(&["--net", "uring"]).output().unwrap()
    });
    let output = denied.join().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        text.contains("failed to open an io_uring") && text.contains("Operation not permitted"),
        "{text}"
    );
}

#[test]
fn an_address_that_is_taken_is_told_by_name() {
    let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_gameserver"))
        .args(["--bind-address", "127.0.0.1", "--port", &port, "--admin-address", "127.0.0.1:0"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(text.contains(&format!("failed to bind UDP 127.0.0.1:{port}")), "{text}");
}
