//! What a thousand players notice of two hundred thousand datagrams of garbage a second.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Result;
use serde_json::Value;

use super::load::{self, Figure, Found};
use super::page::{self, Page, RUNS_MIN, Spread};
use crate::checkout::Checkout;

/// What the page shows of each run, with the unit.
const FIGURES: [Figure; 10] = [
    ("latency_us/p50", "input to state of players, median, ms", 1e3),
    P99,
    ("latency_us/p999", "input to state of players, p99.9, ms", 1e3),
    ("answered_percent", "inputs of players that were answered, %", 1.0),
    ("zone/dropped", "datagrams that the kernel dropped, thousands a run", 1e3),
    ("zone/filtered", "datagrams of strangers that a filter in the kernel kept out, thousands a run", 1e3),
    ("zone/received", "datagrams that the server took, thousands a run", 1e3),
    CPU,
    ("flood/rate", "garbage that was really sent, thousands a second", 1e3),
    ("flood/lateness_us_p99", "how late the garbage was sent, p99, ms", 1e3),
];
const P99: Figure = ("latency_us/p99", "input to state of players, p99, ms", 1e3);
const CPU: Figure = ("server_cpu_percent", "CPU of the server, % of a core", 1.0);

/// What players may notice: a tenth of their p99, or two milliseconds.
const RATIO_MAX: f64 = 1.1;
const DIFFERENCE_MAX_US: f64 = 2000.0;
/// And nearly all of their inputs are answered in each run: what never is has no latency.
const ANSWERED_MIN: f64 = 99.0;
/// Beside so many datagrams of garbage a second, that were really sent.
const RATE_MIN: f64 = 200_000.0;
/// Tried, a second: whoever shares a core sends a little less than it tries.
const RATE_TRIED: &str = "206000";

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    let step = "1000 bots without and with garbage in turn";
    let rate = |_: &Path| ["--rate", RATE_TRIED].map(str::to_owned).into();
    let found = load::run(checkout, ("hostile", step), runs, rate)?;
    Ok(Page {
        name: "hostile",
        title: "1000 players and a flood of garbage",
        arguments: format!("hostile --runs {runs}"),
        body: body(&found),
        panels: vec![found.panel("", P99), found.panel("", CPU)],
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
         ## What is asked for\n\nBeside {:.0} thousand datagrams a second, by the median of what was really sent, players' p99 is within 10 % or 2 ms of what it is without them, and {ANSWERED_MIN} % of their inputs are answered \
         in each run. Only pairs of runs in which the bots were in time without and with garbage are compared; open is what fewer than {RUNS_MIN} of them show, and what holds, but beside fewer datagrams.\n\n\
         | buffer | pairs | garbage, thousands a second | p99 calm, ms | p99 flood, ms | answered in each run, % | found |\n|---|--:|--:|--:|--:|--:|---|\n",
        results["players"],
        results["input_hz"],
        results["tick_hz"],
        results["duration_seconds"],
        results["rate"],
        results["sources"],
        found.network(),
        RATE_MIN / 1e3
    );
    for (buffer, compared) in buffers(found) {
        let _infallible = match compared {
            Some(compared @ Compared { pairs, rate, calm_us, flood_us, answered }) => writeln!(
                text,
                "| {buffer} | {pairs} | {:.1} | {:.2} | {:.2} | {answered:.2} | {} |",
                rate / 1e3,
                calm_us / 1e3,
                flood_us / 1e3,
                compared.verdict()
            ),
            None => writeln!(text, "| {buffer} | 0 | - | - | - | - | {} |", page::verdict(None)),
        };
    }
    text + &found.tables(&FIGURES, None)
}

/// Players without and with garbage, at one size of the buffer.
#[derive(Clone, Copy)]
struct Compared {
    /// Of runs in turn that count both: all that is said here is of those.
    pairs: usize,
    /// Garbage that was really sent, a second, median.
    rate: f64,
    /// p99 without and with garbage, medians.
    calm_us: f64,
    flood_us: f64,
    /// Of a hundred inputs beside garbage, in the worst run.
    answered: f64,
}

impl Compared {
    /// What fails beside less garbage than there should be fails beside all of it; what holds there says nothing.
    fn verdict(self) -> &'static str {
        let Self { pairs, rate, calm_us, flood_us, answered } = self;
        let is_near = flood_us <= (calm_us * RATIO_MAX).max(calm_us + DIFFERENCE_MAX_US);
        let holds = is_near && answered >= ANSWERED_MIN;
        if holds && rate < RATE_MIN { page::verdict(None) } else { page::verdict_of_runs(pairs, holds) }
    }
}

/// Each size of the buffer, and what can be compared there.
fn buffers(found: &Found) -> impl Iterator<Item = (&str, Option<Compared>)> {
    found.summaries().filter_map(|summary| {
        let buffer = summary["server"].as_str()?.strip_suffix(", calm")?;
        Some((buffer, compared(&found.pairs(&format!("{buffer}, calm"), &format!("{buffer}, flood")))))
    })
}

/// None if no pair counts.
fn compared(pairs: &[(&Value, &Value)]) -> Option<Compared> {
    let (calm, flood): (Vec<_>, Vec<_>) = pairs.iter().copied().unzip();
    Some(Compared {
        pairs: pairs.len(),
        rate: spread(&flood, "/flood/rate")?.median,
        calm_us: spread(&calm, "/latency_us/p99")?.median,
        flood_us: spread(&flood, "/latency_us/p99")?.median,
        answered: spread(&flood, "/answered_percent")?.min,
    })
}

fn spread(runs: &[&Value], path: &str) -> Option<Spread> {
    Spread::of(runs.iter().filter_map(|run| run.pointer(path)?.as_f64()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The row of a buffer of which five pairs of runs count, or other ones.
    fn row(rate: f64, (calm_us, flood_us): (f64, f64), answered: f64, void: &[(&str, usize)]) -> String {
        let names = ["208 KiB, calm", "208 KiB, flood"];
        let run = |name: &str, number: usize| {
            let p99 = if name == names[0] { calm_us } else { flood_us };
            // whose partner does not count says nothing either, whatever it found
            let (p99, answered, rate) = if void.iter().any(|(_, void)| *void == number) {
                (1e6, 0.0, 9e5)
            } else {
                (p99, answered, rate)
            };
            json!({
                "server": name,
                "void": void.contains(&(name, number)),
                "latency_us": { "p99": p99 },
                "answered_percent": answered,
                "flood": { "rate": rate },
            })
        };
        let runs: Vec<_> = (0..5).flat_map(|number| names.map(|name| run(name, number))).collect();
        let summaries = names.map(|name| json!({ "server": name }));
        let body = body(&Found::of(json!({ "summary": summaries, "runs": runs })));
        body.lines().find(|line| line.starts_with("| 208 KiB | ")).unwrap().to_owned()
    }

    #[test]
    fn players_may_notice_a_tenth_or_two_milliseconds_and_no_more_and_are_answered() {
        for (calm_us, flood_us, answered, expected) in [
            (10_000.0, 12_000.0, 99.0, "met"),
            (10_000.0, 12_100.0, 99.0, "**not met**"),
            (40_000.0, 44_000.0, 99.0, "met"),
            (40_000.0, 44_100.0, 99.0, "**not met**"),
            (10_000.0, 0.0, 98.9, "**not met**"),
        ] {
            let row = row(200_000.0, (calm_us, flood_us), answered, &[]);
            assert!(row.ends_with(&format!("| {expected} |")), "{row}");
        }
    }

    #[test]
    fn what_holds_beside_less_garbage_than_is_asked_for_is_open_and_says_beside_how_much() {
        let near = (16_700.0, 16_800.0);
        assert_eq!(
            row(182_150.0, near, 100.0, &[]),
            "| 208 KiB | 5 | 182.2 | 16.70 | 16.80 | 100.00 | open |"
        );
        assert!(row(199_999.0, near, 100.0, &[]).ends_with("| open |"));
        assert!(row(200_000.0, near, 100.0, &[]).ends_with("| met |"));
        let far = (16_700.0, 19_000.0);
        assert!(row(182_150.0, far, 100.0, &[]).ends_with("| **not met** |"), "it fails beside more as well");
    }

    #[test]
    fn fewer_than_five_pairs_of_runs_that_count_both_say_nothing() {
        for (void, pairs) in [
            (&[("208 KiB, calm", 3)][..], "4"),
            (&[("208 KiB, flood", 3)], "4"),
            (&[("208 KiB, calm", 3), ("208 KiB, flood", 3)], "4"),
            (&[("208 KiB, calm", 3), ("208 KiB, flood", 0)], "3"),
        ] {
            for flood_us in [16_800.0, 19_000.0] {
                let row = row(200_000.0, (16_700.0, flood_us), 100.0, void);
                assert!(row.starts_with(&format!("| 208 KiB | {pairs} | ")), "{void:?}: {row}");
                let end = format!("| 200.0 | 16.70 | {:.2} | 100.00 | open |", flood_us / 1e3);
                assert!(row.ends_with(&end), "{void:?}: {row}");
            }
        }
    }

    #[test]
    fn a_buffer_of_which_no_pair_counts_is_shown_with_nothing_compared() {
        let void: Vec<_> = (0..5).map(|run| ("208 KiB, flood", run)).collect();
        assert_eq!(
            row(200_000.0, (16_700.0, 16_800.0), 100.0, &void),
            "| 208 KiB | 0 | - | - | - | - | open |"
        );
    }
}
