//! Where everybody was: hits are judged by what the attacker saw, a quarter of a second back at most.

use super::body::Body;
use super::rules::Clock;
use crate::game::REWIND_MAX_MS;

/// Places of the last ticks, one row a tick.
#[derive(Clone, Debug)]
pub(crate) struct History {
    /// How many ticks are kept.
    pub(crate) depth: u64,
    pub(crate) width: usize,
    pub(crate) places: Vec<(i32, i32)>,
}

impl History {
    pub(crate) fn new(hz: u32, bodies: usize) -> Self {
        let depth = u64::from(hz) * u64::from(REWIND_MAX_MS) / 1000;
        let depth = depth.clamp(1, REWIND_MAX_MS.into());
        let rows = usize::try_from(depth).unwrap_or(1);
        Self { depth, width: bodies, places: vec![(0, 0); rows * bodies] }
    }

    /// Keeps where the bodies are at the end of `tick`, in place of the oldest.
    pub(crate) fn record(&mut self, tick: u64, bodies: &[Body]) {
        let row = self.row(tick);
        for (place, body) in self.places[row..].iter_mut().zip(bodies) {
            *place = (body.x, body.y);
        }
    }

    /// The tick that was seen by whoever acts at `clock` and says that it saw the world of `rewind` ticks ago: the one
    /// before this at the latest, for this one has not happened, and the oldest that is kept at the earliest.
    pub(crate) fn seen(&self, clock: Clock, rewind: u32) -> u64 {
        clock.tick.saturating_sub(u64::from(rewind).clamp(1, self.depth))
    }

    /// Where a body was at the end of `tick`, one of those that are kept.
    pub(crate) fn place(&self, tick: u64, body: usize) -> (i32, i32) {
        self.places[self.row(tick) + body]
    }

    fn row(&self, tick: u64) -> usize {
        usize::try_from(tick % self.depth).unwrap_or(0) * self.width
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quarter_of_a_second_is_kept_and_one_tick_at_least() {
        for (hz, expected) in [(1, 1), (3, 1), (4, 1), (8, 2), (20, 5), (64, 16), (1000, 250), (4000, 250)] {
            assert_eq!(History::new(hz, 1).depth, expected, "at {hz} Hz");
        }
    }

    #[test]
    fn what_was_seen_is_the_tick_that_is_claimed_within_what_is_kept() {
        let history = History::new(64, 1);
        for (tick, rewind, expected) in [
            (100, 0, 99),
            (100, 1, 99),
            (100, 2, 98),
            (100, 15, 85),
            (100, 16, 84),
            (100, 17, 84),
            (100, u32::MAX, 84),
            (1, 0, 0),
            (1, 16, 0),
            (3, 16, 0),
        ] {
            let clock = Clock { tick, hz: 64 };
            assert_eq!(history.seen(clock, rewind), expected, "{rewind} ticks before {tick}");
        }
    }

    #[test]
    fn places_are_kept_until_their_row_is_needed_again() {
        let mut history = History::new(8, 2);
        let at = |x, y| Body { x, y, ..Body::default() };
        for tick in 0..5 {
            let now = i32::try_from(tick).expect("small");
            history.record(tick, &[at(now, 1), at(now, 2)]);
        }
        assert_eq!(history.place(3, 0), (3, 1));
        assert_eq!(history.place(4, 1), (4, 2));
    }
}
