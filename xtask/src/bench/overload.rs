//! A zone with as many inputs as a tick carries out, and with four times as many.

use anyhow::Result;

use super::load::{self, Figure, Found};
use super::page::Page;
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 10] = [
    ("zone/tick_lateness_ticks_p99", "how late a tick begins, p99, ticks, at most", 1.0),
    ("zone/tick_work_us_p99", "work of a tick, p99, ms, at most", 1e3),
    ("zone/late_ticks", "ticks that began a whole tick late", 1.0),
    ("jain", "fairness between players (Jain's index of what was carried out)", 1.0),
    ("zone/full_ticks", "ticks that were full", 1.0),
    ("zone/applied", "inputs carried out", 1.0),
    ("zone/shed", "inputs refused as overloaded", 1.0),
    ("answered_percent", "inputs that were answered, %", 1.0),
    ("latency_us/p99", "input to answer, p99, ms", 1e3),
    ("server_cpu_percent", "CPU of the server, % of a core", 1.0),
];
/// What was promised: a tick of 99 takes less than one and a half.
const LATENESS_MAX: f64 = 0.5;
/// And shares are at least so even.
const JAIN_MIN: f64 = 0.95;

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let found = load::run(
        checkout,
        ("overload", "2000 bots at once and four times the limit in turn"),
        runs,
        |_| Vec::new(),
    )?;
    Ok(Page {
        name: "overload",
        title: "A zone that is asked for four times as much as it carries out",
        arguments: format!("overload --runs {runs}"),
        body: body(&found),
    })
}

fn body(found: &Found) -> String {
    let results = &found.results;
    let times = format!("{}x", results["times"]);
    let lateness = found.figure(&times, "zone/tick_lateness_ticks_p99", "median");
    let fairness = found.figure(&times, "jain", "median");
    let holds =
        lateness.is_some_and(|late| late < LATENESS_MAX) && fairness.is_some_and(|jain| jain >= JAIN_MIN);
    format!(
        "{} bots on one server at {} Hz whose ticks carry out {} inputs at most: `1x` asks for as many in a tick, `{times}` for {} times as many, in \
         turn, {} s measured a run. What a tick does then is [decision 25](../adr/0025-overload.md). Asked for is that at {times} a tick begins less \
         than half of one late at p99, and so never takes one and a half, and that Jain's index over the inputs of each player that were carried out is \
         {JAIN_MIN} or more: {}. Figures of ticks are the server's own, by buckets a third apart, so \"at most\". A run in which the bots \
         themselves were late does not count. {}\n{}",
        results["players"],
        results["tick_hz"],
        results["limit"],
        results["times"],
        results["duration_seconds"],
        if holds { "it holds" } else { "**it does not hold**" },
        found.network(),
        found.tables(&FIGURES, None)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn page(lateness: f64, jain: f64) -> String {
        let spread = |median: f64| json!({"min": 0.0, "median": median, "max": 9.0});
        let summary = |server: &str, lateness, jain| json!({"server": server, "valid_runs": 3, "zone/tick_lateness_ticks_p99": spread(lateness), "jain": spread(jain)});
        let summaries = [summary("1x", 0.0, 1.0), summary("4x", lateness, jain)];
        body(&Found::of(json!({"players": 10, "times": 4, "summary": summaries})))
    }

    #[test]
    fn the_page_says_whether_what_was_promised_holds_at_four_times_the_limit() {
        assert!(page(0.49, 0.95).contains("more: it holds."));
        assert!(page(0.50, 0.95).contains("**it does not hold**"), "a tick is too late");
        assert!(page(0.49, 0.94).contains("**it does not hold**"), "shares are not even");
        assert!(page(0.25, 0.97).contains("| 4x | 3 | 0.00 | 0.25 | 9.00 |"));
    }
}
