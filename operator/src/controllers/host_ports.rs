//! Host ports that pods get: what is given out, and on which nodes it may be.

use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use operator_api::GameServer;
use operator_core::host_ports::{NoFreePort, PortRange, choose_ports};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::pod::taken_ports;

/// Host ports given out and not yet seen on a pod.
pub(crate) struct HostPortLedger {
    range: PortRange,
    reserved: Mutex<HashMap<(String, String), Vec<u16>>>,
}

impl HostPortLedger {
    pub(crate) fn new(range: PortRange) -> Self {
        Self { range, reserved: Mutex::default() }
    }

    /// Chooses ports for the pod of this namespace and name, which tolerates these taints; the same ones if it is asked
    /// again.
    pub(crate) fn reserve(
        &self,
        (namespace, name): (&str, &str),
        (servers, pods, nodes): (&Store<GameServer>, &Store<Pod>, &Store<Node>),
        (wanted, tolerations): (usize, &[Toleration]),
    ) -> Result<Vec<u16>, NoFreePort> {
        let mut reserved = lock(&self.reserved);
        let pods = pods.state();
        for pod in &pods {
            reserved.remove(&(pod.namespace().unwrap_or_default(), pod.name_any()));
        }
        // A server that went before its pod was ever seen needs none any more.
        let is_there = |(namespace, name): &(String, String)| {
            servers.get(&ObjectRef::new(name).within(namespace)).is_some()
        };
        reserved.retain(|at, _| is_there(at));
        let at = (namespace.to_owned(), name.to_owned());
        if let Some(ports) = reserved.get(&at) {
            return Ok(ports.clone());
        }
        let nodes = nodes.state();
        let open: HashSet<String> =
            nodes.iter().filter(|node| takes_pods(node, tolerations)).map(|node| node.name_any()).collect();
        // What a pod has on a node that is left out is in nobody's way.
        let in_the_way = |pod: &Arc<Pod>| {
            let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_ref());
            node.is_none_or(|node| open.contains(node))
        };
        let seen = pods.iter().filter(|pod| in_the_way(pod)).flat_map(|pod| taken_ports(pod));
        let mut used: BTreeMap<u16, u32> = BTreeMap::new();
        for port in seen.chain(reserved.values().flatten().copied()) {
            *used.entry(port).or_default() += 1;
        }
        let nodes = u32::try_from(open.len()).unwrap_or(u32::MAX);
        let ports = choose_ports(self.range, &used, nodes, wanted)?;
        reserved.insert(at, ports.clone());
        Ok(ports)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether the scheduler may put a pod that tolerates this on the node.
fn takes_pods(node: &Node, tolerations: &[Toleration]) -> bool {
    let Some(spec) = &node.spec else { return true };
    let mut taints = spec.taints.iter().flatten();
    spec.unschedulable != Some(true)
        && taints.all(|taint| {
            // PreferNoSchedule asks, and forbids nothing.
            !matches!(taint.effect.as_str(), "NoSchedule" | "NoExecute")
                || tolerations.iter().any(|toleration| tolerates(toleration, taint))
        })
}

/// As the scheduler reads it: what a toleration leaves open holds for all, a value that is left open too is the empty one.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let said = |text: &Option<String>| text.clone().unwrap_or_default();
    let (key, effect) = (said(&toleration.key), said(&toleration.effect));
    if !(effect.is_empty() || effect == taint.effect) || !(key.is_empty() || key == taint.key) {
        return false;
    }
    match said(&toleration.operator).as_str() {
        "Exists" => true,
        "" | "Equal" => said(&toleration.value) == said(&taint.value),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::runtime::reflector;
    use kube::runtime::watcher::Event;
    use operator_api::GameServerSpec;
    use serde_json::{Value, json};

    fn node(name: &str, spec: &Value) -> Node {
        serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap()
    }

    #[test]
    fn a_node_takes_a_pod_that_tolerates_what_forbids_it() {
        let taint = |effect: &str| json!({ "taints": [{ "key": "games", "value": "no", "effect": effect }] });
        let no = || taint("NoSchedule");
        for (name, spec, tolerations, taken) in [
            ("nothing in the way", json!({}), json!([]), true),
            ("cordoned", json!({ "unschedulable": true }), json!([{ "operator": "Exists" }]), false),
            ("forbidden", no(), json!([]), false),
            ("driven out", taint("NoExecute"), json!([]), false),
            ("rather not", taint("PreferNoSchedule"), json!([]), true),
            ("tolerates all", no(), json!([{ "operator": "Exists" }]), true),
            ("tolerates the key", no(), json!([{ "key": "games", "operator": "Exists" }]), true),
            ("tolerates the value", no(), json!([{ "key": "games", "value": "no" }]), true),
            ("another value", no(), json!([{ "key": "games", "value": "yes" }]), false),
            ("no value", no(), json!([{ "key": "games" }]), false),
            ("another key", no(), json!([{ "key": "gpu", "operator": "Exists" }]), false),
            ("this effect", no(), json!([{ "operator": "Exists", "effect": "NoSchedule" }]), true),
            ("another effect", no(), json!([{ "operator": "Exists", "effect": "NoExecute" }]), false),
            ("what nobody knows", no(), json!([{ "key": "games", "operator": "Gt", "value": "1" }]), false),
            (
                "one of two",
                json!({ "taints": [{ "key": "a", "effect": "NoSchedule" }, { "key": "b", "effect": "NoSchedule" }] }),
                json!([{ "key": "a" }]),
                false,
            ),
        ] {
            let tolerations: Vec<Toleration> = serde_json::from_value(tolerations).unwrap();
            assert_eq!(takes_pods(&node("n", &spec), &tolerations), taken, "{name}");
        }
    }

    #[test]
    fn a_port_is_not_given_out_once_more_for_a_node_that_takes_no_game_servers() {
        let ((servers, mut servers_feed), (pods, mut pods_feed), (nodes, mut nodes_feed)) =
            (reflector::store(), reflector::store(), reflector::store());
        let control = json!({ "taints": [{ "key": "control-plane", "effect": "NoSchedule" }] });
        for node in [node("control", &control), node("worker", &json!({}))] {
            nodes_feed.apply_watcher_event(&Event::Apply(node));
        }
        for (number, on) in ["worker", "control"].into_iter().enumerate() {
            let ports = json!([{ "containerPort": 1, "hostPort": 7000 + number }]);
            let pod = json!({
                "metadata": { "name": on, "namespace": "games" },
                "spec": { "nodeName": on, "containers": [{ "name": "c", "ports": ports }] },
            });
            pods_feed.apply_watcher_event(&Event::Apply(serde_json::from_value(pod).unwrap()));
        }
        for name in ["a", "b"] {
            let mut server = GameServer::new(name, GameServerSpec::default());
            server.metadata.namespace = Some("games".to_owned());
            servers_feed.apply_watcher_event(&Event::Apply(server));
        }
        let ledger = HostPortLedger::new(PortRange { first: 7000, last: 7001 });
        let reserve = |name| ledger.reserve(("games", name), (&servers, &pods, &nodes), (1, &[]));
        assert_eq!(reserve("a"), Ok(vec![7001]), "what is taken where it cannot go is free");
        assert_eq!(reserve("b"), Err(NoFreePort));
    }

    #[test]
    fn ports_of_a_server_that_went_before_its_pod_came_are_free_again() {
        let ((servers, mut servers_feed), (pods, _), (nodes, _)) =
            (reflector::store(), reflector::store(), reflector::store());
        let ledger = HostPortLedger::new(PortRange { first: 7000, last: 7001 });
        let reserve = |name: &str| ledger.reserve(("games", name), (&servers, &pods, &nodes), (1, &[]));
        let named = |name: &str| {
            let mut server = GameServer::new(name, GameServerSpec::default());
            server.metadata.namespace = Some("games".to_owned());
            server
        };
        for name in ["a", "b"] {
            servers_feed.apply_watcher_event(&Event::Apply(named(name)));
            assert!(reserve(name).is_ok());
        }
        assert_eq!(reserve("a").unwrap(), [7000], "the same ones if it is asked again");
        servers_feed.apply_watcher_event(&Event::Apply(named("c")));
        assert!(reserve("c").is_err(), "none is left");
        servers_feed.apply_watcher_event(&Event::Delete(named("a")));
        assert_eq!(reserve("c").unwrap(), [7000]);
    }
}
