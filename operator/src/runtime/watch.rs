//! A kind that is watched: one watch, one store, and as many listeners as there are controllers.
//!
//! Invariants:
//! - The store changes before its listeners hear of the change.
//! - A listener that falls behind hears of everything in the store instead of losing a change.
//! - An object that cannot be decoded is left out with a warning; the watch lives on.

use anyhow::Context as _;
use futures::{Stream, StreamExt, stream};
use kube::core::DeserializeGuard;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource};
use operator_core::backoff::{jitter_of, next_backoff};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::tasks::Tasks;

/// Changes that a listener may fall behind before it starts over from the store.
const BACKLOG_MAX: usize = 4096;

/// Failures in a row by which the wait for the next try grows: to six seconds at most, within which definitions that are
/// installed after the operator are seen.
const FAILURES_COUNTED_MAX: u32 = 5;

/// What a watched kind must be able to do.
pub(crate) trait Watchable:
    Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

impl<K> Watchable for K where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + Sync + 'static
{
}

/// A watched kind.
pub(crate) struct Watched<K: Watchable> {
    store: Store<K>,
    changes: broadcast::Sender<Arc<K>>,
}

impl<K: Watchable> Clone for Watched<K> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), changes: self.changes.clone() }
    }
}

impl<K: Watchable> Watched<K> {
    /// Begins to watch, as one of these tasks.
    pub(crate) fn start(api: Api<DeserializeGuard<K>>, config: Config, tasks: &mut Tasks) -> Self {
        let (reader, writer) = store();
        let (changes, _) = broadcast::channel(BACKLOG_MAX);
        let watched = Self { store: reader, changes: changes.clone() };
        let name = format!("the watch of {}", K::kind(&()));
        tasks.spawn(name, |stop| keep(api, config, writer, changes, stop));
        watched
    }

    /// Objects as last seen.
    pub(crate) fn store(&self) -> &Store<K> {
        &self.store
    }

    /// Objects of other kinds that each change concerns, beginning with those that every object in the store concerns.
    pub(crate) fn concerning<P, F>(&self, map: F) -> impl Stream<Item = ObjectRef<P>> + Send + 'static
    where
        P: Resource<DynamicType = ()> + 'static,
        F: Fn(&K) -> Vec<ObjectRef<P>> + Send + 'static,
    {
        let store = self.store.clone();
        stream::unfold((self.changes.subscribe(), true), move |(mut changes, all)| {
            let store = store.clone();
            async move {
                if all {
                    return Some((store.state(), (changes, false)));
                }
                match changes.recv().await {
                    Ok(object) => Some((vec![object], (changes, false))),
                    Err(broadcast::error::RecvError::Lagged(_)) => Some((Vec::new(), (changes, true))),
                    Err(broadcast::error::RecvError::Closed) => None,
                }
            }
        })
        .flat_map(stream::iter)
        .flat_map(move |object| stream::iter(map(&object)))
    }
}

#[cfg(test)]
impl<K: Watchable> Watched<K> {
    /// A kind whose watch brings what a test says.
    pub(crate) fn fed() -> (Self, Writer<K>) {
        let (reader, writer) = store();
        let (changes, _) = broadcast::channel(BACKLOG_MAX);
        (Self { store: reader, changes }, writer)
    }

    /// The watch of such a kind brings this object.
    pub(crate) fn bring(&self, writer: &mut Writer<K>, object: K) {
        take(writer, &self.changes, Event::Apply(DeserializeGuard(Ok(object))));
    }
}

async fn keep<K: Watchable>(
    api: Api<DeserializeGuard<K>>,
    config: Config,
    mut writer: Writer<K>,
    changes: broadcast::Sender<Arc<K>>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let kind = K::kind(&());
    let mut events = Box::pin(watcher(api, config));
    let mut failures = 0_u32;
    while let Some(event) = stop.run_until_cancelled(events.next()).await {
        match event.context("the stream of its events ended")? {
            Ok(event) => {
                // `Init` says only that a list is asked for; whatever else comes, the API server has answered.
                if !matches!(event, Event::Init) {
                    failures = 0;
                }
                take(&mut writer, &changes, event);
            }
            Err(error) => {
                failures = failures.saturating_add(1);
                let wait = next_backoff(failures.min(FAILURES_COUNTED_MAX), jitter_of(&kind));
                warn!(%kind, %error, again_in = ?wait, "the watch broke and begins again");
                if stop.run_until_cancelled(sleep(wait)).await.is_none() {
                    break;
                }
            }
        }
    }
    debug!(%kind, "the watch ends");
    Ok(())
}

/// Brings the store up to date, then tells of what changed. Nobody listening is no error: a standby has no controllers.
fn take<K: Watchable>(
    writer: &mut Writer<K>,
    changes: &broadcast::Sender<Arc<K>>,
    event: Event<DeserializeGuard<K>>,
) {
    let store = writer.as_reader();
    let Some(event) = decoded(&store, event) else { return };
    let before = if matches!(event, Event::InitDone) { store.state() } else { Vec::new() };
    writer.apply_watcher_event(&event);
    match event {
        Event::Apply(object) | Event::Delete(object) => drop(changes.send(Arc::new(object))),
        Event::InitDone => {
            // What a new list lacks was deleted while nobody watched.
            let lost = before.into_iter().filter(|old| store.get(&ObjectRef::from_obj(&**old)).is_none());
            lost.chain(store.state()).for_each(|object| drop(changes.send(object)));
        }
        Event::Init | Event::InitApply(_) => {}
    }
}

/// An object that cannot be decoded is as good as gone, whether it was one that could be before or not.
fn decoded<K: Watchable>(store: &Store<K>, event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
    let object = |guard: DeserializeGuard<K>| {
        guard.0.map_err(|error| {
            let kind = K::kind(&());
            warn!(%kind, name = error.metadata.name, %error, "left out an object that cannot be decoded");
            let namespace = error.metadata.namespace.unwrap_or_default();
            let named = ObjectRef::new(&error.metadata.name.unwrap_or_default()).within(&namespace);
            store.get(&named).map(|old| Event::Delete((*old).clone()))
        })
    };
    match event {
        Event::Apply(guard) => object(guard).map_or_else(|old| old, |object| Some(Event::Apply(object))),
        Event::Delete(guard) => object(guard).map_or_else(|old| old, |object| Some(Event::Delete(object))),
        Event::InitApply(guard) => object(guard).ok().map(Event::InitApply),
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_api::MockApi;
    use k8s_openapi::api::core::v1::Pod;
    use kube::ResourceExt;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn guard(pod: Value) -> DeserializeGuard<Pod> {
        serde_json::from_value(pod).unwrap()
    }

    fn pod(name: &str) -> Value {
        json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "games" } })
    }

    fn broken(name: &str) -> Value {
        let mut broken = pod(name);
        broken["spec"] = json!("nonsense");
        broken
    }

    /// Names that are told of after these events, beginning with a list of `one` and `two`; and what is left.
    fn told_after(events: Vec<Event<DeserializeGuard<Pod>>>) -> (Vec<String>, Vec<String>) {
        let (watched, mut writer) = Watched::<Pod>::fed();
        let list = [Event::Init, Event::InitApply(guard(pod("one"))), Event::InitApply(guard(pod("two")))];
        for event in list.into_iter().chain([Event::InitDone]) {
            take(&mut writer, &watched.changes, event);
        }
        let mut changes = watched.changes.subscribe();
        for event in events {
            take(&mut writer, &watched.changes, event);
        }
        let mut told = Vec::new();
        while let Ok(object) = changes.try_recv() {
            told.push(object.name_any());
        }
        let mut left: Vec<_> = watched.store.state().iter().map(|pod| pod.name_any()).collect();
        told.sort();
        left.sort();
        (told, left)
    }

    /// As where the definitions are not installed yet.
    #[tokio::test(start_paused = true)]
    async fn a_kind_that_the_api_server_does_not_know_is_asked_for_ever_less_often_and_seen_soon() {
        let (api, mut tasks) = (MockApi::default(), Tasks::default());
        let pods = Watched::<Pod>::start(Api::all(api.client()), Config::default(), &mut tasks);
        sleep(Duration::from_secs(60)).await;
        let asked = api.take_seen().len();
        assert!((10..=30).contains(&asked), "{asked} requests in a minute");
        api.put("/api/v1/pods", json!({ "metadata": {}, "items": [] }));
        let seen = tokio::time::timeout(Duration::from_secs(6), pods.store().wait_until_ready()).await;
        assert!(matches!(seen, Ok(Ok(()))), "{seen:?}");
        tasks.stop(Duration::ZERO).await.unwrap_or_default();
    }

    #[test]
    fn what_a_new_list_lacks_is_told_of_as_gone() {
        let (told, left) =
            told_after(vec![Event::Init, Event::InitApply(guard(pod("two"))), Event::InitDone]);
        assert_eq!((told, left), (vec!["one".to_owned(), "two".to_owned()], vec!["two".to_owned()]));
    }

    #[test]
    fn an_object_that_cannot_be_decoded_any_more_goes() {
        for event in [Event::Apply(guard(broken("one"))), Event::Delete(guard(broken("one")))] {
            assert_eq!(told_after(vec![event]), (vec!["one".to_owned()], vec!["two".to_owned()]));
        }
        let (told, left) = told_after(vec![Event::Apply(guard(broken("three")))]);
        assert_eq!((told.len(), left.len()), (0, 2), "one that was never known changes nothing");
        let list = vec![
            Event::Init,
            Event::InitApply(guard(broken("one"))),
            Event::InitApply(guard(pod("two"))),
            Event::InitDone,
        ];
        assert_eq!(told_after(list).1, ["two"]);
    }
}
