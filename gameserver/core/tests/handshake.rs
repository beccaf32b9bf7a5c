//! Who gets in, who does not, and that nobody learns why.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::raw::{Bench, Peer};
use common::{SERVER_KEY, claims, config, server_address};
use gameserver_core::{Refusal, ServerConfig};
use gameserver_protocol::{ConnectToken, ConnectTokenClaims, PacketKind, TOKEN_RANDOM_BYTES};

const RANDOM: [u8; TOKEN_RANDOM_BYTES] = [5; TOKEN_RANDOM_BYTES];

fn mint(claims: ConnectTokenClaims<'_>) -> ConnectToken {
    claims.mint(&SERVER_KEY, &RANDOM).expect("valid claims")
}

/// Sends one request and expects silence and just this count.
#[track_caller]
fn assert_ignored(bench: &mut Bench, peer: &Peer, refusal: Refusal) {
    let before = bench.server.counters().refused(refusal);
    assert_eq!(bench.exchange(peer.address, &peer.request()), Vec::<Vec<u8>>::new(), "no answer");
    assert_eq!(bench.server.counters().refused(refusal), before + 1, "{:?}", bench.rejects());
}

#[test]
fn a_valid_token_leads_through_challenge_and_response_into_the_game() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    assert_eq!(bench.players(), 1);
    assert_eq!(bench.server.counters().joins, 1);
    assert_eq!(bench.rejects(), []);
}

#[test]
fn without_a_key_nobody_gets_in() {
    let mut bench = Bench::new();
    bench.server = gameserver_core::ZoneServer::new(config()).expect("a valid configuration");
    let peer = bench.peer(1, 1000);
    assert!(!bench.server.has_key());
    assert_ignored(&mut bench, &peer, Refusal::NoKey);
}

#[test]
fn a_token_under_another_key_is_ignored() {
    let mut bench = Bench::new();
    let peer = bench.peer_with_key(1, 1000, &[8; 32]);
    assert_ignored(&mut bench, &peer, Refusal::TokenForged);
}

#[test]
fn the_key_before_stays_good_until_its_tokens_have_expired() {
    let mut bench = Bench::new();
    let mut old = bench.peer(1, 1000);
    bench.server.install_key([8; 32]);
    bench.tick();
    old.connect(&mut bench);
    bench.peer_with_key(2, 1001, &[8; 32]).connect(&mut bench);
    bench.elapsed += Duration::from_secs(61);
    bench.tick();
    let late = bench.peer(3, 1002);
    assert_ignored(&mut bench, &late, Refusal::TokenForged);
}

#[test]
fn a_token_is_good_until_the_second_it_expires() {
    let mut bench = Bench::new();
    let (mut early, late) = (bench.peer(1, 1000), bench.peer(2, 1001));
    bench.elapsed = Duration::from_millis(29_700);
    early.connect(&mut bench);
    bench.elapsed = Duration::from_millis(29_750);
    assert_ignored(&mut bench, &late, Refusal::TokenExpired);
}

#[test]
fn a_token_minted_for_longer_than_any_is_ignored() {
    let mut bench = Bench::new();
    let long = ConnectTokenClaims { lifetime_seconds: 3600, ..claims(1, bench.now().unix) };
    assert_ignored(&mut bench, &Peer::new(mint(long), 1000), Refusal::TokenLifetime);
}

#[test]
fn a_token_for_other_servers_is_ignored() {
    let mut bench = Bench::new();
    let elsewhere = [SocketAddr::from(([192, 0, 2, 2], 7777))];
    let other = ConnectTokenClaims { server_addresses: &elsewhere, ..claims(1, bench.now().unix) };
    assert_ignored(&mut bench, &Peer::new(mint(other), 1000), Refusal::OtherServer);
}

#[test]
fn a_server_takes_tokens_for_where_players_reach_it_besides() {
    let mut bench = Bench::new();
    let own = server_address();
    let elsewhere = |port| [SocketAddr::from(([192, 0, 2, 2], port))];
    let (home, there, other_port) = ([own], elsewhere(own.port()), elsewhere(own.port() + 1));
    let mut client = 0;
    let mut bearer = |bench: &Bench, server_addresses| {
        client += 1;
        let claims = ConnectTokenClaims { server_addresses, ..claims(client, bench.now().unix) };
        Peer::new(mint(claims), 1000 + u16::try_from(client).unwrap())
    };
    bench.server.also_reached_at(there[0].ip());
    bearer(&bench, &there).connect(&mut bench);
    bearer(&bench, &home).connect(&mut bench);
    let peer = bearer(&bench, &other_port);
    assert_ignored(&mut bench, &peer, Refusal::OtherServer);
    bench.server.also_reached_at([192, 0, 2, 3].into());
    let peer = bearer(&bench, &there);
    assert_eq!(bench.exchange(peer.address, &peer.request()).len(), 0);
    assert_eq!(bench.server.counters().refused(Refusal::OtherServer), 2);
}

#[test]
fn a_server_without_addresses_takes_tokens_for_any() {
    let mut bench = Bench::with_config(ServerConfig { public_addresses: Vec::new(), ..config() });
    let elsewhere = [SocketAddr::from(([192, 0, 2, 2], 7777))];
    let other = ConnectTokenClaims { server_addresses: &elsewhere, ..claims(1, bench.now().unix) };
    Peer::new(mint(other), 1000).connect(&mut bench);
}

#[test]
fn another_protocol_or_a_malformed_request_is_ignored() {
    let mut bench = Bench::new();
    let other = ConnectTokenClaims { protocol_id: 1, ..claims(1, bench.now().unix) };
    assert_ignored(&mut bench, &Peer::new(mint(other), 1000), Refusal::OtherProtocol);
    let request = bench.peer(2, 1000).request();
    for bytes in [&request[..1077], &[&request[..], &[0]].concat(), &[], &[0]] {
        assert!(bench.exchange(SocketAddr::from(([10, 0, 0, 1], 1)), bytes).is_empty());
    }
    assert_eq!(bench.server.counters().refused(Refusal::Malformed), 4);
}

#[test]
fn a_changed_expiry_does_not_authenticate() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.token.expire_unix += 1;
    assert_ignored(&mut bench, &peer, Refusal::TokenForged);
}

#[test]
fn a_token_belongs_to_the_address_that_used_it_first() {
    let mut bench = Bench::new();
    let peer = bench.peer(1, 1000);
    assert_eq!(bench.exchange(peer.address, &peer.request()).len(), 1);
    let thief = Peer::new(peer.token.clone(), 1001);
    assert_ignored(&mut bench, &thief, Refusal::TokenReused);
}

#[test]
fn a_token_opens_one_session_only() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let goodbye = peer.seal(PacketKind::Disconnect, &[]);
    bench.exchange(peer.address, &goodbye);
    assert_eq!((bench.players(), bench.server.counters().leaves), (0, 1));
    assert_ignored(&mut bench, &peer, Refusal::TokenReused);
    bench.elapsed += Duration::from_secs(1);
    bench.peer(1, 1000).connect(&mut bench);
}

#[test]
fn a_player_or_address_that_is_connected_is_not_connected_again() {
    let mut bench = Bench::new();
    bench.peer(1, 1000).connect(&mut bench);
    let (same_player, same_address) = (bench.peer(1, 1001), bench.peer(2, 1000));
    assert_ignored(&mut bench, &same_player, Refusal::AlreadyConnected);
    assert_ignored(&mut bench, &same_address, Refusal::AlreadyConnected);
}

#[test]
fn of_two_handshakes_of_one_player_the_faster_wins() {
    let mut bench = Bench::new();
    let (mut one, mut two) = (bench.peer(1, 1000), bench.peer(1, 1001));
    let first = bench.exchange(one.address, &one.request());
    let second = bench.exchange(two.address, &two.request());
    let response = two.response(&second);
    bench.exchange(two.address, &response);
    let response = one.response(&first);
    assert!(bench.exchange(one.address, &response).is_empty());
    assert_eq!(bench.server.counters().refused(Refusal::AlreadyConnected), 1);
    assert_eq!(bench.players(), 1);
}

#[test]
fn a_full_server_says_no_in_less_than_was_asked() {
    let mut bench = Bench::with_config(ServerConfig { capacity: 1, ..config() });
    bench.peer(1, 1000).connect(&mut bench);
    let late = bench.peer(2, 1001);
    let answers = bench.exchange(late.address, &late.request());
    assert_eq!(late.open(&answers[0]), (PacketKind::Denied, Vec::new()));
    assert_eq!(bench.server.counters().denials, 1);
    for _ in 0..3000 {
        bench.exchange(late.address, &late.request());
    }
    assert_eq!(bench.server.counters().denials, 8, "asking again and again has its limit");
}

#[test]
fn a_server_that_filled_up_during_the_handshake_says_no() {
    let mut bench = Bench::with_config(ServerConfig { capacity: 1, ..config() });
    let (mut one, mut two) = (bench.peer(1, 1000), bench.peer(2, 1001));
    let challenge = bench.exchange(two.address, &two.request());
    one.connect(&mut bench);
    let response = two.response(&challenge);
    let answers = bench.exchange(two.address, &response);
    assert_eq!(two.open(&answers[0]).0, PacketKind::Denied);
    assert_eq!(bench.players(), 1);
}

#[test]
fn a_repeated_request_is_challenged_again_without_another_decryption() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    let first = bench.exchange(peer.address, &peer.request());
    let second = bench.exchange(peer.address, &peer.request());
    assert_ne!(first, second, "a challenge never repeats a nonce");
    for answers in [&first, &second] {
        assert_eq!(peer.open(&answers[0]).0, PacketKind::Challenge);
    }
    let response = peer.response(&first);
    assert_eq!(bench.exchange(peer.address, &response).len(), 1, "either challenge may be answered");
}

#[test]
fn a_challenge_of_another_boot_is_no_proof() {
    let mut bench = Bench::new();
    let mut other = Bench::with_config(ServerConfig { random: [5; 32], ..config() });
    let mut peer = bench.peer(1, 1000);
    bench.exchange(peer.address, &peer.request());
    let foreign = other.exchange(peer.address, &peer.request());
    let response = peer.response(&foreign);
    assert!(bench.exchange(peer.address, &response).is_empty());
    assert_eq!(bench.rejects(), [("challenge_forged", 1)]);
}

#[test]
fn a_challenge_of_another_player_is_no_proof() {
    let mut bench = Bench::new();
    let (mut one, two) = (bench.peer(1, 1000), bench.peer(2, 1001));
    bench.exchange(one.address, &one.request());
    let others = bench.exchange(two.address, &two.request());
    let (_, body) = two.open(&others[0]);
    let response = one.seal(PacketKind::Response, &body);
    assert!(bench.exchange(one.address, &response).is_empty());
    assert_eq!(bench.rejects(), [("challenge_forged", 1)]);
}

#[test]
fn only_a_response_is_taken_from_a_pending_address() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    bench.exchange(peer.address, &peer.request());
    for kind in [PacketKind::KeepAlive, PacketKind::Disconnect] {
        let body: &[u8] = if kind == PacketKind::KeepAlive { &[0; 8] } else { &[] };
        let packet = peer.seal(kind, body);
        assert!(bench.exchange(peer.address, &packet).is_empty());
    }
    assert_eq!(bench.rejects(), [("unexpected_packet", 2)]);
}

#[test]
fn a_pending_handshake_is_forgotten_after_the_timeout() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    let challenge = bench.exchange(peer.address, &peer.request());
    bench.elapsed += Duration::from_millis(5001);
    bench.tick();
    let response = peer.response(&challenge);
    assert!(bench.exchange(peer.address, &response).is_empty());
    assert_eq!(bench.rejects(), [("no_session", 1)]);
}

#[test]
fn too_many_handshakes_at_once_are_ignored_and_counted() {
    let mut bench = Bench::with_config(ServerConfig { capacity: 1, ..config() });
    for client_id in 0..65 {
        let peer = bench.peer(client_id, 1000 + u16::try_from(client_id).expect("small"));
        assert_eq!(bench.exchange(peer.address, &peer.request()).len(), 1);
    }
    let late = bench.peer(99, 2000);
    assert_ignored(&mut bench, &late, Refusal::TooManyHandshakes);
}

#[test]
fn requests_that_lead_nowhere_use_up_the_budget_of_their_address() {
    let mut bench = Bench::new();
    let forged = bench.peer_with_key(1, 1000, &[8; 32]).request();
    for port in 0..5000 {
        bench.exchange(SocketAddr::from(([10, 0, 0, 1], port)), &forged);
    }
    let counters = bench.server.counters();
    assert_eq!(counters.refused(Refusal::TokenForged), 4096);
    assert_eq!(counters.refused(Refusal::OverBudget), 5000 - 4096);
    let mut elsewhere = bench.peer(2, 1000);
    elsewhere.address = SocketAddr::from(([198, 51, 100, 1], 1000));
    elsewhere.connect(&mut bench);
}

/// Rule: default limits let a thousand players behind one address come back at once.
#[test]
fn a_thousand_players_behind_one_address_connect_at_once() {
    let mut bench = Bench::with_config(ServerConfig { capacity: 1000, ..config() });
    for client_id in 0..1000 {
        bench.peer(client_id, 1000 + u16::try_from(client_id).expect("small")).connect(&mut bench);
    }
    assert_eq!(bench.players(), 1000);
    assert_eq!(bench.rejects(), []);
}
