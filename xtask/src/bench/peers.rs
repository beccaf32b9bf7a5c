//! How many players a core takes: our server and what else one could have taken, under the same load, in the same minutes.

mod build;
mod contenders;
mod figures;
mod goals;
mod report;
mod said;
mod search;
mod seed;
mod server;
mod trial;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

use self::build::Programs;
use self::contenders::{ALL, Contender, RATES};
use self::figures::{Figures, Verdict};
use self::said::Said;
use self::search::{Search, VOID_MAX};
use self::seed::Seed;
use self::trial::Setup;
use super::page::{self, Page, Panel, Runs};
use crate::checkout::Checkout;
use crate::clock;
use crate::progress::Progress;

/// Clients of a smoke test.
const SMOKE_CLIENTS: u32 = 20;

/// Ticks a second at which latencies are shown by players, if they are among those that are measured.
const LATENCY_HZ: u32 = 64;

/// Players by which latencies are shown.
const PLAYERS: [u32; 4] = [10, 100, 300, 1000];

/// Goes up when what is measured, or how, is no longer as in the runs that are kept.
const METHOD: u32 = 5;

/// In which order a run measures rates: first what the fewest of the kept runs have, so that runs that are cut off add up evenly.
fn in_turn(rates: &[u32], kept: &[&Results]) -> Vec<u32> {
    let mut rates = rates.to_vec();
    rates.sort_by_key(|rate| kept.iter().filter(|run| run.has(*rate)).count());
    rates
}

/// What is measured of peers, and how much.
#[derive(Debug, clap::Args)]
pub(super) struct Options {
    /// Of peers these alone, separated by commas; what is found is then printed, and neither kept nor on the page
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(contenders::names()))]
    only: Vec<String>,
    /// Of peers the ticks a second; others than all four are printed alone
    #[arg(long, value_delimiter = ',', default_values_t = RATES, value_parser = clap::value_parser!(u32).range(1..=128))]
    rates: Vec<u32>,
    /// Of peers the players by which latency is shown, at 64 Hz; others than these are printed alone
    #[arg(long, value_delimiter = ',', default_values_t = PLAYERS, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    players: Vec<u32>,
    /// Of peers only whether each is built and answers twenty clients for a second; no page
    #[arg(long)]
    smoke: bool,
    /// Of peers begin the page anew instead of adding to the runs that are kept
    #[arg(long)]
    fresh: bool,
    /// Of peers write the page of the runs that are kept, and measure nothing
    #[arg(long)]
    page: bool,
}

impl Options {
    /// Whether a run is one for the page.
    fn is_whole(&self) -> bool {
        self.only.is_empty() && self.rates == RATES && self.players == PLAYERS
    }
}

/// One trial.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Trial {
    name: String,
    rate: u32,
    players: u32,
    /// None if the server did not start or ended, not all could join, or the load failed.
    figures: Option<Figures>,
    verdict: Verdict,
}

/// A trial in the log.
#[derive(Serialize)]
struct Logged<'a> {
    run: u8,
    /// With the starts of the server and of the load.
    took_ms: u128,
    #[serde(flatten)]
    trial: &'a Trial,
}

/// What a search found.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Capacity {
    name: String,
    rate: u32,
    /// The most players that held; 0 if none did.
    holds: u32,
    /// The fewest that failed, or cannot be had; none if more may hold than could be tried.
    fails: Option<u32>,
    /// Trials that said nothing.
    voids: u32,
}

/// What a run has measured so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Results {
    seed: Seed,
    latency: Vec<Trial>,
    capacity: Vec<Capacity>,
}

impl Results {
    /// Which rates there are, for the page.
    fn part(&self) -> String {
        let rates: Vec<String> = RATES.iter().filter(|rate| self.has(**rate)).map(u32::to_string).collect();
        format!("{} Hz", rates.join(", "))
    }

    fn has(&self, rate: u32) -> bool {
        self.capacity.iter().any(|found| found.rate == rate)
    }
}

/// Measures, or only tries with `--smoke`. What a run has found is kept after each rate, and the page of all that is kept written anew:
/// whoever ends it early loses the rate that was going on.
pub(super) fn measure(checkout: &Checkout, runs: u8, options: &Options) -> Result<()> {
    let is_wanted = |contender: &&Contender| {
        options.only.is_empty() || options.only.iter().any(|name| name == contender.name)
    };
    let contenders: Vec<&'static Contender> = ALL.iter().filter(is_wanted).collect();
    let progress = Progress::new();
    // before anything is built: the tree may be another by the time a run has results
    let mut kept = Runs::open(checkout, "peers", METHOD, page::source(checkout)?)?;
    if options.fresh {
        kept.forget();
    }
    let programs = Programs::build(checkout, &progress, &contenders)?;
    for (name, missing) in programs.missing() {
        progress.say(&format!("{name} is left out: {missing}"));
    }
    if options.smoke {
        return smoke(&programs, &progress);
    }
    let write = |kept: &Runs<Results>| -> Result<()> {
        let all: Vec<&Results> = kept.all().iter().map(|run| &run.results).collect();
        let body = report::body(&contenders, &programs, options, &all);
        let panels = report::panels(&contenders, options, &all);
        page::write_kept(checkout, &page_of(kept.all().len(), body, panels), kept.all(), Results::part)
    };
    if options.page {
        return write(&kept);
    }
    let log = checkout.log("peers").with_extension("jsonl");
    let mut printed: Vec<Results> = Vec::new();
    for run in 1..=runs {
        let bench = Bench { run, runs, programs: &programs, progress: &progress, log: &log };
        let before: Vec<&Results> = kept.all().iter().map(|run| &run.results).collect();
        let rates = in_turn(&options.rates, &before);
        let mut is_kept = false;
        let mut keep = |results: &Results| -> Result<()> {
            if is_kept {
                kept.renew(results.clone())?;
            } else {
                kept.add(results.clone())?;
                is_kept = true;
            }
            write(&kept)
        };
        if options.is_whole() {
            bench.run(options, &rates, &mut keep)?;
        } else {
            printed.push(bench.run(options, &rates, &mut |_| Ok(()))?);
            let all: Vec<&Results> = printed.iter().collect();
            progress.say(&report::body(&contenders, &programs, options, &all));
        }
    }
    progress.say(&format!("each trial: {}", log.display()));
    Ok(())
}

fn page_of(runs: usize, body: String, panels: Vec<Panel>) -> Page {
    let arguments = format!("peers --runs {runs}");
    Page { name: "peers", title: "Players a core, beside other servers", arguments, body, panels }
}

/// Whether everyone who could be built answers.
fn smoke(programs: &Programs, progress: &Progress) -> Result<()> {
    let mut silent = Vec::new();
    for contender in programs.built() {
        let said = Setup::smoke(programs, contender, LATENCY_HZ, SMOKE_CLIENTS).run();
        match said.map(|said| (said.figures(), said)) {
            Ok((Some(figures), _)) if figures.joined == SMOKE_CLIENTS && figures.p50_ms > 0.0 => {
                progress.say(&format!("{}: {figures}", contender.name));
            }
            Ok((Some(figures), _)) => silent.push(format!("{}: {figures}", contender.name)),
            Ok((None, said)) => silent.push(format!("{}: {said:?}", contender.name)),
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
    /// `keep` gets what there is after each rate.
    fn run(
        &self,
        options: &Options,
        rates: &[u32],
        keep: &mut dyn FnMut(&Results) -> Result<()>,
    ) -> Result<Results> {
        let seed = Seed::draw()?;
        let mut results = Results { seed, latency: self.latencies(options)?, capacity: Vec::new() };
        for &rate in rates {
            let found = self.capacities(rate, seed)?;
            for Capacity { name, holds, fails, voids, .. } in &found {
                let fails =
                    fails.map_or_else(|| "nothing failed".to_owned(), |fails| format!("{fails} failed"));
                self.progress.say(&format!("{rate} Hz, {name}: {holds} held, {fails}, {voids} void trials"));
            }
            results.capacity.extend(found);
            keep(&results)?;
        }
        Ok(results)
    }

    /// Each number of players on each in turn.
    fn latencies(&self, options: &Options) -> Result<Vec<Trial>> {
        let rate = report::latency_hz(&options.rates);
        let mut all = Vec::new();
        for &players in &options.players {
            let name = format!("latency with {players} players at {rate} Hz, {} of {}", self.run, self.runs);
            all.extend(self.progress.step(&name, |_| {
                let contenders = self.programs.built().filter(|contender| players <= contender.players_max);
                contenders.map(|contender| self.latency(contender, rate, players)).collect::<Result<Vec<_>>>()
            })?);
        }
        Ok(all)
    }

    /// Again where the load was late, or nothing came of it: that says nothing.
    fn latency(&self, contender: &'static Contender, rate: u32, players: u32) -> Result<Trial> {
        let mut trial = self.trial(contender, rate, players)?;
        for _ in 1..VOID_MAX {
            if !trial.verdict.is_void() {
                break;
            }
            trial = self.trial(contender, rate, players)?;
        }
        Ok(trial)
    }

    /// A step of each one's search in turn, until all have ended.
    fn capacities(&self, rate: u32, seed: Seed) -> Result<Vec<Capacity>> {
        let name = format!("players a core at {rate} Hz, {} of {}", self.run, self.runs);
        let search = |contender: &'static Contender| {
            (contender, Search::new(contender.players_max, seed.start(contender.about_held(rate), rate)))
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
        Ok(searches.into_iter().map(|(contender, search)| capacity(contender, rate, &search)).collect())
    }

    fn trial(&self, contender: &'static Contender, rate: u32, players: u32) -> Result<Trial> {
        let begun = clock::now();
        let said = Setup::whole(self.programs, contender, rate, players)
            .run()
            .with_context(|| format!("failed to try {} with {players} players", contender.name))?;
        let took_ms = begun.elapsed().as_millis();
        let verdict = said.verdict(contender, rate, players);
        if let Said::Unusable(why) = &said {
            self.progress
                .say(&format!("{} with {players} players at {rate} Hz is void: {why}", contender.name));
        }
        let figures = said.figures();
        let trial = Trial { name: contender.name.to_owned(), rate, players, figures, verdict };
        let line = serde_json::to_string(&Logged { run: self.run, took_ms, trial: &trial })? + "\n";
        let file = OpenOptions::new().create(true).append(true).open(self.log);
        file.and_then(|mut file| file.write_all(line.as_bytes()))
            .with_context(|| format!("failed to write {}", self.log.display()))?;
        Ok(trial)
    }
}

/// What a search that has ended says of a server. One that cannot have more players than it holds with fails with one more.
fn capacity(contender: &Contender, rate: u32, search: &Search) -> Capacity {
    let holds = search.found();
    let is_full = contender.is_full_then && holds == contender.players_max;
    let fails = search.failed().or_else(|| is_full.then_some(holds + 1));
    Capacity { name: contender.name.to_owned(), rate, holds, fails, voids: search.voids() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_can_have_no_more_fails_with_one_more_and_a_load_that_can_be_no_more_says_nothing() {
        for (name, fails) in [("renet", Some(1025)), ("toy", None)] {
            let contender = ALL.iter().find(|contender| contender.name == name).unwrap();
            let most = contender.players_max;
            let mut search = Search::new(most, most);
            search.learn(most, &Verdict::Holds);
            let found = capacity(contender, 64, &search);
            assert_eq!((found.holds, found.fails), (most, fails), "{name}");
        }
    }

    #[test]
    fn only_a_run_of_everything_is_for_the_page() {
        let whole = || Options {
            only: Vec::new(),
            rates: RATES.to_vec(),
            players: PLAYERS.to_vec(),
            smoke: false,
            fresh: false,
            page: false,
        };
        assert!(whole().is_whole());
        assert!(!Options { only: vec!["go".to_owned()], ..whole() }.is_whole());
        assert!(!Options { rates: vec![64], ..whole() }.is_whole());
        assert!(!Options { players: vec![10], ..whole() }.is_whole());
    }

    #[test]
    fn what_a_run_found_is_kept_as_it_was() {
        let figures = Some(Figures { joined: 10, p99_ms: 2.0, ..Figures::default() });
        let verdict = Verdict::Fails { why: "p99".to_owned(), by_far: true };
        let name = "go".to_owned();
        let capacity = Capacity { name: name.clone(), rate: 64, holds: 10, fails: None, voids: 1 };
        let trial = Trial { name, rate: 64, players: 10, figures, verdict };
        let seed = Seed::draw().unwrap();
        let results = Results { seed, latency: vec![trial], capacity: vec![capacity] };
        let line = serde_json::to_string(&results).unwrap();
        let again: Results = serde_json::from_str(&line).unwrap();
        assert_eq!(serde_json::to_string(&again).unwrap(), line);
        assert_eq!((again.latency[0].figures, again.seed), (figures, seed));
    }

    #[test]
    fn a_run_that_was_cut_off_says_which_rates_it_has() {
        let found = |rate| Capacity { name: "go".to_owned(), rate, holds: 10, fails: None, voids: 0 };
        let run = Results { capacity: vec![found(20), found(20), found(30)], ..Results::default() };
        assert_eq!(run.part(), "20, 30 Hz");
    }

    #[test]
    fn a_run_begins_with_the_rates_that_the_fewest_runs_have() {
        let found =
            |rate: &u32| Capacity { name: "go".to_owned(), rate: *rate, holds: 10, fails: None, voids: 0 };
        let run =
            |rates: &[u32]| Results { capacity: rates.iter().map(found).collect(), ..Results::default() };
        for (case, kept, order) in [
            ("none is kept", vec![], RATES),
            ("all have all", vec![run(&RATES), run(&RATES)], RATES),
            ("one was cut off", vec![run(&[20, 30, 64])], [128, 20, 30, 64]),
            ("two were, elsewhere", vec![run(&[20, 30, 64]), run(&[128, 20])], [30, 64, 128, 20]),
        ] {
            assert_eq!(in_turn(&RATES, &kept.iter().collect::<Vec<_>>()), order, "{case}");
        }
    }
}
