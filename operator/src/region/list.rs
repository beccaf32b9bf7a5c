//! `operator region list`.

use anyhow::Context as _;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use operator_api::conditions::types;
use operator_api::{RegionCluster, labels};
use std::io::Write;

use super::Cluster;
use crate::links::peer::Peer;

/// Shows whom each region knows, where it is reached, how it stands and what people ordered of it.
pub(super) async fn list(clusters: &[Cluster], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut line = |[region, peer, standing, failover, drained, addresses]: [&str; 6]| {
        writeln!(out, "{region:<10}{peer:<10}{standing:<13}{failover:<11}{drained:<13}{addresses}")
            .context("failed to write to the output")
    };
    line(["REGION", "PEER", "STANDING", "FAILOVER", "DRAINED", "ADDRESSES"])?;
    for cluster in clusters {
        let region = cluster.region.as_str();
        let secrets = cluster.secrets().list(&ListParams::default().labels(labels::PEER)).await;
        let copies: Api<RegionCluster> = Api::all(cluster.client.clone());
        let copies = copies.list(&ListParams::default().labels(labels::HOME)).await;
        let copies = copies.with_context(|| format!("failed to list the RegionClusters of {region}"))?.items;
        for secret in secrets.with_context(|| format!("failed to list the peers of {region}"))?.items {
            let Some(label) = secret.labels().get(labels::PEER) else { continue };
            let copy = copies.iter().find(|copy| copy.labels().get(labels::HOME) == Some(label));
            let standing = copy.and_then(|copy| copy.status.as_ref()?.standing);
            let addresses = Peer::from_secret(&secret)
                .map_or_else(|error| error.to_string(), |peer| peer.addresses.join(", "));
            let standing = standing.map_or("unknown", |standing| standing.as_str());
            let failover = copy.map_or("unknown", |copy| copy.spec.failover.as_str());
            line([region, label, standing, failover, copy.map_or("unknown", drained), &addresses])?;
        }
    }
    Ok(())
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
