//! The CustomResourceDefinitions as they are installed, made from the types of this crate.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde_json::Value;

use crate::{AutoScaler, Fleet, GameServer, RegionCluster};

/// Largest file of a CustomResourceDefinition in bytes: `kubectl apply` keeps a copy in an annotation, whose limit is
/// 256 KiB for all annotations of an object.
pub const CRD_FILE_BYTES_MAX: usize = 200 * 1024;

/// All definitions, in the order in which people meet them.
pub fn all() -> Vec<CustomResourceDefinition> {
    vec![RegionCluster::crd(), Fleet::crd(), GameServer::crd(), AutoScaler::crd()]
}

/// Schema of a pod template without descriptions: with them the definition would not fit `kubectl apply`.
/// It stays structural, so that a misspelt field is refused.
pub(crate) fn pod_template_schema(generator: &mut SchemaGenerator) -> Schema {
    let mut schema = PodTemplateSpec::json_schema(generator);
    drop_descriptions(schema.ensure_object().values_mut());
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
