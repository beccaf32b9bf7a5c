//! The last minute, as differences of figures that only grow.

use std::collections::VecDeque;
use std::time::Duration;

use gameserver_contract::Histogram;

use crate::zone::Total;

/// How far back is looked.
const MINUTE: Duration = Duration::from_secs(60);
/// Samples that are kept at most: one a second, and the one before.
const SAMPLES: usize = 61;

/// Figures of a zone at one moment.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sample {
    pub(super) at: Duration,
    pub(super) overflows: u64,
    pub(super) packets: u64,
    pub(super) cpu: Duration,
    pub(super) lateness: Total,
}

/// What happened in the last minute, or since the start if that is shorter.
#[derive(Clone, Debug)]
pub(super) struct Window {
    pub(super) over: Duration,
    pub(super) overflows: u64,
    pub(super) packets: u64,
    pub(super) cpu: Duration,
    pub(super) lateness: Histogram,
}

/// Samples of a zone in the last minute.
#[derive(Debug)]
pub(super) struct Recent {
    /// Oldest first, never empty.
    samples: VecDeque<Sample>,
}

impl Recent {
    /// Nothing has happened before `now`.
    pub(super) fn new(now: Duration) -> Self {
        let mut samples = VecDeque::with_capacity(SAMPLES);
        samples.push_back(Sample { at: now, ..Sample::default() });
        Self { samples }
    }

    pub(super) fn push(&mut self, sample: &Sample) {
        let begin = sample.at.saturating_sub(MINUTE);
        // the youngest that is a minute old stays, so that a whole one is looked at
        while self.samples.len() >= SAMPLES || self.samples.get(1).is_some_and(|next| next.at <= begin) {
            self.samples.pop_front();
        }
        self.samples.push_back(*sample);
    }

    /// What happened until `now`.
    pub(super) fn until(&self, now: &Sample) -> Window {
        let begin = now.at.saturating_sub(MINUTE);
        let old_enough = self.samples.iter().rev().find(|sample| sample.at <= begin);
        let since = old_enough.or_else(|| self.samples.front()).copied().unwrap_or_default();
        let mut lateness = Histogram::default();
        lateness.add(&now.lateness.since(&since.lateness));
        Window {
            over: now.at.saturating_sub(since.at),
            overflows: now.overflows.saturating_sub(since.overflows),
            packets: now.packets.saturating_sub(since.packets),
            cpu: now.cpu.saturating_sub(since.cpu),
            lateness,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn sample(second: u32) -> Sample {
        let (overflows, packets) = (u64::from(second), 100 * u64::from(second));
        Sample { at: second * SECOND, overflows, packets, cpu: second * SECOND / 4, ..Sample::default() }
    }

    #[test]
    fn a_minute_is_what_happened_in_it() {
        let mut recent = Recent::new(5 * SECOND);
        for (name, until, expected_over, expected_overflows) in [
            ("what was before the start was in it", 5, 0, 5),
            ("since the start", 30, 25, 30),
            ("a whole minute", 65, 60, 65),
            ("and no more", 66, 60, 60),
            ("long after", 1000, 60, 60),
        ] {
            let last = recent.samples.back().map_or(0, |last| u32::try_from(last.at.as_secs()).unwrap());
            (last + 1..until).for_each(|second| recent.push(&sample(second)));
            let minute = recent.until(&sample(until));
            let found = (minute.over.as_secs(), minute.overflows);
            assert_eq!(found, (expected_over, expected_overflows), "{name}");
            assert!(recent.samples.len() <= SAMPLES, "{name}");
        }
        let minute = recent.until(&sample(1000));
        assert_eq!((minute.packets, minute.cpu), (6000, 15 * SECOND));
    }

    #[test]
    fn however_often_it_is_asked_it_stays_bounded_and_after_a_standstill_it_goes_on() {
        let mut recent = Recent::new(Duration::ZERO);
        for step in 0..10_000 {
            let at = step * SECOND / 1000;
            recent.push(&Sample { at, ..Sample::default() });
        }
        assert_eq!(recent.samples.len(), SAMPLES);
        recent.push(&sample(500));
        assert_eq!(recent.until(&sample(501)).over, Duration::from_millis(501_000 - 9999));
        (561..570).for_each(|second| recent.push(&sample(second)));
        assert_eq!(recent.until(&sample(570)).over, 70 * SECOND, "there is no later one that is old enough");
    }

    #[test]
    fn lateness_is_that_of_the_minute_alone() {
        let mut board_total = Histogram::default();
        board_total.record(1_000_000);
        let board = crate::zone::Board::new(std::iter::empty());
        board.add(crate::zone::Distribution::TickLateness, &board_total);
        let total = |board: &crate::zone::Board| board.total(crate::zone::Distribution::TickLateness);
        let mut recent = Recent::new(Duration::ZERO);
        recent.push(&Sample { lateness: total(&board), ..sample(1) });
        board.record(crate::zone::Distribution::TickLateness, 10);
        let minute = recent.until(&Sample { lateness: total(&board), ..sample(61) });
        assert_eq!((minute.lateness.count(), minute.lateness.quantile(1.0)), (1, Some(12)));
    }
}
