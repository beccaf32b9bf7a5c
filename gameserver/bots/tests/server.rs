//! `bots server` against the game's core on a real socket: everyone joins, moves and is confirmed, and what is counted
//! is what happened.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clap::Parser;
use gameserver_bots::{Args, run};
use gameserver_core::{Now, ServerConfig, ZoneServer};
use gameserver_net::{Config, Datagrams, Mmsg, Outgoing, bind};
use gameserver_protocol::PROTOCOL_ID;
use gameserver_sys::Clock;
use serde_json::{Value, json};

const KEY: [u8; 32] = [0xab; 32];
const TICK: Duration = Duration::from_micros(15_625);

/// The core at 64 Hz on a thread, until dropped.
struct Server {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    fn start(capacity: usize) -> Self {
        let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
        let address = socket.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut datagrams = Mmsg::open(socket, Config::default()).unwrap();
            let mut zone = zone(capacity);
            let clock = Clock::start();
            let now = || Now { monotonic: clock.monotonic(), unix: clock.unix() };
            let mut due = TICK;
            while !stopped.load(Ordering::Relaxed) {
                let wait = due.saturating_sub(clock.monotonic());
                datagrams.receive(wait, &mut |from, bytes| zone.handle_datagram(now(), from, bytes)).unwrap();
                if clock.monotonic() >= due {
                    zone.step(now());
                    due = (due + TICK).max(clock.monotonic());
                }
                let time = now();
                let mut fill = |slot: &mut [u8]| {
                    let transmit = zone.poll_transmit(time, slot)?;
                    Some(Outgoing { to: transmit.to, len: transmit.len })
                };
                datagrams.transmit(&mut fill).unwrap();
            }
        });
        Self { address, stop, thread: Some(thread) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _joined = self.thread.take().unwrap().join();
    }
}

fn zone(capacity: usize) -> ZoneServer {
    let mut zone = ZoneServer::new(ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: Vec::new(),
        capacity,
        tick_hz: 64,
        timeout: Duration::from_secs(5),
        boot_unix_ms: u64::try_from(Clock::start().unix().as_millis()).unwrap(),
        random: [3; 32],
        max_commands_per_tick: 1000,
    })
    .unwrap();
    zone.install_key(KEY);
    zone
}

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
    let server = Server::start(100);
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
    let server = Server::start(5);
    let line = play("refused", &server, &"ab".repeat(32), 8);
    assert_eq!((&line["players"], &line["joins"]), (&json!(5), &json!(5)), "{line}");
    assert!(line["refused"].as_u64().unwrap() >= 3, "{line}");
}

#[test]
fn bots_with_the_wrong_key_do_not_get_in() {
    let server = Server::start(5);
    let line = play("wrong-key", &server, &"cd".repeat(32), 2);
    assert_eq!((&line["players"], &line["joins"]), (&json!(0), &json!(0)), "{line}");
}
