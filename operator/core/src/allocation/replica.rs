//! One replica of the operator: keeps the ledger, and as the allocator proposes, has it written down by all, and answers.

use gameserver_contract::{Holding, Judgement, Verdict};
use std::collections::BTreeSet;
use std::time::Duration;

use super::office::{Asked, Office};
use super::{Answer, Change, Entry, Epoch, Fate, Key, Ledger, Message, Output, ReplicaId, ServerUid};

/// One replica. Each method takes what happened and adds to `out` what follows.
///
/// What comes over a link or a stream that another has followed must not come here any more: the caller ends the old one, by
/// [`Self::unlinked`] or [`Self::unheard`], before it says anything of the new.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Replica {
    id: ReplicaId,
    /// As last read.
    epoch: Option<Epoch>,
    ledger: Ledger,
    /// Highest reign of which anything was heard.
    reign: u64,
    /// Replicas to which a link is up.
    linked: BTreeSet<ReplicaId>,
    role: Role,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Role {
    /// Writes down what the allocator says; the number of its last change, once it has told all.
    Follows(Option<u64>),
    Allocates(Office),
}

impl Replica {
    /// One that has just started.
    pub fn new(id: ReplicaId) -> Self {
        let role = Role::Follows(None);
        Self { id, epoch: None, ledger: Ledger::default(), reign: 0, linked: BTreeSet::new(), role }
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

    /// The epoch as last read.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// What it has written down.
    pub fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// The object was read. `None`: there is none.
    pub fn observe(&mut self, now: Duration, read: Option<Epoch>, out: &mut Vec<Output>) {
        let Some(read) = read else {
            if self.epoch.is_none() {
                out.push(Output::Write(Epoch::first(self.id)));
            }
            return;
        };
        let known = self.epoch.as_ref().map_or(0, |epoch| epoch.number);
        if known >= read.number {
            // what was to stand in its place does not yet, and still may
            if let Role::Allocates(Office { writing: Some(next), .. }) = &self.role
                && known == read.number
            {
                out.push(Output::Write(next.clone()));
            }
            return;
        }
        let is_mine = read.allocator == self.id;
        let begins = is_mine && read.reign > self.reign;
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

    /// A link to this replica is up; nothing that was sent before arrives any more.
    pub fn linked(&mut self, peer: ReplicaId, out: &mut Vec<Output>) {
        self.linked.insert(peer);
        self.tell_all(peer, out);
    }

    /// The link to this replica is down.
    pub fn unlinked(&mut self, peer: ReplicaId) {
        self.linked.remove(&peer);
        if let Role::Allocates(office) = &mut self.role {
            office.written.remove(&peer);
        }
    }

    /// This replica has been silent for longer than one is waited for; say it again while it is.
    pub fn silent(&mut self, peer: ReplicaId, out: &mut Vec<Output>) {
        let Some(epoch) = self.epoch.as_ref().filter(|epoch| epoch.in_sync.contains(&peer)) else { return };
        match &mut self.role {
            // one write at a time: until it is known what came of the last it is that one again
            Role::Allocates(office) => {
                let next = office.writing.get_or_insert_with(|| epoch.without(peer));
                out.push(Output::Write(next.clone()));
            }
            Role::Follows(_) if peer == epoch.allocator => {
                out.extend(epoch.succeed(self.id, &self.linked).map(Output::Write));
            }
            Role::Follows(_) => {}
        }
    }

    /// These replicas are known to have ended, and do not only seem to have.
    pub fn ended(&self, replicas: &BTreeSet<ReplicaId>, out: &mut Vec<Output>) {
        let next = self.epoch.as_ref().and_then(|epoch| epoch.restore(self.id, replicas));
        out.extend(next.map(Output::Write));
    }

    /// Another replica says something.
    pub fn heard(&mut self, now: Duration, from: ReplicaId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Whole { reign, up_to, lines } => {
                if reign < self.reign {
                    return;
                }
                self.follow(reign, Some(from), out);
                self.ledger = Ledger::default();
                for line in lines {
                    self.ledger.write(now, line);
                }
                self.role = Role::Follows(Some(up_to));
                out.push(Output::Send(from, Message::Written { reign, up_to }));
            }
            Message::Next { reign, number, change } => {
                let Role::Follows(Some(last)) = &mut self.role else { return };
                if reign != self.reign || number != *last + 1 {
                    return;
                }
                *last = number;
                self.ledger.write(now, change);
                out.push(Output::Send(from, Message::Written { reign, up_to: number }));
            }
            Message::Written { reign, up_to } => {
                let is_ours = reign == self.reign;
                let Role::Allocates(office) = &mut self.role else { return };
                if is_ours && self.linked.contains(&from) {
                    office.written.insert(from, up_to);
                    self.conclude(now, out);
                }
            }
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
        }
        if self.is_allocator() || reign > self.reign {
            self.role = Role::Follows(None);
        }
        self.reign = reign;
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
        out.extend(office.take_in(epoch).map(Output::Write));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that allocates, alone and with one server that holds nothing.
    fn allocator() -> Replica {
        let (mut replica, mut out) = (Replica::new(ReplicaId(1)), Vec::new());
        replica.observe(Duration::ZERO, Some(Epoch::first(ReplicaId(1))), &mut out);
        let holding = Holding { reign: 1, ..Holding::default() };
        replica.hello(Duration::ZERO, &"s".into(), &holding, &mut out);
        replica.settle(Duration::ZERO, &["s".into()].into(), &mut out);
        assert!(!replica.is_settling());
        replica
    }

    #[test]
    fn a_key_that_nobody_waits_for_is_forgotten_unless_a_server_was_asked_to_take_it() {
        let (key, server): (Key, ServerUid) = ("k".into(), "s".into());
        let (mut replica, mut out) = (allocator(), Vec::new());
        replica.ask(key.clone(), &mut out);
        replica.withdraw(&key);
        out.clear();
        replica.chosen(&key, Some(server.clone()), &mut out);
        assert_eq!(out, [], "it is proposed to nobody");

        replica.ask(key.clone(), &mut out);
        replica.chosen(&key, Some(server.clone()), &mut out);
        replica.withdraw(&key);
        out.clear();
        let taken = Judgement { reign: 1, verdict: Verdict::Taken };
        replica.answered(Duration::ZERO, &server, &key, taken, &mut out);
        assert_eq!(out, [Output::Answer(key, Answer::Given(server))], "what it has taken is known");
    }
}
