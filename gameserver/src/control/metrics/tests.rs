//! The text is what Prometheus reads, has every name of the contract, and each figure moves the metric that is named for it.

use super::*;
use crate::zone::Seat;
use gameserver_contract::Backend;
use prometheus::{Encoder, Registry, TextEncoder};
use std::collections::{BTreeMap, BTreeSet};

/// Of two zones.
fn boards() -> Boards {
    Boards::blank(2, &["replayed"])
}

fn of_zone(boards: &Boards, zone: usize) -> &Board {
    boards.iter().nth(zone).unwrap()
}

fn scrape(boards: &Boards) -> String {
    let (_phase, phase) = watch::channel(Phase::Ready);
    let (_streams, streams) = watch::channel(2);
    let zone = |backend, node| {
        let seat = Seat { placement: "on-node", node: Some(node), memory: "denied" };
        ZoneFacts { backend, seat }
    };
    let zones = vec![zone(Backend::Uring, 1), zone(Backend::Mmsg, 3)];
    let started = Duration::from_millis(1_790_000_000_500);
    let shown = Shown { zones, capacity: 1000, started };
    let collector = BoardCollector::new(boards.clone(), shown, phase, streams).unwrap();
    let registry = Registry::new();
    registry.register(Box::new(collector)).unwrap();
    drop(SessionMetrics::register(&registry).unwrap());
    let mut text = Vec::new();
    TextEncoder::new().encode(&registry.gather(), &mut text).unwrap();
    String::from_utf8(text).unwrap()
}

/// A family of the text format: its type, its help, and its samples by name and labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    help: String,
    samples: BTreeMap<String, f64>,
}

/// Reads the text format as strictly as it is written: HELP, TYPE, then the samples of the family.
fn parse(text: &str) -> BTreeMap<String, Family> {
    let mut families: BTreeMap<String, Family> = BTreeMap::new();
    let mut current = String::new();
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let (name, help) = help.split_once(' ').unwrap();
            assert!(!families.contains_key(name), "{name} comes twice");
            current = name.to_owned();
            families.entry(current.clone()).or_default().help = help.to_owned();
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert_eq!(name, current, "TYPE without HELP");
            families.get_mut(name).unwrap().kind = kind.to_owned();
        } else {
            let (sample, value) = line.rsplit_once(' ').unwrap();
            let name = sample.split('{').next().unwrap();
            assert!(name.starts_with(&current), "{line} among {current}");
            let is_name = |letter: char| letter.is_ascii_lowercase() || letter == '_';
            assert!(name.chars().all(is_name), "{line}");
            if let Some(labels) = sample.strip_prefix(name).filter(|labels| !labels.is_empty()) {
                let labels = labels.strip_prefix('{').and_then(|labels| labels.strip_suffix("}")).unwrap();
                for label in labels.split(',') {
                    let (_, value) = label.split_once('=').unwrap();
                    assert!(value.starts_with('"') && value.ends_with('"') && value.len() > 1, "{line}");
                }
            }
            let samples = &mut families.get_mut(&current).unwrap().samples;
            assert!(
                samples.insert(sample.to_owned(), value.parse().unwrap()).is_none(),
                "{line} comes twice"
            );
        }
    }
    families
}

#[test]
fn every_name_of_the_contract_is_exported_and_no_other() {
    let families = parse(&scrape(&boards()));
    let exported: BTreeSet<_> = families.keys().map(String::as_str).collect();
    assert_eq!(exported, metrics::ALL.iter().copied().collect());
}

#[test]
fn the_text_is_as_prometheus_wants_it_and_says_units() {
    let boards = boards();
    for value in [0, 1500, 15_000, u64::from(u32::MAX)] {
        for (.., distribution, _) in HISTOGRAMS {
            boards.iter().for_each(|board| board.record(distribution, value));
        }
    }
    for (name, family) in parse(&scrape(&boards)) {
        let Family { kind, help, samples } = &family;
        assert!(help.ends_with('.') && !samples.is_empty(), "{name}: {family:?}");
        assert_eq!(name.ends_with("_total"), kind == "counter", "{name} is a {kind}");
        for (unit, word) in [("_seconds", "seconds"), ("_bytes", "bytes")] {
            let has_unit = name.trim_end_matches("_total").ends_with(unit);
            assert!(!has_unit || help.to_lowercase().contains(word), "{name}: {help}");
        }
        if kind == "histogram" {
            for zone in ["0", "1"] {
                is_a_histogram(&name, zone, samples);
            }
        }
    }
}

/// A zone's histogram with four values.
fn is_a_histogram(name: &str, zone: &str, samples: &BTreeMap<String, f64>) {
    let of_bound = |(sample, &count): (&String, &f64)| {
        let labels = sample.strip_prefix(&format!("{name}_bucket{{zone=\"{zone}\",le=\""))?;
        let bound = labels.strip_suffix("\"}")?;
        Some((bound.replace("+Inf", "inf").parse::<f64>().unwrap(), count))
    };
    let mut buckets: Vec<_> = samples.iter().filter_map(of_bound).collect();
    buckets.sort_by(|one, other| one.0.total_cmp(&other.0));
    assert_eq!(buckets.len(), BOUNDS.len() + 1, "{name}");
    assert!(buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1), "{name} is cumulative");
    let of_zone = |part: &str| samples[&format!("{name}_{part}{{zone=\"{zone}\"}}")];
    let count = of_zone("count");
    assert!((buckets[BOUNDS.len()].1 - count).abs() < f64::EPSILON && (count - 4.0).abs() < f64::EPSILON);
    assert!(of_zone("sum") > 0.0);
}

/// What is different between two texts: the samples that moved.
fn moved(before: &str, after: &str) -> BTreeSet<String> {
    let sums = |text: &str| -> BTreeMap<String, f64> {
        let families = parse(text).into_iter();
        families
            .flat_map(|(_, family)| family.samples)
            .filter(|(name, _)| !name.contains("_bucket"))
            .collect()
    };
    // of the process and read at each scrape: they move by themselves
    let live = [metrics::CPU, metrics::RESIDENT, metrics::MEMORY, metrics::MEMORY_LIMIT];
    let (before, after) = (sums(before), sums(after));
    let moved = after.into_iter().filter(|(name, value)| (before[name] - value).abs() > 0.0);
    moved.map(|(name, _)| name).filter(|name| !live.iter().any(|live| name.starts_with(live))).collect()
}

#[test]
fn each_figure_moves_the_metric_that_is_named_for_it_and_no_other() {
    let mut cases: Vec<_> = COUNTERS.iter().map(|&(name, _, figure)| (figure, name)).collect();
    cases.extend([
        (Figure::Players, metrics::PLAYERS),
        (Figure::OrdersGiven, metrics::ORDERS_WAITING),
        (Figure::CpuUs, metrics::ZONE_CPU),
    ]);
    for (figure, name) in cases {
        let boards = boards();
        let before = scrape(&boards);
        of_zone(&boards, 1).set(figure, 7);
        let expected = BTreeSet::from([format!("{name}{{zone=\"1\"}}")]);
        assert_eq!(moved(&before, &scrape(&boards)), expected, "{figure:?}");
    }
    for (name, _, distribution, _) in HISTOGRAMS {
        let boards = boards();
        let before = scrape(&boards);
        of_zone(&boards, 0).record(distribution, 1500);
        let expected = ["count", "sum"].map(|part| format!("{name}_{part}{{zone=\"0\"}}"));
        assert_eq!(moved(&before, &scrape(&boards)), BTreeSet::from(expected), "{distribution:?}");
    }
}

#[test]
fn values_are_those_of_the_boards() {
    let boards = boards();
    let (one, other) = (of_zone(&boards, 0), of_zone(&boards, 1));
    one.set(Figure::PacketsIn, 7);
    other.set(Figure::PacketsIn, 8);
    other.set(Figure::OrdersGiven, 9);
    other.set(Figure::OrdersApplied, 7);
    one.set(Figure::CpuUs, 1_500_000);
    one.set(Figure::Filter, FilterState::On { one_in: 4 }.shown());
    other.set(Figure::Filter, FilterState::Refused.shown());
    other.set_rejects([3].into_iter());
    other.record(Distribution::TickWork, 1500);
    let text = scrape(&boards);
    for line in [
        "gameserver_packets_in_total{zone=\"0\"} 7",
        "gameserver_packets_in_total{zone=\"1\"} 8",
        "gameserver_orders_waiting{zone=\"0\"} 0",
        "gameserver_orders_waiting{zone=\"1\"} 2",
        "gameserver_zone_cpu_seconds_total{zone=\"0\"} 1.5",
        "gameserver_capacity 1000",
        "gameserver_start_time_seconds 1790000000.5",
        "gameserver_rejects_total{reason=\"replayed\",zone=\"0\"} 0",
        "gameserver_rejects_total{reason=\"replayed\",zone=\"1\"} 3",
        "gameserver_backend_info{backend=\"uring\",zone=\"0\"} 1",
        "gameserver_backend_info{backend=\"mmsg\",zone=\"1\"} 1",
        "gameserver_numa_info{placement=\"on-node\",node=\"1\",memory=\"denied\",zone=\"0\"} 1",
        "gameserver_numa_info{placement=\"on-node\",node=\"3\",memory=\"denied\",zone=\"1\"} 1",
        "gameserver_filter_info{state=\"on\",zone=\"0\"} 1",
        "gameserver_filter_info{state=\"refused\",zone=\"1\"} 1",
        "gameserver_handshakes_let_in_ratio{zone=\"0\"} 0.25",
        "gameserver_handshakes_let_in_ratio{zone=\"1\"} 1",
        "gameserver_phase_info{phase=\"ready\"} 1",
        "gameserver_report_streams 2",
        "gameserver_tick_work_seconds_count{zone=\"1\"} 1",
        "gameserver_tick_work_seconds_sum{zone=\"1\"} 0.0015",
        "gameserver_tick_work_seconds_bucket{zone=\"1\",le=\"+Inf\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
    }
}
