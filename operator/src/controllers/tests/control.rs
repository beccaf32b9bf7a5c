//! How a failing object is tried again.

use super::World;
use crate::controllers::{StepError, control};
use futures::stream;
use kube::runtime::controller::Action;
use kube::runtime::reflector::ObjectRef;
use operator_api::Fleet;
use operator_core::backoff::{BACKOFF_BASE, BACKOFF_CAP};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug, thiserror::Error)]
#[error("nothing works")]
struct Broken;

impl StepError for Broken {
    fn step(&self) -> &'static str {
        "break"
    }
}

/// Runs an object whose reconciliation fails as `fails` says for its first, second, … try; when each try was.
async fn tries(count: usize, fails: impl Fn(usize) -> bool + Send + Sync + 'static) -> Vec<Duration> {
    let mut world = World::new().await;
    world.put_fleet(0);
    let triggers = futures::StreamExt::chain(
        stream::iter([ObjectRef::<Fleet>::new("arena").within("games")]),
        stream::pending(),
    );
    let began = Instant::now();
    let tried = Arc::new(Mutex::new(Vec::new()));
    let (enough, mut is_enough) = tokio::sync::mpsc::channel(1);
    let (seen, fails) = (Arc::clone(&tried), Arc::new(fails));
    let reconcile = move |_: Arc<Fleet>, _| {
        let (seen, fails, enough) = (Arc::clone(&seen), Arc::clone(&fails), enough.clone());
        async move {
            let number = {
                let mut seen = seen.lock().unwrap();
                seen.push(began.elapsed());
                seen.len()
            };
            if number >= count {
                enough.send(()).await.unwrap();
            }
            if fails(number) { Err(Broken) } else { Ok(Action::requeue(Duration::from_secs(2))) }
        }
    };
    let store = world.context.stores.fleets.store().clone();
    tokio::select! {
        () = control(("Fleet", 1), &world.context, &store, triggers, reconcile) => panic!("it never ends by itself"),
        _ = is_enough.recv() => {}
    }
    let failures = world.context.metrics.reconciles.with_label_values(&["Fleet", "break"]).get();
    assert!(failures > 0, "failures are counted by their step");
    let tried = tried.lock().unwrap();
    tried.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

#[tokio::test(start_paused = true)]
async fn waits_grow_with_each_failure_up_to_their_cap() {
    let waits = tries(12, |_| true).await;
    assert!(waits[0] >= BACKOFF_BASE / 2 && waits[0] < BACKOFF_BASE * 2, "{waits:?}");
    assert!(waits.windows(2).all(|pair| pair[1] + Duration::from_millis(30) >= pair[0]), "{waits:?}");
    assert!(*waits.last().unwrap() <= BACKOFF_CAP * 3 / 2 + Duration::from_millis(30), "{waits:?}");
    assert!(*waits.last().unwrap() >= BACKOFF_CAP / 2, "{waits:?}");
}

#[tokio::test(start_paused = true)]
async fn a_success_forgets_the_failures_before_it() {
    let waits = tries(7, |number| number != 5).await;
    assert!(
        waits[5] < BACKOFF_BASE * 2,
        "after the success the first failure counts as the first: {waits:?}"
    );
    assert!(waits[3] > waits[5], "{waits:?}");
}
