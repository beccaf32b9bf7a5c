//! Each packet of the session protocol lost once, lost always, late or doubled, between our client and our server.

mod common;

use std::time::Duration;

use common::net::{Fate, Flight, Net, address};
use common::{config, server_address};
use gameserver_client::ClientState::{self, Connected, Denied, Disconnected};
use gameserver_client::DisconnectReason::{self, RequestTimedOut, ResponseTimedOut, TimedOut, TokenExpired};
use gameserver_core::{Refusal, ServerConfig};
use gameserver_protocol::PacketKind;

const SECOND: Duration = Duration::from_secs(1);

/// What becomes of the packets of one kind in one direction.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Once,
    Always,
    /// The first arrives behind those of the next 300 ms.
    Late,
    Double,
}

use Fault::{Always, Double, Late, Once};

const TO_SERVER: bool = true;
const TO_CLIENT: bool = false;

fn fate(fault: Fault, flight: &Flight) -> Fate {
    match (fault, flight.number) {
        (Always, _) | (Once, 0) => Fate::Lose,
        (Late, 0) => Fate::Late(Duration::from_millis(300)),
        (Double, _) => Fate::Twice(Duration::from_millis(3)),
        _ => Fate::Arrive,
    }
}

fn faulty(net: &mut Net, kind: PacketKind, is_to_server: bool, fault: Fault) {
    net.rule(move |flight| {
        let is_hit = flight.kind == kind && flight.is_to_server == is_to_server;
        if is_hit { fate(fault, flight) } else { Fate::Arrive }
    });
}

fn lost(reason: DisconnectReason) -> ClientState {
    Disconnected { reason }
}

fn one_server() -> Net {
    let mut net = Net::new(vec![config()]);
    net.watch_nonces();
    net
}

/// A whole handshake with one kind of packet at fault. Where the client ends up, within how many milliseconds, and how
/// many joined and timed out at the server within ten seconds more.
#[test]
fn the_handshake_survives_what_can_be_survived_and_ends_with_the_right_reason() {
    use PacketKind::{Challenge, KeepAlive, Payload, Request, Response};
    for (kind, to_server, fault, state, within_ms, joins, timeouts) in [
        (Request, TO_SERVER, Once, Connected, 250, 1, 0),
        (Request, TO_SERVER, Always, lost(RequestTimedOut), 5200, 0, 0),
        (Request, TO_SERVER, Late, Connected, 250, 1, 0),
        (Request, TO_SERVER, Double, Connected, 60, 1, 0),
        (Challenge, TO_CLIENT, Once, Connected, 250, 1, 0),
        (Challenge, TO_CLIENT, Always, lost(RequestTimedOut), 5200, 0, 0),
        (Challenge, TO_CLIENT, Late, Connected, 250, 1, 0),
        (Challenge, TO_CLIENT, Double, Connected, 60, 1, 0),
        (Response, TO_SERVER, Once, Connected, 250, 1, 0),
        (Response, TO_SERVER, Always, lost(ResponseTimedOut), 5200, 0, 0),
        (Response, TO_SERVER, Late, Connected, 250, 1, 0),
        (Response, TO_SERVER, Double, Connected, 60, 1, 0),
        (KeepAlive, TO_CLIENT, Once, Connected, 250, 1, 0),
        // the server holds a place for it until the token's five seconds are over
        (KeepAlive, TO_CLIENT, Always, lost(ResponseTimedOut), 5300, 1, 1),
        (KeepAlive, TO_CLIENT, Late, Connected, 250, 1, 0),
        (KeepAlive, TO_CLIENT, Double, Connected, 60, 1, 0),
        // the client is in, and neither hears the other's messages
        (Payload, TO_SERVER, Always, lost(TimedOut), 10_400, 1, 1),
        (Payload, TO_CLIENT, Always, lost(TimedOut), 5300, 1, 1),
        (Payload, TO_CLIENT, Double, Connected, 60, 1, 0),
    ] {
        let mut net = one_server();
        faulty(&mut net, kind, to_server, fault);
        let token = net.mint(1);
        let client = net.add(address(100, 1000), token);
        let name = format!("{kind:?} {fault:?}");
        let patience = Duration::from_millis(within_ms);
        let deadline = net.elapsed + patience;
        while net.state(client) != state {
            assert!(net.elapsed < deadline, "{name}: still {:?} after {patience:?}", net.state(client));
            net.step();
        }
        net.run(10 * SECOND);
        let counters = net.servers[0].core.counters();
        assert_eq!((counters.joins, counters.timeouts), (joins, timeouts), "{name}: {counters:?}");
        assert_eq!(net.state(client), state, "{name}: it stays so");
        assert_eq!(net.players(0), usize::from(state == Connected), "{name}");
    }
}

#[test]
fn a_denial_ends_the_attempt_whatever_happens_to_it_on_the_way() {
    for (fault, state, within_ms) in [
        (Once, Denied, 250),
        (Always, lost(RequestTimedOut), 5200),
        (Late, Denied, 350),
        (Double, Denied, 60),
    ] {
        let mut net = Net::new(vec![ServerConfig { capacity: 1, ..config() }]);
        let token = net.mint(1);
        let first = net.add(address(100, 1000), token);
        net.run(SECOND);
        faulty(&mut net, PacketKind::Denied, TO_CLIENT, fault);
        let token = net.mint(2);
        let second = net.add(address(100, 1001), token);
        net.run(Duration::from_millis(within_ms));
        assert_eq!(net.state(second), state, "{fault:?}");
        assert!(net.is_connected(first) && net.players(0) == 1);
        let denials = net.servers[0].core.counters().denials;
        assert!(denials <= 8 + 4 * 6, "{denials}: eight at once and four a second");
    }
}

#[test]
fn a_clients_goodbye_ends_the_session_once_and_its_loss_costs_the_timeout() {
    for (fault, leaves, timeouts) in [(Once, 1, 0), (Always, 0, 1), (Late, 1, 0), (Double, 1, 0)] {
        let mut net = one_server();
        let token = net.mint(1);
        let client = net.add(address(100, 1000), token);
        net.run(SECOND);
        faulty(&mut net, PacketKind::Disconnect, TO_SERVER, fault);
        net.leave(client);
        net.run(Duration::from_millis(50));
        assert_eq!(net.players(0), usize::from(leaves == 0), "{fault:?}");
        net.run(6 * SECOND);
        let counters = net.servers[0].core.counters();
        assert_eq!((counters.leaves, counters.timeouts), (leaves, timeouts), "{fault:?}");
        assert_eq!(net.state(client), lost(DisconnectReason::ByClient));
        assert_eq!(net.players(0), 0);
    }
}

#[test]
fn a_servers_goodbye_ends_the_session_once_and_its_loss_costs_the_timeout() {
    for (fault, reason) in [
        (Once, DisconnectReason::ByServer),
        (Always, TimedOut),
        (Late, DisconnectReason::ByServer),
        (Double, DisconnectReason::ByServer),
    ] {
        let mut net = one_server();
        let token = net.mint(1);
        let client = net.add(address(100, 1000), token);
        net.run(SECOND);
        faulty(&mut net, PacketKind::Disconnect, TO_CLIENT, fault);
        net.disconnect_all(0);
        assert_eq!(net.players(0), 0);
        net.run(6 * SECOND);
        assert_eq!(net.state(client), lost(reason), "{fault:?}");
        assert_eq!(net.players(0), 0, "what is still under way brings nobody back");
    }
}

/// Half of everything lost, a fifth doubled, all of it out of order, for fifty seeds.
#[test]
fn a_bad_network_opens_one_session_each() {
    for seed in 1..=50 {
        let mut net = one_server();
        let mut chance = common::Random::new(seed);
        net.rule(move |_| match chance.below(100) {
            0..50 => Fate::Lose,
            50..70 => Fate::Twice(Duration::from_millis(chance.below(300))),
            _ => Fate::Late(Duration::from_millis(chance.below(120))),
        });
        for id in 0..4 {
            let token = net.mint(id);
            net.add(address(100, 1000 + u16::try_from(id).expect("small")), token);
        }
        let all_in = |net: &Net| (0..4).all(|client| net.is_connected(client));
        net.run_until(5 * SECOND, all_in);
        let counters = net.servers[0].core.counters();
        assert_eq!((counters.joins, net.players(0)), (4, 4), "seed {seed}");
    }
}

type Prepare = fn(&mut Net);

#[test]
fn a_client_goes_on_to_the_next_server_when_the_first_is_full_silent_or_draining() {
    let second = address(2, 7777);
    let servers = || {
        let one = ServerConfig { capacity: 1, ..config() };
        let two = ServerConfig { public_addresses: vec![second], ..config() };
        Net::new(vec![one, two])
    };
    let fill: Prepare = |net| {
        let token = net.mint(99);
        net.add(address(101, 1), token);
        net.run(SECOND);
    };
    let silence: Prepare = |net| net.servers[0].is_on = false;
    let drain: Prepare = |net| {
        net.drain(0);
        net.run(2 * SECOND);
    };
    let lose_challenges: Prepare =
        |net| net.rule(|flight| if flight.from == server_address() { Fate::Lose } else { Fate::Arrive });
    let lose_responses: Prepare = |net| {
        net.rule(|flight| {
            let is_hit = flight.kind == PacketKind::Response && flight.to == server_address();
            if is_hit { Fate::Lose } else { Fate::Arrive }
        });
    };
    for (name, prepare, within_ms) in [
        ("full", fill, 150),
        ("silent", silence, 5300),
        ("draining", drain, 150),
        ("unheard", lose_challenges, 5300),
        ("deaf", lose_responses, 5400),
    ] {
        let mut net = servers();
        prepare(&mut net);
        let token = net.mint(1);
        let client = net.add(address(100, 1000), token);
        net.run(Duration::from_millis(within_ms));
        assert!(net.is_connected(client), "{name}: {:?}", net.state(client));
        assert_eq!(net.clients[client].client.server_address(), second, "{name}");
        assert_eq!(net.players(1), 1, "{name}");
    }
}

#[test]
fn when_every_server_says_no_the_client_hears_it_from_the_last() {
    let two = ServerConfig { public_addresses: vec![address(2, 7777)], capacity: 1, ..config() };
    let mut net = Net::new(vec![ServerConfig { capacity: 1, ..config() }, two]);
    for id in 1..=3 {
        let token = net.mint(id);
        net.add(address(100, 1000 + u16::try_from(id).expect("small")), token);
        net.run(SECOND);
    }
    assert_eq!((net.players(0), net.players(1)), (1, 1));
    assert_eq!((net.state(0), net.state(1), net.state(2)), (Connected, Connected, Denied));
}

/// Six servers that never answer: the token's thirty seconds are over before the sixth has been given up.
#[test]
fn a_token_that_expires_on_the_way_ends_the_attempt() {
    let configs =
        (1..=7).map(|host| ServerConfig { public_addresses: vec![address(host, 7777)], ..config() });
    let mut net = Net::new(configs.collect());
    net.rule(|flight| if flight.is_to_server { Fate::Lose } else { Fate::Arrive });
    let token = net.mint(1);
    let client = net.add(address(100, 1000), token);
    net.run(Duration::from_millis(29_900));
    assert_eq!(net.state(client), ClientState::Connecting);
    net.run(Duration::from_millis(300));
    assert_eq!(net.state(client), lost(TokenExpired));
}

/// The server looks at the expiry of a request, not of a response: the handshake under way is finished.
#[test]
fn a_token_that_expires_between_challenge_and_response_still_joins() {
    let mut net = one_server();
    let token = net.mint(1);
    let expire = Duration::from_secs(token.expire_unix);
    // so that the first request arrives just before the expiry, and its response after it
    net.run(expire.saturating_sub(net.unix() + Duration::from_millis(40)));
    net.rule(|flight| match flight.kind {
        PacketKind::Response if flight.number == 0 => Fate::Late(Duration::from_millis(200)),
        _ => Fate::Arrive,
    });
    let client = net.add(address(100, 1000), token.clone());
    net.run(SECOND);
    assert!(net.is_connected(client) && net.unix() > expire);
    let late = net.add(address(100, 1001), token);
    net.run(SECOND);
    assert!(!net.is_connected(late));
    assert!(net.servers[0].core.counters().refused(Refusal::TokenExpired) > 0);
}

#[test]
fn a_token_that_was_used_and_a_player_who_is_in_get_no_second_session() {
    let mut net = one_server();
    let token = net.mint(1);
    let first = net.add(address(100, 1000), token.clone());
    net.run(SECOND);
    let thief = net.add(address(100, 1001), token.clone());
    let again = net.mint(1);
    let same_player = net.add(address(100, 1002), again);
    net.run(6 * SECOND);
    assert!(net.is_connected(first));
    assert_eq!(net.state(thief), lost(RequestTimedOut));
    assert_eq!(net.state(same_player), lost(RequestTimedOut));
    net.leave(first);
    net.run(SECOND);
    net.replace(thief, address(100, 1001), token);
    net.run(6 * SECOND);
    assert_eq!(net.state(thief), lost(RequestTimedOut), "the session's end does not free its token");
    let fresh = net.mint(1);
    net.replace(same_player, address(100, 1002), fresh);
    net.run(SECOND);
    assert!(net.is_connected(same_player), "a fresh token does");
    assert_eq!(net.servers[0].core.counters().joins, 2);
}

/// Rule 15, with both ends: a token from before the drain joins, one from after it is told no, who is in stays.
#[test]
fn a_drain_lets_older_tokens_in_and_tells_newer_ones_no() {
    let mut net = one_server();
    let token = net.mint(1);
    let inside = net.add(address(100, 1000), token);
    net.run(SECOND);
    let before = net.mint(2);
    net.run(10 * SECOND);
    net.drain(0);
    net.run(2 * SECOND);
    let after = net.mint(3);
    let (late, early) = (net.add(address(100, 1001), after), net.add(address(100, 1002), before));
    net.run(SECOND);
    assert_eq!((net.state(inside), net.state(early), net.state(late)), (Connected, Connected, Denied));
    net.leave(inside);
    net.leave(early);
    net.run(25 * SECOND);
    assert!(!net.is_drained(0), "a token from before may still come");
    net.run(3 * SECOND);
    assert!(net.is_drained(0));
}
