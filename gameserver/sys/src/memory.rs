//! How much memory is in use, and of how much.

use std::{fs, io};

/// Whose memory figures are about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryOf {
    /// The control group of this process: what ends it when it is used up.
    ControlGroup,
    /// The host, where the group has no limit.
    Host,
}

impl MemoryOf {
    /// Name in labels and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ControlGroup => "cgroup",
            Self::Host => "host",
        }
    }
}

/// Memory in use, and of how much.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryFacts {
    /// Bytes in use, without what the kernel takes back by itself when memory is short.
    pub used_bytes: u64,
    /// Bytes that there are.
    pub limit_bytes: u64,
    /// Whose.
    pub of: MemoryOf,
}

/// Reads the memory of this process's control group (version 2, as seen from inside a container), or of the host where that has no
/// limit below the host's.
///
/// # Errors
/// When the kernel tells neither.
pub fn observe_memory() -> io::Result<MemoryFacts> {
    let group = |name| fs::read_to_string(format!("/sys/fs/cgroup/memory.{name}")).unwrap_or_default();
    let host = of_host(&fs::read_to_string("/proc/meminfo")?);
    let most = host.map_or(u64::MAX, |host| host.limit_bytes);
    of_group(&group("max"), &group("current"), &group("stat"), most)
        .or(host)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo is not understood"))
}

/// Bytes of this process that are in RAM.
///
/// # Errors
/// When the kernel does not tell.
pub fn observe_resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    kib(&status, "VmRSS:")
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/self/status is not understood"))
}

/// What a control group says; `None` where it has no limit below `most`. As the kubelet counts, file pages that were not used for a
/// while are free.
fn of_group(max: &str, current: &str, stat: &str, most: u64) -> Option<MemoryFacts> {
    let limit_bytes = max.trim().parse().ok().filter(|&limit| limit > 0 && limit < most)?;
    let current: u64 = current.trim().parse().ok()?;
    let idle = stat.lines().find_map(|line| line.strip_prefix("inactive_file ")?.trim().parse().ok());
    let used_bytes = current.saturating_sub(idle.unwrap_or(0));
    Some(MemoryFacts { used_bytes, limit_bytes, of: MemoryOf::ControlGroup })
}

fn of_host(meminfo: &str) -> Option<MemoryFacts> {
    let (all, free) = (kib(meminfo, "MemTotal:")?, kib(meminfo, "MemAvailable:")?);
    (all > 0).then(|| MemoryFacts {
        used_bytes: all.saturating_sub(free),
        limit_bytes: all,
        of: MemoryOf::Host,
    })
}

/// Bytes of a line such as `VmRSS:  1234 kB`.
fn kib(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: &str = "MemTotal:       4000 kB\nMemFree:   10 kB\nMemAvailable:   1000 kB\n";

    #[test]
    fn a_group_counts_where_it_has_a_limit_below_the_hosts_and_the_host_else() {
        let group = |used_bytes, limit_bytes| {
            Some(MemoryFacts { used_bytes, limit_bytes, of: MemoryOf::ControlGroup })
        };
        let most = 4_096_000;
        for (name, max, current, stat, expected) in [
            (
                "idle file pages are free",
                "1000\n",
                "900\n",
                "anon 5\ninactive_file 300\nfile 1\n",
                group(600, 1000),
            ),
            ("without statistics all counts", "1000\n", "900\n", "", group(900, 1000)),
            ("figures of two moments", "1000", "100", "inactive_file 300", group(0, 1000)),
            ("no limit", "max\n", "900\n", "", None),
            ("no group", "", "", "", None),
            ("a limit above the host", "5000000\n", "900\n", "", None),
            ("a limit of nothing", "0\n", "0\n", "", None),
            ("nonsense", "1000", "much", "", None),
        ] {
            assert_eq!(of_group(max, current, stat, most), expected, "{name}");
        }
        let host = MemoryFacts { used_bytes: 3_072_000, limit_bytes: most, of: MemoryOf::Host };
        assert_eq!(of_host(MEMINFO), Some(host));
        for wrong in [
            "",
            "MemTotal: 4000 kB",
            "MemTotal: 0 kB\nMemAvailable: 0 kB",
            "MemTotal: 1 MB\nMemAvailable: 1 kB",
        ] {
            assert_eq!(of_host(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn this_machine_tells_how_much_there_is_and_how_much_of_it_is_ours() {
        let facts = observe_memory().unwrap();
        assert!(facts.used_bytes > 0 && facts.used_bytes <= facts.limit_bytes, "{facts:?}");
        assert!((1..facts.limit_bytes).contains(&observe_resident().unwrap()));
    }
}
