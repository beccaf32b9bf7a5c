//! What a region keeps in one ConfigMap: its vote, what its shares go by, and the tombstones of its placed Fleets.
//!
//! Invariants:
//! - It has one vote, however many replicas it has: the leader alone votes, each replica publishes what stands there.
//! - What is published was kept before. Who leads next goes on from there, and so votes no second time under a number.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ObjectMeta, PostParams};
use kube::runtime::reflector::Store;
use kube::{Api, ResourceExt};
use operator_api::labels;
use operator_core::regions::shares::{Basis, Version};
use operator_core::regions::view::View;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use tracing::warn;

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
