//! Several zones behind one port: players are spread over them, each is at one of them, and the process is one.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use common::{Players, Server, TempFile};
use gameserver::{format_key, random_bytes};

/// None of three zones is left without one of so many players once in 10^7 times.
const PLAYERS: u64 = 40;

fn key() -> ([u8; 32], TempFile) {
    let key = random_bytes().unwrap();
    (key, TempFile::new("key", format_key(&key)))
}

fn start(zones: &str, file: &TempFile, args: &[&str]) -> Server {
    let mut all = vec!["--zones", zones, "--key-file", file.path()];
    all.extend(args);
    Server::start(&all)
}

fn players_are_spread_and_each_is_at_one_zone(net: &str) {
    let (key, file) = key();
    let server = start("3", &file, &["--net", net]);
    let mut players = Players::new(PLAYERS, server.udp, &key);
    players.play_until("everyone's tenth move", |players| {
        players.iter().all(|player| player.latencies.len() >= 10)
    });
    let here = server.by_zone("gameserver_players");
    assert!(here.len() == 3 && here.iter().all(|&players| players > 0.0), "{here:?}");
    assert!((here.iter().sum::<f64>() - 40.0).abs() < f64::EPSILON, "{here:?}");
    // a datagram at a zone that does not have its session would be one of these
    for reason in ["no_session", "token_reused", "moving"] {
        let refused = server.by_zone(&format!("gameserver_rejects_total{{reason=\"{reason}\"}}"));
        assert_eq!(refused, [0.0; 3], "{reason}: all that a player sends is at the zone that it came to");
    }
    for counted in ["inputs_total", "snapshots_total", "tick_work_seconds_count", "zone_cpu_seconds_total"] {
        let counted = server.by_zone(&format!("gameserver_{counted}"));
        assert!(counted.len() == 3 && counted.iter().all(|&count| count > 0.0), "{counted:?}");
    }
    server.signal("-TERM");
    server.logged("draining before the end");
    players.leave();
    let (status, log) = server.wait();
    assert!(status.success(), "{log:#?}");
    assert_eq!(log.last().unwrap()["message"], "stopped");
}

#[test]
fn players_are_spread_over_zones_of_io_uring_and_each_is_at_one() {
    players_are_spread_and_each_is_at_one_zone("uring");
}

#[test]
fn players_are_spread_over_zones_of_mmsg_and_each_is_at_one() {
    players_are_spread_and_each_is_at_one_zone("mmsg");
}

#[test]
fn players_are_spread_over_zones_of_tokio_uring_and_each_is_at_one() {
    players_are_spread_and_each_is_at_one_zone("tokio-uring");
}
