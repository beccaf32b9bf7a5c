//! 3, 7 and 20 regions on one virtual clock, each deciding by itself from digests that come late or not at all.
//!
//! Each second the invariants of rule 8 are checked from outside, by what is true and not by what a region believes. A run
//! follows from its seed, and a failure prints it; `REGIONS_SEEDS` in the environment runs that many more. Each invariant
//! has a mutation of the regions that breaks it.
#![expect(clippy::unwrap_used, reason = "numbers that are known to fit")]

mod checks;
mod shocks;
mod world;

use operator_core::regions::RegionId;
use operator_core::regions::membership::Word;
use operator_core::regions::orders::Said;
use operator_core::regions::shares::{Holdings, PlacedFleet, Targets};
use operator_core::regions::view::{Ballot, View};
use operator_core::scale::Bounds;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use shocks::Chance;

/// What the regions of a run do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mutation {
    /// They go by the view that each would have.
    IgnoreAgreement,
    /// They go by their own version of the share function, spoken by all or not.
    IgnoreVersions,
    /// Who is cut off takes those whom it reads for all that is left.
    ActWhileIsolated,
    RaiseOneByOne,
    NeverRaise,
    BreakBeforeTheyMake,
    /// They take every region for Automatic.
    LeaveWhoHolds,
    /// What one region orders is done.
    ObeyMinorities,
}

/// What is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rule {
    /// A share rises only to a target of a view that a majority published, no region is over its maximum, and at rest the
    /// shares of a Fleet are as many as it asks for.
    SumWithinBounds,
    /// An isolated region adds at most its last share.
    LastShare,
    /// A region changes the share of a Fleet at most twice an event.
    TwoChanges,
    /// Never fewer servers than players need for longer than 30 s, while there is room for them.
    EnoughServers,
    /// Who lowers a share leaves as many Ready as the Fleet asks for.
    MakeBeforeBreak,
    /// A region that holds leaves the view never, and a Manual one by the order of a majority alone.
    HandOnTheWheel,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Broken {
    rule: Rule,
    what: String,
}

const PLAYERS: u32 = 100_000;
const PLAYERS_A_SERVER: u32 = 1000;
/// Servers that the players need.
const NEEDED: u32 = PLAYERS / PLAYERS_A_SERVER;
/// From a raised share to Ready.
const START_SECONDS: u64 = 5;
/// Region that the Fleets are at home in.
const HOME: usize = 0;

/// What gets from one region to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Up,
    /// UDP, but no digests.
    Udp,
    Cut,
}

/// What the home of the Fleets publishes.
struct Facts {
    number: u64,
    fleets: BTreeMap<String, PlacedFleet>,
}

struct Digest {
    sent: u64,
    word: Word,
    view: View,
    holdings: Holdings,
    speaks: u32,
    facts: Rc<Facts>,
    said: Said,
}

struct Region {
    id: RegionId,
    started: u64,
    speaks: u32,
    api_server_away: bool,
    facts: Rc<Facts>,
    ballot: Ballot,
    holdings: Holdings,
    /// Servers that start: when they are Ready, of which Fleet, how many.
    starting: Vec<(u64, String, u32)>,
    /// Each peer's last digest and when it came.
    heard: BTreeMap<usize, (u64, Rc<Digest>)>,
    /// What its RegionCluster says.
    said: Said,
    /// What the copies of the others' say, which outlive its process.
    copies: BTreeMap<RegionId, Said>,
    /// Changes of each Fleet's share since the last event.
    changes: BTreeMap<String, usize>,
}

/// Targets by view, drained regions, number of the facts and version of the function.
type Known = BTreeMap<(BTreeSet<RegionId>, BTreeSet<RegionId>, u64, u32), Rc<Targets>>;

struct World {
    now: u64,
    mutation: Option<Mutation>,
    chance: Chance,
    regions: Vec<Region>,
    registered: BTreeSet<RegionId>,
    bounds: BTreeMap<RegionId, Bounds>,
    /// From, to.
    links: Vec<Vec<Link>>,
    /// Digests on their way: when they come, from, to.
    post: Vec<(u64, usize, usize, Rc<Digest>)>,
    /// Regions that were drained at a time since the last rest.
    drained: BTreeSet<BTreeSet<RegionId>>,
    /// Who ever published each view.
    published: BTreeMap<View, BTreeSet<usize>>,
    short_seconds: u64,
    /// Changes of a share that the events since the last rest allow.
    changes_max: usize,
    known: RefCell<Known>,
}

/// Lets so many regions go through so many shocks as the seed says; the first invariant that breaks ends the run.
fn run(seed: u64, regions: usize, shocks: usize, mutation: Option<Mutation>) -> Result<(), Broken> {
    let mut world = World::new(seed, regions, mutation);
    world.rest()?;
    for _ in 0..shocks {
        world.shock()?;
        world.heal();
        world.rest()?;
    }
    Ok(())
}

#[test]
fn shares_stay_in_bounds_and_servers_suffice_whatever_is_cut_restarted_or_upgraded() {
    let more = std::env::var("REGIONS_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(0);
    // few seeds for many regions: they take long
    for (regions, seeds, shocks) in [(3, 20, 8), (7, 3, 8), (20, 1, 2)] {
        for seed in 0..seeds + more {
            assert_eq!(run(seed, regions, shocks, None), Ok(()), "{regions} regions, seed {seed}");
        }
    }
}

#[test]
fn each_invariant_breaks_when_what_holds_it_is_taken_away() {
    for (mutation, rule) in [
        (Mutation::IgnoreAgreement, Rule::SumWithinBounds),
        (Mutation::IgnoreVersions, Rule::SumWithinBounds),
        (Mutation::ActWhileIsolated, Rule::LastShare),
        (Mutation::RaiseOneByOne, Rule::TwoChanges),
        (Mutation::NeverRaise, Rule::EnoughServers),
        (Mutation::BreakBeforeTheyMake, Rule::MakeBeforeBreak),
        (Mutation::LeaveWhoHolds, Rule::HandOnTheWheel),
        (Mutation::ObeyMinorities, Rule::HandOnTheWheel),
    ] {
        let breaks = |seed| run(seed, 3, 8, Some(mutation)).is_err_and(|broken| broken.rule == rule);
        assert!((0..20).any(breaks), "{mutation:?} was to break {rule:?}");
    }
}

#[test]
fn a_seed_gives_the_same_run_again() {
    let broken = || run(1, 3, 8, Some(Mutation::NeverRaise));
    assert_eq!(broken(), broken());
}
