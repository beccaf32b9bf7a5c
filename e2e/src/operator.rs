//! The operator as it runs in a region: its pods, its leader and its own account.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DeleteParams, ListParams};
use kube::{Api, ResourceExt};
use std::collections::BTreeMap;

use crate::region::{OPERATOR_NAMESPACE, PATIENCE, Region};
use crate::wait::eventually;

fn pods(region: &Region) -> Api<Pod> {
    Api::namespaced(region.client.clone(), OPERATOR_NAMESPACE)
}

/// Name of the replica that leads, once one does that is there.
pub async fn leader(region: &Region) -> String {
    let leases: Api<Lease> = Api::namespaced(region.client.clone(), OPERATOR_NAMESPACE);
    eventually("a replica leads", PATIENCE, || async {
        let lease = leases.get_opt("cranewing-operator").await.map_err(|error| error.to_string())?;
        let holder = lease.and_then(|lease| lease.spec?.holder_identity).unwrap_or_default();
        match pods(region).get_opt(&holder).await {
            Ok(Some(pod)) if !holder.is_empty() && pod.metadata.deletion_timestamp.is_none() => Ok(holder),
            _ => Err(format!("the lease names {holder:?}")),
        }
    })
    .await
}

/// Kills a replica without notice.
pub async fn kill(region: &Region, pod: &str) {
    let at_once = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    drop(pods(region).delete(pod, &at_once).await.unwrap());
}

/// Names of all replicas.
pub async fn replicas(region: &Region) -> Vec<String> {
    let selector = ListParams::default().labels("app.kubernetes.io/name=cranewing");
    pods(region).list(&selector).await.unwrap().items.iter().map(ResourceExt::name_any).collect()
}

/// Metrics of one replica, by name with labels, read through the API server.
pub async fn metrics(region: &Region, pod: &str) -> BTreeMap<String, f64> {
    let path = format!("/api/v1/namespaces/{OPERATOR_NAMESPACE}/pods/{pod}:8080/proxy/metrics");
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let text = region.client.request_text(request).await.unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect()
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
