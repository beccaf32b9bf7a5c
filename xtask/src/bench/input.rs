//! Input to state with a thousand bots on one server, beside a bare toy of the same minutes.

use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::page::Page;
use crate::checkout::Checkout;
use crate::images;
use crate::process;
use crate::progress::Progress;

/// What the page shows of each run, with the unit.
const FIGURES: [(&str, &str, f64); 4] = [
    ("latency_us/p50", "input to state, median, ms", 1e3),
    ("latency_us/p99", "input to state, p99, ms", 1e3),
    ("latency_us/p999", "input to state, p99.9, ms", 1e3),
    ("server_cpu_percent", "CPU of the server, % of a core", 1.0),
];

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let progress = Progress::new();
    let programs = progress.step("compile game server, bots and toy", |_| images::compile(checkout))?;
    // beside the logs, which stay when the instance goes
    let out = checkout.log("input").with_extension("json");
    let own_network = progress.step("1000 bots on each in turn", |_| {
        let mut bench = Command::new(programs.join("bots"));
        bench.args([
            "bench",
            "--backends",
            "uring,mmsg,tokio-uring",
            "--runs",
            &runs.to_string(),
            "--gameserver",
        ]);
        bench.arg(programs.join("gameserver")).arg("--toy").arg(programs.join("toy")).arg("--out").arg(&out);
        let own_network = process::in_own_network(&bench);
        let is_own = own_network.is_some();
        process::run(&mut own_network.unwrap_or(bench), &checkout.log("input"))?;
        Ok(is_own)
    })?;
    let text = fs::read_to_string(&out).with_context(|| format!("failed to read {}", out.display()))?;
    let results: Value = serde_json::from_str(&text).context("the bots' results are not understood")?;
    let summaries = results["summary"].as_array().into_iter().flatten();
    if summaries.clone().any(|summary| summary["valid_runs"].as_u64().unwrap_or(0) == 0) {
        bail!(
            "the bots themselves were late in every run of a server: this machine is too busy; all runs are in {}",
            out.display()
        );
    }
    Ok(Page {
        name: "input",
        title: "Input to state with 1000 players on one server",
        arguments: format!("input --runs {runs}"),
        body: body(&results, own_network),
    })
}

fn body(results: &Value, own_network: bool) -> String {
    let network = if own_network {
        "Both are in a network namespace of their own, without the packet filter of the machine."
    } else {
        "Both are in the network of the machine, whose packet filter sees each datagram (a namespace of their own takes root)."
    };
    let mut text = format!(
        "{} bots at {} inputs a second each on one server at {} Hz, open loop: from the time at which an input was due to the first state that \
         acknowledges it, over loopback, {} s measured a run. The server has a core, the bots the other, where they run before everything else \
         (SCHED_FIFO). The toy is `gameserver/bots/bench/peers/toy`: recvmmsg and sendmmsg, no session, no encryption, no rules; it shows \
         what the machine gives at best. Its runs and ours take turns, so that they share the same minutes. A run in which the bots \
         themselves were late does not count. {network}\n",
        results["players"], results["input_hz"], results["tick_hz"], results["duration_seconds"]
    );
    let summaries: Vec<&Value> = results["summary"].as_array().into_iter().flatten().collect();
    let toy = summaries.iter().find(|summary| summary["server"] == "toy").copied().unwrap_or(&Value::Null);
    for (path, name, divisor) in FIGURES {
        let figure = |summary: &Value, of: &str| summary[path][of].as_f64().map(|value| value / divisor);
        let cell = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.2}"));
        let _infallible = writeln!(
            text,
            "\n| {name} | runs | min | median | max | median against toy |\n|---|--:|--:|--:|--:|--:|"
        );
        for summary in &summaries {
            let ratio = figure(summary, "median").zip(figure(toy, "median")).map(|(ours, toys)| ours / toys);
            let _infallible = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                summary["server"].as_str().unwrap_or_default(),
                summary["valid_runs"],
                cell(figure(summary, "min")),
                cell(figure(summary, "median")),
                cell(figure(summary, "max")),
                cell(ratio)
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_server_stands_beside_the_toy() {
        let spread = |median: f64| serde_json::json!({"min": 1.0, "median": median, "max": 9.0});
        let summary = |server: &str, median: f64| serde_json::json!({"server": server, "valid_runs": 5, "server_cpu_percent": spread(median)});
        let results = serde_json::json!({"players": 10, "summary": [summary("gameserver-uring", 30.0), summary("toy", 20.0)]});
        let body = body(&results, true);
        assert!(body.contains("| gameserver-uring | 5 | 1.00 | 30.00 | 9.00 | 1.50 |"), "{body}");
        assert!(body.contains("| toy | 5 | 1.00 | 20.00 | 9.00 | 1.00 |"), "{body}");
    }
}
