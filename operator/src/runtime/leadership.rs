//! Keeps a Lease, and says whether this replica leads. What to do is decided in `operator_core::lease`.

use anyhow::bail;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ObjectMeta, PostParams};
use kube::{Api, Client};
use operator_core::lease::{
    LEASE_DURATION, LeaseAction, RENEW_PERIOD, Seen, decide_lease, must_step_down, went_back,
};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::clock::Clock;
use super::pulse::ApiPulse;

/// The Lease and who wants it.
pub(crate) struct Candidate {
    pub(crate) client: Client,
    pub(crate) namespace: String,
    pub(crate) lease: String,
    pub(crate) identity: String,
    pub(crate) pulse: Arc<ApiPulse>,
    pub(crate) clock: Clock,
}

/// The record as last seen, with the time of its last change on our own clock.
struct Record {
    lease: Lease,
    changed_at: Duration,
}

/// What a turn came to.
enum Turned {
    /// The Lease is ours.
    Leads,
    Waits,
    /// The Lease is older than it was seen before.
    WentBack,
}

impl Candidate {
    /// Keeps `leads` true while this replica leads; releases the Lease at `stop`. Fails if the API server's data was restored from an
    /// old copy: what this process has read is of what was after it, and its watches would wait in silence for versions to come.
    pub(crate) async fn run(self, leads: watch::Sender<bool>, stop: CancellationToken) -> anyhow::Result<()> {
        let api: Api<Lease> = Api::namespaced(self.client.clone(), &self.namespace);
        let mut record: Option<Record> = None;
        let mut renewed_at = Duration::ZERO;
        let mut ticks = interval(RENEW_PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            // Whoever waits counts from when the record changed, which is before we hear of it: so do we.
            let began = self.clock.elapsed();
            // A request that hangs must not outlive the time in which we would have to step down.
            let turned = timeout(RENEW_PERIOD, self.turn(&api, &mut record)).await;
            if matches!(turned, Ok(Ok(_))) {
                self.pulse.beat(self.clock.elapsed());
            }
            match turned {
                Ok(Ok(Turned::Leads)) => {
                    renewed_at = began;
                    self.set(&leads, true);
                }
                Ok(Ok(Turned::Waits)) => self.set(&leads, false),
                Ok(Ok(Turned::WentBack)) => {
                    self.set(&leads, false);
                    bail!("the API server's data was restored from an old copy; this process starts over")
                }
                Ok(Err(error)) => warn!(%error, "failed to keep the lease"),
                Err(_elapsed) => warn!("the API server did not answer about the lease in time"),
            }
            if *leads.borrow() && must_step_down(self.clock.elapsed().saturating_sub(renewed_at)) {
                self.set(&leads, false);
            }
        }
        if *leads.borrow() {
            self.release(&api, record).await;
            self.set(&leads, false);
        }
        Ok(())
    }

    fn set(&self, leads: &watch::Sender<bool>, value: bool) {
        leads.send_if_modified(|leads| {
            let changed = *leads != value;
            if changed {
                info!(identity = self.identity, leads = value, "leadership changed");
            }
            *leads = value;
            changed
        });
    }

    /// Looks and acts once.
    async fn turn(&self, api: &Api<Lease>, record: &mut Option<Record>) -> kube::Result<Turned> {
        let found = api.get_opt(&self.lease).await?;
        let version = |lease: &Lease| lease.metadata.resource_version.clone();
        let newest = record.as_ref().and_then(|record| version(&record.lease));
        if went_back(newest.as_deref(), found.as_ref().and_then(version).as_deref()) {
            return Ok(Turned::WentBack);
        }
        let now = self.clock.elapsed();
        let changed_at = match (&*record, &found) {
            (Some(old), Some(new))
                if old.lease.metadata.resource_version == new.metadata.resource_version =>
            {
                old.changed_at
            }
            _ => now,
        };
        *record = found.map(|lease| Record { lease, changed_at });
        let seen = record.as_ref().map(|record| Seen {
            holder: record.lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()),
            unchanged_for: now.saturating_sub(record.changed_at),
        });
        match decide_lease(&self.identity, seen.as_ref()) {
            LeaseAction::Wait => Ok(Turned::Waits),
            LeaseAction::Take | LeaseAction::Renew => {
                let is_ours = self.write(api, record, &self.identity).await?;
                Ok(if is_ours { Turned::Leads } else { Turned::Waits })
            }
        }
    }

    /// Writes the record on condition that it is as it was seen. A conflict means that somebody else was faster.
    async fn write(&self, api: &Api<Lease>, record: &mut Option<Record>, holder: &str) -> kube::Result<bool> {
        let old = record.as_ref().map(|record| &record.lease);
        let lease = self.next(old, holder);
        let written = match old {
            None => api.create(&PostParams::default(), &lease).await,
            Some(_) => api.replace(&self.lease, &PostParams::default(), &lease).await,
        };
        match written {
            Ok(lease) => {
                *record = Some(Record { lease, changed_at: self.clock.elapsed() });
                Ok(true)
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn next(&self, old: Option<&Lease>, holder: &str) -> Lease {
        let now =
            i64::try_from(self.clock.unix_ms()).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let now = now.map(MicroTime);
        let spec = old.and_then(|lease| lease.spec.clone()).unwrap_or_default();
        let taken = spec.holder_identity.as_deref() != Some(holder);
        Lease {
            metadata: old.map_or_else(
                || ObjectMeta { name: Some(self.lease.clone()), ..ObjectMeta::default() },
                |lease| lease.metadata.clone(),
            ),
            spec: Some(LeaseSpec {
                holder_identity: Some(holder.to_owned()),
                lease_duration_seconds: i32::try_from(LEASE_DURATION.as_secs()).ok(),
                lease_transitions: Some(spec.lease_transitions.unwrap_or(0) + i32::from(taken)),
                acquire_time: if taken { now.clone() } else { spec.acquire_time.clone() },
                renew_time: now,
                ..spec
            }),
        }
    }

    async fn release(&self, api: &Api<Lease>, mut record: Option<Record>) {
        match timeout(RENEW_PERIOD, self.write(api, &mut record, "")).await {
            Ok(Ok(_)) => info!("released the lease"),
            Ok(Err(error)) => {
                warn!(%error, "failed to release the lease; others take it when it has run out");
            }
            Err(_elapsed) => {
                warn!("the API server did not answer about the lease; others take it when it has run out");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_api::{LOST, MockApi, NO_ANSWER, SLOW, SLOW_ANSWER};
    use operator_core::lease::STEP_DOWN_AFTER;
    use std::sync::atomic::{AtomicBool, Ordering};
    use tokio::task::JoinHandle;
    use tokio::time::sleep;

    const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/games/leases/leader";
    const STEP: Duration = Duration::from_millis(10);

    struct Running {
        leads: watch::Receiver<bool>,
        stop: CancellationToken,
        task: JoinHandle<anyhow::Result<()>>,
    }

    fn start(api: &MockApi, identity: &str) -> Running {
        let (sender, leads) = watch::channel(false);
        let stop = CancellationToken::new();
        let candidate = Candidate {
            client: api.client(),
            namespace: "games".to_owned(),
            lease: "leader".to_owned(),
            identity: identity.to_owned(),
            pulse: Arc::default(),
            clock: Clock::start(),
        };
        let task = tokio::spawn(candidate.run(sender, stop.clone()));
        Running { leads, stop, task }
    }

    impl Running {
        fn leads(&self) -> bool {
            *self.leads.borrow()
        }

        /// How long until it leads, or not.
        async fn until(&self, leads: bool) -> Duration {
            let began = Clock::start();
            while self.leads() != leads {
                assert!(began.elapsed() < Duration::from_secs(60), "never");
                sleep(STEP).await;
            }
            began.elapsed()
        }
    }

    fn holder(api: &MockApi) -> String {
        api.get(LEASE).unwrap()["spec"]["holderIdentity"].as_str().unwrap().to_owned()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_whose_taking_was_not_answered_is_found_and_kept() {
        let api = MockApi::default();
        api.fail(|seen| (seen.method == "POST").then_some(LOST));
        let one = start(&api, "one");
        one.until(true).await;
        assert_eq!(holder(&api), "one");
        let posts = api.take_seen().iter().filter(|seen| seen.method == "POST").count();
        assert_eq!(posts, 1, "not taken twice");
    }

    #[tokio::test(start_paused = true)]
    async fn who_was_slower_does_not_lead_and_one_that_is_released_is_taken_at_once() {
        let api = MockApi::default();
        let (one, two) = (start(&api, "one"), start(&api, "two"));
        sleep(RENEW_PERIOD * 10).await;
        assert!(one.leads() ^ two.leads(), "one of them");
        let (leader, other) = if one.leads() { (one, two) } else { (two, one) };
        leader.stop.cancel();
        leader.task.await.unwrap().unwrap();
        assert!(!*leader.leads.borrow());
        assert_eq!(holder(&api), "", "released");
        assert!(other.until(true).await <= RENEW_PERIOD + STEP);
    }

    #[tokio::test(start_paused = true)]
    async fn a_conflict_ends_leadership_at_once() {
        let api = MockApi::default();
        let one = start(&api, "one");
        one.until(true).await;
        let mut lease = api.get(LEASE).unwrap();
        lease["spec"]["holderIdentity"] = "two".into();
        api.put(LEASE, lease);
        assert!(one.until(false).await <= RENEW_PERIOD + STEP);
    }

    #[tokio::test(start_paused = true)]
    async fn replicas_start_over_when_the_api_server_has_gone_back() {
        let api = MockApi::default();
        let (one, two) = (start(&api, "one"), start(&api, "two"));
        sleep(RENEW_PERIOD * 3).await;
        let mut lease = api.get(LEASE).unwrap();
        sleep(RENEW_PERIOD * 10).await;
        lease["metadata"]["resourceVersion"] = "1".into();
        api.restore(LEASE, lease);
        for replica in [one, two] {
            let error = replica.task.await.unwrap().unwrap_err().to_string();
            assert!(error.contains("restored from an old copy"), "{error}");
            assert!(!*replica.leads.borrow());
        }
    }

    /// Of the last renewal that counts, the answer came late; after it there is none any more.
    #[tokio::test(start_paused = true)]
    async fn a_leader_without_answers_stops_by_when_it_asked_and_before_another_begins() {
        let api = MockApi::default();
        let dead = Arc::new(AtomicBool::new(false));
        let is_dead = Arc::clone(&dead);
        api.fail(move |seen| {
            let ours = seen.body["spec"]["holderIdentity"] == "one";
            ours.then(|| if is_dead.load(Ordering::Relaxed) { NO_ANSWER } else { SLOW })
        });
        let one = start(&api, "one");
        one.until(true).await;
        let written = api.get(LEASE).unwrap()["metadata"]["resourceVersion"].clone();
        dead.store(true, Ordering::Relaxed);
        let two = start(&api, "two");
        let (answered, mut stopped) = (Clock::start(), None);
        while !two.leads() {
            assert!(answered.elapsed() < LEASE_DURATION * 3, "another begins in time");
            if !one.leads() {
                stopped.get_or_insert_with(|| answered.elapsed());
            }
            sleep(STEP).await;
        }
        assert!(!one.leads(), "never both");
        assert_ne!(api.get(LEASE).unwrap()["metadata"]["resourceVersion"], written);
        let stopped = stopped.unwrap();
        assert!(stopped + SLOW_ANSWER <= STEP_DOWN_AFTER + STEP * 2, "{stopped:?}");
    }
}
