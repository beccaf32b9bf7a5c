//! Where a container denies memory policies, or a CPU set, memory is used and threads run all the same, and the outcome says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

#[path = "../../net/tests/seccomp/mod.rs"]
mod seccomp;

use gameserver_sys::{
    BindDenial, MemoryPolicy, NumaFacts, NumaRegion, PolicyDenial, PolicyOutcome, bind_thread_to_node,
    node_of_new_memory, observe_cpus, observe_numa, set_thread_memory,
};

const POLICIES: [libc::c_long; 3] = [libc::SYS_mbind, libc::SYS_set_mempolicy, libc::SYS_get_mempolicy];

/// Runs `test` on a thread of its own, to which these calls are denied.
fn where_denied(calls: &'static [libc::c_long], error: i32, test: impl FnOnce(NumaFacts) + Send + 'static) {
    let denied = std::thread::spawn(move || {
        seccomp::deny_on_this_thread(calls, error);
        test(observe_numa().unwrap());
    });
    denied.join().unwrap();
}

#[test]
fn memory_is_used_where_its_policy_is_denied_and_the_outcome_says_why() {
    let cases = [
        (libc::EPERM, PolicyDenial::Forbidden),
        (libc::ENOSYS, PolicyDenial::Unsupported),
        (libc::ENOMEM, PolicyDenial::Other(libc::ENOMEM)),
    ];
    for (error, reason) in cases {
        where_denied(&POLICIES, error, move |facts| {
            for policy in [MemoryPolicy::Local, MemoryPolicy::OnNode(0), MemoryPolicy::Interleaved] {
                let (mut region, outcome) = NumaRegion::allocate(100_000, policy, &facts.topology).unwrap();
                assert_eq!(outcome, PolicyOutcome::Denied { reason }, "{policy:?}");
                region.touch();
                region.fill(3);
                assert!(region.iter().all(|&byte| byte == 3));
                assert!(region.node_of(0).is_err(), "the kernel is not asked");
                assert_eq!(
                    set_thread_memory(policy, &facts.topology),
                    PolicyOutcome::Denied { reason },
                    "{policy:?} of a thread"
                );
            }
            assert!(node_of_new_memory().is_err());
        });
    }
}

#[test]
fn a_policy_that_cannot_be_asked_for_is_unconfirmed() {
    where_denied(&[libc::SYS_get_mempolicy], libc::EPERM, |facts| {
        let unconfirmed = PolicyOutcome::Unconfirmed { reason: PolicyDenial::Forbidden };
        let (_region, of_region) =
            NumaRegion::allocate(1, MemoryPolicy::Interleaved, &facts.topology).unwrap();
        let of_thread = set_thread_memory(MemoryPolicy::Local, &facts.topology);
        assert_eq!((of_region, of_thread), (unconfirmed, unconfirmed));
    });
}

#[test]
fn a_thread_is_bound_to_its_cpus_where_only_policies_are_denied() {
    where_denied(&POLICIES, libc::EPERM, |facts| {
        let node = facts.topology.node_of_cpu(facts.allowed[0]).unwrap().id;
        let binding = bind_thread_to_node(&facts.topology, node, &facts.allowed);
        assert_eq!(binding.cpus, Ok(observe_cpus().unwrap().allowed));
        assert_eq!(binding.memory, PolicyOutcome::Denied { reason: PolicyDenial::Forbidden });
    });
}

#[test]
fn a_thread_runs_on_where_its_affinity_is_denied() {
    where_denied(&[libc::SYS_sched_setaffinity], libc::EPERM, |facts| {
        let node = facts.topology.node_of_cpu(facts.allowed[0]).unwrap().id;
        let binding = bind_thread_to_node(&facts.topology, node, &facts.allowed);
        assert_eq!(binding.cpus, Err(BindDenial::Refused(libc::EPERM)));
        assert_eq!(observe_cpus().unwrap().allowed, facts.allowed);
    });
}
