//! The process of the servers under test, and all that goes in and out of it. Here are the mutations that concern
//! datagrams, clocks and figures.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, MAX_SNAPSHOT_BYTES, Now, Registry, ServerConfig, Transmit,
    ZoneServer,
};
use gameserver_protocol::{Key, PROTOCOL_ID, PacketHeader, PacketKind};

use crate::chance::{Chance, Concern};
use crate::game::Watched;
use crate::limits::Limits;
use crate::network::Flight;
use crate::truth::Truth;
use crate::{Mutation, Plan, TICK_HZ};

/// The key that the servers share with their backend, from boot to boot.
pub(crate) const SERVER_KEY: Key = [9; 32];
/// The moment at which a run begins.
const BEGIN_UNIX: Duration = Duration::from_millis(1_790_000_000_250);
/// Silence after which a player is given up.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);
/// How long a mutation lets lie what has come, and from when on: before that, players have learnt how far it is.
const LYING_US: u64 = 200_000;
const LYING_SINCE_US: u64 = 6_000_000;
/// From when on and for how long a mutation sends nothing.
const SILENT_SINCE: Duration = Duration::from_secs(4);
const SILENT: Duration = Duration::from_secs(1);

/// Time of the wall at a moment of the run.
pub(crate) fn unix(elapsed_us: u64) -> Duration {
    BEGIN_UNIX + Duration::from_micros(elapsed_us)
}

/// By which players reach a zone.
pub(crate) fn zone_address(zone: usize) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 7000 + u16::try_from(zone).unwrap_or(0)))
}

/// One zone server, and what was true in it lately.
pub(crate) struct Zone {
    pub(crate) address: SocketAddr,
    pub(crate) core: ZoneServer<Watched>,
    pub(crate) truth: Truth,
}

/// All zone servers of one process.
pub(crate) struct Process {
    pub(crate) zones: Vec<Zone>,
    /// Boots so far.
    pub(crate) boot: u32,
    /// A process that is down neither receives nor sends.
    pub(crate) is_up: bool,
    pub(crate) booted_us: u64,
    pub(crate) limits: Limits,
    plan: Plan,
    chance: Chance,
    /// What a mutation lets lie: since when, for which zone, and from whom.
    lying: VecDeque<(u64, usize, Flight)>,
    /// A datagram that a mutation sends again so many times.
    again: Option<(Transmit, u8)>,
}

impl Process {
    pub(crate) fn new(plan: Plan) -> Self {
        let chance = Chance::new(plan.seed, Concern::Boot, 0);
        let mut process = Self {
            zones: Vec::new(),
            boot: 0,
            is_up: false,
            booted_us: 0,
            limits: Limits::of(&plan),
            plan,
            chance,
            lying: VecDeque::new(),
            again: None,
        };
        process.start(0);
        process
    }

    /// A boot: all that is kept is the key.
    pub(crate) fn start(&mut self, elapsed_us: u64) {
        let boot_unix_ms = u64::try_from(self.unix(elapsed_us).as_millis()).unwrap_or(u64::MAX);
        let keeps_apart = self.is(Mutation::KeepTokensApart);
        let Limits { capacity, places, commands } = self.limits.told(self.plan.mutation);
        let random = self.chance.bytes();
        let registry = |zone: usize| Arc::new(Registry::new(places, boot_unix_ms + zone as u64, &random));
        let shared = registry(0);
        self.zones = (0..self.plan.zones)
            .map(|zone| {
                let mut core = ZoneServer::<Watched>::new(ServerConfig {
                    protocol_id: PROTOCOL_ID,
                    public_addresses: vec![zone_address(zone)],
                    capacity,
                    tick_hz: TICK_HZ,
                    timeout: TIMEOUT,
                    boot_unix_ms,
                    random: self.chance.bytes(),
                    max_commands_per_tick: commands,
                    snapshot_bytes: MAX_SNAPSHOT_BYTES,
                    replication_hz: DEFAULT_REPLICATION_HZ,
                    interpolation: DEFAULT_INTERPOLATION,
                    // at another sequence, so that it is the token that is noticed
                    registry: Some(if keeps_apart { registry(zone) } else { Arc::clone(&shared) }),
                })
                .expect("a valid configuration");
                core.install_key(SERVER_KEY);
                core.game().mutation.set(self.plan.mutation);
                Zone { address: zone_address(zone), core, truth: Truth::default() }
            })
            .collect();
        self.boot += 1;
        self.booted_us = elapsed_us;
        self.is_up = true;
        self.lying.clear();
        self.again = None;
    }

    pub(crate) fn is(&self, mutation: Mutation) -> bool {
        self.plan.mutation == Some(mutation)
    }

    fn unix(&self, elapsed_us: u64) -> Duration {
        let back = if self.is(Mutation::TurnClockBack) && self.boot > 0 { 20 } else { 0 };
        unix(elapsed_us).saturating_sub(Duration::from_secs(back))
    }

    pub(crate) fn now(&self, elapsed_us: u64) -> Now {
        let monotonic = Duration::from_micros(elapsed_us - self.booted_us);
        let back = if self.is(Mutation::TurnClockBack) && self.boot > 1 { 20 } else { 0 };
        Now { monotonic, unix: unix(elapsed_us).saturating_sub(Duration::from_secs(back)) }
    }

    pub(crate) fn zone_at(&self, address: SocketAddr) -> Option<usize> {
        self.zones.iter().position(|zone| zone.address == address)
    }

    /// A datagram has reached a zone, whose server takes it now.
    pub(crate) fn take(&mut self, zone: usize, elapsed_us: u64, flight: &mut Flight) {
        if self.is(Mutation::LetThemLie) && elapsed_us > LYING_SINCE_US {
            self.lying.push_back((elapsed_us, zone, flight.clone()));
            while let Some((_, zone, mut flight)) =
                self.lying.pop_front_if(|(since_us, ..)| *since_us + LYING_US < elapsed_us)
            {
                self.hand_over(zone, elapsed_us, &mut flight);
            }
        } else {
            self.hand_over(zone, elapsed_us, flight);
        }
    }

    fn hand_over(&mut self, zone: usize, elapsed_us: u64, flight: &mut Flight) {
        let now = self.now(elapsed_us);
        self.zones[zone].core.handle_datagram(now, flight.from, &mut flight.bytes);
    }

    /// Who is in all zones together.
    pub(crate) fn all_players(&self, elapsed_us: u64) -> usize {
        (0..self.zones.len()).map(|zone| self.players(zone, elapsed_us)).sum()
    }

    /// A tick of every zone.
    pub(crate) fn step(&mut self, elapsed_us: u64) {
        let now = self.now(elapsed_us);
        for zone in &mut self.zones {
            zone.core.step(now);
            zone.truth.record(zone.core.game());
        }
    }

    /// The next datagram of a zone.
    pub(crate) fn poll(&mut self, zone: usize, elapsed_us: u64, buffer: &mut [u8]) -> Option<Transmit> {
        if let Some((transmit, left)) = self.again.take() {
            self.again = (left > 1).then_some((transmit, left - 1));
            return Some(transmit);
        }
        let now = self.now(elapsed_us);
        let is_silent = (SILENT_SINCE..SILENT_SINCE + SILENT).contains(&now.monotonic);
        if self.is(Mutation::QueueTooMuch) && is_silent {
            return None;
        }
        let mut transmit = self.zones[zone].core.poll_transmit(now, buffer)?;
        let kind = PacketHeader::parse(&buffer[..transmit.len]).map(|header| header.kind);
        if self.is(Mutation::AnswerTooMuch) && kind == Ok(PacketKind::Challenge) {
            self.again = Some((transmit, 3));
        }
        if self.is(Mutation::SendTooMuch) && kind == Ok(PacketKind::Payload) && now.monotonic > TIMEOUT / 2 {
            transmit.len = buffer.len();
        }
        Some(transmit)
    }

    /// Who is in a zone, as it says.
    pub(crate) fn players(&self, zone: usize, elapsed_us: u64) -> usize {
        self.zones[zone].core.status(self.now(elapsed_us)).players
    }
}
