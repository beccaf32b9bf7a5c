//! What players are told about what is around them: area of interest, changes since what each has acknowledged, and a
//! budget of bytes.
//!
//! Invariants:
//! - A change is told only as of a snapshot that the viewer has acknowledged and the history still has; else all is told.
//! - An index is told to be gone, or told in full, before it stands for another entity.
//! - No snapshot is longer than its budget, and what did not fit becomes more urgent.

mod cells;
mod grid;
mod history;
#[cfg(test)]
mod tests;
mod tracked;
mod viewer;

use gameserver_game::Game;
use gameserver_protocol::message::{Entity, MAX_MESSAGE_BYTES, SnapshotWriter};

use cells::Cells;
use grid::Grid;
use history::History;
use viewer::Scratch;
pub(crate) use viewer::{Viewer, Viewpoint};

/// Ticks between two looks around of a viewer, or one of its turns if those are further apart; a far one comes into
/// sight by no more than that later.
const LOOK_TICKS: u64 = 8;
/// Ticks between two turns at most, so that what was told last is among what acknowledgements name.
const TURN_TICKS_MAX: u64 = 15;

/// Ticks between two turns of a viewer, 1 or more, so that it is told of others `replication_hz` times a second or oftener.
pub fn turn_ticks(tick_hz: u32, replication_hz: u32) -> u64 {
    u64::from(tick_hz / replication_hz.max(1)).clamp(1, TURN_TICKS_MAX)
}

/// What the snapshots of a zone are made from.
#[derive(Debug)]
pub(crate) struct Replication {
    turn_ticks: u64,
    history: History,
    cells: Cells,
    grid: Grid,
    scratch: Scratch,
}

impl Replication {
    /// At least `replication_hz` times a second, or each tick, a viewer is told of others; the turns of viewers are spread
    /// over ticks.
    pub(crate) fn new<G: Game>(capacity: u32, tick_hz: u32, replication_hz: u32) -> Self {
        let entities = G::entity_capacity(capacity) as usize;
        Self {
            turn_ticks: turn_ticks(tick_hz, replication_hz),
            history: History::new(entities),
            cells: Cells::new(entities),
            grid: Grid::new(G::MAP_UNITS, entities),
            scratch: Scratch::new(entities, tick_hz),
        }
    }

    /// A viewer who knows nothing.
    pub(crate) fn viewer() -> Viewer {
        Viewer::new()
    }

    /// Takes the world as it is after the step of a tick.
    pub(crate) fn record<G: Game>(&mut self, game: &G) {
        self.history.record(game.tick(), game.entities());
        self.grid.rebuild(self.history.entities());
        self.cells.restart();
    }

    /// Which turn it is for the viewer in `slot`; with each it is told of others once.
    #[inline]
    pub(crate) fn turn(&self, slot: u32) -> u64 {
        (self.history.tick() + u64::from(slot)) / self.turn_ticks
    }

    /// Adds to a snapshot of the newest tick what `viewer` does not know.
    #[inline]
    pub(crate) fn write(
        &mut self,
        viewer: &mut Viewer,
        from: Viewpoint,
        told: Told,
        budget: usize,
        writer: &mut SnapshotWriter<'_>,
    ) {
        let Self { turn_ticks, history, cells, grid, scratch } = self;
        if viewer.is_new() || told.turn.is_multiple_of((LOOK_TICKS / *turn_ticks).max(1)) {
            viewer.look_around(from, history, grid, scratch);
        }
        let budget = if viewer.is_fresh() { MAX_MESSAGE_BYTES } else { budget };
        viewer.write(told, budget, history, cells, scratch, writer);
    }

    /// The index of the entity with this id, which is not 0, and how it is at the newest tick: found by one look where it was before.
    pub(crate) fn find(&self, id: u32, last: u32) -> Option<(u32, Entity)> {
        let index = self.history.index_of(id, last)?;
        Some((index, *self.history.newest(index)))
    }

    /// Times that news had to be made again for want of room.
    pub(crate) fn cells_unkept(&self) -> u64 {
        self.cells.unkept
    }
}

/// What a viewer has heard so far, and which turn it has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told {
    /// Bit k: the snapshot of k ticks ago has arrived.
    pub(crate) arrived: u64,
    /// Round trip in ticks; 0 before it is known.
    pub(crate) round_trip_ticks: u32,
    /// Which turn of the viewer this is.
    pub(crate) turn: u64,
}
