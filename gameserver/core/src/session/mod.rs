//! Who is connected: netcode 1.02, the server's side.

mod admission;
mod answers;
mod budget;
mod keyed_hash;
mod peer;
mod refusal;
mod used_tokens;

use std::collections::HashMap;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::{
    ChallengeKey, Key, Now, PacketError, PacketHeader, PacketKind, REQUEST_BYTES, Transmit, derive_key,
    parse_challenge_body,
};

use crate::config::ServerConfig;
use crate::counters::Counters;
use crate::rate::Rate;
use crate::slab::Slab;
use answers::{Answer, Answers};
use budget::Budget;
use keyed_hash::KeyedState;
use peer::{Pending, Session};
use used_tokens::UsedTokens;

pub use refusal::Refusal;

/// How often an unconfirmed client hears that it is connected.
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
    /// A message from this player.
    Message(u32, &'a [u8]),
}

/// Where an address stands.
#[derive(Clone, Copy, Debug)]
enum Place {
    Pending(u32),
    Session(u32),
}

/// All sessions of one server. Players are named by their slot, `0..capacity`.
#[derive(Debug)]
pub(crate) struct Sessions {
    protocol_id: u64,
    public_addresses: Vec<SocketAddr>,
    longest_timeout: Duration,
    packet_rate: Rate,
    keys: admission::ServerKeys,
    drain: Option<Drain>,
    places: HashMap<SocketAddr, Place, KeyedState>,
    slots_by_client: HashMap<u64, u32, KeyedState>,
    connected: Slab<Session>,
    pending: Slab<Pending>,
    /// When handshakes are next looked through for those that have expired.
    next_sweep: Duration,
    /// Sessions that the server ends: goodbyes are still to be sent.
    closing: VecDeque<u32>,
    budget: Budget,
    used_tokens: UsedTokens,
    answers: Answers,
    challenges: ChallengeKey,
    next_challenge: u64,
    /// Sequence of packets outside of sessions, in the half of the range that sessions leave free.
    next_global: u64,
}

/// When a drain began.
#[derive(Clone, Copy, Debug)]
struct Drain {
    unix: Duration,
    monotonic: Duration,
}

impl Sessions {
    pub(crate) fn new(config: ServerConfig) -> Self {
        let secret = |purpose: &[u8]| derive_key(&config.random, &[purpose]);
        let hash = KeyedState::new(&secret(b"address hash"));
        let capacity = config.capacity;
        // as many again may be on their way in, and a few at a small server
        let handshakes = capacity + 64;
        Self {
            protocol_id: config.protocol_id,
            public_addresses: config.public_addresses,
            longest_timeout: config.timeout,
            packet_rate: Rate::new(config.tick_hz.saturating_mul(4), config.tick_hz.saturating_mul(4)),
            keys: admission::ServerKeys::default(),
            drain: None,
            places: HashMap::with_capacity_and_hasher(2 * (capacity + handshakes), hash),
            slots_by_client: HashMap::with_capacity_and_hasher(2 * capacity, hash),
            connected: Slab::new(capacity),
            pending: Slab::new(handshakes),
            next_sweep: Duration::ZERO,
            closing: VecDeque::with_capacity(capacity),
            budget: Budget::new(hash),
            used_tokens: UsedTokens::new(8 * capacity + 1024, hash),
            answers: Answers::new(2 * handshakes),
            challenges: ChallengeKey::new(&secret(b"challenge key")),
            next_challenge: 0,
            next_global: 1 << 63 | config.boot_unix_ms << 20,
        }
    }

    pub(crate) fn install_key(&mut self, key: Key) {
        self.keys.install(key);
    }

    pub(crate) fn has_key(&self) -> bool {
        self.keys.is_installed()
    }

    /// Connected players; those who are being sent away no longer count.
    pub(crate) fn players(&self) -> usize {
        self.connected.len() - self.closing.len()
    }

    /// Slots of connected players, in order.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.connected.iter().filter(|(_, session)| session.is_open()).map(|(slot, _)| slot)
    }

    pub(crate) fn receive<'a>(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &'a mut [u8],
        counters: &mut Counters,
    ) -> Result<Received<'a>, Refusal> {
        if datagram.first() == Some(&0) {
            return self.receive_request(now, from, datagram, counters).map(|()| Received::Nothing);
        }
        let header = PacketHeader::parse(datagram).map_err(refusal_of)?;
        match self.places.get(&from) {
            None => Err(Refusal::NoSession),
            Some(&Place::Pending(slot)) => {
                if header.kind != PacketKind::Response {
                    return Err(Refusal::Unexpected);
                }
                self.receive_response(now, slot, &header, datagram, counters)
            }
            Some(&Place::Session(slot)) => self.receive_sealed(now, slot, &header, datagram),
        }
    }

    fn receive_response(
        &mut self,
        now: Now,
        slot: u32,
        header: &PacketHeader,
        datagram: &mut [u8],
        counters: &mut Counters,
    ) -> Result<Received<'static>, Refusal> {
        let pending = self.pending.get(slot).ok_or(Refusal::NoSession)?;
        let body = pending.open(header, datagram).map_err(refusal_of)?;
        let (sequence, sealed) = parse_challenge_body(body).map_err(refusal_of)?;
        let token = self.challenges.open(&sealed, sequence).map_err(|_forged| Refusal::ChallengeForged)?;
        if token.client_id != pending.client_id {
            return Err(Refusal::ChallengeForged);
        }
        if self.slots_by_client.contains_key(&pending.client_id) {
            return Err(Refusal::AlreadyConnected);
        }
        if self.connected.is_full() {
            return self.deny(slot, counters).map(|()| Received::Nothing);
        }
        let pending = self.pending.remove(slot).ok_or(Refusal::NoSession)?;
        let (address, client_id) = (pending.address, pending.client_id);
        let player = self.connected.insert(pending.connect(now)).ok_or(Refusal::TooManyHandshakes)?;
        self.places.insert(address, Place::Session(player));
        self.slots_by_client.insert(client_id, player);
        self.answers.push(Answer::KeepAlive(address), counters);
        counters.joins += 1;
        Ok(Received::Nothing)
    }

    fn receive_sealed<'a>(
        &mut self,
        now: Now,
        slot: u32,
        header: &PacketHeader,
        datagram: &'a mut [u8],
    ) -> Result<Received<'a>, Refusal> {
        let session = self.connected.get_mut(slot).ok_or(Refusal::NoSession)?;
        if !session.is_open() {
            return Err(Refusal::NoSession);
        }
        if header.kind == PacketKind::Response {
            // it crossed our keep-alive on the way; the next keep-alive is due soon anyway
            return session.open(header, datagram).map(|_repeated| Received::Nothing).map_err(refusal_of);
        }
        if !header.kind.is_replay_protected() {
            return Err(Refusal::Unexpected);
        }
        if session.replay.is_replay(header.sequence) {
            return Err(Refusal::Replayed);
        }
        let body = session.open(header, datagram).map_err(refusal_of)?;
        session.replay.advance(header.sequence);
        if header.kind == PacketKind::Disconnect {
            self.remove(slot);
            return Ok(Received::Left(slot));
        }
        // only after it opened, or a stranger could spend a player's allowance
        if !session.packets.spend(self.packet_rate, nanos(now.monotonic)) {
            return Err(Refusal::TooManyPackets);
        }
        session.last_received = now.monotonic;
        session.is_confirmed = true;
        Ok(if header.kind == PacketKind::Payload { Received::Message(slot, body) } else { Received::Nothing })
    }

    /// Gives up whoever has been silent for too long and reminds new clients that they are connected. Players
    /// that are lost are put into `lost`.
    pub(crate) fn step(&mut self, now: Now, lost: &mut Vec<u32>, counters: &mut Counters) {
        self.keys.expire_previous(now);
        for (slot, session) in self.connected.iter() {
            if session.is_timed_out(now) {
                lost.push(slot);
            } else if !session.is_confirmed
                && session.is_open()
                && now.monotonic.saturating_sub(session.last_sent) >= KEEP_ALIVE
            {
                self.answers.push(Answer::KeepAlive(session.address), counters);
            }
        }
        for &slot in &*lost {
            self.remove(slot);
            counters.timeouts += 1;
        }
        if self.pending.len() > 0 && now.monotonic >= self.next_sweep {
            self.next_sweep = now.monotonic + SWEEP;
            self.expire_pending(now);
        }
    }

    /// Says goodbye to everyone; they no longer count as players and are put into `lost`.
    pub(crate) fn disconnect_all(&mut self, lost: &mut Vec<u32>) {
        for (slot, session) in self.connected.iter_mut() {
            if session.is_open() {
                session.close();
                self.slots_by_client.remove(&session.client_id);
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
                self.remove(slot);
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
                let Some(&Place::Pending(slot)) = self.places.get(&to) else { return None };
                let (challenge, global) = (self.next_challenge, self.next_global);
                let pending = self.pending.get(slot)?;
                let len = pending.seal_challenge(&self.challenges, challenge, global, buffer).ok()?;
                self.next_challenge += 1;
                self.next_global += 1;
                // the standard's rule against amplification, asserted where the largest such answer is made
                assert!(len < REQUEST_BYTES, "a challenge must be smaller than the request it answers");
                Some(Transmit { to, len })
            }
            Answer::KeepAlive(to) => {
                let Some(&Place::Session(slot)) = self.places.get(&to) else { return None };
                let capacity = self.connected.capacity();
                self.connected.get_mut(slot)?.seal_keep_alive(now, slot, capacity, buffer)
            }
        }
    }

    fn remove(&mut self, slot: u32) {
        if let Some(session) = self.connected.remove(slot) {
            self.places.remove(&session.address);
            // a player who was sent away may already be back from another address
            if self.slots_by_client.get(&session.client_id) == Some(&slot) {
                self.slots_by_client.remove(&session.client_id);
            }
            self.used_tokens.spend(session.tag);
        }
    }
}

fn refusal_of(error: PacketError) -> Refusal {
    match error {
        PacketError::Forged => Refusal::Forged,
        PacketError::TooShort
        | PacketError::Prefix
        | PacketError::BodyLength
        | PacketError::BufferTooSmall => Refusal::Malformed,
    }
}

/// Nanoseconds since the start of the process; enough for 584 years.
pub(crate) fn nanos(monotonic: Duration) -> u64 {
    u64::try_from(monotonic.as_nanos()).unwrap_or(u64::MAX)
}
