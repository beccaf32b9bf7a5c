//! The screen as lines; pure, so that a table of moments tests it.

use serde_json::Value;

use super::{Moment, RegionMoment};
use crate::bots::{Figures, Latency};
use crate::observe::{Resource, said_elsewhere};

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const GREEN: &str = "\x1b[32m";
const YELLOW: &str = "\x1b[33m";
const RED: &str = "\x1b[31m";
const RESET: &str = "\x1b[0m";

/// Most lines of a region's servers; the rest is only counted.
const SERVERS_MAX: usize = 12;

/// Lines that are kept for events, their head included.
const EVENT_LINES: usize = 9;

/// Lines of a region besides its servers: its own, bots, Fleet, AutoScaler, head, what is only counted, and the gap.
const REGION_LINES: usize = 7;

/// The whole screen, cut to its size.
pub(super) fn screen(instance: &str, moment: &Moment, columns: usize, rows: usize) -> Vec<String> {
    let mut lines = vec![paint(BOLD, &format!("Cranewing  {instance}")), String::new()];
    let servers_max = servers_max(rows, moment.regions.len());
    for (id, region) in &moment.regions {
        match &region.resources {
            Ok(resources) => lines.extend(draw_region(id, region, resources, servers_max)),
            Err(reason) => lines.extend(draw_silent(id, reason, moment)),
        }
        lines.push(String::new());
    }
    lines.push(paint(BOLD, "EVENTS"));
    let mut events: Vec<_> = moment.events().collect();
    events.sort_by(|one, other| other.time.cmp(&one.time));
    lines.extend(events.iter().map(ToString::to_string));
    lines.truncate(rows.saturating_sub(2));
    lines.push(paint(DIM, "Ctrl-C leaves this view; the regions stay up until `cargo xtask down`"));
    lines.iter().map(|line| cut(line, columns)).collect()
}

/// How many servers each region may show so that the events stay in sight.
fn servers_max(rows: usize, regions: usize) -> usize {
    let each = rows.saturating_sub(3 + EVENT_LINES) / regions.max(1);
    each.saturating_sub(REGION_LINES).clamp(1, SERVERS_MAX)
}

/// Why a region shows nothing, and what the others say of it.
fn draw_silent(id: &str, reason: &str, moment: &Moment) -> Vec<String> {
    let (standing, is_drained) = said_elsewhere(id, moment.regions.values().map(|region| &region.resources));
    let drained = if is_drained { ", drained" } else { "" };
    let said =
        standing.map_or_else(String::new, |standing| format!("  {standing}{drained}, as the others say;"));
    vec![format!("{}{said} {}", paint(BOLD, id), paint(RED, reason))]
}

fn draw_region(id: &str, region: &RegionMoment, resources: &[Resource], servers_max: usize) -> Vec<String> {
    let of = |kind: &'static str| {
        resources.iter().filter(move |resource| resource.kind == kind && !resource.is_copy())
    };
    let cluster = of("RegionCluster").next();
    let head = [Some(paint(BOLD, id)), cluster.map(draw_cluster)];
    let mut lines = vec![head.into_iter().flatten().collect::<Vec<_>>().join("  ")];
    lines.extend(region.figures.as_ref().map(draw_figures));
    lines.extend(of("Fleet").map(draw_fleet));
    lines.extend(of("AutoScaler").map(draw_scaler));
    let servers: Vec<&Resource> = of("GameServer").collect();
    if !servers.is_empty() {
        lines.push(paint(
            DIM,
            &format!(
                "  {:<28}{:<11}{:>11}  {:<22}{:<12}VERSION",
                "SERVER", "STATE", "PLAYERS", "ADDRESS", "BACKEND"
            ),
        ));
    }
    lines.extend(servers.iter().take(servers_max).map(|server| draw_server(server)));
    if servers.len() > servers_max {
        lines.push(paint(DIM, &format!("  and {} more", servers.len() - servers_max)));
    }
    lines
}

fn draw_cluster(cluster: &Resource) -> String {
    let health = word(&cluster.status["health"]);
    let color = if health == "Healthy" { GREEN } else { YELLOW };
    let [standing, zones, version] =
        ["standing", "zonesCovered", "operatorVersion"].map(|field| word(&cluster.status[field]));
    let drained = if cluster.is_drained() { paint(YELLOW, ", drained") } else { String::new() };
    format!("{}  {standing}{drained}  zones {zones}  operator {version}", paint(color, &health))
}

fn draw_figures(figures: &Figures) -> String {
    let Figures { latency_ms, counts } = figures;
    let latency = latency_ms.as_ref().map_or_else(
        || "-".to_owned(),
        |latency| {
            let Latency { p50, p99, p999, max, late } = latency;
            let measured = format!("p50 {p50:.1} p99 {p99:.1} p99.9 {p999:.1} max {max:.1} ms");
            if latency.is_late() {
                paint(YELLOW, &format!("{measured}, by bots that were {late:.1} ms late themselves"))
            } else {
                measured
            }
        },
    );
    format!(
        "  Bots: {}/{} in a match, {} disconnects, {} refused; input to state {latency}",
        counts.players, counts.target, counts.disconnects, counts.refused
    )
}

fn draw_fleet(fleet: &Resource) -> String {
    format!(
        "  Fleet {}: {} wanted, {} there, {} ready, {} in use, {} draining; {} players, tick p99 {}",
        fleet.metadata.name,
        word(&fleet.spec["replicas"]),
        word(&fleet.status["replicas"]),
        word(&fleet.status["readyReplicas"]),
        word(&fleet.status["inUseReplicas"]),
        word(&fleet.status["drainingReplicas"]),
        word(&fleet.status["players"]),
        word(&fleet.status["tickP99"])
    )
}

fn draw_scaler(scaler: &Resource) -> String {
    format!(
        "  AutoScaler {}: {} to {} servers, wish {}: {}",
        scaler.metadata.name,
        word(&scaler.spec["min"]),
        word(&scaler.spec["max"]),
        word(&scaler.status["desiredReplicas"]),
        word(&scaler.status["reason"])
    )
}

fn draw_server(server: &Resource) -> String {
    let state = word(&server.status["state"]);
    let color = match state.as_str() {
        "Ready" => GREEN,
        "Unhealthy" => RED,
        _ => YELLOW,
    };
    let players = format!("{}/{}", word(&server.status["players"]), word(&server.spec["capacity"]));
    let address = format!("{}:{}", word(&server.status["address"]), word(&server.status["ports"][0]["port"]));
    format!(
        "  {:<28}{}{players:>11}  {address:<22}{:<12}{}",
        server.metadata.name,
        paint(color, &format!("{state:<11}")),
        word(&server.status["backend"]),
        word(&server.status["serverVersion"])
    )
}

/// A value as a word; `-` while the operator has not said it yet.
fn word(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn paint(color: &str, text: &str) -> String {
    format!("{color}{text}{RESET}")
}

/// Cuts to a width in which colours count nothing.
fn cut(line: &str, columns: usize) -> String {
    let mut shown = 0;
    let mut escape = false;
    let mut text = String::with_capacity(line.len());
    for character in line.chars() {
        if character == '\x1b' {
            escape = true;
        }
        if escape {
            text.push(character);
            escape = !character.is_ascii_alphabetic();
        } else if shown < columns {
            text.push(character);
            shown += 1;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::Event;
    use super::*;

    fn resources() -> Vec<Resource> {
        let server = |name: &str, state: &str, players: u32| {
            serde_json::json!({"kind": "GameServer", "metadata": {"name": name}, "spec": {"capacity": 200},
                "status": {"state": state, "players": players, "address": "10.0.0.2", "ports": [{"name": "game", "port": 30001}],
                           "backend": "uring", "serverVersion": "0.1.0"}})
        };
        let json = serde_json::json!([
            {"kind": "RegionCluster", "metadata": {"name": "kr"}, "status": {"health": "Healthy", "operatorVersion": "0.1.0"}},
            {"kind": "Fleet", "metadata": {"name": "arena"}, "spec": {"replicas": 2}, "status": {"replicas": 2, "readyReplicas": 1}},
            {"kind": "AutoScaler", "metadata": {"name": "arena"}, "spec": {"min": 1, "max": 5}, "status": {"desiredReplicas": 2, "reason": "CoolingDown"}},
            server("arena-1", "Ready", 150),
            server("arena-2", "Starting", 0)
        ]);
        serde_json::from_value(json).unwrap()
    }

    fn moment(resources: Result<Vec<Resource>, String>) -> Moment {
        let event = Event {
            region: "kr".to_owned(),
            time: "2026-01-01T10:20:30Z".to_owned(),
            object: "AutoScaler arena".to_owned(),
            reason: "ScaledUp".to_owned(),
            message: "1 to 2: 150 players on 1 server".to_owned(),
        };
        let region = RegionMoment { resources, figures: None, events: vec![event] };
        Moment { regions: BTreeMap::from([("kr".to_owned(), region)]) }
    }

    fn plain(lines: &[String]) -> String {
        let cut: Vec<String> = lines
            .iter()
            .map(|line| {
                let mut parts = line.split('\x1b');
                let first = parts.next().unwrap_or_default().to_owned();
                parts.fold(first, |text, part| text + part.split_once('m').map_or("", |(_, rest)| rest))
            })
            .collect();
        cut.join("\n")
    }

    #[test]
    fn a_small_terminal_shows_fewer_servers_so_that_events_stay_in_sight() {
        assert_eq!([24, 40, 60, 200].map(|rows| servers_max(rows, 3)), [1, 2, 9, SERVERS_MAX]);
        assert_eq!(servers_max(40, 0), SERVERS_MAX);
    }

    #[test]
    fn a_server_shows_state_players_address_backend_and_version() {
        let text = plain(&screen("cranewing-0000", &moment(Ok(resources())), 200, 50));
        let line = text.lines().find(|line| line.contains("arena-1")).unwrap();
        for word in ["Ready", "150/200", "10.0.0.2:30001", "uring", "0.1.0"] {
            assert!(line.contains(word), "{line}");
        }
    }

    #[test]
    fn bots_that_measured_nothing_show_no_latency() {
        let shown = |latency_ms| draw_figures(&Figures { latency_ms, ..Figures::default() });
        assert!(shown(None).ends_with("input to state -"), "{}", shown(None));
        let latency = Latency { p50: 7.0, p99: 9.5, ..Latency::default() };
        assert!(
            shown(Some(latency.clone())).ends_with("input to state p50 7.0 p99 9.5 p99.9 0.0 max 0.0 ms")
        );
        let late = shown(Some(Latency { late: 102.0, ..latency }));
        assert!(late.contains("max 0.0 ms, by bots that were 102.0 ms late themselves"), "{late}");
    }

    #[test]
    fn an_event_shows_time_object_and_reason() {
        let text = plain(&screen("cranewing-0000", &moment(Ok(resources())), 200, 50));
        assert!(text.contains("10:20:30 kr AutoScaler arena ScaledUp: 1 to 2"), "{text}");
    }

    #[test]
    fn a_region_that_does_not_answer_is_shown_so() {
        let text = plain(&screen("cranewing-0000", &moment(Err("does not answer".to_owned())), 200, 50));
        assert!(text.contains("kr does not answer"), "{text}");
        let copy = serde_json::json!([{"kind": "RegionCluster", "metadata": {"labels": {"cranewing.dev/home": "kr"}},
            "spec": {"regionId": "kr"}, "status": {"standing": "Gone"}}]);
        let copy: Vec<Resource> = serde_json::from_value(copy).unwrap();
        let mut both = moment(Err("does not answer".to_owned()));
        both.regions
            .insert("jp".to_owned(), RegionMoment { resources: Ok(copy), figures: None, events: Vec::new() });
        let text = plain(&screen("cranewing-0000", &both, 200, 50));
        assert!(text.contains("kr  Gone, as the others say; does not answer"), "{text}");
    }

    #[test]
    fn the_screen_keeps_to_its_size_and_its_last_line() {
        let lines = screen("cranewing-0000", &moment(Ok(resources())), 30, 6);
        assert!(lines.len() <= 6);
        assert!(plain(&lines).lines().all(|line| line.chars().count() <= 30));
        assert!(plain(&lines).contains("Ctrl-C leaves this view"));
    }

    #[test]
    fn many_servers_are_counted_and_not_listed() {
        let many = (0..40).map(|_| resources().remove(3)).collect();
        let text = plain(&screen("cranewing-0000", &moment(Ok(many)), 200, 50));
        assert!(text.contains("and 28 more"), "{text}");
    }
}
