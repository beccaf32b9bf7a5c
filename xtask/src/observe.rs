//! What runs now, read from each region's resources and from the bots' own figures.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

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
    /// Where it stands among the joined regions, such as `Member`; of one that cannot be read as the others say, such as `Gone`.
    pub(crate) standing: Option<String>,
    /// It is left, as `operator region drain` ordered.
    pub(crate) drained: bool,
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
    labels: BTreeMap<String, String>,
}

/// All of ours in a region, or why it could not be read.
pub(crate) type Read = Result<Vec<Resource>, String>;

#[derive(Deserialize)]
struct List {
    items: Vec<Resource>,
}

impl Resource {
    /// It is another region's, whose copy is kept here.
    pub(crate) fn is_copy(&self) -> bool {
        self.metadata.labels.contains_key("cranewing.dev/home")
    }

    /// Of a RegionCluster: it is left, as a majority says.
    pub(crate) fn is_drained(&self) -> bool {
        let conditions = self.status["conditions"].as_array();
        conditions
            .into_iter()
            .flatten()
            .any(|condition| condition["type"] == "Drained" && condition["status"] == "True")
    }
}

/// What the others say of a region: where it stands, in a word or in several if they differ, and whether it is drained.
pub(crate) fn said_elsewhere<'a>(
    region: &str,
    others: impl IntoIterator<Item = &'a Read>,
) -> (Option<String>, bool) {
    let resources = others.into_iter().flatten().flatten();
    let copies: Vec<_> = resources
        .filter(|resource| {
            resource.kind == "RegionCluster" && resource.is_copy() && resource.spec["regionId"] == region
        })
        .collect();
    let words: BTreeSet<_> = copies.iter().filter_map(|copy| copy.status["standing"].as_str()).collect();
    let standing = (!words.is_empty()).then(|| words.into_iter().collect::<Vec<_>>().join("/"));
    (standing, copies.iter().any(|copy| copy.is_drained()))
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

/// How long a region may take to answer whoever looks once; `kubectl` by itself asks one that stands still four times.
pub(crate) const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// The same while something is waited for: on a busy machine a late answer is one all the same.
pub(crate) const WAIT_LIMIT: Duration = Duration::from_secs(20);

/// Reads all regions at once. A region that does not answer within the limit is shown so, it does not hide the others.
pub(crate) fn overview(
    checkout: &Checkout,
    surroundings: &Surroundings,
    state: &State,
    limit: Duration,
) -> Overview {
    let reads: BTreeMap<_, _> = std::thread::scope(|scope| {
        let readers: Vec<_> = state
            .regions
            .iter()
            .map(|region| (region, scope.spawn(move || resources(surroundings, region, limit))))
            .collect();
        readers
            .into_iter()
            .map(|(region, reader)| {
                let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                (region.id.clone(), read.map_err(|error| format!("{error:#}")))
            })
            .collect()
    });
    summarize(&checkout.instance, &reads, &bots::figures(checkout))
}

/// Every resource of ours in a region.
fn resources(surroundings: &Surroundings, region: &Region, limit: Duration) -> Result<Vec<Resource>> {
    let query = [
        "get",
        "gameservers,fleets,autoscalers,regionclusters",
        "--all-namespaces",
        "--output=json",
        "--request-timeout=5s",
    ];
    let text = process::output_within(limit, kubectl(surroundings, region).args(query))?;
    let list: List =
        serde_json::from_str(&text).context("kubectl answered with something else than a list")?;
    Ok(list.items)
}

/// All regions' figures from what was read of them, and from what their bots measure.
pub(crate) fn summarize(
    instance: &str,
    reads: &BTreeMap<String, Read>,
    figures: &BTreeMap<String, bots::Figures>,
) -> Overview {
    let regions = reads.iter().map(|(id, read)| {
        let figures = figures.get(id);
        let region = RegionOverview {
            latency_ms: figures.and_then(|figures| figures.latency_ms.clone()),
            bots: figures.map(|figures| figures.counts.clone()),
            ..RegionOverview::default()
        };
        let region = match read {
            Ok(resources) => of_resources(resources, region),
            Err(reason) => {
                let (standing, drained) = said_elsewhere(id, reads.values());
                RegionOverview { standing, drained, unreadable: Some(reason.clone()), ..region }
            }
        };
        (id.clone(), region)
    });
    Overview { instance: instance.to_owned(), regions: regions.collect() }
}

fn of_resources(resources: &[Resource], mut region: RegionOverview) -> RegionOverview {
    for item in resources.iter().filter(|resource| !resource.is_copy()) {
        match item.kind.as_str() {
            "GameServer" => {
                region.servers += 1;
                region.ready += usize::from(item.status["state"] == "Ready");
                region.players += item.status["players"].as_i64().unwrap_or(0);
            }
            "RegionCluster" => {
                let text = |field: &str| item.status[field].as_str().map(str::to_owned);
                (region.zones, region.version) = (text("zonesCovered"), text("operatorVersion"));
                (region.standing, region.drained) = (text("standing"), item.is_drained());
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

/// A line per region, then one per region that cannot be read: why, and what to do.
pub(crate) fn table(overview: &Overview) -> String {
    let row = |cells: [&str; 9]| {
        let [id, standing, servers, ready, players, p50, p99, late, version] = cells;
        format!(
            "{id:<8}{standing:<17}{servers:>9}{ready:>8}{players:>9}{p50:>12}{p99:>12}{late:>12}  {version}\n"
        )
    };
    let region = |(id, region): (&String, &RegionOverview)| {
        let time = |pick: fn(&Latency) -> f64| {
            region
                .latency_ms
                .as_ref()
                .map_or_else(|| "-".to_owned(), |latency| format!("{:.1} ms", pick(latency)))
        };
        let count = |count: usize| {
            if region.unreadable.is_some() { "-".to_owned() } else { count.to_string() }
        };
        let standing = region.standing.as_deref().unwrap_or("-");
        let drained = if region.drained { ", drained" } else { "" };
        row([
            id,
            &format!("{standing}{drained}"),
            &count(region.servers),
            &count(region.ready),
            &count(usize::try_from(region.players).unwrap_or_default()),
            &time(|latency| latency.p50),
            &time(|latency| latency.p99),
            &time(|latency| latency.late),
            region.version.as_deref().unwrap_or("-"),
        ])
    };
    let silent = |(id, region): (&String, &RegionOverview)| {
        let reason = region.unreadable.as_ref()?.lines().next_back()?.trim_start_matches([' ', '|']);
        Some(format!(
            "{id} cannot be read: {reason}\n  if its cluster only stands still: cargo xtask up; if it is lost for good: cargo xtask region \
             restore {id}\n"
        ))
    };
    let head = row(["REGION", "STANDING", "SERVERS", "READY", "PLAYERS", "P50", "P99", "LATE", "VERSION"]);
    let lines = overview.regions.iter().map(region);
    let silent = overview.regions.iter().filter_map(silent);
    let is_late = |region: &RegionOverview| region.latency_ms.as_ref().is_some_and(Latency::is_late);
    let late = overview.regions.values().any(is_late).then(|| {
        "LATE is how late the bots of this machine were themselves: where that is much, P50 and P99 say little of the servers\n".to_owned()
    });
    std::iter::once(head).chain(lines).chain(late).chain(silent).collect()
}

#[cfg(test)]
mod tests {
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

    fn of(reads: impl IntoIterator<Item = (&'static str, Read)>) -> Overview {
        let reads = reads.into_iter().map(|(id, read)| (id.to_owned(), read)).collect();
        summarize("cranewing-0000", &reads, &BTreeMap::new())
    }

    /// The RegionCluster of a drained region in the cluster of another.
    fn copy(region: &str, standing: &str) -> Resource {
        resource(
            serde_json::json!({"kind": "RegionCluster", "metadata": {"labels": {"cranewing.dev/home": region}},
            "spec": {"regionId": region}, "status": {"standing": standing, "operatorVersion": "9",
            "conditions": [{"type": "Drained", "status": "True"}]}}),
        )
    }

    #[test]
    fn servers_players_and_version_are_summed_up_and_copies_are_not() {
        let items = vec![
            resource(serde_json::json!({"kind": "GameServer", "status": {"state": "Ready", "players": 7}})),
            resource(
                serde_json::json!({"kind": "GameServer", "status": {"state": "Draining", "players": 2}}),
            ),
            resource(serde_json::json!({"kind": "GameServer"})),
            resource(
                serde_json::json!({"kind": "RegionCluster", "status": {"operatorVersion": "0.1.0", "standing": "Member",
                "conditions": [{"type": "Drained", "status": "True"}]}}),
            ),
            copy("jp", "Connected"),
        ];
        let overview = of([("kr", Ok(items))]);
        let summary = &overview.regions["kr"];
        assert_eq!((summary.servers, summary.ready, summary.players), (3, 1, 9));
        assert_eq!(summary.version.as_deref(), Some("0.1.0"));
        assert_eq!((summary.standing.as_deref(), summary.drained), (Some("Member"), true));
        assert!(table(&overview).contains("kr      Member, drained "), "{}", table(&overview));
    }

    #[test]
    fn what_no_bot_measures_is_no_latency_of_zero() {
        let figures = BTreeMap::from([("kr".to_owned(), bots::Figures::default())]);
        let overview = summarize("i", &BTreeMap::from([("kr".to_owned(), Ok(Vec::new()))]), &figures);
        assert_eq!(overview.regions["kr"].latency_ms, None);
        let table = table(&overview);
        let row: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
        assert_eq!(row, ["kr", "-", "0", "0", "0", "-", "-", "-", "-"]);
    }

    #[test]
    fn what_late_bots_measure_is_shown_to_say_little() {
        for (late, is_told) in [(0.4, false), (102.0, true)] {
            let mut overview = overview(&[("kr", 1, 1)]);
            let kr = overview.regions.get_mut("kr").unwrap();
            kr.latency_ms = Some(Latency { p99: 2273.3, late, ..Latency::default() });
            let table = table(&overview);
            assert!(table.contains(&format!("{late:.1} ms")), "{table}");
            assert_eq!(table.contains("say little of the servers"), is_told, "{table}");
        }
    }

    #[test]
    fn a_region_that_does_not_answer_stands_as_others_say_with_why_and_what_to_do() {
        let reason = || Err("kubectl failed:\n  | connection refused".to_owned());
        for (jp, sg, expected) in
            [("Gone", "Gone", Some("Gone")), ("Gone", "Unreachable", Some("Gone/Unreachable"))]
        {
            let overview =
                of([("jp", Ok(vec![copy("kr", jp)])), ("kr", reason()), ("sg", Ok(vec![copy("kr", sg)]))]);
            let kr = &overview.regions["kr"];
            assert_eq!((kr.standing.as_deref(), kr.drained), (expected, true));
            let table = table(&overview);
            assert!(table.contains("\nkr cannot be read: connection refused\n"), "{table}");
            assert!(table.contains("cargo xtask region restore kr"), "{table}");
        }
        assert_eq!(of([("kr", reason()), ("jp", reason())]).regions["kr"].standing, None);
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
