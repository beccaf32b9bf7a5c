//! What of a server shows only from within: how it finds whom a datagram is from, and what it keeps of who was there.

use gameserver_game::arena::Arena;
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind, write_request,
};

use super::*;
use crate::looks;

const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 7777);
const KEY: Key = [9; 32];

fn at(milliseconds: u64) -> Now {
    let monotonic = Duration::from_millis(milliseconds);
    Now { monotonic, unix: Duration::from_secs(1_790_000_000) + monotonic }
}

fn server(capacity: usize, tick_hz: u32) -> ZoneServer<Arena> {
    let mut server = ZoneServer::new(ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: vec![SERVER],
        capacity,
        tick_hz,
        timeout: Duration::from_secs(5),
        boot_unix_ms: 1_790_000_000_000,
        random: [1; 32],
        max_commands_per_tick: 1,
        snapshot_bytes: crate::MAX_SNAPSHOT_BYTES,
        replication_hz: tick_hz,
        interpolation: crate::DEFAULT_INTERPOLATION,
        registry: None,
    })
    .expect("a valid configuration");
    server.install_key(KEY);
    server
}

/// Half of all players live behind one address, at a port each, and the others at an address each.
fn home(number: u16) -> SocketAddr {
    let [high, low] = number.to_be_bytes();
    if number.is_multiple_of(2) {
        SocketAddr::from(([10, 0, 0, 1], number))
    } else {
        SocketAddr::from(([10, high, low, 2], 7))
    }
}

struct Peer {
    address: SocketAddr,
    token: ConnectToken,
    sequence: u64,
}

impl Peer {
    /// Somebody who has come in and knows it.
    fn join(server: &mut ZoneServer<Arena>, number: u16) -> Self {
        let mut random = [7; 88];
        random[..2].copy_from_slice(&number.to_le_bytes());
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &[SERVER],
            client_id: number.into(),
            user_data: &[0; 256],
            now_unix: at(0).unix,
            lifetime_seconds: 30,
            timeout_seconds: 5,
        };
        let token = claims.mint(&KEY, &random).expect("valid claims");
        let mut peer = Self { address: home(number), token, sequence: 0 };
        let mut request = vec![0; 1200];
        let len = write_request(&peer.token, &mut request).expect("there is room");
        server.handle_datagram(at(0), peer.address, &mut request[..len]);
        let challenge = peer.challenge(server);
        peer.send(server, PacketKind::Response, &challenge);
        peer.send(server, PacketKind::KeepAlive, &[0; 8]);
        while server.poll_transmit(at(0), &mut [0; 1200]).is_some() {}
        peer
    }

    fn challenge(&self, server: &mut ZoneServer<Arena>) -> Vec<u8> {
        let mut buffer = [0; 1200];
        let transmit = server.poll_transmit(at(0), &mut buffer).expect("an answer");
        let header = PacketHeader::parse(&buffer[..transmit.len]).expect("a packet");
        let key = PacketKey::new(&self.token.server_to_client_key, PROTOCOL_ID);
        key.open(&header, &mut buffer[..transmit.len]).expect("for this client").to_vec()
    }

    fn seal(&mut self, kind: PacketKind, body: &[u8]) -> Vec<u8> {
        let mut packet = vec![0; 1200];
        let key = PacketKey::new(&self.token.client_to_server_key, PROTOCOL_ID);
        let len = key.seal_body(kind, self.sequence, &mut packet, body).expect("a valid body");
        self.sequence += 1;
        packet.truncate(len);
        packet
    }

    fn send(&mut self, server: &mut ZoneServer<Arena>, kind: PacketKind, body: &[u8]) {
        let mut packet = self.seal(kind, body);
        server.handle_datagram(at(0), self.address, &mut packet);
    }
}

/// Looks at tables for a packet of each of these players, and for as many from addresses of nobody.
fn looks_for_each(server: &mut ZoneServer<Arena>, peers: &mut [Peer]) -> (u64, u64) {
    let own: Vec<_> =
        peers.iter_mut().map(|peer| (peer.address, peer.seal(PacketKind::KeepAlive, &[0; 8]))).collect();
    let strange = (20_000..).map(home).zip(own.iter().map(|(_, packet)| packet.clone())).collect();
    let mut taken = |packets: Vec<(SocketAddr, Vec<u8>)>| {
        looks::taken_by(|| {
            for (from, mut packet) in packets {
                server.handle_datagram(at(0), from, &mut packet);
            }
        })
    };
    (taken(own), taken(strange))
}

/// Every look is counted: at an address of the table of places, and at a session or handshake of theirs.
#[test]
fn whom_a_datagram_is_from_is_found_by_as_few_looks_among_ten_thousand_as_among_ten() {
    let (few, many) = (10, 10_000);
    let mut server = server(many, 1);
    let mut peers: Vec<_> = (0..10).map(|number| Peer::join(&mut server, number)).collect();
    let (of_few, strangers_of_few) = looks_for_each(&mut server, &mut peers);
    peers.extend((10..10_000).map(|number| Peer::join(&mut server, number)));
    let (of_many, strangers_of_many) = looks_for_each(&mut server, &mut peers);
    assert_eq!(server.status(at(0)).players, many);
    assert_eq!(server.counters().refused(Refusal::NoSession), (few + many) as u64);
    let each = |looks: u64, packets: usize| looks / packets as u64;
    assert_eq!((each(of_few, few), each(of_many, many)), (3, 3), "{of_few} and {of_many}");
    // entries of a table that share seven bits of their hash are compared as well
    assert!(strangers_of_few <= 1, "{strangers_of_few} looks");
    assert!(strangers_of_many <= many as u64 / 20, "{strangers_of_many} looks");
}

/// All that a server keeps of whoever is in a slot, apart from the session and the world.
fn kept(server: &ZoneServer<Arena>, slot: usize) -> String {
    format!("{:?} {:?} {:?}", server.players[slot], server.viewers[slot], server.foreseen[slot])
}

#[test]
fn of_whoever_is_gone_nothing_is_kept_for_the_next_in_its_slot() {
    type Way = fn(&mut ZoneServer<Arena>, &mut Peer);
    let ways: [(&str, Way); 3] = [
        ("it says goodbye", |server, peer| peer.send(server, PacketKind::Disconnect, &[])),
        ("it is heard no more", |server, _| server.step(at(6000))),
        ("it is sent away", |server, _| server.disconnect_all(at(1000))),
    ];
    for (name, goes) in ways {
        let mut server = server(2, 64);
        let blank = kept(&server, 0);
        let mut peer = Peer::join(&mut server, 1);
        for tick in 1..=20 {
            server.step(at(tick * 1000 / 64));
            while server.poll_transmit(at(tick * 1000 / 64), &mut [0; 1200]).is_some() {}
        }
        assert_ne!(kept(&server, 0), blank, "{name}: while it is here");
        goes(&mut server, &mut peer);
        assert_eq!(kept(&server, 0), blank, "{name}");
    }
}
