//! What becomes of a Fleet's servers when its template has changed.

#![expect(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a private item")]

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What becomes of servers when the template has changed.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = ("!has(self.canary) || !has(self.type) || self.type == 'RollingUpdate'", "strategy.canary: only with type RollingUpdate"))]
#[x_kube(validation = ("!has(self.blueGreen) || (has(self.type) && self.type == 'BlueGreen')", "strategy.blueGreen: only with type BlueGreen"))]
#[x_kube(validation = ("!has(self.gates) || !has(self.type) || self.type != 'OnDelete'", "strategy.gates: not with type OnDelete, where nothing is rolled out"))]
pub struct Strategy {
    /// `RollingUpdate`: new servers come while old ones go. `BlueGreen`: as many new ones as are wanted come beside the old ones, which go
    /// together when those are Ready. `Recreate`: old ones go first. `OnDelete`: old ones stay. Default `RollingUpdate`.
    #[serde(rename = "type", default)]
    pub type_: StrategyType,
    /// How far a `RollingUpdate` goes at a time.
    #[serde(default)]
    pub rolling_update: RollingUpdate,
    /// No server gives way while this is true, and what is missing is made from the last template that was proven. Default false.
    #[serde(default)]
    pub paused: bool,
    /// Servers that go first; the others follow when these have proven themselves. Without one all go alike. Only with
    /// `RollingUpdate`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub canary: Option<Canary>,
    /// When all go over to the new servers. Only with `BlueGreen`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blue_green: Option<BlueGreen>,
    /// What servers of a new template must not do. Without it nothing they do keeps the others from following.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Gates>,
}

/// How a change of the template is carried out.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum StrategyType {
    /// New servers come while old ones go.
    #[default]
    RollingUpdate,
    /// As many new servers as are wanted come beside the old ones, which go together when those are Ready.
    BlueGreen,
    /// Old servers go, and new ones come in their places.
    Recreate,
    /// Old servers stay until they end by themselves or somebody deletes them.
    OnDelete,
}

/// How far a rolling update goes at a time.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = (
    "!((self.maxSurge == 0 || self.maxSurge == '0%') && (self.maxUnavailable == 0 || self.maxUnavailable == '0%'))",
    "maxSurge, maxUnavailable: one of them must let something move"
))]
pub struct RollingUpdate {
    /// How many more servers there may be than are wanted, old ones in use included. A number, or percent of those wanted, rounded up,
    /// such as `25%`; default `25%`.
    #[serde(default = "a_quarter")]
    #[x_kube(validation = ("type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')", "maxSurge: a number from 0, or 0% to 100%"))]
    pub max_surge: IntOrString,
    /// By how many the Ready servers and those in use may be fewer than are wanted, by what the update takes away. A number, or percent of those
    /// wanted, rounded down; default `25%`. Where both come to 0 it is 1.
    #[serde(default = "a_quarter")]
    #[x_kube(validation = ("type(self) == int ? self >= 0 : self.matches('^(100|[1-9]?[0-9])%$')", "maxUnavailable: a number from 0, or 0% to 100%"))]
    pub max_unavailable: IntOrString,
}

impl Default for RollingUpdate {
    fn default() -> Self {
        Self { max_surge: a_quarter(), max_unavailable: a_quarter() }
    }
}

fn a_quarter() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

/// Servers of a new template that go first.
#[derive(KubeSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// How many. A number from 1, or percent of those wanted, rounded up, such as `10%`; default 1.
    #[serde(default = "one_server")]
    #[x_kube(validation = ("type(self) == int ? self >= 1 : self.matches('^(100|[1-9][0-9]?)%$')", "servers: a number from 1, or 1% to 100%"))]
    pub servers: IntOrString,
    /// Seconds for which they are Ready together, without a break, before the others follow. 0 to 86400; default 60.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 0, max = 86_400))]
    pub seconds: i32,
}

const fn one_server() -> IntOrString {
    IntOrString::Int(1)
}

const fn a_minute() -> i32 {
    60
}

/// When old servers give way to the new ones that came beside them.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlueGreen {
    /// Seconds for which as many new servers as are wanted are Ready together, without a break, before old ones give way. 0 to 86400;
    /// default 60.
    #[serde(default = "a_minute")]
    #[schemars(range(min = 0, max = 86_400))]
    pub seconds: i32,
    /// What follows then. `Auto`: free old servers give way. `Manual`: they do when somebody says so, by `operator rollout promote`. Default
    /// `Auto`.
    #[serde(default)]
    pub promotion: Promotion,
}

impl Default for BlueGreen {
    fn default() -> Self {
        Self { seconds: a_minute(), promotion: Promotion::default() }
    }
}

/// Who says that old servers give way.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Promotion {
    /// They do when the new ones have been Ready for long enough.
    #[default]
    Auto,
    /// Somebody does.
    Manual,
}

/// What servers of a new template must not do, from the first of them until a minute after the last. A gate that is not given is open.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Gates {
    /// Seconds for which some of them may be there and not get Ready, from the last one that did. 10 to 86400; default 600.
    #[serde(default = "ten_minutes")]
    #[schemars(range(min = 10, max = 86_400))]
    pub progress_deadline_seconds: i32,
    /// Most milliseconds that the 99th percentile of their tick work may be, all together, over the last minute. 1 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub tick_p99_milliseconds: Option<i32>,
    /// Most crashes of them all: restarts of their containers, and servers given up. 0 to 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub crashes: Option<i32>,
    /// Most percent of their inputs that the rules reject, over the last minute, from 1000 inputs on. 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub rejects_percent: Option<i32>,
    /// Most percent of those who come that they refuse, for whatever reason, over the last minute, from 20 who come on. 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 100))]
    pub join_failures_percent: Option<i32>,
    /// What follows when one of these fails. `Rollback`: servers are made from the last proven template again, and those of the new one give
    /// way. `Stop`: nothing moves. Default `Rollback`. The spec stays as it is.
    #[serde(default)]
    pub on_failure: OnFailure,
}

impl Default for Gates {
    fn default() -> Self {
        Self {
            progress_deadline_seconds: ten_minutes(),
            tick_p99_milliseconds: None,
            crashes: None,
            rejects_percent: None,
            join_failures_percent: None,
            on_failure: OnFailure::default(),
        }
    }
}

const fn ten_minutes() -> i32 {
    600
}

/// What follows when a gate fails.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum OnFailure {
    /// Servers are made from the last proven template again.
    #[default]
    Rollback,
    /// Nothing moves.
    Stop,
}
