//! A game server without sockets, clocks or threads: bytes and time in, bytes out.
//!
//! Whoever owns a socket and a clock drives one [`ZoneServer`] from one thread:
//!
//! 1. [`ZoneServer::handle_datagram`] for everything that arrived,
//! 2. [`ZoneServer::poll_transmit`] until `None` after each batch, for answers to handshakes,
//! 3. [`ZoneServer::step`] once a tick,
//! 4. [`ZoneServer::poll_transmit`] until `None`, for the tick's snapshots.
//!
//! A datagram's way: `session` (handshake, authentication, replay) -> `pipeline` (decode, rate limit, the player's
//! input buffer) -> the [`Game`]'s step -> `replication` (what each player is told of what is around it).
//!
//! Invariants:
//! - After warm-up neither a packet nor a tick allocates (`tests/allocations.rs`).
//! - Everything that grows with input has a bound (`tests/bounds.rs`), and reaching it is counted, never silent.
//! - Until an address is proven, answers are never larger than what asked for them.
//! - The game is deterministic; the same inputs give the same [`ZoneServer::state_hash`] in every build.

#![forbid(unsafe_code)]

mod config;
mod counters;
mod foreseen;
mod gaps;
mod looks;
mod output;
mod pipeline;
mod rate;
mod replication;
mod ring;
mod server;
mod session;
mod slab;
mod spectator;

pub use config::{
    ConfigError, DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_CAPACITY, MAX_SNAPSHOT_BYTES,
    ServerConfig, snapshot_bytes_for,
};
pub use counters::{Counters, Fill, Histograms};
pub use gameserver_game::Game;
pub use gameserver_protocol::{Now, RejectReason, Transmit};
pub use replication::turn_ticks;
pub use server::{ServerStatus, ZoneServer};
pub use session::{Known, MAX_SERVERS, Refusal, Registry};
