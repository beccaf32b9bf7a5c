//! One region: applied, settled, changed, held by its policies, and destroyed.

use e2e::bots::Bots;
use e2e::command::{kubectl, kubectl_with, try_kubectl};
use e2e::helm::{helm, repository};
use e2e::region::OPERATOR_NAMESPACE;
use e2e::terraform::{Environment, GAMES};
use e2e::{Need, PATIENCE, Region, Watch, eventually, in_bare_region, say};
use serde::Deserialize as _;
use serde_json::{Value, json};
use std::collections::BTreeMap;

use super::{OPENTOFU, TERRAFORM, assert_nothing_is_left, has_terraform, pods, settled};

/// From nothing to players, changed without moving a server, and back to nothing.
#[tokio::test]
async fn a_region_is_applied_changed_and_destroyed() {
    in_bare_region("terraform", &[Need::Terraform, Need::Bots], async |scratch| {
        let region = &scratch.region;
        let mut environment = Environment::new("staging", OPENTOFU, &[region]).await;
        environment.change(with_policies);
        environment.change(|values| values["regions"][region.id]["fleets"] = duel());
        let applied = environment.apply(region).await;
        let watch = Watch::new();
        environment.wait(region).await;
        let bots = Bots::start_in((region, GAMES), "duel", 8, (1, 600, 1));
        bots.await_playing(8).await;
        let playing = watch.seconds();
        let planned = settled(&environment, region).await;
        let objects = environment.objects(region).await;
        say(&format!(
            "terraform: {} objects in a region applied in {applied:.1} s, players after {playing:.1} s more, a plan takes {planned:.1} s",
            objects.len()
        ));
        are_what_helm_gives(region, &objects).await;
        holds_its_pods(region).await;

        let before = pods(region).await;
        if has_terraform() {
            // with a state of its own, so that it finds all of it there already
            let mut other = Environment::new("staging", TERRAFORM, &[region]).await;
            other.change(with_policies);
            other.change(|values| values["regions"][region.id]["fleets"] = duel());
            other.apply(region).await;
            settled(&other, region).await;
            settled(&environment, region).await;
        }
        drains_by_hand(region, "[jp]").await;
        settled(&environment, region).await;
        environment.change(|values| values["regions"][region.id]["max_game_servers"] = json!(42));
        let (changes, _) = environment.plan(region).await;
        let address = format!("module.region[\"{}\"].kubectl_manifest.region_cluster", region.id);
        assert_eq!(changes, [(address, "update".to_owned())].into(), "one object");
        environment.apply(region).await;
        settled(&environment, region).await;
        let drains = ["get", "regioncluster", region.id, "--output=jsonpath={.spec.drains[*]}"];
        assert_eq!(kubectl(region, &drains).await, "jp", "what was ordered by hand stays");
        drains_by_hand(region, "null").await;
        assert_eq!(pods(region).await, before, "no server moves");
        let stats = bots.stop().await;
        assert_eq!((stats.disconnects, stats.refused, stats.mismatches), (0, 0, 0), "{stats:?}");

        drop(environment.try_destroy(region).await.unwrap());
        assert_nothing_is_left(region).await;
    })
    .await;
}

/// An order as `operator region drain` gives it, about a region that is none here.
async fn drains_by_hand(region: &Region, drains: &str) {
    let patch = format!("--patch=spec: {{drains: {drains}}}");
    drop(kubectl(region, &["patch", "regioncluster", region.id, "--type=merge", &patch]).await);
}

/// Namespaces that others made are there when the region is gone, with what others have in them.
#[tokio::test]
async fn namespaces_that_were_there_before_stay_when_their_region_goes() {
    in_bare_region("terraform", &[Need::Terraform], async |scratch| {
        let region = &scratch.region;
        let ours = [GAMES, OPERATOR_NAMESPACE];
        for namespace in ours {
            drop(kubectl(region, &["create", "namespace", namespace]).await);
            let others = ["create", "configmap", "others", "--namespace", namespace];
            drop(kubectl(region, &others).await);
        }
        let mut environment = Environment::new("staging", OPENTOFU, &[region]).await;
        environment.change(|values| {
            values["create_namespace"] = json!(false);
            values["game_namespaces"] = json!({ GAMES: { "create": false } });
            values["regions"][region.id]["fleets"] = duel();
        });
        environment.apply(region).await;
        environment.wait(region).await;
        eventually("the Fleet is there", PATIENCE, || async {
            let count = pods(region).await.len();
            if count == 2 { Ok(()) } else { Err(format!("{count} game servers")) }
        })
        .await;
        settled(&environment, region).await;
        drop(environment.try_destroy(region).await.unwrap());
        for namespace in ours {
            let get = ["get", "configmap", "others", "--namespace", namespace, "--output=name"];
            assert_eq!(kubectl(region, &get).await.trim(), "configmap/others", "{namespace}");
            let get = ["get", "namespace", namespace, "--output=jsonpath={.status.phase}"];
            assert_eq!(kubectl(region, &get).await, "Active", "{namespace}");
        }
        assert_eq!(pods(region).await, BTreeMap::new(), "its game servers are gone");
        for namespace in ours {
            drop(kubectl(region, &["delete", "namespace", namespace]).await);
        }
        assert_nothing_is_left(region).await;
    })
    .await;
}

/// Network policies in a namespace that the same apply makes.
fn with_policies(values: &mut Value) {
    values["operator_values"] = json!(format!("{{networkPolicy: {{gameNamespaces: [{GAMES}]}}}}"));
}

/// A Fleet of the region's own, and its AutoScaler.
fn duel() -> Value {
    json!({ "duel": {
        "spec": "{template: {spec: {capacity: 16, drain: {deadlineSeconds: 5}, template: {spec: {containers: [{name: gameserver, resources: {requests: {cpu: 10m, memory: 16Mi}}}]}}}}}",
        "autoscaler": "{min: 2, max: 4, policies: [{metric: player_count, upThreshold: 14, downThreshold: 1}]}",
    }})
}

/// The chart is the one source: what Terraform applied is what Helm would install with the same values.
async fn are_what_helm_gives(region: &Region, objects: &[(String, Value)]) {
    let chart = repository("charts/operator").display().to_string();
    let values = json!({
        "region": { "id": region.id },
        "image": {
            "operator": std::env::var("CRANEWING_E2E_OPERATOR_IMAGE").unwrap(),
            "gameserver": std::env::var("CRANEWING_E2E_GAMESERVER_IMAGE").unwrap(),
        },
        "admissionPolicy": { "enabled": true },
        "responder": { "enabled": true },
        "link": { "service": { "type": "NodePort", "nodePort": 30844 } },
        "monitoring": { "dashboards": { "enabled": true } },
        "networkPolicy": { "gameNamespaces": [GAMES] },
    });
    let file = std::env::temp_dir().join(format!("cranewing-values-{}.json", std::process::id()));
    std::fs::write(&file, values.to_string()).unwrap();
    let file_name = file.display().to_string();
    let said =
        helm(region, &["template", "cranewing", &chart, "--values", &file_name, "--kube-version", "1.33.0"])
            .await;
    std::fs::remove_file(&file).unwrap();
    let documents = serde_yaml::Deserializer::from_str(&said);
    let expected: BTreeMap<String, Value> = documents
        .map(|document| Value::deserialize(document).unwrap())
        .filter(|object| !object.is_null())
        .map(|object| (key(&object), object))
        .collect();
    assert!(expected.len() > 15, "the chart is understood");
    let of_chart = ["operator", "in_game_namespaces", "deployment", "monitoring"]
        .map(|name| format!("kubectl_manifest.{name}"));
    let applied: BTreeMap<String, Value> = objects
        .iter()
        .filter(|(address, _)| of_chart.iter().any(|part| address.contains(part.as_str())))
        .map(|(_, object)| (key(object), object.clone()))
        .collect();
    assert_eq!(applied.keys().collect::<Vec<_>>(), expected.keys().collect::<Vec<_>>());
    for (key, object) in &expected {
        assert_eq!(&applied[key], object, "{key}");
    }
}

fn key(object: &Value) -> String {
    format!("{} {} {}", object["kind"], object["metadata"]["namespace"], object["metadata"]["name"])
}

/// A pod of a game server may not be just any pod, whoever makes it.
async fn holds_its_pods(region: &Region) {
    let pod = |container: &str, more: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: held, namespace: {GAMES}, labels: {{cranewing.dev/role: game-server}}}}, spec: {{{more} automountServiceAccountToken: false, securityContext: {{runAsNonRoot: true, runAsUser: 1000, seccompProfile: {{type: RuntimeDefault}}}}, containers: [{{name: a, image: a, {container}}}]}}}}"
        )
    };
    let good = "securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true, capabilities: {drop: [ALL]}}";
    let dry = ["apply", "--dry-run=server", "--filename=-"];
    drop(kubectl_with(region, &dry, &pod(good, "")).await);
    for (container, more, said) in [
        (good, "hostNetwork: true,", "hostNetwork"),
        (good, "volumes: [{name: a, hostPath: {path: /}}],", "hostPath"),
        ("", "", "allowPrivilegeEscalation"),
        (&good.replace("drop: [ALL]", "drop: [ALL], add: [NET_RAW]"), "", "capabilities"),
        (&good.replace("readOnlyRootFilesystem: true, ", ""), "", "readOnlyRootFilesystem"),
        (&good.replace("{allow", "{runAsNonRoot: false, allow"), "", "runAsNonRoot"),
        (&format!("{good}, ports: [{{containerPort: 1, hostPort: 6999}}]"), "", "7000-7999"),
    ] {
        let refusal = try_kubectl(region, &dry, &pod(container, more)).await.unwrap_err();
        assert!(refusal.contains(said), "{said} is not in {refusal}");
    }
    let quota =
        ["get", "resourcequota", "cranewing", "--namespace", GAMES, "--output=jsonpath={.spec.hard.pods}"];
    assert_eq!(try_kubectl(region, &quota, "").await.unwrap(), "200");
    let may = |who: &str, verb: &str, what: &str| {
        let arguments =
            ["auth", "can-i", verb, what, "--as=somebody", "--as-group", who, "--namespace", GAMES];
        let arguments = arguments.map(str::to_owned);
        async move { try_kubectl(region, &arguments.each_ref().map(String::as_str), "").await.is_ok() }
    };
    assert!(may("everybody", "list", "fleets.cranewing.dev").await);
    assert!(!may("everybody", "delete", "fleets.cranewing.dev").await);
    assert!(may("on-call", "patch", "regionclusters.cranewing.dev").await);
    let secrets = [
        "auth",
        "can-i",
        "get",
        "secrets",
        "--as=somebody",
        "--as-group=on-call",
        "--namespace",
        OPERATOR_NAMESPACE,
    ];
    assert!(try_kubectl(region, &secrets, "").await.is_err(), "orders need no right to Secrets");
}
