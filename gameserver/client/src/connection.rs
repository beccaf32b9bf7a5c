//! The client's side of the handshake and of the session.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::{
    CHALLENGE_BODY_BYTES, ConnectToken, MAX_DATAGRAM_BYTES, Now, PacketError, PacketHeader, PacketKey,
    PacketKind, ReplayWindow, TAG_BYTES, Transmit, body_offset, first_sequence, write_request,
};

use crate::resume::Resume;

/// Between two tries of a handshake; up to half as much again at random, so that clients who start together do not
/// stay together.
const RETRY_MS: u64 = 100;
/// Redundant goodbyes.
const FAREWELLS: u8 = 10;

/// Why a connection has ended or never came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    /// The server said goodbye.
    ByServer,
    /// The client did.
    ByClient,
    /// The server fell silent.
    TimedOut,
    /// No server of the token answered the request.
    RequestTimedOut,
    /// The server sent a challenge and nothing after it.
    ResponseTimedOut,
    /// The connect token expired on the way.
    TokenExpired,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Requesting,
    Responding(Box<[u8; CHALLENGE_BODY_BYTES]>),
    Connected,
    Denied,
    Ended(DisconnectReason),
}

/// The session of one client: netcode 1.02, the client's side.
#[derive(Debug)]
pub(crate) struct Connection {
    token: ConnectToken,
    /// Server of the token that is tried or used.
    server: usize,
    phase: Phase,
    seal_key: PacketKey,
    open_key: PacketKey,
    sequence: u64,
    replay: ReplayWindow,
    started: Duration,
    last_received: Duration,
    next_try: Duration,
    farewells_left: u8,
    resume: Resume,
    random: u64,
}

impl Connection {
    pub(crate) fn new(token: ConnectToken, now: Now, random: [u8; 32]) -> Self {
        Self {
            seal_key: PacketKey::new(&token.client_to_server_key, token.protocol_id),
            open_key: PacketKey::new(&token.server_to_client_key, token.protocol_id),
            sequence: first_sequence(now.unix),
            token,
            server: 0,
            phase: Phase::Requesting,
            replay: ReplayWindow::default(),
            started: now.monotonic,
            last_received: now.monotonic,
            next_try: now.monotonic,
            farewells_left: 0,
            resume: Resume::default(),
            random: u64::from_le_bytes(std::array::from_fn(|byte| random[byte])),
        }
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    pub(crate) fn server_address(&self) -> SocketAddr {
        self.token.server_addresses.as_slice()[self.server]
    }

    /// The token with which the player comes back to this server; none after its own goodbye, which the server heeds.
    pub(crate) fn resume_token(&self, now: Now) -> Option<ConnectToken> {
        if self.phase == Phase::Ended(DisconnectReason::ByClient) {
            return None;
        }
        self.resume.connect_token(now, self.token.protocol_id, self.server_address())
    }

    /// How long nothing has come from the server.
    pub(crate) fn silence(&self, now: Now) -> Duration {
        now.monotonic.saturating_sub(self.last_received)
    }

    /// Takes a datagram and returns the message in it, if it is one of the game.
    pub(crate) fn receive<'a>(
        &mut self,
        now: Now,
        datagram: &'a mut [u8],
    ) -> Result<Option<&'a [u8]>, PacketError> {
        let header = PacketHeader::parse(datagram)?;
        if header.kind.is_replay_protected() && self.replay.is_replay(header.sequence) {
            return Ok(None);
        }
        let body = self.open_key.open(&header, datagram)?;
        if header.kind.is_replay_protected() {
            self.replay.advance(header.sequence);
        }
        let is_connecting = matches!(self.phase, Phase::Requesting | Phase::Responding(_));
        let is_connected = self.phase == Phase::Connected;
        match header.kind {
            PacketKind::Denied if is_connecting => self.try_next_server(now, Phase::Denied),
            PacketKind::Challenge if self.phase == Phase::Requesting => {
                let challenge = <[u8; CHALLENGE_BODY_BYTES]>::try_from(&*body)
                    .map_err(|_other_length| PacketError::BodyLength)?;
                self.phase = Phase::Responding(Box::new(challenge));
                self.last_received = now.monotonic;
                self.next_try = now.monotonic;
            }
            PacketKind::KeepAlive if matches!(self.phase, Phase::Responding(_)) => {
                self.phase = Phase::Connected;
                self.last_received = now.monotonic;
            }
            PacketKind::KeepAlive if is_connected => self.last_received = now.monotonic,
            PacketKind::Payload if is_connected => {
                self.last_received = now.monotonic;
                let was_resume = self.resume.take(now, body);
                return Ok(Some(&*body).filter(|_| !was_resume));
            }
            PacketKind::Disconnect if is_connected => self.phase = Phase::Ended(DisconnectReason::ByServer),
            _ => {}
        }
        Ok(None)
    }

    /// Notices what time alone brings about.
    pub(crate) fn update(&mut self, now: Now) {
        let is_silent =
            u64::try_from(self.token.timeout_seconds).ok().filter(|&seconds| seconds > 0).is_some_and(
                |seconds| now.monotonic.saturating_sub(self.last_received) > Duration::from_secs(seconds),
            );
        // A token's lifetime is counted from when we got it: our wall clock need not be the backend's.
        let lifetime = Duration::from_secs(self.token.expire_unix.saturating_sub(self.token.create_unix));
        let is_expired = now.monotonic.saturating_sub(self.started) >= lifetime;
        match self.phase {
            Phase::Requesting | Phase::Responding(_) if is_expired => {
                self.phase = Phase::Ended(DisconnectReason::TokenExpired);
            }
            Phase::Requesting if is_silent => {
                self.try_next_server(now, Phase::Ended(DisconnectReason::RequestTimedOut));
            }
            Phase::Responding(_) if is_silent => {
                self.try_next_server(now, Phase::Ended(DisconnectReason::ResponseTimedOut));
            }
            Phase::Connected if is_silent => self.phase = Phase::Ended(DisconnectReason::TimedOut),
            _ => {}
        }
    }

    fn try_next_server(&mut self, now: Now, otherwise: Phase) {
        if self.server + 1 < self.token.server_addresses.as_slice().len() {
            self.server += 1;
            self.phase = Phase::Requesting;
            self.replay = ReplayWindow::default();
            self.last_received = now.monotonic;
            self.next_try = now.monotonic;
        } else {
            self.phase = otherwise;
        }
    }

    /// Says goodbye.
    pub(crate) fn disconnect(&mut self) {
        if self.phase == Phase::Connected {
            self.farewells_left = FAREWELLS;
        }
        if matches!(self.phase, Phase::Connected | Phase::Requesting | Phase::Responding(_)) {
            self.phase = Phase::Ended(DisconnectReason::ByClient);
        }
    }

    /// The next packet of the session itself: a try of the handshake, or a goodbye.
    pub(crate) fn poll_transmit(&mut self, now: Now, buffer: &mut [u8]) -> Option<Transmit> {
        let to = self.server_address();
        if self.farewells_left > 0 {
            self.farewells_left -= 1;
            let len = self.seal(PacketKind::Disconnect, buffer, &[])?;
            return Some(Transmit { to, len });
        }
        if !matches!(self.phase, Phase::Requesting | Phase::Responding(_)) || now.monotonic < self.next_try {
            return None;
        }
        self.next_try = now.monotonic + self.retry_after();
        let len = if let Phase::Responding(challenge) = &self.phase {
            let sequence = self.sequence;
            self.sequence += 1;
            self.seal_key.seal_body(PacketKind::Response, sequence, buffer, &**challenge).ok()?
        } else {
            write_request(&self.token, buffer).ok()?
        };
        Some(Transmit { to, len })
    }

    /// When the session itself has something to do next, if ever.
    pub(crate) fn next_try(&self) -> Option<Duration> {
        matches!(self.phase, Phase::Requesting | Phase::Responding(_)).then_some(self.next_try)
    }

    /// Has `write` put a message into its place in `buffer`, and seals it.
    pub(crate) fn seal_message(
        &mut self,
        buffer: &mut [u8],
        write: impl FnOnce(&mut [u8]) -> Option<usize>,
    ) -> Option<Transmit> {
        let end = buffer.len().min(MAX_DATAGRAM_BYTES).saturating_sub(TAG_BYTES);
        let body_len = write(buffer.get_mut(body_offset(self.sequence)..end)?)?;
        // only now, or whoever looks for gaps would miss what was never sent; and before it seals, or two might get the same
        let sequence = self.next_sequence();
        let len = self.seal_key.seal(PacketKind::Payload, sequence, buffer, body_len).ok()?;
        Some(Transmit { to: self.server_address(), len })
    }

    fn seal(&mut self, kind: PacketKind, buffer: &mut [u8], body: &[u8]) -> Option<usize> {
        let sequence = self.next_sequence();
        self.seal_key.seal_body(kind, sequence, buffer, body).ok()
    }

    fn next_sequence(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }

    fn retry_after(&mut self) -> Duration {
        // Knuth's MMIX generator; its high bits are good enough to spread retries
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis(RETRY_MS + (self.random >> 33) % (RETRY_MS / 2))
    }
}
