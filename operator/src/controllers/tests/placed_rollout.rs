//! Templates of a placed Fleet that go from region to region, seen from kr.

use super::ours;
use super::placed_fleets::{Regions, held, open_to, published};
use crate::links::message::PublishedFleet;
use crate::mock_api::Seen;
use operator_api::labels;
use operator_core::regions::shares::Held;
use serde_json::json;

/// Another region's share with the template of this generation.
fn taken(generation: u64, share: u32, ready: u32) -> Held {
    Held { generation, ..held(share, ready) }
}

impl Regions {
    /// Six servers, two a region, all made from generation 1; sg is the canary.
    async fn one_by_one() -> Self {
        let placement = json!({ "rollout": "RegionByRegion", "canary": "sg" });
        let mut regions = Self::with_placed(6, 2, &placement).await;
        regions.peers.values_mut().for_each(|peer| peer.held = [("kr", taken(1, 2, 2))].into());
        regions.pass(2).await;
        regions.world.api.take_seen();
        regions
    }

    /// Gives the Fleet another spec.
    pub(super) fn change(&mut self, generation: i64, field: &str, value: i32) {
        let mut fleet = self.world.api.get(&ours("fleets", "arena")).unwrap();
        *fleet["spec"].pointer_mut(field).unwrap() = json!(value);
        fleet["metadata"]["generation"] = json!(generation);
        self.world.put(&ours("fleets", "arena"), &fleet);
    }

    fn change_template(&mut self, generation: i64, capacity: i32) {
        self.change(generation, "/template/spec/capacity", capacity);
    }

    /// Capacity by the template of kr's share, and the generation that it says it has.
    fn template(&self) -> (i64, String) {
        let share = self.world.api.get(&ours("fleets", "arena-kr")).unwrap();
        let generation = &share["metadata"]["annotations"]["cranewing.dev/template-generation"];
        let capacity = share["spec"]["template"]["spec"]["capacity"].as_i64().unwrap();
        (capacity, generation.as_str().unwrap().to_owned())
    }

    fn publish(&mut self, region: &str, held: Held) {
        self.peers.get_mut(region).unwrap().held = [("kr", held)].into();
    }

    fn rolling_out(&self) -> String {
        let (status, reason, message) = self.condition("Ready").unwrap();
        assert_eq!((status.as_str(), reason.as_str()), ("False", "RollingOut"), "{message}");
        message
    }
}

#[tokio::test]
async fn servers_made_from_the_template_as_it_is_are_summed_up_over_the_regions_that_have_it() {
    let mut regions = Regions::one_by_one().await;
    let mut share = regions.world.api.get(&ours("fleets", "arena-kr")).unwrap();
    share["status"]["updatedReplicas"] = json!(2);
    regions.world.put(&ours("fleets", "arena-kr"), &share);
    let updated = |regions: &Regions| {
        regions.world.api.get(&ours("fleets", "arena")).unwrap()["status"]["updatedReplicas"].clone()
    };
    regions.publish("sg", Held { updated: 1, ..taken(1, 2, 2) });
    regions.pass(2).await;
    assert_eq!(updated(&regions), 3);
    regions.change_template(2, 20);
    regions.pass(3).await;
    assert_eq!(updated(&regions), 0);
    regions.publish("sg", Held { updated: 1, ..taken(2, 2, 1) });
    regions.pass(2).await;
    assert_eq!(updated(&regions), 1);
}

#[tokio::test]
async fn a_share_takes_a_template_when_the_canary_and_those_before_it_are_ready_with_it() {
    let mut regions = Regions::one_by_one().await;
    regions.change_template(2, 20);
    regions.pass(3).await;
    assert_eq!(regions.template(), (10, "1".to_owned()));
    assert!(regions.rolling_out().contains("taken by none; sg takes it next: sg, jp, kr"));
    regions.publish("sg", taken(2, 2, 1));
    regions.pass(2).await;
    assert!(regions.rolling_out().contains("taken by sg; waits for sg to be Ready: jp, kr"));
    regions.publish("sg", taken(2, 2, 2));
    regions.pass(2).await;
    assert_eq!(regions.template(), (10, "1".to_owned()), "jp comes before kr");
    assert!(regions.rolling_out().contains("taken by sg; jp takes it next: jp, kr"));
    regions.publish("jp", taken(2, 2, 2));
    regions.world.api.take_seen();
    regions.pass(2).await;
    assert_eq!(regions.template(), (20, "2".to_owned()));
    assert_eq!(regions.notes(), ["arena-kr takes the template of generation 2"]);
    regions.pass(2).await;
    assert_eq!(regions.condition("Ready").unwrap().1, "AsSpecified");
}

/// A home that came back counts its generations from one.
#[tokio::test]
async fn a_later_epoch_is_taken_one_region_after_the_other_whatever_its_generation() {
    let mut regions = Regions::one_by_one().await;
    for region in ["jp", "sg"] {
        regions.publish(region, taken(6, 2, 2));
    }
    regions.change_template(7, 10);
    regions.pass(2).await;
    assert_eq!(regions.template(), (10, "7".to_owned()));
    let mut fleet = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    fleet["metadata"]["annotations"][labels::HOME_EPOCH] = json!("1");
    regions.world.put(&ours("fleets", "arena"), &fleet);
    regions.change_template(1, 20);
    regions.world.api.take_seen();
    regions.pass(3).await;
    assert_eq!(regions.template(), (10, "7".to_owned()), "nobody has taken it");
    let number = (1 << 32) + 1;
    for region in ["jp", "sg"] {
        regions.publish(region, taken(number, 2, 2));
    }
    regions.pass(2).await;
    assert_eq!(regions.template(), (20, number.to_string()));
    assert_eq!(regions.notes(), ["arena-kr takes the template of generation 1 of epoch 1"]);
}

#[tokio::test]
async fn replicas_are_not_held_back_by_a_template_that_is() {
    let mut regions = Regions::one_by_one().await;
    regions.change_template(2, 20);
    regions.change(3, "/replicas", 9);
    regions.pass(3).await;
    assert_eq!((regions.share(), regions.template().0), (Some(3), 10));
    regions.change_template(4, 10);
    regions.pass(2).await;
    assert_eq!(regions.template(), (10, "4".to_owned()), "the one that it has is nobody's turn");
}

/// What jp publishes with kr as its canary.
fn of_jp(replicas: i32, generation: u64, capacity: i32) -> Vec<PublishedFleet> {
    let mut fleet = published("jp", replicas, generation);
    let placement = json!({ "rollout": "RegionByRegion", "canary": "kr" });
    fleet.spec.placement = serde_json::from_value(placement).unwrap();
    fleet.spec.template.spec.capacity = capacity;
    vec![fleet]
}

impl Regions {
    fn publish_of_jp(&mut self, fleets: Vec<PublishedFleet>) {
        self.peers.get_mut("jp").unwrap().fleets = fleets;
    }
}

/// Whatever its home publishes is known here before the copy has it, and servers of the old template would pass for new ones.
#[tokio::test]
async fn a_share_does_not_grow_before_the_template_that_comes_with_it_is_here() {
    for (name, before) in [("it has servers", 6), ("it had none", 0)] {
        let mut regions = Regions::new().await;
        regions.publish_of_jp(of_jp(before, 1, 10));
        regions.pass(5).await;
        assert_eq!(regions.share().unwrap_or_default(), i64::from(before / 3), "{name}");
        regions.world.api.take_seen();
        regions.publish_of_jp(of_jp(12, 2, 20));
        regions.pass(5).await;
        assert_eq!((regions.share(), regions.template()), (Some(4), (20, "2".to_owned())), "{name}");
        let seen = regions.world.api.take_seen();
        let of_share = |seen: &&Seen| seen.method == "PATCH" && seen.path.ends_with("/fleets/arena-kr");
        let first = &seen.iter().find(of_share).unwrap().body["spec"];
        assert_eq!(first["template"]["spec"]["capacity"], 20, "{name}: {first}");
        assert!(first["replicas"].is_null(), "{name}: {first}");
    }
}

/// Rule 8: a region that is lost is made up for, whatever becomes of a template.
#[tokio::test]
async fn a_template_that_cannot_be_brought_here_keeps_no_share_from_growing() {
    for (name, is_closed) in [("its copy is refused", false), ("somebody closed the namespace", true)] {
        let mut regions = Regions::new().await;
        regions.publish_of_jp(of_jp(6, 1, 10));
        regions.pass(5).await;
        assert_eq!(regions.share(), Some(2), "{name}");
        if is_closed {
            regions.world.api.put("/api/v1/namespaces/games", open_to("sg"));
            regions.world.bring();
        } else {
            let is_copy = |seen: &Seen| seen.path.ends_with("/fleets/arena") && seen.method == "PATCH";
            regions.world.api.fail(move |seen| is_copy(seen).then_some(500));
        }
        regions.publish_of_jp(of_jp(9, 2, 20));
        regions.pass(5).await;
        assert_eq!((regions.share(), regions.template()), (Some(3), (10, "1".to_owned())), "{name}");
    }
}

#[tokio::test]
async fn a_region_that_does_not_count_holds_nobody_up() {
    let mut regions = Regions::one_by_one().await;
    regions.publish("sg", taken(2, 3, 3));
    regions.change_template(2, 20);
    regions.pass(3).await;
    assert_eq!(regions.template().0, 10, "jp has not taken it");
    regions.peers.get_mut("jp").unwrap().is_silent = true;
    regions.pass(8).await;
    assert_eq!(regions.template(), (20, "2".to_owned()));
}

#[tokio::test]
async fn who_takes_no_part_takes_a_template_after_it_is_back() {
    let mut regions = Regions::one_by_one().await;
    for region in ["jp", "sg"] {
        regions.publish(region, taken(2, 2, 2));
    }
    regions.peers.values_mut().for_each(|peer| peer.is_silent = true);
    regions.pass(6).await;
    regions.change_template(2, 20);
    regions.pass(5).await;
    assert_eq!(regions.template(), (10, "1".to_owned()));
    regions.peers.values_mut().for_each(|peer| peer.is_silent = false);
    regions.pass(4).await;
    assert_eq!(regions.template(), (20, "2".to_owned()));
}

#[tokio::test]
async fn without_the_wish_all_regions_take_it_at_once() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.change_template(2, 20);
    regions.pass(2).await;
    assert_eq!(regions.template(), (20, "2".to_owned()));
}

/// What an older operator made says nothing of its template, and neither does a share that is only begun.
#[tokio::test]
async fn a_share_that_does_not_say_what_it_has_takes_its_parents() {
    let mut regions = Regions::one_by_one().await;
    let mut share = regions.world.api.get(&ours("fleets", "arena-kr")).unwrap();
    share["metadata"].as_object_mut().unwrap().remove("annotations");
    share["spec"]["template"]["spec"]["capacity"] = json!(1000);
    regions.world.put(&ours("fleets", "arena-kr"), &share);
    regions.pass(2).await;
    assert_eq!(regions.template(), (10, "1".to_owned()));
}
