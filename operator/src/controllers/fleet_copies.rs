//! Placed Fleets in the regions that are not their home: each has a copy of its own, under the same name. What is deleted at
//! its home goes by its tombstone alone: absence is never deletion (rule 2).

use k8s_openapi::api::core::v1::{Namespace, ObjectReference};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt};
use operator_api::conditions::reasons;
use operator_api::{Fleet, FleetSpec, Placement, PlacementMode, labels};
use operator_core::regions::RegionId;
use operator_core::regions::ahead::{Said, epoch_after_lost_records};
use operator_core::regions::recovery::Buried;
use operator_core::regions::shares::{Held, Version, weigh_players};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tracing::{info, warn};

use super::context::Context;
use super::placed_scalers;
use super::placed_write::{apply, delete};
use super::undone;
use crate::links::Look;
use crate::links::facts::{
    epoch_of, is_newer, key_of, mark, mark_of_own, name_of, of_copy, read_weights, share_of, terms,
};
use crate::links::home::{Home, of_fleet};
use crate::links::kept::{Kept, Tombstone};
use crate::links::message::PublishedFleet;
use crate::links::original::Original;
use crate::links::scalers::ScalerRecord;
use crate::links::table::Known;
use crate::runtime::clock::since;
use crate::runtime::telemetry::chain;

const FIELD_MANAGER: &str = "cranewing-copies";
/// Owns the finalizer and the records of a Fleet at its home.
const HOME_MANAGER: &str = "cranewing-home";
/// How long the end of a Fleet waits for regions that can be reached (rule 9), and a tombstone stays at least.
const WAIT_MAX: Duration = Duration::from_secs(60);
/// Least time between two records of weights (rule 3).
const WEIGHED_EACH: Duration = Duration::from_secs(60);
/// How often a copy is tried whose namespace or name somebody must clear first.
const RETRY: Duration = Duration::from_secs(10);
/// Tombstones kept; the oldest go first, and those that are settled before all others.
pub(super) const TOMBSTONES_MAX: usize = 1000;

/// What a leader remembers from turn to turn.
#[derive(Default)]
pub(super) struct Memory {
    /// When players were last weighed, or this replica began to lead.
    weighed_at: Option<Duration>,
    /// Copies that cannot be made, by home and name, with what was told of them and when they are tried again.
    told: BTreeMap<(RegionId, String), (Fault, Duration)>,
}

/// What all of a turn goes by.
pub(super) struct TurnFacts<'a> {
    look: &'a Look,
    kept: &'a Kept,
    said: BTreeMap<RegionId, Said>,
    dead: BTreeMap<RegionId, Buried>,
    /// Players are weighed in this turn.
    weighs: bool,
}

impl Memory {
    /// Begins a turn, and forgets what is published no more.
    pub(super) fn begin<'a>(&mut self, context: &Context, look: &'a Look, kept: &'a Kept) -> TurnFacts<'a> {
        let now = context.clock.elapsed();
        let weighs = now.saturating_sub(*self.weighed_at.get_or_insert(now)) >= WEIGHED_EACH;
        if weighs {
            self.weighed_at = Some(now);
        }
        self.told.retain(|(home, name), _| {
            look.known.get(home).is_some_and(|known| known.fleets(*home).any(|fleet| name_of(fleet) == *name))
        });
        TurnFacts { look, kept, said: context.links.said(look), dead: kept.dead(), weighs }
    }
}

impl Memory {
    /// Somebody must clear the way for the copy of that Fleet.
    pub(super) fn is_kept_from(&self, home: RegionId, fleet: &PublishedFleet) -> bool {
        self.told.contains_key(&(home, name_of(fleet)))
    }
}

/// Why a copy cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    namespace: String,
    name: String,
    reason: &'static str,
    /// What to do about it.
    remedy: String,
}

/// The tombstones from now on: of each Fleet that is being deleted. One that every registered region has let go of is settled, until
/// somebody comes with that Fleet again.
pub(super) fn tombstones(context: &Context, look: &Look, kept: &Kept) -> BTreeMap<String, Tombstone> {
    let fleets = context.stores.fleets.store().state();
    let now = context.clock.unix().as_secs();
    let mut stones = kept.tombstones.clone();
    let going = fleets.iter().filter(|fleet| is_going(fleet, context.links.me));
    let going: BTreeSet<String> = going
        .filter_map(|fleet| {
            let uid = fleet.uid()?;
            let version = epoch_and_generation(fleet, kept);
            let stone = stones.entry(uid.clone()).or_insert_with(|| Tombstone {
                namespace: fleet.namespace().unwrap_or_default(),
                name: fleet.name_any(),
                version,
                since: now,
                settled: false,
            });
            // It may have been deleted before, and brought back by an old copy that somebody kept.
            (stone.version, stone.settled) = (stone.version.max(version), false);
            Some(uid)
        })
        .collect();
    for (uid, stone) in &mut stones {
        let key = format!("{}/{}/{}", context.links.me, stone.namespace, stone.name);
        let dead = mark(uid, stone.version).uid;
        let has_it = |held: &Held| held.mark.is_none_or(|mark| mark.uid == dead);
        let held =
            |known: &Known| known.digest().map(|digest| digest.holdings.fleets.get(&key).is_some_and(has_it));
        stone.settled = if stone.settled {
            !look.known.values().any(|known| held(known) == Some(true))
        } else {
            let is_old = now.saturating_sub(stone.since) >= WAIT_MAX.as_secs();
            !going.contains(uid) && is_old && look.known.values().all(|known| held(known) == Some(false))
        };
    }
    while stones.len() > TOMBSTONES_MAX {
        let oldest =
            stones.iter().min_by_key(|(_, stone)| (!stone.settled, stone.since)).map(|(uid, _)| uid.clone());
        stones.remove(&oldest.unwrap_or_default());
    }
    stones
}

/// A Fleet that is made anew goes on from the epoch of the one before: for who has that one, an epoch never falls.
fn epoch_of_own(fleet: &Fleet, kept: &Kept) -> u64 {
    epoch_of(fleet).max(kept.epoch_of(&fleet.namespace().unwrap_or_default(), &fleet.name_any()))
}

fn epoch_and_generation(fleet: &Fleet, kept: &Kept) -> Version {
    Version { home_epoch: epoch_of_own(fleet, kept), ..mark_of_own(fleet).version }
}

fn is_bound(fleet: &Fleet) -> bool {
    fleet.finalizers().iter().any(|finalizer| finalizer == labels::PLACED_FINALIZER)
}

/// It is this region's own, and waits for the others to let go of it.
fn is_going(fleet: &Fleet, me: RegionId) -> bool {
    of_fleet(fleet, me) == Some(Home::Here) && fleet.metadata.deletion_timestamp.is_some() && is_bound(fleet)
}

/// Brings the copy of a Fleet to what its home publishes, and tells once what keeps it from being here. False if a request failed.
pub(super) async fn keep(
    context: &Context,
    facts: &TurnFacts<'_>,
    (home, fleet): (RegionId, &PublishedFleet),
    memory: &mut Memory,
) -> bool {
    let (of, now) = ((home, name_of(fleet)), context.clock.elapsed());
    let is_dead = facts.dead.get(&home).is_some_and(|dead| dead.has(&of.1, mark(&fleet.uid, fleet.version)));
    let before = memory.told.get(&of);
    let waits_for = before.filter(|(_, again_at)| now < *again_at).map(|(fault, _)| fault);
    let fault = match keep_copy(context, home, (fleet, is_dead), waits_for).await {
        Ok(fault) => fault,
        Err(error) => {
            record(context, "failed to keep the copy of a Fleet", &fleet.name, Err(error));
            return false;
        }
    };
    if waits_for.is_some() && fault.as_ref() == waits_for {
        return true;
    }
    let is_told = fault.as_ref() == before.map(|(fault, _)| fault);
    match fault {
        None => drop(memory.told.remove(&of)),
        Some(fault) => {
            if !is_told {
                tell(context, home, &fault).await;
            }
            memory.told.insert(of, (fault, now + RETRY));
        }
    }
    true
}

/// On the copy of the home's RegionCluster, and in the log.
async fn tell(context: &Context, home: RegionId, fault: &Fault) {
    let Fault { namespace, name, reason, remedy } = fault;
    let note = format!("Fleet {namespace}/{name} has no copy here: {remedy}");
    warn!(%home, note, "a Fleet of another region is not shared out here");
    if let Some(region) = context.stores.region_clusters.store().get(&ObjectRef::new(home.as_str())) {
        let of = ObjectReference {
            kind: Some(Fleet::kind(&()).into_owned()),
            namespace: Some(namespace.clone()),
            name: Some(name.clone()),
            ..ObjectReference::default()
        };
        context.event_of_change(&region.object_ref(&()), of, (EventType::Warning, reason, note)).await;
    }
}

fn record(context: &Context, what: &'static str, name: &str, done: kube::Result<()>) {
    let outcome = if done.is_ok() { "ok" } else { "error" };
    context.metrics.reconciles.with_label_values(&["FleetCopy", outcome]).inc();
    if let Err(error) = done {
        warn!(name, error = chain(&error), "{what}");
    }
}

/// Looks after a Fleet whose home is here. False if a request failed.
pub(super) async fn look_after(context: &Context, facts: &TurnFacts<'_>, fleet: &Fleet) -> bool {
    let done = look_after_own(context, facts, fleet).await;
    let is_done = done.is_ok();
    record(context, "failed to look after a placed Fleet", &key_of(fleet), done);
    is_done
}

/// Binds it before anybody hears of it, weighs its players, and lets it go when the others have.
async fn look_after_own(context: &Context, facts: &TurnFacts<'_>, fleet: &Fleet) -> kube::Result<()> {
    let TurnFacts { look, kept, said, weighs, .. } = facts;
    let api: Api<Fleet> = Api::namespaced(context.client.clone(), &fleet.namespace().unwrap_or_default());
    let name = format!("{}/{}", fleet.namespace().unwrap_or_default(), fleet.name_any());
    let lost = epoch_after_lost_records(&name, mark_of_own(fleet), said);
    let epoch = epoch_of_own(fleet, kept).max(lost);
    if fleet.metadata.deletion_timestamp.is_none() {
        let record = if *weighs { weigh(context, look, kept, fleet) } else { None };
        let namespace = fleet.namespace().unwrap_or_default();
        let leading = placed_scalers::leading(context, &namespace, &fleet.name_any());
        let scaler = ScalerRecord::on(fleet).next(leading.as_deref());
        if !is_bound(fleet) || record.is_some() || scaler.is_some() || epoch > epoch_of(fleet) {
            let news = [(labels::WEIGHTS, record), (labels::SCALER, scaler)];
            apply_own(&api, fleet, &[labels::PLACED_FINALIZER], (epoch, news)).await?;
        }
        return Ok(());
    }
    let is_told = fleet.uid().is_some_and(|uid| kept.tombstones.contains_key(&uid));
    if !is_bound(fleet) || !is_told {
        return Ok(());
    }
    placed_scalers::let_go(context, fleet).await?;
    if let Some(share) = share_of(context.stores.fleets.store(), fleet, context.links.me) {
        delete(&api, &*share).await?;
    }
    let key = key_of(fleet);
    let mut reached = look.known.values().filter_map(|known| known.digest());
    let waited = fleet.metadata.deletion_timestamp.as_ref().map(|at| since(at, &context.clock.wall()));
    let is_over = waited.is_some_and(|waited| waited >= WAIT_MAX);
    if is_over || reached.all(|digest| !digest.holdings.fleets.contains_key(&key)) {
        apply_own(&api, fleet, &[], (epoch, [])).await?;
        info!(key, is_over, "the other regions have let go of a placed Fleet");
    }
    Ok(())
}

/// With the records that are there, but for those of which there is news.
async fn apply_own(
    api: &Api<Fleet>,
    fleet: &Fleet,
    finalizers: &[&str],
    (epoch, news): (u64, impl IntoIterator<Item = (&'static str, Option<String>)>),
) -> kube::Result<()> {
    let known = |name: &'static str| Some((name, fleet.annotations().get(name)?.clone()));
    let mut records: BTreeMap<&str, String> =
        [labels::WEIGHTS, labels::SCALER].into_iter().filter_map(known).collect();
    records.extend(news.into_iter().filter_map(|(name, record)| Some((name, record?))));
    records.extend((epoch > 0).then(|| (labels::HOME_EPOCH, epoch.to_string())));
    // The uid keeps it from making an object that has gone, and the version from writing records of before over those of after.
    let metadata = json!({
        "name": fleet.name_any(), "uid": fleet.uid(), "resourceVersion": fleet.resource_version(),
        "finalizers": finalizers, "annotations": records,
    });
    let patch =
        json!({ "apiVersion": Fleet::api_version(&()), "kind": Fleet::kind(&()), "metadata": metadata });
    let params = PatchParams::apply(HOME_MANAGER).force();
    match api.patch(&fleet.name_any(), &params, &Patch::Apply(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        applied => applied.map(drop),
    }
}

/// The next record of what the regions weigh for a Fleet that follows its players; none if it is as before, or one that counts
/// has not been heard.
fn weigh(context: &Context, look: &Look, kept: &Kept, fleet: &Fleet) -> Option<String> {
    fleet.spec.placement.as_ref().filter(|placement| placement.mode == PlacementMode::FollowPlayers)?;
    let key = key_of(fleet);
    let mut players = BTreeMap::new();
    for (region, term) in terms(&fleet.spec, &kept.agreed) {
        let held = if region == context.links.me {
            Some(context.links.held_of(fleet))
        } else {
            look.known.get(&region)?.last.as_ref()?.0.holdings.fleets.get(&key).copied()
        };
        if term.weight > 0 {
            players.insert(region, held.map_or(0, |held| held.players));
        }
    }
    let (number, before) = read_weights(fleet.annotations().get(labels::WEIGHTS).map(String::as_str));
    let weights = weigh_players(&players, &before);
    if weights.is_empty() || weights == before {
        return None;
    }
    let weights: Vec<_> = weights.iter().map(|(region, weight)| format!("{region}={weight}")).collect();
    Some(format!("{} {}", number.saturating_add(1), weights.join(",")))
}

/// Brings a copy to what its home publishes, unless it still `waits_for` what kept it from that last time. Answers what keeps it
/// from being here, and what to do about that, if something does.
async fn keep_copy(
    context: &Context,
    home: RegionId,
    (fleet, is_dead): (&PublishedFleet, bool),
    waits_for: Option<&Fault>,
) -> kube::Result<Option<Fault>> {
    let PublishedFleet { namespace, name, .. } = fleet;
    let found = context.stores.fleets.store().get(&ObjectRef::new(name).within(namespace));
    let api: Api<Fleet> = Api::namespaced(context.client.clone(), namespace);
    let copy = found.as_deref().and_then(|found| of_copy(found, context.links.me));
    let is_ours = copy.as_ref().is_some_and(|copy| copy.spec.home.as_deref() == Some(home.as_str()));
    match (&found, &copy) {
        (Some(found), Some(copy)) if is_ours && fleet.deleted && buries(fleet, copy) => {
            if found.metadata.deletion_timestamp.is_none() {
                delete(&api, &**found).await?;
                info!(name, namespace, %home, "let go of the copy of a Fleet");
            }
            return Ok(None);
        }
        _ if fleet.deleted || is_dead => return Ok(None),
        (Some(_), Some(copy)) if is_ours => {
            let was_changed_here = copy.spec != fleet.spec && !is_newer(copy, fleet);
            if !is_newer(fleet, copy) && !was_changed_here {
                return Ok(None);
            }
        }
        (Some(_), _) => {
            let remedy = "another Fleet has its name; delete that, or give one of the two another name";
            return Ok(Some(fault(fleet, reasons::NAME_TAKEN, remedy.to_owned())));
        }
        (None, _) => {}
    }
    let unwelcome = match waits_for {
        Some(fault) => Some(fault.clone()),
        None => {
            ask_namespace(context, home, fleet).await?.map(|(reason, remedy)| fault(fleet, reason, remedy))
        }
    };
    if unwelcome.is_some() {
        return Ok(unwelcome);
    }
    let uid = found.as_ref().and_then(|found| found.uid());
    let Some(applied) = apply(&api, FIELD_MANAGER, (claim(home, fleet), build(home, fleet)), uid).await?
    else {
        return Ok(None);
    };
    info!(name, namespace, %home, "keeps a copy of a Fleet");
    if let (Some(found), Some(copy)) = (&found, &copy)
        && !is_newer(fleet, copy)
    {
        let what =
            format!("this is a copy of Fleet {namespace}/{name}; change that at its home, region {home}");
        undone::tell(context, found, (&fleet.spec, &applied.spec), &what).await;
    }
    Ok(None)
}

/// Whether the tombstone is of that Fleet, or of what it was brought back as.
fn buries(stone: &PublishedFleet, copy: &PublishedFleet) -> bool {
    let mut buried = Buried::default();
    buried.add(&name_of(stone), mark(&stone.uid, stone.version));
    buried.has(&name_of(copy), mark(&copy.uid, copy.version))
}

fn fault(fleet: &PublishedFleet, reason: &'static str, remedy: String) -> Fault {
    Fault { namespace: fleet.namespace.clone(), name: fleet.name.clone(), reason, remedy }
}

/// What keeps Fleets of this home out of the namespace, and what to do about that. Its people say whose Fleets run in it, or a region
/// that is taken over could have its pods run in all namespaces of the others.
pub(super) async fn ask_namespace(
    context: &Context,
    home: RegionId,
    fleet: &PublishedFleet,
) -> kube::Result<Option<(&'static str, String)>> {
    let name = &fleet.namespace;
    let Some(namespace) = Api::<Namespace>::all(context.client.clone()).get_opt(name).await? else {
        let remedy = format!("there is no namespace {name}; make one, as at its home");
        return Ok(Some((reasons::NAMESPACE_MISSING, remedy)));
    };
    let takes_from = namespace.annotations().get(labels::TAKES_FLEETS_FROM).map_or("", String::as_str);
    let is_welcome =
        takes_from.split(',').any(|region| matches!(region.trim(), "*") || region.trim() == home.as_str());
    Ok((!is_welcome).then(|| {
        let annotation = labels::TAKES_FLEETS_FROM;
        let remedy = format!(
            "namespace {name} takes no Fleets from {home}; let it: kubectl annotate --overwrite namespace {name} {annotation}={home}"
        );
        (reasons::NAMESPACE_CLOSED, remedy)
    }))
}

/// What a copy begins as: known to be one, and older than anything that is published.
fn claim(home: RegionId, fleet: &PublishedFleet) -> Fleet {
    let bare = FleetSpec {
        home: fleet.spec.home.clone(),
        placement: Some(Placement::default()),
        ..FleetSpec::default()
    };
    let PublishedFleet { namespace, name, uid, .. } = fleet.clone();
    build(home, &PublishedFleet { namespace, name, uid, spec: bare, ..PublishedFleet::default() })
}

fn build(home: RegionId, fleet: &PublishedFleet) -> Fleet {
    let owned = |(name, value): (&str, String)| (name.to_owned(), value);
    let labels =
        [(labels::HOME, home.to_string()), (labels::MANAGED_BY, labels::MANAGED_BY_OPERATOR.to_owned())];
    let original = Original { uid: &fleet.uid, version: fleet.version };
    let weights = fleet.weights.clone().map(|weights| (labels::WEIGHTS, weights));
    let scaler = fleet.scaler.clone().map(|scaler| (labels::SCALER, scaler));
    let metadata = ObjectMeta {
        name: Some(fleet.name.clone()),
        namespace: Some(fleet.namespace.clone()),
        labels: Some(labels.map(owned).into()),
        annotations: Some(
            weights.into_iter().chain(scaler).map(owned).chain([original.annotation()]).collect(),
        ),
        ..ObjectMeta::default()
    };
    Fleet { metadata, spec: fleet.spec.clone(), status: None }
}
