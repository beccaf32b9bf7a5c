//! The messages of a report stream, both ways.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::{HistogramDelta, Holding, Judgement, Key};

/// What a game server tells an operator replica.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerMessage {
    /// First message of a stream.
    Hello(Hello),
    /// Sent once a second (`Welcome::report_period_ms`), and at once when the phase changes.
    Report(Report),
    /// The drain with this number is complete: no player is left and no token can bring one.
    DrainAcked {
        /// Number of the [`OperatorMessage::Drain`] that is answered.
        order: u64,
    },
    /// What the server holds: after the welcome, and in answer to [`OperatorMessage::Greet`].
    Holding(Holding),
    /// Answer to [`OperatorMessage::Propose`], on the stream over which that came.
    Judged {
        /// The key that was proposed.
        key: Key,
        /// Whether the server takes it.
        judgement: Judgement,
    },
    /// The session of this key is over; on every stream.
    Over {
        /// Its key.
        key: Key,
    },
}

/// Who opens a stream. Its debug form leaves the token out, so that no log can carry it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Hello {
    /// [`crate::CONTRACT_VERSION`] of the sender.
    pub contract_version: u16,
    /// Version of the game server, such as `0.1.0`.
    pub server_version: String,
    /// The projected service account token; the replica learns the pod's uid from it, never from the sender.
    pub token: String,
    /// Namespace of the GameServer object.
    pub namespace: String,
    /// Name of the GameServer object.
    pub game_server: String,
    /// Uid of the GameServer object.
    pub game_server_uid: String,
    /// Start of this process, milliseconds since the Unix epoch. Tells a restarted container from a
    /// reconnected one.
    pub boot_unix_ms: u64,
    /// Datagram backend in use.
    pub backend: Backend,
    /// Ticks a second.
    pub tick_hz: u32,
    /// Players that fit.
    pub capacity: u32,
    /// A drain order still in force, so that a new leader can confirm it or take it back.
    #[serde(default)]
    pub drain_order: Option<u64>,
    /// Sessions that the server is allocated for at once; none by one that knows nothing of allocation, which is told nothing of it.
    #[serde(default)]
    pub sessions: u32,
    /// Whether the server knows of [`OperatorMessage::Outdated`]; one that does not is told nothing of it.
    #[serde(default)]
    pub hears_outdated: bool,
}

/// How the server moves datagrams.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Raw io_uring: multishot receive over a provided-buffer ring.
    Uring,
    /// The tokio-uring runtime.
    TokioUring,
    /// recvmmsg and sendmmsg.
    Mmsg,
    /// In-process queues; tests and simulation only.
    Memory,
}

impl Backend {
    /// Name in columns, labels, flags and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Uring => "uring",
            Self::TokioUring => "tokio-uring",
            Self::Mmsg => "mmsg",
            Self::Memory => "memory",
        }
    }
}

/// Where a server stands in its life. A closed set: the server only moves forward, except that an undrain
/// leads from `Draining` back to `Ready`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Not yet able to take players: no key, or the loop is not running.
    #[default]
    Starting,
    /// Takes players.
    Ready,
    /// Takes only players whose token is older than the drain order.
    Draining,
    /// The loop has ended; the process is about to.
    Stopped,
}

/// Quantile by which tick work is judged, 0 to 1: that of a Fleet (`status.tickP99`), and which zone of a server is the worst.
pub const TICK_QUANTILE: f64 = 0.99;

/// Quantile by which queue depth is judged, 0 to 1: by an AutoScaler, and which zone of a server is the worst.
pub const QUEUE_QUANTILE: f64 = 0.95;

/// Live figures of one period. The default is that of a process in which nothing has happened yet.
///
/// A server with several zones says of itself what hides none of them: counts are those of all zones together, and of what
/// overloads a zone the report has the zone that was worst in the period, so that it reads as if the server were that zone. The
/// period of these ends when each zone has ended a tick; until then they are empty.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Counts up by one per report of this process, from 1.
    pub seq: u64,
    /// Current phase.
    pub phase: Phase,
    /// Connected players, in all zones.
    pub players: u32,
    /// CPU time of the process over the period, all zones together, in thousandths of a core.
    pub cpu_millis: u32,
    /// Tick work, microseconds a tick, of the zone in which its [`TICK_QUANTILE`] was highest.
    pub tick_us: HistogramDelta,
    /// Arrival of an input to the flush of the state that acknowledges it, microseconds: of all inputs, whichever zone they
    /// came to.
    pub input_latency_us: HistogramDelta,
    /// Depth of the command queue, commands a tick, of the zone in which its [`QUEUE_QUANTILE`] was highest.
    pub queue_depth: HistogramDelta,
    /// Players that joined since the process started.
    pub joins_total: u64,
    /// Handshakes refused since the process started, by any reason.
    pub refused_total: u64,
    /// Players lost to a time-out since the process started.
    pub timeouts_total: u64,
    /// Inputs rejected by the rules since the process started.
    pub rejects_total: u64,
    /// Ticks that started a whole tick late or more since the process started, in all zones: a count hides nobody.
    pub late_ticks_total: u64,
    /// Highest number of a drain order seen, in force or taken back: an older one is ignored, so a leader whose clock
    /// is behind numbers its own above it.
    #[serde(default)]
    pub newest_order: Option<u64>,
    /// Keys that the server holds: with one it is in use, whether a player is here or not.
    #[serde(default)]
    pub sessions: u32,
    /// The server was told that it is outdated, and takes no further key.
    #[serde(default)]
    pub outdated: bool,
    /// Where players reach it, as it was told last ([`Welcome::reached_at`]): it takes tokens that name this.
    #[serde(default)]
    pub reached_at: Option<IpAddr>,
}

/// What an operator replica tells a game server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperatorMessage {
    /// Answer to an accepted [`Hello`].
    Welcome(Welcome),
    /// The stream is refused; the replica closes it after this.
    Refused {
        /// Why, for the server's log.
        reason: String,
    },
    /// The set of replicas changed: keep one stream to each of these.
    Replicas {
        /// Report endpoints of all replicas, at most [`crate::MAX_REPLICAS`].
        addresses: Vec<SocketAddr>,
    },
    /// Take no new players and say when empty.
    Drain {
        /// Number of the order, growing per server.
        order: u64,
    },
    /// Take players again; the drain with this number is void.
    Undrain {
        /// Number of the drain order that is taken back.
        order: u64,
    },
    /// Whether servers of your Fleet are to be of another template than yours: then take no further key. What you hold goes on, and its
    /// players come as before. It is said anew on each stream of whoever leads.
    Outdated {
        /// They are.
        is_outdated: bool,
    },
    /// Somebody allocates: know of this reign, and say what you hold.
    Greet {
        /// Reign of the allocator.
        reign: u64,
    },
    /// Take this key. The server answers, or the stream ends.
    Propose {
        /// Reign of the allocator.
        reign: u64,
        /// By which a caller names what it asked for.
        key: Key,
    },
    /// Let go of this key, which was given elsewhere: nobody was ever sent here for it.
    Release {
        /// Reign of the allocator.
        reign: u64,
        /// The key.
        key: Key,
    },
}

/// Accepted: what the server needs to play. Its debug form leaves the key out, so that no log can carry it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Welcome {
    /// Report endpoints of all replicas, this one included, at most [`crate::MAX_REPLICAS`].
    pub replicas: Vec<SocketAddr>,
    /// This server's own key, HKDF(Fleet secret, GameServer uid): it opens connect tokens and nothing else.
    pub server_key: [u8; 32],
    /// Milliseconds between reports.
    pub report_period_ms: u32,
    /// Whether the replica knows of allocation: only then it is told what the server holds.
    #[serde(default)]
    pub allocates: bool,
    /// Whether the replica knows of [`OperatorMessage::Outdated`]. One that does not takes nothing of it back, so by its welcome a server is
    /// not outdated.
    #[serde(default)]
    pub tells_outdated: bool,
    /// Address by which players reach the server's node, where that is another than the pod was told: tokens that name it are good, too.
    /// Without one what another replica said holds.
    #[serde(default)]
    pub reached_at: Option<IpAddr>,
}

impl fmt::Debug for Hello {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Hello")
            .field("contract_version", &self.contract_version)
            .field("server_version", &self.server_version)
            .field("namespace", &self.namespace)
            .field("game_server", &self.game_server)
            .field("game_server_uid", &self.game_server_uid)
            .field("boot_unix_ms", &self.boot_unix_ms)
            .field("backend", &self.backend)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Welcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Welcome")
            .field("replicas", &self.replicas)
            .field("report_period_ms", &self.report_period_ms)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_in_a_debug_form() {
        let welcome = Welcome {
            replicas: Vec::new(),
            server_key: [0xAB; 32],
            report_period_ms: 1000,
            allocates: true,
            tells_outdated: true,
            reached_at: None,
        };
        assert!(!format!("{welcome:?}").contains("171"), "{welcome:?}");
        let hello = Hello {
            contract_version: 1,
            server_version: "0.1.0".to_owned(),
            token: "secret-token".to_owned(),
            namespace: "default".to_owned(),
            game_server: "arena-0".to_owned(),
            game_server_uid: "uid".to_owned(),
            boot_unix_ms: 1,
            backend: Backend::Mmsg,
            tick_hz: 64,
            capacity: 100,
            drain_order: None,
            sessions: 0,
            hears_outdated: true,
        };
        assert!(!format!("{hello:?}").contains("secret-token"), "{hello:?}");
    }
}
