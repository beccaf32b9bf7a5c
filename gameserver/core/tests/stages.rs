//! The way of a datagram: what is wrong in several ways is refused by the first stage, and later ones never see it.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::net::address;
use common::raw::{Bench, Peer};
use common::{SERVER_KEY, TICK_HZ, claims, config};
use gameserver_core::{Game, Refusal, RejectReason, ServerConfig, ZoneServer};
use gameserver_protocol::message::{FieldList, Input, InputsHead, encode_inputs};
use gameserver_protocol::{ConnectTokenClaims, Key, PacketKind};

/// A move, and an act that there is not.
const MOVE: i64 = 0;
const UNKNOWN: i64 = 77;
/// What the type byte of no message is.
const NO_MESSAGE: &[u8] = &[0xC1];

fn input(sequence: u32, tick: u64, intent: &[i64]) -> Input {
    Input { sequence, tick, intent: FieldList::new(intent) }
}

fn seal_inputs(peer: &mut Peer, ack_tick: u64, inputs: &[Input]) -> Vec<u8> {
    let head = InputsHead { stamp: 1, ack_tick, ..InputsHead::default() };
    let mut body = [0; 1200];
    let len = encode_inputs(&mut body, &head, inputs.iter()).expect("few inputs");
    peer.seal(PacketKind::Payload, &body[..len])
}

fn changed(mut packet: Vec<u8>) -> Vec<u8> {
    *packet.last_mut().expect("a tag") ^= 1;
    packet
}

fn connected() -> (Bench, Peer) {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    (bench, peer)
}

/// `B2`: packet, session, replay, seal, packets of a player, message.
#[test]
fn a_datagram_that_is_wrong_in_several_ways_is_refused_by_the_first_stage() {
    let (mut bench, mut peer) = connected();
    let keep_alive = |peer: &mut Peer| peer.seal(PacketKind::KeepAlive, &[0; 8]);
    let first = keep_alive(&mut peer);
    bench.exchange(peer.address, &first);
    for _ in 0..4 * TICK_HZ {
        let packet = keep_alive(&mut peer);
        bench.exchange(peer.address, &packet);
    }
    // from here on this player has sent too much, whatever else is wrong
    let stranger = bench.peer(2, 2000).address;
    let mut no_packet = changed(first.clone());
    no_packet[0] = 0x0F;
    let cases = [
        ("no packet", stranger, no_packet, Refusal::Malformed),
        ("no session", stranger, changed(first.clone()), Refusal::NoSession),
        ("replayed", peer.address, changed(first), Refusal::Replayed),
        ("forged", peer.address, changed(peer.seal(PacketKind::Payload, NO_MESSAGE)), Refusal::Forged),
        ("too many", peer.address, peer.seal(PacketKind::Payload, NO_MESSAGE), Refusal::TooManyPackets),
    ];
    for (name, from, datagram, refusal) in cases {
        let before = bench.rejects();
        let count = bench.server.counters().refused(refusal);
        assert_eq!(bench.exchange(from, &datagram), Vec::<Vec<u8>>::new(), "{name} is not answered");
        assert_eq!(
            bench.server.counters().refused(refusal),
            count + 1,
            "{name}: {before:?} {:?}",
            bench.rejects()
        );
    }
    bench.elapsed += Duration::from_secs(1);
    let packet = peer.seal(PacketKind::Payload, NO_MESSAGE);
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.server.counters().refused(Refusal::BadMessage), 1, "{:?}", bench.rejects());
}

/// `B2`: message, inputs of a player, tick, act; and only what is none of these waits for the tick, in which the rules judge it.
#[test]
fn an_input_that_is_wrong_in_several_ways_is_refused_by_the_first_stage() {
    let (mut bench, mut peer) = connected();
    let (mut sequence, mut ack) = (0, 0);
    let far = 1_000_000;
    while bench.server.counters().rejected(RejectReason::RateLimited) == 0 {
        sequence += 1;
        assert!(sequence < 1000, "the limit is never reached: {:?}", bench.rejects());
        let packet = seal_inputs(&mut peer, ack, &[input(sequence, far, &[UNKNOWN])]);
        bench.exchange(peer.address, &packet);
        ack = peer.snapshot(&mut bench).head.tick;
    }
    assert_eq!(bench.server.counters().rejected(RejectReason::TickTooFarAhead), u64::from(sequence) - 1);
    let packet = peer.seal(PacketKind::Payload, NO_MESSAGE);
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.server.counters().refused(Refusal::BadMessage), 1, "read before it is counted");

    bench.elapsed += Duration::from_secs(1);
    let at_once = [(far, UNKNOWN, RejectReason::TickTooFarAhead), (0, UNKNOWN, RejectReason::UnknownAction)];
    for (tick, act, reason) in at_once {
        sequence += 1;
        let count = bench.server.counters().rejected(reason);
        let packet = seal_inputs(&mut peer, ack, &[input(sequence, tick, &[act, -1, -1])]);
        bench.exchange(peer.address, &packet);
        assert_eq!(
            bench.server.counters().rejected(reason),
            count + 1,
            "before any tick: {:?}",
            bench.rejects()
        );
    }
    let packet = seal_inputs(&mut peer, ack, &[input(sequence + 1, 0, &[MOVE, -1, -1])]);
    bench.exchange(peer.address, &packet);
    let judged = |bench: &Bench| bench.server.counters().rejected(RejectReason::OutOfBounds);
    let (before, tick) = (judged(&bench), bench.server.game().tick());
    peer.snapshot(&mut bench);
    assert_eq!((before, judged(&bench)), (0, 1), "in the tick and not before it");
    assert_eq!(bench.server.game().tick(), tick + 1);
}

/// Tokens are minted with it by whoever does not know the server's.
const OTHER_KEY: Key = [8; 32];
/// Handshakes that may be under way at a server with so many places.
const PLACES: u16 = 8;
const HANDSHAKES: u16 = PLACES + 64;
/// Requests in vain of one address at once, and of one of its ports.
const OF_ADDRESS: u16 = 4096;
const OF_PORT: u16 = 8;

/// Somebody with this token who asks from `from`.
fn bearer(from: SocketAddr, claims: ConnectTokenClaims<'_>, key: &Key) -> Peer {
    let mut random = [7; 88];
    random[..8].copy_from_slice(&claims.client_id.to_le_bytes());
    random[8..16].copy_from_slice(&claims.now_unix.as_secs().to_le_bytes());
    Peer { address: from, ..Peer::new(claims.mint(key, &random).expect("valid claims"), 0) }
}

/// Asks, and fails unless this is the one refusal that is counted, and the silence that belongs to it.
#[track_caller]
fn assert_refused_as(bench: &mut Bench, name: &str, from: SocketAddr, request: &[u8], refusal: Refusal) {
    let before: std::collections::BTreeMap<_, _> = bench.rejects().into_iter().collect();
    assert_eq!(bench.exchange(from, request), Vec::<Vec<u8>>::new(), "{name} is not answered");
    let now = bench.rejects().into_iter();
    let more = now.filter(|(label, count)| before.get(label) != Some(count));
    let expected = (refusal.as_str(), before.get(refusal.as_str()).unwrap_or(&0) + 1);
    assert_eq!(more.collect::<Vec<_>>(), [expected], "{name}");
}

/// `B2`: what a request says without a key being tried: form, game, time; and then whether there is a key.
#[test]
fn a_connection_request_that_is_wrong_in_several_ways_is_refused_by_the_first_stage_before_any_key() {
    let mut bench = Bench::new();
    bench.server = ZoneServer::new(config()).expect("a valid configuration");
    let elsewhere = [address(2, 7777)];
    let (from, now) = (address(100, 1), bench.now().unix);
    // by another key and for another server, whatever else
    let wrong = ConnectTokenClaims { server_addresses: &elsewhere, ..claims(1, now) };
    let expired = ConnectTokenClaims { lifetime_seconds: 0, ..wrong };
    let request = |claims| bearer(from, claims, &OTHER_KEY).request();
    let of_another_game = request(ConnectTokenClaims { protocol_id: 1, ..expired });
    let cases = [
        ("no request", of_another_game[1..].to_vec(), Refusal::Malformed),
        ("another game", of_another_game, Refusal::OtherProtocol),
        ("expired", request(expired), Refusal::TokenExpired),
        (
            "good for too long",
            request(ConnectTokenClaims { lifetime_seconds: 99, ..wrong }),
            Refusal::TokenLifetime,
        ),
        ("for a server without a key", request(wrong), Refusal::NoKey),
    ];
    for (name, mut request, refusal) in cases {
        // what has lost its first byte still begins as a request does
        request[0] = 0;
        assert_refused_as(&mut bench, name, from, &request, refusal);
    }
    assert_eq!(bench.server.counters().tokens_tried, 0);
}

/// `B2`: limits of port and address, the token's seal, the server that it names, who is at the address, whether the token was used, whether
/// its player is here, room for handshakes; and only whom none of these stops hears a no.
#[test]
fn a_connection_request_that_is_wrong_in_several_ways_is_refused_by_the_first_stage_of_limit_token_and_room()
{
    let mut bench = Bench::with_config(ServerConfig { capacity: PLACES.into(), ..config() });
    let (crowd, elsewhere) = (|port| address(200, port), [address(2, 7777)]);
    // one is in, as many more are on their way in as may be, and who is minted for later than now is shut out
    let mut inside = bench.peer(1, 1000);
    inside.connect(&mut bench);
    let on_their_way = |client| bearer(crowd(client), claims(client.into(), bench.now().unix), &SERVER_KEY);
    let waiting: Vec<_> = (100..100 + HANDSHAKES).map(on_their_way).collect();
    for peer in &waiting {
        assert_eq!(bench.exchange(peer.address, &peer.request()).len(), 1, "{:?}", bench.rejects());
    }
    bench.server.drain(bench.now());
    bench.elapsed += Duration::from_secs(2);
    // and one address has asked in vain as often as it may, from ports none of which has
    let now = bench.now().unix;
    let forged = bearer(crowd(1), claims(2, now), &OTHER_KEY).request();
    for number in 0..OF_ADDRESS {
        bench.exchange(crowd(20_000 + number / (OF_PORT - 1)), &forged);
    }
    assert_eq!(bench.server.counters().refused(Refusal::TokenForged), OF_ADDRESS.into());

    let for_another =
        |client_id| ConnectTokenClaims { server_addresses: &elsewhere, ..claims(client_id, now) };
    let (home, away) = (inside.address, address(100, 1));
    let used = waiting[0].request();
    let cases = [
        ("the address has asked too often", crowd(1), for_another(1), OTHER_KEY, Refusal::OverBudget),
        ("forged", home, for_another(2), OTHER_KEY, Refusal::TokenForged),
        ("another server", home, for_another(2), SERVER_KEY, Refusal::OtherServer),
        ("the player is here", away, claims(1, now), SERVER_KEY, Refusal::AlreadyConnected),
        ("no room for handshakes", away, claims(2, now), SERVER_KEY, Refusal::TooManyHandshakes),
    ];
    for (name, from, claims, key, refusal) in cases {
        assert_refused_as(&mut bench, name, from, &bearer(from, claims, &key).request(), refusal);
    }
    let shown_before = [
        ("somebody else's address", home, &used, Refusal::AlreadyConnected),
        ("used elsewhere", away, &inside.request(), Refusal::TokenReused),
        ("its own session's", home, &inside.request(), Refusal::AlreadyConnected),
    ];
    for (name, from, request, refusal) in shown_before {
        assert_refused_as(&mut bench, name, from, request, refusal);
    }
    // who was let in on its way is answered again, though its address has nothing left
    assert_eq!(bench.exchange(waiting[0].address, &used).len(), 1);
    // when those have been given up there is room to say no
    bench.elapsed += Duration::from_secs(6);
    bench.tick();
    let late = bearer(away, claims(3, bench.now().unix), &SERVER_KEY);
    let answers = bench.exchange(away, &late.request());
    assert_eq!(late.open(&answers[0]).0, PacketKind::Denied, "{:?}", bench.rejects());
}
