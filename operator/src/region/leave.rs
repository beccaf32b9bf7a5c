//! `operator region leave`.

use anyhow::{Context as _, bail};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use operator_api::labels;
use operator_core::regions::RegionId;
use std::io::Write;

use super::Cluster;

/// Takes `region` out of the others, and the others out of it. Clusters that were not reached are told at the end, so that
/// one that is gone for good keeps nobody from forgetting it.
pub(super) async fn leave(
    region: RegionId,
    clusters: &[Cluster],
    lost: Vec<String>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut is_known = clusters.iter().any(|cluster| cluster.region == region);
    let mut unconcerned = Vec::new();
    for cluster in clusters {
        let forgotten = cluster.forget(region).await;
        let forgotten =
            forgotten.with_context(|| format!("failed to delete from {}; run it again", cluster.region))?;
        if forgotten.is_empty() {
            unconcerned.push(cluster.region);
            continue;
        }
        is_known = true;
        writeln!(out, "{}: forgot {}", cluster.region, forgotten.join(", "))
            .context("failed to write to the output")?;
    }
    if !is_known && lost.is_empty() {
        bail!("none of these clusters knows a region {region}; `operator region list` shows which they know");
    }
    for region in unconcerned {
        writeln!(out, "{region}: nothing to forget").context("failed to write to the output")?;
    }
    if !clusters.iter().any(|cluster| cluster.region == region) {
        writeln!(out, "{region}: not reached; what its cluster knows of the others stays there")
            .context("failed to write to the output")?;
    }
    if !lost.is_empty() {
        bail!(
            "not every cluster was reached; run it again for these if they still exist: {}",
            lost.join("; ")
        );
    }
    Ok(())
}

impl Cluster {
    /// Deletes the region's Secret, or in its own cluster all of them; answers which regions are forgotten.
    async fn forget(&self, region: RegionId) -> kube::Result<Vec<String>> {
        let (api, mut forgotten) = (self.secrets(), Vec::new());
        for secret in api.list(&ListParams::default().labels(labels::PEER)).await?.items {
            let Some(peer) = secret.labels().get(labels::PEER) else { continue };
            if self.region == region || peer == region.as_str() {
                drop(api.delete(&secret.name_any(), &DeleteParams::default()).await?);
                forgotten.push(peer.clone());
            }
        }
        Ok(forgotten)
    }
}
