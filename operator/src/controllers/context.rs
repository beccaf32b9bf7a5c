//! What controllers share.

use k8s_openapi::api::apps::v1::ControllerRevision;
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use k8s_openapi::api::core::v1::{ConfigMap, Node, ObjectReference, Pod};
use kube::Client;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::events::{Event, EventType, Recorder};
use kube::{Api, Resource, ResourceExt};
use operator_api::{AutoScaler, Fleet, GameServer, GameServerAllocation, RegionCluster};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;
use tracing::warn;

use super::auto_scaler::ScaleTimes;
use super::fleet_rollout::Trials;
use super::host_ports::HostPortLedger;
use super::pace::Pace;
use super::placements::Placements;
use super::pod::PodDefaults;
use super::recovery::Shown;
use crate::allocation::Desk;
use crate::journal::Journal;
use crate::links::{LinkStores, Links};
use crate::reports::keys::FleetKeys;
use crate::reports::live::LiveServers;
use crate::reports::trust::{Bundles, Rotation};
use crate::runtime::clock::Clock;
use crate::runtime::metrics::Metrics;
use crate::runtime::watch::Watched;

/// Every kind that is watched.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) fleets: Watched<Fleet>,
    pub(crate) game_servers: Watched<GameServer>,
    /// The templates that Fleets had.
    pub(crate) revisions: Watched<ControllerRevision>,
    pub(crate) auto_scalers: Watched<AutoScaler>,
    pub(crate) allocations: Watched<GameServerAllocation>,
    pub(crate) region_clusters: Watched<RegionCluster>,
    pub(crate) pods: Watched<Pod>,
    pub(crate) nodes: Watched<Node>,
    /// Pods of the responders.
    pub(crate) responders: Watched<Pod>,
    pub(crate) horizontal: Watched<HorizontalPodAutoscaler>,
    /// What this region keeps of its vote.
    pub(crate) ballots: Watched<ConfigMap>,
}

impl Stores {
    /// Those by which the region is told to others.
    pub(crate) fn of_links(&self) -> LinkStores {
        LinkStores {
            region_clusters: self.region_clusters.store().clone(),
            nodes: self.nodes.store().clone(),
            responders: self.responders.store().clone(),
            fleets: self.fleets.store().clone(),
            auto_scalers: self.auto_scalers.store().clone(),
            ballots: self.ballots.store().clone(),
        }
    }
}

/// What controllers share for as long as this replica leads.
pub(crate) struct Context {
    pub(crate) client: Client,
    /// The operator's own.
    pub(crate) namespace: String,
    pub(crate) stores: Stores,
    pub(crate) live: Arc<LiveServers>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) keys: Arc<FleetKeys>,
    pub(crate) pods: PodDefaults,
    pub(crate) ports: HostPortLedger,
    pub(crate) bundles: Arc<Bundles>,
    pub(crate) rotation: Rotation,
    pub(crate) links: Arc<Links>,
    pub(crate) pace: Pace,
    pub(crate) placements: Placements,
    /// Where game servers are asked for.
    pub(crate) desk: Desk,
    pub(crate) scale_times: ScaleTimes,
    pub(crate) trials: Trials,
    /// Why this region publishes none of its placed Fleets, while it does not.
    pub(crate) recovery: Shown,
    pub(crate) recorder: Recorder,
    pub(crate) metrics: Metrics,
    pub(crate) clock: Clock,
    /// When this replica began to lead, in time in which it ran.
    pub(crate) leading_since: Duration,
}

impl Context {
    /// How long this replica has led, without times in which it stood still.
    pub(crate) fn led_for(&self) -> Duration {
        self.live.awake(self.clock.elapsed()).saturating_sub(self.leading_since)
    }

    /// Writes the status by server-side apply, with a field manager for the kind.
    pub(crate) async fn apply_status<K>(&self, object: &K, status: &impl Serialize) -> kube::Result<()>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let namespace = object.namespace().unwrap_or_default();
        self.apply_status_in(&Api::namespaced(self.client.clone(), &namespace), object, status).await
    }

    /// The same for a kind of any scope.
    pub(crate) async fn apply_status_in<K>(
        &self,
        api: &Api<K>,
        object: &K,
        status: &impl Serialize,
    ) -> kube::Result<()>
    where
        K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        let patch = json!({
            "apiVersion": K::api_version(&()),
            "kind": K::kind(&()),
            // The uid keeps the status of a deleted object from reaching a new one of the same name.
            "metadata": { "name": object.name_any(), "uid": object.uid() },
            "status": status,
        });
        let manager = format!("cranewing-{}", K::kind(&()).to_lowercase());
        let params = PatchParams::apply(&manager).force();
        api.patch_status(&object.name_any(), &params, &Patch::Apply(patch)).await.map(drop)
    }

    /// Publishes an Event; one that cannot be published is a warning, never a failed reconciliation. Those alike are
    /// counted on the first one, whose note stays.
    pub(crate) async fn event(&self, object: &ObjectReference, type_: EventType, reason: &str, note: String) {
        self.publish(object, None, (type_, reason, note)).await;
    }

    /// Publishes an Event of a change to `changed`, as it was before: each change is an Event of its own with a note of
    /// its own, because the reference names the version. However often that is, is for whoever changes to limit.
    pub(crate) async fn event_of_change(
        &self,
        object: &ObjectReference,
        changed: ObjectReference,
        event: (EventType, &str, String),
    ) {
        self.publish(object, Some(changed), event).await;
    }

    async fn publish(
        &self,
        object: &ObjectReference,
        secondary: Option<ObjectReference>,
        (type_, reason, note): (EventType, &str, String),
    ) {
        let (action, reason) = (reason.to_owned(), reason.to_owned());
        let event = Event { type_, reason, note: Some(note), action, secondary };
        if let Err(error) = self.recorder.publish(&event, object).await {
            warn!(%error, reason = event.reason, "failed to publish an event");
        }
    }
}
