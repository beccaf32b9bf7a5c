//! The Fleet kind: a number of game servers of one kind.

#![expect(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a private item")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use crate::{GameServerSpec, Strategy};

/// A number of game servers of one kind.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "cranewing.dev",
    version = "v1alpha1",
    kind = "Fleet",
    namespaced,
    status = "FleetStatus",
    derive = "PartialEq",
    shortname = "cwf",
    category = "cranewing",
    doc = "A number of game servers of one kind, each with its own address.",
    scale(
        spec_replicas_path = ".spec.replicas",
        status_replicas_path = ".status.replicas",
        label_selector_path = ".status.selector"
    ),
    printcolumn(name = "Desired", type_ = "integer", json_path = ".spec.replicas"),
    printcolumn(name = "Current", type_ = "integer", json_path = ".status.replicas"),
    printcolumn(name = "Updated", type_ = "integer", json_path = ".status.updatedReplicas"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.readyReplicas"),
    printcolumn(name = "In-Use", type_ = "integer", json_path = ".status.inUseReplicas"),
    printcolumn(name = "Draining", type_ = "integer", json_path = ".status.drainingReplicas"),
    printcolumn(name = "Players", type_ = "integer", json_path = ".status.players"),
    printcolumn(name = "Tick-P99", type_ = "string", json_path = ".status.tickP99"),
    printcolumn(name = "Home", type_ = "string", json_path = ".spec.home"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].reason"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    validation = ("size(self.metadata.name) <= 40", "metadata.name: at most 40 characters, because the names of game servers add to it"),
    validation = ("!has(self.spec.placement) || size(self.metadata.name) <= 31", "metadata.name: at most 31 characters with placement, because the names of its shares add to it")
)]
#[x_kube(validation = ("has(self.home) == has(self.placement)", "home: one that has placement needs a home, and no other has one"))]
#[x_kube(validation = ("has(self.placement) == has(oldSelf.placement)", "placement: cannot be given or taken; make another Fleet"))]
pub struct FleetSpec {
    /// Game servers wanted, with placement in all regions together. 0 to 10000. Leave it out when an AutoScaler or a
    /// HorizontalPodAutoscaler sets it; a new Fleet without it has none. Required with placement, unless an AutoScaler is
    /// shared out with the Fleet: that one's bounds count instead.
    #[schemars(range(min = 0, max = 10_000))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replicas: Option<i32>,

    /// What each game server looks like. A change applies to servers made from then on; `strategy` says what becomes of the others.
    #[serde(default)]
    pub template: GameServerTemplate,

    /// What becomes of servers when the template has changed. Those in use are never touched: they end by themselves. Without one they
    /// all stay as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strategy: Option<Strategy>,

    /// Earlier templates that are kept, to go back to. 1 to 100; default 10. Those of which there are servers, and the last that was
    /// proven, are kept besides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub revision_history_limit: Option<i32>,

    /// Region whose cluster has the Fleet to itself, by regionId; the other regions have copies. Required with placement, and
    /// only with it. Immutable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    #[x_kube(validation = ("self == oldSelf", "home: immutable; make another Fleet"))]
    pub home: Option<String>,

    /// Shares the Fleet out over the regions: each gets a Fleet of its own, `<name>-<regionId>`. Whether a Fleet has it is
    /// immutable, what is in it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub placement: Option<Placement>,
}

/// How a Fleet is shared out over the regions.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.canary) || (has(self.rollout) && self.rollout == 'RegionByRegion')", "placement.canary: only with rollout RegionByRegion"))]
#[x_kube(validation = ("!has(self.canary) || !has(self.regions) || self.regions.exists(r, r.regionId == self.canary)", "placement.canary: must be one of placement.regions where these are listed"))]
pub struct Placement {
    /// What a region weighs: `ByWeight` as it says here; `FollowPlayers` as many of the Fleet's players as it has. Default
    /// `ByWeight`.
    #[serde(default)]
    pub mode: PlacementMode,
    /// Regions that take part. At most 64. Without any all registered regions do, alike; else one that is not here weighs 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(validation = ("self.all(r, self.exists_one(s, s.regionId == r.regionId))", "each regionId once"))]
    pub regions: Vec<PlacementRegion>,
    /// How a change of the template reaches the regions: `AllAtOnce`, or `RegionByRegion`: each takes it when those before it have
    /// and are Ready. Replicas and weights are never held back. Default `AllAtOnce`.
    #[serde(default)]
    pub rollout: PlacementRollout,
    /// Region that takes a change of the template first, by regionId; the others follow by their names. Only with
    /// `RegionByRegion`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    pub canary: Option<String>,
}

/// How a change of the template reaches the regions.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementRollout {
    /// Each region takes it as soon as it hears of it.
    #[default]
    AllAtOnce,
    /// One region after the other.
    RegionByRegion,
}

/// What the regions of a placed Fleet weigh.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum PlacementMode {
    /// As their entries say.
    #[default]
    ByWeight,
    /// As the Fleet's players are spread over those that weigh something, in steps of 5 %, at most once a minute.
    FollowPlayers,
}

/// A region's part in a placed Fleet.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlacementRegion {
    /// Which region.
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    pub region_id: String,
    /// Weight among the regions. 0 to 1000; default 1.
    #[serde(default = "default_weight")]
    #[schemars(range(min = 0, max = 1000))]
    pub weight: i32,
    /// Fewest game servers there. 0 to 1000; default 0.
    #[serde(default)]
    #[schemars(range(min = 0, max = 1000))]
    pub min: i32,
}

const fn default_weight() -> i32 {
    1
}

/// What each game server of a Fleet looks like.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct GameServerTemplate {
    /// Labels and annotations for the GameServers and their Pods.
    pub metadata: TemplateMetadata,
    /// Spec of the GameServers.
    pub spec: GameServerSpec,
}

/// Labels and annotations that a template hands on.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateMetadata {
    /// Labels; names under `cranewing.dev/` are the operator's.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = ("self.all(k, !k.startsWith('cranewing.dev/'))", "labels under cranewing.dev/ are set by the operator"))]
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// What the operator knows of a Fleet. Live figures are rounded and written at most each five seconds.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FleetStatus {
    /// Game servers that exist and are not being deleted.
    pub replicas: i32,
    /// Of these, how many take players.
    pub ready_replicas: i32,
    /// Of these, how many have players; they are never drained or deleted by scaling.
    pub in_use_replicas: i32,
    /// Of these, how many take no new players and end when empty.
    pub draining_replicas: i32,
    /// Of these, how many were made from the template as it is now. The others keep what they were made from. With placement, in the
    /// regions that have taken that template.
    pub updated_replicas: i32,
    /// Connected players.
    pub players: i64,
    /// Players that fit on Ready servers.
    pub capacity: i64,
    /// 99th percentile of tick work over the last minute, such as `1.5ms`; rounded up to the bucket of the histogram. Of a server
    /// with several zones in its worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tick_p99: Option<String>,
    /// Label selector of the Pods, for the scale subresource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Short hash of the template as it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// With placement: what each region has, as it is known here.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub regions: Vec<RegionShare>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, Reconciling, Stalled, without placement `RolledOut`; with placement also `BoundsConflict`, `UnknownRegions`, `NotHome` and `NameTaken`
    /// where they hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A region's share of a placed Fleet.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionShare {
    /// Which region.
    pub region_id: String,
    /// Game servers that the region asks for.
    pub share: i32,
    /// Game servers that take players.
    pub ready: i32,
    /// Players on them.
    pub players: i64,
    /// The region is Unreachable or Gone: what stands here is what it said last, and is in no sum.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub lost: bool,
}
