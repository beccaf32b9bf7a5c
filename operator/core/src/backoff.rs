//! How long to wait after a failure.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

/// First wait, before jitter.
pub const BACKOFF_BASE: Duration = Duration::from_millis(250);
/// Longest wait, before jitter.
pub const BACKOFF_CAP: Duration = Duration::from_secs(30);

/// Wait before the next try after `failures` failures in a row (1 or more): doubles from [`BACKOFF_BASE`] to
/// [`BACKOFF_CAP`], times 0.5 to 1.5 by `jitter`, so that many objects that failed together do not return together.
pub fn next_backoff(failures: u32, jitter: u8) -> Duration {
    let doubled = BACKOFF_BASE.saturating_mul(1 << failures.saturating_sub(1).min(16));
    let half = doubled.min(BACKOFF_CAP) / 2;
    half + half * 2 * u32::from(jitter) / u32::from(u8::MAX)
}

/// A jitter that spreads those who failed together, however alike their names are.
pub fn jitter_of(name: &str) -> u8 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish().to_le_bytes()[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn objects_with_names_alike_do_not_come_back_together() {
        let jitters: HashSet<u8> = (0..64).map(|number| jitter_of(&format!("uid-{number}"))).collect();
        assert!(jitters.len() > 40, "{jitters:?}");
        assert!(jitters.iter().max().unwrap() - jitters.iter().min().unwrap() > 200);
    }

    #[test]
    fn waits_double_to_the_cap_and_stay_within_their_jitter() {
        for (failures, lowest_ms, highest_ms) in
            [(1, 125, 375), (2, 250, 750), (4, 1000, 3000), (8, 15_000, 45_000), (1000, 15_000, 45_000)]
        {
            assert_eq!(next_backoff(failures, 0), Duration::from_millis(lowest_ms), "{failures}");
            assert_eq!(next_backoff(failures, 255), Duration::from_millis(highest_ms), "{failures}");
        }
    }
}
