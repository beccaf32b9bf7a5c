//! What a region keeps in one ConfigMap: its vote, what its shares go by, the tombstones of its placed Fleets and those that it
//! knows of other regions', and whether it is new.
//!
//! Invariants:
//! - It has one vote, however many replicas it has: the leader alone votes, each replica publishes what stands there.
//! - What was kept in another cluster is nobody's vote here: only its tombstones count.
//! - What is published was kept before. Who leads next goes on from there, and so votes no second time under a number.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};
use operator_api::labels;
use operator_core::regions::RegionId;
use operator_core::regions::recovery::{Buried, Wins};
use operator_core::regions::shares::{Basis, Version};
use operator_core::regions::view::View;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use tracing::warn;

use super::facts::mark;
use super::message::PublishedFleet;

/// Entry of the ConfigMap.
const ENTRY: &str = "state.json";

/// What stands there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Kept {
    /// What this region votes for.
    pub(crate) proposed: View,
    /// The last view that a majority voted for.
    pub(crate) agreed: View,
    /// What its shares go by.
    pub(crate) basis: Basis,
    /// Placed Fleets that were deleted, by uid (rule 2).
    pub(crate) tombstones: BTreeMap<String, Tombstone>,
    /// The same of other regions', by home: so that a home that lost its cluster brings none of them back.
    pub(crate) buried: BTreeMap<RegionId, BTreeMap<String, Tombstone>>,
    /// Uid of the namespace `kube-system` of the cluster in which this was written; nothing of an older operator.
    pub(crate) cluster: String,
    /// It has asked its peers what its Fleets were.
    pub(crate) taken_back: bool,
    /// A peer was ahead of it, and nobody has said yet who counts.
    pub(crate) restored: bool,
    /// In which it was, as it was found.
    pub(crate) because: String,
    /// Fleets that something here keeps from being brought back, as `namespace/name`.
    pub(crate) awaited: BTreeSet<String>,
    /// Who counted when the rest came back, and counts for those that are awaited.
    pub(crate) wins: Wins,
}

impl Kept {
    /// As it counts in this cluster.
    pub(crate) fn in_cluster(self, cluster: &str) -> Self {
        let cluster = cluster.to_owned();
        if self.cluster.is_empty() || self.cluster == cluster {
            Self { cluster, ..self }
        } else {
            Self { cluster, tombstones: self.tombstones, buried: self.buried, ..Self::default() }
        }
    }

    /// Highest epoch in which a Fleet of this region's own and of that name was deleted.
    pub(crate) fn epoch_of(&self, namespace: &str, name: &str) -> u64 {
        let of_name =
            self.tombstones.values().filter(|stone| stone.name == name && stone.namespace == namespace);
        of_name.map(|stone| stone.version.home_epoch).max().unwrap_or_default()
    }

    /// What the tombstones of other regions bury, by home.
    pub(crate) fn dead(&self) -> BTreeMap<RegionId, Buried> {
        self.buried.iter().map(|(home, stones)| (*home, buried(stones))).collect()
    }

    /// Whether this region is new: it has not yet asked what its Fleets were. `version` is that of the ConfigMap. What an older
    /// operator kept is of a region that is not.
    pub(crate) fn is_new(&self, version: Option<&str>, cluster: &str) -> bool {
        let is_older = version.is_some() && self.cluster.is_empty();
        !is_older && (self.cluster != cluster || !self.taken_back)
    }
}

/// A placed Fleet that was deleted at its home.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Tombstone {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) version: Version,
    /// Seconds since the Unix epoch, by this region's clock.
    pub(crate) since: u64,
    /// Every registered region has let go of it: it is no longer published, and remembered should one come with it.
    pub(crate) settled: bool,
}

impl Tombstone {
    /// As it is told to others.
    pub(crate) fn published(self, uid: String) -> PublishedFleet {
        let Self { namespace, name, version, since: _, settled: _ } = self;
        PublishedFleet { namespace, name, uid, version, deleted: true, ..PublishedFleet::default() }
    }

    /// As it was told; none of something else.
    pub(crate) fn of(told: &PublishedFleet, since: u64) -> Self {
        let PublishedFleet { namespace, name, version, .. } = told.clone();
        Self { namespace, name, version, since, settled: false }
    }
}

/// These tombstones as they were before those settled that did and nothing else of them changed.
pub(crate) fn but_for_settling(
    now: &BTreeMap<String, Tombstone>,
    before: &BTreeMap<String, Tombstone>,
) -> BTreeMap<String, Tombstone> {
    let was_settled = |uid: &String| before.get(uid).is_some_and(|before| before.settled);
    let unsettled = |(uid, stone): (&String, &Tombstone)| {
        (uid.clone(), Tombstone { settled: stone.settled && was_settled(uid), ..stone.clone() })
    };
    now.iter().map(unsettled).collect()
}

/// What these tombstones bury.
pub(crate) fn buried(stones: &BTreeMap<String, Tombstone>) -> Buried {
    let mut buried = Buried::default();
    for (uid, stone) in stones {
        buried.add(&format!("{}/{}", stone.namespace, stone.name), mark(uid, stone.version));
    }
    buried
}

/// What is kept, with the version of the ConfigMap; as nothing before the first vote. None if it is there and not understood:
/// who cannot tell how it voted does not vote.
pub(crate) fn read(ballots: &Store<ConfigMap>) -> Option<(Kept, Option<String>)> {
    let ballots = ballots.state();
    let Some(found) = ballots.iter().find(|found| found.name_any() == labels::BALLOT) else {
        return Some(Default::default());
    };
    let text = found.data.as_ref().and_then(|data| data.get(ENTRY)).map_or("", String::as_str);
    match serde_json::from_str(text) {
        Ok(kept) => Some((kept, found.resource_version())),
        Err(error) => {
            warn!(%error, "ConfigMap {} is not understood; delete it, and this region votes anew", labels::BALLOT);
            None
        }
    }
}

/// Keeps it in the place of this version; false if another stands there by now.
pub(crate) async fn write(api: &Api<ConfigMap>, kept: &Kept, version: Option<String>) -> kube::Result<bool> {
    let is_new = version.is_none();
    let managed = (labels::MANAGED_BY.to_owned(), labels::MANAGED_BY_OPERATOR.to_owned());
    let ballot = ConfigMap {
        metadata: ObjectMeta {
            name: Some(labels::BALLOT.to_owned()),
            labels: Some([managed].into()),
            resource_version: version,
            ..ObjectMeta::default()
        },
        data: Some([(ENTRY.to_owned(), serde_json::to_string(kept).unwrap_or_default())].into()),
        ..ConfigMap::default()
    };
    let written = if is_new {
        api.create(&PostParams::default(), &ballot).await
    } else {
        api.replace(labels::BALLOT, &PostParams::default(), &ballot).await
    };
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(false),
        Err(error) => Err(error),
    }
}
