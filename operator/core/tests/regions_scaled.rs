//! What holds while AutoScalers decide in each region within what it is given, and while a template goes from region to region.
#![expect(clippy::unwrap_used, reason = "names of regions that are known to fit")]

use operator_core::regions::rollout::{Rollout, Taken};
use operator_core::regions::shares::{Held, Holdings, PlacedFleet, Scaled, Targets, Term, decide_targets};
use operator_core::regions::{RegionId, next_maxima, next_shares};
use operator_core::scale::Bounds;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

type Regions = BTreeMap<RegionId, Bounds>;

fn region(at: usize) -> RegionId {
    format!("r{at}").parse().unwrap()
}

fn fleet() -> impl Strategy<Value = PlacedFleet> {
    let terms = prop::collection::btree_map((0_usize..5).prop_map(region), (0_u32..9, 0_u32..4), 0..5);
    (0_u32..30, prop::option::of(0_u32..60), terms).prop_map(|(replicas, max, terms)| PlacedFleet {
        replicas,
        max,
        terms: terms.into_iter().map(|(region, (weight, min))| (region, Term { weight, min })).collect(),
        ..PlacedFleet::default()
    })
}

/// Two Fleets, of which `f` has an AutoScaler.
fn fleets() -> impl Strategy<Value = BTreeMap<String, PlacedFleet>> {
    (fleet(), 0_u32..60, fleet()).prop_map(|(f, max, g)| {
        let f = PlacedFleet { max: Some(max), ..f };
        [("f".to_owned(), f), ("g".to_owned(), g)].into()
    })
}

fn regions() -> impl Strategy<Value = Regions> {
    let bounds = (0_u32..5, 0_u32..40).prop_map(|(min, more)| Bounds { min, max: min + more });
    prop::collection::btree_map((0_usize..5).prop_map(region), bounds, 1..5)
}

/// A region whose AutoScaler has as many as it likes within its bounds.
struct Scaling {
    id: RegionId,
    stage: usize,
    mine: Holdings,
    heard: BTreeMap<RegionId, Holdings>,
}

impl Scaling {
    fn step(&mut self, targets: &Targets, max: u32) {
        self.mine.basis.view.number = self.stage as u64;
        let peers = self.heard.iter().map(|(&region, holdings)| (region, holdings)).collect();
        let next = next_shares(self.id, &self.mine, max, targets, &peers);
        let bounds = next_maxima(self.id, &self.mine, max, (targets, &next), &peers);
        for (fleet, share) in next {
            let held = self.mine.fleets.entry(fleet.clone()).or_default();
            let (replicas, scaled) = match bounds.get(&fleet) {
                None => (share, None),
                Some(bounds) => {
                    let replicas = held.asked().clamp(bounds.min, bounds.max);
                    (replicas, Some(Scaled { replicas, max: bounds.max }))
                }
            };
            *held = Held { share, ready: held.ready.min(replicas), scaled, ..Held::default() };
        }
    }

    fn scale(&mut self, wish: u32) {
        for held in self.mine.fleets.values_mut() {
            if let Some(scaled) = &mut held.scaled {
                scaled.replicas = wish.clamp(held.share, scaled.max);
                held.ready = held.ready.min(scaled.replicas);
            }
        }
    }
}

fn total(targets: &Targets, fleet: &str) -> u32 {
    targets.shares[fleet].values().sum()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_maximum_is_nowhere_below_its_minimum_and_all_of_them_fit_into_the_region(
        fleets in fleets(), regions in regions(),
    ) {
        let targets = decide_targets(&fleets, &regions, &BTreeSet::new());
        let bare = |fleet: &PlacedFleet| PlacedFleet { max: None, ..fleet.clone() };
        let without = fleets.iter().map(|(name, fleet)| (name.clone(), bare(fleet))).collect();
        prop_assert_eq!(&targets.shares, &decide_targets(&without, &regions, &BTreeSet::new()).shares, "a maximum moves no minimum");
        for (&region, bounds) in &regions {
            let most = |fleet| targets.maxima.get(fleet).unwrap_or_else(|| &targets.shares[fleet])[&region];
            prop_assert!(fleets.keys().all(|fleet| most(fleet) >= targets.shares[fleet][&region]));
            prop_assert!(fleets.keys().map(most).sum::<u32>() <= bounds.max, "{targets:?}");
        }
        // as many as are allowed, but for what the minima ask for and the regions have room for
        let room: u32 = regions.values().map(|bounds| bounds.max).sum();
        let most: u32 = targets.maxima["f"].values().sum();
        let others = targets.maxima.get("g").unwrap_or_else(|| &targets.shares["g"]).values().sum::<u32>();
        let wanted = fleets["f"].max.unwrap().max(total(&targets, "f"));
        prop_assert!(most <= wanted && (most == wanted || most + others == room), "{targets:?}");
    }

    #[test]
    fn whatever_autoscalers_do_there_are_as_many_as_the_minima_ask_for_and_no_more_than_fit(
        stages in prop::collection::vec(fleets(), 2..4),
        regions in regions(),
        schedule in prop::collection::vec((0_usize..5, 0_usize..5, 0_u32..5, 0_u32..60), 0..200),
    ) {
        let all: Vec<Targets> = stages.iter().map(|fleets| decide_targets(fleets, &regions, &BTreeSet::new())).collect();
        let mut places: Vec<Scaling> = regions.keys().map(|&id| {
            let mine = Holdings::default();
            Scaling { id, stage: 0, mine, heard: BTreeMap::new() }
        }).collect();
        for place in &mut places {
            place.step(&all[0], regions[&place.id].max);
            place.mine.fleets.values_mut().for_each(|held| held.ready = held.asked());
        }
        // where what two Fleets compete for is full, the maximum of the region goes before their minima
        let is_wide = regions.values().all(|bounds| bounds.max >= 35);
        let mut reached = 0;
        for (who, other, action, wish) in schedule {
            let (who, other) = (who % places.len(), other % places.len());
            let max = regions[&places[who].id].max;
            match action {
                0 if places[who].stage + 1 < all.len() => places[who].stage += 1,
                1 => places[who].mine.fleets.values_mut().for_each(|held| held.ready = held.asked()),
                2 => {
                    let (id, told) = (places[other].id, places[other].mine.clone());
                    places[who].heard.insert(id, told);
                }
                3 => places[who].scale(wish),
                _ => {}
            }
            let stage = places[who].stage;
            reached = reached.max(stage);
            places[who].step(&all[stage], max);
            for place in &places {
                let most = place.mine.fleets.values().map(|held| held.scaled.map_or(held.share, |scaled| scaled.max));
                prop_assert!(most.sum::<u32>() <= regions[&place.id].max, "over the maximum of {}", place.id);
                let within = |held: &Held| held.scaled.is_none_or(|scaled| (held.share..=scaled.max).contains(&held.asked()));
                prop_assert!(place.mine.fleets.values().all(within));
            }
            if is_wide {
                let fewest = all[..=reached].iter().map(|targets| total(targets, "f")).min().unwrap();
                let ready: u32 = places.iter().map(|place| place.mine.fleets["f"].ready).sum();
                prop_assert!(ready >= fewest, "{ready} of {fewest}");
            }
        }
    }

    #[test]
    fn no_region_takes_a_template_before_those_before_it_and_all_take_it_in_the_end(
        count in 1_usize..6,
        canary in prop::option::of((0_usize..6).prop_map(region)),
        leaves in prop::option::of(0_usize..6),
        schedule in prop::collection::vec((0_usize..6, 0_usize..6, 0_u32..5), 0..200),
    ) {
        let mut truth = vec![Taken { generation: 1, is_ready: true }; count];
        let mut known = vec![1_u64; count];
        let mut heard = vec![truth.clone(); count];
        let mut gone = None;
        let place = |at: usize| (canary != Some(region(at)), at);
        let counts = |gone: Option<usize>, at: usize| gone != Some(at);
        let rest = (0..8 * count).flat_map(|_| (0..count).flat_map(|who| (0..count).flat_map(move |other| [0, 2, 1, 3].map(|action| (who, other, action)))));
        for (who, other, action) in schedule.into_iter().chain([(0, 0, 9)]).chain(rest) {
            let (who, other) = (who % count, other % count);
            match action {
                // its home says more of it: two more templates in all
                0 => known[who] = (known[who] + 1).min(3),
                1 => truth[who].is_ready = true,
                2 => heard[who][other] = truth[other],
                3 => {
                    let seen = |at: usize| if at == who { truth[at] } else { heard[who][at] };
                    let regions = (0..count).filter(|&at| counts(gone, at)).map(|at| (region(at), seen(at)));
                    let rollout = Rollout { canary, regions: regions.collect() };
                    let is_news = counts(gone, who) && truth[who].generation < known[who];
                    if is_news && rollout.waits_for(region(who), known[who]).is_none() {
                        let before = (0..count).filter(|&at| counts(gone, at) && place(at) < place(who));
                        for at in before {
                            prop_assert!(truth[at].generation >= known[who], "{at} is before {who}");
                        }
                        truth[who] = Taken { generation: known[who], is_ready: false };
                    }
                }
                9 => gone = leaves.map(|at| at % count).filter(|_| count > 1),
                _ => truth[who].is_ready &= counts(gone, who),
            }
        }
        for at in (0..count).filter(|&at| counts(gone, at)) {
            prop_assert_eq!(truth[at], Taken { generation: 3, is_ready: true }, "{} of {}", at, count);
        }
    }
}
