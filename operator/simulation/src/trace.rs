//! What is kept of a run.

use std::collections::{BTreeMap, BTreeSet};

use super::coverage::Mixture;

/// What happens to regions, each lasting for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shock {
    /// Nothing gets through between some regions and the others.
    Cut,
    /// The same, and who plays there loses the servers there too.
    Lost,
    /// No digests get through, UDP does.
    Digests,
    /// Nothing gets through in one direction.
    OneWay,
    /// Single links fail.
    Links,
    /// Cut and healed again and again.
    Flap,
    /// API servers are away.
    ApiServer,
    /// Processes start anew.
    Restart,
    /// A person changes a Fleet.
    Spec,
    /// A person changes modes, and drains a region or returns it.
    Order,
    /// A crowd comes all at once.
    Launch,
    /// Operators become newer, region by region.
    Upgrade,
    /// They become older again.
    Rollback,
}

impl Shock {
    /// All, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Cut,
        Self::Lost,
        Self::Digests,
        Self::OneWay,
        Self::Links,
        Self::Flap,
        Self::ApiServer,
        Self::Restart,
        Self::Spec,
        Self::Order,
        Self::Launch,
        Self::Upgrade,
        Self::Rollback,
    ];

    /// In words.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Cut => "cut off",
            Self::Lost => "lost",
            Self::Digests => "only UDP",
            Self::OneWay => "one way",
            Self::Links => "single links",
            Self::Flap => "flaps",
            Self::ApiServer => "API server",
            Self::Restart => "restart",
            Self::Spec => "Fleet changed",
            Self::Order => "order",
            Self::Launch => "sudden crowd",
            Self::Upgrade => "upgrade",
            Self::Rollback => "rollback",
        }
    }
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// What.
    pub shock: Shock,
    /// First second.
    pub from: u64,
    /// Second in which it was over.
    pub until: u64,
}

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Players on servers.
    pub playing: u32,
    /// Players without a place.
    pub waiting: u32,
    /// Ready servers by region.
    pub ready: Vec<u32>,
    /// Regions of the latest view that a majority agreed to.
    pub in_view: usize,
    /// Regions that are not in touch with a majority.
    pub cut_off: usize,
}

/// What is kept of a run. Equal plans have equal traces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// Names of the regions.
    pub regions: Vec<String>,
    /// From second 1 on.
    pub samples: Vec<Sample>,
    /// In the order in which they began.
    pub marks: Vec<Mark>,
    /// Numbers of the views that a majority agreed to.
    pub views: BTreeSet<u64>,
    /// Records of weights that the home published after the first.
    pub records: u64,
    /// How often a region changed the share of a Fleet.
    pub share_changes: u64,
    /// How often AutoScalers changed replicas.
    pub scalings: u64,
    /// Longest time with fewer servers than players need, in seconds.
    pub short_seconds_max: u64,
    /// Longest time in which somebody waited although there was a place for all who did, in seconds.
    pub waiting_seconds_max: u64,
    /// Seconds of what came together.
    pub mixtures: BTreeMap<Mixture, u64>,
}

impl Trace {
    /// How often something happened.
    #[must_use]
    pub fn count(&self, shock: Shock) -> usize {
        self.marks.iter().filter(|mark| mark.shock == shock).count()
    }

    /// Seconds in which all of this was the case.
    #[must_use]
    pub fn seconds_with(&self, mixture: Mixture) -> u64 {
        self.mixtures.iter().filter(|(found, _)| found.has(mixture)).map(|(_, seconds)| seconds).sum()
    }
}
