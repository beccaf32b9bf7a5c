//! What the allocator alone has: what is being written down, by whom it is, and who waits for what.

use std::collections::{BTreeMap, BTreeSet};

use super::{Answer, Change, Entry, Epoch, Fate, Key, Ledger, Output, ReplicaId, ServerUid};

/// What the allocator alone has.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Office {
    /// Nobody is left of those who knew what was answered: until every server has said what it holds, no key is new.
    pub(super) is_settling: bool,
    /// Servers that have said what they hold in this reign.
    pub(super) heard: BTreeSet<ServerUid>,
    /// Number of the newest change.
    pub(super) newest: u64,
    /// Number of the newest change that everybody who counts has written down.
    pub(super) concluded: u64,
    /// Changes after it.
    pub(super) open: BTreeMap<u64, Change>,
    /// Up to which change the others have written it down, of those that were told all.
    pub(super) written: BTreeMap<ReplicaId, u64>,
    /// The epoch that is being written: whether it counts is not known before one of its number is read.
    pub(super) writing: Option<Epoch>,
    /// Keys that were asked for and have no answer yet.
    pub(super) asked: BTreeMap<Key, Asked>,
}

/// How far a key is that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Asked {
    /// Waits until what the allocator knows is known to all who count.
    Waits,
    /// A server is being chosen, none of these.
    Chooses(BTreeSet<ServerUid>),
    /// Proposed to the first; the others were tried before.
    Proposed(ServerUid, BTreeSet<ServerUid>),
    /// Held by a server, and being written down.
    Written,
}

impl Office {
    /// What is written of a key, by everybody or not yet.
    pub(super) fn known<'a>(&'a self, ledger: &'a Ledger, key: &Key) -> Option<&'a Entry> {
        self.open_of(key).or_else(|| ledger.get(key))
    }

    /// What is being written of a key.
    fn open_of(&self, key: &Key) -> Option<&Entry> {
        self.open.values().rfind(|change| change.key == *key).map(|change| &change.entry)
    }

    /// Keys that are written to be held by this server.
    pub(super) fn held_by(&self, ledger: &Ledger, server: &ServerUid) -> BTreeSet<Key> {
        let is_held = |entry: &Entry| entry.server == *server && entry.fate == Fate::Held;
        let open = self.open.values().filter(|change| is_held(&change.entry)).map(|change| &change.key);
        let keys: BTreeSet<&Key> = ledger.held_by(server).chain(open).collect();
        keys.into_iter().filter(|key| self.known(ledger, key).is_some_and(is_held)).cloned().collect()
    }

    /// Up to which change everybody has written it down who counts, or may. None while one of them has not been told all, and while
    /// another server may say that it holds the same key.
    pub(super) fn written_by_all(&self, epoch: &Epoch) -> Option<u64> {
        if self.is_settling {
            return None;
        }
        let joining = self.writing.iter().flat_map(|next| &next.in_sync);
        let mut others = epoch.in_sync.iter().chain(joining).filter(|id| **id != epoch.allocator);
        others.try_fold(self.newest, |least, id| Some(least.min(*self.written.get(id)?)))
    }

    /// Takes out of what is open all that everybody has written down.
    pub(super) fn conclude(&mut self, up_to: u64) -> Vec<Change> {
        let later = self.open.split_off(&(up_to + 1));
        let written = std::mem::replace(&mut self.open, later);
        self.concluded = written.last_key_value().map_or(self.concluded, |(number, _)| *number);
        written.into_values().collect()
    }

    /// Begins to write the epoch in which a replica is in sync that has all that was answered. From now on it is waited for: whether the
    /// write has come through is known later.
    pub(super) fn take_in(&mut self, epoch: &Epoch) -> Option<Epoch> {
        if self.writing.is_some() {
            return None;
        }
        let is_ready =
            |(id, up_to): &(&ReplicaId, &u64)| **up_to >= self.concluded && !epoch.in_sync.contains(id);
        let joiner = self.written.iter().find(is_ready).map(|(id, _)| *id)?;
        self.writing = Some(epoch.with(joiner));
        self.writing.clone()
    }

    /// What follows for a key that waits, now that everything that is written is known to all.
    pub(super) fn wake(&mut self, ledger: &Ledger, key: &Key) -> Option<Output> {
        if self.open_of(key).is_some() {
            self.asked.insert(key.clone(), Asked::Written);
            return None;
        }
        self.answer(ledger, key).or_else(|| {
            self.asked.insert(key.clone(), Asked::Chooses(BTreeSet::new()));
            Some(Output::Choose(key.clone(), BTreeSet::new()))
        })
    }

    /// Answers whoever waits for a key of which everything is written by everybody.
    pub(super) fn answer(&mut self, ledger: &Ledger, key: &Key) -> Option<Output> {
        // what is written last counts, and may be on its way
        if self.open_of(key).is_some() {
            return None;
        }
        let entry = ledger.get(key)?;
        self.asked.remove(key).map(|_| Output::Answer(key.clone(), Answer::from(entry.clone())))
    }

    /// Another server is to be chosen for what was proposed to this one: for this key, or for all.
    pub(super) fn pass_over(&mut self, server: &ServerUid, key: Option<&Key>) -> Vec<Output> {
        let mut again = Vec::new();
        for (asked_key, asked) in &mut self.asked {
            let Asked::Proposed(to, tried) = asked else { continue };
            if to != server || key.is_some_and(|key| key != asked_key) {
                continue;
            }
            let mut tried = std::mem::take(tried);
            tried.insert(server.clone());
            again.push(Output::Choose(asked_key.clone(), tried.clone()));
            *asked = Asked::Chooses(tried);
        }
        again
    }
}
