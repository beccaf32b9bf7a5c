//! Whether a zone's thread is pinned and where: a decision from facts, with its reason.

use std::fmt;

/// What the operator of the server asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinRequest {
    /// Pin when the pod owns its CPUs.
    Auto,
    /// Pin to the allowed CPUs in turn, whoever shares them.
    Always,
    /// Leave it to the scheduler.
    Never,
}

/// What the machine and the control group say.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuFacts {
    /// CPUs that this process may run on, ascending.
    pub allowed: Vec<usize>,
    /// CPUs of the machine.
    pub online: usize,
    /// CPU limit of the control group in CPUs, `None` when there is none.
    pub limit: Option<f64>,
    /// CPU weight of the control group (`cpu.weight`, 1 to 10000), `None` outside of one.
    pub weight: Option<u64>,
}

/// Where a zone thread runs, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On this CPU alone.
    Pinned {
        /// Number of the CPU.
        cpu: usize,
        /// Why.
        reason: PlacementReason,
    },
    /// Wherever the scheduler puts it.
    Floating {
        /// Why.
        reason: PlacementReason,
    },
}

/// Why a thread is placed as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementReason {
    /// Someone asked for it.
    Requested,
    /// The pod owns its CPUs.
    Exclusive,
    /// The process may run on every CPU of the machine.
    WholeMachine,
    /// The CPUs are a shared pool: request and limit do not add up to them.
    SharedPool,
    /// More zones than CPUs.
    TooFewCpus,
}

impl fmt::Display for PlacementReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Requested => "requested",
            Self::Exclusive => "the CPU set is exclusive",
            Self::WholeMachine => "the CPU set is the whole machine",
            Self::SharedPool => "the CPU set is shared with other pods",
            Self::TooFewCpus => "there are more zones than CPUs",
        })
    }
}

/// Decides where zone number `zone` (from 0) of `zones` runs, of the CPUs `among` which there is a choice: all that are
/// allowed, or those of a node.
pub fn decide_placement(
    request: PinRequest,
    facts: &CpuFacts,
    among: &[usize],
    zone: usize,
    zones: usize,
) -> Placement {
    let reason = match request {
        PinRequest::Never => return Placement::Floating { reason: PlacementReason::Requested },
        PinRequest::Always => PlacementReason::Requested,
        PinRequest::Auto if facts.allowed.len() >= facts.online => {
            return Placement::Floating { reason: PlacementReason::WholeMachine };
        }
        PinRequest::Auto if !is_exclusive(facts) => {
            return Placement::Floating { reason: PlacementReason::SharedPool };
        }
        PinRequest::Auto => PlacementReason::Exclusive,
    };
    match among.get(zone) {
        Some(&cpu) if zones <= among.len() => Placement::Pinned { cpu, reason },
        _ => Placement::Floating { reason: PlacementReason::TooFewCpus },
    }
}

/// The kubelet's static CPU manager gives a container CPUs of its own when it asks for whole ones and its limit is
/// its request. Nothing in the container says so; it shows by the request (as weight) and the limit (none, or the
/// same) both being exactly as many CPUs as it may run on.
fn is_exclusive(facts: &CpuFacts) -> bool {
    let Ok(cpus) = u32::try_from(facts.allowed.len()) else { return false };
    let limit_fits = facts.limit.is_none_or(|limit| (limit - f64::from(cpus)).abs() < 0.001);
    let weight_fits = facts.weight.is_some_and(|weight| {
        weights_of_request(cpus).iter().any(|&expected| weight.abs_diff(expected) <= 1)
    });
    cpus > 0 && limit_fits && weight_fits
}

/// `cpu.weight` of a request of whole CPUs: by the linear conversion that runtimes used until 2025, and by the
/// quadratic one (1024 shares = weight 100) that they use since.
fn weights_of_request(cpus: u32) -> [u64; 2] {
    let shares = 1024 * u64::from(cpus);
    let linear = 1 + ((shares - 2) * 9999) / 262_142;
    let log = f64::from(cpus).log2() + 10.0;
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 100 and 10000 for any number of CPUs"
    )]
    let quadratic = 10_f64.powf(exponent).ceil() as u64;
    [linear, quadratic.min(10_000)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use PlacementReason::{Exclusive, Requested, SharedPool, TooFewCpus, WholeMachine};

    fn facts(allowed: &[usize], limit: Option<f64>, weight: Option<u64>) -> CpuFacts {
        CpuFacts { allowed: allowed.to_vec(), online: 8, limit, weight }
    }

    #[test]
    fn a_thread_pins_only_when_the_cpu_set_is_exclusive_or_on_request() {
        use PinRequest::{Always, Auto, Never};
        let pinned = |cpu, reason| Placement::Pinned { cpu, reason };
        let floating = |reason| Placement::Floating { reason };
        let whole: Vec<usize> = (0..8).collect();
        let cases = [
            ("whole machine", Auto, facts(&whole, None, Some(100)), 0, floating(WholeMachine)),
            ("guaranteed, old weight", Auto, facts(&[3], Some(1.0), Some(39)), 0, pinned(3, Exclusive)),
            ("guaranteed, new weight", Auto, facts(&[3], Some(1.0), Some(100)), 0, pinned(3, Exclusive)),
            ("guaranteed, no quota", Auto, facts(&[3, 5], None, Some(79)), 1, pinned(5, Exclusive)),
            ("shared pool, burstable", Auto, facts(&[3, 5], None, Some(20)), 0, floating(SharedPool)),
            ("shared pool, half a CPU", Auto, facts(&[3], Some(0.5), Some(39)), 0, floating(SharedPool)),
            ("no control group", Auto, facts(&[3], None, None), 0, floating(SharedPool)),
            ("more zones than CPUs", Auto, facts(&[3], Some(1.0), Some(39)), 1, floating(TooFewCpus)),
            ("asked to, shared", Always, facts(&[3, 5], None, Some(20)), 1, pinned(5, Requested)),
            ("asked to, whole machine", Always, facts(&whole, None, None), 0, pinned(0, Requested)),
            ("asked not to", Never, facts(&[3], Some(1.0), Some(39)), 0, floating(Requested)),
        ];
        for (name, request, facts, zone, expected) in cases {
            let placement = decide_placement(request, &facts, &facts.allowed, zone, zone + 1);
            assert_eq!(placement, expected, "{name}");
        }
    }

    #[test]
    fn whether_cpus_are_exclusive_is_told_by_all_of_them_and_one_is_chosen_on_the_node() {
        let two = facts(&[3, 5], None, Some(79));
        let placed =
            |among: &[usize], zones| decide_placement(PinRequest::Auto, &two, among, zones - 1, zones);
        assert_eq!(placed(&[5], 1), Placement::Pinned { cpu: 5, reason: Exclusive });
        assert_eq!(placed(&[5], 2), Placement::Floating { reason: TooFewCpus });
    }

    #[test]
    fn weights_of_whole_requests_are_those_of_the_runtimes() {
        assert_eq!(weights_of_request(1), [39, 100]);
        assert_eq!(weights_of_request(2), [79, 174]);
    }
}
