//! The page of peers.

use std::fmt::Write as _;

use super::build::Programs;
use super::contenders::{Contender, EQUAL_WIRE, GIVES, RATES};
use super::figures::{
    Figures, JOINED_PERCENT, LOST_BY_FAR, LOST_MAX, P99_BY_FAR, SNAPSHOTS_BY_FAR, SNAPSHOTS_MIN, p99_limit_ms,
};
use super::goals;
use super::search::{CLOSE, VOID_MAX};
use super::seed;
use super::trial::{DURATION, INPUT_HZ, JOIN_LIMIT};
use super::{Capacity, LATENCY_HZ, Options, Results};
use crate::bench::page::{Panel, Spread};

/// One figure of a trial.
pub(super) type Figure = fn(&Figures) -> f64;

/// Ticks a second at which latencies are shown.
pub(super) fn latency_hz(rates: &[u32]) -> u32 {
    if rates.contains(&LATENCY_HZ) { LATENCY_HZ } else { rates.first().copied().unwrap_or(LATENCY_HZ) }
}

pub(super) fn body(
    contenders: &[&'static Contender],
    programs: &Programs,
    options: &Options,
    runs: &[&Results],
) -> String {
    let mut text = method();
    text.push_str(&gives(contenders));
    for (name, missing) in programs.missing() {
        let _infallible = writeln!(text, "\n{name} is not measured here: {missing}");
    }
    let capacities: Vec<&Capacity> = runs.iter().flat_map(|results| &results.capacity).collect();
    for &rate in &options.rates {
        text.push_str(&capacity(contenders, rate, &capacities));
    }
    text.push_str(&goals::goals(contenders, options, runs));
    text.push_str(&latency(contenders, latency_hz(&options.rates), &options.players, runs));
    text
}

/// Players a core at each rate, as pictures.
pub(super) fn panels(contenders: &[&'static Contender], options: &Options, runs: &[&Results]) -> Vec<Panel> {
    let all: Vec<&Capacity> = runs.iter().flat_map(|results| &results.capacity).collect();
    let panel = |&rate: &u32| {
        let row = |contender: &&Contender| {
            let found = found(contender.name, rate, &all);
            Some((contender.name.to_owned(), held(&found)?))
        };
        Panel {
            title: format!("players a core, {rate} Hz"),
            rows: contenders.iter().filter_map(row).collect(),
        }
    };
    options.rates.iter().map(panel).collect()
}

fn found<'a>(name: &str, rate: u32, all: &[&'a Capacity]) -> Vec<&'a Capacity> {
    all.iter().copied().filter(|found| found.name == name && found.rate == rate).collect()
}

fn held(found: &[&Capacity]) -> Option<Spread> {
    Spread::of(found.iter().map(|found| f64::from(found.holds)))
}

fn method() -> String {
    format!(
        "N players each send {INPUT_HZ} inputs of 64 bytes a second, open loop and each at its own phase. At every tick the server sends each of them one \
         snapshot of about 340 bytes, which names the newest input of that player that it has taken. \
         Measured is the time from when an input was due to the first snapshot that acknowledges it, over loopback, {:.0} s a trial. \
         The server has one core, everything that belongs to it included, and the load another, where it runs before everything else (SCHED_FIFO). \
         After what is measured everyone plays on for a quarter of a second: of the inputs that were due while it was measured, those that nothing has answered by then are lost. \
         One that our server refuses is answered. Everyone has {:.0} s to join, which is not measured: our bots join ten in each of their turns, 50 clients of renet \
         at a time, 16 of Colyseus, those of ENet all at once, and those of the bare protocol, sealed or not, by their first input.\n\n\
         **Players a core** is the largest N for which p99 stays below 1.5 ticks + 5 ms ({}), less than {} % of the inputs get lost and {:.0} % of the \
         snapshots come. An input waits for a tick at most; half a tick is left to work and to send what came of it, and 5 ms for what else the machine does. \
         Each search begins with {} to {} % of about what the server is known to hold, drawn for each run and rate and the same for everyone in it, so that no run leans on another or tries the same numbers as all. It goes up or down by steps that get longer, and then to the middle, until what holds and what fails are within {} %; \
         what then fails closely must do so again, because a pause of the machine may be the reason, and holds if it holds then: one of two is enough. Closely is a p99 below {:.0} times the limit, less than {:.0} % of the inputs lost, {:.0} % of the \
         snapshots or more, {} % of the players or more in, or a server that ended or hung. A server has failed when it ends, tells nobody its figures, lets players wait, or is beyond a limit. A trial in which the load itself was more than 1 ms late at p99, \
         or failed, or whose server did not start, is void and done again; the {}th of one number in a row puts that number out of reach. The last column says how many there were. *n of m* in the column of what failed: in so many of the runs something did, and the median is of those; \
         in the others, as where there is a dash, the load was late above, or can be no more players.\n\n\
         Each step is done on everyone in turn, so that all share the same minutes. All are `gameserver/bots/bench/peers`, built with the flags of a release \
         from locked versions, and used as their own documentation says. Those that are only a transport speak a bare protocol: they know neither sessions \
         nor a world, so their figures are what is there before any of that. Two do the work of a game as well: `tokio-full` is our own server's core, played on by our own bots, \
         and `go-full` seals its datagrams and tells each player of 50 around it in the same 340 bytes, at full length each time and without the rest of our rules.\n\n\
         Each client has a socket of its own, whatever it speaks: over loopback the sender does the work of the arrival, and that costs a server's core more with a thousand sockets than with a few. \
         Clients of Colyseus take more time than its server, so one of eight \
         decodes what it gets and is measured; they are a program in JavaScript, which pauses by itself, so their inputs count from when they were really \
         sent, and void is what is 10 ms late.\n\n\
         Our server is there twice, with room for four inputs of each player at each tick (its own default is 1000 inputs a tick). `cranewing` is what comes without arguments: a tick that brings a player nothing but what its client predicts costs no datagram, so \
         it sends fewer snapshots than the others, and how many come is not looked at: one that is missing shows in the latency. `{EQUAL_WIRE}` tells each player of itself \
         and of others at each tick, which is a snapshot a tick as the others send it and to be set beside them. Up to 30 Hz the first tells of others at each tick as well; what \
         is between both there is what the measure itself is worth.\n\n",
        DURATION.as_secs_f64(),
        JOIN_LIMIT.as_secs_f64(),
        RATES.map(|hz| format!("{:.1} ms at {hz} Hz", p99_limit_ms(hz))).join(", "),
        LOST_MAX * 100.0,
        SNAPSHOTS_MIN * 100.0,
        seed::PERCENT[0],
        seed::PERCENT[1],
        CLOSE - 100,
        P99_BY_FAR,
        LOST_BY_FAR * 100.0,
        SNAPSHOTS_BY_FAR * 100.0,
        JOINED_PERCENT,
        VOID_MAX,
    )
}

/// What each is, and what it lacks.
fn gives(contenders: &[&'static Contender]) -> String {
    let mut text =
        format!("| server | what it is | {} |\n|---|---|{}\n", GIVES.join(" | "), "---|".repeat(GIVES.len()));
    for contender in contenders {
        let _infallible =
            writeln!(text, "| {} | {} | {} |", contender.name, contender.about, contender.gives.join(" | "));
    }
    text
}

fn capacity(contenders: &[&'static Contender], rate: u32, all: &[&Capacity]) -> String {
    let ours = held(&found(EQUAL_WIRE, rate, all)).map(|spread| spread.median).filter(|ours| *ours > 0.0);
    let mut text = format!(
        "\n## {rate} Hz\n\n| players a core | runs | min | median | max | failed, median | median by that of `{EQUAL_WIRE}` | void trials |\n|---|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for Contender { name, .. } in contenders {
        let found = found(name, rate, all);
        let Some(Spread { min, median, max }) = held(&found) else {
            let _infallible = writeln!(text, "| {name} | 0 | - | - | - | - | - | - |");
            continue;
        };
        let fails = failed(&found);
        let ratio = ours.map_or_else(|| "-".to_owned(), |ours| format!("{:.2}", median / ours));
        let (runs, voids) = (found.len(), found.iter().map(|found| found.voids).sum::<u32>());
        let _infallible = writeln!(
            text,
            "| {name} | {runs} | {min:.0} | {median:.0} | {max:.0} | {fails} | {ratio} | {voids} |"
        );
    }
    text
}

/// The median of what failed, and in how many of the runs something did where it did not in all.
fn failed(found: &[&Capacity]) -> String {
    let failed: Vec<f64> = found.iter().filter_map(|found| found.fails).map(f64::from).collect();
    let of = failed.len();
    Spread::of(failed)
        .map_or_else(|| "-".to_owned(), |spread| format!("{:.0}{}", spread.median, of_fewer(of, found.len())))
}

fn latency(contenders: &[&'static Contender], rate: u32, players: &[u32], runs: &[&Results]) -> String {
    let mut text = format!(
        "\n## Latency by players\n\nAt {rate} Hz; median of the runs, and in parentheses the least and the most. *n of m*: of so many of the runs, because in the others nobody \
         got in or the load was late, or nobody looked at its memory yet. A dash: so it was in every run, or it cannot have as many players.\n"
    );
    let tables: [(&str, Figure); 6] = [
        ("input to state, median, ms", |figures| figures.p50_ms),
        ("input to state, p99, ms", |figures| figures.p99_ms),
        ("CPU of the server, % of a core", |figures| figures.cpu_percent),
        ("snapshots a second and player", |figures| figures.snapshots_hz),
        ("bytes of a snapshot", |figures| figures.snapshot_bytes),
        ("memory of the server, MB", memory_mb),
    ];
    for (head, figure) in tables {
        let heads: Vec<String> = players.iter().map(|players| format!("{players} players")).collect();
        let _infallible =
            write!(text, "\n| {head} | {} |\n|---|{}\n", heads.join(" | "), "--:|".repeat(players.len()));
        for contender in contenders {
            let cells: Vec<String> =
                players.iter().map(|&players| cell(contender.name, players, runs, figure)).collect();
            let _infallible = writeln!(text, "| {} | {} |", contender.name, cells.join(" | "));
        }
    }
    text + &memory_of_a_player(contenders, players, runs)
}

/// How much more a server has with the most players than with the fewest, for each of them.
fn memory_of_a_player(contenders: &[&'static Contender], players: &[u32], runs: &[&Results]) -> String {
    let (Some(&few), Some(&many)) = (players.iter().min(), players.iter().max()) else {
        return String::new();
    };
    let mut text = format!(
        "\nWhat a server has more with {many} players than with {few}, by what there are more of them (medians).\n\n| memory of a player, KB | |\n|---|--:|\n"
    );
    for Contender { name, .. } in contenders {
        let median = |players| spread(name, players, runs, memory_mb).map(|(spread, _)| spread.median);
        let more = median(many).zip(median(few)).filter(|_| few < many);
        let kilobytes = more.map(|(most, least)| (most - least) * 1e3 / f64::from(many - few));
        let cell = kilobytes.map_or_else(|| "-".to_owned(), |kilobytes| format!("{kilobytes:.1}"));
        let _infallible = writeln!(text, "| {name} | {cell} |");
    }
    text
}

/// Not a number where nobody looked.
fn memory_mb(figures: &Figures) -> f64 {
    figures.memory_mb.unwrap_or(f64::NAN)
}

/// Of a figure over the runs in which the load was in time, and how many those are.
pub(super) fn spread(name: &str, players: u32, runs: &[&Results], figure: Figure) -> Option<(Spread, usize)> {
    let trials = runs.iter().flat_map(|results| &results.latency);
    let trials = trials.filter(|trial| trial.name == name && trial.players == players);
    let valid = trials.filter(|trial| !trial.verdict.is_void());
    let values =
        valid.filter_map(|trial| trial.figures.as_ref().filter(|figures| figures.joined > 0).map(figure));
    let values: Vec<f64> = values.filter(|value| !value.is_nan()).collect();
    let of = values.len();
    Some((Spread::of(values)?, of))
}

/// Says of how many of the runs something is, where it is not of all.
pub(super) fn of_fewer(of: usize, runs: usize) -> String {
    if of < runs { format!(", {of} of {runs}") } else { String::new() }
}

fn cell(name: &str, players: u32, runs: &[&Results], figure: Figure) -> String {
    match spread(name, players, runs, figure) {
        Some((Spread { min, median, max }, of)) => {
            format!("{median:.1} ({min:.1}–{max:.1}){}", of_fewer(of, runs.len()))
        }
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::Trial;
    use crate::bench::peers::contenders::ALL;
    use crate::bench::peers::figures::Verdict;

    #[test]
    fn each_rate_has_a_table_in_which_everyone_stands_beside_ours() {
        let found = [
            (EQUAL_WIRE, 1000, Some(1070)),
            ("tokio", 500, Some(530)),
            ("tokio", 700, Some(750)),
            ("tokio", 400, Some(430)),
            ("toy", 2000, None),
            ("go", 700, Some(750)),
            ("go", 700, None),
            ("go", 700, None),
        ];
        let found = found.map(|(name, holds, fails)| Capacity {
            name: name.to_owned(),
            rate: 64,
            holds,
            fails,
            voids: 2,
        });
        let contenders: Vec<_> = ALL.iter().collect();
        let text = capacity(&contenders, 64, &found.each_ref());
        assert!(text.contains("| tokio | 3 | 400 | 500 | 700 | 530 | 0.50 | 6 |"), "{text}");
        assert!(text.contains("| toy | 1 | 2000 | 2000 | 2000 | - | 2.00 | 2 |"), "{text}");
        assert!(text.contains("| go | 3 | 700 | 700 | 700 | 750, 1 of 3 | 0.70 | 6 |"), "{text}");
        assert!(text.contains("| netty | 0 | - | - | - | - | - | - |"), "{text}");
    }

    /// A run in which tokio had ten players.
    fn run(p99_ms: f64, verdict: Verdict) -> Results {
        let figures = Some(Figures { joined: 10, p99_ms, ..Figures::default() });
        let trial = Trial { name: "tokio".to_owned(), rate: 64, players: 10, figures, verdict };
        Results { latency: vec![trial], ..Results::default() }
    }

    #[test]
    fn a_trial_whose_load_was_late_is_no_latency_and_the_cell_says_of_how_many_runs_it_is() {
        let p99 = |figures: &Figures| figures.p99_ms;
        let valid =
            [run(20.0, Verdict::Holds), run(30.0, Verdict::Fails { why: String::new(), by_far: false })];
        assert_eq!(cell("tokio", 10, &valid.each_ref(), p99), "25.0 (20.0–30.0)");
        let late = run(900.0, Verdict::Void { why: String::new() });
        let all = [&valid[0], &late, &valid[1]];
        assert_eq!(cell("tokio", 10, &all, p99), "25.0 (20.0–30.0), 2 of 3");
        assert_eq!(cell("tokio", 10, &[&late], p99), "-");
        assert_eq!(cell("go", 10, &all, p99), "-");
    }

    #[test]
    fn memory_is_of_those_runs_in_which_somebody_looked_at_it() {
        let with = |memory_mb| {
            let mut run = run(20.0, Verdict::Holds);
            run.latency[0].figures = Some(Figures { joined: 10, memory_mb, ..Figures::default() });
            run
        };
        let runs = [with(None), with(Some(9.0)), with(Some(11.0))];
        assert_eq!(cell("tokio", 10, &runs.each_ref(), memory_mb), "10.0 (9.0–11.0), 2 of 3");
        assert_eq!(cell("tokio", 10, &[&runs[0]], memory_mb), "-");
        let many = with(Some(40.0));
        let more = Results {
            latency: many.latency.iter().map(|trial| Trial { players: 1010, ..trial.clone() }).collect(),
            ..Results::default()
        };
        let contenders: Vec<_> = ALL.iter().collect();
        let text = memory_of_a_player(&contenders, &[10, 100, 1010], &[&runs[1], &runs[2], &more]);
        assert!(text.contains("with 1010 players than with 10"), "{text}");
        assert!(text.contains("| tokio | 30.0 |") && text.contains("| go | - |"), "{text}");
        let alone = memory_of_a_player(&contenders, &[10], &[&runs[1]]);
        assert!(alone.contains("| tokio | - |"), "{alone}");
    }
}
