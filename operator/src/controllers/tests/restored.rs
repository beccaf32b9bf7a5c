//! A home of which a peer is ahead: restored from an old copy, or only taken for it.

use super::ours;
use super::placed_fleets::{Regions, SECOND, arena, held, open_to, published};
use super::placed_scalers::record;
use super::recovery::{KR, epoch, held_of, kept, new_home, stone};
use crate::controllers::placed_fleets::Placing;
use crate::links::facts::{mark, mark_of};
use crate::links::message::PublishedFleet;
use operator_api::labels;
use operator_core::regions::shares::{Held, Version};
use serde_json::json;

#[tokio::test]
async fn a_home_of_which_a_peer_has_a_later_version_stops_until_a_person_says_who_counts() {
    let mut regions = Regions::with_fleet(6, 2).await;
    for (name, mark) in [("level", held_of("f-kr", 0, 1)), ("behind", held_of("f-kr", 0, 0))] {
        regions.peers.get_mut("jp").unwrap().held = [("kr", mark)].into();
        regions.pass(2).await;
        assert!(!regions.kept().restored, "{name}");
    }
    let mut regions = Regions::restored().await;
    assert!(regions.kept().restored && regions.publishes().is_empty());
    let (status, reason, message) = regions.condition("NotPublished").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "RestoredFromOld"));
    let words = "jp has games/arena as of epoch 0 generation 9, and here it is of epoch 0 generation 1";
    assert_eq!(message, format!("{words}; see docs/runbooks/conditions/NotPublished.md#restoredfromold"));
    assert!(regions.notes().iter().any(|note| note.contains(words)));
    let mut changed = regions.fleet().unwrap();
    (changed["spec"]["replicas"], changed["metadata"]["generation"]) = (json!(30), json!(12));
    regions.world.put(&ours("fleets", "arena"), &changed);
    regions.pass(60).await;
    assert_eq!((regions.share(), regions.publishes()), (Some(2), vec![]), "whatever is changed meanwhile");
}

/// What a person has decided is done once, also while something keeps one Fleet from coming.
#[tokio::test]
async fn a_fleet_that_cannot_come_has_nobody_settle_the_others_again_and_keeps_to_who_counted() {
    let mut regions = Regions::restored().await;
    let away = PublishedFleet { namespace: "away".to_owned(), uid: "w".to_owned(), ..published("kr", 1, 1) };
    for peer in ["jp", "sg"] {
        regions.says(peer, kept(&[published("kr", 12, 9), away.clone()], 1));
    }
    regions.confirm(labels::CONFIRM_TAKE_BACK);
    regions.pass(4).await;
    assert_eq!((regions.publishes(), regions.kept().awaited.len()), (vec!["arena 1".to_owned()], 1));
    let back = held_of("f-kr", 1, 1);
    regions.peers.values_mut().for_each(|peer| peer.held = [("kr", back)].into());
    regions.world.api.take_seen();
    regions.pass(30).await;
    assert_eq!(regions.publishes(), ["arena 1"], "in no later epoch");
    assert!(regions.world.api.get(KR).unwrap()["metadata"]["annotations"][labels::CONFIRM].is_null());

    regions.placing = Placing::default();
    regions.world.context.recovery.clear();
    regions.peers.values_mut().for_each(|peer| peer.is_silent = true);
    regions.pass(1).await;
    let shown = regions.world.context.recovery.decided().unwrap();
    assert!(shown.message.contains("1 Fleets are still to be brought back: away/arena"), "{shown:?}");
    regions.peers.values_mut().for_each(|peer| peer.is_silent = false);
    let mut open = open_to("*");
    open["metadata"]["name"] = json!("away");
    regions.world.put("/api/v1/namespaces/away", &open);
    regions.pass(14).await;
    assert_eq!(regions.publishes(), ["arena 1", "arena 1"]);
    assert!(regions.kept().awaited.is_empty());
}

#[tokio::test]
async fn a_copy_from_before_it_ever_asked_is_an_old_one_too() {
    let mut regions = new_home().await;
    regions.world.put(&ours("fleets", "arena"), &arena("kr", Some(6), &json!({})));
    let regions = regions.behind(published("kr", 12, 9)).await;
    let shown = regions.world.context.recovery.decided().unwrap();
    assert_eq!((shown.reason, regions.kept().restored), ("RestoredFromOld", true));
    assert_eq!(regions.fleet().unwrap()["spec"]["replicas"], 6, "nobody has said anything");
}

/// As `kubectl replace` leaves it.
#[tokio::test]
async fn a_fleet_whose_records_are_gone_goes_on_in_the_next_epoch() {
    let mut regions = Regions::with_scaler().await;
    let told = regions.world.context.links.own_fleets().remove(0);
    let held = Held { mark: Some(mark_of(&told)), ..held(2, 2) };
    regions.peers.values_mut().for_each(|peer| peer.held = [("kr", held)].into());
    let mut replaced = regions.fleet().unwrap();
    replaced["metadata"]["annotations"] = json!({});
    replaced["metadata"]["finalizers"] = json!([]);
    regions.world.put(&ours("fleets", "arena"), &replaced);
    regions.pass(3).await;
    assert!(!regions.kept().restored, "it is no old copy");
    assert_eq!((regions.publishes(), regions.publishes_scaler()), (vec!["arena 1".to_owned()], Some((3, 9))));
}

#[tokio::test]
async fn a_fleet_that_cannot_be_looked_at_hides_no_other_that_is_old() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let dead = mark("other", Version { home_epoch: 0, generation: 1 });
    let jp = regions.peers.get_mut("jp").unwrap();
    jp.held = [("kr", held_of("f-kr", 0, 9))].into();
    let mut other = arena("kr", Some(1), &json!({}));
    (other["metadata"]["name"], other["metadata"]["uid"]) = (json!("other"), json!("other"));
    jp.buried = [("kr/games/other".to_owned(), dead)].into();
    regions.world.put(&ours("fleets", "other"), &other);
    regions.world.api.fail(|seen| (seen.method == "GET" && seen.path.ends_with("/other")).then_some(403));
    regions.pass(2).await;
    assert!(regions.kept().restored);
    let (_, _, words) = regions.condition("NotPublished").unwrap();
    assert!(words.contains("games/arena") && !words.contains("games/other"), "{words}");
}

/// A replica that is ahead of its leader publishes what the leader's watch has not brought yet.
#[tokio::test]
async fn a_leader_whose_watch_is_behind_does_not_take_its_region_for_restored() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let mut newer = regions.fleet().unwrap();
    newer["metadata"]["generation"] = json!(9);
    regions.world.api.put(&ours("fleets", "arena"), newer);
    regions.peers.get_mut("jp").unwrap().held = [("kr", held_of("f-kr", 0, 9))].into();
    regions.world.wait(SECOND);
    regions.world.context.links.pulse.beat(regions.world.context.clock.elapsed());
    regions.hear();
    regions.placing.turn(&regions.world.context).await;
    regions.world.bring();
    assert!(!regions.kept().restored);
}

/// A peer that hears of a deletion from one replica, and from another that the Fleet is alive, says that it has buried it.
#[tokio::test]
async fn a_home_whose_fleet_is_going_does_not_take_its_region_for_restored() {
    for (name, is_seen) in [("its leader sees that it goes", true), ("its watch is behind", false)] {
        let mut regions = Regions::with_fleet(6, 2).await;
        let mut fleet = regions.fleet().unwrap();
        fleet["metadata"]["deletionTimestamp"] = json!(regions.world.context.clock.wall());
        fleet["metadata"]["generation"] = json!(2);
        regions.world.api.put(&ours("fleets", "arena"), fleet);
        if is_seen {
            regions.world.bring();
            regions.pass(2).await;
        }
        let dead = mark("f-kr", Version { home_epoch: 0, generation: 2 });
        regions.peers.get_mut("jp").unwrap().buried = [("kr/games/arena".to_owned(), dead)].into();
        regions.world.wait(SECOND);
        regions.world.context.links.pulse.beat(regions.world.context.clock.elapsed());
        regions.hear();
        regions.placing.turn(&regions.world.context).await;
        regions.world.bring();
        assert!(!regions.kept().restored, "{name}");
        regions.peers.values_mut().for_each(|peer| peer.held.clear());
        regions.pass(3).await;
        assert_eq!(regions.fleet().unwrap()["metadata"]["finalizers"], json!([]), "{name}");
    }
}

#[tokio::test]
async fn a_person_has_the_others_count() {
    let mut regions = Regions::restored().await;
    regions.confirm(labels::CONFIRM_TAKE_BACK);
    regions.pass(4).await;
    let fleet = regions.fleet().unwrap();
    assert_eq!((&fleet["spec"]["replicas"], epoch(&fleet)), (&json!(12), &json!("1")));
    assert_eq!(fleet["metadata"]["uid"], "f-kr", "the same Fleet, with what is its own");
    assert_eq!((regions.kept().restored, regions.publishes()), (false, vec!["arena 1".to_owned()]));
    let own = regions.world.api.get(KR).unwrap();
    assert!(own["metadata"]["annotations"][labels::CONFIRM].is_null(), "and it is done");
}

#[tokio::test]
async fn a_person_has_this_cluster_count_and_what_only_others_have_is_deleted() {
    let mut regions = Regions::restored().await;
    let more = PublishedFleet { name: "more".to_owned(), uid: "m".to_owned(), ..published("kr", 1, 1) };
    regions.says("jp", kept(&[published("kr", 12, 9), more], 1));
    regions.confirm(labels::CONFIRM_KEEP);
    regions.pass(4).await;
    let fleet = regions.fleet().unwrap();
    assert_eq!((&fleet["spec"]["replicas"], epoch(&fleet)), (&json!(6), &json!("1")));
    assert_eq!(regions.publishes(), ["arena 1", "(more m)"]);
}

#[tokio::test]
async fn a_fleet_that_is_here_again_after_it_was_deleted_stops_its_home_too() {
    for (word, there) in [(labels::CONFIRM_TAKE_BACK, false), (labels::CONFIRM_KEEP, true)] {
        let mut regions = Regions::with_fleet(6, 2).await;
        let dead = mark("f-kr", Version { home_epoch: 0, generation: 1 });
        regions.peers.get_mut("jp").unwrap().buried = [("kr/games/arena".to_owned(), dead)].into();
        regions.pass(2).await;
        assert!(regions.kept().restored, "{word}");
        for peer in ["jp", "sg"] {
            regions.says(peer, kept(&[stone(published("kr", 6, 1))], 1));
        }
        regions.confirm(word);
        regions.pass(4).await;
        assert_eq!(regions.fleet().is_some(), there, "{word}");
        assert!(!regions.kept().restored, "{word}");
        assert!(!regions.publishes().contains(&"(arena f-kr)".to_owned()) || !there, "{word}");
    }
}

#[tokio::test]
async fn an_autoscaler_goes_by_who_counts_after_an_old_copy() {
    let spec = |regions: &Regions| regions.scaler().map(|crowd| crowd["spec"]["max"].clone());
    for (name, told, word, expected) in [
        ("theirs", record(4, Some((3, 12))), labels::CONFIRM_TAKE_BACK, Some(json!(12))),
        ("it was deleted since", record(4, None), labels::CONFIRM_TAKE_BACK, None),
        ("this cluster's", record(4, Some((3, 12))), labels::CONFIRM_KEEP, Some(json!(9))),
    ] {
        let regions = Regions::with_scaler().await;
        let own = regions.world.context.links.own_fleets().remove(0);
        let mut regions = regions.behind(PublishedFleet { scaler: Some(told), ..own }).await;
        assert!(regions.kept().restored && spec(&regions) == Some(json!(9)), "{name}: a record is enough");
        regions.confirm(word);
        regions.pass(6).await;
        assert_eq!((spec(&regions), regions.kept().restored), (expected.clone(), false), "{name}");
        let max = regions.publishes_scaler().map(|(_, max)| json!(max));
        assert_eq!(max, expected, "{name}");
    }
}
