//! One replica of the operator: keeps the ledger, and as the allocator proposes, has it written down by all, and answers.

use gameserver_contract::{Holding, Judgement, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

use super::office::{Asked, Office};
use super::{Answer, Change, Entry, Epoch, Fate, Key, Ledger, Message, Output, ReplicaId, ServerUid, Write};

/// A server that says that it knows of a reign so far beyond what was heard of is not believed: numbers must not come to their end.
const AHEAD_MAX: u64 = 1 << 40;

/// One replica. Each method takes what happened and adds to `out` what follows.
///
/// What comes over a link or a stream that another has followed must not come here any more: the caller ends the old one, by
/// [`Self::unlinked`] or [`Self::unheard`], before it says anything of the new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    id: ReplicaId,
    /// The newest that was read.
    epoch: Option<Epoch>,
    /// The object as last read: none, or one before `epoch`, where it was lost or went back to an old copy.
    stands: Option<Epoch>,
    /// Highest number of an epoch or a reign of which anything was heard, servers' words included.
    heard: u64,
    ledger: Ledger,
    /// Highest reign that it was in, or that another replica or, while it allocates, a server told it of.
    reign: u64,
    /// Replicas to which a link is up.
    linked: BTreeSet<ReplicaId>,
    role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Role {
    /// Writes down what the allocator says; who that is and the number of its last change, while it is linked and has told all.
    Follows(Option<(ReplicaId, u64)>),
    Allocates(Office),
}

impl Replica {
    /// One that has just started.
    pub fn new(id: ReplicaId) -> Self {
        Self {
            id,
            epoch: None,
            stands: None,
            heard: 0,
            ledger: Ledger::default(),
            reign: 0,
            linked: BTreeSet::new(),
            role: Role::Follows(None),
        }
    }

    /// Its own id.
    pub fn id(&self) -> ReplicaId {
        self.id
    }

    /// Whether it answers.
    pub fn is_allocator(&self) -> bool {
        matches!(self.role, Role::Allocates(_))
    }

    /// Highest reign of which anything was heard: its own, while it answers.
    pub fn reign(&self) -> u64 {
        self.reign
    }

    /// Whether new keys wait for servers to say what they hold.
    pub fn is_settling(&self) -> bool {
        matches!(&self.role, Role::Allocates(office) if office.is_settling)
    }

    /// The newest epoch that was read.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The object as last read.
    pub fn stands(&self) -> Option<&Epoch> {
        self.stands.as_ref()
    }

    /// What it has written down.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The object was read. `None`: there is none.
    pub fn observe(&mut self, now: Duration, read: Option<Epoch>, out: &mut Vec<Output>) {
        self.stands.clone_from(&read);
        let is_new = |read: &Epoch| self.epoch.as_ref().is_none_or(|known| read.is_after(known));
        let Some(read) = read.filter(is_new) else { return self.insist(out) };
        self.heard = self.heard.max(read.number);
        let is_mine = read.allocator == self.id;
        // another may have told of this reign before the one whose it is has read it
        let begins =
            is_mine && (read.reign > self.reign || (read.reign == self.reign && !self.is_allocator()));
        let is_over = !is_mine && read.reign >= self.reign;
        self.epoch = Some(read.clone());
        if begins {
            self.begin(&read, out);
        } else if is_over {
            self.follow(read.reign, Some(read.allocator), out);
        } else if let Role::Allocates(office) = &mut self.role {
            // nothing that was to stand in its place can any more
            office.writing = None;
        }
        self.conclude(now, out);
    }

    /// The object is as it was, or was lost, or went back to an old copy.
    fn insist(&mut self, out: &mut Vec<Output>) {
        let is_ahead = self.is_ahead();
        if matches!(self.role, Role::Follows(None)) && is_ahead {
            // others may go by the object, or wait for one that it names
            self.tell_later(self.reign, None, out);
        }
        // whoever is named and linked would have told it everything if it allocated; if this one is named it was followed by another, and
        // nobody who is linked says that it is that one
        let is_idle = |epoch: &Epoch| {
            epoch.allocator == self.id || (is_ahead && self.linked.contains(&epoch.allocator))
        };
        let next = match (&mut self.role, &self.epoch) {
            // what was to stand in its place does not yet, and still may
            (Role::Allocates(office), _) if !is_ahead => office.writing.clone(),
            (Role::Allocates(office), Some(epoch)) => {
                let again = || Epoch { number: self.heard + 1, ..epoch.clone() };
                Some(office.writing.get_or_insert_with(again).clone())
            }
            (Role::Follows(None), epoch) if epoch.as_ref().is_none_or(is_idle) => {
                Some(Epoch::anew(self.id, self.heard))
            }
            (Role::Follows(_), _) | (Role::Allocates(_), None) => None,
        };
        out.extend(next.map(|next| self.write(next)));
    }

    /// Whether more is known than the object says: it was lost, or went back, or has changed since.
    fn is_ahead(&self) -> bool {
        self.stands != self.epoch || self.epoch.as_ref().is_some_and(|epoch| self.reign > epoch.reign)
    }

    fn write(&self, next: Epoch) -> Output {
        Output::Write(Write { found: self.stands.clone(), next })
    }

    /// A link to this replica is up; nothing that was sent before arrives any more.
    pub fn linked(&mut self, peer: ReplicaId, out: &mut Vec<Output>) {
        self.linked.insert(peer);
        self.tell_all(peer, out);
        if matches!(self.role, Role::Follows(None)) && self.is_ahead() {
            out.push(Output::Send(peer, Message::Later { reign: self.reign }));
        }
    }

    /// The link to this replica is down.
    pub fn unlinked(&mut self, peer: ReplicaId) {
        self.linked.remove(&peer);
        match &mut self.role {
            Role::Allocates(office) => _ = office.written.remove(&peer),
            Role::Follows(told) => _ = told.take_if(|(allocator, _)| *allocator == peer),
        }
    }

    /// This replica has been silent for longer than one is waited for; say it again while it is.
    pub fn silent(&mut self, peer: ReplicaId, out: &mut Vec<Output>) {
        let Some(epoch) = self.epoch.as_ref().filter(|epoch| epoch.in_sync.contains(&peer)) else { return };
        // an object that went back may have said meanwhile that this one lacks something, and so may epochs of which others know
        let may_lack = self.stands.as_ref() != Some(epoch) || self.heard > epoch.number;
        let next = match &mut self.role {
            // one write at a time: until it is known what came of the last it is that one again
            Role::Allocates(office) => {
                Some(office.writing.get_or_insert_with(|| epoch.without(peer)).clone())
            }
            Role::Follows(_) if peer != epoch.allocator => None,
            Role::Follows(_) => match epoch.succeed(self.id, &self.linked) {
                Some(_) if may_lack => Some(Epoch::anew(self.id, self.heard)),
                next => next,
            },
        };
        out.extend(next.map(|next| self.write(next)));
    }

    /// These replicas are known to have ended, and do not only seem to have.
    pub fn ended(&self, replicas: &BTreeSet<ReplicaId>, out: &mut Vec<Output>) {
        if !matches!(self.role, Role::Follows(None)) {
            // one that is linked allocates, whatever the object says
            return;
        }
        let next = self.epoch.as_ref().and_then(|epoch| epoch.restore(self.id, replicas, self.heard));
        out.extend(next.map(|next| self.write(next)));
    }

    /// Another replica says something.
    pub fn heard(&mut self, now: Duration, from: ReplicaId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Whole { reign, .. } | Message::Next { reign, .. } if reign < self.reign => {
                out.push(Output::Send(from, Message::Later { reign: self.reign }));
            }
            Message::Whole { reign, up_to, lines } => {
                self.follow(reign, Some(from), out);
                self.ledger = Ledger::default();
                for line in lines {
                    self.ledger.write(now, line);
                }
                self.role = Role::Follows(Some((from, up_to)));
                out.push(Output::Send(from, Message::Written { reign, up_to }));
            }
            Message::Next { reign, number, change } => {
                let Role::Follows(Some((allocator, last))) = &mut self.role else { return };
                if reign != self.reign || *allocator != from || number != *last + 1 {
                    return;
                }
                *last = number;
                self.ledger.write(now, change);
                out.push(Output::Send(from, Message::Written { reign, up_to: number }));
            }
            Message::Written { reign, up_to } => {
                let is_ours = reign == self.reign && self.linked.contains(&from);
                let Role::Allocates(office) = &mut self.role else { return };
                if is_ours {
                    office.written.insert(from, up_to);
                    self.conclude(now, out);
                }
            }
            Message::Later { reign } if reign > self.reign => self.follow(reign, None, out),
            Message::Later { .. } => {}
        }
    }

    /// Somebody asks for a key; the answer comes now or later.
    pub fn ask(&mut self, key: Key, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &mut self.role else {
            let allocator = self.epoch.as_ref().map(|epoch| epoch.allocator).filter(|id| *id != self.id);
            out.push(Output::Answer(key, Answer::Elsewhere(allocator)));
            return;
        };
        let is_new = !office.asked.contains_key(&key);
        if is_new {
            office.asked.insert(key.clone(), Asked::Waits);
        }
        if is_new && self.epoch.as_ref().is_some_and(|epoch| office.written_by_all(epoch).is_some()) {
            out.extend(office.wake(&self.ledger, &key));
        }
    }

    /// Nobody waits for this key any more. One that no server was asked to take is forgotten; another has its end as if somebody waited.
    pub fn withdraw(&mut self, key: &Key) {
        let Role::Allocates(office) = &mut self.role else { return };
        if matches!(office.asked.get(key), Some(Asked::Waits | Asked::Chooses(_))) {
            office.asked.remove(key);
        }
    }

    /// These servers there are that may hold something. When each of them has said what it holds, keys that none of them has are new:
    /// say it again while [`Self::is_settling`].
    pub fn settle(&mut self, now: Duration, servers: &BTreeSet<ServerUid>, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &mut self.role else { return };
        if office.is_settling && servers.is_subset(&office.heard) {
            office.is_settling = false;
            self.conclude(now, out);
        }
    }

    /// A server was chosen for this key, or none is free.
    pub fn chosen(&mut self, key: &Key, server: Option<ServerUid>, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &mut self.role else { return };
        let Some(Asked::Chooses(tried)) = office.asked.get(key) else { return };
        if let Some(server) = server {
            let proposed = Asked::Proposed(server.clone(), tried.clone());
            office.asked.insert(key.clone(), proposed);
            out.push(Output::Propose { server, key: key.clone(), reign: self.reign });
        } else {
            office.asked.remove(key);
            out.push(Output::Answer(key.clone(), Answer::NoServer));
        }
    }

    /// A server answers a proposal.
    pub fn answered(
        &mut self,
        now: Duration,
        server: &ServerUid,
        key: &Key,
        said: Judgement,
        out: &mut Vec<Output>,
    ) {
        if !self.is_of_now(said.reign, out) {
            return;
        }
        match said.verdict {
            Verdict::Taken => self.holds(server, key, out),
            Verdict::Full | Verdict::Ended | Verdict::Overruled => self.pass_over(server, Some(key), out),
        }
        self.conclude(now, out);
    }

    /// A server says what it holds: when its stream begins, and when it is greeted.
    pub fn hello(&mut self, now: Duration, server: &ServerUid, held: &Holding, out: &mut Vec<Output>) {
        let Holding { reign, keys, ended } = held;
        if !self.is_of_now(*reign, out) {
            if self.is_allocator() {
                // before it knew of this reign somebody else may have given it more, or taken from it
                out.push(Output::Greet { server: Some(server.clone()), reign: self.reign });
            }
            return;
        }
        for key in keys {
            self.holds(server, key, out);
        }
        for key in ended {
            self.ends(server, key, Fate::Ended, out);
        }
        // what it was given and knows nothing of was lost with it
        let is_lost = |key: &Key| !keys.contains(key) && !ended.contains(key);
        for key in self.held_by(server).into_iter().filter(is_lost) {
            self.ends(server, &key, Fate::Lost, out);
        }
        if let Role::Allocates(office) = &mut self.role {
            office.heard.insert(server.clone());
        }
        self.conclude(now, out);
    }

    /// A server says that the session of this key is over.
    pub fn over(&mut self, now: Duration, server: &ServerUid, key: &Key, out: &mut Vec<Output>) {
        self.ends(server, key, Fate::Ended, out);
        self.conclude(now, out);
    }

    /// The stream of a server has ended: it answers no proposal any more.
    pub fn unheard(&mut self, server: &ServerUid, out: &mut Vec<Output>) {
        self.pass_over(server, None, out);
    }

    /// A server is gone for good.
    pub fn gone(&mut self, now: Duration, server: &ServerUid, out: &mut Vec<Output>) {
        self.pass_over(server, None, out);
        for key in self.held_by(server) {
            self.ends(server, &key, Fate::Lost, out);
        }
        self.conclude(now, out);
    }

    /// Time passes: what has long ended is forgotten.
    pub fn tick(&mut self, now: Duration) {
        self.ledger.forget(now);
    }

    /// A reign of its own begins.
    fn begin(&mut self, epoch: &Epoch, out: &mut Vec<Output>) {
        self.reign = epoch.reign;
        if epoch.restored {
            // what an outsider has may be what was never answered
            self.ledger = Ledger::default();
        }
        self.role = Role::Allocates(Office { is_settling: epoch.restored, ..Office::default() });
        for peer in &self.linked {
            self.tell_all(*peer, out);
        }
        out.push(Output::Greet { server: None, reign: self.reign });
    }

    /// Whether a server's word is of this replica's own reign. Where it knows of a later one, this one is over.
    fn is_of_now(&mut self, reign: u64, out: &mut Vec<Output>) -> bool {
        if reign > self.heard.saturating_add(AHEAD_MAX) {
            return false;
        }
        self.heard = self.heard.max(reign);
        if reign > self.reign && self.is_allocator() {
            self.follow(reign, None, out);
        }
        reign == self.reign && self.is_allocator()
    }

    /// The reign of somebody else: whoever waits here is sent there.
    fn follow(&mut self, reign: u64, allocator: Option<ReplicaId>, out: &mut Vec<Output>) {
        if let Role::Allocates(office) = &mut self.role {
            let waiting = std::mem::take(&mut office.asked).into_keys();
            out.extend(waiting.map(|key| Output::Answer(key, Answer::Elsewhere(allocator))));
            if reign > self.reign {
                // they shall not take it for the allocator any more
                self.tell_later(reign, allocator, out);
            }
        }
        if self.is_allocator() || reign > self.reign {
            self.role = Role::Follows(None);
        }
        (self.reign, self.heard) = (reign, self.heard.max(reign));
    }

    /// Tells the others of a reign, but the one whose it is.
    fn tell_later(&self, reign: u64, allocator: Option<ReplicaId>, out: &mut Vec<Output>) {
        let others = self.linked.iter().filter(|peer| Some(**peer) != allocator);
        out.extend(others.map(|peer| Output::Send(*peer, Message::Later { reign })));
    }

    /// Tells a replica everything, in the place of what it has.
    fn tell_all(&self, peer: ReplicaId, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &self.role else { return };
        let line = |(key, entry): (&Key, &Entry)| Change { key: key.clone(), entry: entry.clone() };
        let lines = self.ledger.iter().map(line).chain(office.open.values().cloned()).collect();
        out.push(Output::Send(peer, Message::Whole { reign: self.reign, up_to: office.newest, lines }));
    }

    /// A server holds a key. What was answered counts; without an answer the first to hold it has it.
    fn holds(&mut self, server: &ServerUid, key: &Key, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &self.role else { return };
        match office.known(&self.ledger, key) {
            None => self.change(server, key, Fate::Held, out),
            Some(entry) if entry.fate == Fate::Contested => {}
            Some(entry) if entry.fate == Fate::Held && entry.server == *server => {}
            Some(entry) if entry.server != *server && office.is_settling => {
                self.change(server, key, Fate::Contested, out);
            }
            Some(_) => {
                let (server, key) = (server.clone(), key.clone());
                out.push(Output::Release { server, key, reign: self.reign });
            }
        }
    }

    /// A key has ended on this server. One that nobody wrote down was answered to nobody, unless those who did are no more.
    fn ends(&mut self, server: &ServerUid, key: &Key, fate: Fate, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &self.role else { return };
        match office.known(&self.ledger, key) {
            None if office.is_settling => self.change(server, key, fate, out),
            Some(entry) if entry.fate == Fate::Held && entry.server == *server => {
                self.change(server, key, fate, out);
            }
            Some(entry) if entry.server != *server && office.is_settling => {
                self.change(server, key, Fate::Contested, out);
            }
            None | Some(_) => {}
        }
    }

    fn held_by(&self, server: &ServerUid) -> BTreeSet<Key> {
        let Role::Allocates(office) = &self.role else { return BTreeSet::new() };
        office.held_by(&self.ledger, server)
    }

    fn pass_over(&mut self, server: &ServerUid, key: Option<&Key>, out: &mut Vec<Output>) {
        if let Role::Allocates(office) = &mut self.role {
            out.extend(office.pass_over(server, key));
        }
    }

    /// Has everybody write a line.
    fn change(&mut self, server: &ServerUid, key: &Key, fate: Fate, out: &mut Vec<Output>) {
        let Role::Allocates(office) = &mut self.role else { return };
        office.newest += 1;
        let change = Change { key: key.clone(), entry: Entry { server: server.clone(), fate } };
        for peer in &self.linked {
            let (reign, number, change) = (self.reign, office.newest, change.clone());
            out.push(Output::Send(*peer, Message::Next { reign, number, change }));
        }
        office.open.insert(office.newest, change);
        if let Some(asked) = office.asked.get_mut(key) {
            *asked = Asked::Written;
        }
    }

    /// What everybody has written down who counts is answered.
    fn conclude(&mut self, now: Duration, out: &mut Vec<Output>) {
        let (Role::Allocates(office), Some(epoch)) = (&mut self.role, &self.epoch) else { return };
        let Some(up_to) = office.written_by_all(epoch) else { return };
        let mut keys = BTreeSet::new();
        for change in office.conclude(up_to) {
            keys.insert(change.key.clone());
            self.ledger.write(now, change);
        }
        for key in keys {
            out.extend(office.answer(&self.ledger, &key));
        }
        let waiting = office.asked.iter().filter(|(_, asked)| **asked == Asked::Waits);
        for key in waiting.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            out.extend(office.wake(&self.ledger, &key));
        }
        let next = office.take_in(epoch);
        out.extend(next.map(|next| self.write(next)));
    }
}

#[cfg(test)]
mod tests;
