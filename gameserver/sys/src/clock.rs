//! The clock of a process: monotonic, and since the Unix epoch.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Time since a start, and since the Unix epoch: read at the edges of a process and passed down from there.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    start: Instant,
}

#[expect(clippy::disallowed_methods, reason = "the one place where game server and bots read clocks")]
impl Clock {
    /// A clock that starts now.
    pub fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// Time since the start; never goes back.
    pub fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    /// Time since the Unix epoch.
    pub fn unix(&self) -> Duration {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
    }
}
