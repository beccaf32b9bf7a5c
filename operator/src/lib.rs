//! The operator: everything that touches Kubernetes, the network and the clock. What is to be done is decided in
//! `operator-core`; here it is observed, carried out and told.
//!
//! - `about`: whom a line of the log is about.
//! - `runtime`: tasks, watches, leadership, metrics, telemetry; knows no resource of ours.
//! - `reports`: the endpoint that game servers report to, on every replica.
//! - `allocation`: which game server is whose, on every replica.
//! - `links`: what the operators of several regions say to each other, on every replica.
//! - `placement`: where players who play together get their server, on every replica; and how to ask.
//! - `controllers`: one room a kind; they run on the leader only.
//! - `journal`: what this replica decided last, and why.
//! - `debug`: shows that and the stream index to whoever may look, and packs all that is known of a region into one file.
//! - `seccomp`: the profile of game servers and its way onto the nodes.
//! - `responder`: answers the probes of other regions; `region`: makes regions known to each other.
//! - `rollout`: follows a change of a Fleet's template and takes it back, for people.

mod about;
mod allocation;
pub mod args;
mod controllers;
pub mod debug;
mod journal;
mod links;
#[cfg(test)]
mod mock_api;
pub mod placement;
pub mod region;
mod reports;
pub mod responder;
pub mod rollout;
mod run;
mod runtime;
pub mod seccomp;

pub use run::run;

use anyhow::Context;
use std::io::Write;

/// Prints the CustomResourceDefinitions as YAML documents.
pub fn print_crds(out: &mut dyn Write) -> anyhow::Result<()> {
    for crd in operator_api::crds::all() {
        let yaml = serde_yaml::to_string(&crd).context("failed to print a CustomResourceDefinition")?;
        write!(out, "---\n{yaml}").context("failed to write to the output")?;
    }
    Ok(())
}
