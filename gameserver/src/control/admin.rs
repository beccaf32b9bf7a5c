//! The admin endpoint: `/metrics`, `/health`, `/livez` and `/readyz`.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

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
use crate::zone::{Board, Figure};
use gameserver_sys::Clock;

/// Milliseconds without a tick after which the zone counts as stuck.
const STUCK_AFTER_MS: u64 = 5000;

/// What the endpoint shows.
#[derive(Clone)]
pub(crate) struct AdminState {
    registry: Registry,
    health: Arc<Health>,
    board: Arc<Board>,
    phase: watch::Receiver<Phase>,
    clock: Clock,
    /// The newest tick seen and when (milliseconds since the start), by whoever asked last.
    seen_tick: Arc<AtomicU64>,
    seen_at_ms: Arc<AtomicU64>,
}

impl AdminState {
    pub(crate) fn new(
        registry: Registry,
        health: Arc<Health>,
        board: Arc<Board>,
        phase: watch::Receiver<Phase>,
        clock: Clock,
    ) -> Self {
        let (seen_tick, seen_at_ms) = Default::default();
        Self { registry, health, board, phase, clock, seen_tick, seen_at_ms }
    }

    fn is_alive(&self) -> bool {
        let now_ms = u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX);
        let tick = self.board.get(Figure::Ticks);
        if self.seen_tick.swap(tick, Ordering::Relaxed) != tick {
            self.seen_at_ms.store(now_ms, Ordering::Relaxed);
        }
        now_ms.saturating_sub(self.seen_at_ms.load(Ordering::Relaxed)) < STUCK_AFTER_MS
    }
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

async fn livez(State(state): State<AdminState>) -> (StatusCode, &'static str) {
    if state.is_alive() {
        (StatusCode::OK, "ok\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "no tick for 5 s\n")
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
