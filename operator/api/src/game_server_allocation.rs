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
    /// What is wanted besides, best first: the first for which a server is free decides. At most 4; any server will do without one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub selectors: Vec<ServerSelector>,
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

/// Fits a server that has these labels and for which each expression holds.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerSelector {
    /// Labels that the GameServer has. At most 16.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 16))]
    #[x_kube(validation = (
        "self.all(name, size(name) >= 1 && size(name) <= 317 && size(self[name]) <= 63)",
        "matchLabels: no object can have such a label"
    ))]
    pub match_labels: BTreeMap<String, String>,
    /// What else is to be true of its labels. At most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4))]
    pub match_expressions: Vec<LabelExpression>,
}

/// What is to be true of one label, by the rules of Kubernetes' own label selectors.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
    "values: some with In and NotIn, none with Exists and DoesNotExist"
))]
pub struct LabelExpression {
    /// The label's name. 1 to 317 characters.
    #[schemars(length(min = 1, max = 317))]
    pub key: String,
    /// `In` one of the values, `NotIn` them or not there, `Exists`, `DoesNotExist`.
    pub operator: LabelOperator,
    /// Values of `In` and `NotIn`, none of the others. At most 8, each of at most 63 characters.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), inner(length(max = 63)))]
    pub values: Vec<String>,
}

/// What is to be true of a label.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelOperator {
    /// It is there, and its value is one of the values.
    In,
    /// It is not there, or its value is none of the values.
    NotIn,
    /// It is there.
    Exists,
    /// It is not.
    DoesNotExist,
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
