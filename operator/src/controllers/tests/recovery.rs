//! kr as a home that comes back from nothing or from an old copy, and as a peer of one.

use super::ours;
use super::placed_fleets::{BALLOT, Regions, arena, held, open_to, published, region};
use super::placed_scalers::{record, scaler};
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
pub(super) fn held_of(uid: &str, home_epoch: u64, generation: u64) -> Held {
    Held { mark: Some(mark(uid, Version { home_epoch, generation })), ..held(2, 2) }
}

impl Regions {
    pub(super) fn says(&mut self, peer: &'static str, copies: Copies) {
        self.peers.get_mut(peer).unwrap().copies = Some(copies);
    }

    pub(super) fn fleet(&self) -> Option<Value> {
        self.world.api.get(&ours("fleets", "arena"))
    }

    /// What kr publishes, as `name epoch`, tombstones in brackets.
    pub(super) fn publishes(&self) -> Vec<String> {
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
    pub(super) async fn behind(mut self, told: PublishedFleet) -> Self {
        for peer in ["jp", "sg"] {
            let held = Held { mark: Some(mark_of(&told)), ..held(2, 2) };
            self.peers.get_mut(peer).unwrap().held = [("kr", held)].into();
            self.says(peer, kept(std::slice::from_ref(&told), 1));
        }
        self.pass(3).await;
        self
    }

    pub(super) fn scaler(&self) -> Option<Value> {
        self.world.api.get(&ours("autoscalers", "crowd"))
    }

    /// What kr publishes of the AutoScaler: its bounds, if there is one.
    pub(super) fn publishes_scaler(&self) -> Option<(i32, i32)> {
        let own = self.world.context.links.own_fleets();
        ScalerRecord::read(own.first()?.scaler.as_deref()).spec.map(|spec| (spec.min, spec.max))
    }
}

pub(super) fn epoch(fleet: &Value) -> &Value {
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
