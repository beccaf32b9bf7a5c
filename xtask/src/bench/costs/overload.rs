//! What a tick takes when more is asked for than it carries out.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{goal, row};
use crate::bench::overload::JAIN_MIN;
use crate::bench::page;

/// What one run of the example says; times in microseconds.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Overload {
    players: u32,
    limit: u32,
    tick_hz: u32,
    due_min: f64,
    carried_out_min: f64,
    refused_a_tick: f64,
    take_in_us: Quantiles,
    step_us: Quantiles,
    flush_us: Quantiles,
    work_us: Quantiles,
    all_us: Quantiles,
    jain: f64,
}

#[derive(Debug, Clone, Copy, Default, Deserialize)]
struct Quantiles {
    p50: f64,
    p99: f64,
}

/// Players, and what a tick carries out at most: as much as it does by default.
pub(super) const SCENES: [(u32, u32); 2] = [(1000, 1000), (2000, 1000)];

const METHOD: &str = "
## In an overload

At 64 Hz each player sends two new inputs before every tick, which is what it may in the long run, and a tick carries out 1000 at most, as it does by default: \
1000 players ask for twice as much, 2000 for four times. What was not carried out waits, is due in each tick after that, and is refused after an eighth of a second \
([decision 25](../adr/0025-overload.md)). As above there is no socket: what the kernel takes for a datagram comes on top. Of the ticks of 5 s.

";

/// What is to be over, its time, and within how many periods of a tick.
type Within = (&'static str, fn(&Overload) -> f64, f64);

/// What was promised: 99 of 100 ticks take less than so many of their periods. One whose work alone takes longer than a period in
/// the middle is late each time, whatever its 99th percentile is.
const WITHIN: [Within; 3] = [
    ("step and snapshots, p99, less than 1.5 times the 15.6 ms of a tick", |run| run.work_us.p99, 1.5),
    ("all of it, p99, less than 1.5 times the 15.6 ms of a tick", |run| run.all_us.p99, 1.5),
    ("all of it, p50, less than the 15.6 ms of a tick", |run| run.all_us.p50, 1.0),
];
/// And all that at so many times as many inputs that are due as are carried out.
const TIMES: f64 = 4.0;

type Stage = (&'static str, fn(&Overload) -> Quantiles);

pub(super) fn section(all: &[Overload]) -> String {
    let scenes = SCENES.map(|scene| all.iter().filter(|run| (run.players, run.limit) == scene).collect());
    let mut text = METHOD.to_owned();
    head(&mut text, "minimum / median / maximum of the runs");
    row(&mut text, "inputs that were due, the least of a tick", &scenes, 0, |run| run.due_min);
    row(&mut text, "inputs carried out, the least of a tick", &scenes, 0, |run| run.carried_out_min);
    row(&mut text, "inputs refused in a tick", &scenes, 0, |run| run.refused_a_tick);
    let stages: [Stage; 5] = [
        ("take all in", |run| run.take_in_us),
        ("step of the world", |run| run.step_us),
        ("snapshots of all who get one", |run| run.flush_us),
        ("step and snapshots", |run| run.work_us),
        ("all of it", |run| run.all_us),
    ];
    for (name, stage) in stages {
        row(&mut text, &format!("{name}, p50, ms"), &scenes, 2, |run| stage(run).p50 / 1e3);
        row(&mut text, &format!("{name}, p99, ms"), &scenes, 2, |run| stage(run).p99 / 1e3);
    }
    row(&mut text, "Jain's index of what was carried out", &scenes, 3, |run| run.jain);
    text.push('\n');
    head(&mut text, "asked for, by medians");
    let judge = |runs: &[&Overload], is_met| Some(page::verdict_of_runs(runs.len(), is_met));
    for (name, us, ticks_max) in WITHIN {
        let ticks = |run: &Overload| us(run) * f64::from(run.tick_hz) / 1e6;
        goal(&mut text, name, &scenes, ticks, |runs, ticks| judge(runs, ticks < ticks_max));
    }
    let even = format!("Jain's index, {JAIN_MIN} at least");
    goal(&mut text, &even, &scenes, |run| run.jain, |runs, jain| judge(runs, jain >= JAIN_MIN));
    let times = |run: &Overload| run.due_min / f64::from(run.limit);
    let name = format!("due in each tick, {TIMES} times what it carries out at least");
    goal(&mut text, &name, &scenes, times, |runs, times| judge(runs, times >= TIMES));
    text
}

fn head(text: &mut String, what: &str) {
    let _infallible = write!(text, "| {what} |");
    for (players, limit) in SCENES {
        let _infallible = write!(text, " {players} players, {} inputs for {limit} |", 2 * players);
    }
    let _infallible = writeln!(text, "\n|---|{}", "--:|".repeat(SCENES.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::page::RUNS_MIN;

    fn run(all_us: Quantiles, jain: f64, due_min: f64) -> Overload {
        let work_us = Quantiles { p50: all_us.p50 / 2.0, p99: all_us.p99 / 2.0 };
        let scene = Overload { players: 1000, limit: 1000, tick_hz: 64, ..Overload::default() };
        Overload { due_min, work_us, all_us, jain, ..scene }
    }

    #[test]
    fn the_page_says_whether_overloaded_ticks_are_over_in_time_and_shares_are_even_at_four_times_what_is_carried_out()
     {
        let page = |p50, p99, jain, due_min| section(&[run(Quantiles { p50, p99 }, jain, due_min); RUNS_MIN]);
        let held = page(12_500.0, 18_750.0, 0.95, 4000.0);
        assert!(held.contains("| all of it, p99, ms | 18.75 / 18.75 / 18.75 | - |"), "{held}");
        let (work, all) = ("| step and snapshots, p99, less than 1.5", "| all of it, p99, less than 1.5");
        for (goal, verdict) in [
            (work, "0.60, met"),
            (all, "1.20, met"),
            ("| all of it, p50, less than", "0.80, met"),
            ("| Jain's index, 0.95 at least", "0.95, met"),
            ("| due in each tick, 4 times", "4.00, met"),
        ] {
            is_judged(&held, goal, verdict);
        }
        is_judged(&page(12_500.0, 46_875.0, 0.95, 4000.0), work, "1.50, **not met**");
        is_judged(&page(12_500.0, 23_437.5, 0.95, 4000.0), all, "1.50, **not met**");
        let late = page(15_625.0, 18_750.0, 0.95, 4000.0);
        is_judged(&late, "| all of it, p50, less than", "1.00, **not met**");
        let uneven = page(12_500.0, 18_750.0, 0.94, 4000.0);
        is_judged(&uneven, "| Jain's index, 0.95 at least", "0.94, **not met**");
        let scene = run(Quantiles { p50: 1.0, p99: 1.0 }, 0.95, 4000.0);
        is_judged(&section(&[scene; RUNS_MIN - 1]), all, "0.00, open");
        let few = page(12_500.0, 18_750.0, 0.95, 3900.0);
        is_judged(&few, "| due in each tick, 4 times", "3.90, **not met**");
    }

    /// The first scene has this verdict, and the second none.
    fn is_judged(page: &str, goal: &str, verdict: &str) {
        let line = page.lines().find(|line| line.starts_with(goal)).unwrap_or_default();
        assert!(line.ends_with(&format!(" | {verdict} | - |")), "{goal} {verdict} is not in:\n{page}");
    }
}
