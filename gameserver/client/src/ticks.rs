//! Ticks as moments: whole ones on the wire, fractions of them in between. 7.25 is a quarter of a tick after tick 7
//! was due.

use std::time::Duration;

/// The moment at which a tick is due.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53, which 1000 Hz reaches after 285 000 years")]
pub(crate) fn moment(tick: u64) -> f64 {
    tick as f64
}

/// The last tick that was due at a moment; 0 for what is no moment of a server.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "such a cast saturates, NaN is 0"
)]
pub(crate) fn tick_before(moment: f64) -> u64 {
    moment.floor() as u64
}

/// Seconds as a duration; zero for what is none.
pub(crate) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

/// Microseconds as seconds.
pub(crate) fn micros(microseconds: u32) -> f64 {
    f64::from(microseconds) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_moment_of_a_server_is_tick_zero_and_no_panic() {
        for (moment, tick) in [(7.9, 7), (-3.0, 0), (f64::NAN, 0), (f64::INFINITY, u64::MAX)] {
            assert_eq!(tick_before(moment), tick, "{moment}");
        }
        assert_eq!(duration(f64::NAN), Duration::ZERO);
        assert_eq!(duration(1e300), Duration::ZERO);
    }
}
