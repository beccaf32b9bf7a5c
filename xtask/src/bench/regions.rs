//! The model of many regions at scale: what happens to 3, 7 and 20 of them in virtual time, and how it looks.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::page::Page;
use crate::checkout::Checkout;
use crate::clock;
use crate::process;
use crate::progress::Progress;
use crate::target::cargo;

/// What the simulation says of all runs of one size.
#[derive(Debug, Clone, Default, Deserialize)]
struct Totals {
    regions: u32,
    seeds: u32,
    seconds: u32,
    /// How often each kind happened.
    shocks: BTreeMap<String, u32>,
    views: u64,
    records: u64,
    share_changes: u64,
    scalings: u64,
    short_seconds_max: u64,
    waiting_seconds_max: u64,
    players_max: u64,
}

/// Sizes that are run.
const SIZES: [u32; 3] = [3, 7, 20];

/// Where pictures lie, from the page's directory.
const IMAGES: &str = "../images";

const METHOD: &str = "The decision code of the product (`operator-core`) in virtual time: each region reads, judges, votes, moves its shares, scales and places by itself, \
by digests that come up to 2 s late, one in twenty never. A server is Ready 5 s after it is asked for, and 100 players fit on it. Three Fleets are shared out: \
one by weight with minima, one after its players, one with an AutoScaler. Up to 105 000 players come and go, more than 100 000 at a time; a day is squeezed into half an hour and comes \
later from region to region, sudden crowds come within 40 s, a session lasts 5 min. Who loses a server, or cannot reach one, goes on to where the operators \
find a place. Operators are upgraded and taken back region by region, also while regions are cut off, Manual or held. Every invariant of the table is checked \
each second by what is true, not by what a region believes; each has a mutation of the code that breaks it \
([the simulation](../../operator/simulation/src/lib.rs)).

The same seed gives the same run and the same picture, to the byte. An invariant that breaks ends the command with its seed, and no page is written.
";

/// Of the columns that do not explain themselves.
const LEGEND: &str = "
**Views** are those that a majority agreed to. **Records** are the weights of players that a home published. **Short**: the longest time in which a Fleet had fewer \
servers Ready than its players needed and it asked for, beyond what regions have room for; the limit is 30 s. **Waiting**: the longest time in which somebody had no \
place although there were twice as many free as players who waited; the limit is 30 s. Neither is counted while nobody promises anything: without a majority whose \
regions all see each other, or while a person keeps a lost region in the view. **Wall time** is that of all runs of the line on one core.
";

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let progress = Progress::new();
    let simulation = ["--locked", "--release", "--package=operator-simulation"];
    progress.step("compile", |_| {
        process::run(cargo(checkout)?.arg("build").args(simulation), &checkout.log("bench-regions"))
    })?;
    let images = checkout.root.join("docs/images");
    fs::create_dir_all(&images).with_context(|| format!("failed to create {}", images.display()))?;
    let mut all = Vec::new();
    for regions in SIZES {
        let (size, seeds) = (format!("--regions={regions}"), format!("--seeds={runs}"));
        let took = progress.step(&format!("{regions} regions"), |_| {
            let start = clock::now();
            let mut run = cargo(checkout)?;
            run.args(["run", "--quiet"]).args(simulation).args(["--", &size, &seeds, "--svg"]);
            let said = process::output(run.arg(images.join(image(regions))))?;
            all.push((read(&said)?, start.elapsed()));
            Ok(())
        });
        took?;
    }
    Ok(Page {
        name: "regions",
        title: "3, 7 and 20 regions in virtual time",
        arguments: format!("regions --runs {runs}"),
        body: write(&all),
        panels: Vec::new(),
    })
}

fn image(regions: u32) -> String {
    format!("regions-{regions}.svg")
}

fn read(said: &str) -> Result<Totals> {
    let Some(line) = said.lines().find_map(|line| line.strip_prefix("regions: ")) else {
        bail!("the simulation said nothing of its runs:\n{said}");
    };
    serde_json::from_str(line).with_context(|| format!("`{line}` says nothing of runs"))
}

fn write(all: &[(Totals, Duration)]) -> String {
    let mut body = format!(
        "{METHOD}\n| regions | seeds | virtual hours | most players | shocks | views | records | share changes | changes by AutoScalers | \
         short, s | waiting, s | invariants broken | wall time, s |\n|--:|{}\n",
        "--:|".repeat(12)
    );
    for (totals, took) in all {
        let _infallible = writeln!(
            body,
            "| {} | {} | {:.1} | {} | {} | {} | {} | {} | {} | {} | {} | 0 | {:.1} |",
            totals.regions,
            totals.seeds,
            f64::from(totals.seconds) / 3600.0,
            totals.players_max,
            totals.shocks.values().sum::<u32>(),
            totals.views,
            totals.records,
            totals.share_changes,
            totals.scalings,
            totals.short_seconds_max,
            totals.waiting_seconds_max,
            took.as_secs_f64()
        );
    }
    body.push_str(LEGEND);
    let sizes: Vec<String> = all.iter().map(|(totals, _)| format!("{} regions", totals.regions)).collect();
    let _infallible =
        write!(body, "\n| shocks | {} |\n|---|{}\n", sizes.join(" | "), "--:|".repeat(sizes.len()));
    for kind in all.first().map(|(totals, _)| totals.shocks.keys()).into_iter().flatten() {
        let counts = all.iter().map(|(totals, _)| totals.shocks.get(kind).copied().unwrap_or_default());
        let counts: Vec<String> = counts.map(|count| count.to_string()).collect();
        let _infallible = writeln!(body, "| {kind} | {} |", counts.join(" | "));
    }
    for (totals, _) in all {
        let regions = totals.regions;
        let alternative =
            format!("What happened to {regions} regions, and players, servers and the view meanwhile");
        let _infallible = write!(
            body,
            "\n## {regions} regions, the first seed\n\n![{alternative}]({IMAGES}/{})\n",
            image(regions)
        );
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = "regions: {\"regions\": 7, \"seeds\": 2, \"seconds\": 5400, \"shocks\": {\"cut off\": 3, \"order\": 1}, \
        \"views\": 9, \"records\": 8, \"share_changes\": 70, \"scalings\": 6, \"short_seconds_max\": 11, \"waiting_seconds_max\": 5, \
        \"players_max\": 99000}";

    #[test]
    fn a_page_has_a_line_and_a_picture_for_each_size() {
        let totals = read(&format!("   Compiling\n{LINE}\n")).unwrap();
        let page = write(&[(totals, Duration::from_millis(1500))]);
        assert!(page.contains("| 7 | 2 | 1.5 | 99000 | 4 | 9 | 8 | 70 | 6 | 11 | 5 | 0 | 1.5 |"), "{page}");
        assert!(page.contains("| cut off | 3 |\n| order | 1 |\n"), "{page}");
        assert!(page.contains("](../images/regions-7.svg)"), "{page}");
        assert!(read("error: it broke").is_err());
    }
}
