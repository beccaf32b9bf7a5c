//! Other regions' RegionClusters in this cluster: the leader keeps a copy of each registered region's own, and tells on it how
//! that region is reached from here.
//!
//! Invariants:
//! - An object that somebody else made is never adopted, changed or deleted, whatever its name.
//! - A copy goes when its region is no longer registered, never because nothing is heard of it.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams, Preconditions};
use kube::runtime::events::EventType;
use kube::{Api, Resource as _, ResourceExt};
use operator_api::conditions::{Decided, merge_conditions, reasons, types};
use operator_api::{RegionCluster, RegionClusterStatus, RegionRoundTrips, RegionStanding, labels};
use operator_core::regions::RegionId;
use operator_core::regions::membership::{Judgement, Reach, Source, Standing};
use operator_core::round_trip::show_ms;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use tracing::{info, warn};

use super::context::Context;
use super::retries::Retries;
use crate::links::home::{Home, of_region};
use crate::links::peer::join;
use crate::links::table::Known;
use crate::links::to_api;
use crate::runtime::telemetry::chain;

/// How often copies are compared with what they are of.
const PERIOD: Duration = Duration::from_secs(1);
const FIELD_MANAGER: &str = "cranewing-copies";

/// What is to be done to a copy.
#[derive(Debug, PartialEq)]
enum Step {
    Create(Box<RegionCluster>),
    Change { found: Arc<RegionCluster>, wanted: Box<RegionCluster> },
    Delete { name: String, uid: Option<String> },
}

impl Step {
    fn name(&self) -> String {
        match self {
            Self::Create(copy) | Self::Change { wanted: copy, .. } => copy.name_any(),
            Self::Delete { name, .. } => name.clone(),
        }
    }
}

/// Keeps the copies; one that cannot be kept delays no other.
#[derive(Default)]
pub(super) struct Copies {
    retries: Retries,
}

/// Keeps the copies until the future is dropped.
pub(super) async fn run(context: &Context) {
    let mut copies = Copies::default();
    loop {
        copies.turn(context).await;
        sleep(PERIOD).await;
    }
}

impl Copies {
    /// Does what is due.
    pub(super) async fn turn(&mut self, context: &Context) {
        let known = context.links.look(context.clock.elapsed()).known;
        let steps = plan(context.links.me, &known, &context.stores.region_clusters.store().state());
        self.retries.retain(|name| steps.iter().any(|step| step.name() == name));
        for step in steps {
            let name = step.name();
            let now = context.clock.elapsed();
            if !self.retries.is_due(now, &name) {
                continue;
            }
            let done = carry_out(context, &step).await;
            let outcome = if done.is_ok() { "ok" } else { "error" };
            context.metrics.reconciles.with_label_values(&["RegionCopy", outcome]).inc();
            self.retries.count(context.clock.elapsed(), &name, done.is_ok());
            if let Err(error) = done {
                warn!(region = name, error = chain(&error), "failed to keep the copy of a region");
            }
        }
    }
}

fn plan(me: RegionId, known: &BTreeMap<RegionId, Known>, regions: &[Arc<RegionCluster>]) -> Vec<Step> {
    let of_name = |name: &str| regions.iter().find(|region| region.name_any() == name);
    let keep = known.iter().filter_map(|(home, known)| {
        let wanted = build(*home, known)?;
        let wanted = Box::new(wanted);
        match of_name(home.as_str()) {
            None => Some(Step::Create(wanted)),
            Some(found)
                if of_region(found, me) != Home::CopiedFrom(*home) || is_as_wanted(found, &wanted) =>
            {
                None
            }
            Some(found) => Some(Step::Change { found: Arc::clone(found), wanted }),
        }
    });
    let delete = regions.iter().filter(|region| match of_region(region, me) {
        Home::CopiedFrom(home) => !known.contains_key(&home),
        Home::Here | Home::Elsewhere => false,
    });
    let delete = delete.map(|region| Step::Delete { name: region.name_any(), uid: region.uid() });
    keep.chain(delete).collect()
}

/// The copy as it should be; none while nobody has told of the region's own.
fn build(home: RegionId, known: &Known) -> Option<RegionCluster> {
    let objects = known.objects.as_ref()?;
    let spec = objects.region_cluster.clone()?;
    let labels = [(labels::HOME, home.as_str()), (labels::MANAGED_BY, labels::MANAGED_BY_OPERATOR)];
    let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
    let responders = (labels::RESPONDERS.to_owned(), join(&known.responders));
    let metadata = ObjectMeta {
        name: Some(home.to_string()),
        labels: Some(labels.map(owned).into()),
        annotations: Some([responders, objects.version.original().annotation()].into()),
        ..ObjectMeta::default()
    };
    (spec.region_id == home.as_str()).then_some(RegionCluster { metadata, spec, status: None })
}

fn is_as_wanted(found: &RegionCluster, wanted: &RegionCluster) -> bool {
    let is_same = |(name, value): (&String, &String)| found.annotations().get(name) == Some(value);
    found.spec == wanted.spec && wanted.annotations().iter().all(is_same)
}

/// An object that another one has taken the place of, or that somebody else changed meanwhile, is looked at again next turn.
async fn carry_out(context: &Context, step: &Step) -> kube::Result<()> {
    let api: Api<RegionCluster> = Api::all(context.client.clone());
    let field_manager = Some(FIELD_MANAGER.to_owned());
    let (name, done) = match step {
        Step::Create(copy) => {
            let params = PostParams { field_manager, ..PostParams::default() };
            (copy.name_any(), api.create(&params, copy).await.map(drop))
        }
        Step::Change { found, wanted } => {
            let params = PatchParams { field_manager, ..PatchParams::default() };
            let patch = Patch::Merge(change(found, wanted));
            (wanted.name_any(), api.patch(&wanted.name_any(), &params, &patch).await.map(drop))
        }
        Step::Delete { name, uid } => {
            let preconditions = Some(Preconditions { uid: uid.clone(), resource_version: None });
            let params = DeleteParams { preconditions, ..DeleteParams::default() };
            (name.clone(), api.delete(name, &params).await.map(drop))
        }
    };
    match done {
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Ok(()) if matches!(step, Step::Delete { .. }) => {
            info!(region = name, "let go of the copy of a region");
            Ok(())
        }
        Ok(()) => {
            info!(region = name, "keeps a copy of a region");
            Ok(())
        }
        Err(error) => Err(error),
    }
}

/// What makes the copy that was found, and no other object, into the one that is wanted.
fn change(found: &RegionCluster, wanted: &RegionCluster) -> Value {
    json!({
        "metadata": {
            "uid": found.metadata.uid,
            "resourceVersion": found.metadata.resource_version,
            "annotations": wanted.metadata.annotations,
        },
        "spec": replacing(&json!(found.spec), json!(wanted.spec)),
    })
}

/// As a merge, in which only `null` takes something away.
pub(super) fn replacing(found: &Value, mut wanted: Value) -> Value {
    if let (Value::Object(found), Value::Object(wanted)) = (found, &mut wanted) {
        for (field, before) in found {
            let after = wanted.remove(field);
            wanted.insert(field.clone(), after.map_or(Value::Null, |after| replacing(before, after)));
        }
    }
    wanted
}

/// Status of a copy: the figures that its region last told, and how it is reached from here.
pub(super) fn compute_status(
    now: &Time,
    region: &RegionCluster,
    (known, judgement): (&Known, &Judgement),
    drained: Option<Decided>,
    old: &RegionClusterStatus,
) -> RegionClusterStatus {
    let seers = judgement.votes.0.iter().filter(|(_, reach)| **reach == Reach::Reads);
    let shown = old.round_trips.unwrap_or_default();
    let generation = region.metadata.generation;
    let mut new = RegionClusterStatus {
        standing: Some(to_api(judgement.standing, false)),
        peers: Vec::new(),
        seen_by: seers.map(|(region, _)| region.to_string()).collect(),
        round_trips: Some(RegionRoundTrips {
            link: show(shown.link, known.link),
            udp: show(shown.udp, known.udp),
        }),
        observed_generation: generation,
        conditions: merge_conditions(
            now,
            generation,
            &old.conditions,
            [decide_connected(judgement, false)].into_iter().chain(drained).collect(),
        ),
        ..old.clone()
    };
    if let Some(figures) = known.last.as_ref().and_then(|(digest, _)| digest.figures.clone()) {
        new = RegionClusterStatus {
            health: figures.health,
            players: figures.players,
            capacity: figures.capacity,
            headroom: figures.headroom,
            servers: figures.servers,
            mean_input_latency: figures.mean_input_latency,
            zones_covered: figures.zones_covered,
            zones: figures.zones.into_iter().map(Into::into).collect(),
            operator_version: figures.operator_version,
            ..new
        };
    }
    if matches!(judgement.standing, Standing::Unreachable | Standing::Gone) {
        // what it said last is no health of now
        new.health = None;
    }
    if let Some((_, heard)) = known.last.as_ref().filter(|_| new != *old) {
        new.last_heartbeat = Some(heard.clone());
    }
    new
}

fn show(shown: Option<i32>, median: Option<Duration>) -> Option<i32> {
    let before = shown.and_then(|ms| u32::try_from(ms).ok());
    median.map_or(shown, |median| i32::try_from(show_ms(before, median)).ok())
}

/// Status of another region's object that somebody put here.
pub(super) fn inert(now: &Time, region: &RegionCluster, old: &RegionClusterStatus) -> RegionClusterStatus {
    let generation = region.metadata.generation;
    let message = format!(
        "its home is region {0}, and nothing follows from it here; delete it, and a copy of that region's own takes its place \
         once the regions have joined",
        region.spec.region_id
    );
    let not_home = Decided::new(types::NOT_HOME, true, reasons::OTHER_REGION, message);
    RegionClusterStatus {
        observed_generation: generation,
        conditions: merge_conditions(now, generation, &old.conditions, vec![not_home]),
        ..RegionClusterStatus::default()
    }
}

/// Condition Connected, with who says what.
pub(super) fn decide_connected(judgement: &Judgement, is_own: bool) -> Decided {
    let standing = judgement.standing;
    let is_connected = standing == Standing::Connected;
    let why = match standing {
        Standing::Connected if is_own => {
            "a majority of the registered regions reads this one and is read by it"
        }
        Standing::Isolated if is_own => {
            "no majority of the registered regions reads this one and is read by it: it keeps what it has and judges nobody"
        }
        Standing::Connected => "it is read",
        Standing::Unreachable => {
            "it is not read from here, and no majority says more: nothing is placed there from here"
        }
        Standing::Isolated => "it says that it does not see a majority: it keeps what it has",
        Standing::Degraded(Source::Votes) => {
            "a majority does not read it, and some still reach it: nothing new is placed there"
        }
        Standing::Degraded(Source::OwnWord) => {
            "it says that its API server is away: nothing new is placed there"
        }
        Standing::Gone => "a majority reaches neither its operators nor its responders",
    };
    let votes = judgement.votes.to_string();
    let votes = if votes.is_empty() { "nobody votes".to_owned() } else { votes };
    Decided::new(types::CONNECTED, is_connected, to_api(standing, is_own).as_str(), format!("{why}; {votes}"))
}

/// An Event of a standing that changed, with who says what.
pub(super) async fn tell_standing(
    context: &Context,
    region: &RegionCluster,
    (old, new): (Option<RegionStanding>, &RegionClusterStatus),
) {
    let (Some(old), Some(standing)) = (old, new.standing) else { return };
    if old == standing {
        return;
    }
    let message = new.conditions.iter().find(|condition| condition.type_ == types::CONNECTED);
    let note = format!(
        "{} was {} and is {}: {}",
        region.spec.region_id,
        old.as_str(),
        standing.as_str(),
        message.map_or("no other region is registered", |condition| &condition.message)
    );
    info!(region = region.spec.region_id, note, "a region stands elsewhere");
    let type_ = match standing {
        RegionStanding::Member | RegionStanding::Connected => EventType::Normal,
        _ => EventType::Warning,
    };
    let object = region.object_ref(&());
    // No two changes are of one version.
    let changed = ObjectReference { resource_version: region.resource_version(), ..object.clone() };
    context.event_of_change(&object, changed, (type_, standing.as_str(), note)).await;
}
