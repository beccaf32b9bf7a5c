//! What a trial gave, and whether that is enough.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::contenders::Contender;

/// Part of the inputs that may be lost.
pub(super) const LOST_MAX: f64 = 0.001;
/// Part of the snapshots that must come.
pub(super) const SNAPSHOTS_MIN: f64 = 0.98;
/// Part of the inputs that no pause of the machine loses: it is what is sent in 20 ms of two seconds.
pub(super) const LOST_BY_FAR: f64 = 0.01;
/// Part of the snapshots that come also beside a pause of the machine.
pub(super) const SNAPSHOTS_BY_FAR: f64 = 0.9;
/// Times the limit of p99 that no pause of the machine makes of it.
pub(super) const P99_BY_FAR: f64 = 2.0;
/// Percent of the players of which no pause of the machine keeps the rest out: they have seconds to join.
pub(super) const JOINED_PERCENT: u64 = 90;

/// What a trial gave.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Figures {
    /// Players that got in.
    pub(super) joined: u32,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    /// Of one core.
    pub(super) cpu_percent: f64,
    /// Resident; none in runs of a time in which nobody looked at it.
    pub(super) memory_mb: Option<f64>,
    /// Part of the inputs that no snapshot acknowledged.
    pub(super) lost: f64,
    /// Snapshots a second and player.
    pub(super) snapshots_hz: f64,
    /// Of one, as the client sees it.
    pub(super) snapshot_bytes: f64,
    /// Whether the load itself was late.
    pub(super) void: bool,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} joined, {:.1} ms, p99 {:.1} ms, {:.0} % CPU",
            self.joined, self.p50_ms, self.p99_ms, self.cpu_percent
        )?;
        if self.void { write!(f, ", the load was late") } else { Ok(()) }
    }
}

/// Whether a server holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Verdict {
    Holds,
    Fails {
        why: String,
        /// Whether it is too far off for a hiccup of the machine to be the reason.
        by_far: bool,
    },
    /// The load was late or failed, so nothing is known of the server.
    Void {
        why: String,
    },
}

impl Verdict {
    pub(super) fn is_void(&self) -> bool {
        matches!(self, Self::Void { .. })
    }
}

/// A server with which only so many of the players got in.
pub(super) fn too_few(joined: u32, players: u32) -> Verdict {
    let by_far = u64::from(joined) * 100 < u64::from(players) * JOINED_PERCENT;
    Verdict::Fails { why: format!("{joined} of {players} joined"), by_far }
}

/// The longest p99 from input to state, ms: an input waits for at most a tick; half a tick is left for the work of the tick and to send what came
/// of it, and 5 ms for what else the machine does.
pub(super) fn p99_limit_ms(tick_hz: u32) -> f64 {
    1.5 * 1000.0 / f64::from(tick_hz) + 5.0
}

impl Figures {
    /// By the rule of the page.
    pub(super) fn verdict(&self, contender: &Contender, tick_hz: u32, players: u32) -> Verdict {
        if self.void {
            return Verdict::Void { why: "the load was late".to_owned() };
        }
        if self.joined < players {
            return too_few(self.joined, players);
        }
        let (limit, wanted_hz) = (p99_limit_ms(tick_hz), f64::from(tick_hz));
        let counts_snapshots = contender.sends_each_tick();
        let mut failures = Vec::new();
        if self.p99_ms >= limit {
            let why = format!("p99 {:.1} ms, limit {limit:.1} ms", self.p99_ms);
            failures.push((self.p99_ms >= P99_BY_FAR * limit, why));
        }
        if self.lost >= LOST_MAX {
            let why = format!("{:.2} % of the inputs lost", self.lost * 100.0);
            failures.push((self.lost >= LOST_BY_FAR, why));
        }
        if counts_snapshots && self.snapshots_hz < SNAPSHOTS_MIN * wanted_hz {
            let why = format!("{:.1} snapshots a second", self.snapshots_hz);
            failures.push((self.snapshots_hz < SNAPSHOTS_BY_FAR * wanted_hz, why));
        }
        // what is too far off counts before what may be a hiccup
        match failures.into_iter().rev().max_by_key(|(by_far, _)| *by_far) {
            Some((by_far, why)) => Verdict::Fails { why, by_far },
            None => Verdict::Holds,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::contenders::{ALL, EQUAL_WIRE};

    /// Of a hundred players at 64 Hz.
    fn verdict(name: &str, figures: Figures) -> Verdict {
        let contender = ALL.iter().find(|contender| contender.name == name).unwrap();
        figures.verdict(contender, 64, 100)
    }

    fn figures() -> Figures {
        Figures { joined: 100, p50_ms: 9.0, p99_ms: 20.0, snapshots_hz: 64.0, ..Figures::default() }
    }

    #[test]
    fn a_server_holds_by_latency_ticks_and_inputs_and_not_by_one_of_them() {
        let fails = |figures: Figures| matches!(verdict("tokio", figures), Verdict::Fails { .. });
        assert_eq!(verdict("tokio", figures()), Verdict::Holds);
        assert!(fails(Figures { p99_ms: 28.5, ..figures() }), "1.5 ticks and 5 ms are 28.4 ms");
        assert!(fails(Figures { lost: 0.002, ..figures() }));
        assert!(fails(Figures { snapshots_hz: 60.0, ..figures() }));
        let late = Figures { p99_ms: 100.0, void: true, ..figures() };
        assert!(verdict("tokio", late).is_void(), "nothing is known of a server whose load was late");
    }

    #[test]
    fn what_is_too_far_off_for_a_hiccup_fails_by_far_beside_whatever_else_fails() {
        for (figures, is_by_far, said) in [
            (Figures { p99_ms: 56.0, ..figures() }, false, "p99 56.0"),
            (Figures { p99_ms: 57.0, ..figures() }, true, "p99 57.0"),
            (Figures { lost: 0.001, ..figures() }, false, "0.10 %"),
            (Figures { lost: 0.009, ..figures() }, false, "0.90 %"),
            (Figures { lost: 0.01, ..figures() }, true, "1.00 %"),
            (Figures { snapshots_hz: 58.0, ..figures() }, false, "58.0 snapshots"),
            (Figures { snapshots_hz: 57.0, ..figures() }, true, "57.0 snapshots"),
            (Figures { p99_ms: 30.0, lost: 0.002, snapshots_hz: 60.0, ..figures() }, false, "p99 30.0"),
            (Figures { p99_ms: 30.0, lost: 0.02, ..figures() }, true, "2.00 %"),
            (Figures { p99_ms: 60.0, snapshots_hz: 20.0, ..figures() }, true, "p99 60.0"),
        ] {
            let verdict = verdict("tokio", figures);
            let Verdict::Fails { why, by_far } = verdict else { panic!("{said}: {verdict:?}") };
            assert!(why.starts_with(said) && by_far == is_by_far, "{said}: {why}, by far: {by_far}");
        }
    }

    #[test]
    fn who_did_not_get_in_may_the_next_time_unless_they_are_many() {
        for (joined, is_by_far) in [(99, false), (90, false), (89, true), (0, true)] {
            let verdict = verdict("tokio", Figures { joined, ..figures() });
            let Verdict::Fails { why, by_far } = verdict else { panic!("{joined}: {verdict:?}") };
            assert_eq!((why, by_far), (format!("{joined} of 100 joined"), is_by_far));
        }
    }

    #[test]
    fn ours_may_send_less_than_a_snapshot_a_tick_but_not_at_equal_wire() {
        let seldom = Figures { snapshots_hz: 28.0, ..figures() };
        assert_eq!(verdict("cranewing", seldom), Verdict::Holds);
        assert!(matches!(verdict(EQUAL_WIRE, seldom), Verdict::Fails { by_far: true, .. }));
    }
}
