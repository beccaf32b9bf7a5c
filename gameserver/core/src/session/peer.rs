//! The two states of a peer, pending and connected, and what each sends and accepts.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::{
    ChallengeKey, ChallengeToken, MAX_DATAGRAM_BYTES, Now, PacketError, PacketHeader, PacketKey, PacketKind,
    PrivateToken, ReplayWindow, SPECTATOR, TAG_BYTES, Transmit, UserData, body_offset, challenge_body,
    first_sequence, keep_alive_body, nanos,
};

use super::Refusal;
use super::openings::Openings;
use super::registry::Visitor;
use crate::counters::Counters;
use crate::gaps::Gaps;
use crate::rate::{Bucket, Rate};

/// Redundant goodbyes of a server that ends a session.
const FAREWELLS: u8 = 10;

/// What opens the packets of a peer, and how often it did in vain.
#[derive(Debug)]
struct Inbound {
    key: PacketKey,
    openings: Openings,
}

impl Inbound {
    fn open<'a>(
        &mut self,
        now: Now,
        tries: Rate,
        header: &PacketHeader,
        datagram: &'a mut [u8],
        counters: &mut Counters,
    ) -> Result<&'a mut [u8], Refusal> {
        let now_ns = nanos(now.monotonic);
        if !self.openings.may_try(header.sequence, tries, now_ns) {
            return Err(Refusal::TooManyForged);
        }
        counters.packets_tried += 1;
        let opened = self.key.open(header, datagram);
        match opened {
            Err(PacketError::Forged) => self.openings.failed(now_ns),
            _ => self.openings.opened(header.sequence),
        }
        opened.map_err(Refusal::from)
    }
}

/// An address with a valid token that has not yet proven to receive there.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) visitor: Visitor,
    pub(crate) deadline: Duration,
    timeout: Duration,
    timeout_seconds: i32,
    user_data: UserData,
    inbound: Inbound,
    seal_key: PacketKey,
}

impl Pending {
    pub(crate) fn new(
        now: Now,
        visitor: Visitor,
        token: &PrivateToken,
        protocol_id: u64,
        longest_timeout: Duration,
    ) -> Self {
        let timeout = timeout_of(token, longest_timeout);
        let key = PacketKey::new(&token.client_to_server_key, protocol_id);
        Self {
            visitor,
            deadline: now.monotonic + timeout,
            timeout,
            timeout_seconds: token.timeout_seconds,
            user_data: token.user_data,
            inbound: Inbound { key, openings: Openings::default() },
            seal_key: PacketKey::new(&token.server_to_client_key, protocol_id),
        }
    }

    /// Opens a response, of which at most `tries` are looked at when many were forged.
    pub(crate) fn open<'a>(
        &mut self,
        now: Now,
        tries: Rate,
        header: &PacketHeader,
        datagram: &'a mut [u8],
        counters: &mut Counters,
    ) -> Result<&'a mut [u8], Refusal> {
        self.inbound.open(now, tries, header, datagram, counters)
    }

    pub(crate) fn seal_challenge(
        &self,
        challenges: &ChallengeKey,
        challenge_sequence: u64,
        sequence: u64,
        buffer: &mut [u8],
    ) -> Result<usize, PacketError> {
        let token = ChallengeToken { client_id: self.visitor.client_id, user_data: self.user_data };
        let sealed = challenges.seal(&token, challenge_sequence);
        let body = challenge_body(challenge_sequence, &sealed);
        self.seal_key.seal_body(PacketKind::Challenge, sequence, buffer, &body)
    }

    pub(crate) fn seal_denial(&self, sequence: u64, buffer: &mut [u8]) -> Result<usize, PacketError> {
        self.seal_key.seal_body(PacketKind::Denied, sequence, buffer, &[])
    }

    /// The address is proven. `serial` names the session, see [`super::registry::Member::next_serial`].
    pub(crate) fn connect(self, now: Now, serial: u64) -> Session {
        Session {
            address: self.visitor.address,
            client_id: self.visitor.client_id,
            tag: self.visitor.tag,
            serial,
            is_spectator: self.user_data[0] == SPECTATOR,
            timeout: self.timeout,
            timeout_seconds: self.timeout_seconds,
            user_data: self.user_data,
            resuming: None,
            resumable_until: Duration::ZERO,
            last_received: now.monotonic,
            last_sent: now.monotonic,
            is_confirmed: false,
            farewells_left: None,
            packets: Bucket::default(),
            replay: ReplayWindow::default(),
            gaps: Gaps::default(),
            sequence: first_sequence(now.unix),
            inbound: self.inbound,
            seal_key: self.seal_key,
        }
    }
}

/// Silence that a token allows, but never more than the server does; a token without a limit gets the server's.
fn timeout_of(token: &PrivateToken, longest: Duration) -> Duration {
    match u64::try_from(token.timeout_seconds) {
        Ok(seconds @ 1..) => Duration::from_secs(seconds).min(longest),
        _ => longest,
    }
}

/// A connected player's end of the wire.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) address: SocketAddr,
    pub(crate) client_id: u64,
    pub(crate) tag: u128,
    /// Names the session, in resume tokens and among the servers of the process.
    pub(crate) serial: u64,
    /// Whether it only looks on.
    pub(crate) is_spectator: bool,
    timeout: Duration,
    pub(crate) timeout_seconds: i32,
    pub(crate) user_data: UserData,
    /// The handshake by which the player comes back from this same address.
    pub(crate) resuming: Option<u32>,
    /// When its newest resume token has expired.
    pub(crate) resumable_until: Duration,
    pub(crate) last_received: Duration,
    pub(crate) last_sent: Duration,
    /// Whether the client has shown that it knows it is connected.
    pub(crate) is_confirmed: bool,
    /// Goodbyes still to send; `None` while the session lasts.
    pub(crate) farewells_left: Option<u8>,
    pub(crate) packets: Bucket,
    pub(crate) replay: ReplayWindow,
    gaps: Gaps,
    sequence: u64,
    inbound: Inbound,
    seal_key: PacketKey,
}

impl Session {
    /// Opens a packet, of which at most `tries` are looked at when many were forged.
    pub(crate) fn open<'a>(
        &mut self,
        now: Now,
        tries: Rate,
        header: &PacketHeader,
        datagram: &'a mut [u8],
        counters: &mut Counters,
    ) -> Result<&'a mut [u8], Refusal> {
        self.inbound.open(now, tries, header, datagram, counters)
    }

    /// A packet with this sequence has come. Returns how many before it are given up as lost by that: never more than
    /// its player may have sent in the time since the last.
    pub(crate) fn missed(&mut self, now: Now, sequence: u64, rate: Rate) -> u64 {
        let silent = nanos(now.monotonic.saturating_sub(self.last_received));
        self.gaps.receive(sequence, 1 + rate.in_time(silent))
    }

    pub(crate) fn is_timed_out(&self, now: Now) -> bool {
        self.farewells_left.is_none() && now.monotonic.saturating_sub(self.last_received) > self.timeout
    }

    pub(crate) fn is_open(&self) -> bool {
        self.farewells_left.is_none()
    }

    pub(crate) fn close(&mut self) {
        self.farewells_left = Some(FAREWELLS);
    }

    pub(crate) fn seal_keep_alive(
        &mut self,
        now: Now,
        index: u32,
        capacity: u32,
        buffer: &mut [u8],
    ) -> Option<Transmit> {
        let body = keep_alive_body(index, capacity);
        let sequence = self.next_sequence();
        let len = self.seal_key.seal_body(PacketKind::KeepAlive, sequence, buffer, &body).ok()?;
        self.last_sent = now.monotonic;
        Some(Transmit { to: self.address, len })
    }

    pub(crate) fn seal_disconnect(&mut self, buffer: &mut [u8]) -> Option<Transmit> {
        let sequence = self.next_sequence();
        let len = self.seal_key.seal_body(PacketKind::Disconnect, sequence, buffer, &[]).ok()?;
        Some(Transmit { to: self.address, len })
    }

    /// Has `write` put a message straight into its place in `buffer`, and seals it there.
    pub(crate) fn seal_payload(
        &mut self,
        now: Now,
        buffer: &mut [u8],
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Transmit> {
        let end = buffer.len().min(MAX_DATAGRAM_BYTES).saturating_sub(TAG_BYTES);
        let body_len = write(buffer.get_mut(body_offset(self.sequence)..end)?)?;
        // only now, or whoever looks for gaps would miss what was never sent; and before it seals, or two might get the same
        let sequence = self.next_sequence();
        let len = self.seal_key.seal(PacketKind::Payload, sequence, buffer, body_len).ok()?;
        self.last_sent = now.monotonic;
        Some(Transmit { to: self.address, len })
    }

    fn next_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }
}
