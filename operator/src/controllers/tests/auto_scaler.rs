//! What the AutoScaler controller sets and says, alone and beside other scalers.

use super::{World, ours};
use crate::controllers::{StepError, auto_scaler, horizontal};
use gameserver_contract::{HistogramDelta, Phase, Report};
use kube::Resource;
use kube::runtime::events::EventType;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const HORIZONTAL: &str = "/apis/autoscaling/v2/namespaces/games/horizontalpodautoscalers/web";

impl World {
    /// A scaler of `arena` that adds a server above five players each, made at this second.
    fn put_scaler(&mut self, second: u32) {
        self.put_scaler_by(
            second,
            &json!({ "metric": "player_count", "upThreshold": 5, "downThreshold": 1 }),
        );
    }

    fn put_scaler_by(&mut self, second: u32, policy: &Value) {
        let scaler = json!({
            "apiVersion": "cranewing.dev/v1alpha1", "kind": "AutoScaler",
            "metadata": {
                "name": "arena", "namespace": "games", "uid": "s-1", "generation": 1,
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": { "fleet": "arena", "min": 1, "max": 5, "policies": [policy] },
        });
        self.put(&ours("autoscalers", "arena"), &scaler);
    }

    fn put_horizontal(&mut self, second: u32) {
        let horizontal = json!({
            "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {
                "name": "web", "namespace": "games", "uid": "h-1",
                "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z"),
            },
            "spec": {
                "maxReplicas": 9,
                "scaleTargetRef": { "apiVersion": "cranewing.dev/v1alpha1", "kind": "Fleet", "name": "arena" },
            },
        });
        self.put(HORIZONTAL, &horizontal);
    }

    async fn reconcile_scaler(&mut self) -> Result<(), auto_scaler::Error> {
        let scalers = self.context.stores.auto_scalers.store();
        let scaler = scalers.get(&ObjectRef::new("arena").within("games")).unwrap();
        let done = auto_scaler::reconcile(scaler, Arc::clone(&self.context)).await;
        self.bring();
        done.map(drop)
    }

    async fn reconcile_horizontal(&mut self) -> Result<(), horizontal::Error> {
        let horizontals = self.context.stores.horizontal.store();
        let horizontal = horizontals.get(&ObjectRef::new("web").within("games")).unwrap();
        let done = horizontal::reconcile(horizontal, Arc::clone(&self.context)).await;
        self.bring();
        done.map(drop)
    }

    fn scaler_condition(&self, type_: &str) -> Option<(String, String, String)> {
        self.condition(&ours("autoscalers", "arena"), type_)
    }

    fn replicas(&self) -> i64 {
        self.api.get(&ours("fleets", "arena")).unwrap()["spec"]["replicas"].as_i64().unwrap()
    }
}

#[tokio::test]
async fn a_settled_scaler_makes_no_request() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(0);
    world.report("arena-0", Phase::Ready, 3);
    world.reconcile_scaler().await.unwrap();
    assert_eq!(world.api.take_briefs(), ["PATCH autoscalers/arena/status"]);
    for _ in 0..3 {
        world.reconcile_scaler().await.unwrap();
    }
    assert_eq!(world.api.take_seen(), []);
}

#[tokio::test]
async fn a_figure_that_only_jitters_makes_no_request() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler_by(0, &json!({ "metric": "cpu_usage", "upThreshold": 90, "downThreshold": 10 }));
    let cpu = |cpu_millis| Report { phase: Phase::Ready, players: 3, cpu_millis, ..Report::default() };
    world.tell("arena-0", &cpu(50));
    world.reconcile_scaler().await.unwrap();
    world.api.take_seen();
    for cpu_millis in [52, 47, 55] {
        world.wait(Duration::from_secs(5));
        world.tell("arena-0", &cpu(cpu_millis));
        world.reconcile_scaler().await.unwrap();
    }
    assert_eq!(world.api.take_seen(), []);
    world.wait(Duration::from_secs(5));
    world.tell("arena-0", &cpu(70));
    world.reconcile_scaler().await.unwrap();
    assert_eq!(world.api.take_briefs(), ["PATCH autoscalers/arena/status"]);
}

#[tokio::test]
async fn each_metric_is_what_the_servers_report() {
    // of twenty ticks one had a queue of eight and the rest of one: p95 is one; of ten, eight
    let queue = |ticks: u32| HistogramDelta { buckets: vec![(0, ticks), (5, 1)], sum: 0 };
    let ready = |report: Report| Report { phase: Phase::Ready, ..report };
    for (metric, report, value) in [
        ("player_count", Report { players: 7, ..Report::default() }, 7),
        // the pod asks for 100 thousandths of a core unless its template asks for others
        ("cpu_usage", Report { cpu_millis: 50, ..Report::default() }, 50),
        ("queue_depth", Report { queue_depth: queue(19), ..Report::default() }, 1),
        ("queue_depth", Report { queue_depth: queue(9), ..Report::default() }, 8),
    ] {
        let mut world = World::with_running_fleet(1).await;
        world.put_scaler_by(0, &json!({ "metric": metric, "upThreshold": value, "downThreshold": 0 }));
        world.tell("arena-0", &ready(report));
        world.reconcile_scaler().await.unwrap();
        let scaler = world.api.get(&ours("autoscalers", "arena")).unwrap();
        assert_eq!(scaler["status"]["policies"][0]["value"], value, "{metric}");
    }
}

#[tokio::test]
async fn replicas_are_set_on_the_fleet_as_it_was_seen() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(0);
    world.report("arena-0", Phase::Ready, 8);
    world.reconcile_scaler().await.unwrap();
    let seen = world.api.take_seen();
    let scale = seen.iter().find(|seen| seen.path.ends_with("/scale")).unwrap();
    assert_eq!(scale.body["spec"]["replicas"], 2);
    assert!(scale.body["metadata"]["resourceVersion"].is_string(), "on condition that it is unchanged");
    assert_eq!(world.replicas(), 2);
}

#[tokio::test]
async fn somebody_elses_change_of_replicas_is_never_lost_to_a_decision_before_it() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(0);
    world.report("arena-0", Phase::Ready, 8);
    // Somebody sets four, and the watch has not brought it yet.
    let mut fleet = world.api.get(&ours("fleets", "arena")).unwrap();
    fleet["spec"]["replicas"] = json!(4);
    world.api.put(&ours("fleets", "arena"), fleet);
    world.reconcile_scaler().await.unwrap();
    assert_eq!(world.replicas(), 4, "the decision for two is void");
    assert_eq!(world.scaler_condition("Ready"), None, "and nothing is claimed");
    world.reconcile_scaler().await.unwrap();
    assert_eq!(world.replicas(), 5, "decided anew, from what is there now");
}

#[tokio::test]
async fn a_failure_to_scale_is_not_told_as_scaled() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(0);
    world.report("arena-0", Phase::Ready, 8);
    world.api.fail(|seen| seen.path.ends_with("/scale").then_some(500));
    assert_eq!(world.reconcile_scaler().await.unwrap_err().step(), "scale");
    let scaler = world.api.get(&ours("autoscalers", "arena")).unwrap();
    assert!(scaler["status"]["lastScaleTime"].is_null());
    assert!(!world.api.take_seen().iter().any(|seen| seen.path.ends_with("/events")));
}

#[tokio::test]
async fn a_cooldown_holds_also_when_its_status_could_not_be_written() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(0);
    world.report("arena-0", Phase::Ready, 8);
    world.api.fail(|seen| seen.path.ends_with("autoscalers/arena/status").then_some(500));
    assert_eq!(world.reconcile_scaler().await.unwrap_err().step(), "status");
    assert_eq!(world.replicas(), 2);
    world.api.heal();
    world.reconcile_scaler().await.unwrap();
    assert_eq!(world.replicas(), 2, "it cools down");
    let scaler = world.api.get(&ours("autoscalers", "arena")).unwrap();
    assert_eq!(scaler["status"]["reason"], "CoolingDown");
    assert!(scaler["status"]["lastScaleTime"].is_string(), "and says since when");
}

#[tokio::test]
async fn a_scaler_of_a_fleet_without_servers_says_who_must_ask_for_the_first() {
    let mut world = World::with_running_fleet(0).await;
    world.put_scaler(0);
    let mut scaler = world.api.get(&ours("autoscalers", "arena")).unwrap();
    scaler["spec"]["min"] = json!(0);
    world.put(&ours("autoscalers", "arena"), &scaler);
    world.reconcile_scaler().await.unwrap();
    let scaler = world.api.get(&ours("autoscalers", "arena")).unwrap();
    assert_eq!(scaler["status"]["reason"], "AtZero");
    let (status, _, message) = world.scaler_condition("AbleToScale").unwrap();
    assert_eq!(status, "False");
    assert!(message.contains("kubectl scale"), "{message}");
}

#[tokio::test]
async fn beside_an_older_horizontal_pod_autoscaler_ours_gets_conflict_and_holds() {
    let mut world = World::with_running_fleet(1).await;
    world.put_horizontal(1);
    world.put_scaler(2);
    world.report("arena-0", Phase::Ready, 8);
    world.reconcile_scaler().await.unwrap();
    let (status, _, message) = world.scaler_condition("Conflict").unwrap();
    assert_eq!(status, "True");
    assert!(message.contains("HorizontalPodAutoscaler web"), "{message}");
    assert_eq!(world.scaler_condition("Ready").unwrap().0, "False");
    assert_eq!(world.replicas(), 1, "it does not scale");
}

#[tokio::test]
async fn a_younger_horizontal_pod_autoscaler_is_told_once_and_ours_goes_on() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(1);
    world.put_horizontal(2);
    world.report("arena-0", Phase::Ready, 3);
    world.reconcile_scaler().await.unwrap();
    let (status, _, message) = world.scaler_condition("Ready").unwrap();
    assert_eq!(status, "True");
    assert!(message.contains("HorizontalPodAutoscaler web, which came later"), "{message}");
    assert_eq!(world.scaler_condition("Conflict"), None);
    world.reconcile_horizontal().await.unwrap();
    assert_eq!(world.condition(HORIZONTAL, "Conflict").unwrap().0, "True");
    let events = world.api.take_seen().iter().filter(|seen| seen.path.ends_with("/events")).count();
    assert_eq!(events, 1);
    world.reconcile_scaler().await.unwrap();
    world.reconcile_horizontal().await.unwrap();
    assert_eq!(world.api.take_seen(), [], "told once");
}

#[tokio::test]
async fn a_horizontal_pod_autoscaler_is_told_when_the_conflict_is_over() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(1);
    world.put_horizontal(2);
    world.reconcile_horizontal().await.unwrap();
    assert_eq!(world.condition(HORIZONTAL, "Conflict").unwrap().0, "True");
    world.api.remove(&ours("autoscalers", "arena"));
    world.bring();
    world.reconcile_horizontal().await.unwrap();
    let (status, reason, _) = world.condition(HORIZONTAL, "Conflict").unwrap();
    assert_eq!((status.as_str(), reason.as_str()), ("False", "NoOlderScaler"));
    world.api.take_seen();
    world.reconcile_horizontal().await.unwrap();
    assert_eq!(world.api.take_seen(), [], "told once");
}

#[tokio::test]
async fn a_horizontal_pod_autoscaler_beside_no_older_scaler_is_left_alone() {
    for (second, name) in [(1, "it is the older one"), (9, "it scales something else")] {
        let mut world = World::with_running_fleet(1).await;
        world.put_scaler(5);
        world.put_horizontal(second);
        if second == 9 {
            let mut horizontal = world.api.get(HORIZONTAL).unwrap();
            horizontal["spec"]["scaleTargetRef"]["name"] = json!("other");
            world.put(HORIZONTAL, &horizontal);
        }
        world.reconcile_horizontal().await.unwrap();
        assert_eq!(world.api.take_seen(), [], "{name}");
    }
}

#[tokio::test]
async fn a_younger_one_that_cannot_be_told_does_not_keep_ours_from_scaling() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(1);
    world.put_horizontal(2);
    world.report("arena-0", Phase::Ready, 8);
    world.api.fail(|seen| seen.path.contains("horizontalpodautoscalers").then_some(403));
    assert_eq!(world.reconcile_horizontal().await.unwrap_err().step(), "tell");
    world.reconcile_scaler().await.unwrap();
    assert_eq!(world.replicas(), 2);
}

/// Who looks at the events of a scaler sees each change with its own figures, not the figures of the first.
#[tokio::test]
async fn each_change_of_replicas_is_an_event_of_its_own_and_a_standing_conflict_is_one_that_is_counted() {
    let mut world = World::with_running_fleet(1).await;
    world.put_scaler(0);
    let mut scaler = world.api.get(&ours("autoscalers", "arena")).unwrap();
    scaler["spec"]["policies"][0]["cooldownSeconds"] = json!(0);
    world.put(&ours("autoscalers", "arena"), &scaler);
    world.report("arena-0", Phase::Ready, 8);
    for _ in 0..3 {
        world.reconcile_scaler().await.unwrap();
    }
    let told = events(&world);
    let notes: Vec<&str> = told.iter().map(|(_, body)| body["note"].as_str().unwrap()).collect();
    assert!(told.iter().all(|(method, body)| method == "POST" && body["series"].is_null()), "{told:?}");
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, change) in notes.iter().zip(["from 1 to 2", "from 2 to 3", "from 3 to 4"]) {
        assert!(note.contains(change), "{notes:?}");
    }
    let related = &told[0].1["related"];
    assert_eq!((&related["kind"], &related["name"]), (&json!("Fleet"), &json!("arena")));

    let reference = world.fleet().object_ref(&());
    for _ in 0..3 {
        world.context.event(&reference, EventType::Warning, "Conflict", "it stands".to_owned()).await;
    }
    let methods: Vec<String> = events(&world).into_iter().map(|(method, _)| method).collect();
    assert_eq!(methods, ["POST", "PATCH", "PATCH"], "what happens again is counted");
}

/// Events that were published since it was last asked, with the way in which.
fn events(world: &World) -> Vec<(String, Value)> {
    let seen = world.api.take_seen().into_iter().filter(|seen| seen.path.contains("/events"));
    seen.map(|seen| (seen.method.to_string(), seen.body)).collect()
}
