//! When inputs are due and what became of them.

use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value, json};

use crate::crowd::Input;

/// A run in which the load was later than this at p99 says nothing about the server.
const LATENESS_LIMIT_US: u64 = 1000;
/// Longest time that is told apart.
const MAX_US: u64 = 60_000_000;

/// Each client sends at its own phase; the phases are spread evenly.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) clients: u32,
    /// Between two inputs of a client.
    pub(crate) period: Duration,
    pub(crate) start: Duration,
}

impl Schedule {
    /// When the input with this number over all clients is due.
    pub(crate) fn due(&self, number: u64) -> Duration {
        let nanos = u128::from(number) * self.period.as_nanos() / u128::from(self.clients);
        self.start + Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// Whose it is, and its number among that client's.
    pub(crate) fn input(&self, number: u64) -> Input {
        let clients = u64::from(self.clients);
        let small = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        (small(number % clients), small(number / clients + 1))
    }

    fn due_of(&self, (client, sequence): Input) -> Duration {
        self.due(u64::from(sequence - 1) * u64::from(self.clients) + u64::from(client))
    }
}

/// What is measured between `begin` and `end`.
pub(crate) struct Measure {
    schedule: Schedule,
    begin: Duration,
    end: Duration,
    /// By client.
    acknowledged: Vec<u32>,
    latency_us: Histogram<u64>,
    lateness_us: Histogram<u64>,
    inputs: u64,
    snapshots: u64,
    bytes: u64,
}

impl Measure {
    pub(crate) fn new(schedule: Schedule, begin: Duration, end: Duration) -> Self {
        let histogram =
            || Histogram::new_with_bounds(1, MAX_US, 3).expect("three digits of these bounds are possible");
        Self {
            schedule,
            begin,
            end,
            acknowledged: vec![0; schedule.clients as usize],
            latency_us: histogram(),
            lateness_us: histogram(),
            inputs: 0,
            snapshots: 0,
            bytes: 0,
        }
    }

    /// An input goes out that was due at `due`.
    pub(crate) fn sent(&mut self, due: Duration, now: Duration) {
        if (self.begin..self.end).contains(&due) {
            self.inputs += 1;
            self.lateness_us.saturating_record(micros(now.saturating_sub(due)));
        }
    }

    /// A snapshot whose newest input of this client is `newest`: it acknowledges those before it as well.
    pub(crate) fn snapshot(&mut self, client: u32, newest: u32, bytes: usize, now: Duration) {
        if (self.begin..self.end).contains(&now) {
            self.snapshots += 1;
            self.bytes += bytes as u64;
        }
        let Some(acknowledged) = self.acknowledged.get_mut(client as usize) else { return };
        for sequence in *acknowledged + 1..=newest {
            let due = self.schedule.due_of((client, sequence));
            // one that was never sent is the server's fault and no latency
            let Some(latency) = now.checked_sub(due) else { break };
            if (self.begin..self.end).contains(&due) {
                self.latency_us.saturating_record(micros(latency));
            }
        }
        *acknowledged = newest.max(*acknowledged);
    }

    pub(crate) fn json(&self) -> Value {
        let latency = |quantile| self.latency_us.value_at_quantile(quantile);
        let lateness = self.lateness_us.value_at_quantile(0.99);
        json!({
            "clients": self.schedule.clients,
            "joined": self.acknowledged.iter().filter(|newest| **newest > 0).count(),
            "inputs": self.inputs,
            "lost": self.inputs.saturating_sub(self.latency_us.len()),
            "snapshots": self.snapshots,
            "snapshot_bytes": self.bytes.checked_div(self.snapshots).unwrap_or(0),
            "seconds": self.end.saturating_sub(self.begin).as_secs_f64(),
            "latency_us": { "p50": latency(0.5), "p99": latency(0.99), "p999": latency(0.999), "max": self.latency_us.max() },
            "lateness_us_p99": lateness,
            "void": lateness >= LATENESS_LIMIT_US,
        })
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn schedule() -> Schedule {
        Schedule { clients: 10, period: 50 * MS, start: 100 * MS }
    }

    #[test]
    fn clients_send_in_turn_each_once_a_period() {
        let schedule = schedule();
        assert_eq!([0, 9, 10, 25].map(|number| schedule.input(number)), [(0, 1), (9, 1), (0, 2), (5, 3)]);
        assert_eq!([0, 1, 10].map(|number| schedule.due(number)), [100 * MS, 105 * MS, 150 * MS]);
        assert!((0..100).all(|number| schedule.due_of(schedule.input(number)) == schedule.due(number)));
    }

    #[test]
    fn a_snapshot_acknowledges_what_came_before_it_and_each_input_counts_once_from_when_it_was_due() {
        let mut measure = Measure::new(schedule(), 150 * MS, 300 * MS);
        for number in 0..30 {
            measure.sent(schedule().due(number), schedule().due(number));
        }
        measure.snapshot(0, 3, 340, 210 * MS);
        measure.snapshot(0, 3, 340, 220 * MS);
        let json = measure.json();
        assert_eq!(
            (&json["inputs"], &json["snapshots"]),
            (&json!(20), &json!(2)),
            "the first ten are warm-up"
        );
        assert_eq!(json["lost"], json!(18), "inputs 2 and 3 of client 0 are known");
        assert!(json["latency_us"]["max"].as_u64().unwrap().abs_diff(60_000) < 100, "{json}");
    }

    #[test]
    fn what_is_due_after_the_end_is_sent_and_does_not_count_and_what_was_due_before_is_answered_after_it() {
        let mut measure = Measure::new(schedule(), 100 * MS, 150 * MS);
        for number in 0..20 {
            measure.sent(schedule().due(number), schedule().due(number));
        }
        measure.snapshot(0, 2, 340, 170 * MS);
        let json = measure.json();
        assert_eq!((&json["inputs"], &json["lost"]), (&json!(10), &json!(9)), "{json}");
        assert!(json["latency_us"]["max"].as_u64().unwrap().abs_diff(70_000) < 100, "{json}");
    }

    #[test]
    fn an_input_that_was_sent_late_counts_from_when_it_was_due_and_makes_the_run_void() {
        let mut measure = Measure::new(schedule(), 100 * MS, 300 * MS);
        measure.sent(100 * MS, 103 * MS);
        measure.snapshot(0, 1, 340, 104 * MS);
        let json = measure.json();
        assert_eq!(json["void"], json!(true));
        assert!(json["latency_us"]["p50"].as_u64().unwrap() >= 4000, "{json}");
    }

    #[test]
    fn a_client_that_does_not_exist_and_an_input_of_the_future_are_no_latency() {
        let mut measure = Measure::new(schedule(), 100 * MS, 300 * MS);
        measure.snapshot(10, 1, 340, 110 * MS);
        measure.snapshot(0, 4, 340, 110 * MS);
        assert_eq!(measure.latency_us.len(), 1);
    }
}
