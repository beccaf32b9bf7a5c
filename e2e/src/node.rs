//! The machine below a region: its nodes are containers here.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use kube::api::ListParams;
use std::process::Command;

use crate::needs::engine;
use crate::region::Region;

/// Nodes of a region that stand still; they run again when this is dropped.
pub struct Paused {
    nodes: Vec<String>,
}

/// A node of the region that is no container of the engine on this machine, if there is one.
pub(crate) async fn stranger(region: &Region) -> Option<String> {
    let is_here = |node: &String| {
        let inspect = ["inspect", "--type=container", node];
        Command::new(engine()).args(inspect).output().is_ok_and(|output| output.status.success())
    };
    names(region).await.into_iter().find(|node| !is_here(node))
}

async fn names(region: &Region) -> Vec<String> {
    let nodes = region.all::<Node>().list(&ListParams::default()).await.unwrap();
    nodes.items.iter().map(ResourceExt::name_any).collect()
}

/// Stops every process of a region's nodes where it stands.
pub async fn pause(region: &Region) -> Paused {
    let paused = Paused { nodes: names(region).await };
    for node in &paused.nodes {
        drop(engine_says(&["pause", node]));
    }
    paused
}

impl Drop for Paused {
    fn drop(&mut self) {
        for node in &self.nodes {
            let resumed = Command::new(engine()).args(["unpause", node]).output();
            if !resumed.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("{node} stays paused: {resumed:?}");
            }
        }
    }
}

/// Kills the first process of a pod's first container, with a signal that it cannot hear.
pub fn kill(pod: &Pod) {
    signal(pod, "KILL");
}

/// Tells the first process of a pod's first container to end.
pub fn terminate(pod: &Pod) {
    signal(pod, "TERM");
}

fn signal(pod: &Pod, signal: &str) {
    let node = pod.spec.as_ref().unwrap().node_name.as_deref().unwrap();
    let containers = pod.status.as_ref().unwrap().container_statuses.as_ref().unwrap();
    let id = containers[0].container_id.as_deref().unwrap().rsplit('/').next().unwrap();
    let script =
        format!("kill -{signal} $(crictl inspect --output go-template --template '{{{{.info.pid}}}}' {id})");
    drop(engine_says(&["exec", node, "sh", "-ec", &script]));
}

fn engine_says(arguments: &[&str]) -> String {
    let output = Command::new(engine()).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{} {}: {said}", engine(), arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
