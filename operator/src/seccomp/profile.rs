//! The seccomp profile of game servers: what container runtimes allow a container without capabilities, and io_uring.
//!
//! The list of calls is that of containerd's default profile (`contrib/seccomp`, v2.3), which other runtimes follow.
//! Names that a node's libseccomp does not know are left out by the runtime. What io_uring then does inside the
//! kernel is not filtered: `docs/threat-model.md` says what that opens.

use serde::Serialize;

/// Calls allowed with any arguments, one a line.
const ALLOWED: &str = include_str!("allowed.txt");
/// What the default profile lacks.
const IO_URING: [&str; 3] = ["io_uring_enter", "io_uring_register", "io_uring_setup"];

const ALLOW: &str = "SCMP_ACT_ALLOW";
const REFUSE: &str = "SCMP_ACT_ERRNO";

/// Socket families below this one are allowed: it is `AF_ALG`, the kernel's cryptography.
const FIRST_SOCKET_FAMILY_REFUSED: u64 = 38;
/// Families above it that are allowed: all but `AF_VSOCK` (40), which reaches virtual machines past every namespace.
const MORE_SOCKET_FAMILIES: [u64; 6] = [39, 41, 42, 43, 44, 45];
/// Execution domains: Linux, with 16-bit user ids, with the name of an old kernel, both; and the question which.
const PERSONALITIES: [u64; 5] = [0, 0x8, 0x2_0000, 0x2_0008, 0xffff_ffff];
/// `CLONE_NEW*`: no namespace may be made. One flag each for mount, cgroup, UTS, IPC, user, PID and network.
const NAMESPACE_FLAGS: u64 = 0x7e02_0000;
/// `ENOSYS`: makes libraries try `clone`, whose flags can be seen.
const NO_SUCH_CALL: u32 = 38;

/// What differs by processor. The installer runs on the node that the profile is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Processor {
    X86_64,
    Aarch64,
}

impl Processor {
    /// The one that this program was built for.
    pub(crate) const OURS: Self = if cfg!(target_arch = "aarch64") { Self::Aarch64 } else { Self::X86_64 };

    const fn architectures(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
            Self::Aarch64 => &["SCMP_ARCH_ARM", "SCMP_ARCH_AARCH64"],
        }
    }

    const fn more(self) -> &'static [&'static str] {
        match self {
            Self::X86_64 => &["arch_prctl", "modify_ldt"],
            Self::Aarch64 => &[
                "arm_fadvise64_64",
                "arm_sync_file_range",
                "breakpoint",
                "cacheflush",
                "set_tls",
                "sync_file_range2",
            ],
        }
    }
}

/// A profile as the runtime specification spells it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Profile {
    default_action: &'static str,
    architectures: &'static [&'static str],
    syscalls: Vec<Rule>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Rule {
    names: Vec<&'static str>,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    args: Vec<Argument>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Argument {
    index: u32,
    value: u64,
    value_two: u64,
    op: &'static str,
}

impl Rule {
    fn allow(names: Vec<&'static str>) -> Self {
        Self { names, action: ALLOW, errno_ret: None, args: Vec::new() }
    }

    fn allow_if(name: &'static str, op: &'static str, value: u64) -> Self {
        let argument = Argument { index: 0, value, value_two: 0, op };
        Self { args: vec![argument], ..Self::allow(vec![name]) }
    }
}

/// The profile for nodes of this kind.
pub(crate) fn build_profile(processor: Processor) -> Profile {
    let mut names: Vec<&str> =
        ALLOWED.lines().chain(IO_URING).chain(processor.more().iter().copied()).collect();
    names.sort_unstable();
    let mut syscalls = vec![Rule::allow(names)];
    // A runtime takes several conditions on one argument as alternatives, so a range has one end only.
    syscalls.push(Rule::allow_if("socket", "SCMP_CMP_LT", FIRST_SOCKET_FAMILY_REFUSED));
    let equal = |name| move |value| Rule::allow_if(name, "SCMP_CMP_EQ", value);
    syscalls.extend(MORE_SOCKET_FAMILIES.map(equal("socket")));
    syscalls.extend(PERSONALITIES.map(equal("personality")));
    syscalls.push(Rule::allow_if("clone", "SCMP_CMP_MASKED_EQ", NAMESPACE_FLAGS));
    syscalls.push(Rule {
        names: vec!["clone3"],
        action: REFUSE,
        errno_ret: Some(NO_SUCH_CALL),
        args: Vec::new(),
    });
    Profile { default_action: REFUSE, architectures: processor.architectures(), syscalls }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn allowed(processor: Processor) -> BTreeSet<&'static str> {
        let rules = build_profile(processor).syscalls.into_iter();
        rules
            .filter(|rule| rule.args.is_empty() && rule.action == ALLOW)
            .flat_map(|rule| rule.names)
            .collect()
    }

    #[test]
    fn io_uring_is_allowed_and_what_the_default_denies_stays_denied() {
        for processor in [Processor::X86_64, Processor::Aarch64] {
            let allowed = allowed(processor);
            for name in
                ["io_uring_setup", "io_uring_enter", "io_uring_register", "recvmmsg", "sendmmsg", "futex"]
            {
                assert!(allowed.contains(name), "{name}");
            }
            for name in [
                "acct",
                "add_key",
                "bpf",
                "chroot",
                "clock_settime",
                "clone",
                "clone3",
                "delete_module",
                "finit_module",
                "fsopen",
                "init_module",
                "iopl",
                "kcmp",
                "kexec_load",
                "keyctl",
                "mbind",
                "mount",
                "move_mount",
                "open_by_handle_at",
                "perf_event_open",
                "personality",
                "pivot_root",
                "quotactl",
                "reboot",
                "set_mempolicy",
                "setdomainname",
                "sethostname",
                "setns",
                "settimeofday",
                "socket",
                "swapon",
                "syslog",
                "umount2",
                "unshare",
                "userfaultfd",
                "vhangup",
            ] {
                assert!(!allowed.contains(name), "{name} must not be allowed with any arguments");
            }
        }
    }

    #[test]
    fn every_call_is_named_once_and_every_line_is_a_call() {
        let lines: Vec<&str> = ALLOWED.lines().collect();
        assert!(lines.is_sorted_by(|one, next| one < next), "sorted, so that a difference is easy to see");
        let is_call = |line: &&str| {
            line.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        assert!(lines.iter().all(is_call) && lines.len() > 300);
    }

    #[test]
    fn no_namespace_is_made_and_no_socket_leaves_the_container() {
        let rules = build_profile(Processor::X86_64).syscalls;
        let conditions = |name: &str| {
            let of = rules.iter().filter(|rule| rule.names == [name]).flat_map(|rule| &rule.args);
            of.map(|argument| (argument.op, argument.value)).collect::<Vec<_>>()
        };
        assert_eq!(conditions("clone"), [("SCMP_CMP_MASKED_EQ", 0x7e02_0000)]);
        let families = conditions("socket");
        assert!(families.contains(&("SCMP_CMP_LT", 38)), "AF_ALG and above only one by one");
        assert!(!families.iter().any(|(op, family)| *op == "SCMP_CMP_EQ" && [38, 40].contains(family)));
    }

    #[test]
    fn it_is_spelt_as_the_runtime_reads_it() {
        let json = serde_json::to_value(build_profile(Processor::X86_64)).unwrap();
        assert_eq!(json["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(json["architectures"][0], "SCMP_ARCH_X86_64");
        let rules = json["syscalls"].as_array().unwrap();
        let clone3 = rules.iter().find(|rule| rule["names"][0] == "clone3").unwrap();
        assert_eq!(
            (clone3["action"].as_str(), clone3["errnoRet"].as_u64()),
            (Some("SCMP_ACT_ERRNO"), Some(38))
        );
        let clone = rules.iter().find(|rule| rule["names"][0] == "clone").unwrap();
        assert_eq!(
            clone["args"][0],
            serde_json::json!({ "index": 0, "value": 0x7e02_0000_u64, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" })
        );
    }
}
