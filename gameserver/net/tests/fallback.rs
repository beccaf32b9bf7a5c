//! Where io_uring is denied, `mmsg` plays on and says why; whoever insists on io_uring is told so.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

mod seccomp;

use std::net::UdpSocket;
use std::time::Duration;

use gameserver_net::{Backend, Choice, Config, OpenError, bind, open};

fn socket() -> UdpSocket {
    bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap().0
}

/// Runs `test` on a thread of its own, to which io_uring is denied.
fn where_io_uring_is_denied(test: fn()) {
    let denied = std::thread::spawn(move || {
        seccomp::deny_io_uring_on_this_thread();
        test();
    });
    denied.join().unwrap();
}

#[test]
fn auto_takes_uring_where_it_is_allowed() {
    let opened = open(Choice::Auto, socket(), Config::default()).unwrap();
    assert_eq!(opened.datagrams.backend(), Backend::Uring);
    assert!(opened.fallback.is_none());
}

#[test]
fn auto_falls_back_to_mmsg_and_keeps_the_reason() {
    where_io_uring_is_denied(|| {
        let mut opened = open(Choice::Auto, socket(), Config::default()).unwrap();
        assert_eq!(opened.datagrams.backend(), Backend::Mmsg);
        let Some(OpenError::Uring { step, source }) = opened.fallback else {
            panic!("the reason is lost");
        };
        assert_eq!((step, source.raw_os_error()), ("set up a ring", Some(libc::EPERM)));

        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"still here", opened.datagrams.local_addr()).unwrap();
        let mut received = Vec::new();
        let patience = Duration::from_secs(5);
        opened.datagrams.receive(patience, &mut |_, payload| received.extend_from_slice(payload)).unwrap();
        assert_eq!(received, b"still here");
    });
}

#[test]
fn who_insists_on_uring_is_told_that_it_is_denied() {
    where_io_uring_is_denied(|| {
        for (choice, told) in [
            (Choice::Uring, "failed to open an io_uring: set up a ring"),
            (Choice::TokioUring, "failed to open an io_uring: start the tokio-uring runtime"),
        ] {
            let refused = open(choice, socket(), Config::default()).err().unwrap();
            assert_eq!(refused.to_string(), told);
        }
    });
}
