//! Peers that are ahead of a home in what is the home's own: it was restored from an old copy, or has lost its records (decision 14).

use std::collections::BTreeMap;

use super::RegionId;
use super::belief::{EPOCH_MAX, highest_believed};
use super::recovery::{Mark, Own};
use super::shares::Version;

/// A peer that is ahead of the home in one of its own Fleets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ahead {
    /// The peer.
    pub region: RegionId,
    /// The Fleet, as `namespace/name`.
    pub fleet: String,
    /// What the peer has of it.
    pub theirs: Theirs,
    /// What the home has under that name.
    pub ours: Option<Version>,
}

/// What a peer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Theirs {
    /// A copy of the home's Fleet, in a later version.
    Later(Version),
    /// A copy of a Fleet that the home knows neither as an object nor as a tombstone.
    Unknown(Version),
    /// The tombstone of a Fleet that is alive at the home.
    Tombstone,
}

/// What a peer says of the home's Fleets each second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its copies, by `namespace/name`.
    pub copies: BTreeMap<String, Mark>,
    /// Fleets that the home publishes and that it has buried, by `namespace/name`.
    pub buried: BTreeMap<String, Mark>,
}

/// Peers that are ahead of the home: it was restored from an old copy. A peer that is behind, or level, is none of them.
pub fn ahead(own: &Own, said: &BTreeMap<RegionId, Said>) -> Vec<Ahead> {
    let mut found = Vec::new();
    for (&region, said) in said {
        let mut add = |fleet: &String, theirs: Option<Theirs>| {
            let ours = own.fleets.get(fleet).map(|ours| ours.version);
            found.extend(theirs.map(|theirs| Ahead { region, fleet: fleet.clone(), theirs, ours }));
        };
        for (fleet, &mark) in said.copies.iter().filter(|(_, mark)| is_believed(**mark)) {
            let theirs = match own.fleets.get(fleet) {
                _ if own.buried.has(fleet, mark) => None,
                Some(ours) if ours.uid == mark.uid => {
                    let is_later = mark.order() > ours.order() && !has_lost_its_records(*ours, mark);
                    is_later.then_some(Theirs::Later(mark.version))
                }
                // Another one of the name is later by its epoch alone.
                Some(ours) if mark.version.home_epoch < ours.version.home_epoch => None,
                _ => Some(Theirs::Unknown(mark.version)),
            };
            add(fleet, theirs);
        }
        for (fleet, stone) in &said.buried {
            let ours = own.fleets.get(fleet).filter(|ours| ours.uid == stone.uid);
            let is_dead = ours.is_some_and(|ours| {
                stone.version.home_epoch >= ours.version.home_epoch && !own.buried.has(fleet, *ours)
            });
            add(fleet, is_dead.then_some(Theirs::Tombstone));
        }
    }
    found
}

/// Whether the home has what a peer has, and only epoch and records are gone, as after `kubectl replace`: no old copy, and the home
/// goes on in the epoch after the peer's.
pub fn has_lost_its_records(ours: Mark, theirs: Mark) -> bool {
    let has_none = ours.version.home_epoch == 0 && ours.records == 0;
    ours.uid == theirs.uid && has_none && ours.version.generation >= theirs.version.generation
}

/// Epoch after that of whoever has what this Fleet of the home's is, with records that are gone there; 0 if nobody has.
pub fn epoch_after_lost_records(fleet: &str, ours: Mark, said: &BTreeMap<RegionId, Said>) -> u64 {
    let theirs = || said.values().map(|said| said.copies.get(fleet).copied());
    let limit = highest_believed(theirs().map(|theirs| theirs.unwrap_or_default().version.home_epoch));
    let has_records = |theirs: &Mark| {
        let Mark { version, records, .. } = theirs;
        has_lost_its_records(ours, *theirs) && (version.home_epoch > 0 || *records > 0)
    };
    let epochs = theirs().flatten().filter(has_records).map(|theirs| theirs.version.home_epoch);
    epochs.filter(|epoch| *epoch <= limit).map(|epoch| epoch + 1).max().unwrap_or_default()
}

const fn is_believed(mark: Mark) -> bool {
    mark.version.home_epoch <= EPOCH_MAX
}

#[cfg(test)]
mod tests {
    use super::super::recovery::tests::{id, mark, own};
    use super::*;

    #[test]
    fn a_home_is_behind_only_where_a_peer_has_what_it_cannot_have_forgotten() {
        for (name, has, copy, stone, expected) in [
            ("level", own("a 0.5", &[]), "a 0.5", "", None),
            ("the peer is behind", own("a 0.5", &[]), "a 0.4", "", None),
            ("a later version", own("a 0.5", &[]), "a 0.6", "", Some(Theirs::Later(mark("a 0.6").version))),
            (
                "a later record",
                own("a 0.5+1", &[]),
                "a 0.5+2",
                "",
                Some(Theirs::Later(mark("a 0.5").version)),
            ),
            ("an earlier record", own("a 0.5+2", &[]), "a 0.5+1", "", None),
            ("all records are gone here", own("a 0.5", &[]), "a 2.5+2", "", None),
            (
                "and the spec is older too",
                own("a 0.4", &[]),
                "a 0.5+2",
                "",
                Some(Theirs::Later(mark("a 0.5").version)),
            ),
            ("a later epoch", own("a 0.5", &[]), "a 1.6", "", Some(Theirs::Later(mark("a 1.6").version))),
            ("unknown", own("", &[]), "a 0.5", "", Some(Theirs::Unknown(mark("a 0.5").version))),
            ("deleted here", own("", &["a 0.5"]), "a 0.5", "", None),
            ("deleted and made anew", own("b 0.1", &["a 0.5"]), "a 0.5", "", None),
            (
                "another of the name",
                own("b 0.1", &[]),
                "a 0.5",
                "",
                Some(Theirs::Unknown(mark("a 0.5").version)),
            ),
            ("of before it was brought back", own("b 1.1", &[]), "a 0.5", "", None),
            ("and deleted since", own("", &["b 1.1"]), "a 0.5", "", None),
            ("beyond belief", own("a 0.5", &[]), "a 999999999999999.1", "", None),
            ("alive here, buried there", own("a 0.5", &[]), "", "a 0.5", Some(Theirs::Tombstone)),
            ("still going here", own("a 0.5", &["a 0.5"]), "", "a 0.5", None),
            (
                "gone, and here it is in a later epoch",
                own("a 1.5", &["a 0.5"]),
                "",
                "a 1.5",
                Some(Theirs::Tombstone),
            ),
            ("kept since by hand", own("a 1.5", &[]), "", "a 0.5", None),
            ("another one's tombstone", own("b 0.5", &[]), "", "a 0.5", None),
        ] {
            let marks = |text: &str| {
                let one = [text].into_iter().filter(|text| !text.is_empty());
                one.map(|text| ("f".to_owned(), mark(text))).collect()
            };
            let said = [(id("jp"), Said { copies: marks(copy), buried: marks(stone) })].into();
            let found: Vec<_> = ahead(&has, &said).iter().map(|ahead| ahead.theirs).collect();
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{name}");
        }
    }

    #[test]
    fn who_has_lost_its_records_goes_on_after_the_epoch_that_is_believed() {
        for (name, ours, theirs, expected) in [
            ("nobody has it", "a 0.5", ["", ""], 0),
            ("no record anywhere", "a 0.5", ["a 0.5", "a 0.5"], 0),
            ("records", "a 0.5", ["a 0.5+2", "a 0.5"], 1),
            ("an epoch", "a 0.5", ["a 3.5+2", "a 2.5"], 4),
            ("another Fleet", "a 0.5", ["b 3.5+2", "b 3.5+2"], 0),
            ("its records are there", "a 3.5+2", ["a 3.5+2", "a 3.4"], 0),
            ("far ahead of the other", "a 0.5", ["a 2000000.5", "a 0.5"], 0),
            ("far ahead, and nobody else has it", "a 0.5", ["a 281474976710655.0", ""], 0),
            ("both are so far", "a 0.5", ["a 2000000.5", "a 2000000.5"], 2_000_001),
        ] {
            let said = |text: &str| {
                let copies = [text].into_iter().filter(|text| !text.is_empty());
                Said { copies: copies.map(|text| ("f".to_owned(), mark(text))).collect(), ..Said::default() }
            };
            let said = [(id("jp"), said(theirs[0])), (id("sg"), said(theirs[1]))].into();
            assert_eq!(epoch_after_lost_records("f", mark(ours), &said), expected, "{name}");
        }
    }
}
