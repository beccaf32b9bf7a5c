//! What the machine and the control group say about CPUs.

use std::fs;
use std::io;

use crate::list::parse_list;
use crate::{CPUS_MAX, CpuFacts};

/// Reads what the machine and this process's control group (version 2, as seen from inside a container) say.
///
/// # Errors
/// When the kernel does not tell which CPUs are allowed.
pub fn observe_cpus() -> io::Result<CpuFacts> {
    let read = |path| fs::read_to_string(path).ok();
    let allowed = allowed_cpus()?;
    let online = read("/sys/devices/system/cpu/online").and_then(|text| parse_list(&text, CPUS_MAX).ok());
    Ok(CpuFacts {
        online: online.filter(|cpus| !cpus.is_empty()).map_or(allowed.len(), |cpus| cpus.len()),
        allowed,
        limit: read("/sys/fs/cgroup/cpu.max").and_then(|text| parse_cpu_max(&text)),
        weight: read("/sys/fs/cgroup/cpu.weight").and_then(|text| text.trim().parse().ok()),
    })
}

#[expect(unsafe_code, reason = "std tells how many CPUs are allowed, not which")]
pub(crate) fn allowed_cpus() -> io::Result<Vec<usize>> {
    // SAFETY: cpu_set_t is a plain array of bits, for which all zeroes (no CPU) is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` outlives the call, which writes at most `size_of_val(&set)` bytes; 0 is the calling thread.
    let outcome = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    if outcome < 0 {
        return Err(io::Error::last_os_error());
    }
    let allows = |&cpu: &usize| {
        // SAFETY: `cpu` is below CPU_SETSIZE, so the bit lies within `set`.
        unsafe { libc::CPU_ISSET(cpu, &set) }
    };
    Ok((0..CPUS_MAX).filter(allows).collect())
}

/// `150000 100000` is a limit of 1.5 CPUs; `max 100000` is none.
fn parse_cpu_max(text: &str) -> Option<f64> {
    let (quota, period) = text.trim().split_once(' ')?;
    Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_tells_where_we_may_run() {
        let facts = observe_cpus().unwrap();
        assert!(!facts.allowed.is_empty() && facts.allowed.len() <= facts.online, "{facts:?}");
    }

    #[test]
    fn a_limit_of_max_is_no_limit() {
        assert_eq!(parse_cpu_max("150000 100000\n"), Some(1.5));
        assert_eq!(parse_cpu_max("max 100000\n"), None);
        assert_eq!(parse_cpu_max("nonsense"), None);
    }
}
