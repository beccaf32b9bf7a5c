//! A whole server, fed with datagrams of strangers and of players, as bytes say.
//!
//! The bytes are orders, one after the other, as long as there are any. The low three bits of an order's first byte say
//! what, the next two which of four players; lengths are two bytes, little-endian.
//!
//! | order | what | bytes behind it |
//! |---|---|---|
//! | 0 | a tick | |
//! | 1 | a datagram from a stranger | length, datagram |
//! | 2 | a sealed payload of the player | length, payload |
//! | 3 | another packet of the player | kind, length, body |
//! | 4 | the player comes in, with a new token; or with its newest one again if bit 5 is set | |
//! | 5 | time passes, without ticks | 64ths of a second |
//! | 6 | the last datagram again, a bit changed if bit 5 is set, from another address if bit 6 is | which bit, two bytes |
//! | 7 | drain, undrain, another key, or the old key, by the player's two bits | |
#![allow(dead_code, unreachable_pub, reason = "who fuzzes uses one function")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_core::{DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, Now, ServerConfig};
use gameserver_game::Game;
use gameserver_game::arena::Arena;
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, Key, MAX_DATAGRAM_BYTES, PROTOCOL_ID, PacketHeader, PacketKey,
    PacketKind, REQUEST_BYTES, TOKEN_RANDOM_BYTES, write_request,
};

/// A fuzz target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target of this package, by the name of its corpus.
pub const TARGETS: &[Target] = &[("server", server)];

const KEY: Key = [9; 32];
const OTHER_KEY: Key = [10; 32];
const BOOT_UNIX: Duration = Duration::from_millis(1_790_000_000_250);
const TICK: Duration = Duration::from_nanos(1_000_000_000 / 64);
const CAPACITY: usize = 3;
/// Orders of one run at most, so that no run is long.
const ORDERS_MAX: usize = 512;

/// One who can be a player.
struct Peer {
    address: SocketAddr,
    token: Option<ConnectToken>,
    sequence: u64,
}

/// A server, the time, and everybody who sends to it.
struct World {
    server: gameserver_core::ZoneServer<Arena>,
    elapsed: Duration,
    peers: [Peer; 4],
    last: (SocketAddr, Vec<u8>),
    handed_in: u64,
    minted: u64,
    /// By address that was never a player's: bytes from it, and to it.
    strangers: BTreeMap<SocketAddr, (usize, usize)>,
}

fn take<const N: usize>(data: &mut &[u8]) -> [u8; N] {
    let mut taken = [0; N];
    let len = N.min(data.len());
    taken[..len].copy_from_slice(&data[..len]);
    *data = &data[len..];
    taken
}

fn take_some<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let len = usize::from(u16::from_le_bytes(take(data))).min(MAX_DATAGRAM_BYTES + 64).min(data.len());
    let (some, rest) = data.split_at(len);
    *data = rest;
    some
}

/// Carries out the orders and then a few ticks. Nothing panics, no datagram is longer than 1200 bytes, nobody gets more than it
/// has sent before it has shown its address, there are never more players than places, and the world stays in order.
pub fn server(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    for _ in 0..ORDERS_MAX {
        if rest.is_empty() {
            break;
        }
        world.carry_out(&mut rest);
    }
    (0..3).for_each(|_| world.tick());
    assert_eq!(world.server.counters().packets_in, world.handed_in);
    assert_eq!(world.server.game().violations(), Vec::<String>::new());
}

impl World {
    fn new() -> Self {
        let address = |host: u8| SocketAddr::from(([10, 0, 0, host], 7000));
        let config = ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![SocketAddr::from(([192, 0, 2, 1], 7777))],
            capacity: CAPACITY,
            tick_hz: 64,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 1_790_000_000_250,
            random: [4; 32],
            max_commands_per_tick: 100,
            snapshot_bytes: MAX_SNAPSHOT_BYTES,
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
        };
        let mut server = gameserver_core::ZoneServer::new(config).expect("a valid configuration");
        server.install_key(KEY);
        let peers = [1, 2, 3, 4].map(|host| Peer { address: address(host), token: None, sequence: 0 });
        Self {
            server,
            elapsed: Duration::ZERO,
            peers,
            last: (address(9), Vec::new()),
            handed_in: 0,
            minted: 0,
            strangers: BTreeMap::new(),
        }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: BOOT_UNIX + self.elapsed }
    }

    fn carry_out(&mut self, rest: &mut &[u8]) {
        let [order] = take(rest);
        let who = usize::from(order >> 3 & 3);
        match order & 7 {
            0 => self.tick(),
            1 => {
                let from = SocketAddr::from(([10, 0, 1, order >> 3], 7000));
                self.hand_in(from, take_some(rest));
            }
            2 => self.send(who, PacketKind::Payload, take_some(rest)),
            3 => {
                let kind = match take::<1>(rest)[0] % 6 {
                    0 => PacketKind::Denied,
                    1 => PacketKind::Challenge,
                    2 => PacketKind::Response,
                    3 => PacketKind::KeepAlive,
                    4 => PacketKind::Payload,
                    _ => PacketKind::Disconnect,
                };
                self.send(who, kind, take_some(rest));
            }
            4 => self.come_in(who, order >> 5 & 1 == 1),
            5 => self.elapsed += TICK * u32::from(take::<1>(rest)[0]),
            6 => self.repeat(order, take(rest)),
            _ => self.steer(who),
        }
    }

    fn steer(&mut self, what: usize) {
        match what {
            0 => self.server.drain(self.now()),
            1 => self.server.undrain(),
            2 => self.server.install_key(OTHER_KEY),
            _ => self.server.install_key(KEY),
        }
    }

    fn repeat(&mut self, order: u8, which: [u8; 2]) {
        let (mut from, mut bytes) = self.last.clone();
        if order >> 5 & 1 == 1 && !bytes.is_empty() {
            let bit = usize::from(u16::from_le_bytes(which));
            let len = bytes.len();
            bytes[(bit >> 3) % len] ^= 1 << (bit & 7);
        }
        if order >> 6 & 1 == 1 {
            from.set_port(from.port() ^ 1);
        }
        self.hand_in(from, &bytes);
    }

    /// Hands a datagram in and returns what goes to its sender.
    fn hand_in(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.handed_in += 1;
        self.strangers.entry(from).or_default().0 += bytes.len();
        self.last = (from, bytes.to_vec());
        self.server.handle_datagram(self.now(), from, &mut bytes.to_vec());
        self.flush(from)
    }

    fn flush(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        let (mut answers, mut buffer) = (Vec::new(), [0; 1200]);
        while let Some(transmit) = self.server.poll_transmit(self.now(), &mut buffer) {
            assert!(transmit.len <= buffer.len());
            let is_peer = self.peers.iter().any(|peer| peer.address == transmit.to);
            if !is_peer {
                let (came, went) = self.strangers.entry(transmit.to).or_default();
                *went += transmit.len;
                assert!(went <= came, "{went} bytes to {} for {came}", transmit.to);
            }
            if transmit.to == to {
                answers.push(buffer[..transmit.len].to_vec());
            }
        }
        let status = self.server.status(self.now());
        assert!(status.players <= CAPACITY && (!status.drained || status.players == 0));
        answers
    }

    fn tick(&mut self) {
        self.elapsed += TICK;
        self.server.step(self.now());
        self.flush(self.last.0);
    }

    fn send(&mut self, who: usize, kind: PacketKind, body: &[u8]) {
        let peer = &mut self.peers[who];
        let Some(token) = &peer.token else { return };
        let key = PacketKey::new(&token.client_to_server_key, PROTOCOL_ID);
        let mut packet = [0; MAX_DATAGRAM_BYTES];
        let Ok(len) = key.seal_body(kind, peer.sequence, &mut packet, body) else { return };
        peer.sequence += 1;
        let from = peer.address;
        self.hand_in(from, &packet[..len]);
    }

    /// Request and response of a player, as far as the server answers.
    fn come_in(&mut self, who: usize, again: bool) {
        if !again || self.peers[who].token.is_none() {
            self.minted += 1;
            let mut random = [0; TOKEN_RANDOM_BYTES];
            random.chunks_mut(8).zip(self.minted << 8..).for_each(|(part, number)| {
                part.copy_from_slice(&number.to_le_bytes());
            });
            let claims = ConnectTokenClaims {
                protocol_id: PROTOCOL_ID,
                server_addresses: &[SocketAddr::from(([192, 0, 2, 1], 7777))],
                client_id: who as u64,
                user_data: &[0; 256],
                now_unix: self.now().unix,
                lifetime_seconds: 30,
                timeout_seconds: 5,
            };
            self.peers[who].token = claims.mint(&KEY, &random).ok();
            self.peers[who].sequence = 0;
        }
        let Some(token) = self.peers[who].token.clone() else { return };
        let mut request = [0; REQUEST_BYTES];
        if write_request(&token, &mut request).is_err() {
            return;
        }
        let opens = PacketKey::new(&token.server_to_client_key, PROTOCOL_ID);
        for mut answer in self.hand_in(self.peers[who].address, &request) {
            let Ok(header) = PacketHeader::parse(&answer) else { continue };
            if header.kind != PacketKind::Challenge {
                continue;
            }
            if let Ok(body) = opens.open(&header, &mut answer) {
                self.send(who, PacketKind::Response, body);
            }
        }
    }
}
