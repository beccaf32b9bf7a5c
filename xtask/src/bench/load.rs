//! What the bots' own benches have in common: they run in a network of their own where one can be had, and what they found is
//! tables of least, middle and most.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::page::{Panel, Spread};
use crate::checkout::Checkout;
use crate::images;
use crate::process;
use crate::progress::Progress;

/// What a bench of the bots found.
pub(super) struct Found {
    pub(super) results: Value,
    /// Whether it ran in a network namespace of its own.
    own_network: bool,
}

/// A figure of a page: its path in a summary, its name with the unit, and what it is divided by for that.
pub(super) type Figure = (&'static str, &'static str, f64);

/// A cell at the end of each row: its head, and what is in it.
pub(super) type LastCell<'a> = (&'a str, &'a dyn Fn(&Value, &Figure) -> String);

/// Compiles the programs and runs `bots COMMAND --runs N --gameserver …` with what `more` makes of the directory of the programs;
/// `step` says what that is. Fails where no run of a server counts.
pub(super) fn run(
    checkout: &Checkout,
    (command, step): (&str, &str),
    runs: u8,
    more: impl FnOnce(&Path) -> Vec<String>,
) -> Result<Found> {
    let progress = Progress::new();
    let programs = progress.step("compile game server, bots and toy", |_| images::compile(checkout))?;
    // beside the logs, which stay when the instance goes
    let out = checkout.log(command).with_extension("json");
    let own_network = progress.step(step, |_| {
        let mut bench = Command::new(programs.join("bots"));
        bench.args([command, "--runs", &runs.to_string(), "--gameserver"]).arg(programs.join("gameserver"));
        bench.args(more(&programs)).arg("--out").arg(&out);
        let own_network = process::in_own_network(&bench);
        let is_own = own_network.is_some();
        process::run(&mut own_network.unwrap_or(bench), &checkout.log(command))?;
        Ok(is_own)
    })?;
    let text = fs::read_to_string(&out).with_context(|| format!("failed to read {}", out.display()))?;
    let found = Found {
        results: serde_json::from_str(&text).context("the bots' results are not understood")?,
        own_network,
    };
    if found.summaries().any(|summary| summary["valid_runs"].as_u64().unwrap_or(0) == 0) {
        bail!(
            "the bots themselves were late in every run of a server: this machine is too busy; all runs are in {}",
            out.display()
        );
    }
    Ok(found)
}

impl Found {
    #[cfg(test)]
    pub(super) fn of(results: Value) -> Self {
        Self { results, own_network: true }
    }

    pub(super) fn summaries(&self) -> impl Iterator<Item = &Value> + Clone {
        self.results["summary"].as_array().into_iter().flatten()
    }

    /// Of a figure of whoever is called so the `min`, `median` or `max`.
    pub(super) fn figure(&self, of: &str, path: &str, which: &str) -> Option<f64> {
        self.summaries().find(|summary| summary["server"] == of)?[path][which].as_f64()
    }

    /// How many runs of whoever is called so count.
    pub(super) fn valid_runs(&self, of: &str) -> usize {
        let summary = self.summaries().find(|summary| summary["server"] == of);
        let runs = summary.and_then(|summary| summary["valid_runs"].as_u64()).unwrap_or(0);
        usize::try_from(runs).unwrap_or(0)
    }

    /// The runs of both in the turns in which both count.
    pub(super) fn pairs(&self, of: &str, beside: &str) -> Vec<(&Value, &Value)> {
        let runs = |name: String| {
            let runs = self.results["runs"].as_array().into_iter().flatten();
            runs.filter(move |run| run["server"] == name)
        };
        let counts = |run: &Value| run["void"] == false;
        let turns = runs(of.to_owned()).zip(runs(beside.to_owned()));
        turns.filter(|&(of, beside)| counts(of) && counts(beside)).collect()
    }

    /// A figure of all that were measured, as a picture; what it is of is said by `scene`.
    pub(super) fn panel(&self, scene: &str, (path, name, divisor): Figure) -> Panel {
        let row = |summary: &Value| {
            let value = |of: &str| Some(summary[path][of].as_f64()? / divisor);
            let spread = Spread { min: value("min")?, median: value("median")?, max: value("max")? };
            Some((summary["server"].as_str()?.to_owned(), spread))
        };
        let title = if scene.is_empty() { name.to_owned() } else { format!("{scene}: {name}") };
        Panel { title, rows: self.summaries().filter_map(row).collect() }
    }

    /// In which network it was measured.
    pub(super) fn network(&self) -> &'static str {
        if self.own_network {
            "Both are in a network namespace of their own, without the packet filter of the machine."
        } else {
            "Both are in the network of the machine, whose packet filter sees each datagram (a namespace of their own takes root)."
        }
    }

    /// A table for each figure, with a row for each of those that were measured and, if `last` says so, one cell more. Void runs
    /// are in no figure.
    pub(super) fn tables(&self, figures: &[Figure], last: Option<LastCell<'_>>) -> String {
        let mut text = String::new();
        for figure in figures {
            let (path, name, divisor) = figure;
            let head = last.map_or_else(String::new, |(head, _)| format!(" {head} |"));
            let rule = last.map_or("", |_| "--:|");
            let _infallible = writeln!(
                text,
                "\n| {name} | runs | void | min | median | max |{head}\n|---|--:|--:|--:|--:|--:|{rule}"
            );
            for summary in self.summaries() {
                let cell = |of: &str| {
                    let value = summary[path][of].as_f64();
                    value.map_or_else(|| "-".to_owned(), |value| format!("{:.2}", value / divisor))
                };
                let end = last.map_or_else(String::new, |(_, cell)| format!(" {} |", cell(summary, figure)));
                let _infallible = writeln!(
                    text,
                    "| {} | {} | {} | {} | {} | {} |{end}",
                    summary["server"].as_str().unwrap_or_default(),
                    summary["valid_runs"],
                    summary["void_runs"],
                    cell("min"),
                    cell("median"),
                    cell("max")
                );
            }
        }
        text
    }
}
