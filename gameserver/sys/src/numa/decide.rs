//! On which node a zone thread and its memory are: a decision from facts, with its reason.

use std::fmt;

use super::Topology;

/// What the operator of the server asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumaRequest {
    /// On a node when all CPUs of the pod are of that one.
    Auto,
    /// On the node where the thread is when it starts.
    Local,
    /// On this node.
    OnNode(usize),
    /// Memory from all nodes in turn, the thread wherever it is.
    Interleaved,
    /// Leave it to the kernel.
    Off,
}

/// What the machine says of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NumaFacts {
    /// The nodes.
    pub topology: Topology,
    /// CPUs that this thread may run on, ascending.
    pub allowed: Vec<usize>,
    /// The CPU that this thread is on, if the kernel tells.
    pub current_cpu: Option<usize>,
}

/// Where a zone thread and its memory are, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumaPlacement {
    /// Memory from one node, the thread on the CPUs of that or of the nearest on which it may run.
    OnNode {
        /// The node that memory comes from.
        memory: usize,
        /// The node that the thread runs on.
        cpus: usize,
        /// Why.
        reason: NumaReason,
    },
    /// Memory from all nodes in turn.
    Interleaved {
        /// Why.
        reason: NumaReason,
    },
    /// As the kernel has it: memory from wherever the thread is when it first writes.
    Unbound {
        /// Why.
        reason: NumaReason,
    },
}

/// Why a thread is on a node or on none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NumaReason {
    /// Someone asked for it.
    Requested,
    /// All CPUs of the process are of one node.
    CpusOfOneNode,
    /// There is one node.
    OneNode,
    /// The process may run on several nodes.
    SeveralNodes,
    /// The node is not there.
    NoSuchNode,
    /// No node has a CPU that the thread may run on.
    NoAllowedCpu,
    /// What the kernel shows of its nodes is not understood.
    Untold,
}

impl fmt::Display for NumaReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Requested => "requested",
            Self::CpusOfOneNode => "the CPU set is of one node",
            Self::OneNode => "there is one node",
            Self::SeveralNodes => "the CPU set is of several nodes",
            Self::NoSuchNode => "the node is not there",
            Self::NoAllowedCpu => "no node has a CPU of the CPU set",
            Self::Untold => "the nodes are not known",
        })
    }
}

/// Decides on which node a zone thread and its memory are. By itself it takes no CPU from anybody: a thread that may run on
/// several nodes keeps all of them, unless someone asks for one.
pub fn decide_numa(request: NumaRequest, facts: &NumaFacts) -> NumaPlacement {
    let unbound = |reason| NumaPlacement::Unbound { reason };
    let (topology, allowed) = (&facts.topology, &facts.allowed);
    let nearest = |memory: usize, reason| match topology.nearest_with_cpu(memory, allowed) {
        Some(node) => NumaPlacement::OnNode { memory, cpus: node.id, reason },
        None => unbound(NumaReason::NoAllowedCpu),
    };
    match request {
        NumaRequest::Off => unbound(NumaReason::Requested),
        NumaRequest::Interleaved => NumaPlacement::Interleaved { reason: NumaReason::Requested },
        NumaRequest::OnNode(node) if topology.node(node).is_none() => unbound(NumaReason::NoSuchNode),
        NumaRequest::OnNode(node) => nearest(node, NumaReason::Requested),
        NumaRequest::Local => match facts.current_cpu.and_then(|cpu| topology.node_of_cpu(cpu)) {
            Some(node) => nearest(node.id, NumaReason::Requested),
            None => unbound(NumaReason::NoAllowedCpu),
        },
        NumaRequest::Auto if topology.nodes.len() == 1 => unbound(NumaReason::OneNode),
        NumaRequest::Auto => match nodes_of(facts)[..] {
            [node] => nearest(node, NumaReason::CpusOfOneNode),
            [] => unbound(NumaReason::NoAllowedCpu),
            _ => unbound(NumaReason::SeveralNodes),
        },
    }
}

/// The CPUs among which one may be chosen for the thread, ascending: those of its node, or all that are allowed.
pub fn cpus_of(placement: NumaPlacement, facts: &NumaFacts) -> Vec<usize> {
    let NumaPlacement::OnNode { cpus, .. } = placement else { return facts.allowed.clone() };
    let of_node = facts.topology.node(cpus).map_or(&[][..], |node| &node.cpus);
    facts.allowed.iter().copied().filter(|cpu| of_node.contains(cpu)).collect()
}

/// Numbers of the nodes with an allowed CPU.
fn nodes_of(facts: &NumaFacts) -> Vec<usize> {
    let has_cpu = |cpus: &[usize]| cpus.iter().any(|cpu| facts.allowed.contains(cpu));
    facts.topology.nodes.iter().filter(|node| has_cpu(&node.cpus)).map(|node| node.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numa::Node;

    fn node(id: usize, cpus: &[usize], distances: &[u32]) -> Node {
        Node { id, cpus: cpus.to_vec(), memory_kib: Some(1 << 20), distances: distances.to_vec() }
    }

    /// Nodes 0 and 1 with four CPUs each, and node 2 with memory alone, nearer to node 1.
    fn facts(allowed: &[usize], current_cpu: usize) -> NumaFacts {
        let nodes = vec![
            node(0, &[0, 1, 2, 3], &[10, 20, 40]),
            node(1, &[4, 5, 6, 7], &[20, 10, 30]),
            node(2, &[], &[40, 30, 10]),
        ];
        NumaFacts { topology: Topology { nodes }, allowed: allowed.to_vec(), current_cpu: Some(current_cpu) }
    }

    #[test]
    fn a_thread_is_bound_where_its_cpus_are_of_one_node_or_on_request() {
        use NumaReason::{CpusOfOneNode, NoAllowedCpu, NoSuchNode, OneNode, Requested, SeveralNodes};
        use NumaRequest::{Auto, Interleaved, Local, Off, OnNode};
        let on = |memory, cpus, reason| NumaPlacement::OnNode { memory, cpus, reason };
        let unbound = |reason| NumaPlacement::Unbound { reason };
        let interleaved = NumaPlacement::Interleaved { reason: Requested };
        let all: Vec<usize> = (0..8).collect();
        let one_node = NumaFacts { topology: Topology::of_one_node(&[0, 1]), ..facts(&[0, 1], 0) };
        let lost = NumaFacts { current_cpu: None, ..facts(&all, 0) };
        let cases = [
            ("one node", Auto, one_node.clone(), unbound(OneNode)),
            ("CPUs of one node", Auto, facts(&[4, 5], 4), on(1, 1, CpusOfOneNode)),
            ("one CPU", Auto, facts(&[3], 3), on(0, 0, CpusOfOneNode)),
            ("CPUs of two nodes", Auto, facts(&[3, 4], 4), unbound(SeveralNodes)),
            ("the whole machine", Auto, facts(&all, 6), unbound(SeveralNodes)),
            ("CPUs of no node", Auto, facts(&[9], 9), unbound(NoAllowedCpu)),
            ("asked for here", Local, facts(&all, 6), on(1, 1, Requested)),
            ("asked for here, one node", Local, one_node.clone(), on(0, 0, Requested)),
            ("asked for here, of no node", Local, facts(&all, 9), unbound(NoAllowedCpu)),
            ("asked for here, untold", Local, lost, unbound(NoAllowedCpu)),
            ("asked for a node", OnNode(1), facts(&all, 0), on(1, 1, Requested)),
            ("asked for a node without allowed CPUs", OnNode(1), facts(&[2], 2), on(1, 0, Requested)),
            ("asked for memory alone", OnNode(2), facts(&all, 0), on(2, 1, Requested)),
            ("asked for a node that is not there", OnNode(3), facts(&all, 0), unbound(NoSuchNode)),
            ("asked for a node, no CPU of any", OnNode(1), facts(&[9], 9), unbound(NoAllowedCpu)),
            ("asked for all nodes", Interleaved, facts(&all, 0), interleaved),
            ("asked for all nodes, one node", Interleaved, one_node, interleaved),
            ("asked not to", Off, facts(&[4], 4), unbound(Requested)),
        ];
        for (name, request, facts, expected) in cases {
            assert_eq!(decide_numa(request, &facts), expected, "{name}");
        }
    }

    #[test]
    fn a_cpu_is_chosen_on_the_node_of_the_thread() {
        let facts = facts(&[2, 3, 4, 5], 2);
        let reason = NumaReason::Requested;
        let cases = [
            (NumaPlacement::OnNode { memory: 1, cpus: 1, reason }, vec![4, 5]),
            (NumaPlacement::OnNode { memory: 2, cpus: 0, reason }, vec![2, 3]),
            (NumaPlacement::Interleaved { reason }, vec![2, 3, 4, 5]),
            (NumaPlacement::Unbound { reason }, vec![2, 3, 4, 5]),
        ];
        for (placement, expected) in cases {
            assert_eq!(cpus_of(placement, &facts), expected, "{placement:?}");
        }
    }
}
