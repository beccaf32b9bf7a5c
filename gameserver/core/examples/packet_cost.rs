//! What a packet and a tick cost, stage by stage, without a network: `cargo run --release --example packet_cost`.
//!
//! 1000 players send one input a tick at 64 Hz; the server opens, decodes, limits and buffers it, carries it out,
//! and makes and seals everyone's snapshot. The cost of sealing and opening alone is measured on packets of the
//! same sizes and taken off, which leaves our own code.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program reads the clock, prints and takes means"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gameserver_client::{Client, ClientState};
use gameserver_core::{Now, ServerConfig, ZoneServer};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind};

const TICK_HZ: u32 = 64;
const WARM_UP: u32 = 64;
const TICKS: u32 = 640;

struct Flow {
    packets: u64,
    bytes: usize,
    elapsed: Duration,
}

impl Flow {
    fn new() -> Self {
        Self { packets: 0, bytes: 0, elapsed: Duration::ZERO }
    }

    fn add(&mut self, bytes: usize) {
        self.packets += 1;
        self.bytes += bytes;
    }

    fn nanos(&self) -> f64 {
        self.elapsed.as_secs_f64() * 1e9 / self.packets.max(1) as f64
    }

    fn mean_bytes(&self) -> usize {
        self.bytes / usize::try_from(self.packets.max(1)).unwrap_or(1)
    }
}

fn main() {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let players = arguments.first().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let is_crowd = arguments.get(1).is_some_and(|spread| spread == "crowd");
    let mut bench = Bench::new(players, is_crowd);
    bench.connect();
    bench.run();
}

struct Bench {
    server: ZoneServer,
    clients: Vec<(SocketAddr, Client)>,
    is_crowd: bool,
    elapsed: Duration,
}

impl Bench {
    fn new(players: u16, is_crowd: bool) -> Self {
        let mut server = ZoneServer::new(ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: Vec::new(),
            capacity: players.into(),
            tick_hz: TICK_HZ,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 1_790_000_000_000,
            random: [1; 32],
            max_commands_per_tick: 4000,
        })
        .expect("a valid configuration");
        server.install_key([9; 32]);
        let mut bench = Self { server, clients: Vec::new(), is_crowd, elapsed: Duration::ZERO };
        for number in 0..players {
            let mut random = [3; 88];
            random[..2].copy_from_slice(&number.to_le_bytes());
            let claims = ConnectTokenClaims {
                protocol_id: PROTOCOL_ID,
                server_addresses: &[SocketAddr::from(([127, 0, 0, 1], 7777))],
                client_id: number.into(),
                user_data: &[0; 256],
                now_unix: bench.now().unix,
                lifetime_seconds: 30,
                timeout_seconds: 5,
            };
            let token = claims.mint(&[9; 32], &random).expect("valid claims");
            let address = SocketAddr::from(([10, 0, 0, 1], 1024 + number));
            let client = Client::new(token, bench.now(), [2; 32]);
            bench.clients.push((address, client));
        }
        bench
    }

    fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: Duration::from_secs(1_790_000_000) + self.elapsed }
    }

    /// Everything that the clients have to send.
    fn gather(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
        let (now, mut buffer, mut gathered) = (self.now(), [0; 1200], Vec::new());
        for (address, client) in &mut self.clients {
            client.update(now);
            while let Some(transmit) = client.poll_transmit(now, &mut buffer) {
                gathered.push((*address, buffer[..transmit.len].to_vec()));
            }
        }
        gathered
    }

    fn deliver(&mut self, to: SocketAddr, datagram: &mut [u8]) {
        let now = self.now();
        let index = usize::from(to.port() - 1024);
        self.clients[index].1.handle_datagram(now, datagram);
    }

    fn connect(&mut self) {
        let mut buffer = [0; 1200];
        while self.clients.iter().any(|(_, client)| client.state() != ClientState::Connected) {
            self.elapsed += Duration::from_millis(10);
            for (from, mut datagram) in self.gather() {
                self.server.handle_datagram(self.now(), from, &mut datagram);
            }
            while let Some(transmit) = self.server.poll_transmit(self.now(), &mut buffer) {
                self.deliver(transmit.to, &mut buffer[..transmit.len]);
            }
        }
    }

    fn run(&mut self) {
        let (mut receive, mut send) = (Flow::new(), Flow::new());
        let mut steps = Vec::new();
        for tick in 0..WARM_UP + TICKS {
            self.elapsed += Duration::from_secs(1) / TICK_HZ;
            self.move_everyone();
            let mut arrived = self.gather();
            if tick == WARM_UP {
                (receive, send) = (Flow::new(), Flow::new());
                steps.clear();
            }
            let now = self.now();
            let started = Instant::now();
            for (from, datagram) in &mut arrived {
                self.server.handle_datagram(now, *from, datagram);
            }
            receive.elapsed += started.elapsed();
            for (_, datagram) in &arrived {
                receive.add(datagram.len());
            }
            let started = Instant::now();
            self.server.step(now);
            steps.push(started.elapsed());
            self.flush(&mut send);
        }
        self.report(&receive, &mut steps, &send);
    }

    fn flush(&mut self, send: &mut Flow) {
        let (now, mut transmits) = (self.now(), Vec::new());
        let mut buffers = vec![[0; 1200]; self.clients.len() + 8];
        let started = Instant::now();
        for buffer in &mut buffers {
            let Some(transmit) = self.server.poll_transmit(now, buffer) else { break };
            transmits.push(transmit);
        }
        send.elapsed += started.elapsed();
        for (transmit, buffer) in transmits.into_iter().zip(&mut buffers) {
            send.add(transmit.len);
            self.deliver(transmit.to, &mut buffer[..transmit.len]);
        }
    }

    fn move_everyone(&mut self) {
        let (now, is_crowd) = (self.now(), self.is_crowd);
        for (address, client) in &mut self.clients {
            let Some(head) = client.snapshot().map(|snapshot| snapshot.head) else { continue };
            // a walk in circles where one is, or towards the middle of the map
            let turn = i32::from(address.port() % 7) - 3;
            let (x, y) = if is_crowd {
                (
                    head.x + (520_000 - head.x).clamp(-5000, 5000),
                    head.y + (520_000 - head.y).clamp(-5000, 5000),
                )
            } else {
                ((head.x + turn * 500).clamp(0, 1_000_000), (head.y + 700).clamp(0, 1_000_000))
            };
            client.send_move(now, x, y);
        }
    }

    fn report(&self, receive: &Flow, steps: &mut [Duration], send: &Flow) {
        steps.sort_unstable();
        let micros = |step: Duration| step.as_secs_f64() * 1e6;
        let (open, seal) = (aead(receive.mean_bytes(), true), aead(send.mean_bytes(), false));
        let players = self.clients.len();
        let step = steps.iter().sum::<Duration>().as_secs_f64() / steps.len() as f64;
        let step_nanos = step * 1e9 / players as f64;
        println!(
            "{players} players, {TICKS} ticks at {TICK_HZ} Hz, {}",
            if self.is_crowd { "crowd" } else { "spread" }
        );
        println!(
            "receive: {:7.1} ns a packet of {} B, of which AEAD {open:.1}",
            receive.nanos(),
            receive.mean_bytes()
        );
        println!(
            "step:    {step_nanos:7.1} ns a player; {:.1} us a tick, p50 {:.1}, max {:.1}",
            step * 1e6,
            micros(steps[steps.len() / 2]),
            micros(steps[steps.len() - 1])
        );
        println!(
            "send:    {:7.1} ns a packet of {} B, of which AEAD {seal:.1}",
            send.nanos(),
            send.mean_bytes()
        );
        println!(
            "own code: receive {:.0}, send {:.0} ns a packet",
            receive.nanos() - open,
            send.nanos() - seal
        );
        let busy = receive.elapsed + send.elapsed + Duration::from_secs_f64(step * f64::from(TICKS));
        let share = busy.as_secs_f64() * f64::from(TICK_HZ) / f64::from(TICKS);
        println!("all:     {:.1} % of a core", share * 100.0);
        println!("{:?}", self.server.counters());
    }
}

/// Nanoseconds to open or seal one packet of this size, and nothing else.
fn aead(packet_bytes: usize, is_open: bool) -> f64 {
    const ROUNDS: usize = 100_000;
    let key = PacketKey::new(&[1; 32], PROTOCOL_ID);
    let body_len = packet_bytes.saturating_sub(25).max(1);
    let mut packet = [0; 1300];
    let len = key.seal(PacketKind::Payload, 1 << 60, &mut packet, body_len).expect("there is room");
    let mut copies: Vec<_> = (0..ROUNDS.min(1000)).map(|_| packet).collect();
    let mut elapsed = Duration::ZERO;
    for _ in 0..ROUNDS / copies.len() {
        copies.fill(packet);
        let started = Instant::now();
        for copy in &mut copies {
            if is_open {
                let header = PacketHeader::parse(&copy[..len]).expect("a packet");
                key.open(&header, &mut copy[..len]).expect("authentic");
            } else {
                key.seal(PacketKind::Payload, 1 << 60, copy, body_len).expect("there is room");
            }
        }
        elapsed += started.elapsed();
    }
    elapsed.as_secs_f64() * 1e9 / ROUNDS as f64
}
