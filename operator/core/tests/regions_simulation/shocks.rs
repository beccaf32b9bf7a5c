//! What happens to the regions, by chance.

use operator_core::regions::RegionId;
use operator_core::regions::membership::majority;
use operator_core::regions::orders::Failover;
use operator_core::regions::shares::{Mode, PlacedFleet, Term, weigh_players};
use operator_core::regions::view::Ballot;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Broken, Facts, HOME, Link, NEEDED, PLAYERS, World};

/// Numbers that follow from a seed (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// One of so many, from 0.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((mixed ^ (mixed >> 31)) % u64::from(count)).unwrap()
    }

    pub(super) fn index(&mut self, count: usize) -> usize {
        self.below(u32::try_from(count).unwrap()) as usize
    }

    pub(super) fn seconds(&mut self, least: u64, more: u32) -> u64 {
        least + u64::from(self.below(more))
    }
}

/// Two Fleets: one by weight, one after its players.
pub(super) fn any_facts(chance: &mut Chance, number: u64, regions: &BTreeSet<RegionId>) -> Rc<Facts> {
    let crowds: Vec<u32> = regions.iter().map(|_| chance.below(100)).collect();
    let players = |crowd: u32| PLAYERS / crowds.iter().sum::<u32>().max(1) * crowd;
    let players = regions.iter().copied().zip(crowds.iter().map(|&crowd| players(crowd))).collect();
    let mut term = || Term { weight: chance.below(4), min: chance.below(2) };
    let terms = regions.iter().map(|&region| (region, term())).collect();
    let arena = PlacedFleet { replicas: 40 + chance.below(20), mode: Mode::ByWeight, terms, max: None };
    let mode = Mode::FollowPlayers(weigh_players(&players));
    let duel =
        PlacedFleet { replicas: NEEDED - 30 + chance.below(20), mode, terms: BTreeMap::new(), max: None };
    let fleets = [("arena".to_owned(), arena), ("duel".to_owned(), duel)].into();
    Rc::new(Facts { number, fleets })
}

impl World {
    pub(super) fn heal(&mut self) {
        self.quiet();
        self.links.iter_mut().flatten().for_each(|link| *link = Link::Up);
        for region in &mut self.regions {
            (region.api_server_away, region.said.failover) = (false, Failover::Automatic);
        }
    }

    /// So many regions of each other's choice; the others are on the other side.
    fn some(&mut self, most: usize) -> BTreeSet<usize> {
        let count = 1 + self.chance.index(most.max(1));
        (0..count).map(|_| self.chance.index(self.regions.len())).collect()
    }

    fn cut(&mut self, side: &BTreeSet<usize>, out: Link, back: Link) {
        for from in 0..self.regions.len() {
            for to in 0..self.regions.len() {
                match (side.contains(&from), side.contains(&to)) {
                    (true, false) => self.links[from][to] = out,
                    (false, true) => self.links[from][to] = back,
                    _ => {}
                }
            }
        }
    }

    /// Something happens, and lasts for a while.
    pub(super) fn shock(&mut self) -> Result<(), Broken> {
        let all = self.regions.len();
        let (few, any) = (self.some((all - 1) / 2), self.some(all));
        if self.chance.below(2) == 0 {
            self.order(&few)?;
        }
        match self.chance.below(10) {
            0 | 1 => self.cut(&few, Link::Cut, Link::Cut),
            2 => self.cut(&few, Link::Udp, Link::Udp),
            3 => self.cut(&few, Link::Cut, Link::Up),
            4 => self.cut(&few, Link::Up, Link::Cut),
            5 => self.cut(&any, Link::Cut, Link::Cut),
            6 => {
                for _ in 0..all {
                    let (from, to) = (self.chance.index(all), self.chance.index(all));
                    self.links[from][to] = [Link::Cut, Link::Udp][self.chance.index(2)];
                }
            }
            7 => return self.flap(&few),
            8 => few.iter().for_each(|&at| self.regions[at].api_server_away = true),
            _ => self.change(&any),
        }
        let seconds = self.chance.seconds(40, 40);
        self.pass(seconds)
    }

    /// People take the wheel: some regions get another mode, and one is drained or returned, by a majority or by fewer. All
    /// hear of it, and it may be that some start anew, before anything else happens.
    fn order(&mut self, some: &BTreeSet<usize>) -> Result<(), Broken> {
        for &at in some {
            let modes = [Failover::Automatic, Failover::Manual, Failover::Hold];
            self.regions[at].said.failover = modes[self.chance.index(modes.len())];
        }
        let all = self.regions.len();
        // mostly of those to which something may happen next
        let at = some.first().copied().filter(|_| self.chance.below(4) > 0);
        let at = at.unwrap_or_else(|| self.chance.index(all));
        let of = self.regions[at].id;
        let is_named = self.regions.iter().any(|region| region.said.drains.contains(&of));
        let voters = if self.chance.below(2) == 0 { majority(all) } else { 1 };
        let first = self.chance.index(all);
        for voter in (0..all).map(|at| (first + at) % all).take(if is_named { all } else { voters }) {
            let drains = &mut self.regions[voter].said.drains;
            let _changed = if is_named { drains.remove(&of) } else { drains.insert(of) };
        }
        let drained = self.true_orders().drained;
        self.drained.insert(drained);
        let seconds = self.chance.seconds(20, 20);
        self.pass(seconds)?;
        self.changes_max += 2;
        if self.chance.below(3) == 0 {
            self.start_anew(some);
        }
        Ok(())
    }

    fn flap(&mut self, side: &BTreeSet<usize>) -> Result<(), Broken> {
        for _ in 0..4 {
            for link in [Link::Cut, Link::Up] {
                self.cut(side, link, link);
                let seconds = self.chance.seconds(2, 10);
                self.pass(seconds)?;
                self.changes_max += 2;
            }
        }
        Ok(())
    }

    /// Players move, or some regions get a newer operator, or start anew.
    fn change(&mut self, some: &BTreeSet<usize>) {
        match self.chance.below(3) {
            0 => {
                let number = self.regions[HOME].facts.number + 1;
                self.regions[HOME].facts = any_facts(&mut self.chance, number, &self.registered);
            }
            1 => some.iter().for_each(|&at| self.regions[at].speaks = 2),
            _ => self.start_anew(some),
        }
    }

    fn start_anew(&mut self, some: &BTreeSet<usize>) {
        for &at in some {
            let region = &mut self.regions[at];
            (region.started, region.ballot) = (self.now, Ballot::default());
            region.heard.clear();
        }
    }
}
