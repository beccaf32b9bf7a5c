//! Makes the types and both ends of the placement and allocation APIs from their proto files, without a `protoc`. The same types are
//! read from JSON and written to it. So is what Agones' clients say.

use tonic_prost_build::configure;

const PROTOS: [&str; 2] =
    ["cranewing/placement/v1/placement.proto", "cranewing/allocation/v1/allocation.proto"];
/// A misspelt field must not decide by its default.
const READ: &str =
    r#"#[derive(serde::Deserialize)] #[serde(rename_all = "camelCase", default, deny_unknown_fields)]"#;
const READ_WORD: &str = r#"#[derive(serde::Deserialize)] #[serde(rename_all = "camelCase")]"#;
const WRITTEN: &str = r#"#[derive(serde::Serialize)] #[serde(rename_all = "camelCase")]"#;

fn main() -> anyhow::Result<()> {
    println!("cargo::rerun-if-changed=proto");
    let mut builder = configure().build_transport(false).btree_map(".");
    for message in ["PlaceRequest", "Player", "AllocateRequest", "Metadata", "Selector", "Expression"] {
        builder = builder.message_attribute(message, READ);
    }
    for written in [
        "PlaceResponse",
        "Region",
        "Standing",
        "Reason",
        "AllocateResponse",
        "GameServer",
        "ConnectToken",
        "Port",
        "State",
    ] {
        builder = builder.type_attribute(written, WRITTEN);
    }
    for optional in [
        "PlaceResponse.region",
        "worst_latency_ms",
        "mean_latency_ms",
        "reason",
        "message",
        "game_server",
        "GameServer.address",
    ] {
        builder = builder.field_attribute(optional, r#"#[serde(skip_serializing_if = "Option::is_none")]"#);
    }
    for word in ["Standing", "Reason"] {
        let attribute = format!(r#"#[serde(serialize_with = "crate::runtime::http::word::<{word}, _, _>")]"#);
        builder = builder.field_attribute(format!("Region.{}", word.to_lowercase()), attribute);
    }
    builder = builder
        .type_attribute("Spread", READ_WORD)
        .type_attribute("Operator", READ_WORD)
        .field_attribute(
            "Expression.operator",
            r#"#[serde(deserialize_with = "super::read_word::<Operator, _>")]"#,
        )
        .field_attribute(
            "AllocateRequest.spread",
            r#"#[serde(deserialize_with = "super::read_word::<Spread, _>")]"#,
        )
        .field_attribute("ConnectToken.token", r#"#[serde(serialize_with = "super::base64")]"#)
        .field_attribute("AllocateResponse.tokens", r#"#[serde(skip_serializing_if = "Vec::is_empty")]"#)
        .field_attribute(
            "AllocateResponse.state",
            r#"#[serde(serialize_with = "crate::runtime::http::word::<State, _, _>")]"#,
        );
    builder.compile_fds(protox::compile(PROTOS, ["proto"])?)?;
    agones()
}

/// Words are read by their name or number, and a field that is null is as one that is not there: so do those who wrote these clients.
fn agones() -> anyhow::Result<()> {
    const REQUEST: [&str; 6] = [
        "AllocationRequest",
        "MultiClusterSetting",
        "LabelSelector",
        "MetaPatch",
        "GameServerSelector",
        "LabelMatchExpressions",
    ];
    const PLAIN: [&str; 16] = [
        "AllocationRequest.namespace",
        "preferredGameServerSelectors",
        "gameServerSelectors",
        "priorities",
        "AllocationRequest.counters",
        "AllocationRequest.lists",
        "GameServerSelector.counters",
        "GameServerSelector.lists",
        "MetaPatch.labels",
        "MetaPatch.annotations",
        "GameServerSelector.matchLabels",
        "LabelSelector.matchLabels",
        "matchExpressions",
        "LabelMatchExpressions.key",
        "LabelMatchExpressions.values",
        "MultiClusterSetting.enabled",
    ];
    const WORDS: [(&str, &str); 3] = [
        ("scheduling", "allocation_request::SchedulingStrategy"),
        ("gameServerState", "game_server_selector::GameServerState"),
        ("LabelMatchExpressions.operator", "label_match_expressions::Operator"),
    ];
    let mut builder = configure().build_transport(false).btree_map(".");
    for message in REQUEST {
        builder = builder.message_attribute(message, READ);
    }
    // whatever it holds, it is refused
    builder = builder.message_attribute("Unsupported", "#[derive(serde::Deserialize)]");
    for field in PLAIN {
        builder =
            builder.field_attribute(field, r#"#[serde(deserialize_with = "super::json::unless_null")]"#);
    }
    for (field, word) in WORDS {
        let attribute = format!(r#"#[serde(deserialize_with = "super::json::word::<{word}, _>")]"#);
        builder = builder.field_attribute(field, attribute);
    }
    for message in
        ["AllocationResponse", "GameServerStatusPort", "GameServerStatusAddress", "GameServerMetadata"]
    {
        builder = builder.message_attribute(message, WRITTEN);
    }
    Ok(builder.compile_fds(protox::compile(["agones/allocation.proto"], ["proto"])?)?)
}
