//! What a replica shows Prometheus of the regions: the same that the digest is made of, at the same moments.

use operator_api::RegionStanding;
use operator_core::regions::RegionId;
use operator_core::regions::membership::{Reach, Standing};
use operator_core::regions::view::View;
use std::sync::PoisonError;
use std::time::Duration;

use super::digest::own;
use super::table::Known;
use super::{Links, Look};

/// The standing as the API spells it.
pub(crate) const fn to_api(standing: Standing, is_own: bool) -> RegionStanding {
    match standing {
        Standing::Connected if is_own => RegionStanding::Member,
        Standing::Connected => RegionStanding::Connected,
        Standing::Unreachable => RegionStanding::Unreachable,
        Standing::Isolated => RegionStanding::Isolated,
        Standing::Degraded(_) => RegionStanding::Degraded,
        Standing::Gone => RegionStanding::Gone,
    }
}

impl Links {
    /// Of regions that are registered, and no longer of those that were: also where a look or a reader that was under way
    /// when one left has shown it again since.
    pub(super) fn export(&self, now: Duration, look: &Look, agreed: &View) {
        let metrics = &self.metrics.links;
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        for region in shown.iter().filter(|region| !look.known.contains_key(region)) {
            metrics.forget(region.as_str());
            for standing in RegionStanding::ALL {
                drop(metrics.standing.remove_label_values(&[region.as_str(), standing.as_str()]));
            }
        }
        *shown = look.known.keys().copied().collect();
        drop(shown);
        self.metrics.api_silent.set(self.pulse.silent_for(now).as_secs_f64());
        metrics.view.set(i64::try_from(agreed.number).unwrap_or(i64::MAX));
        for (&region, judgement) in &look.judgements {
            let counts = i64::from(agreed.regions.contains(&region));
            metrics.in_view.with_label_values(&[region.as_str()]).set(counts);
            let stands = to_api(judgement.standing, region == self.me);
            for standing in RegionStanding::ALL {
                let labels = [region.as_str(), standing.as_str()];
                metrics.standing.with_label_values(&labels).set(i64::from(standing == stands));
            }
        }
        for (&region, known) in &look.known {
            self.export_link(region, known);
        }
        self.export_own(look);
    }

    fn export_link(&self, region: RegionId, known: &Known) {
        let (metrics, region) = (&self.metrics.links, region.as_str());
        metrics.up.with_label_values(&[region]).set(i64::from(known.reach == Some(Reach::Reads)));
        for (way, median) in [("link", known.link), ("udp", known.udp)] {
            if let Some(median) = median {
                metrics.round_trips.with_label_values(&[region, way]).set(median.as_secs_f64());
            }
        }
        let (lost, all) = known.lost;
        if all > 0 {
            metrics.probe_loss.with_label_values(&[region]).set(f64::from(lost) / f64::from(all));
        }
        match known.digest().and_then(|digest| digest.figures.as_ref()) {
            Some(figures) => self.export_figures(region, figures.players, figures.headroom),
            None => metrics.forget_figures(region),
        }
    }

    /// What this region's RegionCluster says. One that is declared for a region that is not registered is not shown.
    fn export_own(&self, look: &Look) {
        let own = own(self.me, &self.stores.region_clusters);
        match own.as_deref().and_then(|own| own.status.as_ref()) {
            Some(status) => self.export_figures(self.me.as_str(), status.players, status.headroom),
            None => self.metrics.links.forget_figures(self.me.as_str()),
        }
        let declared = own.iter().flat_map(|own| &own.spec.latency_to_other_regions);
        let declared: Vec<_> =
            declared.map(|(region, ms)| (region.as_str(), f64::from(*ms) / 1000.0)).collect();
        for region in look.known.keys().map(RegionId::as_str) {
            match declared.iter().find(|(named, _)| *named == region) {
                Some((_, seconds)) => self.metrics.links.declared.with_label_values(&[region]).set(*seconds),
                None => drop(self.metrics.links.declared.remove_label_values(&[region])),
            }
        }
    }

    fn export_figures(&self, region: &str, players: i64, headroom: i64) {
        self.metrics.links.players.with_label_values(&[region]).set(players);
        self.metrics.links.headroom.with_label_values(&[region]).set(headroom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::LinkStores;
    use crate::links::peer::Peer;
    use crate::runtime::clock::Clock;
    use crate::runtime::metrics::Metrics;
    use crate::runtime::watch::Watched;
    use kube::runtime::watcher::Event;
    use operator_api::RegionCluster;
    use prometheus::core::Collector;
    use serde_json::json;
    use std::sync::Arc;

    /// Values of a metric by its labels, such as `jp Gone`.
    fn shown(metric: &impl Collector) -> Vec<(String, f64)> {
        let families = metric.collect();
        let metrics = families.iter().flat_map(prometheus::proto::MetricFamily::get_metric);
        let mut shown: Vec<_> = metrics
            .map(|metric| {
                let labels: Vec<&str> =
                    metric.get_label().iter().map(prometheus::proto::LabelPair::value).collect();
                (labels.join(" "), metric.get_gauge().get_value())
            })
            .collect();
        shown.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        shown
    }

    #[test]
    fn a_replica_shows_how_each_region_stands_and_figures_of_those_that_are_read_alone() {
        let (regions, mut writer) = Watched::<RegionCluster>::fed();
        let own = json!({
            "metadata": { "name": "kr", "uid": "u-1" },
            "spec": {
                "regionId": "kr", "zones": ["a", "b", "c"], "vpcCidr": "10.10.0.0/16",
                "latencyToOtherRegions": { "jp": 30, "sg": 70 },
            },
            "status": { "players": 7, "headroom": 40 },
        });
        writer.apply_watcher_event(&Event::Apply(serde_json::from_value(own).unwrap()));
        let stores = LinkStores { region_clusters: regions.store().clone(), ..LinkStores::empty() };
        let links = Links::new("kr".parse().unwrap(), stores, Metrics::new().unwrap(), Clock::start());
        let export = |second| {
            let now = Duration::from_secs(second);
            links.export(now, &links.look(now), &View::default());
        };
        let metrics = &links.metrics.links;
        let stands = || -> Vec<String> {
            let held = shown(&metrics.standing).into_iter().filter(|(_, value)| *value > 0.0);
            held.map(|(labels, _)| labels).collect()
        };
        export(0);
        assert_eq!(stands(), ["kr Member"], "alone");

        let jp = Peer {
            region: "jp".parse().unwrap(),
            addresses: Vec::new(),
            keys: Vec::new(),
            responders: Vec::new(),
        };
        links.table.register(Duration::ZERO, [Arc::new(jp)]);
        (0..=9).for_each(export);
        assert_eq!(stands(), ["jp Unreachable", "kr Isolated"], "one for each region");
        let of = |region: &str, value: f64| vec![(region.to_owned(), value)];
        assert_eq!(shown(&metrics.players), of("kr", 7.0));
        assert_eq!(shown(&metrics.headroom), of("kr", 40.0));
        assert_eq!(shown(&metrics.declared), of("jp", 0.03), "sg is not registered");
        let silent = shown(&links.metrics.api_silent)[0].1;
        assert!((silent - 9.0).abs() < f64::EPSILON, "it has never answered");

        links.table.register(Duration::from_secs(10), []);
        export(10);
        assert_eq!(stands(), ["kr Member"]);
        assert_eq!(shown(&metrics.declared), []);
    }
}
