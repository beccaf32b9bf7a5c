//! A histogram of the recent past.

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
}
