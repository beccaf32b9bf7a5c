//! Time in which this process itself ran, by which the silence of others is measured: who was stopped heard nobody, and
//! that says nothing of them.
//!
//! A process that runs looks at its clock all the time. Where two looks lie further apart than that, it stood still
//! between them (its machine slept, its container was paused), and the gap does not count.

use std::time::Duration;

/// Most that counts between two looks; whoever keeps an [`Awake`] looks at least each half of it.
pub const LOOKS_APART_MAX: Duration = Duration::from_secs(2);

/// A clock that stands still when its process does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Awake {
    looked_at: Duration,
    awake: Duration,
}

impl Awake {
    /// Looks at the monotonic clock, which says `now`; answers the time for which the process has run. Looks that come in
    /// another order than they were taken change nothing.
    pub fn look(&mut self, now: Duration) -> Duration {
        let gap = now.saturating_sub(self.looked_at);
        self.awake += gap.min(LOOKS_APART_MAX);
        self.looked_at = self.looked_at.max(now);
        self.awake
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Looks each second for so long.
    fn run(awake: &mut Awake, now: &mut Duration, seconds: u32) {
        for _ in 0..seconds {
            *now += SECOND;
            awake.look(*now);
        }
    }

    #[test]
    fn a_process_that_runs_measures_what_its_clock_says() {
        let (mut awake, mut now) = (Awake::default(), Duration::ZERO);
        run(&mut awake, &mut now, 3600);
        assert_eq!(awake.look(now), SECOND * 3600);
        assert_eq!(
            awake.look(now + LOOKS_APART_MAX),
            SECOND * 3600 + LOOKS_APART_MAX,
            "a busy moment counts"
        );
    }

    #[test]
    fn a_standstill_counts_as_one_gap_however_long_it_was() {
        for paused_seconds in [10, 60, 600, 86_400] {
            let (mut awake, mut now) = (Awake::default(), Duration::ZERO);
            run(&mut awake, &mut now, 100);
            now += SECOND * paused_seconds;
            assert_eq!(awake.look(now), SECOND * 100 + LOOKS_APART_MAX, "paused for {paused_seconds} s");
            run(&mut awake, &mut now, 5);
            assert_eq!(awake.look(now), SECOND * 105 + LOOKS_APART_MAX, "and it goes on");
        }
    }

    #[test]
    fn a_look_that_comes_late_to_its_turn_changes_nothing() {
        let mut awake = Awake::default();
        assert_eq!(awake.look(SECOND), SECOND);
        assert_eq!(awake.look(SECOND / 2), SECOND);
        assert_eq!(awake.look(SECOND * 2), SECOND * 2, "nothing is counted twice");
    }
}
