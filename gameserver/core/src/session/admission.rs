//! Who may come in: connection requests, keys and drain.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_contract::TOKEN_LIFETIME_SECONDS;
use gameserver_protocol::{
    Key, Now, PRIVATE_TOKEN_BYTES, PrivateToken, RequestError, RequestPacket, TAG_BYTES, TokenError,
};

use super::answers::{Answer, DENIED_BYTES};
use super::peer::Pending;
use super::used_tokens::TokenUse;
use super::{Drain, Place, Refusal, Sessions, nanos};
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
        match self.places.get(&from) {
            Some(Place::Session(_)) => return Err(Refusal::AlreadyConnected),
            Some(&Place::Pending(slot)) if self.pending.get(slot).is_some_and(|known| known.tag == tag) => {
                // repeated because our challenge was lost; what was checked then still holds
                self.answers.push(Answer::Challenge(from), counters);
                return Ok(());
            }
            _ => {}
        }
        let spent = self.budget.spend(from.ip(), nanos(now.monotonic)).ok_or(Refusal::OverBudget)?;
        let expire_unix = request.expire_unix;
        let token = self.open_token(request).map_err(|_forged| Refusal::TokenForged)?;
        self.admit(now, from, &token, tag, expire_unix)?;
        let Some(&Place::Pending(slot)) = self.places.get(&from) else { return Err(Refusal::NoSession) };
        if self.connected.is_full() || self.is_minted_after_drain(expire_unix) {
            // not given back: who keeps asking a full server is limited like who keeps guessing
            return self.deny(slot, counters);
        }
        self.budget.refund(spent);
        self.answers.push(Answer::Challenge(from), counters);
        Ok(())
    }

    fn open_token(&self, request: RequestPacket<'_>) -> Result<PrivateToken, TokenError> {
        let RequestPacket { expire_unix, nonce, private_token } = request;
        let mut opened = Err(TokenError::Forged);
        for key in self.keys.iter() {
            opened = PrivateToken::open(private_token, self.protocol_id, expire_unix, &nonce, key);
            if opened != Err(TokenError::Forged) {
                break;
            }
        }
        opened
    }

    /// The token is authentic; if its bearer may try with it, the address is pending from now on.
    fn admit(
        &mut self,
        now: Now,
        from: SocketAddr,
        token: &PrivateToken,
        tag: u128,
        expire_unix: u64,
    ) -> Result<(), Refusal> {
        let names_us = |address| self.public_addresses.contains(address);
        if !self.public_addresses.is_empty() && !token.server_addresses.as_slice().iter().any(names_us) {
            return Err(Refusal::OtherServer);
        }
        if self.slots_by_client.contains_key(&token.client_id) {
            return Err(Refusal::AlreadyConnected);
        }
        match self.used_tokens.present(tag, from, expire_unix, now.unix.as_secs()) {
            TokenUse::Granted => {}
            TokenUse::Reused => return Err(Refusal::TokenReused),
            TokenUse::Full => return Err(Refusal::TooManyHandshakes),
        }
        if let Some(&Place::Pending(older)) = self.places.get(&from) {
            self.pending.remove(older);
            self.places.remove(&from);
        }
        let pending = Pending::new(now, from, token, tag, self.protocol_id, self.longest_timeout);
        let slot = self.pending.insert(pending).ok_or(Refusal::TooManyHandshakes)?;
        self.places.insert(from, Place::Pending(slot));
        Ok(())
    }

    /// Tells a pending client no and forgets it.
    pub(super) fn deny(&mut self, slot: u32, counters: &mut Counters) -> Result<(), Refusal> {
        let pending = self.pending.remove(slot).ok_or(Refusal::NoSession)?;
        self.places.remove(&pending.address);
        let mut bytes = [0; DENIED_BYTES];
        pending.seal_denial(self.next_global, &mut bytes).map_err(|_too_small| Refusal::Malformed)?;
        self.next_global += 1;
        counters.denials += 1;
        self.answers.push(Answer::Denied { to: pending.address, bytes }, counters);
        Ok(())
    }

    pub(super) fn expire_pending(&mut self, now: Now) {
        for slot in 0..self.pending.capacity() {
            if self.pending.get(slot).is_some_and(|pending| now.monotonic > pending.deadline)
                && let Some(pending) = self.pending.remove(slot)
            {
                self.places.remove(&pending.address);
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

    /// Whether a drain is complete: nobody is here, nobody is on the way, and every token minted before it has
    /// expired.
    pub(crate) fn is_drained(&self, now: Now) -> bool {
        let lifetime = Duration::from_secs(TOKEN_LIFETIME_SECONDS);
        self.players() == 0
            && self.pending.len() == 0
            && self.drain.is_some_and(|drain| now.monotonic.saturating_sub(drain.monotonic) >= lifetime)
    }

    /// Tokens carry whole seconds, so one of the second in which the drain began still counts as older; it, too,
    /// has expired when a token's lifetime has passed.
    fn is_minted_after_drain(&self, expire_unix: u64) -> bool {
        let minted = expire_unix.saturating_sub(TOKEN_LIFETIME_SECONDS);
        self.drain.is_some_and(|drain| minted > drain.unix.as_secs())
    }
}

/// The authentication tag of a private token, which names it.
fn tag_of(private_token: &[u8; PRIVATE_TOKEN_BYTES]) -> u128 {
    let tag: Option<&[u8; TAG_BYTES]> = private_token.last_chunk();
    tag.map_or(0, |tag| u128::from_le_bytes(*tag))
}
