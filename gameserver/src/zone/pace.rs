//! When a zone ticks, and what it lets go when it is late.

use std::time::Duration;

/// When ticks are due. Ticks keep their phase; a server that falls a whole tick behind lets go of what it missed
/// (its world runs slower for a moment) rather than working off a queue of ticks that makes it later still.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    period: Duration,
    due: Duration,
}

/// How a tick started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TickStart {
    /// How long after it was due.
    pub(crate) lateness: Duration,
    /// Ticks that were let go because this one is that late.
    pub(crate) skipped: u64,
}

impl Pace {
    pub(crate) fn new(tick_hz: u32, start: Duration) -> Self {
        let period = Duration::from_secs(1) / tick_hz;
        Self { period, due: start + period }
    }

    /// How long until the next tick; zero when it is due.
    pub(crate) fn until_due(&self, now: Duration) -> Duration {
        self.due.saturating_sub(now)
    }

    /// Starts the tick that is due.
    pub(crate) fn start_tick(&mut self, now: Duration) -> TickStart {
        let lateness = now.saturating_sub(self.due);
        let skipped = u64::try_from(lateness.as_nanos() / self.period.as_nanos()).unwrap_or(u64::MAX);
        let missed = u32::try_from(skipped).unwrap_or(u32::MAX);
        self.due += self.period.saturating_mul(missed.saturating_add(1));
        TickStart { lateness, skipped }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn pace() -> Pace {
        Pace::new(100, Duration::ZERO)
    }

    #[test]
    fn ticks_keep_their_phase_when_one_starts_a_little_late() {
        let mut pace = pace();
        assert_eq!(pace.until_due(Duration::ZERO), 10 * MS);
        assert_eq!(pace.start_tick(13 * MS), TickStart { lateness: 3 * MS, skipped: 0 });
        assert_eq!(pace.until_due(13 * MS), 7 * MS);
    }

    #[test]
    fn a_server_far_behind_lets_ticks_go_instead_of_queueing_them() {
        let mut pace = pace();
        assert_eq!(pace.start_tick(45 * MS), TickStart { lateness: 35 * MS, skipped: 3 });
        assert_eq!(pace.until_due(45 * MS), 5 * MS);
    }

    #[test]
    fn a_tick_that_is_overdue_is_due_now() {
        assert_eq!(pace().until_due(Duration::from_secs(9)), Duration::ZERO);
    }
}
