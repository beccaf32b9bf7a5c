//! A new template of a Fleet on trial: its first servers decide what becomes of the others.

use super::{World, ours};
use crate::controllers::{StepError, Trials};
use gameserver_contract::{OperatorMessage, Phase};
use k8s_openapi::api::apps::v1::ControllerRevision;
use kube::ResourceExt;
use operator_api::{GameServer, labels};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// One more and none less, so that each step is seen.
fn one_by_one() -> Value {
    json!({ "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } })
}

impl World {
    /// Four servers for ten players run, and the Fleet has this strategy.
    async fn rolling(strategy: Value) -> Self {
        let mut world = Self::with_running_fleet(4).await;
        world.change(|spec| spec["strategy"] = strategy);
        world.reconcile_fleet().await.unwrap();
        world.api.take_seen();
        world
    }

    /// The same with these gates, and the first server of another template has crashed.
    async fn with_crash(gates: Value) -> Self {
        let mut strategy = one_by_one();
        strategy["gates"] = gates;
        let mut world = Self::rolling(strategy).await;
        world.ask_for(20).await;
        world.start("arena-4").await;
        world.crash("arena-4");
        world.api.take_seen();
        world
    }

    fn change(&mut self, change: impl FnOnce(&mut Value)) {
        let mut fleet = self.api.get(&ours("fleets", "arena")).unwrap();
        fleet["metadata"]["generation"] = json!(fleet["metadata"]["generation"].as_i64().unwrap() + 1);
        change(&mut fleet["spec"]);
        self.put(&ours("fleets", "arena"), &fleet);
    }

    /// Servers are to be for so many players from now on.
    async fn ask_for(&mut self, capacity: i32) {
        self.change(|spec| spec["template"]["spec"]["capacity"] = json!(capacity));
        self.reconcile_fleet().await.unwrap();
    }

    /// A server gets its pod and takes players.
    async fn start(&mut self, name: &str) {
        self.reconcile_server(name).await.unwrap();
        self.run_server(name, Phase::Ready, 0);
        self.reconcile_server(name).await.unwrap();
    }

    /// A server says that it drains, and that is published.
    async fn show_draining(&mut self, name: &str) {
        self.report(name, Phase::Draining, 0);
        self.reconcile_server(name).await.unwrap();
    }

    /// Seconds pass in which all of these report.
    fn play_on(&mut self, seconds: u64, names: &[&str]) {
        for _ in 0..seconds {
            self.wait(Duration::from_secs(1));
            for name in names {
                self.report(name, Phase::Ready, 0);
            }
        }
    }

    /// Names of the servers for so many players.
    fn made_for(&self, capacity: i32) -> Vec<String> {
        let servers: Vec<GameServer> = self.api.all("gameservers");
        let of = servers.iter().filter(|server| server.spec.capacity == capacity);
        of.map(ResourceExt::name_any).collect()
    }

    fn crash(&mut self, name: &str) {
        let path = format!("/api/v1/namespaces/games/pods/{name}");
        let mut pod = self.api.get(&path).unwrap();
        pod["status"]["containerStatuses"] =
            json!([{ "name": "gameserver", "image": "", "imageID": "", "ready": true, "restartCount": 1 }]);
        self.put(&path, &pod);
    }

    /// Numbers of those that were told to drain, in the order in which they started.
    fn drained(&mut self) -> Vec<usize> {
        let told = self.streams.iter_mut().map(|stream| stream.try_recv().is_ok());
        told.enumerate().filter(|(_, told)| *told).map(|(at, _)| at).collect()
    }

    fn rolled_out(&self) -> (String, String) {
        let (_, reason, message) = self.condition(&ours("fleets", "arena"), "RolledOut").unwrap();
        (reason, message)
    }

    /// Number and verdict of each template that is kept.
    fn revisions(&self) -> Vec<(i64, String)> {
        let mut all: Vec<ControllerRevision> = self.api.all("controllerrevisions");
        all.sort_by_key(|revision| revision.revision);
        let verdict = |of: &ControllerRevision| {
            let verdict = of.annotations().get(labels::VERDICT).map(String::as_str);
            verdict.unwrap_or("on trial").to_owned()
        };
        all.iter().map(|revision| (revision.revision, verdict(revision))).collect()
    }

    /// As one that begins to lead.
    fn forget_trials(&mut self) {
        Arc::get_mut(&mut self.context).expect("no reconciliation runs").trials = Trials::default();
    }
}

fn is(number: i64, verdict: &str) -> (i64, String) {
    (number, verdict.to_owned())
}

#[tokio::test]
async fn the_first_server_of_a_new_template_proves_itself_before_the_others_follow() {
    let mut strategy = one_by_one();
    strategy["canary"] = json!({ "seconds": 30 });
    let mut world = World::rolling(strategy).await;
    world.ask_for(20).await;
    assert_eq!((world.made_for(20), world.drained()), (vec!["arena-4".to_owned()], vec![]));
    world.start("arena-4").await;
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.drained(), [3], "it takes the place of one");
    let (reason, message) = world.rolled_out();
    assert_eq!(reason, "CanaryRuns", "{message}");
    let running = ["arena-0", "arena-1", "arena-2", "arena-3", "arena-4"];
    world.play_on(29, &running);
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.made_for(20).len(), world.drained()), (1, vec![]), "its time is not over");
    world.play_on(1, &running);
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.rolled_out().0.as_str(), world.made_for(20).len()), ("RollingOut", 1));
    world.show_draining("arena-3").await;
    world.reconcile_fleet().await.unwrap();
    assert_eq!(
        world.made_for(20).len(),
        2,
        "the next comes when everybody sees that one drains, and not before"
    );
    assert_eq!(
        world.revisions(),
        [is(1, "Proven"), is(2, "on trial")],
        "it is not proven before all have it"
    );
}

impl World {
    /// Another template, whose servers have come beside those before, and are Ready.
    async fn with_green(promotion: &str) -> Self {
        let blue_green = json!({ "seconds": 30, "promotion": promotion });
        let mut world = Self::rolling(json!({ "type": "BlueGreen", "blueGreen": blue_green })).await;
        world.ask_for(20).await;
        assert_eq!(world.made_for(20), ["arena-4", "arena-5", "arena-6", "arena-7"]);
        for name in world.made_for(20) {
            world.start(&name).await;
            world.reconcile_fleet().await.unwrap();
        }
        assert_eq!((world.drained(), world.rolled_out().0.as_str()), (vec![], "PreviewRuns"));
        world
    }

    /// Two servers run that can be told that they are outdated.
    async fn hearing() -> Self {
        let mut world = Self::with_running_fleet(0).await;
        world.hears_outdated = true;
        world.change(|spec| spec["replicas"] = json!(2));
        world.reconcile_fleet().await.unwrap();
        for name in ["arena-0", "arena-1"] {
            world.start(name).await;
        }
        world
    }

    /// Who was told since the last time whether it is outdated, in the order in which they started.
    fn told_outdated(&mut self) -> Vec<(usize, bool)> {
        let all = self.streams.iter_mut().enumerate().flat_map(|(at, stream)| {
            std::iter::from_fn(move || stream.try_recv().ok()).map(move |message| (at, message))
        });
        all.filter_map(|(at, message)| match message {
            OperatorMessage::Outdated { is_outdated } => Some((at, is_outdated)),
            _ => None,
        })
        .collect()
    }

    async fn play_on_everywhere(&mut self, seconds: u64) {
        let all: Vec<String> = (0..8).map(|number| format!("arena-{number}")).collect();
        self.play_on(seconds, &all.iter().map(String::as_str).collect::<Vec<_>>());
        self.reconcile_fleet().await.unwrap();
    }

    fn annotate(&mut self, revision: i64, annotation: &str, value: &str) {
        let all: Vec<ControllerRevision> = self.api.all("controllerrevisions");
        let of_number = all.iter().find(|kept| kept.revision == revision).unwrap();
        let path = format!("/apis/apps/v1/namespaces/games/controllerrevisions/{}", of_number.name_any());
        let mut kept = self.api.get(&path).unwrap();
        kept["metadata"]["annotations"][annotation] = json!(value);
        self.put(&path, &kept);
    }
}

#[tokio::test]
async fn new_servers_come_beside_all_old_ones_which_give_way_together_after_their_time() {
    let mut world = World::with_green("Auto").await;
    world.play_on_everywhere(29).await;
    let (_, message) = world.rolled_out();
    assert!(message.starts_with("4 of 4 game servers of template 2 ("), "{message}");
    assert!(world.drained().is_empty(), "its time is not over");
    world.play_on_everywhere(1).await;
    assert_eq!(world.drained(), [0, 1, 2, 3]);
    assert_eq!(world.rolled_out().0, "RollingOut");
    assert_eq!((world.made_for(20).len(), world.made_for(10).len()), (4, 4));
}

#[tokio::test]
async fn servers_that_are_promoted_by_hand_wait_for_that_whoever_leads() {
    let mut world = World::with_green("Manual").await;
    world.play_on_everywhere(60).await;
    let (reason, message) = world.rolled_out();
    assert_eq!((world.drained(), reason.as_str()), (vec![], "AwaitsPromotion"));
    assert!(message.contains("give way by `operator rollout promote arena`"), "{message}");
    world.annotate(2, labels::CANARY, labels::CANARY_PASSED);
    world.forget_trials();
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.drained(), world.rolled_out().0.as_str()), (vec![0, 1, 2, 3], "RollingOut"));
}

#[tokio::test]
async fn old_servers_are_told_when_nobody_relies_on_them_any_more_and_when_the_template_goes_back() {
    let mut world = World::hearing().await;
    world.change(|spec| spec["strategy"] = json!({ "canary": { "seconds": 30 }, "rollingUpdate": { "maxSurge": 1, "maxUnavailable": 0 } }));
    world.ask_for(20).await;
    world.start("arena-2").await;
    world.reconcile_fleet().await.unwrap();
    assert!(world.told_outdated().is_empty(), "there is a canary, and others are to stay");
    world.play_on(30, &["arena-0", "arena-1", "arena-2"]);
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.told_outdated(), [(1, true)], "one of the two is still to be there");
    world.reconcile_fleet().await.unwrap();
    assert!(world.told_outdated().is_empty(), "once");
    world.ask_for(10).await;
    assert_eq!(
        world.told_outdated(),
        [(1, false)],
        "the one that is there of the other template is relied on for now"
    );
}

#[tokio::test]
async fn a_template_that_is_put_back_before_its_servers_are_promoted_has_all_of_them_go() {
    let mut world = World::with_green("Manual").await;
    world.ask_for(10).await;
    assert_eq!(world.drained(), [4, 5, 6, 7]);
    assert_eq!(
        world.made_for(10),
        ["arena-0", "arena-1", "arena-2", "arena-3"],
        "those that were proven stayed"
    );
}

#[tokio::test]
async fn a_template_whose_server_crashes_is_rejected_once_and_what_was_proven_comes_back() {
    let mut world = World::with_crash(json!({ "crashes": 0 })).await;
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.drained(), [4], "the new one gives way");
    assert_eq!(world.revisions(), [is(1, "Proven"), is(2, "Rejected")]);
    let (status, reason, message) = world.condition(&ours("fleets", "arena"), "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "RolledBack"), "{message}");
    assert!(message.contains("crashed 1 times, and may 0 times"), "{message}");
    assert!(message.contains("operator rollout retry arena"), "{message}");
    assert!(world.condition(&ours("fleets", "arena"), "Ready").unwrap().0 == "True", "four are there");
    let events = world.api.take_seen();
    let mut events = events.iter().filter(|seen| seen.path.ends_with("/events"));
    assert!(events.any(|seen| seen.body["reason"] == "RolledBack" && seen.body["type"] == "Warning"));

    world.show_draining("arena-4").await;
    world.forget_trials();
    world.api.remove(&ours("gameservers", "arena-0"));
    world.bring();
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.rolled_out().0, "RolledBack", "the next leader knows it");
    assert_eq!(world.made_for(20), ["arena-4"]);
    assert_eq!(world.made_for(10).len(), 4, "what is missing is made from what is proven");

    world.ask_for(10).await;
    assert_eq!(world.revisions(), [is(2, "Rejected"), is(3, "Proven")], "put back");
    world.ask_for(20).await;
    assert_eq!(world.revisions(), [is(3, "Proven"), is(4, "on trial")], "and asked for anew");
}

#[tokio::test]
async fn a_verdict_counts_before_the_watch_brings_it() {
    let world = World::with_crash(json!({ "crashes": 0 })).await;
    for _ in 0..2 {
        super::super::fleet::reconcile(world.fleet(), Arc::clone(&world.context)).await.unwrap();
    }
    let judged = world.api.take_briefs();
    let judged = judged.iter().filter(|brief| brief.starts_with("PATCH controllerrevisions/"));
    assert_eq!(judged.count(), 1);
    assert_eq!(world.made_for(20), ["arena-4"]);
}

#[tokio::test]
async fn a_gate_that_only_stops_moves_nothing_and_makes_what_is_missing_of_what_is_proven() {
    let mut world = World::with_crash(json!({ "crashes": 0, "onFailure": "Stop" })).await;
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.drained(), world.rolled_out().0.as_str()), (vec![], "GateFailed"));
    for name in ["arena-0", "arena-1"] {
        world.api.remove(&ours("gameservers", name));
    }
    world.bring();
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.made_for(20).len(), world.made_for(10).len()), (1, 3));
}

#[tokio::test]
async fn who_is_paused_moves_nothing_until_it_goes_on() {
    let mut world = World::rolling(one_by_one()).await;
    world.ask_for(20).await;
    world.change(|spec| spec["strategy"]["paused"] = json!(true));
    world.start("arena-4").await;
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.drained(), world.rolled_out().0.as_str()), (vec![], "Paused"));
    world.change(|spec| spec["replicas"] = json!(6));
    world.reconcile_fleet().await.unwrap();
    assert_eq!((world.made_for(20).len(), world.made_for(10).len()), (1, 5), "it grows as it was");
    world.change(|spec| spec["strategy"]["paused"] = json!(false));
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.rolled_out().0, "RollingOut");
    assert_eq!(world.made_for(20).len(), 2);
}

#[tokio::test]
async fn a_template_is_proven_when_all_servers_have_it_and_that_is_told_by_a_condition() {
    let mut strategy = one_by_one();
    strategy["rollingUpdate"]["maxSurge"] = json!(4);
    let mut world = World::rolling(strategy).await;
    assert_eq!(world.rolled_out().0, "AsSpecified");
    world.ask_for(20).await;
    let all: Vec<String> = world.made_for(20);
    assert_eq!(all.len(), 4);
    for name in &all {
        world.start(name).await;
    }
    for name in world.made_for(10) {
        world.api.remove(&ours("gameservers", &name));
    }
    world.bring();
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.revisions(), [is(1, "Proven"), is(2, "Proven")]);
    let (status, reason, message) = world.condition(&ours("fleets", "arena"), "RolledOut").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "AsSpecified"), "{message}");
}

/// Its templates have more fields, so their hashes are others.
#[tokio::test]
async fn another_version_of_the_operator_moves_no_server() {
    let mut world = World::rolling(one_by_one()).await;
    let kept: Vec<ControllerRevision> = world.api.all("controllerrevisions");
    let path = format!("/apis/apps/v1/namespaces/games/controllerrevisions/{}", kept[0].name_any());
    let mut revision = world.api.get(&path).unwrap();
    revision["metadata"]["labels"][labels::REVISION] = json!("0badcafe");
    revision["data"]["template"]["spec"]["ofAnotherVersion"] = json!(1);
    world.api.remove(&path);
    world.put("/apis/apps/v1/namespaces/games/controllerrevisions/arena-0badcafe", &revision);
    for name in world.made_for(10) {
        let mut server = world.api.get(&ours("gameservers", &name)).unwrap();
        server["metadata"]["labels"][labels::REVISION] = json!("0badcafe");
        world.put(&ours("gameservers", &name), &server);
    }
    world.api.take_seen();
    world.reconcile_fleet().await.unwrap();
    let briefs = world.api.take_briefs();
    assert_eq!(briefs, ["PATCH fleets/arena/status"], "the name of its template is another");
    assert_eq!(world.drained(), Vec::<usize>::new());
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.api.take_briefs(), [] as [&str; 0]);
}

#[tokio::test]
async fn as_many_earlier_templates_are_kept_as_the_fleet_says_and_those_that_are_needed() {
    let mut world = World::rolling(json!({ "type": "OnDelete" })).await;
    world.change(|spec| spec["revisionHistoryLimit"] = json!(1));
    for capacity in [11, 12, 13] {
        world.ask_for(capacity).await;
    }
    world.reconcile_fleet().await.unwrap();
    let numbers: Vec<i64> = world.revisions().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [1, 3, 4], "there are servers of the first");
}

#[tokio::test]
async fn a_template_that_cannot_be_kept_makes_no_server_and_the_fleet_says_why() {
    let mut world = World::new().await;
    world.put_fleet(1);
    world
        .api
        .fail(|seen| (seen.method == "POST" && seen.path.ends_with("/controllerrevisions")).then_some(403));
    assert_eq!(world.reconcile_fleet().await.unwrap_err().step(), "revision");
    let (status, reason, message) = world.condition(&ours("fleets", "arena"), "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "CreateFailed"), "{message}");
    assert!(message.starts_with("failed to keep the template as ControllerRevision arena-"), "{message}");
    assert_eq!(world.made_for(10), [] as [&str; 0]);
    world.api.heal();
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.condition(&ours("fleets", "arena"), "Stalled"), None);
}
