//! Whatever arrives: no panic, no answer larger than the question, no effect on others.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::raw::{Bench, Peer};
use common::{SERVER_KEY, claims, server_address};
use gameserver_core::{Known, Refusal, ServerConfig};
use gameserver_protocol::message::ResumeToken;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, PacketKind};
use proptest::prelude::*;

/// What somebody may send from an address that has proven nothing.
#[derive(Clone, Debug)]
enum Act {
    /// The request of the token with this number: of a backend, of another key, expired, or a resume token.
    Request(usize),
    ChangedRequest(usize, usize, u8),
    Truncated(usize, usize),
    Noise(Vec<u8>),
    /// Noise with the first byte of a sealed packet.
    Sealed(u8, Vec<u8>),
    /// A response under the token's own keys to a challenge that never was.
    Response(usize),
    /// Anything else under the token's own keys.
    Authentic(usize, u8),
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        (0_usize..5).prop_map(Act::Request),
        (0_usize..5, 0_usize..1078, 1_u8..)
            .prop_map(|(token, at, flip)| Act::ChangedRequest(token, at, flip)),
        (0_usize..5, 0_usize..1078).prop_map(|(token, len)| Act::Truncated(token, len)),
        prop::collection::vec(any::<u8>(), 0..1300).prop_map(Act::Noise),
        (any::<u8>(), prop::collection::vec(any::<u8>(), 0..1300))
            .prop_map(|(kind, rest)| Act::Sealed(kind, rest)),
        (0_usize..5).prop_map(Act::Response),
        (0_usize..5, 4_u8..7).prop_map(|(token, kind)| Act::Authentic(token, kind)),
        (0_u64..3000).prop_map(Act::Wait),
    ]
}

/// The tokens of [`Act`]: one that is good, another of another player, one under another key, one that has expired, and
/// the resume token of a player who is in.
fn tokens(bench: &mut Bench) -> Vec<Peer> {
    let mut inside = bench.peer(99, 9999);
    inside.connect(bench);
    bench.tick();
    let packet = inside.seal(PacketKind::KeepAlive, &[0; 8]);
    let answers = bench.exchange(inside.address, &packet);
    let resume = answers.iter().find_map(|answer| ResumeToken::decode(&inside.open(answer).1).ok());
    let age = Duration::ZERO;
    let resume = resume.and_then(|token| token.connect_token(PROTOCOL_ID, server_address(), age));
    let expired =
        claims(4, bench.now().unix.saturating_sub(Duration::from_secs(31))).mint(&SERVER_KEY, &[6; 88]);
    vec![
        bench.peer(1, 1),
        bench.peer(2, 2),
        bench.peer_with_key(3, 3, &[8; 32]),
        Peer::new(expired.expect("valid claims"), 4),
        Peer::new(resume.expect("handed out at connect"), 5),
    ]
}

fn bytes_of(act: Act, tokens: &mut [Peer]) -> Vec<u8> {
    match act {
        Act::Request(token) => tokens[token].request(),
        Act::ChangedRequest(token, at, flip) => {
            let mut bytes = tokens[token].request();
            bytes[at] ^= flip;
            bytes
        }
        Act::Truncated(token, len) => tokens[token].request()[..len].to_vec(),
        Act::Noise(bytes) => bytes,
        Act::Sealed(kind, rest) => [&[0x81 + kind % 6], &rest[..]].concat(),
        Act::Response(token) => tokens[token].seal(PacketKind::Response, &[7; 308]),
        Act::Authentic(token, 4) => tokens[token].seal(PacketKind::KeepAlive, &[0; 8]),
        Act::Authentic(token, 5) => tokens[token].seal(PacketKind::Payload, &[0x93, 0, 0, 0x90]),
        Act::Authentic(token, _) => tokens[token].seal(PacketKind::Disconnect, &[]),
        Act::Wait(_) => Vec::new(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// The standard's rule against amplification, over everything that unproven addresses can send, in any order and
    /// from three of them at once, at a server with room, a full one and a draining one: no address is ever sent
    /// more bytes than came from it, at any moment.
    #[test]
    fn an_unproven_address_never_gets_more_than_it_sent(
        acts in prop::collection::vec((0_u16..3, act()), 1..80),
        is_full in any::<bool>(),
        is_draining in any::<bool>(),
    ) {
        let capacity = if is_full { 1 } else { 4 };
        let mut bench = Bench::with_config(ServerConfig { capacity, ..common::config() });
        let mut tokens = tokens(&mut bench);
        if is_draining {
            bench.server.drain(bench.now());
            bench.elapsed += Duration::from_secs(2);
        }
        let strangers: Vec<_> = (0..3).map(|port| SocketAddr::from(([198, 51, 100, 1], port))).collect();
        let (mut asked, mut answered) = ([0; 3], [0; 3]);
        for (from, act) in acts {
            if let Act::Wait(milliseconds) = act {
                bench.elapsed += Duration::from_millis(milliseconds);
                bench.server.step(bench.now());
            } else {
                let mut bytes = bytes_of(act, &mut tokens);
                asked[usize::from(from)] += bytes.len();
                bench.server.handle_datagram(bench.now(), strangers[usize::from(from)], &mut bytes);
            }
            let mut buffer = [0; 1200];
            while let Some(transmit) = bench.server.poll_transmit(bench.now(), &mut buffer) {
                if let Some(stranger) = strangers.iter().position(|&stranger| stranger == transmit.to) {
                    answered[stranger] += transmit.len;
                }
            }
            for (answered, asked) in answered.iter().zip(asked) {
                prop_assert!(*answered <= asked, "{answered} bytes for {asked}");
            }
        }
        prop_assert!(bench.players() <= 1, "none of them has shown that it receives");
        prop_assert_eq!(bench.server.counters().joins, 1);
    }

    /// A connected player may send any bytes as a message, well sealed.
    #[test]
    fn any_authentic_message_is_survived(messages in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..1200),
            // nearly an inputs message
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|rest| [&[0x97, 0, 1, 0, 0, 0, 0, 0x9F][..], &rest].concat()),
        ],
        1..40,
    )) {
        let mut bench = Bench::new();
        let mut peer = bench.peer(1, 1000);
        peer.connect(&mut bench);
        for message in messages {
            let packet = peer.seal(PacketKind::Payload, &message);
            bench.exchange(peer.address, &packet);
            bench.elapsed += Duration::from_millis(16);
            peer.snapshot(&mut bench);
        }
        prop_assert_eq!(bench.players(), 1);
    }

    /// Sealed packets with anything changed on the way have no effect but a count.
    #[test]
    fn a_changed_packet_is_counted_and_nothing_else(at in 0_usize..200, flip in 1_u8.., tick in any::<u64>()) {
        let mut bench = Bench::new();
        let mut peer = bench.peer(1, 1000);
        peer.connect(&mut bench);
        let mut packet = peer.moves(0, &[(1, tick % 10, 1, 1), (2, tick % 10, 2, 2)]);
        let at = at % packet.len();
        packet[at] ^= flip;
        bench.exchange(peer.address, &packet);
        prop_assert_eq!(bench.rejects().iter().map(|&(_, count)| count).sum::<u64>(), 1);
        bench.tick();
        prop_assert_eq!(bench.server.counters().inputs_applied, 0);
    }
}

#[test]
fn noise_from_many_addresses_leaves_a_player_alone() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let known: Vec<_> = bench.server.known_addresses().collect();
    assert_eq!(known, [(peer.address, Known::Session)]);
    let before = bench.server.counters().from_strangers;
    assert_eq!(before, 2, "its request and its response, and nothing after that");
    let mut random = common::Random::new(1);
    for _ in 0..20_000 {
        let from = SocketAddr::from((random.next().to_le_bytes()[..4].try_into().unwrap_or([0; 4]), 1));
        let mut bytes: [u8; 64] = random.bytes();
        bench.server.handle_datagram(bench.now(), from, &mut bytes);
    }
    assert!(bench.poll(peer.address).is_empty());
    let packet = peer.moves(0, &[]);
    bench.exchange(peer.address, &packet);
    let head = peer.snapshot(&mut bench).head;
    assert_eq!(head.tick, 1);
    assert_eq!(bench.server.counters().from_strangers, before + 20_000);
    assert_eq!(bench.server.known_addresses().collect::<Vec<_>>(), known, "noise makes nobody known");
}

/// Twenty of each from a port that has eight tries: whether its player gets in all the same.
#[test]
fn an_address_is_charged_for_what_makes_the_server_open_a_token_and_for_no_garbage() {
    let bench = Bench::new();
    let request = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = bench.peer(1, 1).request();
        change(&mut bytes);
        bytes
    };
    let minted_ago = |seconds| bench.now().unix.saturating_sub(Duration::from_secs(seconds));
    let mint = |claims: ConnectTokenClaims<'_>| {
        Peer::new(claims.mint(&SERVER_KEY, &[6; 88]).expect("valid claims"), 1).request()
    };
    let elsewhere = [SocketAddr::from(([192, 0, 2, 9], 7777))];
    let strange = ConnectTokenClaims { server_addresses: &elsewhere, ..claims(1, bench.now().unix) };
    for (name, bytes, refusal, is_charged) in [
        ("noise", vec![0x0F; 100], Refusal::Malformed, false),
        ("nothing", Vec::new(), Refusal::Malformed, false),
        ("half a request", request(&|bytes| bytes.truncate(500)), Refusal::Malformed, false),
        ("a request of another version", request(&|bytes| bytes[8] ^= 1), Refusal::OtherProtocol, false),
        ("a sealed packet of no session", [&[0x85], &[7; 60][..]].concat(), Refusal::NoSession, false),
        ("an expired token", mint(claims(1, minted_ago(31))), Refusal::TokenExpired, false),
        ("a changed token", request(&|bytes| bytes[200] ^= 1), Refusal::TokenForged, true),
        ("another key", bench.peer_with_key(1, 1, &[8; 32]).request(), Refusal::TokenForged, true),
        ("another server", mint(strange), Refusal::OtherServer, true),
    ] {
        let mut bench = Bench::new();
        let player = bench.peer(2, 2000);
        for _ in 0..20 {
            assert!(bench.exchange(player.address, &bytes).is_empty(), "{name}");
        }
        let (refused, over_budget) =
            (bench.server.counters().refused(refusal), bench.server.counters().refused(Refusal::OverBudget));
        let tried = bench.server.counters().tokens_tried;
        let expected = if is_charged { (8, 12, 8) } else { (20, 0, 0) };
        assert_eq!((refused, over_budget, tried), expected, "{name}: {:?}", bench.rejects());
        let is_let_in = !bench.exchange(player.address, &player.request()).is_empty();
        assert_eq!(is_let_in, !is_charged, "{name}");
    }
}

#[test]
fn a_stolen_token_gets_no_further_than_its_owner_lets_it() {
    let mut bench = Bench::new();
    let mut owner = bench.peer(1, 1000);
    let mut thief = Peer::new(owner.token.clone(), 2000);
    thief.connect(&mut bench);
    assert!(bench.exchange(owner.address, &owner.request()).is_empty(), "the first one holds it");
    assert_eq!(bench.players(), 1);
    // what the thief may do is what the token's holder may do: nothing from another address
    owner.sequence = 100;
    let packet = owner.moves(0, &[(1, 0, 1, 1)]);
    bench.exchange(owner.address, &packet);
    assert_eq!(bench.server.counters().inputs_applied, 0);
}
