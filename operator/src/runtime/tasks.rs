//! The tasks of the process, by groups that stop together. Each has an owner who hears of its end.
//!
//! Invariants:
//! - A task that ends or panics though nobody told it to stop is a failure with that task's name and cause.
//! - Whoever stops a group waits for each of its tasks, and not for ever.
//! - A group that is dropped takes its tasks along.

use anyhow::{Context as _, anyhow};
use std::collections::HashMap;
use std::future::pending;
use std::time::Duration;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// How long tasks that were cut off may take to let go of what they hold.
const CUT_OFF_MAX: Duration = Duration::from_millis(500);

type Ended = Result<(Id, anyhow::Result<()>), JoinError>;

/// A group of tasks.
#[derive(Default)]
pub(crate) struct Tasks {
    stop: CancellationToken,
    running: JoinSet<anyhow::Result<()>>,
    names: HashMap<Id, String>,
}

impl Tasks {
    /// Begins a task, which ends soon after `stop` is cancelled.
    pub(crate) fn spawn<Work>(
        &mut self,
        name: impl Into<String>,
        work: impl FnOnce(CancellationToken) -> Work,
    ) where
        Work: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = self.running.spawn(work(self.stop.clone()));
        self.names.insert(task.id(), name.into());
    }

    /// Waits for the first task that ends; answers why it should not have.
    pub(crate) async fn failure(&mut self) -> anyhow::Error {
        match self.running.join_next_with_id().await {
            Some(ended) => {
                let (name, outcome) = self.outcome(ended);
                outcome.err().unwrap_or_else(|| anyhow!("{name} ended though nobody told it to"))
            }
            None => pending().await,
        }
    }

    /// Tells all tasks to stop and waits for them; the first failure is told. One that does not stop within `limit` is
    /// cut off, and that is a failure too.
    pub(crate) async fn stop(mut self, limit: Duration) -> anyhow::Result<()> {
        self.stop.cancel();
        let mut first = Ok(());
        let all = async {
            while let Some(ended) = self.running.join_next_with_id().await {
                let (_, outcome) = self.outcome(ended);
                first = std::mem::replace(&mut first, Ok(())).and(outcome);
            }
        };
        if timeout(limit, all).await.is_err() {
            let mut left: Vec<&str> = self.names.values().map(String::as_str).collect();
            left.sort_unstable();
            let failure = anyhow!("{} did not stop within {limit:?}", left.join(", "));
            // Whatever they hold is let go before the next group is told to stop; one that never yields keeps it.
            drop(timeout(CUT_OFF_MAX, self.running.shutdown()).await);
            return first.and(Err(failure));
        }
        first
    }

    fn outcome(&mut self, ended: Ended) -> (String, anyhow::Result<()>) {
        let (id, outcome) = match ended {
            Ok((id, outcome)) => (id, outcome),
            Err(error) => (error.id(), Err(error.into())),
        };
        let name = self.names.remove(&id).unwrap_or_default();
        let outcome = outcome.with_context(|| format!("{name} failed"));
        (name, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::time::{Instant, sleep};

    const LIMIT: Duration = Duration::from_secs(3);

    async fn until(stop: CancellationToken) -> anyhow::Result<()> {
        stop.cancelled().await;
        Ok(())
    }

    #[tokio::test]
    async fn a_task_that_ends_by_itself_or_panics_is_a_failure_with_its_name_and_cause() {
        type Work = fn() -> anyhow::Result<()>;
        let cases: [(Work, &str); 3] = [
            (|| Ok(()), "the lease ended though nobody told it to"),
            (|| Err(anyhow!("no file left")), "the lease failed: no file left"),
            (|| panic!("out of bounds"), "out of bounds"),
        ];
        for (work, expected) in cases {
            let mut tasks = Tasks::default();
            tasks.spawn("the watch", until);
            tasks.spawn("the lease", move |_| async move { work() });
            let failure = format!("{:#}", tasks.failure().await);
            assert!(failure.contains("the lease") && failure.contains(expected), "{failure}");
            tasks.stop(LIMIT).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn shutdown_waits_for_every_task_but_not_for_ever() {
        let mut tasks = Tasks::default();
        let ended = Arc::new(AtomicUsize::new(0));
        for seconds in 0..3 {
            let ended = Arc::clone(&ended);
            tasks.spawn("a slow one", move |stop| async move {
                stop.cancelled().await;
                sleep(Duration::from_secs(seconds)).await;
                ended.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
        }
        tasks.stop(LIMIT).await.unwrap();
        assert_eq!(ended.load(Ordering::Relaxed), 3);

        let mut tasks = Tasks::default();
        tasks.spawn("a good one", until);
        tasks.spawn("a deaf one", |_| pending());
        let began = Instant::now();
        let error = tasks.stop(LIMIT).await.unwrap_err().to_string();
        assert_eq!((error.as_str(), began.elapsed()), ("a deaf one did not stop within 3s", LIMIT));
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_is_cut_off_has_let_go_when_the_next_group_stops() {
        let mut tasks = Tasks::default();
        let (kept, mut let_go) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("a deaf one", |_| async move {
            let _kept = kept;
            pending().await
        });
        assert!(tasks.stop(LIMIT).await.is_err());
        assert_eq!(let_go.try_recv(), Err(tokio::sync::oneshot::error::TryRecvError::Closed));
    }

    #[tokio::test]
    async fn a_failure_while_stopping_is_told() {
        let mut tasks = Tasks::default();
        tasks.spawn("the lease", |stop| async move { until(stop).await.and(Err(anyhow!("not released"))) });
        tasks.spawn("the watch", until);
        let error = format!("{:#}", tasks.stop(LIMIT).await.unwrap_err());
        assert_eq!(error, "the lease failed: not released");
    }

    #[tokio::test]
    async fn a_group_without_tasks_never_fails_and_stops_at_once() {
        let mut tasks = Tasks::default();
        tokio::select! {
            biased;
            error = tasks.failure() => panic!("{error}"),
            () = std::future::ready(()) => {}
        }
        tasks.stop(Duration::ZERO).await.unwrap();
    }

    #[tokio::test]
    async fn a_group_that_is_dropped_takes_its_tasks_along() {
        let mut tasks = Tasks::default();
        let (kept, mut dropped) = tokio::sync::oneshot::channel::<()>();
        tasks.spawn("a deaf one", |_| async move {
            let _kept = kept;
            pending().await
        });
        drop(tasks);
        assert!((&mut dropped).await.is_err());
    }
}
