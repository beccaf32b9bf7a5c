//! Which host ports a new pod gets.
//!
//! The scheduler refuses a second pod with the same host port on a node, terminating pods included; so a port may be
//! given out once per node. Ports nobody uses come first: as long as there are some, no placement is ever constrained.

use std::collections::BTreeMap;

/// Host ports that the operator gives out, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    /// First port.
    pub first: u16,
    /// Last port, not below `first`.
    pub last: u16,
}

/// Every port of the range is in use on as many nodes as there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoFreePort;

/// Picks `wanted` different ports of `range` for one pod. `used` holds how many pods, terminating ones included, carry
/// each port; `nodes` is the number of nodes that take pods.
pub fn choose_ports(
    range: PortRange,
    used: &BTreeMap<u16, u32>,
    nodes: u32,
    wanted: usize,
) -> Result<Vec<u16>, NoFreePort> {
    let mut free: Vec<(u32, u16)> = (range.first..=range.last)
        .map(|port| (used.get(&port).copied().unwrap_or(0), port))
        .filter(|&(users, _)| users < nodes.max(1))
        .collect();
    if free.len() < wanted {
        return Err(NoFreePort);
    }
    free.sort_unstable();
    Ok(free.into_iter().take(wanted).map(|(_, port)| port).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: PortRange = PortRange { first: 7000, last: 7002 };

    fn used(ports: &[u16]) -> BTreeMap<u16, u32> {
        let mut used = BTreeMap::new();
        for &port in ports {
            *used.entry(port).or_default() += 1;
        }
        used
    }

    #[test]
    fn ports_are_never_given_out_more_often_than_there_are_nodes() {
        for (name, taken, nodes, wanted, expected) in [
            ("first port of an empty range", vec![], 1, 1, Ok(vec![7000])),
            ("next free port", vec![7000], 1, 1, Ok(vec![7001])),
            ("a hole is filled", vec![7000, 7002], 1, 1, Ok(vec![7001])),
            ("full on one node", vec![7000, 7001, 7002], 1, 1, Err(NoFreePort)),
            ("full on one node, a second one has room", vec![7000, 7001, 7002], 2, 1, Ok(vec![7000])),
            ("unused ports come before shared ones", vec![7000, 7001], 3, 1, Ok(vec![7002])),
            ("least shared port first", vec![7000, 7000, 7001, 7002, 7002], 3, 1, Ok(vec![7001])),
            ("two ports of one pod differ", vec![7000], 1, 2, Ok(vec![7001, 7002])),
            ("two wanted, one left", vec![7000, 7001], 1, 2, Err(NoFreePort)),
            ("ports outside the range do not matter", vec![80, 8080], 1, 1, Ok(vec![7000])),
            ("no node yet counts as one, the pod waits for it", vec![], 0, 1, Ok(vec![7000])),
        ] {
            assert_eq!(choose_ports(RANGE, &used(&taken), nodes, wanted), expected, "{name}");
        }
    }
}
