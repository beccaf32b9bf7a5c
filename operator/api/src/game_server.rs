//! The GameServer kind: one dedicated server, one pod.

#![expect(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a private item")]

use k8s_openapi::api::core::v1::PodTemplateSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crds::pod_template_schema;

/// A dedicated game server: one pod on one node, reached by players at `status.address` and `status.ports`.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "cranewing.dev",
    version = "v1alpha1",
    kind = "GameServer",
    namespaced,
    status = "GameServerStatus",
    derive = "PartialEq",
    shortname = "cwgs",
    category = "cranewing",
    doc = "A dedicated game server: one pod on one node, reached by players at status.address and status.ports.",
    printcolumn(name = "State", type_ = "string", json_path = ".status.state"),
    printcolumn(name = "Players", type_ = "integer", json_path = ".status.players"),
    printcolumn(name = "Capacity", type_ = "integer", json_path = ".spec.capacity"),
    printcolumn(name = "Address", type_ = "string", json_path = ".status.address"),
    printcolumn(name = "Port", type_ = "integer", json_path = ".status.ports[0].port"),
    printcolumn(name = "Node", type_ = "string", json_path = ".status.nodeName", priority = 1),
    printcolumn(name = "Backend", type_ = "string", json_path = ".status.backend"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.serverVersion"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("size(self.metadata.name) <= 63", "metadata.name: at most 63 characters, because a pod and a label value carry it"),
    validation = ("self.spec == oldSelf.spec", "spec: immutable; delete the GameServer, or change the Fleet's template")
)]
pub struct GameServerSpec {
    /// Players that the server takes at most. 1 to 10000; default 1000.
    #[serde(default = "default_capacity")]
    #[schemars(range(min = 1, max = 10_000))]
    pub capacity: i32,

    /// Ports that players reach; each gets a host port from the operator's range. 1 to 8; default one UDP port named
    /// `game` at container port 7777.
    #[serde(default = "default_ports")]
    #[schemars(length(min = 1, max = 8))]
    #[x_kube(validation = ("self.all(p, self.exists_one(q, q.name == p.name))", "port names must be unique"))]
    pub ports: Vec<GameServerPort>,

    /// When a silent server counts as unhealthy.
    #[serde(default)]
    pub health: HealthSpec,

    /// How the server ends.
    #[serde(default)]
    pub drain: DrainSpec,

    /// Pod to run. Without one, or where it says nothing, the operator fills in: the container named `gameserver`
    /// (or the only one) gets the operator's game server image, a hardened security context and resources of 100m
    /// and 64Mi. The operator adds ports, environment, report volumes, and the user id (100000 + host port).
    #[schemars(schema_with = "pod_template_schema")]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<PodTemplateSpec>,
}

impl Default for GameServerSpec {
    fn default() -> Self {
        Self {
            capacity: default_capacity(),
            ports: default_ports(),
            health: HealthSpec::default(),
            drain: DrainSpec::default(),
            template: None,
        }
    }
}

const fn default_capacity() -> i32 {
    1000
}

fn default_ports() -> Vec<GameServerPort> {
    vec![GameServerPort::default()]
}

/// A port that players reach.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GameServerPort {
    /// Name, unique within the server: lower case letters, digits and dashes, at most 15. Default `game`.
    #[schemars(length(min = 1, max = 15), regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub name: String,
    /// Port that the process binds in its container. 1 to 65535; default 7777.
    #[schemars(range(min = 1, max = 65535))]
    pub container_port: i32,
    /// Protocol, UDP or TCP; default UDP.
    pub protocol: PortProtocol,
}

impl Default for GameServerPort {
    fn default() -> Self {
        Self { name: "game".to_owned(), container_port: 7777, protocol: PortProtocol::Udp }
    }
}

/// Protocol of a port.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PortProtocol {
    /// User datagrams.
    #[default]
    #[serde(rename = "UDP")]
    Udp,
    /// Streams.
    #[serde(rename = "TCP")]
    Tcp,
}

impl PortProtocol {
    /// Name as Kubernetes spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}

/// When a silent server counts as unhealthy.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthSpec {
    /// Seconds that a new pod may take until its first report. 5 to 3600; default 60.
    #[schemars(range(min = 5, max = 3600))]
    pub startup_seconds: i32,
    /// Seconds without a report after which the server is Recovering, and not offered to players. 2 to 300; default 5.
    #[schemars(range(min = 2, max = 300))]
    pub silence_seconds: i32,
    /// Seconds that a Recovering server (silent, or its container restarting in place) gets before it is Unhealthy and
    /// replaced. 5 to 3600; default 30.
    #[schemars(range(min = 5, max = 3600))]
    pub recovery_seconds: i32,
}

impl Default for HealthSpec {
    fn default() -> Self {
        Self { startup_seconds: 60, silence_seconds: 5, recovery_seconds: 30 }
    }
}

/// How a server ends.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DrainSpec {
    /// Seconds that a server whose pod is deleted keeps its players before it is stopped (the pod's termination grace
    /// period). 1 to 86400; default 300.
    #[schemars(range(min = 1, max = 86_400))]
    pub deadline_seconds: i64,
}

impl Default for DrainSpec {
    fn default() -> Self {
        Self { deadline_seconds: 300 }
    }
}

/// What the operator knows of a game server. Live figures are rounded and written at most each five seconds.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GameServerStatus {
    /// Where the server stands. The API server says Starting until the operator has something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<GameServerState>,
    /// Address of the node by which players reach the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Ports on that address.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub ports: Vec<PortStatus>,
    /// Node that the pod runs on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<String>,
    /// Connected players.
    pub players: i32,
    /// How the server moves datagrams: uring, tokio-uring or mmsg.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Version that the server reports, cut to its first 64 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub server_version: Option<String>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, Recovering.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

impl GameServerStatus {
    /// The operator wrote it. What the API server fills in by itself has no conditions.
    pub const fn was_published(&self) -> bool {
        !self.conditions.is_empty()
    }
}

/// A port as players reach it.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PortStatus {
    /// Name in `spec.ports`.
    pub name: String,
    /// Port on the node.
    pub port: i32,
}

/// Where a game server stands. Only `Ready` takes new players.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum GameServerState {
    /// No pod yet, or the pod has no node, or its container has not reported.
    Starting,
    /// Takes players.
    Ready,
    /// Was Ready and is silent, or its container restarts in place; not offered to players.
    Recovering,
    /// Takes no new players and ends when empty.
    Draining,
    /// Given up: it will be deleted and replaced.
    Unhealthy,
}

impl GameServerState {
    /// Every state, in the order of a server's life.
    pub const ALL: [Self; 5] =
        [Self::Starting, Self::Ready, Self::Recovering, Self::Draining, Self::Unhealthy];

    /// Name in columns, labels and events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "Starting",
            Self::Ready => "Ready",
            Self::Recovering => "Recovering",
            Self::Draining => "Draining",
            Self::Unhealthy => "Unhealthy",
        }
    }
}
