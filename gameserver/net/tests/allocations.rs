//! After it was opened, a backend of the hot path allocates for neither receiving nor sending.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::UdpSocket;
use std::time::Duration;

use gameserver_net::{Choice, Config, Outgoing, bind, open};

/// The system's allocator, which counts what the calling thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory but the counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout, through `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn allocations_of_an_echo(choice: Choice) -> u64 {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
    let mut server = open(choice, socket, Config { depth: 64, ..Config::default() }).unwrap().datagrams;
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (to, address) = (server.local_addr(), peer.local_addr().unwrap());
    let before = ALLOCATIONS.with(Cell::get);
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
    ALLOCATIONS.with(Cell::get) - before
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
