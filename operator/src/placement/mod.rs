//! In which region players who play together get their server (A6). Every replica answers, over HTTP and gRPC on one port.
//!
//! Invariants:
//! - Both doors take the same requests and give the same answers, which `service` makes; messages are those of the proto file.
//! - An answer is a look at what is known now. Nothing is written, and nothing is reserved.
//! - Whoever asks is bounded in connections, requests at once, bytes and time.
//!
//! `ask` is the other side: `operator place`.

mod ask;
mod grpc;
mod http;
mod service;
#[cfg(test)]
mod tests;

pub use ask::{Failure, run};

use ::http::StatusCode;
use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use operator_core::journal::Of;
use operator_core::regions::RegionId;
use operator_core::regions::placement::Candidate;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::journal::Journal;
use crate::runtime::accept::{self, serve_each};
use crate::runtime::clock::Clock;
use crate::runtime::http::{
    ConnectionLimits, Fault, NotReceived, RequestLimits, is_grpc, receive, serve_connection,
};
use crate::runtime::metrics::Metrics;
use proto::{PlaceRequest, PlaceResponse};
use service::place;

/// A thousand players with fifty latencies each always fit.
const REQUEST: RequestLimits = RequestLimits { bytes: 1024 * 1024, time: Duration::from_secs(2) };
/// Each holds its bytes until all are here. What they unfold to is held by one a thread.
const REQUESTS_MAX: usize = 64;
/// Requests at once of one HTTP/2 connection, whose client keeps more back by itself: it is not refused for being alone.
const STREAMS_MAX: u32 = 32;
const CONNECTIONS_MAX: usize = 128;
/// Outcome of a placement for which no region fits; no regionId.
const NO_REGION: &str = "no_region";
/// Label of what is refused for what it says.
const INVALID: &str = "invalid";

/// Where the regions are looked up.
pub(crate) trait Candidates: Send + Sync {
    /// Every registered region as it is now, this one included.
    fn now(&self) -> BTreeMap<RegionId, Candidate>;
}

/// What the doors need.
pub(crate) struct Placement {
    candidates: Arc<dyn Candidates>,
    requests: Semaphore,
    journal: Arc<Journal>,
    metrics: Metrics,
    clock: Clock,
}

/// Why a request has no answer.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Invalid(#[from] Fault),
    #[error(transparent)]
    NotReceived(#[from] NotReceived),
    #[error("{REQUESTS_MAX} requests are being received; try again")]
    TooMany,
}

impl Refused {
    /// Label of the metric, and what each door says.
    const fn codes(&self) -> (&'static str, StatusCode, Code) {
        match self {
            Self::Invalid(_) => (INVALID, StatusCode::BAD_REQUEST, Code::InvalidArgument),
            Self::NotReceived(why) => why.codes(),
            Self::TooMany => ("too_many", StatusCode::TOO_MANY_REQUESTS, Code::ResourceExhausted),
        }
    }
}

impl Placement {
    pub(crate) fn new(
        candidates: Arc<dyn Candidates>,
        journal: Arc<Journal>,
        metrics: Metrics,
        clock: Clock,
    ) -> Self {
        Self { candidates, requests: Semaphore::new(REQUESTS_MAX), journal, metrics, clock }
    }

    /// Serves until `stop`; ends when every request that came before has its answer.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let limits = accept::Limits { streams: CONNECTIONS_MAX, greetings: CONNECTIONS_MAX };
        let router = Arc::new(self).router();
        let stopped = stop.clone();
        serve_each("a placement connection", listener, limits, stop, move |(socket, _), _greeting| {
            let limits = ConnectionLimits { streams: STREAMS_MAX, grace: REQUEST.time };
            serve_connection(socket, router.clone(), limits, stopped.clone())
        })
        .await;
    }

    fn router(self: Arc<Self>) -> Router {
        let doors = http::routes(Arc::clone(&self)).merge(grpc::routes(Arc::clone(&self)));
        doors.layer(from_fn_with_state(self, Self::guard))
    }

    /// Stands before both doors, and counts whom it refuses.
    async fn guard(State(placement): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let began = placement.clock.elapsed();
        let is_grpc = is_grpc(&request);
        let metrics = &placement.metrics.placements;
        let refused = |reason| metrics.refused.with_label_values(&[reason]).inc();
        match placement.admit(request, next).await {
            Ok(response) => {
                // By gRPC, what fails has its status beside it.
                if response.status() == StatusCode::OK && response.extensions().get::<Status>().is_none() {
                    let took = placement.clock.elapsed().saturating_sub(began);
                    metrics.seconds.observe(took.as_secs_f64());
                } else {
                    refused(INVALID);
                }
                response
            }
            Err(error) => {
                refused(error.codes().0);
                if is_grpc { Status::from(error).into_http() } else { error.into_response() }
            }
        }
    }

    /// Lets in as many at once as there may be, each when it is complete.
    async fn admit(&self, request: Request, next: Next) -> Result<Response, Refused> {
        let _place = self.requests.try_acquire().map_err(|_none_left| Refused::TooMany)?;
        Ok(next.run(receive(request, REQUEST).await?).await)
    }

    fn answer(&self, request: &PlaceRequest) -> Result<PlaceResponse, Refused> {
        let response = place(request, &self.candidates.now())?;
        let outcome = response.region.as_deref().unwrap_or(NO_REGION);
        self.metrics.placements.outcomes.with_label_values(&[outcome]).inc();
        self.journal.note(Of::Placement, object_of(request), outcome, reasons_of(&response));
        Ok(response)
    }
}

/// Players have no names here: what is alike of two parties is how many they are and whose.
fn object_of(request: &PlaceRequest) -> String {
    let own = request.own_region.as_deref().map(|region| format!(" of {region}")).unwrap_or_default();
    format!("{} players{own}", request.players.len())
}

/// Why each region that was not chosen was not, as JSON spells it: messages would name players.
fn reasons_of(response: &PlaceResponse) -> String {
    let reason = |region: &proto::Region| proto::Reason::try_from(region.reason?).ok();
    let refused = response.regions.iter().filter_map(|region| Some((&region.region, reason(region)?)));
    let refused = refused.map(|(region, reason)| {
        let word = serde_json::to_value(reason).unwrap_or_default();
        format!("{region}: {}", word.as_str().unwrap_or_default())
    });
    refused.collect::<Vec<_>>().join(", ")
}

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "it is generated"
)]
mod proto {
    tonic::include_proto!("cranewing.placement.v1");
}
