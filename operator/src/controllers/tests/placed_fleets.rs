//! Placed Fleets in kr, whose peers jp and sg say what a test has them say.

use super::{World, ours};
use crate::controllers::placed_fleets::Placing;
use crate::links::message::{self, Copies, Digest, Objects, OwnStanding, PublishedFleet, Reach, Version};
use crate::links::peer::tests::peer;
use kube::ResourceExt;
use operator_api::{Fleet, FleetSpec, labels};
use operator_core::regions::recovery::Mark;
use operator_core::regions::shares::{Held, Holdings, SHARES_VERSION};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(super) const SECOND: Duration = Duration::from_secs(1);
pub(super) const BALLOT: &str = "/api/v1/namespaces/cranewing-system/configmaps/cranewing-ballot";

/// A peer that votes as kr does and goes by what kr goes by.
pub(super) struct Peer {
    /// What it has of `home/games/arena`, by home.
    pub(super) held: BTreeMap<&'static str, Held>,
    /// Fields of its RegionCluster that are not as [`region`] says, and how often they changed.
    pub(super) fields: (Value, i64),
    /// What it publishes.
    pub(super) fleets: Vec<PublishedFleet>,
    /// What it answers if it is asked what it keeps of kr.
    pub(super) copies: Option<Copies>,
    /// What it says to be deleted.
    pub(super) buried: BTreeMap<String, Mark>,
    pub(super) is_silent: bool,
    /// It says that its API server is away.
    api_away: bool,
    /// Version of the share function.
    pub(super) speaks: u32,
}

impl Default for Peer {
    fn default() -> Self {
        let (held, fields, fleets, copies, buried) = Default::default();
        let (is_silent, api_away) = (false, false);
        Self { held, fields, fleets, copies, buried, is_silent, api_away, speaks: SHARES_VERSION }
    }
}

/// kr and its peers, and what kr's leader remembers.
pub(super) struct Regions {
    pub(super) world: World,
    pub(super) placing: Placing,
    pub(super) peers: BTreeMap<&'static str, Peer>,
}

pub(super) fn held(share: u32, ready: u32) -> Held {
    Held { share, ready, ..Held::default() }
}

pub(super) fn region(name: &str, min: i32, max: i32) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "RegionCluster",
        "metadata": { "name": name, "uid": format!("u-{name}"), "generation": 1 },
        "spec": {
            "regionId": name, "zones": ["a", "b", "c"], "vpcCidr": "10.20.0.0/16",
            "minGameServers": min, "maxGameServers": max,
        },
    })
}

/// Namespace `games`, which takes Fleets of these.
pub(super) fn open_to(regions: &str) -> Value {
    let annotations = json!({ labels::TAKES_FLEETS_FROM: regions });
    json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "games", "annotations": annotations } })
}

/// Fleet `arena` of this home.
pub(super) fn arena(home: &str, replicas: Option<i32>, placement: &Value) -> Value {
    json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet",
        "metadata": { "name": "arena", "namespace": "games", "uid": format!("f-{home}"), "generation": 1 },
        "spec": {
            "home": home, "replicas": replicas, "placement": placement, "template": { "spec": { "capacity": 10 } },
        },
    })
}

/// The same as its home publishes it.
pub(super) fn published(home: &str, replicas: i32, generation: u64) -> PublishedFleet {
    let fleet: Fleet = serde_json::from_value(arena(home, Some(replicas), &json!({}))).unwrap();
    let version = operator_core::regions::shares::Version { home_epoch: 0, generation };
    let uid = fleet.uid().unwrap();
    let (namespace, name) = ("games".to_owned(), "arena".to_owned());
    PublishedFleet { namespace, name, uid, version, spec: fleet.spec, ..PublishedFleet::default() }
}

impl Regions {
    pub(super) async fn new() -> Self {
        let mut world = World::new().await;
        world.api.put("/api/v1/namespaces/games", open_to("jp, sg"));
        world.put("/apis/cranewing.dev/v1alpha1/regionclusters/kr", &region("kr", 0, 100));
        world.put("/apis/cranewing.dev/v1alpha1/regionclusters/jp", &region("jp", 0, 100));
        // As an older operator has kept it: a region that is not new.
        world.put(BALLOT, &json!({ "metadata": { "name": labels::BALLOT }, "data": { "state.json": "{}" } }));
        let peers = ["jp", "sg"].map(|name| (name, Peer::default())).into();
        let regions = Self { world, placing: Placing::default(), peers };
        regions.register();
        regions
    }

    /// Those that are there have joined.
    fn register(&self) {
        let (known, now) =
            (self.peers.keys().map(|name| Arc::new(peer(name))), self.world.context.clock.elapsed());
        self.world.context.links.table.register(now, known);
    }

    /// With a Fleet of this many, whose home kr is, of which every region has its share.
    pub(super) async fn with_fleet(replicas: i32, share: i32) -> Self {
        Self::with_placed(replicas, share, &json!({})).await
    }

    /// The same, placed like this.
    pub(super) async fn with_placed(replicas: i32, share: i32, placement: &Value) -> Self {
        let mut regions = Self::new().await;
        regions.world.put(&ours("fleets", "arena"), &arena("kr", Some(replicas), placement));
        regions.pass(4).await;
        regions.make_ready(share);
        let others = held(u32::try_from(share).unwrap(), u32::try_from(share).unwrap());
        regions.peers.values_mut().for_each(|peer| peer.held = [("kr", others)].into());
        regions.pass(3).await;
        regions.world.api.take_seen();
        regions
    }

    /// What stands in the ConfigMap.
    pub(super) fn kept(&self) -> crate::links::kept::Kept {
        self.world.context.links.kept().unwrap().0
    }

    pub(super) fn hear(&self) {
        let (context, kept) = (&self.world.context, self.kept());
        for (&name, peer) in self.peers.iter().filter(|(_, peer)| !peer.is_silent) {
            let silent = |of: &str| self.peers.get(of).is_some_and(|peer| peer.is_silent);
            let reach = |of: &str| if silent(of) { Reach::Silent } else { Reach::Reads };
            let others = self.peers.keys().copied().chain(["kr"]).filter(|of| *of != name);
            let fleets = peer.held.iter().map(|(home, held)| (format!("{home}/games/arena"), *held));
            let contents =
                serde_json::to_vec(&peer.fleets).unwrap().iter().map(|&byte| u64::from(byte)).sum();
            let generation = 1 + peer.fields.1;
            let version = Version { uid: format!("u-{name}"), generation, contents };
            let digest = Digest {
                region: name.to_owned(),
                sequence: context.clock.elapsed().as_secs(),
                standing: OwnStanding::Member,
                api_away: peer.api_away,
                row: others.map(|of| (of.to_owned(), reach(of))).collect(),
                view: message::View::from(kept.proposed.clone()),
                holdings: Holdings { basis: kept.basis.clone(), fleets: fleets.collect() },
                buried: peer.buried.clone(),
                speaks: peer.speaks,
                objects: Some(version.clone()),
                ..Digest::default()
            };
            let (now, id) = ((context.clock.elapsed(), context.clock.wall()), name.parse().unwrap());
            if context.links.table.heard(now, id, digest, Duration::from_millis(30)).is_some() {
                let mut spec = region(name, 0, 100)["spec"].clone();
                spec.as_object_mut().unwrap().extend(peer.fields.0.as_object().cloned().unwrap_or_default());
                let spec = serde_json::from_value(spec).unwrap();
                let fleets = peer.fleets.clone();
                context
                    .links
                    .table
                    .keep(id, Objects { version, region_cluster: Some(spec), fleets, next: None });
            }
            if let Some(copies) = peer.copies.clone().filter(|_| context.links.table.wants_copies(id)) {
                context.links.table.keep_copies(id, copies);
            }
        }
    }

    /// Seconds pass, with a turn each.
    pub(super) async fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.world.wait(SECOND);
            self.world.context.links.pulse.beat(self.world.context.clock.elapsed());
            self.hear();
            // it holds whole Fleets while it waits
            Box::pin(self.placing.turn(&self.world.context)).await;
            self.world.bring();
        }
    }

    /// All of kr's share are Ready.
    pub(super) fn make_ready(&mut self, ready: i32) {
        let mut share = self.world.api.get(&ours("fleets", "arena-kr")).unwrap();
        share["status"] = json!({ "readyReplicas": ready });
        self.world.put(&ours("fleets", "arena-kr"), &share);
    }

    pub(super) fn share(&self) -> Option<i64> {
        self.world.api.get(&ours("fleets", "arena-kr"))?["spec"]["replicas"].as_i64()
    }

    pub(super) fn condition(&self, type_: &str) -> Option<(String, String, String)> {
        self.world.condition(&ours("fleets", "arena"), type_)
    }

    pub(super) fn notes(&self) -> Vec<String> {
        let seen = self.world.api.take_seen();
        let events = seen.iter().filter(|seen| seen.path.ends_with("/events"));
        events.map(|seen| seen.body["note"].as_str().unwrap().to_owned()).collect()
    }
}

#[tokio::test]
async fn a_placed_fleet_has_a_share_here_and_no_servers_and_says_where_they_are() {
    let mut regions = Regions::with_fleet(6, 2).await;
    assert_eq!(regions.share(), Some(2));
    let share = regions.world.api.get(&ours("fleets", "arena-kr")).unwrap();
    assert_eq!(share["metadata"]["ownerReferences"][0]["uid"], "f-kr");
    assert_eq!(share["metadata"]["labels"]["cranewing.dev/parent"], "arena");
    assert_eq!(share["spec"]["template"]["spec"]["capacity"], 10);
    assert!(share["spec"]["home"].is_null() && share["spec"]["placement"].is_null());
    let (ready, reason, message) = regions.condition("Ready").unwrap();
    assert_eq!((ready.as_str(), reason.as_str()), ("True", "AsSpecified"));
    assert_eq!(message, "ready game servers: jp 2, kr 2, sg 2");
    let status = regions.world.api.get(&ours("fleets", "arena")).unwrap()["status"].clone();
    assert_eq!((&status["replicas"], &status["readyReplicas"]), (&json!(6), &json!(6)));
    assert_eq!(status["regions"][0], json!({ "regionId": "jp", "share": 2, "ready": 2, "players": 0 }));
    let fleet = regions.world.fleet();
    super::super::fleet::reconcile(fleet, Arc::clone(&regions.world.context)).await.unwrap();
    regions.pass(90).await;
    assert_eq!(regions.world.api.take_seen(), [], "and a settled one makes no request");
}

#[tokio::test]
async fn the_share_of_a_lost_region_is_raised_here_and_lowered_again_when_that_has_made_its_own() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(14).await;
    assert_eq!(regions.share(), Some(3));
    let status = regions.world.api.get(&ours("fleets", "arena")).unwrap()["status"].clone();
    assert_eq!((&status["replicas"], &status["readyReplicas"]), (&json!(5), &json!(4)), "those of jp and kr");
    assert_eq!(
        status["regions"][2],
        json!({ "regionId": "sg", "share": 2, "ready": 2, "players": 0, "lost": true })
    );
    let message = regions.condition("Ready").unwrap().2;
    assert!(message.contains("what sg had when it was last heard is left out"), "{message}");
    let view = regions.kept().agreed;
    assert_eq!(view.regions.len(), 2);
    let basis = regions.kept().basis.facts;
    let note =
        format!("arena-kr from 2 to 3 game servers: view {} of jp, kr, basis {basis:016x}", view.number);
    assert!(regions.notes().contains(&note));
    regions.make_ready(3);
    let sg = regions.peers.get_mut("sg").unwrap();
    (sg.is_silent, sg.held) = (false, [("kr", held(2, 1))].into());
    regions.pass(8).await;
    assert_eq!(regions.share(), Some(3), "it has not made its own");
    regions.peers.get_mut("sg").unwrap().held = [("kr", held(2, 2))].into();
    regions.pass(2).await;
    assert_eq!(regions.share(), Some(2));
}

#[tokio::test]
async fn who_takes_no_part_keeps_its_share_whatever_is_asked_for() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.values_mut().for_each(|peer| peer.is_silent = true);
    regions.pass(6).await;
    let before = regions.kept();
    regions.world.put(&ours("fleets", "arena"), &{
        let mut fleet = regions.world.api.get(&ours("fleets", "arena")).unwrap();
        (fleet["spec"]["replicas"], fleet["metadata"]["generation"]) = (json!(30), json!(2));
        fleet
    });
    regions.pass(40).await;
    assert_eq!((regions.share(), regions.kept()), (Some(2), before), "isolated");
    assert_eq!(regions.condition("Ready").unwrap().1, "Holding");
    regions.peers.values_mut().for_each(|peer| peer.is_silent = false);
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(10));
    regions.world.api.take_seen();
    regions.world.wait(Duration::from_secs(5));
    regions.hear();
    regions.placing.turn(&regions.world.context).await;
    assert_eq!(regions.world.api.take_seen(), [], "the API server does not answer");
}

#[tokio::test]
async fn a_region_is_not_degraded_for_longer_because_this_one_stood_still() {
    let mut regions = Regions::with_fleet(6, 2).await;
    regions.peers.get_mut("jp").unwrap().api_away = true;
    regions.pass(2).await;
    regions.world.wait(Duration::from_secs(600));
    regions.pass(1).await;
    assert_eq!(regions.kept().proposed.regions.len(), 3, "it stood still for ten minutes");
    regions.pass(40).await;
    assert_eq!(regions.kept().proposed.regions.len(), 2, "and it goes on");
}

/// Two leaders at once, of which one has not seen yet what the other wrote.
#[tokio::test]
async fn whoever_is_behind_neither_votes_nor_moves_a_share() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let mut newer = regions.world.api.get(BALLOT).unwrap();
    newer["data"]["state.json"] = json!(r#"{"proposed":{"number":900,"regions":["jp"]}}"#);
    regions.peers.get_mut("sg").unwrap().is_silent = true;
    regions.pass(3).await;
    regions.world.api.put(BALLOT, newer.clone());
    for _ in 0..3 {
        regions.world.wait(SECOND);
        regions.world.context.links.pulse.beat(regions.world.context.clock.elapsed());
        regions.hear();
        regions.placing.turn(&regions.world.context).await;
    }
    assert_eq!(regions.world.api.get(BALLOT).unwrap()["data"], newer["data"]);
    assert_eq!(regions.share(), Some(2));
    regions.world.bring();
    regions.placing = Placing::default();
    regions.pass(3).await;
    let kept = regions.kept();
    assert!(kept.proposed.number > 900, "and goes on from there: {kept:?}");
}

/// B27: nobody lowers for it before it has its share Ready.
#[tokio::test]
async fn a_region_that_joins_later_gets_its_share_and_the_others_lower_theirs_when_it_is_ready() {
    let mut regions = Regions::with_fleet(12, 4).await;
    let newcomer = Peer { held: [("kr", held(0, 0))].into(), ..Peer::default() };
    regions.peers.insert("us", newcomer);
    regions.register();
    regions.pass(20).await;
    assert_eq!((regions.share(), regions.kept().agreed.regions.len()), (Some(4), 4));
    let (status, reason, message) = regions.condition("Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "SharingOut"));
    assert!(message.contains("us 0 of 3"), "{message}");
    regions.peers.get_mut("us").unwrap().held = [("kr", held(3, 2))].into();
    regions.pass(20).await;
    assert_eq!(regions.share(), Some(4), "it is not Ready with all of it");
    regions.peers.get_mut("us").unwrap().held = [("kr", held(3, 3))].into();
    regions.pass(5).await;
    assert_eq!(regions.share(), Some(3));
}

#[tokio::test]
async fn a_fleet_says_which_region_has_no_copy_of_it_and_where_is_told_why() {
    let mut regions = Regions::new().await;
    regions.world.put(&ours("fleets", "arena"), &arena("kr", Some(6), &json!({})));
    regions.peers.get_mut("jp").unwrap().held = [("kr", held(2, 2))].into();
    regions.pass(10).await;
    let (_, reason, message) = regions.condition("Ready").unwrap();
    assert_eq!(reason, "SharingOut");
    let words = "sg 0 of 2 (no copy there); why sg has no copy is an Event on RegionCluster kr there";
    assert!(message.contains(words), "{message}");
}

#[tokio::test]
async fn conditions_say_what_stands_in_the_way() {
    let few = json!({ "regions": [{ "regionId": "kr", "min": 200 }] });
    for (name, fleet, type_, reason, words) in [
        ("no replicas", arena("kr", None, &json!({})), "Stalled", "ReplicasMissing", "set replicas"),
        ("another home", arena("jp", Some(6), &json!({})), "NotHome", "OtherRegion", "its home is region jp"),
        (
            "bounds",
            arena("kr", Some(6), &few),
            "BoundsConflict",
            "BoundsConflict",
            "kr has room for 100 of the 200",
        ),
        (
            "another home that nobody knows",
            arena("xx", Some(6), &json!({})),
            "NotHome",
            "OtherRegion",
            "(jp, kr, sg)",
        ),
        (
            "a region that nobody knows",
            arena("kr", Some(6), &json!({ "regions": [{ "regionId": "kr" }, { "regionId": "krx" }] })),
            "UnknownRegions",
            "NotRegistered",
            "not registered here (jp, kr, sg): krx;",
        ),
        (
            "a canary that nobody knows",
            arena("kr", Some(6), &json!({ "rollout": "RegionByRegion", "canary": "xx" })),
            "UnknownRegions",
            "NotRegistered",
            "not registered here (jp, kr, sg): xx;",
        ),
    ] {
        let mut regions = Regions::new().await;
        regions.world.put(&ours("fleets", "arena"), &fleet);
        regions.pass(4).await;
        let (status, found, message) = regions.condition(type_).unwrap();
        assert_eq!((status.as_str(), found.as_str()), ("True", reason), "{name}");
        assert!(message.contains(words), "{name}: {message}");
        let column = regions.condition("Ready").unwrap().1;
        assert!(!["AsSpecified", ""].contains(&column.as_str()), "{name}: {column}");
    }
}

#[tokio::test]
async fn a_fleet_that_has_all_that_its_bounds_allow_does_not_say_that_it_is_as_specified() {
    let placement = json!({ "regions": [{ "regionId": "kr", "min": 200 }] });
    let mut regions = Regions::new().await;
    regions.world.put(&ours("fleets", "arena"), &arena("kr", Some(100), &placement));
    regions.pass(4).await;
    regions.make_ready(100);
    regions.pass(8).await;
    let (status, reason, message) = regions.condition("Ready").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "BoundsConflict"), "{message}");
    assert_eq!(regions.condition("UnknownRegions"), None);
}

#[tokio::test]
async fn a_fleet_of_somebody_else_keeps_the_name_of_a_share() {
    let mut regions = Regions::new().await;
    let other = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet",
        "metadata": { "name": "arena-kr", "namespace": "games", "uid": "other" }, "spec": { "replicas": 1 },
    });
    regions.world.put(&ours("fleets", "arena-kr"), &other);
    regions.world.put(&ours("fleets", "arena"), &arena("kr", Some(6), &json!({})));
    regions.pass(4).await;
    assert_eq!(regions.condition("NameTaken").unwrap().0, "True");
    assert_eq!(regions.condition("Ready").unwrap().1, "NameTaken");
    let found = regions.world.api.get(&ours("fleets", "arena-kr")).unwrap();
    assert_eq!((&found["spec"], &found["metadata"]["labels"]), (&other["spec"], &Value::Null));
}

#[tokio::test]
async fn a_fleet_of_another_home_has_a_copy_and_a_share_here_until_its_tombstone_comes() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.pass(5).await;
    let copy = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    assert_eq!(copy["metadata"]["labels"]["cranewing.dev/home"], "jp");
    assert_eq!(copy["metadata"]["annotations"]["cranewing.dev/version"], "f-jp 0 1");
    assert_eq!(regions.share(), Some(2));
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 9, 2)];
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(3));
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.pass(3).await;
    assert_eq!(regions.share(), Some(3), "what was is not news");
    regions.peers.get_mut("jp").unwrap().fleets = Vec::new();
    regions.pass(90).await;
    assert_eq!(regions.share(), Some(3), "absence is never deletion");
    let stone = PublishedFleet { deleted: true, spec: FleetSpec::default(), ..published("jp", 9, 2) };
    let other = PublishedFleet { uid: "another".to_owned(), ..stone.clone() };
    regions.peers.get_mut("jp").unwrap().fleets = vec![other];
    regions.pass(3).await;
    assert!(regions.world.api.get(&ours("fleets", "arena")).is_some(), "it is another's");
    regions.peers.get_mut("jp").unwrap().fleets = vec![stone];
    regions.pass(2).await;
    assert!(regions.world.api.get(&ours("fleets", "arena")).is_none());
}

/// Or each region would have all servers of a Fleet when regions are taken apart.
#[tokio::test]
async fn the_share_of_a_fleet_whose_home_has_left_stays_as_it_is() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.pass(5).await;
    assert_eq!(regions.share(), Some(2));
    regions.peers.clear();
    regions.world.context.links.table.register(regions.world.context.clock.elapsed(), []);
    regions.pass(90).await;
    assert_eq!((regions.share(), regions.kept().agreed.regions.len()), (Some(2), 1));
    assert_eq!(regions.condition("Ready").unwrap().1, "Holding");
}

#[tokio::test]
async fn what_keeps_a_copy_from_being_here_is_told_once_with_what_to_do() {
    let mut regions = Regions::new().await;
    regions.peers.get_mut("jp").unwrap().fleets = vec![published("jp", 6, 1)];
    regions.world.api.remove("/api/v1/namespaces/games");
    regions.pass(6).await;
    let words = "Fleet games/arena has no copy here: there is no namespace games; make one, as at its home";
    let told = |regions: &Regions| {
        let mut told = regions.notes();
        told.retain(|note| !note.starts_with("view "));
        told
    };
    assert_eq!(told(&regions), [words]);
    regions.world.api.put("/api/v1/namespaces/games", open_to("sg,jpx"));
    regions.pass(12).await;
    let words = "Fleet games/arena has no copy here: namespace games takes no Fleets from jp; let it: kubectl annotate --overwrite \
                 namespace games cranewing.dev/takes-fleets-from=jp";
    assert_eq!(told(&regions), [words]);
    assert!(regions.world.api.get(&ours("fleets", "arena")).is_none());
    regions.world.put(&ours("fleets", "arena"), &arena("jp", Some(6), &json!({})));
    regions.pass(3).await;
    assert!(regions.notes().iter().any(|note| note.contains("another Fleet has its name")));
    let found = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    assert!(found["metadata"]["labels"].is_null(), "nothing is adopted");
    regions.world.api.remove(&ours("fleets", "arena"));
    regions.world.api.put("/api/v1/namespaces/games", open_to("*"));
    regions.world.bring();
    regions.pass(12).await;
    assert_eq!(
        regions.world.api.get(&ours("fleets", "arena")).unwrap()["metadata"]["labels"]["cranewing.dev/home"],
        "jp"
    );
}

#[tokio::test]
async fn a_deleted_fleet_waits_until_the_regions_that_are_read_have_let_go_of_it() {
    let mut regions = Regions::with_fleet(6, 2).await;
    let mut fleet = regions.world.api.get(&ours("fleets", "arena")).unwrap();
    assert_eq!(fleet["metadata"]["finalizers"], json!([labels::PLACED_FINALIZER]));
    fleet["metadata"]["deletionTimestamp"] = json!(regions.world.context.clock.wall());
    regions.world.put(&ours("fleets", "arena"), &fleet);
    regions.peers.get_mut("sg").unwrap().held.clear();
    regions.pass(2).await;
    let finalizers = |regions: &Regions| {
        regions.world.api.get(&ours("fleets", "arena")).unwrap()["metadata"]["finalizers"].clone()
    };
    assert_eq!(regions.share(), None, "its own share goes at once");
    assert_eq!(finalizers(&regions), json!([labels::PLACED_FINALIZER]), "jp still has it");
    assert!(regions.kept().tombstones.contains_key("f-kr"));
    regions.peers.get_mut("jp").unwrap().held.clear();
    regions.pass(1).await;
    assert_eq!(finalizers(&regions), json!([]));
    regions.world.api.remove(&ours("fleets", "arena"));
    regions.world.bring();
    regions.pass(5).await;
    assert!(regions.kept().tombstones.contains_key("f-kr"), "for whoever comes late");
    regions.world.api.take_seen();
    regions.pass(90).await;
    assert_eq!(regions.world.api.take_seen(), [], "and when its time is over that is no write by itself");
}
