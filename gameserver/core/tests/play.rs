//! Players in the game over good and bad networks.

mod common;

use std::collections::BTreeSet;
use std::time::Duration;

use common::raw::{Bench, own};
use common::{Network, World, config, place};
use gameserver_client::{ClientState, DisconnectReason, Entity, Event};
use gameserver_core::{Game, RejectReason, ServerConfig};
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::{PLAYER_KIND, rules};

fn all_playing(world: &World) -> bool {
    let is_playing = |player: &common::Player| {
        player.client.state() == ClientState::Connected && player.client.snapshot().is_some()
    };
    world.players.iter().all(is_playing)
}

/// A step of 5 units towards the middle of the map, which is always allowed.
fn inward(position: i32) -> i32 {
    if position > rules::MAP_SIZE / 2 { position - 5000 } else { position + 5000 }
}

/// Sends a move on each of `count` ticks and lets all of them settle; returns the sequences.
fn move_about(world: &mut World, player: usize, count: u64) -> Vec<u32> {
    let mut sent = Vec::new();
    let first_tick = world.ticks;
    while world.ticks < first_tick + count {
        let tick = world.ticks;
        world.run_until(|world| world.ticks > tick);
        let now = world.now();
        let client = &mut world.players[player].client;
        let (x, y) = place(client);
        sent.push(client.send_soon(now, Intent::Move { x: inward(x), y: inward(y) }));
    }
    world.run_until(|world| world.players[player].client.unsettled_inputs() == 0);
    world.step();
    sent
}

#[test]
fn a_player_joins_moves_and_is_confirmed() {
    let mut world = World::new(1, Network { delay_ms: 20, ..Network::default() });
    let player = world.add_player();
    world.run_until(all_playing);
    let start = place(&world.players[player].client);
    let (now, x, y) = (world.now(), start.0, inward(start.1));
    let sequence = world.players[player].client.send(now, Intent::Move { x, y });
    world.run(Duration::from_secs(1));
    let is_it = |event: &Event| matches!(event, Event::Confirmed { input_seq, .. } if *input_seq == sequence);
    assert!(world.players[player].events.iter().any(is_it), "{:?}", world.players[player].events);
    assert_eq!(place(&world.players[player].client), (x, y), "half a second of walking was enough");
    assert_eq!(world.server.counters().inputs_applied, 1);
}

/// Every input is settled exactly once, whatever the network does.
#[test]
fn every_input_is_confirmed_once_under_loss_reorder_and_duplication() {
    for seed in 1..=5 {
        let network = Network { loss_percent: 5, duplicate_percent: 5, delay_ms: 20, jitter_ms: 30 };
        let mut world = World::new(seed, network);
        let player = world.add_player();
        world.run_until(all_playing);
        let sent = move_about(&mut world, player, 640);
        let mut confirmed = BTreeSet::new();
        for event in &world.players[player].events {
            match event {
                Event::Confirmed { input_seq, .. } => {
                    assert!(confirmed.insert(*input_seq), "seed {seed}: twice");
                }
                other => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!(confirmed.into_iter().collect::<Vec<_>>(), sent, "seed {seed}");
        assert_eq!(world.server.counters().inputs_applied, 640, "seed {seed}");
        assert_eq!(world.server.counters().timeouts, 0, "seed {seed}");
    }
}

#[test]
fn a_third_of_all_datagrams_lost_still_lets_players_in_and_play() {
    let mut world = World::new(3, Network { loss_percent: 33, delay_ms: 10, ..Network::default() });
    for _ in 0..8 {
        world.add_player();
    }
    world.run_until(all_playing);
    let sent = move_about(&mut world, 0, 64);
    let settled = |event: &&Event| matches!(event, Event::Confirmed { .. } | Event::Rejected { .. });
    assert_eq!(world.players[0].events.iter().filter(settled).count(), sent.len());
}

/// `B3`: the reasons, in the order in which they are checked.
#[test]
fn moves_against_the_rules_are_rejected_with_their_reason() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let hello = peer.moves(0, &[]);
    bench.exchange(peer.address, &hello);
    let first = peer.snapshot(&mut bench);
    let start = own(&first);
    let far = inward(inward(inward(start.x)));
    let ahead = first.head.tick + 100;
    let cases = [
        (1, 0, -1, start.y, RejectReason::OutOfBounds),
        (2, 0, start.x, rules::MAP_SIZE + 1, RejectReason::OutOfBounds),
        (3, 0, i32::MIN, i32::MAX, RejectReason::OutOfBounds),
        (4, 0, far, start.y, RejectReason::MoveTooFar),
        (5, ahead, inward(start.x), start.y, RejectReason::TickTooFarAhead),
    ];
    let moves: Vec<_> = cases.iter().map(|&(sequence, tick, x, y, _)| (sequence, tick, x, y)).collect();
    let packet = peer.moves(first.head.tick, &moves);
    bench.exchange(peer.address, &packet);
    let snapshot = peer.snapshot(&mut bench);
    for (sequence, .., reason) in cases {
        let told = snapshot.rejected.iter().find(|rejected| rejected.sequence == sequence);
        assert_eq!(told.map(|rejected| rejected.reason), Some(reason), "input {sequence}");
        assert!(bench.server.counters().rejected(reason) > 0);
    }
    let end = own(&snapshot);
    assert_eq!((end.x, end.y), (start.x, start.y), "nobody moved");
    assert_eq!(bench.server.counters().inputs_applied, 0);
}

#[test]
fn a_rejection_is_repeated_until_it_is_acknowledged() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let packet = peer.moves(0, &[(1, 0, -1, 0)]);
    bench.exchange(peer.address, &packet);
    let mut told = peer.snapshot(&mut bench);
    for _ in 0..10 {
        assert_eq!(told.rejected.len(), 1);
        told = peer.snapshot(&mut bench);
    }
    let acknowledgement = peer.moves(told.head.tick, &[]);
    bench.exchange(peer.address, &acknowledgement);
    assert_eq!(peer.snapshot(&mut bench).rejected, []);
}

#[test]
fn an_acknowledgement_of_a_tick_that_never_was_settles_nothing() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let packet = peer.moves(u64::MAX, &[(1, 0, -1, 0)]);
    bench.exchange(peer.address, &packet);
    assert_eq!(peer.snapshot(&mut bench).rejected.len(), 1);
    let packet = peer.moves(0, &[]);
    bench.exchange(peer.address, &packet);
    assert_eq!(peer.snapshot(&mut bench).rejected.len(), 1);
}

/// While a client does not acknowledge, its inputs wait; no outcome is ever lost.
#[test]
fn inputs_wait_while_there_is_no_room_for_their_outcome() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let mut told = BTreeSet::new();
    let mut next: u32 = 1;
    for _ in 0..40 {
        bench.elapsed += Duration::from_millis(100);
        // 13 at a time do not divide the room evenly, so that the last ones must wait inside of a tick
        let moves: Vec<_> = (next..next + 13).map(|sequence| (sequence, 0, -1, 0)).collect();
        let packet = peer.moves(0, &moves);
        bench.exchange(peer.address, &packet);
        let snapshot = peer.snapshot(&mut bench);
        assert!(snapshot.rejected.len() <= 32);
        told.extend(snapshot.rejected.iter().map(|rejected| rejected.sequence));
        next = snapshot.head.last_input_sequence + 1;
    }
    assert_eq!(told, (1..=32).collect());
    assert!(bench.server.counters().inputs_deferred > 0);

    let packet = peer.moves(bench.server.tick(), &[]);
    bench.exchange(peer.address, &packet);
    let snapshot = peer.snapshot(&mut bench);
    assert!(snapshot.rejected.iter().all(|rejected| rejected.sequence > 32), "and goes on after it");
    assert!(snapshot.head.last_input_sequence > 32);
}

#[test]
fn more_inputs_than_the_rate_are_rejected_and_the_rest_goes_on() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let hello = peer.moves(0, &[]);
    bench.exchange(peer.address, &hello);
    let first = peer.snapshot(&mut bench);
    let (x, y) = (inward(own(&first).x), inward(own(&first).y));
    let mut sequence = 0;
    // four inputs a tick is twice the rate
    for tick in 1..=200_u32 {
        bench.elapsed = Duration::from_secs(1) * tick / common::TICK_HZ;
        let moves: Vec<_> = (1..=4).map(|more| (sequence + more, 0, x, y)).collect();
        sequence += 4;
        let packet = peer.moves(first.head.tick + u64::from(tick) - 1, &moves);
        bench.exchange(peer.address, &packet);
        peer.snapshot(&mut bench);
    }
    let counters = bench.server.counters();
    assert!(counters.rejected(RejectReason::RateLimited) > 300, "{:?}", bench.rejects());
    assert!(counters.rejected(RejectReason::MoveOnCooldown) > 100, "{:?}", bench.rejects());
    assert!(counters.inputs_applied >= 200, "one move a tick stays allowed: {}", counters.inputs_applied);
}

/// `B4`: at most so many commands a tick; whoever had to wait is first in the next.
#[test]
fn a_tick_carries_out_its_most_and_takes_turns() {
    let mut bench = Bench::with_config(ServerConfig { max_commands_per_tick: 3, ..config() });
    let mut peers: Vec<_> =
        (0..8).map(|id| bench.peer(id, 1000 + u16::try_from(id).expect("small"))).collect();
    for peer in &mut peers {
        peer.connect(&mut bench);
        let packet = peer.moves(0, &[(1, 0, -1, 0), (2, 0, -1, 0), (3, 0, -1, 0)]);
        bench.exchange(peer.address, &packet);
    }
    for tick in 1..=8 {
        bench.tick();
        assert_eq!(bench.server.counters().rejected_inputs(), 3 * tick);
    }
    bench.tick();
    assert_eq!(bench.server.counters().rejected_inputs(), 24);
    assert_eq!(bench.server.counters().commands_deferred, 7);
    let depths = bench.server.take_histograms().queue_depth;
    assert_eq!((depths.count(), depths.sum()), (9, 24 + 21 + 18 + 15 + 12 + 9 + 6 + 3));
}

#[test]
fn an_input_for_a_later_tick_waits_for_it() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let packet = peer.moves(0, &[(1, 5, -1, 0)]);
    bench.exchange(peer.address, &packet);
    for _ in 1..5 {
        assert_eq!(peer.snapshot(&mut bench).head.last_input_sequence, 0);
    }
    assert_eq!(peer.snapshot(&mut bench).head.last_input_sequence, 1);
}

#[test]
fn players_are_told_of_others_in_turns_that_are_spread() {
    for (tick_hz, replication_hz, turn_ticks) in
        [(64, 20, 3), (64, 32, 2), (20, 20, 1), (20, 30, 1), (64, 1, 15)]
    {
        let mut bench =
            Bench::with_config(ServerConfig { capacity: 16, tick_hz, replication_hz, ..config() });
        let mut peers: Vec<_> =
            (0..turn_ticks).map(|id| bench.peer(id, 1000 + u16::try_from(id).expect("small"))).collect();
        for peer in &mut peers {
            peer.connect(&mut bench);
            let packet = peer.moves(0, &[]);
            bench.exchange(peer.address, &packet);
        }
        let (mut buffer, mut snapshot) = ([0; 1200], gameserver_client::Snapshot::default());
        for tick in 1..=60 {
            bench.elapsed += Duration::from_secs(1) / tick_hz;
            bench.server.step(bench.now());
            let (mut told, mut told_of_others) = (0, 0);
            while let Some(transmit) = bench.server.poll_transmit(bench.now(), &mut buffer) {
                let peer = &peers[usize::from(transmit.to.port() - 1000)];
                if snapshot.decode_into(&peer.open(&buffer[..transmit.len]).1).is_ok() {
                    told += 1;
                    told_of_others += u64::from(snapshot.tells_of_others);
                }
            }
            // who has just come in is told each tick
            let expected = if tick <= 16 { turn_ticks } else { 1 };
            assert_eq!(
                (told, told_of_others),
                (expected, expected),
                "tick {tick} at {tick_hz} and {replication_hz} Hz"
            );
        }
    }
}

#[test]
fn latency_is_measured_from_arrival_to_the_snapshot_that_acknowledges() {
    let mut bench = Bench::new();
    let mut peer = bench.peer(1, 1000);
    peer.connect(&mut bench);
    let packet = peer.moves(0, &[(1, 0, -1, 0), (2, 0, -1, 0)]);
    bench.exchange(peer.address, &packet);
    bench.elapsed += Duration::from_millis(9);
    peer.snapshot(&mut bench);
    peer.snapshot(&mut bench);
    let latency = bench.server.take_histograms().input_latency_us;
    assert_eq!((latency.count(), latency.sum()), (2, 18_000));
    assert_eq!(bench.server.take_histograms().input_latency_us.count(), 0, "taken is taken");
}

#[test]
fn players_see_each_other_when_they_are_near_and_not_when_far() {
    // told of others each tick, so that what is seen now is what is there now
    let config = ServerConfig { capacity: 400, replication_hz: 1000, ..config() };
    let mut world = World::with_config(7, Network::default(), config);
    for _ in 0..200 {
        world.add_player();
    }
    world.run_until(all_playing);
    world.run(Duration::from_secs(1));
    let truth: Vec<_> =
        world.server.game().entities().filter(|(_, entity)| entity.kind == PLAYER_KIND).collect();
    for player in &world.players {
        let (x, y) = place(&player.client);
        let own = (x.div_euclid(10), y.div_euclid(10));
        let view = player.client.view();
        let mut near = 0;
        for &(index, entity) in truth.iter().filter(|(_, entity)| (entity.x, entity.y) != own) {
            let distance = (entity.x - own.0).abs().max((entity.y - own.1).abs());
            if distance < 5_000 {
                near += 1;
                assert_eq!(view.get(index), Some(&entity), "{distance} hundredths away");
            }
            if distance > 35_000 {
                assert_eq!(view.get(index), None, "{distance} hundredths away");
            }
        }
        assert!(near < 100, "the map is not that crowded");
    }
}

#[test]
fn a_player_who_left_is_seen_no_more() {
    let mut world = World::with_config(1, Network::default(), ServerConfig { capacity: 300, ..config() });
    for _ in 0..300 {
        world.add_player();
    }
    world.run_until(all_playing);
    world.run(Duration::from_millis(500));
    let sees = |world: &World, id: u32| {
        let views = world.players.iter().map(|player| player.client.view());
        views.filter(|view| view.entities().any(|(_, entity)| entity.id == id)).count()
    };
    let (x, y) = place(&world.players[7].client);
    let is_leaver =
        |&(_, entity): &(u32, Entity)| (entity.x, entity.y) == (x.div_euclid(10), y.div_euclid(10));
    let (_, leaver) = world.server.game().entities().find(is_leaver).expect("in the world");
    assert!(sees(&world, leaver.id) > 0);
    world.players[7].client.disconnect();
    world.run(Duration::from_millis(100));
    assert_eq!(sees(&world, leaver.id), 0);
    assert_eq!(world.server.status(world.now()).players, 299);
    let reason = DisconnectReason::ByClient;
    assert_eq!(world.players[7].client.state(), ClientState::Disconnected { reason });
}

#[test]
fn whoever_gets_a_slot_finds_nothing_of_its_last_player() {
    let mut bench =
        Bench::with_config(ServerConfig { capacity: 1, replication_hz: common::TICK_HZ, ..config() });
    let mut first = bench.peer(1, 1000);
    first.connect(&mut bench);
    let packet = first.moves(0, &[(1, 0, -1, 0), (2, 40, -1, 0)]);
    bench.exchange(first.address, &packet);
    let left = first.snapshot(&mut bench);
    assert_eq!((left.head.last_input_sequence, left.rejected.len()), (1, 1));
    let goodbye = first.seal(gameserver_protocol::PacketKind::Disconnect, &[]);
    bench.exchange(first.address, &goodbye);
    let mut second = bench.peer(2, 1001);
    second.connect(&mut bench);
    let packet = second.moves(0, &[]);
    bench.exchange(second.address, &packet);
    let fresh = second.snapshot(&mut bench);
    assert_eq!((fresh.head.last_input_sequence, fresh.rejected.len()), (0, 0));
    for _ in 0..50 {
        assert_eq!(second.snapshot(&mut bench).head.last_input_sequence, 0);
    }
}

#[test]
fn a_client_notices_a_goodbye_a_silent_server_and_a_full_one() {
    let mut world = World::with_config(1, Network::default(), ServerConfig { capacity: 1, ..config() });
    let player = world.add_player();
    world.run_until(all_playing);
    let late = world.add_player();
    world.run(Duration::from_millis(50));
    assert_eq!(world.players[late].client.state(), ClientState::Denied);
    let now = world.now();
    world.server.disconnect_all(now);
    world.run(Duration::from_millis(50));
    let by_server = ClientState::Disconnected { reason: DisconnectReason::ByServer };
    assert_eq!(world.players[player].client.state(), by_server);

    let again = world.add_player();
    world.run_until(|world| world.players[again].client.state() == ClientState::Connected);
    world.network.loss_percent = 100;
    world.run(Duration::from_millis(5100));
    let timed_out = ClientState::Disconnected { reason: DisconnectReason::TimedOut };
    assert_eq!(world.players[again].client.state(), timed_out);
    let unheard = world.add_player();
    world.run(Duration::from_millis(5100));
    let reason = DisconnectReason::RequestTimedOut;
    assert_eq!(world.players[unheard].client.state(), ClientState::Disconnected { reason });
}

/// The same seed gives the same world on a bad network, tick for tick; another seed another one.
#[test]
fn the_same_seed_gives_the_same_world() {
    let play = |seed: u64| {
        let network = Network { loss_percent: 10, duplicate_percent: 10, delay_ms: 10, jitter_ms: 20 };
        let mut world = World::new(seed, network);
        let mut hashes = Vec::new();
        for second in 0..4 {
            world.add_player();
            world.run(Duration::from_millis(300));
            if second > 0 {
                move_about(&mut world, second - 1, 30);
            }
            hashes.push(world.server.state_hash());
        }
        (hashes, world.server.counters().clone())
    };
    assert_eq!(play(42), play(42));
    assert_ne!(play(42).0, play(43).0);
}
