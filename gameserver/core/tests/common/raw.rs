//! A peer that speaks the session protocol packet by packet, so that a test can send whatever it likes.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_core::{Now, ServerConfig};
use gameserver_game::arena::own::Own;
use gameserver_protocol::message::{FieldList, Fields, Input, InputsHead, Snapshot, encode_inputs};
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, Key, PacketHeader, PacketKey, PacketKind, SPECTATOR,
    TOKEN_RANDOM_BYTES, write_request,
};

use super::{BOOT_UNIX, SERVER_KEY, TICK_HZ, ZoneServer, claims, config};

/// A server and the time.
pub struct Bench {
    pub server: ZoneServer,
    pub elapsed: Duration,
}

impl Bench {
    /// A server that tells everyone of others each tick, so that each tick has a snapshot for everyone.
    pub fn new() -> Self {
        Self::with_config(ServerConfig { replication_hz: TICK_HZ, ..config() })
    }

    pub fn with_config(config: ServerConfig) -> Self {
        let mut server = ZoneServer::new(config).expect("a valid configuration");
        server.install_key(SERVER_KEY);
        Self { server, elapsed: Duration::ZERO }
    }

    pub fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: BOOT_UNIX + self.elapsed }
    }

    /// Hands in a datagram and returns everything that the server sends then.
    pub fn exchange(&mut self, from: SocketAddr, bytes: &[u8]) -> Vec<Vec<u8>> {
        self.server.handle_datagram(self.now(), from, &mut bytes.to_vec());
        self.poll(from)
    }

    /// Everything that the server has to send, all of it to `to`.
    pub fn poll(&mut self, to: SocketAddr) -> Vec<Vec<u8>> {
        let (mut answers, mut buffer) = (Vec::new(), [0; 1200]);
        while let Some(transmit) = self.server.poll_transmit(self.now(), &mut buffer) {
            assert_eq!(transmit.to, to);
            answers.push(buffer[..transmit.len].to_vec());
        }
        answers
    }

    /// A tick; what it sends is thrown away.
    pub fn tick(&mut self) {
        self.server.step(self.now());
        let mut buffer = [0; 1200];
        while self.server.poll_transmit(self.now(), &mut buffer).is_some() {}
    }

    pub fn peer(&self, client_id: u64, port: u16) -> Peer {
        self.peer_with_key(client_id, port, &SERVER_KEY)
    }

    pub fn peer_with_key(&self, client_id: u64, port: u16, key: &Key) -> Peer {
        let mut random = [7; TOKEN_RANDOM_BYTES];
        random[..8].copy_from_slice(&client_id.to_le_bytes());
        random[8..10].copy_from_slice(&port.to_le_bytes());
        random[10..18].copy_from_slice(&self.elapsed.as_secs().to_le_bytes());
        let token = claims(client_id, self.now().unix).mint(key, &random).expect("valid claims");
        Peer::new(token, port)
    }

    /// Somebody who only looks on.
    pub fn spectator(&self, client_id: u64, port: u16) -> Peer {
        let mut user_data = [0; 256];
        user_data[0] = SPECTATOR;
        let claims = ConnectTokenClaims { user_data: &user_data, ..claims(client_id, self.now().unix) };
        Peer::new(claims.mint(&SERVER_KEY, &[7; TOKEN_RANDOM_BYTES]).expect("valid claims"), port)
    }

    pub fn players(&self) -> usize {
        self.server.status(self.now()).players
    }

    /// Counts above zero, by label.
    pub fn rejects(&self) -> Vec<(&'static str, u64)> {
        self.server.counters().rejects().filter(|&(_, count)| count > 0).collect()
    }
}

pub struct Peer {
    pub address: SocketAddr,
    pub token: ConnectToken,
    pub sequence: u64,
}

impl Peer {
    pub fn new(token: ConnectToken, port: u16) -> Self {
        Self { address: SocketAddr::from(([10, 0, 0, 1], port)), token, sequence: 0 }
    }

    pub fn request(&self) -> Vec<u8> {
        let mut bytes = vec![0; 1200];
        let len = write_request(&self.token, &mut bytes).expect("the buffer is large enough");
        bytes.truncate(len);
        bytes
    }

    /// Opens what the server sent.
    pub fn open(&self, bytes: &[u8]) -> (PacketKind, Vec<u8>) {
        let header = PacketHeader::parse(bytes).expect("a packet");
        let key = PacketKey::new(&self.token.server_to_client_key, self.token.protocol_id);
        let mut bytes = bytes.to_vec();
        let body = key.open(&header, &mut bytes).expect("sealed for this client").to_vec();
        (header.kind, body)
    }

    pub fn seal(&mut self, kind: PacketKind, body: &[u8]) -> Vec<u8> {
        let key = PacketKey::new(&self.token.client_to_server_key, self.token.protocol_id);
        let mut bytes = vec![0; 1300];
        let len = key.seal_body(kind, self.sequence, &mut bytes, body).expect("a valid body");
        self.sequence += 1;
        bytes.truncate(len);
        bytes
    }

    /// The response to the challenge in `answers`.
    pub fn response(&mut self, answers: &[Vec<u8>]) -> Vec<u8> {
        let (kind, body) = self.open(&answers[0]);
        assert_eq!(kind, PacketKind::Challenge);
        self.seal(PacketKind::Response, &body)
    }

    /// The whole handshake; panics unless it works.
    pub fn connect(&mut self, bench: &mut Bench) {
        let answers = bench.exchange(self.address, &self.request());
        assert_eq!(answers.len(), 1, "{:?}", bench.rejects());
        let response = self.response(&answers);
        let answers = bench.exchange(self.address, &response);
        assert_eq!(self.open(&answers[0]).0, PacketKind::KeepAlive);
    }

    pub fn moves(&mut self, ack_tick: u64, moves: &[(u32, u64, i32, i32)]) -> Vec<u8> {
        let inputs: Vec<_> = moves
            .iter()
            .map(|&(sequence, tick, x, y)| Input {
                sequence,
                tick,
                intent: FieldList::new(&[0, x.into(), y.into()]),
            })
            .collect();
        let head = InputsHead { stamp: 1, ack_tick, ..InputsHead::default() };
        let mut body = [0; 1200];
        let len = encode_inputs(&mut body, &head, inputs.iter()).expect("few inputs");
        self.seal(PacketKind::Payload, &body[..len])
    }

    /// A tick, and the snapshot of it that this peer gets.
    pub fn snapshot(&self, bench: &mut Bench) -> Snapshot {
        bench.server.step(bench.now());
        let answers = bench.poll(self.address);
        let mut payloads =
            answers.iter().map(|answer| self.open(answer)).filter(|(kind, _)| *kind == PacketKind::Payload);
        let mut snapshot = Snapshot::default();
        let found = payloads.any(|(_, body)| snapshot.decode_into(&body).is_ok());
        assert!(found, "no snapshot among {} datagrams", answers.len());
        snapshot
    }
}

/// What a snapshot tells its player of itself.
pub fn own(snapshot: &Snapshot) -> Own {
    Own::from_fields(snapshot.own.as_slice()).expect("a player's")
}
