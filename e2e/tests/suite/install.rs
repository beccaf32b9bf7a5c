//! Install, upgrade, uninstall, by kubectl and by Helm; and what the API server refuses by itself.

use e2e::command::{kubectl, kubectl_with};
use e2e::kstatus::{Standing, standing};
use e2e::region::OPERATOR_NAMESPACE;
use e2e::{PATIENCE, Region, Scratch, eventually, helm, in_bare_region, in_namespace, operator};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use operator_api::{AutoScaler, Fleet, GameServer, GameServerAllocation, RegionCluster};
use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::{duel, duel_in};

const SCALER: &str = "{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, metadata: {name: duel}, spec: {fleet: duel, min: 1, max: 2, policies: [{metric: player_count, upThreshold: 14, downThreshold: 8}]}}";

/// A2, A15: definitions by kubectl alone, also after the operator; its table as a dashboard, and its way of waiting.
#[tokio::test]
async fn kubectl_applies_shows_and_awaits_every_kind() {
    in_bare_region("kubectl", &[], async |scratch| {
        let region = &scratch.region;
        let crds = helm::repository("crds").display().to_string();
        // what it should watch is not there yet: it waits, and nobody is sent to it
        helm::begin_operator(region).await;
        operator::await_readiness(region, 2, false).await;
        // on the client's side: it keeps a copy of each definition in an annotation, which must have room for it
        drop(kubectl(region, &["apply", "--filename", &crds]).await);
        drop(kubectl(region, &["wait", "--for=condition=Established", "--filename", &crds]).await);
        helm::install_operator(region, &[]).await;
        operator::await_readiness(region, 2, true).await;

        let sample = helm::repository(&format!("docs/samples/{}/region.yaml", region.id));
        let sample = std::fs::read_to_string(sample).unwrap();
        scratch.apply_everywhere(&sample).await;
        for yaml in [&duel(1, ""), SCALER] {
            let namespace = ["--namespace", &scratch.namespace, "apply", "--filename=-"];
            drop(kubectl_with(region, &namespace, yaml).await);
        }
        let kinds =
            ["fleet/duel", "gameserver/duel-0", "autoscaler/duel", &format!("regioncluster/{}", region.id)]
                .map(|object| object.replace('/', "s.cranewing.dev/"));
        eventually("the game server exists", PATIENCE, || async {
            scratch.api::<GameServer>().get("duel-0").await.map(drop).map_err(|error| error.to_string())
        })
        .await;
        for object in &kinds {
            drop(scratch.kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", object]).await);
            let json = scratch.kubectl(&["get", "--output=json", object]).await;
            let object: Value = serde_json::from_str(&json).unwrap();
            assert_eq!(standing(&object), Standing::Current, "{object:#}");
        }

        // one that waits for what is not there takes no server
        let waits = "{apiVersion: cranewing.dev/v1alpha1, kind: GameServerAllocation, metadata: {name: match}, spec: {matchLabels: {x: none}, waitSeconds: 3600}}";
        drop(scratch.apply::<GameServerAllocation>(waits).await);
        let table = scratch.kubectl(&["get", "cranewing"]).await;
        for crd in operator_api::crds::all() {
            let header = header_of(&crd);
            assert!(
                table.lines().any(|line| line.split_whitespace().eq(header.iter().map(String::as_str))),
                "no table with the columns {header:?}:\n{table}"
            );
        }
        for cell in ["gameserver.cranewing.dev/duel-0", "Ready", "uring", "Healthy", "AsSpecified"] {
            assert!(table.split_whitespace().any(|word| word == cell), "{cell} is not in\n{table}");
        }
        drop(kubectl(region, &["delete", "--filename", &crds]).await);
        helm::uninstall(region, "cranewing").await;
    })
    .await;
}

/// Column heads as kubectl prints them without `--output=wide`.
fn header_of(crd: &CustomResourceDefinition) -> Vec<String> {
    let columns = crd.spec.versions[0].additional_printer_columns.iter().flatten();
    let shown = columns.filter(|column| column.priority.unwrap_or(0) == 0);
    ["NAME".to_owned()].into_iter().chain(shown.map(|column| column.name.to_uppercase())).collect()
}

/// An upgrade replaces every replica and no server; then all goes, and the region is what it was before.
#[tokio::test]
async fn an_upgrade_moves_no_server_and_uninstalling_leaves_nothing() {
    in_bare_region("upgrade", &[], async |scratch| {
        let region = &scratch.region;
        let before = everything(region).await;
        helm::install(region).await;
        duel_in(scratch, 2).await;
        let servers = scratch.identities("duel").await;
        let replicas = operator::replica_names(region).await;
        helm::install_operator(region, &["log.filter=debug"]).await;
        eventually("the upgrade rolled every replica", PATIENCE, || async {
            let now = operator::replica_names(region).await;
            let rolled = now.len() == 2 && replicas.iter().all(|old| !now.contains(old));
            if rolled { Ok(()) } else { Err(format!("{now:?}")) }
        })
        .await;
        operator::await_reports_to_every_replica(region, 2, 2).await;
        drop(scratch.await_fleet("duel", 2).await);
        assert_eq!(scratch.identities("duel").await, servers, "the same servers, pods and processes");

        for release in ["cranewing", "cranewing-crds"] {
            helm::uninstall(region, release).await;
        }
        // Helm leaves the namespace that it made; what the operator keeps for itself goes with it
        drop(kubectl(region, &["delete", "namespace", OPERATOR_NAMESPACE, "--timeout=60s"]).await);
        eventually("the region is what it was", PATIENCE, || async {
            let left: Vec<_> = everything(region).await.difference(&before).cloned().collect();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        })
        .await;
    })
    .await;
}

/// Every object that is not a trace of work, as kind, namespace and name.
async fn everything(region: &Region) -> BTreeSet<String> {
    let kinds = kubectl(region, &["api-resources", "--verbs=list", "--output=name"]).await;
    let traces =
        ["events", "events.events.k8s.io", "endpointslices.discovery.k8s.io", "leases.coordination.k8s.io"];
    let kinds: Vec<&str> = kinds.lines().filter(|kind| !traces.contains(kind)).collect();
    let columns = "--output=custom-columns=:kind,:metadata.namespace,:metadata.name";
    let all = ["get", &kinds.join(","), "--all-namespaces", "--no-headers", columns, "--ignore-not-found"];
    let text = kubectl(region, &all).await;
    let lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "));
    lines.filter(|line| !line.is_empty()).collect()
}

#[tokio::test]
async fn definitions_stay_when_the_user_asked_for_it() {
    in_bare_region("keep", &[], async |scratch| {
        let region = &scratch.region;
        for (keep, left) in [("keep=true", 5), ("keep=false", 0)] {
            helm::install_definitions(region, &[keep]).await;
            helm::uninstall(region, "cranewing-crds").await;
            let crds: Api<CustomResourceDefinition> = region.all();
            let all = crds.list(&ListParams::default()).await.unwrap().items;
            let ours: Vec<_> = all
                .iter()
                .filter(|crd| crd.spec.group == operator_api::GROUP)
                .map(ResourceExt::name_any)
                .collect();
            assert_eq!(ours.len(), left, "{keep}: {ours:?}");
        }
    })
    .await;
}

/// A2, A15, B3 of the register in the API server's own words: the path of the field and what is allowed.
#[tokio::test]
async fn bad_objects_are_refused_with_the_fields_path() {
    in_namespace("refused", &[], async |scratch| {
        refuses_bad_fleets(scratch).await;
        refuses_bad_scalers(scratch).await;
        refuses_bad_regions(scratch).await;
        refuses_bad_allocations(scratch).await;
        let server = "{apiVersion: cranewing.dev/v1alpha1, kind: GameServer, metadata: {name: g}, spec: {capacity: 5}}";
        drop(scratch.apply::<GameServer>(server).await);
        let changed = server.replace("5}", "6}");
        assert_refused(scratch.try_apply::<GameServer>(&changed).await, "spec: immutable");
        let long = server.replace("name: g", &format!("name: {}", "n".repeat(64)));
        assert_refused(scratch.try_apply::<GameServer>(&long).await, "at most 63 characters");
    })
    .await;
}

async fn refuses_bad_fleets(scratch: &Scratch) {
    let long = "n".repeat(41);
    for (name, spec, words) in [
        ("f", "{replicas: -1}", "spec.replicas"),
        ("f", "{template: {spec: {capacity: 0}}}", "spec.template.spec.capacity"),
        ("f", "{template: {spec: {ports: [{name: a}, {name: a}]}}}", "port names must be unique"),
        (
            "f",
            "{template: {spec: {health: {silenceSeconds: 1}}}}",
            "spec.template.spec.health.silenceSeconds",
        ),
        ("f", "{template: {metadata: {labels: {cranewing.dev/x: y}}}}", "cranewing.dev/"),
        (&long, "{}", "at most 40 characters"),
        ("f", "{placement: {}}", "one that has placement needs a home"),
        ("f", "{home: jp}", "one that has placement needs a home"),
        (&long[..32], "{home: jp, placement: {}}", "at most 31 characters"),
        ("f", "{home: jp, placement: {canary: jp}}", "placement.canary: only with rollout RegionByRegion"),
        (
            "f",
            "{home: jp, placement: {rollout: RegionByRegion, canary: sg, regions: [{regionId: jp}]}}",
            "placement.canary: must be one of placement.regions",
        ),
        (
            "f",
            "{home: jp, placement: {regions: [{regionId: jp, weight: 1001}]}}",
            "spec.placement.regions[0].weight",
        ),
        ("f", "{home: jp, placement: {regions: [{regionId: jp}, {regionId: jp}]}}", "each regionId once"),
    ] {
        let yaml = format!(
            "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: {name}}}, spec: {spec}}}"
        );
        assert_refused(scratch.try_apply::<Fleet>(&yaml).await, words);
    }
}

async fn refuses_bad_scalers(scratch: &Scratch) {
    let policies = |metric: &str, up: i32, down: i32| {
        format!("policies: [{{metric: {metric}, upThreshold: {up}, downThreshold: {down}}}]")
    };
    let good = policies("player_count", 80, 30);
    let scaler = |name: &str, fleet: &str, min: i32, policies: &str| {
        format!(
            "{{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, metadata: {{name: {name}}}, spec: {{fleet: {fleet}, min: {min}, max: 2, {policies}}}}}"
        )
    };
    drop(scratch.apply::<AutoScaler>(&scaler("taken", "f", 1, &good)).await);
    for (yaml, words) in [
        (scaler("taken", "g", 1, &good), "fleet: immutable"),
        (scaler(&"n".repeat(41), "f", 1, &good), "at most 40 characters"),
        (scaler("s", "f", 3, &good), "min must not be above max"),
        (scaler("s", "f", 1, &policies("player_count", 30, 30)), "upThreshold must be above downThreshold"),
        (scaler("s", "f", 1, "policies: []"), "spec.policies"),
        (scaler("s", "f", 1, &policies("moon", 2, 1)), "spec.policies[0].metric"),
    ] {
        assert_refused(scratch.try_apply::<AutoScaler>(&yaml).await, words);
    }
}

async fn refuses_bad_allocations(scratch: &Scratch) {
    let long = "x".repeat(64);
    for (spec, words) in [
        (format!("{{matchLabels: {{mode: {long}}}}}"), "matchLabels: no object can have such a label"),
        ("{waitSeconds: 3601}".to_owned(), "spec.waitSeconds"),
        ("{ttlSecondsAfterFinished: -1}".to_owned(), "spec.ttlSecondsAfterFinished"),
        ("{selectors: [{}, {}, {}, {}, {}]}".to_owned(), "spec.selectors"),
        (
            "{selectors: [{matchExpressions: [{key: mode, operator: In}]}]}".to_owned(),
            "some with In and NotIn",
        ),
        (
            "{selectors: [{matchExpressions: [{key: mode, operator: Exists, values: [x]}]}]}".to_owned(),
            "none with Exists and DoesNotExist",
        ),
        (
            format!("{{selectors: [{{matchExpressions: [{{key: mode, operator: In, values: [{long}]}}]}}]}}"),
            "spec.selectors[0].matchExpressions[0].values[0]",
        ),
    ] {
        let yaml = format!(
            "{{apiVersion: cranewing.dev/v1alpha1, kind: GameServerAllocation, metadata: {{name: a}}, spec: {spec}}}"
        );
        assert_refused(scratch.try_apply::<GameServerAllocation>(&yaml).await, words);
    }
}

async fn refuses_bad_regions(scratch: &Scratch) {
    let regions: Api<RegionCluster> = scratch.region.all();
    let good = json!({
        "apiVersion": "cranewing.dev/v1alpha1", "kind": "RegionCluster", "metadata": { "name": "bad" },
        "spec": { "regionId": "xx", "zones": ["a", "b", "c"], "vpcCidr": "10.1.0.0/16" },
    });
    let apply = async |name: &str, spec: Value| {
        let mut region = good.clone();
        region["metadata"]["name"] = json!(name);
        for (field, value) in spec.as_object().unwrap() {
            region["spec"][field] = value.clone();
        }
        regions.patch(name, &PatchParams::apply("e2e").force(), &Patch::Apply(region)).await
    };
    for (spec, words) in [
        (json!({ "zones": ["a", "b"] }), "spec.zones"),
        (json!({ "zones": ["a", "b", "b"] }), "zones must not repeat"),
        (json!({ "failover": "Never" }), "spec.failover"),
        (json!({ "drains": ["jp", "jp"] }), "drains must not repeat"),
        (json!({ "drains": ["JP"] }), "spec.drains[0]"),
        (json!({ "drains": (0..17).map(|at| format!("r{at}")).collect::<Vec<_>>() }), "spec.drains"),
        (json!({ "vpcCidr": "10.1.0.0" }), "CIDR form"),
        (json!({ "vpcCidr": "10.1.0.0/33" }), "CIDR form"),
        (json!({ "vpcCidr": "10.1.0/16" }), "CIDR form"),
        (json!({ "vpcCidr": "10.1.0.256/16" }), "CIDR form"),
        (json!({ "vpcCidr": "10.1.0.0/16 " }), "CIDR form"),
        (json!({ "vpcCidr": "kr.example.com/16" }), "CIDR form"),
        (json!({ "vpcCidr": "" }), "CIDR form"),
        (json!({ "regionId": "too-long-for-it" }), "spec.regionId"),
        (json!({ "minGameServers": 101 }), "spec.minGameServers"),
        (json!({ "minGameServers": 5, "maxGameServers": 2 }), "minGameServers must not be above"),
        (json!({ "latencyToOtherRegions": { "xx": 1 } }), "must not name the region itself"),
        (json!({ "latencyToOtherRegions": { "yy": -1 } }), "milliseconds from 0 to 10000"),
        (json!({ "latencyToOtherRegions": { "yy": 10_001 } }), "milliseconds from 0 to 10000"),
    ] {
        assert_refused(apply("bad", spec).await, words);
    }
    // nobody's region, which no operator here looks at
    drop(apply("taken", json!({})).await.unwrap());
    assert_refused(apply("taken", json!({ "regionId": "yy" })).await, "regionId: immutable");
    drop(regions.delete("taken", &DeleteParams::default()).await.unwrap());
}

fn assert_refused<K: std::fmt::Debug>(result: kube::Result<K>, words: &str) {
    let refused = result.expect_err(words).to_string();
    assert!(refused.contains(words), "the refusal does not say `{words}`: {refused}");
}
