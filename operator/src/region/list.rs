//! `operator region list`.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::ListParams;
use operator_api::conditions::types;
use operator_api::{Failover, RegionCluster, RegionStanding, labels};
use operator_core::regions::RegionId;
use operator_core::regions::orders::{Orders, Said};
use serde::Serialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::Duration;
use tokio::time::timeout;

use super::Cluster;
use super::order::peers;
use crate::args::OutputFormat;
use crate::links::home::{Home, of_region};
use crate::links::orders::said;
use crate::links::peer::Peer;

/// Time to read a cluster: one whose API server stands still keeps nobody from seeing the others.
const LOOK_MAX: Duration = Duration::from_secs(4);
/// In the place of addresses, for whoever may not read the Secrets in which they are.
const NO_RIGHT: &str = "no right to list Secrets";
/// In the place of what is not known.
const UNKNOWN: &str = "unknown";

/// What a cluster knows of the other regions.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Seen {
    /// As the command line names it.
    cluster: String,
    /// Which one it is, if that is known.
    region: Option<RegionId>,
    /// Why it was not read.
    #[serde(skip_serializing_if = "Option::is_none")]
    unread: Option<String>,
    peers: Vec<SeenPeer>,
}

/// What a cluster knows of another region; standing and orders by the copy of its RegionCluster.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct SeenPeer {
    region: String,
    standing: Option<RegionStanding>,
    failover: Option<Failover>,
    /// None if there is no copy.
    drained: Option<bool>,
    /// Who says that it shall be left.
    drain_ordered_by: BTreeSet<RegionId>,
    addresses: Option<Vec<String>>,
    /// Why the addresses cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses_unread: Option<String>,
}

/// Reads a cluster as soon as it is opened, or says why it was not read in time.
pub(super) async fn look(
    cluster: String,
    mut region: Option<RegionId>,
    opened: impl Future<Output = anyhow::Result<Cluster>>,
) -> Seen {
    let reading = async {
        let opened = opened.await?;
        region = Some(opened.region);
        opened.look().await.with_context(|| cluster.clone())
    };
    let read = timeout(LOOK_MAX, reading).await;
    let (peers, unread) = match read {
        Ok(Ok(peers)) => (peers, None),
        Ok(Err(error)) => (Vec::new(), Some(format!("{error:#}"))),
        Err(_elapsed) => (Vec::new(), Some(format!("{cluster}: no answer within {} s", LOOK_MAX.as_secs()))),
    };
    Seen { cluster, region, unread, peers }
}

/// Shows whom each region knows, where it is reached, how it stands and what people ordered of it. What could not be read is shown as
/// such: what the others say of it is what one looks for.
pub(super) fn tell(seen: &[Seen], output: OutputFormat, out: &mut dyn Write) -> anyhow::Result<()> {
    let unread: Vec<&str> = seen.iter().filter_map(|seen| seen.unread.as_deref()).collect();
    if unread.len() == seen.len() {
        bail!("no cluster was read: {}", unread.join("; "));
    }
    let text = match output {
        OutputFormat::Json => format!("{:#}\n", json!({ "regions": seen })),
        OutputFormat::Text => table(seen),
    };
    out.write_all(text.as_bytes()).context("failed to write to the output")
}

fn table(seen: &[Seen]) -> String {
    const HEAD: [&str; 6] = ["REGION", "PEER", "STANDING", "FAILOVER", "DRAINED", "ADDRESSES"];
    let mut widths = [8, 8, 11, 9, 11];
    let rows: Vec<_> =
        std::iter::once(HEAD.map(str::to_owned)).chain(seen.iter().flat_map(Seen::rows)).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.len().max(*width);
        }
    }
    let line = |row: &[String; 6]| {
        let cells = widths.iter().zip(row).map(|(width, cell)| format!("{cell:<width$}  "));
        cells.chain([row[5].clone(), "\n".to_owned()]).collect::<String>()
    };
    rows.iter().map(line).collect()
}

impl Seen {
    fn rows(&self) -> Vec<[String; 6]> {
        let region = self.region.map_or_else(|| "?".to_owned(), |region| region.to_string());
        let bare = |standing: &str, why: &str| {
            let [peer, failover, drained] = ["-"; 3].map(str::to_owned);
            vec![[region.clone(), peer, standing.to_owned(), failover, drained, why.replace('\n', " ")]]
        };
        match &self.unread {
            Some(why) => bare("unread", why),
            None if self.peers.is_empty() => bare("-", "(it has joined no other region)"),
            None => self.peers.iter().map(|peer| peer.row(&region)).collect(),
        }
    }
}

impl SeenPeer {
    fn row(&self, region: &str) -> [String; 6] {
        let by: Vec<_> = self.drain_ordered_by.iter().map(ToString::to_string).collect();
        let drained = match self.drained {
            None => UNKNOWN.to_owned(),
            Some(true) => "yes".to_owned(),
            Some(false) if by.is_empty() => "no".to_owned(),
            Some(false) => format!("no majority: {}", by.join(", ")),
        };
        let unread = self.addresses_unread.as_ref().map(|why| format!("({why})"));
        let addresses = self.addresses.as_ref().map(|addresses| addresses.join(", "));
        [
            region.to_owned(),
            self.region.clone(),
            self.standing.map_or(UNKNOWN, |standing| standing.as_str()).to_owned(),
            self.failover.map_or(UNKNOWN, |failover| failover.as_str()).to_owned(),
            drained,
            addresses.or(unread).unwrap_or_default(),
        ]
    }
}

impl Cluster {
    async fn look(&self) -> anyhow::Result<Vec<SeenPeer>> {
        let found = self.region_clusters().list(&ListParams::default()).await;
        let found = found.context("failed to list its RegionClusters")?.items;
        let known = self.peers(&found).await?;
        let ids = known.iter().filter_map(|(region, _)| region.parse().ok());
        let orders = orders(&found, self.region, ids);
        let peer = |(region, addresses): (String, Result<Vec<String>, String>)| {
            let copy = found.iter().find(|copy| copy.labels().get(labels::HOME) == Some(&region));
            let id: Option<RegionId> = region.parse().ok();
            let (addresses, addresses_unread) = match addresses {
                Ok(addresses) => (Some(addresses), None),
                Err(why) => (None, Some(why)),
            };
            SeenPeer {
                standing: copy.and_then(|copy| copy.status.as_ref()?.standing),
                failover: copy.map(|copy| copy.spec.failover),
                drained: copy.map(is_drained),
                drain_ordered_by: id.and_then(|id| orders.voters.get(&id).cloned()).unwrap_or_default(),
                region,
                addresses,
                addresses_unread,
            }
        };
        Ok(known.into_iter().map(peer).collect())
    }

    /// Whom it knows, and where that is reached: by their Secrets, or for whoever may not read those by what its RegionClusters say.
    async fn peers(
        &self,
        found: &[RegionCluster],
    ) -> anyhow::Result<Vec<(String, Result<Vec<String>, String>)>> {
        let secrets = match self.secrets().list(&ListParams::default().labels(labels::PEER)).await {
            Err(kube::Error::Api(status)) if status.code == 403 => {
                let known: BTreeSet<RegionId> =
                    found.iter().flat_map(|region| known_by(region, self.region)).collect();
                return Ok(known.iter().map(|peer| (peer.to_string(), Err(NO_RIGHT.to_owned()))).collect());
            }
            secrets => secrets.context("failed to list the Secrets of its peers")?.items,
        };
        let row = |secret: &Secret| {
            let addresses = Peer::from_secret(secret).map(|peer| peer.addresses);
            let addresses = addresses.map_err(|error| error.to_string());
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

/// What is ordered by the RegionClusters that are in the cluster of `me`, which knows these.
fn orders(found: &[RegionCluster], me: RegionId, known: impl Iterator<Item = RegionId>) -> Orders {
    let mut said_by: BTreeMap<RegionId, Said> = BTreeMap::new();
    for region in found {
        let who = match of_region(region, me) {
            Home::Here => me,
            Home::CopiedFrom(home) => home,
            Home::Elsewhere => continue,
        };
        said_by.entry(who).or_insert_with(|| said(&region.spec));
    }
    Orders::count(&known.chain([me]).collect(), &said_by)
}

/// As the region says that has the copy.
fn is_drained(copy: &RegionCluster) -> bool {
    let mut conditions = copy.status.iter().flat_map(|status| &status.conditions);
    conditions.any(|condition| condition.type_ == types::DRAINED && condition.status == "True")
}
