//! Players: they come, are placed by the operator of their region, play for a while, and go on to where they fit when they lose
//! their server.

use operator_core::regions::RegionId;
use operator_core::regions::placement::{Candidate, Latencies, Party, select_region};
use operator_core::regions::shares::Held;
use std::collections::BTreeMap;

use super::world::{FLEETS, Link, PARTS, World};
use super::{Mutation, PLAYERS_A_SERVER};

/// How long somebody plays on one server, on average.
const SESSION_SECONDS: u32 = 300;
/// Most milliseconds that a player accepts: the way round half of the world.
const LATENCY_MS_MAX: u32 = 200;

/// Players of one Fleet who belong to one region.
#[derive(Clone, Debug)]
pub(super) struct Crowd {
    /// On the servers of each region.
    pub(super) on: Vec<u32>,
    /// Without a place.
    pub(super) waiting: u32,
}

impl Crowd {
    pub(super) fn new(regions: usize) -> Self {
        Self { on: vec![0; regions], waiting: 0 }
    }

    pub(super) fn all(&self) -> u32 {
        self.waiting + self.on.iter().sum::<u32>()
    }

    /// These lose their server, and want another one.
    fn lose(&mut self, at: usize) {
        self.waiting += std::mem::take(&mut self.on[at]);
    }

    /// Some have played enough there, and play on somewhere: as many as `rest` says in turn, so that a few are not always none.
    fn end_sessions(&mut self, rest: u32) {
        for on in &mut self.on {
            let ended = (*on + rest) / SESSION_SECONDS;
            (*on, self.waiting) = (*on - ended, self.waiting + ended);
        }
    }

    /// Becomes so many: who waits goes first, and the others as they are spread.
    fn resize(&mut self, wanted: u32) {
        let all = self.all();
        self.waiting += wanted.saturating_sub(all);
        let mut go = all.saturating_sub(wanted);
        let first = go.min(self.waiting);
        (self.waiting, go) = (self.waiting - first, go - first);
        let (mut left, mut of) = (go, self.on.iter().sum::<u32>());
        for on in &mut self.on {
            if of == 0 {
                break;
            }
            let gone = u32::try_from(u64::from(left) * u64::from(*on) / u64::from(of)).unwrap();
            of -= *on;
            (*on, left) = (*on - gone, left - gone);
        }
    }
}

/// Servers that take players: what is only there because somebody plays on it does not.
fn offered(held: &Held) -> u32 {
    held.ready.min(held.asked())
}

impl World {
    /// Players come, go and are placed.
    pub(super) fn play(&mut self) {
        let all = self.regions.len();
        let rest = u32::try_from(self.now % u64::from(SESSION_SECONDS)).unwrap();
        for at in 0..all {
            let wanted = self.waves.wanted(at, self.now);
            let out: Vec<usize> = (0..all).filter(|&to| !self.can_reach(at, to)).collect();
            for (crowd, part) in self.crowds[at].iter_mut().zip(PARTS) {
                for &to in &out {
                    crowd.lose(to);
                }
                crowd.end_sessions(rest);
                crowd.resize(wanted * part / 1000);
            }
        }
        for fleet in 0..FLEETS.len() {
            self.count_players(fleet);
            self.place(fleet);
            self.count_players(fleet);
        }
    }

    fn count_players(&mut self, fleet: usize) {
        for at in 0..self.regions.len() {
            let players = self.crowds.iter().map(|crowds| crowds[fleet].on[at]).sum();
            if let Some(held) = self.regions[at].holdings.fleets.get_mut(FLEETS[fleet]) {
                held.players = players;
            }
        }
    }

    /// Whether people who belong to the one region can play in the other. Those of a lost region reach whatever is not lost.
    pub(super) fn can_reach(&self, of: usize, at: usize) -> bool {
        let is_cut = self.links[of][at] == Link::Cut || self.links[at][of] == Link::Cut;
        !self.lost.contains(&at) && (of == at || self.lost.contains(&of) || !is_cut)
    }

    /// Round trip between two regions, which lie around the world.
    fn latency_ms(&self, of: usize, at: usize) -> u32 {
        let (all, apart) = (self.regions.len(), of.abs_diff(at));
        10 + 300 * u32::try_from(apart.min(all - apart)).unwrap() / u32::try_from(all).unwrap()
    }

    /// Whose operator places the players of a region: its own; the nearest one that is there, if it is lost.
    pub(super) fn door(&self, of: usize) -> Option<usize> {
        let doors = (0..self.regions.len()).filter(|door| !self.lost.contains(door));
        doors.min_by_key(|&door| (self.latency_ms(of, door), door))
    }

    /// Places whoever waits for this Fleet, the regions first in turn.
    fn place(&mut self, fleet: usize) {
        let all = self.regions.len();
        let mut known = BTreeMap::new();
        for of in (0..all).map(|at| (at + usize::try_from(self.now).unwrap()) % all) {
            let Some(door) = self.door(of).filter(|_| self.crowds[of][fleet].waiting > 0) else { continue };
            let candidates = known.entry(door).or_insert_with(|| self.candidates(door, FLEETS[fleet]));
            let near = (0..all).filter(|&at| self.can_reach(of, at));
            let player: Latencies = near.map(|at| (self.regions[at].id, self.latency_ms(of, at))).collect();
            let own = (of == door).then_some(self.regions[door].id);
            while self.crowds[of][fleet].waiting > 0 {
                let party =
                    Party { players: std::slice::from_ref(&player), latency_ms_max: LATENCY_MS_MAX, own };
                let Ok(choice) = select_region(party, candidates) else { break };
                let Some(candidate) = candidates.get_mut(&choice.region) else { break };
                let at = self.regions.iter().position(|region| region.id == choice.region).unwrap();
                let sent = candidate.headroom.min(self.crowds[of][fleet].waiting);
                candidate.headroom -= sent;
                // where it has become full meanwhile, they wait on
                let taken = sent.min(self.free(at, fleet));
                self.crowds[of][fleet].waiting -= taken;
                self.crowds[of][fleet].on[at] += taken;
                if taken < sent {
                    candidate.headroom = 0;
                }
            }
        }
    }

    /// Players who fit on a region's servers, in truth.
    pub(super) fn free(&self, at: usize, fleet: usize) -> u32 {
        let players: u32 = self.crowds.iter().map(|crowds| crowds[fleet].on[at]).sum();
        let held = self.regions[at].holdings.fleets.get(FLEETS[fleet]);
        (held.map_or(0, offered) * PLAYERS_A_SERVER).saturating_sub(players)
    }

    /// The regions as the operator of one of them knows them.
    fn candidates(&self, door: usize, fleet: &str) -> BTreeMap<RegionId, Candidate> {
        let (me, orders) = (&self.regions[door], self.orders(door));
        let headroom = |held: Option<&Held>| {
            held.map_or(0, |held| (offered(held) * PLAYERS_A_SERVER).saturating_sub(held.players))
        };
        let candidate = |at: usize| {
            let id = self.regions[at].id;
            let holdings = if at == door { &me.holdings } else { &me.heard.get(&at)?.1.holdings };
            let standing = me.judgements.get(&id)?.standing;
            let drained = orders.drained.contains(&id);
            Some((id, Candidate { standing, headroom: headroom(holdings.fleets.get(fleet)), drained }))
        };
        let is_meant = |at: &usize| self.mutation != Some(Mutation::KeepToThemselves) || *at == door;
        (0..self.regions.len()).filter(is_meant).filter_map(candidate).collect()
    }
}
