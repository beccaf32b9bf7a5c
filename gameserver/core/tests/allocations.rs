//! After warm-up neither a packet nor a tick allocates, however many players there are.

mod common;

use std::time::Duration;

use common::raw::{Bench, Peer};
use common::{Random, config};
use gameserver_allocations::{Counting, count};
use gameserver_core::ServerConfig;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PLAYERS: u64 = 200;

/// Datagrams of one tick: a move of each player, some rejected, some malformed, some noise.
fn datagrams(bench: &Bench, peers: &mut [Peer], tick: u32, random: &mut Random) -> Vec<(usize, Vec<u8>)> {
    let mut datagrams = Vec::new();
    for (index, peer) in peers.iter_mut().enumerate() {
        let place = |random: &mut Random| i32::try_from(random.below(1_000_000)).expect("small");
        let moves = [(tick, 0, place(random), place(random))];
        datagrams.push((index, peer.moves(bench.server.tick(), &moves)));
        if random.percent(5) {
            datagrams.push((index, random.bytes::<64>().to_vec()));
        }
        if random.percent(5) {
            datagrams.push((index, peer.seal(gameserver_protocol::PacketKind::Payload, &[0xC1])));
        }
        if random.percent(5) {
            datagrams.push((index, peer.request()));
        }
    }
    datagrams
}

/// One test in this file, since others would allocate at the same time.
#[test]
fn packets_ticks_joins_and_refusals_allocate_nothing() {
    let capacity = usize::try_from(PLAYERS).expect("small");
    let mut bench = Bench::with_config(ServerConfig { capacity, ..config() });
    let mut random = Random::new(1);
    let mut peers: Vec<_> =
        (0..PLAYERS).map(|id| bench.peer(id, 1000 + u16::try_from(id).expect("small"))).collect();
    let mut buffer = [0; 1200];
    let (mut sent, mut counted) = (0, 0);
    for tick in 1..=100 {
        bench.elapsed += Duration::from_micros(15_625);
        if tick == 1 {
            for peer in &mut peers {
                peer.connect(&mut bench);
            }
        }
        let forged = bench.peer_with_key(1000, 50_000, &[1; 32]).request();
        let mut datagrams = datagrams(&bench, &mut peers, tick, &mut random);
        datagrams.push((0, forged));
        let now = bench.now();
        let before = count();
        for (from, datagram) in &mut datagrams {
            bench.server.handle_datagram(now, peers[*from].address, datagram);
        }
        bench.server.step(now);
        while bench.server.poll_transmit(now, &mut buffer).is_some() {
            sent += 1;
        }
        counted += count() - before;
    }
    assert!(sent >= 100 * PLAYERS, "snapshots flowed: {sent}");
    assert!(bench.server.counters().rejected_inputs() > 0, "some were rejected");
    assert_eq!(counted, 0, "allocations in 100 ticks");

    // a handshake, too, finds its room prepared
    bench.server.disconnect_all(bench.now());
    bench.tick();
    bench.elapsed += Duration::from_secs(1);
    let mut newcomer = bench.peer(5000, 40_000);
    let request = newcomer.request();
    let mut datagram = request.clone();
    let before = count();
    bench.server.handle_datagram(bench.now(), newcomer.address, &mut datagram);
    let transmit = bench.server.poll_transmit(bench.now(), &mut buffer).expect("a challenge");
    assert_eq!(count() - before, 0, "allocations in a handshake");
    let mut response = newcomer.response(&[buffer[..transmit.len].to_vec()]);
    let before = count();
    bench.server.handle_datagram(bench.now(), newcomer.address, &mut response);
    assert!(bench.server.poll_transmit(bench.now(), &mut buffer).is_some());
    assert_eq!(count() - before, 0, "allocations in a join");
}
