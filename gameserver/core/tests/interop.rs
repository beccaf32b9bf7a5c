//! The standard's own client against our server, over a real socket.
#![expect(
    clippy::disallowed_methods,
    reason = "the other implementation reads the system clock, so this test must"
)]

use std::net::UdpSocket;
use std::time::{Duration, Instant, SystemTime};

use gameserver_core::{Now, ServerConfig, ZoneServer};
use gameserver_protocol::message::{Input, Intent, ResumeToken, Snapshot, encode_inputs};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};
use netcode::{Client, ClientState, generate_connect_token};

const SERVER_KEY: [u8; 32] = [9; 32];

struct Server {
    core: ZoneServer,
    socket: UdpSocket,
    started: Instant,
    stepped: Duration,
}

impl Server {
    fn bind() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback socket");
        socket.set_read_timeout(Some(Duration::from_millis(2))).expect("a timeout");
        let mut core = ZoneServer::new(ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![socket.local_addr().expect("bound")],
            capacity: 4,
            tick_hz: 64,
            timeout: Duration::from_secs(5),
            boot_unix_ms: u64::try_from(unix().as_millis()).expect("this era"),
            random: [3; 32],
            max_commands_per_tick: 1000,
            registry: None,
        })
        .expect("a valid configuration");
        core.install_key(SERVER_KEY);
        Self { core, socket, started: Instant::now(), stepped: Duration::ZERO }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.started.elapsed(), unix: unix() }
    }

    /// Waits up to two milliseconds for a datagram, steps when a tick is due, sends what there is.
    fn turn(&mut self) {
        let mut buffer = [0; 2048];
        if let Ok((len, from)) = self.socket.recv_from(&mut buffer) {
            self.core.handle_datagram(self.now(), from, &mut buffer[..len]);
        }
        if self.now().monotonic >= self.stepped + Duration::from_millis(15) {
            self.stepped = self.now().monotonic;
            self.core.step(self.now());
        }
        while let Some(transmit) = self.core.poll_transmit(self.now(), &mut buffer) {
            self.socket.send_to(&buffer[..transmit.len], transmit.to).expect("sent");
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
    let mut target = None;
    loop {
        assert!(started.elapsed() < Duration::from_secs(10), "{snapshot:?} {:?}", server.core.counters());
        client.update(1.0 + started.elapsed().as_secs_f64());
        while let Some((payload, _)) = client.receive_packet() {
            if snapshot.decode_into(&payload).is_err() {
                ResumeToken::decode(&payload).expect("if no snapshot, then a resume token");
                continue;
            }
            target.get_or_insert_with(|| (snapshot.head.x, snapshot.head.y.max(1000) - 1000));
        }
        if snapshot.head.last_input_sequence == 1 && Some((snapshot.head.x, snapshot.head.y)) == target {
            return;
        }
        if let Some((x, y)) = target {
            let input = Input { sequence: 1, tick: 0, intent: Intent::Move { x, y } };
            let len = encode_inputs(&mut message, snapshot.head.tick, [input].iter()).expect("one input");
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
    let addresses = [server.socket.local_addr().expect("bound")];
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &addresses,
        client_id: 77,
        user_data: &[1; 256],
        now_unix: unix(),
        lifetime_seconds: 30,
        timeout_seconds: 5,
    };
    let token =
        claims.mint(&SERVER_KEY, &std::array::from_fn(|byte| byte.to_le_bytes()[0])).expect("valid claims");
    let mut client = connect(&mut server, &token.to_bytes());
    assert_eq!((client.client_index(), client.max_clients()), (0, 4));
    play(&mut server, &mut client);
    goodbye(&mut server, client);
}

#[test]
fn the_reference_client_joins_with_a_token_of_the_reference_backend() {
    let mut server = Server::bind();
    let addresses = [server.socket.local_addr().expect("bound")];
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
