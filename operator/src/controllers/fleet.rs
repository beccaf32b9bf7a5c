//! Fleet: as many game servers as it asks for.

use kube::api::{DeleteParams, ObjectMeta, PostParams, Preconditions};
use kube::runtime::controller::Action;
use kube::{Api, Resource, ResourceExt};
use operator_api::conditions::{reasons, types};
use operator_api::{Fleet, GameServer, GameServerState, GameServerStatus, labels};
use operator_core::fleet_plan::{FleetPlan, FleetView, Rollout, ServerView, plan_fleet};
use operator_core::journal::Of;
use operator_core::server_state::State;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{Instrument, debug, info, warn};

use super::StepError;
use super::context::Context;
use super::fleet_rollout::{Stand, rollout};
use super::observe::{Observed, observe_server};
use super::revisions::{self, Revision, Revisions};
use super::{fleet_rollout, fleet_status};
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
    #[error(transparent)]
    Revision(#[from] revisions::Error),
    #[error("the operator does not understand template {0}: it is of a newer one, or was changed by hand")]
    Template(String),
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
            Self::Revision(_) | Self::Template(_) => "revision",
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
            Self::NameTaken(_)
            | Self::Secret(KeyError::Foreign(_))
            | Self::Revision(revisions::Error::NameTaken(_)) => reasons::NAME_TAKEN,
            Self::Delete(..) | Self::Revision(revisions::Error::Delete(..)) => reasons::DELETE_FAILED,
            Self::Secret(_)
            | Self::Revision(_)
            | Self::Template(_)
            | Self::Create(..)
            | Self::Look(..)
            | Self::Status(_) => reasons::CREATE_FAILED,
        }
    }
}

/// A game server of the Fleet with what is known of it.
pub(super) struct Member {
    pub(super) object: Arc<GameServer>,
    number: u32,
    pub(super) observed: Observed,
}

impl Member {
    /// It was made from this template.
    pub(super) fn is_of(&self, revision: &str) -> bool {
        self.object.labels().get(labels::REVISION).is_some_and(|of| of == revision)
    }

    /// It is being deleted, or will be.
    pub(super) fn is_ending(&self) -> bool {
        self.object.metadata.deletion_timestamp.is_some() || self.observed.state == State::Unhealthy
    }

    /// It takes no new players, or was told so.
    pub(super) fn is_draining(&self) -> bool {
        let is_told = self.observed.live.as_ref().is_some_and(|live| live.drain_ordered);
        self.observed.state == State::Draining || is_told
    }

    /// It was given up for what it did: not because its pod was deleted or evicted.
    pub(super) fn has_failed(&self) -> bool {
        let conditions = self.object.status.iter().flat_map(|status| &status.conditions);
        // what was given up keeps the reason with which it was
        let mut told = conditions.filter(|condition| condition.type_ == types::STALLED);
        let reason = told.next().map_or(self.observed.reason, |told| told.reason.as_str());
        self.observed.state == State::Unhealthy && reason != reasons::POD_LOST
    }

    /// How often its containers were started again.
    pub(super) fn restarts(&self) -> u32 {
        let status = self.observed.pod.as_ref().and_then(|pod| pod.status.as_ref());
        let containers = status.and_then(|status| status.container_statuses.as_ref()).into_iter().flatten();
        containers.map(|container| u32::try_from(container.restart_count).unwrap_or(0)).sum()
    }
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
    let desired = u32::try_from(fleet.spec.replicas.unwrap_or(0)).unwrap_or(0);
    // its templates (client required where one is new, or judged)
    let stand = match stand(&context, &fleet, &members, desired).await {
        Ok(stand) => stand,
        Err(error) => {
            // That is the cause of whatever goes wrong with telling it.
            drop(fleet_status::tell_failure(&context, &fleet, (error.reason(), chain(&error))).await);
            return Err(error);
        }
    };
    // plan (no client required)
    let servers: Vec<ServerView> = members.iter().map(|member| view(member, &stand)).collect();
    let plan = plan_fleet(&FleetView {
        desired,
        servers: &servers,
        names_taken: &names_taken,
        settled_in,
        rollout: rollout(&fleet, desired),
        most: stand.course.most,
        stands_still: stand.course.stands_still,
        holds_old: stand.course.holds_old,
    });
    note_plan(&context, &fleet, &plan, (desired, servers.len(), settled_in));
    // apply (client required)
    let applied = apply(&context, &fleet, &members, (&plan, &stand)).await;
    // status (client required)
    let failure = applied.as_ref().err().map(|error| (error.reason(), chain(error)));
    let published = fleet_status::publish(&context, &fleet, &members, (&plan, &stand), failure).await;
    tidy(&context, &fleet, &members, &stand.revisions).await;
    // What could not be done is the cause of whatever else went wrong.
    applied?;
    let wait = published?;
    if let Some(error) = stand.unkept {
        return Err(error.into());
    }
    if plan.partial {
        return Ok(Action::requeue(Duration::ZERO));
    }
    let settling =
        (!settled_in).then(|| SETTLE_IN.saturating_sub(context.led_for()) + Duration::from_secs(1));
    let waits = [wait, settling, stand.course.look_again];
    Ok(waits.into_iter().flatten().min().map_or_else(Action::await_change, Action::requeue))
}

/// What follows for whom, and of what the Fleet has.
fn note_plan(context: &Context, fleet: &Fleet, plan: &FleetPlan, seen: (u32, usize, bool)) {
    let FleetPlan { create, create_proven, drain, undrain, delete, waiting, old, outdated: _, partial: _ } =
        plan;
    let steps = [
        ("create", create),
        ("create of the last proven template", create_proven),
        ("drain", drain),
        ("undrain", undrain),
        ("delete", delete),
    ];
    let steps = steps.into_iter().filter(|(_, numbers)| !numbers.is_empty());
    let decided: Vec<String> = steps.map(|(step, numbers)| format!("{step} {numbers:?}")).collect();
    let decided = if decided.is_empty() { "nothing".to_owned() } else { decided.join(", ") };
    let (desired, there, settled_in) = seen;
    let settling = if settled_in { "" } else { "; not every server has been heard yet" };
    let why = format!(
        "{desired} wanted, {there} there; {waiting} stay because they are in use or not heard, {old} are of an earlier template{settling}"
    );
    context.journal.note(Of::FleetPlan, name_of(fleet), decided, why);
}

/// Namespace and name.
pub(super) fn name_of<K: ResourceExt>(object: &K) -> String {
    format!("{}/{}", object.namespace().unwrap_or_default(), object.name_any())
}

/// Where the Fleet's template stands, with those that it had.
async fn stand(context: &Context, fleet: &Fleet, members: &[Member], desired: u32) -> Result<Stand, Error> {
    let is_judged = rollout(fleet, desired) != Rollout::OnDelete;
    let revisions = Revisions::keep(context, fleet, is_judged).await?;
    Ok(fleet_rollout::look(context, fleet, revisions, members, desired).await)
}

/// Deletes templates that are no longer kept. No server waits for that.
async fn tidy(context: &Context, fleet: &Fleet, members: &[Member], revisions: &Revisions) {
    let of_servers = members.iter().filter_map(|member| member.object.labels().get(labels::REVISION));
    let of_servers = of_servers.map(String::as_str).collect();
    if let Err(error) = revisions.prune(context, fleet, &of_servers).await {
        warn!(error = chain(&error), "an earlier template stays");
    }
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

fn view(member: &Member, stand: &Stand) -> ServerView {
    let observed = &member.observed;
    let live = observed.live.as_ref();
    let published = member.object.status.as_ref().and_then(|status| status.state);
    ServerView {
        number: member.number,
        state: observed.state,
        in_use: observed.in_use(),
        heard: observed.heard(),
        deleting: member.object.metadata.deletion_timestamp.is_some(),
        drained: live.is_some_and(|live| live.drained),
        drain_ordered: live.is_some_and(|live| live.drain_ordered),
        seen_draining: published == Some(GameServerState::Draining),
        updated: member.is_of(&stand.target().id),
        proven: member.is_of(&stand.proven().id),
    }
}

async fn apply(
    context: &Context,
    fleet: &Fleet,
    members: &[Member],
    (plan, stand): (&FleetPlan, &Stand),
) -> Result<(), Error> {
    let FleetPlan { create, create_proven, drain, undrain, delete, waiting: _, old: _, outdated, partial: _ } =
        plan;
    let namespace = fleet.namespace().unwrap_or_default();
    if !create.is_empty() || !create_proven.is_empty() {
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
    for member in members {
        let is_outdated = outdated.contains(&member.number);
        let uid = member.object.uid().unwrap_or_default();
        if context.live.tell_outdated(context.clock.elapsed(), &uid, is_outdated) {
            about(&*member.object).in_scope(|| info!(is_outdated, "tells it whether it is outdated"));
        }
    }
    let api: Api<GameServer> = Api::namespaced(context.client.clone(), &namespace);
    for member in delete.iter().filter_map(member) {
        let deleting = delete_server(&api, &member.object, member.observed.reason);
        deleting.instrument(about(&*member.object)).await?;
    }
    let mut taken = Ok(());
    let (target, proven) = (stand.target(), stand.proven());
    let of_target = create.iter().map(|number| (target, *number));
    for (revision, number) in of_target.chain(create_proven.iter().map(|number| (proven, *number))) {
        let server = build_game_server(fleet, revision, number)?;
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

/// The GameServer with this number, from this template.
fn build_game_server(fleet: &Fleet, revision: &Revision, number: u32) -> Result<GameServer, Error> {
    let template = revision.template().ok_or_else(|| Error::Template(revision.name()))?;
    let mut all_labels = template.metadata.labels;
    all_labels.insert(labels::FLEET.to_owned(), fleet.name_any());
    all_labels.insert(labels::REVISION.to_owned(), revision.id.clone());
    all_labels.insert(labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_OPERATOR.to_owned());
    Ok(GameServer {
        metadata: ObjectMeta {
            name: Some(game_server_name(&fleet.name_any(), number)),
            namespace: fleet.namespace(),
            labels: Some(all_labels),
            annotations: Some(template.metadata.annotations).filter(|map| !map.is_empty()),
            owner_references: fleet.controller_owner_ref(&()).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        spec: template.spec,
        status: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
