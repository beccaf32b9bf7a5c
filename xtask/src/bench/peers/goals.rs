//! What is asked for, and whether it was found: computed from the results, like everything else on the page.

use std::fmt::Write as _;

use super::contenders::{Contender, EQUAL_WIRE, OURS_BARE, TOY};
use super::report::{Figure, of_fewer, spread};
use super::{Options, Results};
use crate::bench::page::{self, RUNS_MIN};

/// How many times the players of another one is to have.
struct Goal {
    of: &'static str,
    by: &'static str,
    at_least: f64,
}

/// What ours is to have of the same work by what one takes first.
const SAME_WORK: f64 = 1.15;
/// What ours is to have of what games are made with.
const LIBRARY: f64 = 2.0;
/// What our backend is to have of the machine.
const BARE: f64 = 0.95;

const GOALS: [Goal; 7] = [
    Goal { of: EQUAL_WIRE, by: "tokio-full", at_least: SAME_WORK },
    Goal { of: EQUAL_WIRE, by: "go-full", at_least: SAME_WORK },
    Goal { of: EQUAL_WIRE, by: "netty", at_least: LIBRARY },
    Goal { of: EQUAL_WIRE, by: "enet", at_least: LIBRARY },
    Goal { of: EQUAL_WIRE, by: "renet", at_least: LIBRARY },
    Goal { of: EQUAL_WIRE, by: "colyseus", at_least: LIBRARY },
    Goal { of: OURS_BARE, by: TOY, at_least: BARE },
];

/// Between what the players of one by those of another are: each has at least as many as held and fewer than failed.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Ratio {
    least: f64,
    /// Infinite where nothing failed with the one or nothing held with the other.
    most: f64,
    /// Of how many runs.
    runs: usize,
}

impl Ratio {
    /// Of one run; none where one of both has no figure.
    fn of_run(results: &Results, of: &str, by: &str, rate: u32) -> Option<Self> {
        let find = |name: &str| {
            let found = results.capacity.iter().find(|found| found.name == name && found.rate == rate)?;
            Some((f64::from(found.holds), found.fails.map_or(f64::INFINITY, f64::from)))
        };
        let ((holds, fails), (by_holds, by_fails)) = (find(of)?, find(by)?);
        Some(Self { least: holds / by_fails, most: fails / by_holds, runs: 1 })
    }

    /// Medians over the runs, of both ends: the median of what is between them is between those. Of an even number of runs the lower
    /// one of the lower end and the upper one of the upper end, so that no single run makes the claim stronger.
    fn of_runs(runs: &[&Results], of: &str, by: &str, rate: u32) -> Option<Self> {
        let ratios: Vec<Self> =
            runs.iter().filter_map(|results| Self::of_run(results, of, by, rate)).collect();
        let sorted = |end: fn(&Self) -> f64| {
            let mut ends: Vec<f64> = ratios.iter().map(end).collect();
            ends.sort_by(f64::total_cmp);
            ends
        };
        let (least, _) = page::medians(&sorted(|ratio| ratio.least))?;
        let (_, most) = page::medians(&sorted(|ratio| ratio.most))?;
        Some(Self { least, most, runs: ratios.len() })
    }

    /// None as long as the goal is between both ends, or runs are too few.
    fn is_met(self, at_least: f64) -> Option<bool> {
        if self.runs < RUNS_MIN {
            return None;
        }
        if self.least >= at_least {
            return Some(true);
        }
        (self.most < at_least).then_some(false)
    }

    fn judge(self, at_least: f64) -> String {
        let Self { least, most, runs } = self;
        let of_how_many = if runs < RUNS_MIN { format!("{runs} of {RUNS_MIN}") } else { runs.to_string() };
        let verdict = format!("{}, {of_how_many} runs", page::verdict(self.is_met(at_least)));
        match (least > 0.0, most.is_finite()) {
            (true, true) => format!("{least:.2}–{most:.2}, {verdict}"),
            (true, false) => format!("≥ {least:.2}, {verdict}"),
            (false, true) => format!("≤ {most:.2}, {verdict}"),
            (false, false) => verdict,
        }
    }
}

/// What is asked for of players, and of latency.
pub(super) fn goals(contenders: &[&'static Contender], options: &Options, runs: &[&Results]) -> String {
    players(&options.rates, runs) + &flat(contenders, &options.players, runs)
}

fn players(rates: &[u32], runs: &[&Results]) -> String {
    let heads: Vec<String> = rates.iter().map(|rate| format!("{rate} Hz")).collect();
    let mut text = format!(
        "\n## What is asked for\n\nThe players of one by those of another in the same run: between what held by what failed and what failed by what held, medians of the runs of both ends, of an even number of runs the lower and the upper. \
         *Met* and *not met* are said where both ends are on the same side; *open* is what the goal lies within, or where more players may hold than could be tried, and every ratio of fewer than {RUNS_MIN} runs. \
         `tokio-full` and `go-full` do the work that ours does, or much of it; `tokio`, `tokio-uring` and `go` show what a bare transport gives before any of that, and nothing is asked for beside them. \
         `{OURS_BARE}` beside `{TOY}` is our backend with everything off; what the rest costs is told stage by stage in [ADR 26](../adr/0026-what-a-core-is-spent-on.md) and on [the page of costs](costs.md).\n\n\
         | players of | by those of | at least | {} |\n|---|---|--:|{}\n",
        heads.join(" | "),
        "--:|".repeat(rates.len())
    );
    for Goal { of, by, at_least } in GOALS {
        let judge = |&rate: &u32| {
            Ratio::of_runs(runs, of, by, rate).map_or_else(|| "-".to_owned(), |ratio| ratio.judge(at_least))
        };
        let cells: Vec<String> = rates.iter().map(judge).collect();
        let _infallible = writeln!(text, "| {of} | {by} | {at_least} | {} |", cells.join(" | "));
    }
    text
}

/// How p99 grows from the fewest players to the most.
fn flat(contenders: &[&'static Contender], players: &[u32], runs: &[&Results]) -> String {
    let (Some(&few), Some(&many)) = (players.iter().min(), players.iter().max()) else {
        return String::new();
    };
    let mut text = format!(
        "\nLatency is to be flat however many play: p99 with {many} players by p99 with {few} (medians; 1.00 is flat).\n\n\
         | p99, ms | {few} players | {many} players | ratio |\n|---|--:|--:|--:|\n"
    );
    for contender in contenders {
        let p99 = |players| median(contender.name, players, runs, |figures| figures.p99_ms);
        let (few, many) = (p99(few), p99(many));
        let ratio =
            few.0.zip(many.0).map_or_else(|| "-".to_owned(), |(few, many)| format!("{:.2}", many / few));
        let _infallible = writeln!(text, "| {} | {} | {} | {ratio} |", contender.name, few.1, many.1);
    }
    text
}

/// A median, and how the page shows it.
fn median(name: &str, players: u32, runs: &[&Results], figure: Figure) -> (Option<f64>, String) {
    let found = spread(name, players, runs, figure);
    let shown = found.map_or_else(
        || "-".to_owned(),
        |(spread, of)| format!("{:.1}{}", spread.median, of_fewer(of, runs.len())),
    );
    (found.map(|(spread, _)| spread.median), shown)
}

#[cfg(test)]
mod tests {
    use super::super::{Capacity, Figures, Trial};
    use super::*;
    use crate::bench::peers::contenders::ALL;
    use crate::bench::peers::figures::Verdict;

    /// A run in which each held with the one and failed with the other.
    fn run(found: &[(&str, u32, Option<u32>)]) -> Results {
        let capacity = |&(name, holds, fails): &(&str, u32, Option<u32>)| Capacity {
            name: name.to_owned(),
            rate: 64,
            holds,
            fails,
            voids: 0,
        };
        Results { capacity: found.iter().map(capacity).collect(), ..Results::default() }
    }

    #[test]
    fn a_goal_is_met_or_not_where_what_is_between_held_and_failed_is_all_on_one_side() {
        let cases = [
            ((1150, Some(1240)), "tokio-full", (930, Some(1000)), "| 1.15 | 1.15–1.33, met, 5 runs |"),
            ((1140, Some(1240)), "go-full", (930, Some(1000)), "| 1.15 | 1.14–1.33, open, 5 runs |"),
            ((1000, Some(1069)), "go-full", (930, Some(1000)), "| 1.15 | 1.00–1.15, **not met**, 5 runs |"),
            ((1000, Some(1070)), "tokio-full", (930, Some(1000)), "| 1.15 | 1.00–1.15, open, 5 runs |"),
            ((1000, None), "tokio-full", (930, Some(1000)), "| 1.15 | ≥ 1.00, open, 5 runs |"),
            ((1200, None), "tokio-full", (930, Some(1000)), "| 1.15 | ≥ 1.20, met, 5 runs |"),
            ((1150, Some(1200)), "tokio-full", (1000, None), "| 1.15 | ≤ 1.20, open, 5 runs |"),
            ((1000, Some(1100)), "tokio-full", (1000, None), "| 1.15 | ≤ 1.10, **not met**, 5 runs |"),
            ((8000, None), "tokio-full", (8000, None), "| 1.15 | open, 5 runs |"),
            ((2050, Some(2100)), "renet", (1024, Some(1025)), "| 2 | 2.00–2.05, met, 5 runs |"),
            ((1000, Some(1070)), "enet", (0, Some(10)), "| 2 | ≥ 100.00, met, 5 runs |"),
            ((0, Some(10)), "enet", (1000, Some(1070)), "| 2 | ≤ 0.01, **not met**, 5 runs |"),
        ];
        for ((holds, fails), name, (by_holds, by_fails), cells) in cases {
            let run = run(&[(EQUAL_WIRE, holds, fails), (name, by_holds, by_fails)]);
            let (page, row) =
                (players(&[64], &[&run; RUNS_MIN]), format!("| {EQUAL_WIRE} | {name} {cells}\n"));
            assert!(page.contains(&row), "{row} is not in:\n{page}");
        }
    }

    #[test]
    fn who_was_not_measured_is_judged_by_nobody() {
        let run = run(&[(EQUAL_WIRE, 1000, Some(1070))]);
        let page = players(&[64], &[&run]);
        assert!(page.contains("| cranewing-each-tick | netty | 2 | - |"), "{page}");
        assert!(page.contains("| uring-bare | toy | 0.95 | - |"), "{page}");
    }

    #[test]
    fn only_ours_at_equal_wire_is_set_against_the_goals_and_only_beside_equal_work() {
        let run = run(&[
            ("cranewing", 9000, Some(9100)),
            (EQUAL_WIRE, 1000, Some(1070)),
            ("go", 1000, Some(1070)),
            ("go-full", 1000, Some(1070)),
        ]);
        let page = players(&[64], &[&run; RUNS_MIN]);
        assert!(
            page.contains("| cranewing-each-tick | go-full | 1.15 | 0.93–1.07, **not met**, 5 runs |"),
            "{page}"
        );
        assert!(!page.contains("| cranewing |") && !page.contains("| go |"), "{page}");
    }

    #[test]
    fn ratios_are_of_one_run_and_the_page_has_their_medians() {
        // one that was slow for one of both, a slow machine, and a fast one
        let runs = [
            run(&[(EQUAL_WIRE, 600, Some(630)), ("go-full", 1440, Some(1500))]),
            run(&[(EQUAL_WIRE, 600, Some(630)), ("go-full", 480, Some(500))]),
            run(&[(EQUAL_WIRE, 1800, Some(1890)), ("go-full", 1440, Some(1500))]),
        ];
        let ratio = Ratio::of_runs(&runs.each_ref(), EQUAL_WIRE, "go-full", 64).unwrap();
        assert_eq!(ratio, Ratio { least: 1.2, most: 1.3125, runs: 3 });
    }

    #[test]
    fn of_an_even_number_of_runs_the_better_one_does_not_decide() {
        let runs = [
            run(&[(EQUAL_WIRE, 1070, Some(1080)), ("go-full", 930, Some(1000))]),
            run(&[(EQUAL_WIRE, 1160, Some(1170)), ("go-full", 930, Some(1000))]),
        ];
        let ratio = Ratio::of_runs(&runs.each_ref(), EQUAL_WIRE, "go-full", 64).unwrap();
        assert_eq!(ratio, Ratio { least: 1.07, most: 1170.0 / 930.0, runs: 2 });
        let six = [&runs[0], &runs[0], &runs[0], &runs[1], &runs[1], &runs[1]];
        let page = players(&[64], &six);
        assert!(page.contains("| go-full | 1.15 | 1.07–1.26, open, 6 runs |"), "{page}");
    }

    #[test]
    fn fewer_than_five_runs_decide_nothing() {
        let run = run(&[(EQUAL_WIRE, 2000, Some(2100)), ("go-full", 930, Some(1000))]);
        let four = players(&[64], &[&run; 4]);
        assert!(four.contains("| go-full | 1.15 | 2.00–2.26, open, 4 of 5 runs |"), "{four}");
        let five = players(&[64], &[&run; 5]);
        assert!(five.contains("| go-full | 1.15 | 2.00–2.26, met, 5 runs |"), "{five}");
    }

    #[test]
    fn how_flat_latency_is_follows_from_the_fewest_and_the_most_players() {
        let trial = |players, p99_ms, verdict| {
            let figures = Some(Figures { joined: players, p99_ms, ..Figures::default() });
            Trial { name: "tokio".to_owned(), rate: 64, players, figures, verdict }
        };
        let void = Verdict::Void { why: String::new() };
        let run = |latency| Results { latency, ..Results::default() };
        let whole = run(vec![
            trial(1000, 30.0, Verdict::Holds),
            trial(100, 90.0, Verdict::Holds),
            trial(10, 20.0, Verdict::Holds),
        ]);
        let part = run(vec![trial(1000, 90.0, void), trial(10, 20.0, Verdict::Holds)]);
        let contenders: Vec<_> = ALL.iter().collect();
        let text = flat(&contenders, &[10, 100, 1000], &[&whole]);
        assert!(text.contains("| tokio | 20.0 | 30.0 | 1.50 |"), "{text}");
        assert!(text.contains("| go | - | - | - |"), "{text}");
        let text = flat(&contenders, &[10, 1000], &[&whole, &part]);
        assert!(text.contains("| tokio | 20.0 | 30.0, 1 of 2 | 1.50 |"), "{text}");
    }
}
