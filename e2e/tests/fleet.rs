//! Fleets: from apply to Ready, replacement, scaling, and what all that costs in writes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

use e2e::region::PATIENCE;
use e2e::{Region, Scratch, eventually, operator};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use operator_api::{Fleet, GameServer};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// A small Fleet whose servers may use io_uring.
fn small(replicas: u32, more: &str) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: duel}}, spec: {{replicas: {replicas}, template: {{spec: {{capacity: 16, drain: {{deadlineSeconds: 5}}, template: {{spec: {{{more} containers: [{{name: gameserver, resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}}}]}}}}}}}}}}}}"
    )
}

const UNCONFINED: &str = "securityContext: {seccompProfile: {type: Unconfined}},";

async fn fleet_in(test: &str, replicas: u32) -> Scratch {
    let scratch = Region::with_operator("kr").await.scratch(test).await;
    drop(scratch.apply::<Fleet>(&small(replicas, UNCONFINED)).await);
    drop(scratch.await_fleet("duel", replicas as usize).await);
    scratch
}

/// C16, A12: dynamic host ports, never twice on a node, Ready by report, shown in the object.
#[tokio::test]
async fn a_fleet_becomes_ready_with_an_address_each_and_three_writes_a_server() {
    let region = Region::with_operator("kr").await;
    let leader = operator::leader(&region).await;
    let scratch = region.scratch("ready").await;
    let before = operator::writes(&region, &leader).await;
    drop(scratch.apply::<Fleet>(&small(6, UNCONFINED)).await);
    let servers = scratch.await_fleet("duel", 6).await;
    let after = operator::writes(&region, &leader).await;

    let addresses: BTreeSet<_> = servers
        .iter()
        .map(|server| server.status.as_ref().unwrap())
        .map(|status| (status.address.clone().unwrap(), status.ports[0].port))
        .collect();
    assert_eq!(addresses.len(), 6, "every server has an address of its own: {addresses:?}");
    for server in &servers {
        let status = server.status.as_ref().unwrap();
        assert_eq!(status.backend.as_deref(), Some("uring"));
        assert_eq!(status.observed_generation, server.metadata.generation);
    }
    let spent = difference(&before, &after);
    let of =
        |name: &str| spent.iter().filter(|(key, _)| key.contains(name)).map(|(_, value)| value).sum::<f64>();
    assert!(of("\"gameservers\"") <= 6.0, "one POST a server: {spent:?}");
    assert!(of("\"pods\"") <= 6.0, "one POST a pod: {spent:?}");
    assert!(of("\"gameservers/status\"") <= 6.0, "one PATCH of status a server: {spent:?}");
    scratch.remove().await;
}

fn difference(before: &BTreeMap<String, f64>, after: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let spent =
        after.iter().map(|(name, value)| (name.clone(), value - before.get(name).copied().unwrap_or(0.0)));
    spent.filter(|(_, value)| *value > 0.0).collect()
}

/// Reports keep coming meanwhile, so that a quiet account is not a stopped operator.
#[tokio::test]
async fn a_settled_fleet_causes_no_writes() {
    let scratch = fleet_in("settled", 3).await;
    let region = &scratch.region;
    let leader = operator::leader(region).await;
    let reports = "operator_reports_total{outcome=\"accepted\"}";
    // What went before may still be written off: begin anew whenever a write is seen.
    let quiet: RefCell<Option<(BTreeMap<String, f64>, f64)>> = RefCell::new(None);
    eventually("thirty reports without a write", Duration::from_secs(90), || async {
        let writes = operator::writes(region, &leader).await;
        let reported = operator::metric(region, &leader, reports).await;
        let since = match quiet.take() {
            Some((seen, since)) if seen == writes => since,
            _ => reported,
        };
        quiet.replace(Some((writes, since)));
        if reported >= since + 30.0 { Ok(()) } else { Err(format!("{} reports", reported - since)) }
    })
    .await;
    scratch.remove().await;
}

#[tokio::test]
async fn a_pod_that_is_killed_is_replaced() {
    let scratch = fleet_in("replaced", 2).await;
    let before = uids(&scratch).await;
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    drop(scratch.api::<Pod>().delete("duel-0", &at_once).await.unwrap());
    eventually("another server in its place", PATIENCE, || async {
        let now = uids(&scratch).await;
        if now.len() == 2 && now != before { Ok(()) } else { Err(format!("{now:?}")) }
    })
    .await;
    drop(scratch.await_fleet("duel", 2).await);
    scratch.remove().await;
}

async fn uids(scratch: &Scratch) -> BTreeSet<String> {
    scratch.servers("duel").await.iter().filter_map(ResourceExt::uid).collect()
}

#[tokio::test]
async fn scaling_up_and_down_goes_by_drain_and_never_doubles() {
    let scratch = fleet_in("scaled", 2).await;
    scratch.scale("duel", 5).await;
    drop(scratch.await_fleet("duel", 5).await);
    scratch.scale("duel", 1).await;
    drop(scratch.await_fleet("duel", 1).await);
    let pods = scratch.api::<Pod>();
    eventually("one pod is left", PATIENCE, || async {
        let left = pods.list(&ListParams::default()).await.unwrap().items.len();
        if left == 1 { Ok(()) } else { Err(format!("{left} pods")) }
    })
    .await;
    scratch.remove().await;
}

#[tokio::test]
async fn an_operator_killed_while_it_scales_converges_and_nothing_is_doubled() {
    let scratch = fleet_in("killed", 1).await;
    let region = &scratch.region;
    let leader = operator::leader(region).await;
    scratch.scale("duel", 12).await;
    eventually("the scale-up has begun", PATIENCE, || async {
        let count = scratch.servers("duel").await.len();
        if count > 1 { Ok(()) } else { Err(format!("{count} servers")) }
    })
    .await;
    operator::kill(region, &leader).await;
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
    scratch.remove().await;
}

/// E1, A12: the runtime's default profile denies io_uring; the server says so and plays on.
#[tokio::test]
async fn a_server_without_io_uring_plays_on_by_recvmmsg() {
    let scratch = Region::with_operator("kr").await.scratch("mmsg").await;
    drop(scratch.apply::<Fleet>(&small(1, "")).await);
    let servers = scratch.await_fleet("duel", 1).await;
    assert_eq!(servers[0].status.as_ref().unwrap().backend.as_deref(), Some("mmsg"));
    scratch.remove().await;
}

#[tokio::test]
async fn a_game_server_of_its_own_needs_no_fleet() {
    let scratch = Region::with_operator("kr").await.scratch("single").await;
    let yaml = "{apiVersion: cranewing.dev/v1alpha1, kind: GameServer, metadata: {name: solo}, spec: {drain: {deadlineSeconds: 5}}}";
    drop(scratch.apply::<GameServer>(yaml).await);
    eventually("solo is Ready", PATIENCE, || async {
        let server = scratch.api::<GameServer>().get("solo").await.unwrap();
        let state = server.status.and_then(|status| status.state);
        if state == Some(operator_api::GameServerState::Ready) {
            Ok(())
        } else {
            Err(format!("{state:?} {}", scratch.describe().await))
        }
    })
    .await;
    scratch.remove().await;
}
