//! What a region tells of itself (A3).

use super::World;
use crate::controllers::region_cluster;
use gameserver_contract::{HistogramDelta, Phase, Report};
use kube::runtime::reflector::ObjectRef;
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
    let export = async |world: &World| {
        tokio::select! {
            biased;
            () = region_cluster::export_figures(&world.context) => {}
            () = std::future::ready(()) => {}
        }
    };
    export(&world).await;
    assert_eq!(figures(), (2, 1, 0));
    world.put_fleet(5);
    export(&world).await;
    assert_eq!(figures(), (5, 1, 1), "until three more are Ready");
    metrics.forget_leading();
    assert_eq!(figures(), (0, 0, 0), "whoever leads next tells");
}
