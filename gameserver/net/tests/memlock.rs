//! Where less memory may be locked than a ring needs, `mmsg` plays on and says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use gameserver_net::{Backend, Choice, Config, OpenError, bind, open};

const NOBODY: libc::uid_t = 65_534;

/// The whole process may lock no memory, and the calling thread alone is nobody, whom that binds: root may lock what it likes.
#[expect(unsafe_code, reason = "limits and ids of a thread have no safe wrapper")]
fn lock_nothing_on_this_thread() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `none` is this function's own and the kernel reads it in the call.
    let limited = unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const none) };
    assert_eq!(limited, 0, "{}", io::Error::last_os_error());
    // SAFETY: the call itself, which unlike the C library's function changes this thread only, takes integers.
    unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
}

fn socket() -> UdpSocket {
    bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap().0
}

/// Kernels charge rings to the memory that a user may lock since Linux 6.14; older ones open them all the same.
fn rings_are_charged() -> bool {
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = version.split(['.', '-']).map_while(|number| number.parse::<u32>().ok());
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}

#[test]
fn a_ring_for_which_too_little_memory_may_be_locked_is_replaced_by_mmsg_and_the_reason_is_named() {
    lock_nothing_on_this_thread();
    let mut opened = open(Choice::Auto, socket(), Config::default()).unwrap();
    if !rings_are_charged() {
        assert_eq!(opened.datagrams.backend(), Backend::Uring);
        return;
    }
    assert_eq!(opened.datagrams.backend(), Backend::Mmsg);
    let refused = opened.fallback.unwrap();
    let OpenError::Uring { source, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(source.raw_os_error(), Some(libc::ENOMEM), "{refused:?}");
    assert!(refused.remedy().unwrap().contains("memlock"));

    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(b"still here", opened.datagrams.local_addr()).unwrap();
    let mut received = Vec::new();
    opened
        .datagrams
        .receive(Duration::from_secs(5), &mut |_, payload| received.extend_from_slice(payload))
        .unwrap();
    assert_eq!(received, b"still here");

    for choice in [Choice::Uring, Choice::TokioUring] {
        let refused = open(choice, socket(), Config::default()).err().unwrap();
        assert!(refused.remedy().unwrap().contains("memlock"), "{choice:?}: {refused:?}");
    }
}
