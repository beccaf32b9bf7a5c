//! The only place that reads a clock or waits.

use std::time::{Duration, Instant, SystemTime};

/// A point in monotonic time.
#[expect(clippy::disallowed_methods, reason = "a command line tool is the edge")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a command line tool is the edge")]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Waits for one poll interval.
#[expect(clippy::disallowed_methods, reason = "a poll of another program has no event to wait for")]
pub(crate) fn pause(interval: Duration) {
    std::thread::sleep(interval);
}

/// Polls until `condition` gives a value or `limit` has passed.
pub(crate) fn poll<T>(
    limit: Duration,
    interval: Duration,
    mut condition: impl FnMut() -> Option<T>,
) -> Option<T> {
    let start = now();
    loop {
        if let Some(value) = condition() {
            return Some(value);
        }
        if start.elapsed() >= limit {
            return None;
        }
        pause(interval);
    }
}
