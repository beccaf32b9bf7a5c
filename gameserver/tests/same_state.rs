//! How datagrams move changes nothing of the world: the same players over each backend give the same state at each tick.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use gameserver_client::Client;
use gameserver_core::{DEFAULT_INTERPOLATION, MAX_SNAPSHOT_BYTES, Now, ServerConfig, ZoneServer};
use gameserver_game::RandomStream;
use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_net::memory::{Memory, Network};
use gameserver_net::{Choice, Config, Datagrams, Outgoing, bind, open};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};

const PATIENCE: Duration = Duration::from_secs(10);
const UNIX: Duration = Duration::from_secs(1_790_000_000);
const SERVER_KEY: [u8; 32] = [9; 32];
const TICK_HZ: u32 = 64;
const PLAYERS: u16 = 6;
const TICKS: u32 = 240;

fn at(tick: u32) -> Now {
    let elapsed = Duration::from_secs(1) * tick / TICK_HZ;
    Now { monotonic: elapsed, unix: UNIX + elapsed }
}

/// What a player sends and receives by.
enum Line {
    Socket(UdpSocket),
    Memory(Box<Memory>),
}

impl Line {
    fn address(&self) -> SocketAddr {
        match self {
            Self::Socket(socket) => socket.local_addr().unwrap(),
            Self::Memory(endpoint) => endpoint.local_addr(),
        }
    }

    fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        match self {
            Self::Socket(socket) => assert_eq!(socket.send_to(bytes, to).unwrap(), bytes.len()),
            Self::Memory(endpoint) => transmit(&mut **endpoint, &[(to, bytes.to_vec())]),
        }
    }

    fn receive(&mut self, count: usize) -> Vec<Vec<u8>> {
        match self {
            Self::Socket(socket) => {
                socket.set_read_timeout(Some(PATIENCE)).unwrap();
                let mut buffer = [0; 1500];
                let mut next = || socket.recv(&mut buffer).map(|len| buffer[..len].to_vec()).unwrap();
                (0..count).map(|_| next()).collect()
            }
            Self::Memory(endpoint) => {
                receive(&mut **endpoint, count).into_iter().map(|(_, bytes)| bytes).collect()
            }
        }
    }
}

fn transmit(datagrams: &mut dyn Datagrams, packets: &[(SocketAddr, Vec<u8>)]) {
    let mut left = packets.iter();
    let fill = &mut |slot: &mut [u8]| {
        let (to, bytes) = left.next()?;
        slot[..bytes.len()].copy_from_slice(bytes);
        Some(Outgoing { to: *to, len: bytes.len() })
    };
    assert_eq!(datagrams.transmit(fill).unwrap(), packets.len());
}

/// So many datagrams, all of which are under way.
fn receive(datagrams: &mut dyn Datagrams, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut received = Vec::new();
    while received.len() < count {
        let got = datagrams.receive(PATIENCE, &mut |from, bytes| received.push((from, bytes.to_vec())));
        assert!(got.unwrap() > 0, "{} of {count} came", received.len());
    }
    assert_eq!(received.len(), count);
    received
}

/// A server's end over a backend of the kernel or in the process, and the players' ends.
fn lines(choice: Option<Choice>) -> (Box<dyn Datagrams>, Vec<Line>) {
    if let Some(choice) = choice {
        let (socket, _) = bind("127.0.0.1:0".parse().unwrap(), 1 << 20).unwrap();
        let server = open(choice, socket, Config { depth: 64, ..Config::default() }).unwrap().datagrams;
        let line = |_| Line::Socket(UdpSocket::bind("127.0.0.1:0").unwrap());
        return (server, (0..PLAYERS).map(line).collect());
    }
    let network = Network::default();
    let endpoint = |host, port| network.endpoint(SocketAddr::from(([10, 0, 0, host], port)), 64).unwrap();
    let players = (0..PLAYERS).map(|player| Line::Memory(Box::new(endpoint(2, 1000 + player)))).collect();
    (Box::new(endpoint(1, 7777)), players)
}

fn server() -> ZoneServer<Arena> {
    let config = ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: Vec::new(),
        capacity: PLAYERS.into(),
        tick_hz: TICK_HZ,
        timeout: Duration::from_secs(5),
        boot_unix_ms: 1_790_000_000_000,
        random: [4; 32],
        max_commands_per_tick: 1000,
        snapshot_bytes: MAX_SNAPSHOT_BYTES,
        replication_hz: 20,
        interpolation: DEFAULT_INTERPOLATION,
        registry: None,
    };
    let mut server = ZoneServer::new(config).unwrap();
    server.install_key(SERVER_KEY);
    server
}

fn client(player: u16, to: SocketAddr) -> Client<Arena> {
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &[to],
        client_id: u64::from(player) + 1,
        user_data: &[0; 256],
        now_unix: UNIX,
        lifetime_seconds: 30,
        timeout_seconds: 5,
    };
    let random = [u8::try_from(player).unwrap(); 88];
    Client::new(claims.mint(&SERVER_KEY, &random).unwrap(), TICK_HZ, at(0), [1; 32])
}

/// The state at each tick, and how many inputs were carried out: players act, all that they sent arrives, the tick is made, all that
/// it sends arrives. Time passes by hand.
fn states(choice: Option<Choice>, seed: u64) -> (Vec<u64>, u64) {
    let (mut datagrams, mut lines) = lines(choice);
    let (to, mut server) = (datagrams.local_addr(), server());
    let mut clients: Vec<_> = (0..PLAYERS).map(|player| client(player, to)).collect();
    let addresses: Vec<_> = lines.iter().map(Line::address).collect();
    let mut random = RandomStream::new(seed);
    let mut buffer = [0; 1500];
    let mut states = Vec::new();
    for tick in 1..=TICKS {
        let now = at(tick);
        let mut sent = 0;
        for (client, line) in clients.iter_mut().zip(&mut lines) {
            client.update(now);
            if let Some((_, own)) = client.own().filter(|_| random.below(3) == 0) {
                let mut step = |from: i32| from + random.below(12_000).cast_signed() - 6000;
                let (x, y) = (step(own.x), step(own.y));
                client.send_soon(now, Intent::Move { x, y });
            }
            while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
                line.send(to, &buffer[..transmit.len]);
                sent += 1;
            }
        }
        for (from, mut bytes) in receive(&mut *datagrams, sent) {
            server.handle_datagram(now, from, &mut bytes);
        }
        server.step(now);
        states.push(server.state_hash());
        let (mut packets, mut counts) = (Vec::new(), BTreeMap::<SocketAddr, usize>::new());
        while let Some(transmit) = server.poll_transmit(now, &mut buffer) {
            packets.push((transmit.to, buffer[..transmit.len].to_vec()));
            *counts.entry(transmit.to).or_default() += 1;
        }
        transmit(&mut *datagrams, &packets);
        for ((client, line), address) in clients.iter_mut().zip(&mut lines).zip(&addresses) {
            for mut bytes in line.receive(counts.get(address).copied().unwrap_or(0)) {
                client.handle_datagram(now, &mut bytes);
            }
        }
    }
    (states, server.counters().inputs_applied)
}

#[test]
fn the_same_players_give_the_same_state_at_each_tick_over_each_backend() {
    let (expected, applied) = states(None, 1);
    assert!(applied > 200, "{applied} inputs were carried out");
    for choice in [Choice::Mmsg, Choice::Uring, Choice::TokioUring] {
        let (found, _) = states(Some(choice), 1);
        let differs = expected.iter().zip(&found).position(|(expected, found)| expected != found);
        assert_eq!((found.len(), differs), (expected.len(), None), "{choice:?}");
    }
    assert_ne!(states(None, 2).0, expected, "others play otherwise");
}
