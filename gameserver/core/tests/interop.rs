//! The standard's own client against our server, and our client against its server, over real sockets.
#![expect(
    clippy::disallowed_methods,
    reason = "the other implementation reads the system clock, so this test must"
)]

use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant, SystemTime};

use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, Now, ServerConfig, ZoneServer,
};
use gameserver_game::arena::Arena;
use gameserver_game::arena::own::Own;
use gameserver_protocol::message::{
    FieldList, Fields, Input, InputsHead, ResumeToken, Snapshot, encode_inputs,
};
use gameserver_protocol::{ConnectToken, ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKind};
use netcode::{Client, ClientState, generate_connect_token};

const SERVER_KEY: [u8; 32] = [9; 32];

struct Server {
    core: ZoneServer<Arena>,
    socket: UdpSocket,
    started: Instant,
    stepped: Duration,
    /// Packet that is still to be lost: its kind, and whether it is one for the server.
    to_lose: Option<(PacketKind, bool)>,
}

impl Server {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
        Self::on(socket, 4, [3; 32])
    }

    /// A boot of its own on this socket.
    fn on(socket: UdpSocket, capacity: usize, random: [u8; 32]) -> Self {
        let mut core = ZoneServer::new(ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![socket.local_addr().expect("bound")],
            capacity,
            tick_hz: 64,
            timeout: Duration::from_secs(5),
            boot_unix_ms: u64::try_from(unix().as_millis()).expect("this era"),
            random,
            max_commands_per_tick: 1000,
            snapshot_bytes: MAX_SNAPSHOT_BYTES,
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
        })
        .expect("a valid configuration");
        core.install_key(SERVER_KEY);
        Self { core, socket, started: Instant::now(), stepped: Duration::ZERO, to_lose: None }
    }

    fn address(&self) -> SocketAddr {
        self.socket.local_addr().expect("bound")
    }

    fn mint(&self, client_id: u64) -> ConnectToken {
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &[self.address()],
            client_id,
            user_data: &[1; 256],
            now_unix: unix(),
            lifetime_seconds: 30,
            timeout_seconds: 5,
        };
        let random = std::array::from_fn(|byte| byte.to_le_bytes()[0] ^ client_id.to_le_bytes()[0]);
        claims.mint(&SERVER_KEY, &random).expect("valid claims")
    }

    /// Whether this is the packet to lose, which it is once.
    fn is_lost(&mut self, bytes: &[u8], is_to_server: bool) -> bool {
        let kind = PacketHeader::parse(bytes).map_or(PacketKind::Request, |header| header.kind);
        self.to_lose.take_if(|to_lose| *to_lose == (kind, is_to_server)).is_some()
    }

    fn now(&self) -> Now {
        Now { monotonic: self.started.elapsed(), unix: unix() }
    }

    /// Waits up to two milliseconds for a datagram, steps when a tick is due, sends what there is.
    fn turn(&mut self) {
        let mut buffer = [0; 2048];
        if let Ok((len, from)) = self.socket.recv_from(&mut buffer)
            && !self.is_lost(&buffer[..len], true)
        {
            self.core.handle_datagram(self.now(), from, &mut buffer[..len]);
        }
        if self.now().monotonic >= self.stepped + Duration::from_millis(15) {
            self.stepped = self.now().monotonic;
            self.core.step(self.now());
        }
        while let Some(transmit) = self.core.poll_transmit(self.now(), &mut buffer) {
            if !self.is_lost(&buffer[..transmit.len], false) {
                self.socket.send_to(&buffer[..transmit.len], transmit.to).expect("sent");
            }
        }
    }
}

fn unix() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970")
}

fn connect(server: &mut Server, token: &[u8; 2048]) -> Client {
    let started = Instant::now();
    let mut client = Client::new("127.0.0.1:0".parse().expect("an address"), 0.0).expect("a client");
    client.connect(token).expect("a token that it can read");
    while client.state() != ClientState::Connected {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "still {:?}: {:?}",
            client.state(),
            server.core.counters()
        );
        client.update(started.elapsed().as_secs_f64());
        server.turn();
    }
    client
}

fn play(server: &mut Server, client: &mut Client) {
    let started = Instant::now();
    let (mut snapshot, mut message) = (Snapshot::default(), [0; 1200]);
    let (mut place, mut target) = (None, None);
    loop {
        assert!(started.elapsed() < Duration::from_secs(10), "{snapshot:?} {:?}", server.core.counters());
        client.update(1.0 + started.elapsed().as_secs_f64());
        while let Some((payload, _)) = client.receive_packet() {
            if snapshot.decode_into(&payload).is_err() {
                ResumeToken::decode(&payload).expect("if no snapshot, then a resume token");
                continue;
            }
            place = Own::from_fields(snapshot.own.as_slice()).map(|own| (own.x, own.y));
            target = target.or_else(|| place.map(|(x, y)| (x, y.max(1000) - 1000)));
        }
        if snapshot.head.last_input_sequence == 1 && place == target {
            return;
        }
        if let Some((x, y)) = target {
            let input = Input { sequence: 1, tick: 0, intent: FieldList::new(&[0, x.into(), y.into()]) };
            let head = InputsHead { ack_tick: snapshot.head.tick, ..InputsHead::default() };
            let len = encode_inputs(&mut message, &head, [input].iter()).expect("one input");
            client.send_packet(&message[..len]).expect("connected");
        }
        server.turn();
    }
}

fn goodbye(server: &mut Server, mut client: Client) {
    client.disconnect();
    let started = Instant::now();
    while server.core.status(server.now()).players > 0 {
        assert!(started.elapsed() < Duration::from_secs(10));
        server.turn();
    }
    assert_eq!(server.core.counters().leaves, 1);
    assert_eq!(server.core.counters().timeouts, 0);
}

#[test]
fn the_reference_client_joins_with_a_token_that_we_minted_and_plays() {
    let mut server = Server::bind();
    let token = server.mint(77);
    let mut client = connect(&mut server, &token.to_bytes());
    assert_eq!((client.client_index(), client.max_clients()), (0, 4));
    play(&mut server, &mut client);
    goodbye(&mut server, client);
}

#[test]
fn the_reference_client_joins_with_a_token_of_the_reference_backend() {
    let mut server = Server::bind();
    let addresses = [server.address()];
    let token =
        generate_connect_token(&addresses, &addresses, 30, 5, 78, PROTOCOL_ID, &SERVER_KEY, &[2; 256])
            .expect("a token");
    let mut client = connect(&mut server, &token);
    play(&mut server, &mut client);
    server.core.disconnect_all(server.now());
    let started = Instant::now();
    while client.state() == ClientState::Connected {
        assert!(started.elapsed() < Duration::from_secs(10));
        server.turn();
        client.update(2.0 + started.elapsed().as_secs_f64());
    }
    assert_eq!(client.state(), ClientState::Disconnected, "a goodbye, not a time-out");
}

/// Each packet of the handshake lost once.
#[test]
fn the_reference_client_joins_whichever_packet_is_lost() {
    for to_lose in [
        (PacketKind::Request, true),
        (PacketKind::Challenge, false),
        (PacketKind::Response, true),
        (PacketKind::KeepAlive, false),
    ] {
        let mut server = Server::bind();
        server.to_lose = Some(to_lose);
        let token = server.mint(1);
        let client = connect(&mut server, &token.to_bytes());
        assert_eq!(server.to_lose, None, "{to_lose:?} was lost");
        assert_eq!(server.core.counters().joins, 1);
        goodbye(&mut server, client);
    }
}

#[test]
fn the_reference_client_hears_that_a_server_is_full() {
    let mut server = Server::on(Server::bind().socket, 1, [3; 32]);
    let (first, second) = (server.mint(1), server.mint(2));
    let _inside = connect(&mut server, &first.to_bytes());
    let mut client = Client::new("127.0.0.1:0".parse().expect("an address"), 0.0).expect("a client");
    client.connect(&second.to_bytes()).expect("a token that it can read");
    let started = Instant::now();
    while client.state() != ClientState::ConnectionDenied {
        assert!(started.elapsed() < Duration::from_secs(10), "still {:?}", client.state());
        client.update(started.elapsed().as_secs_f64());
        server.turn();
    }
}

/// A resume token is a connect token of the standard: any client comes back with it, also to another boot.
#[test]
fn the_reference_client_comes_back_by_a_resume_token_to_a_server_that_was_restarted() {
    let mut server = Server::bind();
    let token = server.mint(77);
    let mut client = connect(&mut server, &token.to_bytes());
    let (started, mut message) = (Instant::now(), [0; 1200]);
    let resume = loop {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", server.core.counters());
        client.update(1.0 + started.elapsed().as_secs_f64());
        let tokens =
            std::iter::from_fn(|| client.receive_packet()).map(|(payload, _)| ResumeToken::decode(&payload));
        if let Some(token) = tokens.flatten().last() {
            break token;
        }
        let len = encode_inputs(&mut message, &InputsHead::default(), [].iter()).expect("no input");
        client.send_packet(&message[..len]).expect("connected");
        server.turn();
    };
    let resume = resume.connect_token(PROTOCOL_ID, server.address(), Duration::ZERO).expect("it is fresh");
    drop(client);
    let mut server = Server::on(server.socket, 4, [4; 32]);
    let mut client = connect(&mut server, &resume.to_bytes());
    play(&mut server, &mut client);
    assert_eq!((server.core.counters().resumes, server.core.counters().joins), (1, 1));
    goodbye(&mut server, client);
}

/// The other way round: our client at the reference server, there and back.
#[test]
fn our_client_joins_the_reference_server() {
    let bind = "127.0.0.1:0".parse().expect("an address");
    let mut server = netcode::Server::new(bind, PROTOCOL_ID, &SERVER_KEY, 0.0).expect("a server");
    server.start(4).expect("four places");
    let addresses = [server.address()];
    let bytes =
        generate_connect_token(&addresses, &addresses, 30, 5, 79, PROTOCOL_ID, &SERVER_KEY, &[2; 256]);
    let token = ConnectToken::parse(&bytes.expect("a token")).expect("a token that we can read");
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
    socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
    let started = Instant::now();
    let now = || Now { monotonic: started.elapsed(), unix: unix() };
    let mut client = gameserver_client::Client::<Arena>::new(token, 64, now(), [1; 32]);
    let mut is_heard = false;
    let mut turn = |client: &mut gameserver_client::Client<Arena>, server: &mut netcode::Server| {
        assert!(started.elapsed() < Duration::from_secs(10), "{:?}", client.state());
        let mut buffer = [0; 2048];
        client.update(now());
        while let Some(transmit) = client.poll_transmit(now(), &mut buffer) {
            socket.send_to(&buffer[..transmit.len], transmit.to).expect("sent");
        }
        server.update(started.elapsed().as_secs_f64());
        while server.receive_packet(0).is_some() {
            is_heard = true;
        }
        if let Ok((len, _)) = socket.recv_from(&mut buffer) {
            client.handle_datagram(now(), &mut buffer[..len]);
        }
        is_heard
    };
    while !turn(&mut client, &mut server) || client.state() != gameserver_client::ClientState::Connected {}
    assert_eq!((server.client_id(0), server.num_connected_clients()), (79, 1));
    client.disconnect();
    while server.num_connected_clients() > 0 {
        turn(&mut client, &mut server);
    }
}
