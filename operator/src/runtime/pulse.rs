//! Whether this region's API server answers.

use operator_core::awake::Awake;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// When the API server last answered, in time in which this process ran.
#[derive(Default)]
pub(crate) struct ApiPulse(Mutex<(Awake, Duration)>);

impl ApiPulse {
    /// It answered.
    pub(crate) fn beat(&self, now: Duration) {
        let mut pulse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulse.1 = pulse.0.look(now);
    }

    /// For how long it has not.
    pub(crate) fn silent_for(&self, now: Duration) -> Duration {
        let mut pulse = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        pulse.0.look(now).saturating_sub(pulse.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_is_silent_since_its_last_answer_and_a_standstill_of_ours_is_no_silence() {
        let (pulse, at) = (ApiPulse::default(), Duration::from_secs);
        (0..=9).for_each(|second| assert_eq!(pulse.silent_for(at(second)), at(second)));
        pulse.beat(at(10));
        assert_eq!(pulse.silent_for(at(11)), at(1));
        assert!(pulse.silent_for(at(600)) <= at(3), "we slept");
    }
}
