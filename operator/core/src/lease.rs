//! Who leads, decided from a Lease as it was last seen.
//!
//! Wall clocks of machines are never compared: a holder counts as gone when its record has not changed for a whole
//! lease on the reader's own monotonic clock.

use std::time::Duration;

/// How long a lease lasts without being renewed.
pub const LEASE_DURATION: Duration = Duration::from_secs(4);
/// How often the holder renews it, and the others look.
pub const RENEW_PERIOD: Duration = Duration::from_secs(1);
/// A holder that could not renew for this long stops leading, well before anybody else may begin.
pub const STEP_DOWN_AFTER: Duration = Duration::from_secs(3);

/// The Lease as last seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen<'a> {
    /// Identity in the record; empty or absent when the last holder released it.
    pub holder: Option<&'a str>,
    /// Time since the record last changed, on the reader's clock.
    pub unchanged_for: Duration,
}

/// What to do about the lease now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseAction {
    /// Write the record with this identity, on condition that it has not changed since.
    Take,
    /// Write the record again.
    Renew,
    /// Somebody else leads.
    Wait,
}

/// Decides for `identity`. No record at all is `None`.
pub fn decide_lease(identity: &str, seen: Option<&Seen<'_>>) -> LeaseAction {
    match seen {
        None => LeaseAction::Take,
        Some(seen) => match seen.holder {
            None | Some("") => LeaseAction::Take,
            Some(holder) if holder == identity => LeaseAction::Renew,
            Some(_) if seen.unchanged_for >= LEASE_DURATION => LeaseAction::Take,
            Some(_) => LeaseAction::Wait,
        },
    }
}

/// Whether a leader must stop: it could not renew for too long.
pub fn must_step_down(since_renewed: Duration) -> bool {
    since_renewed >= STEP_DOWN_AFTER
}

/// Whether the API server has gone back: its data was restored from an old copy, and nothing that was read before counts. Versions of
/// one resource only grow otherwise (<https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>); those that
/// are no numbers are of an API server that has another order, and say nothing.
pub fn went_back(newest: Option<&str>, now: Option<&str>) -> bool {
    let number = |version: Option<&str>| version.and_then(|version| version.parse::<u64>().ok());
    number(now).zip(number(newest)).is_some_and(|(now, newest)| now < newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_fall_are_of_an_old_copy() {
        for (newest, now, expected) in [
            (Some("9"), Some("10"), false),
            (Some("10"), Some("10"), false),
            (Some("10"), Some("9"), true),
            (None, Some("9"), false),
            (Some("10"), None, false),
            (Some("10"), Some("x"), false),
        ] {
            assert_eq!(went_back(newest, now), expected, "{newest:?} {now:?}");
        }
    }

    #[test]
    fn a_lease_is_taken_only_when_nobody_can_hold_it() {
        let seen = |holder, seconds| Some(Seen { holder, unchanged_for: Duration::from_secs(seconds) });
        for (name, seen, expected) in [
            ("no record", None, LeaseAction::Take),
            ("released", seen(Some(""), 0), LeaseAction::Take),
            ("no holder", seen(None, 0), LeaseAction::Take),
            ("mine", seen(Some("a"), 1), LeaseAction::Renew),
            ("mine, long ago: still mine until somebody took it", seen(Some("a"), 60), LeaseAction::Renew),
            ("another's, fresh", seen(Some("b"), 3), LeaseAction::Wait),
            ("another's, run out", seen(Some("b"), 4), LeaseAction::Take),
        ] {
            assert_eq!(decide_lease("a", seen.as_ref()), expected, "{name}");
        }
    }

    #[test]
    fn a_leader_stops_before_another_may_begin() {
        assert!(!must_step_down(Duration::from_millis(2999)));
        assert!(must_step_down(STEP_DOWN_AFTER));
        assert!(STEP_DOWN_AFTER + RENEW_PERIOD <= LEASE_DURATION);
    }
}
