//! A thread and its memory on a node.

use std::{fmt, io};

use super::policy::{Scope, apply};
use super::{MemoryPolicy, PolicyOutcome, Topology};
use crate::set_affinity;

/// What came of binding a thread. It runs on whatever this says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct NodeBinding {
    /// The CPUs that the thread runs on from now on, or why it runs where it did.
    pub cpus: Result<Vec<usize>, BindDenial>,
    /// What came of the policy of its memory.
    pub memory: PolicyOutcome,
}

/// Why a thread is not on the CPUs of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BindDenial {
    /// The node is not there, has no CPUs, or none that this thread may run on.
    NoAllowedCpu,
    /// An error of the kernel, by its number.
    Refused(i32),
}

impl fmt::Display for BindDenial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAllowedCpu => formatter.write_str("the node has no CPU that this thread may run on"),
            Self::Refused(number) => write!(formatter, "{}", io::Error::from_raw_os_error(*number)),
        }
    }
}

/// Binds the calling thread to the CPUs of a node, as far as it may run there, and its memory to wherever it then is.
/// Where it cannot be bound its memory comes from the node all the same, if the kernel lets it.
///
/// What it or another thread has written to before stays where it is.
pub fn bind_thread_to_node(topology: &Topology, node: usize, allowed: &[usize]) -> NodeBinding {
    let cpus = bind_cpus(topology, node, allowed);
    // a thread that is on the node needs no name for it, and a CPU set without the node's memory would forbid the name
    let policy = if cpus.is_ok() { MemoryPolicy::Local } else { MemoryPolicy::OnNode(node) };
    NodeBinding { cpus, memory: set_thread_memory(policy, topology) }
}

/// Sets where the memory comes from that the calling thread is the first to write to from now on.
pub fn set_thread_memory(policy: MemoryPolicy, topology: &Topology) -> PolicyOutcome {
    apply(Scope::Thread, policy, topology)
}

fn bind_cpus(topology: &Topology, node: usize, allowed: &[usize]) -> Result<Vec<usize>, BindDenial> {
    let of_node = topology.node(node).map_or(&[][..], |node| &node.cpus);
    let cpus: Vec<usize> = of_node.iter().copied().filter(|cpu| allowed.contains(cpu)).collect();
    if cpus.is_empty() {
        return Err(BindDenial::NoAllowedCpu);
    }
    set_affinity(&cpus).map_err(|error| BindDenial::Refused(error.raw_os_error().unwrap_or(0)))?;
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numa::fixture::not_run;
    use crate::numa::{Node, node_of_new_memory, observe_numa};
    use crate::observe_cpus;

    /// Runs `test` on a thread of its own, so that what it is bound to ends with it.
    fn on_a_thread<T: Send + 'static>(test: impl FnOnce() -> T + Send + 'static) -> T {
        std::thread::spawn(test).join().unwrap()
    }

    #[test]
    fn a_bound_thread_runs_on_its_node_and_gets_memory_there() {
        let (facts, binding, after, memory) = on_a_thread(|| {
            let facts = observe_numa().unwrap();
            let node = facts.topology.node_of_cpu(facts.allowed[0]).unwrap().id;
            let binding = bind_thread_to_node(&facts.topology, node, &facts.allowed);
            (facts, binding, observe_cpus().unwrap().allowed, node_of_new_memory())
        });
        assert_eq!(binding.cpus.as_ref(), Ok(&after));
        let node = facts.topology.node_of_cpu(facts.allowed[0]).unwrap();
        assert!(after.iter().all(|cpu| node.cpus.contains(cpu)), "{after:?}");
        if let PolicyOutcome::Denied { reason } = binding.memory {
            return not_run("a_bound_thread_runs_on_its_node_and_gets_memory_there", reason);
        }
        assert_eq!(binding.memory, PolicyOutcome::Applied);
        assert!(node.memory_kib == Some(0) || memory.unwrap() == node.id);
    }

    #[test]
    fn only_allowed_cpus_of_the_node_are_taken() {
        // two nodes that share this machine's first CPU with nobody: the rest is nowhere
        let allowed = observe_cpus().unwrap().allowed;
        let first = allowed[0];
        let mut topology = Topology::of_one_node(&[first, 1023]);
        topology.nodes.push(Node { id: 1, cpus: vec![1022], memory_kib: Some(4), distances: vec![] });
        let bound = on_a_thread(move || {
            let of_first = bind_thread_to_node(&topology, 0, &allowed).cpus;
            let of_other = bind_thread_to_node(&topology, 1, &allowed).cpus;
            let of_none = bind_thread_to_node(&topology, 2, &allowed).cpus;
            let beyond = bind_thread_to_node(&topology, 1, &[1022]).cpus;
            (of_first, of_other, of_none, beyond, observe_cpus().unwrap().allowed)
        });
        assert_eq!(bound.0, Ok(vec![first]));
        assert_eq!(bound.1, Err(BindDenial::NoAllowedCpu));
        assert_eq!(bound.2, Err(BindDenial::NoAllowedCpu));
        assert_eq!(bound.3, Err(BindDenial::Refused(libc::EINVAL)), "a CPU that is not there");
        assert_eq!(bound.4, [first], "a thread that cannot be bound runs where it did");
    }
}
