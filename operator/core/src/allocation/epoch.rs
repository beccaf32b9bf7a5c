//! Which replicas have everything that was answered, and which one of them answers.

use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::num::ParseIntError;

/// A process of the operator. It is drawn when the process starts: one that starts again has nothing in memory and is another.
///
/// It is written in sixteen hexadecimal digits: numbers of that size do not outlive JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ReplicaId(pub u64);

impl From<ReplicaId> for String {
    fn from(id: ReplicaId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for ReplicaId {
    type Error = ParseIntError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        u64::from_str_radix(&text, 16).map(Self)
    }
}

impl fmt::Display for ReplicaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// How far apart the reigns of a replica are: the last bits of its id are in each, so that no two begin the same reign, whatever
/// the object says.
const REIGN_STEP: u64 = 1 << 16;

/// The next reign that this replica begins beyond a number.
fn reign_beyond(number: u64, me: ReplicaId) -> u64 {
    (number / REIGN_STEP + 1) * REIGN_STEP + me.0 % REIGN_STEP
}

/// Who answers and who has what was answered. It is written only in the place of the one that its writer has read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Epoch {
    /// More than that of any epoch before.
    pub number: u64,
    /// Number of the epoch in which the allocator became it, which no other replica has used: what one of an earlier reign says is void.
    pub reign: u64,
    /// Who answers.
    pub allocator: ReplicaId,
    /// Who has everything that was answered, the allocator among them.
    pub in_sync: BTreeSet<ReplicaId>,
    /// Nobody was left of those who had what was answered: the reign began with what servers and their objects said.
    #[serde(default)]
    pub restored: bool,
}

impl Epoch {
    /// Where nothing was heard of any, whoever comes first is it.
    pub fn first(me: ReplicaId) -> Self {
        Self::anew(me, 0)
    }

    /// `me` begins anew, beyond whatever number was heard: servers heed nobody whose reign is before one that they know of.
    pub fn anew(me: ReplicaId, heard: u64) -> Self {
        let number = reign_beyond(heard, me);
        Self { number, reign: number, allocator: me, in_sync: BTreeSet::from([me]), restored: true }
    }

    /// Whether this one counts before the other: an object that goes back does not take servers along, so of two reigns it is the higher one.
    pub fn is_after(&self, other: &Self) -> bool {
        (self.reign, self.number) > (other.reign, other.number)
    }

    /// The allocator says that this one has everything.
    #[must_use]
    pub fn with(&self, joiner: ReplicaId) -> Self {
        let mut next = Self { number: self.number + 1, ..self.clone() };
        next.in_sync.insert(joiner);
        next
    }

    /// The allocator waits for that one no longer. It cannot leave itself out.
    #[must_use]
    pub fn without(&self, silent: ReplicaId) -> Self {
        let mut next = Self { number: self.number + 1, ..self.clone() };
        if silent != self.allocator {
            next.in_sync.remove(&silent);
        }
        next
    }

    /// The epoch in which `me` is the allocator in the place of one that is silent, with those of the others to which it is linked. `None`
    /// for one that may lack what was answered.
    pub fn succeed(&self, me: ReplicaId, linked: &BTreeSet<ReplicaId>) -> Option<Self> {
        if me == self.allocator || !self.in_sync.contains(&me) {
            return None;
        }
        let stays = |id: &ReplicaId| *id == me || (*id != self.allocator && linked.contains(id));
        let in_sync = self.in_sync.iter().copied().filter(stays).collect();
        let number = reign_beyond(self.number, me);
        Some(Self { number, reign: number, allocator: me, in_sync, restored: false })
    }

    /// The epoch in which `me` begins anew because all who were in sync are known to have ended: what was answered is then known by
    /// servers alone, and each of them has to say it first. `None` while one may live: whoever is only silent may give a server away that
    /// starts just now. `heard` is as for [`Self::anew`].
    pub fn restore(&self, me: ReplicaId, ended: &BTreeSet<ReplicaId>, heard: u64) -> Option<Self> {
        self.in_sync.is_subset(ended).then(|| Self::anew(me, heard.max(self.number)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ReplicaId = ReplicaId(1);
    const B: ReplicaId = ReplicaId(2);
    const C: ReplicaId = ReplicaId(3);
    const D: ReplicaId = ReplicaId(4);

    fn set(ids: &[ReplicaId]) -> BTreeSet<ReplicaId> {
        ids.iter().copied().collect()
    }

    /// A answers; B and C have what it has.
    fn epoch() -> Epoch {
        Epoch { number: 7, reign: 3, allocator: A, in_sync: set(&[A, B, C]), restored: false }
    }

    #[test]
    fn an_allocator_takes_others_in_and_leaves_them_out_within_its_reign() {
        let (with, without) = (epoch().with(D), epoch().without(B));
        assert_eq!((with.number, with.reign, with.in_sync), (8, 3, set(&[A, B, C, D])));
        assert_eq!((without.number, without.reign, without.in_sync), (8, 3, set(&[A, C])));
        assert_eq!(epoch().without(A).in_sync, epoch().in_sync, "not itself");
    }

    #[test]
    fn only_who_is_in_sync_succeeds_and_takes_along_whom_it_hears_of_those() {
        for (case, me, heard, expected) in [
            ("hears all", B, &[A, C, D][..], Some(set(&[B, C]))),
            ("hears nobody", B, &[], Some(set(&[B]))),
            ("may lack something", D, &[A, B, C], None),
            ("is it already", A, &[B, C], None),
        ] {
            let next = epoch().succeed(me, &set(heard));
            assert_eq!(next.as_ref().map(|next| next.in_sync.clone()), expected, "{case}");
            let reign = REIGN_STEP + me.0;
            assert!(
                next.is_none_or(|next| (next.number, next.reign, next.allocator) == (reign, reign, me)),
                "{case}"
            );
        }
    }

    #[test]
    fn no_two_replicas_begin_the_same_reign_and_each_begins_beyond_what_it_has_heard_of() {
        for heard in [0, 1, REIGN_STEP - 1, REIGN_STEP, REIGN_STEP + 1, REIGN_STEP + 2, 7 * REIGN_STEP + 3] {
            let reigns: BTreeSet<u64> = [A, B, C, D].iter().map(|id| Epoch::anew(*id, heard).reign).collect();
            assert_eq!(reigns.len(), 4, "{heard}");
            assert!(reigns.iter().all(|reign| *reign > heard), "{heard}: {reigns:?}");
        }
    }

    #[test]
    fn somebody_begins_anew_only_when_all_who_had_everything_have_ended() {
        for (case, ended, expected) in [
            ("all", &[A, B, C][..], true),
            ("and others", &[A, B, C, D], true),
            ("one may live", &[A, C], false),
            ("nobody", &[], false),
        ] {
            for (heard, reign) in [(7, REIGN_STEP + 4), (REIGN_STEP + 9, 2 * REIGN_STEP + 4)] {
                let next = epoch().restore(D, &set(ended), heard);
                assert_eq!(next.is_some(), expected, "{case}");
                let begun = |next: Epoch| {
                    (next.number, next.reign, next.in_sync, next.restored) == (reign, reign, set(&[D]), true)
                };
                assert!(next.is_none_or(begun), "{case}");
            }
        }
    }

    #[test]
    fn of_two_reigns_the_higher_one_counts_and_of_two_epochs_of_one_reign_the_later_one() {
        for (case, reign, number, is_after) in [
            ("the same", 3, 7, false),
            ("later in the reign", 3, 8, true),
            ("before it", 3, 6, false),
            ("a later reign, counted from an old copy", 4, 4, true),
            ("a reign of an old copy", 2, 9, false),
        ] {
            assert_eq!(Epoch { number, reign, ..epoch() }.is_after(&epoch()), is_after, "{case}");
        }
    }
}
