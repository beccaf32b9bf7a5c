//! Recovery from nothing: how a home whose cluster was lost, or was restored from an old copy, comes to what its placed Fleets
//! were (rules 1, 2 and 9; decision 14).
//!
//! Its peers keep copies of its Fleets, and tombstones of those that it deleted. A new home asks a majority of them before it
//! publishes anything; one that sees a peer ahead of itself stops until a person says which of the two counts.
//!
//! Invariants:
//! - What a majority of all regions had, the home counted, is among the answers of any majority of its peers.
//! - Nothing that is buried comes back, and absence in an answer buries nothing.
//! - What is brought back has a higher epoch than all that was seen of its name, so that it is later for everybody.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::RegionId;
use super::belief::highest_believed;
use super::membership::majority;
use super::shares::Version;

/// Which Fleet in which version.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Mark {
    /// Its version.
    pub version: Version,
    /// Sum of the numbers of its records, of weights and of its AutoScaler: each only grows within a version.
    pub records: u64,
    /// Hash of its uid at its home.
    pub uid: u64,
}

impl Mark {
    /// What is later of two marks of one Fleet.
    pub(super) const fn order(self) -> (Version, u64) {
        (self.version, self.records)
    }

    /// Whether this says more than what is known under the same name: another Fleet in no lower epoch, or more of the same one.
    pub fn is_newer_than(self, known: Self) -> bool {
        if self.uid == known.uid {
            self.order() > known.order()
        } else {
            self.version.home_epoch >= known.version.home_epoch
        }
    }
}

/// What a home has of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Own {
    /// Its Fleets, by `namespace/name`.
    pub fleets: BTreeMap<String, Mark>,
    /// Those that it knows to be deleted.
    pub buried: Buried,
}

/// What tombstones say. One buries the Fleet that it is of, in its epoch and all before; and whatever had its name in an epoch
/// before its own, which is what that Fleet was before it was brought back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Buried {
    uids: BTreeMap<u64, u64>,
    names: BTreeMap<String, u64>,
}

impl Buried {
    /// Adds the tombstone of a Fleet, by `namespace/name`.
    pub fn add(&mut self, fleet: &str, stone: Mark) {
        let epoch = stone.version.home_epoch;
        let of_uid = self.uids.entry(stone.uid).or_default();
        *of_uid = epoch.max(*of_uid);
        let of_name = self.names.entry(fleet.to_owned()).or_default();
        *of_name = epoch.max(*of_name);
    }

    /// Whether that Fleet is deleted.
    pub fn has(&self, fleet: &str, mark: Mark) -> bool {
        let epoch = mark.version.home_epoch;
        self.uids.get(&mark.uid).is_some_and(|stone| *stone >= epoch) || self.epoch(fleet) > epoch
    }

    /// Highest epoch in which a Fleet of the name was deleted; 0 if none was.
    fn epoch(&self, fleet: &str) -> u64 {
        self.names.get(fleet).copied().unwrap_or_default()
    }
}

/// What a peer answers that is asked what it keeps of the asking region.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer<T> {
    /// Copies of its Fleets, by `namespace/name`.
    pub copies: BTreeMap<String, Told<T>>,
    /// Tombstones of its Fleets.
    pub stones: Vec<(String, Mark)>,
    /// Regions that the peer has registered.
    pub registered: BTreeSet<RegionId>,
}

/// A copy as a peer has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told<T> {
    /// Which it is of.
    pub mark: Mark,
    /// All the rest.
    pub what: T,
}

/// How many of its peers a new home has asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asking {
    /// Answers that it takes.
    pub needed: usize,
    /// Who has answered.
    pub answered: BTreeSet<RegionId>,
    /// Whose answer is missing.
    pub awaited: BTreeSet<RegionId>,
}

impl Asking {
    /// Counts the answers against all peers: those that are registered here, and those that whoever answers has registered, so
    /// that a home that is told of its peers one after the other does not take the first for all.
    pub fn count<T>(
        me: RegionId,
        registered: &BTreeSet<RegionId>,
        answers: &BTreeMap<RegionId, Answer<T>>,
    ) -> Self {
        let answers = answers.iter().filter(|(peer, _)| registered.contains(peer));
        let told = answers.clone().flat_map(|(_, answer)| &answer.registered);
        let peers: BTreeSet<RegionId> =
            registered.iter().chain(told).copied().filter(|peer| *peer != me).collect();
        let answered: BTreeSet<RegionId> = answers.map(|(peer, _)| *peer).collect();
        let awaited = peers.difference(&answered).copied().collect();
        Self { needed: majority(peers.len()), answered, awaited }
    }

    /// Whether a majority has answered.
    pub fn is_over(&self) -> bool {
        self.answered.len() >= self.needed
    }
}

/// The highest epoch that is believed of each name that the home or an answer has.
fn highest_of_each<T>(own: &Own, answers: &BTreeMap<RegionId, Answer<T>>) -> BTreeMap<String, u64> {
    let mut said: BTreeMap<&String, BTreeMap<Option<RegionId>, u64>> = BTreeMap::new();
    let mut add = |fleet, whose, mark: Mark| {
        let epoch = said.entry(fleet).or_default().entry(whose).or_default();
        *epoch = mark.version.home_epoch.max(*epoch);
    };
    for (fleet, mark) in &own.fleets {
        add(fleet, None, *mark);
    }
    for (&region, answer) in answers {
        for (fleet, told) in &answer.copies {
            add(fleet, Some(region), told.mark);
        }
        for (fleet, stone) in &answer.stones {
            add(fleet, Some(region), *stone);
        }
    }
    let of_all = |said: BTreeMap<Option<RegionId>, u64>| {
        let silent = (answers.len() + 1).saturating_sub(said.len());
        highest_believed(said.into_values().chain(std::iter::repeat_n(0, silent)))
    };
    said.into_iter().map(|(fleet, said)| (fleet.clone(), of_all(said))).collect()
}

/// Who counts where home and peers differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wins {
    /// A new home: what a person has applied there, and for all else the peers.
    #[default]
    Applied,
    /// The peers, where they are not behind.
    Peers,
    /// The home: also what it does not have counts, and is deleted everywhere.
    Home,
}

/// What becomes of a Fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Back<T> {
    /// Its epoch from now on.
    pub epoch: u64,
    /// What it is to be by whose copy; none if it stays as it is at the home.
    pub from: Option<(RegionId, T)>,
}

/// What a home does to be as its answers say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<T> {
    /// Fleets to be made or changed, by `namespace/name`.
    pub fleets: BTreeMap<String, Back<T>>,
    /// Fleets of the home that are to be deleted there, by `namespace/name`.
    pub delete: BTreeSet<String>,
    /// Copies of peers whose tombstones the home is to publish.
    pub bury: Vec<(String, T)>,
}

/// Everything that was seen of one name.
struct Seen<'a, T> {
    own: Option<Mark>,
    /// The highest version that is not buried, and whose.
    best: Option<(RegionId, &'a Told<T>)>,
    copies: Vec<&'a Told<T>>,
    /// Of peers, tombstones included.
    epoch: Option<u64>,
    is_buried: bool,
}

/// Brings the home to what it and the answers say. Doing it again changes nothing more.
pub fn take_back<T: Clone>(own: &Own, answers: &BTreeMap<RegionId, Answer<T>>, wins: Wins) -> Plan<T> {
    let mut buried = own.buried.clone();
    let highest = highest_of_each(own, answers);
    let is_believed = |fleet: &String, mark: Mark| {
        highest.get(fleet).is_some_and(|highest| mark.version.home_epoch <= *highest)
    };
    let stones = || {
        let all = answers.values().flat_map(|answer| &answer.stones);
        all.filter(|(fleet, mark)| is_believed(fleet, *mark))
    };
    for (fleet, stone) in stones() {
        buried.add(fleet, *stone);
    }
    let told = answers.values().flat_map(|answer| answer.copies.keys());
    let names: BTreeSet<&String> = own.fleets.keys().chain(told).collect();
    let mut plan = Plan { fleets: BTreeMap::new(), delete: BTreeSet::new(), bury: Vec::new() };
    for name in names {
        let told = answers.iter().filter_map(|(&region, answer)| Some((region, answer.copies.get(name)?)));
        let told: Vec<_> = told.filter(|(_, told)| is_believed(name, told.mark)).collect();
        let seen = Seen::of(name, own, &buried, &told, stones().filter(|(of, _)| of == name));
        match wins {
            Wins::Home if seen.own.is_none() => {
                let alive = seen.copies.iter().filter(|told| !buried.has(name, told.mark));
                plan.bury.extend(alive.map(|told| (name.clone(), told.what.clone())));
            }
            Wins::Peers if seen.own.is_some() && seen.is_buried && seen.best.is_none() => {
                plan.delete.insert(name.clone());
            }
            _ => plan.fleets.extend(seen.back(wins).map(|back| (name.clone(), back))),
        }
    }
    plan
}

impl<'a, T: Clone> Seen<'a, T> {
    fn of<'b>(
        name: &String,
        own: &Own,
        buried: &Buried,
        told: &[(RegionId, &'a Told<T>)],
        stones: impl Iterator<Item = &'b (String, Mark)>,
    ) -> Self {
        let alive = told.iter().filter(|(_, told)| !buried.has(name, told.mark));
        let epochs = told.iter().map(|(_, told)| told.mark).chain(stones.map(|(_, stone)| *stone));
        let own = own.fleets.get(name).copied();
        Self {
            own,
            best: alive.max_by_key(|(region, told)| (told.mark, *region)).copied(),
            copies: told.iter().map(|(_, told)| *told).collect(),
            epoch: epochs.map(|mark| mark.version.home_epoch).max(),
            is_buried: own.is_some_and(|own| buried.has(name, own)),
        }
    }

    fn back(&self, wins: Wins) -> Option<Back<T>> {
        let epoch = self.epoch? + 1;
        let from = self.best.map(|(region, told)| (region, told.what.clone()));
        let Some(own) = self.own else { return from.map(|from| Back { epoch, from: Some(from) }) };
        // It has been brought to this before.
        if own.version.home_epoch >= epoch {
            return None;
        }
        let is_later = |told: &Told<T>| {
            let (theirs, ours) = (told.mark, own);
            if theirs.uid == ours.uid {
                theirs.order() >= ours.order()
            } else {
                theirs.version.home_epoch >= ours.version.home_epoch
            }
        };
        let peers_win = wins == Wins::Peers && self.best.is_some_and(|(_, told)| is_later(told));
        // Nobody has seen anything else of it: no epoch is needed for that.
        let is_level = |told: &&Told<T>| told.mark.uid == own.uid && told.mark.order() <= own.order();
        if wins == Wins::Applied && !self.is_buried && self.copies.iter().all(is_level) {
            return None;
        }
        Some(Back { epoch, from: from.filter(|_| peers_win) })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn id(region: &str) -> RegionId {
        region.parse().unwrap()
    }

    fn ids(regions: &str) -> BTreeSet<RegionId> {
        regions.split_whitespace().map(id).collect()
    }

    /// Such as `a 1.5` or `a 1.5+2`: uid, epoch, generation and records; uids are letters.
    pub(in super::super) fn mark(text: &str) -> Mark {
        let (uid, version) = text.split_once(' ').unwrap();
        let (version, records) = version.split_once('+').unwrap_or((version, "0"));
        let (epoch, generation) = version.split_once('.').unwrap();
        let version = Version { home_epoch: epoch.parse().unwrap(), generation: generation.parse().unwrap() };
        Mark { version, records: records.parse().unwrap(), uid: uid.bytes().next().unwrap().into() }
    }

    /// Fleet `f` of that mark, if there is one, and tombstones of it.
    pub(in super::super) fn own(fleet: &str, stones: &[&str]) -> Own {
        let mut buried = Buried::default();
        for stone in stones {
            buried.add("f", mark(stone));
        }
        let fleets = [fleet].into_iter().filter(|fleet| !fleet.is_empty());
        Own { fleets: fleets.map(|fleet| ("f".to_owned(), mark(fleet))).collect(), buried }
    }

    fn answers(of: &[(&str, &str, &[&str])]) -> BTreeMap<RegionId, Answer<String>> {
        let answer = |(region, copy, stones): &(&str, &str, &[&str])| {
            let told = |copy: &str| Told { mark: mark(copy), what: copy.to_owned() };
            let copies = [*copy].into_iter().filter(|copy| !copy.is_empty());
            let copies = copies.map(|copy| ("f".to_owned(), told(copy))).collect();
            let stones = stones.iter().map(|stone| ("f".to_owned(), mark(stone))).collect();
            (id(region), Answer { copies, stones, registered: BTreeSet::new() })
        };
        of.iter().map(answer).collect()
    }

    /// Such as `2 jp a 1.5`: what becomes of `f`.
    fn shown(plan: &Plan<String>) -> String {
        let back = plan.fleets.get("f").map(|back| match &back.from {
            Some((region, copy)) => format!("{} {region} {copy}", back.epoch),
            None => format!("{} as it is", back.epoch),
        });
        let buried = plan.bury.iter().map(|(_, copy)| format!("bury {copy}"));
        let deleted = plan.delete.iter().map(|_| "delete".to_owned());
        back.into_iter().chain(buried).chain(deleted).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn a_new_home_takes_the_highest_version_that_is_not_buried_under_a_higher_epoch() {
        for (name, has, told, expected) in [
            ("nothing anywhere", own("", &[]), &[("jp", "", &[][..])][..], ""),
            ("one copy", own("", &[]), &[("jp", "a 0.5", &[]), ("sg", "", &[])], "1 jp a 0.5"),
            ("the later", own("", &[]), &[("jp", "a 0.5", &[]), ("sg", "a 0.7", &[])], "1 sg a 0.7"),
            (
                "the later record",
                own("", &[]),
                &[("jp", "a 0.5+3", &[]), ("sg", "a 0.5+2", &[])],
                "1 jp a 0.5+3",
            ),
            ("epochs first", own("", &[]), &[("jp", "a 0.9", &[]), ("sg", "b 1.1", &[])], "2 sg b 1.1"),
            ("buried by one", own("", &[]), &[("jp", "a 0.5", &[]), ("sg", "", &["a 0.5"])], ""),
            ("buried here", own("", &["a 0.0"]), &[("jp", "a 0.5", &[])], ""),
            ("buried before", own("", &["a 0.0"]), &[("jp", "a 1.5", &[])], "2 jp a 1.5"),
            ("buried, and another came", own("", &[]), &[("jp", "b 2.1", &["a 2.9"])], "3 jp b 2.1"),
            (
                "buried after it was brought back",
                own("", &[]),
                &[("jp", "a 0.9", &[]), ("sg", "", &["b 1.2"])],
                "",
            ),
            (
                "beyond belief",
                own("", &[]),
                &[("jp", "a 999999999999999.1", &[]), ("sg", "a 0.1", &[])],
                "1 sg a 0.1",
            ),
            (
                "far ahead of all others",
                own("", &[]),
                &[("jp", "a 2000000.1", &[]), ("sg", "a 1.1", &[])],
                "2 sg a 1.1",
            ),
            (
                "and its tombstone",
                own("", &[]),
                &[("jp", "", &["a 2000000.1"]), ("sg", "a 1.1", &[])],
                "2 sg a 1.1",
            ),
            (
                "all are so far",
                own("", &[]),
                &[("jp", "a 2000000.1", &[]), ("sg", "a 2000000.1", &[])],
                "2000001 sg a 2000000.1",
            ),
            ("applied by hand", own("h 0.1", &[]), &[("jp", "a 3.5", &[])], "4 as it is"),
            ("its own, later", own("a 0.6", &[]), &[("jp", "a 0.5", &[])], ""),
            ("its own, earlier", own("a 0.4", &[]), &[("jp", "a 0.5", &[])], "1 as it is"),
            ("brought back already", own("h 4.1", &[]), &[("jp", "a 3.5", &[])], ""),
            ("applied, and nobody has it", own("h 0.1", &[]), &[("jp", "", &[])], ""),
        ] {
            assert_eq!(shown(&take_back(&has, &answers(told), Wins::Applied)), expected, "{name}");
        }
    }

    #[test]
    fn a_person_says_whether_the_peers_or_the_home_count() {
        for (name, has, told, peers, home) in [
            ("a later one", own("a 0.5", &[]), &[("jp", "a 0.7", &[][..])][..], "1 jp a 0.7", "1 as it is"),
            ("an earlier one", own("a 0.5", &[]), &[("jp", "a 0.4", &[])], "1 as it is", "1 as it is"),
            ("a later record", own("a 0.5+1", &[]), &[("jp", "a 0.5+2", &[])], "1 jp a 0.5+2", "1 as it is"),
            ("an unknown one", own("", &[]), &[("jp", "a 0.7", &[])], "1 jp a 0.7", "bury a 0.7"),
            ("another of the name", own("a 0.5", &[]), &[("jp", "b 0.1", &[])], "1 jp b 0.1", "1 as it is"),
            ("another, of before", own("a 1.5", &[]), &[("jp", "b 0.1", &[])], "", ""),
            ("deleted since", own("a 0.5", &[]), &[("jp", "", &["a 0.6"])], "delete", "1 as it is"),
            (
                "deleted, and another",
                own("a 0.5", &[]),
                &[("jp", "b 0.1", &["a 0.6"])],
                "1 jp b 0.1",
                "1 as it is",
            ),
            ("nobody has it", own("a 0.5", &[]), &[("jp", "", &[])], "", ""),
        ] {
            let plan = |wins| shown(&take_back(&has, &answers(told), wins));
            assert_eq!((plan(Wins::Peers).as_str(), plan(Wins::Home).as_str()), (peers, home), "{name}");
        }
    }

    #[test]
    fn what_is_newer_is_later_by_its_version_then_by_its_records_and_another_fleet_by_its_epoch() {
        for (came, known, expected) in [
            ("a 0.5", "a 0.5", false),
            ("a 0.6", "a 0.5", true),
            ("a 0.4+9", "a 0.5", false),
            ("a 0.5+2", "a 0.5+1", true),
            ("a 0.5+1", "a 0.5+2", false),
            ("a 1.1", "a 0.9+9", true),
            ("b 0.1", "a 0.9", true),
            ("b 0.1", "a 1.1", false),
        ] {
            assert_eq!(mark(came).is_newer_than(mark(known)), expected, "{came} beside {known}");
        }
    }

    #[test]
    fn a_majority_is_one_of_all_peers_that_anybody_names() {
        let answer = |registered| Answer::<()> { registered: ids(registered), ..Answer::default() };
        for (name, registered, answers, needed, awaited, over) in [
            ("nobody has answered", "jp sg", vec![], 2, "jp sg", false),
            ("one of two", "jp sg", vec![("jp", "kr sg")], 2, "sg", false),
            ("both", "jp sg", vec![("jp", "kr sg"), ("sg", "kr jp")], 2, "", true),
            ("the only one", "jp", vec![("jp", "kr")], 1, "", true),
            ("it names another", "jp", vec![("jp", "kr sg")], 2, "sg", false),
            ("a stranger", "jp", vec![("us", "kr jp")], 1, "jp", false),
            ("three of four", "eu jp sg us", vec![("jp", ""), ("sg", ""), ("us", "")], 3, "eu", true),
        ] {
            let answers = answers.into_iter().map(|(region, peers)| (id(region), answer(peers))).collect();
            let asking = Asking::count(id("kr"), &ids(registered), &answers);
            let found = (asking.needed, asking.awaited.clone(), asking.is_over());
            assert_eq!(found, (needed, ids(awaited), over), "{name}");
        }
    }
}
