//! Scalers: they follow the players both ways, and nobody is thrown off.

use e2e::bots::Bots;
use e2e::{Need, PATIENCE, Scratch, eventually, in_namespace, say};
use k8s_openapi::api::autoscaling::v2::HorizontalPodAutoscaler;
use operator_api::{AutoScaler, Fleet, labels};
use serde_json::Value;

/// CPU that each server asks for, in thousandths.
const CPU_REQUEST_MILLIS: u64 = 10;

fn arena(capacity: u32) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: arena}}, spec: {{replicas: 1, template: {{spec: {{capacity: {capacity}, drain: {{deadlineSeconds: 5}}, template: {{spec: {{containers: [{{name: gameserver, resources: {{requests: {{cpu: {CPU_REQUEST_MILLIS}m, memory: 16Mi}}}}}}]}}}}}}}}}}}}"
    )
}

fn scaler(name: &str) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, metadata: {{name: {name}}}, spec: {{fleet: arena, min: 1, max: 4, policies: [{{metric: player_count, upThreshold: 14, downThreshold: 8, cooldownSeconds: 4}}]}}}}"
    )
}

/// A HorizontalPodAutoscaler that wants this mean CPU, in percent of the request, and follows at once.
fn horizontal(name: &str, percent: u64) -> String {
    format!(
        "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: {name}}}, spec: {{scaleTargetRef: {{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, name: arena}}, minReplicas: 1, maxReplicas: 3, metrics: [{{type: Resource, resource: {{name: cpu, target: {{type: Utilization, averageUtilization: {percent}}}}}}}], behavior: {{scaleDown: {{stabilizationWindowSeconds: 0}}}}}}}}"
    )
}

async fn replicas(scratch: &Scratch) -> Result<i32, String> {
    let fleet = scratch.api::<Fleet>().get("arena").await.map_err(|error| error.to_string())?;
    Ok(fleet.spec.replicas.unwrap_or(0))
}

/// A15, E5: real players over the encrypted session drive the Fleet up and down again.
#[tokio::test]
async fn servers_follow_the_players_both_ways_and_nobody_is_disconnected() {
    in_namespace("follow", &[Need::Bots], async |scratch| {
        drop(scratch.apply::<Fleet>(&arena(20)).await);
        drop(scratch.await_fleet("arena", 1).await);
        drop(scratch.apply::<AutoScaler>(&scaler("follow")).await);
        let bots = Bots::start(scratch, "arena", 40, (15, 15, 15));
        eventually("three servers for forty players", PATIENCE, || async {
            let (now, stats) = (replicas(scratch).await?, bots.stats());
            if now >= 3 { Ok(()) } else { Err(format!("{now} replicas, {stats:?}")) }
        })
        .await;
        bots.await_playing(40).await;
        eventually("one server when they left", PATIENCE, || async {
            let now = replicas(scratch).await?;
            if now == 1 { Ok(()) } else { Err(format!("{now} replicas, {:?}", bots.stats())) }
        })
        .await;
        drop(scratch.await_fleet("arena", 1).await);
        let stats = bots.stop().await;
        assert_eq!((stats.disconnects, stats.refused, stats.mismatches), (0, 0, 0), "{stats:?}");
        assert!(stats.joins >= 40, "{stats:?}");
    })
    .await;
}

/// By CPU as the kubelet measures it and metrics-server tells it; the scale subresource's selector leads to the pods.
#[tokio::test]
async fn a_horizontal_pod_autoscaler_follows_real_cpu_both_ways() {
    in_namespace("cpu", &[Need::Bots, Need::MetricsServer], async |scratch| {
        let image = std::env::var("CRANEWING_E2E_METRICS_SERVER_IMAGE").unwrap();
        let metrics_server = include_str!("metrics-server.yaml").replace("NAMESPACE", &scratch.namespace);
        scratch.apply_everywhere(&metrics_server.replace("IMAGE", &image)).await;
        drop(scratch.apply::<Fleet>(&arena(200)).await);
        drop(scratch.await_fleet("arena", 1).await);
        let idle = eventually("CPU of the idle server is known", PATIENCE, || mean_cpu_millis(scratch)).await;

        // twice what an idle server takes, so that servers without players are too many again
        let percent = (2 * idle.max(2) * 100).div_ceil(CPU_REQUEST_MILLIS);
        drop(scratch.apply::<HorizontalPodAutoscaler>(&horizontal("cpu", percent)).await);
        let bots = Bots::start(scratch, "arena", 200, (2, 600, 1));
        bots.await_playing(200).await;
        let busy = eventually("another server for the load", PATIENCE, || async {
            let (now, cpu) = (replicas(scratch).await?, mean_cpu_millis(scratch).await?);
            if now > 1 { Ok(cpu) } else { Err(format!("{now} replicas at {cpu} millis of CPU")) }
        })
        .await;
        let stats = bots.stop().await;
        assert_eq!((stats.joins, stats.disconnects, stats.refused), (200, 0, 0), "{stats:?}");
        eventually("one server without the load", PATIENCE, || async {
            let now = replicas(scratch).await?;
            if now == 1 { Ok(()) } else { Err(format!("{now} replicas")) }
        })
        .await;
        drop(scratch.await_fleet("arena", 1).await);
        say(&format!(
            "measured: a server takes {idle} thousandths of a CPU idle, {busy} with 200 players; the target was {}",
            percent * CPU_REQUEST_MILLIS / 100
        ));
    })
    .await;
}

/// Mean CPU of the Fleet's pods as metrics-server tells it, in thousandths, rounded up.
async fn mean_cpu_millis(scratch: &Scratch) -> Result<u64, String> {
    let selector = labels::fleet_selector("arena").replace('=', "%3D");
    let path = format!(
        "/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={selector}",
        scratch.namespace
    );
    let request = http::Request::get(path).body(Vec::new()).unwrap();
    let found: Value = scratch.region.client.request(request).await.map_err(|error| error.to_string())?;
    let pods = found["items"].as_array().cloned().unwrap_or_default();
    let nanos: Option<u64> = pods.iter().map(|pod| cpu_nanos(&pod["containers"][0]["usage"]["cpu"])).sum();
    let count = u64::try_from(pods.len()).unwrap();
    match nanos {
        Some(nanos) if count > 0 => Ok(nanos.div_ceil(count * 1_000_000)),
        _ => Err(found.to_string()),
    }
}

fn cpu_nanos(quantity: &Value) -> Option<u64> {
    let text = quantity.as_str()?;
    let number = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "n" => 1,
        "u" => 1_000,
        "m" => 1_000_000,
        "" => 1_000_000_000,
        _ => return None,
    };
    number.parse::<u64>().ok().map(|number| number * unit)
}

#[tokio::test]
async fn the_younger_of_two_scalers_gets_conflict() {
    in_namespace("conflict", &[], async |scratch| {
        drop(scratch.apply::<Fleet>(&arena(20)).await);
        let elder: AutoScaler = scratch.apply(&scaler("elder")).await;
        scratch.await_condition::<AutoScaler>("elder", "Ready", "True").await;
        // ages are whole seconds, and of the same age a HorizontalPodAutoscaler counts as the older
        eventually("a later second", PATIENCE, || async {
            let other: HorizontalPodAutoscaler = scratch.apply(&horizontal("youngest", 50)).await;
            if other.metadata.creation_timestamp > elder.metadata.creation_timestamp {
                return Ok(());
            }
            drop(scratch.kubectl(&["delete", "horizontalpodautoscaler", "youngest"]).await);
            Err("not yet".to_owned())
        })
        .await;
        drop(scratch.apply::<AutoScaler>(&scaler("younger")).await);
        scratch.await_condition::<AutoScaler>("younger", "Conflict", "True").await;
        scratch.await_condition::<HorizontalPodAutoscaler>("youngest", "Conflict", "True").await;
        scratch.await_condition::<AutoScaler>("elder", "Ready", "True").await;
    })
    .await;
}

#[tokio::test]
async fn a_scaler_beside_an_older_horizontal_pod_autoscaler_gets_conflict_until_that_goes() {
    in_namespace("horizontal", &[], async |scratch| {
        drop(scratch.apply::<Fleet>(&arena(20)).await);
        drop(scratch.apply::<HorizontalPodAutoscaler>(&horizontal("elder", 50)).await);
        drop(scratch.apply::<AutoScaler>(&scaler("younger")).await);
        scratch.await_condition::<AutoScaler>("younger", "Conflict", "True").await;
        drop(scratch.kubectl(&["delete", "horizontalpodautoscaler", "elder"]).await);
        scratch.await_condition::<AutoScaler>("younger", "Ready", "True").await;
    })
    .await;
}

#[tokio::test]
async fn a_scaler_without_its_fleet_says_so() {
    in_namespace("fleetless", &[], async |scratch| {
        drop(scratch.apply::<AutoScaler>(&scaler("alone")).await);
        scratch.await_condition::<AutoScaler>("alone", "AbleToScale", "False").await;
    })
    .await;
}
