//! What every entity looked like at each of the last ticks.

use gameserver_protocol::message::{Entity, MAX_BACK};

use crate::looks;

/// Ticks that are kept, the newest included.
const KEPT: u64 = MAX_BACK as u64 + 1;

/// The states of all entities at the newest tick and the [`MAX_BACK`] before it.
#[derive(Debug)]
pub(crate) struct History {
    capacity: usize,
    /// By tick modulo [`KEPT`], then by index; an id of 0 is nobody.
    states: Vec<Entity>,
    /// By index: what is looked at far more often than the rest.
    marks: Vec<Mark>,
    tick: u64,
}

/// Whose an index is, and since when it looks as it does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// Id at the newest tick; 0 for nobody's.
    pub(crate) id: u32,
    /// The low half of the newest tick at which it looked different from the tick before.
    pub(crate) changed: u32,
}

impl History {
    pub(crate) fn new(capacity: usize) -> Self {
        let kept = usize::try_from(KEPT).unwrap_or(0);
        let states = vec![Entity::default(); kept * capacity];
        Self { capacity, states, marks: vec![Mark::default(); capacity], tick: 0 }
    }

    /// Takes what there is to see at `tick`, the one after the newest.
    pub(crate) fn record(&mut self, tick: u64, entities: impl Iterator<Item = (u32, Entity)>) {
        let (before, row) = (self.row(self.tick), self.row(tick));
        self.states[row.clone()].fill(Entity::default());
        for (index, entity) in entities {
            if let Some(state) = self.states[row.clone()].get_mut(index as usize) {
                *state = entity;
            }
        }
        let changed_at = low(tick);
        for index in 0..self.capacity {
            let state = &self.states[row.start + index];
            let mark = &mut self.marks[index];
            mark.id = state.id;
            if self.states[before.start + index] != *state {
                mark.changed = changed_at;
            }
        }
        self.tick = tick;
    }

    pub(crate) fn tick(&self) -> u64 {
        self.tick
    }

    /// Everything at the newest tick, by index.
    pub(crate) fn entities(&self) -> impl Iterator<Item = (u32, Entity)> + Clone {
        (0..)
            .zip(&self.states[self.row(self.tick)])
            .filter(|(_, entity)| entity.id != 0)
            .map(|(index, &entity)| (index, entity))
    }

    /// The index of the entity with this id, which is not 0, at the newest tick. It keeps that as a rule: if it still has `last`,
    /// nobody else is looked at.
    pub(crate) fn index_of(&self, id: u32, last: u32) -> Option<u32> {
        let is_it = |mark: &Mark| {
            looks::count();
            mark.id == id
        };
        if self.marks.get(last as usize).is_some_and(is_it) {
            return Some(last);
        }
        (0..).zip(&self.marks).find(|(_, mark)| is_it(mark)).map(|(index, _)| index)
    }

    /// The state at the newest tick.
    #[inline]
    pub(crate) fn newest(&self, index: u32) -> &Entity {
        &self.states[self.row(self.tick).start + index as usize]
    }

    /// Whose the index is, and since when it looks as it does.
    #[inline]
    pub(crate) fn mark(&self, index: u32) -> Mark {
        self.marks[index as usize]
    }

    /// The state `back` ticks before the newest, at most [`MAX_BACK`].
    #[inline]
    pub(crate) fn before(&self, back: u64, index: u32) -> &Entity {
        &self.states[self.row(self.tick.wrapping_sub(back)).start + index as usize]
    }

    fn row(&self, tick: u64) -> std::ops::Range<usize> {
        let start = usize::try_from(tick % KEPT).unwrap_or(0) * self.capacity;
        start..start + self.capacity
    }
}

/// The low half of a tick, in which the tables of replication count: it begins again after two years at 64 Hz.
pub(crate) fn low(tick: u64) -> u32 {
    (tick & u64::from(u32::MAX)).try_into().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(id: u32, x: i32) -> Entity {
        Entity { id, x, ..Entity::default() }
    }

    #[test]
    fn the_last_64_ticks_are_there_and_what_has_changed_is_known() {
        let mut history = History::new(2);
        for tick in 1..=100_u64 {
            let x = i32::try_from(tick.min(90)).expect("small");
            history.record(tick, [(1, entity(7, x))].into_iter());
        }
        assert_eq!(history.newest(1), &entity(7, 90));
        assert_eq!(history.before(0, 1), history.newest(1));
        assert_eq!(history.before(63, 1), &entity(7, 37));
        assert_eq!(history.newest(0), &Entity::default());
        assert_eq!((history.mark(0), history.mark(1)), (Mark::default(), Mark { id: 7, changed: 90 }));
        history.record(101, [].into_iter());
        assert_eq!(history.mark(1), Mark { id: 0, changed: 101 }, "gone is a change as well");
    }

    #[test]
    fn who_is_where_it_was_is_found_by_one_look_and_whoever_else_wherever_it_is() {
        let mut history = History::new(100);
        history.record(1, (10..100).map(|index| (index, entity(1000 - index, 0))));
        for (name, id, last, found, most) in [
            ("where it was", 980, 20, Some(20), 1),
            ("never looked for", 980, 0, Some(20), 101),
            ("somewhere else meanwhile", 980, 30, Some(20), 101),
            ("nowhere", 7, 30, None, 101),
            ("where nobody can be", 980, u32::MAX, Some(20), 101),
        ] {
            let looks = looks::taken_by(|| assert_eq!(history.index_of(id, last), found, "{name}"));
            assert!(looks <= most, "{name}: {looks} looks");
        }
    }
}
