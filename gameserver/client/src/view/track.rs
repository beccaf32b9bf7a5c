//! One entity through its last ticks.

use std::collections::VecDeque;

use gameserver_protocol::message::Entity;

use super::Limits;
use crate::ticks::moment;

/// News are this many snapshots apart at most for somebody who is on the way all the time; who was not named for
/// longer has stood still.
const LONG_SNAPSHOTS: f64 = 4.0;

/// An entity as it is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// By which the server names it.
    pub index: u32,
    /// What was known of it at the last news before the drawn moment.
    pub entity: Entity,
    /// Where it is drawn: east, hundredths of a unit.
    pub x: f64,
    /// North, hundredths of a unit.
    pub y: f64,
}

/// News of an entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) tick: u64,
    /// How many ticks before that the snapshot with news before was; 0 for the first.
    pub(super) step: u64,
    /// `None` when it is not to be seen any more.
    pub(super) state: Option<Entity>,
}

/// The news of one entity, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Track {
    records: VecDeque<Record>,
}

impl Track {
    /// Adds news, and forgets what was overtaken at the tick `oldest` or before.
    pub(super) fn push(&mut self, record: Record, oldest: u64) {
        if self.records.back().is_some_and(|newest| newest.tick == record.tick) {
            self.records.pop_back(); // named twice, which no server does: the last word counts
        }
        self.records.push_back(record);
        while self.records.get(1).is_some_and(|second| second.tick <= oldest) {
            self.records.pop_front();
        }
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
    }

    pub(super) fn newest(&self) -> Option<&Entity> {
        self.records.back()?.state.as_ref()
    }

    pub(super) fn is_gone_since(&self, tick: u64) -> bool {
        self.records.back().is_some_and(|newest| newest.tick == tick && newest.state.is_none())
    }

    /// What was known at a tick.
    pub(super) fn state_at(&self, tick: u64) -> Option<&Entity> {
        self.records.iter().rfind(|record| record.tick <= tick)?.state.as_ref()
    }

    /// The entity at a moment; `newest` is the tick of the newest snapshot with news, `spacing` the ticks between two.
    pub(super) fn draw(
        &self,
        index: u32,
        at: f64,
        newest: u64,
        spacing: f64,
        limits: &Limits,
    ) -> Option<Drawn> {
        let last = self.records.iter().rposition(|record| moment(record.tick) <= at)?;
        let (record, entity) = (&self.records[last], self.records[last].state?);
        let (x, y) = (f64::from(entity.x), f64::from(entity.y));
        let still = Drawn { index, entity, x, y };
        if let Some(next) = self.records.get(last + 1) {
            let Some(way) = way(record, next, spacing, limits) else { return Some(still) };
            let gone = (at - way.begin).max(0.0);
            return Some(Drawn { x: x + way.dx * gone, y: y + way.dy * gone, ..still });
        }
        let before = last.checked_sub(1).map(|before| &self.records[before]);
        let way =
            before.filter(|_| record.tick == newest).and_then(|before| way(before, record, spacing, limits));
        let Some(way) = way else { return Some(still) };
        let gone = (at - moment(record.tick)).min(limits.extrapolation_ticks);
        Some(Drawn { x: x + way.dx * gone, y: y + way.dy * gone, ..still })
    }
}

/// How an entity went from one state to the next.
struct Way {
    /// When it set off.
    begin: f64,
    /// How far it went east in each tick from then on.
    dx: f64,
    dy: f64,
}

/// `None` when it did not go but was put there, or is not the same.
fn way(from: &Record, to: &Record, spacing: f64, limits: &Limits) -> Option<Way> {
    let (before, after) =
        (from.state?, to.state.filter(|after| Some(after.id) == from.state.map(|state| state.id))?);
    let mut begin = moment(from.tick);
    let arrival = moment(to.tick);
    if arrival - begin > LONG_SNAPSHOTS * spacing {
        // it stood still at least until the snapshot before, which did not name it
        begin = begin.max(moment(to.tick.saturating_sub(to.step.max(1))));
    }
    let ticks = arrival - begin;
    let dx = (f64::from(after.x) - f64::from(before.x)) / ticks;
    let dy = (f64::from(after.y) - f64::from(before.y)) / ticks;
    (dx.hypot(dy) <= limits.teleport_step).then_some(Way { begin, dx, dy })
}
