//! A home that comes back from nothing, or from an old copy (decision 14). The leader of one whose cluster is new asks its peers
//! what its placed Fleets were before it publishes any; that of one whose peer is ahead of it stops until a person says who
//! counts.
//!
//! Invariants:
//! - While it is new or stopped, it votes for nothing, moves no share and publishes none of its Fleets.
//! - It stops only for what its API server says too: a watch may be behind.
//! - Each step can be taken again by whoever leads next; what is done is kept last.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::Patch;
use kube::runtime::events::EventType;
use kube::{Api, Resource as _, ResourceExt};
use operator_api::conditions::{Decided, reasons, types};
use operator_api::{Fleet, RegionCluster, labels};
use operator_core::regions::RegionId;
use operator_core::regions::ahead::{Ahead, Theirs, ahead};
use operator_core::regions::belief::believed;
use operator_core::regions::recovery::{Asking, Own, Plan, Wins, take_back};
use operator_core::regions::view::View;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::{info, warn};

use super::context::Context;
use super::fleet_copies::TOMBSTONES_MAX;
use super::recovery_objects::{Fault, carry_out, own_region, params, show, take_back_region};
use crate::links::facts::{mark, mark_of_own};
use crate::links::kept::{Kept, Tombstone};
use crate::links::message::PublishedFleet;
use crate::links::{Links, Look};
use crate::runtime::telemetry::chain;

/// How long whoever a person has confirmed waits for regions that are read and do not answer: they are of older operators.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// How often a Fleet is tried that could not be brought back.
const RETRY: Duration = Duration::from_secs(10);

/// What a leader remembers from turn to turn.
#[derive(Default)]
pub(super) struct Memory {
    /// Since when peers are asked.
    asked_at: Option<Duration>,
    /// When what could not be brought back is tried again.
    again_at: Duration,
    /// What stands in its way, by Fleet, as it was last told.
    told: BTreeMap<String, Fault>,
}

/// Why this region publishes none of its placed Fleets.
#[derive(Clone, Debug)]
pub(super) struct Halt {
    pub(super) reason: &'static str,
    pub(super) words: String,
    /// More of some of them, by `namespace/name`.
    pub(super) fleets: BTreeMap<String, String>,
}

/// What is told of it on the region's own RegionCluster.
#[derive(Default)]
pub(crate) struct Shown(Mutex<Option<Decided>>);

impl Shown {
    /// Condition NotPublished, while there is something to say.
    pub(super) fn decided(&self) -> Option<Decided> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Also in the log, where it is new: there may be no RegionCluster yet on which it is told.
    fn show(&self, reason: &'static str, words: String) {
        let shown = Some(Decided::new(types::NOT_PUBLISHED, true, reason, words));
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != shown {
            let words = shown.as_ref().map(|shown| shown.message.as_str());
            warn!(reason, words, "this region publishes none of its placed Fleets, or not all");
        }
        *last = shown;
    }

    pub(super) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// Does what is due. Answers what is to be kept, of which the vote is another's matter, and why this region stands still, if it
/// does. `version` is that of the ConfigMap.
pub(super) async fn turn(
    context: &Context,
    look: &Look,
    (kept, version): (&Kept, Option<&str>),
    memory: &mut Memory,
) -> (Kept, Option<Halt>) {
    let links = &context.links;
    let is_new = kept.is_new(version, links.cluster());
    let mut next = kept.clone().in_cluster(links.cluster());
    next.taken_back = !is_new;
    next.buried = absorb(context, look, &next);
    if is_new && look.known.is_empty() {
        // Alone there is nobody to ask. It is still new when somebody is registered.
        context.recovery.clear();
        return (next, None);
    }
    let confirmed = confirmed(context);
    let evidence = find_ahead(context, look, &next, is_new).await;
    if !is_new && !next.restored && evidence.is_empty() {
        match confirmed {
            Some((region, wins)) if next.awaited.is_empty() || wins == next.wins => {
                clear_confirmation(context, &region).await;
            }
            Some((_, wins)) => act(context, look, &mut next, Some(wins), memory).await,
            None => {}
        }
        bring_the_rest(context, look, &mut next, memory).await;
        return (next, None);
    }
    let is_found = !next.restored && !evidence.is_empty();
    next.restored |= is_found;
    let halt = if next.restored {
        restored_halt(context, &mut next, &evidence)
    } else {
        new_halt(context, look, memory)
    };
    if is_found {
        tell(context, (EventType::Warning, halt.reason, halt.words.clone())).await;
    }
    context.recovery.show(halt.reason, halt.words.clone());
    let confirmed = confirmed.map(|(_, wins)| wins);
    // What a new cluster has of its own is nothing: to keep that would delete all.
    let confirmed = confirmed.filter(|wins| next.restored || *wins != Wins::Home);
    if next.restored && confirmed.is_none() {
        stop_asking(context, memory);
        return (next, Some(halt));
    }
    act(context, look, &mut next, confirmed, memory).await;
    (next, Some(halt))
}

/// Asks, and settles what is due once enough have answered.
async fn act(context: &Context, look: &Look, next: &mut Kept, confirmed: Option<Wins>, memory: &mut Memory) {
    let wins = confirmed.unwrap_or_default();
    if !have_answered(context, look, wins, memory) {
        return;
    }
    match settle(context, look, next, wins, memory).await {
        Ok(true) => stop_asking(context, memory),
        Ok(false) => {}
        Err(error) => {
            warn!(error = chain(&error), "failed to bring this region's Fleets back; it is tried again");
        }
    }
}

fn stop_asking(context: &Context, memory: &mut Memory) {
    context.links.table.want_copies(false);
    memory.asked_at = None;
}

/// Asks, and says whether enough have answered: a majority, or what a person takes for enough.
fn have_answered(context: &Context, look: &Look, wins: Wins, memory: &mut Memory) -> bool {
    let now = context.clock.elapsed();
    let Some(asked_at) = memory.asked_at else {
        // What was answered while this replica led before is old.
        context.links.table.want_copies(false);
        context.links.table.want_copies(true);
        memory.asked_at = Some(now);
        return false;
    };
    let asked_for = now.saturating_sub(asked_at);
    let asking = asking(context, look);
    let is_read = |region: &RegionId| look.known.get(region).is_some_and(|known| known.digest().is_some());
    let is_waited_for = asked_for < ANSWERS_WITHIN && asking.awaited.iter().any(is_read);
    match wins {
        Wins::Applied => asking.is_over(),
        Wins::Peers | Wins::Home => !asking.answered.is_empty() && !is_waited_for,
    }
}

fn asking(context: &Context, look: &Look) -> Asking {
    let registered = look.known.keys().copied().collect();
    Asking::count(context.links.me, &registered, &context.links.answers(look))
}

/// The tombstones of other regions as they publish them, and those from before. Each home has its part of the room, in which the
/// oldest that it no longer publishes make way; what does not fit then is not taken, or each second another would be.
fn absorb(context: &Context, look: &Look, kept: &Kept) -> BTreeMap<RegionId, BTreeMap<String, Tombstone>> {
    let (mut buried, now) = (kept.buried.clone(), context.clock.unix().as_secs());
    let homes: BTreeSet<RegionId> = buried.keys().chain(look.known.keys()).copied().collect();
    let room = TOMBSTONES_MAX / homes.len().max(1);
    for (&home, known) in &look.known {
        let of_home = buried.entry(home).or_default();
        let told: BTreeMap<&String, &PublishedFleet> =
            known.fleets(home).filter(|fleet| fleet.deleted).map(|stone| (&stone.uid, stone)).collect();
        for (&uid, &stone) in &told {
            if let Some(found) = of_home.get_mut(uid) {
                found.version = found.version.max(stone.version);
                continue;
            }
            if of_home.len() >= room {
                let passed = of_home.iter().filter(|(uid, _)| !told.contains_key(uid));
                let oldest = passed.min_by_key(|(_, stone)| stone.since).map(|(uid, _)| uid.clone());
                let Some(oldest) = oldest else { break };
                of_home.remove(&oldest);
            }
            of_home.insert(uid.clone(), Tombstone::of(stone, now));
        }
    }
    // Each region that joins makes the room of all others smaller.
    for (home, stones) in &mut buried {
        let told: BTreeSet<&String> = look.known.get(home).map_or_else(BTreeSet::new, |known| {
            known.fleets(*home).filter(|fleet| fleet.deleted).map(|stone| &stone.uid).collect()
        });
        while stones.len() > room {
            let oldest = stones.iter().min_by_key(|(uid, stone)| (told.contains(uid), stone.since));
            let oldest = oldest.map(|(uid, _)| uid.clone()).unwrap_or_default();
            stones.remove(&oldest);
        }
    }
    buried.retain(|_, stones| !stones.is_empty());
    buried
}

/// This region's own RegionCluster, and who counts by what a person says on it.
fn confirmed(context: &Context) -> Option<(Arc<RegionCluster>, Wins)> {
    let region = own_region(context)?;
    let wins = match region.annotations().get(labels::CONFIRM).map(String::as_str) {
        Some(labels::CONFIRM_TAKE_BACK) => Wins::Peers,
        Some(labels::CONFIRM_KEEP) => Wins::Home,
        _ => return None,
    };
    Some((region, wins))
}

/// It has been acted on, or there was nothing to act on.
async fn clear_confirmation(context: &Context, region: &RegionCluster) {
    let api: Api<RegionCluster> = Api::all(context.client.clone());
    let patch = json!({ "metadata": { "uid": region.uid(), "annotations": { labels::CONFIRM: null } } });
    match api.patch(&region.name_any(), &params(), &Patch::Merge(patch)).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {}
        Err(error) => warn!(error = chain(&error), "failed to take the confirmation away"),
        Ok(_) => info!("took the confirmation away"),
    }
}

/// Peers that are ahead, also of what the API server has: the watch of a leader may be behind what its other replicas publish. What
/// a new cluster does not have is no wonder, but that it has an earlier version of the same object is.
async fn find_ahead(context: &Context, look: &Look, kept: &Kept, is_new: bool) -> Vec<Ahead> {
    let (mut own, said) = (context.links.own_marks(kept), context.links.said(look));
    // What is being deleted is no wonder to be buried elsewhere, whatever is behind: what is kept, or a peer that hears it alive.
    for fleet in context.stores.fleets.store().state() {
        bury_what_goes(&mut own, &fleet);
    }
    let is_evidence = |ahead: &Ahead| {
        !kept.awaited.contains(&ahead.fleet) && (!is_new || matches!(ahead.theirs, Theirs::Later(_)))
    };
    let mut found = ahead(&own, &said);
    found.retain(is_evidence);
    if kept.restored {
        // It has been looked at, and is only told.
        return found;
    }
    let names: BTreeSet<String> = found.iter().map(|ahead| ahead.fleet.clone()).collect();
    let mut unseen = BTreeSet::new();
    for fleet in names {
        let Some((namespace, name)) = fleet.split_once('/') else { continue };
        let api: Api<Fleet> = Api::namespaced(context.client.clone(), namespace);
        match api.get_opt(name).await {
            Ok(Some(there)) => {
                own.fleets.insert(fleet, mark_of_own(&there));
                bury_what_goes(&mut own, &there);
            }
            Ok(None) => drop(own.fleets.remove(&fleet)),
            Err(error) => {
                warn!(
                    fleet,
                    error = chain(&error),
                    "failed to look at a Fleet of which a peer has another version"
                );
                unseen.insert(fleet);
            }
        }
    }
    let mut found = ahead(&own, &said);
    found.retain(|ahead| is_evidence(ahead) && !unseen.contains(&ahead.fleet));
    found
}

/// Counts a Fleet as known to be deleted that still waits for the others to let go of it.
fn bury_what_goes(own: &mut Own, fleet: &Fleet) {
    let name = format!("{}/{}", fleet.namespace().unwrap_or_default(), fleet.name_any());
    let found = own.fleets.get(&name).copied().filter(|mark| mark.uid == mark_of_own(fleet).uid);
    if let Some(mark) = found.filter(|_| fleet.metadata.deletion_timestamp.is_some()) {
        own.buried.add(&name, mark);
    }
}

/// Whose version, and which.
fn describe(evidence: &[Ahead]) -> Vec<String> {
    let one = |Ahead { region, fleet, theirs, ours }: &Ahead| match (theirs, ours) {
        (Theirs::Later(theirs), Some(ours)) if theirs == ours => {
            format!("{region} has a later record of the weights or the AutoScaler of {fleet}")
        }
        (Theirs::Later(theirs), Some(ours)) => {
            format!("{region} has {fleet} as of {}, and here it is of {}", show(*theirs), show(*ours))
        }
        (Theirs::Later(theirs) | Theirs::Unknown(theirs), None) => {
            format!("{region} has {fleet} as of {}, and here it neither is nor was deleted", show(*theirs))
        }
        (Theirs::Unknown(theirs), Some(_)) => {
            format!("{region} has another {fleet}, as of {}, that nobody deleted here", show(*theirs))
        }
        (Theirs::Tombstone, _) => format!("{region} knows that {fleet} was deleted, and here it is"),
    };
    evidence.iter().map(one).collect()
}

fn new_halt(context: &Context, look: &Look, memory: &Memory) -> Halt {
    let me = context.links.me;
    let Asking { needed, answered, awaited } = asking(context, look);
    let asked_for = memory.asked_at.map(|asked_at| context.clock.elapsed().saturating_sub(asked_at));
    let has_had_time = asked_for.is_some_and(|asked_for| asked_for >= ANSWERS_WITHIN);
    let is_mute = |region: &&RegionId| {
        has_had_time && look.known.get(region).is_some_and(|known| known.digest().is_some())
    };
    let list = |regions: &mut dyn Iterator<Item = &RegionId>| {
        let named: Vec<_> = regions.map(ToString::to_string).collect();
        if named.is_empty() { "nobody".to_owned() } else { named.join(", ") }
    };
    let mute = list(&mut awaited.iter().filter(is_mute));
    let older = if awaited.iter().any(|region| is_mute(&region)) {
        format!(" (of those, {mute} is read and does not answer this: upgrade its operator)")
    } else {
        String::new()
    };
    let words = format!(
        "this cluster is new: it publishes no placed Fleet of {me} before {needed} other regions have said what they were; \
         answered: {}; awaited: {}{older}. Have those that are missing join, or go on with those that answer: operator region confirm \
         {me} --take-back",
        list(&mut answered.iter()),
        list(&mut awaited.iter()),
    );
    Halt { reason: reasons::TAKING_BACK, words, fleets: BTreeMap::new() }
}

/// What was found first is kept: whoever is stopped publishes nothing, so that the others soon have nothing against it any more.
fn restored_halt(context: &Context, next: &mut Kept, evidence: &[Ahead]) -> Halt {
    let me = context.links.me;
    let mut fleets: BTreeMap<String, String> = BTreeMap::new();
    for (ahead, words) in evidence.iter().zip(describe(evidence)) {
        fleets.entry(ahead.fleet.clone()).or_insert(words);
    }
    if !fleets.is_empty() {
        // Each second somebody else may be read first: what is shown stays the same as long as that does.
        let shown: Vec<_> = fleets.values().take(3).cloned().collect();
        let more = fleets.len().saturating_sub(shown.len());
        let more = if more > 0 { format!("; and {more} more") } else { String::new() };
        next.because = shown.join("; ") + &more;
    }
    let words = format!(
        "this cluster was restored from an old copy, and publishes no placed Fleet of {me}: {}. Say who counts: operator region \
         confirm {me} --take-back (the others), or --keep (this cluster: what only the others have is deleted)",
        next.because
    );
    Halt { reason: reasons::RESTORED_FROM_OLD, words, fleets }
}

/// Brings everything to what the answers say, then has that kept. False if that goes on in the next turn.
async fn settle(
    context: &Context,
    look: &Look,
    next: &mut Kept,
    wins: Wins,
    memory: &mut Memory,
) -> kube::Result<bool> {
    let answers = context.links.answers(look);
    take_back_region(context, look).await?;
    let own = context.links.own_marks(next);
    let plan = take_back(&own, &answers, wins);
    let Some(faults) = carry_out(context, &plan).await? else { return Ok(false) };
    let now = context.clock.unix().as_secs();
    let alive: BTreeSet<u64> = own.fleets.values().map(|own| own.uid).collect();
    let is_kept =
        |stone: &PublishedFleet| wins == Wins::Home && alive.contains(&mark(&stone.uid, stone.version).uid);
    let mut stones = Links::stones_told(look);
    stones.retain(|stone| !is_kept(stone));
    for stone in stones.iter().chain(plan.bury.iter().map(|(_, fleet)| fleet)) {
        let own = next.tombstones.entry(stone.uid.clone()).or_insert_with(|| Tombstone::of(stone, now));
        own.version = own.version.max(stone.version);
    }
    // A vote that was lost is not cast again: whoever counted it is among those that were asked, or stands on a number that one
    // of them has seen.
    let (views, own) = (look.views(), next.proposed.number.max(next.agreed.number));
    let numbers = believed(own, views.values(), look.known.len() + 1);
    let number = numbers.iter().map(|view| view.number).chain([own]).max().unwrap_or_default();
    if !next.taken_back && next.proposed.number < number {
        next.proposed = View { number, ..View::default() };
    }
    (next.taken_back, next.restored, next.wins) = (true, false, wins);
    next.because.clear();
    next.awaited = faults.keys().cloned().collect();
    tell_faults(context, memory, faults).await;
    memory.again_at = context.clock.elapsed() + RETRY;
    let came = plan.fleets.len() - next.awaited.len();
    let regions: Vec<_> = answers.keys().map(ToString::to_string).collect();
    let words = format!(
        "{came} placed Fleets brought to what {} say, {} deleted, {} buried, {} cannot be brought back yet",
        regions.join(", "),
        plan.delete.len(),
        plan.bury.len(),
        next.awaited.len()
    );
    info!(words, "this region's Fleets are settled");
    if !plan.fleets.is_empty() || !plan.delete.is_empty() || !plan.bury.is_empty() {
        tell(context, (EventType::Normal, "TakenBack", words)).await;
    }
    Ok(true)
}

/// Tries again what could not be brought back.
async fn bring_the_rest(context: &Context, look: &Look, next: &mut Kept, memory: &mut Memory) {
    if next.awaited.is_empty() {
        stop_asking(context, memory);
        context.recovery.clear();
        memory.told.clear();
        return;
    }
    if context.recovery.decided().is_none() {
        // A leader before this one knew what stands in their way.
        let names: Vec<_> = next.awaited.iter().take(3).map(String::as_str).collect();
        let words =
            format!("{} Fleets are still to be brought back: {}", next.awaited.len(), names.join(", "));
        context.recovery.show(reasons::TAKING_BACK, words);
    }
    let now = context.clock.elapsed();
    let is_due = now >= memory.again_at;
    if !have_answered(context, look, next.wins, memory) || !is_due {
        return;
    }
    let plan = take_back(&context.links.own_marks(next), &context.links.answers(look), next.wins);
    let awaited = plan.fleets.into_iter().filter(|(name, _)| next.awaited.contains(name));
    let plan = Plan { fleets: awaited.collect(), delete: BTreeSet::new(), bury: Vec::new() };
    match carry_out(context, &plan).await {
        Ok(Some(faults)) => {
            next.awaited = faults.keys().cloned().collect();
            tell_faults(context, memory, faults).await;
        }
        Ok(None) => return,
        Err(error) => warn!(error = chain(&error), "failed to bring the rest of this region's Fleets back"),
    }
    memory.again_at = now + RETRY;
}

/// Each once, on the region's own RegionCluster, where all stand in a condition as long as they last.
async fn tell_faults(context: &Context, memory: &mut Memory, faults: BTreeMap<String, Fault>) {
    for (name, fault) in faults.iter().filter(|(name, fault)| memory.told.get(*name) != Some(fault)) {
        let words = format!("Fleet {name} cannot be brought back: {}", fault.words);
        tell(context, (EventType::Warning, fault.reason, words)).await;
    }
    if let Some((name, fault)) = faults.iter().next() {
        let words = format!(
            "{} Fleets cannot be brought back, tried each ten seconds; {name}: {}",
            faults.len(),
            fault.words
        );
        context.recovery.show(fault.reason, words);
    }
    memory.told = faults;
}

async fn tell(context: &Context, (type_, reason, note): (EventType, &'static str, String)) {
    match type_ {
        EventType::Normal => info!(note, "about this region's own Fleets"),
        EventType::Warning => warn!(note, "about this region's own Fleets"),
    }
    if let Some(region) = own_region(context) {
        let object = region.object_ref(&());
        // No two are of one version and one word.
        let of = ObjectReference { resource_version: region.resource_version(), ..object.clone() };
        context.event_of_change(&object, of, (type_, reason, note)).await;
    }
}
