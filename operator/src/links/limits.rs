//! What is taken of what others publish and answer. Names go into questions to the API server here, into conditions and into the
//! digest; epochs are gone on from.
//!
//! Invariants:
//! - What does not pass is dropped by itself, and the rest of the same peer counts.
//! - It is told when something else is dropped than before, not each time that the peer says it.

use operator_core::regions::RegionId;
use operator_core::regions::belief::EPOCH_MAX;
use std::collections::BTreeMap;

use super::facts::{FLEETS_MAX, records_of};
use super::message::{Copies, Objects, PublishedFleet};

/// Bytes of a name, and of a namespace.
const NAME_BYTES_MAX: usize = 63;
/// Bytes of a uid; an API server gives 36.
const UID_BYTES_MAX: usize = 64;
/// Highest number of a record that is believed: a home that brings its Fleet back goes on from it.
const RECORD_MAX: u64 = 1 << 48;
/// Tombstones that a peer publishes, of an answer, and of all answers together.
pub(super) const STONES_MAX: usize = 1000;
/// Regions that are believed to be registered with one that answers.
const REGISTERED_MAX: usize = 64;
/// Characters of a name that is dropped, as it is told.
const TOLD_CHARS_MAX: usize = 80;

/// Whether it may be asked of the API server by that name, and be told.
pub(super) fn is_name(text: &str) -> bool {
    let is_part =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    let is_short = !text.is_empty() && text.len() <= NAME_BYTES_MAX;
    is_short && text.bytes().all(is_part) && !text.starts_with('.')
}

/// Whether that is a namespace and a name: `namespace/name`.
pub(super) fn is_path(text: &str) -> bool {
    text.split_once('/').is_some_and(|(namespace, name)| is_name(namespace) && is_name(name))
}

/// What is wrong with it, if something is.
fn fault_of(fleet: &PublishedFleet) -> Option<&'static str> {
    let PublishedFleet { namespace, name, uid, version, .. } = fleet;
    let (weights, scaler) = records_of(fleet);
    // It stands between spaces on a copy.
    let is_uid =
        !uid.is_empty() && uid.len() <= UID_BYTES_MAX && uid.bytes().all(|byte| byte.is_ascii_graphic());
    if !is_name(namespace) || !is_name(name) {
        Some("that is no name")
    } else if !is_uid {
        Some("its uid is none")
    } else if version.home_epoch >= EPOCH_MAX {
        // The next one is to be believed too.
        Some("its epoch is beyond belief")
    } else if weights.max(scaler) >= RECORD_MAX {
        Some("the number of a record is beyond belief")
    } else {
        None
    }
}

/// Keeps what passes. Answers what is to be told of the rest.
fn sift(fleets: &mut Vec<PublishedFleet>) -> Option<String> {
    let (mut dropped, mut first) = (0_usize, None);
    fleets.retain(|fleet| {
        let Some(fault) = fault_of(fleet) else { return true };
        dropped += 1;
        first.get_or_insert_with(|| {
            let name: String =
                format!("{}/{}", fleet.namespace, fleet.name).chars().take(TOLD_CHARS_MAX).collect();
            format!("{name:?}: {fault}")
        });
        false
    });
    first.map(|first| format!("{dropped} Fleets are passed over, the first is {first}"))
}

/// Of what a peer publishes. Answers what is to be told of the rest.
pub(super) fn limit_objects(objects: &mut Objects) -> Option<String> {
    limit_fleets(&mut objects.fleets)
}

/// Of what a peer keeps of this region. Answers what is to be told of the rest.
pub(super) fn limit_copies(copies: &mut Copies) -> Option<String> {
    copies.registered.retain(|region| region.parse::<RegionId>().is_ok());
    while copies.registered.len() > REGISTERED_MAX {
        copies.registered.pop_last();
    }
    limit_fleets(&mut copies.fleets)
}

/// Keeps what passes, and of each name one Fleet and of each uid one tombstone, the latest. Answers what is to be told of the rest.
fn limit_fleets(fleets: &mut Vec<PublishedFleet>) -> Option<String> {
    let refused = sift(fleets);
    let came = fleets.len();
    let (stones, alive): (Vec<_>, Vec<_>) =
        std::mem::take(fleets).into_iter().partition(|fleet| fleet.deleted);
    let stones = latest(stones, |stone| stone.uid.clone()).into_iter().take(STONES_MAX);
    let alive =
        latest(alive, |fleet| format!("{}/{}", fleet.namespace, fleet.name)).into_iter().take(FLEETS_MAX);
    *fleets = stones.chain(alive).collect();
    let beyond = came - fleets.len();
    let beyond = (beyond > 0).then(|| format!("{beyond} more than it may say are passed over"));
    let told: Vec<String> = refused.into_iter().chain(beyond).collect();
    (!told.is_empty()).then(|| told.join("; "))
}

fn latest(fleets: Vec<PublishedFleet>, by: impl Fn(&PublishedFleet) -> String) -> Vec<PublishedFleet> {
    let mut found: BTreeMap<String, PublishedFleet> = BTreeMap::new();
    for fleet in fleets {
        let known = found.entry(by(&fleet)).or_insert_with(|| fleet.clone());
        if known.version < fleet.version {
            *known = fleet;
        }
    }
    found.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use operator_core::regions::shares::Version;

    fn fleet(namespace: &str, name: &str, uid: &str, home_epoch: u64) -> PublishedFleet {
        let version = Version { home_epoch, generation: 1 };
        let (namespace, name, uid) = (namespace.to_owned(), name.to_owned(), uid.to_owned());
        PublishedFleet { namespace, name, uid, version, ..PublishedFleet::default() }
    }

    #[test]
    fn what_is_no_name_no_uid_or_beyond_belief_is_passed_over_and_the_rest_counts() {
        let letters = "x".repeat(65);
        let long = |count: usize| &letters[..count];
        for (name, of, expected) in [
            ("as it should be", ("games", "arena", "u-1", 1), None),
            ("longest", (long(63), long(63), long(64), EPOCH_MAX - 1), None),
            ("a long name", ("games", long(64), "u", 0), Some("no name")),
            ("a long namespace", (long(64), "arena", "u", 0), Some("no name")),
            ("none", ("games", "", "u", 0), Some("no name")),
            ("a question", ("games", "a?watch=true", "u", 0), Some("no name")),
            ("a way up", ("..", "arena", "u", 0), Some("no name")),
            ("a way down", ("games", "a/b", "u", 0), Some("no name")),
            ("a long uid", ("games", "arena", long(65), 0), Some("uid")),
            ("no uid", ("games", "arena", "", 0), Some("uid")),
            ("a uid that is two words", ("games", "arena", "u 9", 0), Some("uid")),
            ("an epoch without a next one", ("games", "arena", "u", EPOCH_MAX), Some("epoch")),
        ] {
            let (namespace, of, uid, epoch) = of;
            let (of, good) = (fleet(namespace, of, uid, epoch), fleet("games", "good", "g", 0));
            let mut objects = Objects { fleets: vec![of, good.clone()], ..Objects::default() };
            let mut copies = Copies { fleets: objects.fleets.clone(), ..Copies::default() };
            let told = [limit_objects(&mut objects), limit_copies(&mut copies)];
            for (told, fleets) in told.iter().zip([&objects.fleets, &copies.fleets]) {
                assert_eq!(fleets.len(), if expected.is_some() { 1 } else { 2 }, "{name}");
                assert!(fleets.contains(&good), "{name}");
                assert_eq!(told.is_some(), expected.is_some(), "{name}");
                assert!(
                    told.as_deref().unwrap_or_default().contains(expected.unwrap_or_default()),
                    "{told:?}"
                );
            }
        }
    }

    #[test]
    fn a_record_without_a_next_one_is_passed_over() {
        for (number, passes) in [(RECORD_MAX - 1, true), (RECORD_MAX, false), (u64::MAX, false)] {
            let weights =
                PublishedFleet { weights: Some(format!("{number} kr=1")), ..fleet("games", "arena", "u", 0) };
            let scaler = format!("{{\"number\": {number}}}");
            let scaler = PublishedFleet { scaler: Some(scaler), ..fleet("games", "duel", "v", 0) };
            let mut objects = Objects { fleets: vec![weights, scaler], ..Objects::default() };
            let told = limit_objects(&mut objects);
            assert_eq!(
                (objects.fleets.len(), told.is_none()),
                (if passes { 2 } else { 0 }, passes),
                "{number}"
            );
        }
    }

    #[test]
    fn a_peer_says_no_more_than_it_may_and_each_thing_once() {
        let stone = |number: usize, epoch| PublishedFleet {
            deleted: true,
            ..fleet("games", "arena", &format!("u-{number:04}"), epoch)
        };
        let fleets = (0..1200).flat_map(|number| [stone(number, 1), stone(number, 2)]);
        let fleets =
            fleets.chain((0..300).map(|number| fleet("games", &format!("arena-{number:03}"), "u", 0)));
        let registered =
            (0..70).map(|number| format!("r{number:02}")).chain(["no region".to_owned()]).collect();
        let mut copies = Copies { fleets: fleets.collect(), registered, ..Copies::default() };
        let mut objects = Objects { fleets: copies.fleets.clone(), ..Objects::default() };
        let told = [limit_copies(&mut copies), limit_objects(&mut objects)];
        assert_eq!(copies.registered.len(), 64);
        for (fleets, told) in [copies.fleets, objects.fleets].iter().zip(told) {
            let (stones, alive): (Vec<_>, Vec<_>) = fleets.iter().partition(|fleet| fleet.deleted);
            assert_eq!((stones.len(), alive.len()), (1000, 256));
            assert!(stones.iter().all(|stone| stone.version.home_epoch == 2), "the latest of each");
            assert_eq!(told.as_deref(), Some("1444 more than it may say are passed over"));
        }
    }
}
