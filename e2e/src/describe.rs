//! How things stand, for the message of a failure: our objects, pods, events, and what operator and game servers said.

use k8s_openapi::api::core::v1::{Event, Pod};
use kube::api::{ListParams, LogParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use operator_api::{AutoScaler, Fleet, GameServer, RegionCluster};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Write as _;

use crate::region::OPERATOR_NAMESPACE;
use crate::scratch::Scratch;

/// Events shown at most, the newest.
const EVENTS_MAX: usize = 60;
/// Game servers whose logs are shown at most.
const LOGS_MAX: usize = 8;

/// How things stand in a test's namespace and its region. Says what cannot be read instead of failing.
pub(crate) async fn describe(scratch: &Scratch) -> String {
    let mut text = String::new();
    let region: Api<RegionCluster> = scratch.region.all();
    objects(&mut text, &region).await;
    namespaced::<Fleet>(&mut text, scratch).await;
    namespaced::<AutoScaler>(&mut text, scratch).await;
    namespaced::<GameServer>(&mut text, scratch).await;
    pods(&mut text, &scratch.api(), 40, LOGS_MAX).await;
    events(&mut text, &scratch.api()).await;
    pods(&mut text, &Api::namespaced(scratch.region.client.clone(), OPERATOR_NAMESPACE), 100, 4).await;
    text
}

async fn namespaced<K>(text: &mut String, scratch: &Scratch)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + DeserializeOwned
        + Serialize
        + std::fmt::Debug,
{
    objects::<K>(text, &scratch.api()).await;
}

/// Generation, and the status in one line, which is what decides.
async fn objects<K>(text: &mut String, api: &Api<K>)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Serialize + std::fmt::Debug,
{
    let kind = K::kind(&());
    match api.list(&ListParams::default()).await {
        Ok(found) => {
            for object in found {
                let value = serde_json::to_value(&object).unwrap_or_default();
                let generation = object.meta().generation.unwrap_or_default();
                line(
                    text,
                    &format!("{kind} {} generation {generation}: {}", object.name_any(), value["status"]),
                );
            }
        }
        Err(error) => line(text, &format!("{kind}: {error}")),
    }
}

async fn pods(text: &mut String, api: &Api<Pod>, lines: i64, logs_max: usize) {
    let found = match api.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(error) => return line(text, &format!("pods: {error}")),
    };
    for (number, pod) in found.iter().enumerate() {
        let status = pod.status.clone().unwrap_or_default();
        let containers = status.container_statuses.unwrap_or_default();
        let shown: Vec<String> = containers
            .iter()
            .map(|one| {
                let state = serde_json::to_string(&one.state).unwrap_or_default();
                format!("{} restarted {} times: {state}", one.name, one.restart_count)
            })
            .collect();
        let phase = status.phase.unwrap_or_default();
        line(text, &format!("pod {}: {phase}, {}", pod.name_any(), shown.join(", ")));
        if number < logs_max {
            let restarted = containers.iter().any(|one| one.restart_count > 0);
            for previous in [restarted.then_some(true), Some(false)].into_iter().flatten() {
                let log = LogParams { tail_lines: Some(lines), previous, ..LogParams::default() };
                let said = api.logs(&pod.name_any(), &log).await.unwrap_or_else(|error| format!("{error}\n"));
                text.extend(said.lines().map(|said| format!("    | {said}\n")));
            }
        }
    }
}

async fn events(text: &mut String, api: &Api<Event>) {
    let mut found = match api.list(&ListParams::default()).await {
        Ok(found) => found.items,
        Err(error) => return line(text, &format!("events: {error}")),
    };
    found.sort_by_key(|event| event.metadata.creation_timestamp.clone().map(|time| time.0));
    let surplus = found.len().saturating_sub(EVENTS_MAX);
    for event in found.split_off(surplus) {
        let about = event.involved_object;
        let (kind, name) = (about.kind.unwrap_or_default(), about.name.unwrap_or_default());
        let (reason, message) = (event.reason.unwrap_or_default(), event.message.unwrap_or_default());
        line(text, &format!("event {kind} {name}: {reason}: {message}"));
    }
}

fn line(text: &mut String, words: &str) {
    let _infallible = writeln!(text, "{words}");
}
