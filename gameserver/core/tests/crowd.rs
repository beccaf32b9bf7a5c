//! Many at once: a thousand players behind one address who come back, a flood beside them, ten thousand sessions.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::net::{Net, address};
use common::raw::Bench;
use common::{SERVER_KEY, claims, server_address};
use gameserver_client::ClientState;
use gameserver_core::{Refusal, ServerConfig};
use gameserver_protocol::{PacketKind, write_request};

const SECOND: Duration = Duration::from_secs(1);
const PLAYERS: usize = 1000;

/// Few ticks, because here it is the handshakes that matter.
fn config() -> ServerConfig {
    ServerConfig { capacity: PLAYERS, tick_hz: 8, ..common::config() }
}

/// All of them behind one address.
fn home(client: usize) -> SocketAddr {
    address(100, 10_000 + u16::try_from(client).expect("few clients"))
}

/// A thousand players behind one address, each with a resume token.
fn playing() -> Net {
    let mut net = Net::new(vec![config()]);
    for client in 0..PLAYERS {
        let token = net.mint(client as u64);
        net.add(home(client), token);
    }
    net.run_until(5 * SECOND, all_in);
    net.run_until(2 * SECOND, |net| net.servers[0].core.counters().resume_tokens >= PLAYERS as u64);
    net.run(Duration::from_millis(50));
    net
}

fn all_in(net: &Net) -> bool {
    net.players(0) == PLAYERS && (0..PLAYERS).all(|client| net.is_connected(client))
}

/// The server's process is gone for a second, and begins anew.
fn restart(net: &mut Net) {
    net.servers[0].is_on = false;
    net.run(SECOND);
    net.restart(0, ServerConfig { random: [5; 32], ..config() });
}

/// What it cost: tokens tried for each player, and datagrams refused.
#[track_caller]
fn assert_cheap(net: &Net) {
    let counters = net.servers[0].core.counters();
    let refused: Vec<_> = counters.rejects().filter(|&(_, count)| count > 0).collect();
    assert_eq!(counters.tokens_tried, PLAYERS as u64, "one decryption each: {refused:?}");
    assert_eq!(counters.refused_handshakes(), 0, "{refused:?}");
}

/// Rule 17: they all lose the server at once and are back within five seconds, at default limits.
#[test]
fn a_thousand_players_behind_one_address_resume_at_a_restarted_server_within_five_seconds() {
    let mut net = playing();
    restart(&mut net);
    for client in 0..PLAYERS {
        assert!(net.resume(client, home(client)), "{client}");
    }
    let took = net.run_until(5 * SECOND, all_in);
    assert!(took < SECOND, "{took:?}");
    assert_cheap(&net);
}

#[test]
fn a_thousand_players_behind_one_address_join_anew_within_five_seconds() {
    let mut net = playing();
    restart(&mut net);
    for client in 0..PLAYERS {
        let token = net.mint(client as u64);
        net.replace(client, home(client), token);
    }
    net.run_until(5 * SECOND, all_in);
    assert_cheap(&net);
}

/// Their router forgets its ports: the server still holds all thousand sessions, and each player takes its own place.
#[test]
fn a_thousand_players_whose_ports_changed_take_their_places_within_five_seconds() {
    let mut net = playing();
    let before = net.servers[0].core.counters().clone();
    for client in 0..PLAYERS {
        let port = 20_000 + u16::try_from(client).expect("few clients");
        assert!(net.resume(client, address(100, port)));
    }
    net.run_until(5 * SECOND, all_in);
    let counters = net.servers[0].core.counters();
    assert_eq!(counters.resumes, PLAYERS as u64);
    assert_eq!((counters.joins, counters.leaves, counters.timeouts), (before.joins, 0, 0));
    assert_eq!(counters.tokens_tried - before.tokens_tried, PLAYERS as u64);
}

/// Forged requests from the players' own address.
struct Flood {
    request: Vec<u8>,
    ports: u16,
    port: u16,
    a_millisecond: usize,
}

impl Flood {
    fn new(net: &Net, ports: u16, a_millisecond: usize) -> Self {
        let token = claims(1, net.unix() + 10 * SECOND).mint(&[8; 32], &[7; 88]).expect("valid claims");
        let mut request = vec![0; 1200];
        let len = write_request(&token, &mut request).expect("there is room");
        request.truncate(len);
        Self { request, ports, port: 0, a_millisecond }
    }

    fn run(&mut self, net: &mut Net, milliseconds: u32) {
        for _ in 0..milliseconds {
            for _ in 0..self.a_millisecond {
                self.port = (self.port + 1) % self.ports;
                self.request[1000] = self.request[1000].wrapping_add(1);
                let after = Duration::from_micros(net.random.below(1000));
                let from = address(100, 30_000 + self.port);
                net.inject(after, from, server_address(), self.request.clone());
            }
            net.run(Duration::from_millis(1));
        }
    }
}

/// Players who come back within a second, in a flood that has gone on for two: how long it took until the last was in, and
/// the decryptions meanwhile.
fn resume_in_a_flood(ports: u16, a_millisecond: usize, patience: Duration) -> (Duration, u64) {
    let mut net = playing();
    restart(&mut net);
    let mut flood = Flood::new(&net, ports, a_millisecond);
    flood.run(&mut net, 2000);
    let (start, before) = (net.elapsed, net.servers[0].core.counters().tokens_tried);
    // not all at one moment: between any two of them come forgeries
    for client in 0..PLAYERS {
        assert!(net.resume(client, home(client)));
        flood.run(&mut net, 1);
    }
    while !all_in(&net) {
        let took = net.elapsed.saturating_sub(start);
        for client in 0..PLAYERS {
            // who is given up by its own timeout tries again, as any game would
            if matches!(net.state(client), ClientState::Disconnected { .. }) {
                let token = net.mint(client as u64);
                net.replace(client, home(client), token);
            }
        }
        assert!(took < patience, "{} of {PLAYERS} are in after {took:?}", net.players(0));
        flood.run(&mut net, 10);
    }
    let counters = net.servers[0].core.counters();
    assert!(counters.refused(Refusal::OverBudget) > 0);
    (net.elapsed.saturating_sub(start), counters.tokens_tried - before)
}

/// Rule 17: twenty thousand forged requests a second from the same address, out of two hundred ports, keep nobody out.
#[test]
fn a_flood_from_other_ports_of_their_address_does_not_keep_players_out() {
    let (took, tried) = resume_in_a_flood(200, 20, 5 * SECOND);
    assert!(took < SECOND + SECOND / 10, "{took:?}: the last who came was in at once");
    let most = PLAYERS as u64 + 200 * 4 * (took.as_secs() + 1);
    assert!(tried <= most, "{tried} decryptions in {took:?}");
}

/// Whoever forges every port of the address is bounded with it: of what comes in a second from there 4096 are tried,
/// players and forgeries as they come. So ten thousand forgeries a second let through two of five tries of a player, who
/// tries eight times a second.
#[test]
fn a_flood_from_all_ports_of_their_address_costs_no_more_than_an_address_may() {
    let (took, tried) = resume_in_a_flood(30_000, 10, 5 * SECOND);
    let most = PLAYERS as u64 + 4096 * (took.as_secs() + 1);
    assert!(tried <= most, "{tried} decryptions in {took:?}");
}

/// No cap below the capacity, and the same work for each packet however many are here: one decryption, no token.
#[test]
fn ten_thousand_sessions_cost_a_packet_no_more_than_ten() {
    let capacity = 10_000;
    let mut bench = Bench::with_config(ServerConfig { capacity, tick_hz: 1, ..common::config() });
    let mut peers = Vec::new();
    for client in 0..capacity {
        let mut peer = bench.peer_with_key(client as u64, 1, &SERVER_KEY);
        // all behind one address at one moment: what is taken costs none of its budget
        peer.address = home(client);
        peer.connect(&mut bench);
        peers.push(peer);
        if [10, capacity].contains(&peers.len()) {
            let before = bench.server.counters().clone();
            for peer in &mut peers {
                let packet = peer.seal(PacketKind::KeepAlive, &[0; 8]);
                bench.server.handle_datagram(bench.now(), peer.address, &mut packet.clone());
            }
            let counters = bench.server.counters();
            assert_eq!(counters.packets_tried - before.packets_tried, peers.len() as u64);
            assert_eq!(counters.tokens_tried, before.tokens_tried);
        }
        // tokens for those who are new
        let mut buffer = [0; 1200];
        while bench.server.poll_transmit(bench.now(), &mut buffer).is_some() {}
    }
    assert_eq!((bench.players(), bench.rejects()), (capacity, Vec::new()));
    assert_eq!(bench.server.counters().tokens_tried, capacity as u64);
    // and the one after them hears that it is full
    let mut late = bench.peer(99_999, 1);
    late.address = address(101, 1);
    let answers = bench.exchange(late.address, &late.request());
    assert_eq!(late.open(&answers[0]).0, PacketKind::Denied);
}

/// What belongs to no session costs nothing but a look: no decryption, no answer, none of anybody's budget.
#[test]
fn garbage_that_belongs_to_no_session_is_looked_at_and_no_more() {
    let mut bench = Bench::with_config(config());
    let mut random = common::Random::new(3);
    for number in 0..50_000_u32 {
        let from = SocketAddr::from(([10, 0, 0, 1], u16::try_from(number % 60_000).expect("small")));
        let mut bytes: [u8; 100] = random.bytes();
        // every prefix there is, requests of the wrong length among them
        bytes[0] = number.to_le_bytes()[0];
        bench.server.handle_datagram(bench.now(), from, &mut bytes);
        assert!(bench.server.poll_transmit(bench.now(), &mut [0; 1200]).is_none());
    }
    let counters = bench.server.counters();
    assert_eq!((counters.tokens_tried, counters.packets_tried), (0, 0));
    let looked = counters.refused(Refusal::NoSession) + counters.refused(Refusal::Malformed);
    assert_eq!(looked, 50_000);
    let mut peer = bench.peer(1, 1);
    peer.connect(&mut bench);
}

/// Who forges a player's address makes the server try some of it, never all, and the player plays on.
#[test]
fn packets_forged_in_a_players_name_are_tried_within_a_limit_and_the_player_stays() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.sequence = 1 << 60;
    peer.connect(&mut bench);
    let mut other = bench.peer(2, 1000);
    other.token.client_to_server_key = [1; 32];
    // ahead of the player's own, or they would be taken for replays
    other.sequence = 1 << 62;
    let before = bench.server.counters().packets_tried;
    for tenth in 0..100 {
        bench.elapsed = Duration::from_millis(tenth * 100);
        for _ in 0..1000 {
            let forged = other.seal(PacketKind::KeepAlive, &[0; 8]);
            bench.server.handle_datagram(bench.now(), peer.address, &mut forged.clone());
        }
        let own = peer.seal(PacketKind::KeepAlive, &[0; 8]);
        bench.server.handle_datagram(bench.now(), peer.address, &mut own.clone());
        bench.tick();
    }
    assert_eq!(bench.players(), 1, "ten seconds, each of its packets was heard");
    let counters = bench.server.counters();
    let tried = counters.packets_tried - before;
    let most = 100 + 256 + 7 * 100;
    assert!(tried <= most, "{tried} of 100 100: its own, a burst, and what is left each tenth of a second");
    assert_eq!(counters.refused(Refusal::Forged) + counters.refused(Refusal::TooManyForged), 100_000);
}
