//! The process of the servers under test, and all that goes in and out of it. Here are the mutations that concern
//! datagrams, clocks and figures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use gameserver_core::{
    DEFAULT_INTERPOLATION, DEFAULT_REPLICATION_HZ, Histograms, MAX_SNAPSHOT_BYTES, Now, Registry,
    ServerConfig, Transmit, ZoneServer,
};
use gameserver_protocol::{Key, PROTOCOL_ID, PacketHeader, PacketKind};

use crate::chance::{Chance, Concern};
use crate::game::Watched;
use crate::truth::Truth;
use crate::{Mutation, Plan, TICK_HZ};

/// The key that the servers share with their backend, from boot to boot.
pub(crate) const SERVER_KEY: Key = [9; 32];
/// The moment at which a run begins.
const BEGIN_UNIX: Duration = Duration::from_millis(1_790_000_000_250);
/// Silence after which a player is given up.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Places of a zone.
    pub(crate) capacity: usize,
    plan: Plan,
    chance: Chance,
    /// A datagram that a mutation sends again so many times.
    again: Option<(Transmit, u8)>,
}

impl Process {
    pub(crate) fn new(plan: Plan) -> Self {
        let capacity = plan.capacity();
        let chance = Chance::new(plan.seed, Concern::Boot, 0);
        let mut process = Self {
            zones: Vec::new(),
            boot: 0,
            is_up: false,
            booted_us: 0,
            capacity,
            plan,
            chance,
            again: None,
        };
        process.start(0);
        process
    }

    /// A boot: all that is kept is the key.
    pub(crate) fn start(&mut self, elapsed_us: u64) {
        let boot_unix_ms = u64::try_from(self.unix(elapsed_us).as_millis()).unwrap_or(u64::MAX);
        let keeps_apart = self.is(Mutation::KeepTokensApart);
        let (players, random) = (self.capacity * self.plan.zones, self.chance.bytes());
        let registry = |zone: usize| Arc::new(Registry::new(players, boot_unix_ms + zone as u64, &random));
        let shared = registry(0);
        self.zones = (0..self.plan.zones)
            .map(|zone| {
                let mut core = ZoneServer::<Watched>::new(ServerConfig {
                    protocol_id: PROTOCOL_ID,
                    public_addresses: vec![zone_address(zone)],
                    capacity: self.capacity,
                    tick_hz: TICK_HZ,
                    timeout: TIMEOUT,
                    boot_unix_ms,
                    random: self.chance.bytes(),
                    max_commands_per_tick: 8 * self.capacity,
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
        let more = if self.is(Mutation::TakeInTooMany) { self.capacity } else { 0 };
        self.zones[zone].core.status(self.now(elapsed_us)).players + more
    }

    pub(crate) fn take_histograms(&mut self, zone: usize) -> Histograms {
        let mut histograms = self.zones[zone].core.take_histograms();
        if self.is(Mutation::QueueTooMuch) {
            histograms.queue_depth.record(u64::MAX >> 16);
        }
        histograms
    }
}
