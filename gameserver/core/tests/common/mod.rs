//! A server and its clients in virtual time, with a network between them that loses, repeats, delays and reorders
//! by a seed.
#![allow(dead_code, unreachable_pub, reason = "each test file uses what it needs")]

pub mod asking;
pub mod net;
#[path = "../../../client/tests/common/random.rs"]
pub mod random;
pub mod raw;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::Event;
use gameserver_core::{DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, Now, ServerConfig};
use gameserver_game::arena::Arena;
use gameserver_protocol::{
    ConnectToken, ConnectTokenClaims, Key, PROTOCOL_ID, SPECTATOR, TOKEN_RANDOM_BYTES,
};

pub use random::Random;

pub type ZoneServer = gameserver_core::ZoneServer<Arena>;
pub type Client = gameserver_client::Client<Arena>;

pub const SERVER_KEY: Key = [9; 32];
pub const BOOT_UNIX: Duration = Duration::from_millis(1_790_000_000_250);
pub const TICK_HZ: u32 = 64;

pub fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7777))
}

pub fn config() -> ServerConfig {
    ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: vec![server_address()],
        capacity: 8,
        tick_hz: TICK_HZ,
        timeout: Duration::from_secs(5),
        boot_unix_ms: 1_790_000_000_250,
        random: [4; 32],
        max_commands_per_tick: 1000,
        snapshot_bytes: MAX_SNAPSHOT_BYTES,
        replication_hz: DEFAULT_REPLICATION_HZ,
        interpolation: DEFAULT_INTERPOLATION,
        registry: None,
    }
}

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug, Default)]
pub struct Network {
    pub loss_percent: u64,
    pub duplicate_percent: u64,
    pub delay_ms: u64,
    pub jitter_ms: u64,
}

/// Where a client's player is confirmed to be, thousandths of a unit.
pub fn place(client: &Client) -> (i32, i32) {
    let (_, own) = client.own().expect("playing");
    (own.x, own.y)
}

pub struct Player {
    pub address: SocketAddr,
    pub client: Client,
    pub events: Vec<Event>,
    /// A client that is switched off neither sends nor receives.
    pub is_on: bool,
}

pub struct World {
    pub server: ZoneServer,
    pub players: Vec<Player>,
    pub network: Network,
    pub random: Random,
    pub elapsed: Duration,
    pub ticks: u64,
    /// Datagrams under way: (arrival, number) -> (from, to, bytes).
    flying: BTreeMap<(Duration, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
    next_client_id: u64,
}

impl World {
    pub fn new(seed: u64, network: Network) -> Self {
        Self::with_config(seed, network, config())
    }

    pub fn with_config(seed: u64, network: Network, config: ServerConfig) -> Self {
        let mut server = ZoneServer::new(config).expect("a valid configuration");
        server.install_key(SERVER_KEY);
        Self {
            server,
            players: Vec::new(),
            network,
            random: Random::new(seed),
            elapsed: Duration::ZERO,
            ticks: 0,
            flying: BTreeMap::new(),
            sent: 0,
            next_client_id: 1,
        }
    }

    pub fn now(&self) -> Now {
        Now { monotonic: self.elapsed, unix: BOOT_UNIX + self.elapsed }
    }

    pub fn mint(&mut self, client_id: u64) -> ConnectToken {
        let random: [u8; TOKEN_RANDOM_BYTES] = self.random.bytes();
        claims(client_id, self.now().unix).mint(&SERVER_KEY, &random).expect("valid claims")
    }

    /// Adds a player with a fresh token and an address of its own; it starts to connect.
    pub fn add_player(&mut self) -> usize {
        let id = self.next_client_id;
        self.next_client_id += 1;
        let token = self.mint(id);
        self.add_player_with(token)
    }

    pub fn add_player_with(&mut self, token: ConnectToken) -> usize {
        let number = u16::try_from(self.players.len()).expect("few players");
        let address = SocketAddr::from(([10, 0, 0, 1], 10_000 + number));
        let client = Client::new(token, TICK_HZ, self.now(), self.random.bytes());
        self.players.push(Player { address, client, events: Vec::new(), is_on: true });
        self.players.len() - 1
    }

    /// Adds somebody who only looks on.
    pub fn add_spectator(&mut self) -> usize {
        let (id, random) = (self.next_client_id, self.random.bytes());
        self.next_client_id += 1;
        let mut user_data = [0; 256];
        user_data[0] = SPECTATOR;
        let claims = ConnectTokenClaims { user_data: &user_data, ..claims(id, self.now().unix) };
        let index = self.add_player_with(claims.mint(&SERVER_KEY, &random).expect("valid claims"));
        let player = self.players.pop().expect("just added");
        self.players.push(Player { client: player.client.spectator(), ..player });
        index
    }

    fn send(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let copies = 1 + u64::from(self.random.percent(self.network.duplicate_percent));
        for _ in 0..copies {
            if self.random.percent(self.network.loss_percent) {
                continue;
            }
            let jitter = self.random.below(self.network.jitter_ms * 1000 + 1);
            let delay = Duration::from_millis(self.network.delay_ms) + Duration::from_micros(jitter);
            self.sent += 1;
            self.flying.insert((self.elapsed + delay, self.sent), (from, to, bytes.to_vec()));
        }
    }

    /// Lets a millisecond pass.
    pub fn step(&mut self) {
        self.elapsed += Duration::from_millis(1);
        let now = self.now();
        while let Some(entry) = self.flying.first_entry().filter(|entry| entry.key().0 <= now.monotonic) {
            let (from, to, mut bytes) = entry.remove();
            if to == server_address() {
                self.server.handle_datagram(now, from, &mut bytes);
            } else if let Some(player) =
                self.players.iter_mut().find(|player| player.address == to && player.is_on)
            {
                player.client.handle_datagram(now, &mut bytes);
            }
        }
        self.flush_server();
        let mut buffer = [0; 1200];
        for index in 0..self.players.len() {
            let player = &mut self.players[index];
            player.client.update(now);
            while let Some(event) = player.client.poll_event() {
                player.events.push(event);
            }
            while let Some(transmit) = self.players[index].client.poll_transmit(now, &mut buffer) {
                if self.players[index].is_on {
                    let from = self.players[index].address;
                    self.send(from, transmit.to, &buffer[..transmit.len]);
                }
            }
        }
        if self.elapsed.as_nanos() * u128::from(TICK_HZ) >= u128::from(self.ticks + 1) * 1_000_000_000 {
            self.ticks += 1;
            self.server.step(now);
            self.flush_server();
        }
    }

    fn flush_server(&mut self) {
        let mut buffer = [0; 1200];
        while let Some(transmit) = self.server.poll_transmit(self.now(), &mut buffer) {
            assert!(transmit.len <= 1200);
            self.send(server_address(), transmit.to, &buffer[..transmit.len]);
        }
    }

    pub fn run(&mut self, duration: Duration) {
        let end = self.elapsed + duration;
        while self.elapsed < end {
            self.step();
        }
    }

    /// Steps until `condition` holds; fails after a minute.
    pub fn run_until(&mut self, condition: impl Fn(&Self) -> bool) {
        let deadline = self.elapsed + Duration::from_secs(60);
        while !condition(self) {
            assert!(self.elapsed < deadline, "condition did not come true within a minute");
            self.step();
        }
    }
}

pub fn claims(client_id: u64, now_unix: Duration) -> ConnectTokenClaims<'static> {
    static ADDRESSES: std::sync::LazyLock<[SocketAddr; 1]> = std::sync::LazyLock::new(|| [server_address()]);
    ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &*ADDRESSES,
        client_id,
        user_data: &[0; 256],
        now_unix,
        lifetime_seconds: 30,
        timeout_seconds: 5,
    }
}
