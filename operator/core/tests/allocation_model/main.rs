//! Allocation, tried in every order of events that a few replicas, servers and callers can have, and in many longer ones.
#![expect(clippy::unwrap_used, reason = "a model that is wrong ends here")]

mod events;
mod world;

use events::Event;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use world::{Budget, MUTATIONS, Mutation, Random, World};

/// Events of a random run.
const STEPS: usize = 80;

/// Runs in which a rule that is broken on purpose must be found.
const FOUND_WITHIN: u64 = 50_000;

/// Worlds in which everybody has started, by replicas: 2 and 3.
struct Worlds([World; 2]);

impl Worlds {
    fn settled() -> Self {
        Self([2, 3].map(World::settled))
    }

    /// One run of random events, and then everything heals. What is broken, with the events that led there.
    fn run(&self, seed: u64, mutation: Option<Mutation>) -> Option<(String, Vec<Event>)> {
        let mut random = Random::new(seed);
        let mut world = self.0[random.below(self.0.len())].clone();
        (world.mutation, world.budget) = (mutation, Budget { asks: 6, faults: 5, ends: 1 });
        let mut trail = Vec::new();
        for _ in 0..STEPS {
            let Some(event) = world.choose(&mut random) else { break };
            trail.push(event);
            world.apply(event);
            if world.broken.is_some() {
                break;
            }
        }
        // of a rule that is broken only what is given twice counts: that it gets stuck would say nothing
        if world.broken.is_none() && mutation.is_none() {
            world.heal();
            world.check_settled();
            world.check_answers();
        }
        world.broken.map(|broken| (broken, trail))
    }

    /// Runs with the seeds below this one.
    fn run_all(&self, seeds: u64) {
        for seed in 0..seeds {
            if let Some((broken, trail)) = self.run(seed, None) {
                panic!("seed {seed}: {broken}, after {trail:?}");
            }
        }
    }
}

#[test]
fn no_key_gets_two_servers_in_thousands_of_random_runs_and_in_the_end_everybody_is_answered() {
    Worlds::settled().run_all(10_000);
}

#[test]
#[ignore = "a million runs; `cargo xtask test --level full`"]
fn no_key_gets_two_servers_in_a_million_random_runs() {
    Worlds::settled().run_all(1_000_000);
}

#[test]
fn each_rule_that_is_broken_on_purpose_is_found() {
    let worlds = Worlds::settled();
    for (mutation, first) in MUTATIONS {
        let mut seeds = first..first + FOUND_WITHIN;
        let found = seeds.find_map(|seed| worlds.run(seed, Some(mutation)).map(|(broken, _)| (seed, broken)));
        println!("{mutation:?}: {found:?}");
        assert!(found.is_some(), "{mutation:?} is not found");
    }
}

/// Tries every order of events up to this depth; how many states there are.
fn explore(budget: Budget, depth: usize) -> usize {
    let hash = |world: &World| {
        let mut hasher = DefaultHasher::new();
        world.hash(&mut hasher);
        hasher.finish()
    };
    let first = World { budget, ..World::settled(2) };
    let mut seen = HashSet::from([hash(&first)]);
    let mut frontier = vec![first];
    for _ in 0..depth {
        let mut next = Vec::new();
        for world in &frontier {
            for event in world.events() {
                let mut after = world.clone();
                after.apply(event);
                assert_eq!(after.broken, None, "by {event:?} after {world:#?}");
                if seen.insert(hash(&after)) {
                    next.push(after);
                }
            }
        }
        frontier = next;
    }
    seen.len()
}

#[test]
fn no_key_gets_two_servers_in_any_order_of_twelve_events() {
    let states = explore(Budget { asks: 2, faults: 1, ends: 0 }, 12);
    println!("{states} states");
    assert!(states > 1000, "{states}");
}
