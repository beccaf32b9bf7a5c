//! A zone server: what joins session, pipeline and game, and the only thing that its thread calls.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use gameserver_game::{Audience, Command, Game, Output, Setup};
use gameserver_protocol::message::{Fields, MAX_MESSAGE_BYTES, SnapshotHead, SnapshotWriter};
use gameserver_protocol::{Key, Now, Transmit, derive_key, micros};

use crate::config::{ConfigError, ServerConfig};
use crate::counters::{Counters, Fill, Histograms};
use crate::foreseen::Foreseen;
use crate::output::FlushOrder;
use crate::pipeline::{Arrival, Demand, Limits, PARTS, Patience, Player};
use crate::replication::{Replication, Told, Viewer, Viewpoint};
use crate::session::{Known, Received, Refusal, Sessions};
use crate::spectator::Camera;

/// Bytes of a datagram besides the message in it.
const SESSION_BYTES: usize = 25;

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Connected players, spectators included.
    pub players: usize,
    /// Whether only players with a token from before the drain come in.
    pub draining: bool,
    /// Whether the drain is complete: nobody is here and no valid token from before it is left.
    pub drained: bool,
}

/// Sessions, pipeline and world of one zone. One thread owns it.
pub struct ZoneServer<G: Game> {
    tick_hz: u32,
    sessions: Sessions,
    /// By slot; a free slot's is blank.
    players: Vec<Player<G::Intent>>,
    /// By slot.
    viewers: Vec<Viewer>,
    /// By slot.
    foreseen: Vec<Foreseen<G::Own>>,
    limits: Limits,
    game: G,
    replication: Replication,
    commands: Vec<Command<G::Intent>>,
    max_commands: usize,
    /// Player with whom the next tick's commands begin: the first one whom the last round of the last full tick did not reach.
    first_served: u32,
    patience: Patience,
    output: Output,
    lost: Vec<u32>,
    flush: FlushOrder,
    /// When the newest tick began.
    ticked: Duration,
    snapshot_bytes: usize,
    counters: Counters,
    histograms: Histograms,
}

impl<G: Game> ZoneServer<G> {
    /// A server without a key: it ignores everyone until [`ZoneServer::install_key`].
    pub fn new(config: ServerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let (players, tick_hz, commands) = (config.capacity, config.tick_hz, config.max_commands_per_tick);
        let seed = derive_key(&config.random, &[b"zone"]);
        let seed = u64::from_le_bytes(std::array::from_fn(|byte| seed[byte]));
        let capacity = u32::try_from(players).map_err(|_too_large| ConfigError::Capacity)?;
        Ok(Self {
            tick_hz,
            players: std::iter::repeat_with(Player::default).take(players).collect(),
            viewers: std::iter::repeat_with(Replication::viewer).take(players).collect(),
            foreseen: std::iter::repeat_with(Foreseen::default).take(players).collect(),
            limits: Limits::new(tick_hz, config.interpolation),
            game: G::new(Setup { capacity, tick_hz, seed }),
            replication: Replication::new::<G>(capacity, tick_hz, config.replication_hz),
            commands: Vec::with_capacity(commands),
            max_commands: commands,
            first_served: 0,
            patience: Patience::new(tick_hz),
            output: Output::with_capacity(commands, G::notices_max(capacity, commands)),
            lost: Vec::with_capacity(players),
            flush: FlushOrder::new(players),
            ticked: Duration::ZERO,
            snapshot_bytes: config.snapshot_bytes.into(),
            counters: Counters::default(),
            histograms: Histograms::default(),
            sessions: Sessions::new(config)?,
        })
    }

    /// Sets the key that opens connect tokens. Tokens under the key before it stay good until they expire.
    pub fn install_key(&mut self, key: Key) {
        self.sessions.install_key(key);
    }

    /// Takes tokens that name this address, too, with the ports that it is known to have; one that it was told before no more.
    pub fn also_reached_at(&mut self, address: IpAddr) {
        self.sessions.also_reached_at(address);
    }

    /// Whether players can connect at all.
    pub fn has_key(&self) -> bool {
        self.sessions.has_key()
    }

    /// Takes a datagram; it is decrypted in place. Answers are fetched with [`ZoneServer::poll_transmit`].
    pub fn handle_datagram(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) {
        self.counters.packets_in += 1;
        self.counters.bytes_in += datagram.len() as u64;
        if let Err(refusal) = self.receive(now, from, datagram) {
            self.counters.record_refusal(refusal);
        }
    }

    fn receive(&mut self, now: Now, from: SocketAddr, datagram: &mut [u8]) -> Result<(), Refusal> {
        match self.sessions.receive(now, from, datagram, &mut self.counters)? {
            Received::Nothing => {}
            Received::Left(player) => {
                self.counters.leaves += 1;
                self.forget_player(player);
            }
            // the player stays where it is in the world; its client counts its inputs anew and knows nothing
            Received::Resumed(player) => {
                self.players[player as usize].restart();
                self.viewers[player as usize].clear();
            }
            Received::Message(player, message) => {
                let arrival = Arrival { now, tick: self.game.tick(), since: self.since_tick(now) };
                let Self { players, sessions, limits, counters, histograms, .. } = self;
                let state = &mut players[player as usize];
                // its first message may come before the tick that takes it in
                if sessions.is_spectator(player) {
                    state.camera.get_or_insert_with(|| Camera::new(G::MAP_UNITS));
                }
                state.receive(arrival, message, limits, counters, histograms)?;
            }
        }
        Ok(())
    }

    /// How long the newest tick has been the newest, in parts of a tick.
    fn since_tick(&self, now: Now) -> i64 {
        let parts = micros(now.monotonic.saturating_sub(self.ticked))
            * u64::from(self.tick_hz)
            * PARTS.unsigned_abs();
        i64::try_from(parts / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Addresses that are no strangers', and why.
    pub fn known_addresses(&self) -> impl Iterator<Item = (SocketAddr, Known)> {
        self.sessions.known_addresses()
    }

    /// Moves the world on by one tick; everyone's snapshot is due then.
    pub fn step(&mut self, now: Now) {
        self.ticked = now.monotonic;
        self.sessions.step(now, &mut self.lost, &mut self.counters);
        while let Some(player) = self.lost.pop() {
            self.forget_player(player);
        }
        self.take_in();
        self.release_commands();
        self.output.clear();
        self.game.step(&self.commands, &mut self.output);
        self.tell_outcomes();
        self.replication.record(&self.game);
        self.counters.cells_unkept = self.replication.cells_unkept();
        self.flush.restart(self.game.tick());
    }

    /// Puts into the world who has connected since the last tick.
    fn take_in(&mut self) {
        for (slot, session) in self.sessions.open() {
            let player = &mut self.players[slot as usize];
            if session.is_spectator {
                player.camera.get_or_insert_with(|| Camera::new(G::MAP_UNITS));
            } else if !self.game.has_joined(slot) {
                self.game.join(slot, session.client_id);
            }
        }
    }

    /// Leaves the slot blank for whoever gets it next, maybe before the next step.
    fn forget_player(&mut self, player: u32) {
        self.game.leave(player);
        self.players[player as usize].restart();
        self.viewers[player as usize].clear();
        self.foreseen[player as usize] = Foreseen::default();
    }

    /// Collects what is due, at most `max_commands`. When that is not enough for everyone, they are shared out in rounds that
    /// begin with whoever had to wait last time, and what has waited for too long is refused.
    fn release_commands(&mut self) {
        let tick = self.game.tick() + 1;
        let (mut demand, mut depth) = (Demand::default(), 0);
        for player in &self.players {
            demand.add(player.due(tick));
            depth += player.waiting();
        }
        self.histograms.queue_depth.record(depth as u64);
        let mut shares = demand.share_out(self.max_commands);
        self.patience.record(tick, shares.is_full);
        self.counters.commands_deferred += u64::from(shares.is_full);
        let waited_too_long = self.patience.ends(tick);
        self.commands.clear();
        let slots = u32::try_from(self.players.len()).unwrap_or(u32::MAX);
        for slot in (self.first_served..slots).chain(0..self.first_served) {
            let player = &mut self.players[slot as usize];
            let due = player.due(tick);
            let share = shares.take(slot, due);
            player.release(slot, tick, share, &self.limits, &mut self.commands);
            if let Some(last) = waited_too_long {
                player.shed(last, tick, share, &mut self.counters);
            }
            if let Some(arrived) = player.oldest_decided() {
                self.flush.answer(slot, arrived);
            }
        }
        self.first_served = shares.first_passed_by.unwrap_or(self.first_served);
    }

    fn tell_outcomes(&mut self) {
        let Self { output, players, counters, game, .. } = self;
        let tick = game.tick();
        for outcome in &output.outcomes {
            match outcome.result {
                Ok(()) => counters.inputs_applied += 1,
                Err(reason) => {
                    players[outcome.player as usize].reject(outcome.sequence, reason, tick, counters);
                }
            }
        }
        for &(audience, notice) in &output.notices {
            match audience {
                Audience::Player(slot) => players[slot as usize].notify(tick, notice, counters),
                Audience::Everyone => {
                    for (slot, _) in self.sessions.open() {
                        players[slot as usize].notify(tick, notice, counters);
                    }
                }
            }
        }
    }

    /// Writes the next datagram to send into `buffer` (1200 bytes are enough) and returns where it goes, or `None`
    /// when there is nothing left for now: answers to handshakes first, then the tick's snapshots, then resume tokens.
    #[must_use = "the datagram must be sent"]
    pub fn poll_transmit(&mut self, now: Now, buffer: &mut [u8]) -> Option<Transmit> {
        let transmit = match self.sessions.poll_answer(now, buffer) {
            Some(answer) => answer,
            None => self
                .poll_snapshot(now, buffer)
                .or_else(|| self.sessions.poll_resume(now, buffer, &mut self.counters))?,
        };
        self.counters.packets_out += 1;
        self.counters.bytes_out += transmit.len as u64;
        Some(transmit)
    }

    fn poll_snapshot(&mut self, now: Now, buffer: &mut [u8]) -> Option<Transmit> {
        let Self {
            sessions, players, viewers, foreseen, game, replication, flush, histograms, counters, ..
        } = self;
        let age = micros(now.monotonic.saturating_sub(self.ticked));
        let flushed = Flush {
            now,
            tick: game.tick(),
            tick_hz: self.tick_hz,
            age_us: u32::try_from(age).unwrap_or(u32::MAX),
            budget: self.snapshot_bytes - SESSION_BYTES,
        };
        flush.find_map(|slot| {
            let at = slot as usize;
            let (player, viewer, foreseen) = (&mut players[at], &mut viewers[at], &mut foreseen[at]);
            let transmit = sessions.seal_message(now, slot, buffer, |body| {
                flushed.write_snapshot(slot, player, (viewer, foreseen), game, replication, body)
            })?;
            player.record_sent(now, flushed.tick, counters, histograms);
            Some(transmit)
        })
    }

    /// From now on only players whose token is older come in; those who are here stay. Again: no effect.
    pub fn drain(&mut self, now: Now) {
        self.sessions.drain(now);
    }

    /// Takes players again.
    pub fn undrain(&mut self) {
        self.sessions.undrain();
    }

    /// Ends every session; goodbyes come out of [`ZoneServer::poll_transmit`].
    pub fn disconnect_all(&mut self, now: Now) {
        self.sessions.disconnect_all(now, &mut self.lost);
        while let Some(player) = self.lost.pop() {
            self.forget_player(player);
        }
    }

    /// Where the server stands.
    pub fn status(&self, now: Now) -> ServerStatus {
        ServerStatus {
            players: self.sessions.players(),
            draining: self.sessions.is_draining(),
            drained: self.sessions.is_drained(now),
        }
    }

    /// What happened since the start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How full is what has a bound, to look at; looks through all slots.
    pub fn fill(&self) -> Fill {
        let mut fill = self.sessions.fill();
        for player in &self.players {
            fill.inputs = fill.inputs.max(player.waiting());
            fill.rejections = fill.rejections.max(player.rejected().len());
            fill.notices = fill.notices.max(player.notices().len());
        }
        fill
    }

    /// Distributions since the last call.
    pub fn take_histograms(&mut self) -> Histograms {
        std::mem::take(&mut self.histograms)
    }

    /// Number of the newest tick; 0 before the first.
    pub fn tick(&self) -> u64 {
        self.game.tick()
    }

    /// The world, to look at.
    pub fn game(&self) -> &G {
        &self.game
    }

    /// A digest of the world: servers that were given the same have the same.
    pub fn state_hash(&self) -> u64 {
        self.game.state_hash()
    }
}

/// What the snapshots of a tick have in common.
#[derive(Clone, Copy, Debug)]
struct Flush {
    now: Now,
    tick: u64,
    tick_hz: u32,
    age_us: u32,
    budget: usize,
}

impl Flush {
    /// Writes the snapshot of the player in `slot` and returns its length, or `None` while the player is not in the world and
    /// where the snapshot would say nothing that its client does not know.
    fn write_snapshot<G: Game>(
        &self,
        slot: u32,
        player: &mut Player<G::Intent>,
        (viewer, foreseen): (&mut Viewer, &mut Foreseen<G::Own>),
        game: &G,
        replication: &mut Replication,
        buffer: &mut [u8],
    ) -> Option<usize> {
        let turn = replication.turn(slot);
        let tells_of_others = viewer.is_due(turn);
        let is_due = tells_of_others || player.has_untold();
        let (own, from) = if let Some(camera) = &mut player.camera {
            if !is_due {
                return None;
            }
            let from = camera.look(replication);
            (camera.fields(), from)
        } else {
            let own = game.own(slot)?;
            if foreseen.comes_true::<G>(self.tick_hz, self.tick, &own) && !is_due {
                return None;
            }
            let (x, y) = G::place(&own);
            (own.to_fields(), Viewpoint { x, y, own: Some(slot) })
        };
        let (echo_stamp, echo_hold_us) = player.link.echo(self.now);
        let head = SnapshotHead {
            tick: self.tick,
            age_us: self.age_us,
            echo_stamp,
            echo_hold_us,
            last_input_sequence: player.newest_decided(),
            hurry: player.hurry(self.tick, self.tick_hz),
        };
        let end = buffer.len().min(MAX_MESSAGE_BYTES);
        let mut writer =
            SnapshotWriter::new(&mut buffer[..end], &head, &own, player.rejected(), player.notices()).ok()?;
        if !tells_of_others {
            return Some(writer.finish_without_cells());
        }
        let told = Told {
            arrived: player.link.arrived(self.tick),
            round_trip_ticks: player.link.round_trip_ticks(self.tick_hz),
            turn,
        };
        replication.write(viewer, from, told, self.budget, &mut writer);
        Some(writer.finish())
    }
}

#[cfg(test)]
mod tests;
