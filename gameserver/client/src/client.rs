//! The client as a game uses it: inputs in, events out; time and datagrams are passed in.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::message::{Intent, Snapshot, encode_inputs};
use gameserver_protocol::{ConnectToken, Now, RejectReason, Transmit};

use crate::connection::{Connection, DisconnectReason, Phase};
use crate::inputs::UnsettledInputs;

/// Unsettled inputs are repeated at least this often, also when there is no new one to send them with.
const REPEAT: Duration = Duration::from_millis(33);
/// A client with nothing to say acknowledges snapshots this often, and so stays connected.
const ACKNOWLEDGE: Duration = Duration::from_millis(100);
/// Events that wait for [`Client::poll_event`] at most; then the oldest goes.
const MAX_EVENTS: usize = 1024;

/// Where a client stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientState {
    /// The handshake is under way.
    Connecting,
    /// In the game.
    Connected,
    /// Not any more, or never.
    Disconnected {
        /// Why.
        reason: DisconnectReason,
    },
    /// The server said no: it is full or draining.
    Denied,
}

/// What the server let the client know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The input was carried out.
    Confirmed {
        /// Which input.
        input_seq: u32,
        /// Tick of the first snapshot that said so.
        tick: u64,
        /// Where the player was then, thousandths of a unit.
        x: i32,
        /// See `x`.
        y: i32,
    },
    /// The input was refused.
    Rejected {
        /// Which input.
        input_seq: u32,
        /// Why.
        reason: RejectReason,
    },
    /// After rejections: whatever was drawn on their account must snap back to here.
    Corrected {
        /// Tick of the snapshot.
        tick: u64,
        /// Where the player is, thousandths of a unit.
        x: i32,
        /// See `x`.
        y: i32,
    },
    /// The input was given up because too many newer ones are open; the client will not learn its outcome.
    GivenUp {
        /// Which input.
        input_seq: u32,
    },
}

/// A player's end: the session, and the game on top of it.
#[derive(Debug)]
pub struct Client {
    connection: Connection,
    inputs: UnsettledInputs,
    newest: Option<Snapshot>,
    /// Where the next snapshot is decoded, so that a bad one leaves `newest` as it is.
    scratch: Snapshot,
    /// A new input waits to be sent.
    has_news: bool,
    last_sent: Duration,
    events: VecDeque<Event>,
    events_dropped: u64,
}

impl Client {
    /// A client that will connect to the first server of `token` that takes it. `random` spreads retries.
    pub fn new(token: ConnectToken, now: Now, random: [u8; 32]) -> Self {
        Self {
            connection: Connection::new(token, now, random),
            inputs: UnsettledInputs::default(),
            newest: None,
            scratch: Snapshot::default(),
            has_news: true,
            last_sent: now.monotonic,
            events: VecDeque::new(),
            events_dropped: 0,
        }
    }

    /// Takes a datagram; it is decrypted in place. What is not from the server is ignored.
    pub fn handle_datagram(&mut self, now: Now, datagram: &mut [u8]) {
        let Ok(Some(message)) = self.connection.receive(now, datagram) else { return };
        let newest_tick = self.newest.as_ref().map_or(0, |snapshot| snapshot.head.tick);
        if self.scratch.decode_into(message).is_err() || self.scratch.head.tick <= newest_tick {
            return;
        }
        let newest = self.newest.get_or_insert_default();
        std::mem::swap(newest, &mut self.scratch);
        let Self { inputs, events, events_dropped, .. } = self;
        inputs.settle(newest, |event| push_event(events, events_dropped, event));
    }

    /// Lets time pass: notices time-outs.
    pub fn update(&mut self, now: Now) {
        self.connection.update(now);
    }

    /// Writes the next datagram to send into `buffer` (1200 bytes are enough) and returns where it goes, or `None`
    /// when there is nothing left for now.
    #[must_use = "the datagram must be sent"]
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut [u8]) -> Option<Transmit> {
        if let Some(transmit) = self.connection.poll_transmit(now, buffer) {
            return Some(transmit);
        }
        if self.state() != ClientState::Connected || !self.has_news && now.monotonic < self.next_message() {
            return None;
        }
        let Self { connection, inputs, newest, .. } = self;
        let ack_tick = newest.as_ref().map_or(0, |snapshot| snapshot.head.tick);
        let transmit =
            connection.seal_message(buffer, |body| encode_inputs(body, ack_tick, inputs.iter()).ok())?;
        self.has_news = false;
        self.last_sent = now.monotonic;
        Some(transmit)
    }

    /// When to call [`Client::poll_transmit`] next if nothing arrives before; `None` when it is over.
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state() {
            ClientState::Connecting => self.connection.next_try(),
            ClientState::Connected => Some(self.next_message()),
            ClientState::Disconnected { .. } | ClientState::Denied => None,
        }
    }

    fn next_message(&self) -> Duration {
        self.last_sent + if self.inputs.is_empty() { ACKNOWLEDGE } else { REPEAT }
    }

    /// Asks to walk to a place, in thousandths of a unit, and returns the sequence of this input, by which its
    /// outcome is reported. Before the client is connected it waits.
    pub fn send_move(&mut self, _now: Now, x: i32, y: i32) -> u32 {
        let tick = self.newest.as_ref().map_or(0, |snapshot| snapshot.head.tick + 1);
        let (sequence, given_up) = self.inputs.push(tick, Intent::Move { x, y });
        if let Some(input) = given_up {
            let event = Event::GivenUp { input_seq: input.sequence };
            push_event(&mut self.events, &mut self.events_dropped, event);
        }
        self.has_news = true;
        sequence
    }

    /// Leaves the game; [`Client::poll_transmit`] gives the goodbyes to send.
    pub fn disconnect(&mut self) {
        self.connection.disconnect();
    }

    /// What happened since the last call, oldest first.
    #[must_use = "an event is reported once"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Events lost because nobody asked for them in time.
    pub fn events_dropped(&self) -> u64 {
        self.events_dropped
    }

    /// Where the client stands.
    pub fn state(&self) -> ClientState {
        match *self.connection.phase() {
            Phase::Requesting | Phase::Responding(_) => ClientState::Connecting,
            Phase::Connected => ClientState::Connected,
            Phase::Denied => ClientState::Denied,
            Phase::Ended(reason) => ClientState::Disconnected { reason },
        }
    }

    /// Server that is tried or used.
    pub fn server_address(&self) -> SocketAddr {
        self.connection.server_address()
    }

    /// The token of a new client for the same player, at the same server, from whatever address and without a backend:
    /// the newest that the server has handed out, while it is good (30 seconds at most). It is good once, and newer
    /// ones make older ones worthless. It takes the place of this client's session if that still lasts.
    pub fn resume_token(&self, now: Now) -> Option<ConnectToken> {
        self.connection.resume_token(now)
    }

    /// How long nothing has come from the server, which sends something each tick: who wants to be back before the
    /// token's time-out resumes after a second of it.
    pub fn silence(&self, now: Now) -> Duration {
        self.connection.silence(now)
    }

    /// The newest state that the server confirmed: the player's own position and everything near.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.newest.as_ref()
    }

    /// Inputs whose outcome is not known yet.
    pub fn unsettled_inputs(&self) -> usize {
        self.inputs.iter().len()
    }
}

fn push_event(events: &mut VecDeque<Event>, dropped: &mut u64, event: Event) {
    if events.len() == MAX_EVENTS {
        events.pop_front();
        *dropped += 1;
    }
    events.push_back(event);
}
