//! The world: what there is, what gets through, and what passes with each second.

use operator_core::regions::RegionId;
use operator_core::regions::membership::{Judgement, Word, majority};
use operator_core::regions::orders::{Failover, Orders, Said};
use operator_core::regions::shares::{Held, Holdings, Mode, PlacedFleet, Targets, Term};
use operator_core::regions::view::{Ballot, View};
use operator_core::scale::Bounds;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::chance::Chance;
use super::coverage::Mixture;
use super::players::Crowd;
use super::trace::{Sample, Trace};
use super::waves::Waves;
use super::{Broken, Mutation, NEEDED, Plan};

/// The Fleets: one by weight, one after its players, one with an `AutoScaler`.
pub(super) const FLEETS: [&str; 3] = [ARENA, DUEL, RUSH];
pub(super) const ARENA: &str = "arena";
pub(super) const DUEL: &str = "duel";
pub(super) const RUSH: &str = "rush";
/// Players of each, per mille.
pub(super) const PARTS: [u32; 3] = [300, 400, 300];
/// From a raised share to Ready.
const START_SECONDS: u64 = 5;
/// Region that the Fleets are at home in.
pub(super) const HOME: usize = 0;
/// Versions of the share function: before there were maxima, as it is, and one that only the simulation has.
pub(super) const OLD: u32 = 1;
pub(super) const NOW: u32 = 2;
pub(super) const NEXT: u32 = 3;

/// What gets from one region to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Link {
    Up,
    /// UDP, but no digests.
    Udp,
    Cut,
}

/// What the home of the Fleets publishes.
pub(super) struct Facts {
    pub(super) number: u64,
    pub(super) fleets: BTreeMap<String, PlacedFleet>,
}

pub(super) struct Digest {
    pub(super) sent: u64,
    pub(super) word: Word,
    pub(super) view: View,
    pub(super) holdings: Holdings,
    pub(super) speaks: u32,
    pub(super) facts: Rc<Facts>,
    pub(super) said: Said,
}

pub(super) struct Region {
    pub(super) id: RegionId,
    pub(super) started: u64,
    pub(super) speaks: u32,
    /// The newest that it spoke since the last rest: others may still take it to speak that.
    pub(super) spoke: u32,
    pub(super) api_server_away: bool,
    pub(super) facts: Rc<Facts>,
    pub(super) ballot: Ballot,
    pub(super) judgements: BTreeMap<RegionId, Judgement>,
    pub(super) holdings: Holdings,
    /// Servers that start: when they are Ready, of which Fleet, how many.
    pub(super) starting: Vec<(u64, String, u32)>,
    /// When its `AutoScaler` last changed replicas.
    pub(super) scaled_at: Option<u64>,
    /// Each peer's last digest and when it came.
    pub(super) heard: BTreeMap<usize, (u64, Rc<Digest>)>,
    /// What its RegionCluster says.
    pub(super) said: Said,
    /// What the copies of the others' say, which outlive its process.
    pub(super) copies: BTreeMap<RegionId, Said>,
    /// Changes of each Fleet's share since the last event.
    pub(super) changes: BTreeMap<String, usize>,
}

/// Targets by view, drained regions, number of the facts and version of the function.
type Known = BTreeMap<(BTreeSet<RegionId>, BTreeSet<RegionId>, u64, u32), Rc<Targets>>;

pub(super) struct World {
    pub(super) now: u64,
    pub(super) mutation: Option<Mutation>,
    pub(super) chance: Chance,
    pub(super) waves: Waves,
    /// Players by the region that they belong to, and Fleet.
    pub(super) crowds: Vec<[Crowd; FLEETS.len()]>,
    pub(super) regions: Vec<Region>,
    pub(super) registered: BTreeSet<RegionId>,
    pub(super) bounds: BTreeMap<RegionId, Bounds>,
    /// From, to.
    pub(super) links: Vec<Vec<Link>>,
    /// Regions whose servers nobody can reach.
    pub(super) lost: BTreeSet<usize>,
    /// Digests on their way: when they come, from, to.
    pub(super) post: Vec<(u64, usize, usize, Rc<Digest>)>,
    /// Regions that were drained at a time since the last rest.
    pub(super) drained: BTreeSet<BTreeSet<RegionId>>,
    /// Who ever published each view.
    pub(super) published: BTreeMap<View, BTreeSet<usize>>,
    /// When the home last weighed players, and published what came of it.
    pub(super) weighed_at: u64,
    pub(super) recorded_at: Option<u64>,
    pub(super) last_event: u64,
    /// Changes of a share that the events since the last rest allow.
    pub(super) changes_max: usize,
    /// Seconds with fewer servers than players need, by Fleet and over all.
    pub(super) short: BTreeMap<&'static str, u64>,
    /// Seconds in which somebody waited beside free places, by Fleet.
    pub(super) unplaced: BTreeMap<&'static str, u64>,
    /// What is the case, as far as it is not seen from the rest.
    pub(super) since_cut: Mixture,
    pub(super) trace: Trace,
    pub(super) known: RefCell<Known>,
}

/// Three Fleets, which together have more than players need.
pub(super) fn any_facts(
    chance: &mut Chance,
    number: u64,
    regions: &BTreeSet<RegionId>,
    before: Option<&Facts>,
) -> Rc<Facts> {
    let mut term = || Term { weight: chance.below(4), min: chance.below(3) };
    let terms = regions.iter().map(|&region| (region, term())).collect();
    let needs = |fleet: usize| NEEDED * PARTS[fleet] / 1000;
    let mut spare = |count: u32, permille: u32| count + count * chance.below(permille) / 1000;
    let arena =
        PlacedFleet { replicas: spare(needs(0), 200), mode: Mode::ByWeight, terms, ..PlacedFleet::default() };
    let mode = before.and_then(|facts| Some(facts.fleets.get(DUEL)?.mode.clone())).unwrap_or_default();
    let duel = PlacedFleet { replicas: spare(needs(1), 200), mode, ..PlacedFleet::default() };
    let (min, max) = (spare(needs(2) / 4, 500), spare(needs(2) * 3 / 2, 500));
    let rush = PlacedFleet { replicas: min, max: Some(max), ..PlacedFleet::default() };
    let fleets = FLEETS.map(str::to_owned).into_iter().zip([arena, duel, rush]).collect();
    Rc::new(Facts { number, fleets })
}

impl World {
    pub(super) fn new(plan: Plan) -> Self {
        let Plan { seed, regions: count, has_days, mutation, .. } = plan;
        let mut chance = Chance(seed);
        let registered: BTreeSet<RegionId> =
            (0..count).map(|at| format!("r{at:02}").parse().unwrap()).collect();
        let fair = NEEDED / u32::try_from(count).unwrap();
        let mut drawn = || Bounds { min: chance.below(3), max: 3 * fair + chance.below(2 * fair) };
        let bounds = registered.iter().map(|&region| (region, drawn())).collect();
        let facts = any_facts(&mut chance, 1, &registered, None);
        let region = |&id: &RegionId| Region {
            id,
            started: 0,
            speaks: NOW,
            spoke: NOW,
            api_server_away: false,
            facts: facts.clone(),
            ballot: Ballot::default(),
            judgements: BTreeMap::new(),
            holdings: Holdings::default(),
            starting: Vec::new(),
            scaled_at: None,
            heard: BTreeMap::new(),
            said: Said::default(),
            copies: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        let regions = registered.iter().map(ToString::to_string).collect();
        Self {
            now: 0,
            mutation,
            waves: Waves::new(&mut chance, seed, count, has_days),
            crowds: (0..count).map(|_| FLEETS.map(|_| Crowd::new(count))).collect(),
            regions: registered.iter().map(region).collect(),
            chance,
            registered,
            bounds,
            links: vec![vec![Link::Up; count]; count],
            lost: BTreeSet::new(),
            post: Vec::new(),
            drained: BTreeSet::from([BTreeSet::new()]),
            published: BTreeMap::new(),
            weighed_at: 0,
            recorded_at: None,
            last_event: 0,
            changes_max: 2,
            short: BTreeMap::new(),
            unplaced: BTreeMap::new(),
            since_cut: Mixture::default(),
            trace: Trace { regions, ..Trace::default() },
            known: RefCell::default(),
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) -> Result<(), Broken> {
        for _ in 0..seconds {
            self.now += 1;
            self.deliver();
            self.run_servers();
            self.play();
            self.weigh()?;
            for at in 0..self.regions.len() {
                self.turn(at)?;
            }
            self.sample();
            self.check_bounds()?;
            self.check_servers()?;
            self.check_places()?;
        }
        Ok(())
    }

    fn deliver(&mut self) {
        let now = self.now;
        for (_, from, to, digest) in self.post.extract_if(.., |post| post.0 <= now) {
            let heard = &mut self.regions[to].heard;
            if heard.get(&from).is_none_or(|(_, last)| last.sent < digest.sent) {
                heard.insert(from, (now, digest.clone()));
                let home = self.regions[from].id;
                self.regions[to].copies.insert(home, digest.said.clone());
            }
        }
    }

    /// Servers become Ready, and those that are not asked for any more go when nobody plays on them.
    fn run_servers(&mut self) {
        let now = self.now;
        for region in &mut self.regions {
            for (_, fleet, count) in region.starting.extract_if(.., |starting| starting.0 <= now) {
                let held = region.holdings.fleets.entry(fleet).or_default();
                held.ready = held.ready.max(held.asked().min(held.ready + count));
            }
            for held in region.holdings.fleets.values_mut() {
                let in_use = held.players.div_ceil(super::PLAYERS_A_SERVER);
                held.ready = held.ready.min(held.asked().max(in_use));
            }
        }
    }

    /// Gives a region so many servers of a Fleet; those that are missing start.
    pub(super) fn ask(&mut self, at: usize, fleet: &str, next: Held) {
        let region = &mut self.regions[at];
        region.holdings.fleets.insert(fleet.to_owned(), next);
        let starting = region.starting.iter().filter(|(_, of, _)| of == fleet).map(|(.., count)| count);
        let missing = next.asked().saturating_sub(next.ready + starting.sum::<u32>());
        if missing > 0 {
            region.starting.push((self.now + START_SECONDS, fleet.to_owned(), missing));
        }
    }

    /// What is ordered, by what is true.
    pub(super) fn true_orders(&self) -> Orders {
        let said = self.regions.iter().map(|region| (region.id, region.said.clone())).collect();
        Orders::count(&self.registered, &said)
    }

    /// Something happened that regions answer with changes of shares.
    pub(super) fn happened(&mut self) {
        self.changes_max += 2;
        self.last_event = self.now;
    }

    fn sample(&mut self) {
        let crowds = || self.crowds.iter().flatten();
        let in_touch = |at: usize| {
            let is_up = |&peer: &usize| self.links[at][peer] == Link::Up && self.links[peer][at] == Link::Up;
            (0..self.regions.len()).filter(is_up).count()
        };
        let all = self.regions.len();
        let ready = |region: &Region| region.holdings.fleets.values().map(|held| held.ready).sum();
        let latest = self.regions.iter().map(|region| &region.ballot.agreed).max();
        let sample = Sample {
            playing: crowds().flat_map(|crowd| &crowd.on).sum(),
            waiting: crowds().map(|crowd| crowd.waiting).sum(),
            ready: self.regions.iter().map(ready).collect(),
            in_view: latest.map_or(0, |view| view.regions.len()),
            cut_off: (0..all).filter(|&at| in_touch(at) < majority(all)).count(),
        };
        let mixture = self.mixture();
        self.trace.views.extend(self.regions.iter().map(|region| region.ballot.agreed.number));
        *self.trace.mixtures.entry(mixture).or_default() += 1;
        self.trace.samples.push(sample);
    }

    fn mixture(&self) -> Mixture {
        let links = || self.links.iter().flatten();
        let cut = links().any(|&link| link != Link::Up);
        let is_half = |at: usize, peer: usize| {
            let (out, back) = (self.links[at][peer], self.links[peer][at]);
            out != back || out == Link::Udp
        };
        let all = || 0..self.regions.len();
        let is = |mode| move |region: &&Region| region.said.failover == mode;
        let is_cut = |(at, _): &(usize, &Region)| all().any(|peer| self.links[*at][peer] != Link::Up);
        let count = |mode| self.regions.iter().filter(is(mode)).count();
        let is_held = |(_, region): &(usize, &Region)| region.said.failover != Failover::Automatic;
        let speaks: BTreeSet<u32> = self.regions.iter().map(|region| region.speaks).collect();
        Mixture {
            cut,
            partial: all().any(|at| all().any(|peer| is_half(at, peer))),
            mixed: speaks.len() > 1,
            manual: count(Failover::Manual) > 0,
            hold: count(Failover::Hold) > 0,
            drained: !self.true_orders().drained.is_empty(),
            held_is_cut: self.regions.iter().enumerate().filter(is_held).any(|held| is_cut(&held)),
            launch: self.waves.is_launching(self.now),
            weighed: self.recorded_at.is_some_and(|at| self.now - at < 60),
            upgraded: cut && self.since_cut.upgraded,
            rolled_back: cut && self.since_cut.rolled_back,
        }
    }

    pub(super) fn into_trace(self) -> Trace {
        self.trace
    }
}
