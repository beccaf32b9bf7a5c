//! A region's cluster.

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use std::time::Duration;

use crate::{command, helm};

/// Namespace of the operator.
pub const OPERATOR_NAMESPACE: &str = "cranewing-system";
/// How long anything may take on a machine that is busy; a tenfold ceiling, so that a hang fails.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Kinds without a namespace that the chart has objects of.
pub const CLUSTER_WIDE: &str = "clusterroles,clusterrolebindings,flowschemas,validatingadmissionpolicies,\
                                validatingadmissionpolicybindings";

/// A region's cluster.
#[derive(Clone)]
pub struct Region {
    /// regionId.
    pub id: &'static str,
    /// Path of its kubeconfig.
    pub kubeconfig: String,
    /// Its API server, as an administrator.
    pub client: Client,
}

impl Region {
    /// The region behind a kubeconfig. Its client lives as long as the runtime that it was made in.
    pub(crate) async fn open(id: &'static str, kubeconfig: &str) -> Self {
        let read = Kubeconfig::read_from(kubeconfig).unwrap();
        let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await.unwrap();
        Self { id, kubeconfig: kubeconfig.to_owned(), client: Client::try_from(config).unwrap() }
    }

    /// Objects of a kind in all namespaces, or of a kind without namespaces.
    pub fn all<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = ()>,
    {
        Api::all(self.client.clone())
    }

    /// Objects of a kind in the operator's namespace.
    pub fn system<K>(&self) -> Api<K>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        Api::namespaced(self.client.clone(), OPERATOR_NAMESPACE)
    }

    /// Takes out whatever is there of the product, however it came there.
    pub async fn clear(&self) {
        for release in ["cranewing", "cranewing-crds"] {
            helm::uninstall(self, release).await;
        }
        let crds = helm::repository("crds").display().to_string();
        let limit = "--timeout=60s";
        // what Terraform applied is no release of Helm's, which would refuse to take it over
        let others =
            ["delete", "namespaces", "--selector", "cranewing.dev/game-servers", "--ignore-not-found", limit];
        drop(command::kubectl(self, &others).await);
        let label = ["--selector", "app.kubernetes.io/instance=cranewing", "--ignore-not-found", limit];
        drop(command::kubectl(self, &[&["delete", CLUSTER_WIDE][..], &label].concat()).await);
        drop(command::kubectl(self, &["delete", "--ignore-not-found", limit, "--filename", &crds]).await);
        let namespace = ["delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", limit];
        drop(command::kubectl(self, &namespace).await);
    }
}
