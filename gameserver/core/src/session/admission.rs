//! Who may come in: connection requests, keys and drain.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::{
    Key, Now, PRIVATE_TOKEN_BYTES, PacketHeader, PrivateToken, RequestError, RequestPacket, TAG_BYTES,
    TokenError, nanos, parse_challenge_body,
};

use super::answers::{Answer, DENIED_BYTES};
use super::peer::Pending;
use super::registry::{Room, Visitor};
use super::{Drain, Place, Received, Refusal, Sessions};
use crate::counters::Counters;

/// How far the backend's clock may be ahead of ours.
const CLOCK_SKEW_SECONDS: u64 = 30;

/// The key that opens connect tokens, and the one before it for as long as tokens under it may be about.
#[derive(Default)]
pub(super) struct ServerKeys {
    current: Option<Key>,
    previous: Option<PreviousKey>,
}

struct PreviousKey {
    key: Key,
    /// Set by the first step after the change, which knows the time.
    expires: Option<Duration>,
}

impl fmt::Debug for ServerKeys {
    /// Without the keys.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ServerKeys")
            .field("is_installed", &self.is_installed())
            .finish_non_exhaustive()
    }
}

impl ServerKeys {
    pub(super) fn install(&mut self, key: Key) {
        if let Some(key) = self.current.replace(key).filter(|&current| current != key) {
            self.previous = Some(PreviousKey { key, expires: None });
        }
    }

    pub(super) fn is_installed(&self) -> bool {
        self.current.is_some()
    }

    pub(super) fn expire_previous(&mut self, now: Now) {
        let Some(previous) = &mut self.previous else { return };
        let lifetime = Duration::from_secs(TOKEN_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS);
        if now.monotonic >= *previous.expires.get_or_insert(now.monotonic + lifetime) {
            self.previous = None;
        }
    }

    /// The key under which new tokens are sealed.
    pub(super) fn current(&self) -> Option<&Key> {
        self.current.as_ref()
    }

    fn iter(&self) -> impl Iterator<Item = &Key> {
        self.current.iter().chain(self.previous.iter().map(|previous| &previous.key))
    }
}

impl Sessions {
    /// Follows the standard's list of checks, the cheap ones first.
    pub(super) fn receive_request(
        &mut self,
        now: Now,
        from: SocketAddr,
        datagram: &mut [u8],
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        let request = RequestPacket::parse(datagram, self.protocol_id).map_err(|error| match error {
            RequestError::Malformed => Refusal::Malformed,
            RequestError::Version | RequestError::ProtocolId => Refusal::OtherProtocol,
        })?;
        let now_unix = now.unix.as_secs();
        if request.expire_unix <= now_unix {
            return Err(Refusal::TokenExpired);
        }
        if request.expire_unix > now_unix + TOKEN_LIFETIME_SECONDS + CLOCK_SKEW_SECONDS {
            return Err(Refusal::TokenLifetime);
        }
        if !self.has_key() {
            return Err(Refusal::NoKey);
        }
        let tag = tag_of(request.private_token);
        if self
            .pending_at(from)
            .and_then(|slot| self.pending.get(slot))
            .is_some_and(|known| known.visitor.tag == tag)
        {
            // repeated because our challenge was lost; what was checked then still holds
            self.answers.push(Answer::Challenge(from), counters);
            return Ok(());
        }
        if self
            .session_at(from)
            .is_some_and(|slot| self.connected.get(slot).is_some_and(|known| known.tag == tag))
        {
            return Err(Refusal::AlreadyConnected);
        }
        let spent = self.budget.spend(from, nanos(now.monotonic)).ok_or(Refusal::OverBudget)?;
        let expire_unix = request.expire_unix;
        let token = self.open_token(request, counters).map_err(|_forged| Refusal::TokenForged)?;
        let visitor =
            Visitor { client_id: token.client_id, tag, mark: token.resume, address: from, expire_unix };
        let (slot, room) = match self.admit(now, visitor, &token) {
            Err(Refusal::Busy) => {
                self.budget.refund(spent);
                return Err(Refusal::Busy);
            }
            admitted => admitted?,
        };
        let replaces = self.slots_by_client.contains_key(&visitor.client_id);
        let is_full = room == Room::Full || self.connected.is_full() && !replaces;
        if is_full || self.is_shut_by_drain(&visitor) {
            // not given back: who keeps asking a full server is limited like who keeps guessing
            return self.deny(slot, counters);
        }
        self.budget.refund(spent);
        self.answers.push(Answer::Challenge(from), counters);
        Ok(())
    }

    fn session_at(&self, address: SocketAddr) -> Option<u32> {
        match self.places.get(address) {
            Some(Place::Session(slot)) => Some(slot),
            _ => None,
        }
    }

    fn open_token(
        &self,
        request: RequestPacket<'_>,
        counters: &mut Counters,
    ) -> Result<PrivateToken, TokenError> {
        let RequestPacket { expire_unix, nonce, private_token } = request;
        let mut opened = Err(TokenError::Forged);
        for key in self.keys.iter() {
            counters.tokens_tried += 1;
            opened = PrivateToken::open(private_token, self.protocol_id, expire_unix, &nonce, key);
            if opened != Err(TokenError::Forged) {
                break;
            }
        }
        opened
    }

    /// The token is authentic; if its bearer may try with it, a handshake is under way from now on.
    fn admit(&mut self, now: Now, visitor: Visitor, token: &PrivateToken) -> Result<(u32, Room), Refusal> {
        if !self.is_meant(token.server_addresses.as_slice()) {
            return Err(Refusal::OtherServer);
        }
        let from = visitor.address;
        let held_by = self.session_at(from);
        if let Some(session) = held_by.and_then(|slot| self.connected.get(slot)) {
            // only its own player may come back from an address that has a session
            if session.client_id != visitor.client_id || visitor.mark.is_none() {
                return Err(Refusal::AlreadyConnected);
            }
        }
        let room = self.registry.present(now, &visitor)?;
        if let Some(older) = self.pending_at(from) {
            self.forget_pending(older);
        }
        let pending = Pending::new(now, visitor, token, self.protocol_id, self.longest_timeout);
        let slot = self.pending.insert(pending).ok_or(Refusal::TooManyHandshakes)?;
        match held_by.and_then(|slot| self.connected.get_mut(slot)) {
            Some(session) => session.resuming = Some(slot),
            None => self.places.insert(from, Place::Pending(slot)),
        }
        Ok((slot, room))
    }

    /// Follows the standard's list of checks for the answer to a challenge.
    pub(super) fn receive_response(
        &mut self,
        now: Now,
        slot: u32,
        header: &PacketHeader,
        datagram: &mut [u8],
        counters: &mut Counters,
    ) -> Result<Received<'static>, Refusal> {
        let pending = self.pending.get_mut(slot).ok_or(Refusal::NoSession)?;
        let body = pending.open(now, self.packet_rate, header, datagram, counters)?;
        let (sequence, sealed) = parse_challenge_body(body)?;
        let token = self.challenges.open(&sealed, sequence).map_err(|_forged| Refusal::ChallengeForged)?;
        let visitor = pending.visitor;
        if token.client_id != visitor.client_id {
            return Err(Refusal::ChallengeForged);
        }
        let replaced = self.slots_by_client.get(&visitor.client_id).copied();
        if self.connected.is_full() && replaced.is_none() {
            return self.deny(slot, counters).map(|()| Received::Nothing);
        }
        let serial = self.registry.next_serial(now);
        if self.registry.enter(now, &visitor, serial)? == Room::Full {
            return self.deny(slot, counters).map(|()| Received::Nothing);
        }
        let pending = self.pending.remove(slot).ok_or(Refusal::NoSession)?;
        counters.resumes += u64::from(visitor.mark.is_some());
        let session = pending.connect(now, serial);
        let player = if let Some(player) = replaced {
            let place = self.connected.get_mut(player).ok_or(Refusal::NoSession)?;
            // with it go the keys: what is still under way under them is worth nothing
            let old = std::mem::replace(place, session);
            self.vacate(old.address, old.resuming.filter(|&other| other != slot));
            player
        } else {
            counters.joins += 1;
            let player = self.connected.insert(session).ok_or(Refusal::TooManyHandshakes)?;
            self.slots_by_client.insert(visitor.client_id, player);
            player
        };
        self.places.insert(visitor.address, Place::Session(player));
        self.answers.push(Answer::KeepAlive(visitor.address), counters);
        Ok(if replaced.is_some() { Received::Resumed(player) } else { Received::Nothing })
    }

    /// Gives up a handshake.
    fn forget_pending(&mut self, slot: u32) -> Option<Pending> {
        let pending = self.pending.remove(slot)?;
        let address = pending.visitor.address;
        match self.session_at(address).and_then(|session| self.connected.get_mut(session)) {
            Some(session) => session.resuming = None,
            None => self.places.remove(address),
        }
        Some(pending)
    }

    /// Tells a pending client no and forgets it.
    fn deny(&mut self, slot: u32, counters: &mut Counters) -> Result<(), Refusal> {
        let pending = self.forget_pending(slot).ok_or(Refusal::NoSession)?;
        let mut bytes = [0; DENIED_BYTES];
        pending
            .seal_denial(self.registry.next_global(), &mut bytes)
            .map_err(|_too_small| Refusal::Malformed)?;
        counters.denials += 1;
        self.answers.push(Answer::Denied { to: pending.visitor.address, bytes }, counters);
        Ok(())
    }

    pub(super) fn expire_pending(&mut self, now: Now) {
        for slot in 0..self.pending.capacity() {
            if self.pending.get(slot).is_some_and(|pending| now.monotonic > pending.deadline) {
                self.forget_pending(slot);
            }
        }
    }

    /// From now on only players with an older token come in.
    pub(crate) fn drain(&mut self, now: Now) {
        self.drain.get_or_insert(Drain { unix: now.unix, monotonic: now.monotonic });
    }

    pub(crate) fn undrain(&mut self) {
        self.drain = None;
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drain.is_some()
    }

    /// Whether a drain is complete: nobody is here, nobody is on the way, every token minted before it has expired, and
    /// so has every resume token of those who were lost.
    pub(crate) fn is_drained(&self, now: Now) -> bool {
        let lifetime = Duration::from_secs(TOKEN_LIFETIME_SECONDS);
        self.players() == 0
            && self.pending.len() == 0
            && now.monotonic >= self.resumable_until
            && self.drain.is_some_and(|drain| now.monotonic.saturating_sub(drain.monotonic) >= lifetime)
    }

    /// A drain shuts out those who are sent here after it began. Who comes back was here before: a resume token says so
    /// whenever it was minted, also to a server that has been restarted meanwhile.
    ///
    /// Tokens carry whole seconds, so one of the second in which the drain began still counts as older; it, too,
    /// has expired when a token's lifetime has passed.
    fn is_shut_by_drain(&self, visitor: &Visitor) -> bool {
        let minted = visitor.expire_unix.saturating_sub(TOKEN_LIFETIME_SECONDS);
        visitor.mark.is_none() && self.drain.is_some_and(|drain| minted > drain.unix.as_secs())
    }
}

/// The authentication tag of a private token, which names it.
fn tag_of(private_token: &[u8; PRIVATE_TOKEN_BYTES]) -> u128 {
    let tag: Option<&[u8; TAG_BYTES]> = private_token.last_chunk();
    tag.map_or(0, |tag| u128::from_le_bytes(*tag))
}
