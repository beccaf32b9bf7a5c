//! What this region says of itself: a new digest each second, made by every replica from what it has anyway.

use gameserver_contract::MAX_FRAME_BYTES;
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
/// Bytes of a digest: an answer with it must fit into a frame.
const DIGEST_BYTES_MAX: usize = MAX_FRAME_BYTES - 64;
/// Bytes of `updated` and its figure in what is held of a Fleet.
const UPDATED_BYTES_MIN: usize = 9;
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
        let (own, fleets) = (own(self.me, &self.stores.region_clusters), self.own_fleets());
        let version = version_of(own.as_deref(), &fleets)?;
        let (fleets, next) = page(fleets, offset);
        Some(Objects { version, region_cluster: own.map(|own| own.spec.clone()), fleets, next })
    }

    /// Version of all that; none if this region publishes nothing.
    pub(super) fn objects_version(&self) -> Option<Version> {
        version_of(own(self.me, &self.stores.region_clusters).as_deref(), &self.own_fleets())
    }
}

fn version_of(own: Option<&RegionCluster>, fleets: &[PublishedFleet]) -> Option<Version> {
    let is_something = own.is_some() || !fleets.is_empty();
    let versions = fleets.iter();
    let versions: Vec<_> = versions
        .map(|fleet| (&fleet.uid, fleet.version, &fleet.weights, &fleet.scaler, fleet.deleted))
        .collect();
    let contents = if fleets.is_empty() { 0 } else { hash(&versions) };
    is_something.then_some(Version { contents, ..own.map(version).unwrap_or_default() })
}

/// The digest as it fits into a frame. With very many Fleets of very long names those whose names come last do not say how many of
/// their servers have their template; if that does not do, nor in which version they are here, and what is buried is not said: a home that is behind hears it of another Fleet, or of another region. Else
/// nobody would hear anything.
pub(super) fn cut(mut digest: Digest) -> Digest {
    let bytes = |digest: &Digest| rmp_serde::to_vec_named(digest).map_or(0, |encoded| encoded.len());
    let mut over = bytes(&digest).saturating_sub(DIGEST_BYTES_MAX);
    for held in digest.holdings.fleets.values_mut().rev().filter(|held| held.updated > 0) {
        if over == 0 {
            return digest;
        }
        held.updated = 0;
        over = over.saturating_sub(UPDATED_BYTES_MIN);
    }
    over = bytes(&digest).saturating_sub(DIGEST_BYTES_MAX);
    for held in digest.holdings.fleets.values_mut().rev() {
        if over == 0 {
            return digest;
        }
        let mark = held.mark.take();
        over = over.saturating_sub(rmp_serde::to_vec_named(&mark).map_or(0, |encoded| encoded.len()));
    }
    if over > 0 {
        digest.buried.clear();
    }
    digest
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
    use crate::links::message::{Answer, OwnStanding, Reach, View, Zone};
    use crate::runtime::watch::Watched;
    use kube::runtime::watcher::Event;
    use operator_api::labels;
    use operator_core::regions::recovery::Mark;
    use operator_core::regions::shares::{self, Held, Holdings, Scaled};
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

    /// With names of `bytes` bytes, of that many Fleets, all their figures as long as they may be.
    fn largest(bytes: usize, count: usize, (figure, number): (u32, u64), on_trial: bool) -> Digest {
        let name = |number: usize| format!("{number:0>bytes$}");
        let key = |number| format!("region-8/{}/{}", "n".repeat(63), name(number));
        let version = shares::Version { home_epoch: number, generation: number };
        let mark = Mark { version, records: number, uid: u64::MAX };
        let scaled = Some(Scaled { replicas: figure, max: figure });
        let held = Held {
            share: figure,
            ready: figure,
            updated: figure,
            players: figure,
            generation: number,
            on_trial,
            scaled,
            mark: Some(mark),
        };
        let regions: Vec<String> = (0..64).map(|region| format!("region{region}")).collect();
        let view = View { number: u64::MAX, regions: regions.iter().cloned().collect() };
        let basis = shares::Basis {
            view: operator_core::regions::view::View {
                number: u64::MAX,
                regions: regions.iter().map(|region| region.parse().unwrap()).collect(),
            },
            function: u32::MAX,
            facts: u64::MAX,
        };
        let zone = || Zone { name: "z".repeat(63), nodes: i32::MAX };
        let figures = Figures {
            players: i64::MAX,
            capacity: i64::MAX,
            headroom: i64::MAX,
            zones: (0..16).map(|_| zone()).collect(),
            ..Figures::default()
        };
        Digest {
            region: "region-8".to_owned(),
            cluster: "c".repeat(36),
            row: regions.iter().map(|region| (region.clone(), Reach::Answers)).collect(),
            view,
            standing: OwnStanding::Isolated,
            figures: Some(figures),
            responders: vec!["[2001:db8:1111:2222:3333:4444:5555:6666]:65535".to_owned(); 8],
            objects: Some(Version { uid: "u".repeat(36), generation: i64::MAX, contents: u64::MAX }),
            holdings: Holdings { basis, fleets: (0..count).map(|number| (key(number), held)).collect() },
            buried: (0..32)
                .map(|number| (format!("{}{}", key(number), "x".repeat(63 - bytes)), mark))
                .collect(),
            ..Digest::default()
        }
    }

    #[test]
    fn the_largest_digest_fits_into_a_frame_and_says_what_it_can() {
        let most = (u32::MAX, u64::MAX);
        for (name, bytes, count, figures, on_trial, marked, buried) in [
            ("a few", 31, 20, most, true, 20, 32),
            ("in the longest namespace, of middling names", 24, 256, (100, 100), false, 230, 32),
            ("and all on trial", 24, 256, (100, 100), true, 190, 32),
            ("of the longest names", 31, 256, most, false, 40, 32),
            ("and all on trial", 31, 256, most, true, 10, 32),
            ("and of longer ones than a placed Fleet may have", 63, 256, most, true, 0, 0),
        ] {
            let digest = cut(largest(bytes, count, figures, on_trial));
            let answer = Answer { digest: Some(digest.clone()), ..Answer::default() };
            let length = rmp_serde::to_vec_named(&answer).unwrap().len();
            assert!(length <= MAX_FRAME_BYTES, "{name}: {length}");
            let fleets = &digest.holdings.fleets;
            assert_eq!(fleets.len(), count, "{name}: what it has is always said");
            let with_mark = fleets.values().take_while(|held| held.mark.is_some()).count();
            assert!(with_mark >= marked, "{name}: {with_mark}");
            assert_eq!(digest.buried.len(), buried, "{name}");
            let is_said = fleets.values().filter(|held| held.updated > 0).count();
            assert!(is_said == 0 || with_mark == count, "{name}: marks go last");
        }
    }
}
