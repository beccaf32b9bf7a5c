//! Each way to lose a region, several times, while people play in all of them: the end-to-end tests that do so once, and the lines
//! that they print.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::page::{Page, Spread, table};
use crate::checkout::Checkout;
use crate::test;

/// A fault and its steps, as a test prints them.
#[derive(Debug, Deserialize)]
struct Timeline {
    fault: String,
    /// Seconds from the fault, or from its end, by step.
    seconds: BTreeMap<String, f64>,
}

/// What each fault is, and in which order they are shown.
const FAULTS: [(&str, &str); 6] = [
    ("CutOff", "nothing comes through between kr and the others, either way"),
    ("Deaf", "the calls of the others to kr are lost, kr's own are answered"),
    ("Mute", "kr's own calls are lost, those of the others are answered"),
    ("Paused", "every process of kr's cluster stands still"),
    ("ApiServer", "kr's API server stands still"),
    ("Operator", "kr has no operator"),
];

/// Steps in the order in which they come.
const STEPS: [&str; 8] = [
    "suspected",
    "first placement elsewhere",
    "last player placed",
    "agreed",
    "capacity Ready",
    "players play elsewhere",
    "healed to all well",
    "healed to converged",
];

const METHOD: &str = "Three kind clusters (kr, jp, sg) on this machine, two operators each, a Fleet of six servers that is shared out over them, and eight \
players on each share. Region kr is lost in one of these ways, and found again when every step has come; then the next round begins. A matchmaker asks \
jp's operator each 0.2 s where each of eight players of kr goes, who accept jp and not sg. Nobody in a region that was not lost is disconnected in any \
round, and but for `Paused` nobody in kr either: the tests fail else.

Seconds from the fault: **suspected** by both others; **first placement elsewhere** and **last player placed** of the eight; **agreed**: both others say \
what kr is; **capacity Ready**: the others have made the servers of kr's share and they are Ready; **players play elsewhere**: the eight have joined where \
they were sent, once all that has come. Seconds from its end: **all well**: every region calls every other Connected; **converged**: every share is as it \
was, which includes that servers which are not wanted any more have drained (30 s, the lifetime of a token). Looks are 0.2 s apart.
";

pub(super) fn measure(checkout: &Checkout, rounds: u8) -> Result<Page> {
    let lines = test::measure(checkout, "failover::a_region", rounds, "timeline: ")?;
    let timelines: Vec<Timeline> = lines
        .iter()
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` is no timeline")))
        .collect::<Result<_>>()?;
    let arguments = format!("failover --runs {rounds}");
    Ok(Page { name: "failover", title: "A region is lost", arguments, body: write(&timelines) })
}

fn write(timelines: &[Timeline]) -> String {
    let mut body = METHOD.to_owned();
    for (fault, words) in FAULTS {
        let of_fault: Vec<&Timeline> = timelines.iter().filter(|timeline| timeline.fault == fault).collect();
        let rows = STEPS.map(|step| {
            let values = of_fault.iter().filter_map(|timeline| timeline.seconds.get(step).copied());
            (step.to_owned(), Spread::of(values))
        });
        let _infallible = write!(
            body,
            "\n## {fault}: {words}\n\n{} rounds.\n\n{}",
            of_fault.len(),
            table("seconds", 1, &rows)
        );
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_has_a_table_of_its_steps() {
        let line = |seconds: f64| format!("{{\"fault\": \"Mute\", \"seconds\": {{\"agreed\": {seconds}}}}}");
        let timelines: Vec<Timeline> =
            [5.0, 4.0, 6.0].iter().map(|&seconds| serde_json::from_str(&line(seconds)).unwrap()).collect();
        let page = write(&timelines);
        let (before, mute) = page.split_once("## Mute").unwrap();
        assert!(mute.contains("3 rounds.") && mute.contains("| agreed | 4.0 | 5.0 | 6.0 |"), "{page}");
        assert!(mute.contains("| capacity Ready | - | - | - |"), "nothing was measured: {page}");
        assert!(before.contains("0 rounds.") && !before.contains("| agreed | 4.0"), "{page}");
    }
}
