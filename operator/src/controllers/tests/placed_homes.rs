//! What the home of a placed Fleet says and waits for, and what is made there while somebody else makes the same.

use super::ours;
use super::placed_fleets::{BALLOT, Regions, arena, held, published};
use crate::links::message::PublishedFleet;
use crate::mock_api::{NO_ANSWER, Seen};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use operator_api::labels;
use operator_core::regions::shares::Held;
use serde_json::{Value, json};
use std::time::Duration;

fn following() -> Value {
    json!({ "mode": "FollowPlayers" })
}

impl Regions {
    /// Players of jp, kr and sg.
    fn play(&mut self, [jp, kr, sg]: [u32; 3]) {
        for (region, players) in [("jp", jp), ("sg", sg)] {
            let held = Held { players, ..held(2, 2) };
            self.peers.get_mut(region).unwrap().held = [("kr", held)].into();
        }
        let mut share = self.world.api.get(&ours("fleets", "arena-kr")).unwrap();
        share["status"]["players"] = json!(kr);
        self.world.put(&ours("fleets", "arena-kr"), &share);
    }

    fn weights(&self) -> Value {
        let fleet = self.world.api.get(&ours("fleets", "arena")).unwrap();
        fleet["metadata"]["annotations"]["cranewing.dev/weights"].clone()
    }

    fn finalizers(&self) -> Value {
        self.world.api.get(&ours("fleets", "arena")).unwrap()["metadata"]["finalizers"].clone()
    }

    /// Somebody deleted it so many seconds ago, by the wall clock.
    fn delete_fleet(&mut self, ago: i64) {
        let mut fleet = self.world.api.get(&ours("fleets", "arena")).unwrap();
        let now = self.world.context.clock.wall().0.as_second();
        fleet["metadata"]["deletionTimestamp"] = json!(Time(Timestamp::from_second(now - ago).unwrap()));
        self.world.put(&ours("fleets", "arena"), &fleet);
    }

    /// Its tombstone was set so many seconds before.
    fn age_tombstone(&mut self, seconds: u64) {
        let mut kept = self.kept();
        kept.tombstones.get_mut("f-kr").unwrap().since -= seconds;
        let mut ballot = self.world.api.get(BALLOT).unwrap();
        ballot["data"]["state.json"] = json!(serde_json::to_string(&kept).unwrap());
        self.world.put(BALLOT, &ballot);
    }
}

/// Rule 3.
#[tokio::test]
async fn players_are_weighed_at_most_once_a_minute_by_numbered_records_in_steps_of_five_percent() {
    let mut regions = Regions::with_placed(6, 2, &following()).await;
    regions.play([500, 300, 200]);
    regions.pass(45).await;
    assert_eq!(regions.weights(), Value::Null, "not in the first minute of a leader");
    regions.pass(20).await;
    assert_eq!(regions.weights(), "1 jp=50,kr=30,sg=20");
    regions.play([200, 300, 500]);
    regions.pass(40).await;
    assert_eq!(regions.weights(), "1 jp=50,kr=30,sg=20", "once a minute");
    regions.pass(25).await;
    assert_eq!(regions.weights(), "2 jp=20,kr=30,sg=50");
    // rounded anew they would be 25, 25 and 50
    regions.play([225, 260, 515]);
    regions.pass(130).await;
    assert_eq!(regions.weights(), "2 jp=20,kr=30,sg=50", "less than a step is no news");
}

#[tokio::test]
async fn when_the_home_is_gone_its_last_record_counts() {
    let mut regions = Regions::new().await;
    let mut fleet =
        PublishedFleet { weights: Some("3 jp=60,kr=30,sg=10".to_owned()), ..published("jp", 10, 1) };
    fleet.spec.placement = serde_json::from_value(following()).unwrap();
    regions.peers.get_mut("jp").unwrap().fleets = vec![fleet];
    regions.pass(5).await;
    assert_eq!((regions.share(), regions.weights()), (Some(3), json!("3 jp=60,kr=30,sg=10")));
    regions.peers.get_mut("jp").unwrap().is_silent = true;
    regions.pass(8).await;
    assert_eq!(regions.share(), Some(8), "30 to 10 of ten");
    regions.pass(130).await;
    assert_eq!(regions.weights(), "3 jp=60,kr=30,sg=10", "and nobody else makes another");
}

/// Rule 9.
#[tokio::test]
async fn a_region_that_does_not_let_go_holds_the_end_of_a_fleet_up_for_a_minute() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("sg").unwrap().held.clear();
    regions.delete_fleet(40);
    regions.pass(2).await;
    assert_eq!(regions.finalizers(), json!([labels::PLACED_FINALIZER]), "jp is read, and has it");
    regions.delete_fleet(60);
    regions.pass(2).await;
    assert_eq!(regions.finalizers(), json!([]));
}

#[tokio::test]
async fn a_silent_region_is_not_waited_for_and_hears_of_the_end_when_it_is_back() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(6).await;
    regions.delete_fleet(0);
    regions.peers.get_mut("jp").unwrap().held.clear();
    regions.pass(2).await;
    assert_eq!(regions.finalizers(), json!([]));
    regions.world.api.remove(&ours("fleets", "arena"));
    regions.world.bring();
    regions.age_tombstone(120);
    regions.pass(5).await;
    assert!(regions.kept().tombstones.contains_key("f-kr"), "sg has not heard of it");
    regions.peers.get_mut("sg").unwrap().is_silent = false;
    regions.pass(3).await;
    assert!(regions.kept().tombstones.contains_key("f-kr"), "it still has it");
    let sg = regions.peers.get_mut("sg").unwrap();
    sg.held.clear();
    sg.is_silent = true;
    regions.pass(8).await;
    assert!(!regions.kept().tombstones["f-kr"].settled, "it is not read");
    regions.peers.get_mut("sg").unwrap().is_silent = false;
    regions.pass(8).await;
    assert!(regions.kept().tombstones["f-kr"].settled, "that goes along with the next vote");
}

/// Somebody else's Fleet, which no watch has brought yet.
fn foreign(name: &str) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet",
        "metadata": { "name": name, "namespace": "games", "uid": "other" }, "spec": { "replicas": 1 },
    })
}

/// A look at the name would find nobody: the other comes between that and the write.
fn is_look(seen: &Seen) -> Option<u16> {
    (seen.method == "GET" && seen.path.contains("/fleets/")).then_some(404)
}

#[tokio::test]
async fn a_fleet_that_somebody_makes_at_the_same_moment_is_never_adopted() {
    for (name, home) in [("arena-kr", "kr"), ("arena", "jp")] {
        let mut regions = Regions::new().await;
        regions.pass(4).await;
        if home == "kr" {
            let mut fleet = arena("kr", Some(6), &json!({}));
            fleet["metadata"]["finalizers"] = json!([labels::PLACED_FINALIZER]);
            regions.world.put(&ours("fleets", "arena"), &fleet);
        } else {
            regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
        }
        regions.world.api.put(&ours("fleets", name), foreign(name));
        regions.world.api.fail(is_look);
        regions.pass(1).await;
        let tried = regions.world.api.take_seen();
        assert!(tried.iter().any(|seen| seen.body["metadata"]["name"] == name), "{name}: it was tried");
        regions.world.api.heal();
        regions.pass(3).await;
        let found = regions.world.api.get(&ours("fleets", name)).unwrap();
        assert_eq!(found["spec"], foreign(name)["spec"], "{name}");
        let metadata = &found["metadata"];
        assert!(metadata["labels"].is_null() && metadata["ownerReferences"].is_null(), "{name}: {metadata}");
    }
}

#[tokio::test]
async fn what_is_only_begun_is_finished_and_nothing_follows_from_it_before() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    let is_apply = |seen: &Seen| seen.method == "PATCH" && seen.path.ends_with("/fleets/arena");
    regions.world.api.fail(move |seen| is_apply(seen).then_some(500));
    regions.pass(5).await;
    assert!(regions.world.api.get(&ours("fleets", "arena")).is_some(), "the name is ours");
    assert_eq!(regions.world.api.get(&ours("fleets", "arena-kr")), None);
    regions.world.api.heal();
    // after four failures the next try comes within three seconds, and the share a second later
    regions.pass(5).await;
    let copy = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    assert_eq!(copy["spec"]["template"]["spec"]["capacity"], 10);
    assert_eq!(copy["metadata"]["annotations"]["cranewing.dev/version"], "f-jp 0 1");
    assert_eq!(regions.share(), Some(2));
}

/// Each try is time in which no vote is cast.
#[tokio::test]
async fn what_the_api_server_does_not_take_is_tried_less_and_less_and_votes_go_on() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("jp").unwrap().fleets = (0..5)
        .map(|number| PublishedFleet { name: format!("duel-{number}"), ..published("jp", 6, 1) })
        .collect();
    let is_write = |seen: &Seen| seen.method != "GET" && seen.path.contains("/fleets");
    regions.world.api.fail(move |seen| is_write(seen).then_some(500));
    regions.pass(60).await;
    let tries = regions.world.api.take_seen().iter().filter(|seen| is_write(seen)).count();
    assert!((5 * 4..5 * 12).contains(&tries), "{tries} tries of five Fleets in a minute");
    let before = regions.kept().agreed;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(8).await;
    let after = regions.kept().agreed;
    assert!(after.number > before.number && after.regions.len() == 2, "{after:?}");
    regions.world.api.heal();
    regions.pass(45).await;
    for number in 0..5 {
        assert!(regions.world.api.get(&ours("fleets", &format!("duel-{number}"))).is_some(), "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_share_that_gets_no_answer_is_told_on_its_fleet() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let is_share = |seen: &Seen| seen.method == "PATCH" && seen.path.ends_with("/fleets/arena-kr");
    regions.world.api.fail(move |seen| is_share(seen).then_some(NO_ANSWER));
    regions.change(2, "/replicas", 9);
    regions.pass(12).await;
    let (status, reason, message) = regions.condition("Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "CreateFailed"));
    assert!(message.contains("takes more than 10 s for its share"), "{message}");
    regions.world.api.heal();
    regions.pass(40).await;
    assert_eq!((regions.share(), regions.condition("Stalled")), (Some(3), None));
}

/// An admission webhook that hangs, for more Fleets than a minute has tries.
#[tokio::test(start_paused = true)]
async fn what_gets_no_answer_keeps_no_other_fleet_and_no_vote_waiting() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("jp").unwrap().fleets = (0..12)
        .map(|number| PublishedFleet { name: format!("duel-{number}"), ..published("jp", 6, 1) })
        .collect();
    let is_duel = |seen: &Seen| {
        seen.path.ends_with("/fleets") && seen.body["metadata"]["name"].as_str().unwrap().starts_with("duel")
    };
    regions.world.api.fail(move |seen| (seen.method == "POST" && is_duel(seen)).then_some(NO_ANSWER));
    regions.pass(2).await;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    let began = regions.world.context.clock.elapsed();
    let is_lost = |regions: &Regions| regions.kept().agreed.regions.len() == 2;
    while !is_lost(&regions) {
        regions.pass(1).await;
        let took = regions.world.context.clock.elapsed().saturating_sub(began);
        assert!(took < Duration::from_secs(20), "{took:?}: the vote waits for what hangs");
    }
    while regions.share() != Some(3) {
        regions.pass(1).await;
        let took = regions.world.context.clock.elapsed().saturating_sub(began);
        assert!(took < Duration::from_secs(30), "{took:?}: the share of a lost region waits for what hangs");
    }
    let last = PublishedFleet { name: "last".to_owned(), ..published("jp", 6, 1) };
    regions.peers.get_mut("jp").unwrap().fleets.push(last);
    while regions.world.api.get(&ours("fleets", "last")).is_none() {
        regions.pass(1).await;
        let took = regions.world.context.clock.elapsed().saturating_sub(began);
        assert!(took < Duration::from_secs(600), "{took:?}: what comes behind all that hang is never made");
    }
    regions.world.api.heal();
    regions.pass(45).await;
    for number in 0..12 {
        assert!(regions.world.api.get(&ours("fleets", &format!("duel-{number}"))).is_some(), "{number}");
    }
}

#[tokio::test]
async fn a_fleet_beyond_those_that_are_shared_out_says_so_and_is_shared_out_once_there_is_room() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let fleets = (0..256).map(|number| PublishedFleet {
        name: format!("duel-{number:03}"),
        uid: format!("d-{number}"),
        ..published("jp", 0, 1)
    });
    let fleets: Vec<_> = fleets.collect();
    regions.peers.get_mut("jp").unwrap().fleets.clone_from(&fleets);
    regions.pass(4).await;
    let (stalled, reason, words) = regions.condition("Stalled").unwrap();
    assert_eq!((stalled.as_str(), reason.as_str()), ("True", "TooMany"));
    assert!(words.contains("more than the 256 placed Fleets") && words.contains("delete some"), "{words}");
    assert_eq!(regions.share(), Some(2), "it keeps what it has");
    let stone = |fleet: &PublishedFleet| PublishedFleet { deleted: true, ..fleet.clone() };
    regions.peers.get_mut("jp").unwrap().fleets = fleets.iter().map(stone).collect();
    regions.pass(4).await;
    assert_eq!(regions.condition("Ready").unwrap().1, "AsSpecified");
}
