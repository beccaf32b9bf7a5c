//! A small fixed-bucket histogram that both sides agree on, cheap enough to feed once a tick.

use serde::{Deserialize, Serialize};

/// Number of buckets, the overflow bucket included.
pub const BUCKETS: usize = 48;

/// Upper bound (inclusive) of each bucket but the last: 1, 2, 3, 4, 6, 8, 12, 16, 24 … : two buckets an octave,
/// so a percentile is off by at most a third. The last bound is 12 582 912 (12.6 s in microseconds).
pub const BOUNDS: [u64; BUCKETS - 1] = bounds();

const fn bounds() -> [u64; BUCKETS - 1] {
    let mut bounds = [0; BUCKETS - 1];
    bounds[0] = 1;
    let mut index = 1;
    while index < BUCKETS - 1 {
        // 2, 3, 4, 6, 8, 12, 16, 24, …
        let octave = (index - 1) / 2;
        bounds[index] = if index % 2 == 1 { 2 << octave } else { 3 << octave };
        index += 1;
    }
    bounds
}

/// Counts of values by bucket. Values are unsigned and unit-less; the field that holds one names its unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    counts: [u64; BUCKETS],
    sum: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: [0; BUCKETS], sum: 0 }
    }
}

impl Histogram {
    /// Adds one value.
    pub fn record(&mut self, value: u64) {
        self.counts[bucket_of(value)] += 1;
        self.sum = self.sum.saturating_add(value);
    }

    /// Adds everything that `delta` holds. Buckets out of range count as overflow.
    pub fn add(&mut self, delta: &HistogramDelta) {
        for &(bucket, count) in &delta.buckets {
            let bucket = usize::from(bucket).min(BUCKETS - 1);
            self.counts[bucket] = self.counts[bucket].saturating_add(u64::from(count));
        }
        self.sum = self.sum.saturating_add(delta.sum);
    }

    /// Adds everything that `other` holds.
    pub fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts) {
            *count = count.saturating_add(more);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Everything recorded so far as a sparse delta, and starts again from nothing.
    pub fn take_delta(&mut self) -> HistogramDelta {
        let taken = std::mem::take(self);
        let buckets = (0_u8..)
            .zip(taken.counts)
            .filter(|&(_, count)| count > 0)
            .map(|(bucket, count)| (bucket, u32::try_from(count).unwrap_or(u32::MAX)))
            .collect();
        HistogramDelta { buckets, sum: taken.sum }
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.counts.iter().fold(0, |total, &count| total.saturating_add(count))
    }

    /// Sum of all values.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Arithmetic mean, or `None` when nothing was recorded.
    pub fn mean(&self) -> Option<u64> {
        self.sum.checked_div(self.count())
    }

    /// Upper bound of the bucket that holds the value at `quantile` (0 to 1), or `None` when nothing was
    /// recorded. Values beyond the last bound read as twice that bound.
    pub fn quantile(&self, quantile: f64) -> Option<u64> {
        let total = self.count();
        if total == 0 {
            return None;
        }
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank within the count; both are far below 2^52"
        )]
        let rank = ((total as f64 * quantile.clamp(0.0, 1.0)).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, &count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return Some(BOUNDS.get(bucket).copied().unwrap_or(BOUNDS[BUCKETS - 2] * 2));
            }
        }
        None
    }

    /// Counts by bucket, in the order of [`BOUNDS`], overflow last.
    pub fn counts(&self) -> &[u64; BUCKETS] {
        &self.counts
    }
}

/// What was recorded in one period: only buckets that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistogramDelta {
    /// Bucket number and count.
    pub buckets: Vec<(u8, u32)>,
    /// Sum of the values.
    pub sum: u64,
}

fn bucket_of(value: u64) -> usize {
    BOUNDS.partition_point(|&bound| bound < value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_grow_and_end_where_the_docs_say() {
        assert_eq!(&BOUNDS[..9], &[1, 2, 3, 4, 6, 8, 12, 16, 24]);
        assert!(BOUNDS.windows(2).all(|pair| pair[0] < pair[1]));
        assert_eq!(BOUNDS[BUCKETS - 2], 12_582_912);
    }

    #[test]
    fn a_value_lands_in_the_first_bucket_that_is_not_below_it() {
        for (value, bound) in [(0, 1), (1, 1), (2, 2), (5, 6), (24, 24), (25, 32)] {
            assert_eq!(BOUNDS[bucket_of(value)], bound, "{value}");
        }
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn deltas_add_up_to_what_was_recorded() {
        let (mut recorded, mut rebuilt, mut whole) =
            (Histogram::default(), Histogram::default(), Histogram::default());
        for value in 0..1000 {
            recorded.record(value * 7);
            whole.record(value * 7);
            if value % 100 == 99 {
                rebuilt.add(&recorded.take_delta());
            }
        }
        assert_eq!(rebuilt, whole);
        assert_eq!(recorded.count(), 0, "a taken delta leaves nothing behind");
    }

    #[test]
    fn quantiles_are_upper_bounds_of_the_right_bucket() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.99), None);
        (0..99).for_each(|_| histogram.record(10));
        histogram.record(5000);
        assert_eq!(histogram.quantile(0.5), Some(12));
        assert_eq!(histogram.quantile(0.99), Some(12));
        assert_eq!(histogram.quantile(1.0), Some(6144));
        assert_eq!(histogram.mean(), Some(59));
    }

    #[test]
    fn a_bucket_out_of_range_counts_as_overflow() {
        let mut histogram = Histogram::default();
        histogram.add(&HistogramDelta { buckets: vec![(255, 3)], sum: 1 });
        assert_eq!(histogram.counts()[BUCKETS - 1], 3);
    }
}
