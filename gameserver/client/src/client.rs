//! The client as a game uses it: inputs in, events and frames out; time and datagrams are passed in.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_game::{Fields, Game};
use gameserver_protocol::message::{InputsHead, Snapshot, Watch, Watched};
use gameserver_protocol::{ConnectToken, Now, Transmit, micros};

use crate::clock::{Sample, ServerClock};
use crate::connection::{Connection, DisconnectReason, Phase};
use crate::events::{Event, Events, SeenNotices};
use crate::inputs::UnsettledInputs;
use crate::lead::InputLead;
use crate::prediction::Prediction;
use crate::round_trip::RoundTrip;
use crate::stats::ClientStats;
use crate::ticks;
use crate::view::{View, ViewDelay};

/// Unsettled inputs, as many as a message holds, go out again after two ticks when there is no new one to send them with, for an
/// answer comes with a tick at the earliest; but not after less than this, nor later than [`ACKNOWLEDGE`].
const REPEAT_MIN: Duration = Duration::from_millis(33);
/// A client with nothing to say acknowledges snapshots this often, and so stays connected.
const ACKNOWLEDGE: Duration = Duration::from_millis(100);
/// Hundredths of a unit from which on a correction is one that a player can see.
const CORRECTION: f64 = 50.0;

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

/// A moment to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frame {
    /// The client's own time, in ticks: that of its newest inputs.
    pub tick: f64,
    /// The time of everybody else, in ticks, for [`View::at`].
    pub view_tick: f64,
    /// Where the player itself is, hundredths of a unit; `None` while nothing is known of it.
    pub own: Option<(f64, f64)>,
}

/// A player's end: the session, and the game on top of it.
pub struct Client<G: Game> {
    hz: f64,
    connection: Connection,
    inputs: UnsettledInputs<G::Intent>,
    round_trip: RoundTrip,
    clock: ServerClock,
    lead: InputLead,
    view: View,
    /// Whether what is told of others is acknowledged and forgotten.
    is_blind: bool,
    /// Where it looks, if it only looks on.
    watched: Option<Watched>,
    is_spectator: bool,
    view_delay: ViewDelay,
    prediction: Prediction<G>,
    /// The newest snapshot that was applied, and when it arrived.
    newest: Option<Snapshot>,
    newest_arrived: Duration,
    /// Where the next snapshot is decoded, so that a bad one leaves `newest` as it is.
    scratch: Snapshot,
    notices: SeenNotices,
    /// A new input waits to be sent.
    has_news: bool,
    repeat_after: Duration,
    last_sent: Duration,
    events: Events,
    stats: ClientStats,
}

impl<G: Game> fmt::Debug for Client<G> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("state", &self.state())
            .field("own", &self.own())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<G: Game> Client<G> {
    /// A client that will connect to the first server of `token` that takes it. `tick_hz` is the server's rate of
    /// ticks, 1 to 1000; `random` spreads retries.
    pub fn new(token: ConnectToken, tick_hz: u32, now: Now, random: [u8; 32]) -> Self {
        let tick_hz = tick_hz.clamp(1, 1000);
        Self {
            hz: f64::from(tick_hz),
            connection: Connection::new(token, now, random),
            inputs: UnsettledInputs::default(),
            round_trip: RoundTrip::default(),
            clock: ServerClock::new(tick_hz),
            lead: InputLead::new(tick_hz),
            view: View::new(tick_hz),
            is_blind: false,
            watched: None,
            is_spectator: false,
            view_delay: ViewDelay::new(tick_hz),
            prediction: Prediction::new(tick_hz),
            newest: None,
            newest_arrived: now.monotonic,
            scratch: Snapshot::default(),
            notices: SeenNotices::default(),
            has_news: true,
            repeat_after: (Duration::from_secs(2) / tick_hz).clamp(REPEAT_MIN, ACKNOWLEDGE),
            last_sent: now.monotonic,
            events: Events::default(),
            stats: ClientStats::default(),
        }
    }

    /// The same without eyes: what it is told of others it acknowledges and forgets, which is most of the work of a
    /// client. For those who make load and measure themselves.
    #[must_use]
    pub fn blind(self) -> Self {
        Self { is_blind: true, ..self }
    }

    /// The same with the token of a spectator, who asks for where to look ([`Client::watch`]) and for nothing else.
    #[must_use]
    pub fn spectator(self) -> Self {
        Self { is_spectator: true, ..self }
    }

    /// Takes a datagram; it is decrypted in place. What is not from the server is ignored.
    pub fn handle_datagram(&mut self, now: Now, datagram: &mut [u8]) {
        let Ok(Some(message)) = self.connection.receive(now, datagram) else { return };
        let decoded = if self.is_blind {
            self.scratch.decode_blindly_into(message)
        } else {
            self.scratch.decode_into(message)
        };
        if decoded.is_err() {
            self.stats.malformed += 1;
            return;
        }
        let (tick, newest) = (self.scratch.head.tick, self.view.newest_tick());
        if tick <= newest.unwrap_or(0) {
            self.stats.ignored += 1;
            return;
        }
        let cells = self.scratch.tells_of_others.then_some(&*self.scratch.cells);
        if self.view.apply(tick, cells).is_err() {
            self.stats.refused += 1;
            return;
        }
        self.newest_arrived = now.monotonic;
        self.stats.snapshots += 1;
        self.keep_time(now.monotonic.as_secs_f64(), newest);
        self.learn(now.monotonic.as_secs_f64());
        std::mem::swap(self.newest.get_or_insert_default(), &mut self.scratch);
    }

    /// What the snapshot in `scratch` says of time; `before` is the tick of the one before it.
    fn keep_time(&mut self, now: f64, before: Option<u64>) {
        let head = self.scratch.head;
        if let (Some(before), Some(shown)) = (before, self.clock.tick_at(now)) {
            // what is news of others may be older than the snapshot by as much as those are apart
            let (any, news) = (self.view.ticks_between_snapshots(), self.view.ticks_between_news());
            let older = news.zip(any).map_or(0, |(news, any)| news.saturating_sub(any));
            self.view_delay.observe(now, shown - ticks::moment(before) + ticks::moment(older));
        }
        let echo = self.round_trip.observe(head.echo_stamp, head.echo_hold_us, now);
        let tick = ticks::moment(head.tick) + ticks::micros(head.age_us) * self.hz;
        let jitter = self.round_trip.jitter();
        self.clock.observe(Sample { tick, arrived: now, echo }, jitter);
        self.lead.follow(now, &self.clock, jitter, head.hurry, echo.map(|echo| echo.sent));
        self.stats.hurry = head.hurry;
    }

    /// What the snapshot in `scratch` says of inputs, the player and what happened.
    fn learn(&mut self, now: f64) {
        let Self { scratch, inputs, events, prediction, notices, stats, watched, is_spectator, .. } = self;
        let head = &scratch.head;
        let was_rejected = inputs.settle(head, &scratch.rejected, |event| events.push(event));
        let own = scratch.own.as_slice();
        if *is_spectator {
            match Watched::from_fields(own) {
                Some(where_to) => *watched = Some(where_to),
                None => stats.own_unreadable += 1,
            }
        } else if let Some(own) = G::Own::from_fields(own) {
            let distance = prediction.confirm(now, head.tick, own, inputs, was_rejected);
            stats.corrections += u64::from(distance > CORRECTION);
        } else {
            stats.own_unreadable += 1;
        }
        for notice in scratch.notices.iter().filter(|notice| notices.is_news(notice.number)) {
            events
                .push(Event::Notice(gameserver_game::Notice { code: notice.code, figures: notice.figures }));
        }
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
        let at = now.monotonic.as_secs_f64();
        let hold = micros(now.monotonic.saturating_sub(self.newest_arrived));
        let head = InputsHead {
            stamp: self.round_trip.stamp(at),
            ack_tick: self.view.newest_tick().unwrap_or(0),
            ack_bits: self.view.applied_before(),
            ack_hold_us: self.view.newest_tick().map_or(0, |_| u32::try_from(hold).unwrap_or(u32::MAX)),
            view_lag_ticks: self.view_lag(at),
        };
        let Self { connection, inputs, .. } = self;
        let transmit = connection.seal_message(buffer, |body| inputs.encode(body, &head))?;
        self.has_news = false;
        self.last_sent = now.monotonic;
        Some(transmit)
    }

    /// By how many ticks others are drawn before the tick at which an input is aimed.
    fn view_lag(&self, at: f64) -> u8 {
        let (Some(time), Some(view)) = (self.lead.tick_at(at), self.view_tick_at(at)) else { return 0 };
        u8::try_from(ticks::tick_before(time - view + 0.5)).unwrap_or(u8::MAX)
    }

    fn view_tick_at(&self, at: f64) -> Option<f64> {
        Some((self.clock.tick_at(at)? - self.view_delay.ticks(at)).max(0.0))
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
        self.last_sent + if self.inputs.is_empty() { ACKNOWLEDGE } else { self.repeat_after }
    }

    /// Asks for something at the tick before which it will just have arrived, and returns the sequence of this
    /// input, by which its outcome is reported. Before the client is connected it waits; before the server's clock is
    /// known it is to happen as soon as possible.
    pub fn send(&mut self, now: Now, intent: G::Intent) -> u32 {
        match self.lead.aim(now.monotonic.as_secs_f64()) {
            Some(tick) => self.push(tick, tick, intent),
            None => self.send_soon(now, intent),
        }
    }

    /// Asks for something that is to happen as soon as it arrives: for whoever plays without a clock. Inputs happen
    /// in their order, so this one does not overtake those that were aimed at a tick.
    pub fn send_soon(&mut self, now: Now, intent: G::Intent) -> u32 {
        let arrival = self.clock.line().map(|line| {
            let way = self.clock.fastest_round_trip() / 2.0 * self.hz;
            ticks::tick_before(line.value_at(now.monotonic.as_secs_f64()) + way).saturating_add(1)
        });
        self.push(0, arrival.unwrap_or(0), intent)
    }

    fn push(&mut self, tick: u64, due: u64, intent: G::Intent) -> u32 {
        self.has_news = true;
        let Self { inputs, events, .. } = self;
        inputs.push(tick, due, intent, |event| events.push(event))
    }

    /// Asks for another place to look at, or somebody to follow, as soon as possible. `None` if this is not the client of a
    /// [spectator](Client::spectator): a player's server would take it for something else.
    pub fn watch(&mut self, watch: Watch) -> Option<u32> {
        if !self.is_spectator {
            return None;
        }
        self.has_news = true;
        let Self { inputs, events, .. } = self;
        Some(inputs.push_foreign(watch.to_fields(), |event| events.push(event)))
    }

    /// Where a spectator looks, as the server said last.
    pub fn watched(&self) -> Option<Watched> {
        self.watched
    }

    /// When to [`Client::send`] next to have one input for each tick, each just in time; a past time is at once.
    /// `None` while the server's clock is not known.
    pub fn next_input_at(&self, now: Now) -> Option<Duration> {
        self.lead.next_input_at(now.monotonic.as_secs_f64())
    }

    /// What to draw now, the player by what it has asked for until now; `None` while the server's clock is not known.
    pub fn frame(&mut self, now: Now) -> Option<Frame> {
        let at = now.monotonic.as_secs_f64();
        let (tick, view_tick) = (self.lead.tick_at(at)?, self.view_tick_at(at)?);
        // what is confirmed was as old as its way when it came
        let arrived = self.clock.tick_at(self.newest_arrived.as_secs_f64())?;
        let age =
            self.prediction.confirmed().map_or(0.0, |(confirmed, _)| arrived - ticks::moment(confirmed));
        let ahead = tick - self.clock.tick_at(at)? + age.max(0.0);
        self.stats.frames += 1;
        let own = self.prediction.draw(at, tick, ahead, self.lead.jumps(), &self.inputs);
        Some(Frame { tick, view_tick, own })
    }

    /// Leaves the game; [`Client::poll_transmit`] gives the goodbyes to send.
    pub fn disconnect(&mut self) {
        self.connection.disconnect();
    }

    /// What happened since the last call, oldest first.
    #[must_use = "an event is reported once"]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop()
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

    /// How long nothing has come from the server, which sends something twenty times a second unless it is told otherwise: who
    /// wants to be back before the token's time-out resumes after a second of it.
    pub fn silence(&self, now: Now) -> Duration {
        self.connection.silence(now)
    }

    /// The newest snapshot that was applied.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.newest.as_ref()
    }

    /// What the server confirmed of the player last, and the tick of which it is.
    pub fn own(&self) -> Option<(u64, &G::Own)> {
        self.prediction.confirmed()
    }

    /// The player as it was predicted for the last [`Client::frame`], and the tick of which it is.
    pub fn predicted(&self) -> Option<(u64, &G::Own)> {
        self.prediction.predicted()
    }

    /// Everybody whom the player sees.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How long it takes to the server and back, smoothed; `None` before it is known.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip.mean()
    }

    /// The tick that the server is at, as far as the client knows; it goes evenly. `None` before a round trip is
    /// known.
    pub fn server_tick(&self, now: Now) -> Option<f64> {
        self.clock.tick_at(now.monotonic.as_secs_f64())
    }

    /// Inputs whose outcome is not known yet.
    pub fn unsettled_inputs(&self) -> usize {
        self.inputs.iter().len()
    }

    /// What was counted so far.
    pub fn stats(&self) -> ClientStats {
        ClientStats {
            hurry_corrections: self.lead.corrections(),
            time_jumps: self.lead.jumps(),
            clock_steps: self.clock.steps(),
            events_dropped: self.events.dropped(),
            ..self.stats
        }
    }
}
