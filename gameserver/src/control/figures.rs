//! Reports from the boards of all zones: what happened in a period is the difference of two readings.

mod of_zones;

use std::net::IpAddr;
use std::time::Duration;

use gameserver_contract::{HistogramDelta, Phase, QUEUE_QUANTILE, Report, TICK_QUANTILE};

use crate::zone::{Boards, Distribution, Figure, Total};
use of_zones::{together, worst};

/// Makes one report after the other.
#[derive(Debug)]
pub(crate) struct Reporter {
    seq: u64,
    tick: Told,
    input_latency: Told,
    queue_depth: Told,
    cpu: Duration,
    at: Duration,
}

impl Reporter {
    /// Starts the first period at `now`, with `cpu` used so far.
    pub(crate) fn new(now: Duration, cpu: Duration) -> Self {
        Self {
            seq: 0,
            tick: Told::nothing(Distribution::TickWork),
            input_latency: Told::nothing(Distribution::InputLatency),
            queue_depth: Told::nothing(Distribution::QueueDepth),
            cpu,
            at: now,
        }
    }

    /// What happened since the last report: counts of all zones together, and the worst zone of what overloads one. CPU is that
    /// of the process, since that is what its pod asks for.
    pub(crate) fn report(
        &mut self,
        (now, cpu): (Duration, Duration),
        boards: &Boards,
        Standing { phase, newest_order, sessions, outdated, reached_at }: Standing,
    ) -> Report {
        self.seq += 1;
        let period = now.saturating_sub(self.at);
        let used = cpu.saturating_sub(self.cpu);
        (self.cpu, self.at) = (cpu, now);
        Report {
            seq: self.seq,
            phase,
            players: u32::try_from(boards.sum(Figure::Players)).unwrap_or(u32::MAX),
            cpu_millis: thousandths(used, period),
            tick_us: worst(self.tick.newer_of_each(boards), TICK_QUANTILE),
            input_latency_us: together(&self.input_latency.newer(boards)),
            queue_depth: worst(self.queue_depth.newer_of_each(boards), QUEUE_QUANTILE),
            joins_total: boards.sum(Figure::Joins),
            refused_total: boards.sum(Figure::RefusedHandshakes),
            timeouts_total: boards.sum(Figure::Timeouts),
            rejects_total: boards.sum(Figure::RejectedInputs),
            late_ticks_total: boards.sum(Figure::LateTicks),
            newest_order,
            sessions,
            outdated,
            reached_at,
        }
    }
}

/// How the server stands with the operator.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Standing {
    pub(crate) phase: Phase,
    pub(crate) newest_order: Option<u64>,
    pub(crate) sessions: u32,
    pub(crate) outdated: bool,
    pub(crate) reached_at: Option<IpAddr>,
}

/// How much of a distribution reports have told, by zone.
#[derive(Debug)]
struct Told {
    distribution: Distribution,
    zones: Vec<Total>,
}

impl Told {
    fn nothing(distribution: Distribution) -> Self {
        Self { distribution, zones: Vec::new() }
    }

    /// What each zone recorded since the last time.
    fn newer(&mut self, boards: &Boards) -> Vec<HistogramDelta> {
        let (newer, totals) = self.compare(boards);
        self.zones = totals;
        newer
    }

    /// The same once every zone has recorded something, and nothing until then. Of a zone whose ticks last for seconds most
    /// periods would otherwise have the ticks of another.
    fn newer_of_each(&mut self, boards: &Boards) -> Vec<HistogramDelta> {
        let (newer, totals) = self.compare(boards);
        if newer.iter().any(|zone| zone.buckets.is_empty()) {
            return Vec::new();
        }
        self.zones = totals;
        newer
    }

    /// What each zone recorded since the last time, and all that it has by now.
    fn compare(&self, boards: &Boards) -> (Vec<HistogramDelta>, Vec<Total>) {
        let nothing = Total::default();
        let told = self.zones.iter().chain(std::iter::repeat(&nothing));
        let totals: Vec<_> = boards.iter().map(|board| board.total(self.distribution)).collect();
        (totals.iter().zip(told).map(|(total, told)| total.since(told)).collect(), totals)
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
    use crate::zone::Board;
    use gameserver_contract::histogram::BOUNDS;

    const MS: Duration = Duration::from_millis(1);
    const READY: Standing =
        Standing { phase: Phase::Ready, newest_order: None, sessions: 0, outdated: false, reached_at: None };

    /// Bucket and count of each that is not empty, and the sum.
    fn of(delta: &HistogramDelta) -> (Vec<(u64, u32)>, u64) {
        let bound = |&(bucket, count): &(u8, u32)| (BOUNDS[usize::from(bucket)], count);
        (delta.buckets.iter().map(bound).collect(), delta.sum)
    }

    #[test]
    fn each_report_holds_just_its_own_period() {
        let boards = Boards::blank(2, &[]);
        let [one, other] = [0, 1].map(|zone| boards.iter().nth(zone).unwrap());
        let mut reporter = Reporter::new(Duration::ZERO, Duration::ZERO);
        let all = [Distribution::TickWork, Distribution::InputLatency, Distribution::QueueDepth];
        let record = |board: &Board, value| all.iter().for_each(|&of| board.record(of, value));
        record(one, 96);
        record(other, 96);
        let first = reporter.report((1000 * MS, 250 * MS), &boards, READY);
        assert_eq!((first.seq, first.cpu_millis, first.newest_order), (1, 250, None));
        record(one, 12);
        record(other, 12);
        let second =
            reporter.report((3000 * MS, 260 * MS), &boards, Standing { newest_order: Some(7), ..READY });
        assert_eq!((second.seq, second.cpu_millis, second.newest_order), (2, 5, Some(7)));
        for (report, value) in [(first, 96), (second, 12)] {
            for told in [&report.tick_us, &report.queue_depth] {
                assert_eq!(of(told), (vec![(value, 1)], value), "one zone");
            }
            assert_eq!(of(&report.input_latency_us), (vec![(value, 2)], 2 * value), "both");
        }
    }

    #[test]
    fn a_zone_whose_ticks_last_longer_than_a_period_is_not_hidden_by_those_of_another() {
        let boards = Boards::blank(2, &[]);
        let [slow, quick] = [0, 1].map(|zone| boards.iter().nth(zone).unwrap());
        let mut reporter = Reporter::new(Duration::ZERO, Duration::ZERO);
        for second in 1..=6_u32 {
            (0..64).for_each(|_| quick.record(Distribution::TickWork, 96));
            quick.record(Distribution::InputLatency, 96);
            let ticked = second % 3 == 0;
            if ticked {
                slow.record(Distribution::TickWork, 3_145_728);
            }
            let report = reporter.report((second * 1000 * MS, MS), &boards, READY);
            let expected = if ticked { vec![(3_145_728, 1)] } else { Vec::new() };
            assert_eq!(of(&report.tick_us).0, expected, "second {second}");
            assert_eq!(of(&report.input_latency_us).0, [(96, 1)], "which waits for nobody");
        }
        // nothing is lost of what one recorded while the other recorded nothing
        let mut ticks_told = |board: &Board, value, second: u32| {
            board.record(Distribution::TickWork, value);
            of(&reporter.report((second * 1000 * MS, MS), &boards, READY).tick_us).0
        };
        assert_eq!(ticks_told(slow, 12_288, 7), []);
        assert_eq!(ticks_told(quick, 96, 8), [(12_288, 1)]);
    }

    #[test]
    fn counts_of_a_report_are_those_of_all_zones_together() {
        type Told = fn(&Report) -> u64;
        let cases: [(Figure, Told); 6] = [
            (Figure::Players, |report| report.players.into()),
            (Figure::Joins, |report| report.joins_total),
            (Figure::RefusedHandshakes, |report| report.refused_total),
            (Figure::Timeouts, |report| report.timeouts_total),
            (Figure::RejectedInputs, |report| report.rejects_total),
            (Figure::LateTicks, |report| report.late_ticks_total),
        ];
        for (figure, told) in cases {
            let boards = Boards::blank(3, &[]);
            for (board, value) in boards.iter().zip([1, 20, 300]) {
                board.set(figure, value);
            }
            let mut reporter = Reporter::new(Duration::ZERO, Duration::ZERO);
            let report = reporter.report((1000 * MS, MS), &boards, READY);
            assert_eq!(told(&report), 321, "{figure:?}");
        }
    }

    #[test]
    fn what_overloads_a_zone_is_reported_of_the_worst_and_latencies_of_all() {
        type Case = (Distribution, fn(&Report) -> &HistogramDelta, &'static [(u64, u32)], u64);
        let cases: [Case; 3] = [
            (Distribution::TickWork, |report| &report.tick_us, &[(12, 5)], 60),
            (Distribution::QueueDepth, |report| &report.queue_depth, &[(12, 5)], 60),
            (Distribution::InputLatency, |report| &report.input_latency_us, &[(4, 300), (12, 5)], 1260),
        ];
        for (distribution, told, buckets, sum) in cases {
            let boards = Boards::blank(4, &[]);
            for (zone, board) in boards.iter().enumerate() {
                let (times, value) = if zone == 2 { (5, 12) } else { (100, 4) };
                (0..times).for_each(|_| board.record(distribution, value));
            }
            let mut reporter = Reporter::new(Duration::ZERO, Duration::ZERO);
            let report = reporter.report((1000 * MS, MS), &boards, READY);
            assert_eq!(of(told(&report)), (buckets.to_vec(), sum), "{distribution:?}");
        }
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
