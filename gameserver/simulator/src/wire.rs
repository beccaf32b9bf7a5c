//! What goes over the wire, seen by somebody who knows every token: what an address gets before it is proven, under which
//! key and nonce each datagram was sealed, and whose each place in a zone is.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::net::SocketAddr;

use gameserver_core::MAX_SNAPSHOT_BYTES;
use gameserver_game::mix;
use gameserver_protocol::message::ResumeToken;
use gameserver_protocol::{
    ConnectToken, Key, PROTOCOL_ID, PacketHeader, PacketKey, PacketKind, REQUEST_BYTES, TAG_BYTES,
};

use crate::player::{Kind, Player};
use crate::{Broken, Rule};

/// Bytes of any datagram at most.
const DATAGRAM_MAX: usize = 1200;
/// A datagram with a resume token.
const RESUME_BYTES: usize = 1162;
/// Datagrams of a session that may be above the budget: the first snapshots, and some with much news in them.
const FRESH: u32 = 16 + 16;
/// A server that has sealed nothing under a key for so long has no session under it: longer than any time-out.
const IDLE_US: u64 = 7_000_000;
/// Keys are remembered for so long after they were last used: longer than any token is good, with the process down in
/// between and its clock set back.
const KEPT_US: u64 = 120_000_000;

type Tag = [u8; TAG_BYTES];
type Table<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// A hash of what nobody chooses to do harm.
#[derive(Debug, Default)]
struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = mix(self.0 ^ u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = mix(self.0 ^ value);
    }
}

fn tag_of(bytes: &[u8]) -> Tag {
    bytes.last_chunk().copied().unwrap_or_default()
}

fn packed(address: SocketAddr) -> u64 {
    match address {
        SocketAddr::V4(address) => u64::from(address.ip().to_bits()) << 16 | u64::from(address.port()),
        SocketAddr::V6(_) => 0,
    }
}

/// The body of a datagram, if this key opens it.
fn opened<'a>(
    key: &Key,
    header: &PacketHeader,
    bytes: &[u8],
    room: &'a mut [u8; DATAGRAM_MAX],
) -> Option<&'a [u8]> {
    let room = room.get_mut(..bytes.len())?;
    room.copy_from_slice(bytes);
    PacketKey::new(key, PROTOCOL_ID).open(header, room).ok().map(|body| &*body)
}

/// A token that was shown to a server from an address.
#[derive(Clone, Copy, Debug)]
struct Shown {
    /// Under which the server answers there.
    key: Key,
    last_us: u64,
}

/// What went to and fro between the servers of this boot and an address.
#[derive(Debug, Default)]
struct Account {
    got: usize,
    sent: usize,
    is_proven: bool,
    /// Tags of the responses that its own client has sent.
    answers: Vec<Tag>,
    shown: Vec<Shown>,
}

impl Account {
    fn show(&mut self, key: Key, now_us: u64) {
        if let Some(shown) = self.shown.iter_mut().find(|shown| shown.key == key) {
            shown.last_us = now_us;
            return;
        }
        self.shown.retain(|shown| shown.last_us + IDLE_US > now_us);
        self.shown.push(Shown { key, last_us: now_us });
    }

    /// The key under which a server sealed this for the address. If one token alone was shown from there, it is its.
    fn key_of(&mut self, header: &PacketHeader, bytes: &[u8], now_us: u64) -> Option<Key> {
        if self.shown.len() > 1 {
            self.shown.retain(|shown| shown.last_us + IDLE_US > now_us);
        }
        let mut room = [0; DATAGRAM_MAX];
        let mut opens = |shown: &Shown| opened(&shown.key, header, bytes, &mut room).is_some();
        let at = if self.shown.len() == 1 { 0 } else { self.shown.iter().rposition(&mut opens)? };
        let shown = self.shown.get_mut(at)?;
        shown.last_us = now_us;
        Some(shown.key)
    }
}

/// What was sealed under a key, in the order of the sealing.
#[derive(Debug, Default)]
struct Sealed {
    /// Newest sequence of sessions, and outside of sessions, with the tag of that datagram.
    newest: [(u64, Tag); 2],
    /// Datagrams that were above the budget.
    fat: u32,
    last_us: u64,
}

impl Sealed {
    /// The sequence is the nonce: sequences grow, so none is used twice. The same datagram again is no other one.
    fn note(&mut self, header: &PacketHeader, bytes: &[u8], now_us: u64) -> Result<(), Broken> {
        self.last_us = now_us;
        let (sequence, tag) = (header.sequence, tag_of(bytes));
        let newest = &mut self.newest[usize::from(sequence >> 63 == 1)];
        if sequence < newest.0 || sequence == newest.0 && tag != newest.1 {
            let what = format!("sequence {sequence:#x} under a key that has had {:#x}", newest.0);
            return broken(Rule::Nonces, what);
        }
        *newest = (sequence, tag);
        Ok(())
    }
}

/// Whose a place in a zone is: who was told of it last.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seat {
    /// Index of the player at the address of the session; `None` if it had left.
    pub(crate) player: Option<usize>,
    /// Under which the session seals: of two who have shown the same token one after the other, both have it.
    pub(crate) key: Key,
}

/// A datagram that a server sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outgoing<'a> {
    pub(crate) zone: usize,
    pub(crate) to: SocketAddr,
    pub(crate) bytes: &'a [u8],
    pub(crate) boot: u32,
    pub(crate) now_us: u64,
}

/// All that is remembered of the wire.
#[derive(Debug, Default)]
pub(crate) struct Wire {
    accounts: Table<u64, Account>,
    /// By the tag of a token: under which key a server answers who shows it, and when it was first shown.
    tokens: Table<Tag, (Key, u64)>,
    sealed: Table<Key, Sealed>,
    /// By zone and slot.
    seats: Vec<Vec<Option<Seat>>>,
    /// By zone: the newest serial of its resume tokens, which are all sealed under one key. It begins the nonce; behind it is
    /// chance.
    newest_serials: Vec<u64>,
}

fn broken<T>(rule: Rule, what: String) -> Result<T, Broken> {
    Err(Broken { rule, what })
}

impl Wire {
    /// The process has begun anew: it knows no address and nobody has a place.
    pub(crate) fn forget_boot(&mut self) {
        self.accounts.clear();
        self.seats.clear();
    }

    /// Lets go of keys and tokens that have had their time.
    pub(crate) fn forget_old(&mut self, now_us: u64) {
        self.tokens.retain(|_, (_, since_us)| *since_us + KEPT_US > now_us);
        self.sealed.retain(|_, sealed| sealed.last_us + KEPT_US > now_us);
    }

    /// Whose a place is.
    pub(crate) fn seat(&self, zone: usize, slot: u32) -> Option<Seat> {
        *self.seats.get(zone)?.get(slot as usize)?
    }

    /// A client begins with a token.
    pub(crate) fn begin(&mut self, token: &ConnectToken, now_us: u64) {
        let key = token.server_to_client_key;
        self.tokens.entry(tag_of(&*token.private_token)).or_insert((key, now_us));
    }

    /// A client sends something of its own, as it sealed it.
    pub(crate) fn sends(&mut self, player: &Player, bytes: &[u8], now_us: u64) -> Result<(), Broken> {
        let Ok(header) = PacketHeader::parse(bytes) else { return Ok(()) };
        let Some(token) = player.token.as_ref().filter(|_| bytes[0] != 0) else { return Ok(()) };
        if header.kind == PacketKind::Response {
            let account = self.accounts.entry(packed(player.address)).or_default();
            if !account.is_proven {
                account.answers.push(tag_of(bytes));
            }
        }
        // a thief has the keys of another, and minds nothing
        if player.kind.is_honest() {
            let sealed = self.sealed.entry(token.client_to_server_key).or_default();
            sealed.note(&header, bytes, now_us).map_err(|broken| said_of("player", player.id, broken))?;
        }
        Ok(())
    }

    /// A datagram has reached a server.
    pub(crate) fn received(&mut self, from: SocketAddr, bytes: &[u8], now_us: u64) {
        let account = self.accounts.entry(packed(from)).or_default();
        if bytes.first() == Some(&0)
            && bytes.len() == REQUEST_BYTES
            && let Some(&(key, _)) = self.tokens.get(&tag_of(bytes))
        {
            account.show(key, now_us);
        }
        if account.is_proven {
            return;
        }
        account.got += bytes.len();
        // whoever carries the answer there, it was made of a challenge that had come to this address
        if account.sent > 0 && account.answers.contains(&tag_of(bytes)) {
            account.is_proven = true;
            account.answers = Vec::new();
        }
    }

    /// A server sends a datagram, to this player if it is a player's address. Returns of which kind it is.
    pub(crate) fn sent(
        &mut self,
        out: &Outgoing<'_>,
        player: Option<(usize, &Player)>,
    ) -> Result<Option<PacketKind>, Broken> {
        let Outgoing { to, bytes, now_us, .. } = *out;
        let account = self.accounts.entry(packed(to)).or_default();
        if bytes.len() > DATAGRAM_MAX {
            return broken(Rule::Budget, format!("a datagram of {} bytes to {to}", bytes.len()));
        }
        if !account.is_proven {
            account.sent += bytes.len();
            let Account { got, sent, .. } = *account;
            if sent > got {
                return broken(Rule::Amplification, format!("{sent} bytes to {to}, which sent {got}"));
            }
        }
        let Ok(header) = PacketHeader::parse(bytes) else { return Ok(None) };
        let Some(key) = account.key_of(&header, bytes, now_us) else {
            return broken(
                Rule::Nonces,
                format!("{header:?} to {to} is sealed under no key that was shown there"),
            );
        };
        if let Some((_, player)) = player {
            check_theft(out, &header, player)?;
        }
        let sealed = self.sealed.entry(key).or_default();
        sealed.note(&header, bytes, now_us).map_err(|broken| said_of("somebody at", to, broken))?;
        let is_resume = header.kind == PacketKind::Payload && bytes.len() == RESUME_BYTES;
        let is_fat = bytes.len() > usize::from(MAX_SNAPSHOT_BYTES) && !is_resume;
        sealed.fat += u32::from(is_fat && header.kind == PacketKind::Payload);
        if sealed.fat > FRESH {
            return broken(Rule::Budget, format!("{} bytes to {to}, long after it came in", bytes.len()));
        }
        if header.kind == PacketKind::KeepAlive {
            self.take_seat(out, &header, &key, player.map(|(index, _)| index));
        } else if is_resume {
            self.check_serial(out, &header, &key)?;
        }
        Ok(Some(header.kind))
    }

    /// Who is told that it is connected is told its place.
    fn take_seat(&mut self, out: &Outgoing<'_>, header: &PacketHeader, key: &Key, player: Option<usize>) {
        let mut room = [0; DATAGRAM_MAX];
        let body = opened(key, header, out.bytes, &mut room).and_then(|body| body.first_chunk());
        let Some(slot) = body.map(|slot| u32::from_le_bytes(*slot) as usize) else { return };
        if self.seats.len() <= out.zone {
            self.seats.resize_with(out.zone + 1, Vec::new);
        }
        let seats = &mut self.seats[out.zone];
        if seats.len() <= slot {
            seats.resize(slot + 1, None);
        }
        seats[slot] = Some(Seat { player, key: *key });
    }

    /// Serials of resume tokens grow, from boot to boot too.
    fn check_serial(&mut self, out: &Outgoing<'_>, header: &PacketHeader, key: &Key) -> Result<(), Broken> {
        let mut room = [0; DATAGRAM_MAX];
        let token = opened(key, header, out.bytes, &mut room).and_then(|body| ResumeToken::decode(body).ok());
        let serial = token.and_then(|token| token.nonce.first_chunk().copied()).map(u64::from_le_bytes);
        let Some(serial) = serial else { return Ok(()) };
        if self.newest_serials.len() <= out.zone {
            self.newest_serials.resize(out.zone + 1, 0);
        }
        let newest = &mut self.newest_serials[out.zone];
        if serial <= *newest {
            let what = format!("resume token {serial:#x} after {newest:#x}, under the servers' key");
            return broken(Rule::Nonces, what);
        }
        *newest = serial;
        Ok(())
    }
}

/// What was used in this boot of the process opens nothing elsewhere. What was used in the boot before is forgotten, as
/// is known.
fn check_theft(out: &Outgoing<'_>, header: &PacketHeader, player: &Player) -> Result<(), Broken> {
    let is_session = matches!(header.kind, PacketKind::KeepAlive | PacketKind::Payload);
    if player.kind == Kind::Thief && player.boot == out.boot && is_session {
        return broken(Rule::StolenTokens, format!("{} has a session by a token that it stole", out.to));
    }
    Ok(())
}

fn said_of(what: &str, who: impl std::fmt::Display, Broken { rule, what: how }: Broken) -> Broken {
    Broken { rule, what: format!("{what} {who}: {how}") }
}
