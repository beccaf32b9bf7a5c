//! What the environment production would do to a region, planned from nothing and without a cluster: that a new region is one entry of
//! the map, and that what is said in the environment comes to the objects.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::Runner;

const ROOT: &str = "environments/production";

/// Regions of the map, in which `us` is the new one.
const REGIONS: [&str; 3] = ["kr", "jp", "us"];

/// Manifests of a region, by the addresses of the objects in the plan.
type Manifests = BTreeMap<String, Value>;

/// Fails where a plan is not as it must be.
pub(super) fn check(runner: &Runner) -> Result<()> {
    prepare(runner)?;
    a_new_region_is_one_entry(runner)?;
    what_is_said_comes_to_the_objects(runner)
}

/// A workspace and a context for each region; nothing answers there, and a plan from nothing asks nobody.
fn prepare(runner: &Runner) -> Result<()> {
    let names = |value: fn(&str) -> Value| REGIONS.iter().map(|id| value(id)).collect::<Value>();
    let kubeconfig = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "none", "cluster": { "server": "https://127.0.0.1:1" } }],
        "users": [{ "name": "nobody", "user": {} }],
        "contexts": names(|id| json!({ "name": id, "context": { "cluster": "none", "user": "nobody" } })),
    });
    let path = runner.tree.join("kubeconfig");
    fs::write(&path, kubeconfig.to_string()).context("failed to write a kubeconfig")?;
    for id in REGIONS {
        drop(runner.run(ROOT, &["workspace", "new", id])?);
    }
    drop(runner.run(ROOT, &["workspace", "select", "default"])?);
    Ok(())
}

/// An entry of the map as the page has it: nothing but what has no default.
fn entry(number: usize) -> Value {
    let id = REGIONS[number];
    json!({
        "zones": [format!("{id}-a"), format!("{id}-b"), format!("{id}-c")],
        "cidr": format!("10.{number}.0.0/16"),
        "link": {
            "addresses": [format!("link.{id}.example:8444")],
            "public_keys": [format!("MCowBQYDK2VwAyEA{}I=", number.to_string().repeat(42))],
        },
    })
}

/// The map of regions with the first so many of them.
fn regions(count: usize) -> Value {
    (0..count).map(|number| (REGIONS[number].to_owned(), entry(number))).collect()
}

/// What would be in a region's cluster with these values.
fn planned(runner: &Runner, region: &str, values: &Value) -> Result<Manifests> {
    let file = runner.tree.join(ROOT).join("plans.auto.tfvars.json");
    let mut all =
        json!({ "link_key": "", "kubeconfig": runner.tree.join("kubeconfig"), "placed_fleets": {} });
    for (name, value) in values.as_object().context("values are an object")? {
        all[name] = value.clone();
    }
    fs::write(&file, all.to_string()).with_context(|| format!("failed to write {}", file.display()))?;
    let plan = ["plan", "-input=false", "-no-color", "-out=region.tfplan"];
    let shown = runner
        .run_in(Some(region), ROOT, &plan)
        .and_then(|_| runner.run_in(Some(region), ROOT, &["show", "-json", "region.tfplan"]));
    fs::remove_file(&file).with_context(|| format!("failed to remove {}", file.display()))?;
    manifests(&serde_json::from_str(&shown?).context("a plan is no JSON")?)
}

/// Manifests in what `show -json` says of a plan in which all is created.
fn manifests(shown: &Value) -> Result<Manifests> {
    let changes = shown["resource_changes"].as_array().context("a plan has no changes")?;
    let mut found = Manifests::new();
    for change in changes.iter().filter(|change| change["type"] == "kubectl_manifest") {
        let address = change["address"].as_str().context("an object has an address")?;
        ensure!(change["change"]["actions"] == json!(["create"]), "{address} is not created");
        let body = change["change"]["after"]["yaml_body"].as_str();
        let body = body.with_context(|| format!("the manifest of {address} is not known in a plan"))?;
        let body = serde_yaml::from_str(body).with_context(|| format!("{address} is no YAML"))?;
        found.insert(address.to_owned(), body);
    }
    Ok(found)
}

/// Paths of what is not the same in two regions' manifests, each with the address of its object; of an object that only one has, the
/// address alone.
fn differences(before: &Manifests, after: &Manifests) -> BTreeSet<String> {
    let addresses: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut found = BTreeSet::new();
    for address in addresses {
        match (before.get(address), after.get(address)) {
            (Some(one), Some(other)) => differ(address, one, other, &mut found),
            _ => drop(found.insert(address.clone())),
        }
    }
    found
}

fn differ(path: &str, one: &Value, other: &Value, found: &mut BTreeSet<String>) {
    if let (Value::Object(one), Value::Object(other)) = (one, other) {
        let keys: BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for key in keys {
            let of = |side: &serde_json::Map<String, Value>| side.get(key).cloned().unwrap_or_default();
            differ(&format!("{path} {key}"), &of(one), &of(other), found);
        }
    } else if one != other {
        found.insert(path.to_owned());
    }
}

/// One entry more: the others know its peer and take its Fleets, and nothing else of them is touched; and all of it is planned in its own cluster.
fn a_new_region_is_one_entry(runner: &Runner) -> Result<()> {
    for region in ["kr", "jp"] {
        let two = planned(runner, region, &json!({ "regions": regions(2) }))?;
        let three = planned(runner, region, &json!({ "regions": regions(3) }))?;
        ensure!(two.len() > 20, "a region has more than {} objects", two.len());
        let registered = BTreeSet::from([
            format!("module.global[\"{region}\"].kubectl_manifest.peers[\"us\"]"),
            format!(
                "module.region[\"{region}\"].kubectl_manifest.game_namespaces[\"games\"] metadata annotations \
                 cranewing.dev/takes-fleets-from"
            ),
        ]);
        let found = differences(&two, &three);
        ensure!(found == registered, "an entry more should register us in {region} and no more: {found:?}");
        let own = planned(runner, "us", &json!({ "regions": regions(3) }))?;
        let kinds = |of: &Manifests, region: &str| -> BTreeSet<String> {
            of.keys()
                .filter(|address| !address.contains(".peers["))
                .map(|address| address.replace(&format!("[\"{region}\"]"), ""))
                .collect()
        };
        ensure!(kinds(&own, "us") == kinds(&three, region), "us is to have what {region} has");
    }
    Ok(())
}

/// Inputs of the environment that only an object shows.
fn what_is_said_comes_to_the_objects(runner: &Runner) -> Result<()> {
    let mut map = regions(1);
    map["kr"]["quotas"] = json!({ "duels": { "pods": "7" } });
    map["kr"]["host_ports"] = json!("20000-20999");
    let games = json!({ "arenas": { "quota": { "pods": "9" } }, "duels": { "takes_fleets_from": ["jp"] }, "plain": {} });
    let values = json!({ "regions": map, "namespace": "ops", "game_namespaces": games });
    let found = planned(runner, "kr", &values)?;
    let of = |name: &str| {
        let address = format!("module.region[\"kr\"].kubectl_manifest.{name}");
        found.get(&address).with_context(|| format!("{address} is not planned: {:?}", found.keys()))
    };
    for (namespace, pods, takes) in [("arenas", "9", "kr"), ("duels", "7", "jp"), ("plain", "200", "kr")] {
        let quota = &of(&format!("quotas[\"{namespace}\"]"))?["spec"]["hard"]["pods"];
        ensure!(quota == pods, "the quota of {namespace} is {quota}, and not {pods}");
        let annotations = &of(&format!("game_namespaces[\"{namespace}\"]"))?["metadata"]["annotations"];
        ensure!(annotations["cranewing.dev/takes-fleets-from"] == takes, "{namespace} has {annotations}");
    }
    let namespace = &of("namespace")?["metadata"]["name"];
    ensure!(namespace == "ops", "the operator's namespace is {namespace}");
    let operator = of("deployment")?;
    ensure!(operator["metadata"]["namespace"] == "ops", "the operator is not in its namespace: {operator}");
    let ports = operator.to_string().matches("\"20000-20999\"").count();
    ensure!(ports == 1, "the operator has not the region's host ports: {operator}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_told_with_its_path() {
        let of = |objects: Value| -> Manifests { serde_json::from_value(objects).unwrap() };
        let before = of(json!({ "a": { "x": { "y": 1, "z": 1 } }, "b": {}, "c": { "l": [1] } }));
        let cases: &[(&str, Value, &[&str])] = &[
            ("nothing", json!({ "a": { "x": { "y": 1, "z": 1 } }, "b": {}, "c": { "l": [1] } }), &[]),
            ("a value", json!({ "a": { "x": { "y": 2, "z": 1 } }, "b": {}, "c": { "l": [1] } }), &["a x y"]),
            ("a key", json!({ "a": { "x": { "y": 1 } }, "b": {}, "c": { "l": [1] } }), &["a x z"]),
            ("a list", json!({ "a": { "x": { "y": 1, "z": 1 } }, "b": {}, "c": { "l": [1, 2] } }), &["c l"]),
            ("objects", json!({ "a": { "x": { "y": 1, "z": 1 } }, "c": { "l": [1] }, "d": {} }), &["b", "d"]),
        ];
        for (name, after, expected) in cases {
            let found = differences(&before, &of(after.clone()));
            assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), *expected, "{name}");
        }
    }

    #[test]
    fn a_plan_that_does_not_create_or_does_not_know_is_an_error() {
        let plan = |actions: Value, body: Value| {
            json!({ "resource_changes": [
                { "type": "kubectl_manifest", "address": "a", "change": { "actions": actions, "after": { "yaml_body": body } } },
                { "type": "terraform_data", "address": "b", "change": { "actions": ["create"], "after": {} } },
            ] })
        };
        let good = manifests(&plan(json!(["create"]), json!("x: 1"))).unwrap();
        assert_eq!(good, Manifests::from([("a".to_owned(), json!({ "x": 1 }))]));
        assert!(manifests(&plan(json!(["update"]), json!("x: 1"))).is_err());
        assert!(manifests(&plan(json!(["create"]), Value::Null)).is_err());
        assert!(manifests(&json!({})).is_err());
    }
}
