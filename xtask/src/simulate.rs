//! `simulate`: game servers and players in virtual time, one random seed after the other, until the time is over.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::checkout::Checkout;
use crate::clock;
use crate::target::{self, cargo};

/// The simulation's name, as a package and as a program.
const SIMULATOR: &str = "gameserver-simulator";
/// Virtual hours of one seed, so that many are tried.
const HOURS_A_SEED: f64 = 0.05;

/// Has the allocator ask for huge pages; others than that of glibc do not heed it.
const MALLOC: (&str, &str) = ("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1");

/// `cargo xtask simulate`
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Hours of real time; seeds that have begun then are run to their end
    #[arg(long, default_value_t = 1.0, value_parser = hours)]
    hours: f64,
    /// The first seed; the others follow from it. Random if none is given
    #[arg(long)]
    seed: Option<u64>,
    /// Players of a run
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u16).range(1..=20_000))]
    clients: u16,
    /// What goes wrong: all, none, or some of crashes, drains, vanishing, bursts, hostile and scarcity, with commas between
    #[arg(long, default_value = "all")]
    faults: String,
    /// Seeds that run at a time; as many as there are CPUs if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=256))]
    jobs: Option<u16>,
}

fn hours(text: &str) -> Result<f64, String> {
    let hours: f64 = text.parse().map_err(|error| format!("{error}"))?;
    // a month, and not what is no number
    if (0.0..=720.0).contains(&hours) { Ok(hours) } else { Err("0 to 720 hours".to_owned()) }
}

/// The seed after this one (`SplitMix64`).
fn next_seed(seed: u64) -> u64 {
    let value = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

/// Seeds that are run, and what came of them.
#[derive(Debug)]
struct Seeds {
    next: u64,
    started: usize,
    ended: usize,
    failed: Vec<u64>,
}

impl Seeds {
    fn from(first: u64) -> Self {
        Self { next: first, started: 0, ended: 0, failed: Vec::new() }
    }

    /// The next one; none when the time is over, but one at least.
    fn take(&mut self, is_over: bool) -> Option<u64> {
        if is_over && self.started > 0 {
            return None;
        }
        let seed = self.next;
        self.next = next_seed(seed);
        self.started += 1;
        Some(seed)
    }

    fn end(&mut self, seed: u64, passed: bool) {
        self.ended += 1;
        if !passed {
            self.failed.push(seed);
        }
    }

    /// How it went, in a line, and how to see again what failed.
    fn verdict(&self, again: impl Fn(u64) -> Vec<String>) -> String {
        if self.failed.is_empty() {
            return format!("{} seeds, none failed", self.ended);
        }
        let command = |seed: &u64| {
            format!("seed {seed}: cargo run --release -p {SIMULATOR} -- {}", again(*seed).join(" "))
        };
        let head = format!("{} seeds, {} failed", self.ended, self.failed.len());
        let lines: Vec<_> = std::iter::once(head).chain(self.failed.iter().map(command)).collect();
        lines.join("\n")
    }
}

/// Runs seeds until the time is over; fails if any did.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let checkout = Checkout::locate()?;
    let program = build(&checkout)?;
    let limit = Duration::try_from_secs_f64(args.hours * 3600.0)?;
    let first = args.seed.unwrap_or_else(|| next_seed(clock::unix_ms()));
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let jobs = args.jobs.map_or(cpus, usize::from);
    eprintln!("seeds from {first}, {jobs} at a time, for {} hours", args.hours);

    let (start, seeds) = (clock::now(), Mutex::new(Seeds::from(first)));
    thread::scope(|scope| {
        let work = || run_seeds(args, &program, &seeds, start, limit);
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        let ends = workers.into_iter().map(|worker| worker.join().unwrap_or_else(|_| bail!("a thread died")));
        // each is waited for
        ends.collect::<Vec<_>>().into_iter().collect::<Result<()>>()
    })?;
    let seeds = seeds.into_inner().unwrap_or_else(PoisonError::into_inner);
    println!("{}", seeds.verdict(|seed| arguments(args, seed)));
    Ok(if seeds.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn build(checkout: &Checkout) -> Result<PathBuf> {
    let mut compiler = cargo(checkout)?;
    compiler.args(["build", "--locked", "--release", "--package", SIMULATOR]);
    let status = compiler.status().context("failed to start cargo")?;
    ensure!(status.success(), "the simulator does not compile");
    Ok(target::directory(checkout).join("release").join(SIMULATOR))
}

fn arguments(args: &Args, seed: u64) -> Vec<String> {
    vec![
        format!("--seed={seed}"),
        format!("--hours={HOURS_A_SEED}"),
        format!("--clients={}", args.clients),
        format!("--faults={}", args.faults),
    ]
}

/// One seed after the other.
fn run_seeds(
    args: &Args,
    program: &Path,
    seeds: &Mutex<Seeds>,
    start: Instant,
    limit: Duration,
) -> Result<()> {
    let seeds = || seeds.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let next = seeds().take(start.elapsed() >= limit);
        let Some(seed) = next else { return Ok(()) };
        let mut simulator = Command::new(program);
        simulator.args(arguments(args, seed)).stdin(Stdio::null());
        // what all players know of each other is read all over the place, and few entries of the TLB do for it
        if std::env::var_os(MALLOC.0).is_none() {
            simulator.env(MALLOC.0, MALLOC.1);
        }
        // how it goes, what it found, and how to see it again, it says itself
        let status = simulator.status().with_context(|| format!("failed to start {}", program.display()))?;
        match status.code() {
            Some(code @ (0 | 1)) => seeds().end(seed, code == 0),
            _ => bail!("seed {seed} did not run to its end: {status}"),
        }
        let Seeds { ended, failed, .. } = &*seeds();
        let minutes = start.elapsed().as_secs() / 60;
        eprintln!("{ended} seeds in {minutes} of {} minutes, {} failed", limit.as_secs() / 60, failed.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_that_failed_are_named_with_how_to_see_them_again() {
        let mut seeds = Seeds::from(7);
        seeds.end(7, true);
        let again = |seed: u64| vec![format!("--seed={seed}"), "--clients=3".to_owned()];
        assert_eq!(seeds.verdict(again), "1 seeds, none failed");
        seeds.end(9, false);
        assert_eq!(
            seeds.verdict(again),
            "2 seeds, 1 failed\nseed 9: cargo run --release -p gameserver-simulator -- --seed=9 --clients=3"
        );
    }

    #[test]
    fn the_first_seed_is_run_however_short_the_time_is_and_no_other_after_it() {
        let mut seeds = Seeds::from(7);
        assert_eq!(seeds.take(true), Some(7));
        assert_eq!(seeds.take(true), None);
        assert_eq!(seeds.take(false), Some(next_seed(7)));
    }

    #[test]
    fn seeds_follow_from_the_first_and_do_not_repeat() {
        let all = std::iter::successors(Some(1), |&seed| Some(next_seed(seed)));
        let mut seeds: Vec<_> = all.take(1000).collect();
        seeds.sort_unstable();
        seeds.dedup();
        assert_eq!(seeds.len(), 1000);
    }

    #[test]
    fn hours_are_a_month_at_most() {
        for (text, is_good) in [
            ("0.5", true),
            ("0", true),
            ("720", true),
            ("721", false),
            ("-1", false),
            ("NaN", false),
            ("x", false),
        ] {
            assert_eq!(hours(text).is_ok(), is_good, "{text}");
        }
    }
}
