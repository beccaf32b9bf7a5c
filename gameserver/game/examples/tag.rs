//! A second game, in so many lines: one of the players is "it", and whom it touches is it next.
//!
//! `cargo run --example tag` plays a hundred ticks with players who walk about at random. A server of it is this type
//! in the place of the arena; nothing else knows which game is played.
#![expect(clippy::print_stdout, reason = "a program to look at")]

use gameserver_game::{
    Audience, Command, Entity, FieldList, Fields, Game, Notice, Outcome, Output, RandomStream, RejectReason,
    Setup, mix,
};

/// Side of the map and how far one walks in a tick, hundredths of a unit. Whoever is as near as a step is touched.
const SIDE: i32 = 5000;
const STEP: i32 = 60;
/// Once in so many ticks it is passed on, or else two who stay together would do nothing else.
const BETWEEN: u64 = 20;

/// Go to a place, hundredths of a unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Walk(i32, i32);

/// A player: where it is and where it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Walker {
    place: [i32; 2],
    target: [i32; 2],
}

pub(crate) struct Tag {
    tick: u64,
    last_id: u32,
    /// By slot, with their ids.
    walkers: Vec<Option<(u32, Walker)>>,
    /// Slot of who is it.
    pub(crate) it: u32,
    spawns: RandomStream,
}

impl Fields for Walk {
    fn to_fields(&self) -> FieldList {
        FieldList::new(&[0, self.0.into(), self.1.into()])
    }
    fn from_fields(fields: &[i64]) -> Option<Self> {
        let &[0, x, y] = fields else { return None };
        Some(Self(i32::try_from(x).ok()?, i32::try_from(y).ok()?))
    }
}

impl Fields for Walker {
    fn to_fields(&self) -> FieldList {
        let ([x, y], [to_x, to_y]) = (self.place, self.target);
        FieldList::new(&[x, y, to_x, to_y].map(i64::from))
    }
    fn from_fields(fields: &[i64]) -> Option<Self> {
        let &[x, y, to_x, to_y] = fields else { return None };
        let on_map = |way: i64| i32::try_from(way).ok().filter(|way| (0..=SIDE).contains(way));
        Some(Self { place: [on_map(x)?, on_map(y)?], target: [on_map(to_x)?, on_map(to_y)?] })
    }
}

impl Walker {
    fn order(&mut self, Walk(x, y): Walk) -> Result<(), RejectReason> {
        let is_on_map = [x, y].iter().all(|way| (0..=SIDE).contains(way));
        self.target = if is_on_map { [x, y] } else { return Err(RejectReason::OutOfBounds) };
        Ok(())
    }
    fn walk(&mut self) {
        for (place, target) in self.place.iter_mut().zip(self.target) {
            *place += (target - *place).clamp(-STEP, STEP);
        }
    }
    fn touches(&self, other: &Self) -> bool {
        self.place.iter().zip(other.place).all(|(one, other)| one.abs_diff(other) <= STEP.unsigned_abs())
    }
}

impl Tag {
    /// Who is there: slot, id and walker.
    fn there(&self) -> impl Iterator<Item = (u32, u32, Walker)> {
        (0..).zip(&self.walkers).filter_map(|(slot, seat)| seat.map(|(id, walker)| (slot, id, walker)))
    }
    fn pass_on(&mut self, output: &mut Output) {
        let Some(chaser) = self.own(self.it) else {
            // whoever was it has left, or never was there
            let first = self.there().next();
            return self.it = first.map_or(0, |(slot, ..)| slot);
        };
        let touched = self.there().find(|(slot, _, other)| *slot != self.it && other.touches(&chaser));
        if let Some((slot, ..)) = touched.filter(|_| self.tick.is_multiple_of(BETWEEN)) {
            self.it = slot;
            output.notices.push((Audience::Player(slot), Notice { code: 1, figures: [0; 3] }));
        }
    }
}

impl Game for Tag {
    type Intent = Walk;
    type Own = Walker;
    const MAP_UNITS: i32 = SIDE / 100;

    fn new(Setup { capacity, seed, .. }: Setup) -> Self {
        let (walkers, spawns) = (vec![None; capacity as usize], RandomStream::new(seed));
        Self { tick: 0, last_id: 0, walkers, it: 0, spawns }
    }
    fn entity_capacity(capacity: u32) -> u32 {
        capacity
    }
    fn join(&mut self, player: u32, _client_id: u64) {
        self.last_id += 1;
        let place = [0; 2].map(|_| self.spawns.below(SIDE.unsigned_abs() + 1).cast_signed());
        self.walkers[player as usize] = Some((self.last_id, Walker { place, target: place }));
    }
    fn leave(&mut self, player: u32) {
        self.walkers[player as usize] = None;
    }
    fn has_joined(&self, player: u32) -> bool {
        self.walkers[player as usize].is_some()
    }
    fn step(&mut self, commands: &[Command<Walk>], output: &mut Output) {
        self.tick += 1;
        for &Command { player, sequence, intent, .. } in commands {
            if let Some((_, walker)) = &mut self.walkers[player as usize] {
                output.outcomes.push(Outcome { player, sequence, result: walker.order(intent) });
            }
        }
        self.walkers.iter_mut().flatten().for_each(|(_, walker)| walker.walk());
        self.pass_on(output);
    }
    fn tick(&self) -> u64 {
        self.tick
    }
    fn entities(&self) -> impl Iterator<Item = (u32, Entity)> {
        self.there().map(|(slot, id, Walker { place: [x, y], .. })| {
            (slot, Entity { id, kind: 1, x, y, fields: [(slot == self.it).into(), 0, 0, 0] })
        })
    }
    fn own(&self, player: u32) -> Option<Walker> {
        self.walkers[player as usize].map(|(_, walker)| walker)
    }
    fn predict(_tick_hz: u32, _tick: u64, own: &mut Walker, intents: &[Walk]) {
        for &intent in intents {
            _ = own.order(intent);
        }
        own.walk();
    }
    fn place(own: &Walker) -> (i32, i32) {
        own.place.into()
    }
    fn state_hash(&self) -> u64 {
        let seats = self.there().flat_map(|(slot, id, Walker { place: [x, y], target: [to_x, to_y] })| {
            let place = [x, y, to_x, to_y].map(|way| u64::from(way.cast_unsigned()));
            place.into_iter().chain([slot.into(), id.into()])
        });
        let world = [self.tick, self.last_id.into(), self.it.into(), self.spawns.state()];
        world.into_iter().chain(seats).fold(1, |hash, word| mix(hash ^ word))
    }
    fn violations(&self) -> Vec<String> {
        let is_nobody = self.own(self.it).is_none() && self.there().next().is_some();
        is_nobody.then(|| "nobody is it".to_owned()).into_iter().collect()
    }
}

fn main() {
    let mut tag = Tag::new(Setup { capacity: 30, tick_hz: 20, seed: 1 });
    let (mut random, mut output) = (RandomStream::new(2), Output::default());
    (0..30).for_each(|player| tag.join(player, player.into()));
    for _ in 0..100 {
        let mut along = || 2000 + random.below(1000).cast_signed();
        let walk = |player| Command { player, sequence: 1, rewind_ticks: 0, intent: Walk(along(), along()) };
        tag.step(&(0..30).map(walk).collect::<Vec<_>>(), &mut output);
    }
    println!("passed on {} times; player {} is it", output.notices.len(), tag.it);
}
