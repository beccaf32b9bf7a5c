//! The only place that reads clocks.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use std::time::Duration;
use tokio::time::Instant;

/// Monotonic time since the process began to run, and the wall clock for timestamps in objects.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    began: Instant,
}

#[expect(clippy::disallowed_methods, reason = "this is the edge where clocks are read")]
#[expect(clippy::unused_self, reason = "only who was given a clock may read one")]
impl Clock {
    pub(crate) fn start() -> Self {
        Self { began: Instant::now() }
    }

    /// A clock of a process that has run for a while.
    #[cfg(test)]
    pub(crate) fn started_ago(ago: Duration) -> Self {
        Self { began: Instant::now().checked_sub(ago).unwrap() }
    }

    /// The same clock when more time has passed.
    #[cfg(test)]
    pub(crate) fn later(self, by: Duration) -> Self {
        Self { began: self.began.checked_sub(by).unwrap() }
    }

    /// Time since the process began to run.
    pub(crate) fn elapsed(self) -> Duration {
        self.began.elapsed()
    }

    /// Wall clock, in the precision that objects keep (whole seconds).
    pub(crate) fn wall(self) -> Time {
        let now = Timestamp::now();
        Time(Timestamp::from_second(now.as_second()).unwrap_or(now))
    }

    /// Wall clock as time since the Unix epoch, for certificates.
    pub(crate) fn unix(self) -> Duration {
        Duration::from_millis(self.unix_ms())
    }

    /// Wall clock in milliseconds since the Unix epoch.
    pub(crate) fn unix_ms(self) -> u64 {
        u64::try_from(Timestamp::now().as_millisecond()).unwrap_or(0)
    }
}

/// Time from `past` to `now` by the wall clock, nothing if the clock went back.
pub(crate) fn since(past: &Time, now: &Time) -> Duration {
    Duration::try_from(now.0.duration_since(past.0)).unwrap_or_default()
}
