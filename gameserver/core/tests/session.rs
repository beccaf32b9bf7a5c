//! What keeps a session alive, and what does not get through it.

mod common;

use std::time::Duration;

use common::raw::{Bench, Peer};
use gameserver_core::Refusal;
use gameserver_protocol::{PacketHeader, PacketKind};

fn connected() -> (Bench, Peer) {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    (bench, peer)
}

fn keep_alive(peer: &mut Peer) -> Vec<u8> {
    peer.seal(PacketKind::KeepAlive, &[0; 8])
}

#[test]
fn a_packet_is_taken_once() {
    let (mut bench, mut peer) = connected();
    let packet = keep_alive(&mut peer);
    bench.exchange(peer.address, &packet);
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.rejects(), [("replayed", 1)]);
}

#[test]
fn a_packet_behind_the_window_is_a_replay() {
    let (mut bench, mut peer) = connected();
    let old = keep_alive(&mut peer);
    peer.sequence += 256;
    let new = keep_alive(&mut peer);
    bench.exchange(peer.address, &new);
    bench.exchange(peer.address, &old);
    assert_eq!(bench.rejects(), [("replayed", 1)]);
}

#[test]
fn a_changed_packet_does_not_authenticate_and_does_not_move_the_window() {
    let (mut bench, mut peer) = connected();
    let packet = keep_alive(&mut peer);
    for byte in [0, 1, 5, packet.len() - 1] {
        let mut changed = packet.clone();
        changed[byte] ^= if byte == 0 { 1 } else { 0x80 };
        bench.exchange(peer.address, &changed);
    }
    let refused = bench.server.counters().refused(Refusal::Forged);
    assert_eq!(refused, 4, "{:?}", bench.rejects());
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.server.counters().refused(Refusal::Replayed), 0);
}

#[test]
fn a_response_that_crossed_the_welcome_is_no_offence_and_a_servers_kinds_are() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    let challenge = bench.exchange(peer.address, &peer.request());
    let (first, second) = (peer.response(&challenge), peer.response(&challenge));
    assert_eq!(bench.exchange(peer.address, &first).len(), 1);
    assert!(bench.exchange(peer.address, &second).is_empty());
    assert_eq!(bench.rejects(), []);
    for (kind, body) in [(PacketKind::Denied, &[][..]), (PacketKind::Challenge, &[0; 308])] {
        let packet = peer.seal(kind, body);
        assert!(bench.exchange(peer.address, &packet).is_empty());
    }
    assert_eq!(bench.rejects(), [("unexpected_packet", 2)]);
}

#[test]
fn a_strange_address_has_no_session() {
    let (mut bench, mut peer) = connected();
    let packet = keep_alive(&mut peer);
    peer.address.set_port(1001);
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.rejects(), [("no_session", 1)]);
}

#[test]
fn silence_ends_a_session_and_any_packet_keeps_it() {
    let (mut bench, mut peer) = connected();
    for _ in 0..3 {
        bench.elapsed += Duration::from_secs(5);
        let packet = keep_alive(&mut peer);
        bench.exchange(peer.address, &packet);
        bench.tick();
        assert_eq!(bench.players(), 1);
    }
    bench.elapsed += Duration::from_millis(5001);
    bench.tick();
    assert_eq!(bench.players(), 0);
    assert_eq!(bench.server.counters().timeouts, 1);
    let packet = keep_alive(&mut peer);
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.rejects(), [("no_session", 1)]);
}

#[test]
fn a_forged_or_replayed_packet_does_not_keep_a_session() {
    let (mut bench, mut peer) = connected();
    let packet = keep_alive(&mut peer);
    bench.exchange(peer.address, &packet);
    bench.elapsed += Duration::from_millis(5001);
    bench.exchange(peer.address, &packet);
    bench.tick();
    assert_eq!(bench.players(), 0);
}

#[test]
fn the_slot_of_a_lost_player_goes_to_the_next() {
    let mut bench = Bench::with_config(gameserver_core::ServerConfig { capacity: 1, ..common::config() });
    for client_id in 1..10 {
        let mut peer = bench.peer(client_id, 1000);
        peer.connect(&mut bench);
        bench.tick();
        bench.elapsed += Duration::from_secs(6);
        bench.tick();
        assert_eq!(bench.players(), 0);
    }
}

#[test]
fn a_client_hears_that_it_is_connected_until_it_shows_that_it_knows() {
    let (mut bench, mut peer) = connected();
    bench.elapsed += Duration::from_millis(100);
    bench.server.step(bench.now());
    let answers = bench.poll(peer.address);
    assert_eq!(answers.len(), 1, "no snapshot to whom may not know the keys of the game yet");
    let (kind, body) = peer.open(&answers[0]);
    assert_eq!((kind, &body[..]), (PacketKind::KeepAlive, &[0, 0, 0, 0, 8, 0, 0, 0][..]));
    let packet = keep_alive(&mut peer);
    assert_eq!(bench.exchange(peer.address, &packet).len(), 1, "its first resume token");
    bench.server.step(bench.now());
    let answers = bench.poll(peer.address);
    assert_eq!(answers.iter().map(|answer| peer.open(answer).0).collect::<Vec<_>>(), [PacketKind::Payload]);
}

#[test]
fn disconnect_all_says_goodbye_ten_times_and_frees_the_players_at_once() {
    let (mut bench, peer) = connected();
    bench.server.disconnect_all(bench.now());
    assert_eq!(bench.players(), 0);
    let goodbyes = bench.poll(peer.address);
    assert_eq!(goodbyes.len(), 10);
    assert!(goodbyes.iter().all(|goodbye| peer.open(goodbye).0 == PacketKind::Disconnect));
    assert_eq!(bench.poll(peer.address), Vec::<Vec<u8>>::new());
    bench.elapsed += Duration::from_secs(1);
    bench.peer(1, 1000).connect(&mut bench);
}

#[test]
fn a_player_who_was_sent_away_may_be_back_before_the_goodbyes_are_out() {
    let (mut bench, first) = connected();
    bench.server.disconnect_all(bench.now());
    bench.elapsed += Duration::from_secs(1);
    let mut again = bench.peer(1, 1001);
    bench.server.handle_datagram(bench.now(), again.address, &mut again.request());
    let (mut goodbyes, mut buffer) = (0, [0; 1200]);
    while let Some(transmit) = bench.server.poll_transmit(bench.now(), &mut buffer) {
        if transmit.to == first.address {
            goodbyes += 1;
        } else if again.open(&buffer[..transmit.len]).0 == PacketKind::Challenge {
            // the first answer, so that the goodbyes are still to come when this arrives
            let mut response = again.response(&[buffer[..transmit.len].to_vec()]);
            bench.server.handle_datagram(bench.now(), again.address, &mut response);
        }
    }
    assert_eq!((goodbyes, bench.players()), (10, 1));
    let third = bench.peer(1, 1002);
    assert!(bench.exchange(third.address, &third.request()).is_empty(), "still connected once");
    assert_eq!(bench.rejects(), [("already_connected", 1)]);
}

/// Rule: sequences start at the milliseconds of the wall clock, shifted by 20, those outside of sessions with the
/// top bit set, so that no boot repeats a nonce.
#[test]
fn sequences_start_from_the_clock_and_the_two_kinds_never_meet() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    let challenge = bench.exchange(peer.address, &peer.request());
    let boot = 1_790_000_000_250_u64 << 20;
    assert_eq!(PacketHeader::parse(&challenge[0]).map(|header| header.sequence), Ok(1 << 63 | boot));
    bench.elapsed += Duration::from_millis(7);
    let response = peer.response(&challenge);
    let welcome = bench.exchange(peer.address, &response);
    let session = 1_790_000_000_257_u64 << 20;
    assert_eq!(PacketHeader::parse(&welcome[0]).map(|header| header.sequence), Ok(session));
}

#[test]
fn a_flood_from_a_player_is_cut_off_without_ending_the_session() {
    let (mut bench, mut peer) = connected();
    for _ in 0..1000 {
        let packet = keep_alive(&mut peer);
        bench.exchange(peer.address, &packet);
    }
    let refused = bench.server.counters().refused(Refusal::TooManyPackets);
    assert_eq!(refused, 1000 - 4 * u64::from(common::TICK_HZ));
    bench.elapsed += Duration::from_secs(1);
    let packet = keep_alive(&mut peer);
    bench.exchange(peer.address, &packet);
    assert_eq!(bench.server.counters().refused(Refusal::TooManyPackets), refused);
    assert_eq!(bench.players(), 1);
    for _ in 0..1000 {
        let packet = keep_alive(&mut peer);
        bench.exchange(peer.address, &packet);
    }
    let goodbye = peer.seal(PacketKind::Disconnect, &[]);
    bench.exchange(peer.address, &goodbye);
    assert_eq!(bench.players(), 0, "a goodbye is heard in any flood");
}

#[test]
fn an_authentic_packet_that_is_no_message_is_counted_and_the_session_goes_on() {
    let (mut bench, mut peer) = connected();
    for body in [&[0xC1][..], &[0x93, 0, 0], &[0x93, 1, 0, 0x90], &[0xFF; 1200]] {
        let packet = peer.seal(PacketKind::Payload, body);
        bench.exchange(peer.address, &packet);
    }
    assert_eq!(bench.rejects(), [("bad_message", 4)]);
    assert_eq!(bench.players(), 1);
}

/// Drain: offered to nobody from now on, but whoever holds a token from before gets in.
#[test]
fn a_draining_server_takes_older_tokens_and_denies_newer_ones() {
    let mut bench = Bench::new();
    let mut before = bench.peer(1, 1000);
    bench.elapsed += Duration::from_secs(10);
    bench.server.drain(bench.now());
    let mut same_second = bench.peer(2, 1001);
    bench.elapsed += Duration::from_secs(1);
    let after = bench.peer(3, 1002);
    let answers = bench.exchange(after.address, &after.request());
    assert_eq!(after.open(&answers[0]).0, PacketKind::Denied);
    before.connect(&mut bench);
    same_second.connect(&mut bench);
    assert!(bench.server.status(bench.now()).draining);
    bench.server.undrain();
    bench.peer(4, 1003).connect(&mut bench);
}

#[test]
fn a_drain_is_complete_when_everyone_left_and_every_older_token_has_expired() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    bench.server.drain(bench.now());
    let is_drained = |bench: &Bench| bench.server.status(bench.now()).drained;
    bench.elapsed += Duration::from_secs(4);
    let goodbye = peer.seal(PacketKind::Disconnect, &[]);
    bench.exchange(peer.address, &goodbye);
    bench.elapsed = Duration::from_millis(29_999);
    assert!(!is_drained(&bench), "a token may still be on its way");
    bench.elapsed = Duration::from_secs(30);
    assert!(is_drained(&bench));
}

#[test]
fn a_drain_is_not_complete_while_a_player_stays_or_a_handshake_is_under_way() {
    let mut bench = Bench::new();
    bench.server.drain(bench.now());
    let mut late = bench.peer(1, 1000);
    bench.elapsed = Duration::from_millis(29_700);
    let challenge = bench.exchange(late.address, &late.request());
    bench.elapsed = Duration::from_secs(31);
    assert!(!bench.server.status(bench.now()).drained, "the challenge may still be answered");
    let response = late.response(&challenge);
    bench.exchange(late.address, &response);
    bench.elapsed = Duration::from_secs(35);
    assert!(!bench.server.status(bench.now()).drained, "a player is here");
}

#[test]
fn a_second_drain_order_does_not_start_the_time_again() {
    let mut bench = Bench::new();
    bench.server.drain(bench.now());
    bench.elapsed = Duration::from_secs(20);
    bench.server.drain(bench.now());
    bench.elapsed = Duration::from_secs(30);
    assert!(bench.server.status(bench.now()).drained);
}
