//! A Fleet of twenty: from apply to all Ready, what it costs the API server, and what everything takes in memory.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::page::{Page, Spread, table};
use crate::checkout::Checkout;
use crate::clock;
use crate::cluster::{self, kubectl};
use crate::deploy;
use crate::down;
use crate::engine::{Engine, Surroundings};
use crate::marked;
use crate::process;
use crate::progress::Progress;
use crate::state::{Region, State};
use crate::up;

/// Game servers of the Fleet that is measured.
const SERVERS: u32 = 20;

/// Game servers of the sample Fleet without players.
const SAMPLE_SERVERS: u32 = 3;

/// How long it may take; far above what is expected.
const LIMIT: Duration = Duration::from_secs(180);

/// Writes by the operator's own count: (resource, verb) to requests.
type Writes = BTreeMap<(String, String), f64>;

/// One Fleet, made and removed.
struct Run {
    ready: Duration,
    gone: Duration,
    /// While it became Ready.
    writes: Writes,
}

/// Memory of one region in MB.
struct Memory {
    node: f64,
    operator: f64,
    server: f64,
}

pub(super) fn measure(checkout: &Checkout, runs: u8) -> Result<Page> {
    down::remove(checkout, |_| ())?;
    let progress = Progress::new();
    let (surroundings, state, _) = up::bring_up(checkout, &up::Args::default(), &progress)?;
    marked::end(&checkout.instance, &["bots"]);
    let region = state.regions.first().context("there is no region")?;
    quiet(&surroundings, region)?;
    let file = checkout.state().join("fleet.yaml");
    fs::write(&file, fleet()).with_context(|| format!("failed to write {}", file.display()))?;
    let mut all = Vec::new();
    let mut memory = Vec::new();
    for run in 1..=runs {
        all.push(progress.step(&format!("Fleet of {SERVERS}, {run} of {runs}"), |_| {
            one(&surroundings, region, &file.display().to_string(), || {
                memory.push(measure_memory(&surroundings, &state, region)?);
                Ok(())
            })
        })?);
    }
    Ok(Page {
        name: "fleet",
        title: "A Fleet of twenty game servers",
        arguments: format!("fleet --runs {runs}"),
        body: body(&all, &memory),
        panels: Vec::new(),
    })
}

fn body(runs: &[Run], memory: &[Memory]) -> String {
    let times = [
        ("apply to all Ready".to_owned(), Spread::seconds(runs.iter().map(|run| run.ready))),
        ("delete to all gone".to_owned(), Spread::seconds(runs.iter().map(|run| run.gone))),
    ];
    let kinds: Vec<&(String, String)> =
        runs.first().map(|run| run.writes.keys().collect()).unwrap_or_default();
    let per_server = |kind: &(String, String)| {
        Spread::of(runs.iter().map(|run| run.writes.get(kind).copied().unwrap_or(0.0) / f64::from(SERVERS)))
    };
    let mut writes: Vec<_> =
        kinds.into_iter().map(|kind| (format!("{} {}", kind.1, kind.0), per_server(kind))).collect();
    let sum = |wanted: &[&str], run: &Run| -> f64 {
        let counted = run.writes.iter().filter(|((resource, _), _)| wanted.contains(&resource.as_str()));
        counted.map(|(_, count)| count).sum::<f64>() / f64::from(SERVERS)
    };
    let server = ["gameservers", "gameservers/status", "pods"];
    writes.push((
        "**of each server's own: GameServer and Pod**".to_owned(),
        Spread::of(runs.iter().map(|run| sum(&server, run))),
    ));
    let megabytes = [
        (
            "a region: its node with API server, etcd, kubelet, operator and 23 game servers".to_owned(),
            Spread::of(memory.iter().map(|region| region.node)),
        ),
        ("an operator replica".to_owned(), Spread::of(memory.iter().map(|region| region.operator))),
        ("a game server without players".to_owned(), Spread::of(memory.iter().map(|region| region.server))),
    ];
    format!(
        "One region of three on this machine, the others idle; {} runs. \"Ready\" is by the server's own report over TLS. Writes are counted at the \
         operator's HTTP layer, so retries count too; Leases are left out.\n\n{}\n{}\n{}",
        runs.len(),
        table("time, s", 2, &times),
        table("writes a server until all are Ready", 2, &writes),
        table("memory, MB", 1, &megabytes)
    )
}

fn fleet() -> String {
    format!(
        "apiVersion: cranewing.dev/v1alpha1\nkind: Fleet\nmetadata: {{ name: bench, namespace: default }}\nspec:\n  replicas: {SERVERS}\n  \
         template:\n    spec:\n      capacity: 100\n      drain: {{ deadlineSeconds: 5 }}\n      template:\n        spec:\n          \
         containers:\n          - name: gameserver\n            resources: {{ requests: {{ cpu: 10m, memory: 16Mi }} }}\n"
    )
}

/// Waits until the players are gone and the AutoScaler has taken back what it added.
fn quiet(surroundings: &Surroundings, region: &Region) -> Result<()> {
    let settled = clock::poll(LIMIT, Duration::from_secs(1), || {
        let text =
            process::output(kubectl(surroundings, region).args(["get", "fleet/arena", "--output=json"]));
        let fleet: Value = serde_json::from_str(&text.ok()?).ok()?;
        let none = fleet["status"]["players"].as_i64() == Some(0);
        let replicas = &fleet["status"]["replicas"];
        (none && *replicas == SAMPLE_SERVERS && fleet["status"]["readyReplicas"] == *replicas).then_some(())
    });
    settled.context("the sample Fleet does not settle")
}

fn one(
    surroundings: &Surroundings,
    region: &Region,
    file: &str,
    mut when_ready: impl FnMut() -> Result<()>,
) -> Result<Run> {
    let call = |arguments: &[&str]| process::output(kubectl(surroundings, region).args(arguments));
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    let before = writes(surroundings, region)?;
    let start = clock::now();
    call(&["apply", "--filename", file])?;
    let all = format!("--for=jsonpath={{.status.readyReplicas}}={SERVERS}");
    call(&["wait", &all, "fleet/bench", &limit])?;
    let ready = start.elapsed();
    let mut writes = writes(surroundings, region)?;
    for (kind, count) in &mut writes {
        *count -= before.get(kind).copied().unwrap_or(0.0);
    }
    writes.retain(|_, count| *count > 0.0);
    when_ready()?;
    let start = clock::now();
    call(&["delete", "fleet/bench", "--wait=false"])?;
    call(&["wait", "--for=delete", "gameservers", "--selector=cranewing.dev/fleet=bench", &limit])?;
    call(&["wait", "--for=delete", "pods", "--selector=cranewing.dev/fleet=bench", &limit])?;
    Ok(Run { ready, gone: start.elapsed(), writes })
}

/// All replicas' write requests, Leases left out.
fn writes(surroundings: &Surroundings, region: &Region) -> Result<Writes> {
    let mut sum = Writes::new();
    for pod in operators(surroundings, region)? {
        let path = format!("/api/v1/namespaces/{}/pods/{pod}:8080/proxy/metrics", deploy::NAMESPACE);
        let text = process::output(kubectl(surroundings, region).args(["get", "--raw", &path]))?;
        for (kind, count) in text.lines().filter_map(write_line) {
            *sum.entry(kind).or_default() += count;
        }
    }
    sum.retain(|(resource, _), _| resource != "leases");
    Ok(sum)
}

/// `operator_api_writes_total{resource="pods",verb="create"} 3`
fn write_line(line: &str) -> Option<((String, String), f64)> {
    let (labels, count) = line.strip_prefix("operator_api_writes_total{")?.split_once("} ")?;
    let label = |name: &str| {
        labels.split(',').find_map(|label| {
            Some(label.strip_prefix(name)?.strip_prefix("=\"")?.strip_suffix('"')?.to_owned())
        })
    };
    Some(((label("resource")?, label("verb")?), count.parse().ok()?))
}

fn operators(surroundings: &Surroundings, region: &Region) -> Result<Vec<String>> {
    let names = process::output(kubectl(surroundings, region).args([
        "--namespace",
        deploy::NAMESPACE,
        "get",
        "pods",
        "--selector=app.kubernetes.io/name=cranewing",
        "--output=jsonpath={.items[*].metadata.name}",
    ]))?;
    Ok(names.split_whitespace().map(str::to_owned).collect())
}

fn measure_memory(surroundings: &Surroundings, state: &State, region: &Region) -> Result<Memory> {
    let cluster = region.cluster.as_deref().context("a local region has a cluster")?;
    let (node, _) =
        cluster::containers(surroundings, cluster)?.into_iter().next().context("there is no node")?;
    let summary = process::output(kubectl(surroundings, region).args([
        "get",
        "--raw",
        &format!("/api/v1/nodes/{node}/proxy/stats/summary"),
    ]))?;
    let summary: Value = serde_json::from_str(&summary).context("the kubelet's summary is not understood")?;
    let mean = |namespace: &str, prefix: &str| mean_megabytes(&summary, namespace, prefix);
    Ok(Memory {
        node: node_megabytes(surroundings, state.engine, &node)?,
        operator: mean(deploy::NAMESPACE, "cranewing-operator-").context("no operator is in the summary")?,
        // those of the sample: the kubelet has not looked at the new ones yet
        server: mean("default", "arena-").context("no game server is in the summary")?,
    })
}

/// Working set of the pods with this name in the kubelet's summary, on average.
fn mean_megabytes(summary: &Value, namespace: &str, prefix: &str) -> Option<f64> {
    let pods = summary["pods"].as_array()?.iter().filter(|pod| {
        pod["podRef"]["namespace"] == namespace
            && pod["podRef"]["name"].as_str().is_some_and(|name| name.starts_with(prefix))
    });
    let bytes: Vec<f64> = pods.filter_map(|pod| pod["memory"]["workingSetBytes"].as_f64()).collect();
    #[expect(clippy::cast_precision_loss, reason = "a count of pods")]
    let count = bytes.len() as f64;
    (!bytes.is_empty()).then(|| bytes.iter().sum::<f64>() / count / 1e6)
}

/// What the engine says that the node's container takes.
fn node_megabytes(surroundings: &Surroundings, engine: Engine, node: &str) -> Result<f64> {
    let mut stats = surroundings.engine();
    stats.args(["stats", "--no-stream", "--format", "{{.MemUsage}}", node]);
    let text = process::output(&mut stats)?;
    let used = text.split('/').next().unwrap_or_default().trim();
    let digits = used.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(used.len());
    let (number, unit) = used.split_at(digits);
    let factor = match unit.trim() {
        "kB" => 1e-3,
        "KiB" => 1024.0 / 1e6,
        "MB" => 1.0,
        "MiB" => 1024.0 * 1024.0 / 1e6,
        "GB" => 1e3,
        "GiB" => 1024.0 * 1024.0 * 1024.0 / 1e6,
        _ => bail!("{} says `{used}` where it should say how much memory", engine.program()),
    };
    Ok(number.parse::<f64>().with_context(|| format!("`{used}` is no amount of memory"))? * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_read_with_resource_and_verb() {
        let line = "operator_api_writes_total{resource=\"pods\",verb=\"create\"} 3";
        assert_eq!(write_line(line), Some((("pods".to_owned(), "create".to_owned()), 3.0)));
        assert_eq!(write_line("operator_api_reads_total{a=\"b\"} 3"), None);
    }

    #[test]
    fn memory_is_the_mean_of_the_pods_of_one_name() {
        let pod = |name: &str, bytes: u64| serde_json::json!({"podRef": {"namespace": "default", "name": name}, "memory": {"workingSetBytes": bytes}});
        let summary = serde_json::json!({"pods": [pod("bench-1", 10_000_000), pod("bench-2", 20_000_000), pod("arena-1", 99)]});
        assert_eq!(mean_megabytes(&summary, "default", "bench-"), Some(15.0));
        assert_eq!(mean_megabytes(&summary, "other", "bench-"), None);
    }
}
