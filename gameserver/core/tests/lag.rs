//! A shot is judged by the world as its player saw it, as far as the server believes that: from the message that claims it to the hit.

mod common;

use std::time::Duration;

use common::raw::{Bench, Peer};
use common::{TICK_HZ, config};
use gameserver_core::{Game, RejectReason, ServerConfig};
use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::own::Own;
use gameserver_game::arena::rules::{MAP_SIZE, SKILLS};
use gameserver_protocol::PacketKind;
use gameserver_protocol::message::{Fields, Input, InputsHead, encode_inputs};

/// The stun, which reaches furthest: 300 units.
const STUN: usize = 3;
/// At 64 Hz the 100 ms of interpolation are 6.4 ticks.
const INTERPOLATION: Duration = Duration::from_millis(100);
const MARKSMAN: usize = 0;
const TARGET: usize = 1;

/// Two players, of whom one goes away from the other, who stands still, until it is out of range.
struct Gallery {
    bench: Bench,
    peers: [Peer; 2],
    stamps: u16,
    walks: u32,
    /// How many ticks old the snapshots are that the marksman has, once it is as many.
    way_ticks: u64,
}

impl Gallery {
    fn new(way_ticks: u64) -> Self {
        let mut bench = Bench::with_config(ServerConfig {
            replication_hz: TICK_HZ,
            interpolation: INTERPOLATION,
            ..config()
        });
        let peers = [(1, 1000), (2, 1001)].map(|(client, port)| {
            let mut peer = bench.peer(client, port);
            peer.connect(&mut bench);
            peer
        });
        let mut gallery = Self { bench, peers, stamps: 0, walks: 0, way_ticks };
        // the match puts them elsewhere when it begins
        (0..4).for_each(|_| gallery.tick());
        gallery
    }

    /// `claim` is by how many ticks it says that it draws others late.
    fn send(&mut self, who: usize, claim: u8, input: Option<Input>) {
        self.stamps += 1;
        let tick = self.bench.server.tick();
        let ack_tick = if who == MARKSMAN { tick.saturating_sub(self.way_ticks) } else { tick };
        let head =
            InputsHead { stamp: self.stamps, ack_tick, view_lag_ticks: claim, ..InputsHead::default() };
        let mut body = [0; 1200];
        let len = encode_inputs(&mut body, &head, input.iter()).expect("one input");
        let peer = &mut self.peers[who];
        let mut packet = peer.seal(PacketKind::Payload, &body[..len]);
        let (now, from) = (self.bench.now(), peer.address);
        self.bench.server.handle_datagram(now, from, &mut packet);
    }

    /// A tick, after which both say that they are there.
    fn tick(&mut self) {
        let ticks = u32::try_from(self.bench.server.tick() + 1).expect("few");
        self.bench.elapsed = Duration::from_secs(1) * ticks / TICK_HZ;
        self.bench.tick();
        self.send(MARKSMAN, 0, None);
        self.send(TARGET, 0, None);
    }

    fn own(&self, who: usize) -> Own {
        self.bench.server.game().own(u32::try_from(who).expect("two")).expect("in the world")
    }

    /// Square of how far they are from each other, now and, as far as can be known, after the next tick.
    fn distances_squared(&self) -> [i64; 2] {
        let (one, now) = (self.own(MARKSMAN), self.own(TARGET));
        let mut next = now;
        Arena::predict(TICK_HZ, self.bench.server.tick() + 1, &mut next, &[]);
        [now, next].map(|it| [one.x - it.x, one.y - it.y].map(|way| i64::from(way).pow(2)).iter().sum())
    }

    /// The target goes on along the line between them, away from the marksman or towards it, for half a second and a little more.
    fn walk_on(&mut self, is_away: bool) {
        let (one, other) = (self.own(MARKSMAN), self.own(TARGET));
        let (x, y) = (other.x - one.x, other.y - one.y);
        let units = i32::try_from(self.distances_squared()[0].isqrt() / 1000).expect("on the map").max(1);
        let along = |way: i32| if is_away { way * 8 / units } else { -way * 8 / units };
        let to = [other.x + along(x), other.y + along(y)];
        assert!(to.iter().all(|way| (0..=MAP_SIZE).contains(way)), "the edge of the map is in the way");
        let (sequence, intent) = (self.walks + 1, Intent::Move { x: to[0], y: to[1] });
        self.walks = sequence;
        self.send(TARGET, 0, Some(Input { sequence, tick: 0, intent: intent.to_fields() }));
    }

    /// Goes on until the next tick takes the target out of range, within which it has been for a second or more.
    fn run_to_the_last_tick_in_range(&mut self) {
        let range = i64::from(SKILLS[STUN].range);
        let mut is_away = self.distances_squared()[0] < range.pow(2);
        for tick in 0.. {
            if tick % (TICK_HZ / 2) == 0 {
                self.walk_on(is_away);
            }
            self.tick();
            let [now, next] = self.distances_squared();
            if is_away && now <= range.pow(2) && next > range.pow(2) {
                return;
            }
            is_away |= now < (range - 10_000).pow(2);
        }
    }

    /// Shoots in the tick that is `after` ticks behind the last one in which the target was in range, with this claim and by an input
    /// that was aimed `late` ticks before. Returns why that was refused, if it was.
    fn shoot(mut self, after: u64, claim: u8, late: u64) -> Option<RejectReason> {
        self.run_to_the_last_tick_in_range();
        (1..after).for_each(|_| self.tick());
        let target = self.bench.server.game().entities().find(|(index, _)| *index as usize == TARGET);
        let (_, target) = target.expect("it is there");
        let cast = Intent::Cast { skill: SKILLS[STUN].id, target: target.id };
        let aimed = self.bench.server.tick() + 1 - late;
        let before = self.bench.server.counters().inputs_applied;
        self.send(MARKSMAN, claim, Some(Input { sequence: 1, tick: aimed, intent: cast.to_fields() }));
        self.bench.tick();
        let counters = self.bench.server.counters();
        let refused = RejectReason::ALL.into_iter().find(|&reason| counters.rejected(reason) > 0);
        assert_eq!(counters.inputs_applied - before, u64::from(refused.is_none()));
        refused
    }
}

/// What is claimed, but no more than half of the round trip and interpolation, and never more than a quarter of a second: 16 ticks. What
/// decides is one tick: of these shots each hits, and would not a tick later. The last of these three is held twice, by the server and by how
/// much the arena keeps.
#[test]
fn a_target_is_hit_where_it_was_seen_as_far_back_as_claimed_explained_and_allowed() {
    for (name, way_ticks, claim, late, back) in [
        ("as claimed", 8, 5, 0, 5),
        ("nothing is claimed: the tick before", 8, 0, 0, 1),
        ("no more than a short way and interpolation explain", 2, 30, 0, 7),
        ("than a longer one explains", 8, 30, 0, 10),
        ("as much as it explains", 8, 10, 0, 10),
        ("never more than a quarter of a second", 40, 255, 0, 16),
        ("an input that comes late was aimed at what was seen before", 8, 4, 3, 7),
        ("with all that it claims no more than is explained", 8, 9, 5, 10),
    ] {
        assert_eq!(Gallery::new(way_ticks).shoot(back, claim, late), None, "{name}: it was within then");
        let refused = Gallery::new(way_ticks).shoot(back + 1, claim, late);
        assert_eq!(refused, Some(RejectReason::OutOfRange), "{name}: a tick later it was not");
    }
}
