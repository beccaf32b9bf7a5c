//! What each region does in each second, and what gets through to the others.

use operator_core::regions::membership::{Evidence, Reach, Row, Standing, Word, decide_reach, judge};
use operator_core::regions::orders::{Failover, Orders, Said};
use operator_core::regions::shares::{Basis, Held, Holdings, Targets, common_version, decide_targets};
use operator_core::regions::view::Ballot;
use operator_core::regions::{RegionId, next_shares};
use operator_core::scale::Bounds;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::shocks::{Chance, any_facts};
use super::{Broken, Digest, Facts, HOME, Link, Mutation, NEEDED, Region, Rule, START_SECONDS, World};

impl World {
    pub(super) fn new(seed: u64, count: usize, mutation: Option<Mutation>) -> Self {
        let mut chance = Chance(seed);
        let registered: BTreeSet<RegionId> =
            (0..count).map(|at| format!("r{at:02}").parse().unwrap()).collect();
        let fair = NEEDED / u32::try_from(count).unwrap();
        let mut bounds = || Bounds { min: chance.below(3), max: 3 * fair + chance.below(2 * fair) };
        let bounds = registered.iter().map(|&region| (region, bounds())).collect();
        let facts = any_facts(&mut chance, 1, &registered);
        let region = |&id: &RegionId| Region {
            id,
            started: 0,
            speaks: 1,
            api_server_away: false,
            facts: facts.clone(),
            ballot: Ballot::default(),
            holdings: Holdings::default(),
            starting: Vec::new(),
            heard: BTreeMap::new(),
            said: Said::default(),
            copies: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        Self {
            now: 0,
            mutation,
            regions: registered.iter().map(region).collect(),
            chance,
            registered,
            bounds,
            links: vec![vec![Link::Up; count]; count],
            post: Vec::new(),
            drained: BTreeSet::from([BTreeSet::new()]),
            published: BTreeMap::new(),
            short_seconds: 0,
            changes_max: 2,
            known: RefCell::default(),
        }
    }

    pub(super) fn pass(&mut self, seconds: u64) -> Result<(), Broken> {
        for _ in 0..seconds {
            self.now += 1;
            self.deliver();
            for at in 0..self.regions.len() {
                self.turn(at)?;
            }
            self.check_bounds()?;
            self.check_servers()?;
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
        for region in &mut self.regions {
            for (_, fleet, count) in region.starting.extract_if(.., |starting| starting.0 <= now) {
                let held = region.holdings.fleets.entry(fleet).or_default();
                held.ready = held.share.min(held.ready + count);
            }
        }
    }

    fn row(&self, at: usize) -> Row {
        let ago = |since| Duration::from_secs(self.now - since);
        let me = &self.regions[at];
        let reach = |peer: usize| {
            let answers = self.links[at][peer] != Link::Cut && self.links[peer][at] != Link::Cut;
            let age = me.heard.get(&peer).map(|&(came, _)| ago(came));
            Some((self.regions[peer].id, decide_reach(age, ago(me.started), answers)?))
        };
        Row((0..self.regions.len()).filter(|&peer| peer != at).filter_map(reach).collect())
    }

    /// The last digests of the regions that this one reads.
    fn read(&self, at: usize, row: &Row) -> BTreeMap<RegionId, Rc<Digest>> {
        let heard = self.regions[at].heard.iter();
        let heard = heard.map(|(&peer, (_, digest))| (self.regions[peer].id, digest.clone()));
        heard.filter(|(peer, _)| row.0.get(peer) == Some(&Reach::Reads)).collect()
    }

    /// What this region knows of what is ordered.
    fn orders(&self, at: usize) -> Orders {
        let me = &self.regions[at];
        let mut said = me.copies.clone();
        said.insert(me.id, me.said.clone());
        Orders::count(&self.registered, &said)
    }

    /// What it votes by.
    fn heeded(&self, mut orders: Orders) -> Orders {
        match self.mutation {
            Some(Mutation::LeaveWhoHolds) => orders.modes.clear(),
            Some(Mutation::ObeyMinorities) => orders.drained = orders.voters.keys().copied().collect(),
            _ => {}
        }
        orders
    }

    /// What is ordered, by what is true.
    pub(super) fn true_orders(&self) -> Orders {
        let said = self.regions.iter().map(|region| (region.id, region.said.clone())).collect();
        Orders::count(&self.registered, &said)
    }

    /// One region reads, judges, votes, moves its shares if it may, and publishes.
    fn turn(&mut self, at: usize) -> Result<(), Broken> {
        let (row, home, orders) = (self.row(at), self.regions[HOME].id, self.orders(at));
        let (read, heeded) = (self.read(at, &row), self.heeded(orders.clone()));
        let region = &mut self.regions[at];
        let words = read.iter().map(|(&peer, digest)| (peer, &digest.word)).collect();
        let evidence = Evidence { me: region.id, registered: &self.registered, row: &row, words: &words };
        let judgements = judge(&evidence);
        let isolated = judgements[&region.id].standing == Standing::Isolated;
        let views = read.iter().map(|(&peer, digest)| (peer, &digest.view)).collect();
        let (now, before) = (Duration::from_secs(self.now), region.ballot.agreed.regions.clone());
        region.ballot = region.ballot.next((now, region.id), &judgements, &heeded, &views);
        match self.mutation {
            Some(Mutation::IgnoreAgreement) => region.ballot.agreed = region.ballot.proposed.clone(),
            Some(Mutation::ActWhileIsolated) if isolated => {
                region.ballot.agreed.regions = read.keys().copied().chain([region.id]).collect();
            }
            _ => {}
        }
        if let Some(home) = read.get(&home).filter(|home| home.facts.number > region.facts.number) {
            region.facts = home.facts.clone();
        }
        self.published.entry(region.ballot.proposed.clone()).or_default().insert(at);
        let counts = region.ballot.agreed.regions.contains(&region.id) && !region.api_server_away;
        let left = before.difference(&region.ballot.agreed.regions).copied().collect::<Vec<_>>();
        let word = Word { row, isolated, api_server_away: region.api_server_away };
        self.check_who_left(&left)?;
        if counts && (!isolated || self.mutation == Some(Mutation::ActWhileIsolated)) {
            self.move_shares(at, (&read, &orders), isolated)?;
        }
        self.publish(at, word);
        Ok(())
    }

    fn move_shares(
        &mut self,
        at: usize,
        (read, orders): (&BTreeMap<RegionId, Rc<Digest>>, &Orders),
        isolated: bool,
    ) -> Result<(), Broken> {
        let region = &self.regions[at];
        let (id, agreed) = (region.id, region.ballot.agreed.clone());
        let others = (0..self.regions.len())
            .filter(|&peer| peer != at && agreed.regions.contains(&self.regions[peer].id));
        let spoken = others.map(|peer| region.heard.get(&peer).map_or(1, |(_, digest)| digest.speaks));
        let function = match self.mutation {
            Some(Mutation::IgnoreVersions) => region.speaks,
            _ => common_version(region.speaks, spoken),
        };
        let drained: BTreeSet<RegionId> = agreed.regions.intersection(&orders.drained).copied().collect();
        let targets = self.targets((&agreed.regions, &drained), &region.facts, function);
        let basis = Basis { view: agreed.clone(), function, facts: self.hash(&region.facts, &drained) };
        let mine = Holdings { basis: basis.clone(), ..region.holdings.clone() };
        let peers = read.iter().map(|(&peer, digest)| (peer, &digest.holdings)).collect();
        let next = next_shares(id, &mine, self.bounds[&id].max, &targets, &peers);
        let is_full = next.values().sum::<u32>() == self.bounds[&id].max;
        self.regions[at].holdings.basis = basis;
        if orders.mode(id) == Failover::Hold {
            return Ok(());
        }
        for (fleet, share) in next {
            let held = self.regions[at].holdings.fleets.get(&fleet).map_or(0, |held| held.share);
            let share = match self.mutation {
                Some(Mutation::BreakBeforeTheyMake) => targets.shares[&fleet][&id],
                Some(Mutation::RaiseOneByOne) => share.min(held + 1),
                Some(Mutation::NeverRaise) => share.min(held),
                _ => share,
            };
            self.set_share(at, &fleet, share);
            let changes = self.regions[at].changes.get(&fleet).copied().unwrap_or_default();
            self.holds(Rule::TwoChanges, changes <= self.changes_max, || format!("{id} {fleet}: {changes}"))?;
            let rule = if isolated { Rule::LastShare } else { Rule::SumWithinBounds };
            let may = share <= held || self.may_hold(at, &fleet, share);
            self.holds(rule, may, || format!("{id} {fleet}: {held} to {share}"))?;
            let ready = self.ready(&agreed.regions, &fleet);
            let wanted: u32 = targets.shares[&fleet].values().sum();
            let made = share >= held || ready >= wanted || is_full;
            self.holds(Rule::MakeBeforeBreak, made, || format!("{id} {fleet}: {ready} of {wanted} Ready"))?;
        }
        Ok(())
    }

    fn set_share(&mut self, at: usize, fleet: &str, share: u32) {
        let region = &mut self.regions[at];
        let held = region.holdings.fleets.entry(fleet.to_owned()).or_default();
        let before =
            std::mem::replace(held, Held { share, ready: held.ready.min(share), ..Held::default() }).share;
        if share > before {
            region.starting.push((self.now + START_SECONDS, fleet.to_owned(), share - before));
        }
        if share != before {
            *region.changes.entry(fleet.to_owned()).or_default() += 1;
        }
    }

    fn hash(&self, facts: &Facts, drained: &BTreeSet<RegionId>) -> u64 {
        let bits = self.registered.iter().enumerate().filter(|(_, region)| drained.contains(region));
        bits.fold(facts.number << 32, |hash, (bit, _)| hash | 1 << bit)
    }

    /// Version 2 of the share function, which only this test has, weighs all regions alike.
    pub(super) fn targets(
        &self,
        (view, drained): (&BTreeSet<RegionId>, &BTreeSet<RegionId>),
        facts: &Facts,
        function: u32,
    ) -> Rc<Targets> {
        let compute = || {
            let mut fleets = facts.fleets.clone();
            if function == 2 {
                for fleet in fleets.values_mut() {
                    (fleet.mode, fleet.terms) = Default::default();
                }
            }
            let bounds = view.iter().map(|region| (*region, self.bounds[region])).collect();
            Rc::new(decide_targets(&fleets, &bounds, drained))
        };
        let key = (view.clone(), drained.clone(), facts.number, function);
        self.known.borrow_mut().entry(key).or_insert_with(compute).clone()
    }

    fn publish(&mut self, at: usize, word: Word) {
        let region = &self.regions[at];
        let digest = Rc::new(Digest {
            sent: self.now,
            word,
            view: region.ballot.proposed.clone(),
            holdings: region.holdings.clone(),
            speaks: region.speaks,
            facts: region.facts.clone(),
            said: region.said.clone(),
        });
        for to in (0..self.regions.len()).filter(|&to| to != at) {
            let is_lost = self.chance.below(20) == 0;
            if self.links[at][to] == Link::Up && !is_lost {
                self.post.push((self.now + self.chance.seconds(1, 2), at, to, digest.clone()));
            }
        }
    }
}
