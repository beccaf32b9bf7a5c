//! A page of figures: what was measured, on what, and how to repeat it.

mod plot;
mod runs;

use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::checkout::Checkout;
use crate::process;

pub(super) use self::plot::Panel;
pub(super) use self::runs::{Run, Runs};

/// A finished page.
pub(super) struct Page {
    /// File name without its ending.
    pub(super) name: &'static str,
    pub(super) title: &'static str,
    /// What `cargo xtask bench` was told.
    pub(super) arguments: String,
    /// Markdown: what it means and the tables.
    pub(super) body: String,
    /// What of it is a picture too.
    pub(super) panels: Vec<Panel>,
}

/// Minimum, median and maximum of one figure over the runs. The median of an even number is the mean of the two in the middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Spread {
    /// None without a value.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let (lower, upper) = medians(&values)?;
        Some(Self { min, median: f64::midpoint(lower, upper), max })
    }

    /// Of durations, in seconds.
    pub(super) fn seconds(values: impl IntoIterator<Item = Duration>) -> Option<Self> {
        Self::of(values.into_iter().map(|value| value.as_secs_f64()))
    }
}

/// The lower and the upper median of sorted values: the two in the middle of an even number, which else are one.
pub(super) fn medians(sorted: &[f64]) -> Option<(f64, f64)> {
    let upper = *sorted.get(sorted.len() / 2)?;
    Some((sorted[(sorted.len() - 1) / 2], upper))
}

/// Whether what is asked for was found; none where nobody can say.
pub(super) fn verdict(is_met: Option<bool>) -> &'static str {
    match is_met {
        Some(true) => "met",
        Some(false) => "**not met**",
        None => "open",
    }
}

/// Of fewer runs nothing is said but that they are too few.
pub(super) const RUNS_MIN: usize = 5;

/// The same of so many runs that count; open while they are too few.
pub(super) fn verdict_of_runs(runs: usize, is_met: bool) -> &'static str {
    verdict((runs >= RUNS_MIN).then_some(is_met))
}

/// A table of spreads; `digits` behind the point.
pub(super) fn table(head: &str, digits: usize, rows: &[(String, Option<Spread>)]) -> String {
    let mut text = format!("| {head} | min | median | max |\n|---|--:|--:|--:|\n");
    for (name, spread) in rows {
        let _infallible = match spread {
            Some(Spread { min, median, max }) => {
                writeln!(text, "| {name} | {min:.digits$} | {median:.digits$} | {max:.digits$} |")
            }
            None => writeln!(text, "| {name} | - | - | - |"),
        };
    }
    text
}

/// Which commit is measured, and of when.
pub(super) fn commit(checkout: &Checkout) -> Result<String> {
    let mut log = Command::new("git");
    log.current_dir(&checkout.root).args(["log", "-1", "--format=%h of %cs"]);
    Ok(process::output(&mut log)?.trim().to_owned())
}

/// What is about to be built: the commit, and whether sources are other than it has them. Pages and what they are of are no sources.
pub(super) fn source(checkout: &Checkout) -> Result<String> {
    let mut status = Command::new("git");
    status.current_dir(&checkout.root).args(["status", "--porcelain", "--", ".", ":!docs/benchmarks"]);
    Ok(marked(commit(checkout)?, &process::output(&mut status)?))
}

/// A commit that says when there is more than it.
fn marked(commit: String, changes: &str) -> String {
    if changes.trim().is_empty() { commit } else { commit + ", with changes" }
}

/// The text of a page that was written before.
pub(super) fn read(checkout: &Checkout, name: &str) -> Result<String> {
    let path = checkout.root.join(format!("docs/benchmarks/{name}.md"));
    fs::read_to_string(&path).with_context(|| format!("failed to read {}", path.display()))
}

/// Writes what this commit gave to `docs/benchmarks`.
pub(super) fn write(checkout: &Checkout, page: &Page) -> Result<()> {
    write_measured(checkout, page, &format!("on commit {}, {}", commit(checkout)?, machine()))
}

/// Writes what kept runs gave, each maybe of another commit, and each maybe with a part of the results.
pub(super) fn write_kept<R>(
    checkout: &Checkout,
    page: &Page,
    runs: &[Run<R>],
    part: impl Fn(&R) -> String,
) -> Result<()> {
    let (tally, table) = (runs::tally(runs), runs::table(runs, part));
    let measured = format!("in {tally}:\n\n{table}\nWhat follows is of all of them");
    write_measured(checkout, page, &measured)
}

fn write_measured(checkout: &Checkout, page: &Page, measured: &str) -> Result<()> {
    let directory = checkout.root.join("docs/benchmarks");
    fs::create_dir_all(&directory).with_context(|| format!("failed to create {}", directory.display()))?;
    let Page { name, title, arguments, body, panels } = page;
    let picture = draw(checkout, name, panels)?;
    let text = format!(
        "# {title}\n\nMeasured {measured}. Again: `cargo xtask bench {arguments}`.\n\n{picture}{body}"
    );
    let path = directory.join(format!("{name}.md"));
    fs::write(&path, text).with_context(|| format!("failed to write {}", path.display()))?;
    println!("{}", path.display());
    Ok(())
}

/// Draws the panels beside the other pictures; how a page shows them.
fn draw(checkout: &Checkout, name: &str, panels: &[Panel]) -> Result<String> {
    if panels.is_empty() {
        return Ok(String::new());
    }
    let path = checkout.root.join(format!("docs/images/bench-{name}.svg"));
    fs::write(&path, plot::draw(panels)?).with_context(|| format!("failed to write {}", path.display()))?;
    let titles: Vec<&str> = panels.iter().map(|panel| panel.title.as_str()).collect();
    let words = titles.join("; ");
    Ok(format!("![Medians, with the least and the most: {words}](../images/bench-{name}.svg)\n\n"))
}

/// `Linux 6.1.0, 2 cores of Some CPU, 24 GB`
fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let model = cpus.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let cores = cpus.lines().filter(|line| line.starts_with("processor")).count();
    let memory = read("/proc/meminfo");
    let kilobytes = memory.split_whitespace().nth(1).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    format!(
        "Linux {}, {cores} cores of {}, {} GB of memory",
        read("/proc/sys/kernel/osrelease").trim(),
        model.trim_start_matches([' ', '\t', ':']),
        (kilobytes + 500_000) / 1_000_000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_says_when_what_is_built_has_more_than_it() {
        let of = |changes| marked("abc of 2026-01-01".to_owned(), changes);
        assert_eq!(of(""), "abc of 2026-01-01");
        assert_eq!(of(" M xtask/src/bench.rs\n"), "abc of 2026-01-01, with changes");
    }

    #[test]
    fn a_spread_is_least_middle_and_most_and_nothing_has_none() {
        let spread = Spread::of([3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.min, spread.median, spread.max), (1.0, 2.0, 3.0));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn the_median_of_an_even_number_favours_neither_side() {
        for (values, expected) in [
            (&[7.0][..], "7.0"),
            (&[1.0, 2.0], "1.5"),
            (&[9.0, 1.0, 2.0], "2.0"),
            (&[4.0, 1.0, 9.0, 2.0], "3.0"),
            (&[1.0, f64::INFINITY], "inf"),
        ] {
            let median = Spread::of(values.iter().copied()).unwrap().median;
            assert_eq!(format!("{median:.1}"), expected, "{values:?}");
        }
    }

    #[test]
    fn an_even_number_of_values_has_two_medians_and_an_odd_one_has_one() {
        assert_eq!(medians(&[1.0, 2.0]), Some((1.0, 2.0)));
        assert_eq!(medians(&[1.0, 2.0, 3.0, 4.0]), Some((2.0, 3.0)));
        assert_eq!(medians(&[1.0, 2.0, 9.0]), Some((2.0, 2.0)));
        assert_eq!(medians(&[]), None);
    }

    #[test]
    fn what_nobody_can_say_is_neither_met_nor_not_met() {
        assert_eq!([Some(true), Some(false), None].map(verdict), ["met", "**not met**", "open"]);
    }

    #[test]
    fn fewer_than_five_runs_say_neither() {
        assert_eq!([true, false].map(|is_met| verdict_of_runs(4, is_met)), ["open", "open"]);
        assert_eq!([true, false].map(|is_met| verdict_of_runs(5, is_met)), ["met", "**not met**"]);
    }

    #[test]
    fn a_figure_that_is_missing_is_a_dash_and_not_zero() {
        let rows = [("a".to_owned(), Spread::of([1.0])), ("b".to_owned(), None)];
        assert!(table("step, s", 1, &rows).ends_with("| a | 1.0 | 1.0 | 1.0 |\n| b | - | - | - |\n"));
    }
}
