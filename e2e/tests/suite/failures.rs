//! What breaks, and what stays as it was.

use e2e::{Need, PATIENCE, Region, Watch, eventually, in_namespace, node, operator, say};
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::ListParams;
use operator_api::Fleet;
use std::collections::BTreeSet;
use std::time::Duration;

use crate::{duel, duel_in, scale};

/// How long a region stands still: longer than any server of `patience` may be silent, recovering or starting, and than a lease lasts.
const STANDSTILL: Duration = Duration::from_secs(10);
/// All patience with a server of that test, in seconds: silence and then recovery, or a start.
const PATIENCE_SECONDS: [u64; 3] = [2, 6, 9];
/// Ceiling for the time that nobody leads: twice a lease and what a busy machine adds.
const LEADERLESS_SECONDS_MAX: f64 = 15.0;
/// Ceiling for the time that nobody leads when the lease is given back: others look each second.
const HANDOVER_SECONDS_MAX: f64 = 2.0;

#[tokio::test]
async fn an_operator_killed_while_it_scales_converges_and_nothing_is_doubled() {
    in_namespace("killed", &[], async |scratch| {
        duel_in(scratch, 1).await;
        let region = &scratch.region;
        let leader = operator::leader(region).await;
        scale(scratch, "duel", 12).await;
        eventually("the scale-up has begun", PATIENCE, || async {
            let count = scratch.servers("duel").await?.len();
            if count > 1 { Ok(()) } else { Err(format!("{count} servers")) }
        })
        .await;
        operator::delete(region, &leader).await;
        let servers = scratch.await_fleet("duel", 12).await;
        let names: BTreeSet<_> = servers.iter().map(ResourceExt::name_any).collect();
        assert_eq!(names.len(), 12);
        let pods = scratch.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
        let ports: BTreeSet<_> = pods
            .iter()
            .flat_map(|pod| pod.spec.iter().flat_map(|spec| &spec.containers))
            .flat_map(|container| container.ports.iter().flatten().filter_map(|port| port.host_port))
            .collect();
        assert_eq!((pods.len(), ports.len()), (12, 12), "one pod and one port a server");
        assert_ne!(operator::leader(region).await, leader, "another replica leads");
    })
    .await;
}

/// Without a word of farewell: the lease must run out before the other may lead.
#[tokio::test]
async fn a_leader_that_is_killed_is_followed_by_the_other_replica() {
    in_namespace("leader", &[Need::Engine], async |scratch| {
        duel_in(scratch, 2).await;
        let region = &scratch.region;
        operator::await_reports_to_every_replica(region, 2, 2).await;
        let before = scratch.identities("duel").await;
        let replicas = operator::replicas(region).await;
        let leader = operator::leader(region).await;

        let watch = Watch::new();
        node::kill(replicas.iter().find(|pod| pod.name_any() == leader).unwrap());
        // so that the container is not started anew under the same name
        operator::delete(region, &leader).await;
        scale(scratch, "duel", 4).await;
        // the one that was there, or the one that replaced the dead: both may ask for the lease when it has run out
        eventually("another replica leads", PATIENCE, || async {
            let holder = operator::lease_holder(region).await?;
            if holder.is_empty() || holder == leader { Err(holder) } else { Ok(()) }
        })
        .await;
        let leaderless = watch.seconds();
        drop(scratch.await_fleet("duel", 4).await);
        say(&format!(
            "measured: leader killed: another leads after {leaderless:.1} s, two more servers Ready after {:.1} s",
            watch.seconds()
        ));
        assert!(leaderless < LEADERLESS_SECONDS_MAX, "nobody led for {leaderless:.1} s");
        let after = scratch.identities("duel").await;
        assert!(before.iter().all(|(name, identity)| after.get(name) == Some(identity)), "{before:?} {after:?}");
        operator::await_reports_to_every_replica(region, 2, 4).await;
    })
    .await;
}

/// Told to stop, it gives the lease back, so that nobody has to wait for it to run out.
#[tokio::test]
async fn a_leader_that_is_told_to_stop_hands_over_and_ends_well() {
    in_namespace("stopped", &[Need::Engine], async |scratch| {
        let region = &scratch.region;
        operator::await_readiness(region, 2, true).await;
        let leader = operator::leader(region).await;
        let lease = region.system::<Lease>().get(operator::LEASE).await.unwrap();
        let watch = Watch::new();
        node::terminate(&region.system::<Pod>().get(&leader).await.unwrap());
        // by the other replica, or by the container that follows in the same pod, whoever asks first
        let versions = operator::lease_until_taken(region, &lease).await;
        let after = watch.seconds();
        let given_back = versions.iter().find(|lease| lease.holder_identity.as_deref() == Some(""));
        let given_back = given_back.expect("the lease is given back").renew_time.clone().unwrap();
        let taken = versions.last().unwrap().acquire_time.clone().unwrap();
        let leaderless = taken.0.duration_since(given_back.0).as_secs_f64();
        say(&format!(
            "measured: leader told to stop: the next leads {leaderless:.1} s after the lease was given back, {after:.1} s after the signal"
        ));
        assert!(leaderless < HANDOVER_SECONDS_MAX, "nobody led for {leaderless:.1} s");
        eventually("its container ended with 0", PATIENCE, || async {
            let pod = region.system::<Pod>().get(&leader).await.map_err(|error| error.to_string())?;
            let containers = pod.status.and_then(|status| status.container_statuses).unwrap_or_default();
            let last = containers.into_iter().find_map(|container| container.last_state?.terminated);
            let last = last.ok_or("it has not ended yet")?;
            assert_eq!((last.exit_code, last.signal), (0, None), "{last:?}");
            Ok(())
        })
        .await;
        operator::await_readiness(region, 2, true).await;
    })
    .await;
}

/// The Fleet `duel`, whose servers would be given up within a standstill if that counted against them.
fn impatient(replicas: usize) -> String {
    let [silence, recovery, startup] = PATIENCE_SECONDS;
    assert!(silence + recovery < STANDSTILL.as_secs() && startup < STANDSTILL.as_secs());
    let health = format!(
        "health: {{silenceSeconds: {silence}, recoverySeconds: {recovery}, startupSeconds: {startup}}}, "
    );
    let fleet = duel(replicas, "");
    let impatient = fleet.replacen("capacity:", &format!("{health}capacity:"), 1);
    assert_ne!(impatient, fleet);
    impatient
}

/// A region stands still from here to there: what is tested is what this does, so nothing can be waited for instead.
async fn stand_still(region: &Region) {
    let paused = node::pause(region).await;
    tokio::time::sleep(STANDSTILL).await;
    drop(paused);
}

/// Rule: time in which nobody could be heard counts against nobody, neither who plays nor who just starts.
#[tokio::test]
async fn a_region_that_stood_still_goes_on_with_the_same_servers() {
    in_namespace("paused", &[Need::Engine], async |scratch| {
        drop(scratch.apply::<Fleet>(&impatient(2)).await);
        drop(scratch.await_fleet("duel", 2).await);
        let region = &scratch.region;
        operator::await_reports_to_every_replica(region, 2, 2).await;
        scale(scratch, "duel", 3).await;
        eventually("a third server starts", PATIENCE, || async {
            let pods = scratch.api::<Pod>().list(&ListParams::default()).await;
            let count = pods.map_err(|error| error.to_string())?.items.len();
            if count == 3 { Ok(()) } else { Err(format!("{count} pods")) }
        })
        .await;
        let before = scratch.identities("duel").await;
        stand_still(region).await;
        let watch = Watch::new();
        eventually("the region answers", PATIENCE, || async { scratch.servers("duel").await.map(drop) })
            .await;
        // whoever would replace a server needs a leader and reports to do it by
        drop(operator::leader(region).await);
        operator::await_reports_to_every_replica(region, 2, 3).await;
        drop(scratch.await_fleet("duel", 3).await);
        say(&format!(
            "measured: region paused for {} s: all servers Ready {:.1} s after it",
            STANDSTILL.as_secs(),
            watch.seconds()
        ));
        assert_eq!(scratch.identities("duel").await, before, "the same servers, pods and processes");
        let pods = scratch.api::<Pod>().list(&ListParams::default()).await.unwrap().items;
        assert_eq!(pods.len(), 3, "nothing is doubled");
    })
    .await;
}
