//! What a zone server is made from, checked once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::session::{MAX_SERVERS, Registry};

/// Most players of one zone server. A bound for the tables, far beyond what a core can serve.
pub const MAX_CAPACITY: usize = 20_000;

/// What a zone server needs to know at its start.
#[derive(Clone)]
pub struct ServerConfig {
    /// Which game and version; peers of another are ignored. Usually [`gameserver_protocol::PROTOCOL_ID`].
    pub protocol_id: u64,
    /// Addresses by which players reach this server; a token must name one of them. Empty: any token will do.
    pub public_addresses: Vec<SocketAddr>,
    /// Players at most, 1 to [`MAX_CAPACITY`].
    pub capacity: usize,
    /// Ticks a second, 1 to 1000.
    pub tick_hz: u32,
    /// Silence after which a player is given up, unless the token says less.
    pub timeout: Duration,
    /// Start of this process, milliseconds since the Unix epoch. Must grow from boot to boot: packet sequences
    /// start from it, so that no boot repeats a nonce of another.
    pub boot_unix_ms: u64,
    /// Fresh random bytes; the source of all randomness in here.
    pub random: [u8; 32],
    /// Commands that a tick carries out at most, shared out evenly among players; the rest waits for the next ticks, and what
    /// has waited for an eighth of a second is refused.
    pub max_commands_per_tick: usize,
    /// Bytes of a datagram with a snapshot at most, those of the session included, 200 to 1200. A player who has just
    /// come in is told the world around it with up to 1200.
    pub snapshot_bytes: u16,
    /// How often a second a player is told of others at least, 1 to 1000: as seldom as whole ticks allow, every 15th at
    /// most, and each tick where there are not so many. Of itself it is told each tick. The turns of players are spread over
    /// ticks.
    pub replication_hz: u32,
    /// How far behind the newest state clients draw others at most, which is how far a shot may reach back beyond half
    /// a round trip.
    pub interpolation: Duration,
    /// What the zone servers of one process share; `None` for a server that is alone in its process.
    pub registry: Option<Arc<Registry>>,
}

/// Bytes of a datagram with a snapshot that fit into 256 kbit/s at 64 Hz, where others are told of in each third one and the
/// player alone, in 100 bytes, in those between; with the 28 bytes of UDP and IPv4 around each.
pub const DEFAULT_SNAPSHOT_BYTES: u16 = 1200;
/// Two states of others within [`DEFAULT_INTERPOLATION`], so that one may be lost.
pub const DEFAULT_REPLICATION_HZ: u32 = 20;
/// Interpolation of a client that draws others by the last few snapshots over a way with jitter.
pub const DEFAULT_INTERPOLATION: Duration = Duration::from_millis(100);

/// Why a zone server cannot be made from a configuration.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ConfigError {
    /// See [`ServerConfig::capacity`].
    #[error("capacity must be 1 to {MAX_CAPACITY} players")]
    Capacity,
    /// See [`ServerConfig::tick_hz`].
    #[error("tick rate must be 1 to 1000 a second")]
    TickRate,
    /// See [`ServerConfig::timeout`].
    #[error("timeout must be more than zero")]
    Timeout,
    /// See [`ServerConfig::max_commands_per_tick`].
    #[error("a tick must carry out at least one command")]
    MaxCommands,
    /// See [`ServerConfig::snapshot_bytes`].
    #[error("a snapshot must be of 200 to 1200 bytes")]
    SnapshotBytes,
    /// See [`ServerConfig::replication_hz`].
    #[error("others must be told of 1 to 1000 times a second")]
    ReplicationRate,
    /// See [`ServerConfig::registry`].
    #[error("at most {MAX_SERVERS} zone servers can share a registry")]
    Registry,
}

impl fmt::Debug for ServerConfig {
    /// Without the random bytes, from which keys are made.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol_id, public_addresses, capacity, tick_hz, timeout, boot_unix_ms, .. } = self;
        formatter
            .debug_struct("ServerConfig")
            .field("protocol_id", protocol_id)
            .field("public_addresses", public_addresses)
            .field("capacity", capacity)
            .field("tick_hz", tick_hz)
            .field("timeout", timeout)
            .field("boot_unix_ms", boot_unix_ms)
            .field("max_commands_per_tick", &self.max_commands_per_tick)
            .field("snapshot_bytes", &self.snapshot_bytes)
            .field("replication_hz", &self.replication_hz)
            .field("interpolation", &self.interpolation)
            .finish_non_exhaustive()
    }
}

impl ServerConfig {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        if !(1..=MAX_CAPACITY).contains(&self.capacity) {
            return Err(ConfigError::Capacity);
        }
        if !(1..=1000).contains(&self.tick_hz) {
            return Err(ConfigError::TickRate);
        }
        if self.timeout.is_zero() {
            return Err(ConfigError::Timeout);
        }
        if self.max_commands_per_tick == 0 {
            return Err(ConfigError::MaxCommands);
        }
        if !(200..=1200).contains(&self.snapshot_bytes) {
            return Err(ConfigError::SnapshotBytes);
        }
        if !(1..=1000).contains(&self.replication_hz) {
            return Err(ConfigError::ReplicationRate);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ServerConfig {
        ServerConfig {
            protocol_id: 1,
            public_addresses: Vec::new(),
            capacity: 10,
            tick_hz: 64,
            timeout: Duration::from_secs(5),
            boot_unix_ms: 0,
            random: [0; 32],
            max_commands_per_tick: 1000,
            snapshot_bytes: DEFAULT_SNAPSHOT_BYTES,
            replication_hz: DEFAULT_REPLICATION_HZ,
            interpolation: DEFAULT_INTERPOLATION,
            registry: None,
        }
    }

    #[test]
    fn what_keys_are_made_of_is_not_shown() {
        let shown = format!("{:?}", ServerConfig { random: [77; 32], ..config() });
        assert!(shown.contains("capacity: 10") && !shown.contains("77"), "{shown}");
    }

    #[test]
    fn values_out_of_range_are_refused_by_name() {
        assert_eq!(config().validate(), Ok(()));
        for (wrong, error) in [
            (ServerConfig { capacity: 0, ..config() }, ConfigError::Capacity),
            (ServerConfig { capacity: MAX_CAPACITY + 1, ..config() }, ConfigError::Capacity),
            (ServerConfig { tick_hz: 0, ..config() }, ConfigError::TickRate),
            (ServerConfig { tick_hz: 1001, ..config() }, ConfigError::TickRate),
            (ServerConfig { timeout: Duration::ZERO, ..config() }, ConfigError::Timeout),
            (ServerConfig { max_commands_per_tick: 0, ..config() }, ConfigError::MaxCommands),
            (ServerConfig { snapshot_bytes: 199, ..config() }, ConfigError::SnapshotBytes),
            (ServerConfig { snapshot_bytes: 1201, ..config() }, ConfigError::SnapshotBytes),
            (ServerConfig { replication_hz: 0, ..config() }, ConfigError::ReplicationRate),
            (ServerConfig { replication_hz: 1001, ..config() }, ConfigError::ReplicationRate),
        ] {
            assert_eq!(wrong.validate(), Err(error));
        }
    }
}
