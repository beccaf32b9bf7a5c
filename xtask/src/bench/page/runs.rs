//! Runs that are kept beside the pages, so that a page of five can be made of one at a time.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{commit, machine};
use crate::checkout::Checkout;
use crate::process;

/// One finished run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::bench) struct Run<R> {
    /// By which method it was measured: figures of two methods are not to be put together.
    method: u32,
    /// Which, and of when.
    commit: String,
    /// The day on which it ended.
    date: String,
    machine: String,
    pub(in crate::bench) results: R,
}

/// All runs of one method, oldest first; a line of `docs/benchmarks/data/NAME.jsonl` each.
#[derive(Debug)]
pub(in crate::bench) struct Runs<R> {
    path: PathBuf,
    method: u32,
    all: Vec<Run<R>>,
}

impl<R: Serialize + DeserializeOwned> Runs<R> {
    /// What is kept of a subject. Runs of another method are left out, and gone when the next one is added.
    pub(in crate::bench) fn open(checkout: &Checkout, name: &str, method: u32) -> Result<Self> {
        let path = checkout.root.join(format!("docs/benchmarks/data/{name}.jsonl"));
        let text = if path.exists() {
            fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?
        } else {
            String::new()
        };
        let all = parse(&text, method).with_context(|| format!("failed to understand {}", path.display()))?;
        Ok(Self { path, method, all })
    }

    /// Begins anew: the next run that is added is the first.
    pub(in crate::bench) fn forget(&mut self) {
        self.all.clear();
    }

    pub(in crate::bench) fn all(&self) -> &[Run<R>] {
        &self.all
    }

    /// Keeps a run that has just ended here.
    pub(in crate::bench) fn add(&mut self, checkout: &Checkout, results: R) -> Result<()> {
        let date = process::output(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned();
        let (method, commit, machine) = (self.method, commit(checkout)?, machine());
        self.all.push(Run { method, commit, date, machine, results });
        let text = lines(&self.all)?;
        let directory = self.path.parent().context("a file lies in a directory")?;
        fs::create_dir_all(directory).with_context(|| format!("failed to create {}", directory.display()))?;
        // whole or not at all: what is in it took hours
        let unfinished = self.path.with_extension("unfinished");
        fs::write(&unfinished, text)
            .and_then(|()| fs::rename(&unfinished, &self.path))
            .with_context(|| format!("failed to write {}", self.path.display()))
    }
}

fn parse<R: DeserializeOwned>(text: &str, method: u32) -> Result<Vec<Run<R>>> {
    let mut all = Vec::new();
    for line in text.lines() {
        // the results of another method may look otherwise
        let run: Value = serde_json::from_str(line)?;
        if run["method"] == method {
            all.push(serde_json::from_value(run)?);
        }
    }
    Ok(all)
}

fn lines<R: Serialize>(all: &[Run<R>]) -> Result<String> {
    let mut text = String::new();
    for run in all {
        text += &serde_json::to_string(run)?;
        text.push('\n');
    }
    Ok(text)
}

/// Where each run is from.
pub(super) fn table<R>(runs: &[Run<R>]) -> String {
    let mut text = "| run | measured | commit | machine |\n|--:|---|---|---|\n".to_owned();
    for (at, Run { date, commit, machine, .. }) in runs.iter().enumerate() {
        let _infallible = writeln!(text, "| {} | {date} | {commit} | {machine} |", at + 1);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<R>(method: u32, results: R) -> Run<R> {
        let [commit, date, machine] = ["abc of 2026-01-01", "2026-01-02", "a machine"].map(str::to_owned);
        Run { method, commit, date, machine, results }
    }

    fn results(text: &str, method: u32) -> Vec<u32> {
        parse(text, method).unwrap().into_iter().map(|run: Run<u32>| run.results).collect()
    }

    #[test]
    fn kept_runs_come_back_in_order_and_those_of_another_method_do_not() {
        let text = lines(&[run(2, 10), run(2, 30), run(2, 20)]).unwrap();
        let older = lines(&[run(1, "of another shape")]).unwrap();
        assert_eq!(results(&(older + &text), 2), [10, 30, 20]);
        assert!(results(&text, 3).is_empty());
        assert!(results("", 2).is_empty());
    }

    #[test]
    fn what_is_kept_and_cannot_be_read_is_an_error_and_not_a_run_less() {
        assert!(parse::<u32>("{\"method\": 2}\n", 2).is_err());
        assert!(parse::<u32>("nonsense\n", 2).is_err());
    }

    #[test]
    fn the_table_says_of_each_run_where_it_is_from() {
        let table = table(&[run(2, ()), run(2, ())]);
        let row = "2026-01-02 | abc of 2026-01-01 | a machine |\n";
        assert!(table.ends_with(&format!("| 1 | {row}| 2 | {row}")), "{table}");
    }
}
