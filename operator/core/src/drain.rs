//! How long a server whose pod is deleted waits for its players.

use std::time::Duration;

/// Least part of the grace period that is kept for goodbyes: enough for the zone's last tick and a last report on a
/// machine that is busy.
const MARGIN_MIN: Duration = Duration::from_millis(500);
/// Most of it: a report stream that hangs is given up after five seconds, and then everything else has to end.
const MARGIN_MAX: Duration = Duration::from_secs(10);

/// The time that a server gives its players after SIGTERM, of a pod with this grace period: all but a tenth of it, and
/// that tenth is at least half a second and at most ten seconds. Whoever is still there then is told goodbye by the
/// server instead of being cut off by the kubelet.
pub fn decide_drain_deadline(grace: Duration) -> Duration {
    grace.saturating_sub((grace / 10).clamp(MARGIN_MIN, MARGIN_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_grace_period_is_kept_for_goodbyes() {
        for (name, grace_ms, deadline_ms) in [
            ("no grace: nobody is waited for", 0, 0),
            ("less than the least margin", 300, 0),
            ("the shortest that a spec may ask for", 1000, 500),
            ("two seconds", 2000, 1500),
            ("where a tenth is the least margin", 5000, 4500),
            ("thirty seconds", 30_000, 27_000),
            ("where a tenth is the most", 100_000, 90_000),
            ("the default", 300_000, 290_000),
            ("a day", 86_400_000, 86_390_000),
        ] {
            let decided = decide_drain_deadline(Duration::from_millis(grace_ms));
            assert_eq!(decided, Duration::from_millis(deadline_ms), "{name}");
        }
    }

    #[test]
    fn the_deadline_is_always_before_the_end_and_grows_with_it() {
        let mut before = Duration::ZERO;
        for seconds in (1..2000).chain([86_400, u64::MAX / 2, u64::MAX]) {
            let grace = Duration::from_secs(seconds);
            let deadline = decide_drain_deadline(grace);
            assert!(deadline + MARGIN_MIN <= grace, "{seconds}");
            assert!(deadline >= before, "{seconds}");
            before = deadline;
        }
    }
}
