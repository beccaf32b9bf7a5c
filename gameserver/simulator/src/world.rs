//! The run itself: one virtual clock, on which datagrams arrive, players wake, servers tick and things go wrong.

mod strikes;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::Duration;

use gameserver_client::ClientState;
use gameserver_game::mix;
use gameserver_protocol::PacketKind;

use crate::chance::{Chance, Concern};
use crate::checks::Checks;
use crate::hostile::{self, Deeds};
use crate::minds;
use crate::network::{Flight, Sky};
use crate::player::{Kind, Player};
use crate::process::Process;
use crate::wire::Outgoing;
use crate::{Broken, Mutation, Plan, Summary, TICK_HZ, TICK_US};

const SECOND_US: u64 = 1_000_000;
/// Silence after which the quicker half of all players comes back.
const PATIENCE: Duration = Duration::from_secs(1);
/// After a boot everybody comes at once: for so long, latencies say nothing.
const SETTLING_US: u64 = 8 * SECOND_US;
/// How long a thief plays in another's name.
const THEFT_US: u64 = 3 * SECOND_US;
/// Longer than any datagram.
const BUFFER_BYTES: usize = 1300;

/// Servers, players and what is under way between them.
pub(crate) struct World {
    plan: Plan,
    pub(crate) elapsed_us: u64,
    pub(crate) tick: u64,
    pub(crate) process: Process,
    pub(crate) players: Vec<Player>,
    pub(crate) sky: Sky,
    /// Those that are not their player's `wake` any more are void.
    wakes: BinaryHeap<Reverse<(u64, usize)>>,
    checks: Checks,
    faults: Chance,
    pub(crate) hostile: Chance,
    starts_at: Option<u64>,
    /// By zone: until when it drains.
    drains_until: Vec<Option<u64>>,
    pub(crate) deeds: Deeds,
    summary: Summary,
}

impl World {
    pub(crate) fn new(plan: Plan) -> Self {
        let players: Vec<_> = (0..plan.clients).map(|index| Player::new(index, &plan)).collect();
        let mut world = Self {
            plan,
            elapsed_us: 0,
            tick: 0,
            process: Process::new(plan),
            players,
            sky: Sky::default(),
            wakes: BinaryHeap::new(),
            checks: Checks::default(),
            faults: Chance::new(plan.seed, Concern::Faults, 0),
            hostile: Chance::new(plan.seed, Concern::Hostile, 0),
            starts_at: None,
            drains_until: vec![None; plan.zones],
            deeds: Deeds::default(),
            summary: Summary::default(),
        };
        for index in 0..world.players.len() {
            world.sleep(index);
        }
        world
    }

    /// Everything until the next tick, and that tick.
    pub(crate) fn turn(&mut self) -> Result<(), Broken> {
        let end = (self.tick + 1) * TICK_US;
        loop {
            let arrival = self.sky.next_at();
            let wake = self.next_wake();
            if arrival.min(wake) >= end {
                break;
            }
            self.elapsed_us = arrival.min(wake);
            if arrival <= wake {
                if let Some(mut flight) = self.sky.land() {
                    self.arrive(&mut flight)?;
                    self.sky.recycle(flight.bytes);
                }
            } else if let Some(Reverse((_, index))) = self.wakes.pop() {
                self.players[index].wake = None;
                self.wake(index)?;
            }
        }
        self.elapsed_us = end;
        self.tick += 1;
        if self.process.is_up {
            self.process.step(end);
            self.checks.after_tick(&self.process, &mut self.players, end)?;
            for zone in 0..self.process.zones.len() {
                self.flush(zone)?;
            }
        }
        if self.tick.is_multiple_of(TICK_HZ.into()) {
            self.each_second()?;
        }
        Ok(())
    }

    /// When the next player wakes.
    fn next_wake(&mut self) -> u64 {
        while let Some(&Reverse((at, index))) = self.wakes.peek() {
            if self.players[index].wake == Some(at) {
                return at;
            }
            self.wakes.pop(); // it has thought better of it
        }
        u64::MAX
    }

    fn each_second(&mut self) -> Result<(), Broken> {
        let is_settled = self.elapsed_us - self.process.booted_us > SETTLING_US;
        if !self.process.is_up || !is_settled {
            self.checks.forget_latencies();
        }
        self.checks.wire.forget_old(self.elapsed_us);
        if self.process.is_up {
            self.checks.each_second(&self.players, self.elapsed_us)?;
        }
        let playing = self.players.iter().filter(|player| player.is_connected()).count();
        self.summary.player_seconds += playing as u64;
        self.strike();
        Ok(())
    }

    fn arrive(&mut self, flight: &mut Flight) -> Result<(), Broken> {
        if let Some(zone) = self.process.zone_at(flight.to) {
            if self.process.is_up {
                self.summary.datagrams_up += 1;
                self.checks.wire.received(flight.from, &flight.bytes, self.elapsed_us);
                if let Some(index) = self.player_at(flight.from) {
                    let tick = self.process.zones[zone].core.tick();
                    self.players[index].note_arrival(self.process.boot, zone, tick, &flight.bytes);
                }
                self.process.take(zone, self.elapsed_us, flight);
                self.flush(zone)?;
            }
            return Ok(());
        }
        let Some(index) = self.player_at(flight.to) else { return Ok(()) };
        let player = &mut self.players[index];
        let now = player.now(self.elapsed_us);
        let Some(client) = player.client.as_mut().filter(|_| self.elapsed_us >= player.away_until) else {
            return Ok(());
        };
        if client.server_address() != flight.from {
            return Ok(()); // its socket is connected: the kernel keeps what others send
        }
        let before = client.view().newest_tick();
        client.handle_datagram(now, &mut flight.bytes);
        let after = client.view().newest_tick();
        let zone = self.process.zone_at(flight.from);
        if let (Some(tick), Some(zone)) = (after.filter(|_| after != before), zone)
            && flight.boot == self.process.boot
        {
            self.checks.after_snapshot(player, &self.process.zones[zone].truth, tick)?;
        }
        self.wake(index)
    }

    fn player_at(&self, address: SocketAddr) -> Option<usize> {
        let index = Player::index_of(address)?;
        // it may have left that address
        (self.players.get(index)?.address == address).then_some(index)
    }

    /// Sends all that a zone has to send.
    fn flush(&mut self, zone: usize) -> Result<(), Broken> {
        let mut buffer = [0; BUFFER_BYTES];
        let boot = self.process.boot;
        while let Some(transmit) = self.process.poll(zone, self.elapsed_us, &mut buffer) {
            let (to, bytes) = (transmit.to, &buffer[..transmit.len]);
            self.summary.note(zone, bytes);
            let index = self.player_at(to);
            let out = Outgoing { zone, to, bytes, boot, now_us: self.elapsed_us };
            let kind = self.checks.wire.sent(&out, index.map(|index| (index, &self.players[index])))?;
            let lacks_place =
                kind == Some(PacketKind::Denied) && Checks::denied(&self.process, zone, self.elapsed_us)?;
            self.summary.denied += u64::from(lacks_place);
            let Some(index) = index else { continue };
            if lacks_place {
                self.players[index].is_denied();
            }
            let from = self.process.zones[zone].address;
            for delay in self.players[index].down.pass() {
                self.sky.launch(self.elapsed_us + delay, (from, to), boot, bytes);
            }
        }
        Ok(())
    }

    /// A player does what is due, and sleeps until something is.
    fn wake(&mut self, index: usize) -> Result<(), Broken> {
        if self.players[index].is_on(self.elapsed_us) {
            self.live(index)?;
            self.play(index);
            self.send(index)?;
        }
        self.sleep(index);
        Ok(())
    }

    fn sleep(&mut self, index: usize) {
        let player = &mut self.players[index];
        let wake = player.next_wake(self.elapsed_us);
        if player.wake.replace(wake) != Some(wake) {
            self.wakes.push(Reverse((wake, index)));
        }
    }

    /// Sessions come and go.
    fn live(&mut self, index: usize) -> Result<(), Broken> {
        let elapsed_us = self.elapsed_us;
        let player = &mut self.players[index];
        let now = player.now(elapsed_us);
        if player.returns_at.is_some_and(|at| elapsed_us >= at) {
            self.begin(index);
            return Ok(());
        }
        let is_quick = player.is_quick();
        let Some(client) = &mut player.client else { return Ok(()) };
        client.update(now);
        while let Some(event) = client.poll_event() {
            if player.kind.is_honest()
                && let Some(due) = player.ledger.told(event)?
            {
                self.checks.after_refusal(&due, self.process.boot)?;
                self.summary.overloaded += 1;
            }
        }
        let (state, silence) = (client.state(), client.silence(now));
        match state {
            ClientState::Connected if !player.was_connected => {
                self.summary.let_in_later += u64::from(player.comes_in(elapsed_us));
                self.summary.sessions += 1;
                self.summary.thefts += u64::from(player.kind == Kind::Thief);
            }
            // it has seen enough, and its victim may come back when the server has noticed
            ClientState::Connected
                if player.kind == Kind::Thief && elapsed_us > player.connected_us + THEFT_US =>
            {
                player.client = None;
                player.give_up(elapsed_us);
            }
            ClientState::Connected if silence > PATIENCE && is_quick => {
                if client.resume_token(now).is_some() {
                    self.summary.resumes += 1;
                    self.begin(index);
                }
            }
            ClientState::Disconnected { .. } | ClientState::Denied => player.give_up(elapsed_us),
            ClientState::Connected | ClientState::Connecting => {}
        }
        Ok(())
    }

    fn begin(&mut self, index: usize) {
        let (elapsed_us, boot) = (self.elapsed_us, self.process.boot);
        if self.players[index].kind == Kind::Thief {
            let Some(token) = hostile::stolen_token(self, index) else {
                self.players[index].returns_at = None;
                self.players[index].give_up(elapsed_us);
                return;
            };
            self.players[index].begin_with(elapsed_us, boot, token);
            self.deeds.stolen += 1;
        } else if let Some(token) =
            self.players[index].token.clone().filter(|_| self.process.is(Mutation::ReuseTokens))
        {
            self.players[index].skew.turn_back();
            self.players[index].begin_with(elapsed_us, boot, token);
        } else {
            self.players[index].begin(elapsed_us, boot, &self.plan);
        }
        if let Some(token) = &self.players[index].token {
            self.checks.wire.begin(token, elapsed_us);
        }
    }

    /// Asks for something, if it is time.
    fn play(&mut self, index: usize) {
        let elapsed_us = self.elapsed_us;
        let player = &mut self.players[index];
        if !player.takes_turn(elapsed_us) {
            return;
        }
        let now = player.now(elapsed_us);
        let Player { client: Some(client), mind, kind, ledger, .. } = player else { return };
        let intent = match kind {
            Kind::Spectator => Some(minds::spectator(mind)),
            Kind::Speeder => minds::speeder(mind, client),
            Kind::Seer => minds::seer(mind, client),
            _ => minds::honest(mind, client),
        };
        let Some(intent) = intent else { return };
        let times = if matches!(kind, Kind::Speeder | Kind::Flooder) { 12 } else { 1 };
        self.deeds.note(*kind, client, &intent, times);
        match kind {
            Kind::Honest | Kind::Spectator => {
                let sequence = client.send(now, intent);
                ledger.sent(sequence, elapsed_us);
            }
            Kind::Speeder | Kind::Flooder => {
                for _ in 0..times {
                    client.send_soon(now, intent);
                }
            }
            _ => _ = client.send(now, intent),
        }
        if !self.players[index].kind.is_honest() {
            hostile::misbehave(self, index);
        }
    }

    /// Sends all that a player has to send.
    fn send(&mut self, index: usize) -> Result<(), Broken> {
        let mut buffer = [0; BUFFER_BYTES];
        let held = if self.process.is(Mutation::HoldInputs) { SECOND_US / 2 } else { 0 };
        let now = self.players[index].now(self.elapsed_us);
        while let Some(client) = &mut self.players[index].client
            && let Some(transmit) = client.poll_transmit(now, &mut buffer)
        {
            self.checks.wire.sends(&self.players[index], &buffer[..transmit.len], self.elapsed_us)?;
            let changed = hostile::change(self, index, &buffer[..transmit.len]);
            let bytes = changed.as_deref().unwrap_or(&buffer[..transmit.len]);
            hostile::record(self, index, bytes);
            let player = &mut self.players[index];
            let (from, to) = (player.address, transmit.to);
            for delay in player.up.pass() {
                self.sky.launch(self.elapsed_us + delay + held, (from, to), 0, bytes);
            }
        }
        Ok(())
    }

    /// What came of it so far.
    pub(crate) fn summary(&self) -> Summary {
        let hashes = self.process.zones.iter().map(|zone| zone.core.state_hash());
        let state_hash = hashes.fold(self.tick, |hash, zone| mix(hash ^ zone).rotate_left(17));
        let refused: u64 = self
            .process
            .zones
            .iter()
            .flat_map(|zone| zone.core.counters().rejects())
            .map(|(_, count)| count)
            .sum();
        Summary {
            ticks: self.tick,
            state_hash,
            entities_compared: self.checks.entities_compared,
            full_ticks: self.checks.full_ticks,
            refused,
            deeds: self.deeds,
            settled: self.players.iter().map(|player| player.ledger.settled).sum(),
            ..self.summary
        }
    }
}
