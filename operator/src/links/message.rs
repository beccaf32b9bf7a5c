//! What the operators of two regions say to each other, as MessagePack maps in frames.
//!
//! One minor version of difference is understood both ways: fields are named, one that is missing has its default, one that is
//! not known is passed over, and so is a word that is not known. A figure and an object that are not understood cost only
//! themselves. What is asked and not known gets an answer without anything in it.

use operator_api::{FleetSpec, RegionClusterSpec, RegionHealth, ServerCounts, ZoneStatus};
use operator_core::regions::recovery::Mark;
use operator_core::regions::shares::{self, Holdings};
use serde::de::IgnoredAny;
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
    /// What the region keeps of the asking one, page by page.
    Copies,
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
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "understood")]
    pub(crate) objects: Option<Objects>,
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "understood")]
    pub(crate) copies: Option<Copies>,
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
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "understood")]
    pub(crate) figures: Option<Figures>,
    /// Where its responders listen, each as `address:port`.
    pub(crate) responders: Vec<String>,
    /// Version of the objects that it publishes; nothing if it publishes none.
    pub(crate) objects: Option<Version>,
    /// What it has of placed Fleets.
    pub(crate) holdings: Holdings,
    /// Fleets that their homes publish though it knows them to be deleted, named as its holdings are.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "understood")]
    pub(crate) buried: BTreeMap<String, Mark>,
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
    #[serde(deserialize_with = "understood")]
    pub(crate) health: Option<RegionHealth>,
    #[serde(deserialize_with = "understood")]
    pub(crate) players: i64,
    #[serde(deserialize_with = "understood")]
    pub(crate) capacity: i64,
    #[serde(deserialize_with = "understood")]
    pub(crate) headroom: i64,
    #[serde(deserialize_with = "understood")]
    pub(crate) servers: ServerCounts,
    #[serde(deserialize_with = "understood")]
    pub(crate) mean_input_latency: Option<String>,
    #[serde(deserialize_with = "understood")]
    pub(crate) zones_covered: Option<String>,
    #[serde(deserialize_with = "understood")]
    pub(crate) zones: Vec<Zone>,
    #[serde(deserialize_with = "understood")]
    pub(crate) operator_version: Option<String>,
}

/// A zone and its ready nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Zone {
    pub(crate) name: String,
    pub(crate) nodes: i32,
}

impl From<ZoneStatus> for Zone {
    fn from(ZoneStatus { name, nodes }: ZoneStatus) -> Self {
        Self { name, nodes }
    }
}

impl From<Zone> for ZoneStatus {
    fn from(Zone { name, nodes }: Zone) -> Self {
        Self { name, nodes }
    }
}

/// Zones of a region, as its RegionCluster may name them.
const ZONES_MAX: usize = 16;
/// Characters of a text among the figures: as of a zone's name in a RegionCluster.
const TEXT_CHARS_MAX: usize = 63;

impl Figures {
    /// No more than a RegionCluster may hold, whatever a peer says.
    pub(crate) fn capped(mut self) -> Self {
        let cap = |text: String| text.chars().take(TEXT_CHARS_MAX).collect::<String>();
        self.mean_input_latency = self.mean_input_latency.map(cap);
        self.zones_covered = self.zones_covered.map(cap);
        self.operator_version = self.operator_version.map(cap);
        self.zones.truncate(ZONES_MAX);
        for zone in &mut self.zones {
            zone.name = cap(std::mem::take(&mut zone.name));
        }
        self
    }
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
    #[serde(deserialize_with = "understood")]
    pub(crate) region_cluster: Option<RegionClusterSpec>,
    /// Those of this page that are understood.
    #[serde(deserialize_with = "understood_ones")]
    pub(crate) fleets: Vec<PublishedFleet>,
    /// Offset of the next page.
    pub(crate) next: Option<usize>,
}

/// What a region keeps of another one that asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Copies {
    /// Hash of all that: pages of one go together.
    pub(crate) version: u64,
    /// Regions that the answering one has registered.
    pub(crate) registered: BTreeSet<String>,
    /// Copy of the asking region's RegionCluster, with the generation that it is of.
    #[serde(deserialize_with = "understood")]
    pub(crate) region_cluster: Option<RegionClusterSpec>,
    pub(crate) generation: i64,
    /// Copies of its Fleets that are understood, and tombstones.
    #[serde(deserialize_with = "understood_ones")]
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
    /// Record of its AutoScaler, as annotation `cranewing.dev/scaler` has it: as text, so that a copy here keeps what this operator
    /// does not understand.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "understood")]
    pub(crate) scaler: Option<String>,
    /// It is a tombstone, and has no spec.
    pub(crate) deleted: bool,
    pub(crate) spec: FleetSpec,
}

/// What a newer operator says may not be understood.
#[derive(Deserialize)]
#[serde(untagged)]
enum Field<T> {
    Known(T),
    Unknown(IgnoredAny),
}

impl<T> Field<T> {
    fn known(self) -> Option<T> {
        match self {
            Self::Known(known) => Some(known),
            Self::Unknown(IgnoredAny) => None,
        }
    }
}

/// What a field says if it is understood, else its default: so that it costs only itself.
fn understood<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Field::deserialize(deserializer)?.known().unwrap_or_default())
}

/// Those of a list that are understood.
fn understood_ones<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    let ones = Vec::deserialize(deserializer)?;
    Ok(ones.into_iter().filter_map(Field::known).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::de::DeserializeOwned;
    use serde_json::{Value, json};

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
        assert_eq!(answer, Answer { digest: Some(digest), ..Answer::default() });
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
    fn what_is_not_understood_costs_only_itself() {
        let spec = json!({ "regionId": "jp", "zones": ["a", "b", "c"], "vpcCidr": "10.20.0.0/16" });
        let with = |field: &str, value: Value| {
            let mut answer = json!({
                "digest": { "sequence": 7, "figures": { "players": 3, "headroom": 40, "zones": [{ "name": "a" }] } },
                "objects": { "version": { "uid": "u", "generation": 2 }, "regionCluster": spec },
            });
            *answer.pointer_mut(field).unwrap() = value;
            let answer: Answer = read(&rmp_serde::to_vec_named(&answer).unwrap());
            assert_eq!(answer.digest.as_ref().map(|digest| digest.sequence), Some(7), "{field}");
            (answer.digest.unwrap().figures.unwrap_or_default(), answer.objects)
        };
        let whole = Figures {
            players: 3,
            headroom: 40,
            zones: vec![Zone { name: "a".to_owned(), nodes: 0 }],
            ..Figures::default()
        };
        let version = Version { uid: "u".to_owned(), generation: 2, contents: 0 };
        let bare = Objects { version, ..Objects::default() };
        for value in [json!("x"), json!(u64::MAX), json!({ "regionId": "jp" }), json!([[1.5]])] {
            let (figures, objects) = with("/digest/figures/players", value.clone());
            assert_eq!(figures, Figures { players: 0, ..whole.clone() });
            assert!(objects.unwrap().region_cluster.is_some());
            assert_eq!(with("/digest/figures/zones", value.clone()).0.players, 3);
            assert_eq!(with("/objects/regionCluster", value.clone()), (whole.clone(), Some(bare.clone())));
        }
        assert_eq!(with("/objects", json!("x")), (whole, None));
        assert_eq!(with("/digest/figures", json!("x")).0, Figures::default());
    }

    #[test]
    fn figures_are_cut_to_what_a_region_cluster_may_hold() {
        let long = || "\u{e9}".repeat(1000);
        let figures = Figures {
            zones: vec![Zone { name: long(), nodes: 1 }; 100],
            mean_input_latency: Some(long()),
            zones_covered: Some(long()),
            operator_version: Some(long()),
            players: 7,
            ..Figures::default()
        };
        let capped = figures.capped();
        assert_eq!((capped.zones.len(), capped.players), (16, 7));
        let texts = [capped.mean_input_latency, capped.zones_covered, capped.operator_version];
        let texts = texts.into_iter().flatten().chain(capped.zones.into_iter().map(|zone| zone.name));
        assert!(texts.map(|text| text.chars().count()).all(|chars| chars == 63));
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
            let copies = Some(Copies { fleets: fleets.clone(), next: Some(1), ..Copies::default() });
            let objects = Some(Objects { fleets, ..Objects::default() });
            let answer = Answer { digest: Some(digest), objects, copies };
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
