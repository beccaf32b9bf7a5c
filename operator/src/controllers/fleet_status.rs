//! What is said of a Fleet: its counts and figures, and how it stands.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use operator_api::conditions::{Decided, merge_conditions, reasons, stand_alike, types};
use operator_api::{Fleet, FleetStatus, labels};
use operator_core::fleet_plan::FleetPlan;
use operator_core::server_state::State;
use operator_core::trial::Phase;
use std::time::Duration;

use super::context::Context;
use super::figures;
use super::fleet::{Error, Member};
use super::fleet_rollout::{Stand, announce, describe};
use super::game_server::STALLING;
use super::pace::{News, Turn};

/// Writes how it stands if that has changed; answers when to look again if it is too soon for that.
pub(super) async fn publish(
    context: &Context,
    fleet: &Fleet,
    members: &[Member],
    (plan, stand): (&FleetPlan, &Stand),
    failure: Option<(&'static str, String)>,
) -> Result<Option<Duration>, Error> {
    let old = fleet.status.clone().unwrap_or_default();
    let mut new = compute_status(context, fleet, members, (plan, stand), &old);
    if let Some(failure) = failure {
        let rolled_out = new.conditions.into_iter().find(is_rolled_out);
        new.conditions = failed(context, fleet, failure).into_iter().chain(rolled_out).collect();
    }
    write(context, fleet, &old, &new).await
}

/// Says that nothing could be done, and leaves the counts as they were.
pub(super) async fn tell_failure(
    context: &Context,
    fleet: &Fleet,
    failure: (&'static str, String),
) -> Result<(), Error> {
    let old = fleet.status.clone().unwrap_or_default();
    let rolled_out = old.conditions.iter().find(|condition| is_rolled_out(condition)).cloned();
    let conditions = failed(context, fleet, failure).into_iter().chain(rolled_out).collect();
    let new = FleetStatus { conditions, observed_generation: fleet.metadata.generation, ..old.clone() };
    write(context, fleet, &old, &new).await.map(drop)
}

fn is_rolled_out(condition: &Condition) -> bool {
    condition.type_ == types::ROLLED_OUT
}

fn failed(context: &Context, fleet: &Fleet, (reason, failure): (&'static str, String)) -> Vec<Condition> {
    let old = fleet.status.as_ref().map_or(&[][..], |status| &status.conditions);
    merge_conditions(&context.clock.wall(), fleet.metadata.generation, old, decide_failed(reason, failure))
}

async fn write(
    context: &Context,
    fleet: &Fleet,
    old: &FleetStatus,
    new: &FleetStatus,
) -> Result<Option<Duration>, Error> {
    if new == old {
        return Ok(None);
    }
    let uid = fleet.uid().unwrap_or_default();
    if let Turn::Later(wait) = context.pace.ask(context.clock.elapsed(), &uid, news(old, new)) {
        return Ok(Some(wait));
    }
    match context.apply_status(fleet, new).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => return Ok(None),
        written => written.map_err(Error::Status)?,
    }
    announce(context, fleet, old, new).await;
    Ok(None)
}

/// What changed, by what matters most.
pub(super) fn news(old: &FleetStatus, new: &FleetStatus) -> News {
    let counts = |status: &FleetStatus| {
        let shares =
            status.regions.iter().map(|region| (region.region_id.clone(), region.share, region.ready));
        let FleetStatus {
            replicas,
            ready_replicas,
            in_use_replicas,
            draining_replicas,
            updated_replicas,
            ..
        } = *status;
        let of_servers = (replicas, ready_replicas, in_use_replicas, draining_replicas, updated_replicas);
        (of_servers, shares.collect::<Vec<_>>())
    };
    if !stand_alike(&old.conditions, &new.conditions)
        || (&old.selector, &old.revision) != (&new.selector, &new.revision)
    {
        News::Transition
    } else if counts(old) != counts(new) {
        News::Count
    } else {
        News::Figure
    }
}

fn compute_status(
    context: &Context,
    fleet: &Fleet,
    members: &[Member],
    (plan, stand): (&FleetPlan, &Stand),
    old: &FleetStatus,
) -> FleetStatus {
    let alive = || members.iter().filter(|member| !member.is_ending());
    let count = |wanted: &dyn Fn(&Member) -> bool| {
        i32::try_from(alive().filter(|member| wanted(member)).count()).unwrap_or(i32::MAX)
    };
    let ready = count(&|member| member.observed.state == State::Ready);
    let mut tick_us = gameserver_contract::Histogram::default();
    for live in alive().filter_map(|member| member.observed.live.as_ref()) {
        tick_us.merge(&live.tick_us);
    }
    let capacity = i64::from(ready) * i64::from(fleet.spec.template.spec.capacity);
    let (generation, revision) = (fleet.metadata.generation, &stand.revisions.wanted.id);
    FleetStatus {
        replicas: count(&|_| true),
        ready_replicas: ready,
        in_use_replicas: count(&|member| member.observed.in_use()),
        draining_replicas: count(&|member| member.observed.state == State::Draining),
        updated_replicas: count(&|member| member.is_of(revision)),
        players: alive().map(|member| i64::from(member.observed.players())).sum(),
        capacity,
        tick_p99: tick_us
            .quantile(gameserver_contract::TICK_QUANTILE)
            .map(|us| figures::latency(old.tick_p99.as_deref(), us, figures::PERCENTILE)),
        regions: Vec::new(),
        selector: Some(labels::fleet_selector(&fleet.name_any())),
        revision: Some(revision.clone()),
        observed_generation: generation,
        conditions: merge_conditions(
            &context.clock.wall(),
            generation,
            &old.conditions,
            decide_conditions(fleet, members, (plan, stand), ready),
        ),
    }
}

fn decide_conditions(
    fleet: &Fleet,
    members: &[Member],
    (plan, stand): (&FleetPlan, &Stand),
    ready: i32,
) -> Vec<Decided> {
    let desired = fleet.spec.replicas.unwrap_or(0);
    let phase = stand.course.phase;
    let (of_rollout, rolled) = describe(fleet, stand, members);
    let is_rejected = matches!(phase, Phase::RolledBack | Phase::GateFailed);
    let is_rolling = !is_rejected && !matches!(phase, Phase::Done | Phase::OnDelete);
    let stuck = members.iter().find_map(|member| Some((member, stuck(member)?)));
    // a new template that does not come up holds a rollout up, whoever else is ready
    let stuck = stuck.filter(|_| !is_rejected && (ready < desired || is_rolling));
    let surplus = members.len() > usize::try_from(desired).unwrap_or(0);
    let count = format!("{ready} of {desired} game servers are ready");
    let (reason, message) = match stuck {
        Some((member, (reason, message))) => (reason, format!("{}: {message}", member.object.name_any())),
        _ if is_rejected => (of_rollout, rolled.clone()),
        _ if is_rolling => (of_rollout, format!("{count}; {rolled}")),
        _ if ready < desired => (reasons::CREATING, count),
        _ if plan.waiting > 0 => (
            reasons::WAITING_FOR_PLAYERS,
            format!("{} game servers go when their players left", plan.waiting),
        ),
        _ if surplus => (reasons::DRAINING, "game servers that are no longer wanted are drained".to_owned()),
        _ => (reasons::AS_SPECIFIED, count),
    };
    let mut conditions = vec![Decided::new(types::READY, ready >= desired, reason, message.clone())];
    if stuck.is_some() || is_rejected {
        conditions.push(Decided::new(types::STALLED, true, reason, message));
    } else if reason != reasons::AS_SPECIFIED {
        conditions.push(Decided::new(types::RECONCILING, true, reason, message));
    }
    conditions.push(Decided::new(types::ROLLED_OUT, phase == Phase::Done, of_rollout, rolled));
    conditions
}

/// Why a server does not come up unless somebody does something: seen now, or by its own controller when it last tried.
fn stuck(member: &Member) -> Option<(&'static str, &str)> {
    let Member { object, observed, .. } = member;
    if STALLING.contains(&observed.reason) {
        return Some((observed.reason, &observed.message));
    }
    let mut conditions = object.status.iter().flat_map(|status| &status.conditions);
    conditions.find_map(|condition| {
        let reason = STALLING.into_iter().find(|reason| observed.needs_pod && condition.reason == *reason)?;
        Some((reason, condition.message.as_str()))
    })
}

/// What must be done cannot be done, for this reason.
pub(super) fn decide_failed(reason: &'static str, failure: String) -> Vec<Decided> {
    vec![
        Decided::new(types::READY, false, reason, failure.clone()),
        Decided::new(types::STALLED, true, reason, failure),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_where_a_fleet_stands_is_written_at_once() {
        let decided = |ready: i32| {
            let message = format!("{ready} of 20 game servers are ready");
            let reason = if ready == 20 { reasons::AS_SPECIFIED } else { reasons::CREATING };
            vec![Decided::new(types::READY, ready == 20, reason, message)]
        };
        let now =
            k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(k8s_openapi::jiff::Timestamp::UNIX_EPOCH);
        let status = |ready: i32, players: i64| FleetStatus {
            ready_replicas: ready,
            players,
            conditions: merge_conditions(&now, Some(1), &[], decided(ready)),
            ..FleetStatus::default()
        };
        assert_eq!(
            news(&status(3, 0), &status(4, 0)),
            News::Count,
            "a message with another number is a count"
        );
        assert_eq!(news(&status(19, 0), &status(20, 0)), News::Transition);
        assert_eq!(news(&status(20, 1), &status(20, 2)), News::Figure);
    }
}
