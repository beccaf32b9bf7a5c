//! What the operators of two regions say to each other, as MessagePack maps in frames.
//!
//! One minor version of difference is understood both ways: fields are named, one that is missing has its default, one that is
//! not known is passed over, and so is a word that is not known. What is asked and not known gets an answer without anything
//! in it.

use operator_api::{FleetSpec, RegionClusterSpec, RegionHealth, ServerCounts, ZoneStatus};
use operator_core::regions::shares::{self, Holdings};
use serde::de::DeserializeOwned;
use serde::de::value::{Error as ValueError, StrDeserializer};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What one side asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Request {
    pub(crate) ask: Ask,
    /// Of objects: how many Fleets came already.
    pub(crate) offset: usize,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Ask {
    /// How the region is, each second.
    Digest,
    /// The objects that it publishes, page by page, when the digest names another version of them.
    Objects,
    /// What a newer operator asks.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What the other side answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) digest: Option<Digest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) objects: Option<Objects>,
}

/// How a region is, as one of its replicas sees it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Digest {
    pub(crate) region: String,
    /// Uid of the namespace `kube-system`: another one is another cluster.
    pub(crate) cluster: String,
    /// Drawn anew by each process.
    pub(crate) boot: u64,
    /// Grows by one each second.
    pub(crate) sequence: u64,
    /// How this region reaches each other one that it has registered.
    pub(crate) row: BTreeMap<String, Reach>,
    pub(crate) view: View,
    pub(crate) standing: OwnStanding,
    /// The region's API server does not answer.
    pub(crate) api_away: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) figures: Option<Figures>,
    /// Where its responders listen, each as `address:port`.
    pub(crate) responders: Vec<String>,
    /// Version of the objects that it publishes; nothing if it publishes none.
    pub(crate) objects: Option<Version>,
    /// What it has of placed Fleets.
    pub(crate) holdings: Holdings,
    /// Highest version of the share function that it speaks; 0 for none.
    pub(crate) speaks: u32,
}

/// How a region is reached: `operator_core::regions::membership::Reach`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Reach {
    Reads,
    Answers,
    Silent,
    /// What a newer operator says; no vote.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a region says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum OwnStanding {
    Member,
    /// And what a newer operator says: it judges nobody whose words are not understood.
    #[default]
    #[serde(other)]
    Isolated,
}

/// The regions that count for shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct View {
    pub(crate) number: u64,
    pub(crate) regions: BTreeSet<String>,
}

/// The status that the region's leader last wrote, as far as others show it: rounded, and at its pace.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Figures {
    #[serde(deserialize_with = "known")]
    pub(crate) health: Option<RegionHealth>,
    pub(crate) players: i64,
    pub(crate) capacity: i64,
    pub(crate) headroom: i64,
    pub(crate) servers: ServerCounts,
    pub(crate) mean_input_latency: Option<String>,
    pub(crate) zones_covered: Option<String>,
    pub(crate) zones: Vec<ZoneStatus>,
    pub(crate) operator_version: Option<String>,
}

/// Which version of a region's objects: of its RegionCluster, and of all that it publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Version {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    /// Hash of the versions of everything else.
    pub(crate) contents: u64,
}

/// What a region publishes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Objects {
    pub(crate) version: Version,
    pub(crate) region_cluster: Option<RegionClusterSpec>,
    /// Those of this page that are understood.
    #[serde(deserialize_with = "understood")]
    pub(crate) fleets: Vec<PublishedFleet>,
    /// Offset of the next page.
    pub(crate) next: Option<usize>,
}

/// A placed Fleet as its home has it, or its tombstone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PublishedFleet {
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) version: shares::Version,
    /// Record of what its players weigh, as annotation `cranewing.dev/weights` has it.
    pub(crate) weights: Option<String>,
    /// It is a tombstone, and has no spec.
    pub(crate) deleted: bool,
    pub(crate) spec: FleetSpec,
}

/// What is understood of a list of a newer operator.
fn understood<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Vec<T>, D::Error> {
    let all = Vec::<serde_json::Value>::deserialize(deserializer)?;
    Ok(all.into_iter().filter_map(|one| serde_json::from_value(one).ok()).collect())
}

/// A word that is known; none for one of a newer operator.
fn known<'de, D: Deserializer<'de>, T: DeserializeOwned>(deserializer: D) -> Result<Option<T>, D::Error> {
    let word = Option::<String>::deserialize(deserializer)?;
    Ok(word.and_then(|word| T::deserialize(StrDeserializer::<ValueError>::new(&word)).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<T: DeserializeOwned>(bytes: &[u8]) -> T {
        rmp_serde::from_slice(bytes).unwrap()
    }

    fn row(reaches: &[(&str, Reach)]) -> BTreeMap<String, Reach> {
        reaches.iter().map(|(region, reach)| ((*region).to_owned(), *reach)).collect()
    }

    /// As it was before regions had views, figures, responders and objects.
    #[test]
    fn an_older_digest_is_understood() {
        let answer: Answer = read(include_bytes!("fixtures/older-answer.msgpack"));
        let digest = Digest {
            region: "jp".to_owned(),
            cluster: "c-1".to_owned(),
            boot: 7,
            sequence: 41,
            row: row(&[("kr", Reach::Reads), ("sg", Reach::Silent)]),
            standing: OwnStanding::Member,
            ..Digest::default()
        };
        assert_eq!(answer, Answer { digest: Some(digest), objects: None });
    }

    /// With more of everything: fields at every depth, a reach, a standing, a health and an address of new kinds.
    #[test]
    fn a_newer_digest_is_understood_as_far_as_its_words_are_known() {
        let answer: Answer = read(include_bytes!("fixtures/newer-answer.msgpack"));
        let digest = answer.digest.unwrap();
        assert_eq!((digest.sequence, digest.responders.len()), (42, 2));
        let known = [("kr", Reach::Reads), ("sg", Reach::Unknown), ("us", Reach::Silent)];
        assert_eq!(digest.row, row(&known));
        assert_eq!(digest.standing, OwnStanding::Isolated, "it is not believed to be a member");
        assert_eq!((digest.view.number, digest.view.regions.len()), (3, 2));
        let version = Version { uid: "u-1".to_owned(), generation: 4, contents: 0 };
        assert_eq!(digest.objects, Some(version));
        let figures = digest.figures.unwrap();
        assert_eq!((figures.health, figures.players, figures.headroom), (None, 12, 88));
        assert_eq!((figures.servers.ready, figures.mean_input_latency.as_deref()), (3, Some("8ms")));
    }

    #[test]
    fn a_newer_question_is_known_to_be_one() {
        assert_eq!(read::<Request>(include_bytes!("fixtures/newer-request.msgpack")).ask, Ask::Unknown);
    }

    #[test]
    fn what_is_written_is_read() {
        for health in [None, Some(RegionHealth::Degraded)] {
            let figures = Figures { health, zones_covered: Some("3/3".to_owned()), ..Figures::default() };
            let digest = Digest { figures: Some(figures), ..Digest::default() };
            let template = serde_json::from_value(serde_json::json!({
                "metadata": { "labels": { "tier": "gold" } },
                "spec": { "capacity": 9, "template": { "spec": { "containers": [
                    { "name": "gameserver", "resources": { "requests": { "cpu": "10m" } }, "livenessProbe": { "httpGet": { "port": 80 } } },
                ] } } },
            }));
            let spec = FleetSpec { template: template.unwrap(), ..FleetSpec::default() };
            let fleets = vec![PublishedFleet { spec, ..PublishedFleet::default() }];
            let answer =
                Answer { digest: Some(digest), objects: Some(Objects { fleets, ..Objects::default() }) };
            assert_eq!(read::<Answer>(&rmp_serde::to_vec_named(&answer).unwrap()), answer);
        }
    }

    /// Or one Fleet that asks for something new would keep the rest from being heard.
    #[test]
    fn a_fleet_that_is_not_understood_is_left_out() {
        let fleet = |mode| serde_json::json!({ "uid": mode, "spec": { "placement": { "mode": mode } } });
        let newer = serde_json::json!({ "fleets": [fleet("ByMoon"), fleet("ByWeight")] });
        let objects: Objects = read(&rmp_serde::to_vec_named(&newer).unwrap());
        assert_eq!(objects.fleets.iter().map(|fleet| &fleet.uid).collect::<Vec<_>>(), ["ByWeight"]);
    }
}
