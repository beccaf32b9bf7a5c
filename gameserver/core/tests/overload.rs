//! Players who ask for more than a tick carries out: who gets how much, and that everybody hears what became of it.

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::raw::{Bench, Peer, own};
use common::{TICK_HZ, config};
use gameserver_client::Snapshot;
use gameserver_core::{RejectReason, ServerConfig};
use gameserver_game::arena::rules;
use gameserver_protocol::PacketKind;
use gameserver_protocol::message::MAX_REJECTED;

const LIMIT: usize = 100;
/// Ticks that an input waits for at most: an eighth of a second.
const PATIENCE: usize = 8;
/// Inputs that a client keeps open at most.
const OPEN_MAX: u32 = 32;

/// A player who repeats its inputs until it hears what became of them, as clients do.
struct Player {
    peer: Peer,
    /// New inputs in each tick, as long as not too many are open.
    asks: u32,
    /// Sequence of the newest input that was sent before each tick.
    sent: Vec<u32>,
    heard_tick: u64,
    place: (i32, i32),
    decided: u32,
    refused: BTreeMap<u32, RejectReason>,
}

impl Player {
    fn newest_sent(&self) -> u32 {
        self.sent.last().copied().unwrap_or(0)
    }

    /// Inputs that were carried out.
    fn applied(&self) -> u64 {
        u64::from(self.decided) - self.refused.len() as u64
    }

    fn inputs(&mut self) -> Vec<u8> {
        let (x, y) = self.place;
        let newest = (self.newest_sent() + self.asks).min(self.decided + OPEN_MAX);
        self.sent.push(newest);
        let moves: Vec<_> = (self.decided + 1..=newest).map(|sequence| (sequence, 0, x, y)).collect();
        self.peer.moves(self.heard_tick, &moves)
    }

    fn hear(&mut self, snapshot: &Snapshot) {
        self.heard_tick = snapshot.head.tick;
        // a stride towards the middle of the map, which is always allowed
        let inward = |at: i32| if at > rules::MAP_SIZE / 2 { at - 3000 } else { at + 3000 };
        let own = own(snapshot);
        self.place = (inward(own.x), inward(own.y));
        assert!(snapshot.head.last_input_sequence >= self.decided, "what was decided stays so");
        self.decided = snapshot.head.last_input_sequence;
        for rejected in &snapshot.rejected {
            let before = self.refused.insert(rejected.sequence, rejected.reason);
            assert!(before.is_none_or(|before| before == rejected.reason), "told anew and otherwise");
        }
    }
}

struct Crowd {
    bench: Bench,
    players: Vec<Player>,
    /// Between two ticks; inputs are limited to two in each 64th of a second.
    period: Duration,
}

impl Crowd {
    fn new(asks: &[u32], limit: usize) -> Self {
        let capacity = asks.len();
        let mut bench =
            Bench::with_config(ServerConfig { capacity, max_commands_per_tick: limit, ..config() });
        let players = (1000..).zip(asks).map(|(port, &asks)| {
            let mut peer = bench.peer(port.into(), port);
            peer.connect(&mut bench);
            let hello = peer.moves(0, &[]);
            bench.server.handle_datagram(bench.now(), peer.address, &mut hello.clone());
            let (sent, heard_tick, place, decided) = (Vec::new(), 0, (0, 0), 0);
            Player { peer, asks, sent, heard_tick, place, decided, refused: BTreeMap::new() }
        });
        let players = players.collect();
        let mut crowd = Self { bench, players, period: Duration::from_secs(1) / TICK_HZ };
        crowd.tick(|_, _| true);
        crowd
    }

    /// Everyone sends what it asks for, and then there is a tick, of which those hear who are told so.
    fn turn(&mut self, hears: impl Fn(usize, u64) -> bool) {
        self.bench.elapsed += self.period;
        for player in &mut self.players {
            let mut inputs = player.inputs();
            self.bench.server.handle_datagram(self.bench.now(), player.peer.address, &mut inputs);
        }
        self.tick(hears);
    }

    fn tick(&mut self, hears: impl Fn(usize, u64) -> bool) {
        self.bench.server.step(self.bench.now());
        let (mut buffer, mut snapshot) = ([0; 1200], Snapshot::default());
        while let Some(transmit) = self.bench.server.poll_transmit(self.bench.now(), &mut buffer) {
            let index = usize::from(transmit.to.port() - 1000);
            let player = &mut self.players[index];
            if !hears(index, self.bench.server.tick()) {
                continue;
            }
            let (kind, body) = player.peer.open(&buffer[..transmit.len]);
            // the other payload is a resume token
            if kind == PacketKind::Payload && snapshot.decode_into(&body).is_ok() {
                player.hear(&snapshot);
            }
        }
    }

    /// Inputs that the game was given so far.
    fn commands(&self) -> u64 {
        let counters = self.bench.server.counters();
        let before_it = [RejectReason::Overloaded, RejectReason::RateLimited];
        let refused_before_it: u64 = before_it.iter().map(|&reason| counters.rejected(reason)).sum();
        counters.inputs_applied + counters.rejected_inputs() - refused_before_it
    }

    fn shed(&self) -> u64 {
        self.bench.server.counters().rejected(RejectReason::Overloaded)
    }

    fn applied(&self) -> Vec<u64> {
        self.players.iter().map(Player::applied).collect()
    }
}

/// Jain's index of fairness in thousandths: 1000 when all are the same, 1000 / n when one has everything.
fn jain(shares: &[u64]) -> u64 {
    let (sum, squares) = (shares.iter().sum::<u64>(), shares.iter().map(|share| share * share).sum::<u64>());
    1000 * sum * sum / (shares.len() as u64 * squares)
}

/// A third of the snapshots gets lost, of each player others.
fn with_losses(player: usize, tick: u64) -> bool {
    !(player as u64 * 7 + tick).is_multiple_of(3)
}

/// `B4`: 200 players who ask for 400 of 100 commands, as 2000 would for 4000 of 1000.
#[test]
fn at_four_times_the_limit_each_tick_is_full_shares_are_even_and_every_input_is_answered_once() {
    let mut crowd = Crowd::new(&[2; 2 * LIMIT], LIMIT);
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
    let mut crowd = Crowd::new(&[2; 40], 20);
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
    let mut crowd = Crowd::new(&asks, 20);
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
        let mut crowd = Crowd::new(&[1, 2, 1, 0, 2], limit);
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
    let mut crowd = Crowd::new(&[1; 40], 20);
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
    let mut crowd = Crowd::new(&[2; 40], 20);
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
    let mut crowd = Crowd::new(&[2; 40], 20);
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
