//! The operator as it runs in a region: its pods, its leader and its own account.

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, WatchParams};
use serde_json::Value;
use std::collections::BTreeMap;

use crate::command::try_kubectl;
use crate::region::{OPERATOR_NAMESPACE, PATIENCE, Region};
use crate::scratch;
use crate::wait::eventually;

/// Name of the lease by which replicas agree who leads.
pub const LEASE: &str = "cranewing-operator";
/// Counter of reports that a replica took.
pub const REPORTS: &str = "operator_reports_total{outcome=\"accepted\"}";
/// Gauge of the report streams that a replica has.
pub const STREAMS: &str = "operator_report_streams";

/// Name of the replica that leads, once one does that is there.
pub async fn leader(region: &Region) -> String {
    eventually("a replica leads", PATIENCE, || async {
        let holder = lease_holder(region).await?;
        match region.system::<Pod>().get_opt(&holder).await {
            Ok(Some(pod)) if !holder.is_empty() && pod.metadata.deletion_timestamp.is_none() => Ok(holder),
            _ => Err(format!("the lease names {holder:?}")),
        }
    })
    .await
}

/// Who the lease names, nobody if it names nobody; or why it cannot be read.
pub async fn lease_holder(region: &Region) -> Result<String, String> {
    let lease = region.system::<Lease>().get_opt(LEASE).await;
    let lease = lease.map_err(|error| error.to_string())?;
    Ok(lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default())
}

/// Every version of the lease after `before`, until somebody takes it anew.
pub async fn lease_until_taken(region: &Region, before: &Lease) -> Vec<LeaseSpec> {
    let taken_before = before.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or(0);
    let since = before.resource_version().unwrap();
    let this_one = WatchParams::default().fields(&format!("metadata.name={LEASE}"));
    let is_held = |lease: &Value| {
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        !holder.is_empty() && lease["spec"]["leaseTransitions"].as_i64() > Some(taken_before.into())
    };
    let versions = scratch::versions(&region.system::<Lease>(), &this_one, &since, is_held).await;
    versions.into_iter().map(|mut lease| serde_json::from_value(lease["spec"].take()).unwrap()).collect()
}

/// Whether a replica that is alive says that it is ready.
async fn is_ready(region: &Region, pod: &str) -> Result<bool, String> {
    let answer = async |path: &str| {
        let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/{path}");
        // by kubectl, because our own client asks again and again until the answer is another
        try_kubectl(region, &["get", "--raw", &path], "").await
    };
    drop(answer("livez").await?);
    match answer("readyz").await {
        Ok(_) => Ok(true),
        Err(said) if said.contains("ServiceUnavailable") => Ok(false),
        Err(said) => Err(said),
    }
}

/// Waits until `count` replicas are alive, and all of them ready or none of them.
pub async fn await_readiness(region: &Region, count: usize, ready: bool) {
    eventually(&format!("{count} replicas say that ready is {ready}"), PATIENCE, || async {
        let names = replica_names(region).await;
        let mut answers = Vec::new();
        for name in &names {
            answers.push(is_ready(region, name).await?);
        }
        if answers == vec![ready; count] { Ok(()) } else { Err(format!("{answers:?}")) }
    })
    .await;
}

/// Deletes a replica's pod without a grace period.
pub async fn delete(region: &Region, pod: &str) {
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    drop(region.system::<Pod>().delete(pod, &at_once).await.unwrap());
}

/// All replicas that are not on their way out.
pub async fn replicas(region: &Region) -> Vec<Pod> {
    let selector = ListParams::default().labels("app.kubernetes.io/name=cranewing");
    let found = region.system::<Pod>().list(&selector).await.unwrap().items;
    found.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()).collect()
}

/// Names of all replicas that are not on their way out.
pub async fn replica_names(region: &Region) -> Vec<String> {
    replicas(region).await.iter().map(ResourceExt::name_any).collect()
}

/// Waits until `count` replicas each have a stream to every one of `servers` game servers, and take reports on them.
pub async fn await_reports_to_every_replica(region: &Region, count: usize, servers: usize) {
    let before = eventually("a stream from every server to every replica", PATIENCE, || async {
        let mut reports = BTreeMap::new();
        for name in replica_names(region).await {
            let metrics = try_metrics(region, &name).await?;
            let streams = metrics.get(STREAMS).copied().unwrap_or(0.0);
            #[expect(clippy::cast_precision_loss, reason = "a handful of servers")]
            if streams < servers as f64 {
                return Err(format!("{name} has {streams} of {servers} streams"));
            }
            reports.insert(name, metrics.get(REPORTS).copied().unwrap_or(0.0));
        }
        if reports.len() == count { Ok(reports) } else { Err(format!("{reports:?}")) }
    })
    .await;
    eventually("every replica takes reports", PATIENCE, || async {
        for (name, before) in &before {
            let now = try_metrics(region, name).await?.get(REPORTS).copied().unwrap_or(0.0);
            if now <= *before {
                return Err(format!("{name} took {now} reports and no more"));
            }
        }
        Ok(())
    })
    .await;
}

/// Metrics of one replica, by name with labels, read through the API server.
pub async fn metrics(region: &Region, pod: &str) -> BTreeMap<String, f64> {
    try_metrics(region, pod).await.unwrap()
}

async fn try_metrics(region: &Region, pod: &str) -> Result<BTreeMap<String, f64>, String> {
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let text = region.client.request_text(request).await.map_err(|error| error.to_string())?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    Ok(lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect())
}

/// Write requests by resource and verb, leases and events left out (events are counted apart by their own rule).
pub async fn writes(region: &Region, pod: &str) -> BTreeMap<String, f64> {
    let all = metrics(region, pod).await;
    all.into_iter()
        .filter(|(name, _)| name.starts_with("operator_api_writes_total"))
        .filter(|(name, _)| !name.contains("\"leases\"") && !name.contains("\"events\""))
        .collect()
}

/// A metric's value, zero if it is not there.
pub async fn metric(region: &Region, pod: &str, name: &str) -> f64 {
    metrics(region, pod).await.get(name).copied().unwrap_or(0.0)
}
