//! Keeps the streams that [`StreamSet`] wants, and passes on what they say.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gameserver_contract::{OperatorMessage, Report};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};

use super::stream::{DrainView, Heard, Identity, Outbound, StreamError, run_stream};
use super::stream_set::{Action, StreamSet};
use gameserver_sys::Clock;

/// Messages from all replicas that wait for the control loop at most; then streams wait.
const INBOUND_MAX: usize = 64;

/// Reports that a slow stream may fall behind before it misses some.
const REPORTS_MAX: usize = 8;

/// The control loop's ends of the client.
pub(crate) struct ReportHandle {
    pub(crate) inbound: mpsc::Receiver<Heard>,
    pub(crate) reports: broadcast::Sender<Arc<Report>>,
    pub(crate) drain: watch::Sender<DrainView>,
    pub(crate) open_streams: watch::Receiver<usize>,
}

/// The client's own state; [`ReportClient::run`] ends when the [`ReportHandle`] is gone and streams said goodbye.
pub(crate) struct ReportClient {
    set: StreamSet,
    identity: Identity,
    clock: Clock,
    random: SystemRandom,
    streams: JoinSet<(SocketAddr, Result<(), StreamError>)>,
    handles: BTreeMap<SocketAddr, AbortHandle>,
    inbound: mpsc::Sender<Heard>,
    reports: broadcast::WeakSender<Arc<Report>>,
    drain: watch::Receiver<DrainView>,
    open_streams: watch::Sender<usize>,
}

impl ReportClient {
    pub(crate) fn new(endpoint: SocketAddr, identity: Identity, clock: Clock) -> (Self, ReportHandle) {
        let (inbound, heard) = mpsc::channel(INBOUND_MAX);
        let (reports, _) = broadcast::channel(REPORTS_MAX);
        let (drain, drain_view) = watch::channel(DrainView::default());
        let (open_streams, open_count) = watch::channel(0);
        let client = Self {
            set: StreamSet::new(endpoint),
            identity,
            clock,
            random: SystemRandom::new(),
            streams: JoinSet::new(),
            handles: BTreeMap::new(),
            inbound,
            reports: reports.downgrade(),
            drain: drain_view,
            open_streams,
        };
        (client, ReportHandle { inbound: heard, reports, drain, open_streams: open_count })
    }

    pub(crate) async fn run(mut self) {
        let (heard, mut messages) = mpsc::channel(INBOUND_MAX);
        while self.keep_streams(&heard) {
            let wait = self.until_next_attempt();
            tokio::select! {
                Some((peer, heard)) = messages.recv() => self.pass_on(peer, heard).await,
                Some(ended) = self.streams.join_next() => self.stream_ended(ended),
                () = tokio::time::sleep(wait) => {}
                () = self.inbound.closed() => break,
            }
        }
        // the last report is on its way; streams end by themselves once they sent it
        drop(messages);
        while self.streams.join_next().await.is_some() {}
    }

    /// Carries out what the set wants; false when the server has stopped reporting.
    fn keep_streams(&mut self, heard: &mpsc::Sender<(SocketAddr, Heard)>) -> bool {
        for action in self.set.poll(self.clock.monotonic()) {
            match action {
                Action::Connect(peer) => {
                    let Some(reports) = self.reports.upgrade() else { return false };
                    let outbound = Outbound { reports: reports.subscribe(), drain: self.drain.clone() };
                    let stream = run_stream(peer, self.identity.clone(), outbound, heard.clone());
                    let handle = self.streams.spawn_local(async move { (peer, stream.await) });
                    self.handles.insert(peer, handle);
                }
                Action::Close(peer) => {
                    if let Some(handle) = self.handles.remove(&peer) {
                        handle.abort();
                    }
                }
            }
        }
        self.open_streams.send_replace(self.set.open_count());
        true
    }

    fn until_next_attempt(&self) -> Duration {
        let idle = Duration::from_secs(60);
        self.set.poll_timeout().map_or(idle, |due| due.saturating_sub(self.clock.monotonic()))
    }

    async fn pass_on(&mut self, peer: SocketAddr, heard: Heard) {
        match &heard.message {
            OperatorMessage::Welcome(welcome) => {
                tracing::info!(%peer, replicas = welcome.replicas.len(), "an operator replica welcomed us");
                self.set.opened(peer);
                self.set.learn(&welcome.replicas);
            }
            OperatorMessage::Replicas { addresses } => self.set.learn(addresses),
            OperatorMessage::Drain { .. }
            | OperatorMessage::Undrain { .. }
            | OperatorMessage::Outdated { .. }
            | OperatorMessage::Greet { .. }
            | OperatorMessage::Propose { .. }
            | OperatorMessage::Release { .. }
            | OperatorMessage::Refused { .. } => {}
        }
        // as in the stream: nobody listens any more only when the server stops
        let _heard = self.inbound.send(heard).await;
    }

    fn stream_ended(&mut self, ended: Result<(SocketAddr, Result<(), StreamError>), tokio::task::JoinError>) {
        // an aborted stream is one that the set no longer knows
        let Ok((peer, outcome)) = ended else { return };
        if let Err(error) = outcome {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::warn!(%peer, error = error.to_string(), cause, "a report stream ended");
        }
        self.handles.remove(&peer);
        let mut random = [0; 4];
        // without randomness the wait is the longest, which is safe
        let random = self.random.fill(&mut random).map_or(u32::MAX, |()| u32::from_ne_bytes(random));
        self.set.lost(peer, self.clock.monotonic(), random);
    }
}
