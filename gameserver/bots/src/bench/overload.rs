//! `bots overload`: as many inputs as a tick carries out, and several times as many, in turn and at each of several rates.

use std::time::Duration;

use serde_json::{Value, json};

use super::server::Launch;
use super::trial::{JOIN_LIMIT, Trial};
use super::{cpus, game_run, summary, tell};
use crate::args::{OverloadArgs, Scene};
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
    let cpus = cpus()?;
    let mut runs = Vec::new();
    for run in 0..args.runs {
        for &scene in &args.scenes {
            let (players, duration) = (players(scene, args.times), args.duration);
            let more = ["--max-commands-per-tick".to_owned(), scene.limit.to_string()];
            let launch = Launch {
                program: &args.gameserver,
                backend: &args.backend,
                capacity: players,
                tick_hz: scene.tick_hz,
                more: &more,
            };
            for times in [1, args.times] {
                let (name, play) = (name(scene, times), load(scene, players, times));
                let trial = Trial { name, players, play, duration, join_limit: JOIN_LIMIT, flood: None };
                let figures = game_run(&trial, &launch, cpus)?;
                tracing::info!(run, tick_hz = scene.tick_hz, times, "{figures}");
                runs.push(figures);
            }
        }
    }
    let scenes: Vec<Value> = args.scenes.iter().map(|&scene| told(scene, args.times)).collect();
    let names = args.scenes.iter().flat_map(|&scene| [1, args.times].map(|times| name(scene, times)));
    let summaries: Vec<Value> = names.map(|name| summary(&name, &runs, &SUMMARIZED)).collect();
    let results = json!({
        "scenes": scenes,
        "times": args.times,
        "duration_seconds": args.duration.as_secs_f64(),
        "summary": summaries,
        "runs": runs,
    });
    tell(args.out.as_deref(), &results)
}

fn told(scene: Scene, times: u32) -> Value {
    json!({ "tick_hz": scene.tick_hz, "limit": scene.limit, "players": players(scene, times) })
}

fn name(scene: Scene, times: u32) -> String {
    format!("{} Hz, {} a tick, {times}x", scene.tick_hz, scene.limit)
}

/// As few bots as may ask for `times` the limit.
fn players(scene: Scene, times: u32) -> u32 {
    (scene.limit * times).div_ceil(INPUTS_A_TICK_MAX)
}

/// How each bot plays for all of them to ask for `times` the limit: as seldom as that takes, or several inputs at once in
/// each tick.
fn load(scene: Scene, players: u32, times: u32) -> Play {
    let asked = scene.limit * times;
    let inputs_at_once = asked.div_ceil(players).max(1);
    let input_period = Duration::from_secs(1) / scene.tick_hz * (players * inputs_at_once) / asked;
    Play { input_period, tick_hz: scene.tick_hz, is_in_phase: false, inputs_at_once }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bots_together_ask_for_as_much_as_they_should() {
        let tick = Duration::from_millis(50);
        for (rule, players, limit, times, at_once, period) in [
            ("half of the players in each tick", 2000, 1000, 1, 1, 2 * tick),
            ("everyone two in each", 2000, 1000, 4, 2, tick),
            ("everyone one in each", 1000, 1000, 1, 1, tick),
            ("three in two ticks, two at once", 1000, 500, 3, 2, tick * 4 / 3),
        ] {
            let play = load(Scene { tick_hz: 20, limit }, players, times);
            assert_eq!((play.inputs_at_once, play.input_period), (at_once, period), "{rule}");
        }
    }

    #[test]
    fn there_are_as_many_bots_as_may_ask_for_so_much() {
        for (limit, times, expected) in [(1000, 4, 2000), (500, 4, 1000), (333, 3, 500), (1, 2, 1)] {
            assert_eq!(players(Scene { tick_hz: 20, limit }, times), expected, "{times} times {limit}");
        }
    }
}
