//! How long the operator waits for the API server.

use std::time::Duration;
use tower::timeout::TimeoutLayer;

/// Longest wait for an answer to begin. A watch answers at once and then goes on, so it is not cut off.
const ANSWER_MAX: Duration = Duration::from_secs(15);

/// A request that gets no answer in time fails, and whoever made it backs off and tries again.
pub(crate) fn answer_in_time() -> TimeoutLayer {
    TimeoutLayer::new(ANSWER_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::telemetry::chain;
    use http::{Request, Response};
    use k8s_openapi::api::core::v1::Node;
    use kube::client::Body;
    use kube::{Api, Client};
    use std::convert::Infallible;
    use tower::Layer;

    #[tokio::test(start_paused = true)]
    async fn an_api_server_that_does_not_answer_fails_the_request() {
        let silent = tower::service_fn(|_: Request<Body>| {
            std::future::pending::<Result<Response<Body>, Infallible>>()
        });
        let nodes: Api<Node> = Api::all(Client::new(answer_in_time().layer(silent), "default"));
        let began = tokio::time::Instant::now();
        let error = nodes.get("n").await.unwrap_err();
        assert_eq!(began.elapsed(), ANSWER_MAX);
        assert!(chain(&error).contains("request timed out"), "{}", chain(&error));
    }
}
