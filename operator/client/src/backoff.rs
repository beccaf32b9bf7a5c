//! How long to wait before the same is asked again.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(50);
const MOST: Duration = Duration::from_secs(2);

/// After so many attempts, at least one; `chance` is any number, and callers with different ones come back at different times. Between half
/// of 50 ms, doubled with each attempt to at most 2 s, and all of it.
pub(crate) fn wait_after(attempts: u32, chance: u64) -> Duration {
    let doubled =
        1_u32.checked_shl(attempts.saturating_sub(1)).map_or(MOST, |times| FIRST.saturating_mul(times));
    let most = doubled.min(MOST);
    let half = most / 2;
    let more = u64::try_from(half.as_nanos()).map_or(0, |nanos| chance % (nanos + 1));
    half + Duration::from_nanos(more)
}

/// A number that differs from one call and process to another, and is no secret.
pub(crate) fn chance() -> u64 {
    RandomState::new().hash_one(0_u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_a_limit_and_lie_between_half_and_all_of_it() {
        for (attempts, most_ms) in [
            (0, 50),
            (1, 50),
            (2, 100),
            (3, 200),
            (6, 1600),
            (7, 2000),
            (32, 2000),
            (33, 2000),
            (u32::MAX, 2000),
        ] {
            let most = Duration::from_millis(most_ms);
            assert_eq!(wait_after(attempts, 0), most / 2, "{attempts}");
            let nanos = u64::try_from(most.as_nanos()).unwrap() / 2;
            assert_eq!(wait_after(attempts, nanos), most, "{attempts}");
            assert_eq!(wait_after(attempts, nanos + 1), most / 2, "{attempts}");
            for chance in [1, 12_345, u64::MAX] {
                let wait = wait_after(attempts, chance);
                assert!((most / 2..=most).contains(&wait), "{attempts} {chance}: {wait:?}");
            }
        }
    }

    #[test]
    fn no_two_callers_wait_alike() {
        let drawn: std::collections::BTreeSet<u64> = (0..100).map(|_| chance()).collect();
        assert!(drawn.len() > 90, "{}", drawn.len());
    }
}
