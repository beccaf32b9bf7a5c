//! Where servers are asked for, over HTTP and gRPC on one port with TLS. Every replica answers.
//!
//! Invariants:
//! - Both doors take the same requests and give the same answers, which `service` makes; messages are those of the proto file.
//! - Nobody asks who has not proven who it is (`callers`).
//! - Whoever asks is bounded in connections, requests at once, bytes and time.

pub(crate) mod agones;
mod callers;
#[cfg(test)]
mod client_tests;
mod grpc;
mod http;
mod selectors;
mod service;
#[cfg(test)]
mod tests;
mod tokens;

use ::http::header::AUTHORIZATION;
use ::http::{HeaderMap, StatusCode};
use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serializer};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{debug, warn};

use super::desk::Desk;
use super::marks::{MarkError, Marker};
use crate::runtime::accept::{self, serve_each};
use crate::runtime::clock::Clock;
use crate::runtime::http::{
    ConnectionLimits, Fault, NotReceived, RequestLimits, is_grpc, receive, serve_connection,
};
use crate::runtime::metrics::AllocationMetrics;
use crate::runtime::telemetry::chain;
use callers::CallerError;
pub(crate) use callers::Callers;
use proto::{AllocateRequest, AllocateResponse, State};
use service::NoAnswer;
use tokens::MintError;
pub(crate) use tokens::Minter;

/// Time that a request may take to arrive, and a handshake.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(2);
/// Whatever is within the limits of each field fits.
const REQUEST: RequestLimits = RequestLimits { bytes: 128 * 1024, time: REQUEST_TIME_MAX };
/// Requests at once: those that wait for a server to become free are among them.
const REQUESTS_MAX: usize = 8192;
/// Requests at once of one HTTP/2 connection.
const STREAMS_MAX: u32 = 1024;
const LIMITS: accept::Limits = accept::Limits { streams: 1024, greetings: 128 };

/// What the doors need.
pub(crate) struct Door {
    desk: Desk,
    callers: Callers,
    marker: Marker,
    minter: Minter,
    requests: Semaphore,
    metrics: AllocationMetrics,
    clock: Clock,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Invalid(#[from] Fault),
    #[error(transparent)]
    Caller(#[from] CallerError),
    #[error(transparent)]
    NotReceived(#[from] NotReceived),
    #[error("too many ask at once; try again")]
    TooMany,
    #[error("nobody knows yet what became of it; ask again with the same key")]
    TooLate,
    #[error("something else is being asked for under the same key")]
    Differs,
    /// The server is given all the same: whoever asks again may get its tokens.
    #[error("the server is given, and there are no tokens for it now; ask again with the same key")]
    NoTokens(#[from] MintError),
    /// As without tokens.
    #[error("the server is given, and its metadata is not written; ask again with the same key")]
    NotMarked(#[from] MarkError),
}

impl From<NoAnswer> for Refused {
    fn from(none: NoAnswer) -> Self {
        match none {
            NoAnswer::TooLate => Self::TooLate,
            NoAnswer::Busy => Self::TooMany,
            NoAnswer::Differs => Self::Differs,
        }
    }
}

impl Refused {
    /// Label of the metric, and what each door says.
    const fn codes(&self) -> (&'static str, StatusCode, Code) {
        match self {
            Self::Invalid(_) => ("invalid", StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Self::Caller(CallerError::NoToken | CallerError::Token(_)) => {
                ("token", StatusCode::UNAUTHORIZED, Code::Unauthenticated)
            }
            Self::Caller(CallerError::Forbidden { .. }) => {
                ("forbidden", StatusCode::FORBIDDEN, Code::PermissionDenied)
            }
            Self::Caller(CallerError::Unknown(_)) => {
                ("unknown", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable)
            }
            Self::NotReceived(why) => why.codes(),
            Self::TooMany => ("too_many", StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
            Self::TooLate => ("too_late", StatusCode::GATEWAY_TIMEOUT, Code::DeadlineExceeded),
            Self::NoTokens(_) => ("no_tokens", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::NotMarked(_) => ("no_metadata", StatusCode::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::Differs => ("differs", StatusCode::CONFLICT, Code::AlreadyExists),
        }
    }
}

impl Door {
    pub(crate) fn new(
        desk: Desk,
        callers: Callers,
        (marker, minter): (Marker, Minter),
        metrics: AllocationMetrics,
    ) -> Self {
        let clock = minter.clock;
        Self { desk, callers, marker, minter, requests: Semaphore::new(REQUESTS_MAX), metrics, clock }
    }

    /// Serves until `stop`; ends when every request that came before has its answer.
    pub(crate) async fn serve(self, of_it: (TlsAcceptor, TcpListener), stop: CancellationToken) {
        serve_tls("an allocation connection", of_it, Arc::new(self).router(), stop).await;
    }

    fn router(self: Arc<Self>) -> Router {
        let doors = http::routes(Arc::clone(&self)).merge(grpc::routes(Arc::clone(&self)));
        doors.layer(from_fn_with_state(self, Self::admit))
    }

    /// Stands before both doors: lets in as many at once as there may be, each when it is complete.
    async fn admit(Shared(door): Shared<Arc<Self>>, request: Request, next: Next) -> Response {
        let is_grpc = is_grpc(&request);
        match door.let_in(request).await {
            Ok((request, _place)) => next.run(request).await,
            Err(refused) => {
                door.count(&refused);
                if is_grpc { Status::from(refused).into_http() } else { refused.into_response() }
            }
        }
    }

    async fn let_in(&self, request: Request) -> Result<(Request, SemaphorePermit<'_>), Refused> {
        let place = self.requests.try_acquire().map_err(|_none_left| Refused::TooMany)?;
        Ok((receive(request, REQUEST).await?, place))
    }

    fn count(&self, refused: &Refused) {
        // a person may have to do something about it
        match refused {
            Refused::NoTokens(error) => {
                warn!(error = chain(error), "no connect tokens for a server that is given");
            }
            Refused::NotMarked(error) => warn!(error = chain(error), "no metadata on a server that is given"),
            _ => {}
        }
        self.metrics.refused.with_label_values(&[refused.codes().0]).inc();
    }

    async fn answer(
        &self,
        token: Option<&str>,
        request: Result<&AllocateRequest, Fault>,
    ) -> Result<AllocateResponse, Refused> {
        let began = self.clock.elapsed();
        let answer = self.decide(token, request).await;
        match &answer {
            Ok((response, wait)) => {
                self.metrics.outcomes.with_label_values(&[label(response.state())]).inc();
                if wait.is_zero() {
                    let took = self.clock.elapsed().saturating_sub(began);
                    self.metrics.seconds.observe(took.as_secs_f64());
                }
            }
            Err(refused) => self.count(refused),
        }
        answer.map(|(response, _)| response)
    }

    /// An answer, and for how long a server was to be waited for.
    async fn decide(
        &self,
        token: Option<&str>,
        request: Result<&AllocateRequest, Fault>,
    ) -> Result<(AllocateResponse, Duration), Refused> {
        let request = request?;
        let question = service::read(request)?;
        self.callers.check(token, &question.asked.namespace).await?;
        let mut response = service::answer(self.desk.ask(question.asked, question.wait).await)?;
        if let (State::Given, Some(given)) = (response.state(), &mut response.game_server) {
            let named = (given.namespace.as_str(), given.name.as_str(), given.uid.as_str());
            if let Some(marked) = self.marker.mark(named, &question.marks).await? {
                given.labels = marked.metadata.labels.unwrap_or_default();
            }
            response.tokens = self.minter.mint(given, &request.players).await?;
        }
        Ok((response, question.wait))
    }
}

/// Serves over TLS until `stop`; ends when every request that came before has its answer. `what` names a connection in the log.
async fn serve_tls(
    what: &'static str,
    (acceptor, listener): (TlsAcceptor, TcpListener),
    router: Router,
    stop: CancellationToken,
) {
    let stopped = stop.clone();
    serve_each(what, listener, LIMITS, stop, move |(socket, _), greeting| {
        let (acceptor, router, stopped) = (acceptor.clone(), router.clone(), stopped.clone());
        async move {
            // an answer waits for no other
            if let Err(error) = socket.set_nodelay(true) {
                debug!(%error, "{what} may be slow");
            }
            let accepted = timeout(REQUEST_TIME_MAX, acceptor.accept(socket)).await;
            drop(greeting);
            match accepted {
                Ok(Ok(stream)) => {
                    let limits = ConnectionLimits { streams: STREAMS_MAX, grace: REQUEST_TIME_MAX };
                    serve_connection(stream, router, limits, stopped).await;
                }
                Ok(Err(error)) => debug!(%error, "{what} failed its handshake"),
                Err(_elapsed) => debug!("{what} took too long for its handshake"),
            }
        }
    })
    .await;
}

/// Of the metric.
const fn label(state: State) -> &'static str {
    match state {
        State::Given => "given",
        State::Ended => "ended",
        State::Lost => "lost",
        State::None | State::Unspecified => "none",
    }
}

/// The bearer token of a request by HTTP.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers.get(AUTHORIZATION)?.to_str().ok()?.strip_prefix("Bearer ")
}

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "it is generated"
)]
mod proto {
    tonic::include_proto!("cranewing.allocation.v1");
}

/// Writes bytes as JSON has them.
fn base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&STANDARD.encode(bytes))
}

/// Reads a word of a closed list as JSON spells it; gRPC has its number.
fn read_word<'de, T: Deserialize<'de> + Into<i32>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<i32, D::Error> {
    T::deserialize(deserializer).map(Into::into)
}
