//! Helm: install, upgrade, uninstall; and what the API server refuses by itself.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

use e2e::{Region, eventually, helm, operator};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use operator_api::{AutoScaler, Fleet, GameServer, RegionCluster};
use std::time::Duration;

#[tokio::test]
async fn uninstalling_leaves_nothing_and_the_definitions_by_choice() {
    let region = Region::with_operator("sg").await;
    let definitions = || async {
        let crds: Api<CustomResourceDefinition> = region.all();
        let all = crds.list(&ListParams::default()).await.unwrap();
        all.items.iter().filter(|crd| crd.spec.group == operator_api::GROUP).count()
    };
    assert_eq!(definitions().await, 4);

    // an upgrade that changes a value rolls the operator
    let before = operator::replicas(&region).await;
    helm::install(&region, &["log.filter=debug"]).await;
    eventually("the upgrade rolled every replica", Duration::from_secs(60), || async {
        let now = operator::replicas(&region).await;
        if now.len() == 2 && before.iter().all(|old| !now.contains(old)) {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    })
    .await;

    helm::uninstall(&region).await;
    assert_eq!(definitions().await, 0, "CRDs go with their chart");
    let roles: Api<ClusterRole> = region.all();
    assert!(roles.get_opt("cranewing-operator").await.unwrap().is_none());

    // what the operator made for itself goes with its namespace
    let namespaces: Api<Namespace> = region.all();
    drop(namespaces.delete(e2e::region::OPERATOR_NAMESPACE, &DeleteParams::default()).await.unwrap());
    eventually("the operator's namespace is gone", Duration::from_secs(60), || async {
        match namespaces.get_opt(e2e::region::OPERATOR_NAMESPACE).await {
            Ok(None) => Ok(()),
            other => Err(format!("{:?}", other.map(|found| found.map(|found| found.status)))),
        }
    })
    .await;

    let charts = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/crds");
    helm::helm(
        &region,
        &["upgrade", "--install", "--create-namespace", "cranewing-crds", charts, "--set", "keep=true"],
    )
    .await;
    helm::helm(&region, &["uninstall", "cranewing-crds", "--wait"]).await;
    assert_eq!(definitions().await, 4, "kept because the user asked for it");
    let crds: Api<CustomResourceDefinition> = region.all();
    for name in ["fleets", "gameservers", "autoscalers", "regionclusters"] {
        drop(crds.delete(&format!("{name}.cranewing.dev"), &DeleteParams::default()).await.unwrap());
    }
}

/// A2, A15, B3 of the register in the API server's own words: the path of the field and what is allowed.
#[tokio::test]
async fn bad_objects_are_refused_with_the_fields_path() {
    let region = Region::with_operator("kr").await;
    let scratch = region.scratch("bad-objects").await;
    let fleet = |name: &str, spec: &str| {
        format!(
            "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: {name}}}, spec: {spec}}}"
        )
    };
    for (yaml, words) in [
        (fleet("f", "{replicas: -1}"), "spec.replicas"),
        (fleet("f", "{template: {spec: {capacity: 0}}}"), "spec.template.spec.capacity"),
        (fleet("f", "{template: {spec: {ports: [{name: a}, {name: a}]}}}"), "port names must be unique"),
        (
            fleet("f", "{template: {spec: {health: {silenceSeconds: 1}}}}"),
            "spec.template.spec.health.silenceSeconds",
        ),
        (fleet("f", "{template: {metadata: {labels: {cranewing.dev/x: y}}}}"), "cranewing.dev/"),
        (fleet(&"n".repeat(41), "{}"), "at most 40 characters"),
    ] {
        assert_refused(scratch.try_apply::<Fleet>(&yaml).await, words);
    }
    let scaler = |spec: &str| {
        format!(
            "{{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, metadata: {{name: s}}, spec: {spec}}}"
        )
    };
    let policy = |up: i32, down: i32| {
        format!("policies: [{{metric: player_count, upThreshold: {up}, downThreshold: {down}}}]")
    };
    for (yaml, words) in [
        (scaler(&format!("{{fleet: f, min: 3, max: 2, {}}}", policy(80, 30))), "min must not be above max"),
        (
            scaler(&format!("{{fleet: f, min: 1, max: 2, {}}}", policy(30, 30))),
            "upThreshold must be above downThreshold",
        ),
        (scaler("{fleet: f, min: 1, max: 2, policies: []}"), "spec.policies"),
        (
            scaler(
                "{fleet: f, min: 1, max: 2, policies: [{metric: moon, upThreshold: 2, downThreshold: 1}]}",
            ),
            "spec.policies[0].metric",
        ),
    ] {
        assert_refused(scratch.try_apply::<AutoScaler>(&yaml).await, words);
    }
    let server =
        "{apiVersion: cranewing.dev/v1alpha1, kind: GameServer, metadata: {name: g}, spec: {capacity: 5}}";
    drop(scratch.apply::<GameServer>(server).await);
    assert_refused(scratch.try_apply::<GameServer>(&server.replace("5}", "6}")).await, "immutable");

    let regions: Api<RegionCluster> = region.all();
    let good = serde_json::json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "RegionCluster", "metadata": { "name": "bad" },
        "spec": { "regionId": "xx", "zones": ["a", "b", "c"], "vpcCidr": "10.1.0.0/16" },
    });
    for (field, value, words) in [
        ("zones", serde_json::json!(["a", "b"]), "spec.zones"),
        ("zones", serde_json::json!(["a", "b", "b"]), "zones must not repeat"),
        ("vpcCidr", serde_json::json!("10.1.0.0"), "CIDR form"),
        ("regionId", serde_json::json!("too-long-for-it"), "spec.regionId"),
        ("minGameServers", serde_json::json!(101), "spec.minGameServers"),
        ("latencyToOtherRegions", serde_json::json!({ "xx": 1 }), "must not name the region itself"),
    ] {
        let mut bad = good.clone();
        bad["spec"][field] = value;
        assert_refused(
            regions.patch("bad", &PatchParams::apply("e2e").force(), &Patch::Apply(bad)).await,
            words,
        );
    }
    scratch.remove().await;
}

fn assert_refused<K: std::fmt::Debug>(result: kube::Result<K>, words: &str) {
    let refused = result.expect_err(words).to_string();
    assert!(refused.contains(words), "the refusal does not say `{words}`: {refused}");
}
