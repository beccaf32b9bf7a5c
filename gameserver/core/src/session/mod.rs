//! Who is connected: netcode 1.02, the server's side.

mod admission;
mod answers;
mod budget;
mod keyed_hash;
mod openings;
mod peer;
mod places;
mod refusal;
mod registry;
mod resume;
mod sync;
mod used_tokens;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use gameserver_protocol::{
    ChallengeKey, Key, Now, PacketHeader, PacketKind, REQUEST_BYTES, Transmit, derive_key, nanos,
};

use crate::config::{ConfigError, ServerConfig};
use crate::counters::{Counters, Fill};
use crate::rate::Rate;
use crate::slab::Slab;
use answers::{Answer, Answers};
use budget::Budget;
use keyed_hash::KeyedState;
use peer::{Pending, Session};
use places::{Place, Places};
use registry::{Member, Parting};
use resume::Resumes;

pub use refusal::Refusal;
pub use registry::{MAX_SERVERS, Registry};

/// How often an unconfirmed client hears that it is connected, and anybody to whom nothing else is sent that all is well.
const KEEP_ALIVE: Duration = Duration::from_millis(100);
/// Between two looks for handshakes that have expired.
const SWEEP: Duration = Duration::from_millis(250);

/// What a datagram meant.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received<'a> {
    /// Nothing beyond the session.
    Nothing,
    /// This player has said goodbye.
    Left(u32),
    /// This player has come back in the place of its session that still lasted: the same player in the world, whose client
    /// begins anew.
    Resumed(u32),
    /// A message from this player.
    Message(u32, &'a [u8]),
}

/// Why an address is no stranger's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// It has a session: anything may come from it.
    Session,
    /// Its token was good, and it has no session yet: nothing but handshakes may come from it.
    Handshake,
}

/// All sessions of one server. Players are named by their slot, `0..capacity`.
#[derive(Debug)]
pub(crate) struct Sessions {
    protocol_id: u64,
    public_addresses: Vec<SocketAddr>,
    /// Where players reach the server besides.
    reached_at: Option<IpAddr>,
    longest_timeout: Duration,
    /// Between two packets to a player who gets no messages.
    idle_after: Duration,
    packet_rate: Rate,
    keys: admission::ServerKeys,
    drain: Option<Drain>,
    places: Places,
    slots_by_client: HashMap<u64, u32, KeyedState>,
    connected: Slab<Session>,
    pending: Slab<Pending>,
    /// When handshakes are next looked through for those that have expired.
    next_sweep: Duration,
    /// Sessions that the server ends: goodbyes are still to be sent.
    closing: VecDeque<u32>,
    budget: Budget,
    registry: Member,
    resumes: Resumes,
    /// When the last resume token of all who were lost has expired.
    resumable_until: Duration,
    answers: Answers,
    challenges: ChallengeKey,
    next_challenge: u64,
}

/// When a drain began.
#[derive(Clone, Copy, Debug)]
struct Drain {
    unix: Duration,
    monotonic: Duration,
}

impl Sessions {
    pub(crate) fn new(config: ServerConfig) -> Result<Self, ConfigError> {
        let capacity = config.capacity;
        let own = || Arc::new(Registry::new(capacity, config.boot_unix_ms, &config.random));
        let registry = config.registry.unwrap_or_else(own);
        let registry = Member::new(registry, capacity).ok_or(ConfigError::Registry)?;
        // servers of one process may have been given the same random bytes, and so may two boots of a machine's image
        let (number, boot) = (registry.number().to_le_bytes(), config.boot_unix_ms.to_le_bytes());
        let secret = |purpose: &[u8]| derive_key(&config.random, &[purpose, &number, &boot]);
        let hash = KeyedState::new(&secret(b"address hash"));
        // as many again may be on their way in, and a few at a small server
        let handshakes = capacity + 64;
        let resumes =
            Resumes::new(secret(b"resume tokens"), &config.public_addresses, capacity, config.tick_hz);
        Ok(Self {
            protocol_id: config.protocol_id,
            public_addresses: config.public_addresses,
            reached_at: None,
            longest_timeout: config.timeout,
            idle_after: KEEP_ALIVE.max(Duration::from_secs(2) / config.tick_hz),
            packet_rate: Rate::new(config.tick_hz.saturating_mul(4), config.tick_hz.saturating_mul(4)),
            keys: admission::ServerKeys::default(),
            drain: None,
            places: Places::new(2 * (capacity + handshakes), hash),
            slots_by_client: HashMap::with_capacity_and_hasher(2 * capacity, hash),
            connected: Slab::new(capacity),
            pending: Slab::new(handshakes),
            next_sweep: Duration::ZERO,
            closing: VecDeque::with_capacity(capacity),
            budget: Budget::new(hash),
            registry,
            resumes,
            resumable_until: Duration::ZERO,
            answers: Answers::new(2 * handshakes),
            challenges: ChallengeKey::new(&secret(b"challenge key")),
            next_challenge: 0,
        })
    }

    pub(crate) fn install_key(&mut self, key: Key) {
        self.keys.install(key);
    }

    pub(crate) fn also_reached_at(&mut self, address: IpAddr) {
        self.reached_at = Some(address);
    }

    /// Whether a token for these servers is for this one; one that knows no address of its own takes any.
    fn is_meant(&self, servers: &[SocketAddr]) -> bool {
        let Self { public_addresses, reached_at, .. } = self;
        let is_us = |server: &SocketAddr| {
            let is_reached_there =
                |own: &SocketAddr| *reached_at == Some(server.ip()) && own.port() == server.port();
            public_addresses.iter().any(|own| own == server || is_reached_there(own))
        };
        public_addresses.is_empty() || servers.iter().any(is_us)
    }

    pub(crate) fn has_key(&self) -> bool {
        self.keys.is_installed()
    }

    /// Connected players; those who are being sent away no longer count.
    pub(crate) fn players(&self) -> usize {
        self.connected.len() - self.closing.len()
    }

    /// Connected players by slot.
    pub(crate) fn open(&self) -> impl Iterator<Item = (u32, &Session)> {
        self.connected.iter().filter(|(_, session)| session.is_open())
    }

    /// Addresses that are no strangers', and why.
    pub(crate) fn known_addresses(&self) -> impl Iterator<Item = (SocketAddr, Known)> {
        let known = |place| match place {
            Place::Session(_) => Known::Session,
            Place::Pending(_) => Known::Handshake,
        };
        self.places.iter().map(move |(address, place)| (address, known(place)))
    }

    /// How full is what sessions keep, and what the process keeps of them.
    pub(crate) fn fill(&self) -> Fill {
        Fill { answers: self.answers.len(), handshakes: self.pending.len(), ..self.registry.fill() }
    }

    /// Whether this player only looks on.
    pub(crate) fn is_spectator(&self, slot: u32) -> bool {
        self.connected.get(slot).is_some_and(|session| session.is_spectator)
    }

    pub(crate) fn receive<'a>(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &'a mut [u8],
        counters: &mut Counters,
    ) -> Result<Received<'a>, Refusal> {
        let place = self.places.get(from);
        counters.from_strangers += u64::from(!matches!(place, Some(Place::Session(_))));
        if datagram.first() == Some(&0) {
            return self.receive_request(now, from, datagram, counters).map(|()| Received::Nothing);
        }
        let header = PacketHeader::parse(datagram)?;
        let is_response = header.kind == PacketKind::Response;
        match place {
            None => Err(Refusal::NoSession),
            Some(Place::Pending(_)) if !is_response => Err(Refusal::Unexpected),
            Some(Place::Pending(pending)) => self.receive_response(now, pending, &header, datagram, counters),
            Some(Place::Session(slot)) => {
                match self.connected.get(slot).and_then(|session| session.resuming) {
                    Some(pending) if is_response => {
                        self.receive_response(now, pending, &header, datagram, counters)
                    }
                    _ => self.receive_sealed(now, slot, &header, datagram, counters),
                }
            }
        }
    }

    fn receive_sealed<'a>(
        &mut self,
        now: Now,
        slot: u32,
        header: &PacketHeader,
        datagram: &'a mut [u8],
        counters: &mut Counters,
    ) -> Result<Received<'a>, Refusal> {
        let tries = self.packet_rate;
        let session = self.connected.get_mut(slot).ok_or(Refusal::NoSession)?;
        if !session.is_open() {
            return Err(Refusal::NoSession);
        }
        if header.kind == PacketKind::Response {
            // it crossed our keep-alive on the way; the next keep-alive is due soon anyway
            session.open(now, tries, header, datagram, counters)?;
            counters.packets_lost += session.missed(now, header.sequence, self.packet_rate);
            return Ok(Received::Nothing);
        }
        if !header.kind.is_replay_protected() {
            return Err(Refusal::Unexpected);
        }
        if session.replay.is_replay(header.sequence) {
            return Err(Refusal::Replayed);
        }
        let body = session.open(now, tries, header, datagram, counters)?;
        session.replay.advance(header.sequence);
        counters.packets_lost += session.missed(now, header.sequence, self.packet_rate);
        if header.kind == PacketKind::Disconnect {
            self.remove(now, slot, Parting::Goodbye);
            return Ok(Received::Left(slot));
        }
        // only after it opened, or a stranger could spend a player's allowance
        if !session.packets.spend(self.packet_rate, nanos(now.monotonic)) {
            return Err(Refusal::TooManyPackets);
        }
        session.last_received = now.monotonic;
        if !session.is_confirmed {
            session.is_confirmed = true;
            self.resumes.greet(slot);
        }
        Ok(if header.kind == PacketKind::Payload { Received::Message(slot, body) } else { Received::Nothing })
    }

    /// Gives up whoever has been silent for too long or has come back at another server of the process, and reminds
    /// the others that they are connected. Players that are gone are put into `lost`.
    pub(crate) fn step(&mut self, now: Now, lost: &mut Vec<u32>, counters: &mut Counters) {
        self.keys.expire_previous(now);
        for (slot, session) in self.connected.iter() {
            if session.is_timed_out(now) {
                lost.push(slot);
                continue;
            }
            let idle_after = if session.is_confirmed { self.idle_after } else { KEEP_ALIVE };
            if session.is_open() && now.monotonic.saturating_sub(session.last_sent) >= idle_after {
                self.answers.push(Answer::KeepAlive(session.address), counters);
            }
        }
        for &slot in &*lost {
            self.remove(now, slot, Parting::Lost);
            counters.timeouts += 1;
        }
        self.registry.flush(now);
        while let Some(client_id) = self.registry.pop_eviction(now) {
            if let Some(&slot) = self.slots_by_client.get(&client_id) {
                lost.push(slot);
                self.remove(now, slot, Parting::Lost);
                counters.moves += 1;
            }
        }
        self.resumes.step(now, self.connected.capacity());
        if self.pending.len() > 0 && now.monotonic >= self.next_sweep {
            self.next_sweep = now.monotonic + SWEEP;
            self.expire_pending(now);
        }
    }

    /// Says goodbye to everyone; they no longer count as players and are put into `lost`.
    pub(crate) fn disconnect_all(&mut self, now: Now, lost: &mut Vec<u32>) {
        for (slot, session) in self.connected.iter_mut() {
            if session.is_open() {
                session.close();
                self.slots_by_client.remove(&session.client_id);
                self.registry.leave(now, session.client_id, session.serial, Parting::Goodbye);
                self.closing.push_back(slot);
                lost.push(slot);
            }
        }
    }

    /// The next answer to a handshake, or goodbye.
    pub(crate) fn poll_answer(&mut self, now: Now, buffer: &mut [u8]) -> Option<Transmit> {
        while let Some(answer) = self.answers.pop() {
            if let Some(transmit) = self.seal_answer(now, &answer, buffer) {
                return Some(transmit);
            }
        }
        while let Some(&slot) = self.closing.front() {
            let left = self.connected.get(slot).and_then(|session| session.farewells_left).unwrap_or(0);
            if let Some(session) = self.connected.get_mut(slot).filter(|_| left > 0) {
                session.farewells_left = Some(left - 1);
                if let Some(transmit) = session.seal_disconnect(buffer) {
                    return Some(transmit);
                }
            } else {
                self.closing.pop_front();
                self.remove(now, slot, Parting::Goodbye);
            }
        }
        None
    }

    /// Has `write` make a message for a player that knows it is connected, and seals it.
    pub(crate) fn seal_message(
        &mut self,
        now: Now,
        slot: u32,
        buffer: &mut [u8],
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Transmit> {
        let session =
            self.connected.get_mut(slot).filter(|session| session.is_confirmed && session.is_open())?;
        session.seal_payload(now, buffer, write)
    }

    fn seal_answer(&mut self, now: Now, answer: &Answer, buffer: &mut [u8]) -> Option<Transmit> {
        match *answer {
            Answer::Denied { to, ref bytes } => {
                buffer.get_mut(..bytes.len())?.copy_from_slice(bytes);
                Some(Transmit { to, len: bytes.len() })
            }
            Answer::Challenge(to) => {
                let pending = self.pending.get(self.pending_at(to)?)?;
                let (challenge, global) = (self.next_challenge, self.registry.next_global());
                let len = pending.seal_challenge(&self.challenges, challenge, global, buffer).ok()?;
                self.next_challenge += 1;
                // the standard's rule against amplification, asserted where the largest such answer is made
                assert!(len < REQUEST_BYTES, "a challenge must be smaller than the request it answers");
                Some(Transmit { to, len })
            }
            Answer::KeepAlive(to) => {
                let Some(Place::Session(slot)) = self.places.get(to) else { return None };
                let capacity = self.connected.capacity();
                self.connected.get_mut(slot)?.seal_keep_alive(now, slot, capacity, buffer)
            }
        }
    }

    /// The handshake that is under way from this address.
    fn pending_at(&self, address: SocketAddr) -> Option<u32> {
        match self.places.get(address)? {
            Place::Pending(pending) => Some(pending),
            Place::Session(slot) => self.connected.get(slot)?.resuming,
        }
    }

    fn remove(&mut self, now: Now, slot: u32, parting: Parting) {
        let Some(session) = self.connected.remove(slot) else { return };
        self.vacate(session.address, session.resuming);
        // a player who was sent away may already be back from another address
        if self.slots_by_client.get(&session.client_id) == Some(&slot) {
            self.slots_by_client.remove(&session.client_id);
        }
        if session.is_open() {
            self.registry.leave(now, session.client_id, session.serial, parting);
        }
        if parting == Parting::Lost {
            self.resumable_until = self.resumable_until.max(session.resumable_until);
        }
    }

    /// The session at this address is no more; the handshake by which its player comes back goes on.
    fn vacate(&mut self, address: SocketAddr, resuming: Option<u32>) {
        match resuming {
            Some(pending) => self.places.insert(address, Place::Pending(pending)),
            None => self.places.remove(address),
        }
    }
}

#[cfg(test)]
mod tests;
