//! Resource types of the API group `cranewing.dev/v1alpha1`, with every name that more than one place spells.
//!
//! What the API server can check by itself is said here, as OpenAPI bounds and CEL rules, so that a bad object is
//! refused with the field's path and what is allowed. What crosses objects becomes a condition instead.

#![expect(
    clippy::duplicated_attributes,
    reason = "kube's derive repeats printcolumn with the same json types"
)]

pub mod auto_scaler;
pub mod conditions;
pub mod crds;
pub mod fleet;
pub mod game_server;
pub mod game_server_allocation;
pub mod labels;
pub mod region_cluster;
pub mod strategy;

pub use auto_scaler::{
    AutoScaler, AutoScalerSpec, AutoScalerStatus, PolicyStatus, ScalingMetric, ScalingPolicy,
};
pub use fleet::{
    Fleet, FleetSpec, FleetStatus, GameServerTemplate, Placement, PlacementMode, PlacementRegion,
    PlacementRollout, RegionShare, TemplateMetadata,
};
pub use game_server::{
    DrainSpec, GameServer, GameServerPort, GameServerSpec, GameServerState, GameServerStatus, HealthSpec,
    PortProtocol, PortStatus,
};
pub use game_server_allocation::{
    AllocatedServer, AllocationSpread, AllocationState, GameServerAllocation, GameServerAllocationSpec,
    GameServerAllocationStatus, LabelExpression, LabelOperator, ServerSelector,
};
pub use region_cluster::{
    Failover, RegionCluster, RegionClusterSpec, RegionClusterStatus, RegionHealth, RegionRoundTrips,
    RegionStanding, ServerCounts, ZoneStatus,
};
pub use strategy::{BlueGreen, Canary, Gates, OnFailure, Promotion, RollingUpdate, Strategy, StrategyType};

/// API group of all kinds.
pub const GROUP: &str = "cranewing.dev";
/// API version of all kinds.
pub const VERSION: &str = "v1alpha1";

/// Longest name of a Fleet or AutoScaler: a GameServer's name adds a dash and a number to it and is a pod's name
/// and a label value too.
pub const NAME_LENGTH_MAX: usize = 40;
