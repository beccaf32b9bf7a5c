//! The board as Prometheus metrics, named by the contract.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gameserver_contract::histogram::BOUNDS;
use gameserver_contract::{Backend, Phase, metrics};
use gameserver_sys::{observe_memory, observe_resident, process_cpu_time};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use tokio::sync::watch;

use crate::zone::{Board, Distribution, Figure, Seat, Total};

const COUNTERS: [(&str, &str, Figure); 30] = [
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
    (
        metrics::PACKETS_LOST,
        "Datagrams of players that never came, by the gaps in their sequences.",
        Figure::PacketsLost,
    ),
    (metrics::SEND_ERRORS, "Datagrams that could not be sent.", Figure::SendErrors),
    (
        metrics::ANSWERS_DROPPED,
        "Answers to handshakes given up, too many waiting to be sent.",
        Figure::AnswersDropped,
    ),
    (
        metrics::TOKENS_TRIED,
        "Connect tokens that were decrypted, or tried to be, each under one key.",
        Figure::TokensTried,
    ),
    (metrics::PACKETS_TRIED, "Packets that were decrypted, or tried to be.", Figure::PacketsTried),
    (metrics::JOINS, "Players that joined.", Figure::Joins),
    (metrics::LEAVES, "Players that said goodbye.", Figure::Leaves),
    (metrics::DENIALS, "Handshakes answered with a refusal, server full or draining.", Figure::Denials),
    (metrics::MOVES, "Players whose session went on at another zone of the process.", Figure::Moves),
    (metrics::RESUMES, "Sessions opened with a resume token.", Figure::Resumes),
    (metrics::RESUME_TOKENS, "Resume tokens handed out.", Figure::ResumeTokens),
    (metrics::TIMEOUTS, "Players lost to a time-out.", Figure::Timeouts),
    (metrics::SNAPSHOTS, "Snapshots sent.", Figure::Snapshots),
    (
        metrics::SNAPSHOTS_LOST,
        "Snapshots that no acknowledgement named while 64 more were sent to the player.",
        Figure::SnapshotsLost,
    ),
    (metrics::INPUTS, "Inputs carried out.", Figure::Inputs),
    (metrics::INPUTS_LATE, "Inputs that arrived after the tick that they were aimed at.", Figure::InputsLate),
    (metrics::INPUTS_REPEATED, "Inputs that arrived again.", Figure::InputsRepeated),
    (
        metrics::INPUTS_DEFERRED,
        "Inputs put off because their player's buffer was full.",
        Figure::InputsDeferred,
    ),
    (
        metrics::COMMANDS_DEFERRED,
        "Ticks that left inputs for the next, having carried out their most.",
        Figure::CommandsDeferred,
    ),
    (
        metrics::NOTICES_DROPPED,
        "News for players given up, too much of it waiting to be heard.",
        Figure::NoticesDropped,
    ),
    (
        metrics::CELLS_UNKEPT,
        "Times that news of an entity was made again for want of room to keep it.",
        Figure::CellsUnkept,
    ),
    (metrics::LATE_TICKS, "Ticks that started a whole tick late or more.", Figure::LateTicks),
    (
        metrics::ORDERS_REFUSED,
        "Times that the zone had no room for an order of the control thread.",
        Figure::OrdersRefused,
    ),
];

const SECONDS: f64 = 1e-6;

const HISTOGRAMS: [(&str, &str, Distribution, f64); 8] = [
    (metrics::TICK_WAIT, "Waiting for datagrams before a tick, seconds.", Distribution::TickWait, SECONDS),
    (
        metrics::TICK_RECEIVE,
        "Taking in datagrams since the tick before, and the rest of the zone thread's time, seconds.",
        Distribution::TickReceive,
        SECONDS,
    ),
    (metrics::TICK_WORK, "Work of a tick, flush excluded, seconds.", Distribution::TickWork, SECONDS),
    (metrics::TICK_FLUSH, "How long the flush of a tick took, seconds.", Distribution::TickFlush, SECONDS),
    (metrics::TICK_LATENESS, "How late a tick started, seconds.", Distribution::TickLateness, SECONDS),
    (
        metrics::INPUT_LATENCY,
        "Arrival of an input to the flush of the state that acknowledges it, seconds.",
        Distribution::InputLatency,
        SECONDS,
    ),
    (
        metrics::ROUND_TRIP,
        "Snapshot sent to the message that acknowledges it, without what the client held it back, seconds.",
        Distribution::RoundTrip,
        SECONDS,
    ),
    (
        metrics::QUEUE_DEPTH,
        "Inputs in the buffers of all players at the start of a tick.",
        Distribution::QueueDepth,
        1.0,
    ),
];

/// What was chosen at the start and stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shown {
    pub(crate) backend: Backend,
    pub(crate) seat: Seat,
    /// Players that fit.
    pub(crate) capacity: u32,
    /// Start of the process since the Unix epoch.
    pub(crate) started: Duration,
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
        families.extend(self.gauges());
        families.extend(of_process(board));
        families
    }
}

impl BoardCollector {
    fn gauges(&self) -> Vec<MetricFamily> {
        let (board, phase) = (&self.board, *self.phase.borrow());
        let Shown { backend, seat, capacity, started } = self.shown;
        let waiting = board.get(Figure::OrdersGiven).saturating_sub(board.get(Figure::OrdersApplied));
        let gauges = [
            (metrics::PLAYERS, "Connected players.", whole(board.get(Figure::Players))),
            (metrics::CAPACITY, "Players that fit.", whole(capacity.into())),
            (metrics::ORDERS_WAITING, "Orders that the zone has not carried out yet.", whole(waiting)),
            (metrics::REPORT_STREAMS, "Open report streams.", whole(*self.streams.borrow() as u64)),
            (
                metrics::START_TIME,
                "Start of the process, seconds since the Unix epoch.",
                gauge(started.as_secs_f64(), &[]),
            ),
            (metrics::BACKEND, "Datagram backend in use.", gauge(1.0, &[("backend", backend.as_str())])),
            (metrics::NUMA, "Where the zone thread and its memory are.", numa(seat)),
            (metrics::PHASE, "Current phase.", gauge(1.0, &[("phase", phase_label(phase))])),
            (metrics::BUILD, "Version.", gauge(1.0, &[("version", env!("CARGO_PKG_VERSION"))])),
        ];
        let families = gauges
            .into_iter()
            .map(|(name, help, metric)| family(name, help, MetricType::GAUGE, vec![metric]));
        families.collect()
    }
}

/// CPU time and memory, read now. What the kernel does not tell is left out.
fn of_process(board: &Board) -> Vec<MetricFamily> {
    let zone = as_f64(board.get(Figure::CpuUs)) * SECONDS;
    let counters = [
        (metrics::ZONE_CPU, "CPU time of the zone thread, seconds.", zone),
        (metrics::CPU, "CPU time of the process, seconds.", process_cpu_time().as_secs_f64()),
    ];
    let counters = counters
        .map(|(name, help, value)| family(name, help, MetricType::COUNTER, vec![float_counter(value, &[])]));
    let mut families = counters.to_vec();
    let mut show = |name, help, metric| families.push(family(name, help, MetricType::GAUGE, vec![metric]));
    if let Ok(bytes) = observe_resident() {
        show(metrics::RESIDENT, "Memory of the process that is in RAM, bytes.", whole(bytes));
    }
    if let Ok(memory) = observe_memory() {
        let of = [("of", memory.of.as_str())];
        let (used, limit) = (as_f64(memory.used_bytes), as_f64(memory.limit_bytes));
        let help = "Memory in use without idle file pages, bytes: of the control group, or of the host.";
        show(metrics::MEMORY, help, gauge(used, &of));
        show(metrics::MEMORY_LIMIT, "How much memory there is, bytes.", gauge(limit, &of));
    }
    families
}

fn numa(seat: Seat) -> Metric {
    let node = seat.node.map_or_else(String::new, |node| node.to_string());
    gauge(1.0, &[("placement", seat.placement), ("node", &node), ("memory", seat.memory)])
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
    float_counter(as_f64(value), labels)
}

fn float_counter(value: f64, labels: &[(&str, &str)]) -> Metric {
    let (mut metric, mut counter) = (labelled(labels), Counter::default());
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn whole(value: u64) -> Metric {
    gauge(as_f64(value), &[])
}

fn gauge(value: f64, labels: &[(&str, &str)]) -> Metric {
    let (mut metric, mut gauge) = (labelled(labels), Gauge::default());
    gauge.set_value(value);
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
mod tests;
