//! What a client of Agones is told of the server that it is given.

use k8s_openapi::api::core::v1::Node;
use operator_api::GameServer;
use std::collections::BTreeMap;

use super::proto::AllocationResponse;
use super::proto::allocation_response::{GameServerMetadata, GameServerStatusAddress, GameServerStatusPort};
use crate::allocation::words::ServerView;

/// Agones says so of a server of its own cluster.
const SOURCE: &str = "local";

/// `object` and `node` are as this replica sees them, and none if it does not yet.
pub(super) fn show(
    server: &ServerView,
    object: Option<&GameServer>,
    node: Option<&Node>,
) -> AllocationResponse {
    let port = |(name, port): &(String, i32)| GameServerStatusPort { name: name.clone(), port: *port };
    let status = object.and_then(|object| object.status.as_ref());
    let addresses = node.and_then(|node| node.status.as_ref()?.addresses.as_ref()).into_iter().flatten();
    let address = |address: &k8s_openapi::api::core::v1::NodeAddress| GameServerStatusAddress {
        r#type: address.type_.clone(),
        address: address.address.clone(),
    };
    let all = |of: &Option<BTreeMap<String, String>>| of.clone().unwrap_or_default();
    let metadata = match object.map(|object| &object.metadata) {
        Some(of) => GameServerMetadata { labels: all(&of.labels), annotations: all(&of.annotations) },
        None => GameServerMetadata { labels: server.labels.clone(), ..GameServerMetadata::default() },
    };
    AllocationResponse {
        game_server_name: server.name.clone(),
        ports: server.ports.iter().map(port).collect(),
        address: server.address.clone().unwrap_or_default(),
        node_name: status.and_then(|status| status.node_name.clone()).unwrap_or_default(),
        source: SOURCE.to_owned(),
        metadata: Some(metadata),
        addresses: addresses.map(address).collect(),
    }
}
