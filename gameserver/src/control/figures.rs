//! Reports from the board: what happened in a period is the difference of two readings.

use std::time::Duration;

use gameserver_contract::{Phase, Report};

use crate::zone::{Board, Distribution, Figure, Total};

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
        board: &Board,
        phase: Phase,
        newest_order: Option<u64>,
    ) -> Report {
        self.seq += 1;
        let period = now.saturating_sub(self.at);
        let used = cpu.saturating_sub(self.cpu);
        let (tick, input_latency, queue_depth) = (
            board.total(Distribution::TickWork),
            board.total(Distribution::InputLatency),
            board.total(Distribution::QueueDepth),
        );
        let report = Report {
            seq: self.seq,
            phase,
            players: u32::try_from(board.get(Figure::Players)).unwrap_or(u32::MAX),
            cpu_millis: thousandths(used, period),
            tick_us: tick.since(&self.tick),
            input_latency_us: input_latency.since(&self.input_latency),
            queue_depth: queue_depth.since(&self.queue_depth),
            joins_total: board.get(Figure::Joins),
            refused_total: board.get(Figure::RefusedHandshakes),
            timeouts_total: board.get(Figure::Timeouts),
            rejects_total: board.get(Figure::RejectedInputs),
            late_ticks_total: board.get(Figure::LateTicks),
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

/// Where the server stands, by rule: it can only take players with a key and a running zone.
pub(crate) fn phase(board: &Board, draining: bool, stopping: bool) -> Phase {
    if stopping {
        Phase::Stopped
    } else if draining {
        Phase::Draining
    } else if board.get(Figure::HasKey) == 1 && board.get(Figure::Ticks) > 0 {
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
    fn each_report_holds_just_its_own_period() {
        let board = Board::new(std::iter::empty());
        let mut reporter = Reporter::new(Duration::ZERO, Duration::ZERO);
        board.record(Distribution::TickWork, 100);
        board.set(Figure::Joins, 2);
        let first = reporter.report((1000 * MS, 250 * MS), &board, Phase::Ready, None);
        assert_eq!((first.seq, first.cpu_millis, first.joins_total), (1, 250, 2));
        assert_eq!((first.tick_us.buckets.len(), first.tick_us.sum), (1, 100));
        let second = reporter.report((3000 * MS, 260 * MS), &board, Phase::Ready, Some(7));
        assert_eq!((second.seq, second.cpu_millis, second.joins_total), (2, 5, 2));
        assert!(second.tick_us.buckets.is_empty());
        assert_eq!((first.newest_order, second.newest_order), (None, Some(7)));
    }

    #[test]
    fn two_reports_at_the_same_time_do_not_divide_by_zero() {
        assert_eq!(thousandths(MS, Duration::ZERO), 0);
    }

    #[test]
    fn a_server_is_ready_with_a_key_and_a_running_zone_only() {
        let board = Board::new(std::iter::empty());
        assert_eq!(phase(&board, false, false), Phase::Starting);
        board.set(Figure::HasKey, 1);
        assert_eq!(phase(&board, false, false), Phase::Starting);
        board.set(Figure::Ticks, 1);
        assert_eq!(phase(&board, false, false), Phase::Ready);
        assert_eq!(phase(&board, true, false), Phase::Draining);
        assert_eq!(phase(&board, true, true), Phase::Stopped);
    }
}
