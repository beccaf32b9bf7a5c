//! The AutoScaler kind: sets a Fleet's replicas from what its game servers report.

#![expect(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a private item")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Sets a Fleet's replicas from what its game servers report.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "cranewing.dev",
    version = "v1alpha1",
    kind = "AutoScaler",
    namespaced,
    status = "AutoScalerStatus",
    derive = "PartialEq",
    shortname = "cwas",
    category = "cranewing",
    doc = "Sets a Fleet's replicas from what its game servers report.",
    printcolumn(name = "Fleet", type_ = "string", json_path = ".spec.fleet"),
    printcolumn(name = "Min", type_ = "integer", json_path = ".spec.min"),
    printcolumn(name = "Max", type_ = "integer", json_path = ".spec.max"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.currentReplicas"),
    printcolumn(name = "Wish", type_ = "integer", json_path = ".status.desiredReplicas"),
    printcolumn(name = "Last-Scale", type_ = "date", json_path = ".status.lastScaleTime"),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("size(self.metadata.name) <= 40", "metadata.name: at most 40 characters"),
)]
#[x_kube(validation = ("self.min <= self.max", "min must not be above max"))]
pub struct AutoScalerSpec {
    /// Name of the Fleet in the same namespace. Immutable.
    #[schemars(length(min = 1, max = 40))]
    #[x_kube(validation = ("self == oldSelf", "fleet: immutable; make another AutoScaler"))]
    pub fleet: String,
    /// Fewest game servers. 0 to 10000; at most `max`. With 0 the last server may go; a Fleet without servers has no
    /// figures, so somebody else must ask for the next one, such as `kubectl scale`. Of a Fleet with `placement`: in all regions
    /// together.
    #[schemars(range(min = 0, max = 10_000))]
    pub min: i32,
    /// Most game servers. 0 to 10000. Of a Fleet with `placement`: in all regions together.
    #[schemars(range(min = 0, max = 10_000))]
    pub max: i32,
    /// What to look at. 1 to 8; the policy that wishes most servers wins.
    #[schemars(length(min = 1, max = 8))]
    pub policies: Vec<ScalingPolicy>,
}

/// One reason to have more or fewer servers.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("self.upThreshold > self.downThreshold", "upThreshold must be above downThreshold"))]
pub struct ScalingPolicy {
    /// What is measured: `player_count` (mean players a server), `cpu_usage` (mean CPU of the servers, percent of
    /// the request) or `queue_depth` (95th percentile of commands waiting in a tick, over the last ten seconds; of a server
    /// with several zones in its worst).
    pub metric: ScalingMetric,
    /// Above this value servers are added. At least 1.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub up_threshold: i64,
    /// Below this value servers are taken away. At least 0; below `upThreshold`.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub down_threshold: i64,
    /// Seconds after a change of the Fleet's replicas by this AutoScaler in which this policy does not change it again.
    /// 0 to 3600; default 60.
    #[serde(default = "default_cooldown_seconds")]
    #[schemars(range(min = 0, max = 3600))]
    pub cooldown_seconds: i32,
    /// Servers added at once. 1 to 100; default 1.
    #[serde(default = "default_step")]
    #[schemars(range(min = 1, max = 100))]
    pub step_up: i32,
    /// Servers taken away at once. 1 to 100; default 1. Servers in use are never taken.
    #[serde(default = "default_step")]
    #[schemars(range(min = 1, max = 100))]
    pub step_down: i32,
}

const fn default_cooldown_seconds() -> i32 {
    60
}

const fn default_step() -> i32 {
    1
}

/// What a policy measures.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalingMetric {
    /// Mean players a server that exists and is not draining.
    PlayerCount,
    /// Mean CPU of the servers, percent of the request.
    CpuUsage,
    /// 95th percentile of commands waiting in a tick, over the last ten seconds; of a server with several zones in its worst.
    QueueDepth,
}

impl ScalingMetric {
    /// Name as the spec spells it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PlayerCount => "player_count",
            Self::CpuUsage => "cpu_usage",
            Self::QueueDepth => "queue_depth",
        }
    }
}

/// What an AutoScaler saw and decided.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoScalerStatus {
    /// Replicas that the Fleet asks for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_replicas: Option<i32>,
    /// Replicas that the AutoScaler wishes, within `min` and `max`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<i32>,
    /// When replicas were last changed by this AutoScaler.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_scale_time: Option<Time>,
    /// Why it scaled or holds, such as `Steady` or `CoolingDown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Each policy's value and wish, in the order of the spec.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    pub policies: Vec<PolicyStatus>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, AbleToScale, ScalingLimited, Conflict, Stalled.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// What one policy saw and wishes.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// What is measured.
    pub metric: ScalingMetric,
    /// Value seen, rounded; absent when the figure is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// Replicas that this policy wishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wish: Option<i32>,
    /// Why.
    pub reason: String,
}
