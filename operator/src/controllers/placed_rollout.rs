//! Which template a region's share has, if the regions of a placed Fleet take a change of it one after the other.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::EventType;
use kube::{Resource as _, ResourceExt};
use operator_api::{Fleet, FleetSpec, GameServerTemplate, PlacementRollout, labels};
use operator_core::regions::RegionId;
use operator_core::regions::rollout::{self, Progress, Rollout, Taken};
use operator_core::regions::shares::{Holdings, Targets};
use std::collections::BTreeMap;
use tracing::info;

use super::context::Context;
use crate::links::facts::{Facts, generation_of};
use crate::links::message::PublishedFleet;

/// Roll-outs of the Fleets that ask for one region after the other, by Fleet. `all` has what the regions hold that are heard, this
/// one among them.
pub(super) fn rollouts(
    facts: &Facts,
    targets: &Targets,
    all: &BTreeMap<RegionId, &Holdings>,
) -> BTreeMap<String, Rollout> {
    let by_region = |(key, fleet): (&String, &PublishedFleet)| {
        let placement = fleet.spec.placement.as_ref().filter(|_| is_one_by_one(&fleet.spec))?;
        let taken = |(&region, &target): (&RegionId, &u32)| {
            let held =
                all.get(&region).and_then(|holdings| holdings.fleets.get(key)).copied().unwrap_or_default();
            let is_ready = held.ready >= held.asked().max(target) && !held.on_trial;
            (region, Taken { generation: held.generation, is_ready })
        };
        let shares = targets.maxima.get(key).or_else(|| targets.shares.get(key))?;
        let with_servers = shares.iter().filter(|(_, most)| **most > 0).map(|(region, _)| region);
        let shares = targets.shares.get(key)?;
        let regions = with_servers.filter_map(|region| shares.get_key_value(region)).map(taken).collect();
        let canary = placement.canary.as_deref().and_then(|canary| canary.parse().ok());
        Some((key.clone(), Rollout { canary, regions }))
    };
    facts.fleets.iter().filter_map(by_region).collect()
}

/// It is this region's turn to take a template that the Fleet has by now, as it is `published`, and that the copy here is yet to be
/// brought to.
pub(super) fn awaits_template(
    copy: &Fleet,
    published: &PublishedFleet,
    turn: Option<&Rollout>,
    me: RegionId,
) -> bool {
    let number = rollout::number(published.version);
    let is_news = number > generation_of(copy, me) && published.spec.template != copy.spec.template;
    is_news && turn.is_some_and(|turn| turn.waits_for(me, number).is_none())
}

fn is_one_by_one(spec: &FleetSpec) -> bool {
    spec.placement.as_ref().is_some_and(|placement| placement.rollout == PlacementRollout::RegionByRegion)
}

/// A template and the number of the Fleet's spec that has it.
pub(super) struct Template {
    pub(super) contents: GameServerTemplate,
    pub(super) generation: String,
    /// The share takes it now, with what is to be told.
    news: Option<String>,
}

/// The template that the share is to have now: its parent's, or the one that it has while other regions come first. A share that is
/// yet to be made has its parent's, because servers go before order, and so has one whose template is the same, one that says that
/// it has it, which somebody changed, and one that does not say which it has: it is only begun.
pub(super) fn template_of(
    parent: &Fleet,
    share: Option<&Fleet>,
    turn: Option<&Rollout>,
    me: RegionId,
) -> Template {
    let generation = generation_of(parent, me);
    let one_by_one = is_one_by_one(&parent.spec);
    let taken =
        Template { contents: parent.spec.template.clone(), generation: generation.to_string(), news: None };
    let differs = |share: &&Fleet| one_by_one && share.spec.template != parent.spec.template;
    let has = share.filter(differs).and_then(|share| {
        share.annotations().get(labels::TEMPLATE_GENERATION).map(|generation| (share, generation))
    });
    let Some((share, held)) = has.filter(|(_, held)| **held != taken.generation) else { return taken };
    if turn.is_some_and(|turn| turn.waits_for(me, generation).is_none()) {
        let news = format!(
            "{} takes the template of generation {}",
            share.name_any(),
            rollout::describe(generation)
        );
        return Template { news: Some(news), ..taken };
    }
    Template { contents: share.spec.template.clone(), generation: held.clone(), news: None }
}

impl Template {
    /// Says so, if the share has just taken it in its turn.
    pub(super) async fn tell(&self, context: &Context, parent: &Fleet, share: &Fleet) {
        let Some(note) = &self.news else { return };
        info!(note, "took a template");
        let changed = ObjectReference { resource_version: share.resource_version(), ..share.object_ref(&()) };
        let event = (EventType::Normal, "TemplateTaken", note.clone());
        context.event_of_change(&parent.object_ref(&()), changed, event).await;
    }
}

/// How far the template of this Fleet has come, in words; none if all have taken it.
pub(super) fn describe(rollout: &Rollout, generation: u64) -> Option<String> {
    let Progress { taken, awaited, waiting } = rollout.progress(generation);
    let names = |regions: &[RegionId]| regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let next = waiting.first()?;
    let by = if taken.is_empty() { "none".to_owned() } else { names(&taken) };
    let left = names(&waiting);
    Some(match awaited {
        Some(region) => format!("the template is taken by {by}; waits for {region} to be Ready: {left}"),
        None => format!("the template is taken by {by}; {next} takes it next: {left}"),
    })
}
