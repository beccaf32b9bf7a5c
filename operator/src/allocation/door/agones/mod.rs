//! Agones' door: whoever asks Agones' allocator for servers asks here by the same words, over mutual TLS on a port of its own.
//!
//! Invariants:
//! - Who asks has shown a client certificate that is taken (`clients`), and asks in the namespaces of this door alone.
//! - The desk is asked as by every other door; what only Agones has is refused by its name (`request`).
//! - Whoever asks is bounded in connections, requests at once, bytes and time, as at our own door.

mod certificate;
mod clients;
mod json;
mod request;
mod response;
#[cfg(test)]
mod tests;

use anyhow::Context as _;
use axum::Json;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{Node, Secret};
use kube::ResourceExt as _;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_api::GameServer;
use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsAcceptor;
use tonic::{Code, Status, async_trait};
use tracing::warn;

use self::certificate::Certificate;
use self::clients::Clients;
use self::proto::allocation_service_server::{self, AllocationServiceServer, SERVICE_NAME};
use self::proto::{AllocationRequest, AllocationResponse};
use self::request::{KEY_HEADER, Question};
use super::{REQUEST, REQUESTS_MAX, serve_tls};
use crate::allocation::desk::Desk;
use crate::allocation::marks::{MarkError, Marker};
use crate::allocation::words::{Given, Outcome};
use crate::runtime::chance::random;
use crate::runtime::clock::Clock;
use crate::runtime::http::{Fault, NotReceived, PROTOCOLS, is_grpc, read_json, receive};
use crate::runtime::metrics::AllocationMetrics;
use crate::runtime::tasks::Tasks;
use crate::runtime::telemetry::chain;
use crate::runtime::watch::Watched;

/// Agones has no word for a wait.
const WAIT: Duration = Duration::ZERO;

/// In which namespaces clients of this door may ask: Agones has no right of a client's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Namespaces {
    All,
    These(BTreeSet<String>),
}

impl Namespaces {
    /// `*` is all of them.
    pub(crate) fn of(names: &[String]) -> Self {
        if names.iter().any(|name| name == "*") {
            return Self::All;
        }
        Self::These(names.iter().cloned().collect())
    }

    fn has(&self, namespace: &str) -> bool {
        match self {
            Self::All => true,
            Self::These(these) => these.contains(namespace),
        }
    }
}

/// What the door works with.
pub(crate) struct AgonesDoor {
    pub(crate) desk: Desk,
    pub(crate) marker: Marker,
    pub(crate) namespaces: Namespaces,
    pub(crate) game_servers: Store<GameServer>,
    pub(crate) nodes: Store<Node>,
    pub(crate) metrics: AllocationMetrics,
    pub(crate) clock: Clock,
}

/// By which certificates both sides know each other.
pub(crate) struct AgonesTrust {
    /// The Secret of those of clients.
    pub(crate) clients: Watched<Secret>,
    /// The Secret of the server's own; without one what else is shown.
    pub(crate) own: Result<Watched<Secret>, Arc<dyn ResolvesServerCert>>,
}

/// Why a request gets no server.
#[derive(Debug, thiserror::Error)]
enum Refused {
    #[error(transparent)]
    Invalid(#[from] Fault),
    #[error("clients may not ask in namespace {0} by this door")]
    Forbidden(String),
    #[error(transparent)]
    NotReceived(#[from] NotReceived),
    #[error("too many ask at once; try again")]
    TooMany,
    #[error("no server is free that fits")]
    NoServer,
    #[error("the session of this {KEY_HEADER} is over")]
    Ended,
    #[error("the server that this {KEY_HEADER} was given is gone")]
    Lost,
    #[error("nobody knows yet what became of it; ask again with the same {KEY_HEADER}")]
    TooLate,
    #[error("something else is being asked for under the same {KEY_HEADER}")]
    Differs,
    #[error("the server is given, and its metadata is not written; ask again with the same {KEY_HEADER}")]
    NotMarked(#[from] MarkError),
    #[error("failed to make a key")]
    NoKey(#[source] anyhow::Error),
}

impl Refused {
    /// Label of the metric of what became of a key; else that of those without an answer. And what is said.
    const fn codes(&self) -> (Result<&'static str, &'static str>, Code) {
        match self {
            Self::NoServer => (Ok("none"), Code::ResourceExhausted),
            Self::Ended => (Ok("ended"), Code::NotFound),
            Self::Lost => (Ok("lost"), Code::NotFound),
            Self::Invalid(_) => (Err("invalid"), Code::InvalidArgument),
            Self::Forbidden(_) => (Err("forbidden"), Code::PermissionDenied),
            Self::NotReceived(why) => {
                let (label, _, code) = why.codes();
                (Err(label), code)
            }
            Self::TooMany => (Err("too_many"), Code::ResourceExhausted),
            Self::TooLate => (Err("too_late"), Code::DeadlineExceeded),
            Self::Differs => (Err("differs"), Code::AlreadyExists),
            Self::NotMarked(_) => (Err("no_metadata"), Code::Unavailable),
            Self::NoKey(_) => (Err("unknown"), Code::Unavailable),
        }
    }
}

/// What a request gets, and the key by which it may be asked again; none of one that was not read.
struct Answer {
    key: Option<HeaderValue>,
    said: Result<AllocationResponse, Refused>,
}

impl From<Refused> for Answer {
    fn from(refused: Refused) -> Self {
        Self { key: None, said: Err(refused) }
    }
}

/// Opens the door, as some of these tasks.
pub(crate) fn open(
    door: AgonesDoor,
    trust: AgonesTrust,
    listener: TcpListener,
    tasks: &mut Tasks,
) -> anyhow::Result<()> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let clients = Arc::new(Clients::new(Arc::clone(&provider)));
    let followed = Arc::clone(&clients);
    tasks.spawn("the look at Agones' clients", |stop| followed.follow(trust.clients, stop).map(Ok));
    let shown = match trust.own {
        Err(shown) => shown,
        Ok(secrets) => {
            let certificate = Arc::new(Certificate::new(provider));
            let followed = Arc::clone(&certificate);
            tasks.spawn("the look at the certificate of Agones' door", |stop| {
                followed.follow(secrets, stop).map(Ok)
            });
            certificate
        }
    };
    let acceptor = TlsAcceptor::from(Arc::new(server_config(clients, shown)?));
    let router = Arc::new(Entrance::new(door)).router();
    tasks.spawn("Agones' allocation endpoint", |stop| {
        serve_tls("a connection of Agones' door", (acceptor, listener), router, stop).map(Ok)
    });
    Ok(())
}

/// TLS 1.2 too: these clients are not ours.
fn server_config(clients: Arc<Clients>, shown: Arc<dyn ResolvesServerCert>) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .context("failed to choose versions of TLS")?
        .with_client_cert_verifier(clients)
        .with_cert_resolver(shown);
    // a session that is resumed would be one whose certificate nobody looked at
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(config)
}

/// The door, and who is in it.
struct Entrance {
    door: AgonesDoor,
    requests: Semaphore,
}

impl Entrance {
    fn new(door: AgonesDoor) -> Self {
        Self { door, requests: Semaphore::new(REQUESTS_MAX) }
    }

    fn router(self: Arc<Self>) -> Router {
        let grpc = AllocationServiceServer::from_arc(Arc::clone(&self));
        let doors = Router::new()
            .route("/gameserverallocation", post(allocate))
            .with_state(Arc::clone(&self))
            .route_service(&format!("/{SERVICE_NAME}/{{*method}}"), grpc);
        doors.layer(from_fn_with_state(self, Self::admit))
    }

    /// Lets in as many at once as there may be, each when it is complete.
    async fn admit(State(entrance): State<Arc<Self>>, request: Request, next: Next) -> Response {
        let is_grpc = is_grpc(&request);
        match entrance.let_in(request).await {
            Ok((request, _place)) => next.run(request).await,
            Err(refused) => {
                entrance.door.count(Err(&refused));
                let answer = Answer::from(refused);
                if is_grpc { Status::from(answer).into_http() } else { answer.into_json() }
            }
        }
    }

    async fn let_in(&self, request: Request) -> Result<(Request, SemaphorePermit<'_>), Refused> {
        let place = self.requests.try_acquire().map_err(|_none_left| Refused::TooMany)?;
        Ok((receive(request, REQUEST).await?, place))
    }
}

impl AgonesDoor {
    async fn answer(&self, key: Option<&HeaderValue>, request: Result<&AllocationRequest, Fault>) -> Answer {
        let began = self.clock.elapsed();
        let answer = match key_of(key) {
            Ok(key) => {
                Answer { said: self.decide(&key, request).await, key: HeaderValue::try_from(key).ok() }
            }
            Err(refused) => refused.into(),
        };
        self.count(answer.said.as_ref());
        if answer.said.is_ok() {
            self.metrics.seconds.observe(self.clock.elapsed().saturating_sub(began).as_secs_f64());
        }
        answer
    }

    async fn decide(
        &self,
        key: &str,
        request: Result<&AllocationRequest, Fault>,
    ) -> Result<AllocationResponse, Refused> {
        let Question { asked, marks } = request::read(request?, key)?;
        if !self.namespaces.has(&asked.namespace) {
            return Err(Refused::Forbidden(asked.namespace));
        }
        let Given { uid, server } = given(self.desk.ask(asked, WAIT).await)?;
        let server = server.ok_or(Refused::Lost)?;
        let marked = self.marker.mark((&server.namespace, &server.name, &uid), &marks).await?.map(Arc::new);
        let seen = || self.game_servers.get(&ObjectRef::new(&server.name).within(&server.namespace));
        let object = marked.or_else(seen).filter(|object| object.uid().as_deref() == Some(&*uid));
        let node = object.as_ref().and_then(|object| object.status.as_ref()?.node_name.as_deref());
        let node = node.and_then(|name| self.nodes.get(&ObjectRef::new(name)));
        Ok(response::show(&server, object.as_deref(), node.as_deref()))
    }

    fn count(&self, said: Result<&AllocationResponse, &Refused>) {
        if let Err(Refused::NotMarked(error)) = said {
            // a person may have to do something about it
            warn!(error = chain(error), "no metadata on a server that is given");
        }
        match said.map_or_else(|refused| refused.codes().0, |_| Ok("given")) {
            Ok(outcome) => self.metrics.outcomes.with_label_values(&[outcome]).inc(),
            Err(reason) => self.metrics.refused.with_label_values(&[reason]).inc(),
        }
    }
}

/// Without a key of its own each request is one that nobody has asked before.
fn key_of(key: Option<&HeaderValue>) -> Result<String, Refused> {
    match key.map(HeaderValue::to_str) {
        Some(Ok(key)) => Ok(key.to_owned()),
        Some(Err(_other)) => {
            let message = "it must be of letters, digits and signs of ASCII".to_owned();
            Err(Fault { field: KEY_HEADER.to_owned(), message }.into())
        }
        None => {
            let number = || random().map_err(Refused::NoKey);
            Ok(format!("agones-{:016x}{:016x}", number()?, number()?))
        }
    }
}

fn given(outcome: Outcome) -> Result<Given, Refused> {
    match outcome {
        Outcome::Given(given) => Ok(given),
        Outcome::Ended(_) => Err(Refused::Ended),
        Outcome::Lost(_) => Err(Refused::Lost),
        Outcome::NoServer => Err(Refused::NoServer),
        Outcome::Elsewhere(_) | Outcome::TooLate => Err(Refused::TooLate),
        Outcome::Busy => Err(Refused::TooMany),
        Outcome::Differs => Err(Refused::Differs),
    }
}

#[async_trait]
impl allocation_service_server::AllocationService for Entrance {
    async fn allocate(
        &self,
        request: tonic::Request<AllocationRequest>,
    ) -> Result<tonic::Response<AllocationResponse>, Status> {
        let key = request.metadata().as_ref().get(KEY_HEADER);
        let answer = self.door.answer(key, Ok(request.get_ref())).await;
        match answer.said {
            Ok(response) => {
                let mut response = tonic::Response::new(response);
                if let Some(key) = answer.key {
                    response.metadata_mut().as_mut().insert(KEY_HEADER, key);
                }
                Ok(response)
            }
            refused => Err(Answer { said: refused, ..answer }.into()),
        }
    }
}

async fn allocate(State(entrance): State<Arc<Entrance>>, headers: HeaderMap, body: Bytes) -> Response {
    let request = read_json::<AllocationRequest>(&body);
    entrance.door.answer(headers.get(KEY_HEADER), request.as_ref().map_err(Clone::clone)).await.into_json()
}

impl From<Answer> for Status {
    /// Of one that is refused.
    fn from(answer: Answer) -> Self {
        let Err(refused) = &answer.said else { return Self::new(Code::Ok, "") };
        let mut status = Self::new(refused.codes().1, refused.to_string());
        if let Some(key) = answer.key {
            status.metadata_mut().as_mut().insert(KEY_HEADER, key);
        }
        status
    }
}

impl Answer {
    /// As a gateway from REST to gRPC has it.
    fn into_json(self) -> Response {
        let mut response = match &self.said {
            Ok(response) => Json(response).into_response(),
            Err(refused) => {
                let code = refused.codes().1;
                let said = json!({ "code": i32::from(code), "message": refused.to_string(), "details": [] });
                (status_of(code), Json(said)).into_response()
            }
        };
        if let Some(key) = self.key {
            response.headers_mut().insert(KEY_HEADER, key);
        }
        response
    }
}

/// Which status of HTTP goes with a code, of those that are said here.
const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::InvalidArgument => StatusCode::BAD_REQUEST,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

#[expect(
    unreachable_pub,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::pedantic,
    reason = "it is generated"
)]
mod proto {
    tonic::include_proto!("allocation");
}
