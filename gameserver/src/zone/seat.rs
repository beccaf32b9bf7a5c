//! Where a zone's thread and its memory are: first on a node, then on a CPU of it.

use gameserver_sys::{CpuFacts, MemoryPolicy};
use gameserver_sys::{
    NumaFacts, NumaPlacement, NumaReason, NumaRequest, PinRequest, Placement, PolicyDenial, PolicyOutcome,
    Topology, bind_thread_to_node, cpus_of, decide_numa, decide_placement, node_of_new_memory, observe_cpus,
    observe_numa, pin_current_thread, set_thread_memory,
};

use super::thread::ZoneError;

/// Where a zone thread and its memory are, as metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// `on-node`, `interleaved` or `unbound`.
    pub(crate) placement: &'static str,
    /// The node that memory comes from; none where it comes from several, or nobody knows.
    pub(crate) node: Option<usize>,
    /// What came of the memory policy: `applied`, `unconfirmed`, `denied`, or `default` where none was set.
    pub(crate) memory: &'static str,
}

/// Where somebody wants the threads of zones, and which of them this one is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeatRequest {
    pub(crate) pin: PinRequest,
    pub(crate) numa: NumaRequest,
    /// From 0.
    pub(crate) zone: usize,
    /// How many there are.
    pub(crate) zones: usize,
}

/// Puts the calling thread where the rules say, and says so in the log. Only what it writes to first afterwards comes from
/// there.
pub(crate) fn take_seat(request: SeatRequest) -> Result<Seat, ZoneError> {
    let cpus = match observe_cpus() {
        Ok(cpus) => cpus,
        Err(error) => {
            tracing::warn!(error = error.to_string(), "failed to learn about CPUs; the zone thread floats");
            let reason = NumaReason::Untold;
            return Ok(seat(NumaPlacement::Unbound { reason }, None, None, &Topology::of_one_node(&[])));
        }
    };
    let (placement, facts) = match observe_numa() {
        Ok(facts) => (decide_numa(request.numa, &facts), facts),
        Err(error) => {
            let error = format!("{:#}", anyhow::Error::from(error));
            tracing::warn!(error, "failed to learn about NUMA nodes; the zone thread is bound to none");
            let unknown = Topology { nodes: Vec::new() };
            let facts = NumaFacts { topology: unknown, allowed: cpus.allowed.clone(), current_cpu: None };
            (NumaPlacement::Unbound { reason: NumaReason::Untold }, facts)
        }
    };
    let outcome = bind(placement, &facts);
    let cpu = place(request, &cpus, &cpus_of(placement, &facts))?;
    let seat = seat(placement, outcome, cpu, &facts.topology);
    tracing::info!(
        placement = seat.placement,
        node = seat.node,
        memory = seat.memory,
        new_memory_from = node_of_new_memory().ok(),
        nodes = facts.topology.nodes.len(),
        "the zone's memory"
    );
    Ok(seat)
}

fn seat(
    placement: NumaPlacement,
    outcome: Option<PolicyOutcome>,
    cpu: Option<usize>,
    topology: &Topology,
) -> Seat {
    let (placement, node) = match placement {
        NumaPlacement::OnNode { memory, .. } => ("on-node", Some(memory)),
        NumaPlacement::Interleaved { .. } => ("interleaved", None),
        // by default memory comes from where the thread is, which stays where it is only on a CPU of its own
        NumaPlacement::Unbound { .. } => {
            ("unbound", cpu.and_then(|cpu| topology.node_of_cpu(cpu)).map(|node| node.id))
        }
    };
    let memory = match outcome {
        None => "default",
        Some(PolicyOutcome::Applied) => "applied",
        Some(PolicyOutcome::Unconfirmed { .. }) => "unconfirmed",
        Some(PolicyOutcome::Denied { .. }) => "denied",
    };
    Seat { placement, node, memory }
}

/// Binds this thread to a node if it is decided so; what came of the policy of its memory.
fn bind(placement: NumaPlacement, facts: &NumaFacts) -> Option<PolicyOutcome> {
    // what the kernel does by itself is as good for a thread that stays on the node of its memory
    let (outcome, is_default) = match placement {
        NumaPlacement::OnNode { memory, cpus, reason } => bind_to_node(memory, cpus, reason, facts),
        NumaPlacement::Interleaved { .. } => {
            (set_thread_memory(MemoryPolicy::Interleaved, &facts.topology), false)
        }
        NumaPlacement::Unbound { reason } => {
            let is_in_vain = matches!(reason, NumaReason::NoSuchNode | NumaReason::NoAllowedCpu);
            let reason = reason.to_string();
            if is_in_vain {
                tracing::warn!(reason, "the zone thread is bound to no node, though it was to be");
            } else {
                tracing::info!(reason, "the zone thread is bound to no node");
            }
            return None;
        }
    };
    if let PolicyOutcome::Denied { reason } | PolicyOutcome::Unconfirmed { reason } = outcome {
        let (reason, remedy) = (reason.to_string(), remedy(reason));
        if is_default {
            tracing::info!(
                reason,
                "no memory policy is set here, and none is needed on the node of the memory"
            );
        } else {
            tracing::warn!(
                reason,
                remedy,
                "the memory policy is not to be had here; memory comes from where the thread is"
            );
        }
    }
    Some(outcome)
}

/// What a person can do about a policy that is not to be had, where that is known.
const fn remedy(denial: PolicyDenial) -> Option<&'static str> {
    match denial {
        PolicyDenial::Forbidden => Some(
            "give the pod a seccomp profile that allows mbind, set_mempolicy and get_mempolicy, or ask for --numa auto, which needs \
             none of them",
        ),
        PolicyDenial::Unsupported => Some(
            "run on a kernel and in a sandbox that have NUMA, or ask for --numa auto, which needs no policy",
        ),
        PolicyDenial::NoSuchNode => {
            Some("ask for a node whose memory the pod may use: Mems_allowed_list in /proc/self/status")
        }
        PolicyDenial::Ignored | PolicyDenial::Other(_) => None,
    }
}

/// What came of the policy, and whether memory comes from the node without one.
fn bind_to_node(memory: usize, cpus: usize, reason: NumaReason, facts: &NumaFacts) -> (PolicyOutcome, bool) {
    let binding = bind_thread_to_node(&facts.topology, cpus, &facts.allowed);
    let reason = reason.to_string();
    match &binding.cpus {
        Ok(list) => {
            tracing::info!(node = cpus, cpus = ?list, reason, "the zone thread is bound to the CPUs of a node");
        }
        Err(denial) => tracing::warn!(
            node = cpus,
            reason,
            denial = denial.to_string(),
            "the zone thread is not bound to the CPUs of its node and runs on"
        ),
    }
    if memory == cpus {
        return (binding.memory, binding.cpus.is_ok());
    }
    (set_thread_memory(MemoryPolicy::OnNode(memory), &facts.topology), false)
}

/// Pins this thread to one of `among` if the rules say so; to which.
fn place(request: SeatRequest, facts: &CpuFacts, among: &[usize]) -> Result<Option<usize>, ZoneError> {
    let SeatRequest { pin, zone, zones, .. } = request;
    match decide_placement(pin, facts, among, zone, zones) {
        Placement::Pinned { cpu, reason } => {
            pin_current_thread(cpu).map_err(|source| ZoneError::Pin { cpu, source })?;
            tracing::info!(cpu, reason = reason.to_string(), "the zone thread is pinned");
            Ok(Some(cpu))
        }
        Placement::Floating { reason } => {
            tracing::info!(reason = reason.to_string(), "the zone thread floats");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_sys::Node;

    #[test]
    fn who_has_no_memory_policy_is_told_what_to_do_about_it_where_that_is_known() {
        for (denial, said) in [
            (PolicyDenial::Forbidden, "seccomp profile"),
            (PolicyDenial::Unsupported, "have NUMA"),
            (PolicyDenial::NoSuchNode, "Mems_allowed_list"),
        ] {
            assert!(remedy(denial).is_some_and(|remedy| remedy.contains(said)), "{denial:?}");
        }
        assert_eq!([PolicyDenial::Ignored, PolicyDenial::Other(5)].map(remedy), [None, None]);
    }

    #[test]
    fn a_seat_says_from_where_memory_comes_only_where_that_is_known() {
        let node = |id, cpus: &[usize]| Node { id, cpus: cpus.to_vec(), memory_kib: None, distances: vec![] };
        let topology = Topology { nodes: vec![node(0, &[0, 1]), node(3, &[2])] };
        let reason = NumaReason::Requested;
        let on_node = NumaPlacement::OnNode { memory: 3, cpus: 0, reason };
        let (interleaved, unbound) =
            (NumaPlacement::Interleaved { reason }, NumaPlacement::Unbound { reason });
        let denial = PolicyDenial::Forbidden;
        let denied = PolicyOutcome::Denied { reason: denial };
        let unconfirmed = PolicyOutcome::Unconfirmed { reason: denial };
        let cases = [
            (on_node, Some(PolicyOutcome::Applied), Some(0), ("on-node", Some(3), "applied")),
            (on_node, Some(denied), None, ("on-node", Some(3), "denied")),
            (interleaved, Some(unconfirmed), Some(2), ("interleaved", None, "unconfirmed")),
            (unbound, None, None, ("unbound", None, "default")),
            (unbound, None, Some(2), ("unbound", Some(3), "default")),
            (unbound, None, Some(9), ("unbound", None, "default")),
        ];
        for (placement, outcome, cpu, (label, node, memory)) in cases {
            let expected = Seat { placement: label, node, memory };
            assert_eq!(
                seat(placement, outcome, cpu, &topology),
                expected,
                "{placement:?} {outcome:?} {cpu:?}"
            );
        }
    }
}
