//! What datagrams, ticks and players cost, without a network: one JSON object. `cargo xtask bench costs` makes a page of it.
//!
//! `costs PLAYERS PLACE TICK_HZ`: players send 20 inputs a second (21 at 64 and 128 Hz: each third or sixth tick), in turns; the server opens, decodes, limits and buffers
//! them, carries them out, and makes and seals snapshots for all. PLACE is `map`, where they are spread, or `crowd`, where all
//! walk about in a tenth of the map's side. What opening and sealing alone takes is measured on packets of the same
//! sizes; the rest is our own code.
//!
//! Bytes are a matter of the seed alone and the same in each run. Beside them is what the same players would be told in
//! full: a MessagePack map of themselves and all whom they see.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program reads the clock, prints and takes means"
)]

use std::error::Error;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use gameserver_client::{Client, ClientState, Entity};
use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, Now, ServerConfig, ZoneServer, snapshot_bytes_for,
    turn_ticks,
};
use gameserver_game::Fields;
use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::rules::MAP_SIZE;
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind};
use serde::Serialize;

const INPUT_HZ: u32 = 20;
const MEASURED: Duration = Duration::from_secs(5);
/// Until all are where they belong: half a map takes 71 s.
const WAY: Duration = Duration::from_secs(75);
const SETTLE: Duration = Duration::from_secs(2);
/// Bytes around the payload: those of UDP and IPv4.
const HEADERS: usize = 28;
/// What the session puts around a message: the prefix, the sequence and the tag.
const SESSION: usize = 25;
/// What one datagram of a full state can hold.
const FULL_DATAGRAM: usize = 1200 - SESSION;
/// Full states are made of one tick in so many.
const FULL_EACH: u32 = 16;

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

    /// With all headers, for each of so many players.
    fn kbit_a_second(&self, players: usize) -> f64 {
        let bytes = self.bytes + self.packets * HEADERS;
        bytes as f64 * 8.0 / 1e3 / players as f64 / MEASURED.as_secs_f64()
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What is printed.
#[derive(Serialize)]
struct Costs<'a> {
    players: usize,
    place: &'a str,
    tick_hz: u32,
    /// Nanoseconds.
    receive_ns: f64,
    open_ns: f64,
    step_ns: f64,
    send_ns: f64,
    seal_ns: f64,
    /// Of a datagram on average, without UDP and IP.
    received_bytes: usize,
    sent_bytes: usize,
    received_a_tick: f64,
    sent_a_tick: f64,
    /// Kilobits a second to a player, all headers counted.
    told_kbit: f64,
    /// In full at each tick, and in full whenever a player is told of others.
    full_kbit: f64,
    full_in_turns_kbit: f64,
    /// Whom a player sees, on average.
    seen: f64,
}

/// A state in full, as a server would send it that knows no better.
#[derive(Serialize)]
struct Full<'a> {
    tick: u64,
    own: &'a [i64],
    entities: Vec<FullEntity>,
}

#[derive(Serialize)]
struct FullEntity {
    id: u32,
    kind: u8,
    x: i32,
    y: i32,
    health: i32,
    effects: i32,
    score: i32,
    aim: i32,
}

impl From<&Entity> for FullEntity {
    fn from(&Entity { id, kind, x, y, fields: [health, effects, score, aim] }: &Entity) -> Self {
        Self { id, kind, x, y, health, effects, score, aim }
    }
}

/// Bytes of full states, with all that is around them.
#[derive(Default)]
struct FullStates {
    count: usize,
    with_others: usize,
    alone: usize,
    seen: usize,
}

impl FullStates {
    fn add(&mut self, client: &Client<Arena>) -> Result<(), Box<dyn Error>> {
        let Some((tick, own)) = client.own() else { return Ok(()) };
        let own = own.to_fields();
        let entities: Vec<_> = client.view().entities().map(|(_, entity)| entity.into()).collect();
        self.seen += entities.len();
        self.with_others += sent(&Full { tick, own: own.as_slice(), entities })?;
        self.alone += sent(&Full { tick, own: own.as_slice(), entities: Vec::new() })?;
        self.count += 1;
        Ok(())
    }

    fn kbit_a_second(&self, bytes: usize, hz: f64) -> f64 {
        bytes as f64 / self.count.max(1) as f64 * hz * 8.0 / 1e3
    }
}

/// Bytes on the wire of a full state, in as many datagrams as it takes.
fn sent(state: &Full<'_>) -> Result<usize, Box<dyn Error>> {
    let bytes = rmp_serde::to_vec_named(state)?.len();
    Ok(bytes + bytes.div_ceil(FULL_DATAGRAM) * (SESSION + HEADERS))
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let [players, place, tick_hz] = arguments.as_slice() else {
        return Err("usage: costs PLAYERS map|crowd TICK_HZ, such as costs 1000 crowd 64".into());
    };
    let mut bench = Bench::new(players.parse()?, place == "crowd", tick_hz.parse()?);
    bench.connect();
    let costs = bench.run(place)?;
    println!("{}", serde_json::to_string(&costs)?);
    Ok(())
}

struct Bench {
    server: ZoneServer<Arena>,
    clients: Vec<(SocketAddr, Client<Arena>)>,
    /// Where datagrams are made. Used again each tick, as a server's are: pages that are new each time cost more than what is measured.
    buffers: Vec<[u8; 1200]>,
    is_crowd: bool,
    tick_hz: u32,
    tick: u32,
    elapsed: Duration,
}

impl Bench {
    fn new(players: u16, is_crowd: bool, tick_hz: u32) -> Self {
        let mut server = ZoneServer::new(ServerConfig {
            protocol_id: PROTOCOL_ID,
            public_addresses: Vec::new(),
            capacity: players.into(),
            tick_hz,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 1_790_000_000_000,
            random: [1; 32],
            max_commands_per_tick: 4000,
            snapshot_bytes: snapshot_bytes_for(tick_hz, DEFAULT_REPLICATION_HZ),
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
        })
        .expect("a valid configuration");
        server.install_key([9; 32]);
        let mut bench = Self {
            server,
            clients: Vec::new(),
            buffers: vec![[0; 1200]; usize::from(players) + 8],
            is_crowd,
            tick_hz,
            tick: 0,
            elapsed: Duration::ZERO,
        };
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
            let client = Client::new(token, tick_hz, bench.now(), [2; 32]);
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

    fn run<'a>(&mut self, place: &'a str) -> Result<Costs<'a>, Box<dyn Error>> {
        if self.is_crowd {
            self.go_to_the_middle();
        }
        let (begin, mut full) = (self.tick, FullStates::default());
        let warm_up = self.ticks(SETTLE);
        let (mut receive, mut step, mut send) = (Flow::default(), Flow::default(), Flow::default());
        for tick in 0..warm_up + self.ticks(MEASURED) {
            self.next_tick();
            let between = (self.tick_hz / INPUT_HZ).max(1);
            self.walk(|number| (begin + tick + number).is_multiple_of(between));
            let mut arrived = self.gather();
            if tick == warm_up {
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
            if tick >= warm_up && tick.is_multiple_of(FULL_EACH) {
                self.clients.iter().try_for_each(|(_, client)| full.add(client))?;
            }
        }
        Ok(self.costs(place, [receive, step, send], &full))
    }

    fn ticks(&self, time: Duration) -> u32 {
        u32::try_from(time.as_secs()).unwrap_or(0) * self.tick_hz
    }

    fn next_tick(&mut self) {
        self.tick += 1;
        self.elapsed += Duration::from_secs(1) / self.tick_hz;
    }

    /// Everyone goes on once a second, by a second's walk. What happens in between nobody is told, because nobody
    /// measures it and it takes a hundred times as long as the way itself.
    fn go_to_the_middle(&mut self) {
        for tick in 0..self.ticks(WAY) {
            self.next_tick();
            self.server.step(self.now());
            // some have their turn only now, and go by where they are and not by where they were a second ago
            let turns = turn_ticks(self.tick_hz, DEFAULT_REPLICATION_HZ);
            if u64::from(tick % self.tick_hz) < turns {
                self.flush(&mut Flow::default());
            }
            if u64::from(tick % self.tick_hz) + 1 == turns {
                self.walk(|_| true);
                for (from, mut datagram) in self.gather() {
                    self.server.handle_datagram(self.now(), from, &mut datagram);
                }
            }
        }
    }

    fn flush(&mut self, send: &mut Flow) {
        let (now, mut transmits) = (self.now(), Vec::with_capacity(self.clients.len() + 8));
        let mut buffers = std::mem::take(&mut self.buffers);
        let started = Instant::now();
        for buffer in &mut buffers {
            let Some(transmit) = self.server.poll_transmit(now, buffer) else { break };
            transmits.push(transmit);
        }
        send.add(started.elapsed(), transmits.iter().map(|transmit| transmit.len));
        for (transmit, buffer) in transmits.into_iter().zip(&mut buffers) {
            self.deliver(transmit.to, &mut buffer[..transmit.len]);
        }
        self.buffers = buffers;
    }

    /// Whose turn it is goes on for a second in some direction: across the map, or to and fro in the crowd.
    fn walk(&mut self, is_turn: impl Fn(u32) -> bool) {
        let (now, is_crowd, tick) = (self.now(), self.is_crowd, self.tick);
        for (number, (_, client)) in (0..).zip(&mut self.clients) {
            if !is_turn(number) {
                continue;
            }
            let Some((_, own)) = client.own() else { continue };
            let chance = gameserver_game::mix(u64::from(number) << 32 | u64::from(tick / self.tick_hz));
            let way = |bits: u64| i32::try_from(bits % 10_001).unwrap_or(0) - 5000;
            let (east, north) = (way(chance & 0xFFFF_FFFF), way(chance >> 32));
            let (low, high) = if is_crowd {
                (MAP_SIZE / 2 - MAP_SIZE / 20, MAP_SIZE / 2 + MAP_SIZE / 20)
            } else {
                (0, MAP_SIZE)
            };
            // towards where one may be, by no more than a second's walk
            let toward = |from: i32, by: i32| from + ((from + by).clamp(low, high) - from).clamp(-7000, 7000);
            client.send_soon(now, Intent::Move { x: toward(own.x, east), y: toward(own.y, north) });
        }
    }

    fn costs<'a>(
        &self,
        place: &'a str,
        [mut receive, mut step, mut send]: [Flow; 3],
        full: &FullStates,
    ) -> Costs<'a> {
        let players = self.clients.len();
        let hz = f64::from(self.tick_hz);
        let turns = hz / turn_ticks(self.tick_hz, DEFAULT_REPLICATION_HZ) as f64;
        let full_in_turns =
            full.kbit_a_second(full.with_others, turns) + full.kbit_a_second(full.alone, hz - turns);
        Costs {
            players,
            place,
            tick_hz: self.tick_hz,
            receive_ns: median(&mut receive.nanos),
            open_ns: aead(receive.mean_bytes(), true),
            step_ns: median(&mut step.nanos) * players as f64,
            send_ns: median(&mut send.nanos),
            seal_ns: aead(send.mean_bytes(), false),
            received_bytes: receive.mean_bytes(),
            sent_bytes: send.mean_bytes(),
            received_a_tick: receive.packets as f64 / receive.nanos.len().max(1) as f64,
            sent_a_tick: send.packets as f64 / send.nanos.len().max(1) as f64,
            told_kbit: send.kbit_a_second(players),
            full_kbit: full.kbit_a_second(full.with_others, hz),
            full_in_turns_kbit: full_in_turns,
            seen: full.seen as f64 / full.count.max(1) as f64,
        }
    }
}

/// Nanoseconds to open or seal one packet of this size, and nothing else; the median of batches.
fn aead(packet_bytes: usize, is_open: bool) -> f64 {
    let key = PacketKey::new(&[1; 32], PROTOCOL_ID);
    let body_len = packet_bytes.saturating_sub(SESSION).max(1);
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
