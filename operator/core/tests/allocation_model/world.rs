//! Replicas, servers and callers, and what is on its way between them.

use gameserver_contract::{Claims, Holding, Judgement, Key};
use operator_core::allocation::{
    Answer, Entry, Epoch, Fate, Message, Output, Replica, ReplicaId, ServerUid, Write,
};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use crate::events::Event;

pub(crate) const NOW: Duration = Duration::ZERO;
pub(crate) const SERVERS: usize = 2;
pub(crate) const KEYS: usize = 2;

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutation {
    /// A change counts as written down when it is sent.
    WrittenWhenSent,
    /// A replica counts as having everything when it is sent.
    WholeWhenSent,
    /// A replica that is about to be in sync is not waited for.
    JoinerUnwaited,
    /// A silent replica is left out before the object says so.
    LeftOutAtOnce,
    /// Whoever misses the allocator succeeds it.
    AnybodySucceeds,
    /// Who follows another allocator writes down what the one before says.
    OldReignWritten,
    /// A server heeds whoever speaks.
    OldReignHeeded,
    /// Somebody begins anew while one lives who has everything.
    RestoredTooSoon,
    /// Whoever begins anew takes others in before it knows what was answered.
    TakenInUnsettled,
    /// New keys are given away before servers have said what they hold.
    SettledAtOnce,
    /// A server does not save what it has taken.
    Unsaved,
    /// Whoever is named by an object that went back, and hears of a later reign, waits for somebody else to write.
    LossIgnored,
}

/// All but two, which have tests of their own, each with the seed of a run that finds it, from which on one is looked for.
pub(crate) const MUTATIONS: [(Mutation, u64); 10] = [
    (Mutation::WrittenWhenSent, 65),
    (Mutation::WholeWhenSent, 18_726),
    (Mutation::JoinerUnwaited, 65),
    (Mutation::LeftOutAtOnce, 88_410),
    (Mutation::AnybodySucceeds, 205),
    (Mutation::OldReignWritten, 13_119),
    (Mutation::OldReignHeeded, 47_851),
    (Mutation::TakenInUnsettled, 21_020),
    (Mutation::SettledAtOnce, 251),
    (Mutation::Unsaved, 0),
];

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ToServer {
    Propose(u64, Key),
    Release(u64, Key),
    Greet(u64),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum FromServer {
    Hello(Holding),
    Judgement(Key, Judgement),
    Over(Key),
}

/// A stream between a replica and a server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) is_up: bool,
    pub(crate) down: VecDeque<ToServer>,
    pub(crate) up: VecDeque<FromServer>,
}

/// What may still go wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Budget {
    pub(crate) asks: u8,
    pub(crate) faults: u8,
    pub(crate) ends: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct World {
    pub(crate) mutation: Option<Mutation>,
    pub(crate) object: Option<Epoch>,
    /// What the object was before, in runs in which it is lost or goes back.
    pub(crate) copies: Option<Vec<Option<Epoch>>>,
    /// On their way, by who writes.
    pub(crate) writes: BTreeSet<(usize, Write)>,
    /// By slot: whether a write was lost, so that the object is read again.
    pub(crate) rereads: Vec<bool>,
    pub(crate) replicas: Vec<(ReplicaId, Replica)>,
    pub(crate) ended: BTreeSet<ReplicaId>,
    /// By lower and higher slot.
    pub(crate) links: BTreeMap<(usize, usize), bool>,
    pub(crate) messages: BTreeMap<(usize, usize), VecDeque<Message>>,
    pub(crate) servers: Vec<Claims>,
    pub(crate) streams: Vec<Vec<Stream>>,
    pub(crate) choices: Vec<BTreeMap<Key, BTreeSet<ServerUid>>>,
    /// Keys whose sessions are over, by their servers.
    pub(crate) over: BTreeSet<(usize, Key)>,
    /// What callers were told.
    pub(crate) given: BTreeMap<Key, BTreeSet<ServerUid>>,
    pub(crate) answers: BTreeSet<Key>,
    pub(crate) broken: Option<String>,
    pub(crate) budget: Budget,
}

pub(crate) fn key(number: usize) -> Key {
    format!("k{number}").into()
}

pub(crate) fn server_uid(number: usize) -> ServerUid {
    format!("s{number}").into()
}

pub(crate) fn number_of(name: &str) -> usize {
    name[1..].parse().unwrap()
}

pub(crate) fn pair(one: usize, other: usize) -> (usize, usize) {
    (one.min(other), one.max(other))
}

impl World {
    /// Everybody has started, is linked, and has settled: one allocates, the others are in sync.
    pub(crate) fn settled(replicas: usize) -> Self {
        let id = |slot| ReplicaId(u64::try_from(slot).unwrap() + 1);
        let mut world = Self {
            mutation: None,
            object: None,
            copies: None,
            writes: BTreeSet::new(),
            rereads: vec![false; replicas],
            replicas: (0..replicas).map(|slot| (id(slot), Replica::new(id(slot)))).collect(),
            ended: BTreeSet::new(),
            links: BTreeMap::new(),
            messages: BTreeMap::new(),
            servers: vec![Claims::new(1); SERVERS],
            streams: vec![vec![Stream::default(); SERVERS]; replicas],
            choices: vec![BTreeMap::new(); replicas],
            over: BTreeSet::new(),
            given: BTreeMap::new(),
            answers: BTreeSet::new(),
            broken: None,
            budget: Budget::default(),
        };
        world.heal();
        let epoch = world.object.as_ref().unwrap();
        assert_eq!(epoch.in_sync.len(), replicas, "{epoch:?}");
        world
    }

    /// Everything happens that needs no fault, until nothing is left to happen.
    pub(crate) fn heal(&mut self) {
        self.budget = Budget::default();
        for _ in 0..10_000 {
            let Some(event) = self.events().into_iter().next() else { return };
            self.apply(event);
            if self.broken.is_some() {
                return;
            }
        }
        self.broken = Some(format!("it never settles: {:?}", self.events()));
    }

    pub(crate) fn is_linked(&self, one: usize, other: usize) -> bool {
        self.links.get(&pair(one, other)).copied().unwrap_or(false)
    }

    /// Whether anything follows from its silence, other than a write that is on its way already.
    pub(crate) fn is_missed(&self, slot: usize, peer: ReplicaId) -> bool {
        if self.mutation == Some(Mutation::AnybodySucceeds) || self.mutation == Some(Mutation::LeftOutAtOnce)
        {
            return true;
        }
        let (mut replica, mut out) = (self.replicas[slot].1.clone(), Vec::new());
        replica.silent(peer, &mut out);
        out.iter().any(|output| {
            matches!(output, Output::Write(write) if write.found == self.object && !self.is_written(write))
        })
    }

    /// Who had everything, as this one knows.
    pub(crate) fn in_sync(&self, slot: usize) -> BTreeSet<ReplicaId> {
        self.replicas[slot].1.epoch().map(|epoch| epoch.in_sync.clone()).unwrap_or_default()
    }

    /// Whether it begins anew because all who had everything have ended.
    pub(crate) fn may_restore(&self, slot: usize) -> bool {
        let (mut out, in_sync, (id, replica)) = (Vec::new(), self.in_sync(slot), &self.replicas[slot]);
        let is_due = in_sync.is_subset(&self.ended) || self.mutation == Some(Mutation::RestoredTooSoon);
        replica.ended(&in_sync, &mut out);
        let is_new = |output: &Output| matches!(output, Output::Write(write) if !self.is_written(write));
        is_due && !in_sync.contains(id) && out.iter().any(is_new)
    }

    /// Servers that must have said what they hold.
    pub(crate) fn to_be_heard(&self) -> BTreeSet<ServerUid> {
        let all = if self.mutation == Some(Mutation::SettledAtOnce) { 0 } else { SERVERS };
        (0..all).map(server_uid).collect()
    }

    pub(crate) fn may_settle(&self, slot: usize) -> bool {
        let mut replica = self.replicas[slot].1.clone();
        let was_settling = replica.is_settling();
        replica.settle(NOW, &self.to_be_heard(), &mut Vec::new());
        was_settling && !replica.is_settling()
    }

    /// Whether the object has changed since it was last read, or may have.
    pub(crate) fn has_news(&self, slot: usize) -> bool {
        let (mut replica, mut out) = (self.replicas[slot].1.clone(), Vec::new());
        if self.rereads[slot] || replica.stands() != self.object.as_ref() {
            return true;
        }
        replica.observe(NOW, self.object.clone(), &mut out);
        out.iter().any(|output| matches!(output, Output::Write(write) if !self.is_written(write)))
    }

    pub(crate) fn take_write(&mut self, at: usize) -> (usize, Write) {
        let write = self.writes.iter().nth(at).cloned().unwrap();
        self.writes.remove(&write);
        write
    }

    fn is_written(&self, write: &Write) -> bool {
        self.writes.iter().any(|(_, other)| other == write)
    }

    pub(crate) fn take_in_unsettled(&mut self, slot: usize) {
        let (id, replica) = &self.replicas[slot];
        if self.mutation != Some(Mutation::TakenInUnsettled) || !replica.is_settling() {
            return;
        }
        let others = self.replicas.iter().map(|(id, _)| *id).filter(|other| other != id);
        let all = replica.epoch().into_iter().flat_map(|epoch| others.clone().map(|other| epoch.with(other)));
        let found = replica.stands().cloned();
        let all: Vec<Write> = all.map(|next| Write { found: found.clone(), next }).collect();
        self.writes.extend(all.into_iter().map(|write| (slot, write)));
    }

    pub(crate) fn unlink(&mut self, one: usize, other: usize) {
        self.links.insert(pair(one, other), false);
        self.messages.remove(&(one, other));
        self.messages.remove(&(other, one));
        let (id, other_id) = (self.replicas[one].0, self.replicas[other].0);
        self.replicas[one].1.unlinked(other_id);
        self.replicas[other].1.unlinked(id);
    }

    pub(crate) fn silent(&mut self, slot: usize, peer: ReplicaId) {
        let epoch = self.replicas[slot].1.epoch().cloned().unwrap();
        let id = self.replicas[slot].0;
        match self.mutation {
            Some(Mutation::LeftOutAtOnce) if epoch.allocator == id => {
                let without = epoch.without(peer);
                self.act(slot, |replica, out| replica.observe(NOW, Some(without), out));
            }
            Some(Mutation::AnybodySucceeds) if epoch.allocator == peer => {
                let everybody = Epoch { in_sync: self.replicas.iter().map(|(id, _)| *id).collect(), ..epoch };
                let found = self.replicas[slot].1.stands().cloned();
                let next = everybody.succeed(id, &BTreeSet::new());
                self.writes.extend(next.map(|next| (slot, Write { found, next })));
            }
            _ => self.act(slot, |replica, out| replica.silent(peer, out)),
        }
    }

    /// What it had in memory is gone, and another comes in its place.
    pub(crate) fn crash(&mut self, slot: usize) {
        for other in (0..self.replicas.len()).filter(|other| *other != slot) {
            if self.is_linked(slot, other) {
                self.unlink(slot, other);
            }
        }
        let (id, _) = self.replicas[slot];
        self.ended.insert(id);
        let next = ReplicaId(id.0 + 10);
        self.replicas[slot] = (next, Replica::new(next));
        self.streams[slot] = vec![Stream::default(); SERVERS];
        self.choices[slot].clear();
    }

    pub(crate) fn tell_server(&mut self, slot: usize, server: usize) {
        let message = self.streams[slot][server].down.pop_front().unwrap();
        let claims = &mut self.servers[server];
        let heeded = |reign: u64, claims: &Claims| {
            if self.mutation == Some(Mutation::OldReignHeeded) {
                claims.holding().reign.max(reign)
            } else {
                reign
            }
        };
        let said = match message {
            ToServer::Propose(reign, key) => {
                let said = claims.propose(heeded(reign, claims), &key, true);
                // who heeds an old reign does not let it know that it is one
                let of = if self.mutation == Some(Mutation::OldReignHeeded) { reign } else { said.reign };
                Some(FromServer::Judgement(key, Judgement { reign: of, ..said }))
            }
            ToServer::Release(reign, key) => {
                let _held = claims.release(heeded(reign, claims), &key);
                None
            }
            ToServer::Greet(reign) => {
                claims.greeted(reign);
                Some(FromServer::Hello(claims.holding()))
            }
        };
        self.streams[slot][server].up.extend(said);
    }

    pub(crate) fn hear_server(&mut self, slot: usize, server: usize) {
        let uid = server_uid(server);
        match self.streams[slot][server].up.pop_front().unwrap() {
            FromServer::Hello(holding) => {
                self.act(slot, |replica, out| replica.hello(NOW, &uid, &holding, out));
            }
            FromServer::Judgement(key, said) => {
                self.act(slot, |replica, out| replica.answered(NOW, &uid, &key, said, out));
            }
            FromServer::Over(key) => self.act(slot, |replica, out| replica.over(NOW, &uid, &key, out)),
        }
    }

    /// Has the replica do something, and carries out what follows.
    pub(crate) fn act(&mut self, slot: usize, act: impl FnOnce(&mut Replica, &mut Vec<Output>)) {
        let mut out = Vec::new();
        act(&mut self.replicas[slot].1, &mut out);
        for output in out {
            self.carry_out(slot, output);
        }
    }

    fn carry_out(&mut self, slot: usize, output: Output) {
        match output {
            Output::Send(peer, message) => self.send(slot, peer, message),
            Output::Answer(key, answer) => self.hear(slot, key, answer),
            Output::Choose(key, tried) => drop(self.choices[slot].insert(key, tried)),
            Output::Propose { server, key, reign } => {
                let stream = &mut self.streams[slot][number_of(&server)];
                if stream.is_up {
                    stream.down.push_back(ToServer::Propose(reign, key));
                } else {
                    self.act(slot, |replica, out| replica.unheard(&server, out));
                }
            }
            Output::Release { server, key, reign } => {
                let stream = &mut self.streams[slot][number_of(&server)];
                if stream.is_up {
                    stream.down.push_back(ToServer::Release(reign, key));
                }
            }
            Output::Greet { server, reign } => {
                for number in 0..SERVERS {
                    let stream = &mut self.streams[slot][number];
                    if stream.is_up && server.as_ref().is_none_or(|server| number_of(server) == number) {
                        stream.down.push_back(ToServer::Greet(reign));
                    }
                }
            }
            Output::Write(write) => {
                let is_ignored = self.mutation == Some(Mutation::LossIgnored)
                    && write.found.as_ref().is_none_or(|found| found.allocator == self.replicas[slot].0)
                    && write.next.number > 1
                    && write.next.restored;
                if !is_ignored {
                    self.writes.insert((slot, write));
                }
            }
        }
    }

    fn send(&mut self, slot: usize, peer: ReplicaId, message: Message) {
        let Some(to) = self.replicas.iter().position(|(id, _)| *id == peer) else { return };
        if !self.is_linked(slot, to) {
            return;
        }
        let joins = !self.in_sync(slot).contains(&peer);
        let as_written = match (&message, self.mutation) {
            (Message::Next { reign, number, .. }, Some(Mutation::WrittenWhenSent)) => Some((*reign, *number)),
            (Message::Next { reign, number, .. }, Some(Mutation::JoinerUnwaited)) if joins => {
                Some((*reign, *number))
            }
            (Message::Whole { reign, up_to, .. }, Some(Mutation::WholeWhenSent)) => Some((*reign, *up_to)),
            _ => None,
        };
        self.messages.entry((slot, to)).or_default().push_back(message);
        if let Some((reign, up_to)) = as_written {
            self.act(slot, |replica, out| replica.heard(NOW, peer, Message::Written { reign, up_to }, out));
        }
    }

    /// A caller is told.
    fn hear(&mut self, slot: usize, key: Key, answer: Answer) {
        if matches!(answer, Answer::Elsewhere(_)) {
            return;
        }
        self.answers.insert(key.clone());
        let held_by = self.given.get(&key).into_iter().flatten().map(|server| number_of(server));
        let is_held = held_by.into_iter().any(|server| self.servers[server].holding().keys.contains(&key));
        let entry = self.replicas[slot].1.ledger().get(&key);
        let is_contested = entry.is_some_and(|entry| entry.fate == Fate::Contested);
        match answer {
            Answer::Given(server) => drop(self.given.entry(key).or_default().insert(server)),
            Answer::Lost(_) if is_contested => {}
            Answer::Ended(_) | Answer::NoServer if !is_held => {}
            // one that was followed and has not heard of it finds no server, which gives and takes nothing
            Answer::NoServer if self.is_followed(slot) => {}
            other => self.broken = Some(format!("{key} is held and the answer is {other:?}")),
        }
    }

    /// Whether somebody else allocates by now.
    fn is_followed(&self, slot: usize) -> bool {
        let (id, replica) = &self.replicas[slot];
        self.object.as_ref().is_some_and(|epoch| epoch.allocator != *id || epoch.reign != replica.reign())
    }

    /// What must hold at every moment.
    pub(crate) fn check(&mut self) {
        for (key, servers) in &self.given {
            if servers.len() > 1 {
                self.broken = Some(format!("{key} was given {servers:?}"));
            }
            for server in servers {
                let number = number_of(server);
                let is_held = self.servers[number].holding().keys.contains(key);
                if !is_held && !self.over.contains(&(number, key.clone())) {
                    self.broken = Some(format!("{key} was given {server}, which does not hold it"));
                }
            }
        }
    }

    /// What must hold when everything that is on its way has arrived.
    pub(crate) fn check_settled(&mut self) {
        if self.broken.is_some() {
            return;
        }
        let allocators: Vec<&Replica> = self
            .replicas
            .iter()
            .map(|(_, replica)| replica)
            .filter(|replica| replica.is_allocator())
            .collect();
        let [allocator] = allocators[..] else {
            self.broken = Some(format!("{} allocate", allocators.len()));
            return;
        };
        for (number, claims) in self.servers.iter().enumerate() {
            for held in claims.holding().keys {
                let entry = allocator.ledger().get(&held);
                let is_its_own =
                    |entry: &Entry| number_of(&entry.server) == number || entry.fate == Fate::Contested;
                if !entry.is_some_and(is_its_own) {
                    self.broken = Some(format!("s{number} holds {held}, of which nobody knows"));
                }
            }
        }
        let ledgers: BTreeSet<Vec<_>> =
            self.replicas.iter().map(|(_, replica)| replica.ledger().iter().collect()).collect();
        if ledgers.len() > 1 {
            self.broken = Some(format!("ledgers differ: {ledgers:?}"));
        }
    }

    /// Everybody asks once more, and everybody who asks hears something.
    pub(crate) fn check_answers(&mut self) {
        if self.broken.is_some() {
            return;
        }
        self.answers.clear();
        self.budget.asks = u8::MAX;
        for slot in 0..self.replicas.len() {
            for number in 0..KEYS {
                self.apply(Event::Ask(slot, number));
            }
        }
        self.heal();
        if self.answers.len() < KEYS {
            self.broken = Some(format!("only {:?} are answered", self.answers));
        }
    }
}

/// xorshift64*, which is enough to choose by.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33).unwrap() % bound
    }
}
