//! What the chart lets the operator's account do, by its own rules.

#![expect(clippy::unwrap_used, reason = "what reads the chart for these tests may fail only by failing them")]

use serde::Deserialize;
use serde_yaml::Value;
use std::fs;
use std::path::Path;

/// Every rule of the chart's roles, with what Helm fills in left out.
fn rules() -> Vec<Value> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/operator/templates/rbac.yaml");
    let mut text = fs::read_to_string(chart).unwrap();
    while let Some((before, rest)) = text.split_once("{{") {
        text = format!("{before}filled-in{}", rest.split_once("}}").unwrap().1);
    }
    let documents = serde_yaml::Deserializer::from_str(&text);
    let documents = documents.map(|document| Value::deserialize(document).unwrap());
    let roles = documents.filter(|document| document["kind"].as_str().unwrap().ends_with("Role"));
    roles.flat_map(|role| role["rules"].as_sequence().unwrap().clone()).collect()
}

fn words(value: &Value) -> Vec<&str> {
    value.as_sequence().into_iter().flatten().map(|word| word.as_str().unwrap()).collect()
}

/// Each rule for this resource, as the names that it is limited to and its verbs.
fn rules_for<'a>(rules: &'a [Value], resource: &str) -> Vec<(Vec<&'a str>, Vec<&'a str>)> {
    let of = rules.iter().filter(|rule| words(&rule["resources"]).contains(&resource));
    of.map(|rule| (words(&rule["resourceNames"]), words(&rule["verbs"]))).collect()
}

/// What is known by its name is reached by that name alone. No name can limit what is made.
#[test]
fn what_the_operator_keeps_under_one_name_is_all_of_its_kind_that_it_reaches() {
    let rules = rules();
    let create = (vec![], vec!["create"]);
    let ballot = (vec!["cranewing-ballot"], vec!["get", "list", "watch", "update"]);
    let bundle = (vec!["cranewing-report-ca"], vec!["get", "patch"]);
    let epoch = (vec!["cranewing-allocation"], vec!["get", "update"]);
    assert_eq!(rules_for(&rules, "configmaps"), [bundle, create.clone(), ballot, epoch]);
    assert_eq!(rules_for(&rules, "leases"), [(vec!["cranewing-operator"], vec!["get", "update"]), create]);
    assert_eq!(rules_for(&rules, "services"), [(vec!["cranewing-report"], vec!["get"])]);
}

/// Copies, shares and the AutoScalers of shares are applied, never replaced as a whole; whoever made another keeps it.
#[test]
fn what_regions_make_of_each_others_is_created_patched_and_deleted_and_no_more() {
    let rules = rules();
    let all = vec!["get", "list", "watch", "create", "patch", "delete"];
    // of game servers the labels and annotations that whoever is given one asks for
    for resource in ["regionclusters", "fleets", "autoscalers", "gameservers"] {
        assert_eq!(rules_for(&rules, resource), [(vec![], all.clone())], "{resource}");
    }
}

#[test]
fn nothing_is_allowed_by_a_wildcard_and_no_pod_or_secret_is_ever_deleted() {
    for rule in rules() {
        for field in ["apiGroups", "resources", "verbs"] {
            assert!(!words(&rule[field]).contains(&"*"), "{rule:?}");
        }
        let resources = words(&rule["resources"]);
        let is_core = resources.contains(&"pods") || resources.contains(&"secrets");
        assert!(!is_core || !words(&rule["verbs"]).contains(&"delete"), "{rule:?}");
    }
}
