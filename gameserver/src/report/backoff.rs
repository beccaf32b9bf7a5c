//! The wait before a report stream is tried again.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(5);

/// How long to wait before attempt number `attempt` (the first repeat is 1): doubling from 100 ms to 5 s, and within
/// that a random part between half and all, so that a whole fleet that lost one operator does not come back at once.
pub(crate) fn next_backoff(attempt: u32, random: u32) -> Duration {
    let doubled = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(MOST);
    let half = doubled / 2;
    half + half.mul_f64(f64::from(random) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_100_ms_to_5_s_and_stay_there() {
        let most = |attempt| next_backoff(attempt, u32::MAX).as_millis();
        assert_eq!(
            [most(1), most(2), most(3), most(6), most(7), most(u32::MAX)],
            [100, 200, 400, 3200, 5000, 5000]
        );
    }

    #[test]
    fn jitter_never_shortens_a_wait_below_half() {
        for attempt in 0..20 {
            let (least, most) = (next_backoff(attempt, 0), next_backoff(attempt, u32::MAX));
            assert_eq!(least, most / 2);
            let between = next_backoff(attempt, u32::MAX / 3);
            assert!(least < between && between < most);
        }
    }
}
