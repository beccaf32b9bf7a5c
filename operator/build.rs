//! Makes the types and both ends of the placement API from its proto file, without a `protoc`. The same types are read from
//! JSON and written to it.

use tonic_prost_build::configure;

const PROTO: &str = "cranewing/placement/v1/placement.proto";
/// A misspelt field must not decide by its default.
const READ: &str =
    r#"#[derive(serde::Deserialize)] #[serde(rename_all = "camelCase", default, deny_unknown_fields)]"#;
const WRITTEN: &str = r#"#[derive(serde::Serialize)] #[serde(rename_all = "camelCase")]"#;

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let mut builder = configure().build_transport(false).btree_map(".");
    for message in ["PlaceRequest", "Player"] {
        builder = builder.message_attribute(message, READ);
    }
    for written in ["PlaceResponse", "Region", "Standing", "Reason"] {
        builder = builder.type_attribute(written, WRITTEN);
    }
    for optional in ["PlaceResponse.region", "worst_latency_ms", "mean_latency_ms", "reason", "message"] {
        builder = builder.field_attribute(optional, r#"#[serde(skip_serializing_if = "Option::is_none")]"#);
    }
    for word in ["Standing", "Reason"] {
        let attribute = format!(r#"#[serde(serialize_with = "super::word::<{word}, _, _>")]"#);
        builder = builder.field_attribute(format!("Region.{}", word.to_lowercase()), attribute);
    }
    Ok(builder.compile_fds(protox::compile([PROTO], ["proto"])?)?)
}
