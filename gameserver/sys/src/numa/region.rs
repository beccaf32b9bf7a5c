//! Memory whose pages come from where a policy says.

use std::io;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::policy::{Scope, apply, node_of_page};
use super::{MemoryPolicy, PolicyOutcome, Topology};

/// Anonymous private pages, zeroed, unmapped when dropped. Nobody else's memory is in them, so that a policy covers
/// these and no others.
#[derive(Debug)]
pub struct NumaRegion {
    start: NonNull<u8>,
    len: usize,
}

#[expect(unsafe_code, reason = "a policy covers whole pages, and the allocator gives no such")]
impl NumaRegion {
    /// Maps `len` bytes (at least 1) under a policy. No page comes from anywhere before it is written to.
    ///
    /// # Errors
    /// When there is no room. A policy that is denied is an outcome: the memory is used all the same.
    pub fn allocate(
        len: usize,
        policy: MemoryPolicy,
        topology: &Topology,
    ) -> io::Result<(Self, PolicyOutcome)> {
        let region = Self::map(len)?;
        let outcome = apply(Scope::Mapping(region.start, region.len), policy, topology);
        Ok((region, outcome))
    }

    /// Maps memory under the policy of whichever thread writes to it.
    fn map(len: usize) -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no existing memory.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), len, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or_else(|| io::Error::other("mmap returned null"))?;
        Ok(Self { start, len })
    }

    /// Writes to each page, so that all of them come from where the policy says, for the calling thread, now. What is in
    /// them stays.
    pub fn touch(&mut self) {
        let step = page_bytes();
        for byte in self.iter_mut().step_by(step) {
            let before = *byte;
            // SAFETY: `byte` is a reference; the write is volatile because what is written is what is there.
            unsafe { std::ptr::write_volatile(byte, before) };
        }
    }

    /// The node that the page of byte `offset` came from. Only what was written to came from anywhere.
    ///
    /// # Errors
    /// When the kernel does not tell.
    ///
    /// # Panics
    /// Beyond the end.
    pub fn node_of(&self, offset: usize) -> io::Result<usize> {
        node_of_page(NonNull::from(&self[offset]))
    }
}

// SAFETY: the mapping belongs to this value alone, and memory is the same from every thread.
#[expect(unsafe_code, reason = "owns plain memory through a pointer")]
unsafe impl Send for NumaRegion {}

// SAFETY: a shared reference only reads.
#[expect(unsafe_code, reason = "owns plain memory through a pointer")]
unsafe impl Sync for NumaRegion {}

#[expect(unsafe_code, reason = "memory outside of the allocator")]
impl Deref for NumaRegion {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` and `len` are the mapping that `map` made and `self` alone owns; it is zeroed or written through
        // `deref_mut`, and borrowed as `self` is.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[expect(unsafe_code, reason = "memory outside of the allocator")]
impl DerefMut for NumaRegion {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and nobody else has a reference while `self` is borrowed for this one.
        unsafe { std::slice::from_raw_parts_mut(self.start.as_ptr(), self.len) }
    }
}

#[expect(unsafe_code, reason = "the counterpart of mmap")]
impl Drop for NumaRegion {
    fn drop(&mut self) {
        // SAFETY: `start` and `len` are the mapping that `map` made; no reference outlives `self`.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.len) };
    }
}

/// The node from which the calling thread gets memory now: a page is taken, written to, asked about and given back.
///
/// # Errors
/// When there is no page, or the kernel does not tell.
pub fn node_of_new_memory() -> io::Result<usize> {
    let mut page = NumaRegion::map(1)?;
    page.touch();
    page.node_of(0)
}

#[expect(unsafe_code, reason = "std does not tell how long a page is")]
fn page_bytes() -> usize {
    // SAFETY: the call takes a number and only returns one.
    usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::numa::fixture::not_run;
    use crate::numa::observe_numa;

    #[test]
    fn each_policy_is_in_force_and_says_where_pages_came_from() {
        let topology = observe_numa().unwrap().topology;
        let node = topology.with_memory().next().unwrap();
        for policy in [MemoryPolicy::Local, MemoryPolicy::OnNode(node), MemoryPolicy::Interleaved] {
            let (mut region, outcome) =
                NumaRegion::allocate(8 * page_bytes() + 1, policy, &topology).unwrap();
            if let PolicyOutcome::Denied { reason } = outcome {
                return not_run("each_policy_is_in_force_and_says_where_pages_came_from", reason);
            }
            assert_eq!(outcome, PolicyOutcome::Applied, "{policy:?}");
            region.touch();
            for page in 0..9 {
                let found = region.node_of(page * page_bytes()).unwrap();
                assert!(topology.node(found).is_some(), "{policy:?}: node {found}");
                assert!(policy != MemoryPolicy::OnNode(node) || found == node, "{policy:?}: node {found}");
            }
        }
    }

    #[test]
    fn a_policy_covers_its_region_and_nothing_else_of_the_thread() {
        use crate::numa::policy::get_mempolicy;
        let topology = observe_numa().unwrap().topology;
        let allocate = |policy| NumaRegion::allocate(page_bytes(), policy, &topology).unwrap();
        let (interleaved, outcome) = allocate(MemoryPolicy::Interleaved);
        if let PolicyOutcome::Denied { reason } = outcome {
            return not_run("a_policy_covers_its_region_and_nothing_else_of_the_thread", reason);
        }
        let (local, _outcome) = allocate(MemoryPolicy::Local);
        let mode = |at: Option<&NumaRegion>| get_mempolicy(at.map(|region| region.start)).unwrap().0;
        assert_eq!(mode(Some(&interleaved)), libc::MPOL_INTERLEAVE);
        assert_eq!(mode(Some(&local)), libc::MPOL_LOCAL);
        assert_eq!(mode(None), libc::MPOL_DEFAULT);
    }

    #[test]
    fn a_region_is_zeroed_aligned_and_its_own_and_touching_changes_nothing() {
        let topology = Topology::of_one_node(&[0]);
        let len = 3 * page_bytes() - 1;
        let (mut region, _outcome) = NumaRegion::allocate(len, MemoryPolicy::Local, &topology).unwrap();
        assert_eq!(region.len(), len);
        assert_eq!(region.as_ptr().addr() % page_bytes(), 0);
        assert!(region.iter().all(|&byte| byte == 0));
        region.fill(7);
        region.touch();
        assert!(region.iter().all(|&byte| byte == 7));
        let moved = std::thread::spawn(move || region[len - 1]);
        assert_eq!(moved.join().unwrap(), 7);
    }

    #[test]
    fn no_room_is_an_error_and_a_node_that_is_not_there_is_none() {
        let topology = Topology::of_one_node(&[0]);
        for len in [0, usize::MAX / 2] {
            assert!(NumaRegion::allocate(len, MemoryPolicy::Local, &topology).is_err(), "{len} bytes");
        }
        let (mut region, outcome) = NumaRegion::allocate(1, MemoryPolicy::OnNode(1000), &topology).unwrap();
        assert!(matches!(outcome, PolicyOutcome::Denied { .. }), "{outcome:?}");
        region[0] = 1;
        assert_eq!(region[0], 1);
    }
}
