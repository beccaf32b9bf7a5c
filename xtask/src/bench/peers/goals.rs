//! What is asked for, and whether it was found: computed from the results, like everything else on the page.

use std::cmp::Ordering;
use std::fmt::Write as _;

use super::contenders::{Contender, EQUAL_WIRE};
use super::report::{found, spread};
use super::{Options, Results, Trial};

/// How many players another server has beside ours.
#[derive(Debug, Clone, Copy)]
struct Beside {
    ratio: f64,
    /// Nothing failed with ours, so the ratio may be more.
    may_be_more: bool,
    /// Nothing failed with the other, so the ratio may be less.
    may_be_less: bool,
}

impl Beside {
    fn judge(&self, asked_for: f64) -> String {
        let Self { ratio, may_be_more, may_be_less } = *self;
        let bound = match (may_be_more, may_be_less) {
            (false, false) => "",
            (true, false) => "≥ ",
            (false, true) => "≤ ",
            (true, true) => "~ ",
        };
        let verdict = match ratio.total_cmp(&asked_for) {
            Ordering::Less if may_be_more => "open",
            Ordering::Less => "**not met**",
            _ if may_be_less => "open",
            _ => "met",
        };
        format!("{bound}{ratio:.2}, {verdict}")
    }
}

/// Ours at equal wire beside another, by medians; none where one of both has no figure or nobody could play.
fn beside(results: &Results, contender: &Contender, rate: u32) -> Option<Beside> {
    let (ours, may_be_more) = found(&results.capacity, EQUAL_WIRE, rate)?;
    let (theirs, is_bound) = found(&results.capacity, contender.name, rate)?;
    let is_full = contender.is_full_then && theirs.median >= f64::from(contender.players_max);
    let ratio = (theirs.median > 0.0).then(|| ours.median / theirs.median)?;
    Some(Beside { ratio, may_be_more, may_be_less: is_bound && !is_full })
}

/// What is asked for of players, and of latency.
pub(super) fn goals(contenders: &[&'static Contender], options: &Options, results: &Results) -> String {
    players(contenders, &options.rates, results) + &flat(contenders, &options.players, &results.latency)
}

fn players(contenders: &[&'static Contender], rates: &[u32], results: &Results) -> String {
    let heads: Vec<String> = rates.iter().map(|rate| format!("{rate} Hz")).collect();
    let mut text = format!(
        "\n## What is asked for\n\nPlayers of `{EQUAL_WIRE}` by those of another, medians of the runs. *Open*: one of both could not be tried with as many players as it may have.\n\n\
         | times the players of | at least | {} |\n|---|--:|{}\n",
        heads.join(" | "),
        "--:|".repeat(rates.len())
    );
    for contender in contenders {
        let Some(asked_for) = contender.asked_for else { continue };
        let judge = |&rate: &u32| {
            beside(results, contender, rate).map_or_else(|| "-".to_owned(), |beside| beside.judge(asked_for))
        };
        let cells: Vec<String> = rates.iter().map(judge).collect();
        let _infallible = writeln!(text, "| {} | {asked_for} | {} |", contender.name, cells.join(" | "));
    }
    text
}

/// How p99 grows from the fewest players to the most.
fn flat(contenders: &[&'static Contender], players: &[u32], all: &[Trial]) -> String {
    let (Some(&few), Some(&many)) = (players.iter().min(), players.iter().max()) else {
        return String::new();
    };
    let mut text = format!(
        "\nLatency is to be flat however many play: p99 with {many} players by p99 with {few} (medians; 1.00 is flat).\n\n\
         | p99, ms | {few} players | {many} players | ratio |\n|---|--:|--:|--:|\n"
    );
    for contender in contenders {
        let p99 = |players| spread(contender.name, players, all, |figures| figures.p99_ms);
        let (few, many) = (p99(few).map(|spread| spread.median), p99(many).map(|spread| spread.median));
        let show = |value: Option<f64>, digits: usize| {
            value.map_or_else(|| "-".to_owned(), |value| format!("{value:.digits$}"))
        };
        let ratio = few.zip(many).map(|(few, many)| many / few);
        let (few, many, ratio) = (show(few, 1), show(many, 1), show(ratio, 2));
        let _infallible = writeln!(text, "| {} | {few} | {many} | {ratio} |", contender.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::{Capacity, Figures};
    use super::*;
    use crate::bench::peers::contenders::ALL;
    use crate::bench::peers::trial::Verdict;

    fn page(ours: (u32, bool), name: &'static str, theirs: (u32, bool)) -> String {
        let capacity = [(EQUAL_WIRE, ours), (name, theirs)]
            .map(|(name, (players, is_bound))| Capacity { name, rate: 64, players, is_bound })
            .to_vec();
        let contenders: Vec<_> = ALL.iter().collect();
        players(&contenders, &[64], &Results { capacity, ..Results::default() })
    }

    #[test]
    fn a_goal_is_met_or_not_or_open_where_one_could_not_be_tried_with_enough() {
        let cases = [
            ((1150, false), "tokio", (1000, false), "| tokio | 1.15 | 1.15, met |"),
            ((1140, false), "go", (1000, false), "| go | 1.15 | 1.14, **not met** |"),
            ((1000, true), "tokio", (1000, false), "| tokio | 1.15 | ≥ 1.00, open |"),
            ((1200, true), "tokio", (1000, false), "| tokio | 1.15 | ≥ 1.20, met |"),
            ((1200, false), "tokio", (1000, true), "| tokio | 1.15 | ≤ 1.20, open |"),
            ((1000, false), "tokio", (1000, true), "| tokio | 1.15 | ≤ 1.00, **not met** |"),
            ((8000, true), "tokio", (8000, true), "| tokio | 1.15 | ~ 1.00, open |"),
            ((2048, false), "renet", (1024, true), "| renet | 2 | 2.00, met |"),
            ((2048, false), "renet", (1000, true), "| renet | 2 | ≤ 2.05, open |"),
            ((2048, false), "enet", (0, false), "| enet | 2 | - |"),
        ];
        for (ours, name, theirs, row) in cases {
            let page = page(ours, name, theirs);
            assert!(page.contains(row), "{row} is not in:\n{page}");
        }
    }

    #[test]
    fn only_ours_at_equal_wire_is_set_against_the_goals() {
        let found = |name, players| Capacity { name, rate: 64, players, is_bound: false };
        let capacity = vec![found("cranewing", 9000), found(EQUAL_WIRE, 1000), found("go", 1000)];
        let contenders: Vec<_> = ALL.iter().collect();
        let page = players(&contenders, &[64], &Results { capacity, ..Results::default() });
        assert!(page.contains("| go | 1.15 | 1.00, **not met** |"), "{page}");
    }

    #[test]
    fn how_flat_latency_is_follows_from_the_fewest_and_the_most_players() {
        let trial = |players, p99_us: u32| {
            let line = format!("{{\"joined\": {players}, \"latency_us\": {{\"p99\": {p99_us}}}}}");
            let figures = Some(Figures::for_test(&line));
            Trial { run: 1, name: "tokio", rate: 64, players, figures, verdict: Verdict::Holds }
        };
        let all = [trial(1000, 30_000), trial(100, 90_000), trial(10, 20_000)];
        let contenders: Vec<_> = ALL.iter().collect();
        let text = flat(&contenders, &[10, 100, 1000], &all);
        assert!(text.contains("| tokio | 20.0 | 30.0 | 1.50 |"), "{text}");
        assert!(text.contains("| go | - | - | - |"), "{text}");
    }
}
