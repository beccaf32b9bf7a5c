//! `operator region list`.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use operator_api::conditions::types;
use operator_api::{RegionCluster, labels};
use operator_core::regions::RegionId;
use std::collections::BTreeSet;
use std::io::Write;

use super::Cluster;
use super::order::peers;
use crate::links::home::{Home, of_region};
use crate::links::peer::Peer;

/// In the place of addresses, for whoever may not read the Secrets in which they are.
const NO_RIGHT: &str = "(no right to list Secrets)";

/// Shows whom each region knows, where it is reached, how it stands and what people ordered of it. Clusters that are `lost` are told at
/// the end: what the others say of them is what one looks for.
pub(super) async fn list(clusters: &[Cluster], lost: &[String], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut line = |[region, peer, standing, failover, drained, addresses]: [&str; 6]| {
        writeln!(out, "{region:<10}{peer:<10}{standing:<13}{failover:<11}{drained:<13}{addresses}")
            .context("failed to write to the output")
    };
    line(["REGION", "PEER", "STANDING", "FAILOVER", "DRAINED", "ADDRESSES"])?;
    for cluster in clusters {
        let region = cluster.region.as_str();
        let found = cluster.region_clusters().list(&ListParams::default()).await;
        let found = found.with_context(|| format!("failed to list the RegionClusters of {region}"))?.items;
        for (peer, addresses) in cluster.peers(&found).await? {
            let copy = found.iter().find(|copy| copy.labels().get(labels::HOME) == Some(&peer));
            let standing = copy.and_then(|copy| copy.status.as_ref()?.standing);
            let standing = standing.map_or("unknown", |standing| standing.as_str());
            let failover = copy.map_or("unknown", |copy| copy.spec.failover.as_str());
            line([region, &peer, standing, failover, copy.map_or("unknown", drained), &addresses])?;
        }
    }
    if !lost.is_empty() {
        bail!("not every cluster was reached: {}", lost.join("; "));
    }
    Ok(())
}

impl Cluster {
    /// Whom it knows, and where that is reached: by their Secrets, or for whoever may not read those by what its RegionClusters say.
    async fn peers(&self, found: &[RegionCluster]) -> anyhow::Result<Vec<(String, String)>> {
        let secrets = match self.secrets().list(&ListParams::default().labels(labels::PEER)).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let known: BTreeSet<RegionId> =
                    found.iter().flat_map(|region| known_by(region, self.region)).collect();
                return Ok(known.iter().map(|peer| (peer.to_string(), NO_RIGHT.to_owned())).collect());
            }
            secrets => secrets.with_context(|| format!("failed to list the peers of {}", self.region))?.items,
        };
        let row = |secret: &Secret| {
            let addresses = Peer::from_secret(secret)
                .map_or_else(|error| error.to_string(), |peer| peer.addresses.join(", "));
            Some((secret.labels().get(labels::PEER)?.clone(), addresses))
        };
        Ok(secrets.iter().filter_map(row).collect())
    }
}

/// Whom a RegionCluster in the cluster of `me` makes known.
fn known_by(region: &RegionCluster, me: RegionId) -> Vec<RegionId> {
    match of_region(region, me) {
        Home::Here => peers(region).collect(),
        Home::CopiedFrom(home) => vec![home],
        Home::Elsewhere => Vec::new(),
    }
}

/// As the region says that has the copy.
fn drained(copy: &RegionCluster) -> &'static str {
    let mut conditions = copy.status.iter().flat_map(|status| &status.conditions);
    match conditions.find(|condition| condition.type_ == types::DRAINED) {
        Some(condition) if condition.status == "True" => "yes",
        Some(_) => "no majority",
        None => "no",
    }
}
