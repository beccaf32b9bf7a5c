//! What the bots of a region counted and measured, with their own lateness beside it.

use std::collections::BTreeMap;
use std::time::Duration;

use gameserver_protocol::micros;
use hdrhistogram::Histogram;
use serde_json::{Value, json};

/// A run in which the bots themselves were later than this at p99 says nothing about the server.
pub(crate) const LATENESS_LIMIT_US: u64 = 1000;

/// Longest latency that is told apart, in microseconds; longer ones count as this.
const LATENCY_MAX_US: u64 = 60_000_000;

/// What happened to the bots of one region.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) totals: Totals,
    /// Since [`Stats::start_measuring`].
    pub(crate) measured: Timings,
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
    /// From when an input was due to the first state that tells its outcome.
    pub(crate) fn record_latency(&mut self, latency: Duration) {
        self.measured.latency_us.saturating_record(micros(latency));
        self.recent.latency_us.saturating_record(micros(latency));
    }

    /// How long after it was due an input was sent.
    pub(crate) fn record_lateness(&mut self, lateness: Duration) {
        self.measured.lateness_us.saturating_record(micros(lateness));
        self.recent.lateness_us.saturating_record(micros(lateness));
    }

    /// Forgets the distributions so far: those of a warm-up.
    pub(crate) fn start_measuring(&mut self) {
        self.measured.clear();
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

    /// Everything since the start, for the end of a run.
    pub(crate) fn summary(&self) -> Value {
        json!({
            "totals": self.totals,
            "latency_us": self.measured.latency_json(),
            "lateness_us_p99": self.measured.lateness_us.value_at_quantile(0.99),
            "void": self.measured.is_void(),
        })
    }
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
        stats.record_latency(20 * MS);
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
        stats.record_lateness(MS / 2);
        assert!(!stats.measured.is_void());
        stats.record_lateness(2 * MS);
        assert!(stats.measured.is_void());
        stats.start_measuring();
        assert!(!stats.measured.is_void());
    }

    #[test]
    fn a_latency_beyond_the_longest_counts_as_the_longest() {
        let mut stats = Stats::default();
        stats.record_latency(Duration::from_secs(1_000_000));
        assert!(stats.measured.latency_us.max() >= LATENCY_MAX_US);
    }
}
