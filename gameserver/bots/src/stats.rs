//! What the bots of a region counted and measured, with their own lateness beside it.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

use gameserver_protocol::micros;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// A run in which the bots themselves were later than this at p99 says nothing about the server.
pub(crate) const LATENESS_LIMIT_US: u64 = 1000;

/// From which on people are told that the figures say little: less shows beside the latencies of a game as nothing.
const TOLD_LATE_US: u64 = 10_000;

/// Longest latency that is told apart, in microseconds; longer ones count as this.
const LATENCY_MAX_US: u64 = 60_000_000;

/// What happened to the bots of one region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) totals: Totals,
    pub(crate) measured: Measured,
    /// Since the last line.
    recent: Timings,
}

/// Counts since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Totals {
    /// Bots that got into the game.
    pub(crate) joins: u64,
    /// Bots that did not: the server said no, or nothing.
    pub(crate) refused: u64,
    /// Bots that lost the server, or the server them, while they played.
    pub(crate) disconnects: u64,
    /// Inputs sent.
    pub(crate) inputs: u64,
    /// Inputs confirmed.
    pub(crate) confirmed: u64,
    /// Inputs refused by the rules.
    pub(crate) rejected: u64,
    /// Times that a bot had to snap back.
    pub(crate) corrections: u64,
    /// Confirmations that broke a rule: unknown input, off the map, faster than one can walk, back in time.
    pub(crate) mismatches: u64,
    /// Inputs whose outcome never came.
    pub(crate) lost: u64,
    /// Snapshots that came in time.
    pub(crate) snapshots: u64,
    /// Of their datagrams, without UDP and IP.
    pub(crate) snapshot_bytes: u64,
}

/// What became of the inputs that were due in a stretch of time, whenever they were sent and answered.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// All of the time, unless [`Stats::measure`] said otherwise.
    due: Range<Duration>,
    pub(crate) sent: u64,
    pub(crate) timings: Timings,
}

impl Default for Measured {
    fn default() -> Self {
        Self { due: Duration::ZERO..Duration::MAX, sent: 0, timings: Timings::default() }
    }
}

impl Measured {
    /// Inputs that were carried out or refused.
    pub(crate) fn answered(&self) -> u64 {
        self.timings.latency_us.len()
    }

    /// Inputs of which nothing was heard yet.
    pub(crate) fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.answered())
    }
}

/// Distributions in microseconds.
#[derive(Clone, Debug)]
pub(crate) struct Timings {
    pub(crate) latency_us: Histogram<u64>,
    pub(crate) lateness_us: Histogram<u64>,
}

impl Default for Timings {
    fn default() -> Self {
        let histogram = || {
            Histogram::new_with_bounds(1, LATENCY_MAX_US, 3)
                .expect("three digits of these bounds are possible")
        };
        Self { latency_us: histogram(), lateness_us: histogram() }
    }
}

impl Timings {
    fn clear(&mut self) {
        self.latency_us.reset();
        self.lateness_us.reset();
    }

    /// Whether the bots were too late themselves for the latency to mean anything.
    pub(crate) fn is_void(&self) -> bool {
        self.lateness_us.value_at_quantile(0.99) >= LATENESS_LIMIT_US
    }

    pub(crate) fn latency_json(&self) -> Value {
        let quantile = |quantile| self.latency_us.value_at_quantile(quantile);
        json!({ "p50": quantile(0.5), "p99": quantile(0.99), "p999": quantile(0.999), "max": self.latency_us.max() })
    }
}

impl Stats {
    /// The first state came that tells the outcome of an input.
    pub(crate) fn record_answer(&mut self, due: Duration, now: Duration) {
        let latency_us = micros(now.saturating_sub(due));
        if self.measured.due.contains(&due) {
            self.measured.timings.latency_us.saturating_record(latency_us);
        }
        self.recent.latency_us.saturating_record(latency_us);
    }

    /// An input was sent.
    pub(crate) fn record_sent(&mut self, due: Duration, now: Duration) {
        self.totals.inputs += 1;
        let lateness_us = micros(now.saturating_sub(due));
        if self.measured.due.contains(&due) {
            self.measured.sent += 1;
            self.measured.timings.lateness_us.saturating_record(lateness_us);
        }
        self.recent.lateness_us.saturating_record(lateness_us);
    }

    /// Measures what is due in this stretch, and nothing of what was before.
    pub(crate) fn measure(&mut self, due: Range<Duration>) {
        self.measured = Measured { due, ..Measured::default() };
    }

    /// The line of one second; distributions are those since the last line, counts those since the start.
    pub(crate) fn take_line(&mut self, head: &LineHead<'_>) -> Value {
        let players: u32 = head.servers.values().sum();
        let line = json!({
            "region": head.region,
            "at_unix_ms": u64::try_from(head.unix.as_millis()).unwrap_or(u64::MAX),
            "players": players,
            "target": head.target,
            "joins": self.totals.joins,
            "refused": self.totals.refused,
            "disconnects": self.totals.disconnects,
            "corrections": self.totals.corrections,
            "rejected": self.totals.rejected,
            "mismatches": self.totals.mismatches,
            "lost": self.totals.lost,
            "lateness_us_p99": self.recent.lateness_us.value_at_quantile(0.99),
            "latency_us": self.recent.latency_json(),
            "servers": head.servers,
        });
        self.recent.clear();
        line
    }

    /// Counts since the start and what was measured, for the end of a run.
    pub(crate) fn summary(&self) -> Value {
        let timings = &self.measured.timings;
        json!({
            "totals": self.totals,
            "latency_us": timings.latency_json(),
            "lateness_us_p99": timings.lateness_us.value_at_quantile(0.99),
            "void": timings.is_void(),
        })
    }
}

/// For people: what the bots of a region lived through, and what that is worth.
impl fmt::Display for Stats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (totals, timings) = (&self.totals, &self.measured.timings);
        if totals.joins == 0 {
            return write!(formatter, "nobody joined, {} refused", totals.refused);
        }
        let ms = |of: &Histogram<u64>, quantile| format_ms(of.value_at_quantile(quantile));
        write!(
            formatter,
            "{} joined, {} refused, {} lost their server; of {} inputs {} were confirmed, {} rejected, {} lost; from input to state {} at the \
             median and {} at p99",
            totals.joins,
            totals.refused,
            totals.disconnects,
            totals.inputs,
            totals.confirmed,
            totals.rejected,
            totals.lost,
            ms(&timings.latency_us, 0.5),
            ms(&timings.latency_us, 0.99),
        )?;
        let lateness = ms(&timings.lateness_us, 0.99);
        if timings.lateness_us.value_at_quantile(0.99) >= TOLD_LATE_US {
            write!(
                formatter,
                ", which says little of the servers: this machine was so busy that the bots themselves were {lateness} late at p99"
            )
        } else {
            write!(formatter, "; the bots themselves were {lateness} late at p99")
        }
    }
}

fn format_ms(us: u64) -> String {
    format!("{}.{} ms", us / 1000, us % 1000 / 100)
}

/// What a line says besides the figures.
pub(crate) struct LineHead<'a> {
    pub(crate) region: &'a str,
    pub(crate) unix: Duration,
    pub(crate) target: u32,
    /// Bots in the game by server.
    pub(crate) servers: &'a BTreeMap<String, u32>,
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn line(stats: &mut Stats) -> Value {
        let servers = BTreeMap::from([("arena-1".to_owned(), 3)]);
        stats.take_line(&LineHead { region: "kr", unix: 5 * MS, target: 4, servers: &servers })
    }

    #[test]
    fn a_line_has_the_distributions_of_its_own_second_and_all_counts() {
        let mut stats = Stats::default();
        stats.totals.joins = 3;
        stats.record_answer(5 * MS, 25 * MS);
        let first = line(&mut stats);
        assert_eq!(
            (&first["players"], &first["joins"], &first["servers"]["arena-1"]),
            (&json!(3), &json!(3), &json!(3))
        );
        assert!(first["latency_us"]["p99"].as_u64().unwrap() >= 20_000);
        let second = line(&mut stats);
        assert_eq!((&second["joins"], &second["latency_us"]["p99"]), (&json!(3), &json!(0)));
        assert!(stats.summary()["latency_us"]["max"].as_u64().unwrap() >= 20_000);
    }

    #[test]
    fn a_run_with_late_bots_is_void() {
        let mut stats = Stats::default();
        stats.record_sent(MS, MS * 3 / 2);
        assert!(!stats.measured.timings.is_void());
        stats.record_sent(MS, 3 * MS);
        assert!(stats.measured.timings.is_void());
        stats.measure(4 * MS..8 * MS);
        assert!(!stats.measured.timings.is_void());
    }

    #[test]
    fn an_input_counts_if_it_was_due_in_the_stretch_whenever_it_was_sent_and_answered() {
        let mut stats = Stats::default();
        stats.measure(10 * MS..20 * MS);
        for (what, due, sent, answered, counts) in [
            ("due before, answered within", 9, 9, Some(12), [0, 0]),
            ("due as it begins", 10, 10, Some(12), [1, 1]),
            ("due within, sent and answered after", 19, 21, Some(40), [1, 1]),
            ("due within, never answered", 15, 15, None, [1, 0]),
            ("due as it ends", 20, 20, Some(21), [0, 0]),
        ] {
            let before = [stats.measured.sent, stats.measured.answered()];
            stats.record_sent(due * MS, sent * MS);
            if let Some(answered) = answered {
                stats.record_answer(due * MS, answered * MS);
            }
            let after = [stats.measured.sent, stats.measured.answered()];
            assert_eq!([after[0] - before[0], after[1] - before[1]], counts, "{what}");
        }
        assert_eq!((stats.totals.inputs, stats.measured.lost()), (5, 1));
    }

    #[test]
    fn what_people_are_told_at_the_end_says_when_the_bots_were_too_late_themselves() {
        let mut stats = Stats::default();
        assert_eq!(stats.to_string(), "nobody joined, 0 refused");
        stats.totals.joins = 1;
        stats.record_sent(MS, MS * 3 / 2);
        stats.record_answer(MS, 10 * MS);
        let said = stats.to_string();
        assert!(
            said.contains("of 1 inputs 0 were confirmed") && said.contains("9.0 ms at the median"),
            "{said}"
        );
        assert!(said.ends_with("the bots themselves were 0.5 ms late at p99"), "{said}");
        stats.record_sent(MS, 12 * MS);
        assert!(stats.to_string().contains("says little of the servers"), "{stats}");
    }

    #[test]
    fn a_latency_beyond_the_longest_counts_as_the_longest() {
        let mut stats = Stats::default();
        stats.record_answer(Duration::ZERO, Duration::from_secs(1_000_000));
        assert!(stats.measured.timings.latency_us.max() >= LATENCY_MAX_US);
    }
}
