//! Where memory comes from: policies, and what the kernel made of them.

use std::ffi::{c_int, c_ulong};
use std::ptr::NonNull;
use std::{fmt, io};

use super::Topology;

/// Where pages come from when they are first written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryPolicy {
    /// From the node on which the writing thread is, or the nearest with room.
    Local,
    /// From this node, or the nearest with room: a full node makes memory slow and never ends the process.
    OnNode(usize),
    /// From all nodes with memory in turn.
    Interleaved,
}

/// What came of a policy. The memory can be used whatever this says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum PolicyOutcome {
    /// In force: the kernel was asked and says so.
    Applied,
    /// Accepted, but the kernel does not tell whether it is in force.
    Unconfirmed {
        /// Why it does not tell.
        reason: PolicyDenial,
    },
    /// Not in force: pages come as the kernel gives them by default.
    Denied {
        /// Why.
        reason: PolicyDenial,
    },
}

/// Why a policy is not in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyDenial {
    /// The container forbids it, as the default profiles of runtimes do.
    Forbidden,
    /// The kernel was built without NUMA, or the container says so.
    Unsupported,
    /// The node is not there, or its memory is not allowed to this process.
    NoSuchNode,
    /// The kernel accepted it and has another in force.
    Ignored,
    /// Another error, by its number.
    Other(i32),
}

impl fmt::Display for PolicyDenial {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forbidden => formatter.write_str("the container forbids memory policies"),
            Self::Unsupported => formatter.write_str("the kernel knows no memory policies"),
            Self::NoSuchNode => formatter.write_str("the node is not there or its memory is not allowed"),
            Self::Ignored => formatter.write_str("the kernel has another policy in force"),
            Self::Other(number) => write!(formatter, "{}", io::Error::from_raw_os_error(*number)),
        }
    }
}

impl From<io::Error> for PolicyDenial {
    fn from(error: io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::EPERM | libc::EACCES) => Self::Forbidden,
            Some(libc::ENOSYS) => Self::Unsupported,
            Some(libc::EINVAL) => Self::NoSuchNode,
            number => Self::Other(number.unwrap_or(0)),
        }
    }
}

/// What a policy is to cover.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    /// Everything that the calling thread is the first to write to from now on.
    Thread,
    /// A mapping of the caller's own, of whole pages.
    Mapping(NonNull<u8>, usize),
}

/// Puts a policy in force and asks the kernel for it afterwards.
pub(super) fn apply(scope: Scope, policy: MemoryPolicy, topology: &Topology) -> PolicyOutcome {
    let mode = match policy {
        MemoryPolicy::Local => libc::MPOL_LOCAL,
        MemoryPolicy::OnNode(_) => libc::MPOL_PREFERRED,
        MemoryPolicy::Interleaved => libc::MPOL_INTERLEAVE,
    };
    let mut nodes = NodeMask::default();
    let named = match policy {
        MemoryPolicy::Local => Some(()),
        MemoryPolicy::OnNode(node) => nodes.insert(node),
        MemoryPolicy::Interleaved => topology.with_memory().try_for_each(|node| nodes.insert(node)),
    };
    if named.is_none() {
        return PolicyOutcome::Denied { reason: PolicyDenial::NoSuchNode };
    }
    let (set, at) = match scope {
        Scope::Thread => (set_mempolicy(mode, &nodes), None),
        Scope::Mapping(start, len) => (mbind(start, len, mode, &nodes), Some(start)),
    };
    if let Err(error) = set {
        return PolicyOutcome::Denied { reason: error.into() };
    }
    match get_mempolicy(at) {
        Ok(found) if is_in_force(policy, &nodes, &found) => PolicyOutcome::Applied,
        Ok(_) => PolicyOutcome::Denied { reason: PolicyDenial::Ignored },
        Err(error) => PolicyOutcome::Unconfirmed { reason: error.into() },
    }
}

/// Whether what the kernel says is what was asked for; it leaves out nodes that the process may not use.
fn is_in_force(policy: MemoryPolicy, asked: &NodeMask, (mode, nodes): &(c_int, NodeMask)) -> bool {
    match policy {
        // kernels before 5.14 show it as a preference for no node
        MemoryPolicy::Local => {
            *mode == libc::MPOL_LOCAL || (*mode == libc::MPOL_PREFERRED && nodes.is_empty())
        }
        MemoryPolicy::OnNode(_) => *mode == libc::MPOL_PREFERRED && nodes == asked,
        MemoryPolicy::Interleaved => {
            *mode == libc::MPOL_INTERLEAVE && !nodes.is_empty() && nodes.is_subset_of(asked)
        }
    }
}

/// Nodes that a mask has room for: as many as any kernel is built for, since it refuses to write into less.
const MASK_NODES: usize = 1024;
const WORD_BITS: usize = c_ulong::BITS as usize;
const MASK_WORDS: usize = MASK_NODES / WORD_BITS;

/// Flags of `get_mempolicy`, as `linux/mempolicy.h` has them: the node of a page, and whatever is at an address.
const MPOL_F_NODE: c_ulong = 1;
const MPOL_F_ADDR: c_ulong = 2;

/// A set of nodes as the kernel reads and writes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct NodeMask([c_ulong; MASK_WORDS]);

impl NodeMask {
    /// The kernel reads one bit less than it is told.
    const BITS: c_ulong = MASK_NODES as c_ulong + 1;

    /// `None` for a number that no kernel has.
    fn insert(&mut self, node: usize) -> Option<()> {
        *self.0.get_mut(node / WORD_BITS)? |= 1 << (node % WORD_BITS);
        Some(())
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|&word| word == 0)
    }

    fn is_subset_of(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(&word, &of)| word & !of == 0)
    }
}

#[expect(unsafe_code, reason = "libc has no wrapper for memory policies")]
fn set_mempolicy(mode: c_int, nodes: &NodeMask) -> io::Result<()> {
    let mode = libc::c_long::from(mode);
    // SAFETY: `nodes` outlives the call, which reads `NodeMask::BITS - 1` bits of it: all that it has.
    outcome(unsafe { libc::syscall(libc::SYS_set_mempolicy, mode, nodes.0.as_ptr(), NodeMask::BITS) })
}

#[expect(unsafe_code, reason = "libc has no wrapper for memory policies")]
fn mbind(start: NonNull<u8>, len: usize, mode: c_int, nodes: &NodeMask) -> io::Result<()> {
    // as wide as a register: the kernel takes the mode as a long
    let (mode, mask, flags) = (libc::c_long::from(mode), nodes.0.as_ptr(), 0 as c_ulong);
    // SAFETY: `nodes` outlives the call, which reads all of it; of the mapping it changes no byte, only where pages come
    // from that nobody has written to yet.
    let result =
        unsafe { libc::syscall(libc::SYS_mbind, start.as_ptr(), len, mode, mask, NodeMask::BITS, flags) };
    outcome(result)
}

/// The policy of the mapping at an address, or of the calling thread.
#[expect(unsafe_code, reason = "libc has no wrapper for memory policies")]
pub(super) fn get_mempolicy(at: Option<NonNull<u8>>) -> io::Result<(c_int, NodeMask)> {
    let (mut mode, mut nodes): (c_int, NodeMask) = Default::default();
    let flags = if at.is_some() { MPOL_F_ADDR } else { 0 };
    let address = at.map_or(std::ptr::null_mut(), NonNull::as_ptr);
    let (to, mask) = (&raw mut mode, nodes.0.as_mut_ptr());
    // SAFETY: `mode` and `nodes` are this function's own and outlive the call, which writes one integer and at most
    // `NodeMask::BITS - 1` bits: all that `nodes` has. The address is looked up and not read.
    let result = unsafe { libc::syscall(libc::SYS_get_mempolicy, to, mask, NodeMask::BITS, address, flags) };
    outcome(result).map(|()| (mode, nodes))
}

/// The node that the page at an address came from, which must be mapped.
#[expect(unsafe_code, reason = "libc has no wrapper for memory policies")]
pub(super) fn node_of_page(at: NonNull<u8>) -> io::Result<usize> {
    let mut node: c_int = -1;
    let (flags, no_bits): (_, c_ulong) = (MPOL_F_NODE | MPOL_F_ADDR, 0);
    let (to, no_mask) = (&raw mut node, std::ptr::null_mut::<c_ulong>());
    // SAFETY: `node` is this function's own and outlives the call, which writes one integer; no mask is asked for, and
    // the address is looked up and not read.
    let result = unsafe { libc::syscall(libc::SYS_get_mempolicy, to, no_mask, no_bits, at.as_ptr(), flags) };
    outcome(result)?;
    usize::try_from(node).map_err(io::Error::other)
}

fn outcome(result: libc::c_long) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use MemoryPolicy::{Interleaved, Local, OnNode};

    fn mask(nodes: &[usize]) -> NodeMask {
        let mut mask = NodeMask::default();
        for &node in nodes {
            mask.insert(node).unwrap();
        }
        mask
    }

    #[test]
    fn a_policy_is_in_force_when_the_kernel_says_just_what_was_asked() {
        use libc::{MPOL_BIND, MPOL_DEFAULT, MPOL_INTERLEAVE, MPOL_LOCAL, MPOL_PREFERRED};
        let cases = [
            ("local", Local, &[][..], MPOL_LOCAL, &[][..], true),
            ("local, of an old kernel", Local, &[], MPOL_PREFERRED, &[], true),
            ("local, but a node is preferred", Local, &[], MPOL_PREFERRED, &[0], false),
            ("local, but nothing is in force", Local, &[], MPOL_DEFAULT, &[], false),
            ("on node", OnNode(3), &[3], MPOL_PREFERRED, &[3], true),
            ("on another node", OnNode(3), &[3], MPOL_PREFERRED, &[2], false),
            ("on node, but bound", OnNode(3), &[3], MPOL_BIND, &[3], false),
            ("interleaved", Interleaved, &[0, 70], MPOL_INTERLEAVE, &[0, 70], true),
            ("interleaved over those allowed", Interleaved, &[0, 1, 2], MPOL_INTERLEAVE, &[1], true),
            ("interleaved over others", Interleaved, &[0, 1], MPOL_INTERLEAVE, &[0, 2], false),
            ("interleaved over none", Interleaved, &[0, 1], MPOL_INTERLEAVE, &[], false),
        ];
        for (name, policy, asked, mode, found, expected) in cases {
            assert_eq!(is_in_force(policy, &mask(asked), &(mode, mask(found))), expected, "{name}");
        }
    }

    #[test]
    fn a_node_that_no_kernel_has_is_refused_before_the_kernel_is_asked() {
        for node in [MASK_NODES, usize::MAX] {
            let outcome = apply(Scope::Thread, OnNode(node), &Topology::of_one_node(&[0]));
            assert_eq!(outcome, PolicyOutcome::Denied { reason: PolicyDenial::NoSuchNode }, "{node}");
        }
    }
}
