//! `operator region`: makes regions known to each other by their kubeconfigs, takes them out of use and back, and says who counts
//! where they differ. It writes the Secrets and RegionClusters that the operators follow and talks to no operator; whatever it
//! does, doing it again changes nothing more. Secrets are only for those who make regions known and forget them: whoever gives
//! orders reads and writes RegionClusters alone.

mod confirm;
mod join;
mod leave;
mod list;
mod order;
#[cfg(test)]
mod tests;

use crate::args::{Clusters, RegionCommand};
use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use kube::config::Kubeconfig;
use kube::{Api, Client};
use operator_api::{RegionCluster, labels};
use operator_core::regions::RegionId;
use std::collections::BTreeSet;
use std::io::Write;

use crate::links::home::is_said_to_be_own;
use crate::links::identity::Identity;
use crate::runtime::kubeconfig::connect;
use order::Order;

/// Carries the command out, and says what it did.
pub fn run(command: RegionCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let by = by(&command);
    runtime.context("failed to start the runtime")?.block_on(async {
        match command {
            RegionCommand::Join { clusters, addresses } => {
                let clusters = open(&clusters, by).await.into_iter().collect::<Result<Vec<_>, _>>()?;
                join::join(&clusters, &addresses, out).await
            }
            RegionCommand::Leave { region, clusters } => {
                let (reached, lost) = reach(&clusters, by).await;
                leave::leave(region, &reached, lost, out).await
            }
            RegionCommand::Drain { region, clusters } => {
                let (reached, lost) = reach(&clusters, by).await;
                order::give(Order::Drain, region, (&reached, lost), out).await
            }
            RegionCommand::Return { region, clusters } => {
                let (reached, lost) = reach(&clusters, by).await;
                order::give(Order::Return, region, (&reached, lost), out).await
            }
            RegionCommand::Confirm { region, take_back, keep: _, clusters } => {
                let clusters = open(&clusters, by).await.into_iter().collect::<Result<Vec<_>, _>>()?;
                confirm::confirm(region, take_back, &clusters, out).await
            }
            RegionCommand::List { clusters, output } => {
                let all = named(&clusters);
                let looks = all.iter().map(|named| {
                    list::look(named.what(), named.region(), named.open(&clusters.namespace, by))
                });
                list::tell(&futures::future::join_all(looks).await, output, out)
            }
        }
    })
}

/// A cluster as the command line names it.
enum Named {
    Current,
    Context(String),
    File(RegionId, String),
}

/// By what a command learns which region a cluster is.
#[derive(Clone, Copy, Debug)]
enum By {
    /// By the Secret with the region's key, which whoever makes it known reads anyway.
    Key,
    /// By its RegionCluster: an order takes no right to read keys.
    RegionCluster,
    /// By its RegionCluster, or where it has none by the key.
    Either,
}

const fn by(command: &RegionCommand) -> By {
    match command {
        RegionCommand::Join { .. } | RegionCommand::Leave { .. } => By::Key,
        RegionCommand::Drain { .. } | RegionCommand::Return { .. } | RegionCommand::Confirm { .. } => {
            By::RegionCluster
        }
        RegionCommand::List { .. } => By::Either,
    }
}

/// The clusters that are named; else that of the current context.
fn named(clusters: &Clusters) -> Vec<Named> {
    let contexts = clusters.contexts.iter().cloned().map(Named::Context);
    let files = clusters.kubeconfigs.iter().cloned().map(|(region, path)| Named::File(region, path));
    let named: Vec<Named> = contexts.chain(files).collect();
    if named.is_empty() { vec![Named::Current] } else { named }
}

/// Each cluster that is named, or why it is not reached.
async fn open(clusters: &Clusters, by: By) -> Vec<anyhow::Result<Cluster>> {
    let named = named(clusters);
    futures::future::join_all(named.iter().map(|named| named.open(&clusters.namespace, by))).await
}

/// The clusters that are reached, and why the others are not.
async fn reach(clusters: &Clusters, by: By) -> (Vec<Cluster>, Vec<String>) {
    let (reached, lost): (Vec<_>, Vec<_>) = open(clusters, by).await.into_iter().partition(Result::is_ok);
    let lost = lost.into_iter().filter_map(|lost| Some(format!("{:#}", lost.err()?))).collect();
    (reached.into_iter().flatten().collect(), lost)
}

/// A region's cluster.
struct Cluster {
    region: RegionId,
    client: Client,
    namespace: String,
}

impl Named {
    fn what(&self) -> String {
        match self {
            Self::Current => "the current context".to_owned(),
            Self::Context(context) => format!("context {context}"),
            Self::File(region, path) => format!("{region}={path}"),
        }
    }

    /// Which region that is to be.
    const fn region(&self) -> Option<RegionId> {
        match self {
            Self::Current | Self::Context(_) => None,
            Self::File(region, _) => Some(*region),
        }
    }

    /// Reaches the cluster and reads which region it is.
    async fn open(&self, namespace: &str, by: By) -> anyhow::Result<Cluster> {
        let what = self.what();
        let (kubeconfig, context) = match self {
            Self::Current => (Kubeconfig::read(), None),
            Self::Context(context) => (Kubeconfig::read(), Some(context.clone())),
            Self::File(_, path) => (Kubeconfig::read_from(path), None),
        };
        let kubeconfig = kubeconfig.with_context(|| {
            format!("failed to read the kubeconfig of {what}; KUBECONFIG names that of --context, and --kubeconfig one a region")
        })?;
        let client = connect(kubeconfig, context).await.with_context(|| what.clone())?;
        let cluster = Cluster::read(client, namespace, by).await.with_context(|| what.clone())?;
        match self {
            Self::File(region, _) if *region != cluster.region => {
                bail!("{what}: its operator says that this is region {}", cluster.region)
            }
            _ => Ok(cluster),
        }
    }
}

impl Cluster {
    async fn read(client: Client, namespace: &str, by: By) -> anyhow::Result<Self> {
        let by_key = async || -> anyhow::Result<RegionId> {
            let identity = identity(&client, namespace).await?;
            identity.region.parse().context("the operator's regionId")
        };
        let region = match by {
            By::Key => by_key().await?,
            By::RegionCluster => own_region(&client).await?.context(NO_OWN)?,
            By::Either => match own_region(&client).await? {
                Some(region) => region,
                None => by_key().await.context(NO_OWN)?,
            },
        };
        Ok(Self { region, client, namespace: namespace.to_owned() })
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }

    fn region_clusters(&self) -> Api<RegionCluster> {
        Api::all(self.client.clone())
    }
}

/// What to do where no RegionCluster says which region it lies in.
const NO_OWN: &str = "no RegionCluster there is said to be the region's own: apply it, and see that the operator runs (it then has \
                      the standing Member or Isolated in `kubectl get regionclusters`)";

/// Which region a cluster is, as the operator there says on its RegionCluster; none if it has none.
async fn own_region(client: &Client) -> anyhow::Result<Option<RegionId>> {
    let api: Api<RegionCluster> = Api::all(client.clone());
    let found = match api.list(&ListParams::default()).await {
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(None),
        found => found.context("failed to list its RegionClusters")?.items,
    };
    let own = found.iter().filter(|region| is_said_to_be_own(region));
    let own: BTreeSet<RegionId> = own.filter_map(|own| own.spec.region_id.parse().ok()).collect();
    if own.len() > 1 {
        bail!(
            "RegionClusters of {} are said to be the region's own; wait until the operator there has looked at them",
            own.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ")
        );
    }
    Ok(own.first().copied())
}

/// Who a region is to others, by its key.
async fn identity(client: &Client, namespace: &str) -> anyhow::Result<Identity> {
    let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
    let name = labels::LINK_SECRET;
    let found =
        secrets.get_opt(name).await.with_context(|| format!("failed to read Secret {namespace}/{name}"))?;
    let found = found.with_context(|| {
        format!(
            "there is no Secret {namespace}/{name}: install the operator there and wait until it is ready, or name its namespace \
             by --namespace"
        )
    })?;
    Ok(Identity::from_secret(&found)?)
}
