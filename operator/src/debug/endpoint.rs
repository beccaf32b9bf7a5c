//! What a replica shows to whoever may forward a port to its pod: its last decisions and its stream index, as JSON.

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use operator_core::journal::Entry;
use serde::Serialize;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::{DECISIONS, STREAMS};
use crate::journal::Journal;
use crate::reports::live::{LiveServers, Row};
use crate::runtime::clock::Clock;

/// What is shown. Its listener is one that only the pod's own network reaches: there is no other guard.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) journal: Arc<Journal>,
    pub(crate) live: Arc<LiveServers>,
    pub(crate) clock: Clock,
}

#[derive(Serialize)]
struct Decisions {
    decisions: Vec<Entry>,
}

#[derive(Serialize)]
struct Streams {
    streams: Vec<Row>,
}

impl Shown {
    /// Serves until `stop`.
    pub(crate) async fn serve(self, listener: TcpListener, stop: CancellationToken) -> std::io::Result<()> {
        axum::serve(listener, self.router()).with_graceful_shutdown(stop.cancelled_owned()).await
    }

    fn router(self) -> Router {
        Router::new().route(DECISIONS, get(decisions)).route(STREAMS, get(streams)).with_state(self)
    }
}

async fn decisions(State(shown): State<Shown>) -> Json<Decisions> {
    Json(Decisions { decisions: shown.journal.entries() })
}

async fn streams(State(shown): State<Shown>) -> Json<Streams> {
    Json(Streams { streams: shown.live.index(shown.clock.elapsed()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reports::live::ORDERS_MAX;
    use crate::reports::live::tests::hello;
    use axum::body::{Body, to_bytes};
    use http::Request;
    use operator_core::journal::Of;
    use serde_json::Value;
    use tokio::sync::mpsc;
    use tower::ServiceExt as _;

    #[tokio::test]
    async fn decisions_and_streams_are_shown_as_they_are_and_nothing_else_is_there() {
        let clock = Clock::start();
        let (journal, live) = (Arc::new(Journal::new(clock)), Arc::new(LiveServers::new()));
        journal.note(Of::FleetPlan, "games/duel", "create [0]", "1 wanted");
        let (orders, _received) = mpsc::channel(ORDERS_MAX);
        live.connect(clock.elapsed(), "u", &hello("duel-0"), orders);
        let router = Shown { journal, live, clock }.router();
        let ask = async |path: &str| {
            let answer =
                router.clone().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap();
            let status = answer.status().as_u16();
            let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
            (status, serde_json::from_slice::<Value>(&body).unwrap_or_default())
        };
        let (status, said) = ask(DECISIONS).await;
        assert_eq!((status, &said["decisions"][0]["of"]), (200, &"fleetPlan".into()));
        assert_eq!(said["decisions"][0]["decided"], "create [0]");
        let (status, said) = ask(STREAMS).await;
        assert_eq!((status, &said["streams"][0]["gameServer"]), (200, &"duel-0".into()));
        for path in ["/", "/metrics", "/decisions/0"] {
            assert_eq!(ask(path).await.0, 404, "{path}");
        }
    }
}
