//! What a server says of itself, as Prometheus' text, and what happened between two such looks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What makes up the time of a zone's thread, as the server names it.
const STAGES: [&str; 4] = ["wait", "receive", "work", "flush"];

/// Figures by series, as they stand in the text: `name{labels}`. Those of several zones are one, the sum.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    /// Lines that are no figures are passed over.
    pub(super) fn parse(text: &str) -> Self {
        let figure = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((of_all_zones(series), value.parse::<f64>().ok()?))
        };
        let mut figures = BTreeMap::new();
        for (series, value) in text.lines().filter(|line| line.starts_with("gameserver_")).filter_map(figure)
        {
            *figures.entry(series).or_default() += value;
        }
        Self(figures)
    }

    /// What was added to counters since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let earlier = |series: &str| before.0.get(series).copied().unwrap_or(0.0);
        Self(self.0.iter().map(|(series, value)| (series.clone(), value - earlier(series))).collect())
    }

    fn count(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or(0.0)
    }

    /// The upper bound of the bucket in which that share ends, seconds; `None` when nothing was counted.
    fn quantile(&self, share: f64, histogram: &str) -> Option<f64> {
        let wanted = share * self.count(&format!("{histogram}_count"));
        let head = format!("{histogram}_bucket{{le=\"");
        let buckets = self.0.iter().filter_map(|(series, count)| {
            let bound = series.strip_prefix(&head)?.strip_suffix("\"}")?.parse::<f64>().ok()?;
            Some((bound, *count))
        });
        let enough = buckets.filter(|&(_, count)| wanted > 0.0 && count >= wanted);
        enough.map(|(bound, _)| bound).min_by(f64::total_cmp).filter(|bound| bound.is_finite())
    }

    /// What the pages show of it, times in microseconds.
    pub(super) fn figures(&self, tick_hz: u32) -> Value {
        let lateness = self.quantile(0.99, "gameserver_tick_lateness_seconds");
        let mut figures = json!({
            "tick_lateness_ticks_p99": lateness.map(|seconds| seconds * f64::from(tick_hz)),
            "late_ticks": self.count("gameserver_late_ticks_total"),
            "ticks": self.count("gameserver_tick_work_seconds_count"),
            "full_ticks": self.count("gameserver_commands_deferred_total"),
            "applied": self.count("gameserver_inputs_total"),
            "shed": self.count("gameserver_rejects_total{reason=\"overloaded\"}"),
            "received": self.count("gameserver_packets_in_total"),
            "dropped": self.count("gameserver_socket_overflows_total"),
            "filtered": self.count("gameserver_filtered_total"),
        });
        for stage in STAGES {
            for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
                let took = self.quantile(share, &format!("gameserver_tick_{stage}_seconds"));
                figures[format!("tick_{stage}_us_{name}")] = json!(took.map(|seconds| seconds * 1e6));
            }
        }
        figures
    }
}

/// A series without the label of its zone. No label's value has a comma.
fn of_all_zones(series: &str) -> String {
    let Some((name, labels)) = series.split_once('{') else { return series.to_owned() };
    let labels: Vec<_> =
        labels.trim_end_matches('}').split(',').filter(|label| !label.starts_with("zone=")).collect();
    if labels.is_empty() { name.to_owned() } else { format!("{name}{{{}}}", labels.join(",")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scrape(late: u32, very_late: u32, shed: u32) -> Scrape {
        Scrape::parse(&format!(
            "HTTP/1.1 200 OK\r\n\n# HELP gameserver_x nothing\n\
             gameserver_tick_lateness_seconds_bucket{{zone=\"0\",le=\"0.001\"}} {late}\n\
             gameserver_tick_lateness_seconds_bucket{{zone=\"0\",le=\"0.01\"}} {}\n\
             gameserver_tick_lateness_seconds_bucket{{zone=\"0\",le=\"+Inf\"}} {}\n\
             gameserver_tick_lateness_seconds_count{{zone=\"0\"}} {}\n\
             gameserver_rejects_total{{reason=\"overloaded\",zone=\"0\"}} {shed}\n\
             gameserver_rejects_total{{reason=\"overloaded\",zone=\"1\"}} 0\n",
            late + very_late,
            late + very_late,
            late + very_late,
        ))
    }

    #[test]
    fn figures_are_those_between_two_looks() {
        let figures = scrape(1000, 1, 30).since(&scrape(0, 1, 10)).figures(20);
        assert_eq!(figures["shed"], json!(20.0));
        assert_eq!(figures["tick_lateness_ticks_p99"], json!(0.02), "all thousand are within a millisecond");
        let figures = scrape(1000, 11, 0).figures(20);
        assert_eq!(figures["tick_lateness_ticks_p99"], json!(0.2), "more than one of a hundred is not");
    }

    #[test]
    fn each_stage_of_a_tick_has_the_bounds_below_which_half_and_nearly_all_ended() {
        let bucket = |stage: &str, bound: &str, count: u32| {
            format!("gameserver_tick_{stage}_seconds_bucket{{zone=\"0\",le=\"{bound}\"}} {count}\n")
        };
        let stage = |stage: &str, factor: u32| {
            let bounds = [1, 2, 4].map(|bound| format!("0.{:03}", bound * factor));
            let counts = [49, 98, 100];
            let buckets: String =
                bounds.iter().zip(counts).map(|(bound, count)| bucket(stage, bound, count)).collect();
            buckets + &format!("gameserver_tick_{stage}_seconds_count{{zone=\"0\"}} 100\n")
        };
        let text: String = STAGES.iter().zip(1..).map(|(name, factor)| stage(name, factor)).collect();
        let figures = Scrape::parse(&text).figures(64);
        for (stage, p50, p99) in [
            ("wait", 2000.0, 4000.0),
            ("receive", 4000.0, 8000.0),
            ("work", 6000.0, 12000.0),
            ("flush", 8000.0, 16000.0),
        ] {
            let of = |name: &str| &figures[format!("tick_{stage}_us_{name}")];
            assert_eq!((of("p50"), of("p99")), (&json!(p50), &json!(p99)), "{stage}");
        }
    }

    #[test]
    fn figures_of_zones_are_added_up() {
        let text = "gameserver_packets_in_total{zone=\"0\"} 3\ngameserver_packets_in_total{zone=\"1\"} 4\n";
        assert_eq!(Scrape::parse(text).figures(64)["received"], json!(7.0));
    }

    #[test]
    fn what_was_not_counted_has_no_p99() {
        let figures = Scrape::default().figures(20);
        assert_eq!((&figures["tick_work_us_p99"], &figures["shed"]), (&json!(null), &json!(0.0)));
    }
}
