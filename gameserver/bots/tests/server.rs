//! `bots server` against the game's core on a real socket: everyone joins, moves and is confirmed, and what is counted
//! is what happened.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod common;

use clap::Parser;
use common::Server;
use gameserver_bots::{Args, run};
use serde_json::{Value, json};

const KEY: [u8; 32] = [0xab; 32];

/// Runs `bots server` for three seconds and returns its last line of statistics with everyone in the game.
fn play(name: &str, server: &Server, key: &str, players: u32) -> Value {
    let stats = std::env::temp_dir().join(format!("bots-{name}-{}.jsonl", std::process::id()));
    let args = [
        "bots server --ramp-up 0.2 --duration 3.5",
        &format!("--address {} --key {key} --players {players} --stats {}", server.address, stats.display()),
    ];
    let args = Args::parse_from(args.join(" ").split(' '));
    run(args.command).unwrap();
    let text = std::fs::read_to_string(&stats).unwrap();
    std::fs::remove_file(stats).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

#[test]
fn every_bot_plays_and_every_confirmation_keeps_the_rules() {
    let server = Server::start(100, KEY);
    let line = play("plays", &server, &"ab".repeat(32), 30);
    assert_eq!((&line["players"], &line["joins"]), (&json!(30), &json!(30)), "{line}");
    assert_eq!(line["servers"][server.address.to_string()], json!(30));
    for never in ["refused", "disconnects", "mismatches", "lost"] {
        assert_eq!(line[never], json!(0), "{never} in {line}");
    }
    let latency = |quantile: &str| line["latency_us"][quantile].as_u64().unwrap();
    assert!(
        latency("p50") > 0 && latency("p50") <= latency("p99") && latency("p99") <= latency("max"),
        "{line}"
    );
    // an input waits for two ticks at most; ten times as much on a busy machine, so that only a hang fails
    assert!(latency("p50") < 310_000, "{line}");
}

#[test]
fn bots_that_a_full_server_refuses_are_counted() {
    let server = Server::start(5, KEY);
    let line = play("refused", &server, &"ab".repeat(32), 8);
    assert_eq!((&line["players"], &line["joins"]), (&json!(5), &json!(5)), "{line}");
    assert!(line["refused"].as_u64().unwrap() >= 3, "{line}");
}

#[test]
fn bots_with_the_wrong_key_do_not_get_in() {
    let server = Server::start(5, KEY);
    let line = play("wrong-key", &server, &"cd".repeat(32), 2);
    assert_eq!((&line["players"], &line["joins"]), (&json!(0), &json!(0)), "{line}");
}
