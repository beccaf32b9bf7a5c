//! Changes of what the regions keep of a placed Fleet, that are undone: whoever made one is told what was put back, and where to
//! change it instead.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::runtime::events::EventType;
use kube::{Resource as _, ResourceExt};
use operator_api::conditions::reasons;
use operator_api::{Fleet, FleetSpec};
use serde_json::Value;
use std::collections::BTreeSet;
use tracing::info;

use super::context::Context;
use super::wheel::cut;

/// Fields that are named; the rest is only counted.
const FIELDS_MAX: usize = 6;
/// How the field managers of this program begin.
const OURS: &str = "cranewing-";

/// Publishes it as an Event on the object as it was `found`, if that was somebody's change. `what` says what the object is.
pub(super) async fn tell(
    context: &Context,
    found: &Fleet,
    (wanted, now): (&FleetSpec, &FleetSpec),
    what: &str,
) {
    let Some(undone) = describe(&found.metadata, &found.spec, (wanted, now)) else { return };
    let note = cut(format!("put back {undone}: {what}"));
    info!(name = found.name_any(), note, "undid somebody's change");
    let object = found.object_ref(&());
    // No two changes are of one version.
    let changed = ObjectReference { resource_version: found.resource_version(), ..object.clone() };
    context.event_of_change(&object, changed, (EventType::Warning, reasons::EDIT_UNDONE, note)).await;
}

/// Which fields of the spec that was `found` were put back, and whose they were: `spec.replicas (changed by kubectl-edit)`. None if there
/// is none, or if nobody but this program has written into the spec: an older version of it may not have known a field.
fn describe(
    metadata: &ObjectMeta,
    found: &FleetSpec,
    (wanted, now): (&FleetSpec, &FleetSpec),
) -> Option<String> {
    let put_back: BTreeSet<String> = &differences(found, wanted) - &differences(now, wanted);
    let written_by = metadata
        .managed_fields
        .as_ref()?
        .iter()
        .filter(|entry| entry.fields_v1.as_ref().is_some_and(|fields| fields.0.get("f:spec").is_some()));
    let by: BTreeSet<&str> = written_by.filter_map(|entry| entry.manager.as_deref()).collect();
    let by: Vec<&str> = by.into_iter().filter(|manager| !manager.starts_with(OURS)).collect();
    if put_back.is_empty() || by.is_empty() {
        return None;
    }
    let named: Vec<&str> = put_back.iter().take(FIELDS_MAX).map(String::as_str).collect();
    let more = put_back.len() - named.len();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Some(format!("{}{more} (changed by {})", named.join(", "), by.join(", ")))
}

/// Paths of the fields in which two specs differ.
fn differences(one: &FleetSpec, other: &FleetSpec) -> BTreeSet<String> {
    let json = |spec| serde_json::to_value(spec).unwrap_or_default();
    let mut found = BTreeSet::new();
    compare("spec", &json(one), &json(other), &mut found);
    found
}

fn compare(path: &str, one: &Value, other: &Value, found: &mut BTreeSet<String>) {
    match (one, other) {
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            for (at, (one, other)) in ones.iter().zip(others).enumerate() {
                compare(&format!("{path}[{at}]"), one, other, found);
            }
        }
        (Value::Object(ones), Value::Object(others)) => {
            for name in ones.keys().chain(others.keys().filter(|name| !ones.contains_key(*name))) {
                compare(&format!("{path}.{name}"), &one[name], &other[name], found);
            }
        }
        _ if one == other => {}
        _ => drop(found.insert(path.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(replicas: i32, capacity: i32, images: &[&str]) -> FleetSpec {
        let containers: Value = images.iter().map(|image| json!({ "name": image, "image": image })).collect();
        serde_json::from_value(json!({
            "home": "jp", "replicas": replicas, "placement": {},
            "template": { "spec": { "capacity": capacity, "template": { "spec": { "containers": containers } } } },
        }))
        .unwrap()
    }

    fn written_by(managers: &[(&str, Value)]) -> ObjectMeta {
        let entry = |(manager, fields): &(&str, Value)| json!({ "manager": manager, "fieldsV1": fields });
        let entries: Vec<Value> = managers.iter().map(entry).collect();
        serde_json::from_value(json!({ "managedFields": entries })).unwrap()
    }

    #[test]
    fn what_is_told_is_what_somebody_else_changed_and_was_put_back() {
        let in_spec = || json!({ "f:spec": { "f:replicas": {} } });
        let ours = ("cranewing-copies", in_spec());
        let edited = written_by(&[ours.clone(), ("kubectl-edit", in_spec())]);
        let labelled = written_by(&[ours.clone(), ("kubectl-label", json!({ "f:metadata": {} }))]);
        let two = written_by(&[ours.clone(), ("kubectl", in_spec()), ("argocd", in_spec())]);
        let (base, unknown) = (spec(6, 10, &["a"]), ObjectMeta::default());
        let list = "spec.template.spec.template.spec.containers";
        let [in_list, of_list] = ["[0].image, LIST[0].name", ""]
            .map(|rest| format!("LIST{rest} (changed by kubectl-edit)").replace("LIST", list));
        let replicas = "spec.replicas (changed by kubectl-edit)";
        let both = "spec.replicas, spec.template.spec.capacity (changed by argocd, kubectl)";
        for (case, metadata, (count, capacity, images), stays, expected) in [
            ("one field", &edited, (9, 10, &["a"][..]), false, Some(replicas)),
            ("by two", &two, (9, 11, &["a"]), false, Some(both)),
            ("in a list", &edited, (6, 10, &["b"]), false, Some(&in_list)),
            ("of a list", &edited, (6, 10, &["a", "b"]), false, Some(&of_list)),
            ("nothing", &edited, (6, 10, &["a"]), false, None),
            ("what stays", &edited, (9, 10, &["a"]), true, None),
            ("nobody else wrote it", &labelled, (9, 10, &["a"]), false, None),
            ("it is not known who wrote it", &unknown, (9, 10, &["a"]), false, None),
        ] {
            let found = spec(count, capacity, images);
            let now = if stays { &found } else { &base };
            assert_eq!(describe(metadata, &found, (&base, now)).as_deref(), expected, "{case}");
        }
        let labels = |value: &str| {
            let mut spec = base.clone();
            spec.template.metadata.labels = (0..9).map(|at| (format!("l{at}"), value.to_owned())).collect();
            spec
        };
        let told = describe(&edited, &labels("x"), (&labels("y"), &labels("y"))).unwrap();
        assert!(told.contains("spec.template.metadata.labels.l5 and 3 more (changed by"), "{told}");
    }
}
