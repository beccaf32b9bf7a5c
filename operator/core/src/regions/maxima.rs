//! How many servers a region's AutoScaler may have at most of a placed Fleet (rule 7).
//!
//! A Fleet with an AutoScaler is shared out twice: its minimum as any Fleet's replicas, and its maximum above that. Between
//! the two each region decides by itself. What one region may have at least is what the others count on, so it moves as a share
//! does; the maximum moves along with it.

use std::collections::BTreeMap;

use super::RegionId;
use super::moves::{give_way, not_shared_out, others_have_made};
use super::shares::{BoundsConflict, Holdings, PlacedFleet, Targets, Term, share_out, sum};
use crate::scale::Bounds;

/// Shares out the maxima of the Fleets that have one, above the shares that all have.
///
/// Each share is a floor here: so no maximum is below its minimum, although largest remainder alone might make it that, and no
/// Fleet's maximum takes room in which another one's servers are.
pub(super) fn decide_maxima(
    fleets: &BTreeMap<String, PlacedFleet>,
    regions: &BTreeMap<RegionId, Bounds>,
    targets: &mut Targets,
) {
    if fleets.values().all(|fleet| fleet.max.is_none()) {
        return;
    }
    let at_most = |(name, fleet): (&String, &PlacedFleet)| {
        let shares = &targets.shares[name];
        let floor = |(&region, &min): (&RegionId, &u32)| (region, Term { min, ..fleet.term(region) });
        let fewest = shares.values().fold(0_u32, |sum, &share| sum.saturating_add(share));
        let replicas = fleet.max.map_or(fewest, |max| max.max(fewest));
        let terms = shares.iter().map(floor).collect();
        (name.clone(), PlacedFleet { replicas, max: None, mode: fleet.mode.clone(), terms })
    };
    let maxima = share_out(&fleets.iter().map(at_most).collect(), regions);
    for (name, shares) in maxima.shares {
        let Some(max) = fleets[&name].max else { continue };
        let total = shares.values().map(|&share| u64::from(share)).sum();
        if total != u64::from(max) {
            targets.conflicts.push(BoundsConflict::Max { fleet: name.clone(), max, total });
        }
        targets.maxima.insert(name, shares);
    }
}

/// The bounds that `me` is to give its AutoScalers now, by Fleet. `next` are its shares ([`super::next_shares`]); the
/// rest is as there.
///
/// A maximum is raised to its target at once, and lowered to it when the minimum may be lowered too. What is raised and does not
/// fit under the region's maximum takes its room from the maxima that are to be lowered, and beyond that waits for the shares that are.
pub fn next_maxima(
    me: RegionId,
    mine: &Holdings,
    max: u32,
    (targets, next): (&Targets, &BTreeMap<String, u32>),
    peers: &BTreeMap<RegionId, &Holdings>,
) -> BTreeMap<String, Bounds> {
    let mut most = next.clone();
    let mut surplus = BTreeMap::new();
    for (fleet, maxima) in &targets.maxima {
        let (held, min) = (mine.held(fleet).most(), next.get(fleet).copied().unwrap_or_default());
        let target = maxima.get(&me).copied().unwrap_or(held).max(min);
        let may_lower = others_have_made(me, mine, (fleet, &targets.shares[fleet]), peers);
        let max = if may_lower { target } else { held.max(target) };
        surplus.insert(fleet.as_str(), u64::from(max - target));
        most.insert(fleet.clone(), max);
    }
    let before = sum(&next.keys().map(|fleet| (fleet, u64::from(mine.held(fleet).most()))).collect());
    let room = before.max(u64::from(max).saturating_sub(not_shared_out(mine, targets)));
    give_way(&mut most, &surplus, room);
    let above_min = |fleet: &'_ String| {
        u64::from(most[fleet].saturating_sub(next.get(fleet).copied().unwrap_or_default()))
    };
    let spare = targets.maxima.keys().map(|fleet| (fleet.as_str(), above_min(fleet))).collect();
    give_way(&mut most, &spare, room);
    let bounds = |fleet: &String| {
        let min = next.get(fleet).copied().unwrap_or_default();
        (fleet.clone(), Bounds { min, max: most[fleet].max(min) })
    };
    targets.maxima.keys().map(bounds).collect()
}

#[cfg(test)]
mod tests {
    use super::super::next_shares;
    use super::super::shares::{Basis, Held, Scaled, decide_targets};
    use super::*;
    use std::collections::BTreeSet;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    fn regions(bounds: &[(&str, u32, u32)]) -> BTreeMap<RegionId, Bounds> {
        bounds.iter().map(|&(name, min, max)| (region(name), Bounds { min, max })).collect()
    }

    /// Of this many, or between two, with these weights and minima in a, b and so on.
    fn fleet(replicas: u32, max: Option<u32>, terms: &[(u32, u32)]) -> PlacedFleet {
        let terms = ["a", "b", "c"].map(region).into_iter().zip(terms);
        let terms = terms.map(|(region, &(weight, min))| (region, Term { weight, min })).collect();
        PlacedFleet { replicas, max, terms, ..PlacedFleet::default() }
    }

    fn targets(fleets: &[PlacedFleet], bounds: &BTreeMap<RegionId, Bounds>) -> Targets {
        let named = fleets.iter().enumerate().map(|(at, fleet)| (format!("f{at}"), fleet.clone())).collect();
        decide_targets(&named, bounds, &BTreeSet::new())
    }

    /// Minimum and maximum of `f0` by region.
    fn of_first(targets: &Targets) -> Vec<(u32, u32)> {
        targets.shares["f0"].values().copied().zip(targets.maxima["f0"].values().copied()).collect()
    }

    #[test]
    fn both_bounds_are_shared_out_within_those_of_the_regions() {
        let free = [("a", 0, 99), ("b", 0, 99), ("c", 0, 99)];
        let of = |min, max, terms: &[(u32, u32)]| fleet(min, Some(max), terms);
        for (name, fleet, bounds, expected, conflicts) in [
            ("alike", of(3, 9, &[]), free, [(1, 3), (1, 3), (1, 3)], 0),
            ("by weight", of(6, 12, &[(3, 0), (2, 0), (1, 0)]), free, [(3, 6), (2, 4), (1, 2)], 0),
            // 10 alone would be 4, 4, 2 and 11 alone 5, 5, 1
            (
                "never below the minimum",
                of(10, 11, &[(6, 0), (6, 0), (2, 0)]),
                free,
                [(4, 5), (4, 4), (2, 2)],
                0,
            ),
            ("no room between them", of(4, 4, &[]), free, [(2, 2), (1, 1), (1, 1)], 0),
            ("none at least", of(0, 4, &[]), free, [(0, 2), (0, 1), (0, 1)], 0),
            ("none", of(0, 0, &[]), free, [(0, 0), (0, 0), (0, 0)], 0),
            (
                "a minimum of the Fleet",
                of(3, 6, &[(1, 0), (1, 0), (0, 2)]),
                free,
                [(1, 2), (0, 2), (2, 2)],
                0,
            ),
            (
                "a maximum of a region",
                of(3, 12, &[]),
                [("a", 0, 2), ("b", 0, 99), ("c", 0, 99)],
                [(1, 2), (1, 5), (1, 5)],
                0,
            ),
            (
                "no room for all of the maximum",
                of(3, 12, &[]),
                [("a", 0, 2), ("b", 0, 3), ("c", 0, 4)],
                [(1, 2), (1, 3), (1, 4)],
                1,
            ),
            (
                "a minimum of a region",
                of(3, 12, &[(1, 0), (1, 0), (0, 0)]),
                [("a", 0, 99), ("b", 0, 99), ("c", 3, 99)],
                [(0, 5), (0, 4), (3, 3)],
                0,
            ),
            (
                "minima above the maximum",
                of(1, 4, &[]),
                [("a", 3, 9), ("b", 3, 9), ("c", 3, 9)],
                [(3, 3), (3, 3), (3, 3)],
                2,
            ),
        ] {
            let targets = targets(&[fleet], &regions(&bounds));
            assert_eq!(of_first(&targets), expected, "{name}");
            assert_eq!(targets.conflicts.len(), conflicts, "{name}: {:?}", targets.conflicts);
        }
    }

    #[test]
    fn a_maximum_takes_no_room_in_which_another_fleets_servers_are() {
        let bounds = regions(&[("a", 0, 10), ("b", 0, 99)]);
        let fleets = [fleet(2, Some(40), &[]), fleet(16, None, &[])];
        let both = targets(&fleets, &bounds);
        assert_eq!(both.shares["f1"].values().copied().collect::<Vec<_>>(), [8, 8]);
        assert_eq!(of_first(&both), [(1, 2), (1, 38)]);
        let rivals = targets(&[fleet(2, Some(40), &[]), fleet(2, Some(20), &[])], &bounds);
        let in_a: u32 = rivals.maxima.values().map(|maxima| maxima[&region("a")]).sum();
        assert_eq!(in_a, 10, "{rivals:?}");
    }

    #[test]
    fn a_maximum_that_gave_way_is_named_with_its_figures() {
        let few = targets(&[fleet(2, Some(9), &[])], &regions(&[("a", 0, 2), ("b", 0, 3)]));
        assert_eq!(few.conflicts, [BoundsConflict::Max { fleet: "f0".to_owned(), max: 9, total: 5 }]);
    }

    fn holdings(view: u64, held: Held) -> Holdings {
        let mut basis = Basis::default();
        basis.view.number = view;
        Holdings { basis, fleets: [("f0".to_owned(), held)].into() }
    }

    fn scaled(min: u32, max: u32, ready: u32) -> Held {
        Held { share: min, ready, scaled: Some(Scaled { replicas: ready, max }), ..Held::default() }
    }

    #[test]
    fn bounds_rise_at_once_and_fall_when_all_others_have_their_minimum() {
        // a and b: 2..5 each
        let (regions, fleets) = (regions(&[("a", 0, 99), ("b", 0, 99)]), [fleet(4, Some(10), &[])]);
        let (targets, a) = (targets(&fleets, &regions), region("a"));
        for (name, held, peer, expected) in [
            ("nothing yet", Held::default(), None, (2, 5)),
            ("replicas until now", Held { share: 4, ready: 4, ..Held::default() }, None, (4, 5)),
            ("raised, whatever the other does", scaled(1, 4, 1), None, (2, 5)),
            ("the other is not heard", scaled(4, 9, 4), None, (4, 9)),
            ("it has not made its minimum", scaled(4, 9, 4), Some(holdings(2, scaled(2, 5, 1))), (4, 9)),
            (
                "it has so many, and may still take them",
                scaled(4, 9, 4),
                Some(holdings(2, scaled(1, 5, 3))),
                (4, 9),
            ),
            ("it goes by another basis", scaled(4, 9, 4), Some(holdings(1, scaled(2, 5, 2))), (4, 9)),
            ("it has", scaled(4, 9, 4), Some(holdings(2, scaled(2, 5, 2))), (2, 5)),
            ("it has more", scaled(4, 9, 4), Some(holdings(2, scaled(2, 5, 5))), (2, 5)),
            ("one rises, the other falls later", scaled(1, 9, 4), None, (2, 9)),
        ] {
            let mine = holdings(2, held);
            let peers = peer.iter().map(|holdings| (region("b"), holdings)).collect();
            let next = next_shares(a, &mine, 99, &targets, &peers);
            let bounds = next_maxima(a, &mine, 99, (&targets, &next), &peers)["f0"];
            assert_eq!((bounds.min, bounds.max), expected, "{name}");
        }
    }

    #[test]
    fn what_is_raised_takes_its_room_from_a_maximum_that_is_to_be_lowered() {
        let bounds = regions(&[("a", 0, 10), ("b", 0, 99)]);
        // a: f0 1..2, f1 8
        let targets = targets(&[fleet(2, Some(40), &[]), fleet(16, None, &[])], &bounds);
        let mut mine = holdings(2, scaled(1, 8, 8));
        mine.fleets.insert("f1".to_owned(), Held { share: 2, ready: 2, ..Held::default() });
        let next = next_shares(region("a"), &mine, 10, &targets, &BTreeMap::new());
        let bounds = next_maxima(region("a"), &mine, 10, (&targets, &next), &BTreeMap::new());
        assert_eq!((next["f1"], bounds["f0"].min, bounds["f0"].max), (8, 1, 2));
    }

    #[test]
    fn a_maximum_waits_for_the_room_of_a_share_that_is_to_be_lowered() {
        let bounds = regions(&[("a", 0, 10), ("b", 0, 99)]);
        // a: f0 1..8, f1 2; it has 8 of f1, and b has not made its own
        let targets = targets(&[fleet(2, Some(40), &[]), fleet(4, None, &[])], &bounds);
        let mut mine = holdings(2, scaled(1, 2, 1));
        mine.fleets.insert("f1".to_owned(), Held { share: 8, ready: 8, ..Held::default() });
        let next = next_shares(region("a"), &mine, 10, &targets, &BTreeMap::new());
        let bounds = next_maxima(region("a"), &mine, 10, (&targets, &next), &BTreeMap::new());
        assert_eq!((next["f1"], bounds["f0"].min, bounds["f0"].max), (8, 1, 2));
    }
}
