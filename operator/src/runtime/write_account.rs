//! The operator's account of its own writes: every request that is not a read, counted where it leaves, and those that were
//! refused where the answer comes.

use http::{Method, Request, Response, StatusCode};
use prometheus::IntCounterVec;
use std::pin::Pin;
use std::task::{Context, Poll};
use tower::{Layer, Service};

/// Counts the write requests of a Kubernetes client by resource and verb, and those that were refused by the code too.
#[derive(Clone)]
pub(crate) struct WriteAccount {
    pub(crate) writes: IntCounterVec,
    pub(crate) refused: IntCounterVec,
}

impl<S> Layer<S> for WriteAccount {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted { inner, account: self.clone() }
    }
}

/// A client whose writes are counted.
#[derive(Clone)]
pub(crate) struct Counted<S> {
    inner: S,
    account: WriteAccount,
}

impl<S, B, R> Service<Request<B>> for Counted<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if request.method() == Method::GET {
            return Box::pin(self.inner.call(request));
        }
        let (resource, verb) = (resource_of(request.uri().path()), request.method().clone());
        self.account.writes.with_label_values(&[&resource, verb.as_str()]).inc();
        let (answer, refused) = (self.inner.call(request), self.account.refused.clone());
        Box::pin(async move {
            let answer = answer.await;
            if let Some(code) = refusal(answer.as_ref().ok().map(Response::status)) {
                refused.with_label_values(&[&resource, verb.as_str(), &code]).inc();
            }
            answer
        })
    }
}

/// Code of what is a refusal; no answer at all is one. That an object is there already, has changed or is gone is how we learn it.
fn refusal(answer: Option<StatusCode>) -> Option<String> {
    let Some(status) = answer else { return Some("none".to_owned()) };
    let is_ordinary = matches!(status, StatusCode::NOT_FOUND | StatusCode::CONFLICT);
    ((status.is_client_error() || status.is_server_error()) && !is_ordinary)
        .then(|| status.as_str().to_owned())
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

    #[tokio::test]
    async fn a_refused_write_is_counted_by_its_code_and_what_is_ordinary_is_not() {
        let account_of = |name: &str, labels: &[&str]| {
            IntCounterVec::new(prometheus::Opts::new(name, name), labels).unwrap()
        };
        for (case, method, answer, code) in [
            ("taken", Method::POST, Some(201), None),
            ("there already", Method::POST, Some(409), None),
            ("gone", Method::DELETE, Some(404), None),
            ("a quota", Method::POST, Some(403), Some("403")),
            ("not understood", Method::PATCH, Some(422), Some("422")),
            ("overloaded", Method::PATCH, Some(500), Some("500")),
            ("the connection broke", Method::PUT, None, Some("none")),
            ("a read", Method::GET, Some(403), None),
        ] {
            let account = WriteAccount {
                writes: account_of("writes", &["resource", "verb"]),
                refused: account_of("refused", &["resource", "verb", "code"]),
            };
            let client = tower::service_fn(move |_: Request<()>| {
                let answer = answer.map(|code| Response::builder().status(code).body(()).unwrap());
                std::future::ready(answer.ok_or("broken"))
            });
            let request = Request::builder().method(&method).uri("/api/v1/namespaces/x/pods");
            drop(account.layer(client).call(request.body(()).unwrap()).await);
            let is_write = u64::from(method != Method::GET);
            assert_eq!(
                account.writes.with_label_values(&["pods", method.as_str()]).get(),
                is_write,
                "{case}"
            );
            let families = prometheus::core::Collector::collect(&account.refused);
            let counted = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
            let labels = counted.flat_map(prometheus::proto::Metric::get_label);
            let codes: Vec<&str> = labels
                .filter(|label| label.name() == "code")
                .map(prometheus::proto::LabelPair::value)
                .collect();
            assert_eq!(codes, code.into_iter().collect::<Vec<_>>(), "{case}");
        }
    }
}
