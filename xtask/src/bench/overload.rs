//! A zone with as many inputs as a tick carries out, and with four times as many.

use std::fmt::Write as _;

use anyhow::Result;

use super::load::{self, Figure, Found};
use super::page::{self, Page, RUNS_MIN};
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 10] = [
    LATENESS,
    WORK,
    ("zone/late_ticks", "ticks that began a whole tick late", 1.0),
    ("jain", "fairness between players (Jain's index of what was carried out)", 1.0),
    ("zone/full_ticks", "ticks that were full", 1.0),
    ("zone/applied", "inputs carried out", 1.0),
    ("zone/shed", "inputs refused as overloaded", 1.0),
    ("answered_percent", "inputs that were answered, %", 1.0),
    ("latency_us/p99", "input to answer, p99, ms", 1e3),
    ("server_cpu_percent", "CPU of the server, % of a core", 1.0),
];
const LATENESS: Figure = ("zone/tick_lateness_ticks_p99", "how late a tick begins, p99, ticks, at most", 1.0);
const WORK: Figure = ("zone/tick_work_us_p99", "work of a tick, p99, ms, at most", 1e3);

/// What was promised: 99 of 100 ticks take less than one and a half.
const LATENESS_MAX: f64 = 0.5;
/// And shares are at least so even.
pub(super) const JAIN_MIN: f64 = 0.95;

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let found = load::run(
        checkout,
        ("overload", "as much as a tick carries out and four times as much in turn, at three rates"),
        runs,
        |_| Vec::new(),
    )?;
    Ok(Page {
        name: "overload",
        title: "A zone that is asked for four times as much as it carries out",
        arguments: format!("overload --runs {runs}"),
        body: body(&found),
        panels: vec![found.panel("", LATENESS), found.panel("", WORK)],
    })
}

fn body(found: &Found) -> String {
    let results = &found.results;
    let times = &results["times"];
    let mut text = format!(
        "Bots on one server, each of which may ask for two inputs a tick in the long run: `1x` asks for as many as a tick carries out, `{times}x` for {times} times \
         as many, in turn, {} s measured a run. What a tick does then is [decision 25](../adr/0025-overload.md). Asked for is that at {times}x 99 of 100 ticks begin less \
         than half of one late, and so take less than one and a half, and that Jain's index over the inputs of each player that were carried out is \
         {JAIN_MIN} or more: medians of {RUNS_MIN} runs that count at least, else it is open. Figures of ticks are the server's own, by buckets a third apart, so \"at most\". A run in which the bots \
         themselves were late does not count; they have a core for themselves, which is what bounds how much can be asked for; what a tick takes at 64 Hz with as much as is carried out by default is on \
         [the page of costs](costs.md), without bots and network. {}\n\n\
         | Hz | bots | inputs a tick | runs at {times}x | late at {times}x, p99, ticks, at most | Jain at {times}x | both as asked for |\n|--:|--:|--:|--:|--:|--:|---|\n",
        results["duration_seconds"],
        found.network()
    );
    for scene in results["scenes"].as_array().into_iter().flatten() {
        let name = format!("{} Hz, {} a tick, {times}x", scene["tick_hz"], scene["limit"]);
        let runs = found.valid_runs(&name);
        let figure = |path| found.figure(&name, path, "median");
        let (lateness, fairness) = (figure("zone/tick_lateness_ticks_p99"), figure("jain"));
        let holds =
            lateness.is_some_and(|late| late < LATENESS_MAX) && fairness.is_some_and(|jain| jain >= JAIN_MIN);
        let _infallible = writeln!(
            text,
            "| {} | {} | {} | {runs} | {} | {} | {} |",
            scene["tick_hz"],
            scene["players"],
            scene["limit"],
            number(lateness),
            number(fairness),
            page::verdict_of_runs(runs, holds)
        );
    }
    text + &found.tables(&FIGURES, None)
}

fn number(figure: Option<f64>) -> String {
    figure.map_or_else(|| "-".to_owned(), |figure| format!("{figure:.2}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(lateness: f64, jain: f64, runs: u64) -> String {
        let spread = |median: f64| json!({"min": 0.0, "median": median, "max": 9.0});
        let summary = |server: &str, lateness, jain| json!({"server": server, "valid_runs": runs, "void_runs": 1, "zone/tick_lateness_ticks_p99": spread(lateness), "jain": spread(jain)});
        let summaries =
            [summary("30 Hz, 500 a tick, 1x", 0.0, 1.0), summary("30 Hz, 500 a tick, 4x", lateness, jain)];
        let scenes = [json!({"tick_hz": 30, "limit": 500, "players": 1000})];
        body(&Found::of(json!({"scenes": scenes, "times": 4, "summary": summaries})))
    }

    #[test]
    fn the_page_says_of_each_rate_whether_what_was_promised_holds_at_four_times_the_limit() {
        assert!(page(0.49, 0.95, 5).contains("| 30 | 1000 | 500 | 5 | 0.49 | 0.95 | met |"));
        assert!(page(0.50, 0.95, 5).contains("| **not met** |"), "a tick is too late");
        assert!(page(0.49, 0.94, 5).contains("| **not met** |"), "shares are not even");
        assert!(page(0.49, 0.95, 4).contains("| 4 | 0.49 | 0.95 | open |"), "four runs decide nothing");
        assert!(page(0.25, 0.97, 5).contains("| 30 Hz, 500 a tick, 4x | 5 | 1 | 0.00 | 0.25 | 9.00 |"));
    }
}
