//! Resources of ours on pages and among the samples are such as the definitions take: no field that is not there, none missing, each of
//! its type and within its bounds. Patterns, lengths of text and rules in CEL are the API server's to judge.

use std::path::Path;

use serde::Deserialize as _;
use serde_yaml::Value;

const GROUP: &str = "cranewing.dev/";

/// YAML of a file: all of it, or the fenced blocks of a page.
fn blocks(path: &Path, text: &str) -> Vec<String> {
    match path.extension().and_then(|end| end.to_str()) {
        Some("yaml") if path.starts_with("docs") => vec![text.to_owned()],
        Some("md") => fenced(text),
        _ => Vec::new(),
    }
}

/// The blocks of YAML in Markdown.
fn fenced(text: &str) -> Vec<String> {
    let (mut blocks, mut block) = (Vec::new(), None::<String>);
    for line in text.lines() {
        match (&mut block, line.trim()) {
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(block), _) => block.extend([line, "\n"]),
            (None, "```yaml" | "```yml") => block = Some(String::new()),
            (None, _) => {}
        }
    }
    blocks
}

/// Whether a document is a part of a resource that does not say of which: nobody can apply it, and nothing can check it.
fn is_fragment(document: &Value) -> bool {
    document.get("apiVersion").is_none() && ["spec", "template"].iter().any(|key| document.get(key).is_some())
}

/// Our resources among the documents of a block.
fn resources(block: &str) -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let documents: Vec<Value> =
        serde_yaml::Deserializer::from_str(block).map(Value::deserialize).collect::<Result<_, _>>()?;
    if documents.iter().any(is_fragment) {
        return Err("a part of a resource, without its apiVersion".into());
    }
    let is_ours = |value: &Value| value["apiVersion"].as_str().is_some_and(|api| api.starts_with(GROUP));
    Ok(documents.into_iter().filter(is_ours).collect())
}

/// The definitions that the tree keeps.
fn definitions() -> Vec<Value> {
    let kept = crate::tree().into_iter().filter(|path| path.starts_with("crds"));
    kept.filter_map(|path| crate::text(&path)).map(|text| serde_yaml::from_str(&text).unwrap()).collect()
}

/// What is wrong with a resource.
fn faults(resource: &Value, definitions: &[Value]) -> Vec<String> {
    let kind = definitions.iter().find(|definition| definition["spec"]["names"]["kind"] == resource["kind"]);
    let versions = kind.and_then(|definition| definition["spec"]["versions"].as_sequence());
    let is_its_own = |version: &&Value| {
        let (api, name) = (resource["apiVersion"].as_str(), version["name"].as_str());
        api.and_then(|api| api.strip_prefix(GROUP)).is_some_and(|api| Some(api) == name)
    };
    let Some(version) = versions.and_then(|versions| versions.iter().find(is_its_own)) else {
        return vec![format!("{:?} of {:?} is not defined", resource["kind"], resource["apiVersion"])];
    };
    let mut found = Vec::new();
    let known = ["apiVersion", "kind", "metadata", "spec"];
    let more = keys(resource).filter(|key| !known.contains(key)).map(|key| format!("{key} is not there"));
    found.extend(more);
    let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    look("spec", &resource["spec"], schema, &mut found);
    found
}

fn keys(value: &Value) -> impl Iterator<Item = &str> {
    value.as_mapping().into_iter().flatten().filter_map(|(key, _)| key.as_str())
}

/// Adds what is wrong with a value at this path.
fn look(at: &str, value: &Value, schema: &Value, found: &mut Vec<String>) {
    if value.is_null() && schema["nullable"] == Value::Bool(true) {
        return;
    }
    let is_either = schema["x-kubernetes-int-or-string"] == Value::Bool(true);
    let is_of_type = match schema["type"].as_str() {
        Some("object") => value.is_mapping(),
        Some("array") => value.is_sequence(),
        Some("string") => value.is_string(),
        Some("integer") => value.is_i64(),
        Some("number") => value.is_number(),
        Some("boolean") => value.is_bool(),
        _ => is_either && (value.is_i64() || value.is_string()),
    };
    if !is_of_type {
        found.push(format!("{at} is no {}", schema["type"].as_str().unwrap_or("number or text")));
        return;
    }
    if let Some(allowed) = schema["enum"].as_sequence().filter(|allowed| !allowed.contains(value)) {
        found.push(format!("{at} is none of {allowed:?}"));
    }
    let size = [
        value.as_f64(),
        value.as_sequence().and_then(|items| u32::try_from(items.len()).ok()).map(f64::from),
    ];
    for (least, most) in [("minimum", "maximum"), ("minItems", "maxItems")] {
        let is_outside = |size: f64| {
            schema[least].as_f64().is_some_and(|least| size < least)
                || schema[most].as_f64().is_some_and(|most| size > most)
        };
        if size.into_iter().flatten().any(is_outside) {
            found.push(format!("{at} is out of its bounds"));
        }
    }
    let required = schema["required"].as_sequence().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| value.get(*name).is_none());
    found.extend(missing.map(|name| format!("{at}.{name} is missing")));
    for key in keys(value) {
        let of_key = [&schema["properties"][key], &schema["additionalProperties"]];
        match of_key.into_iter().find(|schema| schema.is_mapping()) {
            Some(schema) => look(&format!("{at}.{key}"), &value[key], schema, found),
            None => found.push(format!("{at}.{key} is not there")),
        }
    }
    for item in value.as_sequence().into_iter().flatten() {
        look(&format!("{at}[]"), item, &schema["items"], found);
    }
}

#[test]
fn every_resource_on_a_page_and_every_sample_is_such_as_its_definition_takes() {
    let (definitions, mut seen, mut wrong) = (definitions(), Vec::new(), Vec::new());
    for path in crate::tree() {
        let blocks = crate::text(&path).map(|text| blocks(&path, &text)).unwrap_or_default();
        for block in blocks {
            let found = match resources(&block) {
                Ok(resources) => {
                    seen.extend(resources.iter().map(|_| path.clone()));
                    resources.iter().flat_map(|resource| faults(resource, &definitions)).collect()
                }
                Err(error) => vec![error.to_string()],
            };
            wrong.extend(found.into_iter().map(|fault| format!("{}: {fault}", path.display())));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    for page in ["README.md", "docs/zones.md", "docs/placed-fleets.md", "docs/samples/fleet.yaml"] {
        assert!(seen.iter().any(|path| path == Path::new(page)), "no resource is found in {page}: {seen:?}");
    }
}

#[test]
fn each_block_of_a_page_is_found_and_a_part_of_a_resource_is_none() {
    let page = "```yaml\na: 1\n```\ntext\n  ```yml\n  b: 2\n  ```\n```sh\nc: 3\n```\n";
    assert_eq!(fenced(page), ["a: 1\n", "  b: 2\n"]);
    for (block, is_taken) in [
        ("template: {spec: {capacity: 10}}", false),
        ("spec: {capacity: 10}", false),
        ("server: {replicas: 2}", true),
        ("apiVersion: v1\nspec: {}", true),
    ] {
        assert_eq!(resources(block).is_ok(), is_taken, "{block}");
    }
}

#[test]
fn what_a_definition_does_not_take_is_found() {
    let definitions = definitions();
    for (spec, expected) in [
        ("replicas: 3, template: {spec: {capacity: 10}}", &[][..]),
        ("replica: 3, template: {spec: {capacity: 10}}", &["spec.replica is not there"]),
        ("replicas: '3', template: {spec: {capacity: 10}}", &["spec.replicas is no integer"]),
        ("replicas: 10001, template: {spec: {capacity: 10}}", &["spec.replicas is out of its bounds"]),
        ("placement: {regions: [{weight: 2}]}", &["spec.placement.regions[].regionId is missing"]),
        (
            "placement: {mode: Nowhere}",
            &["spec.placement.mode is none of [String(\"ByWeight\"), String(\"FollowPlayers\")]"],
        ),
        (
            "template: {spec: {template: {spec: {containers: [{name: a, arg: [b], resources: {limits: {cpu: 1.5}}}]}}}}",
            &[
                "spec.template.spec.template.spec.containers[].arg is not there",
                "spec.template.spec.template.spec.containers[].resources.limits.cpu is no number or text",
            ],
        ),
    ] {
        let block = format!("{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, spec: {{{spec}}}}}");
        let resources = resources(&block).unwrap();
        assert_eq!(faults(&resources[0], &definitions), expected, "{spec}");
    }
    let scaler = "{apiVersion: cranewing.dev/v1alpha1, kind: AutoScaler, status: {}, spec: {fleet: a, max: 3, policies: []}}";
    let found = faults(&resources(scaler).unwrap()[0], &definitions);
    assert_eq!(found, ["status is not there", "spec.min is missing", "spec.policies is out of its bounds"]);
    for (head, expected) in [
        ("apiVersion: cranewing.dev/v1, kind: Fleet", 1),
        ("apiVersion: cranewing.dev/v1alpha1, kind: Fleets", 1),
        ("apiVersion: v1, kind: Fleet", 0),
    ] {
        let resources = resources(&format!("{{{head}, spec: {{template: {{spec: {{}}}}}}}}")).unwrap();
        let found: usize = resources.iter().map(|resource| faults(resource, &definitions).len()).sum();
        assert_eq!(found, expected, "{head}");
    }
}
