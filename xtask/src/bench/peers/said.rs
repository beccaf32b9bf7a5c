//! What a load says when it ends: what it measured, that not everyone got in, that the server has ended, or nothing that can be used.
//!
//! A server has failed only by what is known of it. A load that failed itself has measured nothing.

use serde::Deserialize;

use super::contenders::Contender;
use super::figures::{Figures, Verdict, too_few};

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
    /// The server ended under the load, or let nobody read its figures; and how.
    ServerEnded(String),
    /// The server did not start, or the load failed or cannot be understood; and why.
    Unusable(String),
}

impl Said {
    /// Whether the server holds.
    pub(super) fn verdict(&self, contender: &Contender, tick_hz: u32, players: u32) -> Verdict {
        match self {
            Self::Played(figures) => figures.verdict(contender, tick_hz, players),
            Self::TooFew(joined) => too_few(*joined, players),
            // again, if it may have been a hiccup
            Self::ServerEnded(how) => {
                Verdict::Fails { why: format!("the server ended or hung: {how}"), by_far: false }
            }
            Self::Unusable(why) => Verdict::Void { why: why.clone() },
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
    let unusable = || Said::Unusable(format!("the load said `{line}`"));
    match (serde_json::from_str(line), used) {
        (Ok(Line::Played(played)), Some(used)) if played.inputs > 0 => Said::Played(figures(&played, used)),
        (Ok(Line::Waited(waited)), None) => Said::TooFew(waited.joined),
        _ => unusable(),
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
#[serde(untagged)]
enum Bots {
    Played { runs: [BotsRun; 1] },
    Waited { joined: u32 },
    Ended { server_ended: String },
    NotStarted { not_started: String },
}

#[derive(Deserialize)]
struct BotsRun {
    totals: Totals,
    measured: Measured,
    latency_us: Latency,
    server_cpu_percent: f64,
    server_memory_mb: f64,
    snapshots_hz: f64,
    snapshot_bytes: f64,
    void: bool,
}

#[derive(Deserialize)]
struct Totals {
    disconnects: u32,
}

/// Of the inputs that were due while it was measured.
#[derive(Deserialize)]
struct Measured {
    inputs: u64,
    lost: u64,
}

/// From the file of `bots bench`, which holds one run or what the server did instead.
pub(super) fn of_bots(text: &str, players: u32) -> Said {
    match serde_json::from_str::<Bots>(text) {
        Ok(Bots::Played { runs: [run] }) if run.measured.inputs > 0 => {
            Said::Played(figures_of_bots(&run, players))
        }
        Ok(Bots::Played { .. }) => Said::Unusable("the bots sent nothing".to_owned()),
        Ok(Bots::Waited { joined }) => Said::TooFew(joined),
        Ok(Bots::Ended { server_ended }) => Said::ServerEnded(server_ended),
        Ok(Bots::NotStarted { not_started }) => {
            Said::Unusable(format!("the server did not start: {not_started}"))
        }
        Err(error) => Said::Unusable(format!("the bots' results are not understood: {error}")),
    }
}

#[expect(clippy::cast_precision_loss, reason = "inputs of a trial are a small number")]
fn figures_of_bots(run: &BotsRun, players: u32) -> Figures {
    Figures {
        joined: players.saturating_sub(run.totals.disconnects),
        p50_ms: run.latency_us.p50 / 1e3,
        p99_ms: run.latency_us.p99 / 1e3,
        p999_ms: run.latency_us.p999 / 1e3,
        cpu_percent: run.server_cpu_percent,
        memory_mb: Some(run.server_memory_mb),
        lost: run.measured.lost as f64 / run.measured.inputs as f64,
        snapshots_hz: run.snapshots_hz,
        snapshot_bytes: run.snapshot_bytes,
        void: run.void,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::contenders::ALL;

    const LINE: &str = r#"{"clients": 100, "joined": 100, "inputs": 4000, "lost": 4, "snapshots": 12800, "seconds": 2.0,
        "snapshot_bytes": 340, "latency_us": {"p50": 9000, "p99": 20000, "p999": 21000}, "void": false}"#;
    const BOTS: &str = r#"{"runs": [{"totals": {"disconnects": 3, "inputs": 9000, "lost": 900}, "measured": {"inputs": 1000, "answered": 990, "lost": 10}, "latency_us": {"p50": 1000,
        "p99": 2000, "p999": 3000}, "server_cpu_percent": 50.0, "server_memory_mb": 12.5, "snapshots_hz": 28.5, "snapshot_bytes": 300, "void": false}]}"#;

    fn is_unusable(said: &Said) -> bool {
        matches!(said, Said::Unusable(_))
    }

    #[test]
    fn a_load_says_what_was_measured_or_that_not_everyone_got_in() {
        let Said::Played(figures) = of_load(LINE, Some(Used::default())) else { panic!("it has played") };
        assert_eq!((figures.joined, figures.p99_ms, figures.snapshots_hz), (100, 20.0, 64.0));
        assert!((figures.lost - 0.001).abs() < 1e-9);
        assert_eq!(of_load(r#"{"clients": 100, "joined": 3}"#, None), Said::TooFew(3));
    }

    #[test]
    fn what_a_load_says_and_nobody_understands_is_unusable_and_no_zero() {
        let used = || Some(Used::default());
        assert!(is_unusable(&of_load("", used())));
        assert!(is_unusable(&of_load("shares its CPU", None)));
        assert!(is_unusable(&of_load(LINE, None)), "it never said when measuring began and ended");
        for used in [used(), None] {
            assert!(is_unusable(&of_load(&LINE.replace("\"p99\"", "\"p98\""), used)), "a figure is missing");
        }
        assert!(is_unusable(&of_load(&LINE.replace("4000", "0"), used())), "nobody sent anything");
        assert!(is_unusable(&of_bots(&BOTS.replace("measured", "counted"), 100)), "a figure is missing");
        assert!(is_unusable(&of_bots(&BOTS.replace("1000, \"answered\"", "0, \"answered\""), 100)));
        assert!(is_unusable(&of_bots(&BOTS.replace("12.5", "null"), 100)), "nobody saw what it used");
        assert!(is_unusable(&of_bots("", 100)));
    }

    #[test]
    fn bots_that_lost_the_server_did_not_play_and_what_was_lost_is_of_what_was_measured() {
        let Said::Played(figures) = of_bots(BOTS, 100) else { panic!("they have played") };
        assert_eq!((figures.joined, figures.p99_ms, figures.lost), (97, 2.0, 0.01));
        assert_eq!((figures.snapshots_hz, figures.snapshot_bytes), (28.5, 300.0));
    }

    #[test]
    fn memory_is_that_of_the_server_whoever_looked_at_it() {
        let used = Used { cpu_percent: 10.0, memory_mb: 2.5 };
        for (name, said, expected) in [
            ("by the load's server", of_load(LINE, Some(used)), 2.5),
            ("by the bots", of_bots(BOTS, 100), 12.5),
        ] {
            assert_eq!(said.figures().and_then(|figures| figures.memory_mb), Some(expected), "{name}");
        }
    }

    #[test]
    fn bots_that_failed_are_a_servers_failure_only_if_it_ended_or_let_somebody_wait() {
        assert_eq!(of_bots(r#"{"joined": 1740, "players": 2243}"#, 2243), Said::TooFew(1740));
        let ended = of_bots(r#"{"server_ended": "signal: 11"}"#, 100);
        assert_eq!(ended, Said::ServerEnded("signal: 11".to_owned()));
        assert!(is_unusable(&of_bots(r#"{"not_started": "exit status: 1"}"#, 100)));
        assert!(is_unusable(&of_bots("", 100)), "bots that failed by themselves write nothing");
    }

    #[test]
    fn only_what_is_known_of_a_server_is_its_failure() {
        let go = ALL.iter().find(|contender| contender.name == "go").unwrap();
        let verdict = |said: &Said| said.verdict(go, 64, 100);
        assert!(verdict(&Said::Unusable("killed".to_owned())).is_void());
        let ended = verdict(&Said::ServerEnded("signal: 11".to_owned()));
        assert_eq!(
            ended,
            Verdict::Fails { why: "the server ended or hung: signal: 11".to_owned(), by_far: false }
        );
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
