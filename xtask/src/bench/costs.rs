//! What datagrams, ticks and players cost without a network: time stage by stage, and bytes.

mod combat;
mod overload;

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use self::combat::Combat;
use self::overload::Overload;
use super::page::{self, Page, Panel, RUNS_MIN, Spread};
use crate::checkout::Checkout;
use crate::process;
use crate::progress::Progress;
use crate::target::{self, cargo};

/// What one run of the example says.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Costs {
    place: String,
    tick_hz: u32,
    receive_ns: f64,
    open_ns: f64,
    step_ns: f64,
    send_ns: f64,
    seal_ns: f64,
    received_bytes: u32,
    sent_bytes: u32,
    received_a_tick: f64,
    sent_a_tick: f64,
    told_kbit: f64,
    full_kbit: f64,
    full_in_turns_kbit: f64,
    seen: f64,
}

/// Where players are, and ticks a second.
const SCENES: [(&str, u32); 4] = [("map", 64), ("crowd", 64), ("crowd", 20), ("crowd", 128)];
const PLAYERS: &str = "1000";

const METHOD: &str = "1000 players send 20 inputs a second each (21 at 64 and 128 Hz), in turns; the server takes them and makes the snapshots of each tick, as it does \
behind a socket, but without one: what is here is our own code and the AEAD. What a server takes with the kernel's part is on [the page of input to state](input.md), and how much of that the kernel has in \
[decision 26](../adr/0026-what-a-core-is-spent-on.md). On \
the **map** players are spread over 1000 x 1000 units, in the **crowd** all thousand walk about in 100 x 100 of them, so that each sees the 128 \
that a player is shown at most. AEAD alone is measured on packets of the same length, and the rest is ours. Nothing of it allocates: \
`gameserver/core/tests/allocations.rs` counts. Times are medians of the ticks of 5 s; runs of the scenes take turns. On the way to the crowd, and \
not where anything is measured, the players are told where they are once a second.
";

const BYTES: &str = "
Bytes follow from the seed and are the same in each run. **Told** is all that a player gets, UDP and IPv4 headers included. **In full** is what a plain \
server would send: a MessagePack map by field names of the player and of all whom it sees, each tick, in as many datagrams as that takes; **in turns**, others \
are in it only as often as ours tells of them.
";

/// Of a datagram, what is our own, us.
const OWN_MAX: f64 = 0.4;
/// By ticks a second: what a player is told at most, kbit/s.
const TOLD_MAX: [(u32, f64); 2] = [(20, 64.0), (64, 256.0)];
/// Thousand inputs a second that the world carries out (C1); here all of them walk; combat has a section of its own.
const WORLD_MIN: f64 = 50.0;
/// How many times less a player is told than in full.
const LESS_THAN_FULL: f64 = 5.0;

/// Measures and writes the page, which is there after the first run and written anew after each.
pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<()> {
    let progress = Progress::new();
    let packages = ["--locked", "--release", "--package=gameserver-core", "--package=gameserver-game"];
    let examples = ["--example=costs", "--example=overload", "--example=combat"];
    progress.step("compile", |_| {
        let mut build = cargo(checkout)?;
        process::run(build.arg("build").args(packages).args(examples), &checkout.log("bench-costs"))
    })?;
    let (mut all, mut overloads, mut fights) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=runs {
        for (place, tick_hz) in SCENES {
            all.push(progress.step(&format!("run {run}: {place} at {tick_hz} Hz"), |_| {
                said_by::<Costs>(checkout, "costs", &[PLAYERS, place, &tick_hz.to_string()])
            })?);
        }
        for (players, limit) in overload::SCENES {
            overloads.push(progress.step(&format!("run {run}: {players} who ask for too much"), |_| {
                said_by(checkout, "overload", &[&players.to_string(), &limit.to_string()])
            })?);
        }
        for players in combat::SCENES {
            fights.push(progress.step(&format!("run {run}: {players} who fight"), |_| {
                said_by(checkout, "combat", &[&players.to_string()])
            })?);
        }
        page::write(checkout, &page_of(run, &all, &overloads, &fights))?;
    }
    Ok(())
}

/// What an example says of one run.
fn said_by<T: DeserializeOwned>(checkout: &Checkout, example: &str, arguments: &[&str]) -> Result<T> {
    let program = target::directory(checkout).join("release/examples").join(example);
    let said = process::output(std::process::Command::new(program).args(arguments))?;
    serde_json::from_str(&said).with_context(|| format!("not understood: {said}"))
}

fn page_of(runs: u8, all: &[Costs], overloads: &[Overload], fights: &[Combat]) -> Page {
    let arguments = format!("costs --runs {runs}");
    let body = body(all) + &combat::section(fights) + &overload::section(overloads);
    let panels = [
        ("our own of a datagram in, us", own_in_us as fn(&Costs) -> f64),
        ("our own of a datagram out, us", own_out_us),
        ("all of it, % of a core", percent_of_a_core),
    ];
    let panels = panels.map(|(title, figure)| panel(title, all, figure)).into();
    Page { name: "costs", title: "What datagrams, ticks and players cost", arguments, body, panels }
}

/// A figure of all scenes as a picture.
fn panel(title: &str, all: &[Costs], figure: fn(&Costs) -> f64) -> Panel {
    let row = |(place, tick_hz): (&str, u32)| {
        let runs = all.iter().filter(|costs| costs.place == place && costs.tick_hz == tick_hz);
        Some((format!("{place}, {tick_hz} Hz"), Spread::of(runs.map(figure))?))
    };
    Panel { title: title.to_owned(), rows: SCENES.into_iter().filter_map(row).collect() }
}

/// A stage, in microseconds.
type Stage = (&'static str, fn(&Costs) -> f64);

const STAGES: [Stage; 9] = [
    ("a datagram in: all", |costs| costs.receive_ns / 1e3),
    ("— open (AEAD)", |costs| costs.open_ns / 1e3),
    ("— our own: session, decode, limits, buffer", own_in_us),
    ("a datagram out: all", |costs| costs.send_ns / 1e3),
    ("— seal (AEAD)", |costs| costs.seal_ns / 1e3),
    ("— our own: who is near, what is new, encode, session", own_out_us),
    ("a tick: take all in", |costs| costs.receive_ns * costs.received_a_tick / 1e3),
    ("a tick: step of the world", |costs| costs.step_ns / 1e3),
    ("a tick: snapshots of all who get one", |costs| costs.send_ns * costs.sent_a_tick / 1e3),
];

fn own_in_us(costs: &Costs) -> f64 {
    (costs.receive_ns - costs.open_ns) / 1e3
}

fn own_out_us(costs: &Costs) -> f64 {
    (costs.send_ns - costs.seal_ns) / 1e3
}

/// Inputs that the step of the world carries out in a second of a core, thousands.
fn world_rate(costs: &Costs) -> f64 {
    costs.received_a_tick * 1e6 / costs.step_ns
}

/// Of a core.
fn percent_of_a_core(costs: &Costs) -> f64 {
    let tick_ns =
        costs.receive_ns * costs.received_a_tick + costs.step_ns + costs.send_ns * costs.sent_a_tick;
    tick_ns * f64::from(costs.tick_hz) / 1e7
}

fn body(all: &[Costs]) -> String {
    let scenes: Vec<Vec<&Costs>> = (SCENES.iter())
        .map(|(place, tick_hz)| {
            all.iter().filter(|costs| costs.place == *place && costs.tick_hz == *tick_hz).collect()
        })
        .collect();
    let mut text =
        format!("{METHOD}\n## Time\n\nMicroseconds, minimum / median / maximum of the runs.\n\n| |");
    for (place, tick_hz) in SCENES {
        let _infallible = write!(text, " {place}, {tick_hz} Hz |");
    }
    let _infallible = writeln!(text, "\n|---|{}", "--:|".repeat(SCENES.len()));
    for (name, stage) in STAGES {
        row(&mut text, name, &scenes, 2, stage);
    }
    row(&mut text, "datagrams in a tick", &scenes, 0, |costs| costs.received_a_tick);
    row(&mut text, "datagrams out a tick", &scenes, 0, |costs| costs.sent_a_tick);
    row(&mut text, "all of it, % of a core", &scenes, 1, percent_of_a_core);
    text.push_str(&goals(&scenes));
    let _infallible = write!(
        text,
        "\n## Bytes\n{BYTES}\n| 1000 players | a datagram in | a datagram out | sees | told, kbit/s | in full | in turns | less than in full | less than in turns |\n\
         |---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
    );
    for costs in scenes.iter().filter_map(|runs| runs.first()) {
        let Costs { place, tick_hz, received_bytes, sent_bytes, seen, told_kbit, .. } = costs;
        let (full, in_turns) = (costs.full_kbit, costs.full_in_turns_kbit);
        let _infallible = writeln!(
            text,
            "| {place}, {tick_hz} Hz | {received_bytes} B | {sent_bytes} B | {seen:.0} | {told_kbit:.0} | {full:.0} | {in_turns:.0} | {:.1} times | {:.1} times |",
            full / told_kbit,
            in_turns / told_kbit
        );
    }
    text
}

/// What is asked for, and whether it was found, by medians.
fn goals(scenes: &[Vec<&Costs>]) -> String {
    let mut text = format!(
        "\n## What is asked for\n\nMedians of the runs. Times of fewer than {RUNS_MIN} runs leave it open; bytes are the same in each run. What a datagram out has to do, and why that is more than \
         {OWN_MAX} us, is in [ADR 26](../adr/0026-what-a-core-is-spent-on.md). A dash: nothing is asked for at that rate.\n\n|"
    );
    for (place, tick_hz) in SCENES {
        let _infallible = write!(text, " | {place}, {tick_hz} Hz");
    }
    let _infallible = writeln!(text, " |\n|---|{}", "--:|".repeat(SCENES.len()));
    let own: [Stage; 2] = [("in", own_in_us), ("out", own_out_us)];
    for (way, own_us) in own {
        let name = format!("our own of a datagram {way}, at most {OWN_MAX} us");
        let found = |runs: &[&Costs], own_us| page::verdict_of_runs(runs.len(), own_us <= OWN_MAX);
        goal(&mut text, &name, scenes, own_us, |runs, own_us| Some(found(runs, own_us)));
    }
    let world = |_: &[&Costs], rate| Some(page::verdict(Some(rate >= WORLD_MIN)));
    let name = format!("the world carries out, thousand inputs a second and core, at least {WORLD_MIN}");
    goal(&mut text, &name, scenes, world_rate, world);
    let most = TOLD_MAX.map(|(tick_hz, kbit)| format!("{kbit} kbit/s at {tick_hz} Hz")).join(" and ");
    goal(&mut text, &format!("told, at most {most}"), scenes, |costs| costs.told_kbit, told_verdict);
    let less = |costs: &Costs| costs.full_kbit / costs.told_kbit;
    let name = format!("told, at least {LESS_THAN_FULL} times less than in full");
    goal(&mut text, &name, scenes, less, |_, less| Some(page::verdict(Some(less >= LESS_THAN_FULL))));
    text
}

/// None at a rate for which nothing is asked.
fn told_verdict(runs: &[&Costs], told_kbit: f64) -> Option<&'static str> {
    let tick_hz = runs.first()?.tick_hz;
    let (_, most) = TOLD_MAX.into_iter().find(|&(hz, _)| hz == tick_hz)?;
    Some(page::verdict(Some(told_kbit <= most)))
}

fn goal<T>(
    text: &mut String,
    name: &str,
    scenes: &[Vec<&T>],
    figure: impl Fn(&T) -> f64,
    verdict: impl Fn(&[&T], f64) -> Option<&'static str>,
) {
    let _infallible = write!(text, "| {name} |");
    for runs in scenes {
        let median = Spread::of(runs.iter().map(|costs| figure(costs))).map(|spread| spread.median);
        let judged = median.and_then(|median| Some((median, verdict(runs, median)?)));
        let _infallible = match judged {
            Some((median, verdict)) => write!(text, " {median:.2}, {verdict} |"),
            None => write!(text, " - |"),
        };
    }
    text.push('\n');
}

/// A figure of all scenes.
fn row<T>(text: &mut String, name: &str, scenes: &[Vec<&T>], digits: usize, figure: impl Fn(&T) -> f64) {
    let _infallible = write!(text, "| {name} |");
    for runs in scenes {
        let _infallible = match Spread::of(runs.iter().map(|costs| figure(costs))) {
            Some(Spread { min, median, max }) => {
                write!(text, " {min:.digits$} / {median:.digits$} / {max:.digits$} |")
            }
            None => write!(text, " - |"),
        };
    }
    text.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_are_in_microseconds_and_what_is_ours_is_without_the_aead() {
        let run = |receive_ns| Costs {
            place: "map".to_owned(),
            tick_hz: 64,
            receive_ns,
            open_ns: 250.0,
            step_ns: 500_000.0,
            send_ns: 2000.0,
            seal_ns: 400.0,
            received_a_tick: 333.0,
            sent_a_tick: 1000.0,
            told_kbit: 100.0,
            full_kbit: 1650.0,
            full_in_turns_kbit: 500.0,
            ..Costs::default()
        };
        let body = body(&[run(750.0), run(1250.0), run(850.0)]);
        let has = |line: &str| assert!(body.contains(line), "{line} is not in:\n{body}");
        has("| a datagram in: all | 0.75 / 0.85 / 1.25 | - | - | - |");
        has("| — our own: session, decode, limits, buffer | 0.50 / 0.60 / 1.00 |");
        has("| a tick: snapshots of all who get one | 2000.00 / 2000.00 / 2000.00 |");
        // 333 x 0.85 us in, 500 us of the step and 2000 us out, 64 times a second
        has("| all of it, % of a core | 17.6 / 17.8 / 18.7 |");
        has("| 100 | 1650 | 500 | 16.5 times | 5.0 times |");
    }

    #[test]
    fn the_page_says_of_each_scene_whether_what_is_asked_for_was_found() {
        let run = |(place, tick_hz): (&str, u32), own_ns, told_kbit, full_kbit| Costs {
            place: place.to_owned(),
            tick_hz,
            receive_ns: 250.0 + own_ns,
            open_ns: 250.0,
            send_ns: 349.0 + own_ns,
            seal_ns: 350.0,
            told_kbit,
            full_kbit,
            ..Costs::default()
        };
        let runs = [
            run(SCENES[0], 400.0, 256.0, 1279.0),
            run(SCENES[1], 401.0, 256.1, 1280.5),
            run(SCENES[2], 401.0, 64.0, 1280.0),
            run(SCENES[3], 400.0, 999.0, 9999.0),
        ];
        let page =
            |times: usize| body(&runs.iter().flat_map(|run| vec![run.clone(); times]).collect::<Vec<_>>());
        let five = page(RUNS_MIN);
        let has = |line: &str| assert!(five.contains(line), "{line} is not in:\n{five}");
        has(
            "| our own of a datagram in, at most 0.4 us | 0.40, met | 0.40, **not met** | 0.40, **not met** | 0.40, met |",
        );
        has("| our own of a datagram out, at most 0.4 us | 0.40, met | 0.40, met | 0.40, met | 0.40, met |");
        has(
            "| told, at most 64 kbit/s at 20 Hz and 256 kbit/s at 64 Hz | 256.00, met | 256.10, **not met** | 64.00, met | - |",
        );
        has(
            "| told, at least 5 times less than in full | 5.00, **not met** | 5.00, met | 20.00, met | 10.01, met |",
        );
        let four = page(RUNS_MIN - 1);
        assert!(four.contains("| our own of a datagram in, at most 0.4 us | 0.40, open |"), "{four}");
        assert!(four.contains("| 256.00, met | 256.10, **not met** | 64.00, met | - |"), "bytes: {four}");
    }
}
