//! What happens to the regions, by chance, and often at the same time.

use operator_core::regions::membership::majority;
use operator_core::regions::orders::Failover;
use operator_core::regions::view::Ballot;
use std::collections::BTreeSet;
use std::rc::Rc;

use super::Broken;
use super::coverage::Mixture;
use super::trace::{Mark, Shock};
use super::waves::LAUNCH_SECONDS;
use super::world::{HOME, Link, NEXT, NOW, OLD, World, any_facts};

/// How long a mark of what takes no time is.
const MOMENT_SECONDS: u64 = 1;

impl World {
    /// Whatever lasts is over. What regions learn only now is another event.
    pub(super) fn heal(&mut self) {
        self.quiet();
        self.last_event = self.now;
        let latest = self.regions[HOME].facts.number;
        let is_behind = self.regions.iter().any(|region| region.facts.number < latest);
        self.changes_max += 2 * usize::from(is_behind);
        self.changes_max += 2 * usize::from(self.since_cut.upgraded || self.since_cut.rolled_back);
        self.since_cut = Mixture::default();
        self.lost.clear();
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

    fn mark(&mut self, shock: Shock, from: u64) {
        self.mark_until(shock, from, self.now.max(from + MOMENT_SECONDS));
    }

    fn mark_until(&mut self, shock: Shock, from: u64, until: u64) {
        let marks = &mut self.trace.marks;
        let place = marks.iter().rposition(|mark| mark.from <= from).map_or(0, |before| before + 1);
        marks.insert(place, Mark { shock, from, until });
    }

    /// Something happens, and lasts for a while, in which more may happen.
    pub(super) fn shock(&mut self) -> Result<(), Broken> {
        let all = self.regions.len();
        let (few, any) = (self.some((all - 1) / 2), self.some(all));
        if self.chance.is_one_in(2) {
            self.order(&few)?;
        }
        let from = self.now;
        let shock = match self.chance.below(12) {
            0 => self.cut_off(&few, Shock::Cut),
            1 | 2 => self.cut_off(&few, Shock::Lost),
            3 => self.cut_off(&any, Shock::Cut),
            4 => {
                self.cut(&few, Link::Udp, Link::Udp);
                Shock::Digests
            }
            5 => {
                let (out, back) = [(Link::Cut, Link::Up), (Link::Up, Link::Cut)][self.chance.index(2)];
                self.cut(&few, out, back);
                Shock::OneWay
            }
            6 => {
                for _ in 0..all {
                    let (from, to) = (self.chance.index(all), self.chance.index(all));
                    self.links[from][to] = [Link::Cut, Link::Udp][self.chance.index(2)];
                }
                Shock::Links
            }
            7 => {
                self.flap(&few)?;
                Shock::Flap
            }
            8 => {
                for &at in &few {
                    self.regions[at].api_server_away = true;
                }
                Shock::ApiServer
            }
            9 => {
                for &at in &any {
                    self.start_anew(at);
                }
                Shock::Restart
            }
            10 => {
                let before = self.regions[HOME].facts.clone();
                let facts = any_facts(&mut self.chance, before.number + 1, &self.registered, Some(&before));
                self.publish_facts(|_| Rc::into_inner(facts).unwrap());
                Shock::Spec
            }
            _ => {
                self.roll()?;
                Shock::Upgrade
            }
        };
        self.more(shock)?;
        if shock != Shock::Upgrade {
            self.mark(shock, from);
        }
        Ok(())
    }

    fn cut_off(&mut self, side: &BTreeSet<usize>, shock: Shock) -> Shock {
        self.cut(side, Link::Cut, Link::Cut);
        if shock == Shock::Lost {
            self.lost.clone_from(side);
        }
        shock
    }

    /// What else happens while that lasts.
    fn more(&mut self, shock: Shock) -> Result<(), Broken> {
        let seconds = self.chance.seconds(5, 20);
        self.pass(seconds)?;
        if self.chance.is_one_in(3) {
            let at = self.chance.index(self.regions.len());
            let from = self.now;
            if self.waves.launch(&mut self.chance, at, from) {
                self.mark_until(Shock::Launch, from, from + LAUNCH_SECONDS);
            }
        }
        if shock != Shock::Upgrade && self.chance.is_one_in(2) {
            self.roll()?;
        }
        let seconds = self.chance.seconds(35, 40);
        self.pass(seconds)
    }

    /// People take the wheel: some regions get another mode, and one is drained or returned, by a majority or by fewer. All
    /// hear of it, and it may be that some start anew, before anything else happens.
    fn order(&mut self, some: &BTreeSet<usize>) -> Result<(), Broken> {
        let from = self.now;
        let everywhere = self.chance.is_one_in(3);
        for at in (0..self.regions.len()).filter(|at| everywhere || some.contains(at)) {
            let modes = [Failover::Automatic, Failover::Manual, Failover::Hold];
            self.regions[at].said.failover = modes[self.chance.index(modes.len())];
        }
        let all = self.regions.len();
        // mostly of those to which something may happen next
        let at = some.first().copied().filter(|_| self.chance.below(4) > 0);
        let at = at.unwrap_or_else(|| self.chance.index(all));
        // and not more of them than leave a majority, or seldom
        let drained = self.true_orders().drained;
        let returned = drained.first().filter(|_| drained.len() >= all.div_ceil(2) - 1);
        let returned = returned.copied().filter(|_| !self.chance.is_one_in(4));
        let of = returned.unwrap_or(self.regions[at].id);
        let is_named = self.regions.iter().any(|region| region.said.drains.contains(&of));
        let voters = if self.chance.below(2) == 0 { majority(all) } else { 1 };
        let first = self.chance.index(all);
        for voter in (0..all).map(|at| (first + at) % all).take(if is_named { all } else { voters }) {
            let drains = &mut self.regions[voter].said.drains;
            let _changed = if is_named { drains.remove(&of) } else { drains.insert(of) };
        }
        let drained = self.true_orders().drained;
        self.drained.insert(drained);
        self.last_event = self.now;
        let seconds = self.chance.seconds(20, 20);
        self.pass(seconds)?;
        self.mark(Shock::Order, from);
        self.happened();
        if self.chance.is_one_in(3) {
            for &at in some {
                self.start_anew(at);
            }
        }
        Ok(())
    }

    fn flap(&mut self, side: &BTreeSet<usize>) -> Result<(), Broken> {
        for _ in 0..4 {
            for link in [Link::Cut, Link::Up] {
                self.cut(side, link, link);
                let seconds = self.chance.seconds(2, 10);
                self.pass(seconds)?;
                self.happened();
            }
        }
        Ok(())
    }

    /// Operators become newer, one region after the other; it may be that they are taken back again, to what they were or to one
    /// that is older than that.
    fn roll(&mut self) -> Result<(), Broken> {
        let all = self.regions.len();
        let (first, count) = (self.chance.index(all), 1 + self.chance.index(all));
        // nobody upgrades where the API server is away
        let can = |at: &usize| !self.regions[*at].api_server_away;
        let some: Vec<usize> = (first..first + count).map(|at| at % all).filter(can).collect();
        self.roll_to(&some, NEXT)?;
        self.since_cut.upgraded = true;
        if self.chance.is_one_in(2) {
            let before = if self.chance.is_one_in(3) { OLD } else { NOW };
            let seconds = self.chance.seconds(1, 20);
            self.pass(seconds)?;
            self.roll_to(&some, before)?;
            self.since_cut.rolled_back = true;
        }
        Ok(())
    }

    fn roll_to(&mut self, some: &[usize], version: u32) -> Result<(), Broken> {
        let from = self.now;
        for &at in some {
            let region = &mut self.regions[at];
            (region.speaks, region.spoke) = (version, region.spoke.max(version));
            // what it kept of its vote outlives its process
            region.started = self.now;
            region.heard.clear();
            self.happened();
            let seconds = self.chance.seconds(1, 5);
            self.pass(seconds)?;
        }
        self.mark(if version == NEXT { Shock::Upgrade } else { Shock::Rollback }, from);
        Ok(())
    }

    fn start_anew(&mut self, at: usize) {
        let region = &mut self.regions[at];
        (region.started, region.ballot) = (self.now, Ballot::default());
        region.heard.clear();
    }
}
