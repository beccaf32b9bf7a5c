//! What the leader decides is noted, with its reason, once for as long as it stands.

use super::{World, ours};
use crate::controllers::auto_scaler;
use gameserver_contract::Phase;
use kube::runtime::reflector::ObjectRef;
use operator_core::journal::Of;
use serde_json::json;
use std::sync::Arc;

impl World {
    /// What was decided of this kind, why, and how often.
    fn decided(&self, of: Of) -> Vec<(String, String, u64)> {
        let entries = self.context.journal.entries().into_iter().filter(|entry| entry.of == of);
        entries
            .map(|entry| {
                assert_eq!(entry.object, "games/arena");
                (entry.decided, entry.why, entry.times)
            })
            .collect()
    }
}

#[tokio::test]
async fn what_is_planned_judged_and_scaled_is_noted_once_with_its_reason() {
    let mut world = World::with_running_fleet(2).await;
    for _ in 0..5 {
        world.reconcile_fleet().await.unwrap();
    }
    let plans = world.decided(Of::FleetPlan);
    let (first, last) = (plans.first().unwrap(), plans.last().unwrap());
    assert_eq!(first.0, "create [0, 1]");
    assert!(first.1.starts_with("2 wanted, 0 there"), "{}", first.1);
    assert!(last.0 == "nothing" && last.2 >= 5, "what stands is one entry: {plans:?}");
    let courses = world.decided(Of::Rollout);
    assert!(
        courses.last().unwrap().0.starts_with("OnDelete") || courses.last().unwrap().0.starts_with("Done"),
        "{courses:?}"
    );

    let scaler = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "AutoScaler",
        "metadata": { "name": "arena", "namespace": "games", "uid": "s-1", "generation": 1 },
        "spec": {
            "fleet": "arena", "min": 1, "max": 5,
            "policies": [{ "metric": "player_count", "upThreshold": 5, "downThreshold": 1 }],
        },
    });
    world.put(&ours("autoscalers", "arena"), &scaler);
    for players in [3, 3, 9] {
        for name in ["arena-0", "arena-1"] {
            world.report(name, Phase::Ready, players);
        }
        let scalers = world.context.stores.auto_scalers.store();
        let scaler = scalers.get(&ObjectRef::new("arena").within("games")).unwrap();
        let done = auto_scaler::reconcile(scaler, Arc::clone(&world.context)).await;
        done.map(drop).unwrap();
    }
    let [held, raised] = &world.decided(Of::Scaling)[..] else { panic!("{:?}", world.decided(Of::Scaling)) };
    assert_eq!((held.0.as_str(), held.2), ("hold at 2", 2));
    assert!(held.1.starts_with("Steady: Steady"), "{}", held.1);
    assert_eq!(raised.0, "from 2 to 3");
    assert!(
        raised.1.contains("AboveThreshold") && raised.1.contains("player_count: Some(9)"),
        "{}",
        raised.1
    );
}
