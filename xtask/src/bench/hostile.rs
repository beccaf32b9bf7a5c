//! What a thousand players notice of two hundred thousand datagrams of garbage a second.

use std::fmt::Write as _;

use anyhow::Result;

use super::load::{self, Figure, Found};
use super::page::Page;
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 10] = [
    ("latency_us/p50", "input to state of players, median, ms", 1e3),
    ("latency_us/p99", "input to state of players, p99, ms", 1e3),
    ("latency_us/p999", "input to state of players, p99.9, ms", 1e3),
    ("answered_percent", "inputs of players that were answered, %", 1.0),
    ("zone/dropped", "datagrams that the kernel dropped, thousands a run", 1e3),
    ("zone/filtered", "datagrams of strangers that a filter in the kernel kept out, thousands a run", 1e3),
    ("zone/received", "datagrams that the server took, thousands a run", 1e3),
    ("server_cpu_percent", "CPU of the server, % of a core", 1.0),
    ("flood/rate", "garbage that was really sent, thousands a second", 1e3),
    ("flood/lateness_us_p99", "how late the garbage was sent, p99, ms", 1e3),
];
/// What players may notice: a tenth of their p99, or two milliseconds.
const RATIO_MAX: f64 = 1.1;
const DIFFERENCE_MAX_US: f64 = 2000.0;
/// And nearly all of their inputs are answered in each run: what never is has no latency.
const ANSWERED_MIN: f64 = 99.0;

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let found =
        load::run(checkout, ("hostile", "1000 bots without and with garbage in turn"), runs, |_| Vec::new())?;
    Ok(Page {
        name: "hostile",
        title: "1000 players and a flood of garbage",
        arguments: format!("hostile --runs {runs}"),
        body: body(&found),
    })
}

fn body(found: &Found) -> String {
    let results = &found.results;
    let mut text = format!(
        "{} bots at {} inputs a second each on one server at {} Hz, {} s measured a run: alone (`calm`), and with {} datagrams a second from {} other \
         addresses beside them (`flood`), in turn, at each size of the socket's receive buffer (208 KiB are what a socket has that asks for \
         nothing). Garbage comes in trains, one each quarter of a millisecond and each of one kind and from one source; of eight of them three are chance, \
         three have the prefix of a session's packet and a wrong tag, one is a request that is good once and one has forged tokens. Garbage has a core of its own where there is a third; else it shares that of \
         the bots, who come first, so the page says how much was really sent. \
         Where strangers send more than 16 384 datagrams a second the server has the kernel filter them; what that keeps out is not in what the kernel dropped. An input is answered when the server says what became of it, a refusal included, until a quarter of a second after what is measured. A run in which the bots themselves were late does not count. {}\n\n\
         | buffer | p99 calm, ms | p99 flood, ms | answered in each run, % | within 10 % or 2 ms, and answered |\n|---|--:|--:|--:|---|\n",
        results["players"],
        results["input_hz"],
        results["tick_hz"],
        results["duration_seconds"],
        results["rate"],
        results["sources"],
        found.network()
    );
    for (buffer, calm, flood, answered) in pairs(found) {
        let is_near = flood <= (calm * RATIO_MAX).max(calm + DIFFERENCE_MAX_US);
        let verdict = if is_near && answered >= ANSWERED_MIN { "yes" } else { "**no**" };
        let _infallible = writeln!(
            text,
            "| {buffer} | {:.2} | {:.2} | {answered:.2} | {verdict} |",
            calm / 1e3,
            flood / 1e3
        );
    }
    text + &found.tables(&FIGURES, None)
}

/// For each buffer the p99 without and with garbage, microseconds, and how many of a hundred inputs were answered then.
fn pairs(found: &Found) -> impl Iterator<Item = (&str, f64, f64, f64)> {
    found.summaries().filter_map(|summary| {
        let buffer = summary["server"].as_str()?.strip_suffix(", calm")?;
        let flood = format!("{buffer}, flood");
        let p99 = |of: &str| found.figure(of, "latency_us/p99", "median");
        let answered = found.figure(&flood, "answered_percent", "min")?;
        Some((buffer, p99(&format!("{buffer}, calm"))?, p99(&flood)?, answered))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn players_may_notice_a_tenth_or_two_milliseconds_and_no_more_and_are_answered() {
        for (calm, flood, answered, expected) in [
            (10_000, 12_000, 99.0, "yes"),
            (10_000, 12_100, 99.0, "**no**"),
            (40_000, 44_000, 99.0, "yes"),
            (40_000, 44_100, 99.0, "**no**"),
            (10_000, 0, 98.9, "**no**"),
        ] {
            let summary = |server: &str, p99: i32| {
                json!({
                    "server": server,
                    "valid_runs": 3,
                    "latency_us/p99": { "median": p99 },
                    "answered_percent": { "min": answered },
                })
            };
            let summaries = [summary("208 KiB, calm", calm), summary("208 KiB, flood", flood)];
            let body = body(&Found::of(json!({"summary": summaries})));
            let row = body.lines().find(|line| line.starts_with("| 208 KiB | ")).unwrap();
            assert!(row.ends_with(&format!("| {expected} |")), "{row}");
        }
    }
}
