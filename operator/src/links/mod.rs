//! The links between regions (design way 7): every replica serves a digest of its region, and reads those of the others.
//! Nobody writes into another region, and nothing here depends on who leads.
//!
//! - `identity`: the key by which a region proves itself (`runtime::raw_keys` says how).
//! - `peer`: the Secret by which another region is registered; `follow` brings them, and runs a reader a peer.
//! - `message`: what is said; `digest`: what this region says of itself.
//! - `kept`: its one vote; `home`: whose an object is; `original`: which version a copy is of; `facts`: placed Fleets, as targets follow from them; `scalers`: their
//!   AutoScalers; `orders`: what people order of regions.
//! - `copies`: what regions keep of each other, for one that comes back from nothing; `limits`: what is taken of others' words.
//! - `endpoint` answers, `puller` asks, `prober` asks apart from both.
//! - `export`: what Prometheus is shown; `responders`: where this region is probed.
//! - `table`: what is known of each peer; the one owner of that.

pub(crate) mod copies;
#[cfg(test)]
mod cost;
mod digest;
mod endpoint;
mod export;
pub(crate) mod facts;
mod follow;
pub(crate) mod home;
pub(crate) mod identity;
pub(crate) mod kept;
mod limits;
pub(crate) mod message;
pub(crate) mod orders;
pub(crate) mod original;
pub(crate) mod peer;
mod prober;
mod puller;
mod responders;
pub(crate) mod scalers;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub(crate) use digest::is_ready;
pub(crate) use export::to_api;

use anyhow::Context as _;
use futures::FutureExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod, Secret};
use kube::runtime::events::Recorder;
use kube::runtime::reflector::Store;
use kube::runtime::watcher::Config as WatchConfig;
use kube::{Api, Client, ResourceExt};
use operator_api::{AutoScaler, Fleet, RegionCluster, labels};
use operator_core::regions::RegionId;
use operator_core::regions::membership::{
    DIGEST_AGE_MAX, Evidence, Judgement, Reach, Row, Source, Standing, Word, judge,
};
use operator_core::regions::orders::Orders;
use operator_core::regions::placement::Candidate;
use operator_core::regions::shares::SHARES_VERSION;
use operator_core::regions::view::View;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::placement::Candidates;
use crate::runtime::chance::{random, random_key};
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::pulse::ApiPulse;
use crate::runtime::raw_keys;
use crate::runtime::tasks::Tasks;
use crate::runtime::watch::Watched;
use digest::{Origin, own};
use endpoint::LinkEndpoint;
use follow::Follower;
use home::{Home, of_region};
use identity::Identity;
use kept::Kept;
use message::Digest;
use responders::responders;
use table::{Known, PeerTable};

/// What both sides of a link speak.
const PROTOCOL: raw_keys::Protocol = b"cranewing-link/1";
/// How often a replica that begins looks whether it knows enough.
const SETTLED_LOOK: Duration = Duration::from_millis(50);

/// This region and what it knows of the others.
pub(crate) struct Links {
    pub(crate) me: RegionId,
    pub(crate) table: Arc<PeerTable>,
    pub(crate) pulse: Arc<ApiPulse>,
    stores: LinkStores,
    /// Uid of the namespace `kube-system`, once it is known.
    cluster: OnceLock<String>,
    /// Regions of which there are metrics.
    shown: Mutex<BTreeSet<RegionId>>,
    metrics: Metrics,
    clock: Clock,
}

/// What a region says of itself is what is in these.
#[derive(Clone)]
pub(crate) struct LinkStores {
    pub(crate) region_clusters: Store<RegionCluster>,
    pub(crate) nodes: Store<Node>,
    /// Pods of this region's responders.
    pub(crate) responders: Store<Pod>,
    pub(crate) fleets: Store<Fleet>,
    pub(crate) auto_scalers: Store<AutoScaler>,
    pub(crate) ballots: Store<ConfigMap>,
}

#[cfg(test)]
impl LinkStores {
    /// In which nothing ever is.
    fn empty() -> Self {
        use crate::runtime::watch::Watched;
        Self {
            region_clusters: Watched::fed().0.store().clone(),
            nodes: Watched::fed().0.store().clone(),
            responders: Watched::fed().0.store().clone(),
            fleets: Watched::fed().0.store().clone(),
            auto_scalers: Watched::fed().0.store().clone(),
            ballots: Watched::fed().0.store().clone(),
        }
    }
}

/// Every registered region as it is now.
pub(crate) struct Look {
    pub(crate) known: BTreeMap<RegionId, Known>,
    /// This region's own among them.
    pub(crate) judgements: BTreeMap<RegionId, Judgement>,
    /// How this region reaches the others.
    pub(crate) row: Row,
    /// What people order of them.
    pub(crate) orders: Orders,
}

impl Look {
    /// Somebody has only just been registered: until it is known how that one is reached, and it has said how it reaches
    /// `me`, whoever joins would seem isolated.
    pub(crate) fn is_listening(&self, me: RegionId) -> bool {
        let says_nothing_of_me =
            |known: &Known| known.digest().is_some_and(|digest| !digest.row.contains_key(me.as_str()));
        let is_awaited = |known: &Known| known.reach.is_none() || known.is_new && says_nothing_of_me(known);
        self.known.values().any(is_awaited)
    }
}

/// What a replica begins with.
pub(crate) struct Setup<'a> {
    pub(crate) client: &'a Client,
    pub(crate) namespace: &'a str,
    pub(crate) responder_port: Option<u16>,
    pub(crate) recorder: Recorder,
    pub(crate) listener: TcpListener,
}

impl Links {
    pub(crate) fn new(me: RegionId, stores: LinkStores, metrics: Metrics, clock: Clock) -> Self {
        let (table, pulse, shown) = (Arc::default(), Arc::default(), Mutex::default());
        Self { me, table, pulse, stores, cluster: OnceLock::new(), shown, metrics, clock }
    }

    /// Uid of the namespace `kube-system`: another one is another cluster. Nothing before it is known.
    pub(crate) fn cluster(&self) -> &str {
        self.cluster.get().map_or("", String::as_str)
    }

    /// Says in which cluster this is, once.
    pub(crate) fn know_cluster(&self, uid: String) {
        self.cluster.get_or_init(|| uid);
    }

    /// Begins to serve and to read, as tasks of this group. Answers with what says when every
    /// peer is registered.
    pub(crate) async fn start(
        self: &Arc<Self>,
        setup: Setup<'_>,
        tasks: &mut Tasks,
    ) -> anyhow::Result<watch::Receiver<bool>> {
        let Setup { client, namespace, responder_port, recorder, listener } = setup;
        let identity = Identity::open(client.clone(), namespace, self.me.as_str()).await?;
        let system: Api<Namespace> = Api::all(client.clone());
        let system = system.get("kube-system").await.context("failed to read the namespace kube-system")?;
        let cluster = system.uid().unwrap_or_default();
        self.know_cluster(cluster.clone());
        let origin = Origin { cluster, boot: random()?, responder_port };
        let (made, digest) = watch::channel(Arc::new(self.digest(&origin, 0)));
        let pinned = Arc::clone(&self.table);
        let endpoint = LinkEndpoint {
            acceptor: TlsAcceptor::from(raw_keys::server_config(PROTOCOL, &identity.key, move |key| {
                pinned.region_of(key).is_some()
            })?),
            table: Arc::clone(&self.table),
            digest,
            links: Arc::clone(self),
            places: Mutex::default(),
            metrics: self.metrics.clone(),
        };
        tasks.spawn("the link endpoint", |stop| endpoint.serve(listener, stop).map(Ok));
        let links = Arc::clone(self);
        tasks.spawn("the digest", |stop| digest::run(links, origin, made, stop).map(Ok));
        let (table, key, clock) = (Arc::clone(&self.table), random_key()?, self.clock);
        tasks.spawn("the probes of other regions", move |stop| prober::run(table, key, clock, stop));
        let labelled = WatchConfig::default().labels(labels::PEER);
        let secrets: Watched<Secret> =
            Watched::start(Api::namespaced(client.clone(), namespace), labelled, tasks);
        let follower = Follower::new(Arc::clone(self), identity, recorder);
        let (sender, registered) = watch::channel(false);
        tasks.spawn("the readers of other regions", |stop| follower.run(secrets, sender, stop));
        Ok(registered)
    }

    /// Waits until this replica can say of every peer how it is reached: one that has just begun would tell others that it
    /// reads nobody. `registered` is what [`Self::start`] answered.
    pub(crate) async fn settle(&self, mut registered: watch::Receiver<bool>) {
        // An error means that the operator stops.
        if registered.wait_for(|registered| *registered).await.is_err() {
            return;
        }
        while self.look(self.clock.elapsed()).is_listening(self.me) {
            sleep(SETTLED_LOOK).await;
        }
    }

    /// Looks at every registered region.
    pub(crate) fn look(&self, now: Duration) -> Look {
        let known = self.table.known(now);
        let row = Row(known.iter().filter_map(|(&region, known)| Some((region, known.reach?))).collect());
        let words: BTreeMap<RegionId, Word> =
            known.iter().filter_map(|(&region, known)| Some((region, word(known.digest()?)))).collect();
        let registered: BTreeSet<RegionId> = known.keys().copied().chain([self.me]).collect();
        let words = words.iter().map(|(&region, word)| (region, word)).collect();
        let judgements = judge(&Evidence { me: self.me, registered: &registered, row: &row, words: &words });
        let orders = self.orders(&known);
        Look { known, judgements, row, orders }
    }

    /// This region's own RegionCluster.
    pub(crate) fn own(&self) -> Option<Arc<RegionCluster>> {
        own(self.me, &self.stores.region_clusters)
    }

    /// Whether this region's API server has been away for so long that others are told.
    pub(crate) fn api_is_away(&self, now: Duration) -> bool {
        self.pulse.silent_for(now) >= DIGEST_AGE_MAX
    }

    /// The region's vote and what goes with it, with the version of its ConfigMap; none if that is not understood.
    pub(crate) fn kept(&self) -> Option<(Kept, Option<String>)> {
        kept::read(&self.stores.ballots)
    }

    /// Looks, and says so.
    fn digest(&self, origin: &Origin, sequence: u64) -> Digest {
        self.remember_responders();
        let now = self.clock.elapsed();
        let look = self.look(now);
        let kept = self.kept().unwrap_or_default().0;
        self.export(now, &look, &kept.agreed);
        let own = self.own();
        let (pods, nodes) = (self.stores.responders.state(), self.stores.nodes.state());
        let digest = Digest {
            region: self.me.to_string(),
            cluster: origin.cluster.clone(),
            boot: origin.boot,
            sequence,
            row: look.row.0.iter().map(|(region, &reach)| (region.to_string(), reach.into())).collect(),
            view: kept.proposed.clone().into(),
            standing: match look.judgements[&self.me].standing {
                Standing::Connected => message::OwnStanding::Member,
                _ => message::OwnStanding::Isolated,
            },
            api_away: self.api_is_away(now),
            figures: own.as_deref().and_then(digest::figures),
            responders: origin.responder_port.map_or_else(Vec::new, |port| responders(&pods, &nodes, port)),
            objects: self.objects_version(),
            buried: copies::unwelcome(&look, &kept),
            holdings: self.holdings(kept.basis),
            speaks: SHARES_VERSION,
        };
        digest::cut(digest)
    }

    /// A process that begins while a peer is away knows its responders from the copy of that peer's RegionCluster.
    fn remember_responders(&self) {
        for copy in self.stores.region_clusters.state() {
            if let (Home::CopiedFrom(home), Some(text)) =
                (of_region(&copy, self.me), copy.annotations().get(labels::RESPONDERS))
            {
                self.table.remember(home, text.split(',').filter_map(|text| text.parse().ok()).collect());
            }
        }
    }
}

impl Look {
    /// Views of the regions that are read.
    pub(crate) fn views(&self) -> BTreeMap<RegionId, View> {
        let known = self.known.iter();
        known.filter_map(|(&region, known)| Some((region, view(known.digest()?)))).collect()
    }
}

impl Candidates for Links {
    /// What peers take this region for, it takes itself for too: without its API server it gets nobody new.
    fn now(&self) -> BTreeMap<RegionId, Candidate> {
        let now = self.clock.elapsed();
        let Look { known, judgements, orders, .. } = self.look(now);
        let is_away = self.api_is_away(now);
        let candidate = |(region, judgement): (RegionId, Judgement)| {
            let headroom = match known.get(&region) {
                Some(known) => {
                    known.last.as_ref().and_then(|(digest, _)| Some(digest.figures.as_ref()?.headroom))
                }
                None => self.own().and_then(|own| Some(own.status.as_ref()?.headroom)),
            };
            let headroom = u32::try_from(headroom.unwrap_or_default().max(0)).unwrap_or(u32::MAX);
            let standing = match judgement.standing {
                Standing::Connected if is_away && region == self.me => Standing::Degraded(Source::OwnWord),
                standing => standing,
            };
            (region, Candidate { standing, headroom, drained: orders.drained.contains(&region) })
        };
        judgements.into_iter().map(candidate).collect()
    }
}

fn word(digest: &Digest) -> Word {
    let reach = |reach: message::Reach| match reach {
        message::Reach::Reads => Some(Reach::Reads),
        message::Reach::Answers => Some(Reach::Answers),
        message::Reach::Silent => Some(Reach::Silent),
        message::Reach::Unknown => None,
    };
    let row = digest.row.iter();
    Word {
        row: Row(row.filter_map(|(region, said)| Some((region.parse().ok()?, reach(*said)?))).collect()),
        isolated: digest.standing == message::OwnStanding::Isolated,
        api_server_away: digest.api_away,
    }
}

fn view(digest: &Digest) -> View {
    let regions = digest.view.regions.iter().filter_map(|region| region.parse().ok()).collect();
    View { number: digest.view.number, regions }
}

impl From<Reach> for message::Reach {
    fn from(reach: Reach) -> Self {
        match reach {
            Reach::Reads => Self::Reads,
            Reach::Answers => Self::Answers,
            Reach::Silent => Self::Silent,
        }
    }
}

impl From<View> for message::View {
    fn from(view: View) -> Self {
        Self { number: view.number, regions: view.regions.iter().map(ToString::to_string).collect() }
    }
}
