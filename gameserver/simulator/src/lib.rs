//! Zone servers and thousands of players in virtual time, without sockets, threads or clocks: everything follows from a
//! seed, to the byte.
//!
//! The servers are those of `gameserver-core` with the arena, the players use `gameserver-client`. Here are the network
//! between them (`network`), the process and its boots (`process`), those who play by the rules and those who do not
//! (`player`, `minds`, `hostile`), what is true (`game`, `truth`) and what must hold (`checks`, `ledger`).
//!
//! A tick: what arrives, arrives; who is due acts; every zone steps; the checks look at all of it; snapshots go out. The
//! checks are read-only: a run with them is the run without them.
//!
//! Each [`Rule`] has a [`Mutation`] of the simulation that breaks it, and a test that sees it named.

#![forbid(unsafe_code)]

mod chance;
mod checks;
mod faults;
mod game;
mod hostile;
mod ledger;
mod limits;
mod load;
mod minds;
mod network;
mod player;
mod process;
mod rules;
mod truth;
mod wire;
mod world;

use std::fmt;

use gameserver_game::mix;

pub use faults::Faults;
pub use hostile::Deeds;
pub use rules::{Broken, Mutation, Rule};
use world::World;

/// Ticks of a second.
pub const TICK_HZ: u32 = 64;
/// Microseconds of a tick.
const TICK_US: u64 = 1_000_000 / TICK_HZ as u64;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All chance follows from it.
    pub seed: u64,
    /// Players, at least one; the kinds of them are mixed.
    pub clients: usize,
    /// Zone servers of the process, at least one.
    pub zones: usize,
    /// How long it goes on.
    pub ticks: u64,
    /// What goes wrong.
    pub faults: Faults,
    /// What the simulation does wrong.
    pub mutation: Option<Mutation>,
}

/// A run that found something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What was run.
    pub plan: Plan,
    /// At which tick of the run it ended.
    pub tick: u64,
    /// What did not hold.
    pub broken: Broken,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { plan, tick, broken: Broken { rule, what } } = self;
        let Plan { seed, clients, zones, faults, .. } = plan;
        write!(
            formatter,
            "seed {seed}, tick {tick}: {rule:?}: {what}\nagain: cargo run --release -p gameserver-simulator -- \
             --seed {seed} --ticks {tick} --clients {clients} --zones {zones} --faults {faults}"
        )
    }
}

impl std::error::Error for Failure {}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Ticks of the run.
    pub ticks: u64,
    /// Digest of all worlds at the end.
    pub state_hash: u64,
    /// Digest of every datagram that a server sent.
    pub sent_hash: u64,
    /// Seconds of all players in sessions together.
    pub player_seconds: u64,
    /// Sessions as players saw them begin.
    pub sessions: u64,
    /// Sessions of thieves, by tokens that were used in the boot before.
    pub thefts: u64,
    /// What hostile players did.
    pub deeds: Deeds,
    /// How often players came back of themselves because their server was silent.
    pub resumes: u64,
    /// Inputs of honest players whose outcome they learned.
    pub settled: u64,
    /// Entities in snapshots that were compared with the truth.
    pub entities_compared: u64,
    /// Datagrams that reached servers.
    pub datagrams_up: u64,
    /// Datagrams that servers sent.
    pub datagrams_down: u64,
    /// Datagrams and inputs refused since the last boot.
    pub refused: u64,
    /// Crashes of the process.
    pub crashes: u64,
    /// Drains of zones.
    pub drains: u64,
    /// How often players fell silent.
    pub vanished: u64,
    /// Ticks of zones that carried out as much as they may.
    pub full_ticks: u64,
    /// Inputs of honest players that were refused because ticks were full.
    pub overloaded: u64,
    /// How often somebody was denied for want of a place.
    pub denied: u64,
    /// Players who were denied for want of a place and came in later.
    pub let_in_later: u64,
}

impl Summary {
    /// Takes note of a datagram that a zone sent.
    fn note(&mut self, zone: usize, bytes: &[u8]) {
        self.datagrams_down += 1;
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let mut hash = mix(self.sent_hash ^ (zone as u64) << 32 ^ bytes.len() as u64);
        for word in words.iter().chain(Some(&last)) {
            hash = (hash ^ u64::from_le_bytes(*word)).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
        }
        self.sent_hash = hash;
    }
}

/// Runs it to its end.
///
/// # Errors
/// The first rule that breaks.
pub fn run(plan: Plan) -> Result<Summary, Box<Failure>> {
    run_with(plan, |_| {})
}

/// The same, and says each virtual second what came of it so far.
///
/// # Errors
/// The first rule that breaks.
pub fn run_with(plan: Plan, mut progress: impl FnMut(&Summary)) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(plan);
    while world.tick < plan.ticks {
        let tick = world.tick + 1;
        world.turn().map_err(|broken| Box::new(Failure { plan, tick, broken }))?;
        if world.tick.is_multiple_of(TICK_HZ.into()) {
            progress(&world.summary());
        }
    }
    Ok(world.summary())
}
