//! How many servers of each placed Fleet a region has (rules 3, 7 and 8); where an AutoScaler decides that, how few.
//!
//! Targets follow from published facts alone, so that every region that knows the same computes the same. They are shared
//! out by largest remainder, ties to the region whose name comes first. How a region moves to its targets: `moves`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::recovery::Mark;
use super::view::View;
use super::{RegionId, maxima};
use crate::scale::Bounds;

/// The version of [`decide_targets`]. Another rule gets another version, and regions go by the highest that all of the view
/// speak ([`common_version`]). 1: replicas alone. 2: Fleets may have a maximum.
pub const SHARES_VERSION: u32 = 2;
/// The first version that knows of [`PlacedFleet::max`].
pub const MAXIMA_SINCE: u32 = 2;

/// A Fleet with placement, by its spec.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlacedFleet {
    /// Servers in all regions together; with a maximum the fewest.
    pub replicas: u32,
    /// Most servers in all regions together, where AutoScalers decide how many there are; less than `replicas` counts as that.
    pub max: Option<u32>,
    /// What the regions weigh.
    pub mode: Mode,
    /// Regions that are not as [`Term::default`] says.
    pub terms: BTreeMap<RegionId, Term>,
}

/// What the regions weigh for a Fleet. One that weighs nothing gets servers only if all that weigh something are full, or if
/// none does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// As their terms say.
    #[default]
    ByWeight,
    /// As the Fleet's home last published ([`weigh_players`]), whatever their terms say.
    FollowPlayers(BTreeMap<RegionId, u32>),
}

/// A Fleet's terms for one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Term {
    /// Weight among the regions. Default 1.
    pub weight: u32,
    /// Fewest servers there. Default 0.
    pub min: u32,
}

impl Default for Term {
    fn default() -> Self {
        Self { weight: 1, min: 0 }
    }
}

/// What every region of a view is to have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    /// Servers by Fleet and region; of a Fleet with a maximum the fewest.
    pub shares: BTreeMap<String, BTreeMap<RegionId, u32>>,
    /// The most, of Fleets with a maximum alone. Nowhere below the share.
    pub maxima: BTreeMap<String, BTreeMap<RegionId, u32>>,
    /// What could not be held.
    pub conflicts: Vec<BoundsConflict>,
}

/// A bound that gave way: first the replicas do, then a Fleet's minimum. A region's maximum always holds, and so does its
/// minimum if there is a Fleet at all; one above the maximum counts as the maximum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoundsConflict {
    /// The minima of a region's Fleets do not fit under its maximum.
    FleetMin {
        /// The Fleet.
        fleet: String,
        /// Where.
        region: RegionId,
        /// Fewest that the Fleet asks for.
        min: u32,
        /// What it gets.
        share: u32,
    },
    /// The maxima leave room for fewer, or the minima ask for more.
    Replicas {
        /// The Fleet.
        fleet: String,
        /// What it asks for.
        replicas: u32,
        /// What it gets in all regions together.
        total: u64,
    },
    /// The regions' maxima leave room for fewer, or the minima ask for more.
    Max {
        /// The Fleet.
        fleet: String,
        /// Most that it may have.
        max: u32,
        /// Most that it gets in all regions together.
        total: u64,
    },
}

/// Servers by region and Fleet.
type Grid<'a> = BTreeMap<RegionId, BTreeMap<&'a str, u64>>;

/// Shares out all Fleets over the regions of a view. A region's bounds hold for the sum over its Fleets; those that compete
/// for room under a maximum get it in proportion to what each would have had. The maxima of Fleets are shared out above that.
///
/// Drained regions get nothing: no bound, minimum or weight counts there. If that leaves no region, none counts as drained:
/// an order that cannot be carried out takes no server away.
pub fn decide_targets(
    fleets: &BTreeMap<String, PlacedFleet>,
    regions: &BTreeMap<RegionId, Bounds>,
    drained: &BTreeSet<RegionId>,
) -> Targets {
    let mut left = regions.clone();
    left.retain(|region, _| !drained.contains(region));
    if left.is_empty() {
        left.clone_from(regions);
    }
    let mut targets = share_out(fleets, &left);
    maxima::decide_maxima(fleets, &left, &mut targets);
    for shares in targets.shares.values_mut().chain(targets.maxima.values_mut()) {
        let empty = regions.keys().filter(|region| !left.contains_key(region));
        shares.extend(empty.map(|&region| (region, 0)));
    }
    targets
}

/// Shares out the replicas of all Fleets.
pub(super) fn share_out(
    fleets: &BTreeMap<String, PlacedFleet>,
    regions: &BTreeMap<RegionId, Bounds>,
) -> Targets {
    let floors = fleet_minima(fleets, regions);
    let mut grid = fill(fleets, regions, &floors);
    hold_region_minima(fleets, regions, &floors, &mut grid);

    let mut targets = Targets::default();
    for (name, fleet) in fleets {
        let share = |region| u32::try_from(at(&grid, region, name)).unwrap_or(u32::MAX);
        let shares: BTreeMap<RegionId, u32> = regions.keys().map(|&region| (region, share(region))).collect();
        for (&region, &share) in &shares {
            let min = fleet.term(region).min;
            if share < min {
                targets.conflicts.push(BoundsConflict::FleetMin { fleet: name.clone(), region, min, share });
            }
        }
        let total = shares.values().map(|&share| u64::from(share)).sum();
        if total != u64::from(fleet.replicas) {
            let replicas = fleet.replicas;
            targets.conflicts.push(BoundsConflict::Replicas { fleet: name.clone(), replicas, total });
        }
        targets.shares.insert(name.clone(), shares);
    }
    targets
}

impl PlacedFleet {
    pub(super) fn term(&self, region: RegionId) -> Term {
        self.terms.get(&region).copied().unwrap_or_default()
    }

    fn weight(&self, region: RegionId) -> u64 {
        u64::from(match &self.mode {
            Mode::ByWeight => self.term(region).weight,
            Mode::FollowPlayers(weights) => weights.get(&region).copied().unwrap_or_default(),
        })
    }
}

fn at(grid: &Grid<'_>, region: RegionId, fleet: &str) -> u64 {
    grid.get(&region).and_then(|shares| shares.get(fleet)).copied().unwrap_or_default()
}

pub(super) fn sum<K>(shares: &BTreeMap<K, u64>) -> u64 {
    shares.values().sum()
}

fn total(grid: &Grid<'_>, region: RegionId) -> u64 {
    grid.get(&region).map_or(0, sum)
}

/// What a region has above the floors, by Fleet.
fn above<'a>(grid: &Grid<'a>, floors: &Grid<'a>, region: RegionId) -> BTreeMap<&'a str, u64> {
    let shares = grid.get(&region).into_iter().flatten();
    shares.map(|(&fleet, share)| (fleet, share.saturating_sub(at(floors, region, fleet)))).collect()
}

/// The Fleets' minima, as far as they fit under each region's maximum.
fn fleet_minima<'a>(
    fleets: &'a BTreeMap<String, PlacedFleet>,
    regions: &BTreeMap<RegionId, Bounds>,
) -> Grid<'a> {
    let minima = |(&region, bounds): (&RegionId, &Bounds)| {
        let min =
            |(name, fleet): (&'a String, &PlacedFleet)| (name.as_str(), u64::from(fleet.term(region).min));
        let minima: BTreeMap<&str, u64> = fleets.iter().map(min).collect();
        (region, split(sum(&minima).min(bounds.max.into()), &minima))
    };
    regions.iter().map(minima).collect()
}

/// Shares out every Fleet by weight above its floors. Regions that would be over their maximum are filled up to it, and what
/// they cannot take goes to the others, round after round: at most as many as there are regions.
fn fill<'a>(
    fleets: &'a BTreeMap<String, PlacedFleet>,
    regions: &BTreeMap<RegionId, Bounds>,
    floors: &Grid<'a>,
) -> Grid<'a> {
    let mut full = Grid::new();
    loop {
        let mut open = Grid::new();
        for (name, fleet) in fleets {
            let placed = full.values().filter_map(|shares| shares.get(name.as_str())).sum();
            let left = u64::from(fleet.replicas).saturating_sub(placed);
            let weights = regions.keys().filter(|region| !full.contains_key(region));
            let weights = weights.map(|&region| (region, fleet.weight(region))).collect();
            for (region, share) in split_above(left, weights, |region| at(floors, region, name)) {
                open.entry(region).or_default().insert(name, share);
            }
        }
        let is_over =
            |(region, bounds): &(&RegionId, &Bounds)| total(&open, **region) > u64::from(bounds.max);
        let over: Vec<_> = regions.iter().filter(is_over).collect();
        if over.is_empty() {
            full.append(&mut open);
            return full;
        }
        for (&region, bounds) in over {
            let mut shares = floors.get(&region).cloned().unwrap_or_default();
            let room = u64::from(bounds.max).saturating_sub(sum(&shares));
            for (fleet, more) in split(room, &above(&open, floors, region)) {
                *shares.entry(fleet).or_default() += more;
            }
            full.insert(region, shares);
        }
    }
}

/// Brings regions up to their minimum: by servers of regions that have more than theirs, as far as no Fleet's minimum there
/// needs them, and where these are not enough by more than the Fleets ask for.
fn hold_region_minima<'a>(
    fleets: &'a BTreeMap<String, PlacedFleet>,
    regions: &BTreeMap<RegionId, Bounds>,
    floors: &Grid<'a>,
    grid: &mut Grid<'a>,
) {
    let min = |bounds: &Bounds| u64::from(bounds.min.min(bounds.max));
    let replicas = fleets.iter().map(|(name, fleet)| (name.as_str(), u64::from(fleet.replicas))).collect();
    for (&region, bounds) in regions {
        let missing = min(bounds).saturating_sub(total(grid, region));
        let spare = |(&other, bounds): (&RegionId, &Bounds)| {
            let above_min = total(grid, other).saturating_sub(min(bounds));
            (other, above_min.min(sum(&above(grid, floors, other))))
        };
        let spare: BTreeMap<RegionId, u64> = regions.iter().map(spare).collect();
        let moved = missing.min(sum(&spare));
        let mut more = split(missing - moved, &replicas);
        for (other, count) in split(moved, &spare) {
            for (fleet, count) in split(count, &above(grid, floors, other)) {
                *grid.entry(other).or_default().entry(fleet).or_default() -= count;
                *more.entry(fleet).or_default() += count;
            }
        }
        for (fleet, count) in more {
            *grid.entry(region).or_default().entry(fleet).or_default() += count;
        }
    }
}

/// Shares out so many by weight: largest remainder, ties to the smaller key; all alike if nobody weighs anything. Nobody gets
/// more than it weighs while all together weigh as much as is shared out.
pub(super) fn split<K: Ord + Copy>(count: u64, weights: &BTreeMap<K, u64>) -> BTreeMap<K, u64> {
    let all = u128::from(sum(weights));
    if all == 0 && !weights.is_empty() {
        return split(count, &weights.keys().map(|&key| (key, 1)).collect());
    }
    let quota = |weight: u64| u128::from(count) * u128::from(weight);
    let whole = |weight| u64::try_from(quota(weight) / all).unwrap_or(u64::MAX);
    let mut shares: BTreeMap<K, u64> = weights.iter().map(|(&key, &weight)| (key, whole(weight))).collect();
    let mut rests: Vec<_> =
        weights.iter().map(|(&key, &weight)| (Reverse(quota(weight) % all), key)).collect();
    rests.sort_unstable();
    let left = usize::try_from(count - sum(&shares)).unwrap_or(usize::MAX);
    for (_, key) in rests.into_iter().take(left) {
        *shares.entry(key).or_default() += 1;
    }
    shares
}

/// Shares out by weight, and to nobody less than its floor: more than there is, if the floors ask for more.
fn split_above(
    mut count: u64,
    mut weights: BTreeMap<RegionId, u64>,
    floor: impl Fn(RegionId) -> u64,
) -> BTreeMap<RegionId, u64> {
    let mut held = BTreeMap::new();
    loop {
        let mut shares = split(count, &weights);
        let low: Vec<RegionId> = shares
            .iter()
            .filter(|&(&region, &share)| share < floor(region))
            .map(|(&region, _)| region)
            .collect();
        if low.is_empty() {
            held.append(&mut shares);
            return held;
        }
        for region in low {
            weights.remove(&region);
            held.insert(region, floor(region));
            count = count.saturating_sub(floor(region));
        }
    }
}

/// Weights of players are multiples of this many percent.
const WEIGHT_STEP: u32 = 5;

/// What the home of a Fleet publishes of its players, at most once a minute: weights that are multiples of 5 and 100 in all.
///
/// What it published `before` stays while each weight in it is the region's part rounded up or down. So no weight is ever a whole
/// step off, and crowds that only jitter move no server, equal ones neither: of those, largest remainder would choose others each time.
pub fn weigh_players(
    players: &BTreeMap<RegionId, u32>,
    before: &BTreeMap<RegionId, u32>,
) -> BTreeMap<RegionId, u32> {
    let players: BTreeMap<RegionId, u64> =
        players.iter().map(|(&region, &players)| (region, u64::from(players))).collect();
    let all = sum(&players);
    let is_near = |(players, weight): (&u64, &u32)| {
        (players * 100).abs_diff(u64::from(*weight) * all) < u64::from(WEIGHT_STEP) * all
    };
    let is_whole = before.values().map(|&weight| u64::from(weight)).sum::<u64>() == 100;
    if is_whole && before.keys().eq(players.keys()) && players.values().zip(before.values()).all(is_near) {
        return before.clone();
    }
    let parts = split(u64::from(100 / WEIGHT_STEP), &players).into_iter();
    parts.map(|(region, part)| (region, u32::try_from(part).map_or(100, |part| part * WEIGHT_STEP))).collect()
}

/// The version of the share function that a view goes by: the highest that all speak, each being able to speak every lower
/// one. `spoken` is the highest of each other region of the view.
pub fn common_version(mine: u32, spoken: impl IntoIterator<Item = u32>) -> u32 {
    spoken.into_iter().fold(mine, u32::min)
}

/// Version of a published object. A takeover of its home raises the epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Version {
    /// How often its home was taken over.
    pub home_epoch: u64,
    /// Generation of its spec.
    pub generation: u64,
}

/// What targets were computed from: equal bases, equal targets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Basis {
    /// The agreed view.
    pub view: View,
    /// Version of the share function.
    pub function: u32,
    /// Hash of the versions of all that went in: Fleets, regions, records of weights.
    pub facts: u64,
}

/// A region's servers of one Fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Held {
    /// Servers that the region asks for; where an AutoScaler decides that, the fewest that it may ask for.
    pub share: u32,
    /// Servers that are Ready.
    pub ready: u32,
    /// Servers made from the template of `generation`; 0 of an older operator.
    #[serde(skip_serializing_if = "is_none")]
    pub updated: u32,
    /// Players on the servers.
    pub players: u32,
    /// [Number](super::rollout::number) of the Fleet's spec whose template new servers there are made from; 0 if it does not say.
    pub generation: u64,
    /// The template of `generation` is on trial there, or was rejected; not of an older operator.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub on_trial: bool,
    /// Where an AutoScaler decides how many there are, what it does with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaled: Option<Scaled>,
    /// Which version of the Fleet the region has; nothing of an older operator.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mark: Option<Mark>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_none(count: &u32) -> bool {
    *count == 0
}

/// What a region's AutoScaler does with its part of a Fleet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Scaled {
    /// Servers that the region asks for.
    pub replicas: u32,
    /// Most that it may ask for.
    pub max: u32,
}

impl Held {
    /// Servers that the region asks for.
    pub fn asked(&self) -> u32 {
        self.scaled.map_or(self.share, |scaled| scaled.replicas)
    }

    /// Most servers that the region may ask for.
    pub(super) fn most(&self) -> u32 {
        self.scaled.map_or(self.share, |scaled| scaled.max)
    }
}

/// What a region publishes of its shares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Holdings {
    /// What it goes by.
    pub basis: Basis,
    /// What it has, by Fleet.
    pub fleets: BTreeMap<String, Held>,
}

impl Holdings {
    pub(super) fn held(&self, fleet: &str) -> Held {
        self.fleets.get(fleet).copied().unwrap_or_default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::regions) fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    /// `a 0..9` is region a with its bounds.
    pub(in crate::regions) fn regions(text: &str) -> BTreeMap<RegionId, Bounds> {
        let bounds = |part: &str| {
            let (name, bounds) = part.split_once(' ').unwrap();
            let (min, max) = bounds.split_once("..").unwrap();
            (region(name), Bounds { min: min.parse().unwrap(), max: max.parse().unwrap() })
        };
        text.split(", ").map(bounds).collect()
    }

    /// `10 a 2 b 1+3` is 10 replicas, weight 2 in a, and weight 1 and at least 3 in b.
    pub(in crate::regions) fn fleet(text: &str) -> PlacedFleet {
        let mut words = text.split(' ');
        let replicas = words.next().unwrap().parse().unwrap();
        let mut terms = BTreeMap::new();
        while let (Some(name), Some(term)) = (words.next(), words.next()) {
            let (weight, min) = term.split_once('+').unwrap_or((term, "0"));
            terms.insert(region(name), Term { weight: weight.parse().unwrap(), min: min.parse().unwrap() });
        }
        PlacedFleet { replicas, terms, ..PlacedFleet::default() }
    }

    /// Fleets `f0`, `f1` and so on.
    fn targets(fleets: &[&str], bounds: &str) -> Targets {
        let fleets = fleets.iter().enumerate().map(|(at, text)| (format!("f{at}"), fleet(text))).collect();
        decide_targets(&fleets, &regions(bounds), &BTreeSet::new())
    }

    fn shares(targets: &Targets) -> Vec<Vec<u32>> {
        targets.shares.values().map(|shares| shares.values().copied().collect()).collect()
    }

    #[test]
    fn one_fleet_is_shared_out_by_weight_within_the_bounds() {
        let free = "a 0..99, b 0..99, c 0..99";
        for (name, fleet, bounds, expected, conflicts) in [
            ("alike", "9", free, [3, 3, 3], 0),
            ("ties go to the name that comes first", "11", free, [4, 4, 3], 0),
            ("by weight", "12 a 3 b 2", free, [6, 4, 2], 0),
            ("the largest remainder first", "10 a 45 b 35 c 20", free, [5, 3, 2], 0),
            ("no weight, no servers", "10 c 0", free, [5, 5, 0], 0),
            ("no weight anywhere: alike", "9 a 0 b 0 c 0", free, [3, 3, 3], 0),
            ("none", "0", free, [0, 0, 0], 0),
            ("a minimum of the Fleet", "10 a 8 c 0+2", free, [7, 1, 2], 0),
            ("minima above the replicas", "3 a 1+2 b 1+2", free, [2, 2, 0], 1),
            ("a maximum", "12", "a 0..2, b 0..99, c 0..99", [2, 5, 5], 0),
            ("one maximum after the other", "20", "a 0..2, b 0..8, c 0..99", [2, 8, 10], 0),
            ("no weight, but the only room", "12 c 0", "a 0..2, b 0..3, c 0..99", [2, 3, 7], 0),
            ("all full", "12", "a 0..2, b 0..3, c 0..4", [2, 3, 4], 1),
            ("a maximum below a minimum of the Fleet", "9 a 1+5", "a 0..2, b 0..99, c 0..99", [2, 4, 3], 1),
            ("a minimum of a region", "12 a 8 b 4 c 0", "a 0..99, b 0..99, c 3..99", [6, 3, 3], 0),
            ("it takes nobody's minimum", "9 a 1+6 b 1+2 c 0", "a 0..99, b 0..99, c 3..99", [6, 2, 3], 1),
            ("minima of regions above the replicas", "4", "a 3..9, b 3..9, c 3..9", [3, 3, 3], 1),
            ("a region that holds nothing", "9 a 5", "a 0..0, b 0..99, c 0..99", [0, 5, 4], 0),
            ("a minimum above the maximum", "9", "a 7..2, b 0..99, c 0..99", [2, 4, 3], 0),
        ] {
            let targets = targets(&[fleet], bounds);
            assert_eq!(shares(&targets), [expected], "{name}");
            assert_eq!(targets.conflicts.len(), conflicts, "{name}: {:?}", targets.conflicts);
        }
    }

    #[test]
    fn a_regions_bounds_hold_for_its_fleets_together() {
        let room = "a 0..6, b 0..99";
        assert_eq!(
            shares(&targets(&["8 a 3", "8 a 3"], room)),
            [[3, 5], [3, 5]],
            "they share what room there is"
        );
        assert_eq!(
            shares(&targets(&["9 a 8", "3 a 8"], room)),
            [[4, 5], [2, 1]],
            "by what each would have had"
        );
        assert_eq!(shares(&targets(&["9 a 8", "3 b 0+0 a 1+3"], room)), [[3, 6], [3, 0]], "above the minima");
        assert_eq!(shares(&targets(&["4", "4"], "a 5..9, b 0..99")), [[3, 1], [2, 2]]);
    }

    #[test]
    fn a_conflict_names_what_gave_way_with_its_figures() {
        let few = targets(&["9 a 1+5"], "a 0..2, b 0..3");
        let (fleet, region) = ("f0".to_owned(), region("a"));
        let minimum = BoundsConflict::FleetMin { fleet: fleet.clone(), region, min: 5, share: 2 };
        assert_eq!(few.conflicts, [minimum, BoundsConflict::Replicas { fleet, replicas: 9, total: 5 }]);
        assert_eq!(targets(&["9"], "a 0..99").conflicts, []);
    }

    #[test]
    fn a_drained_region_gets_nothing_and_nothing_is_missed_there() {
        let free = "a 0..99, b 0..99, c 0..99";
        for (name, text, bounds, drained, expected, conflicts) in [
            ("none", "9", free, "", [3, 3, 3], 0),
            ("one: the others share out all", "9", free, "c", [5, 4, 0], 0),
            ("by their weights", "9 a 2 c 9", free, "c", [6, 3, 0], 0),
            ("its minimum", "9", "a 0..99, b 0..99, c 3..99", "c", [5, 4, 0], 0),
            ("a minimum of the Fleet there", "9 c 1+4", free, "c", [5, 4, 0], 0),
            ("all weight was there", "8 a 0 b 0 c 5", free, "c", [4, 4, 0], 0),
            ("two", "9", free, "ac", [0, 9, 0], 0),
            ("the others have no room", "9", "a 0..2, b 0..3, c 0..99", "c", [2, 3, 0], 1),
            ("all: what is there stays", "9", free, "abc", [3, 3, 3], 0),
            ("one that is not in the view", "9", free, "d", [3, 3, 3], 0),
        ] {
            let fleets = BTreeMap::from([("f".to_owned(), fleet(text))]);
            let drained = drained.chars().map(|name| region(&name.to_string())).collect();
            let targets = decide_targets(&fleets, &regions(bounds), &drained);
            assert_eq!(shares(&targets), [expected], "{name}");
            assert_eq!(targets.conflicts.len(), conflicts, "{name}: {:?}", targets.conflicts);
        }
    }

    #[test]
    fn one_more_replica_may_cost_a_small_region_one() {
        let weights = "a 6 b 6 c 2";
        let free = "a 0..99, b 0..99, c 0..99";
        assert_eq!(shares(&targets(&[&format!("10 {weights}")], free)), [[4, 4, 2]]);
        assert_eq!(
            shares(&targets(&[&format!("11 {weights}")], free)),
            [[5, 5, 1]],
            "the price of largest remainder"
        );
    }

    #[test]
    fn players_weigh_in_steps_of_five_percent() {
        for (players, expected) in [
            ([500, 300, 200], [50, 30, 20]),
            ([510, 290, 200], [50, 30, 20]),
            ([95, 4, 1], [95, 5, 0]),
            ([97, 2, 1], [100, 0, 0]),
            ([0, 0, 0], [35, 35, 30]),
            ([u32::MAX, 0, u32::MAX], [50, 0, 50]),
        ] {
            let players = ["a", "b", "c"].map(region).into_iter().zip(players).collect();
            let weights = weigh_players(&players, &BTreeMap::new());
            assert_eq!(weights.into_values().collect::<Vec<_>>(), expected, "{players:?}");
        }
    }

    #[test]
    fn weights_stay_until_one_of_them_is_a_step_off() {
        for (name, before, players, expected) in [
            ("near enough", [50, 30, 20], [540, 270, 190], [50, 30, 20]),
            ("just below a step", [50, 30, 20], [549, 251, 200], [50, 30, 20]),
            ("a step", [50, 30, 20], [550, 250, 200], [55, 25, 20]),
            (
                "equal crowds: whoever has the odd step keeps it",
                [30, 35, 35],
                [1001, 1000, 999],
                [30, 35, 35],
            ),
            ("one came who has no weight", [100, 0, 0], [9, 1, 0], [90, 10, 0]),
            ("everybody went", [50, 30, 20], [0, 0, 0], [35, 35, 30]),
            ("a record that is not whole", [50, 30, 15], [500, 300, 200], [50, 30, 20]),
            ("very many", [50, 0, 50], [u32::MAX, 0, u32::MAX], [50, 0, 50]),
        ] {
            let of = |figures: [u32; 3]| ["a", "b", "c"].map(region).into_iter().zip(figures).collect();
            assert_eq!(weigh_players(&of(players), &of(before)), of(expected), "{name}");
        }
        let (two, three) = ([("a", 1), ("b", 1)], [("a", 35), ("b", 35), ("c", 30)]);
        let of =
            |weights: &[(&str, u32)]| weights.iter().map(|&(name, weight)| (region(name), weight)).collect();
        assert_eq!(weigh_players(&of(&two), &of(&three)), of(&[("a", 50), ("b", 50)]), "other regions count");
    }

    #[test]
    fn weights_of_players_come_before_those_of_the_terms() {
        let weights = BTreeMap::from([(region("a"), 75), (region("b"), 25)]);
        let following = PlacedFleet { mode: Mode::FollowPlayers(weights), ..fleet("8 b 9") };
        let fleets = BTreeMap::from([("f".to_owned(), following)]);
        let shared = |bounds| shares(&decide_targets(&fleets, &regions(bounds), &BTreeSet::new()));
        assert_eq!(shared("a 0..9, b 0..9"), [[6, 2]]);
        assert_eq!(shared("c 0..9, d 0..9"), [[4, 4]], "those of none here");
    }

    #[test]
    fn regions_go_by_the_highest_version_that_all_speak() {
        assert_eq!(common_version(3, [2, 3]), 2);
        assert_eq!(common_version(1, []), 1);
    }
}
