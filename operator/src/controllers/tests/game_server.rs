//! What the GameServer controller writes, and what it does when it cannot.

use super::{World, ours, report};
use crate::controllers::StepError;
use crate::reports::live::LiveServers;
use gameserver_contract::{Phase, Report};
use operator_api::GameServerState;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A Fleet's server that nobody has looked at yet.
async fn fresh() -> World {
    let mut world = World::new().await;
    world.put_fleet(1);
    world.reconcile_fleet().await.unwrap();
    world.api.take_seen();
    world
}

#[tokio::test]
async fn a_server_takes_one_pod_and_one_status_to_ready_and_then_nothing() {
    let mut world = fresh().await;
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(
        world.api.take_briefs(),
        [
            "GET configmaps/cranewing-report-ca",
            "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/gameservers.cranewing.dev",
            "PATCH configmaps/cranewing-report-ca",
            "POST pods"
        ],
        "the bundle is published once a namespace, before the first pod"
    );
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(world.api.take_briefs(), Vec::<String>::new(), "on its way is no news");
    world.run_server("arena-0", Phase::Ready, 0);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(world.api.take_briefs(), ["PATCH gameservers/arena-0/status"]);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(world.api.take_seen(), []);
    let status = world.api.get(&ours("gameservers", "arena-0")).unwrap()["status"].clone();
    assert_eq!((&status["state"], &status["address"]), (&json!("Ready"), &json!("192.0.2.1")));
}

#[tokio::test]
async fn a_pod_whose_answer_was_lost_is_taken_as_made() {
    let mut world = fresh().await;
    world.put_pod_unseen(&world.server("arena-0").metadata.uid.clone().unwrap(), false);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(world.condition(&ours("gameservers", "arena-0"), "Stalled"), None);
}

impl World {
    /// A pod named `arena-0` of this owner that no watch has brought.
    fn put_pod_unseen(&self, owner: &str, ends: bool) {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "arena-0", "namespace": "games",
                "ownerReferences": [{ "apiVersion": "x/v1", "kind": "X", "name": "x", "uid": owner }],
            },
        });
        if ends {
            pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        self.api.put("/api/v1/namespaces/games/pods/arena-0", pod);
    }
}

#[tokio::test]
async fn a_pod_of_somebody_else_is_not_taken_for_the_servers_own() {
    for (ends, told) in [(false, true), (true, false)] {
        let world = fresh().await;
        world.put_pod_unseen("somebody", ends);
        let server = world.server("arena-0");
        super::super::game_server::reconcile(server, world.context.clone()).await.unwrap();
        let stalled = world.condition(&ours("gameservers", "arena-0"), "Stalled");
        assert_eq!(stalled.is_some(), told, "one that ends is waited for");
        if let Some((_, reason, message)) = stalled {
            assert_eq!(reason, "NameTaken");
            assert!(message.contains("delete it"), "{message}");
        }
    }
}

#[tokio::test]
async fn a_server_without_a_port_stalls_and_so_does_its_fleet() {
    let mut world = fresh().await;
    world.take_all_ports();
    world.reconcile_server("arena-0").await.unwrap();
    let (_, reason, _) = world.condition(&ours("gameservers", "arena-0"), "Stalled").unwrap();
    assert_eq!(reason, "NoFreePort");
    world.reconcile_fleet().await.unwrap();
    let (_, reason, message) = world.condition(&ours("fleets", "arena"), "Stalled").unwrap();
    assert_eq!(reason, "NoFreePort");
    assert!(message.starts_with("arena-0: ") && message.contains("--host-ports"), "{message}");
}

impl World {
    /// A pod that has every host port of the range.
    fn take_all_ports(&mut self) {
        let ports: Vec<_> =
            (7000..=7099).map(|port| json!({ "containerPort": port, "hostPort": port })).collect();
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "hog", "namespace": "games" },
            "spec": { "containers": [{ "name": "hog", "ports": ports }] },
        });
        self.put("/api/v1/namespaces/games/pods/hog", &pod);
    }
}

#[tokio::test]
async fn a_pod_that_is_refused_is_told_on_the_server_and_on_its_fleet() {
    let mut world = fresh().await;
    world.api.fail(|seen| (seen.method == "POST" && seen.path.ends_with("/pods")).then_some(403));
    let error = world.reconcile_server("arena-0").await.unwrap_err();
    assert_eq!(error.step(), "create_pod");
    let (status, reason, message) = world.condition(&ours("gameservers", "arena-0"), "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "CreateFailed"));
    assert!(message.contains("failed to create the pod") && message.contains("403"), "{message}");

    world.reconcile_fleet().await.unwrap();
    let (_, reason, message) = world.condition(&ours("fleets", "arena"), "Stalled").unwrap();
    assert_eq!(reason, "CreateFailed");
    assert!(message.starts_with("arena-0: "), "it names the server: {message}");

    world.api.heal();
    world.reconcile_server("arena-0").await.unwrap();
    world.run_server("arena-0", Phase::Ready, 0);
    world.reconcile_server("arena-0").await.unwrap();
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.condition(&ours("gameservers", "arena-0"), "Stalled"), None);
    assert_eq!(world.condition(&ours("fleets", "arena"), "Stalled"), None);
}

#[tokio::test]
async fn a_status_that_could_not_be_written_fails_the_step_and_is_written_next_time() {
    let mut world = fresh().await;
    world.reconcile_server("arena-0").await.unwrap();
    world.run_server("arena-0", Phase::Ready, 0);
    world.api.fail(|seen| seen.path.ends_with("/status").then_some(500));
    assert_eq!(world.reconcile_server("arena-0").await.unwrap_err().step(), "status");
    world.api.heal();
    world.reconcile_server("arena-0").await.unwrap();
    let server = world.api.get(&ours("gameservers", "arena-0")).unwrap();
    assert_eq!(server["status"]["state"], "Ready");
}

#[tokio::test]
async fn players_alone_are_written_at_most_each_five_seconds() {
    let mut world = World::with_running_fleet(1).await;
    world.report("arena-0", Phase::Ready, 1);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(world.api.take_briefs(), ["PATCH gameservers/arena-0/status"], "it came into use");
    world.report("arena-0", Phase::Ready, 2);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(world.api.take_seen(), [], "a figure waits");
}

/// Rule: silence is time in which the operator could have heard a report.
#[tokio::test]
async fn a_region_that_stood_still_gives_its_servers_their_whole_patience_again() {
    for paused_seconds in [60, 600] {
        let mut world = World::with_running_fleet(1).await;
        world.stand_still(Duration::from_secs(paused_seconds));
        world.wait(Duration::from_secs(20));
        world.reconcile_server("arena-0").await.unwrap();
        let state = |world: &World| world.server("arena-0").status.clone().unwrap().state;
        assert_eq!(state(&world), Some(GameServerState::Recovering), "{paused_seconds}");
        world.report("arena-0", Phase::Ready, 0);
        world.reconcile_server("arena-0").await.unwrap();
        assert_eq!(state(&world), Some(GameServerState::Ready), "{paused_seconds}");
        world.wait(Duration::from_secs(40));
        world.reconcile_server("arena-0").await.unwrap();
        assert_eq!(state(&world), Some(GameServerState::Unhealthy), "silent while we listened");
    }
}

/// The same for one that had not reported yet, whoever has led for how long: its pod's age by the wall clock goes on while
/// nobody could hear it, and says nothing at all where the kubelet's clock is another than ours.
#[tokio::test]
async fn a_server_that_starts_while_its_region_stands_still_is_waited_for() {
    for seen_before in [true, false] {
        let mut world = fresh().await;
        world.reconcile_server("arena-0").await.unwrap();
        world.place("arena-0", "2026-01-01T00:00:00Z");
        if seen_before {
            world.reconcile_server("arena-0").await.unwrap();
        }
        world.stand_still(Duration::from_secs(600));
        for (waited_seconds, given_up) in [(0, false), (50, false), (10, true)] {
            world.wait(Duration::from_secs(waited_seconds));
            world.reconcile_server("arena-0").await.unwrap();
            let state = world.server("arena-0").status.as_ref().and_then(|status| status.state);
            let is_given_up = state == Some(GameServerState::Unhealthy);
            assert_eq!(
                is_given_up, given_up,
                "{waited_seconds} s more, seen before {seen_before}: {state:?}"
            );
        }
    }
}

#[tokio::test]
async fn the_address_is_where_the_server_says_that_players_reach_it_and_stays_while_nobody_has_heard_it() {
    let mut world = World::with_running_fleet(1).await;
    let address =
        |world: &World| world.api.get(&ours("gameservers", "arena-0")).unwrap()["status"]["address"].clone();
    assert_eq!(address(&world), "192.0.2.1", "that which its pod knows");
    let outside = Report { reached_at: Some([198, 51, 100, 7].into()), ..report(Phase::Ready, 0) };
    world.tell("arena-0", &outside);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(address(&world), "198.51.100.7");
    // whoever begins to lead has heard nobody yet
    Arc::get_mut(&mut world.context).expect("no reconciliation runs").live = Arc::new(LiveServers::new());
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(address(&world), "198.51.100.7");
    world.run_server("arena-0", Phase::Ready, 0);
    world.reconcile_server("arena-0").await.unwrap();
    assert_eq!(address(&world), "192.0.2.1", "it says so itself");
}
