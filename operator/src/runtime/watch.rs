//! A kind that is watched: one watch, one store, and as many listeners as there are controllers.
//!
//! Invariants:
//! - The store changes before its listeners hear of the change.
//! - A listener that falls behind hears of everything in the store instead of losing a change.
//! - An object that cannot be decoded is left out with a warning; the watch lives on.

use futures::{Stream, StreamExt, stream};
use kube::core::DeserializeGuard;
use kube::runtime::WatchStreamExt;
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{Config, Event, watcher};
use kube::{Api, Resource};
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Changes that a listener may fall behind before it starts over from the store.
const BACKLOG_MAX: usize = 4096;

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
    /// Begins to watch; ends with `stop`.
    pub(crate) fn start(api: Api<DeserializeGuard<K>>, config: Config, stop: CancellationToken) -> Self {
        let (reader, writer) = store();
        let (changes, _) = broadcast::channel(BACKLOG_MAX);
        let watched = Self { store: reader, changes: changes.clone() };
        tokio::spawn(keep(api, config, writer, changes, stop));
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
}

async fn keep<K: Watchable>(
    api: Api<DeserializeGuard<K>>,
    config: Config,
    mut writer: Writer<K>,
    changes: broadcast::Sender<Arc<K>>,
    stop: CancellationToken,
) {
    let kind = K::kind(&());
    let mut events = Box::pin(watcher(api, config).default_backoff());
    while let Some(Some(event)) = stop.run_until_cancelled(events.next()).await {
        match event {
            Ok(event) => {
                if let Some(event) = decoded(event) {
                    writer.apply_watcher_event(&event);
                    tell(&writer.as_reader(), &changes, event);
                }
            }
            Err(error) => warn!(%kind, %error, "the watch broke and begins again"),
        }
    }
    debug!(%kind, "the watch ends");
}

/// Nobody listening is no error: a standby has no controllers.
fn tell<K: Watchable>(store: &Store<K>, changes: &broadcast::Sender<Arc<K>>, event: Event<K>) {
    match event {
        Event::Apply(object) | Event::Delete(object) => drop(changes.send(Arc::new(object))),
        Event::InitDone => store.state().into_iter().for_each(|object| drop(changes.send(object))),
        Event::Init | Event::InitApply(_) => {}
    }
}

fn decoded<K: Watchable>(event: Event<DeserializeGuard<K>>) -> Option<Event<K>> {
    let object = |guard: DeserializeGuard<K>| match guard.0 {
        Ok(object) => Some(object),
        Err(error) => {
            let kind = K::kind(&());
            warn!(%kind, name = error.metadata.name, %error, "left out an object that cannot be decoded");
            None
        }
    };
    match event {
        Event::Apply(guard) => object(guard).map(Event::Apply),
        Event::Delete(guard) => object(guard).map(Event::Delete),
        Event::InitApply(guard) => object(guard).map(Event::InitApply),
        Event::Init => Some(Event::Init),
        Event::InitDone => Some(Event::InitDone),
    }
}
