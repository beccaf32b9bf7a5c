//! When the kubelet restarts a game server that is stuck.
//!
//! Two watch a server: the operator by its reports, which gives it up after `silence` and `recovery`, and the kubelet by
//! probes, which restarts its container in place, so that zones and keys stay. They must not fight: a restart comes
//! before the server is given up and leaves it as long again to come back, and a server that was paused for a moment is
//! neither restarted nor given up. A spec that is more patient about silence makes the kubelet as patient.

use std::time::Duration;

use crate::server_state::Patience;

/// Fewest probes in a row that must fail: one that was slow, or answered a moment after a pause, proves nothing.
const FAILURES_MIN: u32 = 3;
/// Longest time between two probes.
const PERIOD_MAX: Duration = Duration::from_secs(10);
/// Time between two probes of a server that starts; players wait for it.
const STARTUP_PERIOD: Duration = Duration::from_secs(1);

/// A probe: whole seconds between two, and how many in a row must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Time between two.
    pub period: Duration,
    /// Failures in a row that count.
    pub failures: u32,
}

impl Probe {
    /// How long a server is stuck before it counts.
    pub fn patience(self) -> Duration {
        self.period * self.failures
    }
}

/// The probe that restarts a stuck server: after at most half of the time after which it would be given up.
pub fn decide_liveness(patience: Patience) -> Probe {
    let half = (patience.silence + patience.recovery).as_secs() / 2;
    let period = (half / u64::from(FAILURES_MIN)).clamp(1, PERIOD_MAX.as_secs());
    let failures = u32::try_from(half / period).unwrap_or(u32::MAX).max(FAILURES_MIN);
    Probe { period: Duration::from_secs(period), failures }
}

/// The probe that a server must pass once before the others count: for as long as it may take to its first report.
pub fn decide_startup(patience: Patience) -> Probe {
    let failures = patience.startup.as_secs().max(1);
    Probe { period: STARTUP_PERIOD, failures: u32::try_from(failures).unwrap_or(u32::MAX) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patience(silence: u64, recovery: u64) -> Patience {
        let seconds = Duration::from_secs;
        Patience { startup: seconds(60), silence: seconds(silence), recovery: seconds(recovery) }
    }

    #[test]
    fn a_stuck_server_is_restarted_within_half_of_its_patience() {
        for (name, silence, recovery, period, failures) in [
            ("the default: after 15 of 35 seconds", 5, 30, 5, 3),
            ("the least that a spec may say", 2, 5, 1, 3),
            ("twice the default", 10, 60, 10, 3),
            ("an hour", 300, 3600, 10, 195),
        ] {
            let probe = decide_liveness(patience(silence, recovery));
            assert_eq!(probe, Probe { period: Duration::from_secs(period), failures }, "{name}");
            assert!(probe.patience() * 2 <= Duration::from_secs(silence + recovery), "{name}");
        }
    }

    #[test]
    fn every_patience_that_a_spec_allows_leaves_time_to_come_back() {
        for silence in 2..=300 {
            for recovery in (5..=3600).step_by(7) {
                let probe = decide_liveness(patience(silence, recovery));
                let given_up = Duration::from_secs(silence + recovery);
                assert!(probe.patience() * 2 <= given_up, "{silence} {recovery}: {probe:?}");
                assert!(probe.period >= Duration::from_secs(1) && probe.failures >= FAILURES_MIN);
            }
        }
    }

    #[test]
    fn a_server_may_take_as_long_to_start_as_to_its_first_report() {
        assert_eq!(decide_startup(patience(5, 30)).patience(), Duration::from_secs(60));
    }
}
