//! The operator's account of its own writes: every request that is not a read, counted where it leaves.

use http::{Method, Request};
use prometheus::IntCounterVec;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Counts the write requests of a Kubernetes client by resource and verb.
#[derive(Clone)]
pub(crate) struct WriteAccount(pub(crate) IntCounterVec);

impl<S> Layer<S> for WriteAccount {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, writes: self.0.clone() }
    }
}

/// A client whose writes are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    writes: IntCounterVec,
}

impl<S, B> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        if request.method() != Method::GET {
            let resource = resource_of(request.uri().path());
            self.writes.with_label_values(&[&resource, request.method().as_str()]).inc();
        }
        self.inner.call(request)
    }
}

/// `pods`, or `gameservers/status`, from the path of a request; bounded, because names are left out.
fn resource_of(path: &str) -> String {
    let mut parts = path.trim_start_matches('/').split('/');
    // /api/VERSION/… or /apis/GROUP/VERSION/…
    let skipped = if parts.next() == Some("apis") { 2 } else { 1 };
    let mut rest: Vec<&str> = parts.skip(skipped).collect();
    if rest.first() == Some(&"namespaces") && rest.len() > 2 {
        rest.drain(..2);
    }
    match rest.as_slice() {
        [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
        [resource, ..] => (*resource).to_owned(),
        [] => "none".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resources_are_named_without_the_names_of_objects() {
        for (path, resource) in [
            ("/api/v1/namespaces/default/pods", "pods"),
            ("/api/v1/namespaces/default/pods/arena-1", "pods"),
            ("/api/v1/namespaces/default/pods/arena-1/status", "pods/status"),
            ("/apis/cranewing.dev/v1alpha1/namespaces/default/gameservers/a/status", "gameservers/status"),
            ("/apis/cranewing.dev/v1alpha1/regionclusters/kr/status", "regionclusters/status"),
            ("/apis/coordination.k8s.io/v1/namespaces/x/leases/y", "leases"),
            ("/api/v1/namespaces/x", "namespaces"),
            ("/version", "none"),
        ] {
            assert_eq!(resource_of(path), resource, "{path}");
        }
    }
}
