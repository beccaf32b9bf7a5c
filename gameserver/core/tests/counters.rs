//! Each counter rises when what it counts happens, and those of trouble stay at zero while there is none.

mod common;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::net::{Net, address};
use common::raw::{Bench, Peer};
use common::{BOOT_UNIX, Network, SERVER_KEY, World, config, server_address};
use gameserver_client::Event;
use gameserver_core::{Counters, Game, Now, Registry, ServerConfig, ZoneServer};
use gameserver_game::{Audience, Command, Entity, Notice, Output, Setup};
use gameserver_protocol::message::{FieldList, Fields, InputsHead, encode_inputs};
use gameserver_protocol::{PacketKind, ServerAddresses};

const SECOND: Duration = Duration::from_secs(1);

/// Counters by name, as their debug form has them.
fn by_name(counters: &Counters) -> BTreeMap<String, u64> {
    let text = format!("{counters:?}");
    let text = text.trim_start_matches("Counters { ").trim_end_matches(" }");
    let mut fields = BTreeMap::new();
    for field in text.split(", ").filter_map(|field| field.split_once(": ")) {
        if let Ok(value) = field.1.parse() {
            fields.insert(field.0.to_owned(), value);
        }
    }
    fields
}

fn bench(capacity: usize, max_commands_per_tick: usize) -> Bench {
    Bench::with_config(ServerConfig { capacity, max_commands_per_tick, ..config() })
}

/// One player who has played for five seconds over such a network.
fn played(network: Network) -> World {
    let mut world = World::new(3, network);
    let player = world.add_player();
    world.run(SECOND);
    for _ in 0..256 {
        let (now, (x, y)) = (world.now(), common::place(&world.players[player].client));
        let step = if x > 500_000 { -1000 } else { 1000 };
        let intent = gameserver_game::arena::intents::Intent::Move { x: x + step, y };
        world.players[player].client.send_soon(now, intent);
        world.run(Duration::from_millis(16));
    }
    assert!(world.players[player].events.iter().any(|event| matches!(event, Event::Confirmed { .. })));
    world
}

fn calm() -> Counters {
    played(Network::default()).server.counters().clone()
}

fn lossy() -> Counters {
    let network = Network { loss_percent: 10, delay_ms: 20, ..Network::default() };
    played(network).server.counters().clone()
}

fn left() -> Counters {
    let mut world = played(Network::default());
    world.players[0].client.disconnect();
    world.run(SECOND);
    world.server.counters().clone()
}

fn silent() -> Counters {
    let mut world = played(Network::default());
    world.players[0].is_on = false;
    world.run(6 * SECOND);
    world.server.counters().clone()
}

fn full() -> Counters {
    let mut bench = bench(1, 100);
    bench.peer(1, 1000).connect(&mut bench);
    let late = bench.peer(2, 1001);
    bench.exchange(late.address, &late.request());
    bench.server.counters().clone()
}

/// A player who goes on at the other server of the process, and what both have counted.
fn moved() -> [Counters; 2] {
    let registry = Some(Arc::new(Registry::new(16, config().boot_unix_ms, &[4; 32])));
    let addresses = [server_address(), address(1, 7778)];
    let mut net = Net::new(
        addresses
            .map(|own| {
                let public_addresses = vec![own, addresses[usize::from(own == addresses[0])]];
                ServerConfig { public_addresses, registry: registry.clone(), ..config() }
            })
            .into(),
    );
    let at = |server: usize| ServerAddresses::new(&[addresses[server]]).expect("an address");
    let mut token = net.mint(1);
    token.server_addresses = at(0);
    let client = net.add(address(100, 1), token);
    net.run(SECOND);
    let mut token = net.clients[client].client.resume_token(net.now()).expect("it plays");
    token.server_addresses = at(1);
    net.replace(client, address(100, 2), token);
    net.run(SECOND);
    [0, 1].map(|server| net.servers[server].core.counters().clone())
}

/// Inputs for a tick that is over, for one that is far away, and more than a tick carries out.
fn hurried() -> Counters {
    let mut bench = bench(8, 3);
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    (0..20).for_each(|_| bench.tick());
    let late: Vec<_> = (1..=6).map(|sequence| (sequence, 5, -1, 0)).collect();
    let early: Vec<_> = (7..=38).map(|sequence| (sequence, 60, -1, 0)).collect();
    for moves in [late, early] {
        let packet = peer.moves(0, &moves);
        bench.exchange(peer.address, &packet);
    }
    bench.tick();
    bench.server.counters().clone()
}

/// Handshakes that nobody sends the answers of.
fn stuck() -> Counters {
    let mut bench = bench(8, 100);
    for id in 0..64 {
        let peer = bench.peer(id, 1000 + u16::try_from(id).expect("small"));
        for _ in 0..3 {
            bench.server.handle_datagram(bench.now(), peer.address, &mut peer.request());
        }
    }
    bench.server.counters().clone()
}

/// A game of which everyone has to be told everything, and each tick something new.
struct Parade {
    tick: u64,
    marching: Vec<bool>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Marcher;

impl Fields for Marcher {
    fn to_fields(&self) -> FieldList {
        FieldList::new(&[0])
    }
    fn from_fields(_fields: &[i64]) -> Option<Self> {
        Some(Self)
    }
}

impl Game for Parade {
    type Intent = Marcher;
    type Own = Marcher;
    const MAP_UNITS: i32 = 1000;

    fn new(setup: Setup) -> Self {
        Self { tick: 0, marching: vec![false; setup.capacity as usize] }
    }
    fn entity_capacity(capacity: u32) -> u32 {
        capacity
    }
    fn join(&mut self, player: u32, _client_id: u64) {
        self.marching[player as usize] = true;
    }
    fn leave(&mut self, player: u32) {
        self.marching[player as usize] = false;
    }
    fn has_joined(&self, player: u32) -> bool {
        self.marching[player as usize]
    }
    fn step(&mut self, _commands: &[Command<Marcher>], output: &mut Output) {
        self.tick += 1;
        output.notices.push((Audience::Everyone, Notice { code: 1, figures: [0; 3] }));
    }
    fn tick(&self) -> u64 {
        self.tick
    }
    fn entities(&self) -> impl Iterator<Item = (u32, Entity)> {
        let step = i32::try_from(self.tick % 100).expect("small");
        let there = (0..).zip(&self.marching).filter(|&(_, &there)| there);
        there.map(move |(slot, _): (u32, _)| {
            let fields = [1, 3, 5, 7].map(|factor| step * step * 1000 * factor);
            (slot, Entity { id: slot + 1, kind: 1, x: 5000 + step, y: 5000 - step, fields })
        })
    }
    fn own(&self, player: u32) -> Option<Marcher> {
        self.has_joined(player).then_some(Marcher)
    }
    fn predict(_tick_hz: u32, _tick: u64, _own: &mut Marcher, _intents: &[Marcher]) {}
    fn place(_own: &Marcher) -> (i32, i32) {
        (5000, 5000)
    }
    fn state_hash(&self) -> u64 {
        self.tick
    }
    fn violations(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Sixty players who see each other and have each heard of another tick last.
fn crowded() -> Counters {
    let mut server: ZoneServer<Parade> = ZoneServer::new(ServerConfig {
        capacity: 60,
        snapshot_bytes: 1200,
        replication_hz: 1000,
        ..config()
    })
    .expect("a valid configuration");
    server.install_key(SERVER_KEY);
    let mut peers: Vec<Peer> =
        (0..60).map(|id| Bench::new().peer(id, 1000 + u16::try_from(id).expect("small"))).collect();
    let (mut buffer, mut elapsed) = ([0; 1200], Duration::ZERO);
    for peer in &mut peers {
        let now = Now { monotonic: elapsed, unix: BOOT_UNIX };
        server.handle_datagram(now, peer.address, &mut peer.request());
        let sent = server.poll_transmit(now, &mut buffer).expect("a challenge");
        let mut response = peer.response(&[buffer[..sent.len].to_vec()]);
        server.handle_datagram(now, peer.address, &mut response);
        while server.poll_transmit(now, &mut buffer).is_some() {}
    }
    for tick in 0..100_u64 {
        elapsed += Duration::from_micros(15_625);
        let now = Now { monotonic: elapsed, unix: BOOT_UNIX + elapsed };
        for (behind, peer) in (0..).zip(&mut peers) {
            let (ack_tick, mut body) = (tick.saturating_sub(behind % 40), [0; 64]);
            let head = InputsHead { stamp: 1, ack_tick, ..InputsHead::default() };
            let len = encode_inputs(&mut body, &head, [].iter()).expect("no inputs");
            let mut packet = peer.seal(PacketKind::Payload, &body[..len]);
            server.handle_datagram(now, peer.address, &mut packet);
        }
        server.step(now);
        while server.poll_transmit(now, &mut buffer).is_some() {}
    }
    server.counters().clone()
}

#[test]
fn each_counter_rises_when_what_it_counts_happens() {
    let [before, after] = moved();
    let cases: [(&str, Counters, &[&str]); 10] = [
        (
            "a player plays",
            calm(),
            &[
                "packets_in",
                "packets_out",
                "from_strangers",
                "bytes_in",
                "bytes_out",
                "joins",
                "resume_tokens",
                "tokens_tried",
                "packets_tried",
                "inputs_applied",
                "snapshots",
            ],
        ),
        ("one datagram in ten is lost", lossy(), &["snapshots_lost", "packets_lost", "inputs_repeated"]),
        ("a player leaves", left(), &["leaves"]),
        ("a player falls silent", silent(), &["timeouts", "snapshots_lost"]),
        ("a server is full", full(), &["denials"]),
        ("a player goes on elsewhere", before, &["moves"]),
        ("and is known there", after, &["resumes"]),
        (
            "inputs come late, early and in masses",
            hurried(),
            &["inputs_late", "inputs_deferred", "commands_deferred"],
        ),
        ("answers are not sent", stuck(), &["answers_dropped"]),
        ("there is more news than room", crowded(), &["notices_dropped", "cells_unkept"]),
    ];
    let mut unmoved = by_name(&Counters::default());
    assert!(unmoved.len() > 20, "the counters are not understood: {unmoved:?}");
    for (name, counters, expected) in cases {
        let counted = by_name(&counters);
        for field in expected {
            assert!(counted[*field] > 0, "{name}: {field} in {counted:?}");
            unmoved.remove(*field);
        }
    }
    assert!(unmoved.is_empty(), "nothing moves {unmoved:?}");
}

#[test]
fn where_all_is_well_nothing_is_counted_as_trouble() {
    let counted = by_name(&calm());
    for field in [
        "leaves",
        "timeouts",
        "resumes",
        "moves",
        "denials",
        "inputs_deferred",
        "commands_deferred",
        "inputs_late",
        "notices_dropped",
        "snapshots_lost",
        "packets_lost",
        "cells_unkept",
        "answers_dropped",
    ] {
        assert_eq!(counted[field], 0, "{field} in {counted:?}");
    }
}

#[test]
fn loss_is_counted_as_the_network_loses_both_ways() {
    for loss_percent in [2, 10, 30] {
        let network = Network { loss_percent, delay_ms: 20, jitter_ms: 15, ..Network::default() };
        let mut world = played(network);
        world.run(180 * SECOND);
        let counters = world.server.counters();
        // an acknowledgement names the 64 before it, so that all but the last are known
        let [down, up] = [
            (counters.snapshots_lost, counters.snapshots),
            (counters.packets_lost, counters.packets_in + counters.packets_lost),
        ]
        .map(|(lost, all)| 100 * lost / all);
        for (way, found) in [("down", down), ("up", up)] {
            assert!(
                found.abs_diff(loss_percent) <= 1 + loss_percent / 10,
                "{way} {loss_percent} %: {counters:?}"
            );
        }
    }
}

#[test]
fn round_trips_are_those_of_the_network() {
    let mut world = played(Network { delay_ms: 20, ..Network::default() });
    let round_trips = world.server.take_histograms().round_trip_us;
    assert!(round_trips.count() > 200, "one an acknowledgement: {}", round_trips.count());
    let mean = round_trips.mean().expect("some");
    assert!((40_000..45_000).contains(&mean), "{mean} us");
}

/// A player may say what it likes of the numbers of its packets.
#[test]
fn a_player_who_skips_numbers_loses_no_more_than_it_may_send() {
    let mut bench = bench(8, 100);
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let address: SocketAddr = peer.address;
    for packet in 1..=640_u32 {
        bench.elapsed = Duration::from_secs(packet.into()) / 64;
        peer.sequence += 1 << 40;
        let keep_alive = peer.seal(PacketKind::KeepAlive, &[0; 8]);
        bench.exchange(address, &keep_alive);
    }
    // ten seconds, in which it may send 256 a second
    let lost = bench.server.counters().packets_lost;
    assert!(lost <= 10 * 256 + 640, "{lost}");
}
