//! AutoScalers of placed Fleets in kr: one at the home is shared out, and each region has a child of it.

use super::ours;
use super::placed_fleets::{Regions, held, published};
use crate::controllers::auto_scaler;
use crate::links::message::PublishedFleet;
use kube::runtime::reflector::ObjectRef;
use operator_core::regions::shares::{Held, Scaled};
use serde_json::{Value, json};
use std::sync::Arc;

fn policies() -> Value {
    json!([{
        "metric": "player_count", "upThreshold": 8, "downThreshold": 2, "cooldownSeconds": 60, "stepUp": 1, "stepDown": 1,
    }])
}

/// An AutoScaler of this Fleet, made at this second.
pub(super) fn scaler(name: &str, fleet: &str, (min, max): (i32, i32), second: u32) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "AutoScaler",
        "metadata": {
            "name": name, "namespace": "games", "uid": format!("s-{name}"), "generation": 1,
            "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
        },
        "spec": { "fleet": fleet, "min": min, "max": max, "policies": policies() },
    })
}

pub(super) fn record(number: u64, bounds: Option<(i32, i32)>) -> String {
    let spec =
        bounds.map(|(min, max)| json!({ "fleet": "arena", "min": min, "max": max, "policies": policies() }));
    json!({ "number": number, "name": "crowd", "uid": "s-1", "generation": 1, "spec": spec }).to_string()
}

/// Another region's part.
fn scaled(min: u32, max: u32, ready: u32) -> Held {
    Held { scaled: Some(Scaled { replicas: ready, max }), ..held(min, ready) }
}

impl Regions {
    /// With an AutoScaler of 3 to 9 that is shared out, 1 to 3 for each region, while each has two servers.
    pub(super) async fn with_scaler() -> Self {
        let mut regions = Self::with_fleet(6, 2).await;
        regions.world.put(&ours("autoscalers", "crowd"), &scaler("crowd", "arena", (3, 9), 1));
        regions.pass(4).await;
        regions.peers.values_mut().for_each(|peer| peer.held = [("kr", scaled(1, 3, 2))].into());
        regions.pass(2).await;
        regions
    }

    fn child(&self) -> Option<Value> {
        self.world.api.get(&ours("autoscalers", "arena-kr"))
    }

    fn bounds(&self) -> Option<(i64, i64)> {
        let spec = self.child()?["spec"].clone();
        Some((spec["min"].as_i64()?, spec["max"].as_i64()?))
    }

    async fn reconcile_scaler(&mut self, name: &str) {
        let (context, of) = (Arc::clone(&self.world.context), ObjectRef::new(name).within("games"));
        let scaler = context.stores.auto_scalers.store().get(&of).unwrap();
        auto_scaler::reconcile(scaler, context).await.unwrap();
        self.world.bring();
    }

    fn of_scaler(&self, name: &str, type_: &str) -> Option<(String, String, String)> {
        self.world.condition(&ours("autoscalers", name), type_)
    }

    fn set_replicas(&mut self, replicas: i32) {
        let mut share = self.world.api.get(&ours("fleets", "arena-kr")).unwrap();
        share["spec"]["replicas"] = json!(replicas);
        self.world.put(&ours("fleets", "arena-kr"), &share);
    }
}

#[tokio::test]
async fn each_region_has_a_child_with_the_parents_policies_and_bounds_of_its_own() {
    let mut regions = Regions::with_scaler().await;
    let child = regions.child().unwrap();
    assert_eq!(regions.bounds(), Some((1, 3)));
    assert_eq!((&child["spec"]["fleet"], &child["spec"]["policies"]), (&json!("arena-kr"), &policies()));
    assert_eq!(child["metadata"]["ownerReferences"][0]["uid"], "f-kr");
    assert_eq!(child["metadata"]["labels"]["cranewing.dev/parent"], "arena");
    assert_eq!(regions.share(), Some(2), "its servers are the child's to take");
    regions.set_replicas(3);
    regions.make_ready(3);
    regions.pass(5).await;
    assert_eq!(regions.share(), Some(3), "and to add");
    let (_, _, message) = regions.condition("Ready").unwrap();
    assert!(message.contains("jp 2 within 1..3, kr 3 within 1..3, sg 2 within 1..3"), "{message}");
    assert!(message.contains("replicas 6 is ignored"), "{message}");
    let status = regions.world.api.get(&ours("fleets", "arena")).unwrap()["status"].clone();
    assert_eq!(status["replicas"], 7, "what is asked for, not the least");
    for name in ["crowd", "arena-kr"] {
        regions.reconcile_scaler(name).await;
    }
    regions.world.api.take_seen();
    for _ in 0..10 {
        regions.pass(2).await;
        regions.reconcile_scaler("crowd").await;
        regions.reconcile_scaler("arena-kr").await;
    }
    assert_eq!(regions.world.api.take_briefs(), Vec::<String>::new(), "settled ones make no request");
}

#[tokio::test]
async fn the_parent_says_what_each_region_has_of_its_bounds() {
    let mut regions = Regions::with_scaler().await;
    regions.reconcile_scaler("crowd").await;
    let words = "shared out: jp 1..3, kr 1..3, sg 1..3; the Fleet's replicas are ignored";
    for type_ in ["Ready", "AbleToScale"] {
        let expected = ("True".to_owned(), "SharedOut".to_owned(), words.to_owned());
        assert_eq!(regions.of_scaler("crowd", type_), Some(expected));
    }
    let status = regions.world.api.get(&ours("autoscalers", "crowd")).unwrap()["status"].clone();
    assert_eq!((&status["currentReplicas"], &status["reason"]), (&json!(6), &json!("SharedOut")));
    let mut changed = regions.world.api.get(&ours("autoscalers", "crowd")).unwrap();
    (changed["spec"]["max"], changed["metadata"]["generation"]) = (json!(12), json!(2));
    regions.world.put(&ours("autoscalers", "crowd"), &changed);
    regions.reconcile_scaler("crowd").await;
    assert_eq!(regions.of_scaler("crowd", "Ready").unwrap().1, "SharingOut", "nobody has heard of that yet");
}

/// Rule 7: what a lost region had at least is capacity elsewhere at once, whatever the load and the cooldown say.
#[tokio::test]
async fn the_minimum_of_a_lost_region_is_raised_here_and_made_at_once() {
    let mut regions = Regions::with_scaler().await;
    regions.set_replicas(1);
    regions.peers.get_mut("jp").unwrap().is_silent = true;
    regions.pass(8).await;
    assert_eq!(regions.bounds(), Some((2, 5)), "3 and 9 over kr and sg");
    let mut child = regions.child().unwrap();
    child["status"] = json!({ "lastScaleTime": regions.world.context.clock.wall() });
    regions.world.put(&ours("autoscalers", "arena-kr"), &child);
    regions.reconcile_scaler("arena-kr").await;
    assert_eq!(regions.share(), Some(2), "no cooldown holds it back");
    let notes = regions.notes();
    assert!(notes.iter().any(|note| note.starts_with("AutoScaler arena-kr from 1..3 to 2..5")), "{notes:?}");
    regions.make_ready(2);
    let jp = regions.peers.get_mut("jp").unwrap();
    (jp.is_silent, jp.held) = (false, [("kr", scaled(1, 3, 0))].into());
    regions.pass(8).await;
    assert_eq!(regions.bounds(), Some((2, 5)), "jp has not made its minimum");
    regions.peers.get_mut("jp").unwrap().held = [("kr", scaled(0, 3, 1))].into();
    regions.pass(2).await;
    assert_eq!(regions.bounds(), Some((2, 5)), "it has, and may still take it");
    regions.peers.get_mut("jp").unwrap().held = [("kr", scaled(1, 3, 1))].into();
    regions.pass(2).await;
    assert_eq!(regions.bounds(), Some((1, 3)));
}

#[tokio::test]
async fn when_the_parent_goes_its_children_go_and_replicas_stay() {
    let mut regions = Regions::with_scaler().await;
    let mut fleet = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    fleet["spec"]["replicas"] = Value::Null;
    regions.world.put(&ours("fleets", "arena"), &fleet);
    regions.set_replicas(3);
    regions.world.api.remove(&ours("autoscalers", "crowd"));
    regions.world.bring();
    regions.pass(5).await;
    assert_eq!((regions.child(), regions.share()), (None, Some(3)));
    assert_eq!(regions.condition("Stalled").unwrap().1, "ReplicasMissing");
    fleet["spec"]["replicas"] = json!(12);
    fleet["metadata"] = regions.world.api.get(&ours("fleets", "arena")).unwrap()["metadata"].clone();
    fleet["metadata"]["generation"] = json!(2);
    regions.world.put(&ours("fleets", "arena"), &fleet);
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(4), "placement sets them again");
}

#[tokio::test]
async fn whatever_else_would_scale_is_told_so_and_changes_nothing() {
    let mut regions = Regions::with_scaler().await;
    regions.world.put(&ours("autoscalers", "late"), &scaler("late", "arena", (9, 9), 2));
    regions.world.put(&ours("autoscalers", "by-hand"), &scaler("by-hand", "arena-kr", (9, 9), 0));
    regions.pass(3).await;
    for name in ["late", "by-hand", "arena-kr", "crowd"] {
        regions.reconcile_scaler(name).await;
    }
    assert_eq!(regions.bounds(), Some((1, 3)));
    assert_eq!(regions.of_scaler("late", "Conflict").unwrap().0, "True");
    let (status, reason, message) = regions.of_scaler("by-hand", "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "PlacedFleet"));
    assert!(message.contains("share of Fleet arena"), "{message}");
    assert_eq!(
        regions.of_scaler("arena-kr", "Ready").unwrap().0,
        "True",
        "an older one by hand counts for nothing"
    );
    assert_eq!(regions.share(), Some(2));
    regions.world.api.remove(&ours("autoscalers", "crowd"));
    regions.world.bring();
    regions.pass(3).await;
    assert_eq!(regions.bounds(), Some((3, 3)), "the next in line");
}

#[tokio::test]
async fn an_autoscaler_of_somebody_else_keeps_the_name_of_a_child() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let other = scaler("arena-kr", "lobby", (1, 1), 0);
    regions.world.put(&ours("autoscalers", "arena-kr"), &other);
    regions.world.put(&ours("autoscalers", "crowd"), &scaler("crowd", "arena", (3, 9), 1));
    regions.pass(5).await;
    let (status, _, message) = regions.condition("NameTaken").unwrap();
    assert_eq!(status, "True");
    assert!(message.contains("an AutoScaler arena-kr is there"), "{message}");
    assert_eq!(regions.child().unwrap()["spec"], other["spec"]);
}

#[tokio::test]
async fn a_copy_remembers_the_autoscaler_of_its_home() {
    let mut regions = Regions::new().await;
    let publish = |regions: &mut Regions, record: Option<String>| {
        let fleet = PublishedFleet { scaler: record, ..published("jp", 6, 1) };
        regions.peers.get_mut("jp").unwrap().fleets = vec![fleet];
    };
    publish(&mut regions, Some(record(4, Some((3, 9)))));
    regions.pass(5).await;
    assert_eq!(regions.bounds(), Some((1, 3)));
    assert_eq!(regions.share(), None, "replicas are the child's to set from the first on");
    regions.reconcile_scaler("arena-kr").await;
    assert_eq!(regions.share(), Some(1));
    publish(&mut regions, Some(record(3, Some((30, 90)))));
    regions.pass(3).await;
    assert_eq!(regions.bounds(), Some((1, 3)), "what was is not news");
    regions.peers.get_mut("jp").unwrap().is_silent = true;
    regions.peers.get_mut("jp").unwrap().fleets = Vec::new();
    regions.pass(8).await;
    assert_eq!(regions.bounds(), Some((2, 5)), "its home is gone, and it counts");
    regions.peers.get_mut("jp").unwrap().is_silent = false;
    publish(&mut regions, Some(record(5, None)));
    regions.pass(6).await;
    assert_eq!((regions.child(), regions.world.api.get(&ours("autoscalers", "crowd"))), (None, None));
}

#[tokio::test]
async fn one_that_is_applied_away_from_the_home_is_refused() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.pass(5).await;
    regions.world.put(&ours("autoscalers", "crowd"), &scaler("crowd", "arena", (3, 9), 1));
    regions.pass(3).await;
    regions.reconcile_scaler("crowd").await;
    let (status, reason, message) = regions.of_scaler("crowd", "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "PlacedFleet"));
    assert!(message.contains("its home in region jp"), "{message}");
    assert_eq!((regions.child(), regions.share()), (None, Some(2)));
}

/// An operator that knows of no AutoScalers here shares out the replicas; whoever knows more waits for it.
#[tokio::test]
async fn nothing_is_shared_out_anew_while_an_older_operator_counts() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("sg").unwrap().speaks = 1;
    regions.world.put(&ours("autoscalers", "crowd"), &scaler("crowd", "arena", (9, 12), 1));
    regions.pass(5).await;
    assert_eq!((regions.bounds(), regions.share()), (None, Some(2)));
    let (_, reason, message) = regions.condition("Ready").unwrap();
    assert_eq!(reason, "Holding");
    assert!(message.contains("upgrade"), "{message}");
    regions.peers.get_mut("sg").unwrap().speaks = 2;
    regions.pass(4).await;
    assert_eq!(regions.bounds(), Some((3, 4)));
    regions.peers.get_mut("sg").unwrap().speaks = 1;
    regions.pass(4).await;
    assert_eq!(regions.bounds(), Some((3, 4)), "and a child that is there stays");
}

#[tokio::test]
async fn who_takes_no_part_keeps_its_bounds_and_takes_new_policies() {
    let mut regions = Regions::with_scaler().await;
    regions.peers.values_mut().for_each(|peer| peer.is_silent = true);
    regions.pass(6).await;
    let mut changed = regions.world.api.get(&ours("autoscalers", "crowd")).unwrap();
    changed["spec"]["min"] = json!(9);
    changed["spec"]["policies"][0]["upThreshold"] = json!(5);
    changed["metadata"]["generation"] = json!(2);
    regions.world.put(&ours("autoscalers", "crowd"), &changed);
    regions.pass(5).await;
    assert_eq!(regions.bounds(), Some((1, 3)));
    assert_eq!(regions.child().unwrap()["spec"]["policies"][0]["upThreshold"], 5);
}
