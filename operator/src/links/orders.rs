//! What people order of regions, as every replica knows it: by the RegionClusters that the regions last published.
//!
//! A process that has not read a peer yet goes by the copy of its RegionCluster here, which says what came last; a region of
//! which there is neither is as [`Said::default`] says.

use kube::runtime::reflector::ObjectRef;
use operator_api::{Failover, RegionCluster, RegionClusterSpec};
use operator_core::regions::RegionId;
use operator_core::regions::orders::{self, Orders, Said};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Links;
use super::home::{Home, of_region};
use super::table::Known;

impl Links {
    /// What is ordered of these peers and of this region.
    pub(super) fn orders(&self, known: &BTreeMap<RegionId, Known>) -> Orders {
        let registered: BTreeSet<RegionId> = known.keys().copied().chain([self.me]).collect();
        let told = known.iter().filter_map(|(&region, known)| {
            let said = match (&known.objects, &known.last) {
                (Some(objects), _) => objects.region_cluster.as_ref().map(said),
                // It has none.
                (None, Some((digest, _))) if digest.objects.is_none() => None,
                (None, _) => self.copy_of(region).map(|copy| said(&copy.spec)),
            };
            Some((region, said?))
        });
        let own = self.own().map(|own| (self.me, said(&own.spec)));
        Orders::count(&registered, &told.chain(own).collect())
    }

    /// The copy of another region's RegionCluster.
    pub(super) fn copy_of(&self, home: RegionId) -> Option<Arc<RegionCluster>> {
        let found = self.stores.region_clusters.get(&ObjectRef::new(home.as_str()))?;
        (of_region(&found, self.me) == Home::CopiedFrom(home)).then_some(found)
    }
}

/// What a RegionCluster says.
pub(crate) fn said(spec: &RegionClusterSpec) -> Said {
    let failover = match spec.failover {
        Failover::Automatic => orders::Failover::Automatic,
        Failover::Manual => orders::Failover::Manual,
        Failover::Hold => orders::Failover::Hold,
    };
    Said { failover, drains: spec.drains.iter().filter_map(|region| region.parse().ok()).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::LinkStores;
    use crate::links::message::{Digest, Objects, Version};
    use crate::links::peer::tests::peer;
    use crate::runtime::clock::Clock;
    use crate::runtime::metrics::Metrics;
    use crate::runtime::watch::Watched;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use kube::runtime::reflector::store::Writer;
    use kube::runtime::watcher::Event;
    use operator_api::labels;
    use operator_core::regions::orders::Failover::{Automatic, Hold, Manual};
    use operator_core::regions::view::View;
    use serde_json::{Value, json};
    use std::time::Duration;

    fn id(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    /// RegionCluster of jp, which is a copy unless it is kr's own.
    fn region(name: &str, failover: &str, drains: &[&str]) -> Value {
        let managed = labels::MANAGED_BY_OPERATOR;
        json!({
            "metadata": {
                "name": name, "uid": format!("u-{name}"),
                "labels": { labels::HOME: name, labels::MANAGED_BY: managed },
                "annotations": { labels::VERSION: format!("u-{name} 0 4") },
            },
            "spec": {
                "regionId": name, "zones": ["a", "b", "c"], "vpcCidr": "10.20.0.0/16",
                "failover": failover, "drains": drains,
            },
        })
    }

    /// kr, which has registered jp and sg, and the feed of its RegionClusters.
    fn kr() -> (Links, Writer<RegionCluster>) {
        let (regions, feed) = Watched::<RegionCluster>::fed();
        let stores = LinkStores { region_clusters: regions.store().clone(), ..LinkStores::empty() };
        let links = Links::new(id("kr"), stores, Metrics::new().unwrap(), Clock::start());
        links.table.register(Duration::ZERO, ["jp", "sg"].map(|name| Arc::new(peer(name))));
        (links, feed)
    }

    fn put(feed: &mut Writer<RegionCluster>, region: Value) {
        feed.apply_watcher_event(&Event::Apply(serde_json::from_value(region).unwrap()));
    }

    fn hear(links: &Links, name: &str, sequence: u64, objects: Option<Value>) {
        let version = Version { uid: format!("u-{name}"), generation: 5, contents: 0 };
        let digest =
            Digest { sequence, objects: objects.as_ref().map(|_| version.clone()), ..Digest::default() };
        let wall = Time(Timestamp::from_second(1).unwrap());
        links.table.heard((Duration::ZERO, wall), id(name), digest, Duration::from_millis(1));
        if let Some(region) = objects {
            let region_cluster = serde_json::from_value(region["spec"].clone()).unwrap();
            links.table.keep(id(name), Objects { version, region_cluster, ..Objects::default() });
        }
    }

    fn orders(links: &Links) -> Orders {
        links.look(Duration::ZERO).orders
    }

    #[test]
    fn a_silent_region_is_as_it_last_said_and_before_it_was_heard_as_its_copy_says() {
        let (links, mut feed) = kr();
        assert_eq!(orders(&links).mode(id("jp")), Automatic, "nobody has seen it");
        put(&mut feed, region("jp", "Hold", &["sg"]));
        put(&mut feed, region("kr", "Automatic", &["sg"]));
        let seen = orders(&links);
        assert_eq!((seen.mode(id("jp")), seen.drained), (Hold, [id("sg")].into()), "as its copy says");
        hear(&links, "jp", 1, Some(region("jp", "Manual", &[])));
        let seen = orders(&links);
        assert_eq!((seen.mode(id("jp")), &seen.drained), (Manual, &BTreeSet::new()), "as it says itself");
        assert_eq!(seen.votes(id("sg")).as_deref(), Some("kr says so; 1 of 3"));
        hear(&links, "sg", 1, None);
        put(&mut feed, region("sg", "Hold", &[]));
        assert_eq!(orders(&links).mode(id("sg")), Automatic, "it says that it has none");
    }

    #[test]
    fn a_copy_that_is_somebody_elses_object_orders_nothing() {
        let (links, mut feed) = kr();
        let mut foreign = region("jp", "Hold", &["sg"]);
        foreign["metadata"]["labels"] = json!({});
        put(&mut feed, foreign);
        assert_eq!(orders(&links).mode(id("jp")), Automatic);
        assert_eq!(orders(&links).votes(id("sg")), None);
    }

    #[test]
    fn metrics_say_which_regions_are_in_the_view() {
        let (links, _feed) = kr();
        let look = links.look(Duration::ZERO);
        let of = |region: &str| links.metrics.links.in_view.with_label_values(&[region]).get();
        links.export(Duration::ZERO, &look, &View { number: 7, regions: [id("jp"), id("kr")].into() });
        assert_eq!((links.metrics.links.view.get(), of("jp"), of("kr"), of("sg")), (7, 1, 1, 0));
        links.export(Duration::ZERO, &look, &View { number: 8, regions: [id("kr"), id("sg")].into() });
        assert_eq!((links.metrics.links.view.get(), of("jp"), of("kr"), of("sg")), (8, 0, 1, 1));
        links.table.register(Duration::ZERO, [Arc::new(peer("sg"))]);
        links.export(Duration::ZERO, &links.look(Duration::ZERO), &View::default());
        let gathered = links.metrics.registry.gather();
        let family = gathered.iter().find(|family| family.name() == "operator_region_in_view").unwrap();
        assert_eq!(family.get_metric().len(), 2, "jp is not registered any more");
    }
}
