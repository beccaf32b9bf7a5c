//! What holds of a home that is lost, whatever happened before and whoever answers.
#![expect(clippy::unwrap_used, reason = "names of regions that are known to fit")]

use operator_core::regions::RegionId;
use operator_core::regions::membership::majority;
use operator_core::regions::recovery::{Answer, Buried, Mark, Own, Plan, Told, Wins, take_back};
use operator_core::regions::shares::Version;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn region(at: usize) -> RegionId {
    format!("r{at}").parse().unwrap()
}

/// What happens to the only Fleet.
#[derive(Clone, Debug)]
enum Event {
    /// A person changes it, or makes it anew.
    Change,
    Delete,
    /// The cluster is lost, and all peers answer.
    Lose,
}

/// The home, its peers, and which of its events each has heard.
struct World {
    own: Own,
    stones: Vec<(String, Mark)>,
    peers: BTreeMap<RegionId, Answer<usize>>,
    heard: BTreeMap<RegionId, usize>,
    /// What the Fleet was after each event.
    history: Vec<Option<Mark>>,
    uids: u64,
}

impl World {
    fn new(regions: usize) -> Self {
        let peers = (1..regions).map(|at| (region(at), Answer::default())).collect();
        let heard = (1..regions).map(|at| (region(at), 0)).collect();
        Self { own: Own::default(), stones: Vec::new(), peers, heard, history: vec![None], uids: 0 }
    }

    fn fleet(&self) -> Option<Mark> {
        self.own.fleets.get("f").copied()
    }

    fn happen(&mut self, event: &Event) {
        match event {
            Event::Change => {
                let next = if let Some(Mark { version, records, uid }) = self.fleet() {
                    Mark { version: Version { generation: version.generation + 1, ..version }, records, uid }
                } else {
                    // As the operator does: a name never goes back to a lower epoch.
                    let buried = self.stones.iter().map(|(_, stone)| stone.version.home_epoch);
                    self.anew(buried.max().unwrap_or_default())
                };
                self.own.fleets.insert("f".to_owned(), next);
            }
            Event::Delete => {
                if let Some(gone) = self.own.fleets.remove("f") {
                    self.bury(gone);
                }
            }
            Event::Lose => self.recover(&self.peers.clone()),
        }
        self.history.push(self.fleet());
    }

    fn anew(&mut self, home_epoch: u64) -> Mark {
        self.uids += 1;
        Mark { version: Version { home_epoch, generation: 1 }, records: 0, uid: self.uids }
    }

    fn bury(&mut self, gone: Mark) {
        self.own.buried.add("f", gone);
        self.stones.push(("f".to_owned(), gone));
    }

    /// A peer reads the home.
    fn read(&mut self, peer: RegionId) {
        let now = self.history.len() - 1;
        let told = |mark| ("f".to_owned(), Told { mark, what: now });
        let copies = self.fleet().map(told).into_iter().collect();
        let answer = Answer { copies, stones: self.stones.clone(), registered: BTreeSet::new() };
        self.peers.insert(peer, answer);
        self.heard.insert(peer, now);
    }

    /// A new home with these answers.
    fn recover(&mut self, answers: &BTreeMap<RegionId, Answer<usize>>) {
        let plan = take_back(&Own::default(), answers, Wins::Applied);
        (self.own, self.stones) = Default::default();
        for (_, stone) in answers.values().flat_map(|answer| answer.stones.clone()) {
            self.bury(stone);
        }
        if let Some(back) = plan.fleets.get("f") {
            let mark = self.anew(back.epoch);
            self.own.fleets.insert("f".to_owned(), mark);
        }
    }
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![5 => Just(Event::Change), 3 => Just(Event::Delete), 1 => Just(Event::Lose)]
}

/// Regions, what happens, and who reads it then, as bits.
fn histories() -> impl Strategy<Value = (usize, Vec<(Event, u8)>, u8)> {
    let regions = prop_oneof![Just(3_usize), Just(5), Just(7)];
    (regions, prop::collection::vec((event(), any::<u8>()), 0..12), any::<u8>())
}

/// A majority of the peers: from those of the bits on.
fn answering(regions: usize, bits: u8) -> BTreeSet<RegionId> {
    let peers = 1..regions;
    let picked = peers.clone().filter(|at| bits >> at & 1 == 1);
    let rest = peers.filter(|at| bits >> at & 1 == 0);
    picked.chain(rest).take(majority(regions - 1)).map(region).collect()
}

fn what_comes(plan: &Plan<usize>) -> Option<usize> {
    plan.fleets.get("f").map(|back| back.from.unwrap().1)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_a_majority_had_heard_survives_the_loss_of_its_home((regions, events, bits) in histories()) {
        let mut world = World::new(regions);
        for (event, readers) in &events {
            world.happen(event);
            for at in (1..regions).filter(|at| readers >> at & 1 == 1) {
                world.read(region(at));
            }
        }
        let asked = answering(regions, bits);
        let answers: BTreeMap<_, _> =
            world.peers.iter().filter(|(peer, _)| asked.contains(peer)).map(|(peer, answer)| (*peer, answer.clone())).collect();
        let plan = take_back(&Own::default(), &answers, Wins::Applied);

        let comes = what_comes(&plan);
        let latest = asked.iter().map(|peer| world.heard[peer]).max().unwrap();
        let what_was = |at: usize| world.history[at];
        prop_assert_eq!(
            comes.and_then(what_was), what_was(latest),
            "as whoever heard most of them says, be it that it is deleted"
        );
        let by_majority = (0..world.history.len()).rev().find(|event| {
            let readers = world.heard.values().filter(|heard| *heard >= event).count();
            1 + readers >= majority(regions)
        });
        prop_assert!(latest >= by_majority.unwrap(), "what a majority had heard is among it");
        let mut dead = Buried::default();
        for (fleet, stone) in answers.values().flat_map(|answer| &answer.stones) {
            dead.add(fleet, *stone);
        }
        if let Some(at) = comes {
            prop_assert!(!dead.has("f", what_was(at).unwrap()), "and never what is deleted");
        }
        let seen = answers.values().flat_map(|answer| answer.copies.values());
        let highest = seen.map(|told| told.mark.version.home_epoch).max();
        prop_assert!(plan.fleets.values().all(|back| back.epoch > highest.unwrap()), "later for everybody");
    }

    #[test]
    fn bringing_back_is_done_once_whoever_wins((regions, events, bits) in histories()) {
        let mut world = World::new(regions);
        let mut old = world.own.clone();
        for (at, (event, readers)) in events.iter().enumerate() {
            world.happen(event);
            for at in (1..regions).filter(|at| readers >> at & 1 == 1) {
                world.read(region(at));
            }
            if at == events.len() / 2 {
                old = world.own.clone();
            }
        }
        let asked = answering(regions, bits);
        world.peers.retain(|peer, _| asked.contains(peer));
        for wins in [Wins::Applied, Wins::Peers, Wins::Home] {
            let mut own = old.clone();
            let plan = take_back(&own, &world.peers, wins);
            for (name, back) in &plan.fleets {
                let uid = own.fleets.get(name).map_or(900, |own| own.uid);
                let version = Version { home_epoch: back.epoch, generation: 1 };
                own.fleets.insert(name.clone(), Mark { version, records: 0, uid });
            }
            own.fleets.retain(|name, _| !plan.delete.contains(name));
            for (fleet, stone) in world.peers.values().flat_map(|answer| &answer.stones) {
                own.buried.add(fleet, *stone);
            }
            for (name, _) in &plan.bury {
                for told in world.peers.values().filter_map(|answer| answer.copies.get(name)) {
                    own.buried.add(name, told.mark);
                }
            }
            let again = take_back(&own, &world.peers, wins);
            let nothing = Plan { fleets: BTreeMap::new(), delete: BTreeSet::new(), bury: Vec::new() };
            prop_assert_eq!(again, nothing, "{:?}", wins);
        }
    }
}
