//! The way of a datagram: what is wrong in several ways is refused by the first stage, and later ones never see it.

mod common;

use common::TICK_HZ;
use common::raw::{Bench, Peer};
use gameserver_core::{Game, Refusal, RejectReason};
use gameserver_protocol::PacketKind;
use gameserver_protocol::message::{FieldList, Input, InputsHead, encode_inputs};

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
    bench.elapsed += std::time::Duration::from_secs(1);
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

    bench.elapsed += std::time::Duration::from_secs(1);
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
