//! Input to state with a thousand bots on one server, beside a bare toy of the same minutes.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::Value;

use super::load::{self, Figure, Found};
use super::page::Page;
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 5] = [
    ("latency_us/p50", "input to state, median, ms", 1e3),
    ("latency_us/p99", "input to state, p99, ms", 1e3),
    ("latency_us/p999", "input to state, p99.9, ms", 1e3),
    ("server_cpu_percent", "CPU of the server, % of a core", 1.0),
    ("lateness_us_p99", "how late the bots sent their inputs, p99, ms", 1e3),
];

/// What makes up the time of a zone's thread, in the order of a tick.
const STAGES: [&str; 4] = ["wait", "receive", "work", "flush"];

/// How bots play: a heading, and what `bots bench` is told.
const SCENES: [(&str, &[&str]); 3] = [
    ("At random phases, 64 Hz", &[]),
    ("Just in time, 64 Hz", &["--in-phase"]),
    ("Just in time, 128 Hz", &["--in-phase", "--tick-hz", "128"]),
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
