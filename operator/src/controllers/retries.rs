//! When what failed is tried again, object by object, so that what cannot be done takes no time from the rest.

use operator_core::backoff::{jitter_of, next_backoff};
use std::collections::BTreeMap;
use std::time::Duration;

/// Failures in a row with one object, and when it is tried again.
struct Failed {
    failures: u32,
    again_at: Duration,
}

/// Remembers what failed, by name.
#[derive(Default)]
pub(super) struct Retries {
    failed: BTreeMap<String, Failed>,
}

impl Retries {
    /// Whether it may be tried now.
    pub(super) fn is_due(&self, now: Duration, name: &str) -> bool {
        self.again_at(name).is_none_or(|again_at| now >= again_at)
    }

    /// When what failed is tried again.
    pub(super) fn again_at(&self, name: &str) -> Option<Duration> {
        self.failed.get(name).map(|failed| failed.again_at)
    }

    /// How it went.
    pub(super) fn count(&mut self, now: Duration, name: &str, is_done: bool) {
        if is_done {
            self.failed.remove(name);
            return;
        }
        let failures = self.failed.get(name).map_or(0, |failed| failed.failures).saturating_add(1);
        let again_at = now + next_backoff(failures, jitter_of(name));
        self.failed.insert(name.to_owned(), Failed { failures, again_at });
    }

    /// Forgets the rest.
    pub(super) fn retain(&mut self, is_there: impl Fn(&str) -> bool) {
        self.failed.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_waits_for_longer_each_time_and_delays_nothing_else() {
        let (mut retries, mut now, mut waits) = (Retries::default(), Duration::ZERO, Vec::new());
        for _ in 0..4 {
            assert!(retries.is_due(now, "one"));
            retries.count(now, "one", false);
            let since = now;
            while !retries.is_due(now, "one") {
                assert!(retries.is_due(now, "other"));
                now += Duration::from_millis(10);
            }
            waits.push(now.saturating_sub(since));
        }
        assert!(waits.is_sorted() && waits[3] > waits[0] * 4, "{waits:?}");
        retries.count(now, "one", true);
        retries.count(now, "one", false);
        assert!(retries.is_due(now + waits[0], "one"), "counted anew after it went well");
        retries.count(now, "one", false);
        retries.retain(|name| name != "one");
        assert!(retries.is_due(now, "one"), "forgotten");
    }
}
