//! Metrics of the operator, with their names in one place.

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Opts,
    Registry,
};

/// Every metric. Labels are bounded: kinds, verbs, reasons and states, never names of players or servers.
#[derive(Clone)]
pub(crate) struct Metrics {
    /// Registry that `/metrics` gathers from.
    pub(crate) registry: Registry,
    /// Write requests to the API server.
    pub(crate) api_writes: IntCounterVec,
    /// Those of them that it refused.
    pub(crate) api_writes_refused: IntCounterVec,
    /// For how long the API server has not answered.
    pub(crate) api_silent: Gauge,
    /// Reconciliations by kind and outcome.
    pub(crate) reconciles: IntCounterVec,
    /// Time of reconciliations by kind.
    pub(crate) reconcile_seconds: HistogramVec,
    /// 1 on the replica that leads.
    pub(crate) leader: IntGauge,
    /// Open report streams.
    pub(crate) streams: IntGauge,
    /// Refused report streams by reason.
    pub(crate) streams_refused: IntCounterVec,
    /// Reports received by outcome.
    pub(crate) reports: IntCounterVec,
    /// Of the links to other regions.
    pub(crate) links: LinkMetrics,
    /// Of the questions where players go.
    pub(crate) placements: PlacementMetrics,
    /// Of who gets which server.
    pub(crate) allocations: AllocationMetrics,
    /// When the authority that issues report certificates ends.
    pub(crate) authority_expiry: Gauge,
    /// When this replica's report certificate ends.
    pub(crate) certificate_expiry: Gauge,
    /// Game servers by state, as the leader sees them.
    pub(crate) game_servers: IntGaugeVec,
    /// Game servers that Fleets ask for, those of placed Fleets by their shares.
    pub(crate) wanted: IntGauge,
    /// Game servers with players, or of which it is not known.
    pub(crate) in_use: IntGauge,
    /// Fleets with fewer Ready game servers than they ask for.
    pub(crate) fleets_short: IntGauge,
    /// Fleets whose template was rejected.
    pub(crate) fleets_rejected: IntGauge,
    /// Connected players, as the leader sees them.
    pub(crate) players: IntGauge,
    /// 1 for why this region publishes none of its placed Fleets, or not all; as the leader sees it.
    pub(crate) not_published: IntGaugeVec,
    /// Time from the creation of a GameServer to Ready.
    pub(crate) ready_seconds: Histogram,
    /// Changes of replicas by AutoScalers, by direction.
    pub(crate) scale_changes: IntCounterVec,
}

/// Metrics of the links. Labels name registered regions, of which there are at most 64, and this one.
#[derive(Clone)]
pub(crate) struct LinkMetrics {
    /// 1 for a region that is read, else 0.
    pub(crate) up: IntGaugeVec,
    /// Links of other regions that were refused, by reason.
    pub(crate) refused: IntCounterVec,
    /// Digests received.
    pub(crate) digests: IntCounterVec,
    /// Median round trips, by way too.
    pub(crate) round_trips: GaugeVec,
    /// Part of the last probes that was lost.
    pub(crate) probe_loss: GaugeVec,
    /// 1 for how a region stands, else 0; of this one too.
    pub(crate) standing: IntGaugeVec,
    /// Round trips that this region's RegionCluster declares.
    pub(crate) declared: GaugeVec,
    /// Players of the regions that are read, and of this one.
    pub(crate) players: IntGaugeVec,
    /// Players that still fit on their Ready servers.
    pub(crate) headroom: IntGaugeVec,
    /// Number of the agreed view.
    pub(crate) view: IntGauge,
    /// 1 for a region of the agreed view, else 0; of this one too.
    pub(crate) in_view: IntGaugeVec,
}

/// Metrics of placements.
#[derive(Clone)]
pub(crate) struct PlacementMetrics {
    /// Answers by the chosen region.
    pub(crate) outcomes: IntCounterVec,
    /// Time of requests that got an answer.
    pub(crate) seconds: Histogram,
    /// Requests without an answer by reason.
    pub(crate) refused: IntCounterVec,
}

/// Metrics of allocation.
#[derive(Clone)]
pub(crate) struct AllocationMetrics {
    /// Answers by what became of the key.
    pub(crate) outcomes: IntCounterVec,
    /// Time of requests that got an answer and waited for no server.
    pub(crate) seconds: Histogram,
    /// Requests without an answer by reason.
    pub(crate) refused: IntCounterVec,
    /// Keys that are waited for at this replica.
    pub(crate) waiting: IntGauge,
    /// 1 on the replica that allocates.
    pub(crate) allocator: IntGauge,
    /// 1 while it waits for servers to say what they hold.
    pub(crate) settling: IntGauge,
    /// Replicas that have what was answered, as it sees them.
    pub(crate) in_sync: IntGauge,
}

/// Names of all metrics, for dashboards and alerts to be checked against.
pub(crate) mod names {
    /// Counter by `resource` and `verb`.
    pub(crate) const API_WRITES: &str = "operator_api_writes_total";
    /// Counter by `resource`, `verb` and `code` (400 and above but 404 and 409, which are ordinary; `none`: the connection broke).
    pub(crate) const API_WRITES_REFUSED: &str = "operator_api_writes_refused_total";
    /// Gauge, seconds since the API server last answered.
    pub(crate) const API_SILENT: &str = "operator_api_silent_seconds";
    /// Counter by `kind` and `outcome` (ok, or the step that failed; of the authorities just ok, error).
    pub(crate) const RECONCILES: &str = "operator_reconciles_total";
    /// Histogram by `kind`.
    pub(crate) const RECONCILE_SECONDS: &str = "operator_reconcile_seconds";
    /// Gauge.
    pub(crate) const LEADER: &str = "operator_leader";
    /// Gauge.
    pub(crate) const STREAMS: &str = "operator_report_streams";
    /// Counter by `reason`.
    pub(crate) const STREAMS_REFUSED: &str = "operator_report_streams_refused_total";
    /// Counter by `outcome` (accepted, invalid).
    pub(crate) const REPORTS: &str = "operator_reports_total";
    /// Gauge by `region`, 1 while digests of it come.
    pub(crate) const LINK_UP: &str = "operator_link_up";
    /// Counter by `reason`.
    pub(crate) const LINKS_REFUSED: &str = "operator_links_refused_total";
    /// Counter by `region`.
    pub(crate) const DIGESTS: &str = "operator_digests_total";
    /// Gauge by `region` and `way` (link, udp), seconds.
    pub(crate) const ROUND_TRIPS: &str = "operator_link_round_trip_seconds";
    /// Gauge by `region`, from 0 to 1.
    pub(crate) const PROBE_LOSS: &str = "operator_link_probe_loss_ratio";
    /// Gauge by `region` and `standing`, 1 for the one that holds.
    pub(crate) const STANDING: &str = "operator_region_standing";
    /// Gauge by `region`, seconds.
    pub(crate) const DECLARED: &str = "operator_link_declared_seconds";
    /// Gauge by `region`.
    pub(crate) const REGION_PLAYERS: &str = "operator_region_players";
    /// Gauge by `region`.
    pub(crate) const HEADROOM: &str = "operator_region_headroom";
    /// Gauge: it grows with each change of the view.
    pub(crate) const VIEW: &str = "operator_view_number";
    /// Gauge by `region`, 1 for those that share out servers, else 0.
    pub(crate) const IN_VIEW: &str = "operator_region_in_view";
    /// Counter by `outcome`: a regionId, or `no_region`.
    pub(crate) const PLACEMENTS: &str = "operator_placements_total";
    /// Histogram, seconds.
    pub(crate) const PLACEMENT_SECONDS: &str = "operator_placement_seconds";
    /// Counter by `reason` (invalid, too_large, too_many, too_slow).
    pub(crate) const PLACEMENTS_REFUSED: &str = "operator_placements_refused_total";
    /// Counter by `outcome` (given, ended, lost, none).
    pub(crate) const ALLOCATIONS: &str = "operator_allocations_total";
    /// Histogram, seconds: of requests that waited for no server to become free.
    pub(crate) const ALLOCATION_SECONDS: &str = "operator_allocation_seconds";
    /// Counter by `reason` (invalid, token, forbidden, unknown, too_large, too_many, too_slow, too_late, no_tokens, no_metadata, differs).
    pub(crate) const ALLOCATIONS_REFUSED: &str = "operator_allocations_refused_total";
    /// Gauge.
    pub(crate) const ALLOCATION_WAITING: &str = "operator_allocation_waiting";
    /// Gauge, 1 on the replica that allocates, else 0.
    pub(crate) const ALLOCATOR: &str = "operator_allocator";
    /// Gauge, 1 while the replica that allocates waits for servers to say what they hold.
    pub(crate) const ALLOCATION_SETTLING: &str = "operator_allocation_settling";
    /// Gauge: 0 on those that do not allocate.
    pub(crate) const ALLOCATION_IN_SYNC: &str = "operator_allocation_in_sync";
    /// Gauge, seconds since the Unix epoch.
    pub(crate) const AUTHORITY_EXPIRY: &str = "operator_report_authority_expiry_timestamp_seconds";
    /// Gauge, seconds since the Unix epoch.
    pub(crate) const CERTIFICATE_EXPIRY: &str = "operator_report_certificate_expiry_timestamp_seconds";
    /// Gauge by `state`.
    pub(crate) const GAME_SERVERS: &str = "operator_game_servers";
    /// Gauge.
    pub(crate) const WANTED: &str = "operator_game_servers_wanted";
    /// Gauge.
    pub(crate) const IN_USE: &str = "operator_game_servers_in_use";
    /// Gauge.
    pub(crate) const FLEETS_SHORT: &str = "operator_fleets_short";
    /// Gauge.
    pub(crate) const FLEETS_REJECTED: &str = "operator_fleets_rejected";
    /// Gauge.
    pub(crate) const PLAYERS: &str = "operator_players";
    /// Gauge by `reason`, 1 for that of the condition NotPublished while it holds, else 0.
    pub(crate) const NOT_PUBLISHED: &str = "operator_region_not_published";
    /// Histogram, seconds.
    pub(crate) const READY_SECONDS: &str = "operator_game_server_ready_seconds";
    /// Counter by `direction` (up, down).
    pub(crate) const SCALE_CHANGES: &str = "operator_scale_changes_total";
    /// Gauge, always 1, by `version`.
    pub(crate) const BUILD: &str = "operator_build_info";
}

impl Metrics {
    /// Makes and registers all of them.
    pub(crate) fn new() -> prometheus::Result<Self> {
        let registry = Registry::new();
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntCounterVec::new(Opts::new(name, help), labels)?)
        };
        let gauge = |name: &str, help: &str| register(&registry, IntGauge::new(name, help)?);
        let seconds = |name: &str, help: &str| register(&registry, Gauge::new(name, help)?);
        let gauges = |name: &str, help: &str, labels: &[&str]| {
            register(&registry, IntGaugeVec::new(Opts::new(name, help), labels)?)
        };
        let build = gauges(names::BUILD, "Version of the operator.", &["version"])?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let fast = vec![0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];
        let slow = vec![0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 20.0, 30.0, 60.0, 120.0, 300.0];
        Ok(Self {
            api_writes: counters(
                names::API_WRITES,
                "Write requests to the API server.",
                &["resource", "verb"],
            )?,
            api_writes_refused: counters(
                names::API_WRITES_REFUSED,
                "Write requests that the API server refused.",
                &["resource", "verb", "code"],
            )?,
            api_silent: seconds(names::API_SILENT, "Time since the API server last answered.")?,
            reconciles: counters(names::RECONCILES, "Reconciliations.", &["kind", "outcome"])?,
            reconcile_seconds: register(
                &registry,
                HistogramVec::new(
                    HistogramOpts::new(names::RECONCILE_SECONDS, "Time of reconciliations.")
                        .buckets(fast.clone()),
                    &["kind"],
                )?,
            )?,
            leader: gauge(names::LEADER, "1 on the replica that leads.")?,
            streams: gauge(names::STREAMS, "Open report streams.")?,
            streams_refused: counters(names::STREAMS_REFUSED, "Refused report streams.", &["reason"])?,
            reports: counters(names::REPORTS, "Reports received.", &["outcome"])?,
            links: LinkMetrics::new(&registry)?,
            placements: PlacementMetrics::new(&registry, fast.clone())?,
            allocations: AllocationMetrics::new(&registry, fast)?,
            authority_expiry: seconds(names::AUTHORITY_EXPIRY, "End of the report endpoint's authority.")?,
            certificate_expiry: seconds(
                names::CERTIFICATE_EXPIRY,
                "End of this replica's report certificate.",
            )?,
            game_servers: gauges(names::GAME_SERVERS, "Game servers by state.", &["state"])?,
            wanted: gauge(names::WANTED, "Game servers that Fleets ask for.")?,
            in_use: gauge(names::IN_USE, "Game servers with players, or of which it is not known.")?,
            fleets_short: gauge(names::FLEETS_SHORT, "Fleets with fewer Ready game servers than asked for.")?,
            fleets_rejected: gauge(names::FLEETS_REJECTED, "Fleets whose template was rejected.")?,
            players: gauge(names::PLAYERS, "Connected players.")?,
            not_published: gauges(
                names::NOT_PUBLISHED,
                "1 for why placed Fleets of this region are not published.",
                &["reason"],
            )?,
            ready_seconds: register(
                &registry,
                Histogram::with_opts(
                    HistogramOpts::new(names::READY_SECONDS, "Creation of a GameServer to Ready.")
                        .buckets(slow),
                )?,
            )?,
            scale_changes: counters(names::SCALE_CHANGES, "Changes by AutoScalers.", &["direction"])?,
            registry,
        })
    }
}

impl Metrics {
    /// This replica no longer leads: whoever leads next tells of the region, and two that do would be counted as one
    /// region with twice the players.
    pub(crate) fn forget_leading(&self) {
        self.leader.set(0);
        self.game_servers.reset();
        self.not_published.reset();
        let of_fleets = [&self.wanted, &self.in_use, &self.fleets_short, &self.fleets_rejected];
        for figure in of_fleets.into_iter().chain([&self.players]) {
            figure.set(0);
        }
    }
}

impl LinkMetrics {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let by_region = &["region"];
        let up = Opts::new(names::LINK_UP, "1 for another region that is read.");
        let refused = Opts::new(names::LINKS_REFUSED, "Refused links of other regions.");
        let digests = Opts::new(names::DIGESTS, "Digests received from other regions.");
        let round_trips = Opts::new(names::ROUND_TRIPS, "Median round trips to other regions.");
        let probe_loss = Opts::new(names::PROBE_LOSS, "Part of the last probes that was lost.");
        let standing = Opts::new(names::STANDING, "1 for how a region stands, as seen from here.");
        let declared = Opts::new(names::DECLARED, "Round trips to other regions as declared.");
        let players = Opts::new(names::REGION_PLAYERS, "Players of a region, as it says.");
        let headroom = Opts::new(names::HEADROOM, "Players that still fit into a region, as it says.");
        let in_view = Opts::new(names::IN_VIEW, "1 for a region of the agreed view.");
        Ok(Self {
            up: register(registry, IntGaugeVec::new(up, by_region)?)?,
            refused: register(registry, IntCounterVec::new(refused, &["reason"])?)?,
            digests: register(registry, IntCounterVec::new(digests, by_region)?)?,
            round_trips: register(registry, GaugeVec::new(round_trips, &["region", "way"])?)?,
            probe_loss: register(registry, GaugeVec::new(probe_loss, by_region)?)?,
            standing: register(registry, IntGaugeVec::new(standing, &["region", "standing"])?)?,
            declared: register(registry, GaugeVec::new(declared, by_region)?)?,
            players: register(registry, IntGaugeVec::new(players, by_region)?)?,
            headroom: register(registry, IntGaugeVec::new(headroom, by_region)?)?,
            view: register(registry, IntGauge::new(names::VIEW, "Number of the agreed view.")?)?,
            in_view: register(registry, IntGaugeVec::new(in_view, by_region)?)?,
        })
    }

    /// A region is no longer registered. What was never shown of it cannot be removed, which is no error.
    pub(crate) fn forget(&self, region: &str) {
        drop(self.up.remove_label_values(&[region]));
        drop(self.digests.remove_label_values(&[region]));
        drop(self.probe_loss.remove_label_values(&[region]));
        drop(self.declared.remove_label_values(&[region]));
        self.forget_figures(region);
        drop(self.in_view.remove_label_values(&[region]));
        for way in ["link", "udp"] {
            drop(self.round_trips.remove_label_values(&[region, way]));
        }
    }

    /// A region is not read: what it said of itself is no longer known.
    pub(crate) fn forget_figures(&self, region: &str) {
        drop(self.players.remove_label_values(&[region]));
        drop(self.headroom.remove_label_values(&[region]));
    }
}

impl AllocationMetrics {
    fn new(registry: &Registry, buckets: Vec<f64>) -> prometheus::Result<Self> {
        let outcomes = Opts::new(names::ALLOCATIONS, "Answers to who asked for a game server.");
        let seconds =
            HistogramOpts::new(names::ALLOCATION_SECONDS, "Time of an answer, where none was waited for.");
        let refused = Opts::new(names::ALLOCATIONS_REFUSED, "Requests for a game server without an answer.");
        let gauge = |name: &str, help: &str| register(registry, IntGauge::new(name, help)?);
        Ok(Self {
            outcomes: register(registry, IntCounterVec::new(outcomes, &["outcome"])?)?,
            seconds: register(registry, Histogram::with_opts(seconds.buckets(buckets))?)?,
            refused: register(registry, IntCounterVec::new(refused, &["reason"])?)?,
            waiting: gauge(names::ALLOCATION_WAITING, "Keys that are waited for at this replica.")?,
            allocator: gauge(names::ALLOCATOR, "1 on the replica that allocates.")?,
            settling: gauge(names::ALLOCATION_SETTLING, "1 while servers are to say what they hold.")?,
            in_sync: gauge(names::ALLOCATION_IN_SYNC, "Replicas that have what was answered.")?,
        })
    }
}

impl PlacementMetrics {
    fn new(registry: &Registry, buckets: Vec<f64>) -> prometheus::Result<Self> {
        let outcomes = Opts::new(names::PLACEMENTS, "Answers where players go.");
        let seconds = HistogramOpts::new(names::PLACEMENT_SECONDS, "Time of these answers.");
        let refused = Opts::new(names::PLACEMENTS_REFUSED, "Refused questions where players go.");
        Ok(Self {
            outcomes: register(registry, IntCounterVec::new(outcomes, &["outcome"])?)?,
            seconds: register(registry, Histogram::with_opts(seconds.buckets(buckets))?)?,
            refused: register(registry, IntCounterVec::new(refused, &["reason"])?)?,
        })
    }
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> prometheus::Result<C> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

#[cfg(test)]
mod tests {
    use super::*;
    use prometheus::{Encoder, TextEncoder};

    #[test]
    fn metrics_carry_the_version() {
        let mut text = Vec::new();
        TextEncoder::new().encode(&Metrics::new().unwrap().registry.gather(), &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let line = format!("operator_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}
