//! The hand on the wheel: what people order of regions, by the RegionClusters that these publish.
//!
//! An order to leave a region is a vote that each region casts in its own RegionCluster, and counts when a majority of all
//! registered regions casts it: two majorities have a region in common, so no order and its opposite are ever given at once.

use std::collections::{BTreeMap, BTreeSet};

use super::RegionId;
use super::membership::majority;

/// Regions that one region can order to be left; further ones count for nothing.
pub const DRAINS_MAX: usize = 16;

/// What the others do when a region is lost: Gone, or Degraded for [`super::view::DEGRADED_COUNTS_FOR`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Failover {
    /// They share out what it had.
    #[default]
    Automatic,
    /// The same, once a majority orders it to be left.
    Manual,
    /// Nothing, whatever is ordered; and it moves none of its own shares.
    Hold,
}

/// What a region's RegionCluster says, as the region last published it. The default is for one that nobody has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Of the region itself.
    pub failover: Failover,
    /// Regions that it says shall be left, the first [`DRAINS_MAX`] count.
    pub drains: BTreeSet<RegionId>,
}

/// What is ordered of all registered regions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// Of each region; one that is not in it is Automatic.
    pub modes: BTreeMap<RegionId, Failover>,
    /// Who says of a region that it shall be left.
    pub voters: BTreeMap<RegionId, BTreeSet<RegionId>>,
    /// Of whom a majority says so.
    pub drained: BTreeSet<RegionId>,
    /// How many regions are registered.
    pub registered: usize,
}

impl Orders {
    /// Counts what the registered regions say. Who is not registered has no vote, and is not voted on.
    #[must_use]
    pub fn count(registered: &BTreeSet<RegionId>, said: &BTreeMap<RegionId, Said>) -> Self {
        let said = || said.iter().filter(|(region, _)| registered.contains(region));
        let mut voters: BTreeMap<RegionId, BTreeSet<RegionId>> = BTreeMap::new();
        for (&voter, said) in said() {
            for &region in said.drains.iter().take(DRAINS_MAX).filter(|region| registered.contains(region)) {
                voters.entry(region).or_default().insert(voter);
            }
        }
        let is_drained =
            |(_, voters): &(&RegionId, &BTreeSet<RegionId>)| voters.len() >= majority(registered.len());
        Self {
            modes: said().map(|(&region, said)| (region, said.failover)).collect(),
            drained: voters.iter().filter(is_drained).map(|(&region, _)| region).collect(),
            voters,
            registered: registered.len(),
        }
    }

    /// What the others do when this region is lost.
    #[must_use]
    pub fn mode(&self, region: RegionId) -> Failover {
        self.modes.get(&region).copied().unwrap_or_default()
    }

    /// Whether a region stays in the view.
    #[must_use]
    pub fn keep(&self, region: RegionId, is_lost: bool) -> bool {
        match self.mode(region) {
            Failover::Automatic => !is_lost,
            Failover::Manual => !is_lost || !self.drained.contains(&region),
            Failover::Hold => true,
        }
    }

    /// Who says that this region shall be left: `jp, sg say so; 2 of 3`. None if nobody does.
    #[must_use]
    pub fn votes(&self, region: RegionId) -> Option<String> {
        let voters = self.voters.get(&region)?;
        let names: Vec<String> = voters.iter().map(ToString::to_string).collect();
        let say = if names.len() == 1 { "says" } else { "say" };
        Some(format!("{} {say} so; {} of {}", names.join(", "), names.len(), self.registered))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn regions(names: &str) -> BTreeSet<RegionId> {
        names.chars().map(|name| name.to_string().parse().unwrap()).collect()
    }

    /// `a:bc` is a, which says that b and c shall be left.
    fn count(registered: &str, said: &str) -> Orders {
        let said = said.split_whitespace().map(|word| {
            let (region, drains) = word.split_once(':').unwrap();
            (region.parse().unwrap(), Said { drains: regions(drains), ..Said::default() })
        });
        Orders::count(&regions(registered), &said.collect())
    }

    #[test]
    fn an_order_counts_when_a_majority_of_all_registered_regions_gives_it() {
        for (name, registered, said, expected) in [
            ("nobody", "abc", "a: b: c:", ""),
            ("one of three", "abc", "a:c b: c:", ""),
            ("two of three", "abc", "a:c b:c", "c"),
            ("the region itself has a vote", "abc", "a:c b: c:c", "c"),
            ("two of four are no majority", "abcd", "a:d b:d", ""),
            ("three of four", "abcd", "a:d b:d d:d", "d"),
            ("both of two", "ab", "a:b b:b", "b"),
            ("one of two", "ab", "a:b", ""),
            ("one alone", "a", "a:a", "a"),
            ("each of its own mind", "abc", "a:b b:c c:a", ""),
            ("two orders at once", "abc", "a:bc b:bc", "bc"),
            ("a stranger has no vote", "abc", "a:c x:c", ""),
            ("a stranger is not voted on", "abc", "a:x b:x", ""),
            ("all", "abc", "a:abc b:abc", "abc"),
        ] {
            assert_eq!(count(registered, said).drained, regions(expected), "{name}");
        }
    }

    #[test]
    fn more_orders_than_a_region_can_give_count_for_nothing() {
        let all = "abcdefghijklmnopqrstuvwxyz";
        let said: Vec<String> = all.chars().map(|voter| format!("{voter}:{all}")).collect();
        assert_eq!(count(all, &said.join(" ")).drained, regions(&all[..DRAINS_MAX]));
    }

    #[test]
    fn who_gives_an_order_is_named() {
        let orders = count("abc", "a:bc b:c");
        let votes = |name: &str| orders.votes(name.parse().unwrap());
        assert_eq!(votes("c").as_deref(), Some("a, b say so; 2 of 3"));
        assert_eq!(votes("b").as_deref(), Some("a says so; 1 of 3"));
        assert_eq!(votes("a"), None);
    }
}
