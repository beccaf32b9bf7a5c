//! Reads one peer: dials its addresses in turn, first the one that last answered, and asks it each second how it is.

use operator_core::backoff::{jitter_of, next_backoff};
use operator_core::regions::RegionId;
use rustls::ClientConfig;
use rustls::pki_types::{IpAddr, Ipv4Addr, ServerName};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{ReadHalf, WriteHalf, split};
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::PROTOCOL;
use super::message::{Answer, Ask, Copies, Objects, PublishedFleet, Request, Version};
use super::peer::Peer;
use super::table::PeerTable;
use crate::runtime::clock::Clock;
use crate::runtime::frame::{FrameError, FrameReader, write_frame};
use crate::runtime::metrics::Metrics;
use crate::runtime::raw_keys;
use crate::runtime::telemetry::chain;

/// How often a peer is asked.
const PERIOD: Duration = Duration::from_secs(1);
/// Time to reach an address and for the handshake.
const DIAL_MAX: Duration = Duration::from_secs(3);
/// Time for an answer, from the first byte asked to the last one answered.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Pages of a peer's objects, behind which nothing is heard; and of what it keeps of this region, which then does not count.
const PAGES_MAX: usize = 32;
/// Failures in a row by which the wait for the next try grows: to three seconds at most, so that a link that can be had again
/// is.
const FAILURES_COUNTED_MAX: u32 = 4;

/// Why a link ended.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("failed to dial it")]
    Dial(#[source] io::Error),
    #[error("it does not show a key of the peer's Secret, or does not speak our protocol")]
    Stranger,
    #[error("no answer in time")]
    TooSlow,
    #[error("the link broke; the peer ends it at once where its Secrets do not have our key")]
    Frame(#[from] FrameError),
    #[error("it says that it is region {0:?}")]
    OtherRegion(String),
    #[error("the answer has no digest")]
    NoDigest,
}

/// One peer's reader.
pub(super) struct Puller {
    pub(super) me: RegionId,
    pub(super) peer: Arc<Peer>,
    pub(super) tls: Arc<ClientConfig>,
    pub(super) table: Arc<PeerTable>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
}

/// How it went so far.
#[derive(Default)]
struct Tries {
    /// In a row, counted to [`FAILURES_COUNTED_MAX`].
    failures: u32,
    /// What was told of the last one.
    told: String,
    /// Since when the link stands, if it does.
    linked_at: Option<Duration>,
    /// Version of an answer that was too long to be read to its end.
    too_long: Option<u64>,
}

struct Link {
    read: FrameReader<ReadHalf<TlsStream<TcpStream>>>,
    write: WriteHalf<TlsStream<TcpStream>>,
}

impl Puller {
    /// Reads the peer until `stop`.
    pub(super) async fn run(self, stop: CancellationToken) {
        stop.run_until_cancelled(self.pull()).await;
    }

    async fn pull(&self) {
        let region = self.peer.region;
        let mut tries = Tries::default();
        let mut at = 0;
        while let Some(address) = self.peer.addresses.get(at) {
            let outcome = match self.dial(address).await {
                Ok(mut link) => self.ask_each_second(&mut link, address, &mut tries).await,
                Err(error) => Err(error),
            };
            let linked_at = tries.linked_at.take();
            tries.failures = (tries.failures + 1).min(FAILURES_COUNTED_MAX);
            if let Err(error) = outcome.map_err(|error| chain(&error))
                && error != tries.told
            {
                // Once for each reason: it is tried as long as the peer is registered.
                info!(%region, address, error, "failed to read a peer");
                tries.told = error;
            }
            // Where a link just stood another replica most likely answers, while an address that does not would cost more
            // time than a region may be silent. Who ends each link at once is waited for all the same.
            let stood_for = linked_at.map(|since| self.clock.elapsed().saturating_sub(since));
            if stood_for.is_some_and(|stood_for| stood_for >= PERIOD) {
                continue;
            }
            if linked_at.is_none() {
                at = (at + 1) % self.peer.addresses.len();
            }
            sleep(next_backoff(tries.failures, jitter_of(&format!("{} {region} {address}", self.me)))).await;
        }
    }

    async fn dial(&self, address: &str) -> Result<Link, PullError> {
        let dialling = async {
            let socket = TcpStream::connect(address).await?;
            socket.set_nodelay(true)?;
            // Keys are pinned, so that a name says nothing; TLS wants one.
            let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::from([0; 4])));
            TlsConnector::from(Arc::clone(&self.tls)).connect(name, socket).await
        };
        let dialled = timeout(DIAL_MAX, dialling).await.map_err(|_elapsed| PullError::TooSlow)?;
        let stream = dialled.map_err(|error| {
            if raw_keys::is_unknown_key(&error) { PullError::Stranger } else { PullError::Dial(error) }
        })?;
        if raw_keys::peer_key(PROTOCOL, stream.get_ref().1).is_none() {
            return Err(PullError::Stranger);
        }
        let (read, write) = split(stream);
        Ok(Link { read: FrameReader::new(read), write })
    }

    /// A handshake says little: whoever does not know our key ends the link after it. So it stands with the first answer.
    async fn ask_each_second(
        &self,
        link: &mut Link,
        address: &str,
        tries: &mut Tries,
    ) -> Result<(), PullError> {
        let region = self.peer.region;
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let news = self.ask_how_it_is(link).await?;
            if tries.linked_at.is_none() {
                info!(%region, address, "linked to a peer");
                let linked_at = Some(self.clock.elapsed());
                *tries = Tries { linked_at, too_long: tries.too_long, ..Tries::default() };
            }
            if let Some(version) = news {
                // Those that are not understood are none of this version, and not asked for again.
                let none = Objects { version, ..Objects::default() };
                let first = ask(link, Ask::Objects, 0).await?.objects.unwrap_or(none);
                if let Some(objects) = self.ask_for_the_rest(link, first).await? {
                    self.table.keep(region, objects);
                }
            }
            if self.table.wants_copies(region)
                && let Some(first) = ask(link, Ask::Copies, 0).await?.copies
                && tries.too_long != Some(first.version)
                && let Some(copies) = self.ask_for_the_rest(link, first).await?
                && let Some(copies) = self.whole(copies, &mut tries.too_long)
            {
                self.table.keep_copies(region, copies);
            }
        }
    }

    /// Answers the version of its objects, if that is to be asked for.
    async fn ask_how_it_is(&self, link: &mut Link) -> Result<Option<Version>, PullError> {
        let (region, asked_at) = (self.peer.region, self.clock.elapsed());
        let digest = ask(link, Ask::Digest, 0).await?.digest.ok_or(PullError::NoDigest)?;
        let now = self.clock.elapsed();
        if digest.region != region.as_str() {
            return Err(PullError::OtherRegion(digest.region));
        }
        self.metrics.links.digests.with_label_values(&[region.as_str()]).inc();
        Ok(self.table.heard((now, self.clock.wall()), region, digest, now.saturating_sub(asked_at)))
    }

    /// All pages, or as many as are read, which still have a next one; nothing if they change meanwhile: the next digest says so. A
    /// peer that is far away is asked in between how it is, or it would be silent for as long as it takes.
    async fn ask_for_the_rest<P: Paged>(&self, link: &mut Link, mut all: P) -> Result<Option<P>, PullError> {
        let mut asked_at = self.clock.elapsed();
        for _ in 1..PAGES_MAX {
            let Some(offset) = *all.parts().1 else { break };
            let now = self.clock.elapsed();
            if now.saturating_sub(asked_at) >= PERIOD {
                asked_at = now;
                self.ask_how_it_is(link).await?;
            }
            let page = P::of(ask(link, P::ASK, offset).await?);
            let Some(mut page) = page.filter(|page| page.is_of(&all)) else { return Ok(None) };
            let ((fleets, next), (more, after)) = (all.parts(), page.parts());
            fleets.append(more);
            *next = after.take();
        }
        Ok(Some(all))
    }

    /// The answer, if it was read to its end: what lies behind might be what others go by. Told once.
    fn whole(&self, copies: Copies, too_long: &mut Option<u64>) -> Option<Copies> {
        if copies.next.is_none() {
            *too_long = None;
            return Some(copies);
        }
        if too_long.replace(copies.version).is_none() {
            let (region, fleets) = (self.peer.region, copies.fleets.len());
            warn!(
                %region,
                fleets,
                "a peer keeps more of this region than the {PAGES_MAX} pages that are read, so its answer does not count; make its \
                 copies' templates shorter, or go on with the other regions' answers"
            );
        }
        None
    }
}

/// What is answered page by page.
trait Paged: Sized {
    const ASK: Ask;
    /// Nothing of an operator that does not know the question.
    fn of(answer: Answer) -> Option<Self>;
    /// Whether both are pages of one version.
    fn is_of(&self, other: &Self) -> bool;
    /// Its Fleets, and where the next page begins.
    fn parts(&mut self) -> (&mut Vec<PublishedFleet>, &mut Option<usize>);
}

impl Paged for Objects {
    const ASK: Ask = Ask::Objects;

    fn of(answer: Answer) -> Option<Self> {
        answer.objects
    }

    fn is_of(&self, other: &Self) -> bool {
        self.version == other.version
    }

    fn parts(&mut self) -> (&mut Vec<PublishedFleet>, &mut Option<usize>) {
        (&mut self.fleets, &mut self.next)
    }
}

impl Paged for Copies {
    const ASK: Ask = Ask::Copies;

    fn of(answer: Answer) -> Option<Self> {
        answer.copies
    }

    fn is_of(&self, other: &Self) -> bool {
        self.version == other.version
    }

    fn parts(&mut self) -> (&mut Vec<PublishedFleet>, &mut Option<usize>) {
        (&mut self.fleets, &mut self.next)
    }
}

async fn ask(link: &mut Link, ask: Ask, offset: usize) -> Result<Answer, PullError> {
    let answer = async {
        write_frame(&mut link.write, &Request { ask, offset }).await?;
        link.read.read().await
    };
    Ok(timeout(ANSWER_MAX, answer).await.map_err(|_elapsed| PullError::TooSlow)??)
}
