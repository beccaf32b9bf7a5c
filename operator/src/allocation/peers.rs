//! Links between the replicas of one region's operator: one for each two of them, dialled by the one with the lower id.
//!
//! Each replica knows the others by what their pods say ([`super::roster`]), and takes nobody else.

use k8s_openapi::api::core::v1::Pod;
use kube::runtime::reflector::Store;
use operator_core::allocation::{Change, Key, Message, ReplicaId};
use rustls::pki_types::{IpAddr as TlsIpAddr, Ipv4Addr, ServerName};
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::desk::Desk;
use super::roster::Process;
use super::words::{Asked, LinkWord, Outcome};
use crate::runtime::accept::{Limits, serve_each};
use crate::runtime::frame::{FrameError, FrameReader, write_frame};
use crate::runtime::raw_keys::{self, PublicKey};
use crate::runtime::telemetry::chain;

const PROTOCOL: raw_keys::Protocol = b"cranewing-replicas/1";
/// A region's operator has a few replicas; one that is dialled anew has two links for a moment.
const LIMITS: Limits = Limits { streams: 96, greetings: 64 };
/// How often a replica looks whom to dial.
const DIAL_PERIOD: Duration = Duration::from_millis(250);
/// For connecting and the handshake, and for each write.
const PATIENCE: Duration = Duration::from_secs(1);
/// A link that says nothing for so long has ended: the other end's clerk says something five times a second.
const SILENCE_MAX: Duration = Duration::from_millis(800);
/// What waits for a link at most.
pub(super) const FRAMES_MAX: usize = 4096;
/// Lines of a ledger in one frame: some tens of kilobytes.
const LINES_OF_FRAME: usize = 200;
/// Lines of a whole ledger: what is remembered and what is held.
const LINES_MAX: usize = 200_000;
/// Questions of another replica's callers that are answered at once.
const ASKS_MAX: usize = 8192;

/// What goes over a link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Frame {
    /// All is well.
    Beat,
    /// Part of a whole ledger.
    Lines { reign: u64, up_to: u64, lines: Vec<Change>, is_last: bool },
    /// Anything else that replicas say.
    Message(Message),
    /// A caller of the other replica asks.
    Ask { ticket: u64, asked: Asked, wait_ms: u64 },
    /// And is told.
    Told { ticket: u64, key: Key, outcome: Outcome },
}

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("failed to set up TLS")]
    Tls(#[source] anyhow::Error),
    #[error("failed to connect")]
    Connect(#[source] io::Error),
    #[error("the other end proves to be nobody who is known")]
    Stranger,
    #[error("nothing came, or nothing was taken, in time")]
    TooSlow,
    #[error("the link broke")]
    Frame(#[from] FrameError),
    #[error("a ledger of more than {LINES_MAX} lines")]
    TooLong,
}

/// This replica's links.
pub(super) struct Peers {
    pub(super) me: ReplicaId,
    pub(super) key: Arc<CertifiedKey>,
    /// The operator's own pods.
    pub(super) pods: Store<Pod>,
    /// Where the others listen.
    pub(super) port: u16,
    pub(super) desk: Desk,
    pub(super) links: AtomicU64,
}

impl Peers {
    /// Links with every replica until `stop`.
    pub(super) async fn keep(self, listener: TcpListener, stop: CancellationToken) -> anyhow::Result<()> {
        let peers = Arc::new(self);
        let pins = {
            let peers = Arc::clone(&peers);
            move |key: &PublicKey| peers.of_key(key).is_some()
        };
        let acceptor = TlsAcceptor::from(raw_keys::server_config(PROTOCOL, &peers.key, pins)?);
        let (accepting, stop_links) = (Arc::clone(&peers), stop.clone());
        let serving = serve_each(
            "a link of a replica",
            listener,
            LIMITS,
            stop.clone(),
            move |(socket, _), greeting| {
                let (peers, acceptor, stop) = (Arc::clone(&accepting), acceptor.clone(), stop_links.clone());
                async move {
                    let linked = stop.run_until_cancelled(peers.accept(&acceptor, socket, greeting)).await;
                    if let Some(Err(error)) = linked {
                        debug!(error = chain(&error), "a link of a replica ended");
                    }
                }
            },
        );
        tokio::join!(serving, stop.run_until_cancelled(peers.dial_all()));
        Ok(())
    }

    /// Replicas that there are, but this one.
    fn others(&self) -> BTreeMap<ReplicaId, Process> {
        let processes = self.pods.state().into_iter().filter_map(|pod| Process::of(&pod));
        processes.filter(|process| process.id != self.me).map(|process| (process.id, process)).collect()
    }

    fn of_key(&self, key: &PublicKey) -> Option<ReplicaId> {
        self.others().into_values().find(|process| process.key == *key).map(|process| process.id)
    }

    async fn accept(
        &self,
        acceptor: &TlsAcceptor,
        socket: TcpStream,
        greeting: impl Send,
    ) -> Result<(), LinkError> {
        socket.set_nodelay(true).map_err(LinkError::Connect)?;
        let accepted =
            timeout(PATIENCE, acceptor.accept(socket)).await.map_err(|_elapsed| LinkError::TooSlow)?;
        let stream = accepted.map_err(LinkError::Connect)?;
        let peer = raw_keys::peer_key(PROTOCOL, stream.get_ref().1).and_then(|key| self.of_key(&key));
        drop(greeting);
        self.talk(peer.ok_or(LinkError::Stranger)?, stream).await
    }

    /// Dials each of the others whose id is higher, as long as there is one.
    async fn dial_all(self: &Arc<Self>) {
        let mut dialled: BTreeMap<ReplicaId, _> = BTreeMap::new();
        let mut dialling = JoinSet::new();
        let mut looks = interval(DIAL_PERIOD);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            while let Some(ended) = dialling.try_join_next_with_id() {
                let id = match ended {
                    Ok((id, ())) => id,
                    Err(error) => error.id(),
                };
                dialled.retain(|_, task| *task != id);
            }
            for process in self.others().into_values() {
                let Some(address) = process.address.filter(|_| process.id > self.me) else { continue };
                if dialled.contains_key(&process.id) {
                    continue;
                }
                let (id, address) = (process.id, SocketAddr::new(address, self.port));
                let peers = Arc::clone(self);
                let link = async move {
                    if let Err(error) = peers.dial(process, address).await {
                        debug!(peer = %id, %address, error = chain(&error), "no link to a replica");
                    }
                };
                dialled.insert(id, dialling.spawn(link).id());
            }
        }
    }

    async fn dial(&self, peer: Process, address: SocketAddr) -> Result<(), LinkError> {
        let config = raw_keys::client_config(PROTOCOL, &self.key, vec![peer.key]);
        let config = config.map_err(LinkError::Tls)?;
        let dialling = async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            // keys are pinned, so that a name says nothing; TLS wants one
            let name = ServerName::IpAddress(TlsIpAddr::V4(Ipv4Addr::from([0; 4])));
            TlsConnector::from(config).connect(name, socket).await
        };
        let dialled = timeout(PATIENCE, dialling).await.map_err(|_elapsed| LinkError::TooSlow)?;
        let stream = dialled.map_err(LinkError::Connect)?;
        if raw_keys::peer_key(PROTOCOL, stream.get_ref().1).is_none() {
            return Err(LinkError::Stranger);
        }
        self.talk(peer.id, stream).await
    }

    /// Speaks for the desk until the link ends, and tells it so.
    async fn talk(
        &self,
        peer: ReplicaId,
        stream: impl AsyncRead + AsyncWrite + Send + Unpin,
    ) -> Result<(), LinkError> {
        let number = self.links.fetch_add(1, Ordering::Relaxed);
        let (read, write) = split(stream);
        let (frames, to_send) = mpsc::channel(FRAMES_MAX);
        let link = Link { desk: self.desk.clone(), peer, number };
        // the desk's end alone keeps the link up
        let replies = frames.downgrade();
        link.tell(LinkWord::Up(frames)).await;
        info!(%peer, "a link to a replica begins");
        let ended = tokio::select! {
            ended = listen(FrameReader::new(read), replies, &link) => ended,
            ended = speak(write, to_send) => ended,
        };
        link.tell(LinkWord::Down).await;
        info!(%peer, "a link to a replica ended");
        ended
    }
}

/// One link, as the desk hears of it.
struct Link {
    desk: Desk,
    peer: ReplicaId,
    number: u64,
}

impl Link {
    async fn tell(&self, word: LinkWord) {
        self.desk.link(self.peer, self.number, word).await;
    }
}

/// Tells the desk what the other end says, and the other end what becomes of its callers' questions.
async fn listen(
    mut reader: FrameReader<impl AsyncRead + Unpin>,
    replies: mpsc::WeakSender<Frame>,
    link: &Link,
) -> Result<(), LinkError> {
    let (mut whole, mut asking) = (Vec::new(), JoinSet::new());
    loop {
        let frame = timeout(SILENCE_MAX, reader.read()).await.map_err(|_elapsed| LinkError::TooSlow)??;
        while asking.try_join_next().is_some() {}
        match frame {
            Frame::Beat => link.tell(LinkWord::Beat).await,
            Frame::Lines { reign, up_to, lines, is_last } => {
                whole.extend(lines);
                if whole.len() > LINES_MAX {
                    return Err(LinkError::TooLong);
                }
                if is_last {
                    let lines = std::mem::take(&mut whole);
                    link.tell(LinkWord::Said(Message::Whole { reign, up_to, lines })).await;
                }
            }
            Frame::Message(message) => link.tell(LinkWord::Said(message)).await,
            Frame::Told { ticket, key, outcome } => link.tell(LinkWord::Told { ticket, key, outcome }).await,
            Frame::Ask { ticket, asked, .. } if asking.len() >= ASKS_MAX => {
                // one that finds no room either is told when its time is over
                let told = Frame::Told { ticket, key: asked.key, outcome: Outcome::Busy };
                drop(replies.upgrade().map(|replies| replies.try_send(told)));
            }
            Frame::Ask { ticket, asked, wait_ms } => {
                let (desk, replies, key) = (link.desk.clone(), replies.clone(), asked.key.clone());
                asking.spawn(async move {
                    let outcome = desk.ask_for_other(asked, Duration::from_millis(wait_ms)).await;
                    // where the link is gone by then it is asked again over another
                    if let Some(replies) = replies.upgrade() {
                        drop(replies.send(Frame::Told { ticket, key, outcome }).await);
                    }
                });
            }
        }
    }
}

/// Sends what the desk says; ends when the desk has let go of the link.
async fn speak(
    mut write: impl AsyncWrite + Unpin,
    mut frames: mpsc::Receiver<Frame>,
) -> Result<(), LinkError> {
    while let Some(frame) = frames.recv().await {
        for part in parts(frame) {
            let written = timeout(PATIENCE, write_frame(&mut write, &part)).await;
            written.map_err(|_elapsed| LinkError::TooSlow)??;
        }
    }
    Ok(())
}

/// A ledger may be longer than a frame.
fn parts(frame: Frame) -> Vec<Frame> {
    let Frame::Message(Message::Whole { reign, up_to, lines }) = frame else { return vec![frame] };
    let mut parts: Vec<_> = lines
        .chunks(LINES_OF_FRAME)
        .map(|lines| Frame::Lines { reign, up_to, lines: lines.to_vec(), is_last: false })
        .collect();
    parts.push(Frame::Lines { reign, up_to, lines: Vec::new(), is_last: true });
    parts
}
