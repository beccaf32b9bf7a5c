//! The hand on the wheel in kr, whose peers jp and sg order what a test has them order.

use super::ours;
use super::placed_fleets::{Regions, held, region};
use crate::controllers::placed_fleets::Placing;
use crate::controllers::{region_cluster, region_copies};
use crate::links::peer::tests::peer;
use serde_json::{Value, json};
use std::sync::Arc;

fn path(name: &str) -> String {
    format!("/apis/cranewing.dev/v1alpha1/regionclusters/{name}")
}

impl Regions {
    /// A peer's RegionCluster has these fields from now on.
    fn say(&mut self, name: &str, fields: Value) {
        let said = &mut self.peers.get_mut(name).unwrap().fields;
        *said = (fields, said.1 + 1);
    }

    /// kr's own has them.
    fn say_here(&mut self, fields: &Value) {
        let mut own = self.world.api.get(&path("kr")).unwrap();
        own["spec"].as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        own["metadata"]["generation"] = json!(own["metadata"]["generation"].as_i64().unwrap() + 1);
        self.world.put(&path("kr"), &own);
    }

    /// What each peer has of the Fleet.
    fn hold(&mut self, shares: [(&str, u32); 2]) {
        for (name, share) in shares {
            self.peers.get_mut(name).unwrap().held = [("kr", held(share, share))].into();
        }
    }

    /// Copies of RegionClusters are kept, and every one is looked at.
    async fn look(&mut self) {
        for _ in 0..2 {
            region_copies::Copies::default().turn(&self.world.context).await;
            self.world.bring();
            for region in self.world.context.stores.region_clusters.store().state() {
                region_cluster::reconcile(region, Arc::clone(&self.world.context)).await.unwrap();
            }
            self.world.bring();
        }
    }

    fn view(&self) -> String {
        self.kept().agreed.regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
    }

    /// Another leader takes over, who has heard nobody yet.
    fn start_anew(&mut self) {
        let (table, now) = (&self.world.context.links.table, self.world.context.clock.elapsed());
        table.register(now, []);
        table.register(now, ["jp", "sg"].map(|name| Arc::new(peer(name))));
        self.placing = Placing::default();
    }
}

fn drain(region: &str) -> Value {
    json!({ "drains": [region] })
}

#[tokio::test]
async fn a_drained_region_keeps_its_share_until_the_others_are_ready_and_raises_it_when_it_returns() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.world.put(&path("kr"), &region("kr", 2, 100));
    regions.say("jp", drain("kr"));
    regions.pass(3).await;
    regions.hold([("jp", 3), ("sg", 3)]);
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(2), "one region is no majority");
    regions.hold([("jp", 3), ("sg", 2)]);
    regions.say("sg", drain("kr"));
    regions.pass(10).await;
    assert_eq!(regions.share(), Some(2), "sg has not made its own");
    regions.hold([("jp", 3), ("sg", 3)]);
    regions.pass(2).await;
    assert_eq!((regions.share(), regions.view().as_str()), (Some(0), "jp kr sg"), "it stays in the view");
    regions.pass(10).await;
    assert_eq!(regions.condition("BoundsConflict"), None, "its minimum is not missed");
    assert_eq!(regions.condition("Ready").unwrap().1, "AsSpecified");

    regions.say("jp", json!({}));
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(2), "at once");
}

#[tokio::test]
async fn the_share_of_a_drained_region_is_raised_here_at_once() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.say("jp", drain("sg"));
    regions.say_here(&drain("sg"));
    regions.pass(3).await;
    assert_eq!((regions.share(), regions.view().as_str()), (Some(3), "jp kr sg"));
    regions.make_ready(3);
    regions.hold([("jp", 3), ("sg", 0)]);
    regions.pass(3).await;
    let (ready, _, message) = regions.condition("Ready").unwrap();
    assert_eq!((ready.as_str(), message.as_str()), ("True", "ready game servers: jp 3, kr 3, sg 0"));
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(8).await;
    assert_eq!((regions.share(), regions.view().as_str()), (Some(3), "jp kr"), "lost, it leaves the view");
}

#[tokio::test]
async fn who_is_manual_keeps_its_place_while_it_is_lost_until_a_majority_orders_otherwise() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.say("sg", json!({ "failover": "Manual" }));
    regions.pass(3).await;
    regions.look().await;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(60).await;
    assert_eq!((regions.share(), regions.view().as_str()), (Some(2), "jp kr sg"));
    regions.say("jp", drain("sg"));
    regions.pass(10).await;
    assert_eq!((regions.share(), regions.view().as_str()), (Some(2), "jp kr sg"), "a minority");

    regions.start_anew();
    regions.pass(20).await;
    assert_eq!(regions.view(), "jp kr sg", "a new leader knows it by the copy");
    let mut fleet = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    (fleet["spec"]["replicas"], fleet["metadata"]["generation"]) = (json!(9), json!(2));
    regions.world.put(&ours("fleets", "arena"), &fleet);
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(3), "and goes on without hearing it");

    regions.world.api.take_seen();
    regions.say_here(&drain("sg"));
    regions.pass(5).await;
    assert_eq!((regions.share(), regions.view().as_str()), (Some(4), "jp kr"));
    let notes = regions.notes();
    let note = notes.iter().find(|note| note.starts_with("view ")).unwrap();
    assert!(
        note.ends_with("(jp Silent, kr Silent), failover Manual, to be left: jp, kr say so; 2 of 3"),
        "{note}"
    );
}

#[tokio::test]
async fn who_holds_stays_in_the_view_whatever_is_ordered() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.say("sg", json!({ "failover": "Hold" }));
    regions.pass(3).await;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.say("jp", drain("sg"));
    regions.say_here(&drain("sg"));
    regions.pass(60).await;
    assert_eq!(regions.view(), "jp kr sg");
}

#[tokio::test]
async fn a_region_that_holds_moves_none_of_its_own_shares_and_says_so() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.say_here(&json!({ "failover": "Hold" }));
    let before = regions.kept().basis;
    let mut fleet = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    (fleet["spec"]["replicas"], fleet["metadata"]["generation"]) = (json!(9), json!(2));
    regions.world.put(&ours("fleets", "arena"), &fleet);
    regions.pass(10).await;
    assert_eq!(regions.share(), Some(2));
    let (ready, reason, message) = regions.condition("Ready").unwrap();
    assert_eq!((ready.as_str(), reason.as_str()), ("False", "Holding"));
    assert_eq!(message, "its share stays as it is: failover of this region's RegionCluster is Hold");
    assert_ne!(regions.kept().basis, before, "it says what it goes by, so that others need not wait");
    regions.say_here(&json!({ "failover": "Automatic" }));
    regions.pass(2).await;
    assert_eq!(regions.share(), Some(3));
}

#[tokio::test]
async fn each_change_of_the_view_is_told_with_who_proposes_it_and_why_a_region_is_missing() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let before = regions.kept().agreed.number;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(8).await;
    let views = |regions: &Regions| {
        let notes = regions.notes().into_iter();
        notes.filter(|note| note.starts_with("view ")).collect::<Vec<_>>()
    };
    let after = before + 1;
    let lost = format!(
        "view {after} of jp, kr instead of {before} of jp, kr, sg: proposed by jp, kr; sg is missing: Gone for 1 s (jp Silent, \
         kr Silent), failover Automatic"
    );
    assert_eq!(views(&regions), [lost]);
    regions.pass(60).await;
    assert_eq!(views(&regions), [""; 0], "once");
    regions.peers.get_mut("sg").unwrap().is_silent = false;
    regions.pass(4).await;
    let back =
        format!("view {} of jp, kr, sg instead of {after} of jp, kr: proposed by jp, kr, sg", after + 1);
    assert_eq!(views(&regions), [back]);
}

#[tokio::test]
async fn who_is_drained_is_told_with_who_says_so_on_the_region_itself_and_on_copies() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.look().await;
    assert_eq!(regions.world.condition(&path("sg"), "Drained"), None);
    regions.world.api.take_seen();
    regions.say("jp", json!({ "drains": ["kr", "sg"] }));
    regions.pass(2).await;
    regions.look().await;
    let minority = "jp says so; 1 of 3: no majority, and nothing follows";
    for name in ["kr", "sg"] {
        let (status, reason, message) = regions.world.condition(&path(name), "Drained").unwrap();
        assert_eq!((status.as_str(), reason.as_str(), message.as_str()), ("False", "NoMajority", minority));
    }
    let told = |regions: &Regions| {
        let mut notes = regions.notes();
        notes.retain(|note| note.contains("drained"));
        notes.sort_unstable();
        notes
    };
    assert_eq!(told(&regions), ["kr", "sg"].map(|name| format!("{name} is not drained yet: {minority}")));

    regions.say_here(&json!({ "drains": ["sg"] }));
    regions.pass(2).await;
    regions.look().await;
    let majority = "jp, kr say so; 2 of 3: nobody is placed there, and the others share out what it has";
    let (status, reason, message) = regions.world.condition(&path("sg"), "Drained").unwrap();
    assert_eq!((status.as_str(), reason.as_str(), message.as_str()), ("True", "Majority", majority));
    assert_eq!(told(&regions), [format!("sg is drained: {majority}")]);
    regions.pass(30).await;
    regions.look().await;
    assert_eq!(told(&regions), [""; 0], "once");

    regions.say("jp", json!({}));
    regions.pass(2).await;
    regions.look().await;
    assert_eq!(regions.world.condition(&path("kr"), "Drained"), None);
    let taken_back = "kr is not to be drained: nobody says so";
    let returned = "sg is drained no more: kr says so; 1 of 3: no majority, and nothing follows";
    assert_eq!(told(&regions), [taken_back, returned]);
}
