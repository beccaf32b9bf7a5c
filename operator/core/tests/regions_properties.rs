//! What holds of every share and every placement, whatever the regions are.
#![expect(clippy::unwrap_used, reason = "names of regions that are known to fit")]

use operator_core::regions::membership::Standing;
use operator_core::regions::placement::{Candidate, Choice, Latencies, NoChoice, Party, select_region};
use operator_core::regions::shares::{
    Basis, Held, Holdings, Mode, PlacedFleet, Targets, Term, decide_targets, weigh_players,
};
use operator_core::regions::{RegionId, next_shares};
use operator_core::scale::Bounds;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Fleets = BTreeMap<String, PlacedFleet>;
type Regions = BTreeMap<RegionId, Bounds>;

fn region(at: usize) -> RegionId {
    format!("r{at}").parse().unwrap()
}

fn fleet() -> impl Strategy<Value = PlacedFleet> {
    let terms = prop::collection::btree_map((0_usize..6).prop_map(region), (0_u32..9, 0_u32..6), 0..6);
    let weights = prop::collection::btree_map((0_usize..6).prop_map(region), 0_u32..100, 0..6);
    (0_u32..60, terms, prop::option::of(weights)).prop_map(|(replicas, terms, weights)| PlacedFleet {
        replicas,
        max: None,
        mode: weights.map_or(Mode::ByWeight, Mode::FollowPlayers),
        terms: terms.into_iter().map(|(region, (weight, min))| (region, Term { weight, min })).collect(),
    })
}

fn fleets(count: std::ops::Range<usize>) -> impl Strategy<Value = Fleets> {
    prop::collection::btree_map("[a-e]", fleet(), count)
}

fn regions() -> impl Strategy<Value = Regions> {
    let bounds = (0_u32..8, 0_u32..60).prop_map(|(min, more)| Bounds { min, max: min + more });
    prop::collection::btree_map((0_usize..6).prop_map(region), bounds, 1..6)
}

/// Any of the regions that there may be.
fn drained() -> impl Strategy<Value = BTreeSet<RegionId>> {
    prop::collection::btree_set((0_usize..6).prop_map(region), 0..4)
}

fn min(fleet: &PlacedFleet, region: RegionId) -> u32 {
    fleet.terms.get(&region).map_or(0, |term| term.min)
}

fn minima(fleets: &Fleets, region: RegionId) -> u32 {
    fleets.values().map(|fleet| min(fleet, region)).sum()
}

fn total_of(targets: &Targets, fleet: &str) -> u32 {
    targets.shares[fleet].values().sum()
}

fn total_in(targets: &Targets, region: RegionId) -> u32 {
    targets.shares.values().map(|shares| shares[&region]).sum()
}

/// Whether there is a way to hold every bound. Any Fleet may be in any region, so sums are all that matters.
fn can_all_hold(fleets: &Fleets, regions: &Regions) -> bool {
    let replicas: u32 = fleets.values().map(|fleet| fleet.replicas).sum();
    let least = |(&region, bounds): (&RegionId, &Bounds)| bounds.min.max(minima(fleets, region));
    let fits =
        |fleet: &PlacedFleet| regions.keys().map(|&region| min(fleet, region)).sum::<u32>() <= fleet.replicas;
    regions.iter().all(|(&region, bounds)| minima(fleets, region) <= bounds.max)
        && fleets.values().all(fits)
        && regions.iter().map(least).sum::<u32>() <= replicas
        && replicas <= regions.values().map(|bounds| bounds.max).sum()
}

/// Regions that go from one set of targets to the next, each when it learns of it, and read each other late.
struct Movers {
    targets: Vec<Targets>,
    max: BTreeMap<RegionId, u32>,
    regions: Vec<Mover>,
}

#[derive(Clone, Copy, Debug)]
enum Action {
    /// Of the next targets.
    Learn,
    Step,
    MakeReady,
    /// What another has.
    Hear,
}

const ACTIONS: [Action; 4] = [Action::Learn, Action::Step, Action::MakeReady, Action::Hear];

struct Mover {
    id: RegionId,
    stage: usize,
    mine: Holdings,
    heard: BTreeMap<RegionId, Holdings>,
    /// Changes of each Fleet's share in this stage.
    changes: BTreeMap<String, usize>,
}

impl Movers {
    /// Everybody has made the first targets and says so.
    fn settled(targets: Vec<Targets>, regions: &Regions) -> Self {
        let held = |id| {
            let shares = targets[0].shares.iter();
            shares
                .map(|(fleet, shares)| {
                    (fleet.clone(), Held { share: shares[&id], ready: shares[&id], ..Held::default() })
                })
                .collect()
        };
        let mover = |&id: &RegionId| Mover {
            id,
            stage: 0,
            mine: Holdings { basis: Basis::default(), fleets: held(id) },
            heard: BTreeMap::new(),
            changes: BTreeMap::new(),
        };
        let movers = regions.keys().map(mover).collect();
        let max = regions.iter().map(|(&region, bounds)| (region, bounds.max)).collect();
        Self { targets, max, regions: movers }
    }

    fn act(&mut self, who: usize, other: usize, action: Action) {
        let (who, other) = (who % self.regions.len(), other % self.regions.len());
        match action {
            Action::Learn => self.learn(who),
            Action::Step => self.step(who),
            Action::MakeReady => {
                self.regions[who].mine.fleets.values_mut().for_each(|held| held.ready = held.share);
            }
            Action::Hear => {
                let told = &self.regions[other];
                let (id, told) = (told.id, told.mine.clone());
                self.regions[who].heard.insert(id, told);
            }
        }
    }

    fn learn(&mut self, who: usize) {
        let mover = &mut self.regions[who];
        if mover.stage + 1 < self.targets.len() {
            (mover.stage, mover.changes) = (mover.stage + 1, BTreeMap::new());
            self.step(who);
        }
    }

    fn step(&mut self, who: usize) {
        let mover = &mut self.regions[who];
        mover.mine.basis.view.number = mover.stage as u64;
        let heard = mover.heard.iter().map(|(&region, holdings)| (region, holdings)).collect();
        let max = self.max[&mover.id];
        for (fleet, share) in next_shares(mover.id, &mover.mine, max, &self.targets[mover.stage], &heard) {
            let held = mover.mine.fleets.entry(fleet.clone()).or_default();
            if held.share != share {
                *held = Held { share, ready: held.ready.min(share), ..Held::default() };
                *mover.changes.entry(fleet).or_default() += 1;
            }
        }
    }

    /// Everything that can still happen does, in turn.
    fn finish(&mut self) {
        for _round in 0..2 * self.targets.len() + 2 {
            for (who, other) in (0..self.regions.len()).flat_map(|who| (0..8).map(move |other| (who, other)))
            {
                for action in ACTIONS {
                    self.act(who, other, action);
                }
            }
        }
    }

    fn ready(&self, fleet: &str) -> u32 {
        self.regions.iter().map(|mover| mover.mine.fleets[fleet].ready).sum()
    }
}

fn placement() -> impl Strategy<Value = (Vec<Latencies>, BTreeMap<RegionId, Candidate>)> {
    let regions = || (0_usize..5).prop_map(region);
    let standing = prop::sample::select(vec![
        Standing::Connected,
        Standing::Connected,
        Standing::Connected,
        Standing::Isolated,
        Standing::Gone,
    ]);
    let candidate = (standing, 0_u32..8, prop::bool::weighted(0.2))
        .prop_map(|(standing, headroom, drained)| Candidate { standing, headroom, drained });
    let player = prop::collection::btree_map(regions(), 0_u32..130, 3..6);
    (prop::collection::vec(player, 0..6), prop::collection::btree_map(regions(), candidate, 0..6))
}

fn party(players: &[Latencies]) -> Party<'_> {
    Party { players, latency_ms_max: 100, own: Some(region(0)) }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn bounds_give_way_in_their_order_and_only_if_they_must(fleets in fleets(1..4), regions in regions()) {
        let targets = decide_targets(&fleets, &regions, &BTreeSet::new());
        prop_assert_eq!(targets.conflicts.is_empty(), can_all_hold(&fleets, &regions), "{:?}", targets);
        for (&region, bounds) in &regions {
            prop_assert!((bounds.min..=bounds.max).contains(&total_in(&targets, region)), "{targets:?}");
            if minima(&fleets, region) <= bounds.max {
                let held = |(name, fleet): (&String, &PlacedFleet)| {
                    targets.shares[name][&region] >= min(fleet, region)
                };
                prop_assert!(fleets.iter().all(held), "a minimum of a Fleet: {targets:?}");
            }
        }
        // what players need is in the replicas: less than those only when every region is full
        let wanted: u32 = fleets.values().map(|fleet| fleet.replicas).sum();
        let room: u32 = regions.values().map(|bounds| bounds.max).sum();
        let total: u32 = fleets.keys().map(|name| total_of(&targets, name)).sum();
        prop_assert!(total >= wanted.min(room), "{targets:?}");
    }

    #[test]
    fn the_order_in_which_facts_come_does_not_matter(fleets in fleets(1..4), regions in regions()) {
        let turned_fleets = fleets.clone().into_iter().rev().collect();
        let turned_regions = regions.clone().into_iter().rev().collect();
        let none = BTreeSet::new();
        prop_assert_eq!(
            decide_targets(&fleets, &regions, &none),
            decide_targets(&turned_fleets, &turned_regions, &none)
        );
    }

    #[test]
    fn drained_regions_get_nothing_and_the_others_what_they_would_get_without_them(
        fleets in fleets(1..4), regions in regions(), drained in drained(),
    ) {
        let mut left = regions.clone();
        left.retain(|region, _| !drained.contains(region));
        let targets = decide_targets(&fleets, &regions, &drained);
        if left.is_empty() {
            prop_assert_eq!(targets, decide_targets(&fleets, &regions, &BTreeSet::new()), "nothing to go to");
            return Ok(());
        }
        let without = decide_targets(&fleets, &left, &BTreeSet::new());
        prop_assert_eq!(&targets.conflicts, &without.conflicts);
        for (fleet, shares) in &targets.shares {
            prop_assert!(shares.keys().eq(regions.keys()), "{shares:?}");
            for (region, share) in shares {
                prop_assert_eq!(*share, without.shares[fleet].get(region).copied().unwrap_or_default());
            }
        }
    }

    /// Largest remainder is not monotone: a region may lose one server when the Fleet gets one more, never two.
    #[test]
    fn a_share_is_its_quota_rounded_and_one_more_replica_costs_a_region_one_at_most(
        weights in prop::collection::vec(1_u32..50, 1..7), replicas in 0_u32..200,
    ) {
        let terms: BTreeMap<_, _> =
            weights.iter().enumerate().map(|(at, &weight)| (region(at), Term { weight, min: 0 })).collect();
        let regions = terms.keys().map(|&region| (region, Bounds { min: 0, max: 1000 })).collect();
        let shares = |replicas| {
            let fleet = PlacedFleet { replicas, terms: terms.clone(), ..PlacedFleet::default() };
            let fleets = BTreeMap::from([("f".to_owned(), fleet)]);
            let targets = decide_targets(&fleets, &regions, &BTreeSet::new());
            targets.shares["f"].values().copied().collect::<Vec<u32>>()
        };
        let (shares, more) = (shares(replicas), shares(replicas + 1));
        let all: u32 = weights.iter().sum();
        for ((share, more), weight) in shares.iter().zip(&more).zip(&weights) {
            let quota = replicas * weight;
            prop_assert!((quota / all..=quota.div_ceil(all)).contains(share));
            prop_assert!(more + 1 >= *share);
        }
    }

    #[test]
    fn weights_are_never_a_step_off_and_crowds_that_jitter_do_not_go_on_moving_them(
        crowds in prop::collection::vec(10_000_u32..100_000, 1..7),
        jitter in prop::collection::vec(prop::collection::vec(0_u32..=10, 6..=6), 1..60),
    ) {
        let (mut weights, mut changes) = (BTreeMap::new(), 0);
        for per_mille in jitter {
            let less = |(&crowd, per_mille): (&u32, u32)| crowd - crowd * per_mille / 1000;
            let now = crowds.iter().zip(per_mille).map(less).enumerate();
            let players: BTreeMap<RegionId, u32> = now.map(|(at, players)| (region(at), players)).collect();
            let next = weigh_players(&players, &weights);
            changes += usize::from(next != weights);
            weights = next;
            prop_assert_eq!(weights.values().sum::<u32>(), 100);
            let all: u32 = players.values().sum();
            for (region, weight) in &weights {
                prop_assert!((players[region] * 100).abs_diff(weight * all) < 5 * all, "{weights:?} for {players:?}");
            }
        }
        prop_assert!(changes <= 1 + crowds.len(), "{changes} changes");
    }

    #[test]
    fn no_change_leaves_fewer_servers_than_before_or_after_whoever_moves_first(
        stages in prop::collection::vec((fleets(3..4), drained()), 2..5),
        regions in regions(),
        is_tight: bool,
        schedule in prop::collection::vec((0_usize..6, 0_usize..6, prop::sample::select(&ACTIONS[..])), 0..200),
    ) {
        // the same three Fleets at every stage, other regions drained
        let named = |fleets: Fleets| ["f", "g", "h"].map(str::to_owned).into_iter().zip(fleets.into_values()).collect();
        let max = |bounds: &Bounds| if is_tight { bounds.max } else { 10_000 };
        let regions: Regions =
            regions.iter().map(|(&region, bounds)| (region, Bounds { min: bounds.min, max: max(bounds) })).collect();
        let decide = |(fleets, drained)| decide_targets(&named(fleets), &regions, &drained);
        let targets: Vec<Targets> = stages.into_iter().map(decide).collect();
        let fewest = |fleet| targets.iter().map(|targets| total_of(targets, fleet)).min().unwrap();
        let mut movers = Movers::settled(targets.clone(), &regions);
        for (who, other, action) in schedule {
            movers.act(who, other, action);
            for mover in &movers.regions {
                let held: u32 = mover.mine.fleets.values().map(|held| held.share).sum();
                prop_assert!(held <= movers.max[&mover.id], "over the maximum");
                // one raise or one lowering; two lowerings if the first one makes room for another Fleet's raise
                let most = if is_tight { 2 } else { 1 };
                prop_assert!(mover.changes.values().all(|&changes| changes <= most), "{:?}", mover.changes);
            }
            if !is_tight {
                prop_assert!(["f", "g", "h"].into_iter().all(|fleet| movers.ready(fleet) >= fewest(fleet)));
            }
        }
        movers.finish();
        for mover in &movers.regions {
            for (fleet, shares) in &targets[targets.len() - 1].shares {
                prop_assert_eq!(mover.mine.fleets[fleet].ready, shares[&mover.id], "it ends where it should");
            }
        }
    }

    #[test]
    fn nobody_is_placed_over_the_limit_or_without_room_and_every_refusal_has_its_reasons(
        (players, candidates) in placement(),
    ) {
        match select_region(party(&players), &candidates) {
            Ok(choice) => {
                let far = players.iter().any(|player| player.get(&choice.region).is_none_or(|&ms| ms > 100));
                let candidate = candidates[&choice.region];
                prop_assert!(!far && candidate.headroom as usize >= players.len());
                let is_open = candidate.standing == Standing::Connected && !candidate.drained;
                let is_own = candidate.standing == Standing::Isolated && choice.region == region(0);
                prop_assert!(is_open || is_own, "{candidate:?}");
                prop_assert!(choice.latency_ms_mean <= choice.latency_ms_worst);
                let others = candidates.keys().filter(|&&other| other != choice.region);
                prop_assert!(choice.refused.keys().eq(others), "{:?}", choice.refused);
            }
            Err(NoChoice::Refused(reasons)) => prop_assert!(!reasons.is_empty() && reasons.keys().eq(candidates.keys())),
            Err(NoChoice::NoPlayers) => prop_assert!(players.is_empty()),
            Err(NoChoice::NoRegions) => prop_assert!(candidates.is_empty()),
        }
    }

    #[test]
    fn a_chosen_region_that_gets_nearer_stays_chosen(
        (players, candidates) in placement(), who: prop::sample::Index, nearer in 0_u32..130,
    ) {
        if let Ok(choice) = select_region(party(&players), &candidates) {
            let mut players = players;
            let latency = who.get_mut(&mut players).get_mut(&choice.region).unwrap();
            *latency = (*latency).min(nearer);
            let again = select_region(party(&players), &candidates).map(|choice| choice.region);
            prop_assert_eq!(again, Ok(choice.region));
        }
    }

    #[test]
    fn the_order_of_players_does_not_matter((players, candidates) in placement(), by in 0_usize..6) {
        let mut turned = players.clone();
        turned.rotate_left(by % players.len().max(1));
        prop_assert_eq!(select_region(party(&players), &candidates), select_region(party(&turned), &candidates));
        turned.reverse();
        prop_assert_eq!(select_region(party(&players), &candidates), select_region(party(&turned), &candidates));
    }

    #[test]
    fn names_matter_only_between_regions_that_are_equally_good((players, candidates) in placement()) {
        let other = |at: usize| region(4 - at);
        let rename: BTreeMap<RegionId, RegionId> = (0..5).map(|at| (region(at), other(at))).collect();
        let renamed = |player: &Latencies| player.iter().map(|(region, &ms)| (rename[region], ms)).collect();
        let players_renamed: Vec<Latencies> = players.iter().map(renamed).collect();
        let party_renamed = Party { own: Some(other(0)), ..party(&players_renamed) };
        let candidates_renamed = candidates.iter().map(|(region, &candidate)| (rename[region], candidate)).collect();
        let cost = |choice: Choice| (choice.latency_ms_worst, choice.latency_ms_mean);
        prop_assert_eq!(
            select_region(party(&players), &candidates).ok().map(cost),
            select_region(party_renamed, &candidates_renamed).ok().map(cost)
        );
    }
}
