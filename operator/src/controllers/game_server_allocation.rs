//! GameServerAllocation: asks the desk for a server, once, and says which one it is. The uid of the object is the key, so that whoever
//! leads asks again for the same. The object goes some time after its answer; the server stays given.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, Preconditions};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use operator_api::conditions::{Decided, merge_conditions, reasons, types};
use operator_api::{
    AllocatedServer, AllocationSpread, AllocationState, GameServerAllocation, GameServerAllocationStatus,
    LabelExpression, LabelOperator, PortStatus, ServerSelector,
};
use operator_core::allocation::{Expression, Is, Selector, Spread};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use super::StepError;
use super::context::Context;
use crate::allocation::{Asked, Given, Outcome};
use crate::runtime::clock::since;

/// A server that comes sooner than this is all that is written; until then nobody needs to know that one is waited for.
const TOLD_AFTER: Duration = Duration::from_millis(500);
/// How often whoever waits looks whether its object is still there.
const LOOK_PERIOD: Duration = Duration::from_secs(1);
/// How soon it is asked again where nobody said what became of it.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
    #[error("failed to delete an allocation that was answered long ago")]
    Delete(#[source] kube::Error),
}

impl StepError for Error {
    fn step(&self) -> &'static str {
        match self {
            Self::Status(_) => "status",
            Self::Delete(_) => "delete",
        }
    }
}

/// ask -> status, or delete when its time is over.
pub(crate) async fn reconcile(
    allocation: Arc<GameServerAllocation>,
    context: Arc<Context>,
) -> Result<Action, Error> {
    if allocation.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    if let Some(completed) = allocation.status.as_ref().and_then(|status| status.completion_time.as_ref()) {
        return retire(&context, &allocation, completed).await;
    }
    match ask(&context, &allocation).await? {
        Some(Outcome::Elsewhere(_) | Outcome::TooLate | Outcome::Busy | Outcome::Differs) => {
            Ok(Action::requeue(AGAIN_AFTER))
        }
        Some(outcome) => {
            finish(&context, &allocation, &outcome).await?;
            Ok(Action::requeue(time_to_live(&allocation)))
        }
        None => Ok(Action::await_change()),
    }
}

/// Asks for a server, and waits for the answer. `None`: the object is gone, and with it whoever wanted to know.
async fn ask(context: &Context, allocation: &GameServerAllocation) -> Result<Option<Outcome>, Error> {
    let asking = context.desk.ask(asked(allocation), remaining(allocation, &context.clock.wall()));
    let mut asking = std::pin::pin!(asking);
    let mut looks = interval_at(Instant::now() + TOLD_AFTER, LOOK_PERIOD);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_told = allocation.status.as_ref().is_some_and(|status| status.state.is_some());
    loop {
        tokio::select! {
            outcome = &mut asking => return Ok(Some(outcome)),
            _ = looks.tick() => {}
        }
        if !is_there(context, allocation) {
            return Ok(None);
        }
        if !is_told {
            let waiting = "no game server that fits is free; the next one that becomes free is given in turn";
            let decided = vec![
                Decided::new(types::READY, false, reasons::WAITING_FOR_SERVER, waiting),
                Decided::new(types::RECONCILING, true, reasons::WAITING_FOR_SERVER, waiting),
            ];
            let status = GameServerAllocationStatus {
                state: Some(AllocationState::Waiting),
                ..GameServerAllocationStatus::default()
            };
            publish(context, allocation, status, decided).await?;
            is_told = true;
        }
    }
}

fn asked(allocation: &GameServerAllocation) -> Asked {
    let spread = match allocation.spec.spread {
        AllocationSpread::Packed => Spread::Packed,
        AllocationSpread::Distributed => Spread::Distributed,
    };
    let (namespace, uid) = (allocation.namespace().unwrap_or_default(), allocation.uid().unwrap_or_default());
    let selectors = allocation.spec.selectors.iter().map(selector).collect();
    Asked::new(&namespace, &uid, (allocation.spec.match_labels.clone(), selectors), spread)
}

fn selector(of: &ServerSelector) -> Selector {
    let expression = |LabelExpression { key, operator, values }: &LabelExpression| {
        let values = values.iter().cloned().collect();
        let is = match operator {
            LabelOperator::In => Is::In(values),
            LabelOperator::NotIn => Is::NotIn(values),
            LabelOperator::Exists => Is::Present,
            LabelOperator::DoesNotExist => Is::Absent,
        };
        Expression { key: key.clone(), is }
    };
    Selector {
        match_labels: of.match_labels.clone(),
        match_expressions: of.match_expressions.iter().map(expression).collect(),
    }
}

/// For how long a server may still become free.
fn remaining(allocation: &GameServerAllocation, now: &Time) -> Duration {
    let wait = Duration::from_secs(u64::try_from(allocation.spec.wait_seconds).unwrap_or(0));
    let begun = allocation.metadata.creation_timestamp.as_ref();
    wait.saturating_sub(begun.map_or(Duration::ZERO, |begun| since(begun, now)))
}

fn time_to_live(allocation: &GameServerAllocation) -> Duration {
    Duration::from_secs(u64::try_from(allocation.spec.ttl_seconds_after_finished).unwrap_or(0))
}

fn is_there(context: &Context, allocation: &GameServerAllocation) -> bool {
    let found = context.stores.allocations.store().get(&ObjectRef::from_obj(allocation));
    found.is_some_and(|found| found.uid() == allocation.uid() && found.metadata.deletion_timestamp.is_none())
}

/// Says what became of it.
async fn finish(
    context: &Context,
    allocation: &GameServerAllocation,
    outcome: &Outcome,
) -> Result<(), Error> {
    let answer = Answer::of(outcome);
    let message = answer.message();
    let is_given = answer.state == AllocationState::Given;
    let mut decided = vec![Decided::new(types::READY, is_given, answer.reason, message.clone())];
    if !is_given {
        decided.push(Decided::new(types::STALLED, true, answer.reason, message.clone()));
    }
    let (state, game_server) = (Some(answer.state), answer.server);
    let completion_time = Some(context.clock.wall());
    let status = GameServerAllocationStatus {
        state,
        game_server,
        completion_time,
        ..GameServerAllocationStatus::default()
    };
    publish(context, allocation, status, decided).await?;
    let event = if is_given { EventType::Normal } else { EventType::Warning };
    context.event(&allocation.object_ref(&()), event, answer.reason, message).await;
    Ok(())
}

/// What became of an allocation, for people.
struct Answer {
    state: AllocationState,
    reason: &'static str,
    server: Option<AllocatedServer>,
}

impl Answer {
    fn of(outcome: &Outcome) -> Self {
        let (state, reason, given) = match outcome {
            Outcome::Given(given) => (AllocationState::Given, reasons::GIVEN, Some(given)),
            Outcome::Ended(given) => (AllocationState::Ended, reasons::SESSION_ENDED, Some(given)),
            Outcome::Lost(_) => (AllocationState::Lost, reasons::SERVER_LOST, None),
            _ => (AllocationState::None, reasons::NO_SERVER, None),
        };
        Self { state, reason, server: given.and_then(show) }
    }

    fn message(&self) -> String {
        let server = self.server.as_ref().map_or("a game server that is gone", |server| &server.name);
        match self.state {
            AllocationState::Given => format!("{server} is given"),
            AllocationState::Ended => format!("{server} was given, and the session is over"),
            AllocationState::Lost => {
                "a game server was given and is gone, or has forgotten it; ask by another object".to_owned()
            }
            AllocationState::None | AllocationState::Waiting => {
                "no game server that fits became free in waitSeconds; scale its Fleet up, look at matchLabels and selectors, and ask by another object"
                    .to_owned()
            }
        }
    }
}

fn show(given: &Given) -> Option<AllocatedServer> {
    let server = given.server.as_ref()?;
    let port = |(name, port): &(String, i32)| PortStatus { name: name.clone(), port: *port };
    Some(AllocatedServer {
        name: server.name.clone(),
        uid: given.uid.to_string(),
        address: server.address.clone(),
        ports: server.ports.iter().map(port).collect(),
    })
}

/// Writes the status; whoever is gone meanwhile needs none.
async fn publish(
    context: &Context,
    allocation: &GameServerAllocation,
    status: GameServerAllocationStatus,
    decided: Vec<Decided>,
) -> Result<(), Error> {
    let generation = allocation.metadata.generation;
    // what was written while it waited stands by now
    let newest = context.stores.allocations.store().get(&ObjectRef::from_obj(allocation));
    let newest = newest.filter(|newest| newest.uid() == allocation.uid());
    let old = newest.as_deref().unwrap_or(allocation).status.clone().unwrap_or_default();
    let conditions = merge_conditions(&context.clock.wall(), generation, &old.conditions, decided);
    let status = GameServerAllocationStatus { observed_generation: generation, conditions, ..status };
    match context.apply_status(allocation, &status).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        written => written.map_err(Error::Status),
    }
}

/// Deletes what was answered long enough ago.
async fn retire(
    context: &Context,
    allocation: &GameServerAllocation,
    completed: &Time,
) -> Result<Action, Error> {
    let left = time_to_live(allocation).saturating_sub(since(completed, &context.clock.wall()));
    if !left.is_zero() {
        return Ok(Action::requeue(left));
    }
    let api: Api<GameServerAllocation> =
        Api::namespaced(context.client.clone(), &allocation.namespace().unwrap_or_default());
    let only_this = Preconditions { uid: allocation.uid(), resource_version: None };
    let params = DeleteParams { preconditions: Some(only_this), ..DeleteParams::default() };
    match api.delete(&allocation.name_any(), &params).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => {
            Ok(Action::await_change())
        }
        deleted => deleted.map(|_| Action::await_change()).map_err(Error::Delete),
    }
}
