//! How a region moves to its targets by itself (rules 3 and 8): up at once, down only when every other region of the view has made
//! its own, so that there are never fewer servers than before or after.

use std::collections::BTreeMap;

use super::RegionId;
use super::shares::{Holdings, Targets, split, sum};

/// The shares that `me` is to have now, by Fleet. `mine` is what it has and the basis of the targets; `peers` are the holdings
/// of the regions that it reads; `max` is its own maximum.
///
/// A share is raised to its target at once, and lowered to it when every other region of the view goes by the same basis and
/// has as many as its own target says, Ready. A raise that does not fit under the maximum takes its room
/// from the Fleets that are to be lowered, at once: the maximum goes before the replicas. What `me` has of Fleets that are not
/// shared out, as of scaled ones while somebody speaks an older version, stays and counts too: what does not fit beside it is
/// not raised. A region outside of the view keeps what it has.
pub fn next_shares(
    me: RegionId,
    mine: &Holdings,
    max: u32,
    targets: &Targets,
    peers: &BTreeMap<RegionId, &Holdings>,
) -> BTreeMap<String, u32> {
    let mut next = BTreeMap::new();
    let (mut surplus, mut raised) = (BTreeMap::new(), BTreeMap::new());
    let mut before = 0;
    for (fleet, shares) in &targets.shares {
        let held = mine.held(fleet).share;
        let target = shares.get(&me).copied().unwrap_or(held);
        let may_lower = others_have_made(me, mine, (fleet, shares), peers);
        let share = if may_lower { target } else { held.max(target) };
        surplus.insert(fleet.as_str(), u64::from(share - target));
        raised.insert(fleet.as_str(), u64::from(share.saturating_sub(held)));
        before += u64::from(held);
        next.insert(fleet.clone(), share);
    }
    let room = before.max(u64::from(max).saturating_sub(not_shared_out(mine, targets)));
    give_way(&mut next, &surplus, room);
    give_way(&mut next, &raised, room);
    next
}

/// The most that the region may ask for of Fleets that have no targets.
pub(super) fn not_shared_out(mine: &Holdings, targets: &Targets) -> u64 {
    let others = mine.fleets.iter().filter(|(fleet, _)| !targets.shares.contains_key(*fleet));
    others.map(|(_, held)| u64::from(held.most())).sum()
}

/// Whether every other region of the view goes by the same basis, asks for as many as its own target says, and has them Ready.
pub(super) fn others_have_made(
    me: RegionId,
    mine: &Holdings,
    (fleet, shares): (&str, &BTreeMap<RegionId, u32>),
    peers: &BTreeMap<RegionId, &Holdings>,
) -> bool {
    let has_made = |(region, &target): (&RegionId, &u32)| {
        let is_made = |peer: &&Holdings| {
            let held = peer.held(fleet);
            // Ready alone would count servers that an AutoScaler may still take.
            peer.basis == mine.basis && held.share >= target && held.ready >= target
        };
        *region == me || peers.get(region).is_some_and(is_made)
    };
    shares.iter().all(has_made)
}

/// Takes what is above `room` from the surplus.
pub(super) fn give_way(next: &mut BTreeMap<String, u32>, surplus: &BTreeMap<&str, u64>, room: u64) {
    let after: u64 = next.values().map(|&share| u64::from(share)).sum();
    let excess = after.saturating_sub(room).min(sum(surplus));
    for (fleet, less) in split(excess, surplus) {
        let share = next.entry(fleet.to_owned()).or_default();
        *share = share.saturating_sub(u32::try_from(less).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::super::shares::tests::{fleet, region, regions};
    use super::super::shares::{Basis, Held, Scaled, decide_targets};
    use super::super::view::View;
    use super::*;
    use std::collections::BTreeSet;

    fn holdings(view: u64, fleets: &[(u32, u32)]) -> Holdings {
        let held = fleets.iter().map(|&(share, ready)| Held { share, ready, ..Held::default() }).enumerate();
        let basis = Basis { view: View { number: view, ..View::default() }, ..Basis::default() };
        Holdings { basis, fleets: held.map(|(at, held)| (format!("f{at}"), held)).collect() }
    }

    /// What a does next, in view 2.
    fn next(fleets: &[&str], bounds: &str, shares: &[u32], peer: Option<&Holdings>) -> Vec<u32> {
        let bounds = regions(bounds);
        let fleets = fleets.iter().enumerate().map(|(at, text)| (format!("f{at}"), fleet(text))).collect();
        let mine = holdings(2, &shares.iter().map(|&share| (share, share)).collect::<Vec<_>>());
        let peers = peer.map(|holdings| (region("b"), holdings)).into_iter().collect();
        let max = bounds.get(&region("a")).map_or(99, |bounds| bounds.max);
        let targets = decide_targets(&fleets, &bounds, &BTreeSet::new());
        next_shares(region("a"), &mine, max, &targets, &peers).into_values().collect()
    }

    #[test]
    fn a_share_rises_at_once_and_falls_when_all_others_have_made_theirs() {
        let free = "a 0..99, b 0..99";
        for (name, bounds, held, peer, expected) in [
            ("raised, whatever the other does", free, 3, None, 5),
            ("kept", free, 5, None, 5),
            ("the other is not heard", free, 8, None, 8),
            ("it has not made its own", free, 8, Some(holdings(2, &[(5, 4)])), 8),
            ("it goes by another basis", free, 8, Some(holdings(1, &[(5, 5)])), 8),
            ("it has", free, 8, Some(holdings(2, &[(5, 5)])), 5),
            ("it has more, and waits for this one", free, 8, Some(holdings(2, &[(9, 9)])), 5),
            ("its servers are there and may still go", free, 8, Some(holdings(2, &[(4, 9)])), 8),
            ("it knows nothing of the Fleet", free, 8, Some(holdings(2, &[])), 8),
            ("alone in the view", "a 0..99", 20, None, 10),
            ("outside of the view", "b 0..99, c 0..99", 8, Some(holdings(2, &[(5, 5)])), 8),
        ] {
            assert_eq!(next(&["10"], bounds, &[held], peer.as_ref()), [expected], "{name}");
        }
    }

    #[test]
    fn a_raise_that_does_not_fit_takes_its_room_from_what_is_to_be_lowered() {
        let fleets = ["10 a 4", "10 b 4"];
        for (name, bounds, held, expected) in [
            ("room for both", "a 0..14, b 0..99", [4, 6], [8, 6]),
            ("room for a part", "a 0..12, b 0..99", [4, 6], [8, 4]),
            ("no room", "a 0..10, b 0..99", [4, 6], [8, 2]),
            ("more than allowed already", "a 0..10, b 0..99", [6, 8], [8, 6]),
            ("more than allowed, nothing raised", "a 0..10, b 0..99", [8, 8], [8, 8]),
        ] {
            assert_eq!(next(&fleets, bounds, &held, None), expected, "{name}");
        }
    }

    #[test]
    fn a_raise_leaves_room_for_what_is_not_shared_out() {
        let (a, bounds) = (region("a"), regions("a 0..20, b 0..99"));
        // a: f0 8, f1 2
        let shared = BTreeMap::from([("f0".to_owned(), fleet("16")), ("f1".to_owned(), fleet("4"))]);
        let targets = decide_targets(&shared, &bounds, &BTreeSet::new());
        let scaled =
            |max| Held { share: 1, ready: 3, scaled: Some(Scaled { replicas: 3, max }), ..Held::default() };
        for (name, held, other, expected) in [
            ("room for all", [4, 2], scaled(10), [8, 2]),
            ("room for a part", [4, 2], scaled(12), [6, 2]),
            ("no room", [4, 2], scaled(14), [4, 2]),
            ("more than allowed already", [4, 2], scaled(19), [4, 2]),
            ("what is to be lowered gives way first", [4, 6], scaled(10), [8, 2]),
            ("and what is raised waits for the rest", [4, 6], scaled(12), [8, 2]),
        ] {
            let mut mine = holdings(2, &held.map(|share| (share, share)));
            mine.fleets.insert("scaled".to_owned(), other);
            let next = next_shares(a, &mine, 20, &targets, &BTreeMap::new());
            assert_eq!(next.into_values().collect::<Vec<_>>(), expected, "{name}");
        }
    }
}
