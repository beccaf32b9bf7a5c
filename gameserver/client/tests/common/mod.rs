//! A client in virtual time, with a server that does what a test wants and a network between them that loses,
//! delays, doubles and reorders by a seed.
#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

pub mod post;
pub mod random;
pub mod server;
pub mod table;
pub mod walk;
pub mod world;

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::{Client, ClientState, ConnectToken, Event, Now, Transmit};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind};
pub use random::Random;
use walk::Field;

pub const UNIX: Duration = Duration::from_secs(1_790_000_000);
pub const TICK_HZ: u32 = 64;

pub fn addresses() -> [SocketAddr; 2] {
    [SocketAddr::from(([192, 0, 2, 1], 7777)), SocketAddr::from(([192, 0, 2, 2], 7777))]
}

pub fn mint(addresses: &[SocketAddr]) -> ConnectToken {
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: addresses,
        client_id: 1,
        user_data: &[0; 256],
        now_unix: UNIX,
        lifetime_seconds: 30,
        timeout_seconds: 5,
    };
    claims.mint(&[1; 32], &std::array::from_fn(|byte| byte.to_le_bytes()[0])).expect("valid claims")
}

pub fn at(monotonic: Duration) -> Now {
    Now { monotonic, unix: UNIX + monotonic }
}

pub fn milliseconds(milliseconds: u64) -> Now {
    at(Duration::from_millis(milliseconds))
}

/// The server's half of a session.
pub struct Session {
    seal_key: PacketKey,
    open_key: PacketKey,
    sequence: u64,
}

impl Session {
    pub fn new(token: &ConnectToken) -> Self {
        Self {
            seal_key: PacketKey::new(&token.server_to_client_key, PROTOCOL_ID),
            open_key: PacketKey::new(&token.client_to_server_key, PROTOCOL_ID),
            sequence: 1,
        }
    }

    /// Body of a sealed packet that the client sent.
    pub fn open<'a>(&self, bytes: &'a mut [u8]) -> (PacketKind, &'a [u8]) {
        let header = PacketHeader::parse(bytes).expect("a packet");
        let body = self.open_key.open(&header, bytes).expect("authentic");
        (header.kind, body)
    }

    pub fn seal(&mut self, kind: PacketKind, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0; 1300];
        let len = self.seal_key.seal_body(kind, self.sequence, &mut bytes, body).expect("a valid body");
        self.sequence += 1;
        bytes.truncate(len);
        bytes
    }
}

/// A client, and the server's half of its session.
pub struct Pair {
    pub client: Client<Field>,
    pub session: Session,
}

impl Pair {
    pub fn new(addresses: &[SocketAddr]) -> Self {
        Self::at_rate(TICK_HZ, addresses)
    }

    fn at_rate(tick_hz: u32, addresses: &[SocketAddr]) -> Self {
        let token = mint(addresses);
        let session = Session::new(&token);
        Self { client: Client::new(token, tick_hz, milliseconds(0), [1; 32]), session }
    }

    pub fn connected() -> Self {
        Self::connected_at(TICK_HZ)
    }

    pub fn connected_at(tick_hz: u32) -> Self {
        let mut pair = Self::at_rate(tick_hz, &addresses()[..1]);
        assert_eq!(pair.sent(0).len(), 1);
        pair.serve(0, PacketKind::Challenge, &[5; 308]);
        assert_eq!(pair.sent(0).len(), 1);
        pair.serve(0, PacketKind::KeepAlive, &[0; 8]);
        assert_eq!(pair.client.state(), ClientState::Connected);
        pair
    }

    /// Everything that the client sends at this time.
    pub fn sent(&mut self, milli: u64) -> Vec<(Transmit, Vec<u8>)> {
        let (mut sent, mut buffer) = (Vec::new(), [0; 1200]);
        self.client.update(milliseconds(milli));
        while let Some(transmit) = self.client.poll_transmit(milliseconds(milli), &mut buffer) {
            sent.push((transmit, buffer[..transmit.len].to_vec()));
        }
        sent
    }

    pub fn open(&self, bytes: &[u8]) -> (PacketKind, Vec<u8>) {
        let mut bytes = bytes.to_vec();
        let (kind, body) = self.session.open(&mut bytes);
        (kind, body.to_vec())
    }

    pub fn serve(&mut self, milli: u64, kind: PacketKind, body: &[u8]) {
        let mut bytes = self.session.seal(kind, body);
        self.client.handle_datagram(milliseconds(milli), &mut bytes);
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.client.poll_event()).collect()
    }
}
