//! How commands reach a cluster: with the rights of whoever calls them.

use anyhow::Context as _;
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use std::path::Path;

use super::patience::answer_in_time;

/// The kubeconfig at this path, or that which `KUBECONFIG` names.
pub(crate) fn read(path: Option<&Path>) -> anyhow::Result<Kubeconfig> {
    match path {
        Some(path) => Kubeconfig::read_from(path)
            .with_context(|| format!("failed to read the kubeconfig {}", path.display())),
        None => Kubeconfig::read()
            .context("failed to read the kubeconfig; name one by --kubeconfig or KUBECONFIG"),
    }
}

/// A client of the cluster that this context of the kubeconfig names, or its current one.
pub(crate) async fn connect(kubeconfig: Kubeconfig, context: Option<String>) -> anyhow::Result<Client> {
    let options = KubeConfigOptions { context, ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
    let builder = ClientBuilder::try_from(config.context("failed to use the kubeconfig")?);
    Ok(builder.context("failed to make a client")?.with_layer(&answer_in_time()).build())
}
