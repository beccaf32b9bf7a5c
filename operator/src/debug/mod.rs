//! For whoever looks for a fault: `operator debug bundle` packs what is known of a region into one file, with the rights of whoever calls
//! it, and each replica shows to that what no object has: its last decisions and its stream index.
//!
//! Invariants:
//! - No Secret is read, and what is recognised as a key, a token or a password is in no file of a bundle (`redact`).
//! - What cannot be read is a line in `errors.txt`, and keeps nothing else out.
//! - A bundle is bounded, and so is what of it is in memory: a page of objects or one log.

mod archive;
mod endpoint;
mod logs;
mod objects;
mod pods;
mod redact;
mod replica;

pub(crate) use endpoint::Shown;

use anyhow::Context as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::Write;
use std::path::PathBuf;

use crate::args::{BundleArgs, DebugCommand};
use crate::runtime::clock::Clock;
use crate::runtime::kubeconfig::{connect, read};
use archive::Archive;

/// Where a replica shows its last decisions.
const DECISIONS: &str = "/decisions";
/// Where it shows its stream index.
const STREAMS: &str = "/streams";

/// Carries the command out. What it is at is told to `notes`, and where the bundle is to `out`.
pub fn run(command: &DebugCommand, out: &mut dyn Write, notes: &mut dyn Write) -> anyhow::Result<()> {
    let DebugCommand::Bundle(args) = command;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let written = runtime.context("failed to start the runtime")?.block_on(async {
        let kubeconfig = read(args.cluster.kubeconfig.as_deref())?;
        let client = connect(kubeconfig, args.cluster.context.clone()).await?;
        bundle(&client, args, &Clock::start().wall(), notes).await
    })?;
    writeln!(out, "{}", written.display()).context("failed to write to the output")
}

/// A bundle while it is made.
struct Bundle<'a> {
    client: &'a Client,
    args: &'a BundleArgs,
    archive: Archive,
    /// Nodes on which a log did not come in time: the next one there would not either.
    silent: BTreeSet<String>,
    notes: &'a mut dyn Write,
}

impl Bundle<'_> {
    /// Says what it is at. Nobody to read that is no failure.
    fn say(&mut self, text: &str) {
        drop(writeln!(self.notes, "{text}"));
    }
}

/// Makes a bundle; where it is.
async fn bundle(
    client: &Client,
    args: &BundleArgs,
    now: &Time,
    notes: &mut dyn Write,
) -> anyhow::Result<PathBuf> {
    // of a cluster that does not answer there is nothing to pack
    let server = client.apiserver_version().await.context("failed to ask the API server for its version")?;
    let stamp: String = now.0.to_string().chars().filter(|letter| !"-:".contains(*letter)).collect();
    let top = format!("cranewing-debug-{stamp}");
    let target = args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{top}.tar.gz")));
    let archive = Archive::begin(&target, &top, now, args.max_bytes)?;
    let mut bundle = Bundle { client, args, archive, silent: BTreeSet::new(), notes };
    let about = json!({
        "form": 1,
        "made": now.0.to_string(),
        "program": env!("CARGO_PKG_VERSION"),
        "kubernetes": server.git_version,
        "namespace": args.cluster.namespace,
        "games": args.games,
        "sinceSeconds": args.since.as_secs(),
        "logBytes": args.log_bytes,
    });
    bundle.archive.add("about.json", format!("{about:#}\n").as_bytes())?;
    let pods = objects::collect(&mut bundle).await?;
    for operator in pods.operators.iter().filter(|pod| pod.is_replica) {
        replica::collect(&mut bundle, operator).await?;
    }
    for pod in &pods.operators {
        logs::collect(&mut bundle, pod).await?;
    }
    let all = pods.game_servers.len();
    let chosen = pods::most_telling(pods.game_servers, args.server_logs);
    bundle.say(&format!("logs of {} of {all} game servers", chosen.len()));
    if chosen.len() < all {
        let why = format!("{} of {all} are in it; ask for more by --server-logs", chosen.len());
        bundle.archive.fault("logs of game servers", &why);
    }
    for pod in &chosen {
        logs::collect(&mut bundle, pod).await?;
    }
    let faults = bundle.archive.faults();
    if faults > 0 {
        bundle.say(&format!("{faults} things are not in it: see its errors.txt"));
    }
    bundle.archive.finish()?;
    Ok(target)
}

/// What an error of the API server says, with the right that is missing.
fn words(error: &kube::Error, right: &str) -> String {
    match error {
        kube::Error::Api(status) if status.code == 403 => format!("{status}; it takes the right to {right}"),
        kube::Error::Api(status) => status.to_string(),
        error => crate::runtime::telemetry::chain(error),
    }
}

#[cfg(test)]
mod tests;
