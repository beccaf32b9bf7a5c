//! 3, 7 and 20 regions on one virtual clock, each deciding by itself from digests that come late or not at all, while players
//! come and go in waves.
//!
//! All decisions are those of `operator-core`; here are only the world around them, and what is checked from outside each second:
//! the invariants of rule 8, by what is true and not by what a region believes. A run follows from its seed, to the byte. Each
//! invariant has a [`Mutation`] of the regions that breaks it.
#![expect(clippy::unwrap_used, reason = "numbers and names that are known to fit")]

mod chance;
mod checks;
mod coverage;
mod players;
pub mod plots;
mod shocks;
mod trace;
mod turn;
mod waves;
mod world;

use std::fmt;

pub use coverage::Mixture;
pub use trace::{Mark, Sample, Shock, Trace};
pub use waves::DAY_SECONDS;

use world::World;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// All chance follows from it.
    pub seed: u64,
    /// Registered regions, at least 3.
    pub regions: usize,
    /// How many things happen, each after all is well again.
    pub shocks: usize,
    /// Virtual seconds in which nothing happens before each of them.
    pub calm_seconds: u64,
    /// Whether crowds follow the hour of the day; else they only jitter.
    pub has_days: bool,
    /// What the regions do wrong.
    pub mutation: Option<Mutation>,
}

/// What the regions of a run do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutation {
    /// They go by the view that each would have.
    IgnoreAgreement,
    /// They go by their own version of the share function, spoken by all or not.
    IgnoreVersions,
    /// Who is cut off takes those whom it reads for all that is left.
    ActWhileIsolated,
    /// They raise a share by one server a turn.
    RaiseOneByOne,
    /// They raise no share.
    NeverRaise,
    /// They lower a share whatever the others have.
    BreakBeforeTheyMake,
    /// They take every region for Automatic.
    LeaveWhoHolds,
    /// What one region orders is done.
    ObeyMinorities,
    /// The home forgets what it published when it weighs players again.
    WeighAnew,
    /// The home weighs players whenever it looks.
    WeighAtOnce,
    /// They place nobody outside of their own region.
    KeepToThemselves,
    /// They give AutoScalers the whole maximum of a Fleet.
    IgnoreMaxima,
}

/// What is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A share rises only to a target of a view that a majority published, no region is over its maximum, and at rest the
    /// shares of a Fleet are as many as it asks for.
    SumWithinBounds,
    /// An isolated region adds at most its last share.
    LastShare,
    /// A region changes the share of a Fleet at most twice an event.
    TwoChanges,
    /// Never fewer servers than players need for longer than 30 s, while there is room for them.
    EnoughServers,
    /// Nobody waits for longer than 30 s while there are places for all who wait.
    EverybodyFits,
    /// Who lowers a share leaves as many Ready as the Fleet asks for.
    MakeBeforeBreak,
    /// A region that holds leaves the view never, and a Manual one by the order of a majority alone.
    HandOnTheWheel,
    /// Weights follow players at most once a minute, and only when one is a whole step away from them: a crowd that only jitters
    /// moves no share.
    NoThrash,
}

/// The first thing that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Which rule.
    pub rule: Rule,
    /// When, where, and with which figures.
    pub what: String,
}

impl fmt::Display for Broken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}: {}", self.rule, self.what)
    }
}

impl std::error::Error for Broken {}

/// Most players at once, in all regions together.
pub const PLAYERS_MAX: u32 = 105_000;
/// Players that fit on a server.
const PLAYERS_A_SERVER: u32 = 100;
/// Servers that the most players need.
const NEEDED: u32 = PLAYERS_MAX / PLAYERS_A_SERVER;

/// Runs it to its end.
///
/// # Errors
/// The first invariant that breaks.
pub fn run(plan: Plan) -> Result<Trace, Broken> {
    let mut world = World::new(plan);
    world.rest()?;
    for _ in 0..plan.shocks {
        world.pass(plan.calm_seconds)?;
        world.shock()?;
        world.heal();
        world.rest()?;
    }
    world.pass(plan.calm_seconds)?;
    Ok(world.into_trace())
}
