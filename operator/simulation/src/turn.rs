//! What each region decides in each second, by what it has heard.

use operator_core::regions::membership::{Evidence, Reach, Row, Standing, Word, decide_reach, judge};
use operator_core::regions::orders::{Failover, Orders};
use operator_core::regions::shares::{
    Basis, Held, Holdings, MAXIMA_SINCE, Mode, Scaled, Targets, common_version, decide_targets, weigh_players,
};
use operator_core::regions::{RegionId, next_maxima, next_shares};
use operator_core::scale::{Bounds, FleetFigures, Policy, decide_scale};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use super::checks::most;
use super::world::{DUEL, Digest, Facts, HOME, Link, NEXT, RUSH, World};
use super::{Broken, Mutation, PLAYERS_A_SERVER};

/// How often the home weighs players.
pub(super) const WEIGHED_EACH: u64 = 60;
/// How often an `AutoScaler` looks.
const SCALED_EACH: u64 = 10;
/// Servers that all `AutoScalers` together may add or take at once.
const STEP: u32 = 60;

/// The last digests of the regions that one reads.
type Read = BTreeMap<RegionId, Rc<Digest>>;

impl World {
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

    fn read(&self, at: usize, row: &Row) -> Read {
        let heard = self.regions[at].heard.iter();
        let heard = heard.map(|(&peer, (_, digest))| (self.regions[peer].id, digest.clone()));
        heard.filter(|(peer, _)| row.0.get(peer) == Some(&Reach::Reads)).collect()
    }

    /// What this region knows of what is ordered.
    pub(super) fn orders(&self, at: usize) -> Orders {
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

    /// One region reads, judges, votes, moves its shares if it may, scales, and publishes.
    pub(super) fn turn(&mut self, at: usize) -> Result<(), Broken> {
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
        region.judgements = judgements;
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
        self.scale(at);
        self.publish(at, word);
        Ok(())
    }

    fn move_shares(
        &mut self,
        at: usize,
        (read, orders): (&Read, &Orders),
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
        let max = self.bounds[&id].max;
        let next = next_shares(id, &mine, max, &targets, &peers);
        let bounds = next_maxima(id, &mine, max, (&targets, &next), &peers);
        let other = mine.fleets.iter().filter(|(fleet, _)| !next.contains_key(*fleet));
        let other: u32 = other.map(|(_, held)| most(held)).sum();
        let fills = next.values().sum::<u32>() + other >= max;
        self.regions[at].holdings.basis = basis;
        if orders.mode(id) == Failover::Hold {
            return Ok(());
        }
        for (fleet, share) in next {
            let held = mine.fleets.get(&fleet).map_or(0, |held| held.share);
            let share = match self.mutation {
                Some(Mutation::BreakBeforeTheyMake) => targets.shares[&fleet][&id],
                Some(Mutation::RaiseOneByOne) => share.min(held + 1),
                Some(Mutation::NeverRaise) => share.min(held),
                _ => share,
            };
            self.set_share(at, &fleet, share, bounds.get(&fleet).copied());
            self.check_share(at, (&fleet, held, share), isolated)?;
            self.check_made(at, (&fleet, held, share), (&targets, fills))?;
        }
        Ok(())
    }

    fn set_share(&mut self, at: usize, fleet: &str, share: u32, bounds: Option<Bounds>) {
        let held = self.regions[at].holdings.fleets.get(fleet).copied().unwrap_or_default();
        let scaled = bounds.map(|bounds| {
            let max = match self.mutation {
                Some(Mutation::IgnoreMaxima) => {
                    self.regions[at].facts.fleets[fleet].max.unwrap_or(bounds.max)
                }
                _ => bounds.max,
            };
            Scaled { replicas: held.asked().clamp(share, max.max(share)), max: max.max(share) }
        });
        self.ask(at, fleet, Held { share, scaled, ..held });
        if share != held.share {
            *self.regions[at].changes.entry(fleet.to_owned()).or_default() += 1;
            self.trace.share_changes += 1;
        }
    }

    /// Its `AutoScaler` goes on within its bounds, whatever becomes of the other regions.
    fn scale(&mut self, at: usize) {
        let region = &self.regions[at];
        let held = region.holdings.fleets.get(RUSH).copied().unwrap_or_default();
        let is_its_turn = (self.now + at as u64).is_multiple_of(SCALED_EACH) && !region.api_server_away;
        let Some(scaled) = held.scaled.filter(|_| is_its_turn) else { return };
        let mean = u64::from(held.players) * 100 / u64::from((held.ready * PLAYERS_A_SERVER).max(1));
        let step = (STEP / u32::try_from(self.regions.len()).unwrap()).max(2);
        let policy = Policy {
            value: (held.ready > 0).then_some(mean),
            shared: true,
            up_threshold: 70,
            down_threshold: 40,
            cooldown: Duration::from_secs(20),
            step_up: step,
            step_down: step / 2,
        };
        let figures = FleetFigures {
            replicas: scaled.replicas,
            in_use: held.players.div_ceil(PLAYERS_A_SERVER),
            since_last_scale: region.scaled_at.map(|since| Duration::from_secs(self.now - since)),
        };
        let bounds = Bounds { min: held.share, max: scaled.max };
        let decision = decide_scale(figures, bounds, &[policy]);
        if decision.scale {
            let scaled = Some(Scaled { replicas: decision.desired, ..scaled });
            self.ask(at, RUSH, Held { scaled, ..held });
            self.regions[at].scaled_at = Some(self.now);
            self.trace.scalings += 1;
        }
    }

    /// The home publishes how the players of the Fleet that follows them are spread over the regions that count, as it has heard.
    pub(super) fn weigh(&mut self) -> Result<(), Broken> {
        let each = if self.mutation == Some(Mutation::WeighAtOnce) { 1 } else { WEIGHED_EACH };
        let home = &self.regions[HOME];
        if self.now - self.weighed_at < each || home.api_server_away {
            return Ok(());
        }
        self.weighed_at = self.now;
        let players = |region: &RegionId| {
            let at = self.regions.iter().position(|other| other.id == *region)?;
            let holdings = if at == HOME { &home.holdings } else { &home.heard.get(&at)?.1.holdings };
            Some((*region, holdings.fleets.get(DUEL).map_or(0, |held| held.players)))
        };
        let Some(players) =
            home.ballot.agreed.regions.iter().map(players).collect::<Option<BTreeMap<_, _>>>()
        else {
            return Ok(());
        };
        let before = match &home.facts.fleets[DUEL].mode {
            Mode::FollowPlayers(weights) => weights.clone(),
            Mode::ByWeight => BTreeMap::new(),
        };
        let weights = match self.mutation {
            Some(Mutation::WeighAnew) => weigh_players(&players, &BTreeMap::new()),
            _ => weigh_players(&players, &before),
        };
        if weights.is_empty() || weights == before {
            return Ok(());
        }
        self.check_record(&players, &before)?;
        let mut fleets = home.facts.fleets.clone();
        fleets.entry(DUEL.to_owned()).or_default().mode = Mode::FollowPlayers(weights);
        self.publish_facts(|number| Facts { number, fleets });
        self.trace.records += u64::from(!before.is_empty());
        self.recorded_at = Some(self.now);
        Ok(())
    }

    /// The home says something else of its Fleets.
    pub(super) fn publish_facts(&mut self, next: impl FnOnce(u64) -> Facts) {
        let number = self.regions[HOME].facts.number + 1;
        self.regions[HOME].facts = Rc::new(next(number));
        self.happened();
    }

    fn hash(&self, facts: &Facts, drained: &BTreeSet<RegionId>) -> u64 {
        let bits = self.registered.iter().enumerate().filter(|(_, region)| drained.contains(region));
        bits.fold(facts.number << 32, |hash, (bit, _)| hash | 1 << bit)
    }

    /// The next version of the share function, which only the simulation has, weighs all regions alike; the old one knows nothing of
    /// Fleets that have an `AutoScaler`.
    pub(super) fn targets(
        &self,
        (view, drained): (&BTreeSet<RegionId>, &BTreeSet<RegionId>),
        facts: &Facts,
        function: u32,
    ) -> Rc<Targets> {
        let compute = || {
            let mut fleets = facts.fleets.clone();
            if function < MAXIMA_SINCE {
                fleets.retain(|_, fleet| fleet.max.is_none());
            }
            if function >= NEXT {
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
            let is_lost = self.chance.is_one_in(20);
            if self.links[at][to] == Link::Up && !is_lost {
                self.post.push((self.now + self.chance.seconds(1, 2), at, to, digest.clone()));
            }
        }
    }
}
