//! Makes checks side by side, each within its deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use gameserver_sys::Clock;
use serde::Serialize;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::levels::{Status, Verdict};

type Finding = Pin<Box<dyn Future<Output = Verdict> + Send>>;

/// Something to find out.
pub(super) struct Check {
    name: &'static str,
    zone: Option<usize>,
    finding: Finding,
}

impl Check {
    pub(super) fn new(name: &'static str, finding: impl Future<Output = Verdict> + Send + 'static) -> Self {
        Self { name, zone: None, finding: Box::pin(finding) }
    }

    /// What needs no time, of this zone or of the whole process.
    pub(super) fn known(name: &'static str, zone: Option<usize>, verdict: Verdict) -> Self {
        Self { name, zone, finding: Box::pin(std::future::ready(verdict)) }
    }
}

/// What came of a check.
#[derive(Debug, Serialize)]
pub(super) struct Checked {
    pub(super) name: &'static str,
    /// Of which zone, if of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) zone: Option<usize>,
    pub(super) status: Status,
    pub(super) message: String,
    pub(super) duration_ms: f64,
}

/// Makes all checks at the same time; what came of each, in their order, after `deadline` at the latest.
pub(super) async fn run(checks: Vec<Check>, deadline: Duration, clock: Clock) -> Vec<Checked> {
    let mut running = JoinSet::new();
    for (index, Check { name, zone, finding }) in checks.into_iter().enumerate() {
        running.spawn(async move {
            let begun = clock.monotonic();
            let found = timeout(deadline, finding).await;
            let Verdict { status, message } = found.unwrap_or_else(|_elapsed| {
                Verdict::new(Status::Degraded, format_args!("no answer within {} ms", deadline.as_millis()))
            });
            let duration_ms = millis(clock.monotonic().saturating_sub(begun));
            (index, Checked { name, zone, status, message, duration_ms })
        });
    }
    let mut done = running.join_all().await;
    done.sort_by_key(|&(index, _)| index);
    done.into_iter().map(|(_, checked)| checked).collect()
}

/// Milliseconds to the thousandth.
pub(super) fn millis(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

/// Runs `read`, which may hang, on a thread of its own, as many at a time as `readers` has. A thread and not the
/// runtime's pool: nobody waits for one that hangs, not even the end of the process.
pub(super) async fn apart(
    readers: Arc<Semaphore>,
    read: impl FnOnce() -> Verdict + Send + 'static,
) -> Verdict {
    let failed = |what: &str| Verdict::new(Status::Degraded, what);
    let Ok(turn) = readers.acquire_owned().await else { return failed("nobody reads any more") };
    let (tell, told) = oneshot::channel();
    let reader = move || {
        let verdict = read();
        drop(turn);
        // whoever asked may have given up
        let _told = tell.send(verdict);
    };
    match std::thread::Builder::new().name("check".into()).spawn(reader) {
        Ok(_detached) => told.await.unwrap_or_else(|_gone| failed("the check failed")),
        Err(error) => failed(&format!("failed to start a thread: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Barrier;

    const SHORT: Duration = Duration::from_millis(50);
    /// Only a hang takes that long.
    const LONG: Duration = Duration::from_secs(20);

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
    }

    fn well() -> Verdict {
        Verdict::new(Status::Healthy, "well")
    }

    fn found(checks: Vec<Check>, deadline: Duration) -> Vec<(&'static str, Status, String)> {
        let checked = block_on(run(checks, deadline, Clock::start()));
        checked.into_iter().map(|check| (check.name, check.status, check.message)).collect()
    }

    #[test]
    fn a_check_that_hangs_is_degraded_and_the_others_are_told() {
        let hangs = Check::new("hangs", std::future::pending());
        let checks = vec![hangs, Check::known("known", Some(0), well()), Check::new("new", async { well() })];
        let expected = [
            ("hangs", Status::Degraded, "no answer within 50 ms".to_owned()),
            ("known", Status::Healthy, "well".to_owned()),
            ("new", Status::Healthy, "well".to_owned()),
        ];
        assert_eq!(found(checks, SHORT), expected, "in their order");
    }

    #[test]
    fn checks_run_at_the_same_time() {
        let all = Arc::new(Barrier::new(3));
        let checks = ["one", "two", "three"].map(|name| {
            let all = Arc::clone(&all);
            Check::new(name, async move {
                all.wait().await;
                well()
            })
        });
        // one after the other, the first would wait for ever
        let found = found(checks.into(), LONG);
        assert!(found.iter().all(|(_, status, _)| *status == Status::Healthy), "{found:?}");
    }

    #[test]
    fn threads_that_hang_are_as_many_as_are_allowed_and_hold_nobody_up() {
        let readers = Arc::new(Semaphore::new(2));
        let (release, held) = std::sync::mpsc::channel::<()>();
        let held = Arc::new(std::sync::Mutex::new(held));
        let checks = (0..5).map(|_| {
            let held = Arc::clone(&held);
            Check::new(
                "hangs",
                apart(Arc::clone(&readers), move || {
                    let _released = held.lock().unwrap().recv();
                    well()
                }),
            )
        });
        let found = found(checks.collect(), SHORT);
        assert!(found.iter().all(|(_, status, _)| *status == Status::Degraded), "{found:?}");
        assert_eq!(readers.available_permits(), 0);
        drop(release);
        let after = block_on(async { timeout(LONG, apart(Arc::clone(&readers), well)).await });
        assert_eq!(after, Ok(well()), "whoever hung gives its place back");
    }

    #[test]
    fn a_check_that_panics_is_degraded() {
        let readers = Arc::new(Semaphore::new(1));
        let found = block_on(apart(Arc::clone(&readers), || panic!("on purpose")));
        assert_eq!(found, Verdict::new(Status::Degraded, "the check failed"));
        assert_eq!(readers.available_permits(), 1);
    }
}
