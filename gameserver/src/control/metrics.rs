//! The board as Prometheus metrics, named by the contract.

use std::collections::HashMap;
use std::sync::Arc;

use gameserver_contract::histogram::BOUNDS;
use gameserver_contract::{Backend, Phase, metrics};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tokio::sync::watch;

use crate::zone::{Board, Distribution, Figure, Seat, Total};

const COUNTERS: [(&str, &str, Figure); 13] = [
    (metrics::PACKETS_IN, "Datagrams received.", Figure::PacketsIn),
    (metrics::PACKETS_OUT, "Datagrams sent.", Figure::PacketsOut),
    (metrics::BYTES_IN, "Bytes received, UDP payload only.", Figure::BytesIn),
    (metrics::BYTES_OUT, "Bytes sent, UDP payload only.", Figure::BytesOut),
    (
        metrics::SOCKET_OVERFLOWS,
        "Datagrams that the kernel dropped, socket buffer full.",
        Figure::SocketOverflows,
    ),
    (metrics::TRUNCATED, "Datagrams dropped, too long or from no IP address.", Figure::Truncated),
    (metrics::REARMS, "Times the kernel ran out of posted receive buffers.", Figure::Rearms),
    (metrics::SEND_ERRORS, "Datagrams that could not be sent.", Figure::SendErrors),
    (metrics::JOINS, "Players that joined.", Figure::Joins),
    (metrics::RESUMES, "Sessions opened with a resume token.", Figure::Resumes),
    (metrics::RESUME_TOKENS, "Resume tokens handed out.", Figure::ResumeTokens),
    (metrics::TIMEOUTS, "Players lost to a time-out.", Figure::Timeouts),
    (metrics::LATE_TICKS, "Ticks that started a whole tick late or more.", Figure::LateTicks),
];

const SECONDS: f64 = 1e-6;

const HISTOGRAMS: [(&str, &str, Distribution, f64); 5] = [
    (metrics::TICK_WORK, "Work of a tick, flush excluded.", Distribution::TickWork, SECONDS),
    (metrics::TICK_FLUSH, "How long the flush of a tick took.", Distribution::TickFlush, SECONDS),
    (metrics::TICK_LATENESS, "How late a tick started.", Distribution::TickLateness, SECONDS),
    (
        metrics::INPUT_LATENCY,
        "Arrival of an input to the flush of the state that acknowledges it.",
        Distribution::InputLatency,
        SECONDS,
    ),
    (metrics::QUEUE_DEPTH, "Commands waiting at the start of a tick.", Distribution::QueueDepth, 1.0),
];

/// What was chosen at the start and stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) backend: Backend,
    pub(crate) seat: Seat,
}

/// Reads the board at each scrape.
pub(crate) struct BoardCollector {
    pub(crate) board: Arc<Board>,
    pub(crate) shown: Shown,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) streams: watch::Receiver<usize>,
    pub(crate) descriptions: Vec<Desc>,
}

impl BoardCollector {
    pub(crate) fn new(
        board: Arc<Board>,
        shown: Shown,
        phase: watch::Receiver<Phase>,
        streams: watch::Receiver<usize>,
    ) -> Result<Self, prometheus::Error> {
        let describe = |&name: &&str| Desc::new(name.to_owned(), name.to_owned(), Vec::new(), HashMap::new());
        let descriptions = metrics::ALL.iter().map(describe).collect::<Result<_, _>>()?;
        Ok(Self { board, shown, phase, streams, descriptions })
    }
}

impl Collector for BoardCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let board = &self.board;
        let phase = *self.phase.borrow();
        let mut families: Vec<_> = COUNTERS
            .iter()
            .map(|&(name, help, figure)| {
                family(name, help, MetricType::COUNTER, vec![counter(board.get(figure), &[])])
            })
            .collect();
        families.extend(HISTOGRAMS.iter().map(|&(name, help, distribution, unit)| {
            family(name, help, MetricType::HISTOGRAM, vec![histogram(&board.total(distribution), unit)])
        }));
        let rejects = board.rejects().map(|(reason, count)| counter(count, &[("reason", reason)])).collect();
        families.push(family(
            metrics::REJECTS,
            "Datagrams and inputs refused.",
            MetricType::COUNTER,
            rejects,
        ));
        let Shown { backend, seat } = self.shown;
        let gauges = [
            (metrics::PLAYERS, "Connected players.", gauge(board.get(Figure::Players), &[])),
            (metrics::REPORT_STREAMS, "Open report streams.", gauge(*self.streams.borrow() as u64, &[])),
            (metrics::BACKEND, "Datagram backend in use.", gauge(1, &[("backend", backend.as_str())])),
            (metrics::NUMA, "Where the zone thread and its memory are.", numa(seat)),
            (metrics::PHASE, "Current phase.", gauge(1, &[("phase", phase_label(phase))])),
            (metrics::BUILD, "Version.", gauge(1, &[("version", env!("CARGO_PKG_VERSION"))])),
        ];
        families.extend(
            gauges
                .into_iter()
                .map(|(name, help, metric)| family(name, help, MetricType::GAUGE, vec![metric])),
        );
        families
    }
}

fn numa(seat: Seat) -> Metric {
    let node = seat.node.map_or_else(String::new, |node| node.to_string());
    gauge(1, &[("placement", seat.placement), ("node", &node), ("memory", seat.memory)])
}

fn phase_label(phase: Phase) -> &'static str {
    match phase {
        Phase::Starting => "starting",
        Phase::Ready => "ready",
        Phase::Draining => "draining",
        Phase::Stopped => "stopped",
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn labelled(labels: &[(&str, &str)]) -> Metric {
    let mut metric = Metric::default();
    let pairs = labels.iter().map(|&(name, value)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    });
    metric.set_label(pairs.collect());
    metric
}

fn counter(value: u64, labels: &[(&str, &str)]) -> Metric {
    let (mut metric, mut counter) = (labelled(labels), Counter::default());
    counter.set_value(as_f64(value));
    metric.set_counter(counter);
    metric
}

fn gauge(value: u64, labels: &[(&str, &str)]) -> Metric {
    let (mut metric, mut gauge) = (labelled(labels), Gauge::default());
    gauge.set_value(as_f64(value));
    metric.set_gauge(gauge);
    metric
}

/// Buckets in the order of [`BOUNDS`]; the last is the text format's `+Inf`, which the encoder adds by itself.
fn histogram(total: &Total, unit: f64) -> Metric {
    let mut seen = 0;
    let buckets = BOUNDS.iter().zip(total.counts()).map(|(&bound, &count)| {
        seen += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(as_f64(bound) * unit);
        bucket.set_cumulative_count(seen);
        bucket
    });
    let mut histogram = Histogram::default();
    histogram.set_bucket(buckets.collect());
    histogram.set_sample_count(total.counts().iter().sum());
    histogram.set_sample_sum(as_f64(total.sum()) * unit);
    let mut metric = labelled(&[]);
    metric.set_histogram(histogram);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are floats")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, Registry, TextEncoder};
    use std::collections::BTreeSet;

    fn scrape(board: &Arc<Board>) -> String {
        let (_phase, phase) = watch::channel(Phase::Ready);
        let (_streams, streams) = watch::channel(2);
        let seat = Seat { placement: "on-node", node: Some(1), memory: "denied" };
        let shown = Shown { backend: Backend::Mmsg, seat };
        let collector = BoardCollector::new(Arc::clone(board), shown, phase, streams).unwrap();
        let registry = Registry::new();
        registry.register(Box::new(collector)).unwrap();
        let mut text = Vec::new();
        TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn every_name_of_the_contract_is_exported_and_no_other() {
        let board = Arc::new(Board::new(["replayed"].into_iter()));
        let text = scrape(&board);
        let exported: BTreeSet<_> =
            text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
        assert_eq!(exported, metrics::ALL.iter().copied().collect());
    }

    #[test]
    fn values_are_those_of_the_board() {
        let board = Arc::new(Board::new(["replayed"].into_iter()));
        board.set(Figure::PacketsIn, 7);
        board.set_rejects([3].into_iter());
        board.record(Distribution::TickWork, 1500);
        let text = scrape(&board);
        for line in [
            "gameserver_packets_in_total 7",
            "gameserver_rejects_total{reason=\"replayed\"} 3",
            "gameserver_backend_info{backend=\"mmsg\"} 1",
            "gameserver_numa_info{placement=\"on-node\",node=\"1\",memory=\"denied\"} 1",
            "gameserver_phase_info{phase=\"ready\"} 1",
            "gameserver_report_streams 2",
            "gameserver_tick_work_seconds_count 1",
            "gameserver_tick_work_seconds_sum 0.0015",
            "gameserver_tick_work_seconds_bucket{le=\"+Inf\"} 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
