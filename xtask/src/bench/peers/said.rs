//! What a load says when it ends: what it measured, that not everyone got in, that the server has ended, or nothing that can be used.
//!
//! A server has failed only by what is known of it. A load that failed itself has measured nothing.

use anyhow::{Result, bail};
use serde::Deserialize;

use super::contenders::Contender;
use super::figures::{Figures, Verdict, too_few};

/// How our bots name those who did not get in: `only 12 of 1000 bots joined`.
const BOTS_JOINED: &str = " bots joined";
/// How they name a server that they started and that no longer listens.
const BOTS_SERVER: [&str; 2] = ["failed to read the figures of the server", "onnection refused"];
/// How they name a server that is not there to be started.
const BOTS_START: &str = "failed to start";

/// What a process used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Used {
    pub(super) cpu_percent: f64,
    pub(super) memory_mb: f64,
}

/// What is known at the end of a trial.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Said {
    Played(Figures),
    /// Only so many got in.
    TooFew(u32),
    /// The server ended under the load, or before.
    ServerEnded(String),
    /// The load failed, or cannot be understood, and why.
    Nothing(String),
}

impl Said {
    /// Whether the server holds.
    pub(super) fn verdict(&self, contender: &Contender, tick_hz: u32, players: u32) -> Verdict {
        match self {
            Self::Played(figures) => figures.verdict(contender, tick_hz, players),
            Self::TooFew(joined) => too_few(*joined, players),
            // again, if it may have been a hiccup
            Self::ServerEnded(how) => {
                Verdict::Fails { why: format!("the server ended: {how}"), by_far: false }
            }
            Self::Nothing(why) => Verdict::Void { why: why.clone() },
        }
    }

    pub(super) fn figures(&self) -> Option<Figures> {
        if let Self::Played(figures) = self { Some(*figures) } else { None }
    }
}

/// Last line of a load that played.
#[derive(Deserialize)]
struct Played {
    joined: u32,
    clients: u32,
    inputs: u64,
    lost: u64,
    snapshots: u64,
    snapshot_bytes: f64,
    seconds: f64,
    latency_us: Latency,
    void: bool,
}

/// The same of one whose clients did not all get in, which says no more than that.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Waited {
    joined: u32,
    #[serde(rename = "clients")]
    _clients: u32,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Played(Played),
    Waited(Waited),
}

#[derive(Deserialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
}

/// From the last line of a load, with what was seen of the server between its other two.
pub(super) fn of_load(line: &str, used: Option<Used>) -> Said {
    let nothing = || Said::Nothing(format!("the load said `{line}`"));
    match (serde_json::from_str(line), used) {
        (Ok(Line::Played(played)), Some(used)) if played.inputs > 0 => Said::Played(figures(&played, used)),
        (Ok(Line::Waited(waited)), None) => Said::TooFew(waited.joined),
        _ => nothing(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "datagrams of a trial are a small number")]
fn figures(played: &Played, used: Used) -> Figures {
    Figures {
        joined: played.joined,
        p50_ms: played.latency_us.p50 / 1e3,
        p99_ms: played.latency_us.p99 / 1e3,
        p999_ms: played.latency_us.p999 / 1e3,
        cpu_percent: used.cpu_percent,
        memory_mb: Some(used.memory_mb),
        lost: played.lost as f64 / played.inputs as f64,
        snapshots_hz: played.snapshots as f64 / (played.seconds * f64::from(played.clients)),
        snapshot_bytes: played.snapshot_bytes,
        void: played.void,
    }
}

/// The file of `bots bench`.
#[derive(Deserialize)]
struct Bots {
    runs: [BotsRun; 1],
}

#[derive(Deserialize)]
struct BotsRun {
    totals: Totals,
    latency_us: Latency,
    server_cpu_percent: f64,
    snapshots_hz: f64,
    snapshot_bytes: f64,
    void: bool,
}

#[derive(Deserialize)]
struct Totals {
    disconnects: u32,
    inputs: f64,
    lost: f64,
}

/// From the file of `bots bench`, which holds one run.
pub(super) fn of_bots(text: &str, players: u32) -> Said {
    match serde_json::from_str::<Bots>(text) {
        Ok(Bots { runs: [run] }) if run.totals.inputs > 0.0 => Said::Played(Figures {
            joined: players.saturating_sub(run.totals.disconnects),
            p50_ms: run.latency_us.p50 / 1e3,
            p99_ms: run.latency_us.p99 / 1e3,
            p999_ms: run.latency_us.p999 / 1e3,
            cpu_percent: run.server_cpu_percent,
            memory_mb: None,
            lost: run.totals.lost / run.totals.inputs,
            snapshots_hz: run.snapshots_hz,
            snapshot_bytes: run.snapshot_bytes,
            void: run.void,
        }),
        Ok(_) => Said::Nothing("the bots sent nothing".to_owned()),
        Err(error) => Said::Nothing(format!("the bots' results are not understood: {error}")),
    }
}

/// From what bots that failed told of it. An error if there is nothing that they could have played on.
pub(super) fn of_failed_bots(told: &str) -> Result<Said> {
    let last = told.lines().last().unwrap_or_default().trim();
    if let Some(joined) = joined(told) {
        return Ok(Said::TooFew(joined));
    }
    if BOTS_SERVER.iter().all(|part| told.contains(part)) {
        return Ok(Said::ServerEnded("nobody listens any more".to_owned()));
    }
    if told.contains(BOTS_START) {
        bail!("the bots have no server: {last}");
    }
    Ok(Said::Nothing(format!("the bots failed: {last}")))
}

/// How many got in, of `only JOINED of PLAYERS bots joined`.
fn joined(told: &str) -> Option<u32> {
    let (before, _) = told.split_once(BOTS_JOINED)?;
    let (_, counts) = before.rsplit_once("only ")?;
    counts.split_once(" of ")?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::contenders::ALL;

    const LINE: &str = r#"{"clients": 100, "joined": 100, "inputs": 4000, "lost": 4, "snapshots": 12800, "seconds": 2.0,
        "snapshot_bytes": 340, "latency_us": {"p50": 9000, "p99": 20000, "p999": 21000}, "void": false}"#;
    const BOTS: &str = r#"{"runs": [{"totals": {"disconnects": 3, "inputs": 1000, "lost": 10}, "latency_us": {"p50": 1000,
        "p99": 2000, "p999": 3000}, "server_cpu_percent": 50.0, "snapshots_hz": 28.5, "snapshot_bytes": 300, "void": false}]}"#;

    fn is_nothing(said: &Said) -> bool {
        matches!(said, Said::Nothing(_))
    }

    #[test]
    fn a_load_says_what_was_measured_or_that_not_everyone_got_in() {
        let Said::Played(figures) = of_load(LINE, Some(Used::default())) else { panic!("it has played") };
        assert_eq!((figures.joined, figures.p99_ms, figures.snapshots_hz), (100, 20.0, 64.0));
        assert!((figures.lost - 0.001).abs() < 1e-9);
        assert_eq!(of_load(r#"{"clients": 100, "joined": 3}"#, None), Said::TooFew(3));
    }

    #[test]
    fn what_a_load_says_and_nobody_understands_is_nothing_and_no_zero() {
        let used = || Some(Used::default());
        assert!(is_nothing(&of_load("", used())));
        assert!(is_nothing(&of_load("shares its CPU", None)));
        assert!(is_nothing(&of_load(LINE, None)), "it never said when measuring began and ended");
        for used in [used(), None] {
            assert!(is_nothing(&of_load(&LINE.replace("\"p99\"", "\"p98\""), used)), "a figure is missing");
        }
        assert!(is_nothing(&of_load(&LINE.replace("4000", "0"), used())), "nobody sent anything");
        assert!(is_nothing(&of_bots(&BOTS.replace("lost", "found"), 100)), "a figure is missing");
        assert!(is_nothing(&of_bots(&BOTS.replace("1000, \"lost\"", "0, \"lost\""), 100)));
        assert!(is_nothing(&of_bots("", 100)));
    }

    #[test]
    fn bots_that_lost_the_server_did_not_play() {
        let Said::Played(figures) = of_bots(BOTS, 100) else { panic!("they have played") };
        assert_eq!((figures.joined, figures.p99_ms, figures.lost), (97, 2.0, 0.01));
        assert_eq!((figures.snapshots_hz, figures.snapshot_bytes), (28.5, 300.0));
    }

    #[test]
    fn bots_that_failed_are_a_servers_failure_only_if_it_ended_or_let_somebody_wait() {
        let failed =
            |why: &str| of_failed_bots(&format!("INFO begun\nERROR error=\"run 0 failed: {why}\"\n"));
        assert_eq!(failed("only 1740 of 2243 bots joined").unwrap(), Said::TooFew(1740));
        let figures = "failed to read the figures of the server";
        let ended = failed(&format!("{figures}: Connection refused (os error 111)")).unwrap();
        assert!(matches!(ended, Said::ServerEnded(_)), "{ended:?}");
        for why in [&format!("{figures}: timed out"), "failed to pin the bots", "Connection refused", ""] {
            assert!(is_nothing(&failed(why).unwrap()), "{why}");
        }
        assert!(is_nothing(&of_failed_bots("").unwrap()));
        let missing = failed("failed to start /no/gameserver: No such file").unwrap_err();
        assert!(missing.to_string().contains("/no/gameserver"), "{missing}");
    }

    #[test]
    fn only_what_is_known_of_a_server_is_its_failure() {
        let go = ALL.iter().find(|contender| contender.name == "go").unwrap();
        let verdict = |said: &Said| said.verdict(go, 64, 100);
        assert!(verdict(&Said::Nothing("killed".to_owned())).is_void());
        let ended = verdict(&Said::ServerEnded("signal: 11".to_owned()));
        assert_eq!(ended, Verdict::Fails { why: "the server ended: signal: 11".to_owned(), by_far: false });
        assert_eq!(
            verdict(&Said::TooFew(3)),
            Verdict::Fails { why: "3 of 100 joined".to_owned(), by_far: true }
        );
        assert_eq!(
            verdict(&of_load(LINE, Some(Used::default()))),
            Verdict::Fails { why: "0.10 % of the inputs lost".to_owned(), by_far: false }
        );
    }
}
