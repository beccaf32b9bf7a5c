//! What runs now, read from each region's resources and from the bots' own figures.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::bots::{self, Latency};
use crate::checkout::Checkout;
use crate::cluster::kubectl;
use crate::engine::Surroundings;
use crate::process;
use crate::state::{Region, State};

/// How something is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Output {
    /// For people
    Text,
    /// One JSON object
    Json,
}

/// All regions of an instance at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Overview {
    pub(crate) instance: String,
    pub(crate) regions: BTreeMap<String, RegionOverview>,
}

/// One region at one moment.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub(crate) struct RegionOverview {
    /// Game servers that exist.
    pub(crate) servers: usize,
    /// Game servers that take players.
    pub(crate) ready: usize,
    /// Players by the game servers' own reports.
    pub(crate) players: i64,
    /// Scheduled send of an input to the first state that acknowledges it; none while no bot measures.
    pub(crate) latency_ms: Option<Latency>,
    /// Players and counts by the bots' side.
    pub(crate) bots: Option<bots::Counts>,
    /// Declared zones that have a node, such as `1/3`.
    pub(crate) zones: Option<String>,
    /// Where it stands among the joined regions, such as `Member`.
    pub(crate) standing: Option<String>,
    /// Version of the operator.
    pub(crate) version: Option<String>,
    /// Why the region could not be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unreadable: Option<String>,
}

/// Just what is shown of a resource.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Resource {
    pub(crate) kind: String,
    pub(crate) metadata: Metadata,
    pub(crate) spec: serde_json::Value,
    pub(crate) status: serde_json::Value,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Metadata {
    pub(crate) name: String,
}

#[derive(Deserialize)]
struct List {
    items: Vec<Resource>,
}

impl Overview {
    /// Whether every region has players, by the servers' reports, and they play, by what the bots measure. The bots of an
    /// earlier run, which the servers still show for a moment, are neither. A region that has only just joined is no part of
    /// the whole yet; one that is shown alone is the whole, though it may miss regions that nobody shows.
    pub(crate) fn has_players_everywhere(&self) -> bool {
        let plays = |region: &RegionOverview| {
            let measured = region.latency_ms.as_ref().is_some_and(|latency| latency.p99 > 0.0);
            let has_joined = !region.is_isolated() || self.regions.len() == 1;
            has_joined
                && region.players > 0
                && measured
                && region.bots.as_ref().is_some_and(|bots| bots.players > 0)
        };
        !self.regions.is_empty() && self.regions.values().all(plays)
    }

    /// `kr 2/2 servers 40 players, jp ...`
    pub(crate) fn counts(&self) -> String {
        let line = |(id, region): (&String, &RegionOverview)| {
            if region.unreadable.is_some() {
                return format!("{id} does not answer");
            }
            let apart = if region.is_isolated() { ", isolated" } else { "" };
            format!("{id} {}/{} servers {} players{apart}", region.ready, region.servers, region.players)
        };
        self.regions.iter().map(line).collect::<Vec<_>>().join(", ")
    }
}

impl RegionOverview {
    /// Whether it takes part among the others and all its servers are Ready.
    pub(crate) fn is_back(&self) -> bool {
        self.standing.as_deref() == Some("Member") && self.servers > 0 && self.ready == self.servers
    }

    fn is_isolated(&self) -> bool {
        self.standing.as_deref() == Some("Isolated")
    }
}

/// Reads all regions at once. A region that does not answer is shown so, it does not hide the others.
pub(crate) fn overview(checkout: &Checkout, surroundings: &Surroundings, state: &State) -> Overview {
    let figures = bots::figures(checkout);
    let regions = std::thread::scope(|scope| {
        let readers: Vec<_> = state
            .regions
            .iter()
            .map(|region| (region, scope.spawn(move || resources(surroundings, region))))
            .collect();
        readers
            .into_iter()
            .map(|(region, reader)| {
                let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                (region.id.clone(), summarize(read, figures.get(&region.id)))
            })
            .collect()
    });
    Overview { instance: checkout.instance.clone(), regions }
}

/// Every resource of ours in a region, whose home it is.
pub(crate) fn resources(surroundings: &Surroundings, region: &Region) -> Result<Vec<Resource>> {
    let query = [
        "get",
        "gameservers,fleets,autoscalers,regionclusters",
        "--all-namespaces",
        "--selector=!cranewing.dev/home",
        "--output=json",
        "--request-timeout=5s",
    ];
    let text = process::output(kubectl(surroundings, region).args(query))?;
    let list: List =
        serde_json::from_str(&text).context("kubectl answered with something else than a list")?;
    Ok(list.items)
}

/// One region's figures from its resources.
pub(crate) fn summarize(read: Result<Vec<Resource>>, figures: Option<&bots::Figures>) -> RegionOverview {
    let mut region = RegionOverview {
        latency_ms: figures.map(|figures| figures.latency_ms.clone()),
        bots: figures.map(|figures| figures.counts.clone()),
        ..RegionOverview::default()
    };
    let items = match read {
        Ok(items) => items,
        Err(error) => {
            region.unreadable = Some(format!("{error:#}"));
            return region;
        }
    };
    for item in &items {
        match item.kind.as_str() {
            "GameServer" => {
                region.servers += 1;
                region.ready += usize::from(item.status["state"] == "Ready");
                region.players += item.status["players"].as_i64().unwrap_or(0);
            }
            "RegionCluster" => {
                let text = |field: &str| item.status[field].as_str().map(str::to_owned);
                (region.zones, region.version) = (text("zonesCovered"), text("operatorVersion"));
                region.standing = text("standing");
            }
            _ => {}
        }
    }
    region
}

/// Prints to standard output.
pub(crate) fn print(overview: &Overview, output: Output) -> Result<()> {
    match output {
        Output::Json => println!("{}", serde_json::to_string(overview)?),
        Output::Text => print!("{}", table(overview)),
    }
    Ok(())
}

/// A line per region.
pub(crate) fn table(overview: &Overview) -> String {
    let row = |cells: [&str; 8]| {
        let [id, standing, servers, ready, players, p50, p99, version] = cells;
        format!("{id:<8}{standing:<9}{servers:>9}{ready:>8}{players:>9}{p50:>12}{p99:>12}  {version}\n")
    };
    let region = |(id, region): (&String, &RegionOverview)| {
        let time = |pick: fn(&Latency) -> f64| {
            region
                .latency_ms
                .as_ref()
                .map_or_else(|| "-".to_owned(), |latency| format!("{:.1} ms", pick(latency)))
        };
        let version = match (&region.version, &region.unreadable) {
            (_, Some(reason)) => {
                reason.lines().next_back().unwrap_or_default().trim_start_matches([' ', '|'])
            }
            (Some(version), None) => version,
            (None, None) => "-",
        };
        row([
            id,
            region.standing.as_deref().unwrap_or("-"),
            &region.servers.to_string(),
            &region.ready.to_string(),
            &region.players.to_string(),
            &time(|latency| latency.p50),
            &time(|latency| latency.p99),
            version,
        ])
    };
    let head = row(["REGION", "STANDING", "SERVERS", "READY", "PLAYERS", "P50", "P99", "VERSION"]);
    head + &overview.regions.iter().map(region).collect::<String>()
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    fn resource(json: serde_json::Value) -> Resource {
        serde_json::from_value(json).unwrap()
    }

    fn region(players: i64, bots: u32) -> RegionOverview {
        let latency_ms = (bots > 0).then(|| Latency { p99: 9.5, ..Latency::default() });
        let bots = (bots > 0).then(|| bots::Counts { players: bots.into(), ..bots::Counts::default() });
        RegionOverview { players, latency_ms, bots, ..RegionOverview::default() }
    }

    fn overview(players: &[(&str, i64, u32)]) -> Overview {
        let regions =
            players.iter().map(|(id, players, bots)| ((*id).to_owned(), region(*players, *bots))).collect();
        Overview { instance: "cranewing-0000".to_owned(), regions }
    }

    #[test]
    fn servers_players_and_version_are_summed_up() {
        let items = vec![
            resource(serde_json::json!({"kind": "GameServer", "status": {"state": "Ready", "players": 7}})),
            resource(
                serde_json::json!({"kind": "GameServer", "status": {"state": "Draining", "players": 2}}),
            ),
            resource(serde_json::json!({"kind": "GameServer"})),
            resource(
                serde_json::json!({"kind": "RegionCluster", "status": {"operatorVersion": "0.1.0", "standing": "Member"}}),
            ),
        ];
        let summary = summarize(Ok(items), None);
        assert_eq!((summary.servers, summary.ready, summary.players), (3, 1, 9));
        assert_eq!(summary.version.as_deref(), Some("0.1.0"));
        assert_eq!(summary.standing.as_deref(), Some("Member"));
    }

    #[test]
    fn a_region_that_does_not_answer_says_why() {
        let summary = summarize(Err(anyhow!("connection refused")), None);
        assert_eq!(summary.unreadable.as_deref(), Some("connection refused"));
    }

    #[test]
    fn one_region_without_players_is_not_players_everywhere() {
        assert!(overview(&[("kr", 1, 1), ("jp", 1, 1), ("sg", 1, 1)]).has_players_everywhere());
        assert!(!overview(&[("kr", 1, 1), ("jp", 0, 1), ("sg", 1, 1)]).has_players_everywhere());
        assert!(!overview(&[("kr", 1, 1), ("jp", 9, 0)]).has_players_everywhere(), "those are gone by now");
        assert!(!overview(&[]).has_players_everywhere());
        for (shown, expected, counts) in [
            (&[("kr", 1, 1)][..], true, "kr 0/0 servers 1 players, isolated"),
            (
                &[("kr", 1, 1), ("jp", 1, 1)],
                false,
                "jp 0/0 servers 1 players, kr 0/0 servers 1 players, isolated",
            ),
        ] {
            let mut joining = overview(shown);
            joining.regions.get_mut("kr").unwrap().standing = Some("Isolated".to_owned());
            assert_eq!((joining.has_players_everywhere(), joining.counts().as_str()), (expected, counts));
        }
    }
}
