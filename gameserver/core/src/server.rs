//! A zone server: what joins session, pipeline and world, and the only thing that its thread calls.

use std::net::SocketAddr;

use gameserver_protocol::{Key, Now, Transmit, derive_key};

use crate::config::{ConfigError, ServerConfig};
use crate::counters::{Counters, Histograms};
use crate::output::{FlushOrder, write_snapshot};
use crate::pipeline::{Command, Limits, Player};
use crate::session::{Received, Refusal, Sessions};
use crate::zone::{Grid, Outcome, Zone};

/// Where a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerStatus {
    /// Connected players.
    pub players: usize,
    /// Whether only players with a token from before the drain come in.
    pub draining: bool,
    /// Whether the drain is complete: nobody is here and no valid token from before it is left.
    pub drained: bool,
}

/// Sessions, pipeline and world of one zone. One thread owns it.
#[derive(Debug)]
pub struct ZoneServer {
    sessions: Sessions,
    /// By slot; a free slot's is blank.
    players: Vec<Player>,
    limits: Limits,
    zone: Zone,
    grid: Grid,
    commands: Vec<Command>,
    max_commands: usize,
    /// Player with whom the next tick's commands begin: the one at whom the last tick had to stop.
    first_served: u32,
    outcomes: Vec<Outcome>,
    lost: Vec<u32>,
    flush: FlushOrder,
    counters: Counters,
    histograms: Histograms,
}

impl ZoneServer {
    /// A server without a key: it ignores everyone until [`ZoneServer::install_key`].
    pub fn new(config: ServerConfig) -> Result<Self, ConfigError> {
        config.validate()?;
        let capacity = config.capacity;
        let seed = derive_key(&config.random, &[b"zone"]);
        let seed = u64::from_le_bytes(std::array::from_fn(|byte| seed[byte]));
        Ok(Self {
            players: vec![Player::default(); capacity],
            limits: Limits::new(config.tick_hz),
            zone: Zone::new(capacity, config.tick_hz, seed),
            grid: Grid::new(capacity),
            commands: Vec::with_capacity(config.max_commands_per_tick),
            max_commands: config.max_commands_per_tick,
            first_served: 0,
            outcomes: Vec::with_capacity(config.max_commands_per_tick),
            lost: Vec::with_capacity(capacity),
            flush: FlushOrder::default(),
            counters: Counters::default(),
            histograms: Histograms::default(),
            sessions: Sessions::new(config)?,
        })
    }

    /// Sets the key that opens connect tokens. Tokens under the key before it stay good until they expire.
    pub fn install_key(&mut self, key: Key) {
        self.sessions.install_key(key);
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
            // the player stays where it is in the world; its client counts its inputs anew
            Received::Resumed(player) => self.players[player as usize] = Player::default(),
            Received::Message(player, message) => {
                let tick = self.zone.tick();
                let state = &mut self.players[player as usize];
                state.receive(now, tick, message, &self.limits, &mut self.counters)?;
            }
        }
        Ok(())
    }

    /// Moves the world on by one tick; everyone's snapshot is due then.
    pub fn step(&mut self, now: Now) {
        self.sessions.step(now, &mut self.lost, &mut self.counters);
        while let Some(player) = self.lost.pop() {
            self.forget_player(player);
        }
        for slot in self.sessions.slots() {
            if self.zone.entity(slot).is_none() {
                self.zone.join(slot);
            }
        }
        self.release_commands();
        self.outcomes.clear();
        self.zone.step(&self.commands, &mut self.outcomes);
        self.settle_outcomes();
        self.grid.rebuild(self.zone.entities()).expect("the grid has room for every entity at its largest");
        self.flush.restart(self.zone.tick(), u32::try_from(self.players.len()).unwrap_or(u32::MAX));
    }

    /// Leaves the slot blank for whoever gets it next, maybe before the next step.
    fn forget_player(&mut self, player: u32) {
        self.zone.leave(player);
        self.players[player as usize] = Player::default();
    }

    /// Collects what is due, at most `max_commands`, starting with whoever had to wait last time.
    fn release_commands(&mut self) {
        let tick = self.zone.tick() + 1;
        let depth: usize = self.players.iter().map(Player::waiting).sum();
        self.histograms.queue_depth.record(depth as u64);
        self.commands.clear();
        let slots = u32::try_from(self.players.len()).unwrap_or(u32::MAX);
        let first = self.first_served;
        for step in 0..slots {
            let slot = (first + step) % slots;
            let player = &mut self.players[slot as usize];
            if player.release(slot, tick, &mut self.commands, self.max_commands) {
                self.counters.commands_deferred += 1;
                self.first_served = slot;
                break;
            }
        }
    }

    fn settle_outcomes(&mut self) {
        let tick = self.zone.tick();
        for outcome in &self.outcomes {
            match outcome.result {
                Ok(()) => self.counters.inputs_applied += 1,
                Err(reason) => {
                    let player = &mut self.players[outcome.player as usize];
                    player.reject(outcome.sequence, reason, tick, &mut self.counters);
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
        let Self { sessions, players, zone, grid, flush, histograms, .. } = self;
        flush.find_map(|slot| {
            let player = &mut players[slot as usize];
            let transmit = sessions.seal_message(now, slot, buffer, |body| {
                write_snapshot(now, slot, player, zone, grid, body)
            })?;
            player.record_latency(now, &mut histograms.input_latency_us);
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

    /// Distributions since the last call.
    pub fn take_histograms(&mut self) -> Histograms {
        std::mem::take(&mut self.histograms)
    }

    /// Number of the newest tick; 0 before the first.
    pub fn tick(&self) -> u64 {
        self.zone.tick()
    }

    /// A digest of the world: servers that were given the same have the same.
    pub fn state_hash(&self) -> u64 {
        self.zone.state_hash()
    }
}
