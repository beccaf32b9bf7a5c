//! The boards as Prometheus metrics, named by the contract. What a zone shows is labelled with its number.

use std::collections::HashMap;
use std::time::Duration;

use gameserver_contract::histogram::BOUNDS;
use gameserver_contract::{Phase, metrics};
use gameserver_sys::{observe_memory, observe_resident, process_cpu_time};
use prometheus::core::{Collector, Desc};
use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};
use prometheus::{IntCounterVec, IntGauge, Opts, Registry};
use tokio::sync::watch;

use crate::sessions::End;
use crate::zone::{Board, Boards, Distribution, Figure, FilterState, Total, ZoneFacts};

/// What the server was allocated for.
pub(super) struct SessionMetrics {
    pub(super) held: IntGauge,
    /// By why they ended.
    pub(super) ended: IntCounterVec,
    /// No further ones come.
    pub(super) outdated: IntGauge,
}

impl SessionMetrics {
    const NAMES: [&str; 3] = [metrics::SESSIONS, metrics::SESSIONS_ENDED, metrics::OUTDATED];

    pub(super) fn register(registry: &Registry) -> prometheus::Result<Self> {
        let held = IntGauge::new(metrics::SESSIONS, "Sessions that the server was allocated for and holds.")?;
        let about =
            Opts::new(metrics::SESSIONS_ENDED, "Sessions that are over: nobody came, or everybody has left.");
        let ended = IntCounterVec::new(about, &["reason"])?;
        for end in [End::Unused, End::Left] {
            ended.with_label_values(&[end.as_str()]).reset();
        }
        let outdated = IntGauge::new(
            metrics::OUTDATED,
            "1 while servers of the Fleet are to be of another template, and this one takes no further session.",
        )?;
        registry.register(Box::new(held.clone()))?;
        registry.register(Box::new(ended.clone()))?;
        registry.register(Box::new(outdated.clone()))?;
        Ok(Self { held, ended, outdated })
    }
}

const COUNTERS: [(&str, &str, Figure); 32] = [
    (metrics::PACKETS_IN, "Datagrams received.", Figure::PacketsIn),
    (metrics::PACKETS_OUT, "Datagrams sent.", Figure::PacketsOut),
    (metrics::BYTES_IN, "Bytes received, UDP payload only.", Figure::BytesIn),
    (metrics::BYTES_OUT, "Bytes sent, UDP payload only.", Figure::BytesOut),
    (
        metrics::SOCKET_OVERFLOWS,
        "Datagrams that the kernel dropped, socket buffer full, while no filter kept strangers out.",
        Figure::SocketOverflows,
    ),
    (
        metrics::FILTERED,
        "Datagrams that the kernel dropped while a filter kept strangers out.",
        Figure::Filtered,
    ),
    (
        metrics::FROM_STRANGERS,
        "Datagrams taken in from addresses that have no session.",
        Figure::FromStrangers,
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
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    /// By number of the zone.
    pub(crate) zones: Vec<ZoneFacts>,
    /// Players that fit, in all zones together.
    pub(crate) capacity: u32,
    /// Start of the process since the Unix epoch.
    pub(crate) started: Duration,
}

/// Reads the boards at each scrape.
pub(crate) struct BoardCollector {
    pub(crate) boards: Boards,
    pub(crate) shown: Shown,
    pub(crate) phase: watch::Receiver<Phase>,
    pub(crate) streams: watch::Receiver<usize>,
    pub(crate) descriptions: Vec<Desc>,
}

impl BoardCollector {
    pub(crate) fn new(
        boards: Boards,
        shown: Shown,
        phase: watch::Receiver<Phase>,
        streams: watch::Receiver<usize>,
    ) -> Result<Self, prometheus::Error> {
        let describe = |&name: &&str| Desc::new(name.to_owned(), name.to_owned(), Vec::new(), HashMap::new());
        let of_boards = metrics::ALL.iter().filter(|name| !SessionMetrics::NAMES.contains(name));
        let descriptions = of_boards.map(describe).collect::<Result<_, _>>()?;
        Ok(Self { boards, shown, phase, streams, descriptions })
    }
}

impl Collector for BoardCollector {
    fn desc(&self) -> Vec<&Desc> {
        self.descriptions.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        let mut families: Vec<_> = COUNTERS
            .iter()
            .map(|&(name, help, figure)| {
                let of_zone = |board: &Board, zone: &str| counter(board.get(figure), &[("zone", zone)]);
                family(name, help, MetricType::COUNTER, self.by_zone(of_zone))
            })
            .collect();
        families.extend(HISTOGRAMS.iter().map(|&(name, help, distribution, unit)| {
            let of_zone = |board: &Board, zone: &str| histogram(&board.total(distribution), unit, zone);
            family(name, help, MetricType::HISTOGRAM, self.by_zone(of_zone))
        }));
        families.push(self.rejects());
        families.extend(self.gauges_of_zones());
        families.extend(self.gauges_of_process());
        families.extend(self.cpu());
        families.extend(memory());
        families
    }
}

impl BoardCollector {
    /// A sample of each zone.
    fn by_zone(&self, mut of_zone: impl FnMut(&Board, &str) -> Metric) -> Vec<Metric> {
        let zones = self.boards.iter().enumerate();
        zones.map(|(zone, board)| of_zone(board, &zone.to_string())).collect()
    }

    fn rejects(&self) -> MetricFamily {
        let of_zone = |(zone, board): (usize, &Board)| -> Vec<_> {
            let zone = zone.to_string();
            let counts = board.rejects();
            counts.map(|(reason, count)| counter(count, &[("reason", reason), ("zone", &zone)])).collect()
        };
        let counts = self.boards.iter().enumerate().flat_map(of_zone).collect();
        family(metrics::REJECTS, "Datagrams and inputs refused.", MetricType::COUNTER, counts)
    }

    fn gauges_of_zones(&self) -> [MetricFamily; 6] {
        let players = self.by_zone(|board, zone| whole(board.get(Figure::Players), &[("zone", zone)]));
        let waiting = self.by_zone(|board, zone| {
            let waiting = board.get(Figure::OrdersGiven).saturating_sub(board.get(Figure::OrdersApplied));
            whole(waiting, &[("zone", zone)])
        });
        let filter = |board: &Board| FilterState::of(board.get(Figure::Filter));
        let filters =
            self.by_zone(|board, zone| gauge(1.0, &[("state", filter(board).as_str()), ("zone", zone)]));
        let let_in = self.by_zone(|board, zone| gauge(filter(board).share(), &[("zone", zone)]));
        let facts = || self.shown.zones.iter().enumerate().map(|(zone, facts)| (zone.to_string(), facts));
        let backends =
            facts().map(|(zone, facts)| gauge(1.0, &[("backend", facts.backend.as_str()), ("zone", &zone)]));
        let seats = facts().map(|(zone, facts)| numa(facts, &zone));
        [
            (metrics::PLAYERS, "Connected players.", players),
            (metrics::ORDERS_WAITING, "Orders that the zone has not carried out yet.", waiting),
            (metrics::FILTER, "Whether the kernel filters what strangers send.", filters),
            (metrics::HANDSHAKES_LET_IN, "Share of strangers' handshakes that gets in.", let_in),
            (metrics::BACKEND, "Datagram backend in use.", backends.collect()),
            (metrics::NUMA, "Where the zone thread and its memory are.", seats.collect()),
        ]
        .map(|(name, help, metrics)| family(name, help, MetricType::GAUGE, metrics))
    }

    fn gauges_of_process(&self) -> [MetricFamily; 5] {
        let phase = *self.phase.borrow();
        let &Shown { capacity, started, .. } = &self.shown;
        [
            (metrics::CAPACITY, "Players that fit, in all zones together.", whole(capacity.into(), &[])),
            (metrics::REPORT_STREAMS, "Open report streams.", whole(*self.streams.borrow() as u64, &[])),
            (
                metrics::START_TIME,
                "Start of the process, seconds since the Unix epoch.",
                gauge(started.as_secs_f64(), &[]),
            ),
            (metrics::PHASE, "Current phase.", gauge(1.0, &[("phase", phase_label(phase))])),
            (metrics::BUILD, "Version.", gauge(1.0, &[("version", env!("CARGO_PKG_VERSION"))])),
        ]
        .map(|(name, help, metric)| family(name, help, MetricType::GAUGE, vec![metric]))
    }

    fn cpu(&self) -> [MetricFamily; 2] {
        let zones = self.by_zone(|board, zone| {
            float_counter(as_f64(board.get(Figure::CpuUs)) * SECONDS, &[("zone", zone)])
        });
        let process = vec![float_counter(process_cpu_time().as_secs_f64(), &[])];
        [
            (metrics::ZONE_CPU, "CPU time of the zone thread, seconds.", zones),
            (metrics::CPU, "CPU time of the process, seconds.", process),
        ]
        .map(|(name, help, metrics)| family(name, help, MetricType::COUNTER, metrics))
    }
}

/// Memory, read now. What the kernel does not tell is left out.
fn memory() -> Vec<MetricFamily> {
    let mut families = Vec::new();
    let mut show = |name, help, metric| families.push(family(name, help, MetricType::GAUGE, vec![metric]));
    if let Ok(bytes) = observe_resident() {
        show(metrics::RESIDENT, "Memory of the process that is in RAM, bytes.", whole(bytes, &[]));
    }
    if let Ok(memory) = observe_memory() {
        let of = [("of", memory.of.as_str())];
        let help = "Memory in use without idle file pages, bytes: of the control group, or of the host.";
        show(metrics::MEMORY, help, whole(memory.used_bytes, &of));
        show(metrics::MEMORY_LIMIT, "How much memory there is, bytes.", whole(memory.limit_bytes, &of));
    }
    families
}

fn numa(ZoneFacts { seat, .. }: &ZoneFacts, zone: &str) -> Metric {
    let node = seat.node.map_or_else(String::new, |node| node.to_string());
    gauge(1.0, &[("placement", seat.placement), ("node", &node), ("memory", seat.memory), ("zone", zone)])
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

fn whole(value: u64, labels: &[(&str, &str)]) -> Metric {
    gauge(as_f64(value), labels)
}

fn gauge(value: f64, labels: &[(&str, &str)]) -> Metric {
    let (mut metric, mut gauge) = (labelled(labels), Gauge::default());
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

/// Buckets in the order of [`BOUNDS`]; the last is the text format's `+Inf`, which the encoder adds by itself.
fn histogram(total: &Total, unit: f64, zone: &str) -> Metric {
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
    let mut metric = labelled(&[("zone", zone)]);
    metric.set_histogram(histogram);
    metric
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus values are floats")]
fn as_f64(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests;
