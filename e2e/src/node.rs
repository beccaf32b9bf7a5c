//! The machine below a region: its nodes are containers here.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use std::process::Command;
use std::time::Duration;

use crate::needs::engine;
use crate::region::Region;
use crate::wait::eventually;

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

/// What of a region's traffic with others a cut takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// All of it.
    Everything,
    /// What the region itself begins; it still answers others.
    OwnCalls,
    /// What the others begin; it still reaches them.
    TheirCalls,
    /// All but a few packets a second, which come late for being sent again.
    Most,
}

/// A region that is cut off; the cut ends when this is dropped, and by itself when its time is over, whatever became of this.
pub struct Cut {
    nodes: Vec<String>,
}

/// Name of the table that a cut is.
const CUT: &str = "inet cranewing_e2e_cut";

/// Cuts a region's nodes off from the nodes and pods of `others`. Who plays in it from elsewhere, and who watches, is not cut off.
pub async fn cut(region: &Region, others: &[&Region], lost: Lost, at_most: Duration) -> Cut {
    let mut away = Vec::new();
    for other in others {
        away.extend(networks(other).await);
    }
    let elements: Vec<String> =
        away.iter().map(|network| format!("{network} timeout {}s", at_most.as_secs())).collect();
    let (arriving, leaving) = match lost {
        Lost::Everything => ("ip saddr @away drop", "ip daddr @away drop"),
        Lost::OwnCalls => ("", "ip daddr @away ct direction original drop"),
        Lost::TheirCalls => ("ip saddr @away ct direction original drop", ""),
        Lost::Most => ("ip saddr @away limit rate over 6/second burst 2 packets drop", ""),
    };
    // who began a connection is known from -200 on
    let early = if lost == Lost::TheirCalls { -150 } else { -310 };
    let table = format!(
        "table {CUT} {{
            set away {{
                type ipv4_addr
                flags interval, timeout
                elements = {{ {elements} }}
            }}
            chain arriving {{
                type filter hook prerouting priority {early}; policy accept;
                {arriving}
            }}
            chain leaving {{
                type filter hook postrouting priority 310; policy accept;
                {leaving}
            }}
        }}",
        elements = elements.join(", ")
    );
    let cut = Cut { nodes: names(region).await };
    for node in &cut.nodes {
        drop(engine_says(&["exec", node, "nft", &table]));
    }
    cut
}

impl Drop for Cut {
    fn drop(&mut self) {
        for node in &self.nodes {
            let healed = Command::new(engine()).args(["exec", node, "nft", "delete", "table", CUT]).output();
            if !healed.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("{node} stays cut off until its time is over: {healed:?}");
            }
        }
    }
}

/// Addresses of a region's nodes, and the networks of their pods.
async fn networks(region: &Region) -> Vec<String> {
    let nodes = region.all::<Node>().list(&ListParams::default()).await.unwrap().items;
    let of_node = |node: Node| {
        let addresses = node.status.and_then(|status| status.addresses).unwrap_or_default();
        let own =
            addresses.into_iter().filter(|address| address.type_ == "InternalIP").map(|own| own.address);
        own.chain(node.spec.and_then(|spec| spec.pod_cidr)).collect::<Vec<_>>()
    };
    nodes.into_iter().flat_map(of_node).collect()
}

/// Where a node keeps the process that ends a halt by itself.
const TIMER: &str = "/run/cranewing-e2e-halt";

/// An API server whose process stands still; it goes on when this is dropped, and by itself when its time is over.
pub struct Halted {
    nodes: Vec<String>,
}

/// Stops the API server of a region, and nothing else there.
pub async fn halt_api_server(region: &Region, at_most: Duration) -> Halted {
    let halted = Halted { nodes: names(region).await };
    for node in &halted.nodes {
        let script = format!(
            "pkill -STOP -x kube-apiserver; setsid sh -c 'echo $$ > {TIMER}; sleep {}; pkill -CONT -x kube-apiserver' > /dev/null 2>&1 \
             < /dev/null &",
            at_most.as_secs()
        );
        drop(engine_says(&["exec", node, "sh", "-ec", &script]));
    }
    halted
}

impl Drop for Halted {
    fn drop(&mut self) {
        // a timer that is left would end the next one's fault
        let script = format!("kill -- -$(cat {TIMER}); pkill -CONT -x kube-apiserver");
        for node in &self.nodes {
            let resumed = Command::new(engine()).args(["exec", node, "sh", "-c", &script]).output();
            if !resumed.as_ref().is_ok_and(|output| output.status.success()) {
                eprintln!("the API server of {node} stands still until its time is over: {resumed:?}");
            }
        }
    }
}

/// Waits until the region's control plane works again after it was without its API server. Controllers that lost their lease end, and
/// the kubelet starts them after waits that grow to five minutes: until then nothing that has lost its owner goes.
pub async fn await_controllers(region: &Region) {
    let pods: Api<Pod> = Api::namespaced(region.client.clone(), "kube-system");
    let of_controllers = ListParams::default().labels("component=kube-controller-manager");
    eventually("the controllers of the cluster run", Duration::from_secs(400), || async {
        let pods = pods.list(&of_controllers).await.map_err(|error| error.to_string())?.items;
        let is_ready = |pod: &Pod| {
            let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
            conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True")
        };
        if !pods.is_empty() && pods.iter().all(is_ready) {
            Ok(())
        } else {
            Err(format!("{} pods", pods.len()))
        }
    })
    .await;
}

/// A copy of a region's etcd on its node; it is removed when this is dropped.
pub struct EtcdCopy {
    node: String,
}

/// Copies the data of a region's etcd as it stands.
pub async fn copy_etcd(region: &Region) -> EtcdCopy {
    let node = names(region).await.swap_remove(0);
    // a process that stands still writes nothing, and whoever reads the copy finds what a power cut would have left
    let script = "trap 'pkill -CONT -x etcd' EXIT; pkill -STOP -x etcd; rm -rf /var/lib/etcd.copy; cp -a /var/lib/etcd \
                  /var/lib/etcd.copy";
    drop(engine_says(&["exec", &node, "sh", "-ec", script]));
    EtcdCopy { node }
}

impl EtcdCopy {
    /// Puts the copy in the place of the data, and has everything of the control plane begin anew, as one does after a restore.
    pub fn restore(&self) {
        let script =
            "trap 'systemctl start kubelet' EXIT; systemctl stop kubelet; pkill -KILL -x etcd || true
            while pgrep -x etcd; do sleep .1; done
            rm -rf /var/lib/etcd/member; cp -a /var/lib/etcd.copy/member /var/lib/etcd/
            for name in kube-apiserver kube-controller kube-scheduler; do pkill -KILL -x $name || true; done";
        drop(engine_says(&["exec", &self.node, "sh", "-ec", script]));
    }
}

impl Drop for EtcdCopy {
    fn drop(&mut self) {
        let script = ["exec", &self.node, "rm", "-rf", "/var/lib/etcd.copy"];
        let removed = Command::new(engine()).args(script).output();
        if !removed.as_ref().is_ok_and(|output| output.status.success()) {
            eprintln!("a copy of etcd stays on {}: {removed:?}", self.node);
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
