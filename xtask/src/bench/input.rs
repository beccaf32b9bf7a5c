//! Input to state with a thousand bots on one server, beside a bare toy of the same minutes.

use std::fmt::{self, Write as _};

use anyhow::Result;
use serde_json::Value;

use super::load::{self, Figure, Found};
use super::page::{self, Page, RUNS_MIN};
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 5] = [
    ("latency_us/p50", "input to state, median, ms", 1e3),
    P99,
    ("latency_us/p999", "input to state, p99.9, ms", 1e3),
    CPU,
    ("lateness_us_p99", "how late the bots sent their inputs, p99, ms", 1e3),
];

const P99: Figure = ("latency_us/p99", "input to state, p99, ms", 1e3);
const CPU: Figure = ("server_cpu_percent", "CPU of the server, % of a core", 1.0);

/// What makes up the time of a zone's thread, in the order of a tick.
const STAGES: [&str; 4] = ["wait", "receive", "work", "flush"];

/// How bots play: a heading, and what `bots bench` is told.
const SCENES: [(&str, &[&str]); 3] =
    [(RANDOM, &[]), (JUST_IN_TIME, &["--in-phase"]), (JUST_IN_TIME_128, &["--in-phase", "--tick-hz", "128"])];
const RANDOM: &str = "At random phases, 64 Hz";
const JUST_IN_TIME: &str = "Just in time, 64 Hz";
const JUST_IN_TIME_128: &str = "Just in time, 128 Hz";

/// Of whom something is asked: our server over the backend that it takes by itself.
const OURS: &str = "gameserver-uring";

/// What a figure may be.
#[derive(Clone, Copy)]
enum Bound {
    Below(f64),
    AtMost(f64),
}

impl Bound {
    fn holds(self, figure: f64) -> bool {
        match self {
            Self::Below(bound) => figure < bound,
            Self::AtMost(bound) => figure <= bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Below(bound) => write!(f, "below {bound}"),
            Self::AtMost(bound) => write!(f, "at most {bound}"),
        }
    }
}

/// What is asked for of a thousand players, by scene.
const GOALS: [(&str, Figure, Bound); 5] = [
    (JUST_IN_TIME, P99, Bound::Below(12.0)),
    (RANDOM, P99, Bound::Below(21.0)),
    (JUST_IN_TIME, CPU, Bound::AtMost(50.0)),
    (RANDOM, CPU, Bound::AtMost(50.0)),
    (JUST_IN_TIME_128, P99, Bound::Below(8.0)),
];

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let mut scenes = Vec::new();
    for (scene, options) in SCENES {
        let step = format!("1000 bots on each in turn: {}", scene.to_lowercase());
        let found = load::run(checkout, ("bench", &step), runs, |programs| {
            let toy = programs.join("toy").display().to_string();
            let all = ["--backends", "uring,mmsg,tokio-uring", "--toy", &toy];
            all.iter().chain(options).map(|&option| option.to_owned()).collect()
        })?;
        scenes.push((scene, found));
    }
    Ok(Page {
        name: "input",
        title: "Input to state with 1000 players on one server",
        arguments: format!("input --runs {runs}"),
        body: body(&scenes),
        panels: scenes.iter().map(|(scene, found)| found.panel(scene, P99)).collect(),
    })
}

fn body(scenes: &[(&str, Found)]) -> String {
    let Some((_, first)) = scenes.first() else { return String::new() };
    let said = &first.results;
    let mut text = format!(
        "{} bots at {} inputs a second each on one server, open loop: from the time at which an input was due to the first state that \
         acknowledges it, over loopback, {} s measured a run. The server has a core, the bots the other, where they run before everything else \
         (SCHED_FIFO). The toy is `gameserver/bots/bench/peers/toy`: recvmmsg and sendmmsg, no session, no encryption, no rules; it shows \
         what the machine gives at best. Its runs and ours take turns, so that they share the same minutes. A run in which the bots \
         themselves were a millisecond late or more at p99 is void and in no figure. {}\n\n\
         *Just in time* is as a game's client plays: each input is sent as the server asks for it, up to a quarter of a tick before the last moment at which it \
         arrives before its tick, since games make inputs once a frame. They are measured eight seconds after the last has joined, when the server \
         knows how early each has to be. The toy asks for nothing: its players stay at random phases.\n\n\
         *Stages* are what the thread of the server does in the period of a tick, by its own [figures](../metrics.md): it waits for datagrams, receives them, \
         works (the step of the world), and flushes (everyone's snapshot). They are upper bounds of buckets a third apart, so \"at most\".\n",
        said["players"],
        said["input_hz"],
        said["duration_seconds"],
        first.network()
    );
    text.push_str(&goals(scenes));
    for (scene, found) in scenes {
        let against_toy = |summary: &Value, &(path, ..): &Figure| {
            let median = summary[path]["median"].as_f64();
            let ratio = median.zip(found.figure("toy", path, "median")).map(|(ours, toys)| ours / toys);
            ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
        };
        let tables = found.tables(&FIGURES, Some(("median against toy", &against_toy)));
        let _infallible = write!(text, "\n## {scene}\n{tables}{}", stages(found));
    }
    text
}

/// What is asked for, and whether it was found.
fn goals(scenes: &[(&str, Found)]) -> String {
    let mut text = format!(
        "\n## What is asked for\n\nOf `{OURS}`, by medians of {RUNS_MIN} runs that count at least, else it is open.\n\n\
         | scene | figure | asked for | runs | median | found |\n|---|---|--:|--:|--:|---|\n"
    );
    for (scene, (path, name, divisor), bound) in GOALS {
        let found = scenes.iter().find(|(found, _)| *found == scene).map(|(_, found)| found);
        let runs = found.map_or(0, |found| found.valid_runs(OURS));
        let median = found.and_then(|found| found.figure(OURS, path, "median")).map(|value| value / divisor);
        let _infallible = writeln!(
            text,
            "| {scene} | {name} | {bound} | {runs} | {} | {} |",
            median.map_or_else(|| "-".to_owned(), |median| format!("{median:.2}")),
            median.map_or_else(
                || page::verdict(None),
                |median| page::verdict_of_runs(runs, bound.holds(median))
            )
        );
    }
    text
}

/// The time of a server's thread, stage by stage, for whoever tells of it.
fn stages(found: &Found) -> String {
    let mut text = format!(
        "\n| stages of a tick, us, p50 / p99, medians of the runs | {} |\n|---|{}\n",
        STAGES.join(" | "),
        "--:|".repeat(STAGES.len())
    );
    for summary in found.summaries() {
        let took = |stage: &str, of: &str| summary[format!("zone/tick_{stage}_us_{of}")]["median"].as_f64();
        let cell = |stage: &&str| {
            let number = |of| took(stage, of).map_or_else(|| "-".to_owned(), |us| format!("{us:.0}"));
            format!("{} / {}", number("p50"), number("p99"))
        };
        let cells: Vec<_> = STAGES.iter().map(cell).collect();
        // the toy tells of nothing
        if cells.iter().all(|cell| cell == "- / -") {
            continue;
        }
        let server = summary["server"].as_str().unwrap_or_default();
        let _infallible = writeln!(text, "| {server} | {} |", cells.join(" | "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_stands_beside_the_toy() {
        let spread = |median: f64| serde_json::json!({"min": 1.0, "median": median, "max": 9.0});
        let summary = |server: &str, median: f64| serde_json::json!({"server": server, "valid_runs": 5, "void_runs": 2, "server_cpu_percent": spread(median), "lateness_us_p99": spread(median)});
        let results = serde_json::json!({"players": 10, "summary": [summary("gameserver-uring", 30.0), summary("toy", 20.0)]});
        let body = body(&[("At random phases, 64 Hz", Found::of(results))]);
        assert!(body.contains("## At random phases, 64 Hz\n"), "{body}");
        assert!(body.contains("| gameserver-uring | 5 | 2 | 1.00 | 30.00 | 9.00 | 1.50 |"), "{body}");
        assert!(body.contains("| toy | 5 | 2 | 1.00 | 20.00 | 9.00 | 1.00 |"), "{body}");
        assert!(
            body.contains("| how late the bots sent their inputs, p99, ms | runs | void | min |"),
            "{body}"
        );
        assert!(body.contains("| toy | 5 | 2 | 0.00 | 0.02 | 0.01 | 1.00 |"), "{body}");
    }

    /// Five runs of which our server had this p99, milliseconds, and used so much of a core.
    fn found(p99_ms: f64, cpu: f64, runs: u64) -> Found {
        let spread = |median: f64| serde_json::json!({"min": 0.0, "median": median, "max": 99_000.0});
        let summary = |server: &str, p99_ms: f64, cpu: f64| serde_json::json!({"server": server, "valid_runs": runs, "void_runs": 0, "latency_us/p99": spread(p99_ms * 1e3), "server_cpu_percent": spread(cpu)});
        let others = [summary("gameserver-mmsg", 1.0, 1.0), summary("toy", 1.0, 1.0)];
        let all: Vec<_> = [summary(OURS, p99_ms, cpu)].into_iter().chain(others).collect();
        Found::of(serde_json::json!({"players": 1000, "summary": all}))
    }

    #[test]
    fn the_page_says_of_each_goal_whether_our_server_met_it() {
        let met = [(RANDOM, 20.99, 50.0), (JUST_IN_TIME, 11.99, 50.0), (JUST_IN_TIME_128, 7.99, 90.0)];
        let missed = [(RANDOM, 21.0, 50.1), (JUST_IN_TIME, 12.0, 50.1), (JUST_IN_TIME_128, 8.0, 90.0)];
        let page = |of: [(&'static str, f64, f64); 3], runs| {
            body(&of.map(|(scene, p99_ms, cpu)| (scene, found(p99_ms, cpu, runs))))
        };
        for (scenes, runs, verdict) in [(met, 5, "met"), (missed, 5, "**not met**"), (met, 4, "open")] {
            let page = page(scenes, runs);
            let [(_, random, cpu), (_, in_time, _), (_, at_128, _)] = scenes;
            for row in [
                format!(
                    "| {JUST_IN_TIME} | input to state, p99, ms | below 12 | {runs} | {in_time:.2} | {verdict} |"
                ),
                format!(
                    "| {RANDOM} | input to state, p99, ms | below 21 | {runs} | {random:.2} | {verdict} |"
                ),
                format!(
                    "| {JUST_IN_TIME} | CPU of the server, % of a core | at most 50 | {runs} | {cpu:.2} | {verdict} |"
                ),
                format!(
                    "| {RANDOM} | CPU of the server, % of a core | at most 50 | {runs} | {cpu:.2} | {verdict} |"
                ),
                format!(
                    "| {JUST_IN_TIME_128} | input to state, p99, ms | below 8 | {runs} | {at_128:.2} | {verdict} |"
                ),
            ] {
                assert!(page.contains(&row), "{row} is not in:\n{page}");
            }
        }
        let without = body(&[(RANDOM, found(20.0, 40.0, 5))]);
        assert!(without.contains("| below 8 | 0 | - | open |"), "{without}");
    }

    #[test]
    fn the_stages_of_a_tick_are_those_of_whoever_tells_of_them() {
        let mut told = serde_json::json!({"server": "gameserver-uring", "valid_runs": 5, "void_runs": 0});
        for (stage, us) in STAGES.into_iter().zip([8000, 90, 500, 4000]) {
            told[format!("zone/tick_{stage}_us_p50")] = serde_json::json!({"median": us});
            told[format!("zone/tick_{stage}_us_p99")] = serde_json::json!({"median": 2 * us});
        }
        let toy = serde_json::json!({"server": "toy", "valid_runs": 5, "void_runs": 0});
        let text = stages(&Found::of(serde_json::json!({"summary": [told, toy]})));
        assert!(text.contains("| wait | receive | work | flush |\n|---|--:|--:|--:|--:|\n"), "{text}");
        assert!(
            text.ends_with("| gameserver-uring | 8000 / 16000 | 90 / 180 | 500 / 1000 | 4000 / 8000 |\n"),
            "{text}"
        );
    }
}
