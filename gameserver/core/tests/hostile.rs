//! Whatever arrives: no panic, no answer larger than the question, no effect on others.

mod common;

use std::net::SocketAddr;
use std::time::Duration;

use common::raw::{Bench, Peer};
use gameserver_core::ServerConfig;
use gameserver_protocol::PacketKind;
use proptest::prelude::*;

/// What a stranger may do before its address is proven.
#[derive(Clone, Debug)]
enum Act {
    Request,
    ChangedRequest(usize, u8),
    Noise(Vec<u8>),
    Truncated(usize),
    Response,
    Wait(u64),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        Just(Act::Request),
        (0_usize..1078, 1_u8..).prop_map(|(at, flip)| Act::ChangedRequest(at, flip)),
        prop::collection::vec(any::<u8>(), 0..1300).prop_map(Act::Noise),
        (0_usize..1078).prop_map(Act::Truncated),
        Just(Act::Response),
        (0_u64..3000).prop_map(Act::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The standard's rule against amplification, over everything that an unproven address can send, at a server
    /// with room, a full one and a draining one: answered bytes never exceed asked ones, at any moment.
    #[test]
    fn an_unproven_address_never_gets_more_than_it_sent(
        acts in prop::collection::vec(act(), 1..60),
        is_full in any::<bool>(),
        is_draining in any::<bool>(),
    ) {
        let mut bench = Bench::with_config(ServerConfig { capacity: 1, ..common::config() });
        let mut other = bench.peer(99, 9999);
        if is_full {
            other.connect(&mut bench);
        }
        if is_draining {
            bench.server.drain(bench.now());
            bench.elapsed += Duration::from_secs(2);
        }
        let mut peer = bench.peer(1, 1000);
        let (mut asked, mut answered) = (0, 0);
        for act in acts {
            let bytes = match act {
                Act::Request => peer.request(),
                Act::ChangedRequest(at, flip) => {
                    let mut bytes = peer.request();
                    bytes[at] ^= flip;
                    bytes
                }
                Act::Noise(bytes) => bytes,
                Act::Truncated(len) => peer.request()[..len].to_vec(),
                Act::Response => peer.seal(PacketKind::Response, &[7; 308]),
                Act::Wait(milliseconds) => {
                    bench.elapsed += Duration::from_millis(milliseconds);
                    bench.server.step(bench.now());
                    Vec::new()
                }
            };
            asked += bytes.len();
            bench.server.handle_datagram(bench.now(), peer.address, &mut bytes.clone());
            let mut buffer = [0; 1200];
            while let Some(transmit) = bench.server.poll_transmit(bench.now(), &mut buffer) {
                if transmit.to == peer.address {
                    answered += transmit.len;
                }
            }
            prop_assert!(answered <= asked, "{answered} bytes for {asked}");
        }
        prop_assert!(bench.players() <= 1);
    }

    /// A connected player may send any bytes as a message, well sealed.
    #[test]
    fn any_authentic_message_is_survived(messages in prop::collection::vec(
        prop_oneof![
            prop::collection::vec(any::<u8>(), 1..1200),
            // nearly an inputs message
            prop::collection::vec(any::<u8>(), 0..200).prop_map(|rest| [&[0x93, 0, 0, 0x9F][..], &rest].concat()),
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
    let mut random = common::Random(1);
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
