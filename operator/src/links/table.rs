//! What is known of each peer: one owner, whom the controllers and the digest that we serve ask.
//!
//! Invariants:
//! - Whoever is not registered is not known: what was heard of a peer goes with its Secret.
//! - All times are of the time in which this process itself ran: who was stopped heard nobody.
//! - Each lock is held for a look or a change, never while somebody is waited for.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use operator_core::awake::Awake;
use operator_core::regions::RegionId;
use operator_core::regions::membership::{DIGEST_AGE_MAX, Reach, decide_reach};
use operator_core::round_trip::{Probes, RoundTrips};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tracing::warn;

use super::identity::PublicKey;
use super::limits::{limit_copies, limit_objects};
use super::message::{Copies, Digest, Figures, Objects, PublishedFleet, Version};
use super::peer::{Peer, RESPONDERS_MAX};

/// Every registered region but this one.
#[derive(Default)]
pub(crate) struct PeerTable(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    peers: BTreeMap<RegionId, Entry>,
    awake: Awake,
    /// Peers are asked what they keep of this region.
    wants_copies: bool,
}

struct Entry {
    peer: Arc<Peer>,
    /// Since when it is listened to, in time in which this process ran.
    since: Duration,
    heard: Option<Heard>,
    objects: Option<Arc<Objects>>,
    copies: Option<Arc<Copies>>,
    /// What was last told of that which is not taken of these two.
    refused: Option<String>,
    link: RoundTrips,
    /// Of its Secret; where that names none, of the digest, or what was remembered before one came.
    responders: Vec<SocketAddr>,
    probes: BTreeMap<SocketAddr, Probes>,
}

#[derive(Clone)]
struct Heard {
    digest: Arc<Digest>,
    /// In time in which this process ran.
    at: Duration,
    wall: Time,
}

/// A peer as it is known now.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    /// None while it has been listened to in vain for less than [`DIGEST_AGE_MAX`].
    pub(crate) reach: Option<Reach>,
    /// It has been listened to for less than [`DIGEST_AGE_MAX`].
    pub(crate) is_new: bool,
    /// The last digest, however old, and when it came.
    pub(crate) last: Option<(Arc<Digest>, Time)>,
    pub(crate) objects: Option<Arc<Objects>>,
    /// What it keeps of this region, if it was asked and has answered.
    pub(crate) copies: Option<Arc<Copies>>,
    pub(crate) responders: Vec<SocketAddr>,
    pub(crate) link: Option<Duration>,
    /// Of the responder that is nearest.
    pub(crate) udp: Option<Duration>,
    /// Probes lost, of all that are over.
    pub(crate) lost: (u32, u32),
}

impl Known {
    /// The digest of a peer that is read.
    pub(crate) fn digest(&self) -> Option<&Arc<Digest>> {
        self.last.as_ref().map(|(digest, _)| digest).filter(|_| self.reach == Some(Reach::Reads))
    }

    /// Placed Fleets and tombstones that the region last published as their home, which `home` is.
    pub(crate) fn fleets(&self, home: RegionId) -> impl Iterator<Item = &PublishedFleet> {
        let fleets = self.objects.iter().flat_map(|objects| &objects.fleets);
        fleets.filter(move |fleet| fleet.deleted || fleet.spec.home.as_deref() == Some(home.as_str()))
    }
}

impl PeerTable {
    /// These are the peers from now on.
    pub(crate) fn register(&self, now: Duration, peers: impl IntoIterator<Item = Arc<Peer>>) {
        let mut inner = self.lock();
        let since = inner.awake.look(now);
        let mut before = std::mem::take(&mut inner.peers);
        for peer in peers {
            let mut entry = match before.remove(&peer.region) {
                Some(old) => Entry { peer: Arc::clone(&peer), ..old },
                None => Entry::new(Arc::clone(&peer), since),
            };
            entry.point_at(peer.responders.clone());
            inner.peers.insert(peer.region, entry);
        }
    }

    /// The peer with this key.
    pub(crate) fn region_of(&self, key: &PublicKey) -> Option<RegionId> {
        let inner = self.lock();
        inner.peers.values().find(|entry| entry.peer.keys.contains(key)).map(|entry| entry.peer.region)
    }

    /// Responders that were remembered of a peer by somebody else; what it says itself counts more, and its Secret most.
    pub(crate) fn remember(&self, region: RegionId, responders: Vec<SocketAddr>) {
        let mut inner = self.lock();
        if let Some(entry) = inner.peers.get_mut(&region).filter(|entry| entry.heard.is_none()) {
            entry.told_of(responders);
        }
    }

    /// A digest came after a round trip of `took`. One that is not newer than the last says nothing. Answers the version of
    /// the objects that are to be asked for.
    pub(crate) fn heard(
        &self,
        (now, wall): (Duration, Time),
        region: RegionId,
        mut digest: Digest,
        took: Duration,
    ) -> Option<Version> {
        let mut inner = self.lock();
        let at = inner.awake.look(now);
        let entry = inner.peers.get_mut(&region)?;
        entry.link.add(took);
        let is_new = entry
            .heard
            .as_ref()
            .is_none_or(|last| last.digest.boot != digest.boot || last.digest.sequence < digest.sequence);
        if !is_new {
            return None;
        }
        entry.told_of(digest.responders.iter().filter_map(|text| text.parse().ok()).collect());
        let known = entry.objects.as_ref().map(|objects| &objects.version);
        let wanted = digest.objects.clone().filter(|version| known != Some(version));
        digest.figures = digest.figures.map(Figures::capped);
        entry.heard = Some(Heard { digest: Arc::new(digest), at, wall });
        wanted
    }

    /// A peer's objects came. What of them is not taken is told.
    pub(crate) fn keep(&self, region: RegionId, mut objects: Objects) {
        let refused = limit_objects(&mut objects);
        let mut inner = self.lock();
        let Some(entry) = inner.peers.get_mut(&region) else { return };
        entry.objects = Some(Arc::new(objects));
        let news = entry.news_of(refused);
        drop(inner);
        tell(region, news);
    }

    /// Has every peer asked, from now on and once, what it keeps of this region; or nobody, and forgets what they answered.
    pub(crate) fn want_copies(&self, wanted: bool) {
        let mut inner = self.lock();
        inner.wants_copies = wanted;
        if !wanted {
            inner.peers.values_mut().for_each(|entry| entry.copies = None);
        }
    }

    /// Whether this peer is to be asked for that.
    pub(crate) fn wants_copies(&self, region: RegionId) -> bool {
        let inner = self.lock();
        inner.wants_copies && inner.peers.get(&region).is_some_and(|entry| entry.copies.is_none())
    }

    /// A peer's answer came. What of it is not taken is told.
    pub(crate) fn keep_copies(&self, region: RegionId, mut copies: Copies) {
        let refused = limit_copies(&mut copies);
        let mut inner = self.lock();
        let wants_copies = inner.wants_copies;
        let Some(entry) = inner.peers.get_mut(&region).filter(|_| wants_copies) else { return };
        entry.copies = Some(Arc::new(copies));
        let news = entry.news_of(refused);
        drop(inner);
        tell(region, news);
    }

    /// Numbers of the probes that are sent now, by responder.
    pub(crate) fn probe(&self, now: Duration) -> Vec<(SocketAddr, u32)> {
        let mut inner = self.lock();
        let at = inner.awake.look(now);
        let probes = inner.peers.values_mut().flat_map(|entry| entry.probes.iter_mut());
        probes.map(|(responder, probes)| (*responder, probes.send(at))).collect()
    }

    /// A responder answered a probe.
    pub(crate) fn answered(&self, now: Duration, responder: SocketAddr, number: u32) {
        let mut inner = self.lock();
        let at = inner.awake.look(now);
        for probes in inner.peers.values_mut().filter_map(|entry| entry.probes.get_mut(&responder)) {
            probes.answer(at, number);
        }
    }

    /// Every peer as it is now.
    pub(crate) fn known(&self, now: Duration) -> BTreeMap<RegionId, Known> {
        let mut inner = self.lock();
        let awake = inner.awake.look(now);
        inner.peers.iter().map(|(region, entry)| (*region, entry.known(awake))).collect()
    }

    /// For how long this process has run by now, its standstills apart.
    pub(crate) fn awake(&self, now: Duration) -> Duration {
        self.lock().awake.look(now)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn tell(region: RegionId, refused: Option<String>) {
    if let Some(refused) = refused {
        warn!(%region, refused, "a peer says what is not taken of anybody");
    }
}

impl Entry {
    /// What is to be told, if it is something else than before.
    fn news_of(&mut self, refused: Option<String>) -> Option<String> {
        let news = refused.filter(|refused| self.refused.as_ref() != Some(refused))?;
        self.refused = Some(news.clone());
        Some(news)
    }

    fn new(peer: Arc<Peer>, since: Duration) -> Self {
        Self {
            peer,
            since,
            heard: None,
            objects: None,
            copies: None,
            refused: None,
            link: RoundTrips::default(),
            responders: Vec::new(),
            probes: BTreeMap::new(),
        }
    }

    /// Somebody but its Secret, which counts more, names these responders.
    fn told_of(&mut self, responders: Vec<SocketAddr>) {
        if self.peer.responders.is_empty() {
            self.point_at(responders);
        }
    }

    /// Probes these responders; no word of any leaves those that are probed.
    fn point_at(&mut self, mut responders: Vec<SocketAddr>) {
        responders.truncate(RESPONDERS_MAX);
        if responders.is_empty() || responders == self.responders {
            return;
        }
        self.probes.retain(|responder, _| responders.contains(responder));
        for responder in &responders {
            self.probes.entry(*responder).or_default();
        }
        self.responders = responders;
    }

    fn known(&self, awake: Duration) -> Known {
        let age = |at: Duration| awake.saturating_sub(at);
        let mut answered_at = self.probes.values().filter_map(Probes::answered_at);
        let answers = answered_at.any(|at| age(at) < DIGEST_AGE_MAX);
        let digest_age = self.heard.as_ref().map(|heard| age(heard.at));
        let lost = self.probes.values().map(|probes| probes.lost(awake));
        Known {
            reach: decide_reach(digest_age, age(self.since), answers),
            is_new: age(self.since) < DIGEST_AGE_MAX,
            last: self.heard.as_ref().map(|heard| (Arc::clone(&heard.digest), heard.wall.clone())),
            objects: self.objects.clone(),
            copies: self.copies.clone(),
            responders: self.responders.clone(),
            link: self.link.median(),
            udp: self.probes.values().filter_map(Probes::median).min(),
            lost: lost.fold((0, 0), |(lost, all), (more_lost, more)| (lost + more_lost, all + more)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::peer::tests::peer;

    const SECOND: Duration = Duration::from_secs(1);

    fn jp() -> RegionId {
        "jp".parse().unwrap()
    }

    fn wall(seconds: Duration) -> Time {
        Time(k8s_openapi::jiff::Timestamp::from_second(i64::try_from(seconds.as_secs()).unwrap()).unwrap())
    }

    fn digest(boot: u64, sequence: u64) -> Digest {
        Digest { region: "jp".to_owned(), boot, sequence, ..Digest::default() }
    }

    fn with_jp() -> PeerTable {
        let table = PeerTable::default();
        table.register(Duration::ZERO, [Arc::new(peer("jp"))]);
        table
    }

    fn reach(table: &PeerTable, now: Duration) -> Option<Reach> {
        table.known(now)[&jp()].reach
    }

    /// Looks each second, as a process does that runs.
    fn reach_after(table: &PeerTable, from: u64, to: u64) -> Option<Reach> {
        (from..to).for_each(|second| drop(table.known(SECOND * u32::try_from(second).unwrap())));
        reach(table, SECOND * u32::try_from(to).unwrap())
    }

    #[test]
    fn a_peer_is_read_while_its_digests_are_new() {
        let table = with_jp();
        let hear = |at: u32, digest| table.heard((SECOND * at, wall(SECOND * at)), jp(), digest, SECOND / 50);
        assert_eq!(reach_after(&table, 0, 3), None, "a link takes a moment to begin");
        assert_eq!(reach_after(&table, 3, 4), Some(Reach::Silent));
        for (name, at, boot, sequence, expected) in [
            ("the first", 5, 1, 10, Some(Reach::Reads)),
            ("the next", 8, 1, 11, Some(Reach::Reads)),
            ("the same again", 11, 1, 11, Some(Reach::Reads)),
            ("still the same", 12, 1, 11, Some(Reach::Silent)),
            ("an older one", 13, 1, 9, Some(Reach::Silent)),
            ("another replica's", 14, 2, 1, Some(Reach::Reads)),
        ] {
            reach_after(&table, u64::from(at) - 1, u64::from(at));
            hear(at, digest(boot, sequence));
            assert_eq!(reach(&table, SECOND * at), expected, "{name}");
        }
        assert_eq!(table.known(SECOND * 14)[&jp()].last.as_ref().unwrap().1, wall(SECOND * 14));
    }

    #[test]
    fn who_stood_still_calls_nobody_silent_for_that() {
        let table = with_jp();
        reach_after(&table, 0, 9);
        table.heard((SECOND * 9, wall(SECOND)), jp(), digest(1, 1), SECOND);
        assert_eq!(reach(&table, SECOND * 600), Some(Reach::Reads));
        assert_eq!(reach_after(&table, 600, 603), Some(Reach::Silent));
        let (responder, number) = table.probe(SECOND * 603)[0];
        table.answered(SECOND * 603, responder, number);
        assert_eq!(reach(&table, SECOND * 1200), Some(Reach::Answers), "nor a responder");
    }

    #[test]
    fn a_peer_whose_responders_answer_is_not_silent() {
        let table = with_jp();
        reach_after(&table, 0, 9);
        let probes = table.probe(SECOND * 9);
        assert_eq!(probes.iter().map(|(responder, _)| *responder).collect::<Vec<_>>(), peer("jp").responders);
        table.answered(SECOND * 9 + SECOND / 50, probes[0].0, probes[0].1);
        assert_eq!(reach_after(&table, 9, 12), Some(Reach::Answers));
        let known = table.known(SECOND * 12);
        assert_eq!((known[&jp()].udp, known[&jp()].lost), (Some(SECOND / 50), (1, 2)));
        assert_eq!(reach_after(&table, 12, 14), Some(Reach::Silent));
    }

    #[test]
    fn responders_of_a_secret_count_most_and_others_come_with_digests_and_are_remembered() {
        let table = with_jp();
        let probed = || {
            table.probe(SECOND).into_iter().map(|(responder, _)| responder.to_string()).collect::<Vec<_>>()
        };
        let named = |last: u8| vec![format!("192.0.2.{last}:8444").parse().unwrap()];
        table.register(SECOND, [Arc::new(Peer { responders: named(6), ..peer("jp") })]);
        table.remember(jp(), named(7));
        assert_eq!(probed(), ["192.0.2.6:8444"], "as its Secret says now");
        table.register(SECOND, [Arc::new(Peer { responders: Vec::new(), ..peer("jp") })]);
        table.remember(jp(), named(7));
        assert_eq!(probed(), ["192.0.2.7:8444"], "before anything was heard");
        let hear = |sequence, responders: &[&str]| {
            let responders = responders.iter().map(|text| (*text).to_owned()).collect();
            table.heard((SECOND, wall(SECOND)), jp(), Digest { responders, ..digest(1, sequence) }, SECOND)
        };
        hear(1, &["192.0.2.8:8444", "what newer ones say"]);
        table.remember(jp(), named(7));
        assert_eq!(probed(), ["192.0.2.8:8444"], "its own word counts more");
        hear(2, &[]);
        assert_eq!(probed(), ["192.0.2.8:8444"], "no word takes none away");
        let many: Vec<String> = (0..20).map(|last| format!("192.0.2.{last}:8444")).collect();
        hear(3, &many.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(probed().len(), RESPONDERS_MAX);
        table.register(SECOND, [Arc::new(Peer { responders: named(6), ..peer("jp") })]);
        hear(4, &["192.0.2.8:8444"]);
        assert_eq!(probed(), ["192.0.2.6:8444"], "whatever it says itself");
    }

    #[test]
    fn objects_are_asked_for_until_their_version_is_here() {
        let table = with_jp();
        let version = |generation| Version { uid: "u".to_owned(), generation, contents: 0 };
        let hear = |sequence, version| {
            let digest = Digest { objects: version, ..digest(1, sequence) };
            table.heard((SECOND, wall(SECOND)), jp(), digest, SECOND)
        };
        assert_eq!(hear(1, None), None, "it publishes nothing");
        assert_eq!(hear(2, Some(version(1))), Some(version(1)));
        table.keep(jp(), Objects { version: version(1), ..Objects::default() });
        assert_eq!(hear(3, Some(version(1))), None);
        assert_eq!(hear(4, Some(version(2))), Some(version(2)));
    }

    #[test]
    fn what_was_heard_stays_when_a_secret_changes_and_goes_when_it_goes() {
        let table = with_jp();
        table.heard((SECOND, wall(SECOND)), jp(), digest(1, 1), SECOND);
        let (old, new) = (peer("jp"), peer("jp"));
        table.register(SECOND, [Arc::new(new.clone())]);
        assert_eq!(reach(&table, SECOND * 2), Some(Reach::Reads));
        assert_eq!((table.region_of(&new.keys[0]), table.region_of(&old.keys[0])), (Some(jp()), None));
        table.register(SECOND, []);
        assert!(table.known(SECOND).is_empty() && table.region_of(&new.keys[0]).is_none());
        table.register(SECOND * 2, [Arc::new(new)]);
        assert!(table.known(SECOND * 2)[&jp()].last.is_none());
    }

    fn named(name: &str) -> PublishedFleet {
        let (namespace, name, uid) = ("games".to_owned(), name.to_owned(), "u".to_owned());
        PublishedFleet { namespace, name, uid, deleted: true, ..PublishedFleet::default() }
    }

    #[test]
    fn what_a_peer_says_is_limited_where_it_comes_in() {
        let table = with_jp();
        let fleets = || vec![named("arena"), named(&"x".repeat(64)), named("../arena")];
        table.keep(jp(), Objects { fleets: fleets(), ..Objects::default() });
        table.want_copies(true);
        table.keep_copies(jp(), Copies { fleets: fleets(), ..Copies::default() });
        let known = table.known(SECOND)[&jp()].clone();
        assert_eq!(known.fleets(jp()).collect::<Vec<_>>(), [&named("arena")]);
        assert_eq!(known.copies.unwrap().fleets, [named("arena")]);
    }

    #[test]
    fn what_is_not_taken_is_told_once_and_again_when_it_is_something_else() {
        let mut entry = Entry::new(Arc::new(peer("jp")), SECOND);
        for (refused, news) in
            [("a", true), ("a", false), ("", false), ("a", false), ("b", true), ("a", true)]
        {
            let refused = Some(refused.to_owned()).filter(|refused| !refused.is_empty());
            assert_eq!(entry.news_of(refused.clone()), refused.filter(|_| news));
        }
    }
}
