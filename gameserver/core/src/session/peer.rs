//! The two states of a peer, pending and connected, and what each sends and accepts.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::{
    ChallengeKey, ChallengeToken, MAX_DATAGRAM_BYTES, Now, PacketError, PacketHeader, PacketKey, PacketKind,
    PrivateToken, ReplayWindow, TAG_BYTES, Transmit, UserData, body_offset, challenge_body, first_sequence,
    keep_alive_body,
};

use crate::rate::Bucket;

/// Redundant goodbyes of a server that ends a session.
const FAREWELLS: u8 = 10;

/// An address with a valid token that has not yet proven to receive there.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) address: SocketAddr,
    pub(crate) client_id: u64,
    pub(crate) tag: u128,
    pub(crate) deadline: Duration,
    pub(crate) timeout: Duration,
    user_data: UserData,
    open_key: PacketKey,
    seal_key: PacketKey,
}

impl Pending {
    pub(crate) fn new(
        now: Now,
        address: SocketAddr,
        token: &PrivateToken,
        tag: u128,
        protocol_id: u64,
        longest_timeout: Duration,
    ) -> Self {
        let timeout = timeout_of(token, longest_timeout);
        Self {
            address,
            client_id: token.client_id,
            tag,
            deadline: now.monotonic + timeout,
            timeout,
            user_data: token.user_data,
            open_key: PacketKey::new(&token.client_to_server_key, protocol_id),
            seal_key: PacketKey::new(&token.server_to_client_key, protocol_id),
        }
    }

    pub(crate) fn open<'a>(
        &self,
        header: &PacketHeader,
        datagram: &'a mut [u8],
    ) -> Result<&'a mut [u8], PacketError> {
        self.open_key.open(header, datagram)
    }

    pub(crate) fn seal_challenge(
        &self,
        challenges: &ChallengeKey,
        challenge_sequence: u64,
        sequence: u64,
        buffer: &mut [u8],
    ) -> Result<usize, PacketError> {
        let token = ChallengeToken { client_id: self.client_id, user_data: self.user_data };
        let sealed = challenges.seal(&token, challenge_sequence);
        let body = challenge_body(challenge_sequence, &sealed);
        self.seal_key.seal_body(PacketKind::Challenge, sequence, buffer, &body)
    }

    pub(crate) fn seal_denial(&self, sequence: u64, buffer: &mut [u8]) -> Result<usize, PacketError> {
        self.seal_key.seal_body(PacketKind::Denied, sequence, buffer, &[])
    }

    /// The address is proven.
    pub(crate) fn connect(self, now: Now) -> Session {
        Session {
            address: self.address,
            client_id: self.client_id,
            tag: self.tag,
            timeout: self.timeout,
            last_received: now.monotonic,
            last_sent: now.monotonic,
            is_confirmed: false,
            farewells_left: None,
            packets: Bucket::default(),
            replay: ReplayWindow::default(),
            sequence: first_sequence(now.unix),
            open_key: self.open_key,
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
    pub(crate) timeout: Duration,
    pub(crate) last_received: Duration,
    pub(crate) last_sent: Duration,
    /// Whether the client has shown that it knows it is connected.
    pub(crate) is_confirmed: bool,
    /// Goodbyes still to send; `None` while the session lasts.
    pub(crate) farewells_left: Option<u8>,
    pub(crate) packets: Bucket,
    pub(crate) replay: ReplayWindow,
    sequence: u64,
    open_key: PacketKey,
    seal_key: PacketKey,
}

impl Session {
    /// Opens `datagram` unless it was received before.
    pub(crate) fn open<'a>(
        &self,
        header: &PacketHeader,
        datagram: &'a mut [u8],
    ) -> Result<&'a mut [u8], PacketError> {
        self.open_key.open(header, datagram)
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
        let sequence = self.next_sequence();
        let room = body_offset(sequence)..buffer.len().min(MAX_DATAGRAM_BYTES).saturating_sub(TAG_BYTES);
        let body_len = write(buffer.get_mut(room)?)?;
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
