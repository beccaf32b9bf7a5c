//! What is known and what is drawn, of entities that a test makes up.

use std::collections::{BTreeMap, BTreeSet};

use gameserver_protocol::message::{Delta, MAX_BACK};
use proptest::prelude::*;

use super::*;

fn walker(x: i32) -> Entity {
    Entity { id: 1, kind: 2, x, y: 0, fields: [7, 0, 0, 0] }
}

fn full(index: u32, entity: Entity) -> Cell {
    Cell { index, change: Change::Full(entity) }
}

fn gone(index: u32) -> Cell {
    Cell { index, change: Change::Gone }
}

fn since(index: u32, back: u8, delta: Delta) -> Cell {
    Cell { index, change: Change::Since { back, delta } }
}

fn east(dx: i32) -> Delta {
    Delta { dx, ..Delta::default() }
}

/// A view of entity 5 from snapshots: the tick of each and where it says that the entity is, if it names it.
fn view(snapshots: &[(u64, Option<i32>)]) -> View {
    let mut view = View::new(64);
    for &(tick, x) in snapshots {
        let cells: Vec<_> = x.into_iter().map(|x| full(5, walker(x))).collect();
        view.apply(tick, Some(&cells)).expect("a lawful snapshot");
    }
    view
}

#[test]
fn an_entity_is_drawn_on_its_way_between_what_is_known_of_it() {
    type Snapshots = &'static [(u64, Option<i32>)];
    let walking: Snapshots = &[(100, Some(0)), (103, Some(30)), (106, Some(60))];
    let lossy: Snapshots = &[(97, Some(0)), (100, Some(0)), (106, Some(60))];
    let stood: Snapshots =
        &[(100, Some(0)), (103, None), (106, None), (109, None), (112, None), (115, Some(30))];
    let stood_and_lost: Snapshots = &[(100, Some(0)), (103, None), (106, None), (109, None), (115, Some(60))];
    let stays: Snapshots = &[(100, Some(0)), (103, Some(30)), (106, None)];
    let sparing: Snapshots = &[(100, Some(0)), (102, Some(20)), (104, Some(40))];
    let respawned: Snapshots = &[(100, Some(0)), (103, Some(5000))];
    let cases = [
        // name, snapshots, drawn tick, place
        ("at a snapshot", walking, 103.0, Some(30.0)),
        ("between two", walking, 104.5, Some(45.0)),
        ("before it was first seen", walking, 99.9, None),
        ("over a lost one", lossy, 103.0, Some(30.0)),
        ("on after the newest", walking, 109.0, Some(90.0)),
        ("a tenth of a second on and no further", walking, 300.0, Some(60.0 + 64.0)),
        ("standing until the snapshot before", stood, 112.0, Some(0.0)),
        ("and setting off then", stood, 113.5, Some(15.0)),
        ("which may have been lost", stood_and_lost, 112.0, Some(30.0)),
        ("not named any more", stays, 120.0, Some(30.0)),
        ("on after the newest news, though the player's own went on", sparing, 106.0, Some(60.0)),
        ("put elsewhere, before", respawned, 102.9, Some(0.0)),
        ("put elsewhere, after", respawned, 103.0, Some(5000.0)),
        ("put elsewhere and not gone on", respawned, 110.0, Some(5000.0)),
    ];
    for (name, snapshots, tick, expected) in cases {
        let mut view = view(snapshots);
        if name.contains("own went on") {
            view.apply(105, None).expect("a lawful snapshot");
        }
        let drawn = view.get_at(5, tick).map(|drawn| drawn.x);
        let is_right = match (drawn, expected) {
            (Some(drawn), Some(expected)) => (drawn - expected).abs() < 1e-9,
            (drawn, expected) => drawn == expected,
        };
        assert!(is_right, "{name}: {drawn:?} instead of {expected:?}");
    }
}

#[test]
fn who_goes_is_drawn_until_then_and_who_comes_in_its_place_is_another() {
    let mut view = view(&[(100, Some(0))]);
    view.apply(103, Some(&[gone(5)])).expect("lawful");
    view.apply(106, Some(&[full(5, Entity { id: 2, ..walker(60) })])).expect("lawful");
    view.apply(109, Some(&[full(5, Entity { id: 3, ..walker(90) })])).expect("lawful");
    let id = |tick| view.get_at(5, tick).map(|drawn| (drawn.entity.id, drawn.x));
    for (tick, expected) in [
        (102.9, Some((1, 0.0))),
        (103.0, None),
        (105.9, None),
        (108.0, Some((2, 60.0))),
        (109.0, Some((3, 90.0))),
    ] {
        assert_eq!(id(tick), expected, "{tick}");
    }
    assert_eq!(view.at(102.0).count(), 1);
    assert_eq!(view.entities().map(|(index, entity)| (index, entity.id)).collect::<Vec<_>>(), [(5, 3)]);
}

#[test]
fn a_change_from_a_state_that_is_not_known_refuses_the_whole_snapshot() {
    let mut view = View::new(64);
    view.apply(10, Some(&[full(1, walker(0)), full(2, walker(0))])).expect("lawful");
    view.apply(12, Some(&[gone(2)])).expect("lawful");
    view.apply(13, Some(&[full(2, walker(5))])).expect("lawful");
    for (name, index, back) in [
        ("a tick without a snapshot", 1, 3),
        ("before the first", 1, 5),
        ("an entity that was never seen", 3, 1),
        ("one that was gone then", 2, 2),
    ] {
        let cells = [full(1, walker(9)), since(index, back, east(1)), full(4, walker(0))];
        assert_eq!(view.apply(14, Some(&cells)), Err(ViewError::NoBase { index }), "{name}");
        assert_eq!(view.get(1), Some(&walker(0)), "{name}");
        assert_eq!(view.get(4), None, "{name}");
        assert_eq!(
            (view.newest_tick(), view.applied_before()),
            (Some(13), 0b101),
            "{name}: not acknowledged"
        );
    }
    let cells = [since(1, 4, east(3)), since(2, 4, east(-3))];
    view.apply(14, Some(&cells)).expect("from tick 10, when both were known");
    assert_eq!((view.get(1), view.get(2)), (Some(&walker(3)), Some(&walker(-3))));
}

#[test]
fn changes_from_as_far_back_as_may_be_are_known_and_older_states_let_go() {
    let mut view = View::new(64);
    for tick in 1..=200_u64 {
        view.apply(tick, Some(&[full(1, walker(i32::try_from(tick).expect("small")))])).expect("lawful");
    }
    assert_eq!(view.applied_before(), u64::MAX);
    view.apply(201, Some(&[since(1, 63, east(1000))])).expect("known");
    assert_eq!(view.get(1), Some(&walker(138 + 1000)));
    view.apply(264, Some(&[since(1, 63, east(1))])).expect("known");
    assert_eq!(view.get(1), Some(&walker(138 + 1001)));
    assert_eq!(view.applied_before(), 1 << 62 | 1 << 63);
    view.apply(400, Some(&[])).expect("lawful");
    assert_eq!(view.applied_before(), 0);
    assert_eq!(view.apply(401, Some(&[since(1, 2, east(1))])), Err(ViewError::NoBase { index: 1 }));
}

#[test]
fn more_entities_than_are_kept_are_refused_and_who_is_gone_makes_room() {
    let mut view = View::new(64);
    let cells: Vec<_> = (0..4096).map(|index| full(index, walker(0))).collect();
    view.apply(1, Some(&cells)).expect("just so many");
    assert_eq!(view.apply(2, Some(&[full(9999, walker(0))])), Err(ViewError::TooMany));
    view.apply(3, Some(&[full(4095, walker(1)), gone(0), gone(8888)])).expect("known ones");
    assert_eq!(view.apply(60, Some(&[full(9999, walker(0))])), Err(ViewError::TooMany), "still to be drawn");
    view.apply(70, Some(&[full(9999, walker(0))])).expect("the place of who was gone");
    assert_eq!(view.entities().count(), 4096);
}

#[test]
fn the_spacing_of_snapshots_is_that_of_the_densest_lately() {
    let mut view = View::new(64);
    assert_eq!(view.ticks_between_snapshots(), None);
    let mut tick = 1;
    for (name, steps, expected) in
        [("every third", &[3, 3, 6, 3, 9][..], 3), ("every tick", &[2, 1], 1), ("every fourth", &[4; 64], 4)]
    {
        for step in steps {
            tick += step;
            view.apply(tick, Some(&[])).expect("lawful");
            if tick == 4 {
                view.apply(7, Some(&[])).expect("lawful");
                tick = 7;
            }
        }
        assert_eq!(view.ticks_between_snapshots(), Some(expected), "{name}");
    }
}

/// A server with one client: a world, what it sent at each tick and what it knows that the client has.
struct Shadow {
    random: u64,
    world: BTreeMap<u32, Entity>,
    next_id: u32,
    /// What each snapshot names, with what the entity is then.
    sent: BTreeMap<u64, Vec<(u32, Option<Entity>)>>,
    /// What the client had at the tick that it acknowledged last.
    acknowledged: Option<(u64, BTreeMap<u32, Entity>)>,
    /// Whom it may know of.
    told: BTreeSet<u32>,
}

impl Shadow {
    fn below(&mut self, bound: u64) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % bound
    }

    fn small(&mut self) -> i32 {
        i32::try_from(self.below(41)).expect("small") - 20
    }

    fn step(&mut self) {
        for index in 0..12 {
            match (self.world.contains_key(&index), self.below(40)) {
                (true, 0) => drop(self.world.remove(&index)),
                (false, 0..3) => {
                    self.next_id += 1;
                    let (id, x) = (self.next_id, self.small());
                    self.world.insert(index, Entity { id, x, ..walker(0) });
                }
                (true, 1..25) => {
                    let (dx, dy, field) = (self.small(), self.small(), self.small());
                    let entity = self.world.get_mut(&index).expect("there");
                    (entity.x, entity.y, entity.fields[1]) = (entity.x + dx, entity.y + dy, field);
                }
                _ => {}
            }
        }
    }

    /// The cells of the snapshot of `tick`: changes since what was acknowledged, some of them left out.
    fn snapshot(&mut self, tick: u64) -> Vec<Cell> {
        let base = self.acknowledged.clone().filter(|&(base, _)| tick - base <= u64::from(MAX_BACK));
        let (mut cells, mut named) = (Vec::new(), Vec::new());
        for index in 0..12 {
            let known = base.as_ref().and_then(|(base, known)| Some((base, known.get(&index)?)));
            let now = self.world.get(&index).copied();
            let may_be_known = self.told.contains(&index);
            let change = match (known, now) {
                (_, None) if may_be_known => Change::Gone,
                (Some((base, known)), Some(now)) if known.id == now.id => {
                    let back = u8::try_from(tick - base).expect("at most 63");
                    Change::Since { back, delta: Delta::between(known, &now) }
                }
                (_, Some(now)) => Change::Full(now),
                (_, None) => continue,
            };
            if change != Change::Gone && self.below(3) == 0 {
                continue;
            }
            self.told.insert(index);
            cells.push(Cell { index, change });
            named.push((index, now));
        }
        self.sent.insert(tick, named);
        cells
    }

    /// Takes an acknowledgement, which may be an old one.
    fn hear(&mut self, newest: u64, before: u64) {
        let (known_at, mut known) = self.acknowledged.take().unwrap_or_default();
        if newest <= known_at {
            self.acknowledged = Some((known_at, known));
            return;
        }
        if newest - known_at > 64 {
            known.clear(); // what was applied before is not told any more
        }
        for (tick, named) in self.sent.range(known_at + 1..=newest) {
            let back = newest - tick;
            let is_applied = back == 0 || back <= 64 && before & 1 << (back - 1) != 0;
            for &(index, state) in named.iter().filter(|_| is_applied) {
                match state {
                    Some(state) => drop(known.insert(index, state)),
                    None => drop(known.remove(&index)),
                }
            }
        }
        self.acknowledged = Some((newest, known));
    }
}

proptest! {
    /// Whatever is lost, late, in another order or doubled, and whatever the server hears of it late or never: the
    /// client knows just what the snapshots that it applied said.
    #[test]
    fn what_is_known_is_what_was_sent(
        seed in any::<u64>(), loss in 0..60_u64, late in 0..60_u64, ticks in 20..250_u64, step in 1..4_u64,
    ) {
        let mut shadow = Shadow {
            random: seed,
            world: BTreeMap::new(),
            next_id: 0,
            sent: BTreeMap::new(),
            acknowledged: None,
            told: BTreeSet::new(),
        };
        let mut view = View::new(64);
        let mut expected = BTreeMap::new();
        let mut flying: Vec<(u64, u64, Vec<Cell>)> = Vec::new();
        let mut acks: Vec<(u64, u64, u64)> = Vec::new();
        for tick in (1..ticks).map(|turn| turn * step) {
            shadow.step();
            let cells = shadow.snapshot(tick);
            let delay = if shadow.below(100) < late { shadow.below(12) } else { 2 };
            if shadow.below(100) >= loss {
                flying.push((tick + delay, tick, cells.clone()));
            }
            if shadow.below(10) == 0 {
                flying.push((tick + delay + 3, tick, cells));
            }
            flying.sort_by_key(|flight| flight.0);
            while flying.first().is_some_and(|flight| flight.0 <= tick) {
                let (_, sent, cells) = flying.remove(0);
                if view.newest_tick().is_some_and(|newest| sent <= newest) {
                    continue;
                }
                prop_assert_eq!(view.apply(sent, Some(&cells)), Ok(()));
                for &(index, state) in &shadow.sent[&sent] {
                    match state {
                        Some(state) => drop(expected.insert(index, state)),
                        None => drop(expected.remove(&index)),
                    }
                }
                let known: BTreeMap<_, _> = view.entities().map(|(index, entity)| (index, *entity)).collect();
                prop_assert_eq!(&known, &expected);
                if shadow.below(100) >= loss {
                    acks.push((tick + shadow.below(8), sent, view.applied_before()));
                }
            }
            for (_, newest, before) in acks.extract_if(.., |ack| ack.0 <= tick) {
                shadow.hear(newest, before);
            }
        }
    }
}
