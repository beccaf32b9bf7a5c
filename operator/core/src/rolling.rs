//! Histograms and counts of the recent past.

use gameserver_contract::{Histogram, HistogramDelta};
use std::time::Duration;

/// Values of the last one to two `half`s. Two histograms instead of one a second keep it small: a region has
/// thousands of servers.
#[derive(Clone, Debug)]
pub struct Rolling {
    half: Duration,
    began: Duration,
    current: Histogram,
    previous: Histogram,
}

impl Rolling {
    /// An empty one; `now` is on the caller's monotonic clock.
    pub fn new(half: Duration, now: Duration) -> Self {
        Self { half, began: now, current: Histogram::default(), previous: Histogram::default() }
    }

    /// Adds what came at `now`.
    pub fn add(&mut self, now: Duration, delta: &HistogramDelta) {
        self.roll(now);
        self.current.add(delta);
    }

    /// Everything of the recent past as of `now`.
    pub fn recent(&self, now: Duration) -> Histogram {
        let age = now.saturating_sub(self.began);
        let mut recent = Histogram::default();
        if age < self.half * 2 {
            recent.merge(&self.current);
        }
        if age < self.half {
            recent.merge(&self.previous);
        }
        recent
    }

    fn roll(&mut self, now: Duration) {
        let age = now.saturating_sub(self.began);
        if age < self.half {
            return;
        }
        let ended = std::mem::take(&mut self.current);
        self.previous = if age < self.half * 2 { ended } else { Histogram::default() };
        self.began = now;
    }
}

/// Counts of a game server since its process started that matter by how fast they grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Players who came.
    pub joins: u64,
    /// Handshakes refused.
    pub refused: u64,
    /// Inputs rejected by the rules.
    pub rejects: u64,
}

impl Totals {
    fn since(self, before: Self) -> Self {
        Self {
            joins: self.joins.saturating_sub(before.joins),
            refused: self.refused.saturating_sub(before.refused),
            rejects: self.rejects.saturating_sub(before.rejects),
        }
    }
}

/// By how much totals grew in the last one to two `half`s.
#[derive(Clone, Copy, Debug)]
pub struct Growth {
    half: Duration,
    began: Duration,
    /// None before they are heard: what was counted by then may be of hours.
    now: Option<Totals>,
    /// As they were when the current half began, and the one before that.
    current: Totals,
    previous: Totals,
}

impl Growth {
    /// Of totals that are yet to be heard. `now` is on the caller's monotonic clock.
    pub fn new(half: Duration, now: Duration) -> Self {
        let nothing = Totals::default();
        Self { half, began: now, now: None, current: nothing, previous: nothing }
    }

    /// Takes the totals as they are at `now`.
    pub fn take(&mut self, now: Duration, totals: Totals) {
        let age = now.saturating_sub(self.began);
        match self.now {
            None => (self.began, self.current, self.previous) = (now, totals, totals),
            Some(last) if age >= self.half => {
                self.previous = if age < self.half * 2 { self.current } else { last };
                (self.current, self.began) = (last, now);
            }
            Some(_) => {}
        }
        self.now = Some(totals);
    }

    /// By how much they grew in the recent past as of `now`.
    pub fn recent(&self, now: Duration) -> Totals {
        let age = now.saturating_sub(self.began);
        let last = self.now.unwrap_or_default();
        if age < self.half {
            last.since(self.previous)
        } else if age < self.half * 2 {
            last.since(self.current)
        } else {
            Totals::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(value_bucket: u8) -> HistogramDelta {
        HistogramDelta { buckets: vec![(value_bucket, 1)], sum: 1 }
    }

    #[test]
    fn values_are_forgotten_after_one_to_two_halves() {
        let at = Duration::from_secs;
        let mut rolling = Rolling::new(at(30), at(0));
        rolling.add(at(1), &one(1));
        assert_eq!(rolling.recent(at(29)).count(), 1);
        rolling.add(at(31), &one(2));
        assert_eq!(rolling.recent(at(32)).count(), 2, "the half before still counts");
        assert_eq!(rolling.recent(at(62)).count(), 1, "the first half is forgotten even if nothing comes");
        assert_eq!(rolling.recent(at(95)).count(), 0);
        rolling.add(at(200), &one(3));
        assert_eq!(rolling.recent(at(200)).count(), 1);
    }

    #[test]
    fn growth_is_of_one_to_two_halves() {
        let at = Duration::from_secs;
        let of = |joins| Totals { joins, ..Totals::default() };
        let mut growth = Growth::new(at(30), at(0));
        growth.take(at(1), of(1000));
        assert_eq!(growth.recent(at(1)), of(0), "who listens only now knows of no growth");
        growth.take(at(2), of(1005));
        assert_eq!(growth.recent(at(30)), of(5));
        growth.take(at(32), of(1007));
        assert_eq!(growth.recent(at(33)), of(7), "the half before still counts");
        assert_eq!(growth.recent(at(63)), of(2), "the first half is forgotten even if nothing comes");
        growth.take(at(64), of(1008));
        assert_eq!(growth.recent(at(64)), of(3));
        assert_eq!(growth.recent(at(124)), of(0));
        growth.take(at(200), of(1009));
        assert_eq!(
            growth.recent(at(200)),
            of(1),
            "what grew in a pause is of the moment in which it is heard"
        );
        growth.take(at(201), of(4));
        assert_eq!(growth.recent(at(201)), of(0), "one that goes back grew by nothing");
    }
}
