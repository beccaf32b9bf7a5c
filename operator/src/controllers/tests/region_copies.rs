//! Other regions as they are seen in this region's cluster.

use super::World;
use crate::controllers::{region_cluster, region_copies};
use crate::links::home::is_said_to_be_own;
use crate::links::message::{Digest, Figures, Objects, OwnStanding, Reach, Version};
use crate::links::peer::{Peer, tests::peer};
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use operator_api::{RegionCluster, RegionHealth};
use operator_core::backoff::next_backoff;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Rows of a region that reads everybody.
const ALL: &[(&str, Reach)] = &[("kr", Reach::Reads), ("jp", Reach::Reads), ("sg", Reach::Reads)];

fn path(name: &str) -> String {
    format!("/apis/cranewing.dev/v1alpha1/regionclusters/{name}")
}

fn region(name: &str, region_id: &str) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "RegionCluster",
        "metadata": { "name": name, "uid": format!("u-{name}"), "generation": 1 },
        "spec": { "regionId": region_id, "zones": ["a", "b", "c"], "vpcCidr": "10.20.0.0/16" },
    })
}

impl World {
    /// kr, where this operator runs, with jp and sg registered.
    async fn with_regions() -> Self {
        let mut world = Self::new().await;
        world.put(&path("kr"), &region("kr", "kr"));
        world.register(&["jp", "sg"]);
        world.hear("jp", 1, ALL);
        world.hear("sg", 1, ALL);
        world.settle().await;
        world.api.take_seen();
        world
    }

    fn register(&self, names: &[&str]) {
        let peers = names.iter().map(|name| Arc::new(Peer { responders: Vec::new(), ..peer(name) }));
        self.context.links.table.register(self.context.clock.elapsed(), peers);
    }

    /// A digest and the objects of a region come.
    fn hear(&self, name: &str, sequence: u64, row: &[(&str, Reach)]) {
        self.hear_of(name, sequence, row, 3);
    }

    fn hear_of(&self, name: &str, sequence: u64, row: &[(&str, Reach)], players: i64) {
        self.hear_figures(name, sequence, row, Figures { players, headroom: 40, ..Figures::default() });
    }

    fn hear_figures(&self, name: &str, sequence: u64, row: &[(&str, Reach)], figures: Figures) {
        let version = Version { uid: format!("u-{name}"), generation: 1, contents: 0 };
        let digest = Digest {
            region: name.to_owned(),
            sequence,
            standing: OwnStanding::Member,
            row: row
                .iter()
                .filter(|(of, _)| *of != name)
                .map(|&(of, reach)| (of.to_owned(), reach))
                .collect(),
            figures: Some(figures),
            responders: vec!["192.0.2.1:8444".to_owned()],
            objects: Some(version.clone()),
            ..Digest::default()
        };
        let (table, clock) = (&self.context.links.table, self.context.clock);
        let name = name.parse().unwrap();
        let round_trip = Duration::from_millis(30 + sequence % 5);
        if table.heard((clock.elapsed(), clock.wall()), name, digest, round_trip).is_some() {
            let spec = serde_json::from_value(region("x", name.as_str())["spec"].clone()).unwrap();
            table.keep(name, Objects { version, region_cluster: Some(spec), ..Objects::default() });
        }
    }

    /// The object of a region comes with these fields changed.
    fn hear_spec(&self, name: &str, sequence: u64, fields: &Value) {
        self.hear(name, sequence, ALL);
        let mut spec = region("x", name)["spec"].clone();
        spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        let objects =
            Objects { region_cluster: Some(serde_json::from_value(spec).unwrap()), ..Objects::default() };
        self.context.links.table.keep(name.parse().unwrap(), objects);
    }

    /// Copies and every RegionCluster are looked at, twice.
    async fn settle(&mut self) {
        for _ in 0..2 {
            region_copies::Copies::default().turn(&self.context).await;
            self.bring();
            for region in self.context.stores.region_clusters.store().state() {
                region_cluster::reconcile(region, Arc::clone(&self.context)).await.unwrap();
            }
            self.bring();
        }
    }

    /// Seconds pass in which these regions are heard.
    async fn pass(&mut self, seconds: u64, heard: &[(&str, &[(&str, Reach)])]) {
        for _ in 0..seconds {
            self.wait(SECOND);
            drop(self.context.links.look(self.context.clock.elapsed()));
            let sequence = self.context.clock.elapsed().as_secs();
            for (name, row) in heard {
                self.hear(name, sequence, row);
            }
        }
        self.settle().await;
    }

    fn standing(&self, name: &str) -> String {
        self.api.get(&path(name)).unwrap()["status"]["standing"].as_str().unwrap_or_default().to_owned()
    }

    /// Notes of the Events since it was last asked.
    fn notes(&self) -> Vec<String> {
        let seen = self.api.take_seen();
        let events = seen.iter().filter(|seen| seen.path.ends_with("/events"));
        events.map(|seen| seen.body["note"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn every_region_is_seen_in_this_one_with_its_figures_and_how_it_is_reached() {
    let world = World::with_regions().await;
    let jp = world.api.get(&path("jp")).unwrap();
    assert_eq!(jp["metadata"]["labels"]["cranewing.dev/home"], "jp");
    assert_eq!(jp["metadata"]["annotations"]["cranewing.dev/responders"], "192.0.2.1:8444");
    assert_eq!((&jp["spec"]["regionId"], &jp["spec"]["vpcCidr"]), (&json!("jp"), &json!("10.20.0.0/16")));
    let status = &jp["status"];
    assert_eq!((&status["players"], &status["headroom"]), (&json!(3), &json!(40)));
    assert_eq!((&status["seenBy"], &status["roundTrips"]), (&json!(["kr", "sg"]), &json!({ "link": 31 })));
    assert!(status["lastHeartbeat"].is_string());
    let (connected, reason, message) = world.condition(&path("jp"), "Connected").unwrap();
    assert_eq!((connected.as_str(), reason.as_str()), ("True", "Connected"));
    assert_eq!(message, "it is read; kr Reads, sg Reads");
    assert_eq!((world.standing("kr"), world.standing("jp")), ("Member".to_owned(), "Connected".to_owned()));
    assert_eq!(world.condition(&path("kr"), "Connected").unwrap().1, "Member");
}

/// By it `operator region` knows which region a cluster is and how many are a majority, without a right to read keys.
#[tokio::test]
async fn a_regions_own_object_alone_says_that_it_is_and_names_its_peers_at_once() {
    let mut world = World::with_regions().await;
    world.put(&path("by-hand"), &region("by-hand", "us"));
    let own = |world: &World| -> Vec<String> {
        let regions = world.api.all::<RegionCluster>("regionclusters");
        regions.iter().filter(|region| is_said_to_be_own(region)).map(ResourceExt::name_any).collect()
    };
    let peers = |world: &World, of: &str| world.api.get(&path(of)).unwrap()["status"]["peers"].clone();
    world.settle().await;
    assert_eq!((own(&world), peers(&world, "kr")), (vec!["kr".to_owned()], json!(["jp", "sg"])));
    assert_eq!([peers(&world, "jp"), peers(&world, "by-hand")], [Value::Null, Value::Null]);
    world.register(&["jp"]);
    world.settle().await;
    assert_eq!(peers(&world, "kr"), json!(["jp"]));
    world.register(&["jp", "sg", "us"]);
    world.pass(5, &[("jp", ALL), ("sg", ALL)]).await;
    assert_eq!(peers(&world, "kr"), json!(["jp", "sg", "us"]), "once it has listened");
    world.register(&[]);
    world.settle().await;
    assert_eq!((own(&world), peers(&world, "kr")), (vec!["kr".to_owned()], Value::Null));
    world.register(&["jp", "sg"]);
    world.pass(9, &[]).await;
    assert_eq!((own(&world), world.standing("kr")), (vec!["kr".to_owned()], "Isolated".to_owned()));
}

#[tokio::test]
async fn settled_regions_are_not_written_however_often_they_are_heard() {
    let mut world = World::with_regions().await;
    world.pass(60, &[("jp", ALL), ("sg", ALL)]).await;
    assert_eq!(world.api.take_seen(), []);
}

#[tokio::test]
async fn a_region_alone_is_a_member_and_says_no_more() {
    let mut world = World::new().await;
    world.put(&path("kr"), &region("kr", "kr"));
    world.settle().await;
    assert_eq!(world.standing("kr"), "Member");
    assert_eq!(world.condition(&path("kr"), "Connected"), None);
}

#[tokio::test]
async fn a_region_that_joins_is_never_told_to_be_isolated_before_it_has_listened() {
    let mut world = World::new().await;
    world.put(&path("kr"), &region("kr", "kr"));
    world.settle().await;
    world.api.take_seen();
    world.register(&["jp", "sg"]);
    world.settle().await;
    world.hear("jp", 1, ALL);
    world.settle().await;
    assert_eq!((world.standing("kr").as_str(), world.notes()), ("Member", Vec::new()), "sg may still come");
    world.hear("jp", 2, &[("sg", Reach::Reads)]);
    world.hear("sg", 1, &[("jp", Reach::Reads)]);
    world.settle().await;
    assert_eq!(
        (world.standing("kr").as_str(), world.notes()),
        ("Member", Vec::new()),
        "they may still hear of it"
    );
    world.pass(5, &[("jp", &[("kr", Reach::Silent)])]).await;
    assert_eq!(world.standing("kr"), "Isolated", "nobody came in time");
}

#[tokio::test]
async fn each_change_of_standing_is_written_at_once_and_told_with_its_votes() {
    let mut world = World::with_regions().await;
    let lost: &[(&str, Reach)] = &[("kr", Reach::Reads), ("jp", Reach::Silent)];
    let heard_at = world.api.get(&path("jp")).unwrap()["status"]["lastHeartbeat"].clone();
    world.pass(5, &[("sg", ALL)]).await;
    assert_eq!(world.standing("jp"), "Unreachable", "sg still reads it");
    assert_eq!(
        world.notes(),
        [
            "jp was Connected and is Unreachable: it is not read from here, and no majority says more: nothing is placed there \
          from here; kr Silent, sg Reads; see docs/runbooks/conditions/Connected.md#unreachable"
        ]
    );
    world.pass(1, &[("sg", lost)]).await;
    assert_eq!(world.standing("jp"), "Gone");
    assert_eq!(
        world.notes(),
        [
            "jp was Unreachable and is Gone: a majority reaches neither its operators nor its responders; kr Silent, sg Silent; see docs/runbooks/conditions/Connected.md#gone"
        ]
    );
    assert_eq!(world.api.get(&path("jp")).unwrap()["status"]["lastHeartbeat"], heard_at);
    world.pass(1, &[("sg", lost), ("jp", ALL)]).await;
    assert_eq!(world.standing("jp"), "Connected");
    world.pass(5, &[]).await;
    assert_eq!([world.standing("kr"), world.standing("jp")], ["Isolated", "Unreachable"], "nobody is judged");
    assert_eq!(world.condition(&path("kr"), "Connected").unwrap().0, "False");
}

#[tokio::test]
async fn somebody_elses_object_of_another_region_is_inert_and_stays() {
    let mut world = World::new().await;
    world.put(&path("jp"), &region("jp", "jp"));
    let before = world.api.get(&path("jp")).unwrap()["spec"].clone();
    world.register(&["jp"]);
    world.hear("jp", 1, ALL);
    world.settle().await;
    let (status, reason, message) = world.condition(&path("jp"), "NotHome").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "OtherRegion"));
    assert!(message.contains("its home is region jp") && message.contains("delete it"), "{message}");
    assert_eq!(world.standing("jp"), "");
    world.register(&[]);
    world.settle().await;
    assert_eq!(world.api.get(&path("jp")).unwrap()["spec"], before);
}

#[tokio::test]
async fn a_copy_goes_with_its_registration_and_never_for_silence() {
    let mut world = World::with_regions().await;
    world.pass(3600, &[("sg", ALL)]).await;
    assert!(world.api.get(&path("jp")).is_some(), "however long it is silent");
    world.register(&["sg"]);
    world.settle().await;
    assert!(world.api.get(&path("jp")).is_none() && world.api.get(&path("sg")).is_some());
}

#[tokio::test]
async fn a_new_leader_knows_responders_and_figures_before_it_hears_anything() {
    let mut world = World::with_regions().await;
    world.register(&[]);
    world.register(&["jp", "sg"]);
    world.pass(5, &[("sg", ALL)]).await;
    let status = world.api.get(&path("jp")).unwrap()["status"].clone();
    assert_eq!((&status["standing"], &status["players"]), (&json!("Unreachable"), &json!(3)));
    let jp = world.context.stores.region_clusters.store().get(&ObjectRef::new("jp")).unwrap();
    assert_eq!(jp.annotations()["cranewing.dev/responders"], "192.0.2.1:8444");
}

#[tokio::test]
async fn figures_of_a_peer_are_written_at_the_pace_of_figures() {
    let mut world = World::with_regions().await;
    for second in 0..20 {
        world.pass(1, &[("sg", ALL)]).await;
        world.hear_of("jp", 10_000 + second, ALL, i64::try_from(second).unwrap());
        world.settle().await;
    }
    let writes = world.api.take_briefs().iter().filter(|brief| brief.ends_with("/jp/status")).count();
    assert!((3..=5).contains(&writes), "{writes} writes in 20 seconds");
}

#[tokio::test]
async fn a_region_that_is_not_heard_is_not_called_healthy_and_its_last_figures_stay() {
    let mut world = World::with_regions().await;
    let figures = Figures { health: Some(RegionHealth::Healthy), players: 7, ..Figures::default() };
    // at the pace of figures
    for second in 0..7 {
        world.hear_figures("jp", 10_000 + second, ALL, figures.clone());
        world.pass(1, &[("sg", ALL)]).await;
    }
    let shown = |world: &World| {
        let status = world.api.get(&path("jp")).unwrap()["status"].clone();
        (status["standing"].clone(), status["health"].clone(), status["players"].clone())
    };
    assert_eq!(shown(&world), (json!("Connected"), json!("Healthy"), json!(7)));
    world.pass(20, &[("sg", ALL)]).await;
    assert_eq!(shown(&world), (json!("Unreachable"), Value::Null, json!(7)));
    world.hear_figures("jp", 10_007, ALL, figures);
    world.pass(1, &[("sg", ALL)]).await;
    assert_eq!(shown(&world), (json!("Connected"), json!("Healthy"), json!(7)));
}

/// Or a region of which nothing is believed but what it says of itself could have its copy written without end.
#[tokio::test]
async fn health_of_a_peer_is_written_at_the_pace_of_figures() {
    let mut world = World::with_regions().await;
    for second in 0..20 {
        world.pass(1, &[("sg", ALL)]).await;
        let health = if second % 2 == 0 { RegionHealth::Degraded } else { RegionHealth::Healthy };
        world.hear_figures(
            "jp",
            10_000 + second,
            ALL,
            Figures { health: Some(health), ..Figures::default() },
        );
        world.settle().await;
    }
    let writes = world.api.take_briefs().iter().filter(|brief| brief.ends_with("/jp/status")).count();
    assert!((3..=5).contains(&writes), "{writes} writes in 20 seconds");
}

#[tokio::test]
async fn an_object_that_somebody_makes_while_we_look_is_not_overwritten() {
    let mut theirs = region("jp", "jp");
    theirs["metadata"]["uid"] = json!("theirs");
    for (name, in_store) in [("where there was none", false), ("where our copy was", true)] {
        let mut world = World::with_regions().await;
        if !in_store {
            world.api.remove(&path("jp"));
            world.bring();
        }
        world.api.put(&path("jp"), theirs.clone());
        world.hear_spec("jp", 50, &json!({ "displayName": "Tokyo" }));
        region_copies::Copies::default().turn(&world.context).await;
        let found = world.api.get(&path("jp")).unwrap();
        assert_eq!(
            (&found["metadata"]["uid"], &found["spec"]),
            (&json!("theirs"), &theirs["spec"]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_copy_has_what_its_region_has_and_no_longer_what_it_had() {
    let mut world = World::with_regions().await;
    for latencies in [json!({ "kr": 30, "sg": 70 }), json!({ "kr": 40 }), json!({})] {
        world.wait(SECOND * 10);
        world.hear_spec(
            "jp",
            world.context.clock.elapsed().as_secs(),
            &json!({ "latencyToOtherRegions": latencies }),
        );
        world.settle().await;
        let spec = &world.api.get(&path("jp")).unwrap()["spec"];
        let found = spec.get("latencyToOtherRegions").cloned().unwrap_or_else(|| json!({}));
        assert_eq!(found, latencies);
    }
}

#[tokio::test]
async fn a_copy_that_cannot_be_kept_delays_no_other_and_is_tried_less_and_less() {
    let mut world = World::new().await;
    world.register(&["jp", "sg"]);
    world.hear("jp", 1, ALL);
    world.api.fail(|seen| (seen.method == "POST" && seen.body["metadata"]["name"] == "jp").then_some(500));
    let mut copies = region_copies::Copies::default();
    let mut tried_at = Vec::new();
    for second in 0..60 {
        if second == 30 {
            world.hear("sg", 1, ALL);
        }
        let now = world.context.clock.elapsed();
        copies.turn(&world.context).await;
        world.bring();
        if world.api.take_seen().iter().any(|seen| seen.body["metadata"]["name"] == "jp") {
            tried_at.push(now);
        }
        assert_eq!(world.api.get(&path("sg")).is_some(), second >= 30, "after {second} s");
        world.wait(SECOND);
    }
    // the longest waits fit eight tries into a minute
    assert!(tried_at.len() >= 8, "{tried_at:?}");
    for (failures, pair) in (1..).zip(tried_at.windows(2)) {
        let waited = pair[1].saturating_sub(pair[0]);
        assert!(waited >= next_backoff(failures, 0), "too soon after {failures}: {tried_at:?}");
    }
    world.api.heal();
    world.wait(SECOND * 45);
    copies.turn(&world.context).await;
    assert!(world.api.get(&path("jp")).is_some());
}
