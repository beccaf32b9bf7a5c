//! Each way to lose a region, several times, while people play in all of them: the end-to-end tests that do so once, and the lines
//! that they print.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::page::{self, Page, Spread, table};
use crate::checkout::Checkout;
use crate::test;

const NAME: &str = "failover";

/// A fault and its steps, as a test prints them.
#[derive(Debug, Deserialize)]
struct Timeline {
    fault: String,
    /// Seconds from the fault, or from its end, by step.
    seconds: BTreeMap<String, f64>,
}

/// What each fault is, in which order they are shown, and a word of the test that strikes it.
const FAULTS: [(&str, &str, &str); 6] = [
    ("CutOff", "nothing comes through between kr and the others, either way", "is_cut_off"),
    ("Deaf", "the calls of the others to kr are lost, kr's own are answered", "cannot_be_called"),
    ("Mute", "kr's own calls are lost, those of the others are answered", "whose_own_calls_are_lost"),
    ("Paused", "every process of kr's cluster stands still", "failover::a_region_that_stands_still"),
    ("ApiServer", "kr's API server stands still", "whose_api_server_stands_still"),
    ("Operator", "kr has no operator", "failover::a_region_without_an_operator"),
];

/// What the faults are called.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FAULTS.iter().map(|(fault, ..)| *fault)
}

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

A region without its API server or its operator is Degraded: its matches go on, so it counts for half a minute more before the others make its servers. \
Nobody new is placed there meanwhile. A region that comes and goes, and one that answers slowly, have tests of their own: \
`cargo xtask test --level full`.
";

/// Measures every fault, or one of them alone.
pub(super) fn measure(checkout: &Checkout, rounds: u8, fault: Option<&str>) -> Result<Page> {
    let of_fault = FAULTS.iter().find(|(name, ..)| Some(*name) == fault);
    let filter = of_fault.map_or("failover::a_region", |(.., test)| test);
    let lines = test::measure(checkout, filter, rounds, "timeline: ")?;
    let timelines: Vec<Timeline> = lines
        .iter()
        .map(|line| serde_json::from_str(line).with_context(|| format!("`{line}` is no timeline")))
        .collect::<Result<_>>()?;
    let commit = page::commit(checkout)?;
    // what is not measured now stays as it was found before
    let mut sections = sections_of(&page::read(checkout, NAME)?);
    let missing = measured(&mut sections, &timelines, (&commit, fault));
    if !missing.is_empty() {
        eprintln!("nothing was measured of {}: what the page says of that stays", missing.join(", "));
    }
    let arguments = format!("failover --runs {rounds}");
    Ok(Page { name: NAME, title: "A region is lost", arguments, body: write(&sections), panels: Vec::new() })
}

/// Puts in what was found of these faults, or of one alone; of which of them there is nothing.
fn measured(
    sections: &mut BTreeMap<String, String>,
    timelines: &[Timeline],
    (commit, fault): (&str, Option<&str>),
) -> Vec<&'static str> {
    let meant = FAULTS.iter().map(|(name, ..)| *name).filter(|name| fault.is_none_or(|fault| fault == *name));
    let is_measured = |name: &&str| timelines.iter().any(|timeline| timeline.fault == **name);
    let (found, missing): (Vec<_>, Vec<_>) = meant.partition(is_measured);
    for name in found {
        sections.insert(name.to_owned(), section(name, timelines, commit));
    }
    missing
}

/// The page with the sections of all faults, by name.
fn write(sections: &BTreeMap<String, String>) -> String {
    let mut body = METHOD.to_owned();
    for (name, words, _) in FAULTS {
        let section = sections.get(name).map_or("Not measured yet.\n", String::as_str);
        let _infallible = write!(body, "\n## {name}: {words}\n\n{section}");
    }
    body
}

/// What stands below the heading of a fault.
fn section(name: &str, timelines: &[Timeline], commit: &str) -> String {
    let of_fault: Vec<&Timeline> = timelines.iter().filter(|timeline| timeline.fault == name).collect();
    let rows = STEPS.map(|step| {
        let values = of_fault.iter().filter_map(|timeline| timeline.seconds.get(step).copied());
        (step.to_owned(), Spread::of(values))
    });
    format!("{} rounds, on commit {commit}.\n\n{}", of_fault.len(), table("seconds", 1, &rows))
}

/// The sections that a page has, by fault.
fn sections_of(page: &str) -> BTreeMap<String, String> {
    let section = |text: &str| {
        let (heading, section) = text.split_once("\n\n")?;
        let (name, _) = heading.split_once(": ")?;
        Some((name.to_owned(), section.trim_end().to_owned() + "\n"))
    };
    page.split("\n## ").skip(1).filter_map(section).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_stays_as_it_was_found_before() {
        let timelines: Vec<Timeline> =
            vec![serde_json::from_str("{\"fault\": \"Mute\", \"seconds\": {}}").unwrap()];
        let before = || FAULTS.iter().map(|(name, ..)| ((*name).to_owned(), "before".to_owned())).collect();
        let mut sections: BTreeMap<String, String> = before();
        let missing = measured(&mut sections, &timelines, ("abc", None));
        assert_eq!(missing, ["CutOff", "Deaf", "Paused", "ApiServer", "Operator"]);
        assert!(sections["Mute"].starts_with("1 rounds, on commit abc"), "{}", sections["Mute"]);
        assert_eq!(sections.values().filter(|section| *section == "before").count(), 5);
        assert_eq!(measured(&mut before(), &timelines, ("abc", Some("Mute"))), Vec::<&str>::new());
    }

    #[test]
    fn each_fault_has_a_table_of_its_steps() {
        let line = |seconds: f64| format!("{{\"fault\": \"Mute\", \"seconds\": {{\"agreed\": {seconds}}}}}");
        let timelines: Vec<Timeline> =
            [5.0, 4.0, 6.0].iter().map(|&seconds| serde_json::from_str(&line(seconds)).unwrap()).collect();
        let sections = [("Mute".to_owned(), section("Mute", &timelines, "abc"))].into();
        let page = write(&sections);
        let (before, mute) = page.split_once("## Mute").unwrap();
        assert!(
            mute.contains("3 rounds, on commit abc.") && mute.contains("| agreed | 4.0 | 5.0 | 6.0 |"),
            "{page}"
        );
        assert!(mute.contains("| capacity Ready | - | - | - |"), "nothing was measured: {page}");
        assert!(before.contains("Not measured yet.") && !before.contains("| agreed | 4.0"), "{page}");
        let mut kept = sections_of(&page);
        kept.retain(|_, section| !section.contains("Not measured"));
        assert_eq!(kept, sections, "one that is measured alone leaves the others as they are");
    }
}
