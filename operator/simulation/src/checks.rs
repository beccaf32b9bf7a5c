//! What is to hold, by what is true.

use operator_core::regions::RegionId;
use operator_core::regions::membership::majority;
use operator_core::regions::orders::Failover;
use operator_core::regions::shares::{Held, MAXIMA_SINCE, Targets};
use operator_core::regions::view::View;
use std::collections::{BTreeMap, BTreeSet};

use super::turn::WEIGHED_EACH;
use super::world::{FLEETS, HOME, Link, Region, World};
use super::{Broken, PLAYERS_A_SERVER, Rule};

/// Longest time with fewer servers than players need, or of waiting beside free places.
const SHORT_SECONDS_MAX: u64 = 30;
/// Time after which every region has noticed what changed.
const DETECTED_SECONDS: u64 = 10;
/// Longest time from then on, or from a start, until nothing changes any more.
const REST_SECONDS_MAX: u64 = 60;
/// Weights are multiples of this, in percent.
const STEP_PERCENT: u64 = 5;

/// Regions that are all in touch with each other and a majority, and what is known of them from outside.
struct Side {
    regions: Vec<usize>,
    /// Those of the view whose servers count, drained or not.
    reached: BTreeSet<RegionId>,
    /// Servers that these may have, without those that are drained.
    room: u32,
}

/// Servers that an `AutoScaler` or a share may ask for.
pub(super) fn most(held: &Held) -> u32 {
    held.scaled.map_or(held.share, |scaled| scaled.max)
}

impl World {
    pub(super) fn holds(&self, rule: Rule, holds: bool, what: impl Fn() -> String) -> Result<(), Broken> {
        if holds { Ok(()) } else { Err(Broken { rule, what: format!("second {}: {}", self.now, what()) }) }
    }

    fn of_view(&self, view: &BTreeSet<RegionId>, fleet: &str, count: impl Fn(&Held) -> u32) -> u32 {
        let regions = self.regions.iter().filter(|region| view.contains(&region.id));
        regions.filter_map(|region| Some(count(region.holdings.fleets.get(fleet)?))).sum()
    }

    /// Servers that the region may ask for.
    fn most_of(region: &Region) -> u32 {
        region.holdings.fleets.values().map(most).sum()
    }

    /// No region may have more than its maximum, nor may its AutoScaler leave its bounds.
    pub(super) fn check_bounds(&self) -> Result<(), Broken> {
        for region in &self.regions {
            let (held, max) = (Self::most_of(region), self.bounds[&region.id].max);
            self.holds(Rule::SumWithinBounds, held <= max, || format!("{}: {held} of {max}", region.id))?;
            let fleets = || region.holdings.fleets.values();
            let is_within = fleets().all(|held| (held.share..=most(held)).contains(&held.asked()));
            self.holds(Rule::SumWithinBounds, is_within, || format!("{}: {:?}", region.id, region.holdings))?;
        }
        Ok(())
    }

    /// A share of this region was moved.
    pub(super) fn check_share(
        &self,
        at: usize,
        (fleet, held, share): (&str, u32, u32),
        isolated: bool,
    ) -> Result<(), Broken> {
        let region = &self.regions[at];
        let (id, most) = (region.id, self.changes_max);
        let changes = region.changes.get(fleet).copied().unwrap_or_default();
        self.holds(Rule::TwoChanges, changes <= most, || format!("{id} {fleet}: {changes} of {most}"))?;
        let rule = if isolated { Rule::LastShare } else { Rule::SumWithinBounds };
        let may = share <= held || self.may_hold(at, fleet, share);
        self.holds(rule, may, || format!("{id} {fleet}: {held} to {share}"))
    }

    /// Whoever lowered it left as many as the Fleet asks for, those not counted that an AutoScaler or the end of a game may take;
    /// unless a region is full: its maximum goes before the replicas.
    pub(super) fn check_made(
        &self,
        at: usize,
        (fleet, held, share): (&str, u32, u32),
        (targets, fills): (&Targets, bool),
    ) -> Result<(), Broken> {
        let region = &self.regions[at];
        let view = &region.ballot.agreed.regions;
        let firm = |held: &Held| held.ready.min(held.share);
        let ready = self.of_view(view, fleet, firm);
        let is_full = fills
            || self.regions.iter().filter(|region| view.contains(&region.id)).any(|region| {
                let is_shared_out = |fleet| targets.shares.contains_key(fleet);
                let held = region.holdings.fleets.iter();
                let held =
                    held.map(|(fleet, held)| if is_shared_out(fleet) { held.share } else { most(held) });
                held.sum::<u32>() >= self.bounds[&region.id].max
            });
        let wanted: u32 = targets.shares[fleet].values().sum();
        let made = share >= held || ready >= wanted || is_full;
        self.holds(Rule::MakeBeforeBreak, made, || {
            format!("{} {fleet}: {ready} of {wanted} Ready", region.id)
        })
    }

    /// A record of weights takes the place of another: not too soon, and for a region that is a step away from what it says.
    pub(super) fn check_record(
        &self,
        players: &BTreeMap<RegionId, u32>,
        before: &BTreeMap<RegionId, u32>,
    ) -> Result<(), Broken> {
        if !before.keys().eq(players.keys()) {
            return Ok(());
        }
        let age = self.recorded_at.map_or(u64::MAX, |at| self.now - at);
        self.holds(Rule::NoThrash, age >= WEIGHED_EACH, || format!("a record after {age} s"))?;
        let all: u64 = players.values().map(|&players| u64::from(players)).sum();
        let is_off = |(region, &players): (&RegionId, &u32)| {
            (u64::from(players) * 100).abs_diff(u64::from(before[region]) * all) >= STEP_PERCENT * all
        };
        let moved = all == 0 || players.iter().any(is_off);
        self.holds(Rule::NoThrash, moved, || format!("{before:?} is near enough to {players:?}"))
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

    /// The majority that promises something. Without a majority, or with one that is not of one mind, nobody does; nor do
    /// the regions while a person keeps one of them from moving or from being left.
    fn side(&self) -> Option<Side> {
        let orders = self.true_orders();
        let is_held =
            |region: &Region| region.said.failover != Failover::Automatic && orders.keep(region.id, true);
        let regions = self.majority_side().filter(|_| !self.regions.iter().any(is_held))?;
        let is_silent = |to: usize, from: usize| {
            let links = [self.links[from][to], self.links[to][from]];
            links[0] != Link::Up && links.contains(&Link::Cut)
        };
        let is_dark = |at: &usize| {
            regions.iter().filter(|&&peer| is_silent(peer, *at)).count() >= majority(self.regions.len())
        };
        let view = regions.iter().map(|&at| &self.regions[at].ballot.agreed).max();
        let counts = |at: &usize| {
            let region = &self.regions[*at];
            // where only the API server is away nobody is moved, in the view or not
            let serves = region.api_server_away || view.is_some_and(|view| view.regions.contains(&region.id));
            serves && !is_dark(at)
        };
        let reached: BTreeSet<RegionId> =
            (0..self.regions.len()).filter(counts).map(|at| self.regions[at].id).collect();
        // with nowhere else to go nobody is drained
        let open: Vec<_> = reached.iter().filter(|region| !orders.drained.contains(region)).collect();
        let open = if open.is_empty() { reached.iter().collect() } else { open };
        let room = open.iter().map(|region| self.bounds[region].max).sum();
        Some(Side { regions, reached, room })
    }

    /// Counts the servers in the view of the majority, without those of regions of which a majority hears nothing: each Fleet has
    /// what its players need, as far as it asks for so many and there is room for all that Fleets ask for.
    pub(super) fn check_servers(&mut self) -> Result<(), Broken> {
        let Some(Side { reached, room, .. }) = self.side() else {
            self.short.clear();
            return Ok(());
        };
        let facts = self.regions[HOME].facts.clone();
        let of = |fleet: &str| &facts.fleets[fleet];
        // scaled Fleets stay as they are while an operator counts that knows of none
        let is_old = |region: &Region| region.speaks < MAXIMA_SINCE && reached.contains(&region.id);
        let knows_all = !self.regions.iter().any(is_old);
        let needs = |at: usize| {
            if !knows_all && of(FLEETS[at]).max.is_some() {
                return 0;
            }
            let players: u32 = self.crowds.iter().map(|crowds| crowds[at].all()).sum();
            players.div_ceil(PLAYERS_A_SERVER).min(of(FLEETS[at]).replicas)
        };
        let ready = |fleet| self.of_view(&reached, fleet, |held| held.ready);
        let all: u32 = (0..FLEETS.len()).map(needs).sum();
        let mut look: Vec<(&str, u32, u32)> =
            vec![("all", FLEETS.iter().map(|fleet| ready(fleet)).sum(), all.min(room))];
        let asked: u32 = FLEETS.iter().map(|fleet| of(fleet).max.unwrap_or_else(|| of(fleet).replicas)).sum();
        let has_room = room >= asked;
        for (at, fleet) in FLEETS.into_iter().enumerate() {
            look.push((fleet, ready(fleet), if has_room { needs(at) } else { 0 }));
        }
        for (fleet, ready, needed) in look {
            let seconds = self.short.entry(fleet).or_default();
            *seconds = if ready < needed { *seconds + 1 } else { 0 };
            let lasts = *seconds;
            self.trace.short_seconds_max = self.trace.short_seconds_max.max(lasts);
            let what = || format!("{fleet}: {ready} of {needed} Ready for {lasts} s");
            self.holds(Rule::EnoughServers, lasts <= SHORT_SECONDS_MAX, what)?;
        }
        Ok(())
    }

    /// Nobody waits for long while twice as many as do would find a place in regions that take players.
    pub(super) fn check_places(&mut self) -> Result<(), Broken> {
        let Some(side) = self.side() else {
            self.unplaced.clear();
            return Ok(());
        };
        let drained = self.true_orders().drained;
        let takes = |at: &usize| {
            let region = &self.regions[*at];
            let is_open = !region.api_server_away && !drained.contains(&region.id);
            is_open && side.reached.contains(&region.id) && !self.lost.contains(at)
        };
        let open: Vec<usize> = side.regions.iter().copied().filter(takes).collect();
        for (at, fleet) in FLEETS.into_iter().enumerate() {
            let reaches_all = |of: &usize| open.iter().all(|&to| self.can_reach(*of, to));
            let is_placed = |of: &usize| {
                self.door(*of).is_some_and(|door| side.regions.contains(&door)) && reaches_all(of)
            };
            let waiting = (0..self.regions.len()).filter(is_placed).map(|of| self.crowds[of][at].waiting);
            let waiting: u32 = waiting.sum();
            let free: u32 = open.iter().map(|&region| self.free(region, at)).sum();
            let seconds = self.unplaced.entry(fleet).or_default();
            *seconds = if waiting > 0 && free >= 2 * waiting { *seconds + 1 } else { 0 };
            let lasts = *seconds;
            self.trace.waiting_seconds_max = self.trace.waiting_seconds_max.max(lasts);
            let what = || format!("{fleet}: {waiting} wait for {lasts} s beside {free} places");
            self.holds(Rule::EverybodyFits, lasts <= SHORT_SECONDS_MAX, what)?;
        }
        Ok(())
    }

    /// Waits until all regions count again and every Fleet has what it asks for, neither more nor fewer.
    pub(super) fn rest(&mut self) -> Result<(), Broken> {
        self.pass(DETECTED_SECONDS)?;
        while let Some(restless) = self.restless() {
            let late = self.last_event + DETECTED_SECONDS + REST_SECONDS_MAX;
            self.holds(Rule::SumWithinBounds, self.now < late, || restless.clone())?;
            self.pass(1)?;
        }
        let agreed = self.regions[HOME].ballot.agreed.number;
        self.published.retain(|view, _| view.number >= agreed);
        self.drained = [self.true_orders().drained].into();
        self.regions.iter_mut().for_each(|region| region.spoke = region.speaks);
        let number = self.regions[HOME].facts.number;
        self.known.borrow_mut().retain(|known, _| known.2 >= number);
        if self.regions.iter().all(|region| region.speaks >= MAXIMA_SINCE) {
            self.quiet();
        } else {
            // a share may still wait for the room of what is not shared out
            self.happened();
        }
        Ok(())
    }

    /// Who does not count yet, or has not what it should.
    fn restless(&self) -> Option<String> {
        let common = self.regions.iter().map(|region| region.speaks).min().unwrap_or(1);
        let drained = self.true_orders().drained;
        let targets = self.targets((&self.registered, &drained), &self.regions[HOME].facts, common);
        let rests = |region: &&Region| {
            let has_its_share = |(fleet, shares): (&String, &BTreeMap<RegionId, u32>)| {
                let held = region.holdings.fleets.get(fleet).copied().unwrap_or_default();
                let max = targets.maxima.get(fleet).map(|maxima| maxima[&region.id]);
                let is_full = common < MAXIMA_SINCE && Self::most_of(region) == self.bounds[&region.id].max;
                let waits = common < MAXIMA_SINCE && held.share > shares[&region.id];
                (held.share == shares[&region.id] || is_full || waits)
                    && held.ready >= held.share
                    && (max.is_none() || held.scaled.map(|scaled| scaled.max) == max)
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
    fn may_hold(&self, at: usize, fleet: &str, share: u32) -> bool {
        let id = self.regions[at].id;
        let is_agreed = |(view, by): &(&View, &BTreeSet<usize>)| {
            by.len() >= majority(self.regions.len()) && view.regions.contains(&id)
        };
        self.published.iter().filter(is_agreed).any(|(view, _)| {
            let members = self.regions.iter().filter(|region| view.regions.contains(&region.id));
            let common = members.map(|region| region.spoke).min().unwrap_or(1);
            let fits = |drained: &BTreeSet<RegionId>, function| {
                let drained = drained.intersection(&view.regions).copied().collect();
                let facts = &self.regions[at].facts;
                let targets = self.targets((&view.regions, &drained), facts, function);
                targets.shares.get(fleet).is_some_and(|shares| share <= shares[&id])
            };
            self.drained.iter().any(|drained| (1..=common).any(|function| fits(drained, function)))
        })
    }
}
