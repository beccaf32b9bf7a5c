//! What this region says of itself: a new digest each second, made by every replica from what it has anyway.

use k8s_openapi::api::core::v1::Node;
use kube::ResourceExt;
use kube::runtime::reflector::Store;
use operator_api::RegionCluster;
use operator_core::regions::RegionId;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::Links;
use super::facts::hash;
use super::home::{Home, of_region};
use super::message::{Digest, Figures, Objects, PublishedFleet, Version};

/// Bytes of the Fleets of a page: with a RegionCluster they must fit into a frame.
const PAGE_BYTES_MAX: usize = 44 * 1024;
/// How often a digest is made.
const PERIOD: Duration = Duration::from_secs(1);

/// What does not change while the process runs.
pub(super) struct Origin {
    /// Uid of the namespace `kube-system`.
    pub(super) cluster: String,
    /// Random.
    pub(super) boot: u64,
    /// Port of the responders, if there are some.
    pub(super) responder_port: Option<u16>,
}

/// Makes one digest after the other until `stop`.
pub(super) async fn run(
    links: Arc<Links>,
    origin: Origin,
    made: watch::Sender<Arc<Digest>>,
    stop: CancellationToken,
) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sequence = 0;
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        sequence += 1;
        made.send_replace(Arc::new(links.digest(&origin, sequence)));
    }
}

/// This region's own RegionCluster: the first by name, should there be several.
pub(super) fn own(me: RegionId, regions: &Store<RegionCluster>) -> Option<Arc<RegionCluster>> {
    let is_own = |region: &Arc<RegionCluster>| of_region(region, me) == Home::Here;
    regions.state().into_iter().filter(is_own).min_by_key(|region| region.name_any())
}

impl Links {
    /// What this region publishes, from so many Fleets on.
    pub(super) fn objects(&self, offset: usize) -> Option<Objects> {
        let version = self.objects_version()?;
        let own = own(self.me, &self.stores.region_clusters);
        let (fleets, next) = page(self.own_fleets(), offset);
        Some(Objects { version, region_cluster: own.map(|own| own.spec.clone()), fleets, next })
    }

    /// Version of all that; none if this region publishes nothing.
    pub(super) fn objects_version(&self) -> Option<Version> {
        let own = own(self.me, &self.stores.region_clusters);
        let fleets = self.own_fleets();
        let is_something = own.is_some() || !fleets.is_empty();
        let versions = fleets.iter();
        let versions: Vec<_> = versions
            .map(|fleet| (&fleet.uid, fleet.version, &fleet.weights, &fleet.scaler, fleet.deleted))
            .collect();
        let contents = if fleets.is_empty() { 0 } else { hash(&versions) };
        let of_region = own.map(|own| version(&own)).unwrap_or_default();
        is_something.then_some(Version { contents, ..of_region })
    }
}

/// So many of them, from an offset on, as go into a frame with a RegionCluster; and the offset of the next.
pub(super) fn page(all: Vec<PublishedFleet>, offset: usize) -> (Vec<PublishedFleet>, Option<usize>) {
    let (mut fleets, mut bytes, count) = (Vec::new(), 0, all.len());
    for fleet in all.into_iter().skip(offset) {
        bytes += rmp_serde::to_vec_named(&fleet).map_or(0, |encoded| encoded.len());
        if bytes > PAGE_BYTES_MAX && !fleets.is_empty() {
            break;
        }
        fleets.push(fleet);
    }
    let next = Some(offset.saturating_add(fleets.len())).filter(|next| *next < count);
    (fleets, next)
}

/// Version of a RegionCluster.
pub(super) fn version(region: &RegionCluster) -> Version {
    Version {
        uid: region.uid().unwrap_or_default(),
        generation: region.metadata.generation.unwrap_or_default(),
        contents: 0,
    }
}

pub(super) fn figures(region: &RegionCluster) -> Option<Figures> {
    let status = region.status.clone()?;
    Some(Figures {
        health: status.health,
        players: status.players,
        capacity: status.capacity,
        headroom: status.headroom,
        servers: status.servers,
        mean_input_latency: status.mean_input_latency,
        zones_covered: status.zones_covered,
        zones: status.zones.into_iter().map(Into::into).collect(),
        operator_version: status.operator_version,
    })
}

/// Whether the node says that it is.
pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::watch::Watched;
    use kube::runtime::watcher::Event;
    use operator_api::labels;
    use serde_json::json;

    #[test]
    fn a_region_publishes_its_own_object_and_no_copy() {
        let (regions, mut writer) = Watched::<RegionCluster>::fed();
        let (me, store) = ("kr".parse().unwrap(), regions.store());
        for (name, region_id, home, published) in [
            ("jp", "jp", None, None),
            ("sg", "kr", Some("sg"), None),
            ("two", "kr", None, Some("two")),
            ("one", "kr", None, Some("one")),
        ] {
            let managed = labels::MANAGED_BY_OPERATOR;
            let labels = home.map(|home| json!({ labels::HOME: home, labels::MANAGED_BY: managed }));
            let region = json!({
                "metadata": { "name": name, "uid": name, "generation": 2, "labels": labels },
                "spec": { "regionId": region_id, "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
            });
            writer.apply_watcher_event(&Event::Apply(serde_json::from_value(region).unwrap()));
            let found = own(me, store).map(|own| own.name_any());
            assert_eq!(found.as_deref(), published, "{name}");
        }
    }
}
