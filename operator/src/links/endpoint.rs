//! Answers the operators of other regions, on every replica.

use operator_core::regions::RegionId;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, split};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::Links;
use super::PROTOCOL;
use super::identity::PublicKey;
use super::message::{Answer, Ask, Digest, Request};
use super::table::PeerTable;
use crate::runtime::accept::{Accept, Limits, serve_each};
use crate::runtime::frame::{FrameError, FrameReader, write_frame};
use crate::runtime::metrics::Metrics;
use crate::runtime::raw_keys;
use crate::runtime::telemetry::chain;

/// Links at once, and of these, those whose key nobody has seen yet.
pub(super) const LIMITS: Limits = Limits { streams: 1024, greetings: 64 };
/// Links of one peer at once: one for each of its replicas, and as many again that they have given up and we have not.
const LINKS_OF_PEER_MAX: usize = 32;
/// Bytes of a question.
const REQUEST_BYTES_MAX: usize = 1024;
/// Time for the handshake, and for each answer to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// A link that asks nothing for this long is closed; digests are asked for each second.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Least time between two answers on a link: 20 a second. Who asks faster waits.
pub(super) const ANSWERS_APART: Duration = Duration::from_millis(50);

/// What the endpoint needs.
pub(super) struct LinkEndpoint {
    pub(super) acceptor: TlsAcceptor,
    pub(super) table: Arc<PeerTable>,
    pub(super) digest: watch::Receiver<Arc<Digest>>,
    pub(super) links: Arc<Links>,
    /// Links of each peer.
    pub(super) places: Mutex<BTreeMap<RegionId, Arc<Semaphore>>>,
    pub(super) metrics: Metrics,
}

/// Why a link is refused or ends.
#[derive(Debug, thiserror::Error)]
enum LinkError {
    #[error("the TLS handshake failed")]
    Tls(#[source] io::Error),
    #[error("no registered region has this key")]
    UnknownKey,
    #[error("region {0} has {LINKS_OF_PEER_MAX} links already")]
    TooMany(RegionId),
    #[error("nothing came, or nothing was taken, in time")]
    TooSlow,
    #[error("the link broke")]
    Frame(#[from] FrameError),
}

impl LinkError {
    /// Label of the metric.
    const fn label(&self) -> &'static str {
        match self {
            Self::Tls(_) => "tls",
            Self::UnknownKey => "unknown_key",
            Self::TooMany(_) => "too_many",
            Self::TooSlow => "too_slow",
            Self::Frame(_) => "protocol",
        }
    }
}

/// A link whose other end is known.
struct Welcomed<S> {
    stream: S,
    region: RegionId,
    key: PublicKey,
    place: OwnedSemaphorePermit,
}

impl LinkEndpoint {
    /// Accepts links until `stop`; ends when every link has ended.
    pub(super) async fn serve(self, listener: impl Accept, stop: CancellationToken) {
        let (endpoint, stop_links) = (Arc::new(self), stop.clone());
        serve_each("a link", listener, LIMITS, stop, |(socket, from), greeting| {
            let (endpoint, stop) = (Arc::clone(&endpoint), stop_links.clone());
            async move {
                stop.run_until_cancelled(endpoint.run_link(socket, from, greeting)).await;
            }
        })
        .await;
    }

    /// `greeting` is the place among those whose key nobody has seen yet.
    async fn run_link(&self, socket: TcpStream, from: SocketAddr, greeting: OwnedSemaphorePermit) {
        let greeted = timeout(PATIENCE, self.greet(socket)).await.unwrap_or(Err(LinkError::TooSlow));
        drop(greeting);
        match greeted {
            Err(error) => {
                self.metrics.links.refused.with_label_values(&[error.label()]).inc();
                info!(%from, error = chain(&error), "refused a link");
            }
            Ok(welcomed) => {
                let region = welcomed.region;
                if let Err(error) = self.talk(welcomed).await {
                    debug!(%from, %region, error = chain(&error), "a link ended");
                }
            }
        }
    }

    async fn greet(
        &self,
        socket: TcpStream,
    ) -> Result<Welcomed<impl AsyncRead + AsyncWrite + Unpin + use<>>, LinkError> {
        socket.set_nodelay(true).map_err(LinkError::Tls)?;
        let stream = self.acceptor.accept(socket).await.map_err(|error| {
            if raw_keys::is_unknown_key(&error) { LinkError::UnknownKey } else { LinkError::Tls(error) }
        })?;
        let key = raw_keys::peer_key(PROTOCOL, stream.get_ref().1).ok_or(LinkError::UnknownKey)?;
        let region = self.table.region_of(&key).ok_or(LinkError::UnknownKey)?;
        let place = self.place(region).ok_or(LinkError::TooMany(region))?;
        Ok(Welcomed { stream, region, key, place })
    }

    fn place(&self, region: RegionId) -> Option<OwnedSemaphorePermit> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let of_peer = places.entry(region).or_insert_with(|| Arc::new(Semaphore::new(LINKS_OF_PEER_MAX)));
        Arc::clone(of_peer).try_acquire_owned().ok()
    }

    /// Answers one question after the other until either side ends, or the key is no longer a peer's.
    async fn talk<S: AsyncRead + AsyncWrite + Unpin>(&self, link: Welcomed<S>) -> Result<(), LinkError> {
        let Welcomed { stream, region, key, place: _place } = link;
        let (read, mut write) = split(stream);
        let mut reader = FrameReader::new(read);
        let mut pace = interval(ANSWERS_APART);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            pace.tick().await;
            let asked = timeout(SILENCE_MAX, reader.read_at_most(REQUEST_BYTES_MAX)).await;
            let Request { ask, offset } = asked.map_err(|_elapsed| LinkError::TooSlow)??;
            if self.table.region_of(&key) != Some(region) {
                return Err(LinkError::UnknownKey);
            }
            let answer = self.answer(region, ask, offset);
            timeout(PATIENCE, write_frame(&mut write, &answer))
                .await
                .map_err(|_elapsed| LinkError::TooSlow)??;
        }
    }

    fn answer(&self, asking: RegionId, ask: Ask, offset: usize) -> Answer {
        match ask {
            Ask::Digest => Answer { digest: Some(Digest::clone(&self.digest.borrow())), ..Answer::default() },
            Ask::Objects => Answer { objects: self.links.objects(offset), ..Answer::default() },
            Ask::Copies => Answer { copies: self.links.copies_of(asking, offset), ..Answer::default() },
            Ask::Unknown => Answer::default(),
        }
    }
}
