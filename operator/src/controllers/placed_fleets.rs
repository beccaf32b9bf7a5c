//! Placed Fleets: one Fleet shared out over regions. Each region's leader votes for the regions that count, computes from
//! published facts what every region is to have, and keeps this region's share: a Fleet of its own, which drains and scales as
//! any other (decisions 9 and 10).
//!
//! Invariants:
//! - What this region votes for and goes by is kept before it is published or acted on; while it cannot be, nothing moves.
//! - A share moves only while this region takes part, and the view that a majority voted for has it; and not while it holds.
//! - An object that somebody else made is never adopted, changed or deleted, whatever its name.

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::api::{ObjectMeta, Patch, PatchParams};
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource as _, ResourceExt};
use operator_api::{Fleet, FleetSpec, labels};
use operator_core::journal::Of;
use operator_core::regions::RegionId;
use operator_core::regions::membership::Standing;
use operator_core::regions::orders::Failover;
use operator_core::regions::rollout::Rollout;
use operator_core::regions::shares::{Basis, SHARES_VERSION, Targets, common_version, decide_targets};
use operator_core::regions::view::{Ballot, View};
use operator_core::regions::{next_maxima, next_shares};
use operator_core::scale::Bounds;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep, timeout};
use tracing::{Instrument, info, warn};

use super::context::Context;
use super::placed_agenda::{Agenda, Key, Step};
use super::placed_rollout::{Template, awaits_template, rollouts, template_of};
use super::placed_write::apply;
use super::recovery::Halt;
use super::retries::Retries;
use super::{fleet_copies, placed_scalers, placed_status, recovery, undone, wheel};
use crate::about::about;
use crate::links::Look;
use crate::links::facts::{generation_of, key_of, name_of, share_of};
use crate::links::home::{Home, of_fleet};
use crate::links::kept::{self, Kept};
use crate::links::message::PublishedFleet;
use crate::links::scalers::ScalerRecord;
use crate::runtime::telemetry::chain;

/// How often shares are looked at.
const PERIOD: Duration = Duration::from_secs(1);
/// Time of a turn after which what is left waits for the next one, because the vote is due: a region that is lost shall not be missed
/// while an API server is slow.
const APPLIES_FOR: Duration = Duration::from_secs(3);
/// Of the time that a slow task has, that for the share; the rest is for what is said of it.
const SHARE_MAX: Duration = Duration::from_secs(10);
/// Owns all of a share but its replicas, and the AutoScaler of a share.
pub(super) const FIELD_MANAGER: &str = "cranewing-placed";
/// Owns the replicas of a share.
const REPLICAS_MANAGER: &str = "cranewing-shares";

/// What keeps a share from being as it should be.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    #[error(
        "a Fleet {0} is there that is no share of this one; delete it, or give one of the two another name"
    )]
    NameTaken(String),
    #[error(
        "an AutoScaler {0} is there that is no part of this Fleet's; delete it, and set one on this Fleet at its home instead"
    )]
    ScalerNameTaken(String),
    #[error("failed to apply {0}")]
    Apply(String, #[source] kube::Error),
    #[error("the API server takes more than {} s for its share; it is tried again", SHARE_MAX.as_secs())]
    TooSlow,
}

/// What a leader remembers from turn to turn.
#[derive(Default)]
pub(super) struct Placing {
    /// Since when others are lost, along with the vote.
    ballot: Ballot,
    pub(super) copies: fleet_copies::Memory,
    recovery: recovery::Memory,
    agenda: Agenda,
    /// Tasks that failed, by their keys.
    retries: Retries,
}

/// What is to be done with one Fleet in a turn.
enum Task<'a> {
    /// It has its home here.
    LookAfter(&'a Fleet),
    /// Another region publishes it, or that it is deleted.
    Copy(RegionId, &'a PublishedFleet),
    /// This region's share of it, and what it says of itself.
    Share(&'a Fleet),
}

/// What every region is to have, and what this one does next.
#[derive(Debug, Default)]
pub(super) struct Course {
    /// What every region is to have; none while this one holds what it has.
    pub(super) targets: Option<Targets>,
    /// What this one is to have now, by Fleet; of one with an AutoScaler the fewest. Nothing while it holds.
    next: BTreeMap<String, u32>,
    /// Of Fleets with an AutoScaler, what that may do here now. Nothing while it holds.
    bounds: BTreeMap<String, Bounds>,
    /// Fleets that are more than are shared out.
    pub(super) surplus: BTreeSet<String>,
    /// Of Fleets whose regions take a template one after the other.
    pub(super) rollouts: BTreeMap<String, Rollout>,
    /// What all of this goes by.
    fleets: BTreeMap<String, PublishedFleet>,
    /// Failover of this region is Hold.
    pub(super) holds: bool,
    pub(super) basis: Basis,
    /// Why this region's own Fleets stand still, if they do.
    pub(super) halt: Option<Halt>,
}

/// Takes one turn after another until the future is dropped.
pub(super) async fn run(context: &Context) {
    let mut placing = Placing::default();
    loop {
        placing.turn(context).await;
        sleep(PERIOD).await;
    }
}

impl Placing {
    /// observe -> recover, vote and decide -> keep -> apply -> status.
    pub(super) async fn turn(&mut self, context: &Context) {
        // observe (no client required)
        let now = context.clock.elapsed();
        if context.links.api_is_away(now) {
            return;
        }
        let Some((kept, version)) = context.links.kept() else { return };
        let look = context.links.look(now);
        if look.is_listening(context.links.me) {
            return;
        }
        // decide (no client required)
        let known = (&kept, version.as_deref());
        let (mut next, halt) = recovery::turn(context, &look, known, &mut self.recovery).await;
        next.tombstones = fleet_copies::tombstones(context, &look, &next);
        let course = if halt.is_some() {
            Course { halt, ..Course::default() }
        } else {
            (next.proposed, next.agreed) = self.vote(context, &look, &next);
            decide(context, &look, &next.agreed).unwrap_or_default()
        };
        if course.targets.is_some() {
            next.basis = course.basis.clone();
        }
        // A tombstone that has become settled goes along with the next change: what rests writes nothing.
        let settled = std::mem::take(&mut next.tombstones);
        next.tombstones = kept::but_for_settling(&settled, &kept.tombstones);
        if next != kept {
            next.tombstones = settled;
        }
        // apply (client required)
        if next != kept && !keep(context, &next, version.clone()).await {
            return;
        }
        if next.agreed != kept.agreed {
            wheel::tell_view(context, &look, &self.ballot, &kept.agreed, version).await;
        }
        // It holds whole Fleets while it waits.
        Box::pin(self.apply(context, &look, &next, &course)).await;
    }

    /// Does one task after the other until the vote is due. What fails is tried less and less.
    async fn apply(&mut self, context: &Context, look: &Look, kept: &Kept, course: &Course) {
        let until = context.clock.elapsed() + APPLIES_FOR;
        let fleets = context.stores.fleets.store().state();
        let tasks = tasks(context, look, &fleets, course);
        let names: BTreeSet<String> = tasks.keys().map(ToString::to_string).collect();
        self.retries.retain(|name| names.contains(name));
        let facts = self.copies.begin(context, look, kept);
        for key in self.agenda.begin(&tasks) {
            let (began, name) = (context.clock.elapsed(), key.to_string());
            if began >= until {
                return;
            }
            if !self.retries.is_due(began, &name) {
                continue;
            }
            let limit = self.agenda.time_for(&key);
            let doing = async {
                match tasks[&key] {
                    Task::LookAfter(fleet) => fleet_copies::look_after(context, &facts, fleet).await,
                    Task::Copy(home, fleet) => {
                        fleet_copies::keep(context, &facts, (home, fleet), &mut self.copies).await
                    }
                    Task::Share(parent) => {
                        let waits = self.awaits_template(context, parent, course);
                        keep_and_tell(context, parent, look, course, waits).await
                    }
                }
            };
            let is_done = timeout(limit, doing).await.unwrap_or_else(|_elapsed| {
                context.metrics.reconciles.with_label_values(&[tasks[&key].kind(), "too_slow"]).inc();
                warn!(task = name, "it takes more than {} s, and goes on later", limit.as_secs());
                false
            });
            let now = context.clock.elapsed();
            self.agenda.count(&key, now.saturating_sub(began));
            self.retries.count(now, &name, is_done);
        }
    }

    /// Its share would take the template that its copy here is yet to be brought to, if that is on its way: servers of the one
    /// before would pass for ones of that. What cannot be brought holds nothing up.
    fn awaits_template(&self, context: &Context, parent: &Fleet, course: &Course) -> bool {
        let (key, me) = (key_of(parent), context.links.me);
        let Some(published) = course.fleets.get(&key) else { return false };
        let home = published.spec.home.as_deref().and_then(|home| home.parse().ok());
        home.is_some_and(|home| {
            let fails = self.retries.again_at(&key_of_copy(home, published).to_string()).is_some()
                || self.copies.is_kept_from(home, published);
            !fails && awaits_template(parent, published, course.rollouts.get(&key), me)
        })
    }

    /// This region's vote, and the view that a majority voted for.
    fn vote(&mut self, context: &Context, look: &Look, kept: &Kept) -> (View, View) {
        (self.ballot.proposed, self.ballot.agreed) = (kept.proposed.clone(), kept.agreed.clone());
        let views = look.views();
        let heard = views.iter().map(|(&region, view)| (region, view)).collect();
        // In time in which this process ran: a region is not Degraded for longer because we stood still.
        let (now, me) = (context.links.table.awake(context.clock.elapsed()), context.links.me);
        self.ballot = self.ballot.next((now, me), &look.judgements, &look.orders, &heard);
        (self.ballot.proposed.clone(), self.ballot.agreed.clone())
    }
}

fn key_of_copy(home: RegionId, fleet: &PublishedFleet) -> Key {
    let step = if fleet.deleted { Step::Bury } else { Step::Copy };
    Key { step, fleet: format!("{home}/{} {}", name_of(fleet), fleet.uid) }
}

fn tasks<'a>(
    context: &Context,
    look: &'a Look,
    fleets: &'a [Arc<Fleet>],
    course: &Course,
) -> BTreeMap<Key, Task<'a>> {
    let (me, is_halted) = (context.links.me, course.halt.is_some());
    let mut tasks = BTreeMap::new();
    for fleet in fleets {
        let key =
            |step| Key { step, fleet: format!("{} {}", key_of(fleet), fleet.uid().unwrap_or_default()) };
        // What stands on it may not count while the region is halted.
        if of_fleet(fleet, me) == Some(Home::Here) && !is_halted {
            tasks.insert(key(Step::LookAfter), Task::LookAfter(fleet));
        }
        let is_begun =
            matches!(of_fleet(fleet, me), Some(Home::CopiedFrom(_))) && generation_of(fleet, me) == 0;
        if of_fleet(fleet, me).is_some() && !is_begun && fleet.metadata.deletion_timestamp.is_none() {
            tasks.insert(key(Step::Share), Task::Share(fleet));
        }
    }
    for (&home, known) in &look.known {
        for fleet in known.fleets(home) {
            tasks.insert(key_of_copy(home, fleet), Task::Copy(home, fleet));
        }
    }
    tasks
}

impl Task<'_> {
    /// As metrics name it.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Share(_) => "PlacedFleet",
            Self::LookAfter(_) | Self::Copy(..) => "FleetCopy",
        }
    }
}

/// Keeps this region's share of a Fleet, unless it `waits`, and tells on that how it is. False if the share could not be kept:
/// what cannot be told keeps no share from moving at once.
async fn keep_and_tell(context: &Context, parent: &Fleet, look: &Look, course: &Course, waits: bool) -> bool {
    let outcome = match of_fleet(parent, context.links.me) {
        None | Some(Home::Elsewhere) => Ok(()),
        // What it would be brought to may not count.
        Some(Home::Here) if course.halt.is_some() => Ok(()),
        Some(Home::Here | Home::CopiedFrom(_)) if waits => Ok(()),
        Some(Home::Here | Home::CopiedFrom(_)) => {
            // It holds whole Fleets while it waits.
            let keeping = Box::pin(keep_share(context, parent, course)).instrument(about(parent));
            timeout(SHARE_MAX, keeping).await.unwrap_or(Err(Error::TooSlow))
        }
    };
    count(context, &outcome);
    let is_done = !matches!(outcome, Err(Error::Apply(..) | Error::TooSlow));
    // status (client required)
    if let Err(error) = placed_status::publish(context, parent, look, course, outcome).await {
        about(parent).in_scope(|| warn!(error = chain(&error), "failed to write the status"));
    }
    is_done
}

fn count(context: &Context, outcome: &Result<(), Error>) {
    let word = match outcome {
        Ok(()) => "ok",
        Err(Error::NameTaken(_) | Error::ScalerNameTaken(_)) => "name_taken",
        Err(Error::Apply(..)) => "apply",
        Err(Error::TooSlow) => "too_slow",
    };
    context.metrics.reconciles.with_label_values(&["PlacedFleet", word]).inc();
}

/// What follows from the facts in this view; none while this region does not take part or does not know them all.
fn decide(context: &Context, look: &Look, agreed: &View) -> Option<Course> {
    let me = context.links.me;
    let is_member = look.judgements.get(&me).is_some_and(|own| own.standing == Standing::Connected);
    if !is_member || !agreed.regions.contains(&me) {
        return None;
    }
    let facts = context.links.facts(look, agreed)?;
    // Who is older than the function, or not heard yet, speaks the first.
    let speaks = |region| {
        let known = look.known.get(region).and_then(|known| known.last.as_ref());
        known.map_or(1, |(digest, _)| digest.speaks.max(1))
    };
    let function =
        common_version(SHARES_VERSION, agreed.regions.iter().filter(|&region| *region != me).map(speaks));
    let basis = Basis { view: agreed.clone(), function, facts: facts.hash(function) };
    let targets = decide_targets(&facts.to_core(agreed, function), &facts.bounds, &facts.drained);
    let mine = context.links.holdings(basis.clone());
    let read = look.known.iter().filter_map(|(&region, known)| Some((region, &known.digest()?.holdings)));
    let mut read: BTreeMap<_, _> = read.collect();
    let max = facts.bounds.get(&me).map_or(u32::MAX, |bounds| bounds.max);
    // Who holds says all the same what it goes by: the others wait for nobody who has what it should have.
    let holds = look.orders.mode(me) == Failover::Hold;
    let (mut next, mut bounds) = Default::default();
    if !holds {
        next = next_shares(me, &mine, max, &targets, &read);
        bounds = next_maxima(me, &mine, max, (&targets, &next), &read);
    }
    read.insert(me, &mine);
    let rollouts = rollouts(&facts, &targets, &read);
    let (targets, surplus, fleets) = (Some(targets), facts.surplus, facts.fleets);
    Some(Course { targets, next, bounds, surplus, rollouts, fleets, holds, basis, halt: None })
}

/// Keeps what is published from now on; false if nothing may follow from it.
async fn keep(context: &Context, next: &Kept, version: Option<String>) -> bool {
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &context.namespace);
    match kept::write(&api, next, version).await {
        Ok(written) => {
            if written {
                let View { number, regions } = &next.agreed;
                info!(
                    number,
                    ?regions,
                    basis = format!("{:016x}", next.basis.facts),
                    "keeps what its shares go by"
                );
            }
            written
        }
        Err(error) => {
            warn!(error = chain(&error), "failed to keep this region's vote");
            false
        }
    }
}

/// Brings this region's share to what its parent says, and to as many as it is to have now: by its AutoScaler if there is one.
async fn keep_share(context: &Context, parent: &Fleet, course: &Course) -> Result<(), Error> {
    let me = context.links.me;
    let name = labels::share_name(&parent.name_any(), me.as_str());
    let namespace = parent.namespace().unwrap_or_default();
    let (store, key) = (context.stores.fleets.store(), key_of(parent));
    let bounds = course.bounds.get(&key).copied();
    let is_scaled = bounds.is_some() || ScalerRecord::on(parent).spec.is_some();
    if let Some(share) = course.next.get(&key) {
        let View { number, regions } = &course.basis.view;
        let why =
            format!("bounds {bounds:?}; view {number} of {regions:?}, facts {:016x}", course.basis.facts);
        context.journal.note(Of::Share, key.clone(), format!("{share} game servers"), why);
    }
    let share = course.next.get(&key).copied().and_then(|share| i32::try_from(share).ok());
    let mut found = share_of(store, parent, me);
    if found.is_none() {
        if store.get(&ObjectRef::new(&name).within(&namespace)).is_some() {
            return Err(Error::NameTaken(name));
        }
        let is_wanted = if is_scaled { bounds.is_some_and(|bounds| bounds.max > 0) } else { share > Some(0) };
        if !is_wanted {
            return Ok(());
        }
    }
    let api: Api<Fleet> = Api::namespaced(context.client.clone(), &namespace);
    let failed = |source| Error::Apply(format!("Fleet {name}"), source);
    let template = template_of(parent, found.as_deref(), course.rollouts.get(&key), me);
    let wanted = build(parent, &name, &template);
    if !found.as_ref().is_some_and(|found| is_as_wanted(found, &wanted)) {
        let uid = found.as_ref().and_then(|found| found.uid());
        let mut claim = Fleet { spec: FleetSpec::default(), ..wanted.clone() };
        claim.metadata.annotations = None;
        let (spec, generation) = (wanted.spec.clone(), wanted.annotations().clone());
        let Some(applied) = apply(&api, FIELD_MANAGER, (claim, wanted), uid).await.map_err(failed)? else {
            // Somebody was faster; the watch says who.
            return Ok(());
        };
        if let Some(before) = &found {
            template.tell(context, parent, before).await;
            // It said that it has that template already.
            if before.annotations().get(labels::TEMPLATE_GENERATION)
                == generation.get(labels::TEMPLATE_GENERATION)
            {
                let home = parent.spec.home.as_deref().unwrap_or_default();
                let what = format!(
                    "this is the share of region {me} in Fleet {namespace}/{}; change that at its home, region {home}",
                    parent.name_any()
                );
                undone::tell(context, before, (&spec, &applied.spec), &what).await;
            }
        }
        found = Some(applied.into());
    }
    let Some(found) = found else { return Ok(()) };
    if placed_scalers::keep_child(context, parent, &found, bounds, &course.basis).await? {
        return Ok(());
    }
    let Some(share) = share else { return Ok(()) };
    if found.spec.replicas != Some(share) {
        let replicas = json!({
            "apiVersion": Fleet::api_version(&()), "kind": Fleet::kind(&()),
            "metadata": { "name": name, "uid": found.uid() }, "spec": { "replicas": share },
        });
        let params = PatchParams::apply(REPLICAS_MANAGER).force();
        drop(api.patch(&name, &params, &Patch::Apply(replicas)).await.map_err(failed)?);
        tell_change(context, parent, &found, share, &course.basis).await;
    }
    Ok(())
}

/// The share as its parent says, with this template and without replicas.
fn build(parent: &Fleet, name: &str, template: &Template) -> Fleet {
    let labels =
        [(labels::PARENT, parent.name_any()), (labels::MANAGED_BY, labels::MANAGED_BY_OPERATOR.to_owned())];
    let generation = (labels::TEMPLATE_GENERATION.to_owned(), template.generation.clone());
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: parent.namespace(),
        labels: Some(labels.map(|(label, value)| (label.to_owned(), value)).into()),
        annotations: Some([generation].into()),
        owner_references: parent.controller_owner_ref(&()).map(|owner| vec![owner]),
        ..ObjectMeta::default()
    };
    // Named one by one, so that whoever adds a field to a Fleet says whether its shares have it.
    let FleetSpec { replicas: _, home: _, placement: _, template: _, strategy, revision_history_limit } =
        &parent.spec;
    let spec = FleetSpec {
        replicas: None,
        home: None,
        placement: None,
        template: template.contents.clone(),
        strategy: strategy.clone(),
        revision_history_limit: *revision_history_limit,
    };
    Fleet { metadata, spec, status: None }
}

fn is_as_wanted(found: &Fleet, wanted: &Fleet) -> bool {
    let has = |map: &BTreeMap<String, String>, wanted: &BTreeMap<String, String>| {
        wanted.iter().all(|(name, value)| map.get(name) == Some(value))
    };
    let handed_on = |fleet: &Fleet| {
        let FleetSpec { template, strategy, revision_history_limit, .. } = fleet.spec.clone();
        (template, strategy, revision_history_limit)
    };
    handed_on(found) == handed_on(wanted)
        && has(found.labels(), wanted.labels())
        && has(found.annotations(), wanted.annotations())
}

async fn tell_change(context: &Context, parent: &Fleet, before: &Fleet, share: i32, basis: &Basis) {
    let old = before.spec.replicas.unwrap_or_default();
    let regions: Vec<_> = basis.view.regions.iter().map(ToString::to_string).collect();
    let note = format!(
        "{} from {old} to {share} game servers: view {} of {}, basis {:016x}",
        before.name_any(),
        basis.view.number,
        regions.join(", "),
        basis.facts
    );
    info!(note, "moved a share");
    let reason = if share > old { "ShareRaised" } else { "ShareLowered" };
    // No two changes are of one version of the share.
    let changed = ObjectReference { resource_version: before.resource_version(), ..before.object_ref(&()) };
    context.event_of_change(&parent.object_ref(&()), changed, (EventType::Normal, reason, note)).await;
}
