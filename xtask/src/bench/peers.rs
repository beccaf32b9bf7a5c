//! How many players a core takes: our server and what else one could have taken, under the same load, in the same minutes.

mod build;
mod contenders;
mod goals;
mod report;
mod search;
mod trial;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::Serialize;

use self::build::Programs;
use self::contenders::{ALL, Contender};
use self::search::Search;
use self::trial::{Figures, Verdict};
use super::page::{self, Page};
use crate::checkout::Checkout;
use crate::progress::Progress;

/// Clients of a smoke test.
const SMOKE_CLIENTS: u32 = 20;

/// Ticks a second at which latencies are shown by players, if they are among those that are measured.
const LATENCY_HZ: u32 = 64;

/// What is measured of peers, and how much.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Of peers these alone, separated by commas; the page is then printed and not written
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(contenders::names()))]
    only: Vec<String>,
    /// Of peers the ticks a second
    #[arg(long, value_delimiter = ',', default_values_t = [20, 30, 64, 128], value_parser = clap::value_parser!(u32).range(1..=128))]
    rates: Vec<u32>,
    /// Of peers the players by which latency is shown, at 64 Hz
    #[arg(long, value_delimiter = ',', default_values_t = [10, 100, 300, 1000], value_parser = clap::value_parser!(u32).range(1..=10_000))]
    players: Vec<u32>,
    /// Of peers only whether each is built and answers twenty clients for a second; no page
    #[arg(long)]
    smoke: bool,
}

/// One trial, as it is kept beside the logs.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Trial {
    run: u8,
    name: &'static str,
    rate: u32,
    players: u32,
    /// None if nobody could join or it ended.
    figures: Option<Figures>,
    verdict: Verdict,
}

/// What a search found.
#[derive(Debug, Clone, Copy)]
struct Capacity {
    name: &'static str,
    rate: u32,
    players: u32,
    /// Whether it ended at what the load or the server can have, and not at what holds.
    is_bound: bool,
}

/// All that was measured.
#[derive(Debug, Default)]
struct Results {
    latency: Vec<Trial>,
    capacity: Vec<Capacity>,
}

/// Measures, or only tries with `--smoke`. The page is there after the first run and written anew after each: whoever ends it
/// early has the runs before.
pub(super) fn measure(checkout: &Checkout, runs: u8, options: &Options) -> Result<()> {
    let is_wanted = |contender: &&Contender| {
        options.only.is_empty() || options.only.iter().any(|name| name == contender.name)
    };
    let contenders: Vec<&'static Contender> = ALL.iter().filter(is_wanted).collect();
    let progress = Progress::new();
    let programs = Programs::build(checkout, &progress, &contenders)?;
    for (name, missing) in programs.missing() {
        progress.say(&format!("{name} is left out: {missing}"));
    }
    if options.smoke {
        return smoke(&programs, &progress);
    }
    let log = checkout.log("peers").with_extension("jsonl");
    let mut results = Results::default();
    for run in 1..=runs {
        let mut bench = Bench { run, runs, programs: &programs, progress: &progress, log: &log };
        bench.latencies(options, &mut results)?;
        for &rate in &options.rates {
            bench.capacities(rate, &mut results)?;
        }
        let body = report::body(&contenders, &programs, options, &results);
        if options.only.is_empty() {
            page::write(checkout, &page_of(run, body))?;
        } else {
            progress.say(&body);
        }
    }
    progress.say(&format!("each trial: {}", log.display()));
    Ok(())
}

fn page_of(runs: u8, body: String) -> Page {
    let arguments = format!("peers --runs {runs}");
    Page { name: "peers", title: "Players a core, beside other servers", arguments, body }
}

/// About how many a contender should have, by what was found of it: at this rate, or else in proportion at the last one. Every
/// trial that is not needed to find the way is one that everybody else waits for.
fn before(found: &[Capacity], name: &str, rate: u32) -> Option<u32> {
    let of_it = || found.iter().rev().filter(|capacity| capacity.name == name && capacity.players > 0);
    let at_it = of_it().find(|capacity| capacity.rate == rate);
    let last = at_it.or_else(|| of_it().next())?;
    Some(last.players * last.rate / rate)
}

/// Whether everyone who could be built answers.
fn smoke(programs: &Programs, progress: &Progress) -> Result<()> {
    let mut silent = Vec::new();
    for contender in programs.built() {
        let figures = trial::smoke(programs, contender, LATENCY_HZ, SMOKE_CLIENTS);
        if let Ok(figures) = &figures {
            progress.say(&format!("{}: {figures}", contender.name));
        }
        match figures {
            Ok(figures) if figures.joined == SMOKE_CLIENTS && figures.p50_ms > 0.0 => {}
            Ok(figures) => silent.push(format!("{}: {figures}", contender.name)),
            Err(error) => silent.push(format!("{}: {error:#}", contender.name)),
        }
    }
    if !silent.is_empty() {
        bail!("these do not answer {SMOKE_CLIENTS} clients:\n{}", silent.join("\n"));
    }
    Ok(())
}

/// One run over everything.
struct Bench<'a> {
    run: u8,
    runs: u8,
    programs: &'a Programs,
    progress: &'a Progress,
    log: &'a Path,
}

impl Bench<'_> {
    /// Each number of players on each in turn.
    fn latencies(&mut self, options: &Options, results: &mut Results) -> Result<()> {
        let rate = report::latency_hz(&options.rates);
        for &players in &options.players {
            let name = format!("latency with {players} players at {rate} Hz, {} of {}", self.run, self.runs);
            results.latency.extend(self.progress.step(&name, |_| {
                let players_of = |contender: &Contender| players.min(contender.players_max) == players;
                let contenders = self.programs.built().filter(|contender| players_of(contender));
                contenders.map(|contender| self.trial(contender, rate, players)).collect::<Result<Vec<_>>>()
            })?);
        }
        Ok(())
    }

    /// A step of each one's search in turn, until all have ended.
    fn capacities(&mut self, rate: u32, results: &mut Results) -> Result<()> {
        let name = format!("players a core at {rate} Hz, {} of {}", self.run, self.runs);
        let search = |contender: &'static Contender| {
            let before = before(&results.capacity, contender.name, rate);
            (contender, Search::new(contender.players_max, before))
        };
        let mut searches: Vec<_> = self.programs.built().map(search).collect();
        self.progress.step(&name, |step| {
            loop {
                let mut has_tried = false;
                for (contender, search) in &mut searches {
                    let Some(players) = search.next() else { continue };
                    step.note(&format!("{players} on {}", contender.name));
                    search.learn(players, &self.trial(contender, rate, players)?.verdict);
                    has_tried = true;
                }
                if !has_tried {
                    return Ok(());
                }
            }
        })?;
        results.capacity.extend(searches.into_iter().map(|(contender, search)| Capacity {
            name: contender.name,
            rate,
            players: search.found(),
            is_bound: search.is_bound(),
        }));
        Ok(())
    }

    fn trial(&self, contender: &'static Contender, rate: u32, players: u32) -> Result<Trial> {
        let (figures, verdict) = match trial::run(self.programs, contender, rate, players) {
            Ok(figures) => (Some(figures), figures.verdict(contender, rate, players)),
            // a server that ends under its load has failed, and the others go on
            Err(error) => (None, Verdict::Fails { why: format!("{error:#}"), by_far: true }),
        };
        let trial = Trial { run: self.run, name: contender.name, rate, players, figures, verdict };
        let line = serde_json::to_string(&trial)? + "\n";
        let file = OpenOptions::new().create(true).append(true).open(self.log);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("failed to write {}", self.log.display()))?;
        Ok(trial)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_begins_at_what_the_run_before_found_or_else_the_rate_before_in_proportion() {
        let found = |name, rate, players| Capacity { name, rate, players, is_bound: false };
        let all = [found("go", 20, 3000), found("go", 64, 1000), found("enet", 20, 0), found("go", 20, 2700)];
        let cases =
            [("go", 20, Some(2700)), ("go", 64, Some(1000)), ("go", 30, Some(1800)), ("enet", 20, None)];
        for (name, rate, expected) in cases {
            assert_eq!(before(&all, name, rate), expected, "{name} at {rate} Hz");
        }
    }
}
