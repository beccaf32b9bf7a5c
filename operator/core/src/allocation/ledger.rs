//! What became of each key.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use super::{Key, ServerUid};

/// How long a key is remembered after its end, so that a caller who asks again late is not given a second server.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Keys that are remembered after their end at most; the oldest go first. A hundred a second for longer than [`REMEMBERED`].
const REMEMBERED_MAX: usize = 65_536;

/// What became of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Its server holds it.
    Held,
    /// Its server has let it go: the session is over.
    Ended,
    /// Its server is gone, or came back without it.
    Lost,
    /// Two servers hold it, or held it, and nobody is left who knows which one was answered: neither is told of, and nothing is taken from
    /// either. It is never forgotten.
    Contested,
}

/// A key's server and what became of it there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Which server.
    pub server: ServerUid,
    /// What became of it.
    pub fate: Fate,
}

/// One line for the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Of which key.
    pub key: Key,
    /// How it stands from now on.
    pub entry: Entry,
}

/// What became of each key that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ledger {
    entries: BTreeMap<Key, Entry>,
    /// Keys that each server holds.
    held: BTreeMap<ServerUid, BTreeSet<Key>>,
    /// Keys that have ended, and when that was heard here.
    ended: VecDeque<(Duration, Key)>,
}

impl Ledger {
    /// What is known of this key.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// Every key, by its name.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// Keys that this server holds.
    pub fn held_by(&self, server: &ServerUid) -> impl Iterator<Item = &Key> {
        self.held.get(server).into_iter().flatten()
    }

    /// Servers that hold a key.
    pub fn holders(&self) -> impl Iterator<Item = &ServerUid> {
        self.held.keys()
    }

    /// Writes a line; `now` is on the caller's monotonic clock.
    pub(super) fn write(&mut self, now: Duration, Change { key, entry }: Change) {
        if entry.fate == Fate::Held {
            self.held.entry(entry.server.clone()).or_default().insert(key.clone());
        }
        let is_held = entry.fate == Fate::Held;
        let ages = matches!(entry.fate, Fate::Ended | Fate::Lost);
        let old = self.entries.insert(key.clone(), entry);
        if let Some(old) = old.as_ref().filter(|old| old.fate == Fate::Held && !is_held) {
            self.let_go(&old.server, &key);
        }
        if ages && old.is_none_or(|old| !matches!(old.fate, Fate::Ended | Fate::Lost)) {
            self.ended.push_back((now, key));
        }
        self.forget(now);
    }

    fn let_go(&mut self, server: &ServerUid, key: &Key) {
        if let Some(keys) = self.held.get_mut(server) {
            keys.remove(key);
            if keys.is_empty() {
                self.held.remove(server);
            }
        }
    }

    /// Forgets keys whose end is long past.
    pub(super) fn forget(&mut self, now: Duration) {
        while let Some((at, key)) = self.ended.front() {
            if self.ended.len() <= REMEMBERED_MAX && now.saturating_sub(*at) < REMEMBERED {
                break;
            }
            if self.entries.get(key).is_some_and(|entry| matches!(entry.fate, Fate::Ended | Fate::Lost)) {
                self.entries.remove(key);
            }
            self.ended.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(key: &str, fate: Fate) -> Change {
        Change { key: key.into(), entry: Entry { server: "s".into(), fate } }
    }

    fn keys(ledger: &Ledger) -> Vec<&str> {
        ledger.iter().map(|(key, _)| key.as_ref()).collect()
    }

    #[test]
    fn what_is_held_or_contested_is_kept_and_what_has_ended_is_forgotten_after_ten_minutes() {
        let mut ledger = Ledger::default();
        let at = Duration::from_secs;
        ledger.write(at(0), line("held", Fate::Held));
        ledger.write(at(0), line("ended", Fate::Held));
        ledger.write(at(1), line("ended", Fate::Ended));
        ledger.write(at(2), line("lost", Fate::Lost));
        ledger.write(at(3), line("contested", Fate::Contested));
        ledger.forget(at(600));
        assert_eq!(keys(&ledger), ["contested", "ended", "held", "lost"]);
        ledger.forget(at(601));
        assert_eq!(keys(&ledger), ["contested", "held", "lost"]);
        ledger.forget(at(9999));
        assert_eq!(keys(&ledger), ["contested", "held"]);
        assert_eq!(ledger.held_by(&"s".into()).map(AsRef::as_ref).collect::<Vec<&str>>(), ["held"]);
    }

    #[test]
    fn an_end_that_is_told_again_is_not_remembered_for_longer_and_does_not_take_a_place() {
        let mut ledger = Ledger::default();
        for second in 0..10 {
            ledger.write(Duration::from_secs(second), line("ended", Fate::Ended));
        }
        assert_eq!(ledger.ended.len(), 1);
        ledger.forget(Duration::from_secs(600));
        assert_eq!(keys(&ledger), Vec::<&str>::new());
    }

    #[test]
    fn the_oldest_of_too_many_ends_are_forgotten_first() {
        let mut ledger = Ledger::default();
        for number in 0..REMEMBERED_MAX + 2 {
            ledger.write(Duration::ZERO, line(&format!("{number:06}"), Fate::Ended));
        }
        assert_eq!((ledger.entries.len(), ledger.ended.len()), (REMEMBERED_MAX, REMEMBERED_MAX));
        assert!(ledger.get("000001").is_none() && ledger.get("000002").is_some());
    }
}
