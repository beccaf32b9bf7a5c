//! `docs/crds.md`: every field of our kinds for people, from the same schemas that the API server checks with.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde_yaml::Value;

/// Fields whose schema is Kubernetes' own: a link says more than their hundreds of rows.
const KUBERNETES_TYPES: [(&str, &str); 2] = [
    (
        "containers",
        "[PodTemplateSpec](https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/)",
    ),
    ("lastTransitionTime", "[]Condition"),
];

/// The page for these CRDs.
pub(super) fn page(documents: &[&str]) -> Result<String> {
    let mut text = "# Resources\n\nWritten by `cargo xtask crds` from the types in `operator/api`. `kubectl get cranewing` lists all kinds; \
                    `kubectl explain fleet.spec` shows the same in a terminal.\n"
        .to_owned();
    for document in documents {
        let crd: Value = serde_yaml::from_str(document).context("a CRD is no YAML")?;
        kind(&mut text, &crd).context("a CRD lacks a part that all CRDs have")?;
    }
    Ok(text)
}

fn kind(text: &mut String, crd: &Value) -> Option<()> {
    let spec = &crd["spec"];
    let version = spec["versions"].get(0)?;
    let schema = &version["schema"]["openAPIV3Schema"];
    let names = &spec["names"];
    writeln!(text, "\n## {}\n\n{}\n", names["kind"].as_str()?, prose(schema)).ok()?;
    let short: Vec<&str> = names["shortNames"].as_sequence()?.iter().filter_map(Value::as_str).collect();
    writeln!(
        text,
        "`{}/{}`, {}, short name {}. Columns: {}.",
        spec["group"].as_str()?,
        version["name"].as_str()?,
        spec["scope"].as_str()?.to_lowercase(),
        short.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
        columns(version).join(", ")
    )
    .ok()?;
    for part in ["spec", "status"] {
        let part_schema = &schema["properties"][part];
        writeln!(text, "\n| {part} | type | default | allowed | meaning |\n|---|---|---|---|---|").ok()?;
        rows(text, "", part_schema);
        let rules = rules(part_schema);
        if !rules.is_empty() {
            writeln!(text, "\nRefused, with these words:\n").ok()?;
            for rule in rules {
                writeln!(text, "- {rule}").ok()?;
            }
        }
    }
    Some(())
}

fn columns(version: &Value) -> Vec<String> {
    let columns = version["additionalPrinterColumns"].as_sequence();
    columns.into_iter().flatten().filter_map(|column| Some(column["name"].as_str()?.to_owned())).collect()
}

/// A row for each field, the fields of an object under it.
fn rows(text: &mut String, path: &str, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_sequence().into_iter().flatten().filter_map(Value::as_str).collect();
    for (name, field) in schema["properties"].as_mapping().into_iter().flatten() {
        let Some(name) = name.as_str() else { continue };
        let path = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
        let own = kubernetes_type(field);
        let default = match (&field["default"], required.contains(&name)) {
            (Value::Null, true) => "required".to_owned(),
            (Value::Null, false) => String::new(),
            (value, _) => code(value),
        };
        let type_ = own.map_or_else(|| type_name(field), str::to_owned);
        let _infallible =
            writeln!(text, "| `{path}` | {type_} | {default} | {} | {} |", allowed(field), prose(field));
        if own.is_some() {
            continue;
        }
        rows(text, &path, field);
        rows(text, &format!("{path}[]"), &field["items"]);
        rows(text, &format!("{path}.*"), &field["additionalProperties"]);
    }
}

/// What to call a schema that is Kubernetes' own.
fn kubernetes_type(field: &Value) -> Option<&'static str> {
    let has = |schema: &Value, name: &str| !schema["properties"][name].is_null();
    KUBERNETES_TYPES
        .iter()
        .find(|(mark, _)| has(&field["items"], mark) || has(&field["properties"]["spec"], mark))
        .map(|(_, name)| *name)
}

fn type_name(field: &Value) -> String {
    match field["type"].as_str() {
        Some("array") => format!("[]{}", type_name(&field["items"])),
        Some("object") if !field["additionalProperties"].is_null() => {
            format!("map of {}", type_name(&field["additionalProperties"]))
        }
        Some("string") if field["format"] == "date-time" => "time".to_owned(),
        Some(name) => name.to_owned(),
        None if field["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        None => "any".to_owned(),
    }
}

fn allowed(field: &Value) -> String {
    let mut parts: Vec<String> = Vec::new();
    if let Some(values) = field["enum"].as_sequence() {
        parts.push(values.iter().filter(|value| !value.is_null()).map(code).collect::<Vec<_>>().join(", "));
    }
    for (least, most, unit) in [
        ("minimum", "maximum", ""),
        ("minLength", "maxLength", " characters"),
        ("minItems", "maxItems", " items"),
    ] {
        let bound = |name: &str| field[name].as_f64().map(|bound| bound.to_string());
        match (bound(least), bound(most)) {
            (Some(least), Some(most)) => parts.push(format!("{least} to {most}{unit}")),
            (Some(least), None) => parts.push(format!("at least {least}{unit}")),
            (None, Some(most)) => parts.push(format!("at most {most}{unit}")),
            (None, None) => {}
        }
    }
    parts.join("; ")
}

/// Messages of the validation rules of a schema and all below it that are ours.
fn rules(schema: &Value) -> Vec<String> {
    let own = schema["x-kubernetes-validations"].as_sequence().into_iter().flatten();
    let mut found: Vec<String> = own.filter_map(|rule| Some(line(rule["message"].as_str()?))).collect();
    for (_, field) in schema["properties"].as_mapping().into_iter().flatten() {
        if kubernetes_type(field).is_none() {
            found.extend(rules(field));
            found.extend(rules(&field["items"]));
        }
    }
    found
}

fn code(value: &Value) -> String {
    match value.as_str() {
        Some("") => "empty".to_owned(),
        Some(text) => format!("`{text}`"),
        None => format!("`{}`", serde_json::to_string(value).unwrap_or_default()),
    }
}

/// A description in one cell of a table.
fn prose(schema: &Value) -> String {
    line(schema["description"].as_str().unwrap_or_default())
}

fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRD: &str = "
spec:
  group: example.dev
  names: {kind: Thing, shortNames: [th]}
  scope: Namespaced
  versions:
  - name: v1
    additionalPrinterColumns: [{name: Size}]
    schema:
      openAPIV3Schema:
        description: A thing.
        properties:
          spec:
            required: [size]
            properties:
              size: {type: integer, minimum: 1.0, maximum: 9.0, description: 'How big,\n  in metres.'}
              parts: {type: array, maxItems: 8, items: {type: object, properties: {colour: {type: string, enum: [red, blue], default: red}}}}
              template: {type: object, properties: {spec: {properties: {containers: {type: array}}}}}
            x-kubernetes-validations: [{rule: 'true', message: 'size: too big'}]
          status: {properties: {conditions: {type: array, items: {properties: {lastTransitionTime: {}}}}}}
";

    #[test]
    fn every_field_has_a_row_with_unit_range_and_default() {
        let page = page(&[CRD]).unwrap();
        for row in [
            "`example.dev/v1`, namespaced, short name `th`. Columns: Size.",
            "| `size` | integer | required | 1 to 9 | How big, in metres. |",
            "| `parts` | []object |  | at most 8 items |  |",
            "| `parts[].colour` | string | `red` | `red`, `blue` |  |",
            "- size: too big",
        ] {
            assert!(page.contains(row), "{row}\n{page}");
        }
    }

    #[test]
    fn a_schema_of_kubernetes_is_named_and_not_spelled_out() {
        let page = page(&[CRD]).unwrap();
        assert!(
            page.contains("| `template` | [PodTemplateSpec](") && !page.contains("containers`"),
            "{page}"
        );
        assert!(page.contains("| `conditions` | []Condition |"), "{page}");
    }

    #[test]
    fn what_is_no_crd_is_an_error() {
        assert!(page(&["a: 1"]).is_err());
    }
}
