//! `operator region confirm`.

use anyhow::{Context as _, bail};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use operator_api::conditions::{reasons, types};
use operator_api::labels;
use operator_core::regions::RegionId;
use serde_json::json;
use std::io::Write;

use super::Cluster;
use crate::links::home::{Home, of_region};

/// Writes on the region's own RegionCluster who counts; its operator acts on it.
pub(super) async fn confirm(
    region: RegionId,
    take_back: bool,
    clusters: &[Cluster],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let cluster = clusters.iter().find(|cluster| cluster.region == region);
    let cluster = cluster
        .with_context(|| format!("no cluster of {region} is named; name it by --context or --kubeconfig"))?;
    let api = cluster.region_clusters();
    let all = api.list(&ListParams::default()).await;
    let all = all.with_context(|| format!("failed to list the RegionClusters of {region}"))?.items;
    let own = all.iter().filter(|found| of_region(found, region) == Home::Here);
    let own = own.min_by_key(|found| found.name_any()).with_context(|| {
        format!("{region} has no RegionCluster of its own; apply it first, then run this again")
    })?;
    let conditions = own.status.iter().flat_map(|status| &status.conditions);
    let mut halted = conditions.filter(|found| found.type_ == types::NOT_PUBLISHED && found.status == "True");
    let Some(halted) = halted.next() else {
        bail!("there is nothing to confirm: {region} publishes its placed Fleets");
    };
    if !take_back && halted.reason == reasons::TAKING_BACK {
        bail!(
            "the cluster of {region} is new, and to keep what it has would delete all placed Fleets of {region} everywhere; go on with \
             those that answer: operator region confirm {region} --take-back"
        );
    }
    let word = if take_back { labels::CONFIRM_TAKE_BACK } else { labels::CONFIRM_KEEP };
    let patch = json!({ "metadata": { "uid": own.uid(), "annotations": { labels::CONFIRM: word } } });
    let patched = api.patch(&own.name_any(), &PatchParams::default(), &Patch::Merge(patch)).await;
    drop(patched.with_context(|| format!("failed to write on RegionCluster {}", own.name_any()))?);
    writeln!(
        out,
        "{region}: {word}, because of {}; follow it in that cluster by: kubectl get events --namespace default --field-selector \
         involvedObject.name={}",
        halted.reason,
        own.name_any()
    )
    .context("failed to write to the output")
}
