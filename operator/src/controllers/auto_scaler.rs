//! AutoScaler: sets a Fleet's replicas from what its game servers report (A15).

use gameserver_contract::Histogram;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::runtime::controller::Action;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, Resource, ResourceExt};
use operator_api::conditions::{Decided, merge_conditions, reasons, types};
use operator_api::{AutoScaler, AutoScalerStatus, Fleet, PolicyStatus, ScalingMetric, labels};
use operator_core::journal::Of;
use operator_core::regions::RegionId;
use operator_core::regions::shares::Held;
use operator_core::scale::{Bounds, Decision, FleetFigures, Limit, Policy, Reason, decide_scale};
use operator_core::server_state::State;
use serde_json::json;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing::info;

use super::StepError;
use super::context::Context;
use super::figures;
use super::fleet::name_of;
use super::horizontal::{are_rivals, is_older};
use super::observe::{Observed, observe_server};
use super::pace::{News, Turn};
use super::placed_scalers::{self, Role};
use super::placed_status::held_everywhere;
use super::pod::cpu_request_millis;
use crate::links::scalers::ScalerRecord;
use crate::runtime::clock::since;

/// How often each AutoScaler decides.
const DECISION_PERIOD: Duration = Duration::from_secs(2);

/// How soon to decide again when the Fleet changed under a decision: by then its watch has brought the change.
const STALE_PERIOD: Duration = Duration::from_millis(200);

/// A step that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("failed to set the fleet's replicas")]
    Scale(#[source] kube::Error),
    #[error("failed to write the status")]
    Status(#[source] kube::Error),
}

impl StepError for Error {
    fn step(&self) -> &'static str {
        match self {
            Self::Scale(_) => "scale",
            Self::Status(_) => "status",
        }
    }
}

/// Scalers remembered; beyond that the memory starts anew, and their statuses are all that is left.
const REMEMBERED_MAX: usize = 10_000;

/// When this leader last scaled for each AutoScaler, by uid: the status says so too, but its write may fail.
#[derive(Default)]
pub(crate) struct ScaleTimes(Mutex<HashMap<String, Time>>);

impl ScaleTimes {
    fn record(&self, uid: String, now: Time) {
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if times.len() >= REMEMBERED_MAX {
            times.clear();
        }
        times.insert(uid, now);
    }

    /// The newer of what is remembered and what the status says.
    fn last(&self, scaler: &AutoScaler) -> Option<Time> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let remembered = times.get(&scaler.uid().unwrap_or_default()).cloned();
        let told = scaler.status.as_ref().and_then(|status| status.last_scale_time.clone());
        remembered.into_iter().chain(told).max_by_key(|time| time.0)
    }
}

/// What the policies look at.
#[derive(Debug, Default, PartialEq, Eq)]
struct Figures {
    player_count: Option<u64>,
    cpu_usage: Option<u64>,
    queue_depth: Option<u64>,
    in_use: u32,
}

/// observe -> decide -> scale -> status.
pub(crate) async fn reconcile(scaler: Arc<AutoScaler>, context: Arc<Context>) -> Result<Action, Error> {
    if scaler.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = scaler.namespace().unwrap_or_default();
    let fleet = context.stores.fleets.store().get(&ObjectRef::new(&scaler.spec.fleet).within(&namespace));
    let now = context.clock.wall();
    let outcome = match fleet {
        None => Outcome::FleetMissing,
        Some(fleet) => {
            let role = placed_scalers::role(&scaler, &fleet, context.links.me);
            // Beside a child nobody else counts: what is set by hand on a share is misplaced.
            let older = match role {
                Role::Plain | Role::Parent => older_scaler(&context, &scaler),
                Role::Child | Role::Misplaced(_) => None,
            };
            match (role, older) {
                (Role::Misplaced(words), _) => Outcome::Misplaced(words),
                (_, Some(older)) => Outcome::Conflict(older),
                (Role::Parent, None) => look_around(&context, &scaler, &fleet),
                (Role::Plain | Role::Child, None) => {
                    match decide_and_scale(&context, &scaler, &fleet, &now).await? {
                        Some(outcome) => outcome,
                        None => return Ok(Action::requeue(STALE_PERIOD)),
                    }
                }
            }
        }
    };
    publish(&context, &scaler, outcome, &now).await?;
    Ok(Action::requeue(DECISION_PERIOD))
}

enum Outcome {
    FleetMissing,
    /// The Fleet has its home elsewhere, or is a share of one: what to do about it.
    Misplaced(String),
    /// It is shared out with a placed Fleet, and its children decide.
    SharedOut {
        /// What each region has of the Fleet.
        held: BTreeMap<RegionId, Held>,
        /// The regions can know of it as it is now.
        is_told: bool,
        /// The Fleet says how many game servers it wants, and that counts for nothing.
        ignores_replicas: bool,
    },
    /// Kind and name of the older scaler.
    Conflict(String),
    Decided {
        replicas: u32,
        figures: Figures,
        decision: Decision,
        /// A HorizontalPodAutoscaler that came later and scales the Fleet too.
        younger: Option<String>,
    },
}

/// What became in the regions of one that is shared out.
fn look_around(context: &Context, scaler: &AutoScaler, fleet: &Fleet) -> Outcome {
    let look = context.links.look(context.clock.elapsed());
    Outcome::SharedOut {
        held: held_everywhere(context, fleet, &look),
        is_told: ScalerRecord::on(fleet).is_of(scaler),
        ignores_replicas: fleet.spec.replicas.is_some(),
    }
}

/// None: the Fleet changed under the decision, which is void.
async fn decide_and_scale(
    context: &Context,
    scaler: &AutoScaler,
    fleet: &Fleet,
    now: &Time,
) -> Result<Option<Outcome>, Error> {
    // observe (no client required)
    let figures = gather(context, fleet);
    let replicas = u32::try_from(fleet.spec.replicas.unwrap_or(0)).unwrap_or(0);
    let last = context.scale_times.last(scaler);
    let fleet_figures = FleetFigures {
        replicas,
        in_use: figures.in_use,
        since_last_scale: last.map(|last| since(&last, now)),
    };
    // decide (no client required)
    let bound = |value: i32| u32::try_from(value).unwrap_or(0);
    let bounds = Bounds { min: bound(scaler.spec.min), max: bound(scaler.spec.max) };
    let policies: Vec<Policy> = scaler.spec.policies.iter().map(|policy| to_core(policy, &figures)).collect();
    let decision = decide_scale(fleet_figures, bounds, &policies);
    note(context, scaler, (replicas, &decision), &figures);
    // apply (client required)
    if decision.scale {
        if !set_replicas(context, fleet, decision.desired).await? {
            return Ok(None);
        }
        context.scale_times.record(scaler.uid().unwrap_or_default(), now.clone());
        let direction = if decision.desired > replicas { "up" } else { "down" };
        context.metrics.scale_changes.with_label_values(&[direction]).inc();
        let note = format!(
            "{} from {replicas} to {} game servers: {}",
            fleet.name_any(),
            decision.desired,
            decision.reason.as_str()
        );
        info!(note, "scaled");
        let reason = if direction == "up" { "ScaledUp" } else { "ScaledDown" };
        // No two changes are of one version of the Fleet.
        let changed = ObjectReference { resource_version: fleet.resource_version(), ..fleet.object_ref(&()) };
        context.event_of_change(&scaler.object_ref(&()), changed, (EventType::Normal, reason, note)).await;
    }
    let younger = horizontals_beside(context, scaler).first().map(|younger| younger.name_any());
    Ok(Some(Outcome::Decided { replicas, figures, decision, younger }))
}

/// Figures move with every look, and stand only beside what changes something.
fn note(context: &Context, scaler: &AutoScaler, (replicas, decision): (u32, &Decision), figures: &Figures) {
    let wishes = decision.wishes.iter().map(|wish| wish.reason.as_str()).collect::<Vec<_>>().join(", ");
    let limit = decision.limit.map(|limit| format!("; cut by {limit:?}")).unwrap_or_default();
    let (decided, seen) = if decision.scale {
        (format!("from {replicas} to {}", decision.desired), format!("; {figures:?}"))
    } else {
        (format!("hold at {replicas}"), String::new())
    };
    let why = format!("{}: {wishes}{limit}{seen}", decision.reason.as_str());
    context.journal.note(Of::Scaling, name_of(scaler), decided, why);
}

fn to_core(policy: &operator_api::ScalingPolicy, figures: &Figures) -> Policy {
    let value = match policy.metric {
        ScalingMetric::PlayerCount => figures.player_count,
        ScalingMetric::CpuUsage => figures.cpu_usage,
        ScalingMetric::QueueDepth => figures.queue_depth,
    };
    let threshold = |value: i64| u64::try_from(value).unwrap_or(0);
    let step = |value: i32| u32::try_from(value).unwrap_or(1);
    Policy {
        value,
        shared: policy.metric != ScalingMetric::QueueDepth,
        up_threshold: threshold(policy.up_threshold),
        down_threshold: threshold(policy.down_threshold),
        cooldown: Duration::from_secs(u64::try_from(policy.cooldown_seconds).unwrap_or(0)),
        step_up: step(policy.step_up),
        step_down: step(policy.step_down),
    }
}

fn gather(context: &Context, fleet: &Fleet) -> Figures {
    let uid = fleet.uid().unwrap_or_default();
    let servers = context.stores.game_servers.store().state();
    let observed: Vec<Observed> = servers
        .iter()
        .filter(|server| {
            server.namespace() == fleet.namespace() && server.metadata.deletion_timestamp.is_none()
        })
        .filter(|server| server.labels().get(labels::FLEET) == Some(&fleet.name_any()))
        .filter(|server| server.owner_references().iter().any(|owner| owner.uid == uid))
        .map(|server| observe_server(context, server))
        .filter(|observed| !matches!(observed.state, State::Draining | State::Unhealthy))
        .collect();
    figures_of(&observed)
}

fn figures_of(servers: &[Observed]) -> Figures {
    let in_use = u32::try_from(servers.iter().filter(|server| server.in_use()).count()).unwrap_or(u32::MAX);
    let heard: Vec<_> = servers.iter().filter(|server| server.heard()).collect();
    if heard.is_empty() {
        return Figures { in_use, ..Figures::default() };
    }
    let players: u64 = servers.iter().map(|server| u64::from(server.players())).sum();
    let (mut used, mut requested, mut queue) = (0, 0, Histogram::default());
    for server in &heard {
        if let Some(live) = &server.live {
            queue.merge(&live.queue_depth);
            if let Some(request) = server.pod.as_deref().and_then(cpu_request_millis) {
                used += u64::from(live.cpu_millis);
                requested += request;
            }
        }
    }
    let count = u64::try_from(servers.len()).unwrap_or(u64::MAX);
    Figures {
        player_count: Some(players.div_ceil(count)),
        cpu_usage: (used * 100).checked_div(requested),
        queue_depth: queue.quantile(gameserver_contract::QUEUE_QUANTILE),
        in_use,
    }
}

/// Sets replicas of the Fleet as it was seen; false if it is another by now, so that nobody's change is lost.
async fn set_replicas(context: &Context, fleet: &Fleet, replicas: u32) -> Result<bool, Error> {
    let namespace = fleet.namespace().unwrap_or_default();
    let api: Api<Fleet> = Api::namespaced(context.client.clone(), &namespace);
    let patch = Patch::Merge(json!({
        "metadata": { "resourceVersion": fleet.resource_version() },
        "spec": { "replicas": replicas },
    }));
    let params =
        PatchParams { field_manager: Some("cranewing-autoscaler".to_owned()), ..PatchParams::default() };
    match api.patch_scale(&fleet.name_any(), &params, &patch).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(Error::Scale(error)),
    }
}

/// Another scaler of the same Fleet that was there first.
pub(super) fn older_scaler(context: &Context, scaler: &AutoScaler) -> Option<String> {
    let age = |meta: &kube::api::ObjectMeta| {
        (meta.creation_timestamp.clone().map(|time| time.0), meta.name.clone())
    };
    let ours = age(&scaler.metadata);
    let others = context.stores.auto_scalers.store().state();
    let older = others
        .iter()
        .filter(|other| other.namespace() == scaler.namespace() && other.spec.fleet == scaler.spec.fleet)
        .find(|other| other.uid() != scaler.uid() && age(&other.metadata) < ours);
    older.map(|other| format!("AutoScaler {}", other.name_any())).or_else(|| {
        let older = horizontals_beside(context, scaler).into_iter().find(|other| !is_older(scaler, other));
        older.map(|other| format!("HorizontalPodAutoscaler {}", other.name_any()))
    })
}

fn horizontals_beside(context: &Context, scaler: &AutoScaler) -> Vec<Arc<HorizontalPodAutoscaler>> {
    let mut all = context.stores.horizontal.store().state();
    all.retain(|horizontal| are_rivals(scaler, horizontal));
    all
}

async fn publish(context: &Context, scaler: &AutoScaler, outcome: Outcome, now: &Time) -> Result<(), Error> {
    let old = scaler.status.clone().unwrap_or_default();
    let last = context.scale_times.last(scaler);
    let new = compute_status(scaler, &old, last, outcome, now);
    if new == old {
        return Ok(());
    }
    let still = |status: &AutoScalerStatus| AutoScalerStatus { policies: Vec::new(), ..status.clone() };
    let news = if still(&new) == still(&old) { News::Figure } else { News::Transition };
    let uid = scaler.uid().unwrap_or_default();
    if context.pace.ask(context.clock.elapsed(), &uid, news) != Turn::Now {
        return Ok(());
    }
    match context.apply_status(scaler, &new).await {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        written => written.map_err(Error::Status),
    }
}

fn compute_status(
    scaler: &AutoScaler,
    old: &AutoScalerStatus,
    last_scale_time: Option<Time>,
    outcome: Outcome,
    now: &Time,
) -> AutoScalerStatus {
    let generation = scaler.metadata.generation;
    let conditions = |decided| merge_conditions(now, generation, &old.conditions, decided);
    let base =
        AutoScalerStatus { last_scale_time, observed_generation: generation, ..AutoScalerStatus::default() };
    match outcome {
        Outcome::FleetMissing => {
            let message = format!("Fleet {} does not exist in this namespace", scaler.spec.fleet);
            let reason = reasons::FLEET_MISSING;
            let decided = vec![
                Decided::new(types::READY, false, reason, message.clone()),
                Decided::new(types::ABLE_TO_SCALE, false, reason, message),
            ];
            AutoScalerStatus { reason: Some(reason.to_owned()), conditions: conditions(decided), ..base }
        }
        Outcome::SharedOut { held, is_told, ignores_replicas } => {
            let asked = held.values().map(|held| i64::from(held.asked())).sum::<i64>();
            AutoScalerStatus {
                current_replicas: i32::try_from(asked).ok(),
                reason: Some(reasons::SHARED_OUT.to_owned()),
                conditions: conditions(decide_shared(&held, is_told, ignores_replicas)),
                ..base
            }
        }
        Outcome::Misplaced(message) => {
            let reason = reasons::PLACED_FLEET;
            let decided = vec![
                Decided::new(types::READY, false, reason, message.clone()),
                Decided::new(types::ABLE_TO_SCALE, false, reason, message.clone()),
                Decided::new(types::STALLED, true, reason, message),
            ];
            AutoScalerStatus { reason: Some(reason.to_owned()), conditions: conditions(decided), ..base }
        }
        Outcome::Conflict(older) => {
            let message = format!("{older} scales Fleet {} already; delete one of them", scaler.spec.fleet);
            let reason = reasons::OLDER_SCALER;
            let decided = vec![
                Decided::new(types::READY, false, reason, message.clone()),
                Decided::new(types::ABLE_TO_SCALE, false, reason, message.clone()),
                Decided::new(types::CONFLICT, true, reason, message.clone()),
                Decided::new(types::STALLED, true, reason, message),
            ];
            AutoScalerStatus {
                reason: Some(types::CONFLICT.to_owned()),
                conditions: conditions(decided),
                ..base
            }
        }
        Outcome::Decided { replicas, figures, decision, younger } => AutoScalerStatus {
            current_replicas: i32::try_from(replicas).ok(),
            desired_replicas: i32::try_from(decision.desired).ok(),
            last_scale_time: base.last_scale_time,
            reason: Some(decision.reason.as_str().to_owned()),
            policies: policy_statuses(scaler, &old.policies, &figures, &decision),
            observed_generation: generation,
            conditions: conditions(decide_conditions(&decision, younger.as_deref())),
        },
    }
}

/// Of one that is shared out, by what each region says of its part.
fn decide_shared(held: &BTreeMap<RegionId, Held>, is_told: bool, ignores_replicas: bool) -> Vec<Decided> {
    let part = |(region, held): (&RegionId, &Held)| {
        let scaled = held.scaled?;
        Some(format!("{region} {}..{}", held.share, scaled.max))
    };
    let parts: Vec<String> = held.iter().filter_map(part).collect();
    if !is_told || parts.is_empty() {
        let words = "it is being made known to the regions; until then what is there stays";
        let reason = reasons::SHARING_OUT;
        return vec![
            Decided::new(types::READY, false, reason, words),
            Decided::new(types::ABLE_TO_SCALE, false, reason, words),
            Decided::new(types::RECONCILING, true, reason, words),
        ];
    }
    let ignored = if ignores_replicas { "; the Fleet's replicas are ignored" } else { "" };
    let words = format!("shared out: {}{ignored}", parts.join(", "));
    vec![
        Decided::new(types::READY, true, reasons::SHARED_OUT, words.clone()),
        Decided::new(types::ABLE_TO_SCALE, true, reasons::SHARED_OUT, words),
    ]
}

fn policy_statuses(
    scaler: &AutoScaler,
    old: &[PolicyStatus],
    figures: &Figures,
    decision: &Decision,
) -> Vec<PolicyStatus> {
    let statuses =
        scaler.spec.policies.iter().zip(&decision.wishes).enumerate().map(|(index, (policy, wish))| {
            let value = to_core(policy, figures).value.and_then(|value| i64::try_from(value).ok());
            let status = PolicyStatus {
                metric: policy.metric,
                value,
                wish: wish.replicas.and_then(|replicas| i32::try_from(replicas).ok()),
                reason: wish.reason.as_str().to_owned(),
            };
            // A value that made the policy wish something else is told as it was.
            let told = old.get(index).filter(|old| PolicyStatus { value, ..(*old).clone() } == status);
            let told = told.and_then(|told| told.value);
            PolicyStatus { value: value.map(|value| steady(policy.metric, told, value)), ..status }
        });
    statuses.collect()
}

/// What to tell of a policy's value. Players are told as they are counted.
fn steady(metric: ScalingMetric, told: Option<i64>, value: i64) -> i64 {
    match metric {
        ScalingMetric::PlayerCount => value,
        ScalingMetric::CpuUsage => figures::number(told, value, figures::MEAN),
        ScalingMetric::QueueDepth => figures::number(told, value, figures::PERCENTILE),
    }
}

fn decide_conditions(decision: &Decision, younger: Option<&str>) -> Vec<Decided> {
    let missing = decision.wishes.iter().any(|wish| wish.replicas.is_none());
    let (able_reason, able_message) = if decision.reason == Reason::AtZero {
        (
            reasons::MISSING_DATA,
            "there is no game server to measure; somebody else must ask for the first, such as `kubectl scale`",
        )
    } else if missing {
        (reasons::MISSING_DATA, "a figure is missing; replicas are held until the game servers report it")
    } else {
        (reasons::DECIDED, "every figure is there")
    };
    let (limit_reason, limit_message) = match decision.limit {
        Some(Limit::Minimum) => (reasons::AT_MINIMUM, "fewer game servers would do, but for min"),
        Some(Limit::Maximum) => (reasons::AT_MAXIMUM, "more game servers are wished; raise max"),
        None => (reasons::WITHIN_BOUNDS, "the wish is within min and max"),
    };
    let ready = younger.map_or_else(
        || "decides each two seconds".to_owned(),
        |name| {
            format!("decides each two seconds, against HorizontalPodAutoscaler {name}, which came later; delete one")
        },
    );
    vec![
        Decided::new(types::READY, true, reasons::DECIDED, ready),
        Decided::new(types::ABLE_TO_SCALE, !missing, able_reason, able_message),
        Decided::new(types::SCALING_LIMITED, decision.limit.is_some(), limit_reason, limit_message),
    ]
}
