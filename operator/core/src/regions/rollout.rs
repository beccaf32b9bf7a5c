//! In which order the regions of a placed Fleet take a new template, if they take it one after the other.
//!
//! Each region decides for itself by what the others publish: the generation of the template that they have taken, and whether
//! they are Ready with it. A generation that was taken is never given back, so whoever is heard late only makes others wait.
//!
//! Generations begin anew when a home comes back from nothing, in a later epoch (decision 14). So regions compare [`number`]s, in
//! which the epoch counts before the generation; in epoch 0 they are the generation itself.

use std::collections::BTreeMap;

use super::RegionId;
use super::shares::Version;

/// Bits of a number that are the generation.
const GENERATION_BITS: u32 = 32;
/// Highest epoch that a number has, so that it is none below zero for whoever reads it with a sign.
const EPOCH_MAX: u64 = (1 << (63 - GENERATION_BITS)) - 1;
/// Highest generation that a number has.
const GENERATION_MAX: u64 = (1 << GENERATION_BITS) - 1;

/// The number of a version of a Fleet's spec: of two versions the later has no lower one. Whatever is higher than it can have counts as
/// the highest.
pub const fn number(version: Version) -> u64 {
    let Version { home_epoch, generation } = version;
    let epoch = if home_epoch < EPOCH_MAX { home_epoch } else { EPOCH_MAX };
    let generation = if generation < GENERATION_MAX { generation } else { GENERATION_MAX };
    epoch << GENERATION_BITS | generation
}

/// That number in words: `7`, or `7 of epoch 2`.
pub fn describe(number: u64) -> String {
    let (epoch, generation) = (number >> GENERATION_BITS, number & GENERATION_MAX);
    if epoch == 0 { generation.to_string() } else { format!("{generation} of epoch {epoch}") }
}

/// How far a region is that the others wait for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// [`number`] of the Fleet's spec whose template it has; 0 if it was not heard or does not say.
    pub generation: u64,
    /// It has all servers Ready that it asks for and is to have, and the template is not on trial there.
    pub is_ready: bool,
}

/// Regions one after the other: those of the agreed view that are to have servers, as they say, this one among them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollout {
    /// Which region is the first; the others follow by their names.
    pub canary: Option<RegionId>,
    /// Whoever is not here holds nobody up.
    pub regions: BTreeMap<RegionId, Taken>,
}

/// Where a roll-out stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Who has taken it, in their order.
    pub taken: Vec<RegionId>,
    /// Who has taken it and is not Ready with it, if the others wait for that.
    pub awaited: Option<RegionId>,
    /// Who has not taken it, in their order.
    pub waiting: Vec<RegionId>,
}

impl Rollout {
    /// Where a region stands in the order.
    fn place(&self, region: RegionId) -> (bool, RegionId) {
        (self.canary != Some(region), region)
    }

    /// The region that `me` waits for before it takes this generation, the first in their order; none if it may take it. One
    /// that has no servers keeps its place in the order.
    pub fn waits_for(&self, me: RegionId, generation: u64) -> Option<RegionId> {
        let is_before = |region: &RegionId| self.place(*region) < self.place(me);
        let is_done = |taken: &Taken| taken.generation >= generation && taken.is_ready;
        let holders = self.regions.iter().filter(|(region, taken)| is_before(region) && !is_done(taken));
        holders.map(|(&region, _)| region).min_by_key(|&region| self.place(region))
    }

    /// How far this generation has come.
    pub fn progress(&self, generation: u64) -> Progress {
        let mut order: Vec<(RegionId, Taken)> =
            self.regions.iter().map(|(&region, &taken)| (region, taken)).collect();
        order.sort_by_key(|&(region, _)| self.place(region));
        let has_taken = |(_, taken): &&(RegionId, Taken)| taken.generation >= generation;
        let taken = order.iter().filter(has_taken).map(|&(region, _)| region).collect();
        let waiting: Vec<RegionId> =
            order.iter().filter(|entry| !has_taken(entry)).map(|&(region, _)| region).collect();
        let awaited = waiting.first().and_then(|&next| self.waits_for(next, generation));
        Progress { taken, awaited, waiting }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn region(name: &str) -> RegionId {
        name.parse().unwrap()
    }

    /// `sg! a3 b3? c2` has canary sg and generation 3 taken by a and b, of which b is not Ready.
    fn rollout(text: &str) -> Rollout {
        let mut rollout = Rollout::default();
        for word in text.split_whitespace() {
            if let Some(canary) = word.strip_suffix('!') {
                rollout.canary = Some(region(canary));
                continue;
            }
            let (word, is_ready) = word.strip_suffix('?').map_or((word, true), |word| (word, false));
            let (name, generation) = word.split_at(word.len() - 1);
            let taken = Taken { generation: generation.parse().unwrap(), is_ready };
            rollout.regions.insert(region(name), taken);
        }
        rollout
    }

    #[test]
    fn a_region_waits_for_each_that_is_before_it() {
        for (name, regions, me, expected) in [
            ("the first by name", "a2 b2 c2", "a", None),
            ("the second", "a2 b2 c2", "b", Some("a")),
            ("the last waits for the first", "a2 b2 c2", "c", Some("a")),
            ("the one before has taken it", "a3 b2 c2", "b", None),
            ("and the last waits for that one", "a3 b2 c2", "c", Some("b")),
            ("taken and not Ready", "a3? b2 c2", "b", Some("a")),
            ("Ready, and had it before", "a3 b3? c2", "c", Some("b")),
            ("a later one counts too", "a9 b2 c2", "b", None),
            ("who does not say holds up", "a0 b2 c2", "b", Some("a")),
            ("the canary is the first", "c! a2 b2 c2", "c", None),
            ("whatever its name", "c! a2 b2 c2", "a", Some("c")),
            ("then the others by name", "c! a2 b2 c3", "a", None),
            ("one after the other", "c! a2 b2 c3", "b", Some("a")),
            ("a canary that does not count", "x! a2 b2", "a", None),
            ("who comes after does not matter", "a2 b0 c0?", "a", None),
            ("without servers, in its place", "a2 c2", "b", Some("a")),
            ("and holds nobody up", "a3 c2", "c", None),
            ("alone", "a2", "a", None),
            ("nobody", "", "a", None),
        ] {
            assert_eq!(rollout(regions).waits_for(region(me), 3), expected.map(region), "{name}");
        }
    }

    #[test]
    fn a_later_epoch_counts_before_any_generation() {
        let of = |home_epoch, generation| number(Version { home_epoch, generation });
        for generation in [0, 1, 6, 1 << 20] {
            assert_eq!(of(0, generation), generation, "as older operators say it");
        }
        let (most, epoch_max) = (u64::MAX, crate::regions::belief::EPOCH_MAX);
        let versions =
            [(0, 1), (0, 6), (0, most), (1, 0), (1, 1), (1, 6), (2, 1), (epoch_max, 1), (epoch_max, most)];
        let numbers: Vec<u64> = versions.iter().map(|&(epoch, generation)| of(epoch, generation)).collect();
        assert!(numbers.is_sorted_by(|one, other| one < other), "{numbers:?}");
        assert!(numbers.iter().all(|number| i64::try_from(*number).is_ok()));
        assert_eq!([describe(of(0, 6)), describe(of(2, 1))], ["6", "1 of epoch 2"]);
    }

    #[test]
    fn progress_names_who_has_it_who_waits_and_for_whom() {
        let names = |regions: &[RegionId]| regions.iter().map(RegionId::as_str).collect::<Vec<_>>().join(" ");
        for (regions, taken, awaited, waiting) in [
            ("sg! jp2 kr2 sg2", "", None, "sg jp kr"),
            ("sg! jp2 kr2 sg3?", "sg", Some("sg"), "jp kr"),
            ("sg! jp2 kr2 sg3", "sg", None, "jp kr"),
            ("sg! jp3 kr2 sg3?", "sg jp", Some("sg"), "kr"),
            ("sg! jp3 kr3? sg3", "sg jp kr", None, ""),
        ] {
            let progress = rollout(regions).progress(3);
            assert_eq!(
                (names(&progress.taken), names(&progress.waiting)),
                (taken.to_owned(), waiting.to_owned())
            );
            assert_eq!(progress.awaited, awaited.map(region), "{regions}");
        }
    }
}
