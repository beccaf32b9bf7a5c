//! GameServerAllocations: asked once, answered once, gone in time.

use super::*;
use crate::allocation::{Given, Outcome, ServerView};
use crate::controllers::game_server_allocation::reconcile;
use kube::runtime::controller::Action;
use operator_api::GameServerAllocation;
use std::collections::BTreeMap;

const PATH: &str = "/apis/cranewing.dev/v1alpha1/namespaces/games/gameserverallocations/match";

fn given() -> Given {
    let server = ServerView {
        namespace: "games".to_owned(),
        name: "arena-3".to_owned(),
        address: Some("192.0.2.7".to_owned()),
        ports: vec![("game".to_owned(), 7003)],
        labels: BTreeMap::new(),
    };
    Given { uid: "s-3".into(), server: Some(Arc::new(server)) }
}

/// A world at whose desk everybody is told this, with an allocation.
async fn asked(spec: &Value, outcome: Outcome) -> World {
    let mut world = World::new().await;
    let context = Arc::get_mut(&mut world.context).unwrap();
    context.desk = Desk::scripted(move |asked| {
        assert_eq!(&*asked.key, "games/a-1", "the uid is the key");
        let wanted: Vec<bool> =
            asked.selectors.iter().map(|selector| selector.fits(&BTreeMap::new())).collect();
        assert_eq!(wanted, [false, true, false, true]);
        outcome.clone()
    });
    let mut spec = spec.clone();
    spec["selectors"] = json!([
        { "matchExpressions": [{ "key": "mode", "operator": "In", "values": ["duel"] }] },
        { "matchExpressions": [{ "key": "mode", "operator": "NotIn", "values": ["duel"] }] },
        { "matchExpressions": [{ "key": "mode", "operator": "Exists" }] },
        { "matchExpressions": [{ "key": "mode", "operator": "DoesNotExist" }] },
    ]);
    let allocation = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "GameServerAllocation",
        "metadata": { "name": "match", "namespace": "games", "uid": "a-1", "generation": 1 },
        "spec": spec,
    });
    world.put(PATH, &allocation);
    world.api.take_seen();
    world
}

impl World {
    fn allocation(&self) -> Arc<GameServerAllocation> {
        self.context.stores.allocations.store().get(&ObjectRef::new("match").within("games")).unwrap()
    }

    async fn reconcile_allocation(&mut self) -> Action {
        let action = reconcile(self.allocation(), Arc::clone(&self.context)).await.unwrap();
        self.bring();
        action
    }
}

#[tokio::test]
async fn who_is_given_a_server_is_told_which_and_the_object_goes_after_its_time() {
    let mut world = asked(&json!({ "ttlSecondsAfterFinished": 30 }), Outcome::Given(given())).await;
    assert_eq!(world.reconcile_allocation().await, Action::requeue(Duration::from_secs(30)));
    let status = world.allocation().status.clone().unwrap();
    let server = status.game_server.unwrap();
    assert_eq!((server.name.as_str(), server.uid.as_str(), server.ports[0].port), ("arena-3", "s-3", 7003));
    assert_eq!(server.address.as_deref(), Some("192.0.2.7"));
    assert_eq!(
        world.condition(PATH, "Ready"),
        Some(("True".to_owned(), "Given".to_owned(), "arena-3 is given".to_owned()))
    );
    world.api.take_seen();
    world.reconcile_allocation().await;
    assert_eq!(world.api.take_briefs(), Vec::<String>::new(), "it is not asked again, and stays");
    let mut long_ago = world.api.get(PATH).unwrap();
    long_ago["status"]["completionTime"] = json!("2026-01-01T00:00:00Z");
    world.put(PATH, &long_ago);
    world.reconcile_allocation().await;
    assert_eq!(world.api.get(PATH), None);
}

#[tokio::test]
async fn every_other_end_is_told_with_what_to_do() {
    for (outcome, state, reason, names_server) in [
        (Outcome::Ended(given()), "Ended", "SessionEnded", true),
        (Outcome::Lost("s-3".into()), "Lost", "ServerLost", false),
        (Outcome::NoServer, "None", "NoServer", false),
    ] {
        let mut world = asked(&json!({}), outcome).await;
        assert_eq!(world.reconcile_allocation().await, Action::requeue(Duration::from_secs(300)), "{state}");
        let object = world.api.get(PATH).unwrap();
        assert_eq!(object["status"]["state"], state);
        assert_eq!(object["status"]["gameServer"].is_object(), names_server, "{state}");
        for (type_, status) in [("Ready", "False"), ("Stalled", "True")] {
            let (stands, why, _) = world.condition(PATH, type_).unwrap();
            assert_eq!((stands.as_str(), why.as_str()), (status, reason), "{state} {type_}");
        }
    }
}

#[tokio::test]
async fn where_nobody_says_what_became_of_it_it_is_asked_again_and_nothing_is_written() {
    for outcome in [Outcome::TooLate, Outcome::Busy, Outcome::Elsewhere(None)] {
        let mut world = asked(&json!({}), outcome).await;
        assert_eq!(world.reconcile_allocation().await, Action::requeue(Duration::from_secs(1)));
        assert_eq!(world.api.take_briefs(), Vec::<String>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_is_shown_to_wait_and_who_is_deleted_meanwhile_waits_no_longer() {
    let mut world = asked(&json!({}), Outcome::NoServer).await;
    Arc::get_mut(&mut world.context).unwrap().desk = Desk::mute();
    let waiting = tokio::spawn(reconcile(world.allocation(), Arc::clone(&world.context)));
    let shown = async {
        while world.condition(PATH, "Reconciling").is_none() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), shown).await.expect("it is shown to wait");
    assert_eq!(world.api.get(PATH).unwrap()["status"]["state"], "Waiting");
    world.api.remove(PATH);
    world.bring();
    let ended = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("nobody waits any more");
    assert_eq!(ended.unwrap().unwrap(), Action::await_change());
}
