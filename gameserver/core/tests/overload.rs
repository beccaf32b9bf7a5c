//! Players who ask for more than a tick carries out: who gets how much, and that everybody hears what became of it.

mod common;

use std::collections::BTreeMap;

use common::asking::{Crowd, jain};
use common::config;
use gameserver_core::{RejectReason, ServerConfig};
use gameserver_protocol::message::MAX_REJECTED;

const LIMIT: usize = 100;
/// Ticks that an input waits for at most: an eighth of a second.
const PATIENCE: usize = 8;

fn crowd(asks: &[u32], limit: usize) -> Crowd {
    Crowd::new(asks, ServerConfig { max_commands_per_tick: limit, ..config() })
}

/// A third of the snapshots gets lost, of each player others.
fn with_losses(player: usize, tick: u64) -> bool {
    !(player as u64 * 7 + tick).is_multiple_of(3)
}

/// `B4`: 200 players who ask for 400 of 100 commands, as 2000 would for 4000 of 1000.
#[test]
fn at_four_times_the_limit_each_tick_is_full_shares_are_even_and_every_input_is_answered_once() {
    let mut crowd = crowd(&[2; 2 * LIMIT], LIMIT);
    for tick in 1..=128 {
        let before = crowd.commands();
        crowd.turn(with_losses);
        assert_eq!(crowd.commands() - before, LIMIT as u64, "at tick {tick}");
    }
    let applied = crowd.applied();
    assert!(jain(&applied) >= 990, "{applied:?}");
    assert!(crowd.shed() > 5 * LIMIT as u64 * 128 / 2, "{} of what was too much", crowd.shed());

    // everyone falls silent, and hears the rest
    for player in &mut crowd.players {
        player.asks = 0;
    }
    for _ in 0..2 * PATIENCE {
        crowd.turn(|_, _| true);
    }
    let (mut refused, mut answered) = (0, 0);
    for player in &crowd.players {
        assert_eq!(player.decided, player.newest_sent());
        let is_overload = |&reason: &RejectReason| reason == RejectReason::Overloaded;
        refused += player.refused.values().filter(|reason| is_overload(reason)).count() as u64;
        answered += u64::from(player.decided);
    }
    assert_eq!(refused, crowd.shed(), "each refusal was told, and of one input");
    assert_eq!(crowd.commands() + crowd.shed(), answered, "each input has one outcome");
}

#[test]
fn in_an_overload_an_input_waits_for_an_eighth_of_a_second_at_most() {
    let mut crowd = crowd(&[2; 40], 20);
    for tick in 0..64 {
        crowd.turn(|_, _| true);
        for player in &crowd.players {
            let long_ago = (tick + 1_usize).checked_sub(PATIENCE).map_or(0, |ago| player.sent[ago]);
            assert!(player.decided >= long_ago, "{} of {long_ago} at tick {tick}", player.decided);
        }
    }
    let waited = crowd.bench.server.take_histograms().input_latency_us;
    assert!(waited.count() > 4000, "{waited:?}");
}

#[test]
fn who_asks_for_eight_times_as_much_gets_no_more_than_others_when_a_tick_is_full() {
    let mut asks = [1; 40];
    asks[7] = 8;
    let mut crowd = crowd(&asks, 20);
    // so slow that the limit of each player lets all eight pass
    crowd.period *= 4;
    for _ in 0..200 {
        crowd.turn(|_, _| true);
    }
    assert_eq!(crowd.bench.server.counters().rejected(RejectReason::RateLimited), 0);
    let applied = crowd.applied();
    let (least, most) = (applied.iter().min().unwrap(), applied.iter().max().unwrap());
    assert!(most - least <= 1, "{applied:?}");
    assert_eq!(applied.iter().sum::<u64>(), 200 * 20);
}

#[test]
fn up_to_the_limit_nothing_is_different_whatever_the_limit_is() {
    let play = |limit| {
        let mut crowd = crowd(&[1, 2, 1, 0, 2], limit);
        for _ in 0..100 {
            crowd.turn(with_losses);
        }
        (crowd.bench.server.counters().clone(), crowd.bench.server.state_hash(), crowd.applied())
    };
    let (counters, hash, applied) = play(6);
    assert_eq!((counters.commands_deferred, counters.rejected(RejectReason::Overloaded)), (0, 0));
    assert_eq!((counters, hash, applied), play(1000));
    assert_ne!(play(5).1, hash, "a limit that is reached is one");
}

#[test]
fn a_full_tick_now_and_then_refuses_nothing() {
    let mut crowd = crowd(&[1; 40], 20);
    for _ in 0..20 {
        crowd.turn(|_, _| true);
        crowd.tick(|_, _| true);
    }
    assert_eq!((crowd.bench.server.counters().commands_deferred, crowd.shed()), (20, 0));
    crowd.tick(|_, _| true);
    assert!(crowd.players.iter().all(|player| player.decided == player.newest_sent()));
}

#[test]
fn an_input_does_not_count_as_waiting_while_the_one_before_it_is_for_a_later_tick() {
    let mut crowd = crowd(&[2; 40], 20);
    let planner = &mut crowd.players[0];
    planner.asks = 0;
    planner.sent.push(2);
    let (x, y) = planner.place;
    let mut inputs = planner.peer.moves(0, &[(1, 30, x, y), (2, 0, x, y)]);
    crowd.bench.server.handle_datagram(crowd.bench.now(), planner.peer.address, &mut inputs);
    while crowd.bench.server.tick() < 40 {
        crowd.turn(|_, _| true);
        let is_early = crowd.bench.server.tick() < 30;
        assert!(!is_early || crowd.players[0].decided == 0);
    }
    assert_eq!((crowd.players[0].decided, &crowd.players[0].refused), (2, &BTreeMap::new()));
}

/// An outcome is never lost: whoever does not say what it has heard is refused no more than a snapshot has room for.
#[test]
fn inputs_wait_on_when_there_is_no_room_to_tell_of_their_refusal() {
    let mut crowd = crowd(&[2; 40], 20);
    for _ in 0..64 {
        crowd.turn(|_, _| true);
        for player in &mut crowd.players {
            player.heard_tick = 0;
        }
    }
    let most = |crowd: &Crowd| crowd.players.iter().map(|player| player.refused.len()).max();
    assert_eq!(most(&crowd), Some(MAX_REJECTED));
    for _ in 0..2 * PATIENCE {
        crowd.turn(|_, _| true);
    }
    assert!(most(&crowd) > Some(MAX_REJECTED), "and goes on after it");
}
