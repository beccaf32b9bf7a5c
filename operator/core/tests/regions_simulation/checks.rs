//! What is to hold, by what is true.

use operator_core::regions::RegionId;
use operator_core::regions::membership::majority;
use operator_core::regions::orders::Failover;
use operator_core::regions::shares::Held;
use operator_core::regions::view::View;
use std::collections::{BTreeMap, BTreeSet};

use super::{Broken, HOME, Link, NEEDED, Region, Rule, World};

/// Longest time with fewer servers than players need.
const SHORT_SECONDS_MAX: u64 = 30;
/// Time after which every region has noticed what changed.
const DETECTED_SECONDS: u64 = 10;
/// Longest time from then on, or from a start, until nothing changes any more.
const REST_SECONDS_MAX: u64 = 60;
impl World {
    pub(super) fn holds(&self, rule: Rule, holds: bool, what: impl Fn() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(Broken { rule, what: format!("second {}: {}", self.now, what()) }) }
    }

    pub(super) fn ready(&self, view: &BTreeSet<RegionId>, fleet: &str) -> u32 {
        let regions = self.regions.iter().filter(|region| view.contains(&region.id));
        regions.filter_map(|region| Some(region.holdings.fleets.get(fleet)?.ready)).sum()
    }

    pub(super) fn check_bounds(&self) -> Result<(), Broken> {
        for region in &self.regions {
            let held: u32 = region.holdings.fleets.values().map(|held| held.share).sum();
            let max = self.bounds[&region.id].max;
            self.holds(Rule::SumWithinBounds, held <= max, || format!("{}: {held} of {max}", region.id))?;
        }
        Ok(())
    }

    /// The majority whose regions are all in touch with each other, if there is one.
    fn majority_side(&self) -> Option<Vec<usize>> {
        let most = majority(self.regions.len());
        let all = || 0..self.regions.len();
        let in_touch =
            |at: usize, peer: usize| self.links[at][peer] == Link::Up && self.links[peer][at] == Link::Up;
        let side: Vec<usize> =
            all().filter(|&at| all().filter(|&peer| in_touch(at, peer)).count() >= most).collect();
        let is_whole = side.iter().all(|&at| side.iter().all(|&peer| in_touch(at, peer)));
        (side.len() >= most && is_whole).then_some(side)
    }

    /// Nobody whom this takes out of a view was to stay in it. Orders are only changed while everybody hears of it.
    pub(super) fn check_who_left(&self, left: &[RegionId]) -> Result<(), Broken> {
        let orders = self.true_orders();
        for &region in left {
            let mode = orders.mode(region);
            self.holds(Rule::HandOnTheWheel, !orders.keep(region, true), || format!("{region} is {mode:?}"))?;
        }
        Ok(())
    }

    /// Counts the servers in the view of the majority, without those of regions of which a majority hears nothing. Without a
    /// majority, or with one that is not of one mind, nobody promises anything; nor do the regions while a person keeps one
    /// of them from moving or from being left.
    pub(super) fn check_servers(&mut self) -> Result<(), Broken> {
        let orders = self.true_orders();
        let is_held =
            |region: &Region| region.said.failover != Failover::Automatic && orders.keep(region.id, true);
        let side = self.majority_side().filter(|_| !self.regions.iter().any(is_held));
        let Some(side) = side else {
            self.short_seconds = 0;
            return Ok(());
        };
        let is_silent = |to: usize, from: usize| {
            let links = [self.links[from][to], self.links[to][from]];
            links[0] != Link::Up && links.contains(&Link::Cut)
        };
        let is_dark = |at: &usize| {
            side.iter().filter(|&&peer| is_silent(peer, *at)).count() >= majority(self.regions.len())
        };
        let view = side.iter().map(|&at| &self.regions[at].ballot.agreed).max();
        let counts = |at: &usize| {
            view.is_some_and(|view| view.regions.contains(&self.regions[*at].id)) && !is_dark(at)
        };
        let reached: BTreeSet<RegionId> =
            (0..self.regions.len()).filter(counts).map(|at| self.regions[at].id).collect();
        let ready = self.ready(&reached, "arena") + self.ready(&reached, "duel");
        // with nowhere else to go nobody is drained
        let open: Vec<_> = reached.iter().filter(|region| !orders.drained.contains(region)).collect();
        let open = if open.is_empty() { reached.iter().collect() } else { open };
        let room: u32 = open.iter().map(|region| self.bounds[region].max).sum();
        self.short_seconds = if ready < NEEDED.min(room) { self.short_seconds + 1 } else { 0 };
        let lasts = self.short_seconds;
        self.holds(Rule::EnoughServers, lasts <= SHORT_SECONDS_MAX, || format!("{ready} Ready for {lasts} s"))
    }

    /// Waits until all regions count again and every Fleet has what it asks for, neither more nor fewer.
    pub(super) fn rest(&mut self) -> Result<(), Broken> {
        let late = self.now + REST_SECONDS_MAX;
        self.pass(DETECTED_SECONDS)?;
        while let Some(restless) = self.restless() {
            self.holds(Rule::SumWithinBounds, self.now < late, || restless.clone())?;
            self.pass(1)?;
        }
        let agreed = self.regions[HOME].ballot.agreed.number;
        self.published.retain(|view, _| view.number >= agreed);
        self.drained = [self.true_orders().drained].into();
        self.quiet();
        Ok(())
    }

    /// Who does not count yet, or has not what it should.
    fn restless(&self) -> Option<String> {
        let common = self.regions.iter().map(|region| region.speaks).min().unwrap_or(1);
        let drained = self.true_orders().drained;
        let targets = self.targets((&self.registered, &drained), &self.regions[HOME].facts, common);
        let rests = |region: &&Region| {
            let has_its_share = |(fleet, shares): (&String, &BTreeMap<RegionId, u32>)| {
                let (share, held) = (shares[&region.id], region.holdings.fleets.get(fleet).copied());
                held.unwrap_or_default() == Held { share, ready: share, ..Held::default() }
            };
            region.ballot.agreed.regions == self.registered && targets.shares.iter().all(has_its_share)
        };
        let restless = self.regions.iter().find(|region| !rests(region))?;
        Some(format!("{}: {:?} {:?}", restless.id, restless.ballot, restless.holdings.fleets))
    }

    /// What happens from here on is another event.
    pub(super) fn quiet(&mut self) {
        self.regions.iter_mut().for_each(|region| region.changes.clear());
        self.changes_max = 2;
    }

    /// Whether the region may have so many by a view that a majority published and a version that all in it speak.
    pub(super) fn may_hold(&self, at: usize, fleet: &str, share: u32) -> bool {
        let id = self.regions[at].id;
        let is_agreed = |(view, by): &(&View, &BTreeSet<usize>)| {
            by.len() >= majority(self.regions.len()) && view.regions.contains(&id)
        };
        self.published.iter().filter(is_agreed).any(|(view, _)| {
            let members = self.regions.iter().filter(|region| view.regions.contains(&region.id));
            let common = members.map(|region| region.speaks).min().unwrap_or(1);
            let fits = |drained: &BTreeSet<RegionId>, function| {
                let drained = drained.intersection(&view.regions).copied().collect();
                let facts = &self.regions[at].facts;
                share <= self.targets((&view.regions, &drained), facts, function).shares[fleet][&id]
            };
            self.drained.iter().any(|drained| (1..=common).any(|function| fits(drained, function)))
        })
    }
}
