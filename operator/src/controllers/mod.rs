//! One room a kind. Each reconciles by the same steps: observe (stores, live figures) -> decide (pure, in
//! `operator-core`) -> build (pure) -> apply -> status. They run on the leader only, and so does the turnover of the
//! report endpoint's certificate authorities.

mod authority;
mod auto_scaler;
mod context;
mod figures;
mod fleet;
mod fleet_copies;
mod fleet_rollout;
mod fleet_status;
mod game_server;
mod game_server_allocation;
mod horizontal;
mod host_ports;
mod observe;
mod pace;
mod placed_agenda;
mod placed_fleets;
mod placed_rollout;
mod placed_scalers;
mod placed_status;
mod placed_write;
mod placements;
mod pod;
mod probes;
mod recovery;
mod recovery_objects;
mod region_cluster;
mod region_copies;
mod retries;
mod revisions;
#[cfg(test)]
mod tests;
mod undone;
mod wheel;

pub(crate) use auto_scaler::ScaleTimes;
pub(crate) use context::{Context, Stores};
pub(crate) use fleet_rollout::Trials;
pub(crate) use host_ports::HostPortLedger;
pub(crate) use pace::Pace;
pub(crate) use placements::Placements;
pub(crate) use pod::PodDefaults;
pub(crate) use recovery::Shown;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::runtime::applier;
use kube::runtime::controller::{Action, Config};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Resource, ResourceExt};
use operator_api::{AutoScaler, Fleet, GameServer, GameServerAllocation, RegionCluster, labels};
use operator_core::backoff::{jitter_of, next_backoff};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::broadcast;
use tracing::{Instrument, debug, warn};

use crate::about::about;
use crate::runtime::telemetry::chain;

/// Objects of a kind reconciled at the same time.
const CONCURRENCY: u16 = 16;
/// Allocations at the same time: a reconciliation waits for its server. More than that wait for a place, first come first.
const ALLOCATIONS_MAX: u16 = 1024;
/// Failing objects remembered before those that are gone are dropped.
const FAILURES_MAX: usize = 1024;
/// Changes of one object that come together are reconciled together.
const DEBOUNCE: Duration = Duration::from_millis(20);

/// A step of a reconciliation that failed, with its name for metrics.
pub(crate) trait StepError: std::error::Error + Send + Sync + 'static {
    /// Name of the step.
    fn step(&self) -> &'static str;
}

/// Runs all controllers until the future is dropped.
pub(crate) async fn run(context: Arc<Context>) {
    let stores = &context.stores;
    let game_servers = stream::select(
        stream::select(
            stores.game_servers.concerning(|server: &GameServer| vec![ObjectRef::from_obj(server)]),
            stores.pods.concerning(server_of_pod),
        ),
        live_changes(&context),
    );
    let by_live = context.stores.game_servers.store().clone();
    let fleets = stream::select(
        stream::select(
            stores.fleets.concerning(|fleet: &Fleet| vec![ObjectRef::from_obj(fleet)]),
            stream::select(
                stores.game_servers.concerning(fleet_of),
                stores.revisions.concerning(fleet_of::<ControllerRevision>),
            ),
        ),
        live_changes(&context)
            .filter_map(move |server| std::future::ready(by_live.get(&server)))
            .flat_map(|server| stream::iter(fleet_of(&*server))),
    );
    let allocations =
        stores.allocations.concerning(|asked: &GameServerAllocation| vec![ObjectRef::from_obj(asked)]);
    tokio::join!(
        authority::run(&context),
        region_cluster::export_figures(&context),
        region_copies::run(&context),
        placed_fleets::run(&context),
        control(
            ("GameServer", CONCURRENCY),
            &context,
            context.stores.game_servers.store(),
            game_servers,
            game_server::reconcile
        ),
        control(("Fleet", CONCURRENCY), &context, context.stores.fleets.store(), fleets, fleet::reconcile),
        control(
            ("GameServerAllocation", ALLOCATIONS_MAX),
            &context,
            context.stores.allocations.store(),
            allocations,
            game_server_allocation::reconcile
        ),
        control(
            ("AutoScaler", CONCURRENCY),
            &context,
            context.stores.auto_scalers.store(),
            auto_scalers(&context),
            auto_scaler::reconcile
        ),
        control(
            ("HorizontalPodAutoscaler", CONCURRENCY),
            &context,
            context.stores.horizontal.store(),
            horizontals(&context),
            horizontal::reconcile
        ),
        control(
            ("RegionCluster", CONCURRENCY),
            &context,
            context.stores.region_clusters.store(),
            regions(&context),
            region_cluster::reconcile
        ),
    );
}

/// Reconciles one kind whenever `triggers` says so, so many objects at the same time.
async fn control<K, Triggers, Reconcile, Reconciling, Error>(
    (kind, concurrency): (&'static str, u16),
    context: &Arc<Context>,
    store: &Store<K>,
    triggers: Triggers,
    reconcile: Reconcile,
) where
    K: Resource<DynamicType = ()> + Clone + std::fmt::Debug + Send + Sync + 'static,
    Triggers: Stream<Item = ObjectRef<K>> + Send + 'static,
    Reconcile: Fn(Arc<K>, Arc<Context>) -> Reconciling,
    Reconciling: Future<Output = Result<Action, Error>> + Send + 'static,
    Error: StepError,
{
    let failures: Failures<K> = Arc::default();
    let failed = Arc::clone(&failures);
    let store_of_failed = store.clone();
    let counted = |object: Arc<K>, context: Arc<Context>| {
        let (metrics, failures) = (context.metrics.clone(), Arc::clone(&failures));
        let reference = ObjectRef::from_obj(&*object);
        let span = about(&*object);
        let work = reconcile(object, context);
        let counted = async move {
            let timer = metrics.reconcile_seconds.with_label_values(&[kind]).start_timer();
            let done = work.await;
            timer.observe_duration();
            let outcome = done.as_ref().map_or_else(StepError::step, |_| "ok");
            metrics.reconciles.with_label_values(&[kind, outcome]).inc();
            if done.is_ok() {
                failures.lock().unwrap_or_else(PoisonError::into_inner).remove(&reference);
            }
            done
        };
        Box::pin(counted.instrument(span))
    };
    let on_error = move |object: Arc<K>, error: &Error, _: Arc<Context>| {
        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.len() >= FAILURES_MAX {
            failed.retain(|object, _| store_of_failed.get(object).is_some());
        }
        let count = failed.entry(ObjectRef::from_obj(&*object)).or_insert(0);
        *count += 1;
        let wait = next_backoff(*count, jitter_of(&object.uid().unwrap_or_default()));
        about(&*object).in_scope(|| {
            warn!(step = error.step(), error = chain(error), again_in = ?wait, "failed to reconcile");
        });
        Action::requeue(wait)
    };
    let queue = triggers.map(Ok::<_, std::convert::Infallible>);
    let config = Config::default().concurrency(concurrency).debounce(DEBOUNCE);
    applier(counted, on_error, Arc::clone(context), store.clone(), Box::pin(queue), config)
        .for_each(|result| {
            if let Err(error) = result {
                debug!(kind, %error, "an object went before it was reconciled");
            }
            std::future::ready(())
        })
        .await;
}

type Failures<K> = Arc<Mutex<HashMap<ObjectRef<K>, u32>>>;

/// Game servers whose live figures changed; all of them after falling behind.
fn live_changes(context: &Arc<Context>) -> impl Stream<Item = ObjectRef<GameServer>> + Send + use<> {
    let store = context.stores.game_servers.store().clone();
    stream::unfold((context.live.changes(), store), |(mut changes, store)| async move {
        let concerned = match changes.recv().await {
            Ok(server) => vec![server],
            Err(broadcast::error::RecvError::Lagged(_)) => {
                store.state().iter().map(|server| ObjectRef::from_obj(&**server)).collect()
            }
            Err(broadcast::error::RecvError::Closed) => return None,
        };
        Some((concerned, (changes, store)))
    })
    .flat_map(stream::iter)
}

/// Scalers that changed, or beside which a horizontal one did.
fn auto_scalers(context: &Context) -> impl Stream<Item = ObjectRef<AutoScaler>> + Send + 'static {
    let Stores { horizontal, auto_scalers, .. } = &context.stores;
    let store = auto_scalers.store().clone();
    stream::select(
        auto_scalers.concerning(|scaler: &AutoScaler| vec![ObjectRef::from_obj(scaler)]),
        horizontal.concerning(move |scaler: &HorizontalPodAutoscaler| scalers_beside(&store, scaler)),
    )
}

/// Regions that changed; all of them when a node did.
fn regions(context: &Context) -> impl Stream<Item = ObjectRef<RegionCluster>> + Send + 'static {
    let Stores { region_clusters, nodes, .. } = &context.stores;
    let store = region_clusters.store().clone();
    let all = move |_: &Node| store.state().iter().map(|region| ObjectRef::from_obj(&**region)).collect();
    stream::select(
        region_clusters.concerning(|region: &RegionCluster| vec![ObjectRef::from_obj(region)]),
        nodes.concerning(all),
    )
}

/// Horizontal scalers that changed, or beside which an AutoScaler did.
fn horizontals(context: &Context) -> impl Stream<Item = ObjectRef<HorizontalPodAutoscaler>> + Send + 'static {
    let Stores { horizontal, auto_scalers, .. } = &context.stores;
    let store = horizontal.store().clone();
    stream::select(
        horizontal.concerning(|scaler: &HorizontalPodAutoscaler| vec![ObjectRef::from_obj(scaler)]),
        auto_scalers.concerning(move |scaler: &AutoScaler| horizontal::rivals_of(&store, scaler)),
    )
}

fn server_of_pod(pod: &Pod) -> Vec<ObjectRef<GameServer>> {
    let namespace = pod.namespace().unwrap_or_default();
    pod.labels()
        .get(labels::GAME_SERVER)
        .map(|name| ObjectRef::new(name).within(&namespace))
        .into_iter()
        .collect()
}

/// The Fleet that an object is labelled with.
fn fleet_of<K: ResourceExt>(object: &K) -> Vec<ObjectRef<Fleet>> {
    let namespace = object.namespace().unwrap_or_default();
    object
        .labels()
        .get(labels::FLEET)
        .map(|name| ObjectRef::new(name).within(&namespace))
        .into_iter()
        .collect()
}

fn scalers_beside(
    scalers: &Store<AutoScaler>,
    horizontal: &HorizontalPodAutoscaler,
) -> Vec<ObjectRef<AutoScaler>> {
    let namespace = horizontal.namespace();
    scalers
        .state()
        .iter()
        .filter(|scaler| scaler.namespace() == namespace)
        .map(|scaler| ObjectRef::from_obj(&**scaler))
        .collect()
}
