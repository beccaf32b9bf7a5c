//! Reports to the operator: one authenticated TLS stream to each of its replicas.
//!
//! Invariants:
//! - A stream that is slow, silent or gone costs nobody else anything: each has its own task and bounded queue.
//! - Who is connected to whom is decided in `stream_set`, how long to wait in `backoff`; both are pure.

mod backoff;
mod client;
mod frame;
mod stream;
mod stream_set;
mod tls;

pub(crate) use client::{ReportClient, ReportHandle};
pub use frame::{FrameError, encode_frame, read_frame};
pub(crate) use stream::{DrainView, Heard, Identity, Replies};
