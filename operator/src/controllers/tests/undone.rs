//! What somebody changes on a copy or a share of a placed Fleet.

use super::ours;
use super::placed_fleets::{Regions, published};
use serde_json::{Value, json};

impl Regions {
    /// As `kubectl edit` does.
    fn edit(&mut self, name: &str, field: &str, value: i64) {
        let mut fleet = self.world.api.get(&ours("fleets", name)).unwrap();
        *fleet["spec"].pointer_mut(field).unwrap() = json!(value);
        fleet["metadata"]["managedFields"] =
            json!([{ "manager": "kubectl-edit", "fieldsV1": { "f:spec": { "f:replicas": {} } } }]);
        self.world.put(&ours("fleets", name), &fleet);
        self.world.api.take_seen();
    }

    /// Events of that reason since the last look.
    fn undone(&self) -> Vec<(Value, String)> {
        let seen = self.world.api.take_seen().into_iter().map(|seen| seen.body);
        let events = seen.filter(|event| event["reason"] == "EditUndone");
        events
            .map(|event| (event["regarding"]["name"].clone(), event["note"].as_str().unwrap().to_owned()))
            .collect()
    }

    fn field(&self, name: &str, field: &str) -> Value {
        self.world.api.get(&ours("fleets", name)).unwrap()["spec"].pointer(field).unwrap().clone()
    }
}

#[tokio::test]
async fn who_changes_a_copy_is_told_what_is_put_back_and_where_to_change_it() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.pass(5).await;
    assert_eq!(regions.undone(), [], "it is made");
    regions.edit("arena", "/replicas", 60);
    regions.pass(3).await;
    assert_eq!(regions.field("arena", "/replicas"), 6);
    let words = "put back spec.replicas (changed by kubectl-edit): this is a copy of Fleet games/arena; change that at its home, region jp";
    assert_eq!(regions.undone(), [(json!("arena"), words.to_owned())], "once");
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 9, 2)];
    regions.pass(3).await;
    assert_eq!(
        (regions.field("arena", "/replicas"), regions.undone()),
        (json!(9), vec![]),
        "the home moved on"
    );
    regions.edit("arena", "/replicas", 60);
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 12, 3)];
    regions.pass(3).await;
    assert_eq!(
        (regions.field("arena", "/replicas"), regions.undone()),
        (json!(12), vec![]),
        "it moved on first"
    );
}

#[tokio::test]
async fn who_changes_the_template_of_a_share_is_told_the_same_and_its_fleet_is_changed_in_peace() {
    for rollout in ["AllAtOnce", "RegionByRegion"] {
        let mut regions = Regions::with_placed(6, 2, &json!({ "rollout": rollout, "canary": null })).await;
        let capacity = "/template/spec/capacity";
        regions.edit("arena-kr", capacity, 99);
        regions.pass(3).await;
        assert_eq!(regions.field("arena-kr", capacity), 10, "{rollout}");
        let words = "put back spec.template.spec.capacity (changed by kubectl-edit): this is the share of region kr in Fleet \
                     games/arena; change that at its home, region kr";
        assert_eq!(regions.undone(), [(json!("arena-kr"), words.to_owned())], "{rollout}");
        regions.change(2, capacity, 20);
        regions.edit("arena", "/replicas", 6);
        regions.pass(3).await;
        assert_eq!(regions.undone(), [], "{rollout}");
    }
}
