//! The process's clock: read at the edges, passed down as [`Now`].

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use gameserver_core::Now;

/// Time since the start of the process, and since the Unix epoch.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place where the game server reads clocks")]
impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Time since the start.
    pub fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    /// Both times.
    pub fn now(&self) -> Now {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now { monotonic: self.monotonic(), unix }
    }
}
