//! What the log says, and about whom.

use super::{World, ours};
use crate::controllers::{control, fleet, game_server};
use crate::runtime::telemetry;
use futures::stream;
use gameserver_contract::Phase;
use kube::runtime::reflector::ObjectRef;
use serde_json::{Value, json};
use std::io::Write;
use std::sync::{Arc, Mutex, Once};
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::EnvFilter;

/// What was logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn start(filter: &str) -> (Self, DefaultGuard) {
        // With one subscriber alone, tracing asks the thread that comes upon a line first whether anybody wants it, and
        // that may be another test's, which has none. A second one for all threads makes it ask every subscriber.
        static EVERYWHERE: Once = Once::new();
        EVERYWHERE.call_once(|| {
            let quiet = telemetry::json(EnvFilter::new("error"), std::io::sink);
            tracing::subscriber::set_global_default(quiet).unwrap();
        });
        let log = Self::default();
        let writer = log.clone();
        let subscriber = telemetry::json(EnvFilter::new(filter), move || writer.clone());
        (log, tracing::subscriber::set_default(subscriber))
    }

    /// The lines with this message.
    fn lines(&self, message: &str) -> Vec<Value> {
        let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.filter(|line| line["message"] == message).collect()
    }
}

/// Whom a line is about.
fn about(line: &Value) -> Value {
    let span = &line["span"];
    json!([span["kind"], span["namespace"], span["object"], span["uid"], span["fleet"]])
}

/// Reconciles what is named by its controller until the log has a line with this message.
async fn run_until(log: &Log, message: &str, controller: impl Future<Output = ()>) -> Value {
    tokio::pin!(controller);
    let mut looks = tokio::time::interval(std::time::Duration::from_millis(5));
    loop {
        tokio::select! {
            () = &mut controller => panic!("a controller never ends by itself"),
            _ = looks.tick() => if let Some(line) = log.lines(message).pop() { return line },
        }
    }
}

fn named<K>(name: &str) -> impl futures::Stream<Item = ObjectRef<K>> + Send + 'static
where
    K: kube::Resource<DynamicType = ()> + 'static,
{
    futures::StreamExt::chain(stream::iter([ObjectRef::new(name).within("games")]), stream::pending())
}

#[tokio::test(start_paused = true)]
async fn every_line_about_a_server_names_it_its_fleet_its_namespace_and_its_uid() {
    let mut world = World::new().await;
    world.put_fleet(1);
    world.reconcile_fleet().await.unwrap();
    world.reconcile_server("arena-0").await.unwrap();
    world.run_server("arena-0", Phase::Ready, 0);
    let uid = world.server("arena-0").metadata.uid.clone().unwrap();
    let (log, _guard) = Log::start("info");
    let store = world.context.stores.game_servers.store().clone();
    let controller =
        control(("GameServer", 1), &world.context, &store, named("arena-0"), game_server::reconcile);
    let line = run_until(&log, "state changed", controller).await;
    assert_eq!(about(&line), json!(["GameServer", "games", "arena-0", uid, "arena"]));
    assert_eq!((&line["state"], &line["level"]), (&json!("Ready"), &json!("INFO")));
}

#[tokio::test(start_paused = true)]
async fn a_failure_says_whom_it_is_about_and_why_whatever_the_filter() {
    let mut world = World::new().await;
    world.put_fleet(1);
    world.api.fail(|seen| (seen.method == "POST" && seen.path.ends_with("/gameservers")).then_some(500));
    let (log, _guard) = Log::start("warn");
    let store = world.context.stores.fleets.store().clone();
    let controller = control(("Fleet", 1), &world.context, &store, named("arena"), fleet::reconcile);
    let line = run_until(&log, "failed to reconcile", controller).await;
    assert_eq!(about(&line), json!(["Fleet", "games", "arena", "f-1", "arena"]));
    assert_eq!(line["step"], "create");
    assert!(line["error"].as_str().unwrap().contains("the API server answered 500"), "{line}");
}

#[tokio::test]
async fn what_a_fleet_does_to_a_server_is_told_about_the_server() {
    let mut world = World::with_running_fleet(2).await;
    let uid = world.server("arena-1").metadata.uid.clone().unwrap();
    let mut object = world.api.get(&ours("fleets", "arena")).unwrap();
    object["spec"]["replicas"] = json!(1);
    world.put(&ours("fleets", "arena"), &object);
    let (log, _guard) = Log::start("info");
    world.reconcile_fleet().await.unwrap();
    let line = log.lines("orders a drain").pop().unwrap();
    assert_eq!(about(&line), json!(["GameServer", "games", "arena-1", uid, "arena"]));
}
