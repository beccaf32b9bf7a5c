//! The desk: where everybody tells what happened, and the work behind it.

use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use kube::runtime::reflector::Store;
use operator_api::GameServer;
use operator_core::allocation::{Epoch, ReplicaId, ServerUid};
use rustls::sign::CertifiedKey;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::clerk::Clerk;
use super::epochs::{Epochs, Survey};
use super::peers::Peers;
use super::queue::{ANSWER_MAX, Caller};
use super::words::{Asked, LinkWord, Outcome, StreamWord};
use crate::journal::Journal;
use crate::reports::live::LiveServers;
use crate::runtime::clock::Clock;
use crate::runtime::metrics::AllocationMetrics;
use crate::runtime::raw_keys::PublicKey;

/// What waits for the desk at most; then whoever has more to say waits.
const EVENTS_MAX: usize = 4096;
/// What is wanted of the API server at once, at most.
const WANTS_MAX: usize = 16;
/// Longest wait of a stream for room at the desk.
const ROOM_WITHIN: Duration = Duration::from_secs(1);
/// For the clerk to tell whose time is over.
const GRACE: Duration = Duration::from_secs(1);

/// What happened.
pub(super) enum Event {
    Stream { server: ServerUid, number: u64, word: StreamWord },
    Link { peer: ReplicaId, number: u64, word: LinkWord },
    Ask { asked: Asked, caller: Caller },
    Read(Option<Epoch>),
    Ended(BTreeSet<ReplicaId>),
    Surveyed { reign: u64, servers: Survey },
}

/// Where everybody tells the desk what happened.
#[derive(Clone)]
pub(crate) struct Desk {
    events: mpsc::Sender<Event>,
    clock: Clock,
}

/// What the desk works with.
pub(crate) struct DeskSetup {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) pod_name: String,
    pub(crate) me: ReplicaId,
    /// By which the other replicas know this process.
    pub(crate) key: (Arc<CertifiedKey>, PublicKey),
    /// The operator's own pods.
    pub(crate) pods: Store<Pod>,
    /// Where the other replicas dial, and where they listen.
    pub(crate) listener: TcpListener,
    pub(crate) port: u16,
    pub(crate) game_servers: Store<GameServer>,
    pub(crate) live: Arc<LiveServers>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) metrics: AllocationMetrics,
    pub(crate) clock: Clock,
}

impl Desk {
    /// A desk, and the work behind it, which is to be run.
    pub(crate) fn new(setup: DeskSetup) -> (Self, Work) {
        let (events, received) = mpsc::channel(EVENTS_MAX);
        let desk = Self { events, clock: setup.clock };
        let work = Work { setup, desk: desk.clone(), events: received };
        (desk, work)
    }

    /// One at which nobody does anything.
    #[cfg(test)]
    pub(crate) fn idle() -> Self {
        Self::scripted(|_| Outcome::TooLate)
    }

    /// One at which nobody is told anything.
    #[cfg(test)]
    pub(crate) fn mute() -> Self {
        let (events, mut received) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Some(event) = received.recv().await {
                kept.push(event);
            }
        });
        Self { events, clock: Clock::start() }
    }

    /// One at which everybody is told this.
    #[cfg(test)]
    pub(crate) fn scripted(answer: impl Fn(&Asked) -> Outcome + Send + 'static) -> Self {
        let (events, mut received) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(async move {
            // streams end when nothing can be said on them
            let mut streams = Vec::new();
            while let Some(event) = received.recv().await {
                match event {
                    Event::Ask { asked, caller } => caller.tell(answer(&asked)),
                    event => streams.push(event),
                }
            }
        });
        Self { events, clock: Clock::start() }
    }

    /// A stream of a server says something. It is to end if the desk has no room for that in time: what it says next would be out of turn.
    pub(crate) async fn stream(&self, server: ServerUid, number: u64, word: StreamWord) -> bool {
        timeout(ROOM_WITHIN, self.tell(Event::Stream { server, number, word })).await.is_ok()
    }

    /// Asks for a server, and waits for so long for one to become free. A replica that does not allocate passes it on.
    pub(crate) async fn ask(&self, asked: Asked, wait: Duration) -> Outcome {
        self.ask_by(asked, wait, false).await
    }

    /// The same for another replica's caller, which that one passed on: it goes no further.
    pub(super) async fn ask_for_other(&self, asked: Asked, wait: Duration) -> Outcome {
        self.ask_by(asked, wait, true).await
    }

    async fn ask_by(&self, asked: Asked, wait: Duration, is_of_other: bool) -> Outcome {
        let (tell, answer) = oneshot::channel();
        let caller = Caller::new(tell, self.clock.elapsed() + wait, is_of_other);
        let asking = async {
            self.tell(Event::Ask { asked, caller }).await;
            answer.await
        };
        // nobody answers when the operator stops, and a clerk that has too much to do not in time
        timeout(wait + ANSWER_MAX + GRACE, asking).await.ok().and_then(Result::ok).unwrap_or(Outcome::TooLate)
    }

    /// The epoch's object was read.
    pub(super) async fn epoch(&self, read: Option<Epoch>) {
        self.tell(Event::Read(read)).await;
    }

    /// These processes are known to have ended.
    pub(super) async fn ended(&self, replicas: BTreeSet<ReplicaId>) {
        self.tell(Event::Ended(replicas)).await;
    }

    /// These servers there are, as of this reign.
    pub(super) async fn surveyed(&self, reign: u64, servers: Survey) {
        self.tell(Event::Surveyed { reign, servers }).await;
    }

    /// A link to another replica says something.
    pub(super) async fn link(&self, peer: ReplicaId, number: u64, word: LinkWord) {
        self.tell(Event::Link { peer, number, word }).await;
    }

    async fn tell(&self, event: Event) {
        // nobody listens any more when the operator stops
        drop(self.events.send(event).await);
    }
}

/// The work behind a desk.
pub(crate) struct Work {
    setup: DeskSetup,
    desk: Desk,
    events: mpsc::Receiver<Event>,
}

impl Work {
    /// Works until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let Self { setup, desk, events } = self;
        let (key, public_key) = setup.key;
        let (wants, wanted) = mpsc::channel(WANTS_MAX);
        let epochs =
            Epochs::new(setup.client, &setup.namespace, &setup.pod_name, setup.me, public_key, desk.clone());
        let (me, port, links) = (setup.me, setup.port, AtomicU64::new(0));
        let peers = Peers { me, key, pods: setup.pods, port, desk, links };
        let known = (setup.live, setup.journal);
        let clerk = Clerk::new(setup.me, wants, setup.game_servers, known, setup.metrics, setup.clock);
        tokio::select! {
            () = epochs.keep(wanted) => Ok(()),
            () = clerk.work(events) => Ok(()),
            ended = peers.keep(setup.listener, stop) => ended,
        }
    }
}
