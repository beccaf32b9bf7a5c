//! Reports from the boards of all zones: what happened in a period is the difference of two readings.

use std::time::Duration;

use gameserver_contract::{Phase, Report};

use crate::zone::{Boards, Distribution, Figure, Total};

/// Makes one report after the other.
#[derive(Debug)]
pub(crate) struct Reporter {
    seq: u64,
    tick: Total,
    input_latency: Total,
    queue_depth: Total,
    cpu: Duration,
    at: Duration,
}

impl Reporter {
    /// Starts the first period at `now`, with `cpu` used so far.
    pub(crate) fn new(now: Duration, cpu: Duration) -> Self {
        let (tick, input_latency, queue_depth) = Default::default();
        Self { seq: 0, tick, input_latency, queue_depth, cpu, at: now }
    }

    /// What happened since the last report.
    pub(crate) fn report(
        &mut self,
        (now, cpu): (Duration, Duration),
        boards: &Boards,
        phase: Phase,
        newest_order: Option<u64>,
    ) -> Report {
        self.seq += 1;
        let period = now.saturating_sub(self.at);
        let used = cpu.saturating_sub(self.cpu);
        let (tick, input_latency, queue_depth) = (
            boards.total(Distribution::TickWork),
            boards.total(Distribution::InputLatency),
            boards.total(Distribution::QueueDepth),
        );
        let report = Report {
            seq: self.seq,
            phase,
            players: u32::try_from(boards.sum(Figure::Players)).unwrap_or(u32::MAX),
            cpu_millis: thousandths(used, period),
            tick_us: tick.since(&self.tick),
            input_latency_us: input_latency.since(&self.input_latency),
            queue_depth: queue_depth.since(&self.queue_depth),
            joins_total: boards.sum(Figure::Joins),
            refused_total: boards.sum(Figure::RefusedHandshakes),
            timeouts_total: boards.sum(Figure::Timeouts),
            rejects_total: boards.sum(Figure::RejectedInputs),
            late_ticks_total: boards.sum(Figure::LateTicks),
            newest_order,
        };
        (self.tick, self.input_latency, self.queue_depth) = (tick, input_latency, queue_depth);
        (self.cpu, self.at) = (cpu, now);
        report
    }
}

fn thousandths(part: Duration, whole: Duration) -> u32 {
    let ratio = (part.as_micros() * 1000).checked_div(whole.as_micros());
    ratio.map_or(0, |ratio| u32::try_from(ratio).unwrap_or(u32::MAX))
}

/// Where the server stands, by rule: it can only take players when every zone has a key and runs, because nobody knows to
/// which of them a player comes.
pub(crate) fn phase(boards: &Boards, draining: bool, stopping: bool) -> Phase {
    let shows = |figure| boards.iter().all(|board| board.get(figure) > 0);
    if stopping {
        Phase::Stopped
    } else if draining {
        Phase::Draining
    } else if shows(Figure::HasKey) && shows(Figure::Ticks) {
        Phase::Ready
    } else {
        Phase::Starting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn each_report_holds_just_its_own_period_of_all_zones() {
        let boards = Boards::blank(2, &[]);
        let [one, other] = [0, 1].map(|zone| boards.iter().nth(zone).unwrap());
        let mut reporter = Reporter::new(Duration::ZERO, Duration::ZERO);
        one.record(Distribution::TickWork, 100);
        other.record(Distribution::TickWork, 100);
        one.set(Figure::Joins, 2);
        other.set(Figure::Joins, 3);
        other.set(Figure::Players, 3);
        let first = reporter.report((1000 * MS, 250 * MS), &boards, Phase::Ready, None);
        assert_eq!((first.seq, first.cpu_millis, first.joins_total, first.players), (1, 250, 5, 3));
        let [(_, count)] = first.tick_us.buckets[..] else { panic!("one bucket: {:?}", first.tick_us) };
        assert_eq!((count, first.tick_us.sum), (2, 200));
        other.record(Distribution::TickWork, 5000);
        let second = reporter.report((3000 * MS, 260 * MS), &boards, Phase::Ready, Some(7));
        assert_eq!((second.seq, second.cpu_millis, second.joins_total), (2, 5, 5));
        assert_eq!((second.tick_us.buckets.len(), second.tick_us.sum), (1, 5000));
        assert_eq!((first.newest_order, second.newest_order), (None, Some(7)));
    }

    #[test]
    fn two_reports_at_the_same_time_do_not_divide_by_zero() {
        assert_eq!(thousandths(MS, Duration::ZERO), 0);
    }

    #[test]
    fn a_server_is_ready_when_each_zone_has_a_key_and_runs() {
        let boards = Boards::blank(2, &[]);
        for zone in boards.iter() {
            for figure in [Figure::HasKey, Figure::Ticks] {
                assert_eq!(phase(&boards, false, false), Phase::Starting);
                zone.set(figure, 1);
            }
        }
        assert_eq!(phase(&boards, false, false), Phase::Ready);
        assert_eq!(phase(&boards, true, false), Phase::Draining);
        assert_eq!(phase(&boards, true, true), Phase::Stopped);
    }
}
