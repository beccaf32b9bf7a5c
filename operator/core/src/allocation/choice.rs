//! Which of the servers that are free is given.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::ServerUid;

/// How servers in use spread over nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spread {
    /// Nodes that are in use fill up first, so that others can be given back.
    #[default]
    Packed,
    /// Nodes share the load.
    Distributed,
}

/// A server that is free and fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Free<'a> {
    /// Its uid.
    pub uid: &'a ServerUid,
    /// Its name.
    pub name: &'a str,
    /// Where it runs.
    pub node: &'a str,
}

/// Chooses one; `in_use` counts the servers in use by their node. Of servers whose nodes are alike the first node by name is taken, and
/// there the first server by name: whoever chooses again from the same chooses the same.
pub fn choose<'a>(
    free: impl IntoIterator<Item = Free<'a>>,
    in_use: &BTreeMap<&str, usize>,
    spread: Spread,
) -> Option<&'a ServerUid> {
    let rank = |free: &Free<'a>| {
        let count = in_use.get(free.node).copied().unwrap_or(0);
        let by_load = if spread == Spread::Packed { usize::MAX - count } else { count };
        (by_load, free.node, free.name)
    };
    free.into_iter().min_by_key(rank).map(|free| free.uid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packed_fills_nodes_that_are_in_use_and_distributed_goes_where_fewest_are() {
        let uids: Vec<ServerUid> = ["u0", "u1", "u2", "u3"].map(Into::into).into();
        let server = |number: usize, name, node| Free { uid: &uids[number], name, node };
        let free =
            [server(0, "d", "idle"), server(1, "c", "busy"), server(2, "b", "busy"), server(3, "a", "some")];
        let in_use = BTreeMap::from([("busy", 5), ("some", 2)]);
        for (spread, free, expected) in [
            (Spread::Packed, &free[..], Some("u2")),
            (Spread::Packed, &free[3..], Some("u3")),
            (Spread::Packed, &free[..1], Some("u0")),
            (Spread::Distributed, &free[..], Some("u0")),
            (Spread::Distributed, &free[1..], Some("u3")),
            (Spread::Packed, &[], None),
        ] {
            let chosen = choose(free.iter().copied(), &in_use, spread);
            assert_eq!(chosen.map(AsRef::as_ref), expected, "{spread:?} of {free:?}");
        }
    }
}
