//! `operator region drain` and `operator region return`: an order is written into each named region's own RegionCluster, by
//! whoever has the right there, and counts when a majority of the registered regions has it.

use anyhow::{Context as _, bail};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use operator_api::RegionCluster;
use operator_core::regions::RegionId;
use operator_core::regions::membership::majority;
use operator_core::regions::orders::{DRAINS_MAX, Failover, Orders, Said};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use super::Cluster;
use crate::links::home::{Home, of_region};
use crate::links::orders::said;

/// The operators write the status of what is written here, which is another version each time.
const ATTEMPTS: usize = 5;

/// What is to become of a region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Drain,
    Return,
}

/// Writes the order into the clusters that were reached, and tells who says so by now. Those that were not are told at the end.
pub(super) async fn give(
    order: Order,
    region: RegionId,
    (clusters, lost): (&[Cluster], Vec<String>),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    if clusters.is_empty() {
        bail!("no cluster was reached: {}", lost.join("; "));
    }
    let mut seen = Seen::look(clusters).await?;
    for cluster in clusters {
        seen.own(cluster.region)?;
    }
    match order {
        Order::Drain => seen.check_drain(region)?,
        Order::Return => seen.check_return(region)?,
    }
    for cluster in clusters {
        let own = seen.own(cluster.region)?;
        let (name, is_new) = (own.name_any(), wanted(order, region, own).is_some());
        if is_new {
            let written = cluster.write(order, region, own.clone()).await;
            written.with_context(|| format!("failed to write into {}; run it again", cluster.region))?;
        }
        let words = match (order, is_new) {
            (Order::Drain, true) => "says now that",
            (Order::Drain, false) => "said before that",
            (Order::Return, true) => "says no more that",
            (Order::Return, false) => "did not say that",
        };
        writeln!(out, "{}: RegionCluster {name} {words} {region} shall be left", cluster.region)
            .context("failed to write to the output")?;
        let drains = &mut seen.said.entry(cluster.region).or_default().drains;
        let _changed = match order {
            Order::Drain => drains.insert(region),
            Order::Return => drains.remove(&region),
        };
    }
    writeln!(out, "{}", seen.tell(order, region)).context("failed to write to the output")?;
    if !lost.is_empty() {
        bail!("not every cluster was reached; run it again for these: {}", lost.join("; "));
    }
    Ok(())
}

/// What its RegionCluster is to say; none if it does already.
fn wanted(order: Order, region: RegionId, own: &RegionCluster) -> Option<Vec<String>> {
    let mut drains = own.spec.drains.clone();
    drains.retain(|drained| drained != region.as_str());
    if order == Order::Drain {
        drains.push(region.to_string());
    }
    (drains.len() != own.spec.drains.len()).then_some(drains)
}

/// What these clusters know of the regions: of those that are not among them, what the copies of their RegionClusters say.
struct Seen {
    registered: BTreeSet<RegionId>,
    own: BTreeMap<RegionId, RegionCluster>,
    said: BTreeMap<RegionId, Said>,
}

impl Seen {
    async fn look(clusters: &[Cluster]) -> anyhow::Result<Self> {
        let (mut registered, mut own, mut said_by) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
        for cluster in clusters {
            let me = cluster.region;
            registered.insert(me);
            let found = cluster.region_clusters().list(&ListParams::default()).await;
            let mut found =
                found.with_context(|| format!("failed to list the RegionClusters of {me}"))?.items;
            found.sort_unstable_by_key(ResourceExt::name_any);
            for region in found {
                match of_region(&region, me) {
                    Home::Here => {
                        registered.extend(peers(&region));
                        own.entry(me).or_insert(region);
                    }
                    Home::CopiedFrom(home) => {
                        registered.insert(home);
                        said_by.entry(home).or_insert_with(|| said(&region.spec));
                    }
                    Home::Elsewhere => {}
                }
            }
        }
        // Whoever was reached says itself what it says, also that it says nothing.
        for cluster in clusters {
            let words = own.get(&cluster.region).map(|own: &RegionCluster| said(&own.spec));
            said_by.insert(cluster.region, words.unwrap_or_default());
        }
        Ok(Self { registered, own, said: said_by })
    }

    fn own(&self, region: RegionId) -> anyhow::Result<&RegionCluster> {
        self.own.get(&region).with_context(|| {
            format!("there is no RegionCluster of region {region} in its own cluster; apply it there first")
        })
    }

    fn orders(&self) -> Orders {
        Orders::count(&self.registered, &self.said)
    }

    fn check_drain(&self, region: RegionId) -> anyhow::Result<()> {
        let orders = self.orders();
        if !self.registered.contains(&region) {
            bail!("{}", self.stranger(region));
        }
        if orders.mode(region) == Failover::Hold {
            // What lies elsewhere is a copy, under a name of its own.
            let which = match self.own.get(&region) {
                Some(own) => format!("RegionCluster {}", own.name_any()),
                None => format!("the RegionCluster of region {region}"),
            };
            bail!(
                "failover of region {region} is Hold, and while it is nothing of it moves; set spec.failover of {which} in its own \
                 cluster to Automatic or Manual first"
            );
        }
        if self.registered.iter().all(|other| *other == region || orders.drained.contains(other)) {
            bail!(
                "no region would be left to place on: every other one is drained; return one of them first"
            );
        }
        for (other, own) in &self.own {
            if wanted(Order::Drain, region, own).is_some_and(|drains| drains.len() > DRAINS_MAX) {
                bail!(
                    "RegionCluster {} of {other} says already of {DRAINS_MAX} regions that they shall be left, which is the most; return \
                     one of them first, or take one out of its spec.drains",
                    own.name_any()
                );
            }
        }
        Ok(())
    }

    /// A region that has left can still be named.
    fn check_return(&self, region: RegionId) -> anyhow::Result<()> {
        let is_named = self.said.values().any(|said| said.drains.contains(&region));
        if !self.registered.contains(&region) && !is_named {
            bail!("{}", self.stranger(region));
        }
        Ok(())
    }

    fn stranger(&self, region: RegionId) -> String {
        let known = names(&self.registered);
        format!(
            "no region {region} is registered in these clusters, but {known}; `operator region join` makes one known"
        )
    }

    /// Who says so by now, and what to do if that is not what was meant.
    fn tell(&self, order: Order, region: RegionId) -> String {
        let orders = self.orders();
        let most = majority(self.registered.len());
        let voters = orders.voters.get(&region).cloned().unwrap_or_default();
        let said = orders.votes(region);
        let tally = said.as_deref().unwrap_or("nobody says so");
        let silent: BTreeSet<RegionId> = self.registered.difference(&voters).copied().collect();
        let run = |count: usize, of: &BTreeSet<RegionId>| {
            format!("run it again with --context or --kubeconfig for {count} more of {}", names(of))
        };
        match (order, orders.drained.contains(&region)) {
            (Order::Drain, true) => format!("{region} is drained: {tally} registered regions, a majority"),
            (Order::Drain, false) => format!(
                "{region} is not drained yet: {tally} registered regions, and it takes {most} for the order to be in force; {}",
                run(most - voters.len(), &silent)
            ),
            (Order::Return, false) if said.is_none() => {
                format!("{region} is not drained: no region orders it")
            }
            (Order::Return, false) => {
                format!("{region} is not drained, though {tally} registered regions, no majority")
            }
            (Order::Return, true) => format!(
                "{region} is still drained: {tally} registered regions, a majority; {}",
                run(voters.len() + 1 - most, &voters)
            ),
        }
    }
}

fn names(regions: &BTreeSet<RegionId>) -> String {
    regions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// The other regions that are registered in the cluster of this one, as its operator says.
pub(super) fn peers(own: &RegionCluster) -> impl Iterator<Item = RegionId> {
    let peers = own.status.iter().flat_map(|status| &status.peers);
    peers.filter_map(|peer| peer.parse().ok())
}

impl Cluster {
    /// Writes it into this RegionCluster and no other one, whatever else somebody writes meanwhile.
    async fn write(&self, order: Order, region: RegionId, mut own: RegionCluster) -> kube::Result<()> {
        let (api, name) = (self.region_clusters(), own.name_any());
        for attempt in 1.. {
            let Some(drains) = wanted(order, region, &own) else { break };
            let metadata = json!({ "uid": own.uid(), "resourceVersion": own.resource_version() });
            let drains = if drains.is_empty() { None } else { Some(drains) };
            let patch = json!({ "metadata": metadata, "spec": { "drains": drains } });
            match api.patch(&name, &PatchParams::default(), &Patch::Merge(patch)).await {
                Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => {
                    own = api.get(&name).await?;
                }
                written => return written.map(drop),
            }
        }
        Ok(())
    }
}
