//! The admin endpoint: `/metrics`, `/health`, `/livez` and `/readyz`.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use gameserver_contract::Phase;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::health::Health;
use crate::zone::{Boards, Figure};
use gameserver_sys::Clock;

/// Time without a tick after which a zone counts as stuck.
const STUCK_AFTER: Duration = Duration::from_secs(5);

/// What the endpoint shows.
#[derive(Clone)]
pub(crate) struct AdminState {
    registry: Registry,
    health: Arc<Health>,
    boards: Boards,
    phase: watch::Receiver<Phase>,
    clock: Clock,
    /// Of each zone the newest tick that was seen and since when, by whoever asked last.
    seen: Arc<Mutex<Vec<(u64, Duration)>>>,
}

impl AdminState {
    pub(crate) fn new(
        registry: Registry,
        health: Arc<Health>,
        boards: Boards,
        phase: watch::Receiver<Phase>,
        clock: Clock,
    ) -> Self {
        let seen = Arc::new(Mutex::new(vec![(0, Duration::ZERO); boards.iter().len()]));
        Self { registry, health, boards, phase, clock, seen }
    }

    /// The first zone that is stuck.
    fn stuck_zone(&self) -> Option<usize> {
        let ticks = self.boards.iter().map(|board| board.get(Figure::Ticks));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        stuck_zone(&mut seen, ticks, self.clock.monotonic())
    }
}

/// Notes the newest tick of each zone; the first that has had no new one for too long.
fn stuck_zone(
    seen: &mut [(u64, Duration)],
    ticks: impl Iterator<Item = u64>,
    now: Duration,
) -> Option<usize> {
    for ((newest, since), tick) in seen.iter_mut().zip(ticks) {
        if *newest != tick {
            (*newest, *since) = (tick, now);
        }
    }
    seen.iter().position(|&(_, since)| now.saturating_sub(since) >= STUCK_AFTER)
}

/// Serves until `stop` changes.
pub(crate) async fn serve(
    listener: TcpListener,
    state: AdminState,
    mut stop: watch::Receiver<bool>,
) -> io::Result<()> {
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/health", get(health))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .with_state(state);
    let stopped = async move {
        let _stopped = stop.wait_for(|&stop| stop).await;
    };
    axum::serve(listener, routes).with_graceful_shutdown(stopped).await
}

async fn metrics(State(state): State<AdminState>) -> impl IntoResponse {
    let (encoder, mut text) = (TextEncoder::new(), Vec::new());
    match encoder.encode(&state.registry.gather(), &mut text) {
        Ok(()) => Ok(([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text)),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    }
}

async fn health(State(state): State<AdminState>) -> impl IntoResponse {
    let (code, report) = state.health.report().await;
    (code, [(header::CACHE_CONTROL, "no-store")], Json(report))
}

async fn livez(State(state): State<AdminState>) -> (StatusCode, String) {
    match state.stuck_zone() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(zone) => (StatusCode::SERVICE_UNAVAILABLE, format!("no tick of zone {zone} for 5 s\n")),
    }
}

async fn readyz(State(state): State<AdminState>) -> (StatusCode, &'static str) {
    match *state.phase.borrow() {
        Phase::Ready => (StatusCode::OK, "ok\n"),
        Phase::Starting => (StatusCode::SERVICE_UNAVAILABLE, "no key yet\n"),
        Phase::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining\n"),
        Phase::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_alive_as_long_as_each_of_its_zones_ticks() {
        let second = Duration::from_secs(1);
        let mut seen = vec![(0, Duration::ZERO); 2];
        for (name, at, ticks, expected) in [
            ("both begin", 0, [0, 0], None),
            ("both tick", 4, [9, 9], None),
            ("one stands still", 8, [90, 9], None),
            ("for too long, whatever the other does", 9, [91, 9], Some(1)),
            ("it goes on", 10, [92, 10], None),
            ("neither does", 15, [92, 10], Some(0)),
        ] {
            assert_eq!(stuck_zone(&mut seen, ticks.into_iter(), at * second), expected, "{name}");
        }
    }
}
