//! What is told of the hand on the wheel: which regions are drained and who says so, and each change of the view with why a
//! region is not in it.

use k8s_openapi::api::core::v1::{ConfigMap, ObjectReference};
use kube::runtime::events::EventType;
use kube::{Resource as _, ResourceExt};
use operator_api::conditions::{Decided, reasons, types};
use operator_api::{RegionCluster, RegionClusterStatus, labels};
use operator_core::regions::RegionId;
use operator_core::regions::orders::Orders;
use operator_core::regions::view::{Ballot, View};
use std::collections::BTreeSet;
use tracing::info;

use super::context::Context;
use crate::links::Look;
use crate::links::to_api;

/// Bytes that the note of an Event may have; those of regions in ASCII.
const NOTE_LEN_MAX: usize = 1024;

/// Condition Drained, with who says so; none if nobody does.
pub(super) fn decide_drained(orders: &Orders, region: RegionId) -> Option<Decided> {
    let votes = orders.votes(region)?;
    let is_drained = orders.drained.contains(&region);
    let (reason, follows) = if !is_drained {
        (reasons::NO_MAJORITY, "no majority, and nothing follows")
    } else if orders.drained.len() == orders.registered {
        (
            reasons::MAJORITY,
            "nobody is placed there; as every region is drained, no server moves: return one of them",
        )
    } else {
        (reasons::MAJORITY, "nobody is placed there, and the others share out what it has")
    };
    Some(Decided::new(types::DRAINED, is_drained, reason, format!("{votes}: {follows}")))
}

/// An Event of condition Drained if it came, changed or went.
pub(super) async fn tell_drained(
    context: &Context,
    region: &RegionCluster,
    (old, new): (&RegionClusterStatus, &RegionClusterStatus),
) {
    let drained = |status: &RegionClusterStatus| {
        let found = status.conditions.iter().find(|condition| condition.type_ == types::DRAINED);
        found.map(|found| (found.status == "True", found.message.clone()))
    };
    let (before, after) = (drained(old), drained(new));
    let is = |said: &Option<(bool, String)>| said.as_ref().map(|(is, _)| *is);
    if is(&before) == is(&after) {
        return;
    }
    let (type_, reason, what) = match (is(&before), is(&after)) {
        (_, Some(true)) => (EventType::Warning, "Drained", "is drained"),
        (Some(true), _) => (EventType::Normal, "Returned", "is drained no more"),
        (_, Some(false)) => (EventType::Normal, "DrainOrdered", "is not drained yet"),
        (_, None) => (EventType::Normal, "DrainTakenBack", "is not to be drained"),
    };
    let why = after.map_or_else(|| "nobody says so".to_owned(), |(_, message)| message);
    let note = cut(format!("{} {what}: {why}", region.spec.region_id));
    info!(region = region.spec.region_id, note, "an order of people");
    let object = region.object_ref(&());
    // No two changes are of one version.
    let changed = ObjectReference { resource_version: region.resource_version(), ..object.clone() };
    context.event_of_change(&object, changed, (type_, reason, note)).await;
}

/// An Event on this region's own RegionCluster: another view counts. `version` is that of the ConfigMap with the vote before.
pub(super) async fn tell_view(
    context: &Context,
    look: &Look,
    ballot: &Ballot,
    before: &View,
    version: Option<String>,
) {
    let after = &ballot.agreed;
    let note = cut(describe(context, look, ballot, before));
    info!(note, "goes by another view");
    let Some(own) = context.links.own() else { return };
    let type_ = if before.regions.is_subset(&after.regions) { EventType::Normal } else { EventType::Warning };
    let changed = ObjectReference {
        resource_version: version,
        name: Some(labels::BALLOT.to_owned()),
        namespace: Some(context.namespace.clone()),
        kind: Some(ConfigMap::kind(&()).into_owned()),
        api_version: Some(ConfigMap::api_version(&()).into_owned()),
        ..ObjectReference::default()
    };
    context.event_of_change(&own.object_ref(&()), changed, (type_, "ViewChanged", note)).await;
}

/// `view 7 of jp, kr instead of 6 of jp, kr, sg: proposed by jp, kr; sg is missing: Gone for 0 s (jp Silent, kr Silent),
/// failover Automatic`.
fn describe(context: &Context, look: &Look, ballot: &Ballot, before: &View) -> String {
    let (after, me) = (&ballot.agreed, context.links.me);
    let views = look.views();
    let mut proposers: BTreeSet<RegionId> =
        views.into_iter().filter(|(_, view)| view == after).map(|(region, _)| region).collect();
    if ballot.proposed == *after {
        proposers.insert(me);
    }
    let first = format!(
        "view {} of {} instead of {} of {}: proposed by {}",
        after.number,
        names(&after.regions),
        before.number,
        if before.regions.is_empty() { "nobody".to_owned() } else { names(&before.regions) },
        names(&proposers)
    );
    let now = context.links.table.awake(context.clock.elapsed());
    let missing = look.judgements.iter().filter(|(region, _)| !after.regions.contains(region));
    let missing = missing.map(|(&region, judgement)| {
        let standing = to_api(judgement.standing, region == me).as_str();
        let since = ballot.lost_for(now, region);
        let since = since.map(|since| format!(" for {} s", since.as_secs())).unwrap_or_default();
        let votes = judgement.votes.to_string();
        let votes = if votes.is_empty() { "nobody votes".to_owned() } else { votes };
        let (mode, drain) = (look.orders.mode(region), look.orders.votes(region));
        let drain = drain.map(|drain| format!(", to be left: {drain}")).unwrap_or_default();
        format!("{region} is missing: {standing}{since} ({votes}), failover {mode:?}{drain}")
    });
    let gone = before.regions.iter().filter(|region| !look.judgements.contains_key(region));
    let gone = gone.map(|region| format!("{region} is missing: not registered any more"));
    [first].into_iter().chain(missing).chain(gone).collect::<Vec<_>>().join("; ")
}

fn names(regions: &BTreeSet<RegionId>) -> String {
    regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The API server refuses longer ones.
pub(super) fn cut(mut note: String) -> String {
    while note.len() > NOTE_LEN_MAX {
        note.pop();
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;
    use operator_core::regions::orders::Said;

    #[test]
    fn who_says_that_a_region_shall_be_left_is_told_with_what_follows() {
        let region = |name: &str| name.parse::<RegionId>().unwrap();
        let registered = ["jp", "kr", "sg"].map(region).into();
        let decided = |said: &[(&str, &[&str])]| {
            let said = said.iter().map(|(voter, drains)| {
                let drains = drains.iter().map(|of| region(of)).collect();
                (region(voter), Said { drains, ..Said::default() })
            });
            let decided = decide_drained(&Orders::count(&registered, &said.collect()), region("kr"))?;
            Some((decided.status, decided.reason, decided.message))
        };
        assert_eq!(decided(&[("jp", &["sg"])]), None);
        let words = "jp says so; 1 of 3: no majority, and nothing follows";
        assert_eq!(decided(&[("jp", &["kr"])]), Some((false, "NoMajority", words.to_owned())));
        let words = "jp, sg say so; 2 of 3: nobody is placed there, and the others share out what it has";
        assert_eq!(decided(&[("jp", &["kr"]), ("sg", &["kr"])]), Some((true, "Majority", words.to_owned())));
        let all: &[&str] = &["jp", "kr", "sg"];
        let (drained, _, words) = decided(&[("jp", all), ("sg", all)]).unwrap();
        assert!(
            drained && words.ends_with("as every region is drained, no server moves: return one of them")
        );
    }

    #[test]
    fn a_note_is_no_longer_than_an_event_takes() {
        assert_eq!(cut("x".repeat(2000)).len(), NOTE_LEN_MAX);
        assert_eq!(cut("short".to_owned()), "short");
    }
}
