//! What a zone server is made from, checked once.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use crate::replication::turn_ticks;
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
    /// most, and each tick where there are not so many. The turns of players are spread over ticks; between them a player is told
    /// only of what its client cannot know.
    pub replication_hz: u32,
    /// How far behind the newest state clients draw others at most, which is how far a shot may reach back beyond half
    /// a round trip.
    pub interpolation: Duration,
    /// What the zone servers of one process share; `None` for a server that is alone in its process.
    pub registry: Option<Arc<Registry>>,
}

/// Bytes of a datagram with a snapshot that a network can carry whole.
pub const MAX_SNAPSHOT_BYTES: u16 = 1200;
/// Bytes that a player may get in a tick, with all headers: 64 kbit/s at 20 Hz, 205 at 64.
const PLAYER_BYTES_A_TICK: u64 = 400;
/// UDP and IPv4.
const HEADER_BYTES: u64 = 28;
/// A resume token each ten seconds, shared out over the ticks of 20 Hz.
const RESUME_BYTES: u64 = 6;
/// A datagram that tells a player of itself alone, with all headers.
const ALONE_BYTES: u64 = 128;

/// Bytes of a datagram with a snapshot, 200 to 1200, with which a player gets 400 bytes a tick with all headers: what snapshots
/// leave that tell of the player alone is there for those that tell of others.
pub fn snapshot_bytes_for(tick_hz: u32, replication_hz: u32) -> u16 {
    let ticks = turn_ticks(tick_hz, replication_hz);
    let all = ticks * PLAYER_BYTES_A_TICK;
    let bytes = all.saturating_sub((ticks - 1) * ALONE_BYTES + HEADER_BYTES + ticks * RESUME_BYTES);
    u16::try_from(bytes).unwrap_or(u16::MAX).clamp(200, MAX_SNAPSHOT_BYTES)
}

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
            snapshot_bytes: MAX_SNAPSHOT_BYTES,
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

    #[test]
    fn a_player_gets_400_bytes_a_tick_and_a_datagram_is_never_too_long() {
        for (tick_hz, replication_hz, bytes) in [
            (20, 20, 366),
            (10, 20, 366),
            (30, 20, 366),
            (40, 20, 2 * 394 - 128 - 28),
            (64, 20, 3 * 394 - 2 * 128 - 28),
            (64, 64, 366),
            (128, 20, 1200),
            (1000, 1, 1200),
        ] {
            assert_eq!(
                snapshot_bytes_for(tick_hz, replication_hz),
                bytes,
                "{tick_hz} and {replication_hz} Hz"
            );
        }
    }
}
