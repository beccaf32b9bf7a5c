//! The RegionCluster kind: one Kubernetes cluster with its zones and bounds.

#![expect(unreachable_pub, reason = "the KubeSchema derive repeats each struct inside a private item")]

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A region: one Kubernetes cluster with its zones and bounds.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[kube(
    group = "cranewing.dev",
    version = "v1alpha1",
    kind = "RegionCluster",
    plural = "regionclusters",
    status = "RegionClusterStatus",
    derive = "PartialEq",
    shortname = "cwrc",
    category = "cranewing",
    doc = "A region: one Kubernetes cluster with its zones and bounds.",
    printcolumn(name = "Region", type_ = "string", json_path = ".spec.regionId"),
    printcolumn(name = "Display-Name", type_ = "string", json_path = ".spec.displayName", priority = 1),
    printcolumn(name = "Standing", type_ = "string", json_path = ".status.standing"),
    printcolumn(name = "Health", type_ = "string", json_path = ".status.health"),
    printcolumn(name = "Players", type_ = "integer", json_path = ".status.players"),
    printcolumn(name = "Servers", type_ = "integer", json_path = ".status.servers.total"),
    printcolumn(name = "Ready", type_ = "integer", json_path = ".status.servers.ready"),
    printcolumn(name = "Latency", type_ = "string", json_path = ".status.meanInputLatency"),
    printcolumn(name = "Round-Trip", type_ = "integer", json_path = ".status.roundTrips.link"),
    printcolumn(name = "Headroom", type_ = "integer", json_path = ".status.headroom", priority = 1),
    printcolumn(name = "Seen-By", type_ = "string", json_path = ".status.seenBy", priority = 1),
    printcolumn(name = "Failover", type_ = "string", json_path = ".spec.failover", priority = 1),
    printcolumn(
        name = "Drained",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Drained\")].status",
        priority = 1
    ),
    printcolumn(name = "Heartbeat", type_ = "date", json_path = ".status.lastHeartbeat", priority = 1),
    printcolumn(name = "Zones", type_ = "string", json_path = ".status.zonesCovered"),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.operatorVersion"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = ("self.minGameServers <= self.maxGameServers", "minGameServers must not be above maxGameServers"))]
#[x_kube(validation = ("!has(self.latencyToOtherRegions) || !(self.regionId in self.latencyToOtherRegions)", "latencyToOtherRegions: must not name the region itself"))]
pub struct RegionClusterSpec {
    /// Short name of the region, such as `kr`: 1 to 8 lower case letters and digits, beginning with a letter. Immutable.
    #[schemars(length(min = 1, max = 8), regex(pattern = r"^[a-z][a-z0-9]*$"))]
    #[x_kube(validation = ("self == oldSelf", "regionId: immutable"))]
    pub region_id: String,
    /// Name for people, such as `Seoul`. At most 64 characters.
    #[serde(default)]
    #[schemars(length(max = 64))]
    pub display_name: String,
    /// Availability zones, as nodes carry them in `topology.kubernetes.io/zone`. At least 3, at most 16, no repeats.
    #[schemars(length(min = 3, max = 16), inner(length(min = 1, max = 63)))]
    #[x_kube(validation = ("self.all(z, self.exists_one(y, y == z))", "zones must not repeat"))]
    pub zones: Vec<String>,
    /// Fewest game servers in the region, of all placed Fleets together if there are some. 0 to 100; default 3.
    #[serde(default = "default_min_game_servers")]
    #[schemars(range(min = 0, max = 100))]
    pub min_game_servers: i32,
    /// Most game servers in the region, of all placed Fleets together. 0 to 1000; default 100.
    #[serde(default = "default_max_game_servers")]
    #[schemars(range(min = 0, max = 1000))]
    pub max_game_servers: i32,
    /// Players that a game server of the region is reckoned to take. 1 to 10000; default 1000. Declared: nothing reckons with
    /// it yet.
    #[serde(default = "default_players_per_server")]
    #[schemars(range(min = 1, max = 10_000))]
    pub players_per_server: i32,
    /// Address range of the region's network, such as `10.10.0.0/16`. Must not overlap another
    /// region's, which nothing checks yet.
    #[schemars(length(max = 43))]
    #[x_kube(validation = ("isCIDR(self)", "vpcCidr: must be an address range in CIDR form, such as 10.10.0.0/16"))]
    pub vpc_cidr: String,
    /// Declared round trip to other regions by regionId, in milliseconds. 0 to 10000 each; at most 64 regions.
    /// An alert goes by it where the measured one is far above; nothing is decided by it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = ("self.all(r, self[r] >= 0 && self[r] <= 10000)", "latencyToOtherRegions: milliseconds from 0 to 10000"))]
    pub latency_to_other_regions: BTreeMap<String, i32>,
    /// What follows when the region is lost, that is Gone, or Degraded for 30 s: Automatic, Manual or Hold; default Automatic.
    /// The others go by what it last published.
    #[serde(default)]
    pub failover: Failover,
    /// Regions that this one says shall be left, by regionId: counts when a majority of the registered regions says so. At
    /// most 16, no repeats. `operator region drain` and `return` write it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), inner(length(min = 1, max = 8), regex(pattern = r"^[a-z][a-z0-9]*$")))]
    #[x_kube(validation = ("self.all(d, self.exists_one(e, e == d))", "drains must not repeat"))]
    pub drains: Vec<String>,
}

/// What the other regions do when this one is lost.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Failover {
    /// They share out what it had.
    #[default]
    Automatic,
    /// The same, but only once a majority of the registered regions says that it shall be left (`drains`).
    Manual,
    /// Nothing, whatever is ordered; and the region moves none of its own shares. For maintenance of its cluster by hand.
    Hold,
}

impl Failover {
    /// Name in columns and messages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Automatic => "Automatic",
            Self::Manual => "Manual",
            Self::Hold => "Hold",
        }
    }
}

const fn default_min_game_servers() -> i32 {
    3
}

const fn default_max_game_servers() -> i32 {
    100
}

const fn default_players_per_server() -> i32 {
    1000
}

/// What is known of a region: its own operator's figures, and on the copy in another region's cluster how that one reaches
/// it. Live figures are rounded and written at most each five seconds.
#[derive(JsonSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionClusterStatus {
    /// Of the region itself Member or Isolated; on the copy in another region Connected, Unreachable, Degraded, Isolated or
    /// Gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub standing: Option<RegionStanding>,
    /// On the region's own: the other registered regions. A majority is one of these and itself.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub peers: Vec<String>,
    /// On a copy: when the region was last heard. It is written along with other changes and when the link is lost, never by
    /// itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_heartbeat: Option<Time>,
    /// On a copy: regions that say that they read this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub seen_by: Vec<String>,
    /// On a copy: median round trips to the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trips: Option<RegionRoundTrips>,
    /// Healthy, Degraded or Unhealthy. None on the copy of a region that is Unreachable or Gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<RegionHealth>,
    /// Connected players.
    pub players: i64,
    /// Players that fit on Ready servers.
    pub capacity: i64,
    /// Players that still fit on them.
    pub headroom: i64,
    /// Game servers by state.
    pub servers: ServerCounts,
    /// Mean time from the arrival of an input to the state that acknowledges it, over the last minute, such as `8ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mean_input_latency: Option<String>,
    /// Zones with at least one ready node, such as `1/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zones_covered: Option<String>,
    /// Each declared zone and its ready nodes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub zones: Vec<ZoneStatus>,
    /// Version of the operator that leads the region.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator_version: Option<String>,
    /// Generation of the spec that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, ZonesCovered; Connected where another region is registered; Drained where somebody says that it shall be left;
    /// NotHome on another region's object.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// How a region stands among the registered ones.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionStanding {
    /// This region, and a majority of the registered regions reads it and is read by it.
    Member,
    /// It is read.
    Connected,
    /// It is not read from here, and no majority says more: nothing is placed there from here.
    Unreachable,
    /// A majority does not read it and some still reach it, or its API server is away: nothing new is placed there.
    Degraded,
    /// It does not see a majority: it keeps what it has and judges nobody.
    Isolated,
    /// A majority reaches neither its operators nor its responders.
    Gone,
}

impl RegionStanding {
    /// Each of them.
    pub const ALL: [Self; 6] =
        [Self::Member, Self::Connected, Self::Unreachable, Self::Degraded, Self::Isolated, Self::Gone];

    /// Name in columns, reasons and Events.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Member => "Member",
            Self::Connected => "Connected",
            Self::Unreachable => "Unreachable",
            Self::Degraded => "Degraded",
            Self::Isolated => "Isolated",
            Self::Gone => "Gone",
        }
    }
}

/// Median round trips in milliseconds. A figure stays until it is off by more than a fifth and more than 2.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RegionRoundTrips {
    /// Between the operators, over the last 31 questions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<i32>,
    /// To the nearest responder, over its last 31 answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub udp: Option<i32>,
}

/// How a region is.
#[derive(JsonSchema, Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RegionHealth {
    /// Every server that should take players does.
    Healthy,
    /// Some servers do not, or not at the pace they should.
    Degraded,
    /// Servers are wanted and none takes players.
    Unhealthy,
}

/// Game servers by state.
#[derive(JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerCounts {
    /// All that exist.
    pub total: i32,
    /// Without a report yet.
    pub starting: i32,
    /// Taking players.
    pub ready: i32,
    /// Silent or restarting.
    pub recovering: i32,
    /// Ending when empty.
    pub draining: i32,
    /// Given up.
    pub unhealthy: i32,
}

/// A zone and its nodes.
#[derive(JsonSchema, Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ZoneStatus {
    /// Name of the zone.
    pub name: String,
    /// Ready nodes in it.
    pub nodes: i32,
}
