//! `operator region join`.

use anyhow::{Context as _, bail};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use operator_api::labels;
use operator_core::regions::RegionId;
use std::collections::BTreeSet;
use std::io::Write;

use super::{Cluster, identity};
use crate::links::is_ready;
use crate::links::peer::{ADDRESSES_MAX, Peer, check_address};

const FIELD_MANAGER: &str = "cranewing-region";

/// Writes each region into all others.
pub(super) async fn join(
    clusters: &[Cluster],
    addresses: &[(RegionId, String)],
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut regions = BTreeSet::new();
    if let Some(twin) = clusters.iter().find(|cluster| !regions.insert(cluster.region)) {
        bail!(
            "two of these clusters are region {}; name each once, and give each another `region.id` in its chart",
            twin.region
        );
    }
    if regions.len() < 2 {
        bail!("it takes two regions to join; name each by --context or --kubeconfig");
    }
    if let Some((stranger, _)) = addresses.iter().find(|(region, _)| !regions.contains(region)) {
        bail!(
            "--address {stranger}=…: no cluster of that region is named; name it by --context or --kubeconfig"
        );
    }
    let mut peers = Vec::new();
    for cluster in clusters {
        let given = addresses.iter().filter(|(region, _)| *region == cluster.region);
        let mut addresses: Vec<String> = given.map(|(_, address)| address.clone()).collect();
        if addresses.is_empty() {
            addresses = cluster.addresses().await?;
        }
        let addresses = addresses.into_iter().map(check_address).collect::<Result<_, _>>()?;
        let keys = identity(&cluster.client, &cluster.namespace).await?.public_keys;
        peers.push(Peer { region: cluster.region, addresses, keys, responders: Vec::new() });
    }
    for cluster in clusters {
        for peer in peers.iter().filter(|peer| peer.region != cluster.region) {
            let done = cluster.register(peer).await.with_context(|| {
                format!("failed to write {} into {}; run it again", peer.region, cluster.region)
            })?;
            let addresses = peer.addresses.join(", ");
            writeln!(out, "{}: {} {done} ({addresses})", cluster.region, peer.region)
                .context("failed to write to the output")?;
        }
    }
    Ok(())
}

impl Cluster {
    /// Registers a peer in this cluster; answers what that did.
    async fn register(&self, peer: &Peer) -> kube::Result<&'static str> {
        let (api, wanted) = (self.secrets(), peer.to_secret());
        let name = labels::peer_secret_name(peer.region.as_str());
        let found = api.get_opt(&name).await?;
        if let Some(found) = &found {
            let is_same =
                |(field, value)| found.data.as_ref().and_then(|data| data.get(field)) == Some(value);
            let is_labelled = found.labels().get(labels::PEER) == wanted.labels().get(labels::PEER);
            if is_labelled && wanted.data.iter().flatten().all(is_same) {
                return Ok("unchanged");
            }
        }
        // Whatever else stands in it is somebody's own.
        drop(api.patch(&name, &PatchParams::apply(FIELD_MANAGER).force(), &Patch::Apply(&wanted)).await?);
        Ok(if found.is_some() { "updated" } else { "added" })
    }

    /// Where this region's links are reached from elsewhere.
    async fn addresses(&self) -> anyhow::Result<Vec<String>> {
        let (region, name) = (self.region, labels::LINK_SERVICE);
        let services: Api<Service> = Api::namespaced(self.client.clone(), &self.namespace);
        let service = services
            .get_opt(name)
            .await
            .with_context(|| format!("failed to read Service {name} of {region}"))?;
        let nodes: Api<Node> = Api::all(self.client.clone());
        let of_type = service.as_ref().and_then(|service| service.spec.as_ref()?.type_.clone());
        let mut addresses = match (&service, of_type.as_deref()) {
            (Some(service), Some("LoadBalancer")) => balanced(service),
            (Some(service), Some("NodePort")) => {
                let nodes = nodes.list(&ListParams::default()).await;
                on_nodes(
                    service,
                    &nodes.with_context(|| format!("failed to list the nodes of {region}"))?.items,
                )
            }
            _ => Vec::new(),
        };
        addresses.sort_unstable();
        addresses.truncate(ADDRESSES_MAX);
        if addresses.is_empty() {
            bail!(
                "region {region} cannot be reached from elsewhere: Service {}/{name} is {}; set `link.service.type` of its chart \
                 to NodePort or LoadBalancer and wait until it has an address, or give one by --address {region}=HOST:PORT",
                self.namespace,
                of_type
                    .as_deref()
                    .map_or_else(|| "not there".to_owned(), |of_type| format!("of type {of_type}"))
            );
        }
        Ok(addresses)
    }
}

fn balanced(service: &Service) -> Vec<String> {
    let port = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).map(|port| port.port).next();
    let balancer = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let hosts = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    let hosts = hosts.filter_map(|ingress| ingress.hostname.clone().or_else(|| ingress.ip.clone()));
    port.map(|port| hosts.map(|host| address(&host, port)).collect()).unwrap_or_default()
}

fn on_nodes(service: &Service, nodes: &[Node]) -> Vec<String> {
    let port =
        service.spec.iter().flat_map(|spec| spec.ports.iter().flatten()).find_map(|port| port.node_port);
    let of_type = |node: &Node, type_: &str| {
        let mut addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
        addresses.find(|address| address.type_ == type_).map(|address| address.address.clone())
    };
    let hosts = nodes.iter().filter(|node| is_ready(node));
    let hosts = hosts.filter_map(|node| of_type(node, "ExternalIP").or_else(|| of_type(node, "InternalIP")));
    port.map(|port| hosts.map(|host| address(&host, port)).collect()).unwrap_or_default()
}

fn address(host: &str, port: i32) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}
