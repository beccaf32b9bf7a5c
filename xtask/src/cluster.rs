//! kind clusters as regions: made in parallel, on a network of the instance's own, with pod networks that reach each other.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

use crate::checkout::Checkout;
use crate::clock;
use crate::engine::{Engine, Surroundings};
use crate::process;
use crate::progress::Progress;
use crate::state::Region;

/// The regions of a local instance, in the order of their subnets.
pub(crate) const REGION_IDS: [&str; 3] = ["kr", "jp", "sg"];

/// The label by which kind marks its containers.
const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";

/// How long the removal of a cluster's nodes may take.
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

/// How long a node that was stopped or paused may take to answer again.
const ANSWER_LIMIT: Duration = Duration::from_secs(60);

/// Region `id` of this instance, as it will be.
pub(crate) fn planned(checkout: &Checkout, id: &str) -> Region {
    Region {
        id: id.to_owned(),
        kubeconfig: checkout.state().join(format!("{id}.kubeconfig")),
        cluster: Some(format!("{}-{id}", checkout.instance)),
        context: None,
    }
}

/// Pod and service subnet of the region at `index`; no two overlap, so that they can be routed to each other.
pub(crate) fn subnets(index: usize) -> (String, String) {
    (format!("10.{}.0.0/16", 101 + index), format!("10.{}.0.0/16", 111 + index))
}

/// Makes the network of the instance. kind would make it too, but three kinds at once would race for it.
pub(crate) fn ensure_network(checkout: &Checkout, surroundings: &Surroundings) -> Result<()> {
    let name = checkout.instance.as_str();
    if process::succeeds(surroundings.engine().args(["network", "inspect", name])) {
        return Ok(());
    }
    process::run(
        surroundings.engine().args(["network", "create", "--driver=bridge", name]),
        &checkout.log("network"),
    )
}

/// Makes sure that the region's cluster runs; what is there and whole is left as it is.
pub(crate) fn ensure(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    index: usize,
    nodes: u8,
    image: &str,
) -> Result<()> {
    let cluster = region.cluster.as_deref().context("a local region has a cluster")?;
    let log = checkout.log(&format!("cluster-{}", region.id));
    let complete = complete_mark(checkout, region);
    let present = !containers(surroundings, cluster)?.is_empty();
    if present && complete.exists() && region.kubeconfig.exists() {
        name_context(surroundings, region, cluster, &log)?;
        return wake(surroundings, region, cluster);
    }
    if present {
        // a creation that was cut off cannot be continued
        delete(checkout, surroundings, region)?;
    }
    let peers = checkout.state().join("peer-pod-cidrs");
    let cidrs: String = (0..REGION_IDS.len()).map(|peer| subnets(peer).0 + "\n").collect();
    fs::write(&peers, cidrs).with_context(|| format!("failed to write {}", peers.display()))?;
    let config = checkout.state().join(format!("{}.kind.yaml", region.id));
    fs::write(&config, config_text(&region.id, index, nodes, &peers.display().to_string()))
        .with_context(|| format!("failed to write {}", config.display()))?;
    let mut kind = surroundings.command("kind");
    kind.args(["create", "cluster", "--name", cluster, "--image", image, "--config"]).arg(&config);
    process::run(kind.arg("--kubeconfig").arg(&region.kubeconfig), &log)?;
    name_context(surroundings, region, cluster, &log)?;
    if nodes > 1 {
        // each zone has one node, so the control plane's plays too
        let taint = "node-role.kubernetes.io/control-plane:NoSchedule-";
        process::run(kubectl(surroundings, region).args(["taint", "nodes", "--all", taint]), &log).or_else(
            |error| {
                if format!("{error:#}").contains("not found") { Ok(()) } else { Err(error) }
            },
        )?;
    }
    fs::write(&complete, "").with_context(|| format!("failed to write {}", complete.display()))
}

/// Has the region's own name lead to it beside kind's, so that what the docs say can be typed as it stands.
fn name_context(surroundings: &Surroundings, region: &Region, cluster: &str, log: &Path) -> Result<()> {
    let entry = format!("kind-{cluster}");
    let config = ["config", "set-context", &region.id, "--cluster", &entry, "--user", &entry];
    process::run(kubectl(surroundings, region).args(config), log)?;
    process::run(kubectl(surroundings, region).args(["config", "use-context", &region.id]), log)
}

/// Unpauses or starts what is not running and waits for the API server's answer.
fn wake(surroundings: &Surroundings, region: &Region, cluster: &str) -> Result<()> {
    for (container, status) in containers(surroundings, cluster)? {
        let verb = match status.as_str() {
            "running" => continue,
            "paused" => "unpause",
            _ => "start",
        };
        process::output(surroundings.engine().args([verb, &container]))?;
    }
    let answer = clock::poll(ANSWER_LIMIT, Duration::from_millis(500), || {
        process::succeeds(kubectl(surroundings, region).args([
            "get",
            "--raw=/readyz",
            "--request-timeout=3s",
        ]))
        .then_some(())
    });
    if answer.is_none() {
        bail!(
            "the API server of {cluster} does not answer although its node runs; `cargo xtask down` and `up` make it anew"
        );
    }
    Ok(())
}

/// Loads image archives into every node of the region.
pub(crate) fn load(
    checkout: &Checkout,
    surroundings: &Surroundings,
    region: &Region,
    archives: &[PathBuf],
) -> Result<()> {
    let Some(cluster) = &region.cluster else { return Ok(()) };
    let log = checkout.log(&format!("cluster-{}", region.id));
    for archive in archives {
        let mut kind = surroundings.command("kind");
        process::run(kind.args(["load", "image-archive", "--name", cluster]).arg(archive), &log)?;
    }
    Ok(())
}

/// Routes each region's pod network to the others' nodes.
pub(crate) fn route(checkout: &Checkout, surroundings: &Surroundings, regions: &[Region]) -> Result<()> {
    let log = checkout.log("routes");
    let mut nodes = Vec::new();
    for region in regions {
        let query = "jsonpath={range .items[*]}{.metadata.name} {.spec.podCIDR} \
                     {.status.addresses[?(@.type==\"InternalIP\")].address}{\"\\n\"}{end}";
        let text = process::output(kubectl(surroundings, region).args(["get", "nodes", "-o", query]))?;
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            let (Some(name), Some(cidr), Some(address)) = (words.next(), words.next(), words.next()) else {
                bail!("a node of {} has no pod network yet: {line}", region.id);
            };
            nodes.push((region.id.clone(), name, cidr, address));
        }
    }
    for (home, node, _, _) in &nodes {
        let routes: Vec<String> = nodes
            .iter()
            .filter(|(region, ..)| region != home)
            .map(|(_, _, cidr, address)| format!("ip route replace {cidr} via {address}"))
            .collect();
        if !routes.is_empty() {
            process::run(surroundings.engine().args(["exec", node, "sh", "-ec", &routes.join("\n")]), &log)?;
        }
    }
    Ok(())
}

/// Removes the region's cluster with all that belongs to it, also one that was never finished.
pub(crate) fn delete(checkout: &Checkout, surroundings: &Surroundings, region: &Region) -> Result<()> {
    let Some(cluster) = &region.cluster else { return Ok(()) };
    let log = checkout.log(&format!("cluster-{}", region.id));
    let _absent = fs::remove_file(complete_mark(checkout, region));
    // an engine that was cut off in the middle of a creation needs a second or two before it can undo it
    let mut namespaces = BTreeSet::new();
    until_done(REMOVAL_LIMIT, || {
        let mut removed = Ok(());
        for (container, status) in &containers(surroundings, cluster)? {
            if status == "paused" {
                process::succeeds(surroundings.engine().args(["unpause", container]));
            }
            namespaces.extend(network_namespace(surroundings, container));
            let remove = ["rm", "--force", "--volumes", container];
            if let Err(error) = process::run(surroundings.engine().args(remove), &log) {
                removed = Err(error);
            }
        }
        match containers(surroundings, cluster)?.as_slice() {
            [] => Ok(()),
            left => removed.and_then(|()| bail!("{} nodes are still there", left.len())),
        }
    })
    .with_context(|| format!("failed to remove the nodes of {cluster}"))?;
    for namespace in namespaces.iter().filter(|namespace| namespace.exists()) {
        // the engine forgets it when the node's monitor was killed
        process::run(Command::new("umount").arg(namespace), &log)?;
        fs::remove_file(namespace).with_context(|| format!("failed to remove {}", namespace.display()))?;
    }
    // a creation that was cut off may have made a volume and no container; kind labels it with the node's name
    for node in ["control-plane", "worker", "worker2"] {
        let filter = format!("label={cluster}-{node}");
        let volumes =
            process::output(surroundings.engine().args(["volume", "ls", "--quiet", "--filter", &filter]))?;
        for volume in volumes.lines() {
            process::run(surroundings.engine().args(["volume", "rm", "--force", volume]), &log)?;
        }
    }
    Ok(())
}

/// Tries again until `work` is done; after `limit` the last failure is the reason.
fn until_done(limit: Duration, mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let mut last = Ok(());
    let done = clock::poll(limit, Duration::from_millis(500), || {
        last = work();
        last.is_ok().then_some(())
    });
    match done {
        Some(()) => Ok(()),
        None => last.with_context(|| format!("given up after {} s", limit.as_secs())),
    }
}

/// Removes the instance's network, and its bridge with it.
pub(crate) fn delete_network(checkout: &Checkout, surroundings: &Surroundings) -> Result<()> {
    let (name, log) = (checkout.instance.as_str(), checkout.log("network"));
    if !process::succeeds(surroundings.engine().args(["network", "inspect", name])) {
        return Ok(());
    }
    if surroundings.engine == Engine::Podman {
        // podman leaves the bridge when a node on it ended without its monitor; nobody is on it any more, and first, because
        // only the network knows its name
        let format = ["network", "inspect", "--format", "{{.NetworkInterface}}", name];
        let bridge = process::output(surroundings.engine().args(format))?;
        let bridge = bridge.trim();
        if !bridge.is_empty() && Path::new("/sys/class/net").join(bridge).join("bridge").exists() {
            process::run(Command::new("ip").args(["link", "delete", bridge]), &log)?;
        }
    }
    process::run(surroundings.engine().args(["network", "rm", name]), &log)
}

/// kubectl for one region.
pub(crate) fn kubectl(surroundings: &Surroundings, region: &Region) -> Command {
    let mut kubectl = surroundings.command("kubectl");
    kubectl.arg("--kubeconfig").arg(&region.kubeconfig);
    kubectl
}

/// Makes the clusters of all regions at once and joins their pod networks.
pub(crate) fn ensure_all(
    checkout: &Checkout,
    surroundings: &Surroundings,
    progress: &Progress,
    regions: &[Region],
    nodes: u8,
    image: &str,
) -> Result<()> {
    ensure_network(checkout, surroundings)?;
    in_parallel(regions, |index, region| {
        progress.step(&format!("cluster {}", region.id), |_| {
            ensure(checkout, surroundings, region, index, nodes, image)
        })
    })
}

/// Runs `work` for every region at once; all are waited for, the first failure counts.
pub(crate) fn in_parallel(
    regions: &[Region],
    work: impl Fn(usize, &Region) -> Result<()> + Sync,
) -> Result<()> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> = regions
            .iter()
            .enumerate()
            .map(|(index, region)| scope.spawn(move || work(index, region)))
            .collect();
        let outcomes: Vec<Result<()>> = threads
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
            .collect();
        outcomes.into_iter().collect()
    })
}

/// (name, status) of the cluster's nodes.
pub(crate) fn containers(surroundings: &Surroundings, cluster: &str) -> Result<Vec<(String, String)>> {
    let filter = format!("label={CLUSTER_LABEL}={cluster}");
    let format = "{{.Names}} {{.State}}";
    let text = process::output(
        surroundings.engine().args(["ps", "--all", "--filter", &filter, "--format", format]),
    )?;
    Ok(text
        .lines()
        .filter_map(|line| {
            line.split_once(' ').map(|(name, state)| (name.to_owned(), state.trim().to_lowercase()))
        })
        .collect())
}

/// Where the engine keeps a container's network namespace, if it has one.
fn network_namespace(surroundings: &Surroundings, container: &str) -> Option<PathBuf> {
    let format = ["inspect", "--format", "{{.NetworkSettings.SandboxKey}}", container];
    let path = PathBuf::from(process::output(surroundings.engine().args(format)).ok()?.trim());
    (surroundings.engine == Engine::Podman && path.starts_with("/run/netns")).then_some(path)
}

fn complete_mark(checkout: &Checkout, region: &Region) -> PathBuf {
    checkout.state().join(format!("{}.complete", region.id))
}

/// The first node is the control plane; node n stands in zone n.
fn config_text(region: &str, index: usize, nodes: u8, peers: &str) -> String {
    let (pods, services) = subnets(index);
    let node = |(number, zone): (u8, char)| {
        let role = if number == 0 { "control-plane" } else { "worker" };
        format!(
            "- role: {role}\n  \
               labels:\n    \
                 topology.kubernetes.io/region: {region}\n    \
                 topology.kubernetes.io/zone: {region}-{zone}\n  \
               extraMounts:\n  \
               - hostPath: {peers}\n    containerPath: /kind/peer-pod-cidrs\n    readOnly: true\n"
        )
    };
    let nodes: Vec<String> = (0..nodes).zip('a'..).map(node).collect();
    format!(
        "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\n\
         networking:\n  podSubnet: {pods}\n  serviceSubnet: {services}\n  kubeProxyMode: nftables\n\
         nodes:\n{}",
        nodes.concat()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_subnets_overlap() {
        let all: Vec<String> =
            (0..REGION_IDS.len()).flat_map(|index| [subnets(index).0, subnets(index).1]).collect();
        let mut unique = all.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), all.len(), "{all:?}");
    }

    #[test]
    fn what_does_not_come_to_an_end_says_why_it_failed_last() {
        let mut tries = 0;
        let outcome = until_done(Duration::ZERO, || {
            tries += 1;
            bail!("the engine does not answer")
        });
        let said = format!("{:#}", outcome.unwrap_err());
        assert!(tries > 0 && said.contains("the engine does not answer"), "{said}");
        let mut left = 2;
        let outcome = until_done(Duration::from_secs(60), || {
            left -= 1;
            if left == 0 { Ok(()) } else { bail!("half made") }
        });
        assert!(outcome.is_ok(), "a failure that passed is none");
    }

    #[test]
    fn three_nodes_stand_in_three_zones_and_one_is_the_control_plane() {
        let text = config_text("kr", 0, 3, "/p");
        assert_eq!(text.matches("role: control-plane").count(), 1);
        for zone in ["kr-a", "kr-b", "kr-c"] {
            assert_eq!(text.matches(&format!("zone: {zone}\n")).count(), 1, "{text}");
        }
    }
}
