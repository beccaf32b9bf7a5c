//! Benches of one server under bots: ours and the toy in turn (`bots bench`), more inputs than a tick carries out
//! (`bots overload`), and garbage beside the players (`bots hostile`). Runs take turns, so that all share the same minutes.

mod failure;
mod hostile;
mod overload;
mod scrape;
mod server;
mod trial;

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Context;
use gameserver_access::secure_bytes;
use gameserver_sys::observe_cpus;
use serde_json::{Value, json};

use crate::args::BenchArgs;
use crate::swarm::Ticket;
use failure::Failure;
use server::{Launch, Server};
use trial::Trial;

pub(crate) use hostile::run as run_hostile;
pub(crate) use overload::run as run_overload;

/// Figures of a run that are summed up over runs, as paths into its JSON.
const SUMMARIZED: [&str; 13] = [
    "/latency_us/p50",
    "/latency_us/p99",
    "/latency_us/p999",
    "/server_cpu_percent",
    "/lateness_us_p99",
    "/zone/tick_wait_us_p50",
    "/zone/tick_wait_us_p99",
    "/zone/tick_receive_us_p50",
    "/zone/tick_receive_us_p99",
    "/zone/tick_work_us_p50",
    "/zone/tick_work_us_p99",
    "/zone/tick_flush_us_p50",
    "/zone/tick_flush_us_p99",
];

/// Who is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Contender {
    /// Our server over a datagram backend, by its name on the command line.
    Gameserver(String),
    Toy,
}

impl Contender {
    fn name(&self) -> String {
        match self {
            Self::Gameserver(backend) => format!("gameserver-{backend}"),
            Self::Toy => "toy".to_owned(),
        }
    }
}

pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<()> {
    let cpus = cpus()?;
    let mut contenders: Vec<_> = args.backends.iter().cloned().map(Contender::Gameserver).collect();
    contenders.extend(args.toy.as_ref().map(|_| Contender::Toy));
    let mut runs = Vec::new();
    for run in 0..args.runs {
        for contender in &contenders {
            let figures = one_run(args, contender, cpus)
                .or_else(|error| {
                    tell_failure(args.out.as_deref(), &error)?;
                    Err(error)
                })
                .with_context(|| format!("run {run} of {} failed", contender.name()))?;
            tracing::info!(run, "{figures}");
            runs.push(figures);
        }
    }
    let names = contenders.iter().map(Contender::name);
    let results = json!({
        "players": args.players,
        "tick_hz": args.play.tick_hz,
        "input_hz": args.play.input_hz,
        "duration_seconds": args.duration.as_secs_f64(),
        "cpus": observe_cpus()?.online,
        "kernel": fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim(),
        "summary": names.map(|name| summary(&name, &runs, &SUMMARIZED)).collect::<Vec<_>>(),
        "runs": runs,
    });
    tell(args.out.as_deref(), &results)
}

fn one_run(args: &BenchArgs, contender: &Contender, cpus: Cpus) -> anyhow::Result<Value> {
    let (players, tick_hz) = (args.players, args.play.tick_hz);
    let trial = Trial {
        name: contender.name(),
        players,
        play: args.play.into(),
        duration: args.duration,
        join_limit: args.join_limit,
        flood: None,
    };
    match contender {
        Contender::Gameserver(backend) => {
            let (program, more) = (&args.gameserver, more(args));
            game_run(&trial, &Launch { program, backend, capacity: players, tick_hz, more: &more }, cpus)
        }
        Contender::Toy => {
            let toy = args.toy.as_deref().context("--toy is needed to run it")?;
            trial.run(&Server::toy(toy, tick_hz)?, Ticket::Toy, cpus)
        }
    }
}

/// Arguments of the game server that it has only when they were asked for.
fn more(args: &BenchArgs) -> Vec<String> {
    let options =
        [("--replication-hz", args.replication_hz), ("--max-commands-per-tick", args.max_commands_per_tick)];
    let given = options.into_iter().filter_map(|(name, value)| Some([name.to_owned(), value?.to_string()]));
    given.flatten().collect()
}

/// A run on a game server of its own, with a key of its own.
fn game_run(trial: &Trial, launch: &Launch<'_>, cpus: Cpus) -> anyhow::Result<Value> {
    let key = secure_bytes::<32>();
    trial.run(&Server::game(launch, &key)?, Ticket::Key(key), cpus)
}

/// Who runs where; a server takes the first CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cpus {
    bots: usize,
    /// One of its own where there is a third.
    flood: usize,
}

fn cpus() -> anyhow::Result<Cpus> {
    share_out(&observe_cpus()?.allowed).context("a bench needs a CPU for the server and one for the bots")
}

fn share_out(allowed: &[usize]) -> Option<Cpus> {
    let bots = *allowed.get(1)?;
    Some(Cpus { bots, flood: allowed.get(2).copied().unwrap_or(bots) })
}

/// Writes the results to a file, or to standard output.
fn tell(out: Option<&Path>, results: &Value) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(results)? + "\n";
    match out {
        Some(path) => fs::write(path, text).with_context(|| format!("failed to write {}", path.display())),
        None => write!(std::io::stdout(), "{text}").context("failed to print the results"),
    }
}

/// Writes in the place of the results what a server did, if that is why there are none.
fn tell_failure(out: Option<&Path>, error: &anyhow::Error) -> anyhow::Result<()> {
    error.downcast_ref::<Failure>().map_or(Ok(()), |failure| tell(out, &failure.json()))
}

/// Minimum, median and maximum of each figure over the runs of one server that are not void, where each of them has it, and how many of both there are. The
/// median of an even number is the mean of the two in the middle.
fn summary(server: &str, runs: &[Value], paths: &[&str]) -> Value {
    let of_server = runs.iter().filter(|figures| figures["server"] == server);
    let (valid, void): (Vec<_>, Vec<_>) = of_server.partition(|figures| figures["void"] == json!(false));
    let mut summary = json!({ "server": server, "valid_runs": valid.len(), "void_runs": void.len() });
    for path in paths {
        let mut values: Vec<f64> =
            valid.iter().filter_map(|figures| figures.pointer(path)?.as_f64()).collect();
        values.sort_by(f64::total_cmp);
        // a figure that a run could not tell, such as one beyond the last bucket, would leave the milder runs alone
        if let (Some(min), Some(max)) = (values.first(), values.last())
            && values.len() == valid.len()
        {
            let (lower, upper) = (values[(values.len() - 1) / 2], values[values.len() / 2]);
            summary[&path[1..]] = json!({ "min": min, "median": f64::midpoint(lower, upper), "max": max });
        }
    }
    summary
}

/// Jain's index of fairness: 1 when all shares are the same, 1 / n when one has everything.
#[expect(clippy::cast_precision_loss, reason = "shares of a run are small numbers")]
fn jain(shares: &[u64]) -> f64 {
    let sum: u64 = shares.iter().sum();
    let squares: u64 = shares.iter().map(|share| share * share).sum();
    if squares == 0 { 1.0 } else { (sum as f64).powi(2) / (shares.len() as f64 * squares as f64) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    #[test]
    fn a_game_server_hears_only_of_what_somebody_asked_for() {
        let parse = |line: &str| match Args::try_parse_from(line.split(' ')).unwrap().command {
            Command::Bench(args) => more(&args),
            other => panic!("{other:?}"),
        };
        assert_eq!(parse("bots bench --gameserver x"), Vec::<String>::new());
        assert_eq!(parse("bots bench --gameserver x --replication-hz 64"), ["--replication-hz", "64"]);
        let line = "bots bench --gameserver x --max-commands-per-tick 8000";
        assert_eq!(parse(line), ["--max-commands-per-tick", "8000"]);
    }

    #[test]
    fn what_a_server_did_is_in_the_file_of_the_results_and_what_the_bots_did_is_not() {
        let out = std::env::temp_dir().join(format!("cranewing-bots-failure-{}.json", std::process::id()));
        let told = |error: anyhow::Error| {
            tell_failure(Some(&out), &error).unwrap();
            let text = fs::read_to_string(&out).ok()?;
            fs::remove_file(&out).unwrap();
            Some(serde_json::from_str::<Value>(&text).unwrap())
        };
        let too_few = Failure::TooFew { joined: 3, players: 10 };
        let error = anyhow::Error::from(too_few).context("run 0 failed");
        assert_eq!(told(error), Some(json!({ "joined": 3, "players": 10 })));
        let ended = Failure::ServerEnded("signal: 11".to_owned());
        assert_eq!(told(ended.into()), Some(json!({ "server_ended": "signal: 11" })));
        assert_eq!(told(anyhow::anyhow!("failed to pin the bots")), None);
    }

    #[test]
    fn a_summary_leaves_void_runs_out_and_counts_them() {
        let run = |p99, void| json!({ "server": "toy", "latency_us": { "p99": p99 }, "void": void });
        let runs = [run(30, false), run(10, false), run(20, false), run(999, true)];
        let summary = summary("toy", &runs, &SUMMARIZED);
        assert_eq!((&summary["valid_runs"], &summary["void_runs"]), (&json!(3), &json!(1)));
        assert_eq!(summary["latency_us/p99"], json!({ "min": 10.0, "median": 20.0, "max": 30.0 }));
    }

    #[test]
    fn a_figure_that_one_run_could_not_tell_is_not_that_of_the_others() {
        let run = |p99: Option<u32>| json!({ "server": "toy", "latency_us": { "p99": p99 }, "void": false });
        let summary = summary("toy", &[run(Some(10)), run(None), run(Some(20))], &SUMMARIZED);
        assert_eq!((&summary["valid_runs"], summary.get("latency_us/p99")), (&json!(3), None));
    }

    #[test]
    fn the_median_of_an_even_number_of_runs_favours_neither_side() {
        let run = |p99: u32| json!({ "server": "toy", "latency_us": { "p99": p99 }, "void": false });
        for (values, expected) in [(&[7][..], 7.0), (&[1, 2], 1.5), (&[9, 1, 2], 2.0), (&[4, 1, 9, 2], 3.0)] {
            let runs: Vec<_> = values.iter().copied().map(run).collect();
            let summary = summary("toy", &runs, &SUMMARIZED);
            assert_eq!(summary["latency_us/p99"]["median"], json!(expected), "{values:?}");
        }
    }

    #[test]
    fn server_bots_and_flood_have_a_cpu_each_where_there_are_three() {
        assert_eq!(share_out(&[4]), None);
        assert_eq!(share_out(&[4, 5]), Some(Cpus { bots: 5, flood: 5 }));
        assert_eq!(share_out(&[4, 5, 9, 10]), Some(Cpus { bots: 5, flood: 9 }));
    }

    #[test]
    fn equal_shares_are_fair_and_one_that_has_all_is_not() {
        for (shares, expected) in
            [(&[5, 5, 5, 5][..], 1.0), (&[20, 0, 0, 0], 0.25), (&[0, 0], 1.0), (&[1, 3], 0.8)]
        {
            assert!((jain(shares) - expected).abs() < 1e-9, "{shares:?}: {}", jain(shares));
        }
    }
}
