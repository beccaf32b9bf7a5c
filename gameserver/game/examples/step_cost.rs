//! What a step of the arena costs, without anything around it: `cargo run --release --example step_cost`.
//!
//! Players send one input a tick at 64 Hz: three of four walk, the others cast at somebody, pick up or use something.
//! Two worlds take turns, one with everybody all over the map and one in which everybody goes to one place and fights
//! there, seven rounds each, so that what else goes on on the machine meets both. `step_cost PLAYERS` for another number than 1000.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a measuring program reads the clock, prints and takes shares"
)]

use std::time::Instant;

use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::rules::ArenaRules;
use gameserver_game::{Command, Entity, Game, Output, RandomStream, Setup};

const TICK_HZ: u32 = 64;
const ROUNDS: u32 = 7;
const TICKS: usize = 640;
/// In thousandths of a unit: everybody is within sight and range of everybody.
const CROWD: (i32, i32) = (520_000, 520_000);

struct World {
    name: &'static str,
    arena: Arena,
    random: RandomStream,
    is_crowd: bool,
    players: u32,
    /// What is there, by index, as of the last tick.
    seen: Vec<(u32, Entity)>,
    commands: Vec<Command<Intent>>,
    output: Output,
    /// Nanoseconds of each step and of telling what is there, all rounds.
    steps: Vec<u64>,
    entities: Vec<u64>,
    /// Median step of each round.
    medians: Vec<u64>,
    refused: usize,
    acts: usize,
    notices: usize,
}

impl World {
    fn new(players: u32, is_crowd: bool) -> Self {
        // no new match puts a crowd elsewhere
        let rules = ArenaRules { match_ms: 3_600_000, score_limit: u32::MAX, ..ArenaRules::of(players) };
        let setup = Setup { capacity: players, tick_hz: TICK_HZ, seed: 1 };
        let mut arena = Arena::with_rules(setup, rules);
        (0..players).for_each(|player| arena.join(player, player.into()));
        let notices = Arena::notices_max(players, players as usize);
        Self {
            name: if is_crowd { "all going to one place" } else { "all over the map" },
            arena,
            random: RandomStream::new(2),
            is_crowd,
            players,
            seen: Vec::new(),
            commands: Vec::with_capacity(players as usize),
            output: Output::with_capacity(players as usize, notices),
            steps: Vec::new(),
            entities: Vec::new(),
            medians: Vec::new(),
            refused: 0,
            acts: 0,
            notices: 0,
        }
    }

    fn choose(&mut self, player: u32) -> Intent {
        let random = &mut self.random;
        let Some(own) = self.arena.own(player) else { return Intent::Stop };
        let mut one_of = |part: &[(u32, Entity)]| {
            let count = u32::try_from(part.len()).unwrap_or(1).max(1);
            part.get(random.below(count) as usize).map_or(0, |(_, entity)| entity.id)
        };
        // players and NPCs come first, then items
        let bodies = (self.players + self.arena.rules().npcs) as usize;
        let (body, item) = (one_of(&self.seen[..bodies]), one_of(&self.seen[bodies..]));
        match random.below(16) {
            0 => Intent::Cast { skill: 0, target: body },
            1 => Intent::Cast { skill: 1001 + random.below(3), target: body },
            2 => Intent::PickUp { item },
            3 => Intent::Use { kind: ItemKind::ALL[random.below(3) as usize] },
            _ => {
                let mut stray = |place: i32, middle: i32| {
                    let way = if self.is_crowd { (middle - place).clamp(-4000, 4000) } else { 0 };
                    (place + way + random.below(6000).cast_signed() - 3000).clamp(0, 1_000_000)
                };
                Intent::Move { x: stray(own.x, CROWD.0), y: stray(own.y, CROWD.1) }
            }
        }
    }

    fn tick(&mut self, is_counted: bool) {
        self.commands.clear();
        for player in 0..self.players {
            let intent = if self.seen.is_empty() { Intent::Stop } else { self.choose(player) };
            self.commands.push(Command { player, sequence: 1, rewind_ticks: 6, intent });
        }
        self.output.clear();
        let started = Instant::now();
        self.arena.step(&self.commands, &mut self.output);
        let step = started.elapsed();
        self.seen.clear();
        let started = Instant::now();
        self.seen.extend(self.arena.entities());
        let entities = started.elapsed();
        if is_counted {
            self.steps.push(u64::try_from(step.as_nanos()).unwrap_or(u64::MAX));
            self.entities.push(u64::try_from(entities.as_nanos()).unwrap_or(u64::MAX));
            self.acts += self.commands.len();
            self.notices += self.output.notices.len();
            self.refused += self.output.outcomes.iter().filter(|outcome| outcome.result.is_err()).count();
        }
    }

    fn run_round(&mut self) {
        let before = self.steps.len();
        (0..TICKS).for_each(|_| self.tick(true));
        self.medians.push(quantile(&self.steps[before..], 0.5));
    }

    fn report(&self) {
        let npcs = self.arena.rules().npcs;
        println!(
            "{} players and {npcs} NPCs {}, {} steps at {TICK_HZ} Hz:",
            self.players,
            self.name,
            self.steps.len()
        );
        let of_rounds = [0.0, 0.5, 1.0].map(|part| quantile(&self.medians, part) / 1000);
        println!("  median step of a round: {of_rounds:?} us (min, median, max of {ROUNDS} rounds)");
        let of_steps = [0.0, 0.5, 0.99, 1.0].map(|part| quantile(&self.steps, part) / 1000);
        println!("  steps: {of_steps:?} us (min, median, p99, max)");
        let of_entities = [0.0, 0.5, 0.99, 1.0].map(|part| quantile(&self.entities, part) / 1000);
        println!("  what is there: {of_entities:?} us (min, median, p99, max)");
        let refused = self.refused as f64 * 100.0 / self.acts as f64;
        let notices = self.notices as f64 / self.steps.len() as f64;
        let is_near = |entity: &&(u32, Entity)| {
            let (x, y) = (entity.1.x.abs_diff(CROWD.0 / 10), entity.1.y.abs_diff(CROWD.1 / 10));
            entity.0 < self.players && x.max(y) < 5000
        };
        let near = self.seen.iter().filter(is_near).count();
        let sound = self.arena.violations().is_empty();
        println!(
            "  {refused:.0} % of inputs refused, {notices:.1} notices a step, {near} players in the middle, sound: {sound}"
        );
    }
}

/// The value below which this part of all lies.
fn quantile(values: &[u64], part: f64) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list that is as long as it is"
    )]
    let place = ((sorted.len() - 1) as f64 * part) as usize;
    sorted[place]
}

fn main() {
    let players = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    let mut worlds = [World::new(players, false), World::new(players, true)];
    // until the crowd has come together: from the far end of the map it is a way of seventy seconds
    for world in &mut worlds {
        (0..75 * TICK_HZ).for_each(|_| world.tick(false));
    }
    for _ in 0..ROUNDS {
        worlds.iter_mut().for_each(World::run_round);
    }
    worlds.iter().for_each(World::report);
}
