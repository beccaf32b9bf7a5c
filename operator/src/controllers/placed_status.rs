//! What a placed Fleet says of itself, as it is known in this region.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use operator_api::conditions::{Decided, merge_conditions, reasons, types};
use operator_api::{Fleet, FleetStatus, RegionShare, labels};
use operator_core::regions::RegionId;
use operator_core::regions::membership::{Judgement, Standing};
use operator_core::regions::shares::{BoundsConflict, Held, MAXIMA_SINCE, Targets};
use std::collections::{BTreeMap, BTreeSet};

use super::context::Context;
use super::figures;
use super::fleet_status::{decide_failed, news};
use super::pace::Turn;
use super::placed_fleets::{Course, Error};
use super::placed_rollout;
use crate::links::Look;
use crate::links::facts::{FLEETS_MAX, fits, generation_of, key_of};
use crate::links::home::{Home, of_fleet};
use crate::links::scalers::ScalerRecord;
use crate::runtime::telemetry::chain;

/// Writes the status if it is another one, at its pace.
pub(super) async fn publish(
    context: &Context,
    fleet: &Fleet,
    look: &Look,
    course: &Course,
    outcome: Result<(), Error>,
) -> kube::Result<()> {
    let (old, now) = (fleet.status.clone().unwrap_or_default(), context.clock.wall());
    let seen = Seen::of(context, fleet, look);
    let new = if of_fleet(fleet, context.links.me) == Some(Home::Elsewhere) {
        let decided = decide_not_home(fleet, &seen.registered);
        with_conditions(&now, fleet, &old, FleetStatus::default(), decided)
    } else {
        let generation = generation_of(fleet, context.links.me);
        let decided = decide_conditions((fleet, generation), &seen, course, outcome);
        with_conditions(&now, fleet, &old, figures_of((fleet, generation), &seen, &old), decided)
    };
    let uid = fleet.uid().unwrap_or_default();
    if new == old || context.pace.ask(context.clock.elapsed(), &uid, news(&old, &new)) != Turn::Now {
        return Ok(());
    }
    match context.apply_status(fleet, &new).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        written => written,
    }
}

fn with_conditions(
    now: &Time,
    fleet: &Fleet,
    old: &FleetStatus,
    new: FleetStatus,
    decided: Vec<Decided>,
) -> FleetStatus {
    let generation = fleet.metadata.generation;
    let conditions = merge_conditions(now, generation, &old.conditions, decided);
    FleetStatus { observed_generation: generation, conditions, ..new }
}

/// What each region has of the Fleet, of the others as they last said.
pub(super) fn held_everywhere(context: &Context, fleet: &Fleet, look: &Look) -> BTreeMap<RegionId, Held> {
    let key = key_of(fleet);
    let told = look.known.iter().filter_map(|(&region, known)| {
        let (digest, _) = known.last.as_ref()?;
        Some((region, digest.holdings.fleets.get(&key).copied().unwrap_or_default()))
    });
    told.chain([(context.links.me, context.links.held_of(fleet))]).collect()
}

/// What is known of the regions where a Fleet is looked at.
struct Seen {
    held: BTreeMap<RegionId, Held>,
    /// Nothing is heard of them now.
    lost: BTreeSet<RegionId>,
    /// They are heard, and have no copy of it.
    without_copy: BTreeSet<RegionId>,
    /// This region and those that it knows.
    registered: BTreeSet<RegionId>,
}

impl Seen {
    fn of(context: &Context, fleet: &Fleet, look: &Look) -> Self {
        let key = key_of(fleet);
        let is_lost =
            |judgement: &Judgement| matches!(judgement.standing, Standing::Unreachable | Standing::Gone);
        let lost = look.judgements.iter().filter(|(_, judgement)| is_lost(judgement));
        let without_copy = look.known.iter().filter(|(_, known)| {
            known.digest().is_some_and(|digest| !digest.holdings.fleets.contains_key(&key))
        });
        Self {
            held: held_everywhere(context, fleet, look),
            lost: lost.map(|(&region, _)| region).collect(),
            without_copy: without_copy.map(|(&region, _)| region).collect(),
            registered: look.known.keys().copied().chain([context.links.me]).collect(),
        }
    }
}

/// Sums leave out what is lost: what it had when it was last heard counts for no player now. What was made from the template as it is
/// now is counted where a region says that it has that one.
fn figures_of((fleet, generation): (&Fleet, u64), seen: &Seen, old: &FleetStatus) -> FleetStatus {
    let Seen { held, lost, .. } = seen;
    let number = |count: u32| i32::try_from(count).unwrap_or(i32::MAX);
    let region = |(region, held): (&RegionId, &Held)| {
        let told = old.regions.iter().find(|told| told.region_id == region.as_str());
        RegionShare {
            region_id: region.to_string(),
            share: number(held.asked()),
            ready: number(held.ready),
            players: figures::number(told.map(|told| told.players), held.players.into(), figures::MEAN),
            lost: lost.contains(region),
        }
    };
    let regions: Vec<RegionShare> = held.iter().map(region).collect();
    let counted = || regions.iter().filter(|region| !region.lost);
    // However many a peer says that it has.
    let sum = |counts: &mut dyn Iterator<Item = i32>| counts.fold(0, i32::saturating_add);
    let ready = sum(&mut counted().map(|region| region.ready));
    let has_template =
        |(region, held): &(&RegionId, &Held)| !lost.contains(region) && held.generation >= generation;
    FleetStatus {
        replicas: sum(&mut counted().map(|region| region.share)),
        ready_replicas: ready,
        updated_replicas: sum(&mut held.iter().filter(has_template).map(|(_, held)| number(held.updated))),
        players: counted().map(|region| region.players).sum(),
        capacity: i64::from(ready) * i64::from(fleet.spec.template.spec.capacity),
        regions,
        ..FleetStatus::default()
    }
}

fn list<T: ToString>(regions: impl IntoIterator<Item = T>) -> String {
    regions.into_iter().map(|region| region.to_string()).collect::<Vec<_>>().join(", ")
}

fn decide_not_home(fleet: &Fleet, registered: &BTreeSet<RegionId>) -> Vec<Decided> {
    let home = fleet.spec.home.as_deref().unwrap_or_default();
    let stranger = if registered.iter().any(|region| region.as_str() == home) {
        String::new()
    } else {
        format!(", which is none of those that are registered here ({})", list(registered))
    };
    let message = format!(
        "its home is region {home}{stranger}, and nothing follows from it here; delete it, and a copy of that region's own takes its \
         place once the regions have joined"
    );
    vec![
        Decided::new(types::READY, false, reasons::OTHER_REGION, message.clone()),
        Decided::new(types::NOT_HOME, true, reasons::OTHER_REGION, message),
    ]
}

/// That its placement names regions that nobody here knows.
fn decide_unknown(fleet: &Fleet, registered: &BTreeSet<RegionId>) -> Option<Decided> {
    let placement = fleet.spec.placement.as_ref()?;
    let named = placement.regions.iter().map(|region| &region.region_id).chain(&placement.canary);
    let is_known = |name: &str| registered.iter().any(|region| region.as_str() == name);
    let unknown: BTreeSet<&String> = named.filter(|name| !is_known(name)).collect();
    (!unknown.is_empty()).then(|| {
        let message = format!(
            "of those that placement names, these are not registered here ({}): {}; they get nothing and are no canary before they join",
            list(registered),
            list(unknown)
        );
        Decided::new(types::UNKNOWN_REGIONS, true, reasons::NOT_REGISTERED, message)
    })
}

fn decide_conditions(
    (fleet, generation): (&Fleet, u64),
    seen: &Seen,
    course: &Course,
    outcome: Result<(), Error>,
) -> Vec<Decided> {
    if let Some(decided) = decide_faulty(fleet, outcome) {
        return decided;
    }
    let key = key_of(fleet);
    let (targets, shares) = match find_shares(fleet, &key, course) {
        Ok(found) => found,
        Err(decided) => return decided,
    };
    let is_there = |(region, target): (&RegionId, &u32)| {
        seen.held.get(region).is_some_and(|held| held.share == *target && held.ready >= *target)
    };
    let words = describe_parts(fleet, seen, shares, targets.maxima.get(&key));
    let rollout = course.rollouts.get(&key).and_then(|rollout| placed_rollout::describe(rollout, generation));
    let conflicts: Vec<String> =
        targets.conflicts.iter().filter_map(|conflict| describe(conflict, &key)).collect();
    let unknown = decide_unknown(fleet, &seen.registered);
    let mut decided = if let Some(rollout) = rollout {
        reconciling(reasons::ROLLING_OUT, format!("{rollout}; {words}"))
    } else if shares.iter().all(is_there) {
        // All that the bounds allow is there; that is not what it asks for.
        let reason = match (&unknown, conflicts.is_empty()) {
            (Some(_), _) => reasons::NOT_REGISTERED,
            (None, false) => reasons::BOUNDS_CONFLICT,
            (None, true) => reasons::AS_SPECIFIED,
        };
        vec![Decided::new(types::READY, true, reason, words)]
    } else {
        reconciling(reasons::SHARING_OUT, words)
    };
    if !conflicts.is_empty() {
        let words = conflicts.join("; ");
        decided.push(Decided::new(types::BOUNDS_CONFLICT, true, reasons::BOUNDS_CONFLICT, words));
    }
    decided.extend(unknown);
    decided
}

fn reconciling(reason: &'static str, words: impl Into<String>) -> Vec<Decided> {
    let words = words.into();
    vec![
        Decided::new(types::READY, false, reason, words.clone()),
        Decided::new(types::RECONCILING, true, reason, words),
    ]
}

/// What somebody must mend, in the Fleet or beside it.
fn decide_faulty(fleet: &Fleet, outcome: Result<(), Error>) -> Option<Vec<Decided>> {
    if let Err(error) = outcome {
        let words = chain(&error);
        return Some(match error {
            Error::Apply(..) | Error::TooSlow => decide_failed(reasons::CREATE_FAILED, words),
            Error::NameTaken(_) | Error::ScalerNameTaken(_) => {
                let taken = Decided::new(types::NAME_TAKEN, true, reasons::NAME_TAKEN, words.clone());
                [decide_failed(reasons::NAME_TAKEN, words), vec![taken]].concat()
            }
        });
    }
    if fleet.spec.replicas.is_none() && ScalerRecord::on(fleet).spec.is_none() {
        let words = "what is there stays: it does not say how many game servers it wants; set replicas";
        return Some(decide_failed(reasons::REPLICAS_MISSING, words.to_owned()));
    }
    let words = "its spec is too long for other regions to be told of it; make its template shorter";
    (!fits(fleet)).then(|| decide_failed(reasons::CREATE_FAILED, words.to_owned()))
}

/// What every region is to have, or why nothing moves.
fn find_shares<'a>(
    fleet: &Fleet,
    key: &str,
    course: &'a Course,
) -> Result<(&'a Targets, &'a BTreeMap<RegionId, u32>), Vec<Decided>> {
    if let Some(halt) = course.halt.as_ref().filter(|_| !fleet.labels().contains_key(labels::HOME)) {
        let name = key.split_once('/').map_or(key, |(_, name)| name);
        let words = halt.fleets.get(name).unwrap_or(&halt.words);
        let halted = Decided::new(types::NOT_PUBLISHED, true, halt.reason, words.clone());
        return Err([reconciling(halt.reason, words.clone()), vec![halted]].concat());
    }
    let holding = |words: &str| Err(reconciling(reasons::HOLDING, words));
    let Some(targets) = &course.targets else {
        return holding(
            "its share stays as it is: this region does not take part, or has not heard all that shares follow from",
        );
    };
    if course.holds {
        return holding("its share stays as it is: failover of this region's RegionCluster is Hold");
    }
    if ScalerRecord::on(fleet).spec.is_some() && course.basis.function < MAXIMA_SINCE {
        return holding(
            "its shares stay as they are: a region that counts has an operator that knows no AutoScalers of placed Fleets; \
             upgrade that",
        );
    }
    if course.surplus.contains(key) {
        let words = format!(
            "its share stays as it is: all regions together have more than the {FLEETS_MAX} placed Fleets that are shared out, and by \
             home, namespace and name it comes behind those; delete some, or place fewer"
        );
        return Err(decide_failed(reasons::TOO_MANY, words));
    }
    match (targets.shares.get(key), fleet.labels().get(labels::HOME)) {
        (Some(shares), _) => Ok((targets, shares)),
        (None, Some(home)) => holding(&format!(
            "its share stays as it is: its home, region {home}, has left; delete it here, or have that region join again"
        )),
        (None, None) => Err(reconciling(reasons::SHARING_OUT, "it is being made known to the regions")),
    }
}

/// What each region has Ready, beside what it is to have, or of a Fleet with an AutoScaler, may have.
fn describe_parts(
    fleet: &Fleet,
    seen: &Seen,
    shares: &BTreeMap<RegionId, u32>,
    maxima: Option<&BTreeMap<RegionId, u32>>,
) -> String {
    let part = |(region, target): (&RegionId, &u32)| {
        let ready = seen.held.get(region).map_or(0, |held| held.ready);
        let copy = if seen.without_copy.contains(region) { " (no copy there)" } else { "" };
        match maxima.and_then(|maxima| maxima.get(region)) {
            Some(max) => format!("{region} {ready} within {target}..{max}{copy}"),
            None if ready == *target => format!("{region} {ready}"),
            None => format!("{region} {ready} of {target}{copy}"),
        }
    };
    let parts = format!("ready game servers: {}", list(shares.iter().map(part)));
    let missing = shares.keys().find(|region| seen.without_copy.contains(region));
    let missing = missing.map(|region| {
        let home = fleet.spec.home.as_deref().unwrap_or_default();
        format!("why {region} has no copy is an Event on RegionCluster {home} there")
    });
    let is_lost = |(region, held): &(&RegionId, &Held)| seen.lost.contains(region) && held.asked() > 0;
    let lost: Vec<_> = seen.held.iter().filter(is_lost).map(|(region, _)| region).collect();
    let lost =
        (!lost.is_empty()).then(|| format!("what {} had when it was last heard is left out", list(lost)));
    let ignored = fleet.spec.replicas.filter(|_| maxima.is_some());
    let ignored = ignored.map(|replicas| {
        format!("replicas {replicas} is ignored, because an AutoScaler sets how many there are")
    });
    [Some(parts), missing, lost, ignored].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

/// The figures of a conflict, if it is this Fleet's.
fn describe(conflict: &BoundsConflict, key: &str) -> Option<String> {
    match conflict {
        BoundsConflict::FleetMin { fleet, region, min, share } if fleet == key => {
            Some(format!("{region} has room for {share} of the {min} that are asked for at least"))
        }
        BoundsConflict::Replicas { fleet, replicas, total } if fleet == key => {
            Some(format!("{replicas} game servers are asked for, and the bounds make it {total}"))
        }
        BoundsConflict::Max { fleet, max, total } if fleet == key => {
            Some(format!("at most {max} game servers are asked for, and the bounds make it {total}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn servers_of_the_template_as_it_is_are_counted_where_it_is_taken_and_nothing_of_who_is_lost() {
        let fleet: Fleet = serde_json::from_value(json!({
            "metadata": { "name": "arena" }, "spec": { "home": "kr", "placement": {}, "template": { "spec": { "capacity": 10 } } },
        }))
        .unwrap();
        let updated = |held: &[(&str, u32, u64)], lost: &[&str]| {
            let held = held.iter().map(|&(region, updated, generation)| {
                let held = Held { share: 3, ready: 3, updated, generation, ..Held::default() };
                (region.parse().unwrap(), held)
            });
            let seen = Seen {
                held: held.collect(),
                lost: lost.iter().map(|region| region.parse().unwrap()).collect(),
                without_copy: BTreeSet::new(),
                registered: BTreeSet::new(),
            };
            let figures = figures_of((&fleet, 2), &seen, &FleetStatus::default());
            assert_eq!(figures.ready_replicas, 3 * i32::try_from(3 - lost.len()).unwrap());
            figures.updated_replicas
        };
        for (case, held, lost, expected) in [
            ("all have it", [("jp", 3, 2), ("kr", 2, 2), ("sg", 1, 2)], &[][..], 6),
            ("one has the template before it", [("jp", 3, 2), ("kr", 2, 2), ("sg", 3, 1)], &[], 5),
            ("one has a later one", [("jp", 3, 2), ("kr", 2, 2), ("sg", 1, 3)], &[], 6),
            ("an older operator does not say", [("jp", 3, 2), ("kr", 2, 2), ("sg", 0, 2)], &[], 5),
            ("one is lost", [("jp", 3, 2), ("kr", 2, 2), ("sg", 1, 2)], &["jp"], 3),
            ("beyond belief", [("jp", u32::MAX, 2), ("kr", u32::MAX, 2), ("sg", 1, 2)], &[], i32::MAX),
        ] {
            assert_eq!(updated(&held, lost), expected, "{case}");
        }
    }
}
