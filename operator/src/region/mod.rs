//! `operator region`: makes regions known to each other by their kubeconfigs, takes them out of use and back, and says who counts
//! where they differ. It writes the Secrets and RegionClusters that the operators follow and talks to no operator; whatever it
//! does, doing it again changes nothing more.

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
use kube::config::Kubeconfig;
use kube::{Api, Client};
use operator_api::labels;
use operator_core::regions::RegionId;
use std::io::Write;

use crate::links::identity::{Identity, PublicKey};
use crate::runtime::kubeconfig::connect;
use order::Order;

/// Carries the command out, and says what it did.
pub fn run(command: RegionCommand, out: &mut dyn Write) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("failed to start the runtime")?.block_on(async {
        match command {
            RegionCommand::Join { clusters, addresses } => {
                let clusters = open(&clusters).await.into_iter().collect::<Result<Vec<_>, _>>()?;
                join::join(&clusters, &addresses, out).await
            }
            RegionCommand::Leave { region, clusters } => {
                let (reached, lost) = reach(&clusters).await;
                leave::leave(region, &reached, lost, out).await
            }
            RegionCommand::Drain { region, clusters } => {
                let (reached, lost) = reach(&clusters).await;
                order::give(Order::Drain, region, (&reached, lost), out).await
            }
            RegionCommand::Return { region, clusters } => {
                let (reached, lost) = reach(&clusters).await;
                order::give(Order::Return, region, (&reached, lost), out).await
            }
            RegionCommand::Confirm { region, take_back, keep: _, clusters } => {
                let clusters = open(&clusters).await.into_iter().collect::<Result<Vec<_>, _>>()?;
                confirm::confirm(region, take_back, &clusters, out).await
            }
            RegionCommand::List { clusters } => {
                let clusters = open(&clusters).await.into_iter().collect::<Result<Vec<_>, _>>()?;
                list::list(&clusters, out).await
            }
        }
    })
}

/// A cluster as the command line names it.
enum Named {
    Context(String),
    File(RegionId, String),
}

/// Each cluster that is named, or why it is not reached.
async fn open(clusters: &Clusters) -> Vec<anyhow::Result<Cluster>> {
    let contexts = clusters.contexts.iter().cloned().map(Named::Context);
    let files = clusters.kubeconfigs.iter().cloned().map(|(region, path)| Named::File(region, path));
    let named: Vec<Named> = contexts.chain(files).collect();
    futures::future::join_all(named.iter().map(|named| named.open(&clusters.namespace))).await
}

/// The clusters that are reached, and why the others are not.
async fn reach(clusters: &Clusters) -> (Vec<Cluster>, Vec<String>) {
    let (reached, lost): (Vec<_>, Vec<_>) = open(clusters).await.into_iter().partition(Result::is_ok);
    let lost = lost.into_iter().filter_map(|lost| Some(format!("{:#}", lost.err()?))).collect();
    (reached.into_iter().flatten().collect(), lost)
}

/// A region's cluster.
struct Cluster {
    region: RegionId,
    keys: Vec<PublicKey>,
    client: Client,
    namespace: String,
}

impl Named {
    /// Reaches the cluster and reads which region it is.
    async fn open(&self, namespace: &str) -> anyhow::Result<Cluster> {
        let what = match self {
            Self::Context(context) => format!("context {context}"),
            Self::File(region, path) => format!("{region}={path}"),
        };
        let (kubeconfig, context) = match self {
            Self::Context(context) => (Kubeconfig::read(), Some(context.clone())),
            Self::File(_, path) => (Kubeconfig::read_from(path), None),
        };
        let kubeconfig = kubeconfig.with_context(|| format!("failed to read the kubeconfig of {what}"))?;
        let client = connect(kubeconfig, context).await.with_context(|| what.clone())?;
        let cluster = Cluster::read(client, namespace).await.with_context(|| what.clone())?;
        match self {
            Self::File(region, _) if *region != cluster.region => {
                bail!("{what}: its operator says that this is region {}", cluster.region)
            }
            _ => Ok(cluster),
        }
    }
}

impl Cluster {
    async fn read(client: Client, namespace: &str) -> anyhow::Result<Self> {
        let secrets: Api<Secret> = Api::namespaced(client.clone(), namespace);
        let name = labels::LINK_SECRET;
        let found = secrets.get_opt(name).await.context("failed to ask the API server")?;
        let found = found.with_context(|| {
            format!(
                "there is no Secret {namespace}/{name}: install the operator there and wait until it is ready, or name its \
                 namespace by --namespace"
            )
        })?;
        let identity = Identity::from_secret(&found)?;
        let region = identity.region.parse().context("the operator's regionId")?;
        Ok(Self { region, keys: identity.public_keys, client, namespace: namespace.to_owned() })
    }

    fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}
