//! What a zone does with its socket, on one that takes note of it.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::rc::Rc;

use gameserver_core::{DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES};
use gameserver_net::Counters as NetCounters;
use gameserver_protocol::{
    ConnectTokenClaims, MAX_DATAGRAM_BYTES, PROTOCOL_ID, TOKEN_RANDOM_BYTES, USER_DATA_BYTES, write_request,
};

use super::super::guard::FilterState;
use super::*;

const KEY: [u8; 32] = [1; 32];

/// What was asked of a socket, and of how many datagrams.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Asked {
    Received(usize),
    Sent(usize),
    Admitted(Option<SocketFilter>),
}

/// A socket to which these datagrams come, so many at a time.
struct Noted {
    /// The last is the next.
    arriving: Vec<(SocketAddr, Vec<u8>)>,
    at_a_time: usize,
    /// Filters that are refused before one is taken.
    refusals: usize,
    asked: Rc<RefCell<Vec<Asked>>>,
}

impl Datagrams for Noted {
    fn backend(&self) -> Backend {
        Backend::Memory
    }

    fn local_addr(&self) -> SocketAddr {
        server_address()
    }

    fn receive(
        &mut self,
        _wait: Duration,
        deliver: &mut dyn FnMut(SocketAddr, &mut [u8]),
    ) -> io::Result<usize> {
        let rest = self.arriving.len().saturating_sub(self.at_a_time);
        let arrived = self.arriving.split_off(rest);
        self.asked.borrow_mut().push(Asked::Received(arrived.len()));
        let count = arrived.len();
        for (from, mut datagram) in arrived {
            deliver(from, &mut datagram);
        }
        Ok(count)
    }

    fn transmit(&mut self, fill: &mut dyn FnMut(&mut [u8]) -> Option<Outgoing>) -> io::Result<usize> {
        let mut slot = [0; MAX_DATAGRAM_BYTES];
        let sent = std::iter::from_fn(|| fill(&mut slot)).count();
        self.asked.borrow_mut().push(Asked::Sent(sent));
        Ok(sent)
    }

    fn admit(&mut self, filter: Option<&SocketFilter>) -> io::Result<()> {
        self.asked.borrow_mut().push(Asked::Admitted(filter.cloned()));
        let is_refused = self.refusals > 0;
        self.refusals = self.refusals.saturating_sub(1);
        if is_refused { Err(io::Error::other("no room for it")) } else { Ok(()) }
    }

    fn counters(&mut self) -> NetCounters {
        NetCounters::default()
    }
}

fn server_address() -> SocketAddr {
    (Ipv4Addr::new(192, 0, 2, 1), 7777).into()
}

/// The first datagram of a player, to which the answer is a challenge.
fn request(number: u16, unix: Duration) -> (SocketAddr, Vec<u8>) {
    let [high, low] = number.to_be_bytes();
    let mut random = [0; TOKEN_RANDOM_BYTES];
    random[..2].copy_from_slice(&[high, low]);
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &[server_address()],
        client_id: number.into(),
        user_data: &[0; USER_DATA_BYTES],
        now_unix: unix,
        lifetime_seconds: 30,
        timeout_seconds: 5,
    };
    let token = claims.mint(&KEY, &random).unwrap();
    let mut bytes = vec![0; MAX_DATAGRAM_BYTES];
    let len = write_request(&token, &mut bytes).unwrap();
    bytes.truncate(len);
    ((Ipv4Addr::new(10, high, low, 1), 1000).into(), bytes)
}

/// A zone to which strangers come and garbage after them, and what is asked of its socket.
fn zone(strangers: usize, garbage: usize, at_a_time: usize) -> (ZoneThread, Rc<RefCell<Vec<Asked>>>) {
    zone_whose_kernel_refuses(0, strangers, garbage, at_a_time)
}

/// The same with a kernel that refuses so many filters.
fn zone_whose_kernel_refuses(
    refusals: usize,
    strangers: usize,
    garbage: usize,
    at_a_time: usize,
) -> (ZoneThread, Rc<RefCell<Vec<Asked>>>) {
    let clock = Clock::start();
    let asked = Rc::default();
    let mut server = ZoneServer::new(ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: Vec::new(),
        capacity: 1000,
        tick_hz: 64,
        timeout: Duration::from_secs(5),
        boot_unix_ms: 1,
        random: [4; 32],
        max_commands_per_tick: 1000,
        snapshot_bytes: MAX_SNAPSHOT_BYTES,
        replication_hz: DEFAULT_REPLICATION_HZ,
        interpolation: DEFAULT_INTERPOLATION,
        registry: None,
    })
    .unwrap();
    server.install_key(KEY);
    let mut arriving = vec![((Ipv4Addr::LOCALHOST, 1).into(), vec![0xff]); garbage];
    arriving.extend((0..u16::try_from(strangers).unwrap()).map(|number| request(number, clock.unix())));
    let zone = ZoneThread {
        server,
        datagrams: Box::new(Noted { arriving, at_a_time, refusals, asked: Rc::clone(&asked) }),
        board: Arc::new(Board::new(Counters::default().rejects().map(|(label, _)| label))),
        orders: LockFreeQueue::spsc(1).1,
        applied: 0,
        late_ticks: 0,
        waited: Duration::ZERO,
        ended: Duration::ZERO,
        pace: Pace::new(64, clock.monotonic()),
        guard: Guard::new(Duration::ZERO, 1),
        filter: None,
        clock,
    };
    (zone, asked)
}

/// Two parts of a flush, and a little more.
const PLAYERS: usize = 2 * TRANSMITS_A_PART + 7;

#[test]
fn a_flush_is_interrupted_to_take_in_what_arrives_meanwhile() {
    let (mut zone, asked) = zone(PLAYERS, 0, PLAYERS - 5);
    zone.flush().unwrap();
    let expected = [
        Asked::Received(PLAYERS - 5),
        Asked::Sent(TRANSMITS_A_PART),
        Asked::Received(5),
        Asked::Sent(TRANSMITS_A_PART),
        Asked::Received(0),
        Asked::Sent(7),
    ];
    assert_eq!(*asked.borrow(), expected);
}

#[test]
fn a_flush_takes_in_no_more_than_its_share_however_much_arrives() {
    let (mut zone, asked) = zone(PLAYERS, 2 * RECEIVES_A_FLUSH, RECEIVES_A_FLUSH);
    zone.flush().unwrap();
    let expected = [
        Asked::Received(RECEIVES_A_FLUSH),
        Asked::Sent(TRANSMITS_A_PART),
        Asked::Sent(TRANSMITS_A_PART),
        Asked::Sent(7),
    ];
    assert_eq!(*asked.borrow(), expected);
}

const SECOND: Duration = Duration::from_secs(1);
const FLOOD: Seen = Seen { let_in: 1_000_000, dropped: 0 };

/// What the kernel is to filter by while these are known.
fn filter_of(zone: &ZoneThread) -> SocketFilter {
    SocketFilter::new(known(&zone.server), &shapes(), 1, zone.guard.salt()).unwrap()
}

#[test]
fn while_strangers_flood_the_kernel_lets_in_who_is_known_by_then_and_everybody_afterwards() {
    let (mut zone, asked) = zone(2, 0, 1);
    let _first = zone.receive(Duration::ZERO).unwrap();
    asked.borrow_mut().clear();
    zone.guard(SECOND, FLOOD);
    let of_one = filter_of(&zone);
    assert_eq!(zone.server.known_addresses().count(), 1);
    assert_eq!(asked.take(), [Asked::Admitted(Some(of_one.clone()))]);
    zone.guard(2 * SECOND, Seen { dropped: 200_000, ..FLOOD });
    assert_eq!(asked.take(), [], "the same need not be said twice");
    let _second = zone.receive(Duration::ZERO).unwrap();
    zone.guard(3 * SECOND, Seen { dropped: 400_000, ..FLOOD });
    let of_both = filter_of(&zone);
    assert_ne!(of_one, of_both);
    assert_eq!(asked.take(), [Asked::Received(1), Asked::Admitted(Some(of_both))]);
    zone.guard(9 * SECOND, Seen { dropped: 400_001, ..FLOOD });
    assert_eq!(asked.take(), [Asked::Admitted(None)]);
}

#[test]
fn a_kernel_that_refuses_a_filter_is_asked_again_after_a_minute() {
    let (mut zone, asked) = zone_whose_kernel_refuses(1, 1, 0, 1);
    zone.guard(SECOND, FLOOD);
    asked.borrow_mut().clear();
    for second in 2..60 {
        zone.guard(second * SECOND, Seen { let_in: 1_000_000 * u64::from(second), dropped: 0 });
    }
    assert_eq!(asked.take(), []);
    assert_eq!(zone.guard.state(59 * SECOND), FilterState::Refused);
    zone.guard(62 * SECOND, Seen { let_in: 100_000_000, dropped: 0 });
    assert_eq!(asked.take(), [Asked::Admitted(Some(filter_of(&zone)))]);
    assert_eq!(zone.guard.state(62 * SECOND), FilterState::On { one_in: 1 });
}
