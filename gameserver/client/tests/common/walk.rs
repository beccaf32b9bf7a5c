//! The game of the tests: walkers who go where they are told to, one step a tick.

use std::collections::BTreeMap;

use gameserver_game::{Command, Entity, Fields, Game, Outcome, Output, RejectReason, Setup};
use gameserver_protocol::message::FieldList;

/// Hundredths of a unit that a walker goes in a tick: 10 units a second at 64 ticks.
pub const STEP: i32 = 16;
/// Half of the side of the map is where everyone starts.
pub const START: i32 = 50_000;

/// Walk so many steps east and north each tick from now on, -1 to 1 either way. More is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    pub east: i32,
    pub north: i32,
}

impl Fields for Walk {
    fn to_fields(&self) -> FieldList {
        FieldList::new(&[self.east.into(), self.north.into()])
    }

    fn from_fields(fields: &[i64]) -> Option<Self> {
        let [east, north] = *fields else { return None };
        Some(Self { east: i32::try_from(east).ok()?, north: i32::try_from(north).ok()? })
    }
}

/// A walker: where it is and where it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walker {
    pub x: i32,
    pub y: i32,
    pub walk: Walk,
}

impl Walker {
    pub fn new() -> Self {
        Self { x: START, y: START, walk: Walk { east: 0, north: 0 } }
    }

    fn step(&mut self) {
        self.x += self.walk.east * STEP;
        self.y += self.walk.north * STEP;
    }
}

impl Fields for Walker {
    fn to_fields(&self) -> FieldList {
        FieldList::new(&[self.x, self.y, self.walk.east, self.walk.north].map(i64::from))
    }

    fn from_fields(fields: &[i64]) -> Option<Self> {
        let [x, y, east, north] = *fields else { return None };
        let walk = Walk::from_fields(&[east, north])?;
        Some(Self { x: i32::try_from(x).ok()?, y: i32::try_from(y).ok()?, walk })
    }
}

/// Walkers by player.
#[derive(Debug, Default)]
pub struct Field {
    pub walkers: BTreeMap<u32, Walker>,
    tick: u64,
    /// Nobody may walk east of this; clients do not know.
    pub wall: Option<i32>,
    /// Who each player is.
    client_ids: BTreeMap<u32, u64>,
    /// Whether an input of somebody, by its sequence, was carried out or refused.
    pub outcomes: BTreeMap<(u64, u32), bool>,
}

impl Game for Field {
    type Intent = Walk;
    type Own = Walker;

    const MAP_UNITS: i32 = 1000;

    fn new(_setup: Setup) -> Self {
        Self::default()
    }

    fn entity_capacity(capacity: u32) -> u32 {
        capacity
    }

    fn join(&mut self, player: u32, client_id: u64) {
        self.client_ids.insert(player, client_id);
        self.walkers.insert(player, Walker::new());
    }

    fn leave(&mut self, player: u32) {
        self.walkers.remove(&player);
    }

    fn has_joined(&self, player: u32) -> bool {
        self.walkers.contains_key(&player)
    }

    fn step(&mut self, commands: &[Command<Walk>], output: &mut Output) {
        self.tick += 1;
        for command in commands {
            let Some(walker) = self.walkers.get_mut(&command.player) else { continue };
            let is_blocked = self.wall.is_some_and(|wall| command.intent.east > 0 && walker.x >= wall);
            let is_too_fast = command.intent.east.abs().max(command.intent.north.abs()) > 1;
            let result = if is_blocked || is_too_fast { Err(RejectReason::CannotMove) } else { Ok(()) };
            if result.is_ok() {
                walker.walk = command.intent;
            }
            self.outcomes.insert((self.client_ids[&command.player], command.sequence), result.is_ok());
            output.outcomes.push(Outcome { player: command.player, sequence: command.sequence, result });
        }
        for walker in self.walkers.values_mut() {
            if self.wall.is_some_and(|wall| walker.x >= wall) {
                walker.walk.east = walker.walk.east.min(0);
            }
            walker.step();
        }
    }

    fn tick(&self) -> u64 {
        self.tick
    }

    fn entities(&self) -> impl Iterator<Item = (u32, Entity)> {
        self.walkers.iter().map(|(&player, walker)| {
            let fields = [walker.walk.east, walker.walk.north, 0, 0];
            (player, Entity { id: player + 1, kind: 1, x: walker.x, y: walker.y, fields })
        })
    }

    fn own(&self, player: u32) -> Option<Walker> {
        self.walkers.get(&player).copied()
    }

    fn predict(_tick_hz: u32, _tick: u64, own: &mut Walker, intents: &[Walk]) {
        for &intent in intents {
            own.walk = intent;
        }
        own.step();
    }

    fn place(own: &Walker) -> (i32, i32) {
        (own.x, own.y)
    }

    fn state_hash(&self) -> u64 {
        0
    }

    fn violations(&self) -> Vec<String> {
        Vec::new()
    }
}
