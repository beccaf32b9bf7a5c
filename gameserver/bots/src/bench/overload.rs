//! `bots overload`: as many inputs as a tick carries out, and several times as many, in turn.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::server::Launch;
use super::trial::Trial;
use super::{cpus, game_run, summary, tell};
use crate::args::OverloadArgs;
use crate::bot::Play;

/// Figures that are summed up over runs.
const SUMMARIZED: [&str; 12] = [
    "/jain",
    "/zone/tick_lateness_ticks_p99",
    "/zone/tick_work_us_p99",
    "/zone/late_ticks",
    "/zone/full_ticks",
    "/zone/applied",
    "/zone/shed",
    "/latency_us/p50",
    "/latency_us/p99",
    "/answered_percent",
    "/server_cpu_percent",
    "/lateness_us_p99",
];
/// Inputs of a player that a server takes in a tick in the long run.
const INPUTS_A_TICK_MAX: u32 = 2;

pub(crate) fn run(args: &OverloadArgs) -> anyhow::Result<()> {
    let (cpus, tick_hz) = (cpus()?, args.tick_hz);
    let more = ["--max-commands-per-tick".to_owned(), args.limit.to_string()];
    let launch = Launch {
        program: &args.gameserver,
        backend: &args.backend,
        capacity: args.players,
        tick_hz,
        more: &more,
    };
    let mut runs = Vec::new();
    for run in 0..args.runs {
        for times in [1, args.times] {
            let play = load(args, times)?;
            let (name, players, duration) = (name(times), args.players, args.duration);
            let figures = game_run(&Trial { name, players, play, duration, flood: None }, &launch, cpus)?;
            tracing::info!(run, times, "{figures}");
            runs.push(figures);
        }
    }
    let summaries: Vec<Value> =
        [1, args.times].map(|times| summary(&name(times), &runs, &SUMMARIZED)).to_vec();
    let results = json!({
        "players": args.players,
        "tick_hz": tick_hz,
        "limit": args.limit,
        "times": args.times,
        "duration_seconds": args.duration.as_secs_f64(),
        "summary": summaries,
        "runs": runs,
    });
    tell(args.out.as_deref(), &results)
}

fn name(times: u32) -> String {
    format!("{times}x")
}

/// How each bot plays for all of them to ask for `times` the limit: as seldom as that takes, or several inputs at once in
/// each tick.
fn load(args: &OverloadArgs, times: u32) -> anyhow::Result<Play> {
    let (asked, players) = (args.limit * times, args.players);
    ensure!(
        asked <= players * INPUTS_A_TICK_MAX,
        "{asked} inputs a tick are more than {players} players may send; take more players or a lower limit"
    );
    let inputs_at_once = asked.div_ceil(players).max(1);
    let input_period = Duration::from_secs(1) / args.tick_hz * (players * inputs_at_once) / asked;
    Ok(Play { input_period, tick_hz: args.tick_hz, is_in_phase: false, inputs_at_once })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    use crate::args::{Args, Command};

    fn args(more: &str) -> OverloadArgs {
        let line = format!("bots overload --gameserver g --tick-hz 20 {more}");
        match Args::parse_from(line.trim().split(' ')).command {
            Command::Overload(args) => args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_bots_together_ask_for_as_much_as_they_should() {
        let tick = Duration::from_millis(50);
        for (rule, players, limit, times, at_once, period) in [
            ("half of the players in each tick", 2000, 1000, 1, 1, 2 * tick),
            ("everyone two in each", 2000, 1000, 4, 2, tick),
            ("everyone one in each", 1000, 1000, 1, 1, tick),
            ("three in two ticks, two at once", 1000, 500, 3, 2, tick * 4 / 3),
        ] {
            let play = load(&args(&format!("--players {players} --limit {limit}")), times).unwrap();
            assert_eq!((play.inputs_at_once, play.input_period), (at_once, period), "{rule}");
        }
    }

    #[test]
    fn more_than_players_may_send_is_refused() {
        assert!(load(&args("--players 100 --limit 100"), 3).is_err());
    }
}
