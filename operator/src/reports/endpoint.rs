//! Listens for game servers and runs one task a stream.

use gameserver_contract::{CONTRACT_VERSION, Hello, OperatorMessage, ServerMessage, Welcome};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_api::GameServer;
use operator_core::allocation::ServerUid;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span, debug, info};

use super::identity::{IdentityError, PodIdentity, Verifier};
use super::keys::{FleetKeys, KeyError, SecretOf};
use super::live::{LiveServers, ORDERS_MAX};
use crate::about::about;
use crate::allocation::{Desk, StreamWord};
use crate::runtime::accept::{Accept, Limits, serve_each};
use crate::runtime::clock::Clock;
use crate::runtime::frame::{FrameError, FrameReader, write_frame};
use crate::runtime::metrics::Metrics;
use crate::runtime::telemetry::chain;

/// Streams at once; and of these, streams that have not said who they are: before a token is verified, anybody may open one,
/// and each may cost the memory of a handshake and a hello.
pub(crate) const LIMITS: Limits = Limits { streams: 20_000, greetings: 256 };
/// Bytes of a hello; a token makes up most of it.
const HELLO_BYTES_MAX: usize = 8 * 1024;
/// Time for the TLS handshake and the hello together, and for each write.
const PATIENCE: Duration = Duration::from_secs(5);
/// A stream that says nothing for this long is closed; reports come each second.
const SILENCE_MAX: Duration = Duration::from_secs(30);
/// Time to tell a server why it is refused; a word of courtesy, so it is short.
const COURTESY: Duration = Duration::from_secs(1);
/// What an allocator has to say to one server, and is not sent yet, at most.
const WORDS_MAX: usize = 32;
/// Period of reports that servers are asked for.
const REPORT_PERIOD_MS: u32 = 1000;

/// What the endpoint needs.
pub(crate) struct Endpoint {
    pub(crate) acceptor: TlsAcceptor,
    pub(crate) live: Arc<LiveServers>,
    pub(crate) verifier: Arc<Verifier>,
    pub(crate) keys: Arc<FleetKeys>,
    pub(crate) game_servers: Store<GameServer>,
    pub(crate) pods: Store<Pod>,
    /// By whose external addresses players come, if they do.
    pub(crate) nodes: Option<Store<Node>>,
    pub(crate) replicas: watch::Receiver<Vec<SocketAddr>>,
    /// Hears what servers hold.
    pub(crate) desk: Desk,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
}

/// Why a stream is refused or ends.
#[derive(Debug, thiserror::Error)]
enum StreamError {
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("no answer in time")]
    TooSlow,
    #[error("the stream broke")]
    Frame(#[from] FrameError),
    #[error("the first message must be a hello")]
    NoHello,
    #[error("contract version {0} is not {CONTRACT_VERSION}")]
    Version(u16),
    #[error("false token")]
    Identity(#[source] IdentityError),
    /// Nothing is known of the token; it may be right.
    #[error("the token cannot be verified now")]
    Keys(#[source] IdentityError),
    #[error("pod {0} does not run that GameServer")]
    WrongPod(String),
    #[error("pod {0} is not known yet")]
    UnknownPod(String),
    #[error("no key for the server")]
    Key(#[source] KeyError),
}

impl From<IdentityError> for StreamError {
    fn from(error: IdentityError) -> Self {
        match error {
            IdentityError::Keys(_) => Self::Keys(error),
            _ => Self::Identity(error),
        }
    }
}

impl StreamError {
    /// Label of the metric.
    const fn label(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls",
            Self::TooSlow => "too_slow",
            Self::Frame(_) | Self::NoHello => "protocol",
            Self::Version(_) => "version",
            Self::Identity(_) => "token",
            Self::Keys(_) => "keys",
            Self::WrongPod(_) => "wrong_pod",
            Self::UnknownPod(_) => "unknown_pod",
            Self::Key(_) => "no_key",
        }
    }
}

impl Endpoint {
    /// Accepts streams until `stop`; ends when every stream has ended.
    pub(crate) async fn serve(self, listener: impl Accept, stop: CancellationToken) {
        let (endpoint, stop_streams) = (Arc::new(self), stop.clone());
        serve_each("a report stream", listener, endpoint.limits, stop, |accepted, greeting| {
            let (endpoint, stop) = (Arc::clone(&endpoint), stop_streams.clone());
            async move { endpoint.run_stream(accepted, greeting, stop).await }
        })
        .await;
    }

    /// `greeting` is the place among those that are not welcomed yet.
    async fn run_stream(
        &self,
        (socket, from): (TcpStream, SocketAddr),
        greeting: OwnedSemaphorePermit,
        stop: CancellationToken,
    ) {
        let greeted = match stop.run_until_cancelled(timeout(PATIENCE, self.greet(socket))).await {
            Some(Ok(greeted)) => greeted,
            Some(Err(_elapsed)) => Err(StreamError::TooSlow),
            None => return,
        };
        let stream = match greeted {
            Ok(stream) => stream,
            Err(error) => {
                self.metrics.streams_refused.with_label_values(&[error.label()]).inc();
                info!(%from, error = chain(&error), "refused a report stream");
                return;
            }
        };
        drop(greeting);
        let span = stream.about.clone();
        let talking = async {
            debug!(%from, "a report stream begins");
            let (server, number) = (ServerUid::from(&*stream.connected.uid), stream.connected.number);
            if let Err(error) = self.talk(stream, &server, stop).await {
                debug!(%from, error = chain(&error), "a report stream ended");
            }
            self.desk.stream(server, number, StreamWord::Ended).await;
        };
        talking.instrument(span).await;
    }

    /// From a socket to a welcomed server.
    async fn greet(
        &self,
        socket: TcpStream,
    ) -> Result<Greeted<impl AsyncRead + AsyncWrite + Unpin + use<>>, StreamError> {
        socket.set_nodelay(true).map_err(StreamError::Tls)?;
        let tls = self.acceptor.accept(socket).await.map_err(StreamError::Tls)?;
        let (read, mut write) = split(tls);
        let mut reader = FrameReader::new(read);
        let ServerMessage::Hello(hello) = reader.read_at_most(HELLO_BYTES_MAX).await? else {
            return Err(StreamError::NoHello);
        };
        match self.admit(&hello).await {
            Ok(Admitted { uid, server_key, reached_at, about }) => {
                let (orders, received) = mpsc::channel(ORDERS_MAX);
                let welcome = Welcome {
                    replicas: self.replicas.borrow().clone(),
                    server_key,
                    report_period_ms: REPORT_PERIOD_MS,
                    allocates: true,
                    tells_outdated: true,
                    reached_at,
                };
                write_frame(&mut write, &OperatorMessage::Welcome(welcome)).await?;
                let connected = Connected::begin(self, uid, &hello, orders);
                Ok(Greeted { connected, about, reader, write, orders: received, speaks: hello.sessions > 0 })
            }
            Err(error) => {
                tell_refused(&mut write, &error).await;
                Err(error)
            }
        }
    }

    /// Who says hello, and their key. Nothing that the hello claims is believed but what the token proves.
    async fn admit(&self, hello: &Hello) -> Result<Admitted, StreamError> {
        if hello.contract_version != CONTRACT_VERSION {
            return Err(StreamError::Version(hello.contract_version));
        }
        let identity = self.verifier.verify(&hello.token).await?;
        let game_server = game_server_of(&self.pods, &self.game_servers, &identity, hello)?;
        let uid = game_server.uid().ok_or_else(|| StreamError::UnknownPod(identity.pod.clone()))?;
        let secret = SecretOf::server(&game_server);
        let server_key =
            self.keys.server_key(&identity.namespace, &secret, &uid).await.map_err(StreamError::Key)?;
        Ok(Admitted { uid, server_key, reached_at: self.reached_at(&identity), about: about(&*game_server) })
    }

    /// Where players reach the node of this pod, if that is not where its pods say that it is.
    fn reached_at(&self, identity: &PodIdentity) -> Option<IpAddr> {
        let pod = self.pods.get(&ObjectRef::new(&identity.pod).within(&identity.namespace))?;
        external_address(&*self.nodes.as_ref()?.get(&ObjectRef::new(pod.spec.as_ref()?.node_name.as_ref()?))?)
    }

    /// Takes reports and sends orders until either side ends.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        stream: Greeted<S>,
        server: &ServerUid,
        stop: CancellationToken,
    ) -> Result<(), StreamError> {
        let Greeted { connected, about: _, mut reader, mut write, mut orders, speaks } = stream;
        let mut replicas = self.replicas.clone();
        let (words, mut said) = mpsc::channel(WORDS_MAX);
        // who is mute is told nothing, and the stream lasts all the same
        let (began, _kept) =
            if speaks { (StreamWord::Began(words), None) } else { (StreamWord::BeganMute, Some(words)) };
        self.tell_desk(server, connected.number, began).await?;
        let reading = async {
            loop {
                match timeout(SILENCE_MAX, reader.read()).await {
                    Ok(message) => {
                        if let Some(word) = self.take((&connected.uid, connected.number), message?) {
                            self.tell_desk(server, connected.number, word).await?;
                        }
                    }
                    Err(_elapsed) => return Err::<(), StreamError>(StreamError::TooSlow),
                }
            }
        };
        let writing = async {
            loop {
                let message = tokio::select! {
                    order = orders.recv() => match order {
                        Some(order) => order,
                        // A newer stream of the same server took over.
                        None => return Ok::<(), StreamError>(()),
                    },
                    word = said.recv() => match word {
                        Some(word) => word,
                        // A newer stream took over there too, or the server took longer than the desk waits.
                        None => return Err(StreamError::TooSlow),
                    },
                    Ok(()) = replicas.changed() => {
                        OperatorMessage::Replicas { addresses: replicas.borrow_and_update().clone() }
                    }
                };
                match timeout(PATIENCE, write_frame(&mut write, &message)).await {
                    Ok(written) => written?,
                    Err(_elapsed) => return Err(StreamError::TooSlow),
                }
            }
        };
        tokio::select! {
            ended = reading => ended,
            ended = writing => ended,
            () = stop.cancelled() => Ok(()),
        }
    }

    async fn tell_desk(&self, server: &ServerUid, number: u64, word: StreamWord) -> Result<(), StreamError> {
        let is_told = self.desk.stream(server.clone(), number, word).await;
        is_told.then_some(()).ok_or(StreamError::TooSlow)
    }

    /// Takes what a server says; what is for the desk comes back.
    fn take(&self, stream: (&str, u64), message: ServerMessage) -> Option<StreamWord> {
        let now = self.clock.elapsed();
        let outcome = match message {
            ServerMessage::Holding(holding) => return Some(StreamWord::Holding(holding)),
            ServerMessage::Judged { key, judgement } => return Some(StreamWord::Judged { key, judgement }),
            ServerMessage::Over { key } => return Some(StreamWord::Over { key }),
            ServerMessage::Report(report) => {
                self.live.report(now, stream, &report);
                "accepted"
            }
            ServerMessage::DrainAcked { order } => {
                self.live.drained(now, stream, order);
                "accepted"
            }
            ServerMessage::Hello(_) => "invalid",
        };
        self.metrics.reports.with_label_values(&[outcome]).inc();
        None
    }
}

/// Who said hello, and what it is told.
struct Admitted {
    uid: String,
    server_key: [u8; 32],
    reached_at: Option<IpAddr>,
    about: Span,
}

/// The first that the node has; one that is none is skipped.
fn external_address(node: &Node) -> Option<IpAddr> {
    let all = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let mut external = all.filter(|address| address.type_ == "ExternalIP");
    external.find_map(|address| address.address.parse().ok())
}

/// The GameServer that the pod runs: it is the one that the hello names, or the pod has nothing to say about it.
fn game_server_of(
    pods: &Store<Pod>,
    game_servers: &Store<GameServer>,
    identity: &PodIdentity,
    hello: &Hello,
) -> Result<Arc<GameServer>, StreamError> {
    let named = || format!("{}/{}", identity.namespace, identity.pod);
    let pod = pods
        .get(&ObjectRef::new(&identity.pod).within(&identity.namespace))
        .filter(|pod| pod.uid().as_deref() == Some(&identity.pod_uid))
        .ok_or_else(|| StreamError::UnknownPod(named()))?;
    let game_server = game_servers
        .get(&ObjectRef::new(&hello.game_server).within(&identity.namespace))
        .ok_or_else(|| StreamError::UnknownPod(named()))?;
    let uid = game_server.uid();
    let owned = pod.owner_references().iter().any(|owner| Some(&owner.uid) == uid.as_ref());
    let claimed = hello.namespace == identity.namespace && Some(&hello.game_server_uid) == uid.as_ref();
    if owned && claimed { Ok(game_server) } else { Err(StreamError::WrongPod(named())) }
}

/// Whether the server hears of it or not, why it is refused stays the reason.
async fn tell_refused(write: &mut (impl AsyncWrite + Unpin), error: &StreamError) {
    let refused = OperatorMessage::Refused { reason: error.to_string() };
    if let Ok(Err(unheard)) = timeout(COURTESY, write_frame(write, &refused)).await {
        debug!(error = chain(&unheard), "a server did not hear why it is refused");
    }
}

/// A stream that counts, until it is dropped: however its task ends, it counts no more.
struct Connected {
    live: Arc<LiveServers>,
    metrics: Metrics,
    clock: Clock,
    uid: String,
    number: u64,
}

impl Connected {
    fn begin(endpoint: &Endpoint, uid: String, hello: &Hello, orders: mpsc::Sender<OperatorMessage>) -> Self {
        let (live, metrics, clock) = (Arc::clone(&endpoint.live), endpoint.metrics.clone(), endpoint.clock);
        let number = live.connect(clock.elapsed(), &uid, hello, orders);
        metrics.streams.inc();
        Self { live, metrics, clock, uid, number }
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.metrics.streams.dec();
        self.live.disconnect(self.clock.elapsed(), &self.uid, self.number);
    }
}

struct Greeted<S> {
    connected: Connected,
    about: Span,
    reader: FrameReader<tokio::io::ReadHalf<S>>,
    write: tokio::io::WriteHalf<S>,
    orders: mpsc::Receiver<OperatorMessage>,
    /// Whether the server knows of allocation.
    speaks: bool,
}

#[cfg(test)]
mod tests;
