//! The end-to-end suite, on clusters that the environment names; `cargo xtask test` makes them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

#[path = "suite/allocation.rs"]
mod allocation;
#[path = "suite/autoscaling.rs"]
mod autoscaling;
#[path = "suite/debug.rs"]
mod debug;
#[path = "suite/failures.rs"]
mod failures;
#[path = "suite/fleets.rs"]
mod fleets;
#[path = "suite/hardening.rs"]
mod hardening;
#[path = "suite/install.rs"]
mod install;
#[path = "suite/overlays.rs"]
mod overlays;
#[path = "suite/reports.rs"]
mod reports;
#[path = "suite/rollouts.rs"]
mod rollouts;
#[path = "suite/samples.rs"]
mod samples;
#[path = "suite/terraform/mod.rs"]
mod terraform;
#[path = "suite/world/mod.rs"]
mod world;

use e2e::Scratch;
use operator_api::Fleet;

/// A Fleet of small servers named `duel`; `pod` is put into the spec of their pods.
fn duel(replicas: usize, pod: &str) -> String {
    format!(
        "{{apiVersion: cranewing.dev/v1alpha1, kind: Fleet, metadata: {{name: duel}}, spec: {{replicas: {replicas}, template: {{spec: {{capacity: 16, drain: {{deadlineSeconds: 5}}, template: {{spec: {{{pod} containers: [{{name: gameserver, resources: {{requests: {{cpu: 10m, memory: 16Mi}}}}}}]}}}}}}}}}}}}"
    )
}

/// Applies that Fleet and waits until all of it is Ready.
async fn duel_in(scratch: &Scratch, replicas: usize) {
    drop(scratch.apply::<Fleet>(&duel(replicas, "")).await);
    drop(scratch.await_fleet("duel", replicas).await);
}

/// Sets a Fleet's replicas as people do.
async fn scale(scratch: &Scratch, fleet: &str, replicas: usize) {
    let (fleet, replicas) = (format!("fleets.cranewing.dev/{fleet}"), format!("--replicas={replicas}"));
    drop(scratch.kubectl(&["scale", &fleet, &replicas]).await);
}
