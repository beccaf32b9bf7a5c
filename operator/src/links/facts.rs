//! Placed Fleets as every replica knows them: what this region publishes and holds of them, and what targets follow from.
//!
//! Invariants:
//! - A Fleet is published only while its finalizer is on it, so that its end cannot go unheard (rule 2).
//! - A Fleet of another region that is no longer heard of is the one that its copy here says: absence is never deletion.

use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_api::conditions::{reasons, types};
use operator_api::{
    AutoScaler, Fleet, FleetSpec, FleetStatus, PlacementMode, RegionClusterSpec, StrategyType, labels,
};
use operator_core::regions::RegionId;
use operator_core::regions::recovery::{Buried, Mark};
use operator_core::regions::rollout::number;
use operator_core::regions::shares::{
    Basis, Held, Holdings, MAXIMA_SINCE, Mode, PlacedFleet, Scaled, Term, Version,
};
use operator_core::regions::view::View;
use operator_core::scale::Bounds;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::home::{Home, of_fleet};
use super::message::{self, PublishedFleet};
use super::original::Original;
use super::scalers::ScalerRecord;
use super::table::Known;
use super::{Links, Look, digest};

/// Placed Fleets of all regions that are shared out; the rest keeps what it has.
pub(crate) const FLEETS_MAX: usize = 256;
/// Bytes of a Fleet that is published: with others of its page it must fit into a frame.
const FLEET_BYTES_MAX: usize = 40 * 1024;

/// What targets follow from. Equal facts have equal hashes.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    /// By [`key`].
    pub(crate) fleets: BTreeMap<String, PublishedFleet>,
    /// Those beyond [`FLEETS_MAX`], which are not shared out.
    pub(crate) surplus: BTreeSet<String>,
    pub(crate) bounds: BTreeMap<RegionId, Bounds>,
    /// Regions of the view that are drained.
    pub(crate) drained: BTreeSet<RegionId>,
    versions: BTreeMap<RegionId, message::Version>,
}

/// Name of a placed Fleet among those of all regions.
pub(crate) fn key(fleet: &PublishedFleet) -> String {
    let home = fleet.spec.home.as_deref().unwrap_or_default();
    format!("{home}/{}/{}", fleet.namespace, fleet.name)
}

/// Its name among those of its home.
pub(crate) fn name_of(fleet: &PublishedFleet) -> String {
    format!("{}/{}", fleet.namespace, fleet.name)
}

/// The same of the Fleet or its copy.
pub(crate) fn key_of(fleet: &Fleet) -> String {
    let home = fleet.spec.home.as_deref().unwrap_or_default();
    format!("{home}/{}/{}", fleet.namespace().unwrap_or_default(), fleet.name_any())
}

/// Whether its spec is short enough to be published.
pub(crate) fn fits(fleet: &Fleet) -> bool {
    rmp_serde::to_vec_named(&fleet.spec).is_ok_and(|bytes| bytes.len() <= FLEET_BYTES_MAX)
}

fn published(fleet: &Fleet, uid: String, version: Version) -> PublishedFleet {
    PublishedFleet {
        namespace: fleet.namespace().unwrap_or_default(),
        name: fleet.name_any(),
        uid,
        version,
        weights: fleet.annotations().get(labels::WEIGHTS).cloned(),
        scaler: fleet.annotations().get(labels::SCALER).cloned(),
        deleted: false,
        spec: fleet.spec.clone(),
    }
}

/// Epoch of a Fleet at its home.
pub(crate) fn epoch_of(fleet: &Fleet) -> u64 {
    fleet.annotations().get(labels::HOME_EPOCH).and_then(|epoch| epoch.parse().ok()).unwrap_or_default()
}

/// Which version of a Fleet its home has.
pub(crate) fn mark_of_own(fleet: &Fleet) -> Mark {
    let generation = fleet.metadata.generation.and_then(|generation| u64::try_from(generation).ok());
    let version = Version { home_epoch: epoch_of(fleet), generation: generation.unwrap_or_default() };
    mark_by_annotations(fleet, &fleet.uid().unwrap_or_default(), version)
}

/// Of a Fleet or its copy.
fn mark_by_annotations(fleet: &Fleet, uid: &str, version: Version) -> Mark {
    let text = |name| fleet.annotations().get(name).map(String::as_str);
    with_records(mark(uid, version), (text(labels::WEIGHTS), text(labels::SCALER)))
}

fn with_records(mark: Mark, (weights, scaler): (Option<&str>, Option<&str>)) -> Mark {
    let (weights, scaler) = (read_weights(weights).0, ScalerRecord::read(scaler).number);
    Mark { records: weights.saturating_add(scaler), ..mark }
}

/// Which version of a Fleet that is.
pub(crate) fn mark_of(fleet: &PublishedFleet) -> Mark {
    let records = (fleet.weights.as_deref(), fleet.scaler.as_deref());
    with_records(mark(&fleet.uid, fleet.version), records)
}

/// The same of one whose records are not known.
pub(crate) fn mark(uid: &str, version: Version) -> Mark {
    Mark { version, records: 0, uid: hash(&uid) }
}

/// Numbers of its records, of weights and of its AutoScaler.
pub(super) fn records_of(fleet: &PublishedFleet) -> (u64, u64) {
    (read_weights(fleet.weights.as_deref()).0, ScalerRecord::read(fleet.scaler.as_deref()).number)
}

/// What this region publishes of a Fleet of its own.
fn of_own(fleet: &Fleet, me: RegionId) -> Option<PublishedFleet> {
    let is_bound = fleet.finalizers().iter().any(|finalizer| finalizer == labels::PLACED_FINALIZER);
    let lives = fleet.metadata.deletion_timestamp.is_none();
    let is_published = is_bound && lives && of_fleet(fleet, me) == Some(Home::Here) && fits(fleet);
    is_published.then(|| published(fleet, fleet.uid().unwrap_or_default(), mark_of_own(fleet).version))
}

/// Number of a placed Fleet's spec at its home, as the Fleet or its copy here has it; 0 of a copy that is only begun.
pub(crate) fn generation_of(fleet: &Fleet, me: RegionId) -> u64 {
    number(original(fleet, me).map_or_else(|| mark_of_own(fleet).version, |original| original.version))
}

/// The Fleet of which this is a copy.
pub(crate) fn of_copy(fleet: &Fleet, me: RegionId) -> Option<PublishedFleet> {
    let Original { uid, version } = original(fleet, me)?;
    Some(published(fleet, uid.to_owned(), version))
}

/// The Fleet of which this is a copy, as it was.
fn original(fleet: &Fleet, me: RegionId) -> Option<Original<'_>> {
    Original::of(fleet).filter(|_| matches!(of_fleet(fleet, me), Some(Home::CopiedFrom(_))))
}

/// Number of a record of weights, 0 for none, and the weights.
pub(crate) fn read_weights(record: Option<&str>) -> (u64, BTreeMap<RegionId, u32>) {
    let (number, weights) = record.and_then(|record| record.split_once(' ')).unwrap_or_default();
    let weight = |part: &str| {
        let (region, weight) = part.split_once('=')?;
        Some((region.parse().ok()?, weight.parse().ok()?))
    };
    (number.parse().unwrap_or_default(), weights.split(',').filter_map(weight).collect())
}

/// Whether what came says more than what is known: a replica that is behind may still say what was.
pub(crate) fn is_newer(came: &PublishedFleet, known: &PublishedFleet) -> bool {
    mark_of(came).is_newer_than(mark_of(known))
}

/// This region's share of a placed Fleet, if it is there and belongs to it.
pub(crate) fn share_of(fleets: &Store<Fleet>, parent: &Fleet, me: RegionId) -> Option<Arc<Fleet>> {
    let name = labels::share_name(&parent.name_any(), me.as_str());
    let found = fleets.get(&ObjectRef::new(&name).within(&parent.namespace().unwrap_or_default()))?;
    let uid = parent.uid().unwrap_or_default();
    found.owner_references().iter().any(|owner| owner.uid == uid).then_some(found)
}

/// The AutoScaler of this region's share of a placed Fleet, if it is there and belongs to that Fleet.
pub(crate) fn child_of(scalers: &Store<AutoScaler>, parent: &Fleet, me: RegionId) -> Option<Arc<AutoScaler>> {
    let name = labels::share_name(&parent.name_any(), me.as_str());
    let found = scalers.get(&ObjectRef::new(&name).within(&parent.namespace().unwrap_or_default()))?;
    let uid = parent.uid().unwrap_or_default();
    found.owner_references().iter().any(|owner| owner.uid == uid).then_some(found)
}

fn held(share: &Fleet, child: Option<&AutoScaler>) -> Held {
    let status = share.status.clone().unwrap_or_default();
    let replicas = count(share.spec.replicas.unwrap_or_default());
    let generation = share.annotations().get(labels::TEMPLATE_GENERATION);
    Held {
        share: child.map_or(replicas, |child| count(child.spec.min)),
        ready: count(status.ready_replicas),
        updated: count(status.updated_replicas),
        players: u32::try_from(status.players).unwrap_or_default(),
        generation: generation.and_then(|generation| generation.parse().ok()).unwrap_or_default(),
        on_trial: is_on_trial(share, &status),
        scaled: child.map(|child| Scaled { replicas, max: count(child.spec.max) }),
        mark: None,
    }
}

/// Whether others that take a template one after the other are to wait for what becomes of it here.
fn is_on_trial(share: &Fleet, status: &FleetStatus) -> bool {
    let rolls = share.spec.strategy.as_ref().is_some_and(|strategy| strategy.type_ != StrategyType::OnDelete);
    let mut conditions = status.conditions.iter();
    let told = conditions.find(|condition| condition.type_ == types::ROLLED_OUT);
    let is_through = told.is_some_and(|told| {
        let is_now = told.observed_generation == share.metadata.generation;
        let has_it = status.updated_replicas > 0 && told.reason == reasons::WAITING_FOR_PLAYERS;
        is_now && (told.status == "True" || has_it)
    });
    rolls && !is_through
}

fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

pub(super) fn hash(of: &impl Serialize) -> u64 {
    let bytes = serde_json::to_vec(of).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &bytes);
    digest.as_ref().first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

impl Links {
    /// Every placed Fleet of this region, then the tombstones, in an order that stays. None while this region is new, or a peer
    /// is ahead of it: what others keep counts until it has asked them (rules 1 and 2).
    pub(crate) fn own_fleets(&self) -> Vec<PublishedFleet> {
        let Some((kept, version)) = self.kept() else { return Vec::new() };
        if kept.is_new(version.as_deref(), self.cluster()) || kept.restored {
            return Vec::new();
        }
        let fleets = self.stores.fleets.state();
        let mut own: Vec<_> = fleets.iter().filter_map(|fleet| of_own(fleet, self.me)).collect();
        own.sort_unstable_by(|one, other| (&one.namespace, &one.name).cmp(&(&other.namespace, &other.name)));
        let unsettled = kept.tombstones.into_iter().filter(|(_, stone)| !stone.settled);
        own.into_iter().chain(unsettled.map(|(uid, stone)| stone.published(uid))).collect()
    }

    /// What this region has of every placed Fleet that it knows of, with what its shares go by. Where those are more than are shared
    /// out, the Fleets of homes that have left make way first: nobody shares them out.
    pub(crate) fn holdings(&self, basis: Basis) -> Holdings {
        let known = self.table.known(self.clock.elapsed());
        let home = |fleet: &Fleet| fleet.spec.home.as_deref().and_then(|home| home.parse().ok());
        let is_registered =
            |fleet: &Fleet| home(fleet).is_some_and(|home| home == self.me || known.contains_key(&home));
        let mut parents = self.stores.fleets.state();
        parents.retain(|fleet| matches!(of_fleet(fleet, self.me), Some(Home::Here | Home::CopiedFrom(_))));
        if parents.len() > FLEETS_MAX {
            parents.sort_by_cached_key(|fleet| (!is_registered(fleet), key_of(fleet)));
            parents.truncate(FLEETS_MAX);
        }
        Holdings { basis, fleets: parents.iter().map(|fleet| (key_of(fleet), self.held_of(fleet))).collect() }
    }

    /// What this region has of a placed Fleet, by that Fleet or its copy.
    pub(crate) fn held_of(&self, parent: &Fleet) -> Held {
        let mark = original(parent, self.me).map_or_else(
            || mark_of_own(parent),
            |Original { uid, version }| mark_by_annotations(parent, uid, version),
        );
        let share = share_of(&self.stores.fleets, parent, self.me);
        let child = child_of(&self.stores.auto_scalers, parent, self.me);
        let held = share.map_or_else(Held::default, |share| held(&share, child.as_deref()));
        Held { mark: Some(mark), ..held }
    }

    /// What targets follow from in this view; none while something of that has not come yet.
    pub(crate) fn facts(&self, look: &Look, view: &View) -> Option<Facts> {
        let drained = view.regions.intersection(&look.orders.drained).copied().collect();
        let mut facts = Facts { drained, ..Facts::default() };
        for &region in &view.regions {
            let (version, cluster) = if region == self.me {
                let own = self.own();
                own.map(|own| (digest::version(&own), Some(own.spec.clone()))).unwrap_or_default()
            } else {
                self.region_cluster_of(region, look.known.get(&region)?)?
            };
            facts.bounds.insert(region, bounds(cluster.as_ref()));
            facts.versions.insert(region, message::Version { contents: 0, ..version });
        }
        facts.fleets = self.placed(look);
        if let Some(first) = facts.fleets.keys().nth(FLEETS_MAX).cloned() {
            facts.surplus = facts.fleets.split_off(&first).into_keys().collect();
        }
        Some(facts)
    }

    /// A peer's RegionCluster with its version; none while it has not come. Of one that is silent and has not told it to this
    /// process, the copy here says what it was.
    fn region_cluster_of(
        &self,
        region: RegionId,
        known: &Known,
    ) -> Option<(message::Version, Option<RegionClusterSpec>)> {
        match (&known.objects, &known.last) {
            (Some(objects), _) => Some((objects.version.clone(), objects.region_cluster.clone())),
            (None, Some((said, _))) if said.objects.is_none() => Some(Default::default()),
            (None, _) if known.digest().is_some() => None,
            (None, _) => {
                let copy = self.copy_of(region)?;
                Some((message::Version::of_copy(&copy)?, Some(copy.spec.clone())))
            }
        }
    }

    /// The placed Fleets of all registered regions: this one's own; of the others what they publish, or what their copies here say.
    /// Who has left shares nothing out: what is there of its Fleets stays.
    fn placed(&self, look: &Look) -> BTreeMap<String, PublishedFleet> {
        let told =
            || look.known.iter().flat_map(|(home, known)| known.fleets(*home).map(|fleet| (*home, fleet)));
        // Nobody buries what is another's.
        let mut dead: BTreeMap<RegionId, Buried> = self.kept().unwrap_or_default().0.dead();
        for (home, stone) in told().filter(|(_, fleet)| fleet.deleted) {
            dead.entry(home).or_default().add(&name_of(stone), mark(&stone.uid, stone.version));
        }
        let is_alive = |fleet: &PublishedFleet| {
            let home = fleet.spec.home.as_deref().and_then(|home| home.parse().ok());
            let is_registered = |home| home == self.me || look.known.contains_key(&home);
            let mark = mark(&fleet.uid, fleet.version);
            let is_dead = |home| dead.get(&home).is_some_and(|dead| dead.has(&name_of(fleet), mark));
            !fleet.deleted && home.is_some_and(|home| is_registered(home) && !is_dead(home))
        };
        let stored = self.stores.fleets.state();
        let own = stored.iter().filter_map(|fleet| of_own(fleet, self.me));
        let copies = stored.iter().filter_map(|fleet| of_copy(fleet, self.me));
        let known = own.chain(copies).filter(is_alive);
        let mut placed: BTreeMap<String, PublishedFleet> = known.map(|fleet| (key(&fleet), fleet)).collect();
        for (_, fleet) in told().filter(|(_, fleet)| is_alive(fleet)) {
            if placed.get(&key(fleet)).is_none_or(|known| is_newer(fleet, known)) {
                placed.insert(key(fleet), fleet.clone());
            }
        }
        placed
    }
}

impl Facts {
    /// The Fleets as they are shared out in this view by this version of the share function; one that does not say how many it
    /// wants is not.
    pub(crate) fn to_core(&self, view: &View, function: u32) -> BTreeMap<String, PlacedFleet> {
        let fleets = self.fleets.iter();
        fleets.filter_map(|(key, fleet)| Some((key.clone(), to_core(fleet, view, function)?))).collect()
    }

    /// Of what goes in by this version of the share function.
    pub(crate) fn hash(&self, function: u32) -> u64 {
        let version = |fleet: &PublishedFleet| {
            (fleet.uid.clone(), fleet.version, read_weights(fleet.weights.as_deref()).0)
        };
        let fleets: BTreeMap<_, _> = self.fleets.iter().map(|(key, fleet)| (key, version(fleet))).collect();
        if function < MAXIMA_SINCE {
            // As it was before there were orders: who knows none of them agrees while there is none.
            return if self.drained.is_empty() {
                hash(&(fleets, &self.versions))
            } else {
                hash(&(fleets, &self.versions, &self.drained))
            };
        }
        let scaler = |fleet: &PublishedFleet| ScalerRecord::read(fleet.scaler.as_deref()).number;
        let scalers: BTreeMap<_, _> = self.fleets.iter().map(|(key, fleet)| (key, scaler(fleet))).collect();
        hash(&(fleets, scalers, &self.versions, &self.drained))
    }
}

fn bounds(cluster: Option<&RegionClusterSpec>) -> Bounds {
    cluster.map_or(Bounds { min: 0, max: u32::MAX }, |spec| Bounds {
        min: count(spec.min_game_servers),
        max: count(spec.max_game_servers),
    })
}

/// What the regions of a Fleet weigh by its spec.
pub(crate) fn terms(spec: &FleetSpec, view: &View) -> BTreeMap<RegionId, Term> {
    let listed = spec.placement.as_ref().map_or(&[][..], |placement| &placement.regions);
    let term = |region: &RegionId| {
        let found = listed.iter().find(|found| found.region_id == region.as_str());
        let unlisted = if listed.is_empty() { Term::default() } else { Term { weight: 0, min: 0 } };
        found.map_or(unlisted, |found| Term { weight: count(found.weight), min: count(found.min) })
    };
    view.regions.iter().map(|region| (*region, term(region))).collect()
}

fn to_core(fleet: &PublishedFleet, view: &View, function: u32) -> Option<PlacedFleet> {
    let scaler = ScalerRecord::read(fleet.scaler.as_deref()).spec.filter(|_| function >= MAXIMA_SINCE);
    let (replicas, max) = match scaler {
        Some(scaler) => (count(scaler.min), Some(count(scaler.max))),
        None => (count(fleet.spec.replicas?), None),
    };
    let follows = fleet.spec.placement.as_ref()?.mode == PlacementMode::FollowPlayers;
    let (number, weights) = read_weights(fleet.weights.as_deref());
    Some(PlacedFleet {
        replicas,
        max,
        mode: if follows && number > 0 { Mode::FollowPlayers(weights) } else { Mode::ByWeight },
        terms: terms(&fleet.spec, view),
    })
}
