//! How commands reach a cluster: with the rights of whoever calls them.

use anyhow::Context as _;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

use super::patience::answer_in_time;

/// A client of the cluster that this context of the kubeconfig names, or its current one.
pub(crate) async fn connect(kubeconfig: Kubeconfig, context: Option<String>) -> anyhow::Result<Client> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let builder = ClientBuilder::try_from(config.context("failed to use the kubeconfig")?);
    Ok(builder.context("failed to make a client")?.with_layer(&answer_in_time()).build())
}
