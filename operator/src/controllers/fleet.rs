//! Fleet: as many game servers as it asks for.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use operator_api::conditions::{Decided, merge_conditions, reasons, stand_alike, types};
use operator_api::{Fleet, FleetStatus, GameServer, GameServerStatus, StrategyType, labels};
use operator_core::fleet_plan::{FleetPlan, FleetView, Rollout, ServerView, plan_fleet};
use operator_core::server_state::State;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument, debug, info};

use super::StepError;
use super::context::Context;
use super::figures;
use super::game_server::STALLING;
use super::observe::{Observed, observe_server};
use super::pace::{News, Turn};
use crate::about::about;
use crate::reports::keys::{KeyError, SecretOf};
use crate::runtime::telemetry::chain;

/// How long a fresh leader waits for servers to be heard before it deletes any (rules 13).
const SETTLE_IN: Duration = Duration::from_secs(30);

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to make the fleet's secret")]
    Secret(#[source] KeyError),
    #[error("failed to create game server {0}")]
    Create(String, #[source] kube::Error),
    #[error(
        "a GameServer {0} is there that this Fleet does not own; delete it, or give one of the two another name"
    )]
    NameTaken(String),
    #[error("failed to look at game server {0}")]
    Look(String, #[source] kube::Error),
    #[error("failed to delete game server {0}")]
    Delete(String, #[source] kube::Error),
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

impl StepError for Error {
    fn step(&self) -> &'static str {
        match self {
            Self::Secret(_) => "secret",
            Self::Create(..) => "create",
            Self::NameTaken(_) => "name_taken",
            Self::Look(..) => "look",
            Self::Delete(..) => "delete",
            Self::Status(_) => "status",
        }
    }
}

impl Error {
    /// Reason in the Fleet's conditions.
    const fn reason(&self) -> &'static str {
        match self {
            Self::NameTaken(_) | Self::Secret(KeyError::Foreign(_)) => reasons::NAME_TAKEN,
            Self::Delete(..) => reasons::DELETE_FAILED,
            Self::Secret(_) | Self::Create(..) | Self::Look(..) | Self::Status(_) => reasons::CREATE_FAILED,
        }
    }
}

/// A game server of the Fleet with what is known of it.
struct Member {
    object: Arc<GameServer>,
    number: u32,
    observed: Observed,
}

/// observe -> plan -> apply -> status. A placed Fleet has shares and no servers: it is `placed_fleets`'.
pub(crate) async fn reconcile(fleet: Arc<Fleet>, context: Arc<Context>) -> Result<Action, Error> {
    if fleet.metadata.deletion_timestamp.is_some() || fleet.spec.placement.is_some() {
        return Ok(Action::await_change());
    }
    // observe (no client required)
    let members = observe_members(&context, &fleet);
    let names_taken = names_taken_by_pods(&context, &fleet);
    let settled_in = settled_in(&context, &members);
    // plan (no client required)
    let revision = revision(&fleet);
    let servers: Vec<ServerView> = members.iter().map(|member| view(member, &revision)).collect();
    let desired = u32::try_from(fleet.spec.replicas.unwrap_or(0)).unwrap_or(0);
    let rollout = rollout(&fleet, desired);
    let plan =
        plan_fleet(&FleetView { desired, servers: &servers, names_taken: &names_taken, settled_in, rollout });
    // apply (client required)
    let applied = apply(&context, &fleet, &members, &plan).await;
    // status (client required)
    let failure = applied.as_ref().err().map(|error| (error.reason(), chain(error)));
    let published = publish(&context, &fleet, &members, &plan, failure).await;
    // What could not be done is the cause of whatever else went wrong.
    applied?;
    let wait = published?;
    if plan.partial {
        return Ok(Action::requeue(Duration::ZERO));
    }
    let settling =
        (!settled_in).then(|| SETTLE_IN.saturating_sub(context.led_for()) + Duration::from_secs(1));
    Ok([wait, settling].into_iter().flatten().min().map_or_else(Action::await_change, Action::requeue))
}

fn observe_members(context: &Context, fleet: &Fleet) -> Vec<Member> {
    let uid = fleet.uid().unwrap_or_default();
    let ours = |server: &GameServer| {
        server.namespace() == fleet.namespace()
            && server.owner_references().iter().any(|owner| owner.uid == uid)
    };
    let mut members: Vec<Member> = context
        .stores
        .game_servers
        .store()
        .state()
        .into_iter()
        .filter(|server| ours(server))
        .filter_map(|object| {
            let number = number_in(&object.name_any(), &fleet.name_any())?;
            let observed = observe_server(context, &object);
            Some(Member { object, number, observed })
        })
        .collect();
    members.sort_by_key(|member| member.number);
    members
}

/// Numbers whose names a pod still bears after its GameServer went.
fn names_taken_by_pods(context: &Context, fleet: &Fleet) -> BTreeSet<u32> {
    let pods = context.stores.pods.store().state();
    let named = pods.iter().filter(|pod| pod.namespace() == fleet.namespace());
    named.filter_map(|pod| number_in(&pod.name_any(), &fleet.name_any())).collect()
}

fn game_server_name(fleet: &str, number: u32) -> String {
    format!("{fleet}-{number}")
}

fn number_in(name: &str, fleet: &str) -> Option<u32> {
    let number = name.strip_prefix(fleet)?.strip_prefix('-')?.parse().ok()?;
    (game_server_name(fleet, number) == name).then_some(number)
}

fn settled_in(context: &Context, members: &[Member]) -> bool {
    let was_up =
        |member: &&Member| member.object.status.as_ref().is_some_and(GameServerStatus::was_published);
    context.led_for() >= SETTLE_IN || members.iter().filter(was_up).all(|member| member.observed.heard())
}

/// How a change of the template is carried out, in servers.
pub(super) fn rollout(fleet: &Fleet, desired: u32) -> Rollout {
    let Some(strategy) = &fleet.spec.strategy else { return Rollout::OnDelete };
    match strategy.type_ {
        StrategyType::OnDelete => Rollout::OnDelete,
        StrategyType::Recreate => Rollout::Recreate,
        StrategyType::RollingUpdate => {
            let percent = |text: &str| text.strip_suffix('%')?.parse::<u32>().ok();
            let part = |of: &IntOrString, rounds_up: u32| match of {
                IntOrString::Int(count) => u32::try_from(*count).unwrap_or(0),
                // at most 100 of 10 000
                IntOrString::String(text) => {
                    (desired * percent(text).unwrap_or(0).min(100) + rounds_up) / 100
                }
            };
            let surge = part(&strategy.rolling_update.max_surge, 99);
            let unavailable = part(&strategy.rolling_update.max_unavailable, 0);
            // percent of a few may be nothing, and something must move
            let unavailable = if surge == 0 { unavailable.max(1) } else { unavailable };
            Rollout::Rolling { surge, unavailable }
        }
    }
}

fn is_of(member: &Member, revision: &str) -> bool {
    member.object.labels().get(labels::REVISION).is_some_and(|of| of == revision)
}

fn view(member: &Member, revision: &str) -> ServerView {
    let observed = &member.observed;
    let live = observed.live.as_ref();
    ServerView {
        number: member.number,
        state: observed.state,
        in_use: observed.in_use(),
        heard: observed.heard(),
        deleting: member.object.metadata.deletion_timestamp.is_some(),
        drained: live.is_some_and(|live| live.drained),
        drain_ordered: live.is_some_and(|live| live.drain_ordered),
        updated: is_of(member, revision),
    }
}

async fn apply(context: &Context, fleet: &Fleet, members: &[Member], plan: &FleetPlan) -> Result<(), Error> {
    let FleetPlan { create, drain, undrain, delete, waiting: _, old: _, partial: _ } = plan;
    let namespace = fleet.namespace().unwrap_or_default();
    if !create.is_empty() {
        context.keys.ensure(&namespace, &SecretOf::fleet(fleet)).await.map_err(Error::Secret)?;
    }
    let member = |number: &u32| members.iter().find(|member| member.number == *number);
    let now_ms = context.clock.unix_ms();
    for member in undrain.iter().filter_map(member) {
        let order = context.live.order_undrain(&member.object.uid().unwrap_or_default(), now_ms);
        about(&*member.object).in_scope(|| info!(order, taken = order.is_some(), "takes the drain back"));
    }
    for member in drain.iter().filter_map(member) {
        let order = context.live.order_drain(&member.object.uid().unwrap_or_default(), now_ms);
        about(&*member.object).in_scope(|| info!(order, taken = order.is_some(), "orders a drain"));
    }
    let api: Api<GameServer> = Api::namespaced(context.client.clone(), &namespace);
    for member in delete.iter().filter_map(member) {
        let deleting = delete_server(&api, &member.object, member.observed.reason);
        deleting.instrument(about(&*member.object)).await?;
    }
    let mut taken = Ok(());
    for number in create {
        let server = build_game_server(fleet, *number);
        match create_server(&api, &server).instrument(about(&server)).await {
            // The others need not wait for whoever has this one's name.
            Err(error @ Error::NameTaken(_)) => taken = taken.and(Err(error)),
            created => created?,
        }
    }
    taken
}

async fn create_server(api: &Api<GameServer>, server: &GameServer) -> Result<(), Error> {
    match api.create(&PostParams::default(), server).await {
        // Under a deterministic name "already there" is the answer to a create whose first answer was lost, if it is ours.
        Err(kube::Error::Api(status)) if status.code == 409 => {
            let name = server.name_any();
            let found = api.get_opt(&name).await.map_err(|source| Error::Look(name.clone(), source))?;
            if found.is_none_or(|found| have_one_owner(&found, server)) {
                debug!("is there already");
                Ok(())
            } else {
                Err(Error::NameTaken(name))
            }
        }
        created => {
            let created = created.map_err(|source| Error::Create(server.name_any(), source))?;
            info!(uid = created.uid(), "created");
            Ok(())
        }
    }
}

fn have_one_owner(one: &GameServer, other: &GameServer) -> bool {
    let uid = |server: &GameServer| server.owner_references().first().map(|owner| owner.uid.clone());
    uid(one).is_some() && uid(one) == uid(other)
}

async fn delete_server(
    api: &Api<GameServer>,
    server: &GameServer,
    reason: &'static str,
) -> Result<(), Error> {
    let params = DeleteParams {
        preconditions: Some(Preconditions { uid: server.uid(), resource_version: None }),
        ..DeleteParams::background()
    };
    match api.delete(&server.name_any(), &params).await {
        // Gone, or another one of the same name: what was to be deleted is no more.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        deleted => {
            drop(deleted.map_err(|source| Error::Delete(server.name_any(), source))?);
            info!(reason, "deleted");
            Ok(())
        }
    }
}

/// The GameServer with this number.
fn build_game_server(fleet: &Fleet, number: u32) -> GameServer {
    let template = &fleet.spec.template;
    let mut all_labels = template.metadata.labels.clone();
    all_labels.insert(labels::FLEET.to_owned(), fleet.name_any());
    all_labels.insert(labels::REVISION.to_owned(), revision(fleet));
    all_labels.insert(labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_OPERATOR.to_owned());
    GameServer {
        metadata: ObjectMeta {
            name: Some(game_server_name(&fleet.name_any(), number)),
            namespace: fleet.namespace(),
            labels: Some(all_labels),
            annotations: Some(template.metadata.annotations.clone()).filter(|map| !map.is_empty()),
            owner_references: fleet.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec.clone(),
        status: None,
    }
}

/// Short hash of the template: equal templates have equal ones.
fn revision(fleet: &Fleet) -> String {
    let json = serde_json::to_vec(&fleet.spec.template).unwrap_or_default();
    let digest = ring::digest::digest(&ring::digest::SHA256, &json);
    let first = digest.as_ref().first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    format!("{first:08x}")
}

async fn publish(
    context: &Context,
    fleet: &Fleet,
    members: &[Member],
    plan: &FleetPlan,
    failure: Option<(&'static str, String)>,
) -> Result<Option<Duration>, Error> {
    let old = fleet.status.clone().unwrap_or_default();
    let mut new = compute_status(context, fleet, members, plan, &old);
    if let Some((reason, failure)) = failure {
        let decided = decide_failed(reason, failure);
        new.conditions =
            merge_conditions(&context.clock.wall(), fleet.metadata.generation, &old.conditions, decided);
    }
    if new == old {
        return Ok(None);
    }
    let uid = fleet.uid().unwrap_or_default();
    if let Turn::Later(wait) = context.pace.ask(context.clock.elapsed(), &uid, news(&old, &new)) {
        return Ok(Some(wait));
    }
    match context.apply_status(fleet, &new).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(None),
        written => written.map(|()| None).map_err(Error::Status),
    }
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
    plan: &FleetPlan,
    old: &FleetStatus,
) -> FleetStatus {
    let alive = || {
        members
            .iter()
            .filter(|member| member.object.metadata.deletion_timestamp.is_none())
            .filter(|member| member.observed.state != State::Unhealthy)
    };
    let count = |wanted: &dyn Fn(&Member) -> bool| {
        i32::try_from(alive().filter(|member| wanted(member)).count()).unwrap_or(i32::MAX)
    };
    let ready = count(&|member| member.observed.state == State::Ready);
    let mut tick_us = gameserver_contract::Histogram::default();
    for live in alive().filter_map(|member| member.observed.live.as_ref()) {
        tick_us.merge(&live.tick_us);
    }
    let capacity = i64::from(ready) * i64::from(fleet.spec.template.spec.capacity);
    let (generation, revision) = (fleet.metadata.generation, revision(fleet));
    FleetStatus {
        replicas: count(&|_| true),
        ready_replicas: ready,
        in_use_replicas: count(&|member| member.observed.in_use()),
        draining_replicas: count(&|member| member.observed.state == State::Draining),
        updated_replicas: count(&|member| is_of(member, &revision)),
        players: alive().map(|member| i64::from(member.observed.players())).sum(),
        capacity,
        tick_p99: tick_us
            .quantile(gameserver_contract::TICK_QUANTILE)
            .map(|us| figures::latency(old.tick_p99.as_deref(), us, figures::PERCENTILE)),
        regions: Vec::new(),
        selector: Some(labels::fleet_selector(&fleet.name_any())),
        revision: Some(revision),
        observed_generation: generation,
        conditions: merge_conditions(
            &context.clock.wall(),
            generation,
            &old.conditions,
            decide_conditions(fleet, members, plan, ready),
        ),
    }
}

fn decide_conditions(fleet: &Fleet, members: &[Member], plan: &FleetPlan, ready: i32) -> Vec<Decided> {
    let desired = fleet.spec.replicas.unwrap_or(0);
    let stuck = members.iter().find_map(|member| Some((member, stuck(member)?)));
    // a new template that does not come up holds a rollout up, whoever else is ready
    let is_short = ready < desired || plan.old > 0;
    let surplus = members.len() > usize::try_from(desired).unwrap_or(0);
    let (reason, message) = match stuck {
        Some((member, (reason, message))) if is_short => {
            (reason, format!("{}: {message}", member.object.name_any()))
        }
        _ if plan.old > 0 => (
            reasons::ROLLING_OUT,
            format!(
                "{ready} of {desired} game servers are ready; {} of an earlier template give way, those in use when they end",
                plan.old
            ),
        ),
        _ if ready < desired => (reasons::CREATING, format!("{ready} of {desired} game servers are ready")),
        _ if plan.waiting > 0 => (
            reasons::WAITING_FOR_PLAYERS,
            format!("{} game servers go when their players left", plan.waiting),
        ),
        _ if surplus => (reasons::DRAINING, "game servers that are no longer wanted are drained".to_owned()),
        _ => (reasons::AS_SPECIFIED, format!("{ready} of {desired} game servers are ready")),
    };
    let mut conditions = vec![Decided::new(types::READY, ready >= desired, reason, message.clone())];
    if stuck.is_some() && is_short {
        conditions.push(Decided::new(types::STALLED, true, reason, message));
    } else if reason != reasons::AS_SPECIFIED {
        conditions.push(Decided::new(types::RECONCILING, true, reason, message));
    }
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

    fn fleet(yaml: &str) -> Fleet {
        serde_yaml::from_str(&format!(
            "apiVersion: cranewing.dev/v1alpha1\nkind: Fleet\nmetadata: {{name: arena, namespace: games, uid: f-1}}\n{yaml}"
        ))
        .unwrap()
    }

    #[test]
    fn numbers_are_read_only_from_names_that_the_fleet_makes() {
        for (name, number) in [
            ("arena-0", Some(0)),
            ("arena-12", Some(12)),
            ("arena-012", None),
            ("arena-", None),
            ("arena-x", None),
            ("arenas-1", None),
            ("arena-big-1", None),
        ] {
            assert_eq!(number_in(name, "arena"), number, "{name}");
        }
    }

    #[test]
    fn a_game_server_is_the_template_with_the_fleets_name_and_labels() {
        let fleet =
            fleet("spec: {replicas: 2, template: {metadata: {labels: {tier: gold}}, spec: {capacity: 64}}}");
        let server = build_game_server(&fleet, 3);
        assert_eq!(server.name_any(), "arena-3");
        assert_eq!(server.spec.capacity, 64);
        assert_eq!(
            (server.labels()["tier"].as_str(), server.labels()[labels::FLEET].as_str()),
            ("gold", "arena")
        );
        assert_eq!(server.owner_references()[0].uid, "f-1");
    }

    #[test]
    fn the_revision_changes_with_the_template_alone() {
        let base = revision(&fleet("spec: {replicas: 2, template: {spec: {capacity: 64}}}"));
        assert_eq!(base, revision(&fleet("spec: {replicas: 9, template: {spec: {capacity: 64}}}")));
        assert_ne!(base, revision(&fleet("spec: {replicas: 2, template: {spec: {capacity: 65}}}")));
    }

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
