//! What the game server and its bots ask of the machine: the time, where threads and their memory are, how much CPU they used.
//!
//! Deciding is pure ([`decide_placement`], [`decide_numa`]); reading, pinning and binding are at the edge. A thread pins only when the pod
//! owns its CPUs, or on request: pinned to a CPU that others share, a zone would wait for them with nowhere else
//! to go.

mod clock;
mod cpus;
mod list;
mod memory;
mod numa;
mod placement;

use std::io;
use std::time::Duration;

pub use clock::Clock;
pub use cpus::observe_cpus;
pub use memory::{MemoryFacts, MemoryOf, observe_memory, observe_resident};
pub use numa::{
    BindDenial, MemoryPolicy, NODES_MAX, Node, NodeBinding, NumaError, NumaFacts, NumaPlacement, NumaReason,
    NumaRegion, NumaRequest, PolicyDenial, PolicyOutcome, Topology, TopologyError, bind_thread_to_node,
    cpus_of, decide_numa, node_of_new_memory, node_of_player, observe_numa, read_topology, set_thread_memory,
};
pub use placement::{CpuFacts, PinRequest, Placement, PlacementReason, decide_placement};

/// CPUs that a machine may have: numbers of CPUs are below this.
pub const CPUS_MAX: usize = libc::CPU_SETSIZE as usize;

/// Pins the calling thread to one CPU.
///
/// # Errors
/// When the CPU is not there or not allowed.
pub fn pin_current_thread(cpu: usize) -> io::Result<()> {
    set_affinity(&[cpu])
}

/// Has the calling thread run on these CPUs alone.
#[expect(unsafe_code, reason = "std has no CPU affinity")]
fn set_affinity(cpus: &[usize]) -> io::Result<()> {
    // SAFETY: cpu_set_t is a plain array of bits, for which all zeroes (no CPU) is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu >= CPUS_MAX {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: `set` is this function's own and `cpu` is below CPU_SETSIZE, so the bit lies within it.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: `set` outlives the call, which reads `size_of_val(&set)` bytes of it; 0 is the calling thread.
    let outcome = unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Has the calling thread run before every ordinary thread of its CPU (SCHED_FIFO, the lowest real-time priority).
///
/// Only for a measuring thread that pauses by itself: one that never does keeps its CPU from everybody else, but for the
/// share that the kernel withholds from real-time threads (5 %).
///
/// # Errors
/// When the process may not (CAP_SYS_NICE).
#[expect(unsafe_code, reason = "std has no scheduling policies")]
pub fn run_current_thread_first() -> io::Result<()> {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: `priority` outlives the call, which only reads it; 0 is the calling thread.
    let outcome = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    if outcome < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// CPU time that this process has used since it started, all threads together.
pub fn process_cpu_time() -> Duration {
    cpu_time(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// CPU time that the calling thread has used since it started.
pub fn thread_cpu_time() -> Duration {
    cpu_time(libc::CLOCK_THREAD_CPUTIME_ID)
}

#[expect(unsafe_code, reason = "std has no CPU clocks")]
fn cpu_time(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is this function's own and outlives the call that writes it.
    let outcome = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(outcome, 0, "the CPU clocks exist on every Linux");
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Raises the number of files that this process may have open to `wanted`, or to as many as it may; returns that.
///
/// # Errors
/// When the limit cannot be read or set.
#[expect(unsafe_code, reason = "std has no resource limits")]
pub fn raise_file_limit(wanted: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is this function's own and outlives the call that writes it.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    limit.rlim_cur = limit.rlim_cur.max(wanted.min(limit.rlim_max));
    // SAFETY: `limit` is this function's own and outlives the call, which only reads it.
    if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(limit.rlim_cur)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_pins_to_an_allowed_cpu_and_to_no_other() {
        let cpu = observe_cpus().unwrap().allowed[0];
        let pinned = std::thread::spawn(move || {
            pin_current_thread(cpu).unwrap();
            observe_cpus().unwrap().allowed
        });
        assert_eq!(pinned.join().unwrap(), [cpu]);
    }

    #[test]
    fn a_cpu_that_is_not_there_is_an_error() {
        assert!(pin_current_thread(1023).is_err());
        assert!(pin_current_thread(usize::MAX).is_err());
    }

    #[test]
    fn the_file_limit_is_never_lowered() {
        let before = raise_file_limit(0).unwrap();
        assert!(raise_file_limit(before).unwrap() >= before);
    }

    #[test]
    fn a_threads_cpu_time_is_its_own() {
        let spun = std::thread::spawn(|| {
            let mut sum = 0_u64;
            while thread_cpu_time() < Duration::from_millis(20) {
                sum = std::hint::black_box(sum + 1);
            }
            thread_cpu_time()
        });
        let spun = spun.join().unwrap();
        assert!(spun >= Duration::from_millis(20) && process_cpu_time() >= spun);
        let fresh = std::thread::spawn(thread_cpu_time).join().unwrap();
        assert!(fresh < Duration::from_millis(20), "{fresh:?}");
    }

    #[test]
    fn cpu_time_grows_with_work() {
        let before = process_cpu_time();
        let mut sum = 0_u64;
        while process_cpu_time() == before {
            sum = std::hint::black_box(sum + 1);
        }
        assert!(process_cpu_time() > before);
    }
}
