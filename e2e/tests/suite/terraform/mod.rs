//! `terraform/`: a region alone, and three that are one, from nothing to players and back to nothing.

mod one_region;
mod three_regions;

use e2e::command::{kubectl, try_kubectl};
use e2e::region::{CLUSTER_WIDE, OPERATOR_NAMESPACE};
use e2e::terraform::{Environment, GAMES};
use e2e::{Region, say};
use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::collections::BTreeMap;

/// What each tool is called by.
const OPENTOFU: &str = "CRANEWING_E2E_OPENTOFU";
const TERRAFORM: &str = "CRANEWING_E2E_TERRAFORM";

/// Whether Terraform is here too; says so if it is not.
fn has_terraform() -> bool {
    let has = std::env::var_os(TERRAFORM).is_some();
    if !has {
        say("terraform/ is applied by OpenTofu alone: there is no Terraform of 1.11 or later on the PATH");
    }
    has
}

/// Nobody would change anything in a region.
async fn settled(environment: &Environment, region: &Region) -> f64 {
    let (changes, seconds) = environment.plan(region).await;
    assert!(changes.is_empty(), "{} is as it should be: {changes:?}", region.id);
    seconds
}

/// Uid of each game server's pod in a region, by name: they are the same while no server moves.
async fn pods(region: &Region) -> BTreeMap<String, String> {
    let api: Api<Pod> = Api::namespaced(region.client.clone(), GAMES);
    let pods = api.list(&ListParams::default()).await.unwrap().items;
    let alive = pods.into_iter().filter(|pod| pod.metadata.deletion_timestamp.is_none());
    alive.map(|pod| (pod.name_any(), pod.uid().unwrap())).collect()
}

/// Nothing of the product is in a region's cluster.
async fn assert_nothing_is_left(region: &Region) {
    let found = kubectl(region, &["get", "customresourcedefinitions,namespaces", "--output=name"]).await;
    let namespaces = [GAMES, OPERATOR_NAMESPACE].map(|name| format!("namespace/{name}"));
    let left: Vec<&str> = found
        .lines()
        .filter(|name| {
            name.ends_with(".cranewing.dev") || namespaces.iter().any(|namespace| namespace == name)
        })
        .collect();
    assert_eq!(left, Vec::<&str>::new(), "{}", region.id);
    for selector in [&["--selector", "app.kubernetes.io/instance=cranewing"][..], &[]] {
        let said = try_kubectl(region, &[&["get", CLUSTER_WIDE, "--output=name"], selector].concat(), "")
            .await
            .unwrap();
        let left: Vec<&str> = said.lines().filter(|name| name.contains("cranewing")).collect();
        assert_eq!(left, Vec::<&str>::new(), "{}", region.id);
    }
}
