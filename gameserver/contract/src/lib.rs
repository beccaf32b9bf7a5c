//! What an operator and a game server say to each other.
//!
//! Both sides depend on this crate and on nothing of each other. Messages travel as length-prefixed
//! MessagePack maps ([`MAX_FRAME_BYTES`]) over one TLS stream per operator replica; fields are named, so a
//! field may be added (with `#[serde(default)]`) without breaking a peer that is one minor version apart.
//!
//! Invariants:
//! - Live figures travel here and never through the Kubernetes API.
//! - Every list and histogram is bounded, so a frame never exceeds [`MAX_FRAME_BYTES`].

pub mod claims;
pub mod env;
pub mod histogram;
pub mod metrics;
mod report;

pub use claims::{Claims, Holding, Judgement, Key, Verdict, is_key};
pub use histogram::{Histogram, HistogramDelta};
pub use report::{
    Backend, Hello, OperatorMessage, Phase, QUEUE_QUANTILE, Report, ServerMessage, TICK_QUANTILE, Welcome,
};

/// Version of this contract. Peers refuse another major version and ignore unknown fields otherwise.
pub const CONTRACT_VERSION: u16 = 1;

/// Largest frame in bytes, length prefix (u32, big endian) excluded.
pub const MAX_FRAME_BYTES: usize = 64 * 1024;

/// Most replica addresses in one message.
pub const MAX_REPLICAS: usize = 16;

/// Audience of the projected service account token that authenticates a report stream.
pub const REPORT_AUDIENCE: &str = "cranewing-report";

/// TLS server name of every operator replica's report endpoint; its certificate carries just this name, so
/// that streams work without cluster DNS.
pub const REPORT_TLS_NAME: &str = "report.cranewing.internal";

/// Port of a game server's `/livez`, `/readyz`, `/health` and `/metrics` unless it is told another.
pub const ADMIN_PORT: u16 = 9464;

/// Seconds for which a connect token is valid. A draining server acknowledges only after this long, so that
/// every player whose token was minted before the drain gets in.
pub const TOKEN_LIFETIME_SECONDS: u64 = 30;
