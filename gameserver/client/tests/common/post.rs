//! What is on its way between players and the server that they would really play on, through a network of chance.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::ConnectToken;
use gameserver_core::{DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, ServerConfig, snapshot_bytes_for};
use gameserver_protocol::{ConnectTokenClaims, PROTOCOL_ID};

use super::{Random, UNIX};

pub const SERVER_KEY: [u8; 32] = [9; 32];

pub fn server_address() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7777))
}

pub fn server_config(capacity: u32, tick_hz: u32) -> ServerConfig {
    ServerConfig {
        protocol_id: PROTOCOL_ID,
        public_addresses: vec![server_address()],
        capacity: capacity as usize,
        tick_hz,
        timeout: Duration::from_secs(5),
        boot_unix_ms: u64::try_from(UNIX.as_millis()).expect("this era"),
        random: [4; 32],
        max_commands_per_tick: 1000,
        snapshot_bytes: snapshot_bytes_for(tick_hz, DEFAULT_REPLICATION_HZ),
        replication_hz: DEFAULT_REPLICATION_HZ,
        interpolation: DEFAULT_INTERPOLATION,
        registry: None,
    }
}

/// The token of a player of that server, and where the player is.
pub fn player(client_id: u64, random: &mut Random) -> (ConnectToken, SocketAddr) {
    let claims = ConnectTokenClaims {
        protocol_id: PROTOCOL_ID,
        server_addresses: &[server_address()],
        client_id,
        user_data: &[0; 256],
        now_unix: UNIX,
        lifetime_seconds: 30,
        timeout_seconds: 5,
    };
    let port = u16::try_from(9999 + client_id).expect("few");
    let token = claims.mint(&SERVER_KEY, &random.bytes()).expect("valid claims");
    (token, SocketAddr::from(([10, 0, 0, 1], port)))
}

/// What the network does to each datagram.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub loss_percent: u64,
    pub twice_percent: u64,
    /// Each way.
    pub delay_us: u64,
    /// Uniform and on top.
    pub jitter_us: u64,
    /// On top, to the server alone: of that its clients know only by what the server asks of them.
    pub there_us: u64,
    /// Once in so long nothing comes through for so long, and then everything that was on its way.
    pub stands: Option<(Duration, Duration)>,
}

impl Network {
    /// When something arrives that would do so at a moment if the network never stood.
    fn arrival(&self, at: Duration) -> Duration {
        let Some((once_in, for_long)) = self.stands else { return at };
        let since =
            Duration::from_micros(u64::try_from(at.as_micros() % once_in.as_micros()).expect("short"));
        at + for_long.saturating_sub(since)
    }
}

/// Datagrams under way: (arrival, number) -> (from, to, bytes).
pub struct Post {
    pub network: Network,
    pub random: Random,
    flying: BTreeMap<(Duration, u64), (SocketAddr, SocketAddr, Vec<u8>)>,
    sent: u64,
}

impl Post {
    pub fn new(network: Network, random: Random) -> Self {
        Self { network, random, flying: BTreeMap::new(), sent: 0 }
    }

    pub fn send(&mut self, now: Duration, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        if self.random.percent(self.network.loss_percent) {
            return;
        }
        let is_doubled = self.network.twice_percent > 0 && self.random.percent(self.network.twice_percent);
        for _ in 0..=u64::from(is_doubled) {
            let there_us = if to == server_address() { self.network.there_us } else { 0 };
            let way = self.network.delay_us + self.random.below(self.network.jitter_us + 1) + there_us;
            self.sent += 1;
            let arrival = self.network.arrival(now + Duration::from_micros(way));
            self.flying.insert((arrival, self.sent), (from, to, bytes.to_vec()));
        }
    }

    /// When the next one arrives.
    pub fn next_arrival(&self) -> Option<Duration> {
        self.flying.first_key_value().map(|(key, _)| key.0)
    }

    /// The next one, if it has arrived by now: from whom, to whom, and what.
    pub fn pop(&mut self, now: Duration) -> Option<(SocketAddr, SocketAddr, Vec<u8>)> {
        let first = self.flying.first_entry().filter(|first| first.key().0 <= now)?;
        Some(first.remove())
    }
}
