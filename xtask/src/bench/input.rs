//! Input to state with a thousand bots on one server, beside a bare toy of the same minutes.

use anyhow::Result;
use serde_json::Value;

use super::load::{self, Figure, Found};
use super::page::Page;
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 4] = [
    ("latency_us/p50", "input to state, median, ms", 1e3),
    ("latency_us/p99", "input to state, p99, ms", 1e3),
    ("latency_us/p999", "input to state, p99.9, ms", 1e3),
    ("server_cpu_percent", "CPU of the server, % of a core", 1.0),
];

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let found = load::run(checkout, ("bench", "1000 bots on each in turn"), runs, |programs| {
        let toy = programs.join("toy").display().to_string();
        ["--backends", "uring,mmsg,tokio-uring", "--toy", &toy].map(str::to_owned).to_vec()
    })?;
    Ok(Page {
        name: "input",
        title: "Input to state with 1000 players on one server",
        arguments: format!("input --runs {runs}"),
        body: body(&found),
    })
}

fn body(found: &Found) -> String {
    let results = &found.results;
    let text = format!(
        "{} bots at {} inputs a second each on one server at {} Hz, open loop: from the time at which an input was due to the first state that \
         acknowledges it, over loopback, {} s measured a run. The server has a core, the bots the other, where they run before everything else \
         (SCHED_FIFO). The toy is `gameserver/bots/bench/peers/toy`: recvmmsg and sendmmsg, no session, no encryption, no rules; it shows \
         what the machine gives at best. Its runs and ours take turns, so that they share the same minutes. A run in which the bots \
         themselves were late does not count. {}\n",
        results["players"],
        results["input_hz"],
        results["tick_hz"],
        results["duration_seconds"],
        found.network()
    );
    let against_toy = |summary: &Value, &(path, ..): &Figure| {
        let median = summary[path]["median"].as_f64();
        let ratio = median.zip(found.figure("toy", path, "median")).map(|(ours, toys)| ours / toys);
        ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"))
    };
    text + &found.tables(&FIGURES, Some(("median against toy", &against_toy)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_stands_beside_the_toy() {
        let spread = |median: f64| serde_json::json!({"min": 1.0, "median": median, "max": 9.0});
        let summary = |server: &str, median: f64| serde_json::json!({"server": server, "valid_runs": 5, "server_cpu_percent": spread(median)});
        let results = serde_json::json!({"players": 10, "summary": [summary("gameserver-uring", 30.0), summary("toy", 20.0)]});
        let body = body(&Found::of(results));
        assert!(body.contains("| gameserver-uring | 5 | 1.00 | 30.00 | 9.00 | 1.50 |"), "{body}");
        assert!(body.contains("| toy | 5 | 1.00 | 20.00 | 9.00 | 1.00 |"), "{body}");
    }
}
