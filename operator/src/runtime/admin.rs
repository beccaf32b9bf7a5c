//! What kubelets and Prometheus ask over HTTP: `/metrics`, `/livez` and `/readyz`.

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the endpoints answer from.
#[derive(Clone)]
pub(crate) struct Admin {
    pub(crate) registry: Registry,
    pub(crate) stage: watch::Receiver<Stage>,
}

/// How far the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Some watch does not have its first full list yet.
    Starting,
    /// Every watch has it, and reports are accepted.
    Running,
    /// It was told to stop.
    Stopping,
}

fn router(admin: Admin) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .with_state(admin)
}

/// Serves until `stop`.
pub(crate) async fn serve(
    listener: TcpListener,
    admin: Admin,
    stop: CancellationToken,
) -> std::io::Result<()> {
    axum::serve(listener, router(admin)).with_graceful_shutdown(stop.cancelled_owned()).await
}

async fn metrics(State(admin): State<Admin>) -> impl IntoResponse {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&admin.registry.gather(), &mut text) {
        Ok(()) => (StatusCode::OK, [(header::CONTENT_TYPE, prometheus::TEXT_FORMAT)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

async fn readyz(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    match *admin.stage.borrow() {
        Stage::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, "waiting for the first lists from the API server\n")
        }
        Stage::Running => (StatusCode::OK, "ok\n"),
        Stage::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use http::Request;
    use tower::ServiceExt;

    #[tokio::test]
    async fn only_who_has_seen_all_and_is_not_leaving_is_ready() {
        for (stage, ready) in [(Stage::Starting, 503), (Stage::Running, 200), (Stage::Stopping, 503)] {
            let (_sender, stage_seen) = watch::channel(stage);
            let router = router(Admin { registry: Registry::new(), stage: stage_seen });
            for (path, expected) in [("/readyz", ready), ("/livez", 200), ("/metrics", 200), ("/", 404)] {
                let request = Request::get(path).body(Body::empty()).unwrap();
                let answer = router.clone().oneshot(request).await.unwrap();
                assert_eq!(answer.status().as_u16(), expected, "{stage:?} {path}");
            }
        }
    }
}
