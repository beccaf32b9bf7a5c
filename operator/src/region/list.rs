//! `operator region list`.

use anyhow::Context as _;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use operator_api::{RegionCluster, labels};
use std::io::Write;

use super::Cluster;
use crate::links::peer::Peer;

/// Shows whom each region knows, where it is reached and how it stands.
pub(super) async fn list(clusters: &[Cluster], out: &mut dyn Write) -> anyhow::Result<()> {
    let mut line = |region: &str, peer: &str, standing: &str, addresses: &str| {
        writeln!(out, "{region:<10}{peer:<10}{standing:<13}{addresses}")
            .context("failed to write to the output")
    };
    line("REGION", "PEER", "STANDING", "ADDRESSES")?;
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
            line(region, label, standing.map_or("unknown", |standing| standing.as_str()), &addresses)?;
        }
    }
    Ok(())
}
