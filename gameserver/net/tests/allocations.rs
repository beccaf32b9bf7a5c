//! After it was opened, a backend of the hot path allocates for neither receiving nor sending.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::net::UdpSocket;
use std::time::Duration;

use gameserver_allocations::{Counting, count};
use gameserver_net::{Choice, Config, Outgoing, bind, open};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of_an_echo(choice: Choice) -> u64 {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
    let mut server = open(choice, socket, Config { depth: 64, ..Config::default() }).unwrap().datagrams;
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, address) = (server.local_addr(), peer.local_addr().unwrap());
    let before = count();
    for _ in 0..100 {
        for _ in 0..10 {
            peer.send_to(&[1; 64], to).unwrap();
        }
        let mut arrived = 0;
        while arrived < 10 {
            arrived += server.receive(Duration::from_secs(5), &mut |_, bytes| bytes.fill(2)).unwrap();
        }
        server
            .transmit(&mut |_| {
                arrived = arrived.checked_sub(1)?;
                Some(Outgoing { to: address, len: 300 })
            })
            .unwrap();
        server.counters();
    }
    count() - before
}

#[test]
fn uring_does_not_allocate() {
    assert_eq!(allocations_of_an_echo(Choice::Uring), 0);
}

#[test]
fn mmsg_does_not_allocate() {
    assert_eq!(allocations_of_an_echo(Choice::Mmsg), 0);
}

/// The control: the count is real.
#[test]
fn tokio_uring_does_allocate() {
    assert!(allocations_of_an_echo(Choice::TokioUring) > 0);
}
