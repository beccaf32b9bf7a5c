//! The GameServerAllocation kind: asks for one game server, once, for people and programs that have kubectl and nothing else.

#![expect(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a private item")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::game_server::PortStatus;

/// Asks for one game server of this namespace, once. The server is somebody's own from then on: deleting this takes nothing back.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "cranewing.dev",
    version = "v1alpha1",
    kind = "GameServerAllocation",
    plural = "gameserverallocations",
    namespaced,
    status = "GameServerAllocationStatus",
    derive = "PartialEq",
    shortname = "cwgsa",
    category = "cranewing",
    doc = "Asks for one game server of this namespace, once.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Server", type_ = "string", json_path = ".status.gameServer.name"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.gameServer.address"),
    printcolumn(name = "Port", type_ = "integer", json_path = ".status.gameServer.ports[0].port"),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].reason"#
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = ("self == oldSelf", "spec: immutable; make another GameServerAllocation"))]
pub struct GameServerAllocationSpec {
    /// Labels that the GameServer has, such as `cranewing.dev/fleet: arena`. At most 16; any server fits without one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = (
        "self.all(name, size(name) >= 1 && size(name) <= 317 && size(self[name]) <= 63)",
        "matchLabels: no object can have such a label"
    ))]
    pub match_labels: BTreeMap<String, String>,
    /// Which of several that fit: `Packed`, the one on the node with most servers in use, or `Distributed`, with fewest. Default `Packed`.
    #[serde(default)]
    pub spread: AllocationSpread,
    /// Seconds in which a server may become free. 0 to 3600; default 60. Who waits is served in the order in which they came.
    #[serde(default = "default_wait_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub wait_seconds: i32,
    /// Seconds after the answer until this object is deleted. 0 to 604800; default 300. The server stays given.
    #[serde(default = "default_ttl_seconds_after_finished")]
    #[schemars(range(min = 0, max = 604_800))]
    pub ttl_seconds_after_finished: i32,
}

const fn default_wait_seconds() -> i32 {
    60
}

const fn default_ttl_seconds_after_finished() -> i32 {
    300
}

/// Which of several servers that fit is given.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllocationSpread {
    /// Nodes that are in use fill up first, so that others can be given back.
    #[default]
    Packed,
    /// Nodes share the load.
    Distributed,
}

/// What became of it.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GameServerAllocationStatus {
    /// `Waiting` for a server to become free; `Given`, `Ended`, `Lost` or `None` when it is answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<AllocationState>,
    /// The server that is given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub game_server: Option<AllocatedServer>,
    /// When it was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready when a server is given, Reconciling while one is waited for, Stalled when none is given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How far an allocation is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AllocationState {
    /// No server that fits is free yet.
    Waiting,
    /// A server holds it.
    Given,
    /// A server held it, and the session was over before this was written.
    Ended,
    /// A server held it and is gone, or has forgotten it. No second one is given.
    Lost,
    /// No server became free in time.
    None,
}

/// A server that is given.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AllocatedServer {
    /// Name of the GameServer in this namespace.
    pub name: String,
    /// Its uid: one that is made anew under the same name is another.
    pub uid: String,
    /// Address that players reach, of the node it runs on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Its ports there, the game's first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<PortStatus>,
}
