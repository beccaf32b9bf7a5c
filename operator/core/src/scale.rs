//! How many game servers an AutoScaler wishes (A15).
//!
//! Each policy wishes by itself and the largest wish wins, because a Fleet that is short by one figure is short. A
//! server in use is never wished away. A missing figure holds: it neither adds nor takes.

use std::time::Duration;

/// A figure and when it asks for more or fewer servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Figure now; `None` when it did not come.
    pub value: Option<u64>,
    /// Whether the figure is a mean over the servers, so that it grows when servers go.
    pub shared: bool,
    /// Above this, more servers.
    pub up_threshold: u64,
    /// Below this, fewer.
    pub down_threshold: u64,
    /// No change for this long after the last one.
    pub cooldown: Duration,
    /// Servers added at once.
    pub step_up: u32,
    /// Servers taken at once.
    pub step_down: u32,
}

/// The Fleet as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FleetFigures {
    /// Replicas that the Fleet asks for.
    pub replicas: u32,
    /// Servers with players, or whose players are not known.
    pub in_use: u32,
    /// Time since the last change, if there was one.
    pub since_last_scale: Option<Duration>,
}

/// Fewest and most servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Fewest.
    pub min: u32,
    /// Most, not below `min`.
    pub max: u32,
}

/// Why a policy or the whole scaler wishes what it wishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Above the upper threshold.
    AboveThreshold,
    /// Below the lower threshold.
    BelowThreshold,
    /// Between the thresholds.
    Steady,
    /// Below the lower threshold, but with fewer servers it would be above the upper one.
    WouldOverload,
    /// Below the lower threshold, but every server that could go is in use.
    AllInUse,
    /// The figure is missing.
    MissingData,
    /// There is no server to measure, and none has to be there: the first one is for somebody else to ask for.
    AtZero,
    /// Would change, but changed a moment ago.
    CoolingDown,
    /// The bounds alone ask for a change.
    OutOfBounds,
}

impl Reason {
    /// Name in status, events and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AboveThreshold => "AboveThreshold",
            Self::BelowThreshold => "BelowThreshold",
            Self::Steady => "Steady",
            Self::WouldOverload => "WouldOverload",
            Self::AllInUse => "AllInUse",
            Self::MissingData => "MissingData",
            Self::AtZero => "AtZero",
            Self::CoolingDown => "CoolingDown",
            Self::OutOfBounds => "OutOfBounds",
        }
    }
}

/// What one policy wishes; `None` when it cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Replicas, not yet bounded.
    pub replicas: Option<u32>,
    /// Why.
    pub reason: Reason,
}

/// Which bound cuts the wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// `min` is more than what is wished.
    Minimum,
    /// `max` is less than what is wished.
    Maximum,
}

/// The decision over all policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Replicas wished, within the bounds.
    pub desired: u32,
    /// Whether `desired` is to be set now.
    pub scale: bool,
    /// Why.
    pub reason: Reason,
    /// Bound that cuts the wish.
    pub limit: Option<Limit>,
    /// Each policy's wish, in order.
    pub wishes: Vec<Wish>,
}

/// Decides for one Fleet.
pub fn decide_scale(fleet: FleetFigures, bounds: Bounds, policies: &[Policy]) -> Decision {
    let wishes: Vec<Wish> = policies.iter().map(|policy| wish(fleet, policy)).collect();
    let bounded = |replicas: u32| replicas.clamp(bounds.min, bounds.max);
    let missing = wishes.iter().any(|wish| wish.replicas.is_none());
    let largest = wishes.iter().filter(|wish| wish.replicas.is_some()).max_by_key(|wish| wish.replicas);
    // With a figure missing the others may still ask for more, never for fewer.
    let (target, reason) = match largest {
        Some(Wish { replicas: Some(replicas), reason }) if !missing || *replicas > fleet.replicas => {
            (*replicas, *reason)
        }
        Some(_) | None if missing => (fleet.replicas, Reason::MissingData),
        _ => (fleet.replicas, Reason::Steady),
    };
    let desired = bounded(target);
    let limit = match target {
        above if above > bounds.max => Some(Limit::Maximum),
        below if below < bounds.min => Some(Limit::Minimum),
        _ => None,
    };
    let out_of_bounds = bounded(fleet.replicas) != fleet.replicas;
    let cooling = !out_of_bounds && is_cooling(fleet, policies, &wishes, desired);
    let reason = match (desired == fleet.replicas, out_of_bounds, cooling) {
        (_, true, _) => Reason::OutOfBounds,
        (false, false, true) => Reason::CoolingDown,
        (true, false, _) if fleet.replicas == 0 && reason == Reason::MissingData => Reason::AtZero,
        _ => reason,
    };
    Decision { desired, scale: desired != fleet.replicas && !cooling, reason, limit, wishes }
}

fn is_cooling(fleet: FleetFigures, policies: &[Policy], wishes: &[Wish], desired: u32) -> bool {
    let cooldown = if desired > fleet.replicas {
        // The policy that asks for most decides how soon.
        policies.iter().zip(wishes).max_by_key(|(_, wish)| wish.replicas).map(|(policy, _)| policy.cooldown)
    } else {
        policies.iter().map(|policy| policy.cooldown).max()
    };
    fleet.since_last_scale.zip(cooldown).is_some_and(|(since, cooldown)| since < cooldown)
}

fn wish(fleet: FleetFigures, policy: &Policy) -> Wish {
    let Some(value) = policy.value else {
        return Wish { replicas: None, reason: Reason::MissingData };
    };
    let stay = |reason| Wish { replicas: Some(fleet.replicas), reason };
    if value > policy.up_threshold {
        let replicas = Some(fleet.replicas.saturating_add(policy.step_up));
        return Wish { replicas, reason: Reason::AboveThreshold };
    }
    if value >= policy.down_threshold {
        return stay(Reason::Steady);
    }
    let fewer = fleet.replicas.saturating_sub(policy.step_down).max(fleet.in_use);
    if fewer >= fleet.replicas {
        return stay(if fleet.replicas == 0 { Reason::Steady } else { Reason::AllInUse });
    }
    let load_after = value * u64::from(fleet.replicas) / u64::from(fewer.max(1));
    if policy.shared && load_after > policy.up_threshold {
        return stay(Reason::WouldOverload);
    }
    Wish { replicas: Some(fewer), reason: Reason::BelowThreshold }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds { min: 2, max: 10 };

    fn policy(value: Option<u64>) -> Policy {
        Policy {
            value,
            shared: true,
            up_threshold: 80,
            down_threshold: 30,
            cooldown: Duration::from_secs(60),
            step_up: 2,
            step_down: 1,
        }
    }

    fn fleet(replicas: u32, in_use: u32) -> FleetFigures {
        FleetFigures { replicas, in_use, since_last_scale: None }
    }

    #[test]
    fn one_policy_decides_by_its_thresholds_and_bounds() {
        for (name, replicas, in_use, value, desired, scale, reason, limit) in [
            ("hot", 4, 4, Some(81), 6, true, Reason::AboveThreshold, None),
            ("just at the threshold is not above it", 4, 4, Some(80), 4, false, Reason::Steady, None),
            ("hot at the top", 10, 9, Some(99), 10, false, Reason::AboveThreshold, Some(Limit::Maximum)),
            ("hot near the top", 9, 9, Some(99), 10, true, Reason::AboveThreshold, Some(Limit::Maximum)),
            ("cold", 4, 1, Some(10), 3, true, Reason::BelowThreshold, None),
            ("cold, all in use", 4, 4, Some(10), 4, false, Reason::AllInUse, None),
            ("cold at the bottom", 2, 0, Some(0), 2, false, Reason::BelowThreshold, Some(Limit::Minimum)),
            ("missing figure holds", 4, 0, None, 4, false, Reason::MissingData, None),
            (
                "below the bounds without a figure",
                0,
                0,
                None,
                2,
                true,
                Reason::OutOfBounds,
                Some(Limit::Minimum),
            ),
            ("above the bounds", 12, 3, Some(50), 10, true, Reason::OutOfBounds, Some(Limit::Maximum)),
        ] {
            let decision = decide_scale(fleet(replicas, in_use), BOUNDS, &[policy(value)]);
            assert_eq!(
                (decision.desired, decision.scale, decision.reason, decision.limit),
                (desired, scale, reason, limit),
                "{name}"
            );
        }
    }

    #[test]
    fn a_fleet_at_zero_stays_there_and_says_what_it_takes() {
        let bounds = Bounds { min: 0, max: 10 };
        let last = decide_scale(fleet(1, 0), bounds, &[policy(Some(0))]);
        assert_eq!((last.desired, last.scale), (0, true), "the last server may go");
        let none = decide_scale(fleet(0, 0), bounds, &[policy(None)]);
        assert_eq!((none.desired, none.scale, none.reason), (0, false, Reason::AtZero));
        let asked = decide_scale(fleet(1, 1), bounds, &[policy(Some(99))]);
        assert_eq!((asked.desired, asked.scale), (3, true), "from one on it goes by itself");
    }

    #[test]
    fn the_largest_wish_wins() {
        let decision = decide_scale(fleet(4, 0), BOUNDS, &[policy(Some(10)), policy(Some(90))]);
        assert_eq!((decision.desired, decision.reason), (6, Reason::AboveThreshold));
        assert_eq!(decision.wishes.iter().map(|wish| wish.replicas).collect::<Vec<_>>(), [Some(3), Some(6)]);
    }

    #[test]
    fn a_missing_figure_lets_others_add_and_never_take() {
        let adds = decide_scale(fleet(4, 0), BOUNDS, &[policy(None), policy(Some(90))]);
        assert_eq!((adds.desired, adds.scale), (6, true));
        let holds = decide_scale(fleet(4, 0), BOUNDS, &[policy(None), policy(Some(10))]);
        assert_eq!((holds.desired, holds.scale, holds.reason), (4, false, Reason::MissingData));
    }

    #[test]
    fn nothing_changes_while_cooling_down_and_the_wish_stays_visible() {
        let mut figures = fleet(4, 0);
        figures.since_last_scale = Some(Duration::from_secs(59));
        let held = decide_scale(figures, BOUNDS, &[policy(Some(90))]);
        assert_eq!((held.desired, held.scale, held.reason), (6, false, Reason::CoolingDown));
        figures.since_last_scale = Some(Duration::from_secs(60));
        assert!(decide_scale(figures, BOUNDS, &[policy(Some(90))]).scale);
    }

    /// So a region makes what others lost as soon as its minimum says so (rule 7).
    #[test]
    fn bounds_are_kept_even_while_cooling_down() {
        for (name, replicas, in_use, value, desired) in [
            ("a minimum above what is there", 1, 0, Some(50), 2),
            ("though it is cold", 1, 0, Some(0), 2),
            ("though the figure is missing", 1, 0, None, 2),
            ("hot: what it wishes anyway", 1, 1, Some(99), 3),
            ("a maximum below what is there", 14, 3, Some(50), 10),
            ("though it is hot", 14, 14, Some(99), 10),
        ] {
            let mut figures = fleet(replicas, in_use);
            figures.since_last_scale = Some(Duration::ZERO);
            let decision = decide_scale(figures, BOUNDS, &[policy(value)]);
            let found = (decision.desired, decision.scale, decision.reason);
            assert_eq!(found, (desired, true, Reason::OutOfBounds), "{name}");
        }
    }

    #[test]
    fn taking_a_server_that_would_bring_the_next_one_up_is_held() {
        let mut wide = policy(Some(29));
        wide.step_down = 3;
        let decision = decide_scale(fleet(4, 0), BOUNDS, &[wide]);
        assert_eq!((decision.desired, decision.reason), (4, Reason::WouldOverload));
        wide.shared = false;
        assert_eq!(decide_scale(fleet(4, 0), BOUNDS, &[wide]).desired, 2);
    }
}
