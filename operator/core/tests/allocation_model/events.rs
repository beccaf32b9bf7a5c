//! What can happen, and what comes of it.

use gameserver_contract::Claims;
use operator_core::allocation::{Message, ReplicaId};
use std::collections::VecDeque;

use crate::world::{
    FromServer, KEYS, Mutation, NOW, Random, SERVERS, Stream, World, key, number_of, pair, server_uid,
};

/// One thing that happens, to replicas by their slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Event {
    /// A replica, for a key.
    Ask(usize, usize),
    /// From one replica to the other.
    Deliver(usize, usize),
    Break(usize, usize),
    Join(usize, usize),
    ToServer(usize, usize),
    FromServer(usize, usize),
    StreamBreaks(usize, usize),
    StreamBegins(usize, usize),
    /// For a key, a server or none.
    Choose(usize, usize, Option<usize>),
    /// Of the writes on their way that with this number in their order.
    WriteArrives(usize),
    WriteIsLost(usize),
    Observe(usize),
    /// The first takes the second for dead.
    Silent(usize, ReplicaId),
    Crash(usize),
    Restore(usize),
    Settle(usize),
    /// The session of a key on a server is over.
    Over(usize, usize),
    /// A server that never held anything for long starts in another place, where nothing was saved: it is as good as a new one.
    Renew(usize),
    /// The object is lost, or this older copy of it comes back; no run has it by itself.
    GoesBack(usize),
}

impl Event {
    /// Whether it is one of those that there are only so many of.
    fn is_fault(self, world: &World) -> bool {
        match self {
            Self::Break(..)
            | Self::StreamBreaks(..)
            | Self::Crash(_)
            | Self::WriteIsLost(_)
            | Self::Renew(_) => true,
            Self::Silent(_, peer) => !world.ended.contains(&peer),
            Self::Restore(slot) => !world.in_sync(slot).is_subset(&world.ended),
            _ => false,
        }
    }
}

impl World {
    /// What can happen now.
    pub(crate) fn events(&self) -> Vec<Event> {
        let mut events = Vec::new();
        for at in 0..self.writes.len() {
            events.extend([Event::WriteArrives(at), Event::WriteIsLost(at)]);
        }
        for slot in 0..self.replicas.len() {
            self.events_of_links(slot, &mut events);
            self.events_of_streams(slot, &mut events);
            self.events_of_choices(slot, &mut events);
            self.events_of_replica(slot, &mut events);
        }
        for (given, servers) in self.given.iter().filter(|_| self.budget.ends > 0) {
            let held = servers.iter().map(|server| number_of(server));
            let held = held.filter(|server| self.servers[*server].holding().keys.contains(given));
            events.extend(held.map(|server| Event::Over(server, number_of(given))));
        }
        let is_new = |server: &usize| {
            self.servers[*server].holding().keys.is_empty() && !self.over.iter().any(|(of, _)| of == server)
        };
        events.extend((0..SERVERS).filter(is_new).map(Event::Renew));
        events.retain(|event| self.budget.faults > 0 || !event.is_fault(self));
        events
    }

    fn events_of_links(&self, slot: usize, events: &mut Vec<Event>) {
        for other in (0..self.replicas.len()).filter(|other| *other != slot) {
            let is_linked = self.is_linked(slot, other);
            if self.messages.get(&(slot, other)).is_some_and(|queue| !queue.is_empty()) {
                events.push(Event::Deliver(slot, other));
            }
            if slot < other {
                events.push(if is_linked { Event::Break(slot, other) } else { Event::Join(slot, other) });
            }
        }
    }

    fn events_of_streams(&self, slot: usize, events: &mut Vec<Event>) {
        for server in 0..SERVERS {
            let stream = &self.streams[slot][server];
            if !stream.down.is_empty() {
                events.push(Event::ToServer(slot, server));
            }
            if !stream.up.is_empty() {
                events.push(Event::FromServer(slot, server));
            }
            let changes = if stream.is_up { Event::StreamBreaks } else { Event::StreamBegins };
            events.push(changes(slot, server));
        }
    }

    /// Any server that is heard may be chosen, and none only where all were tried.
    fn events_of_choices(&self, slot: usize, events: &mut Vec<Event>) {
        for (key, tried) in &self.choices[slot] {
            let is_free =
                |server: &usize| self.streams[slot][*server].is_up && !tried.contains(&server_uid(*server));
            let free: Vec<Option<usize>> = (0..SERVERS).filter(is_free).map(Some).collect();
            let chosen = if free.is_empty() { vec![None] } else { free };
            events.extend(chosen.into_iter().map(|server| Event::Choose(slot, number_of(key), server)));
        }
    }

    fn events_of_replica(&self, slot: usize, events: &mut Vec<Event>) {
        let (id, _) = &self.replicas[slot];
        if self.has_news(slot) {
            events.push(Event::Observe(slot));
        }
        let others = self.in_sync(slot).into_iter().filter(|peer| peer != id);
        events
            .extend(others.filter(|peer| self.is_missed(slot, *peer)).map(|peer| Event::Silent(slot, peer)));
        if self.may_restore(slot) {
            events.push(Event::Restore(slot));
        }
        if self.may_settle(slot) {
            events.push(Event::Settle(slot));
        }
        events.push(Event::Crash(slot));
        if self.budget.asks > 0 {
            events.extend((0..KEYS).map(|key| Event::Ask(slot, key)));
        }
    }

    pub(crate) fn apply(&mut self, event: Event) {
        if event.is_fault(self) {
            self.budget.faults -= 1;
        }
        match event {
            Event::Ask(slot, number) => {
                self.budget.asks -= 1;
                self.act(slot, |replica, out| replica.ask(key(number), out));
            }
            Event::Deliver(from, to) => self.deliver(from, to),
            Event::Break(one, other) => self.unlink(one, other),
            Event::Join(one, other) => self.link(one, other),
            Event::ToServer(slot, server) => self.tell_server(slot, server),
            Event::FromServer(slot, server) => self.hear_server(slot, server),
            Event::StreamBreaks(slot, server) => {
                self.streams[slot][server] = Stream::default();
                self.act(slot, |replica, out| replica.unheard(&server_uid(server), out));
            }
            Event::StreamBegins(slot, server) => self.begin_stream(slot, server),
            Event::Choose(slot, number, server) => {
                let key = key(number);
                self.choices[slot].remove(&key);
                self.act(slot, |replica, out| replica.chosen(&key, server.map(server_uid), out));
            }
            Event::WriteArrives(at) => self.write_arrives(at),
            Event::WriteIsLost(at) => {
                let (slot, _) = self.take_write(at);
                self.rereads[slot] = true;
            }
            Event::Observe(slot) => {
                self.rereads[slot] = false;
                let object = self.object.clone();
                self.act(slot, |replica, out| replica.observe(NOW, object, out));
                self.take_in_unsettled(slot);
            }
            Event::Silent(slot, peer) => self.silent(slot, peer),
            Event::Crash(slot) => self.crash(slot),
            Event::Restore(slot) => {
                let in_sync = self.in_sync(slot);
                self.act(slot, |replica, out| replica.ended(&in_sync, out));
            }
            Event::Settle(slot) => {
                let servers = self.to_be_heard();
                self.act(slot, |replica, out| replica.settle(NOW, &servers, out));
            }
            Event::Over(server, number) => self.end(server, &key(number)),
            Event::Renew(server) => self.renew(server),
            Event::GoesBack(at) => self.object.clone_from(&self.copies.as_ref().unwrap()[at]),
        }
        self.check();
    }

    fn deliver(&mut self, from: usize, to: usize) {
        let message = self.messages.get_mut(&(from, to)).unwrap().pop_front().unwrap();
        let (from_id, to_id) = (self.replicas[from].0, self.replicas[to].0);
        if let Message::Next { reign, number: up_to, .. } | Message::Whole { reign, up_to, .. } = message
            && self.mutation == Some(Mutation::OldReignWritten)
            && reign < self.replicas[to].1.reign()
        {
            let written = Message::Written { reign, up_to };
            self.act(from, |replica, out| replica.heard(NOW, to_id, written, out));
        }
        self.act(to, |replica, out| replica.heard(NOW, from_id, message, out));
    }

    fn renew(&mut self, server: usize) {
        self.servers[server] = Claims::new(1);
        for slot in 0..self.replicas.len() {
            self.streams[slot][server] = Stream::default();
            self.act(slot, |replica, out| replica.unheard(&server_uid(server), out));
        }
    }

    fn begin_stream(&mut self, slot: usize, server: usize) {
        if self.mutation == Some(Mutation::Unsaved) {
            self.servers[server] = Claims::new(1);
        }
        let hello = FromServer::Hello(self.servers[server].holding());
        self.streams[slot][server] = Stream { is_up: true, up: VecDeque::from([hello]), ..Stream::default() };
    }

    fn link(&mut self, one: usize, other: usize) {
        self.links.insert(pair(one, other), true);
        let (id, other_id) = (self.replicas[one].0, self.replicas[other].0);
        self.act(one, |replica, out| replica.linked(other_id, out));
        self.act(other, |replica, out| replica.linked(id, out));
    }

    fn write_arrives(&mut self, at: usize) {
        let (_, write) = self.take_write(at);
        if write.found == self.object {
            let before = self.object.replace(write.next);
            if let Some(copies) = &mut self.copies {
                copies.push(before);
            }
        }
    }

    fn end(&mut self, server: usize, key: &gameserver_contract::Key) {
        self.budget.ends -= 1;
        assert!(self.servers[server].end(key));
        self.over.insert((server, key.clone()));
        for stream in
            self.streams.iter_mut().map(|streams| &mut streams[server]).filter(|stream| stream.is_up)
        {
            stream.up.push_back(FromServer::Over(key.clone()));
        }
    }

    /// What happens next, if anything can: mostly what is on its way, now and then somebody asks, and something breaks.
    pub(crate) fn choose(&self, random: &mut Random) -> Option<Event> {
        let events = self.events();
        let breaks = |event: &&Event| event.is_fault(self) || matches!(event, Event::Over(..));
        let (faults, others): (Vec<&Event>, Vec<&Event>) = events.iter().partition(breaks);
        let (asks, others): (Vec<&Event>, Vec<&Event>) =
            others.into_iter().partition(|event| matches!(event, Event::Ask(..)));
        let chosen = match random.below(10) {
            0 => &faults,
            1 => &asks,
            _ => &others,
        };
        let chosen = [chosen, &others, &asks, &faults].into_iter().find(|events| !events.is_empty())?;
        Some(*chosen[random.below(chosen.len())])
    }
}
