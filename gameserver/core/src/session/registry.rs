//! What the zone servers of one process know together: which connect tokens were used, where each player is, and how many
//! there are.
//!
//! A server asks only when somebody comes or goes, never for a packet, and never waits: whoever finds another thread at
//! the tables tries again for a few microseconds and then gives up. A handshake is then ignored, and its client
//! repeats itself in a tenth of a second; who has left is told at the next tick.
//!
//! Invariants, in whatever order threads run (`interleavings.rs`):
//! - A token opens one session, and a place is given once.
//! - A server learns of each of its players who has come back elsewhere.
//! - No serial and no sequence outside of sessions is given twice.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, TryLockError};

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::{Now, ResumeMark, derive_key, first_sequence, nanos};

use super::Refusal;
use super::keyed_hash::KeyedState;
use super::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, Ordering, spin_loop};
use super::used_tokens::UsedTokens;
use crate::counters::Fill;
use crate::rate::{Bucket, Rate};

/// Zone servers of one process at most.
pub const MAX_SERVERS: usize = 256;

/// How often a player may come back: four times in a row, and then every ten seconds. So nobody fills the tables for the
/// others, who gets a new token each time: in the lifetime of one, seven of the eight that there is room for.
const RESUMES: Rate = Rate::once_in(10, 4);

/// Tries to get at the tables: some microseconds, many times as long as another thread holds them unless it is
/// interrupted there. One in the tests by loom, to which each more is an order of its own that shows nothing new.
const TRIES: usize = if cfg!(loom) { 1 } else { 200 };

/// Shared by the zone servers of one process, so that a token opens one session, a player is in one place, and no more are
/// here than the process has places, whichever server they come to.
pub struct Registry {
    tables: Mutex<Tables>,
    /// Next sequence of a packet outside of sessions, in the half of the range that sessions leave free. One count for
    /// all: two servers that answer the same token seal under the same key.
    next_global: AtomicU64,
    newest_serial: AtomicU64,
    servers: AtomicUsize,
    /// By server: whether a session of its may have to end because its player came back elsewhere. Written at the tables only, so that
    /// nobody takes back what another has just told; read without them.
    evictions: Box<[AtomicBool]>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Registry").field("servers", &self.servers).finish_non_exhaustive()
    }
}

impl Registry {
    /// For `players` at once, all servers together: beyond that each of them is full. `boot_unix_ms` and `random` as in
    /// [`crate::ServerConfig`].
    pub fn new(players: usize, boot_unix_ms: u64, random: &[u8; 32]) -> Self {
        let hash = KeyedState::new(&derive_key(random, &[b"registry hash"]));
        Self {
            tables: Mutex::new(Tables::new(players, hash)),
            next_global: AtomicU64::new(1 << 63 | boot_unix_ms << 20),
            newest_serial: AtomicU64::new(0),
            servers: AtomicUsize::new(0),
            evictions: std::iter::repeat_with(|| AtomicBool::new(false)).take(MAX_SERVERS).collect(),
        }
    }

    /// The tables, unless another thread stays at them.
    fn try_tables(&self) -> Option<MutexGuard<'_, Tables>> {
        for _ in 0..TRIES {
            match self.tables.try_lock() {
                Ok(tables) => return Some(tables),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => spin_loop(),
            }
        }
        None
    }
}

/// One server's end of the registry.
#[derive(Debug)]
pub(crate) struct Member {
    registry: Arc<Registry>,
    number: usize,
    /// Who has left and could not be told yet.
    leaving: VecDeque<Departure>,
    leaving_max: usize,
    now_unix: u64,
}

/// Somebody who asks to come in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visitor {
    pub(crate) client_id: u64,
    /// Tag of the token.
    pub(crate) tag: u128,
    pub(crate) mark: Option<ResumeMark>,
    pub(crate) address: SocketAddr,
    pub(crate) expire_unix: u64,
}

/// Whether the process has a place for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    /// It has, or the player has one already.
    Free,
    /// All are taken.
    Full,
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Parting {
    /// With a goodbye: its resume tokens are void.
    Goodbye,
    /// Without: the player may come back.
    Lost,
}

#[derive(Clone, Copy, Debug)]
struct Departure {
    client_id: u64,
    session: u64,
    parting: Parting,
    unix: u64,
}

impl Member {
    /// The next server of the process, which has `capacity` places; `None` when there are too many servers.
    pub(crate) fn new(registry: Arc<Registry>, capacity: usize) -> Option<Self> {
        let number = registry.servers.fetch_add(1, Ordering::Relaxed);
        (number < MAX_SERVERS).then(|| Self {
            registry,
            number,
            leaving: VecDeque::with_capacity(2 * capacity),
            leaving_max: capacity,
            now_unix: 0,
        })
    }

    /// Different for each server of the process.
    pub(crate) fn number(&self) -> usize {
        self.number
    }

    /// How full the tables of the process are. Not for the tick path: it waits for its turn at them.
    pub(crate) fn fill(&self) -> Fill {
        self.registry.tables.lock().unwrap_or_else(PoisonError::into_inner).fill()
    }

    /// The next sequence for a packet outside of sessions.
    pub(crate) fn next_global(&self) -> u64 {
        self.registry.next_global.fetch_add(1, Ordering::Relaxed)
    }

    /// A number that no session or resume token of any boot has had: from the wall clock, and always growing.
    pub(crate) fn next_serial(&self, now: Now) -> u64 {
        let at_least = first_sequence(now.unix);
        let next = |newest: u64| at_least.max(newest + 1);
        let newest = &self.registry.newest_serial;
        newest.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |newest| Some(next(newest))).map_or(0, next)
    }

    /// An authentic token was shown; may its bearer go on, and is there a place?
    pub(crate) fn present(&mut self, now: Now, visitor: &Visitor) -> Result<Room, Refusal> {
        self.at_tables(now, |tables, _| tables.present(now, visitor)).unwrap_or(Err(Refusal::Busy))
    }

    /// The bearer's address is proven: from now on the player is here, as `session`, if there is still a place.
    pub(crate) fn enter(&mut self, now: Now, visitor: &Visitor, session: u64) -> Result<Room, Refusal> {
        if self.leaving.len() >= self.leaving_max {
            return Err(Refusal::Busy);
        }
        let number = self.number;
        let entry = self.at_tables(now, |tables, evictions| {
            let entry = tables.enter(now, visitor, number, session);
            if let Ok(Entry::Elsewhere(other)) = entry {
                // `other` is the number of a member, and none has one beyond these
                evictions[other].store(true, Ordering::Release);
            }
            entry
        });
        match entry.unwrap_or(Err(Refusal::Busy))? {
            Entry::Here => Ok(Room::Free),
            Entry::Full => Ok(Room::Full),
            Entry::Elsewhere(_) => Err(Refusal::Moving),
        }
    }

    /// The session has ended.
    pub(crate) fn leave(&mut self, now: Now, client_id: u64, session: u64, parting: Parting) {
        self.leaving.push_back(Departure { client_id, session, parting, unix: now.unix.as_secs() });
        self.flush(now);
    }

    /// Tells who could not be told before.
    pub(crate) fn flush(&mut self, now: Now) {
        if !self.leaving.is_empty() {
            // when it fails it is tried again at the next tick
            let _told = self.at_tables(now, |_, _| ());
        }
    }

    /// A player of ours who has come back at another server of the process: it is ours no more, so its session must end
    /// before its next packet is looked at.
    pub(crate) fn pop_eviction(&mut self, now: Now) -> Option<u64> {
        let number = self.number;
        if !self.registry.evictions[number].load(Ordering::Acquire) {
            return None;
        }
        self.at_tables(now, |tables, evictions| {
            let client = tables.pop_eviction(now, number);
            if client.is_none() {
                evictions[number].store(false, Ordering::Release);
            }
            client
        })?
    }

    fn at_tables<T>(&mut self, now: Now, act: impl FnOnce(&mut Tables, &[AtomicBool]) -> T) -> Option<T> {
        self.now_unix = now.unix.as_secs();
        let mut tables = self.registry.try_tables()?;
        while let Some(departure) = self.leaving.pop_front() {
            tables.leave(&departure, self.number);
        }
        Some(act(&mut tables, &self.registry.evictions))
    }
}

impl Drop for Member {
    /// Whoever is still here is lost. Off the tick path, so it may wait.
    fn drop(&mut self) {
        let mut tables = self.registry.tables.lock().unwrap_or_else(PoisonError::into_inner);
        for departure in self.leaving.drain(..) {
            tables.leave(&departure, self.number);
        }
        tables.retire(self.number, self.now_unix);
    }
}

/// Whether somebody is in.
enum Entry {
    Here,
    Full,
    /// Not yet: this server has a session of the player, which is to end first.
    Elsewhere(usize),
}

/// No session: in its place, when resume tokens are void.
const VOID: u64 = 0;

/// Where a player is, and which of its resume tokens are good.
#[derive(Clone, Copy, Debug)]
struct Presence {
    /// Whose session the player has; `None` since it ended.
    server: Option<usize>,
    /// Its server is told to end the session.
    is_evicted: bool,
    /// The present session, or the last: every resume token of it is good.
    session: u64,
    /// The session before, if this one was resumed from it: its tokens are good that are newer than `used`. So of two
    /// who hold tokens of one session, who has the newer one stays, and the other's later tokens are worth nothing.
    parent: u64,
    used: u64,
    resumes: Bucket,
    /// When the last of its resume tokens has expired.
    forget_unix: u64,
}

impl Presence {
    fn takes(&self, now: Now, mark: Option<ResumeMark>) -> Result<(), Refusal> {
        match mark {
            None if self.server.is_some() => Err(Refusal::AlreadyConnected),
            Some(mark) if !self.is_good(mark) => Err(Refusal::ResumeOutdated),
            Some(_) if !self.resumes.has_one(RESUMES, nanos(now.monotonic)) => Err(Refusal::OverBudget),
            _ => Ok(()),
        }
    }

    fn is_good(&self, mark: ResumeMark) -> bool {
        let is_newer = mark.session == self.parent && mark.serial > self.used;
        mark.session != VOID && (mark.session == self.session || is_newer)
    }
}

#[derive(Debug)]
struct Tables {
    tokens: UsedTokens,
    /// Who is here, and who was until the last of their resume tokens has expired.
    players: HashMap<u64, Presence, KeyedState>,
    live: usize,
    /// How many may be here.
    live_max: usize,
    /// Who has left, in the order of when they are to be forgotten.
    departed: VecDeque<(u64, u64)>,
    /// Sessions to end: server and player. Never more than are live.
    evicted: Vec<(usize, u64)>,
    /// Of live and departed together. Beyond it nobody comes in, rather than that somebody is forgotten too early.
    capacity: usize,
}

impl Tables {
    fn new(players: usize, hash: KeyedState) -> Self {
        // within the lifetime of a token everybody may leave and come seven times
        let capacity = 8 * players + 1024;
        Self {
            tokens: UsedTokens::new(capacity, hash),
            players: HashMap::with_capacity_and_hasher(2 * capacity, hash),
            live: 0,
            live_max: players,
            departed: VecDeque::with_capacity(capacity),
            evicted: Vec::with_capacity(players),
            capacity,
        }
    }

    fn present(&mut self, now: Now, visitor: &Visitor) -> Result<Room, Refusal> {
        let now_unix = now.unix.as_secs();
        self.forget_departed(now_unix);
        self.tokens.check(visitor.tag, visitor.address, now_unix)?;
        let mut is_live = false;
        if let Some(presence) = self.players.get(&visitor.client_id) {
            presence.takes(now, visitor.mark)?;
            is_live = presence.server.is_some();
        }
        self.tokens.record(visitor.tag, visitor.address, visitor.expire_unix)?;
        Ok(if is_live || self.live < self.live_max { Room::Free } else { Room::Full })
    }

    fn enter(&mut self, now: Now, visitor: &Visitor, server: usize, session: u64) -> Result<Entry, Refusal> {
        let (mut is_live, mut resumes) = (false, Bucket::default());
        if let Some(presence) = self.players.get_mut(&visitor.client_id) {
            presence.takes(now, visitor.mark)?;
            (is_live, resumes) = (presence.server.is_some(), presence.resumes);
            if let Some(other) = presence.server.filter(|&other| other != server) {
                if !presence.is_evicted {
                    presence.is_evicted = true;
                    self.evicted.push((other, visitor.client_id));
                }
                return Ok(Entry::Elsewhere(other));
            }
        }
        if !is_live && self.live >= self.live_max {
            return Ok(Entry::Full);
        }
        if !is_live && self.live + self.departed.len() >= self.capacity {
            return Err(Refusal::TooManyHandshakes);
        }
        self.tokens.open(visitor.tag)?;
        self.live += usize::from(!is_live);
        let (parent, used) = visitor.mark.map_or((VOID, 0), |mark| (mark.session, mark.serial));
        if visitor.mark.is_some() {
            // there is one, or the token had not been taken
            let _spent = resumes.spend(RESUMES, nanos(now.monotonic));
        }
        let presence = Presence {
            server: Some(server),
            is_evicted: false,
            session,
            parent,
            used,
            resumes,
            forget_unix: u64::MAX,
        };
        self.players.insert(visitor.client_id, presence);
        Ok(Entry::Here)
    }

    fn fill(&self) -> Fill {
        Fill {
            tokens: self.tokens.len(),
            known_players: self.players.len(),
            departures: self.departed.len(),
            evictions: self.evicted.len(),
            ..Fill::default()
        }
    }

    fn leave(&mut self, departure: &Departure, server: usize) {
        let client_id = departure.client_id;
        let Some(presence) = self.players.get_mut(&client_id) else { return };
        if presence.server != Some(server) || presence.session != departure.session {
            return;
        }
        if presence.is_evicted {
            self.evicted.retain(|&(_, evicted)| evicted != client_id);
        }
        presence.part(departure.parting, departure.unix);
        self.departed.push_back((client_id, presence.forget_unix));
        self.live -= 1;
    }

    fn pop_eviction(&mut self, now: Now, server: usize) -> Option<u64> {
        let at = self.evicted.iter().position(|&(of, _)| of == server)?;
        let (_, client_id) = self.evicted.swap_remove(at);
        if let Some(presence) = self.players.get_mut(&client_id) {
            presence.part(Parting::Lost, now.unix.as_secs());
            self.departed.push_back((client_id, presence.forget_unix));
            self.live -= 1;
        }
        Some(client_id)
    }

    fn retire(&mut self, server: usize, now_unix: u64) {
        self.evicted.retain(|&(of, _)| of != server);
        for (&client_id, presence) in &mut self.players {
            if presence.server == Some(server) {
                presence.part(Parting::Lost, now_unix);
                self.departed.push_back((client_id, presence.forget_unix));
                self.live -= 1;
            }
        }
    }

    /// People leave nearly in the order of the clock, so only the front is looked at.
    fn forget_departed(&mut self, now_unix: u64) {
        while let Some(&(client_id, forget_unix)) = self.departed.front() {
            if forget_unix > now_unix {
                return;
            }
            self.departed.pop_front();
            // who came back has another record
            let is_same = |presence: &Presence| presence.forget_unix == forget_unix;
            if self.players.get(&client_id).is_some_and(is_same) {
                self.players.remove(&client_id);
            }
        }
    }
}

impl Presence {
    fn part(&mut self, parting: Parting, unix: u64) {
        self.server = None;
        self.is_evicted = false;
        // tokens were minted until now, and their seconds are whole
        self.forget_unix = unix.saturating_add(TOKEN_LIFETIME_SECONDS + 1);
        if parting == Parting::Goodbye {
            (self.session, self.parent) = (VOID, VOID);
        }
    }
}

#[cfg(all(test, loom))]
mod interleavings;
#[cfg(test)]
mod tests;
