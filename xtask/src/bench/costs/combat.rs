//! How many attacks and skills the world decides.

use std::fmt::Write as _;

use serde::Deserialize;

use super::{goal, row};
use crate::bench::page;

/// What one run of the example says.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Combat {
    players: u32,
    /// Attacks and skills that were tried, and those of them that were not refused.
    decided: f64,
    carried_out: f64,
    /// What the steps took in all.
    seconds: f64,
}

/// Players who fight.
pub(super) const SCENES: [u32; 2] = [1000, 2000];
/// Thousand a second and core (C1).
const RATE_MIN: f64 = 30.0;

const METHOD: &str = "
## Combat

Everybody goes to one place and fights there, with an input at each tick at 64 Hz: three of four are attacks and skills at whoever is there, the rest walk. **Decided** are those \
attacks and skills, of which most are refused: a skill has its cooldown and its price, and what is hit must be in reach and alive. **Carried out** are the others. The time is that of \
the whole step of the world, with all who walk, the NPCs, effects and items, and with the targets of the last six ticks looked up. Of 10 s.

";

pub(super) fn section(all: &[Combat]) -> String {
    let scenes = SCENES.map(|players| all.iter().filter(|run| run.players == players).collect());
    let mut text = METHOD.to_owned();
    head(&mut text, "thousand a second and core, minimum / median / maximum of the runs");
    row(&mut text, "decided", &scenes, 0, decided_rate);
    row(&mut text, "carried out", &scenes, 0, carried_out_rate);
    text.push('\n');
    head(&mut text, "asked for, by medians");
    let name = format!("carried out, thousand a second and core, at least {RATE_MIN}");
    goal(&mut text, &name, &scenes, carried_out_rate, |runs, rate| {
        Some(page::verdict_of_runs(runs.len(), rate >= RATE_MIN))
    });
    text
}

fn decided_rate(run: &Combat) -> f64 {
    run.decided / run.seconds / 1e3
}

fn carried_out_rate(run: &Combat) -> f64 {
    run.carried_out / run.seconds / 1e3
}

fn head(text: &mut String, what: &str) {
    let _infallible = write!(text, "| {what} |");
    for players in SCENES {
        let _infallible = write!(text, " {players} players |");
    }
    let _infallible = writeln!(text, "\n|---|{}", "--:|".repeat(SCENES.len()));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::page::RUNS_MIN;

    #[test]
    fn the_page_says_how_much_combat_a_core_decides_and_whether_that_is_enough() {
        let page = |carried_out, runs: usize| {
            let run = Combat { players: 1000, decided: 900_000.0, carried_out, seconds: 2.0 };
            section(&vec![run; runs])
        };
        let enough = page(60_000.0, RUNS_MIN);
        assert!(enough.contains("| decided | 450 / 450 / 450 | - |"), "{enough}");
        assert!(enough.contains("| carried out | 30 / 30 / 30 | - |"), "{enough}");
        for (page, verdict) in [
            (enough, "30.00, met"),
            (page(59_000.0, RUNS_MIN), "29.50, **not met**"),
            (page(60_000.0, RUNS_MIN - 1), "30.00, open"),
        ] {
            let line = format!("at least 30 | {verdict} | - |");
            assert!(page.contains(&line), "{line} is not in:\n{page}");
        }
    }
}
