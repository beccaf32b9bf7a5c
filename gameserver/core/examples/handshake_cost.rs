//! What a handshake, a resume and a leave cost, alone and with other threads at the same registry:
//! `cargo run --release --example handshake_cost [threads]`.
//!
//! Each thread has a server and players of its own, who connect, come back by a resume token and leave. Only the server's
//! part is measured. Medians of batches of a hundred, with a registry for each server and with one for all.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program reads the clock, prints and takes means"
)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use gameserver_client::{Client, ClientState, ConnectToken};
use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, Now, Refusal, Registry, ServerConfig,
    ZoneServer,
};
use gameserver_game::arena::Arena;
use gameserver_protocol::message::RESUME_MESSAGE_BYTES;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};

const TICK_HZ: u32 = 64;
const SERVER_KEY: [u8; 32] = [9; 32];
const BATCH: u64 = 100;
const BATCHES: u64 = 60;
/// Nothing else is as long as a resume token with the session's 25 bytes around it.
const RESUME_DATAGRAM: usize = RESUME_MESSAGE_BYTES + 25;
const SERVER: ([u8; 4], u16) = ([192, 0, 2, 1], 7777);

/// Nanoseconds of a server's work for one player, by batch.
#[derive(Default)]
struct Costs {
    connect: Vec<f64>,
    resume: Vec<f64>,
    leave: Vec<f64>,
    /// Of each resume token by itself.
    token: Vec<f64>,
    busy: u64,
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let threads = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(2);
    for (name, registry) in [
        ("a registry each", None),
        ("one registry", Some(Arc::new(Registry::new(threads * 2000, 1_790_000_000_000, &[1; 32])))),
    ] {
        let costs: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads)
                .map(|thread| {
                    let registry = registry.clone();
                    scope.spawn(move || Bench::new(thread as u64, registry).run())
                })
                .collect();
            running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
        });
        let all = |part: fn(&Costs) -> &Vec<f64>| {
            let mut values: Vec<_> = costs.iter().flat_map(|costs| part(costs).iter().copied()).collect();
            median(&mut values) / 1e3
        };
        let busy: u64 = costs.iter().map(|costs| costs.busy).sum();
        println!(
            "{name}, {threads} threads: connect {:.1} us, resume {:.1} us, leave {:.2} us, resume token {:.1} us; found it busy {busy} times in {}",
            all(|costs| &costs.connect),
            all(|costs| &costs.resume),
            all(|costs| &costs.leave),
            all(|costs| &costs.token),
            threads as u64 * BATCH * BATCHES * 5,
        );
    }
}

struct Bench {
    server: ZoneServer<Arena>,
    thread: u64,
    elapsed: Duration,
    spent: Duration,
    tokens: Vec<f64>,
}

impl Bench {
    fn new(thread: u64, registry: Option<Arc<Registry>>) -> Self {
        let mut server = ZoneServer::new(ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: vec![SERVER.into()],
            capacity: 2000,
            tick_hz: TICK_HZ,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 1_790_000_000_000,
            random: [1; 32],
            max_commands_per_tick: 1000,
            snapshot_bytes: MAX_SNAPSHOT_BYTES,
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry,
        })
        .expect("a valid configuration");
        server.install_key(SERVER_KEY);
        Self { server, thread, elapsed: Duration::ZERO, spent: Duration::ZERO, tokens: Vec::new() }
    }

    fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: Duration::from_secs(1_790_000_000) + self.elapsed }
    }

    fn mint(&self, client_id: u64) -> ConnectToken {
        let mut random = [3; 88];
        random[..8].copy_from_slice(&client_id.to_le_bytes());
        let claims = ConnectTokenClaims {
            protocol_id: PROTOCOL_ID,
            server_addresses: &[SERVER.into()],
            client_id,
            user_data: &[0; 256],
            now_unix: self.now().unix,
            lifetime_seconds: 30,
            timeout_seconds: 5,
        };
        claims.mint(&SERVER_KEY, &random).expect("valid claims")
    }

    /// Delivers what the clients send and the answers; only the server's part is on the clock.
    fn exchange(&mut self, clients: &mut [(SocketAddr, Client<Arena>)]) {
        self.elapsed += Duration::from_millis(20);
        let (now, mut buffer, mut sent) = (self.now(), [0; 1200], Vec::new());
        for (address, client) in &mut *clients {
            client.update(now);
            while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
                sent.push((*address, buffer[..transmit.len].to_vec()));
            }
        }
        let mut answers = vec![(SocketAddr::from(SERVER), [0; 1200], 0); 12 * clients.len()];
        let started = Instant::now();
        for (from, datagram) in &mut sent {
            self.server.handle_datagram(now, *from, datagram);
        }
        self.spent += started.elapsed();
        for answer in &mut answers {
            let started = Instant::now();
            let Some(transmit) = self.server.poll_transmit(now, &mut answer.1) else { break };
            (answer.0, answer.2) = (transmit.to, transmit.len);
            if transmit.len == RESUME_DATAGRAM {
                self.tokens.push(started.elapsed().as_secs_f64() * 1e9);
            } else {
                self.spent += started.elapsed();
            }
        }
        for (to, bytes, len) in &mut answers {
            if let Some((_, client)) = clients.iter_mut().find(|(address, _)| address == to) {
                client.handle_datagram(now, &mut bytes[..*len]);
            }
        }
    }

    /// Exchanges until all clients are connected, and returns the server's nanoseconds for each.
    fn join(&mut self, clients: &mut [(SocketAddr, Client<Arena>)]) -> f64 {
        self.spent = Duration::ZERO;
        while clients.iter().any(|(_, client)| client.state() != ClientState::Connected) {
            self.exchange(clients);
        }
        self.spent.as_secs_f64() * 1e9 / BATCH as f64
    }

    fn run(mut self) -> Costs {
        let mut costs = Costs::default();
        for batch in 0..BATCHES {
            let address =
                |port: u64| SocketAddr::from(([10, 0, 0, 1], u16::try_from(1024 + port).unwrap_or(0)));
            let mut clients: Vec<_> = (0..BATCH)
                .map(|number| {
                    let id = self.thread << 32 | batch << 16 | number;
                    (address(number), Client::new(self.mint(id), TICK_HZ, self.now(), [2; 32]))
                })
                .collect();
            costs.connect.push(self.join(&mut clients));
            // a few ticks, so that everybody has a resume token
            while clients.iter().any(|(_, client)| client.resume_token(self.now()).is_none()) {
                self.elapsed += Duration::from_millis(100);
                self.server.step(self.now());
                self.exchange(&mut clients);
            }
            let tokens =
                clients.iter().map(|(_, client)| client.resume_token(self.now()).expect("it has one"));
            let mut clients: Vec<_> = (BATCH..)
                .zip(tokens)
                .map(|(port, token)| (address(port), Client::new(token, TICK_HZ, self.now(), [2; 32])))
                .collect();
            costs.resume.push(self.join(&mut clients));
            for (_, client) in &mut clients {
                client.disconnect();
            }
            self.spent = Duration::ZERO;
            self.exchange(&mut clients);
            costs.leave.push(self.spent.as_secs_f64() * 1e9 / BATCH as f64);
            self.elapsed += Duration::from_secs(1);
            self.server.step(self.now());
        }
        costs.token = self.tokens;
        costs.busy = self.server.counters().refused(Refusal::Busy);
        costs
    }
}
