//! Nodes of memory and CPUs: which there are, where a thread's memory comes from, and which node a player belongs to.
//!
//! What the machine says is read once ([`observe_numa`]), what follows is decided from that alone ([`decide_numa`]),
//! and what the kernel made of it is an outcome and no error: containers deny memory policies as a rule, and memory
//! is as good there, only not always near. A page comes from a node when it is first written to and stays there, so a
//! thread is put in its place before it builds anything.

mod bind;
mod decide;
#[cfg(test)]
mod fixture;
mod players;
mod policy;
mod region;
mod topology;

use std::io;
use std::path::Path;

pub use bind::{BindDenial, NodeBinding, bind_thread_to_node, set_thread_memory};
pub use decide::{NumaFacts, NumaPlacement, NumaReason, NumaRequest, cpus_of, decide_numa};
pub use players::node_of_player;
pub use policy::{MemoryPolicy, PolicyDenial, PolicyOutcome};
pub use region::{NumaRegion, node_of_new_memory};
pub use topology::{NODES_MAX, Node, Topology, TopologyError, read_topology};

use crate::cpus::allowed_cpus;

/// Where Linux shows its nodes.
const SYSFS: &str = "/sys/devices/system/node";

/// Why nothing is known about nodes.
#[derive(Debug, thiserror::Error)]
pub enum NumaError {
    /// The kernel does not tell on which CPUs this thread may run.
    #[error("failed to learn which CPUs are allowed")]
    Cpus(#[source] io::Error),
    /// What the kernel shows of its nodes is not understood.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Reads what the machine says of its nodes, and on which CPU the calling thread is.
///
/// # Errors
/// When the kernel does not tell which CPUs are allowed, or what it shows of its nodes is not understood.
pub fn observe_numa() -> Result<NumaFacts, NumaError> {
    let allowed = allowed_cpus().map_err(NumaError::Cpus)?;
    let topology = read_topology(Path::new(SYSFS), &allowed)?;
    Ok(NumaFacts { topology, allowed, current_cpu: current_cpu() })
}

#[expect(unsafe_code, reason = "std does not tell which CPU a thread is on")]
fn current_cpu() -> Option<usize> {
    // SAFETY: the call takes nothing and only returns a number.
    usize::try_from(unsafe { libc::sched_getcpu() }).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_its_nodes_and_where_we_are() {
        let facts = observe_numa().unwrap();
        let cpu = facts.current_cpu.unwrap();
        assert!(facts.allowed.contains(&cpu) && facts.topology.node_of_cpu(cpu).is_some(), "{facts:?}");
    }
}
