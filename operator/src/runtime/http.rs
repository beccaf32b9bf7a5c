//! What doors over HTTP and gRPC have in common: one connection of either, with or without TLS, a request that is whole, and
//! what is said in JSON of one that is wrong.

use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use serde_json::json;
use std::fmt::Display;
use std::pin::pin;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::debug;

/// A client that stays connected is asked to connect anew, perhaps to another replica.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);

/// Which of both a client speaks that comes with TLS, as ALPN names them: most clients of gRPC end a connection that does not say so.
pub(crate) const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What one connection may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionLimits {
    /// Requests at once, by HTTP/2.
    pub(crate) streams: u32,
    /// For requests that are under way when the connection is to end.
    pub(crate) grace: Duration,
}

/// What one request may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestLimits {
    pub(crate) bytes: usize,
    /// From its head to its last byte.
    pub(crate) time: Duration,
}

/// Why a request is not here whole.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotReceived {
    #[error("it is longer than {0} bytes")]
    TooLarge(usize),
    #[error("it did not arrive in {0:?}")]
    TooSlow(Duration),
}

impl NotReceived {
    /// Label of a metric, and what each door says.
    pub(crate) const fn codes(&self) -> (&'static str, StatusCode, Code) {
        match self {
            Self::TooLarge(_) => ("too_large", StatusCode::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            Self::TooSlow(_) => ("too_slow", StatusCode::REQUEST_TIMEOUT, Code::DeadlineExceeded),
        }
    }
}

/// What is wrong with a request, and where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub(crate) struct Fault {
    /// Path as JSON has it: `players[3].latenciesMs.kr`.
    pub(crate) field: String,
    pub(crate) message: String,
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

/// Whether it is the gRPC door that answers this request.
pub(crate) fn is_grpc(request: &Request) -> bool {
    let content = request.headers().get(CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

/// The request once all of it is here.
pub(crate) async fn receive(request: Request, limits: RequestLimits) -> Result<Request, NotReceived> {
    let (head, body) = request.into_parts();
    let body = timeout(limits.time, to_bytes(body, limits.bytes)).await;
    let body = body.map_err(|_elapsed| NotReceived::TooSlow(limits.time))?;
    // or the connection broke, and nobody hears what we say
    let body = body.map_err(|_longer| NotReceived::TooLarge(limits.bytes))?;
    Ok(Request::from_parts(head, body.into()))
}

/// Reads a message that is JSON from its first byte to its last.
pub(crate) fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Fault> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let message = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        // what is no JSON is wrong as a whole, wherever the parser was
        let field = if error.inner().is_data() { error.path().to_string() } else { ".".to_owned() };
        Fault { field, message: describe(&error.into_inner()) }
    })?;
    json.end().map_err(|error| Fault { field: ".".to_owned(), message: error.to_string() })?;
    Ok(message)
}

/// Where something is stands in the path, and in what was sent only where that is no JSON: a client wraps what it was given.
fn describe(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let place = format!(" at line {} column {}", error.line(), error.column());
    let bare = text.strip_suffix(&place).filter(|_| error.is_data());
    bare.unwrap_or(&text).to_owned()
}

/// Says in JSON why a request is refused, and of a fault where it is.
pub(crate) fn refusal(status: StatusCode, fault: Option<&Fault>, refused: &impl Display) -> Response {
    let said = match fault {
        Some(Fault { field, message }) => json!({ "field": field, "message": message }),
        None => json!({ "message": refused.to_string() }),
    };
    (status, Json(said)).into_response()
}

/// Writes a word of a closed list as JSON spells it; gRPC has its number.
pub(crate) fn word<T: TryFrom<i32> + Serialize, N: Copy + Into<Option<i32>>, S: Serializer>(
    number: &N,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    (*number).into().and_then(|number| T::try_from(number).ok()).serialize(serializer)
}
