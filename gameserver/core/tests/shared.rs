//! Zone servers of one process that share a registry: one token opens one session, one player is in one place.

mod common;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use common::net::{Net, address};
use common::raw::{Bench, Peer};
use common::{ZoneServer, config, server_address};
use gameserver_client::ClientState::Disconnected;
use gameserver_client::DisconnectReason::{RequestTimedOut, TimedOut};
use gameserver_core::{ConfigError, MAX_SERVERS, Now, Refusal, Registry, ServerConfig};
use gameserver_protocol::{ConnectToken, PacketHeader, PacketKind, ServerAddresses};

const SECOND: Duration = Duration::from_secs(1);
const FIRST: usize = 0;
const OTHER: usize = 1;

fn addresses() -> [SocketAddr; 2] {
    [server_address(), address(1, 7778)]
}

/// Two zones of one process, which is reached at two addresses.
fn two_zones() -> Net {
    let registry = Some(Arc::new(Registry::new(16, config().boot_unix_ms, &[4; 32])));
    let [one, two] = addresses();
    let mut net = Net::new(vec![
        ServerConfig { public_addresses: vec![one, two], registry: registry.clone(), ..config() },
        ServerConfig { public_addresses: vec![two, one], registry, ..config() },
    ]);
    net.watch_nonces();
    net
}

fn home(port: u16) -> SocketAddr {
    address(100, port)
}

/// The token, to be used at this server first and only.
fn at(server: usize, mut token: ConnectToken) -> ConnectToken {
    token.server_addresses = ServerAddresses::new(&[addresses()[server]]).expect("an address");
    token
}

fn refused(net: &Net, server: usize, refusal: Refusal) -> u64 {
    net.servers[server].core.counters().refused(refusal)
}

/// Rule 18: used tokens are one table a process.
#[test]
fn a_token_that_opened_a_session_opens_none_at_the_other_server() {
    let mut net = two_zones();
    let token = net.mint(1);
    let first = net.add(home(1), at(FIRST, token.clone()));
    net.run(SECOND);
    let again = net.add(home(2), at(OTHER, token.clone()));
    net.run(6 * SECOND);
    assert!(net.is_connected(first));
    assert_eq!(net.state(again), Disconnected { reason: RequestTimedOut });
    net.leave(first);
    net.run(SECOND);
    net.replace(first, home(1), at(OTHER, token));
    net.run(6 * SECOND);
    assert_eq!(net.players(OTHER), 0, "not even from the same address, when the session is over");
    assert!(refused(&net, OTHER, Refusal::TokenReused) > 0);
}

/// Rule 18: player ids are one table a process.
#[test]
fn a_player_who_is_at_one_server_is_refused_at_the_other() {
    let mut net = two_zones();
    let (token, another) = (net.mint(1), net.mint(1));
    let first = net.add(home(1), at(FIRST, token));
    net.run(SECOND);
    let second = net.add(home(2), at(OTHER, another));
    net.run(SECOND);
    assert!(net.is_connected(first) && !net.is_connected(second));
    assert!(refused(&net, OTHER, Refusal::AlreadyConnected) > 0);
    net.leave(first);
    net.run(SECOND);
    assert!(net.is_connected(second), "as soon as it has left");
}

/// A server that said no has not used the token up: the client goes on to the next, as the standard wants.
#[test]
fn a_token_that_one_server_denied_is_good_at_the_next() {
    let mut net = two_zones();
    net.drain(FIRST);
    net.run(2 * SECOND);
    let token = net.mint(1);
    let client = net.add(home(1), token);
    net.run(SECOND);
    assert!(net.is_connected(client));
    assert_eq!((net.players(FIRST), net.players(OTHER)), (0, 1));
}

#[test]
fn a_player_who_comes_back_at_the_other_server_is_never_at_both() {
    let mut net = two_zones();
    let token = net.mint(1);
    let client = net.add(home(1), at(FIRST, token));
    net.run(SECOND);
    let now = net.now();
    let token = net.clients[client].client.resume_token(now).expect("it plays");
    net.replace(client, home(2), at(OTHER, token));
    let start = net.elapsed;
    while !net.is_connected(client) {
        net.step();
        assert!(net.players(FIRST) + net.players(OTHER) <= 1);
        assert!(
            net.elapsed.saturating_sub(start) < Duration::from_millis(250),
            "one more response than otherwise"
        );
    }
    net.run(SECOND);
    assert_eq!((net.players(FIRST), net.players(OTHER)), (0, 1));
    let (first, other) = (net.servers[FIRST].core.counters(), net.servers[OTHER].core.counters());
    assert_eq!((first.moves, first.timeouts, other.resumes, other.joins), (1, 0, 1, 1));
    assert!(refused(&net, OTHER, Refusal::Moving) >= 1);
    // and back again
    assert!(net.clients[client].client.resume_token(net.now()).is_some());
    let now = net.now();
    let token = net.clients[client].client.resume_token(now).expect("it plays");
    net.replace(client, home(1), at(FIRST, token));
    net.run(SECOND);
    assert_eq!((net.players(FIRST), net.players(OTHER)), (1, 0));
}

#[test]
fn of_who_wants_to_leave_a_server_that_stands_still_each_is_kept_in_mind_once_however_often_it_asks() {
    let mut net = two_zones();
    let players = config().capacity;
    let address_of = |player: usize, at: usize| home(u16::try_from(2 * player + at).expect("few players"));
    for player in 0..players {
        let token = net.mint(1 + player as u64);
        net.add(address_of(player, FIRST), at(FIRST, token));
    }
    net.run(SECOND);
    net.servers[FIRST].is_on = false;
    for player in 0..players {
        let token = net.clients[player].client.resume_token(net.now()).expect("it plays");
        net.replace(player, address_of(player, OTHER), at(OTHER, token));
    }
    net.run(3 * SECOND);
    assert!(refused(&net, OTHER, Refusal::Moving) > 2 * players as u64);
    assert_eq!((net.servers[OTHER].core.fill().evictions, net.players(OTHER)), (players, 0));
    net.servers[FIRST].is_on = true;
    net.run(SECOND);
    assert_eq!((net.servers[OTHER].core.fill().evictions, net.players(OTHER)), (0, players));
}

/// Two who hold tokens of one session, each at another server: the one with the newer token stays.
#[test]
fn a_stolen_token_at_the_other_server_gives_way_to_a_newer_one() {
    let mut net = two_zones();
    let token = net.mint(1);
    let client = net.add(home(1), at(FIRST, token));
    net.run(SECOND);
    let stolen = net.clients[client].client.resume_token(net.now()).expect("it plays");
    net.run(11 * SECOND);
    let thief = net.add(address(66, 1), at(OTHER, stolen));
    net.run(7 * SECOND);
    assert_eq!(net.state(client), Disconnected { reason: TimedOut });
    assert!(net.resume(client, home(1)));
    net.run(7 * SECOND);
    assert!(net.is_connected(client) && !net.is_connected(thief));
    assert_eq!((net.players(FIRST), net.players(OTHER)), (1, 0));
}

#[test]
fn players_of_a_server_that_ends_may_come_to_the_other() {
    let mut net = two_zones();
    let (token, another) = (net.mint(1), net.mint(1));
    net.add(home(1), at(FIRST, token));
    net.run(SECOND);
    let unshared = ServerConfig { registry: None, ..config() };
    net.restart(FIRST, unshared);
    let again = net.add(home(2), at(OTHER, another));
    net.run(SECOND);
    assert!(net.is_connected(again));
}

#[test]
fn servers_without_a_common_registry_know_nothing_of_each_other() {
    let [one, two] = addresses();
    let mut net = Net::new(vec![
        ServerConfig { public_addresses: vec![one, two], ..config() },
        ServerConfig { public_addresses: vec![two, one], ..config() },
    ]);
    let (token, another) = (net.mint(1), net.mint(1));
    let (first, second) = (net.add(home(1), at(FIRST, token)), net.add(home(2), at(OTHER, another)));
    net.run(SECOND);
    assert!(net.is_connected(first) && net.is_connected(second));
}

#[test]
fn a_registry_that_has_all_its_servers_takes_no_more() {
    let registry = Arc::new(Registry::new(1, 0, &[1; 32]));
    let server =
        || ZoneServer::new(ServerConfig { capacity: 1, registry: Some(Arc::clone(&registry)), ..config() });
    let servers: Vec<_> = (0..MAX_SERVERS).map(|_| server()).collect();
    assert!(servers.iter().all(Result::is_ok));
    assert_eq!(server().err(), Some(ConfigError::Registry));
}

/// Zones behind one port have one key, and an address of a player that leads to two of them: the host has two addresses.
#[test]
fn zones_that_are_shown_the_same_token_repeat_no_nonce() {
    let registry = Arc::new(Registry::new(16, config().boot_unix_ms, &[4; 32]));
    // the same random bytes for both, as it may be
    let zone = || Bench::with_config(ServerConfig { registry: Some(Arc::clone(&registry)), ..config() });
    let mut zones = [zone(), zone(), zone()];
    zones[2].server.drain(Now { unix: Duration::ZERO, ..zones[2].now() });
    let mut peer = Peer::new(zones[0].peer(1, 1000).token, 1000);
    let mut sequences = Vec::new();
    let mut sealed = |answers: &[Vec<u8>]| {
        sequences
            .extend(answers.iter().map(|answer| PacketHeader::parse(answer).expect("a packet").sequence));
    };
    let mut kinds = Vec::new();
    for _ in 0..3 {
        for zone in &mut zones {
            let answers = zone.exchange(peer.address, &peer.request());
            kinds.push(peer.open(&answers[0]).0);
            sealed(&answers);
        }
    }
    let expected = [PacketKind::Challenge, PacketKind::Challenge, PacketKind::Denied];
    assert_eq!(kinds, [expected; 3].concat());
    let challenges = [0, 1].map(|zone: usize| zones[zone].exchange(peer.address, &peer.request()));
    for answers in &challenges {
        sealed(answers);
    }
    for (zone, answers) in zones.iter_mut().zip(&challenges) {
        let response = peer.response(answers);
        sealed(&zone.exchange(peer.address, &response));
        zone.server.step(zone.now());
        sealed(&zone.poll(peer.address));
    }
    assert_eq!(zones.each_ref().map(Bench::players), [1, 0, 0]);
    let count = sequences.len();
    sequences.sort_unstable();
    sequences.dedup();
    assert!(count >= 12 && sequences.len() == count, "{} of {count} are different", sequences.len());
}

/// Shows each token to this thread's server until that is of one mind about it.
fn come(registry: &Arc<Registry>, tokens: &[ConnectToken], thread: usize) -> (u64, u64) {
    let config = ServerConfig { capacity: 500, registry: Some(Arc::clone(registry)), ..config() };
    let mut bench = Bench::with_config(config);
    let mut busy = 0;
    for (port, token) in (1000..).zip(tokens) {
        let mut peer = Peer::new(token.clone(), port);
        // half of the threads come from other addresses
        peer.address.set_ip([10, 0, 0, 1 + u8::try_from(thread % 2).unwrap_or(0)].into());
        for _ in 0..20 {
            let answers = bench.exchange(peer.address, &peer.request());
            if answers.first().is_some_and(|answer| peer.open(answer).0 == PacketKind::Challenge) {
                let response = peer.response(&answers);
                bench.exchange(peer.address, &response);
            }
            let is_busy = bench.server.counters().refused(Refusal::Busy);
            if is_busy == busy {
                break;
            }
            busy = is_busy;
        }
    }
    let outcome = (bench.server.counters().joins, busy);
    bench.server.disconnect_all(bench.now());
    outcome
}

/// Four threads that are shown the same four hundred tokens at the same time open four hundred sessions.
#[test]
fn a_token_opens_one_session_whatever_threads_do() {
    let bench = Bench::new();
    let tokens: Vec<_> = (0..400)
        .map(|client| bench.peer(client, 1000 + u16::try_from(client).expect("small")).token)
        .collect();
    let registry = Arc::new(Registry::new(2000, config().boot_unix_ms, &[4; 32]));
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let (registry, tokens) = (&registry, &tokens);
                scope.spawn(move || come(registry, tokens, thread))
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let joins: u64 = outcomes.iter().map(|outcome| outcome.0).sum();
    assert_eq!(joins, 400, "{outcomes:?}");
}
