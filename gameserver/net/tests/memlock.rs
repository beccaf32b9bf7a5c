//! Where less memory may be locked than rings need, `mmsg` plays on and says why.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod unprivileged;

use std::net::UdpSocket;
use std::time::Duration;

use gameserver_net::{Backend, Choice, Config, OpenError, Opened, bind, open};
use unprivileged::{
    DEFAULT_LIMIT_BYTES, not_run, rings_are_charged, rings_that_fit, where_so_much_is_locked_at_most,
};

const NOT_CHARGED: &str = "this kernel charges no locked memory for rings (Linux 6.14 and later do)";

fn socket() -> UdpSocket {
    bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap().0
}

/// It is `mmsg`, says that too little memory may be locked, and receives.
fn plays_on_by_mmsg(opened: &mut Opened) {
    assert_eq!(opened.datagrams.backend(), Backend::Mmsg);
    let refused = opened.fallback.as_ref().unwrap();
    let OpenError::Uring { source, .. } = &refused else { panic!("{refused:?}") };
    assert_eq!(source.raw_os_error(), Some(libc::ENOMEM), "{refused:?}");
    assert!(refused.remedy().unwrap().contains("memlock"));
    receives(opened);
}

fn receives(opened: &mut Opened) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.send_to(b"still here", opened.datagrams.local_addr()).unwrap();
    let mut received = Vec::new();
    let patience = Duration::from_secs(5);
    opened.datagrams.receive(patience, &mut |_, payload| received.extend_from_slice(payload)).unwrap();
    assert_eq!(received, b"still here");
}

#[test]
fn a_ring_for_which_too_little_memory_may_be_locked_is_replaced_by_mmsg_and_the_reason_is_named() {
    where_so_much_is_locked_at_most(0, |_| {
        let mut opened = open(Choice::Auto, socket(), Config::default()).unwrap();
        if !rings_are_charged() {
            assert_eq!(opened.datagrams.backend(), Backend::Uring);
            return not_run("a_ring_for_which_too_little_memory_may_be_locked", NOT_CHARGED);
        }
        plays_on_by_mmsg(&mut opened);
        for choice in [Choice::Uring, Choice::TokioUring] {
            let refused = open(choice, socket(), Config::default()).err().unwrap();
            assert!(refused.remedy().unwrap().contains("memlock"), "{choice:?}: {refused:?}");
        }
    });
}

/// Opens so many rings that one more is refused.
fn rings_fit_until_one_plays_on_by_mmsg(config: Config) {
    let fit = rings_that_fit(DEFAULT_LIMIT_BYTES, config.depth.into());
    let open = || open(Choice::Auto, socket(), config).unwrap();
    let mut rings: Vec<_> = (0..fit).map(|_| open()).collect();
    for (number, ring) in rings.iter_mut().enumerate() {
        assert_eq!(ring.datagrams.backend(), Backend::Uring, "{number}: {:?}", ring.fallback);
        receives(ring);
    }
    let mut later = open();
    // where a kernel charges a page less than was computed: of the smallest ring, which has 27, that is one ring in 26
    while later.fallback.is_none() && rings.len() < fit + fit.div_ceil(20) {
        rings.push(std::mem::replace(&mut later, open()));
    }
    plays_on_by_mmsg(&mut later);
    receives(&mut rings[0]);
}

#[test]
fn as_many_rings_of_one_user_fit_as_may_be_locked_and_whoever_comes_after_them_plays_on_by_mmsg() {
    // as docs/zones.md says
    for (depth, fit) in [(2048, 75), (4096, 40), (32_768, 12)] {
        assert_eq!(rings_that_fit(DEFAULT_LIMIT_BYTES, depth.into()), fit);
        where_so_much_is_locked_at_most(DEFAULT_LIMIT_BYTES, move |is_nobody_else| {
            let not_run = |reason| not_run("as_many_rings_of_one_user_fit_as_may_be_locked", reason);
            if !is_nobody_else {
                return not_run("only root may be a user to whom nothing else is charged");
            }
            if !rings_are_charged() {
                return not_run(NOT_CHARGED);
            }
            rings_fit_until_one_plays_on_by_mmsg(Config { depth, ..Config::default() });
        });
    }
}
