//! What doors over HTTP and gRPC have in common: one connection of either, with or without TLS, and words in JSON.

use axum::Router;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::{Serialize, Serializer};
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

/// A client that stays connected is asked to connect anew, perhaps to another replica.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// What one connection may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Requests at once, by HTTP/2.
    pub(crate) streams: u32,
    /// For requests that are under way when the connection is to end.
    pub(crate) grace: Duration,
}

/// HTTP/1.1 or HTTP/2, as the first bytes say, until either side ends it, it is old, or `stop`.
pub(crate) async fn serve_connection(
    socket: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    router: Router,
    limits: ConnectionLimits,
    stop: CancellationToken,
) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http2().max_concurrent_streams(limits.streams);
    let connection = builder.serve_connection(TokioIo::new(socket), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _over = timeout(CONNECTION_AGE_MAX, stop.cancelled()) => {
            connection.as_mut().graceful_shutdown();
            timeout(limits.grace, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        debug!(%error, "a connection broke");
    }
}

/// Writes a word of a closed list as JSON spells it; gRPC has its number.
pub(crate) fn word<T: TryFrom<i32> + Serialize, N: Copy + Into<Option<i32>>, S: Serializer>(
    number: &N,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    (*number).into().and_then(|number| T::try_from(number).ok()).serialize(serializer)
}
