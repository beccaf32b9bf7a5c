//! What the Fleet controller makes, drains and deletes, and what it asks for when nothing changes.

use super::{World, ours};
use crate::controllers::StepError;
use gameserver_contract::{OperatorMessage, Phase};
use operator_core::fleet_plan::Rollout;
use serde_json::{Value, json};
use std::time::Duration;

#[tokio::test]
async fn a_settled_fleet_makes_no_request() {
    let mut world = World::with_running_fleet(2).await;
    for _ in 0..3 {
        world.reconcile_fleet().await.unwrap();
        for name in ["arena-0", "arena-1"] {
            world.reconcile_server(name).await.unwrap();
        }
    }
    assert_eq!(world.api.take_seen(), []);
}

#[tokio::test]
async fn a_new_fleet_gets_its_secret_its_servers_and_one_status() {
    let mut world = World::new().await;
    world.put_fleet(2);
    world.reconcile_fleet().await.unwrap();
    assert_eq!(
        world.api.take_briefs(),
        [
            "POST controllerrevisions",
            "GET secrets/arena-keys",
            "POST secrets",
            "POST gameservers",
            "POST gameservers",
            "PATCH fleets/arena/status"
        ]
    );
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.api.take_seen(), [], "counts wait for a second to have passed");
    world.wait(Duration::from_secs(1));
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.api.take_briefs(), ["PATCH fleets/arena/status"], "it counts what it made");
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.api.take_seen(), []);
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_taken_as_done() {
    let mut world = World::new().await;
    world.put_fleet(1);
    world.reconcile_fleet().await.unwrap();
    let made = world.api.get(&ours("gameservers", "arena-0")).unwrap();
    // The watch has not brought it yet, as after a lost answer.
    world.api.remove(&ours("gameservers", "arena-0"));
    world.bring();
    world.api.put(&ours("gameservers", "arena-0"), made.clone());
    super::super::fleet::reconcile(world.fleet(), world.context.clone()).await.unwrap();
    let servers = world.api.all::<operator_api::GameServer>("gameservers");
    assert_eq!(servers.len(), 1, "not doubled");
    assert_eq!(servers[0].metadata.uid.as_deref(), made["metadata"]["uid"].as_str());
}

#[tokio::test]
async fn a_game_server_of_somebody_else_keeps_its_name_and_the_fleet_says_so() {
    let mut world = World::new().await;
    let lone = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "GameServer",
        "metadata": { "name": "arena-0", "namespace": "games", "uid": "lone" }, "spec": {},
    });
    world.put(&ours("gameservers", "arena-0"), &lone);
    world.put_fleet(2);
    assert_eq!(world.reconcile_fleet().await.unwrap_err().step(), "name_taken");
    let (status, reason, message) = world.condition(&ours("fleets", "arena"), "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "NameTaken"));
    assert!(message.contains("arena-0") && message.contains("delete it"), "{message}");
    assert!(world.api.get(&ours("gameservers", "arena-1")).is_some(), "the others are made");
    let lone = world.api.get(&ours("gameservers", "arena-0")).unwrap();
    assert!(lone["metadata"]["ownerReferences"].is_null(), "nothing is adopted");
}

#[tokio::test]
async fn a_secret_of_an_older_fleet_of_the_name_is_waited_for() {
    let mut world = World::new().await;
    world.put_fleet(1);
    let path = "/api/v1/namespaces/games/secrets/arena-keys";
    let owner = json!({ "apiVersion": "x/v1", "kind": "Fleet", "name": "arena", "uid": "older" });
    world.api.put(path, json!({ "metadata": { "name": "arena-keys", "ownerReferences": [owner] } }));
    assert_eq!(world.reconcile_fleet().await.unwrap_err().step(), "secret");
    assert_eq!(world.condition(&ours("fleets", "arena"), "Stalled").unwrap().1, "NameTaken");
    world.api.remove(path);
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.condition(&ours("fleets", "arena"), "Stalled"), None);
}

#[tokio::test]
async fn a_server_that_cannot_be_deleted_is_told_as_that() {
    let mut world = World::with_running_fleet(1).await;
    let mut server = world.api.get(&ours("gameservers", "arena-0")).unwrap();
    server["status"]["state"] = json!("Unhealthy");
    world.put(&ours("gameservers", "arena-0"), &server);
    world.api.fail(|seen| (seen.method == "DELETE").then_some(403));
    assert_eq!(world.reconcile_fleet().await.unwrap_err().step(), "delete");
    assert_eq!(world.condition(&ours("fleets", "arena"), "Stalled").unwrap().1, "DeleteFailed");
}

#[tokio::test]
async fn a_fleet_whose_servers_are_refused_says_why_and_goes_on_when_they_are_not() {
    let mut world = World::new().await;
    world.put_fleet(1);
    world.api.fail(|seen| (seen.method == "POST" && seen.path.ends_with("/gameservers")).then_some(500));
    let error = world.reconcile_fleet().await.unwrap_err();
    assert_eq!(error.step(), "create");
    let (status, reason, message) = world.condition(&ours("fleets", "arena"), "Stalled").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "CreateFailed"));
    assert!(message.starts_with("failed to create game server arena-0: "), "{message}");
    assert!(message.contains("the API server answered 500"), "the cause is there: {message}");

    world.api.take_seen();
    world.reconcile_fleet().await.unwrap_err();
    let briefs = world.api.take_briefs();
    assert!(!briefs.iter().any(|brief| brief.starts_with("PATCH")), "told once: {briefs:?}");

    world.api.heal();
    world.reconcile_fleet().await.unwrap();
    assert_eq!(world.condition(&ours("fleets", "arena"), "Stalled"), None);
}

#[tokio::test]
async fn an_api_server_that_fails_at_everything_fails_the_step_with_its_cause() {
    let mut world = World::new().await;
    world.put_fleet(1);
    world.api.fail(|_| Some(503));
    let error = world.reconcile_fleet().await.unwrap_err();
    assert_eq!(error.step(), "revision");
    let text = crate::runtime::telemetry::chain(&error);
    assert!(text.contains("ControllerRevision arena-") && text.contains("503"), "{text}");
}

#[tokio::test]
async fn a_server_too_many_is_drained_and_deleted_by_its_uid_after_its_word() {
    let mut world = World::with_running_fleet(2).await;
    let mut fleet = world.api.get(&ours("fleets", "arena")).unwrap();
    fleet["spec"]["replicas"] = json!(1);
    world.put(&ours("fleets", "arena"), &fleet);
    world.reconcile_fleet().await.unwrap();
    let briefs = world.api.take_briefs();
    assert!(!briefs.iter().any(|brief| brief.starts_with("DELETE")), "{briefs:?}");
    let OperatorMessage::Drain { order } = world.streams[1].try_recv().unwrap() else {
        panic!("the server made last is drained")
    };

    world.report("arena-1", Phase::Draining, 0);
    let uid = world.server("arena-1").metadata.uid.clone().unwrap();
    world.acknowledge("arena-1", order);
    world.reconcile_fleet().await.unwrap();
    let seen = world.api.take_seen();
    let deletes: Vec<_> = seen.iter().filter(|seen| seen.method == "DELETE").collect();
    assert_eq!(deletes.len(), 1);
    assert_eq!(deletes[0].brief(), "DELETE gameservers/arena-1");
    assert_eq!(deletes[0].body["preconditions"]["uid"], json!(uid));
}

/// It was drained by a leader that lost the lease; the next one took the drain back, and players came.
#[tokio::test]
async fn a_drain_that_somebody_else_took_back_deletes_nothing_when_its_leader_leads_again() {
    for forgets in [true, false] {
        let mut world = World::with_running_fleet(2).await;
        let mut fleet = world.api.get(&ours("fleets", "arena")).unwrap();
        fleet["spec"]["replicas"] = json!(1);
        world.put(&ours("fleets", "arena"), &fleet);
        world.reconcile_fleet().await.unwrap();
        let OperatorMessage::Drain { order } = world.streams[1].try_recv().unwrap() else {
            panic!("no drain")
        };
        world.report("arena-1", Phase::Draining, 0);
        world.acknowledge("arena-1", order);
        if forgets {
            world.context.live.forget_orders();
        }
        world.report("arena-1", Phase::Ready, 3);
        world.api.take_seen();
        world.reconcile_fleet().await.unwrap();
        let briefs = world.api.take_briefs();
        assert!(!briefs.iter().any(|brief| brief.starts_with("DELETE")), "{forgets}: {briefs:?}");
        assert!(world.streams[1].try_recv().is_err(), "nor is a server with players drained");
    }
}

#[tokio::test]
async fn a_server_that_is_gone_before_it_is_deleted_is_no_failure() {
    let mut world = World::with_running_fleet(1).await;
    let mut server = world.api.get(&ours("gameservers", "arena-0")).unwrap();
    server["status"]["state"] = json!("Unhealthy");
    world.put(&ours("gameservers", "arena-0"), &server);
    world.api.fail(|seen| (seen.method == "DELETE").then_some(404));
    world.reconcile_fleet().await.unwrap();
    let briefs = world.api.take_briefs();
    assert!(briefs.contains(&"DELETE gameservers/arena-0".to_owned()), "{briefs:?}");
}

#[tokio::test]
async fn a_status_of_a_fleet_that_is_gone_or_another_by_now_is_no_failure() {
    for code in [404, 409] {
        let mut world = World::new().await;
        world.put_fleet(0);
        world.api.fail(move |seen| (seen.method == "PATCH").then_some(code));
        world.reconcile_fleet().await.unwrap();
        let briefs = world.api.take_briefs();
        assert_eq!(briefs, ["POST controllerrevisions", "PATCH fleets/arena/status"], "{code}");
    }
}

#[tokio::test]
async fn a_changed_template_goes_to_new_servers_while_old_free_ones_are_drained_and_those_in_use_stay() {
    let mut world = World::with_running_fleet(4).await;
    world.report("arena-3", Phase::Ready, 1);
    let mut fleet = world.api.get(&ours("fleets", "arena")).unwrap();
    fleet["metadata"]["generation"] = json!(2);
    fleet["spec"]["template"]["spec"]["capacity"] = json!(20);
    world.put(&ours("fleets", "arena"), &fleet);
    world.reconcile_fleet().await.unwrap();
    assert!(world.streams.iter_mut().all(|stream| stream.try_recv().is_err()), "without a strategy all stay");
    assert!(!world.api.take_briefs().iter().any(|brief| brief.contains("gameservers")));

    fleet = world.api.get(&ours("fleets", "arena")).unwrap();
    fleet["spec"]["strategy"] = json!({});
    world.put(&ours("fleets", "arena"), &fleet);
    world.reconcile_fleet().await.unwrap();
    let drained: Vec<bool> = world.streams.iter_mut().map(|stream| stream.try_recv().is_ok()).collect();
    assert_eq!(drained, [false, false, true, false], "a quarter may be missing, and the last one is in use");
    assert!(world.api.get(&ours("gameservers", "arena-4")).is_some(), "a quarter may be there beyond");
    let (status, reason, message) = world.condition(&ours("fleets", "arena"), "Reconciling").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("True", "RollingOut"), "{message}");
}

#[test]
fn percent_are_of_what_is_wanted_and_something_always_moves() {
    let rollout = |strategy: Value, desired| {
        let fleet = json!({ "metadata": { "name": "arena" }, "spec": { "strategy": strategy } });
        crate::controllers::fleet_rollout::rollout(&serde_json::from_value(fleet).unwrap(), desired)
    };
    let rolling = |surge, unavailable| Rollout::Rolling { surge, unavailable };
    for (strategy, desired, expected) in [
        (json!({}), 10, rolling(3, 2)),
        (json!({}), 1, rolling(1, 0)),
        (json!({}), 0, rolling(0, 1)),
        (json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": "10%" } }), 5, rolling(0, 1)),
        (json!({ "rollingUpdate": { "maxSurge": 2, "maxUnavailable": 0 } }), 5, rolling(2, 0)),
        (json!({ "rollingUpdate": { "maxSurge": "100%" } }), 10_000, rolling(10_000, 2500)),
        (json!({ "type": "Recreate" }), 5, Rollout::Recreate),
        (json!({ "type": "OnDelete" }), 5, Rollout::OnDelete),
        (Value::Null, 5, Rollout::OnDelete),
    ] {
        assert_eq!(rollout(strategy.clone(), desired), expected, "{strategy} of {desired}");
    }
}
