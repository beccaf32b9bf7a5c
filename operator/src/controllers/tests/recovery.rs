//! kr as a home that comes back from nothing or from an old copy, and as a peer of one.

use super::ours;
use super::placed_fleets::{BALLOT, Regions, SECOND, arena, held, open_to, published, region};
use super::placed_scalers::{record, scaler};
use crate::controllers::placed_fleets::Placing;
use crate::links::facts::{mark, mark_of};
use crate::links::message::{Copies, PublishedFleet};
use crate::links::scalers::ScalerRecord;
use operator_api::{FleetSpec, labels};
use operator_core::regions::shares::{Held, Version};
use serde_json::{Value, json};

const GAMES: &str = "/api/v1/namespaces/games";
pub(super) const KR: &str = "/apis/cranewing.dev/v1alpha1/regionclusters/kr";

/// kr's cluster is another one than before: nothing is there but the namespace.
pub(super) async fn new_home() -> Regions {
    let mut regions = Regions::new().await;
    regions.world.context.links.know_cluster("c-2".to_owned());
    regions.world.api.remove(BALLOT);
    regions.world.api.remove(KR);
    regions.world.put(GAMES, &open_to("kr"));
    regions
}

/// What a peer keeps of kr: these Fleets, and kr's RegionCluster of that generation.
pub(super) fn kept(fleets: &[PublishedFleet], generation: i64) -> Copies {
    let spec = serde_json::from_value(region("kr", 0, 40)["spec"].clone()).unwrap();
    let registered = ["jp", "kr", "sg"].map(str::to_owned).into();
    let region_cluster = Some(spec);
    Copies { version: 1, registered, region_cluster, generation, fleets: fleets.to_vec(), next: None }
}

pub(super) fn stone(of: PublishedFleet) -> PublishedFleet {
    PublishedFleet { deleted: true, spec: FleetSpec::default(), ..of }
}

/// A share that a peer has of kr's Fleet of this generation.
fn held_of(uid: &str, home_epoch: u64, generation: u64) -> Held {
    Held { mark: Some(mark(uid, Version { home_epoch, generation })), ..held(2, 2) }
}

impl Regions {
    pub(super) fn says(&mut self, peer: &'static str, copies: Copies) {
        self.peers.get_mut(peer).unwrap().copies = Some(copies);
    }

    fn fleet(&self) -> Option<Value> {
        self.world.api.get(&ours("fleets", "arena"))
    }

    /// What kr publishes, as `name epoch`, tombstones in brackets.
    fn publishes(&self) -> Vec<String> {
        let own = self.world.context.links.own_fleets();
        let shown = |PublishedFleet { name, uid, version, deleted, .. }: &PublishedFleet| {
            if *deleted { format!("({name} {uid})") } else { format!("{name} {}", version.home_epoch) }
        };
        own.iter().map(shown).collect()
    }

    pub(super) fn confirm(&mut self, word: &str) {
        let mut own = self.world.api.get(KR).unwrap();
        own["metadata"]["annotations"][labels::CONFIRM] = json!(word);
        self.world.put(KR, &own);
    }

    /// A settled home of which jp has a later version, as has sg: it asks for twelve.
    pub(super) async fn restored() -> Self {
        let regions = Self::with_fleet(6, 2).await;
        regions.behind(published("kr", 12, 9)).await
    }

    /// Of which jp and sg have this.
    async fn behind(mut self, told: PublishedFleet) -> Self {
        for peer in ["jp", "sg"] {
            let held = Held { mark: Some(mark_of(&told)), ..held(2, 2) };
            self.peers.get_mut(peer).unwrap().held = [("kr", held)].into();
            self.says(peer, kept(std::slice::from_ref(&told), 1));
        }
        self.pass(3).await;
        self
    }

    fn scaler(&self) -> Option<Value> {
        self.world.api.get(&ours("autoscalers", "crowd"))
    }

    /// What kr publishes of the AutoScaler: its bounds, if there is one.
    fn publishes_scaler(&self) -> Option<(i32, i32)> {
        let own = self.world.context.links.own_fleets();
        ScalerRecord::read(own.first()?.scaler.as_deref()).spec.map(|spec| (spec.min, spec.max))
    }
}

fn epoch(fleet: &Value) -> &Value {
    &fleet["metadata"]["annotations"][labels::HOME_EPOCH]
}

#[tokio::test]
async fn a_new_home_takes_its_fleets_back_from_a_majority_and_publishes_them_later_than_all_copies() {
    let mut regions = new_home().await;
    regions.says("jp", kept(&[published("kr", 6, 5)], 3));
    regions.pass(20).await;
    assert_eq!((regions.fleet(), regions.publishes()), (None, vec![]), "one of two is no majority");
    let kept_so_far = regions.kept();
    assert_eq!((kept_so_far.taken_back, kept_so_far.proposed.number), (false, 0), "it does not vote");
    let shown = regions.world.context.recovery.decided().unwrap();
    assert!(shown.reason == "TakingBack" && shown.message.contains("answered: jp; awaited: sg"), "{shown:?}");
    regions.says("sg", kept(&[published("kr", 9, 7)], 2));
    regions.pass(3).await;
    let fleet = regions.fleet().unwrap();
    assert_eq!((&fleet["spec"]["replicas"], epoch(&fleet)), (&json!(9), &json!("1")));
    assert_ne!(fleet["metadata"]["uid"], "f-kr");
    assert_eq!(regions.publishes(), ["arena 1"]);
    assert_eq!(regions.world.api.get(KR).unwrap()["spec"]["maxGameServers"], 40, "its RegionCluster too");
    assert!(
        regions.notes().iter().any(|note| note.contains("from the copy that sg has of epoch 0 generation 7"))
    );
    regions.pass(4).await;
    assert_eq!(regions.share(), Some(3), "it takes part again");
    assert_eq!((regions.kept().cluster.as_str(), regions.kept().taken_back), ("c-2", true));
    assert!(regions.world.context.recovery.decided().is_none());
}

/// Or whoever is told of its peers one after the other takes the first for all.
#[tokio::test]
async fn a_peer_that_others_name_is_awaited_before_it_is_registered() {
    let mut regions = new_home().await;
    let jp = std::sync::Arc::new(crate::links::peer::tests::peer("jp"));
    regions.peers.remove("sg");
    regions.world.context.links.table.register(regions.world.context.clock.elapsed(), [jp]);
    regions.says("jp", kept(&[published("kr", 6, 5)], 3));
    regions.pass(10).await;
    assert_eq!((regions.fleet(), regions.kept().taken_back), (None, false));
}

#[tokio::test]
async fn a_deleted_fleet_does_not_come_back_from_a_peer_that_was_away() {
    let mut regions = new_home().await;
    regions.says("jp", kept(&[published("kr", 6, 5)], 3));
    regions.says("sg", kept(&[stone(published("kr", 6, 5))], 3));
    regions.pass(5).await;
    assert!(regions.kept().taken_back);
    assert_eq!((regions.fleet(), regions.publishes()), (None, vec!["(arena f-kr)".to_owned()]));
}

#[tokio::test]
async fn a_fleet_that_a_person_applied_to_a_new_home_wins_with_an_epoch_of_its_own() {
    let mut regions = new_home().await;
    let mut applied = arena("kr", Some(4), &json!({}));
    applied["metadata"]["uid"] = json!("by-hand");
    regions.world.put(&ours("fleets", "arena"), &applied);
    for peer in ["jp", "sg"] {
        regions.says(peer, kept(&[published("kr", 6, 5)], 3));
    }
    regions.pass(5).await;
    let fleet = regions.fleet().unwrap();
    assert_eq!((&fleet["spec"]["replicas"], epoch(&fleet)), (&json!(4), &json!("1")));
    assert_eq!(regions.publishes(), ["arena 1"]);
}

#[tokio::test]
async fn an_autoscaler_comes_back_before_its_fleet_and_the_others_never_hear_that_there_is_none() {
    let theirs = || scaler("crowd", "other", (1, 2), 1);
    let by_hand = || scaler("by-hand", "arena", (2, 5), 1);
    for (name, told, there, expected) in [
        ("as it was", record(4, Some((3, 9))), None, Some((3, 9))),
        ("there was none", record(4, None), None, None),
        ("a person has applied another", record(4, Some((3, 9))), Some(by_hand()), Some((2, 5))),
        ("its name is another's", record(4, Some((3, 9))), Some(theirs()), None),
    ] {
        let mut regions = new_home().await;
        if let Some(there) = there {
            let path = ours("autoscalers", there["metadata"]["name"].as_str().unwrap());
            regions.world.put(&path, &there);
        }
        for peer in ["jp", "sg"] {
            let told = PublishedFleet { scaler: Some(told.clone()), ..published("kr", 6, 5) };
            regions.says(peer, kept(&[told], 3));
        }
        for _ in 0..8 {
            let had = regions.scaler().is_some();
            regions.pass(1).await;
            assert!(
                had || expected != Some((3, 9)) || regions.fleet().is_none(),
                "{name}: before it is seen"
            );
            let published = regions.publishes_scaler();
            assert!(regions.publishes().is_empty() || published == expected, "{name}: {published:?}");
        }
        let is_taken = name == "its name is another's";
        assert_eq!(regions.publishes().is_empty(), is_taken, "{name}");
        assert_eq!(regions.kept().awaited.len(), usize::from(is_taken), "{name}");
        assert_eq!(regions.scaler().is_some_and(|crowd| crowd["spec"]["max"] == 9), name == "as it was");
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

#[tokio::test]
async fn what_keeps_a_fleet_from_coming_back_is_told_and_the_rest_goes_on() {
    let mut regions = new_home().await;
    regions.world.put(KR, &region("kr", 0, 100));
    regions.world.api.remove(GAMES);
    let other = PublishedFleet { namespace: "open".to_owned(), uid: "o".to_owned(), ..published("kr", 1, 1) };
    let mut open = open_to("*");
    open["metadata"]["name"] = json!("open");
    regions.world.put("/api/v1/namespaces/open", &open);
    for peer in ["jp", "sg"] {
        regions.says(peer, kept(&[published("kr", 6, 5), other.clone()], 3));
    }
    regions.pass(5).await;
    assert_eq!(regions.publishes(), ["arena 1"], "the other");
    let words =
        "Fleet games/arena cannot be brought back: there is no namespace games; make one, as at its home";
    assert_eq!(regions.notes().iter().filter(|note| note.as_str() == words).count(), 1);
    regions.peers.get_mut("jp").unwrap().held = [("kr", held_of("f-kr", 0, 5))].into();
    regions.world.put(GAMES, &open_to("jp"));
    regions.pass(12).await;
    assert!(regions.fleet().is_none() && !regions.kept().restored, "a peer that has it is not ahead");
    assert_eq!(regions.world.context.recovery.decided().unwrap().reason, "NamespaceClosed");
    regions.world.put(GAMES, &open_to("jp,kr"));
    regions.pass(14).await;
    assert_eq!(epoch(&regions.fleet().unwrap()), "1");
    assert!(regions.kept().awaited.is_empty() && regions.world.context.recovery.decided().is_none());
}

#[tokio::test]
async fn a_person_gives_up_what_cannot_be_brought_back() {
    let mut regions = new_home().await;
    regions.world.put(KR, &region("kr", 0, 100));
    regions.world.api.remove(GAMES);
    for peer in ["jp", "sg"] {
        regions.says(peer, kept(&[published("kr", 6, 5)], 3));
    }
    regions.pass(5).await;
    assert_eq!(regions.kept().awaited.len(), 1);
    regions.confirm(labels::CONFIRM_KEEP);
    regions.pass(5).await;
    assert!(regions.kept().awaited.is_empty() && regions.fleet().is_none());
    assert_eq!(regions.publishes(), ["(arena f-kr)"], "and all delete it");
    assert!(regions.world.api.get(KR).unwrap()["metadata"]["annotations"][labels::CONFIRM].is_null());
}

/// With fewer than a majority, because the others are gone too.
#[tokio::test]
async fn a_person_has_a_new_home_go_on_with_those_that_answer() {
    let mut regions = new_home().await;
    regions.world.put(KR, &region("kr", 0, 100));
    regions.says("jp", kept(&[published("kr", 6, 5)], 3));
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(8).await;
    assert!(regions.fleet().is_none());
    regions.confirm(labels::CONFIRM_TAKE_BACK);
    regions.pass(3).await;
    assert_eq!((epoch(&regions.fleet().unwrap()).clone(), regions.kept().taken_back), (json!("1"), true));
}

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
async fn a_region_cluster_that_is_refused_keeps_no_fleet_from_coming_back() {
    let mut regions = new_home().await;
    regions
        .world
        .api
        .fail(|seen| (seen.method == "POST" && seen.path.ends_with("/regionclusters")).then_some(422));
    for peer in ["jp", "sg"] {
        regions.says(peer, kept(&[published("kr", 6, 5)], 3));
    }
    regions.pass(4).await;
    assert_eq!(regions.publishes(), ["arena 1"]);
    assert!(regions.world.api.get(KR).is_none());
}

/// Of each it would ask the API server each second.
#[tokio::test]
async fn a_new_home_that_waits_asks_for_no_fleet_of_which_only_others_know() {
    let mut regions = new_home().await;
    regions.peers.get_mut("jp").unwrap().held = [("kr", held_of("f-kr", 0, 9))].into();
    regions.says("jp", kept(&[published("kr", 6, 9)], 3));
    regions.pass(3).await;
    regions.world.api.take_seen();
    regions.pass(5).await;
    let asked = regions.world.api.take_briefs();
    assert!(!asked.iter().any(|brief| brief.contains("fleets/arena")), "{asked:?}");
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
async fn a_peer_takes_what_came_back_in_the_place_of_its_copy_and_keeps_the_share() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 3)];
    regions.pass(5).await;
    let uids = |regions: &Regions| {
        ["arena", "arena-kr"]
            .map(|name| regions.world.api.get(&ours("fleets", name)).unwrap()["metadata"]["uid"].clone())
    };
    let (before, share) = (uids(&regions), regions.share());
    let version = Version { home_epoch: 1, generation: 1 };
    let back = PublishedFleet { uid: "f-2".to_owned(), version, ..published("jp", 6, 1) };
    let old = published("jp", 30, 8);
    for (name, told) in [("it came back", back), ("and the one before is not heard again", old)] {
        regions.peers.get_mut("jp").unwrap().fleets = vec![told];
        regions.pass(4).await;
        let copy = regions.fleet().unwrap();
        assert_eq!(copy["metadata"]["annotations"]["cranewing.dev/version"], "f-2 1 1", "{name}");
        assert_eq!((uids(&regions), regions.share()), (before.clone(), share), "{name}");
    }
    let stone = PublishedFleet { version, ..stone(published("jp", 6, 1)) };
    regions.peers.get_mut("jp").unwrap().fleets = vec![stone];
    regions.pass(2).await;
    assert!(regions.fleet().is_some(), "the tombstone of what it was is not its own");
}

#[tokio::test]
async fn a_peer_remembers_what_was_deleted_and_takes_it_again_only_in_a_later_epoch() {
    let mut regions = Regions::new().await;
    let publish = |regions: &mut Regions, fleet| regions.peers.get_mut("jp").unwrap().fleets = vec![fleet];
    publish(&mut regions, published("jp", 6, 3));
    regions.pass(3).await;
    publish(&mut regions, stone(published("jp", 6, 3)));
    regions.pass(3).await;
    assert!(regions.fleet().is_none());
    publish(&mut regions, published("jp", 6, 2));
    regions.pass(3).await;
    assert!(regions.fleet().is_none(), "its home was restored from an old copy");
    let version = Version { home_epoch: 1, generation: 2 };
    publish(&mut regions, PublishedFleet { version, ..published("jp", 6, 2) });
    regions.pass(3).await;
    assert!(regions.fleet().is_some(), "and a person has kept it");
}

#[tokio::test]
async fn a_fleet_that_is_made_anew_goes_on_from_the_epoch_of_the_one_before() {
    let mut regions = Regions::new().await;
    let stones = json!({ "tombstones": { "f-1": {
        "namespace": "games", "name": "arena", "version": { "homeEpoch": 2, "generation": 4 },
    } } });
    let data = json!({ "state.json": stones.to_string() });
    regions.world.put(BALLOT, &json!({ "metadata": { "name": labels::BALLOT }, "data": data }));
    regions.world.put(&ours("fleets", "arena"), &arena("kr", Some(6), &json!({})));
    regions.pass(3).await;
    assert_eq!(epoch(&regions.fleet().unwrap()), "2");
}

#[tokio::test]
async fn a_tombstone_that_all_have_let_go_of_is_told_again_to_whoever_comes_with_its_fleet() {
    let mut regions = Regions::new().await;
    let stones = json!({ "tombstones": { "f-kr": { "namespace": "games", "name": "arena" } } });
    let data = json!({ "state.json": stones.to_string() });
    regions.world.put(BALLOT, &json!({ "metadata": { "name": labels::BALLOT }, "data": data }));
    regions.pass(3).await;
    assert_eq!((regions.publishes(), regions.kept().tombstones.len()), (vec![], 1));
    regions.peers.get_mut("sg").unwrap().held = [("kr", held_of("f-kr", 0, 3))].into();
    regions.pass(2).await;
    assert_eq!((regions.publishes(), regions.kept().restored), (vec!["(arena f-kr)".to_owned()], false));
}
