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
mod game;
mod hostile;
mod ledger;
mod minds;
mod network;
mod player;
mod process;
mod truth;
mod wire;
mod world;

use std::fmt;
use std::str::FromStr;

use gameserver_game::mix;

use world::World;

/// Ticks of a second.
pub const TICK_HZ: u32 = 64;
/// Microseconds of a tick.
const TICK_US: u64 = 1_000_000 / TICK_HZ as u64;

/// What goes wrong in a run, besides the loss, delay and disorder that there always is.
#[expect(clippy::struct_excessive_bools, reason = "each is on or off, whatever the others are")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The process crashes and comes back seconds later, with its key and nothing else.
    pub crashes: bool,
    /// Zones drain for a while.
    pub drains: bool,
    /// Players fall silent and come back.
    pub vanishing: bool,
    /// Losses come in bursts (Gilbert-Elliott).
    pub bursts: bool,
    /// Each tenth player is hostile.
    pub hostile: bool,
}

impl Faults {
    /// Everything.
    pub const ALL: Self = Self { crashes: true, drains: true, vanishing: true, bursts: true, hostile: true };

    const NAMES: [&str; 5] = ["crashes", "drains", "vanishing", "bursts", "hostile"];

    fn by_name(&mut self) -> [&mut bool; 5] {
        let Self { crashes, drains, vanishing, bursts, hostile } = self;
        [crashes, drains, vanishing, bursts, hostile]
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut faults = *self;
        let flags = faults.by_name();
        let named = Self::NAMES.iter().zip(flags).filter(|(_, is_on)| **is_on).map(|(name, _)| *name);
        let named: Vec<_> = named.collect();
        formatter.write_str(if named.is_empty() { "none" } else { "" })?;
        formatter.write_str(&named.join(","))
    }
}

impl FromStr for Faults {
    type Err = String;

    /// `all`, `none`, or names with commas between them.
    fn from_str(names: &str) -> Result<Self, String> {
        match names {
            "all" => return Ok(Self::ALL),
            "none" => return Ok(Self::default()),
            _ => {}
        }
        let mut faults = Self::default();
        for name in names.split(',') {
            let at = Self::NAMES.iter().position(|known| *known == name);
            let at =
                at.ok_or_else(|| format!("no fault {name:?}: {}, all or none", Self::NAMES.join(", ")))?;
            *faults.by_name()[at] = true;
        }
        Ok(faults)
    }
}

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

impl Plan {
    /// Places of a zone: all zones together have some more than there are players, but no zone has room for all.
    pub(crate) fn capacity(&self) -> usize {
        if self.zones == 1 { self.clients.max(8) } else { (self.clients * 6 / 5).div_ceil(self.zones).max(8) }
    }
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A player is in one place of the process and no more.
    OnePlace,
    /// Nobody gets further in a tick than its speed allows, unless it is put elsewhere.
    Speed,
    /// A move that is carried out is as far as a second of walking at most, and not too often.
    Moves,
    /// A skill is cast again after its cooldown and not before.
    Cooldowns,
    /// Who is hit was in reach.
    Reach,
    /// What a player has is what it picked up and has not used.
    Items,
    /// Health, mana and names are kept: what the game says of itself.
    Conservation,
    /// What a player knows of a tick is what was so at that tick.
    Views,
    /// Every input of an honest player settles once, as the game decided.
    SettlesOnce,
    /// Datagrams are within their budget of bytes.
    Budget,
    /// Queues are within their bounds.
    Queues,
    /// No zone has more players than places.
    Capacity,
    /// An address that has proven nothing gets no more bytes than it sent.
    Amplification,
    /// A token that was used opens no session elsewhere.
    StolenTokens,
    /// Honest players' inputs are carried out in time, whatever others send.
    Latency,
    /// No two datagrams, and no two resume tokens, are sealed under one key and one nonce, by whatever boot or client.
    Nonces,
}

impl Rule {
    /// Every rule.
    pub const ALL: [Self; 16] = [
        Self::OnePlace,
        Self::Speed,
        Self::Moves,
        Self::Cooldowns,
        Self::Reach,
        Self::Items,
        Self::Conservation,
        Self::Views,
        Self::SettlesOnce,
        Self::Budget,
        Self::Queues,
        Self::Capacity,
        Self::Amplification,
        Self::StolenTokens,
        Self::Latency,
        Self::Nonces,
    ];
}

/// What the simulation does wrong, to see that it is noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// Who comes in comes in twice.
    DoublePlayers,
    /// Players are seen half a unit from where they are, once in a while.
    ShiftPlayers,
    /// Moves that are too far are carried out.
    MoveFreely,
    /// Skills on cooldown are cast.
    CastFreely,
    /// Who is out of range is hit.
    ReachFar,
    /// Players get coins from nowhere.
    GiveItems,
    /// The game finds something wrong with its world.
    SpoilTheWorld,
    /// Players are told places that are not so.
    CorruptCells,
    /// A command is carried out twice.
    RepeatCommands,
    /// Players are told that what was refused was carried out.
    LieAboutOutcomes,
    /// Datagrams are longer than they may be.
    SendTooMuch,
    /// More waits than there is room for.
    QueueTooMuch,
    /// More players are in than there are places.
    TakeInTooMany,
    /// A challenge is sent four times.
    AnswerTooMuch,
    /// Each zone remembers used tokens for itself.
    KeepTokensApart,
    /// Everything takes half a second longer to the server.
    HoldInputs,
    /// The clock of the second boot goes back.
    TurnClockBack,
    /// Who comes back shows the token that it has used, and its clock has gone back.
    ReuseTokens,
    /// The checks take a thief's inputs for those of the player in whose name it plays.
    JudgeByName,
}

/// Something that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which rule.
    pub rule: Rule,
    /// Who, and with which figures.
    pub what: String,
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
