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
use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, DEFAULT_SNAPSHOT_BYTES, Now, ServerConfig, ZoneServer,
};
use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind};

const TICK_HZ: u32 = 64;
const WARM_UP: u32 = 64;
const TICKS: u32 = 640;

/// One direction: nanoseconds a packet, tick by tick. The median of ticks is what is reported, because a tick in
/// which another process had the core says nothing about us.
#[derive(Default)]
struct Flow {
    nanos: Vec<f64>,
    packets: usize,
    bytes: usize,
}

impl Flow {
    fn add(&mut self, elapsed: Duration, lengths: impl ExactSizeIterator<Item = usize>) {
        self.nanos.push(elapsed.as_secs_f64() * 1e9 / lengths.len().max(1) as f64);
        self.packets += lengths.len();
        self.bytes += lengths.sum::<usize>();
    }

    fn mean_bytes(&self) -> usize {
        self.bytes / self.packets.max(1)
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
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
    server: ZoneServer<Arena>,
    clients: Vec<(SocketAddr, Client<Arena>)>,
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
            snapshot_bytes: DEFAULT_SNAPSHOT_BYTES,
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
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
            let client = Client::new(token, TICK_HZ, bench.now(), [2; 32]);
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
        let (mut receive, mut step, mut send) = (Flow::default(), Flow::default(), Flow::default());
        for tick in 0..WARM_UP + TICKS {
            self.elapsed += Duration::from_secs(1) / TICK_HZ;
            self.move_everyone();
            let mut arrived = self.gather();
            if tick == WARM_UP {
                (receive, step, send) = (Flow::default(), Flow::default(), Flow::default());
            }
            let now = self.now();
            let started = Instant::now();
            for (from, datagram) in &mut arrived {
                self.server.handle_datagram(now, *from, datagram);
            }
            receive.add(started.elapsed(), arrived.iter().map(|(_, datagram)| datagram.len()));
            let started = Instant::now();
            self.server.step(now);
            step.add(started.elapsed(), self.clients.iter().map(|_| 0));
            self.flush(&mut send);
        }
        self.report(&mut receive, &mut step, &mut send);
    }

    fn flush(&mut self, send: &mut Flow) {
        let (now, mut transmits) = (self.now(), Vec::with_capacity(self.clients.len() + 8));
        let mut buffers = vec![[0; 1200]; self.clients.len() + 8];
        let started = Instant::now();
        for buffer in &mut buffers {
            let Some(transmit) = self.server.poll_transmit(now, buffer) else { break };
            transmits.push(transmit);
        }
        send.add(started.elapsed(), transmits.iter().map(|transmit| transmit.len));
        for (transmit, buffer) in transmits.into_iter().zip(&mut buffers) {
            self.deliver(transmit.to, &mut buffer[..transmit.len]);
        }
    }

    fn move_everyone(&mut self) {
        let (now, is_crowd) = (self.now(), self.is_crowd);
        for (address, client) in &mut self.clients {
            let Some((_, own)) = client.own() else { continue };
            // a walk in circles where one is, or towards the middle of the map
            let turn = i32::from(address.port() % 7) - 3;
            let (x, y) = if is_crowd {
                (own.x + (520_000 - own.x).clamp(-5000, 5000), own.y + (520_000 - own.y).clamp(-5000, 5000))
            } else {
                ((own.x + turn * 500).clamp(0, 1_000_000), (own.y + 700).clamp(0, 1_000_000))
            };
            client.send_soon(now, Intent::Move { x, y });
        }
    }

    fn report(&self, receive: &mut Flow, step: &mut Flow, send: &mut Flow) {
        let (open, seal) = (aead(receive.mean_bytes(), true), aead(send.mean_bytes(), false));
        let (received, stepped, flushed) =
            (median(&mut receive.nanos), median(&mut step.nanos), median(&mut send.nanos));
        let players = self.clients.len() as f64;
        let spread = if self.is_crowd { "all in one place" } else { "all over the map" };
        println!("{players} players {spread}, medians of {TICKS} ticks at {TICK_HZ} Hz");
        println!(
            "receive: {received:6.0} ns a packet of {} B, of which AEAD {open:.0}",
            receive.mean_bytes()
        );
        println!("step:    {stepped:6.0} ns a player, {:.0} us a tick", stepped * players / 1e3);
        println!("send:    {flushed:6.0} ns a packet of {} B, of which AEAD {seal:.0}", send.mean_bytes());
        println!("own code a packet: receive {:.0} ns, send {:.0} ns", received - open, flushed - seal);
        let busy = (received + stepped + flushed) * players * f64::from(TICK_HZ) / 1e9;
        println!("all: {:.1} % of a core, without the kernel", busy * 100.0);
        println!("{:?}", self.server.counters());
    }
}

/// Nanoseconds to open or seal one packet of this size, and nothing else; the median of batches.
fn aead(packet_bytes: usize, is_open: bool) -> f64 {
    let key = PacketKey::new(&[1; 32], PROTOCOL_ID);
    let body_len = packet_bytes.saturating_sub(25).max(1);
    let mut packet = [0; 1300];
    let len = key.seal(PacketKind::Payload, 1 << 60, &mut packet, body_len).expect("there is room");
    let (mut copies, mut nanos) = (vec![packet; 1000], Vec::new());
    for _ in 0..200 {
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
        nanos.push(started.elapsed().as_secs_f64() * 1e9 / copies.len() as f64);
    }
    median(&mut nanos)
}
