//! The last decisions of a replica, for whoever looks afterwards at what it did and why.
//!
//! Rules: there are never more than [`ENTRIES_MAX`], each of bounded length. Who decides often does not push out who decides seldom: where
//! there is no room, the oldest goes of those who have the most. What is decided again about the same object is counted on the last time, so
//! that a decision that stands is one entry, however often it is looked at.

use serde::Serialize;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Decisions that are kept.
pub const ENTRIES_MAX: usize = 1000;
/// Bytes of each text of an entry, of which the rest is left out.
pub const TEXT_BYTES_MAX: usize = 512;

/// Who decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Of {
    /// What a Fleet's servers are to be: made, drained, deleted.
    FleetPlan,
    /// How far a change of a Fleet's template goes, and how the template is judged.
    Rollout,
    /// How many servers an AutoScaler wishes.
    Scaling,
    /// Which server is proposed for a key.
    Allocation,
    /// In which region players are placed.
    Placement,
    /// What this region is to have of a placed Fleet.
    Share,
}

/// A decision as it was taken, and as often as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// In the order in which decisions were taken first; those that are missing were forgotten.
    pub number: u64,
    /// By the wall clock, in milliseconds since the Unix epoch.
    pub first_unix_ms: u64,
    /// The same of the last time.
    pub last_unix_ms: u64,
    /// How often it was taken, one time after the other.
    pub times: u64,
    /// Who decided.
    pub of: Of,
    /// About what, such as `games/duel`.
    pub object: String,
    /// What follows.
    pub decided: String,
    /// What it goes by.
    pub why: String,
}

/// A decision that is to be noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Who decided.
    pub of: Of,
    /// About what.
    pub object: String,
    /// What follows.
    pub decided: String,
    /// What it goes by.
    pub why: String,
}

/// The last decisions.
#[derive(Debug, Default)]
pub struct Ring {
    entries: BTreeMap<Of, VecDeque<Entry>>,
    /// Number of the last entry about an object.
    last: HashMap<(Of, String), u64>,
    taken: u64,
}

impl Ring {
    /// Notes a decision that was taken at this time.
    pub fn note(&mut self, now_unix_ms: u64, decision: Decision) {
        let Decision { of, object, decided, why } = decision;
        let [object, decided, why] = [object, decided, why].map(cut);
        if let Some(entry) = self.last_about(of, &object)
            && (entry.decided == decided && entry.why == why)
        {
            entry.times += 1;
            entry.last_unix_ms = now_unix_ms;
            return;
        }
        let number = self.taken;
        self.taken += 1;
        self.last.insert((of, object.clone()), number);
        self.entries.entry(of).or_default().push_back(Entry {
            number,
            first_unix_ms: now_unix_ms,
            last_unix_ms: now_unix_ms,
            times: 1,
            of,
            object,
            decided,
            why,
        });
        if self.entries.values().map(VecDeque::len).sum::<usize>() > ENTRIES_MAX {
            self.forget_one();
        }
    }

    /// All that is kept, in the order in which it was decided first.
    pub fn entries(&self) -> Vec<Entry> {
        let mut all: Vec<Entry> = self.entries.values().flatten().cloned().collect();
        all.sort_by_key(|entry| entry.number);
        all
    }

    fn last_about(&mut self, of: Of, object: &str) -> Option<&mut Entry> {
        let number = *self.last.get(&(of, object.to_owned()))?;
        let entries = self.entries.get_mut(&of)?;
        let at = entries.binary_search_by_key(&number, |entry| entry.number).ok()?;
        entries.get_mut(at)
    }

    fn forget_one(&mut self) {
        let most = self.entries.values_mut().max_by_key(|entries| entries.len());
        let Some(oldest) = most.and_then(VecDeque::pop_front) else { return };
        let about = (oldest.of, oldest.object);
        if self.last.get(&about) == Some(&oldest.number) {
            self.last.remove(&about);
        }
    }
}

/// As much of it as is kept.
fn cut(mut text: String) -> String {
    if text.len() > TEXT_BYTES_MAX {
        text.truncate(text.floor_char_boundary(TEXT_BYTES_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(of: Of, object: &str, decided: &str) -> Decision {
        Decision { of, object: object.to_owned(), decided: decided.to_owned(), why: "so".to_owned() }
    }

    fn told(ring: &Ring) -> Vec<(String, String, u64, u64)> {
        let entries = ring.entries().into_iter();
        entries.map(|entry| (entry.object, entry.decided, entry.times, entry.last_unix_ms)).collect()
    }

    #[test]
    fn what_is_decided_again_is_counted_and_what_changes_is_an_entry_of_its_own() {
        let mut ring = Ring::default();
        for (now, object, decided) in [
            (1, "a", "hold"),
            (2, "a", "hold"),
            (3, "b", "hold"),
            (4, "a", "up"),
            (5, "a", "hold"),
            (6, "b", "hold"),
        ] {
            ring.note(now, decision(Of::Scaling, object, decided));
        }
        let row =
            |object: &str, decided: &str, times, last| (object.to_owned(), decided.to_owned(), times, last);
        assert_eq!(
            told(&ring),
            [row("a", "hold", 2, 2), row("b", "hold", 2, 6), row("a", "up", 1, 4), row("a", "hold", 1, 5)]
        );
    }

    #[test]
    fn the_same_words_of_somebody_else_or_with_another_reason_are_another_decision() {
        let mut ring = Ring::default();
        ring.note(1, decision(Of::Scaling, "a", "hold"));
        ring.note(2, decision(Of::Share, "a", "hold"));
        ring.note(3, Decision { why: "otherwise".to_owned(), ..decision(Of::Scaling, "a", "hold") });
        assert_eq!(ring.entries().len(), 3);
    }

    #[test]
    fn there_are_never_more_than_are_kept_and_the_oldest_of_those_with_the_most_go() {
        let mut ring = Ring::default();
        for number in 0..3 {
            ring.note(number, decision(Of::FleetPlan, &format!("fleet-{number}"), "create 0"));
        }
        for number in 0..5000 {
            ring.note(number, decision(Of::Allocation, &format!("key-{number}"), "duel-0"));
            assert!(ring.entries.values().map(VecDeque::len).sum::<usize>() <= ENTRIES_MAX);
        }
        let entries = ring.entries();
        assert_eq!(entries.len(), ENTRIES_MAX);
        assert_eq!(ring.last.len(), ENTRIES_MAX, "nothing is remembered of what is forgotten");
        let plans = entries.iter().filter(|entry| entry.of == Of::FleetPlan).count();
        assert_eq!(plans, 3, "whoever decides seldom is not pushed out");
        assert_eq!(entries.last().unwrap().object, "key-4999");
        assert!(entries.is_sorted_by_key(|entry| entry.number));
    }

    #[test]
    fn what_was_forgotten_is_an_entry_anew_when_it_is_decided_again() {
        let mut ring = Ring::default();
        for number in 0..=ENTRIES_MAX {
            ring.note(1, decision(Of::Allocation, &format!("key-{number}"), "none"));
        }
        ring.note(2, decision(Of::Allocation, "key-0", "none"));
        let last = ring.entries().pop().unwrap();
        assert_eq!((last.object.as_str(), last.times), ("key-0", 1));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        let mut ring = Ring::default();
        let long = "\u{fc}".repeat(TEXT_BYTES_MAX);
        ring.note(1, Decision { why: format!("x{long}"), ..decision(Of::Placement, &long, &long) });
        ring.note(2, Decision { why: format!("x{long}"), ..decision(Of::Placement, &long, &long) });
        let entries = ring.entries();
        assert_eq!((entries.len(), entries[0].times), (1, 2), "what is cut alike is alike");
        assert_eq!((entries[0].object.len(), entries[0].why.len()), (TEXT_BYTES_MAX, TEXT_BYTES_MAX - 1));
    }
}
