//! The CustomResourceDefinitions as they are installed, made from the types of this crate.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{CustomResourceDefinition, JSON};
use kube::{CustomResourceExt, Resource};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::{Value, json};

use crate::{AutoScaler, Fleet, GameServer, GameServerAllocation, GameServerState, RegionCluster};

/// Largest file of a CustomResourceDefinition in bytes: `kubectl apply` keeps a copy in an annotation, whose limit is
/// 256 KiB for all annotations of an object.
pub const CRD_FILE_BYTES_MAX: usize = 200 * 1024;

/// All definitions, in the order in which people meet them.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut all = vec![
        RegionCluster::crd(),
        Fleet::crd(),
        GameServer::crd(),
        AutoScaler::crd(),
        GameServerAllocation::crd(),
    ];
    all.iter_mut().for_each(begin_unobserved);
    all
}

/// Gives every object a status of no generation from its first moment on: kstatus takes an object that says nothing for
/// one that is as it should be. A game server is Starting then, so that nobody has to write that. Neither costs a write,
/// and nothing else in the status has a default.
fn begin_unobserved(crd: &mut CustomResourceDefinition) {
    let begins = unobserved(&crd.spec.names.kind);
    let schemas = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    for root in schemas.filter_map(|schema| schema.open_api_v3_schema.as_mut()) {
        if let Some(status) = root.properties.as_mut().and_then(|fields| fields.get_mut("status")) {
            status.default = Some(JSON(begins.clone()));
        }
    }
}

/// Status of an object of this kind that nobody has seen yet, as the API server fills it in.
pub fn unobserved(kind: &str) -> Value {
    if kind == GameServer::kind(&()) {
        json!({ "observedGeneration": -1, "state": GameServerState::Starting })
    } else {
        json!({ "observedGeneration": -1 })
    }
}

/// Schema of a pod template without descriptions: with them the definition would not fit `kubectl apply`.
/// It stays structural, so that a misspelt field is refused. Ephemeral containers cannot be in a template and go too.
pub(crate) fn pod_template_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = PodTemplateSpec::json_schema(generator);
    drop_descriptions(schema.ensure_object().values_mut());
    let spec = schema.pointer_mut("/properties/spec/properties").and_then(Value::as_object_mut);
    if let Some(properties) = spec {
        properties.remove("ephemeralContainers");
    }
    schema
}

fn drop_descriptions<'a>(values: impl Iterator<Item = &'a mut Value>) {
    for value in values {
        match value {
            Value::Object(object) => {
                if object.get("description").is_some_and(Value::is_string) {
                    object.remove("description");
                }
                drop_descriptions(object.values_mut());
            }
            Value::Array(items) => drop_descriptions(items.iter_mut()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GameServerStatus;

    #[test]
    fn every_definition_fits_kubectl_apply() {
        for crd in all() {
            let name = crd.metadata.name.clone().unwrap();
            let bytes = serde_json::to_vec(&crd).unwrap().len();
            assert!(bytes < CRD_FILE_BYTES_MAX, "{name}: {bytes} bytes");
        }
    }

    #[test]
    fn an_object_that_nobody_has_seen_says_so() {
        for crd in all() {
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
            let status = &schema["openAPIV3Schema"]["properties"]["status"];
            assert_eq!(status["default"]["observedGeneration"], -1, "{:?}", crd.metadata.name);
        }
    }

    #[test]
    fn a_game_server_is_starting_before_anybody_writes_so() {
        let status: GameServerStatus = serde_json::from_value(unobserved("GameServer")).unwrap();
        assert_eq!(status.state, Some(GameServerState::Starting));
        assert!(!status.was_published());
    }

    #[test]
    fn every_field_of_ours_is_described() {
        for crd in all() {
            let name = crd.metadata.name.clone().unwrap();
            let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
            let root = &schema["openAPIV3Schema"]["properties"];
            for part in ["spec", "status"] {
                assert_described(&format!("{name} {part}"), &root[part]);
            }
        }
    }

    fn assert_described(path: &str, schema: &Value) {
        for (field, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{field}");
            assert!(property["description"].is_string(), "{path} has no description");
            // The pod template is Kubernetes' own; its descriptions would not fit.
            let inner = if property["items"].is_object() { &property["items"] } else { property };
            let embeds_a_pod = path.contains("gameservers") || path.matches("template").count() >= 2;
            if field != "conditions" && (field != "template" || !embeds_a_pod) {
                assert_described(&path, inner);
            }
        }
    }
}
