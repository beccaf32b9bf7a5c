//! What every backend promises, run over each of them.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::collections::VecDeque;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroUsize;
use std::time::Duration;

use gameserver_net::memory::{Memory, Network};
use gameserver_net::{
    Choice, Config, Datagrams, KNOWN_MAX, MAX_DATAGRAM_BYTES, Outgoing, Shape, SocketFilter, Trust, bind,
    bind_group, open,
};

const PATIENCE: Duration = Duration::from_secs(5);
const DEPTH: u16 = 64;

/// A peer that talks to the backend under test.
trait Peer {
    fn address(&self) -> SocketAddr;
    fn send(&mut self, to: SocketAddr, payload: &[u8]);
    fn receive(&mut self) -> Option<Vec<u8>>;
}

impl Peer for UdpSocket {
    fn address(&self) -> SocketAddr {
        self.local_addr().unwrap()
    }
    fn send(&mut self, to: SocketAddr, payload: &[u8]) {
        self.send_to(payload, to).unwrap();
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        self.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut buffer = vec![0; 2048];
        let (len, _) = self.recv_from(&mut buffer).ok()?;
        Some(buffer[..len].to_vec())
    }
}

struct MemoryPeer {
    endpoint: Memory,
    arrived: VecDeque<Vec<u8>>,
}

impl Peer for MemoryPeer {
    fn address(&self) -> SocketAddr {
        self.endpoint.local_addr()
    }
    fn send(&mut self, to: SocketAddr, payload: &[u8]) {
        transmit_all(&mut self.endpoint, &[(to, payload.to_vec())]);
    }
    fn receive(&mut self) -> Option<Vec<u8>> {
        if self.arrived.is_empty() {
            let arrived = &mut self.arrived;
            self.endpoint.receive(PATIENCE, &mut |_, payload| arrived.push_back(payload.to_vec())).unwrap();
        }
        self.arrived.pop_front()
    }
}

struct Bench {
    server: Box<dyn Datagrams>,
    peer: Box<dyn Peer>,
}

fn over_kernel(choice: Choice) -> Bench {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
    let config = Config { depth: DEPTH, ..Config::default() };
    let server = open(choice, socket, config).unwrap().datagrams;
    Bench { server, peer: Box::new(UdpSocket::bind("127.0.0.1:0").unwrap()) }
}

fn over_memory() -> Bench {
    let network = Network::default();
    let server = network.endpoint("10.0.0.1:1".parse().unwrap(), usize::from(DEPTH)).unwrap();
    let peer = network.endpoint("10.0.0.2:2".parse().unwrap(), 4096).unwrap();
    Bench {
        server: Box::new(server),
        peer: Box::new(MemoryPeer { endpoint: peer, arrived: VecDeque::new() }),
    }
}

/// Receives until `count` datagrams came or patience ran out.
fn receive_all(server: &mut dyn Datagrams, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut received = Vec::new();
    while received.len() < count {
        let got =
            server.receive(PATIENCE, &mut |from, payload| received.push((from, payload.to_vec()))).unwrap();
        if got == 0 {
            break;
        }
    }
    received
}

fn transmit_all(server: &mut dyn Datagrams, packets: &[(SocketAddr, Vec<u8>)]) -> usize {
    let mut packets = packets.iter();
    server
        .transmit(&mut |slot| {
            let (to, payload) = packets.next()?;
            slot[..payload.len()].copy_from_slice(payload);
            Some(Outgoing { to: *to, len: payload.len() })
        })
        .unwrap()
}

fn datagrams_arrive_whole_in_order_and_with_their_sender(mut bench: Bench) {
    let to = bench.server.local_addr();
    for number in 0..50_u8 {
        bench.peer.send(to, &vec![number; usize::from(number) + 1]);
    }
    let received = receive_all(&mut *bench.server, 50);
    assert_eq!(received.len(), 50);
    for (number, (from, payload)) in (0_u8..).zip(received) {
        assert_eq!((from, payload), (bench.peer.address(), vec![number; usize::from(number) + 1]));
    }
    let counters = bench.server.counters();
    assert_eq!((counters.packets_in, counters.bytes_in), (50, (1..=50).sum()));
}

fn receive_without_wait_returns_at_once_and_empty(mut bench: Bench) {
    assert_eq!(bench.server.receive(Duration::ZERO, &mut |_, _| panic!("nothing was sent")).unwrap(), 0);
}

fn receive_gives_up_when_the_wait_is_over(mut bench: Bench) {
    let wait = Duration::from_millis(5);
    assert_eq!(bench.server.receive(wait, &mut |_, _| panic!("nothing was sent")).unwrap(), 0);
}

fn more_than_all_buffers_pass_through_in_rounds(mut bench: Bench) {
    let to = bench.server.local_addr();
    for round in 0..40_u8 {
        for _ in 0..DEPTH {
            bench.peer.send(to, &[round; 100]);
        }
        let received = receive_all(&mut *bench.server, usize::from(DEPTH));
        assert!(received.iter().all(|(_, payload)| payload == &[round; 100]), "round {round}");
        assert_eq!(received.len(), usize::from(DEPTH), "round {round}");
    }
    assert_eq!(bench.server.counters().packets_in, 40 * u64::from(DEPTH));
}

fn a_flush_larger_than_all_slots_is_sent_in_order(mut bench: Bench) {
    let peer = bench.peer.address();
    for from in (0..2400_u16).step_by(60) {
        let packets: Vec<_> = (from..from + 60).map(|number| (peer, number.to_be_bytes().to_vec())).collect();
        assert_eq!(transmit_all(&mut *bench.server, &packets), 60);
        for number in from..from + 60 {
            assert_eq!(bench.peer.receive(), Some(number.to_be_bytes().to_vec()));
        }
    }
    assert_eq!(bench.server.counters().packets_out, 2400);
    // more than one submit or batch at once: all are handed over, whatever the peer's buffer holds
    let burst = vec![(peer, vec![7; 8]); 3000];
    assert_eq!(transmit_all(&mut *bench.server, &burst), 3000);
}

fn the_largest_datagram_passes_and_a_longer_one_is_counted(mut bench: Bench) {
    let to = bench.server.local_addr();
    bench.peer.send(to, &[1; MAX_DATAGRAM_BYTES]);
    let received = receive_all(&mut *bench.server, 1);
    assert_eq!(received[0].1, [1; MAX_DATAGRAM_BYTES]);
    if bench.server.backend() != gameserver_net::Backend::Memory {
        bench.peer.send(to, &[2; MAX_DATAGRAM_BYTES + 1]);
        bench.peer.send(to, &[3; 3]);
        let received = receive_all(&mut *bench.server, 1);
        assert_eq!(received[0].1, [3; 3]);
        assert_eq!(bench.server.counters().truncated, 1);
    }
}

fn an_address_that_cannot_be_reached_costs_only_its_own_datagram(mut bench: Bench) {
    let peer = bench.peer.address();
    let nowhere: SocketAddr = "255.255.255.255:9".parse().unwrap();
    transmit_all(&mut *bench.server, &[(nowhere, vec![1]), (peer, vec![2])]);
    assert_eq!(bench.peer.receive(), Some(vec![2]));
    // failed sends complete asynchronously on a ring: seen with the next receive
    bench.server.receive(Duration::ZERO, &mut |_, _| ()).unwrap();
    let counters = bench.server.counters();
    assert_eq!((counters.packets_out, counters.send_errors), (1, 1));
}

fn totals_never_go_back(mut bench: Bench) {
    let peer = bench.peer.address();
    let nowhere: SocketAddr = "255.255.255.255:9".parse().unwrap();
    let mut before = bench.server.counters();
    for to in [nowhere, nowhere, peer, nowhere, peer, peer, peer, peer] {
        transmit_all(&mut *bench.server, &[(to, vec![1, 2, 3])]);
        for _ in 0..2 {
            let now = bench.server.counters();
            assert!(now.packets_out >= before.packets_out && now.bytes_out >= before.bytes_out, "{now:?}");
            before = now;
            bench.server.receive(Duration::ZERO, &mut |_, _| ()).unwrap();
        }
    }
    assert_eq!((before.packets_out, before.bytes_out, before.send_errors), (5, 15, 3));
}

fn received_bytes_may_be_changed_in_place(mut bench: Bench) {
    let to = bench.server.local_addr();
    bench.peer.send(to, b"abc");
    bench.server.receive(PATIENCE, &mut |_, payload| payload.fill(0)).unwrap();
    bench.peer.send(to, b"def");
    assert_eq!(receive_all(&mut *bench.server, 1)[0].1, b"def");
}

macro_rules! over_every_backend {
    ($($rule:ident),+ $(,)?) => {
        mod uring { $(#[test] fn $rule() { super::$rule(super::over_kernel(super::Choice::Uring)); })+ }
        mod mmsg { $(#[test] fn $rule() { super::$rule(super::over_kernel(super::Choice::Mmsg)); })+ }
        mod tokio_uring { $(#[test] fn $rule() { super::$rule(super::over_kernel(super::Choice::TokioUring)); })+ }
        mod memory { $(#[test] fn $rule() { super::$rule(super::over_memory()); })+ }
    };
}

over_every_backend!(
    datagrams_arrive_whole_in_order_and_with_their_sender,
    receive_without_wait_returns_at_once_and_empty,
    receive_gives_up_when_the_wait_is_over,
    more_than_all_buffers_pass_through_in_rounds,
    a_flush_larger_than_all_slots_is_sent_in_order,
    the_largest_datagram_passes_and_a_longer_one_is_counted,
    an_address_that_cannot_be_reached_costs_only_its_own_datagram,
    totals_never_go_back,
    received_bytes_may_be_changed_in_place,
);

#[test]
fn a_ring_out_of_buffers_is_armed_again_and_loses_nothing_that_the_socket_holds() {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 4 << 20).unwrap();
    let mut server =
        open(Choice::Uring, socket, Config { depth: 16, ..Config::default() }).unwrap().datagrams;
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    for number in 0..200_u16 {
        peer.send_to(&number.to_be_bytes(), server.local_addr()).unwrap();
    }
    let received = receive_all(&mut *server, 200);
    let numbers: Vec<_> =
        received.iter().map(|(_, bytes)| u16::from_be_bytes([bytes[0], bytes[1]])).collect();
    assert_eq!(numbers, (0..200).collect::<Vec<_>>());
    assert!(server.counters().rearms > 0);
}

#[test]
fn what_came_before_the_backend_was_opened_is_delivered() {
    // the tokio-uring backend counts as overflow what goes beyond its depth
    for choice in [Choice::Uring, Choice::Mmsg] {
        let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 4 << 20).unwrap();
        let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
        // twice as many as a ring has buffers, so that it is out of them as soon as it is armed
        for number in 0..32_u8 {
            peer.send_to(&[number], socket.local_addr().unwrap()).unwrap();
        }
        let mut server = open(choice, socket, Config { depth: 16, ..Config::default() }).unwrap().datagrams;
        let received: Vec<_> = receive_all(&mut *server, 32).iter().map(|(_, bytes)| bytes[0]).collect();
        assert_eq!(received, (0..32).collect::<Vec<_>>(), "{choice:?}");
        peer.send_to(&[99], server.local_addr()).unwrap();
        assert_eq!(receive_all(&mut *server, 1).len(), 1, "{choice:?}: and it goes on");
    }
}

#[test]
fn a_depth_that_is_no_power_of_two_is_refused() {
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 4096).unwrap();
    assert!(open(Choice::Auto, socket, Config { depth: 100, ..Config::default() }).is_err());
}

#[test]
fn ipv6_peers_are_served() {
    for choice in [Choice::Uring, Choice::Mmsg, Choice::TokioUring] {
        let Ok((socket, _)) = bind("[::1]:0".parse().unwrap(), 1 << 16) else {
            return; // no IPv6 on this machine
        };
        let mut server =
            open(choice, socket, Config { depth: DEPTH, ..Config::default() }).unwrap().datagrams;
        let mut peer = UdpSocket::bind("[::1]:0").unwrap();
        peer.send_to(b"six", server.local_addr()).unwrap();
        let received = receive_all(&mut *server, 1);
        assert_eq!(received[0], (peer.address(), b"six".to_vec()));
        transmit_all(&mut *server, &received);
        assert_eq!(Peer::receive(&mut peer), Some(b"six".to_vec()));
    }
}

const GROUP: NonZeroUsize = NonZeroUsize::new(3).unwrap();
const LOOPBACKS: [&str; 2] = ["127.0.0.1:0", "[::1]:0"];

/// Those that the machine has: IPv4, and IPv6 if there is one.
fn loopbacks() -> impl Iterator<Item = &'static str> {
    LOOPBACKS.into_iter().filter(|address| address.starts_with("127.") || UdpSocket::bind(address).is_ok())
}

/// A group of sockets at a loopback address, each with a backend.
fn group(choice: Choice, address: &str) -> Vec<Box<dyn Datagrams>> {
    let (sockets, _) = bind_group(address.parse().unwrap(), 1 << 20, GROUP).unwrap();
    let config = Config { depth: DEPTH, ..Config::default() };
    sockets.into_iter().map(|socket| open(choice, socket, config).unwrap().datagrams).collect()
}

/// 90 peers, each of which sends five datagrams: none of three sockets is left out once in 10^15 times.
fn each_peer_is_at_one_socket_of_its_group(choice: Choice, address: &str) {
    let mut servers = group(choice, address);
    let to = servers[0].local_addr();
    assert!(servers.iter().all(|server| server.local_addr() == to), "all at one address");
    let mut peers: Vec<_> = (0..90).map(|_| UdpSocket::bind(address).unwrap()).collect();
    for round in 0..5 {
        for peer in &peers {
            peer.send_to(&[round], to).unwrap();
        }
        // so that what a backend holds at most is not reached
        let mut count = 0;
        for server in &mut servers {
            let came = receive_queued(&mut **server);
            count += came.len();
            transmit_all(&mut **server, &came);
        }
        assert_eq!(count, peers.len(), "{choice:?} in round {round}: one is lost or doubled");
        for peer in &mut peers {
            assert_eq!(
                Peer::receive(peer),
                Some(vec![round]),
                "{choice:?}: an answer from whoever was asked"
            );
        }
    }
    for server in &mut servers {
        let counters = server.counters();
        assert!(counters.packets_in > 0 && counters.packets_in % 5 == 0, "{choice:?}: {counters:?}");
    }
}

/// All that is there until nothing has come for a moment.
fn receive_queued(server: &mut dyn Datagrams) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut received = Vec::new();
    let wait = Duration::from_millis(50);
    while server.receive(wait, &mut |from, payload| received.push((from, payload.to_vec()))).unwrap() > 0 {}
    received
}

#[test]
fn each_peer_is_at_one_socket_of_its_group_and_none_is_left_out() {
    for choice in [Choice::Uring, Choice::Mmsg, Choice::TokioUring] {
        for address in loopbacks() {
            each_peer_is_at_one_socket_of_its_group(choice, address);
        }
    }
}

#[test]
fn a_group_shares_its_address_with_nobody_who_begins_as_we_do() {
    for address in loopbacks() {
        let (sockets, _) = bind_group(address.parse().unwrap(), 1 << 16, GROUP).unwrap();
        let taken = sockets[0].local_addr().unwrap();
        let in_use =
            |outcome: std::io::Result<()>| outcome.unwrap_err().kind() == std::io::ErrorKind::AddrInUse;
        assert!(in_use(bind_group(taken, 1 << 16, GROUP).map(drop)), "another group");
        assert!(in_use(bind(taken, 1 << 16).map(drop)), "a socket alone");
        drop(sockets);
        let (_alone, _) = bind(taken, 1 << 16).unwrap();
        assert!(in_use(bind_group(taken, 1 << 16, GROUP).map(drop)), "a group where one is alone");
    }
}

#[test]
fn of_groups_that_are_bound_at_the_same_moment_one_has_the_address() {
    for address in loopbacks() {
        let (sockets, _) = bind_group(address.parse().unwrap(), 1 << 16, GROUP).unwrap();
        let free = sockets[0].local_addr().unwrap();
        drop(sockets);
        let at_once = std::sync::Barrier::new(8);
        let bound: Vec<_> = std::thread::scope(|scope| {
            let bind = || {
                at_once.wait();
                bind_group(free, 1 << 16, GROUP)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(bind)).collect();
            // all are kept until the last has tried
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(bound.iter().filter(|bound| bound.is_ok()).count(), 1, "{address}: {bound:?}");
    }
}

/// Strangers may send 20 to 30 bytes that begin with 3.
const HELLO: Shape = Shape { bytes: 20..=30, mask: 0x0f, first: 3 };

/// A server at `local`, and two who send to it at `to`.
fn a_filter_lets_in_who_is_known_and_greetings(choice: Choice, local: &str, to: &str) {
    let at = format!("{choice:?}, {local} by {to}");
    let (socket, _) = bind(local.parse().unwrap(), 1 << 20).unwrap();
    let mut server = open(choice, socket, Config { depth: DEPTH, ..Config::default() }).unwrap().datagrams;
    let to: SocketAddr = format!("{to}:{}", server.local_addr().port()).parse().unwrap();
    let any = SocketAddr::new(to.ip(), 0);
    let [player, stranger] = [(); 2].map(|()| UdpSocket::bind(any).unwrap());
    let come = |server: &mut dyn Datagrams, number: u8| -> Vec<u8> {
        for (from, payload) in [
            (&stranger, vec![number; 8]),
            (&stranger, vec![0x13; 25]),
            (&stranger, vec![0x14; 25]),
            (&player, vec![100 + number; 8]),
        ] {
            from.send_to(&payload, to).unwrap();
        }
        // the player's comes last
        let mut received = Vec::new();
        while received.last() != Some(&(100 + number)) {
            let came = receive_all(server, 1);
            assert!(!came.is_empty(), "{at}: {received:?}");
            received.extend(came.iter().map(|(_, payload)| payload[0]));
        }
        received
    };
    assert_eq!(come(&mut *server, 1), [1, 0x13, 0x14, 101], "{at}: without a filter");
    let known = [(player.local_addr().unwrap(), Trust::Full)];
    server.admit(Some(&SocketFilter::new(known, &[HELLO], 1, 9).unwrap())).unwrap();
    assert_eq!(come(&mut *server, 2), [0x13, 102], "{at}");
    let both = known.into_iter().chain([(stranger.local_addr().unwrap(), Trust::Full)]);
    server.admit(Some(&SocketFilter::new(both, &[], 1, 9).unwrap())).unwrap();
    assert_eq!(come(&mut *server, 3), [3, 0x13, 0x14, 103], "{at}: in the place of the first");
    server.admit(Some(&SocketFilter::new(known, &[HELLO], u32::MAX, 9).unwrap())).unwrap();
    assert_eq!(come(&mut *server, 4), [104], "{at}: next to none of the strangers");
    let entering = known.into_iter().chain([(stranger.local_addr().unwrap(), Trust::Handshakes)]);
    server.admit(Some(&SocketFilter::new(entering, &[HELLO], u32::MAX, 9).unwrap())).unwrap();
    assert_eq!(come(&mut *server, 6), [0x13, 106], "{at}: who is on the way in");
    server.admit(None).unwrap();
    assert_eq!(come(&mut *server, 5), [5, 0x13, 0x14, 105], "{at}: taken out");
    let counters = server.counters();
    assert_eq!((counters.overflows, counters.filtered), (0, 2 + 3 + 2), "{at}");
}

#[test]
fn the_kernel_lets_in_who_is_known_and_of_others_what_may_come_from_strangers() {
    for choice in [Choice::Uring, Choice::Mmsg, Choice::TokioUring] {
        for (local, to) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "[::1]"), ("[::]:0", "127.0.0.1")] {
            a_filter_lets_in_who_is_known_and_greetings(choice, local, to);
        }
    }
}

/// What the kernel's translation of a program takes at most for each who is known.
const KNOWN_BYTES: usize = 20;

#[test]
fn the_kernel_takes_a_filter_of_as_many_as_there_is_room_for_again_and_again() {
    let number = |number: usize| u16::try_from(number).unwrap().to_be_bytes();
    // what a socket may have for programs: 20 KiB before Linux 6.7, 128 KiB since
    let room = std::fs::read_to_string("/proc/sys/net/core/optmem_max").unwrap();
    let room: usize = room.trim().parse().unwrap();
    let known = (0..KNOWN_MAX.min(room / KNOWN_BYTES))
        .map(number)
        .map(|[high, low]| (SocketAddr::from(([10, 0, high, low], 4000)), Trust::Full));
    let filter = SocketFilter::new(known, &[HELLO], 4, 9).unwrap();
    let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 16).unwrap();
    let mut server = open(Choice::Mmsg, socket, Config::default()).unwrap().datagrams;
    for _ in 0..20 {
        server.admit(Some(&filter)).unwrap();
    }
    server.admit(None).unwrap();
    server.admit(None).unwrap();
}
