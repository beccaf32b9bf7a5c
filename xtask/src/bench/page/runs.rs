//! Runs that are kept beside the pages, so that a page of five can be made of one at a time.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::machine;
use crate::checkout::Checkout;
use crate::process;

/// One run, with all that it has found so far.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(in crate::bench) struct Run<R> {
    /// By which method it was measured: figures of two methods are not to be put together.
    method: u32,
    /// Of which its programs were built, and whether with changes.
    commit: String,
    /// The day on which it had its first results, UTC.
    date: String,
    machine: String,
    /// Runs before it that somebody gave up, with `--fresh`.
    #[serde(default)]
    discarded: usize,
    pub(in crate::bench) results: R,
}

/// All runs of one method, oldest first; a line of `docs/benchmarks/data/NAME.jsonl` each.
#[derive(Debug)]
pub(in crate::bench) struct Runs<R> {
    path: PathBuf,
    method: u32,
    /// Of which the programs of this process are built.
    source: String,
    /// Runs that were given up since the last one that is kept.
    discarded: usize,
    all: Vec<Run<R>>,
}

impl<R: Serialize + DeserializeOwned> Runs<R> {
    /// What is kept of a subject; what is added is of `source`. Runs of another method are left out, and gone when the next one is added.
    pub(in crate::bench) fn open(
        checkout: &Checkout,
        name: &str,
        method: u32,
        source: String,
    ) -> Result<Self> {
        let path = checkout.root.join(format!("docs/benchmarks/data/{name}.jsonl"));
        let text = if path.exists() {
            fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))?
        } else {
            String::new()
        };
        let all = parse(&text, method).with_context(|| format!("failed to understand {}", path.display()))?;
        Ok(Self { path, method, source, discarded: 0, all })
    }

    /// Begins anew: the next run that is added is the first, and says how many were given up for it.
    pub(in crate::bench) fn forget(&mut self) {
        self.discarded += discarded(&self.all) + self.all.len();
        self.all.clear();
    }

    pub(in crate::bench) fn all(&self) -> &[Run<R>] {
        &self.all
    }

    /// Keeps a run that has its first results.
    pub(in crate::bench) fn add(&mut self, results: R) -> Result<()> {
        let date = process::output(Command::new("date").args(["-u", "+%F"]))?.trim().to_owned();
        let (method, commit, machine) = (self.method, self.source.clone(), machine());
        let discarded = std::mem::take(&mut self.discarded);
        self.all.push(Run { method, commit, date, machine, discarded, results });
        self.write()
    }

    /// Keeps more of the run that was added last.
    pub(in crate::bench) fn renew(&mut self, results: R) -> Result<()> {
        self.all.last_mut().context("no run was added")?.results = results;
        self.write()
    }

    fn write(&self) -> Result<()> {
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

/// Runs that were given up for these.
fn discarded<R>(runs: &[Run<R>]) -> usize {
    runs.iter().map(|run| run.discarded).sum()
}

/// How many runs there are of which commit, and how many were given up.
pub(super) fn tally<R>(runs: &[Run<R>]) -> String {
    let mut commits: Vec<(&str, usize)> = Vec::new();
    for run in runs {
        match commits.iter_mut().find(|(commit, _)| *commit == run.commit) {
            Some((_, count)) => *count += 1,
            None => commits.push((&run.commit, 1)),
        }
    }
    let count = |count: usize| if count == 1 { "one run".to_owned() } else { format!("{count} runs") };
    let mut text = count(runs.len());
    if commits.len() > 1 {
        let each: Vec<String> =
            commits.iter().map(|(commit, runs)| format!("{} of {commit}", count(*runs))).collect();
        let _infallible = write!(text, " of {} commits ({})", commits.len(), each.join(", "));
    }
    match discarded(runs) {
        0 => {}
        1 => text.push_str("; one run before was discarded with `--fresh`"),
        more => _ = write!(text, "; {more} runs before were discarded with `--fresh`"),
    }
    text
}

/// Where each run is from, and what of it there is.
pub(super) fn table<R>(runs: &[Run<R>], part: impl Fn(&R) -> String) -> String {
    let mut text = "| run | measured | commit | machine | has |\n|--:|---|---|---|---|\n".to_owned();
    for (at, Run { date, commit, machine, results, .. }) in runs.iter().enumerate() {
        let _infallible =
            writeln!(text, "| {} | {date} | {commit} | {machine} | {} |", at + 1, part(results));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<R>(method: u32, results: R) -> Run<R> {
        let [commit, date, machine] = ["abc of 2026-01-01", "2026-01-02", "a machine"].map(str::to_owned);
        Run { method, commit, date, machine, discarded: 0, results }
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
    fn the_table_says_of_each_run_where_it_is_from_and_what_it_has() {
        let table = table(&[run(2, 20), run(2, 30)], |rate| format!("{rate} Hz"));
        let row = "2026-01-02 | abc of 2026-01-01 | a machine |";
        assert!(table.ends_with(&format!("| 1 | {row} 20 Hz |\n| 2 | {row} 30 Hz |\n")), "{table}");
    }

    #[test]
    fn runs_of_several_commits_and_those_that_were_given_up_are_said() {
        let of = |commit: &str, discarded| Run { commit: commit.to_owned(), discarded, ..run(2, ()) };
        let cases = [
            (vec![of("a", 0)], "one run"),
            (vec![of("a", 0), of("a", 0)], "2 runs"),
            (vec![of("a", 1)], "one run; one run before was discarded with `--fresh`"),
            (vec![of("a", 2), of("a", 1)], "2 runs; 3 runs before were discarded with `--fresh`"),
            (vec![of("a", 0), of("b", 0), of("a", 0)], "3 runs of 2 commits (2 runs of a, one run of b)"),
        ];
        for (runs, said) in cases {
            assert_eq!(tally(&runs), said);
        }
    }

    /// Runs of a method 2 in a file of its own.
    fn kept(name: &str, all: Vec<Run<u32>>) -> Runs<u32> {
        let path = std::env::temp_dir().join(format!("cranewing-runs-{name}-{}.jsonl", std::process::id()));
        Runs { path, method: 2, source: "def of 2026-01-03, with changes".to_owned(), discarded: 0, all }
    }

    #[test]
    fn a_run_is_of_what_was_built_and_not_of_what_is_there_when_it_is_kept() {
        let mut runs = kept("added", vec![run(2, 10)]);
        runs.add(20).unwrap();
        let text = fs::read_to_string(&runs.path).unwrap();
        fs::remove_file(&runs.path).unwrap();
        assert_eq!(results(&text, 2), [10, 20]);
        assert_eq!(runs.all()[1].commit, "def of 2026-01-03, with changes");
        assert_eq!(
            tally(runs.all()),
            "2 runs of 2 commits (one run of abc of 2026-01-01, one run of def of 2026-01-03, with changes)"
        );
    }

    #[test]
    fn a_run_is_kept_from_its_first_results_on_and_again_with_more() {
        let mut runs = kept("renewed", vec![run(2, 10), run(2, 20)]);
        runs.renew(21).unwrap();
        let text = fs::read_to_string(&runs.path).unwrap();
        fs::remove_file(&runs.path).unwrap();
        assert_eq!(results(&text, 2), [10, 21]);
        assert!(kept("none", Vec::new()).renew(1).is_err());
    }

    #[test]
    fn runs_that_are_given_up_are_counted_also_those_that_were_given_up_for_them() {
        let mut runs = kept("given-up", vec![Run { discarded: 3, ..run(2, 10) }, run(2, 20)]);
        runs.forget();
        assert_eq!((runs.discarded, runs.all().len()), (5, 0));
    }
}
