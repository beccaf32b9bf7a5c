//! Where other regions probe this one: nodes on which a responder is Ready, spread over the zones.

use k8s_openapi::api::core::v1::{Node, Pod};
use kube::ResourceExt;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::peer::RESPONDERS_MAX;

/// Label of a node: its zone.
const ZONE: &str = "topology.kubernetes.io/zone";

/// Addresses of the responders, of each zone one after the other and within it by address: so that the loss of a zone takes as few
/// of them as can be, and what is published changes with the pods alone.
pub(super) fn responders(pods: &[Arc<Pod>], nodes: &[Arc<Node>], port: u16) -> Vec<String> {
    let zone_of = |name: &str| {
        let node = nodes.iter().find(|node| node.name_any() == name)?;
        node.labels().get(ZONE).cloned()
    };
    let mut zones: BTreeMap<String, Vec<SocketAddr>> = BTreeMap::new();
    for pod in pods.iter().filter(|pod| is_ready(pod)) {
        let node = pod.spec.as_ref().and_then(|spec| spec.node_name.as_deref()).unwrap_or_default();
        // It listens on the node's own address.
        let address = pod.status.as_ref().and_then(|status| status.host_ip.as_ref()?.parse::<IpAddr>().ok());
        if let Some(address) = address {
            let of_zone = zones.entry(zone_of(node).unwrap_or_default()).or_default();
            of_zone.push(SocketAddr::new(address, port));
        }
    }
    for of_zone in zones.values_mut() {
        of_zone.sort_unstable();
        of_zone.dedup();
    }
    let most = zones.values().map(Vec::len).max().unwrap_or_default();
    let in_turn = (0..most).flat_map(|turn| zones.values().filter_map(move |of_zone| of_zone.get(turn)));
    in_turn.take(RESPONDERS_MAX).map(ToString::to_string).collect()
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(node: u8, ready: &str) -> Arc<Pod> {
        let conditions = json!([{ "type": "Ready", "status": ready }]);
        let pod = json!({
            "metadata": {}, "spec": { "nodeName": format!("n{node}"), "containers": [] },
            "status": { "hostIP": format!("192.0.2.{node}"), "conditions": conditions },
        });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    fn node(number: u8, zone: Option<&str>) -> Arc<Node> {
        let labels = zone.map(|zone| json!({ ZONE: zone }));
        let node = json!({ "metadata": { "name": format!("n{number}"), "labels": labels } });
        Arc::new(serde_json::from_value(node).unwrap())
    }

    #[test]
    fn those_that_are_ready_are_told_zone_by_zone() {
        let nodes =
            [node(1, Some("a")), node(2, Some("a")), node(3, Some("a")), node(4, Some("b")), node(5, None)];
        for (name, pods, expected) in [
            ("none", vec![], vec![]),
            ("only where one is Ready", vec![pod(1, "False"), pod(2, "True")], vec![2]),
            ("each zone in its turn", vec![pod(3, "True"), pod(1, "True"), pod(4, "True")], vec![1, 4, 3]),
            ("without a zone", vec![pod(5, "True"), pod(1, "True")], vec![5, 1]),
            ("one that is replaced", vec![pod(1, "True"), pod(1, "True")], vec![1]),
        ] {
            let expected: Vec<String> =
                expected.iter().map(|node: &u8| format!("192.0.2.{node}:8444")).collect();
            assert_eq!(responders(&pods, &nodes, 8444), expected, "{name}");
        }
    }

    #[test]
    fn no_zone_is_left_out_because_another_has_many() {
        let mut nodes: Vec<_> = (1..=20).map(|number| node(number, Some("a"))).collect();
        nodes.push(node(21, Some("b")));
        let pods: Vec<_> = (1..=21).map(|number| pod(number, "True")).collect();
        let found = responders(&pods, &nodes, 8444);
        assert_eq!(found.len(), RESPONDERS_MAX);
        assert!(found.contains(&"192.0.2.21:8444".to_owned()), "{found:?}");
    }
}
