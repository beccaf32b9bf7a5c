//! What a region tells of itself (A3).

use super::World;
use super::placed_fleets::{Regions, open_to, published, region};
use super::recovery::{KR, kept, new_home};
use crate::controllers::region_cluster;
use gameserver_contract::{HistogramDelta, Phase, Report};
use kube::runtime::reflector::ObjectRef;
use operator_api::labels;
use prometheus::core::Collector as _;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

const REGION: &str = "/apis/cranewing.dev/v1alpha1/regionclusters/kr";

impl World {
    fn put_region(&mut self, region_id: &str) {
        let region = json!({
            "apiVersion": "cranewing.dev/v1alpha1", "kind": "RegionCluster",
            "metadata": { "name": "kr", "uid": "r-1", "generation": 1 },
            "spec": { "regionId": region_id, "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16" },
        });
        self.put(REGION, &region);
    }

    /// Exports once what the region has.
    async fn export(&self) {
        tokio::select! {
            biased;
            () = region_cluster::export_figures(&self.context) => {}
            () = std::future::ready(()) => {}
        }
    }

    async fn reconcile_region(&mut self) {
        let regions = self.context.stores.region_clusters.store();
        let region = regions.get(&ObjectRef::new("kr")).unwrap();
        region_cluster::reconcile(region, Arc::clone(&self.context)).await.unwrap();
        self.bring();
    }
}

#[tokio::test]
async fn a_region_tells_its_players_servers_health_and_zones() {
    let mut world = World::with_running_fleet(2).await;
    world.put_region("kr");
    world.report("arena-0", Phase::Ready, 3);
    world.report("arena-1", Phase::Draining, 4);
    world.reconcile_region().await;
    let status = world.api.get(REGION).unwrap()["status"].clone();
    assert_eq!((&status["players"], &status["capacity"]), (&json!(7), &json!(10)));
    assert_eq!(
        (&status["servers"]["total"], &status["servers"]["ready"], &status["servers"]["draining"]),
        (&json!(2), &json!(1), &json!(1))
    );
    assert_eq!(status["zonesCovered"], "0/3");
    assert_eq!(world.condition(REGION, "ZonesCovered").unwrap().1, "ZoneWithoutNode");

    world.report("arena-1", Phase::Ready, 4);
    world.reconcile_region().await;
    assert_eq!(world.api.get(REGION).unwrap()["status"]["health"], "Healthy");
    world.api.take_seen();
    world.wait(Duration::from_secs(5));
    world.report("arena-0", Phase::Ready, 3);
    world.report("arena-1", Phase::Ready, 4);
    world.reconcile_region().await;
    assert_eq!(world.api.take_seen(), [], "settled");
}

#[tokio::test]
async fn latencies_of_players_who_play_on_make_no_request() {
    let mut world = World::with_running_fleet(1).await;
    world.put_region("kr");
    world.wait(Duration::from_secs(5)); // what made the Fleet is written
    let at = |us: u64| Report {
        phase: Phase::Ready,
        players: 3,
        tick_us: HistogramDelta { buckets: vec![(13, 9), (14, 1)], sum: 10 * us },
        input_latency_us: HistogramDelta { buckets: vec![(27, 10)], sum: 10 * us },
        ..Report::default()
    };
    world.tell("arena-0", &at(10_000));
    world.reconcile_region().await;
    world.reconcile_fleet().await.unwrap();
    let region = world.api.get(REGION).unwrap();
    assert_eq!(region["status"]["meanInputLatency"], "10ms");
    world.api.take_seen();
    for us in [10_900, 9100, 11_400] {
        world.wait(Duration::from_secs(61));
        world.tell("arena-0", &at(us));
        world.reconcile_region().await;
        world.reconcile_fleet().await.unwrap();
    }
    assert_eq!(world.api.take_seen(), []);
}

#[tokio::test]
async fn an_object_that_is_deleted_meanwhile_is_no_failure() {
    for code in [404, 409] {
        let mut world = World::with_running_fleet(1).await;
        world.put_region("kr");
        world.api.fail(move |seen| seen.path.ends_with("/status").then_some(code));
        world.reconcile_region().await;
        assert_eq!(world.api.take_seen().len(), 1, "it was tried");
    }
}

#[tokio::test]
async fn another_regions_object_is_left_to_its_own_operator() {
    let mut world = World::with_running_fleet(1).await;
    world.put_region("jp");
    world.reconcile_region().await;
    assert_eq!(world.condition(REGION, "NotHome").unwrap().0, "True");
    assert_eq!(world.api.get(REGION).unwrap()["status"]["health"], json!(null), "nobody judges it here");
    world.api.take_seen();
    world.reconcile_region().await;
    assert_eq!(world.api.take_seen(), []);
}

#[tokio::test]
async fn the_leader_shows_what_fleets_ask_for_and_which_are_short_of_it() {
    let mut world = World::with_running_fleet(2).await;
    world.report("arena-0", Phase::Ready, 3);
    let metrics = world.context.metrics.clone();
    let figures = || (metrics.wanted.get(), metrics.in_use.get(), metrics.fleets_short.get());
    world.export().await;
    assert_eq!(figures(), (2, 1, 0));
    world.put_fleet(5);
    world.export().await;
    assert_eq!(figures(), (5, 1, 1), "until three more are Ready");
    metrics.forget_leading();
    assert_eq!(figures(), (0, 0, 0), "whoever leads next tells");
}

/// Reasons that are shown as 1, and how many are shown at all.
async fn not_published(regions: &Regions) -> (Vec<String>, usize) {
    regions.world.export().await;
    let families = regions.world.context.metrics.not_published.collect();
    let shown: Vec<_> = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric).collect();
    let holds = shown.iter().filter(|metric| metric.get_gauge().get_value() > 0.0);
    (holds.map(|metric| metric.get_label()[0].value().to_owned()).collect(), shown.len())
}

/// Or nobody is woken, and the region publishes nothing for good.
#[tokio::test]
async fn the_leader_shows_why_no_placed_fleet_is_published_until_that_is_cleared_up() {
    let mut regions = Regions::restored().await;
    assert_eq!(not_published(&regions).await, (vec!["RestoredFromOld".to_owned()], 6));
    regions.pass(600).await;
    assert_eq!(not_published(&regions).await.0, ["RestoredFromOld"], "as long as nobody says who counts");
    regions.confirm(labels::CONFIRM_TAKE_BACK);
    regions.pass(6).await;
    assert_eq!(not_published(&regions).await, (vec![], 6), "all of them are 0");

    let mut regions = new_home().await;
    regions.says("jp", kept(&[published("kr", 6, 5)], 3));
    regions.pass(20).await;
    assert_eq!(not_published(&regions).await.0, ["TakingBack"], "also without a RegionCluster");
    regions.world.put(KR, &region("kr", 0, 100));
    regions.world.put("/api/v1/namespaces/games", &open_to("jp"));
    regions.says("sg", kept(&[published("kr", 6, 5)], 3));
    regions.pass(5).await;
    assert_eq!(not_published(&regions).await.0, ["NamespaceClosed"], "one Fleet is still to come");
    regions.world.put("/api/v1/namespaces/games", &open_to("jp,kr"));
    regions.pass(14).await;
    assert_eq!(not_published(&regions).await, (vec![], 6));

    regions.world.context.metrics.forget_leading();
    let families = regions.world.context.metrics.not_published.collect();
    assert!(families.iter().all(|family| family.get_metric().is_empty()), "whoever leads next tells");
}
