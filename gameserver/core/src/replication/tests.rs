//! A viewer against a client that keeps to the wire's documentation and nothing else, over a way that loses, repeats
//! and reorders in both directions.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use gameserver_game::RandomStream;
use gameserver_protocol::message::{
    Change, Entity, FieldList, MAX_MESSAGE_BYTES, Snapshot, SnapshotHead, SnapshotWriter,
};
use proptest::prelude::*;

use super::cells::Cells;
use super::grid::Grid;
use super::history::History;
use super::viewer::{SEEN_MAX, Scratch};
use super::{Replication, Told, Viewer, Viewpoint, turn_ticks};

const ENTITIES: u32 = 200;
const BUDGET: usize = 300;
const TROUBLED: u64 = 400;

/// Entities that come, walk, change, go and leave their index to others.
struct World {
    random: RandomStream,
    entities: Vec<Option<Entity>>,
    last_id: u32,
    tick: u64,
    replication: Replication,
}

impl World {
    fn new(seed: u64, turn_ticks: u64) -> Self {
        let capacity = ENTITIES as usize;
        Self {
            random: RandomStream::new(seed),
            entities: vec![None; capacity],
            last_id: 0,
            tick: 0,
            replication: Replication {
                turn_ticks,
                history: History::new(capacity),
                cells: Cells::new(capacity),
                grid: Grid::new(1000, capacity),
                scratch: Scratch::new(capacity, 64),
            },
        }
    }

    /// One tick; `life` in 100 entities come or go, and half of the others move.
    fn step(&mut self, life: u32) {
        self.tick += 1;
        let Self { random, entities, last_id, .. } = self;
        for entity in entities.iter_mut() {
            if random.below(100) < life {
                *entity = if entity.is_some() {
                    None
                } else {
                    *last_id += 1;
                    let mut place = || 30_000 + random.below(40_000).cast_signed();
                    Some(Entity { id: *last_id, kind: 1, x: place(), y: place(), fields: [100, 0, 0, 0] })
                };
            } else if let Some(entity) = entity
                && life > 0
                && random.below(2) == 0
            {
                entity.x += random.below(40).cast_signed() - 20;
                entity.fields[0] -= i32::from(random.below(10) == 0);
            }
        }
        self.record();
    }

    fn record(&mut self) {
        let Self { replication, entities, tick, .. } = self;
        let there = (0..).zip(entities.iter()).filter_map(|(index, entity)| Some((index, (*entity)?)));
        replication.history.record(*tick, there);
        replication.grid.rebuild(replication.history.entities());
        replication.cells.restart();
    }

    fn snapshot(&mut self, viewer: &mut Viewer, arrived: u64) -> Vec<u8> {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let head = SnapshotHead { tick: self.tick, ..SnapshotHead::default() };
        let (own, none) = (FieldList::default(), std::iter::empty);
        let mut writer = SnapshotWriter::new(
            &mut buffer,
            &head,
            &own,
            [].into_iter(),
            none().take(0).collect::<Vec<_>>().into_iter(),
        )
        .expect("there is room for a head");
        // to and fro over the map until it stands, so that entities go out of sight and come back
        let x =
            if self.tick <= TROUBLED { 300 * i32::try_from(self.tick % 333).unwrap_or(0) } else { 50_000 };
        let from = Viewpoint { x, y: 50_000, own: Some(0) };
        let is_fresh = viewer.is_fresh();
        let told = Told { arrived, round_trip_ticks: 0, turn: self.replication.turn(0) };
        self.replication.write(viewer, from, told, BUDGET, &mut writer);
        let len = writer.finish();
        assert!(is_fresh || len <= BUDGET, "{len} bytes");
        buffer[..len].to_vec()
    }
}

/// What a client knows, by the documentation of the wire.
#[derive(Default)]
struct Client {
    known: BTreeMap<u32, BTreeMap<u64, Entity>>,
    newest: u64,
    /// Ticks whose snapshots have arrived.
    have: VecDeque<u64>,
    mismatch: bool,
}

impl Client {
    fn receive(&mut self, message: &[u8]) {
        let mut snapshot = Snapshot::default();
        snapshot.decode_into(message).expect("what the server writes can be read");
        let tick = snapshot.head.tick;
        if tick <= self.newest {
            return;
        }
        self.newest = tick;
        self.have.push_front(tick);
        self.have.truncate(65);
        for cell in &snapshot.cells {
            let states = self.known.entry(cell.index).or_default();
            match cell.change {
                Change::Gone => states.clear(),
                Change::Full(entity) => {
                    // what it was before is still a state from which a change may be told, if it is the same
                    states.retain(|_, known| known.id == entity.id);
                    states.insert(tick, entity);
                }
                Change::Since { back, delta } => match states.get(&(tick - u64::from(back))).copied() {
                    Some(base) => {
                        states.insert(tick, delta.apply(&base));
                    }
                    None => self.mismatch = true,
                },
            }
            while states.first_key_value().is_some_and(|(&old, _)| old + 64 < tick) && states.len() > 1 {
                states.pop_first();
            }
        }
    }

    /// Newest tick and the 64 before it.
    fn ack(&self) -> (u64, u64) {
        let bits = self.have.iter().skip(1).map(|tick| self.newest - 1 - tick).filter(|&bit| bit < 64);
        (self.newest, bits.fold(0, |bits, bit| bits | 1 << bit))
    }

    fn view(&self) -> BTreeMap<u32, Entity> {
        let newest = |states: &BTreeMap<u64, Entity>| states.last_key_value().map(|(_, &entity)| entity);
        self.known.iter().filter_map(|(&index, states)| Some((index, newest(states)?))).collect()
    }
}

/// A way with trouble: what goes in comes out some turns later, or not, or twice.
struct Way<T>(Vec<(u64, T)>);

impl<T: Clone> Way<T> {
    fn send(&mut self, random: &mut RandomStream, tick: u64, loss: u32, item: &T) {
        for _ in 0..=u32::from(random.below(100) < 10) {
            if random.below(100) >= loss {
                self.0.push((tick + 1 + u64::from(random.below(12)), item.clone()));
            }
        }
    }

    fn arrived(&mut self, tick: u64) -> Vec<T> {
        let (due, later) = std::mem::take(&mut self.0).into_iter().partition(|&(at, _)| at <= tick);
        self.0 = later;
        let due: Vec<(u64, T)> = due;
        due.into_iter().map(|(_, item)| item).collect()
    }
}

/// Plays troubled ticks and then as many quiet ones; returns what is wrong.
fn play(seed: u64, loss: u32, turn_ticks: u64) -> Result<(), String> {
    let (mut world, mut viewer, mut client) =
        (World::new(seed, turn_ticks), Replication::viewer(), Client::default());
    let mut random = RandomStream::new(seed ^ 0xA5A5);
    let (mut down, mut up) = (Way(Vec::new()), Way(Vec::new()));
    let mut ack = (0_u64, 0_u64);
    let mut truth: BTreeMap<(u64, u32), Entity> = BTreeMap::new();
    for tick in 1..=2 * TROUBLED {
        let is_troubled = tick <= TROUBLED;
        world.step(if is_troubled { 2 } else { 0 });
        truth.extend(world.replication.history.entities().map(|(index, entity)| ((tick, index), entity)));
        for newer in up.arrived(tick) {
            if newer > ack {
                ack = newer;
            }
        }
        let arrived = match tick - ack.0 {
            ago @ 0..64 if ack.0 > 0 => (ack.1 << 1 | 1) << ago,
            _ => 0,
        };
        let snapshot = world.snapshot(&mut viewer, arrived);
        down.send(&mut random, tick, if is_troubled { loss } else { 0 }, &snapshot);
        for message in down.arrived(tick) {
            client.receive(&message);
        }
        if client.mismatch {
            return Err(format!("tick {tick}: a change as of a state that the client does not have"));
        }
        for (index, states) in &client.known {
            for (&at, entity) in states {
                if truth.get(&(at, *index)) != Some(entity) {
                    return Err(format!("tick {tick}: entity {index} was not so at tick {at}"));
                }
            }
        }
        up.send(&mut random, tick, if is_troubled { loss } else { 0 }, &client.ack());
    }
    let mut expected: BTreeMap<u32, Entity> = world.replication.history.entities().collect();
    expected.remove(&0);
    let view = client.view();
    if expected.len() <= SEEN_MAX && view != expected {
        return Err(format!("at the end {} of {} are known", view.len(), expected.len()));
    }
    if view.iter().any(|(index, entity)| expected.get(index) != Some(entity)) {
        return Err("at the end something is known that is not so".to_owned());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn whatever_is_lost_repeated_or_reordered_a_view_is_never_wrong_and_in_the_end_complete(
        seed in any::<u64>(), loss in 0_u32..60, turn_ticks in 1_u64..4,
    ) {
        prop_assert_eq!(play(seed, loss, turn_ticks), Ok(()));
    }
}

#[test]
fn a_settled_world_costs_nothing_but_the_head() {
    let (mut world, mut viewer, mut client) = (World::new(5, 1), Replication::viewer(), Client::default());
    world.tick = TROUBLED;
    world.step(50);
    for _ in 0..200 {
        world.tick += 1;
        world.record();
        let (newest, bits) = client.ack();
        let arrived = if newest == 0 { 0 } else { (bits << 1 | 1) << (world.tick - newest) };
        let message = world.snapshot(&mut viewer, arrived);
        client.receive(&message);
        if world.tick > TROUBLED + 100 {
            assert!(message.len() < 20, "{} bytes", message.len());
        }
    }
    assert!(client.view().len() > 50);
}

/// Everything arrives at once.
const ALL_ARRIVES: u64 = u64::MAX - 1;

impl World {
    /// Whom a viewer in the middle is told of, and with how many bytes.
    fn tell(&mut self, viewer: &mut Viewer, arrived: u64, budget: usize) -> (Vec<u32>, usize) {
        let mut buffer = [0; MAX_MESSAGE_BYTES];
        let head = SnapshotHead { tick: self.tick, ..SnapshotHead::default() };
        let (own, none, quiet) = (FieldList::default(), [].into_iter(), [].into_iter());
        let mut writer = SnapshotWriter::new(&mut buffer, &head, &own, none, quiet).expect("room for a head");
        let from = Viewpoint { x: 50_000, y: 50_000, own: Some(0) };
        let told = Told { arrived, round_trip_ticks: 1, turn: self.replication.turn(0) };
        self.replication.write(viewer, from, told, budget, &mut writer);
        let len = writer.finish();
        let mut snapshot = Snapshot::default();
        snapshot.decode_into(&buffer[..len]).expect("a snapshot");
        (snapshot.cells.iter().map(|cell| cell.index).collect(), len)
    }

    /// As many as a viewer is told of at a time, a quarter of them at each of [`UNITS_AWAY`], and none ever stands still.
    fn step_crowd(&mut self) {
        self.tick += 1;
        for (index, entity) in (0_i32..).zip(&mut self.entities[1..=SEEN_MAX]) {
            let away = 100 * UNITS_AWAY[index.unsigned_abs() as usize % 4];
            let (x, y) = (50_000 + away + i32::from(self.tick.is_multiple_of(2)), 50_000 + index);
            *entity = Some(Entity { id: index.unsigned_abs() + 1, kind: 1, x, y, fields: [100, 0, 0, 0] });
        }
        self.record();
    }
}

/// One place for each frequency at which news is told.
const UNITS_AWAY: [i32; 4] = [10, 160, 260, 310];

/// How often a second a viewer is told of somebody who is so many units away and never stands still.
fn told_a_second(tick_hz: u32, units_away: i32) -> f64 {
    const SECONDS: u32 = 20;
    let mut world = World::new(1, turn_ticks(tick_hz, 20));
    world.replication.scratch = Scratch::new(ENTITIES as usize, tick_hz);
    let mut viewer = Replication::viewer();
    let mut told = 0;
    // what comes before is told to a newcomer
    for tick in 0..(SECONDS + 2) * tick_hz {
        let x = 50_000 + 100 * units_away + (tick % 2).cast_signed();
        world.entities[1] = Some(Entity { id: 1, kind: 1, x, y: 50_000, fields: [100, 0, 0, 0] });
        world.tick += 1;
        world.record();
        let turn = world.replication.turn(0);
        if !viewer.is_due(turn) {
            continue;
        }
        let (who, _) = world.tell(&mut viewer, ALL_ARRIVES, BUDGET);
        told += u32::from(tick >= 2 * tick_hz) * u32::try_from(who.len()).expect("one");
    }
    f64::from(told) / f64::from(SECONDS)
}

#[test]
fn who_is_near_is_told_of_at_each_turn_and_who_is_far_two_to_ten_times_a_second() {
    for tick_hz in [20, 30, 64, 128] {
        let turns = f64::from(tick_hz) / f64::from(u32::try_from(turn_ticks(tick_hz, 20)).expect("few"));
        let near = told_a_second(tick_hz, 10);
        assert!((near - turns).abs() < 0.5, "{tick_hz} Hz, near: {near} of {turns}");
        let mut nearer = near;
        for units_away in [160, 260, 310] {
            let far = told_a_second(tick_hz, units_away);
            assert!((2.0..=10.0).contains(&far) && far <= nearer, "{tick_hz} Hz, {units_away} away: {far}");
            nearer = far;
        }
        let farthest = told_a_second(tick_hz, 310);
        assert!(farthest < 3.5, "{tick_hz} Hz, at the edge of sight: {farthest}");
    }
}

/// Ticks that anybody who never stands still waits to be told of at most, by how far away it is: of a crowd in sight, at 64 Hz,
/// from the first snapshot on.
fn longest_waits(budget: usize, arrived: u64) -> [u64; UNITS_AWAY.len()] {
    let (mut world, mut viewer) = (World::new(1, 1), Replication::viewer());
    let mut told_at = [0; SEEN_MAX];
    let mut waits = [0; 4];
    for tick in 1..=2000 {
        world.step_crowd();
        let budget_now = if viewer.is_fresh() { MAX_MESSAGE_BYTES } else { budget };
        let (who, len) = world.tell(&mut viewer, arrived, budget);
        assert!(len <= budget_now, "tick {tick}: {len} bytes of {budget_now}");
        for index in who {
            told_at[index as usize - 1] = tick;
        }
        for (index, at) in told_at.iter().enumerate() {
            waits[index % 4] = waits[index % 4].max(tick - at);
        }
    }
    waits
}

#[test]
fn nobody_in_sight_waits_for_longer_than_its_distance_and_the_budget_say() {
    // near, and as far as is told of ten, five and three times a second
    for (datagram_bytes, bounds) in [
        (1200, [1, 8, 14, 24]),
        // 64 ticks a second and others at 20
        (898, [1, 9, 16, 26]),
        // the least that a server can be given: some wait for one and a half seconds
        (200, [5, 32, 60, 96]),
    ] {
        for arrived in [ALL_ARRIVES, 0] {
            let waits = longest_waits(datagram_bytes - 25, arrived);
            let is_bounded = waits.iter().zip(bounds).all(|(wait, bound)| *wait <= bound);
            assert!(
                is_bounded,
                "{datagram_bytes} bytes, {arrived:#x} arrived: {waits:?} ticks of {bounds:?}"
            );
        }
    }
}

/// What the budget does not hold for: the first sixteen snapshots of a newcomer, which have what a datagram has.
#[test]
fn a_newcomer_is_told_of_a_whole_crowd_in_its_first_snapshots_whatever_the_budget_is() {
    let (mut world, mut viewer) = (World::new(1, 1), Replication::viewer());
    let mut told = BTreeSet::new();
    for snapshot in 1..=20 {
        world.step_crowd();
        let (who, len) = world.tell(&mut viewer, 0, 200 - 25);
        told.extend(who);
        assert!(snapshot < 3 || told.len() == SEEN_MAX, "{} are known after {snapshot}", told.len());
        assert!(
            len <= if snapshot <= 16 { 1200 - 25 } else { 200 - 25 },
            "{len} bytes in snapshot {snapshot}"
        );
    }
}
