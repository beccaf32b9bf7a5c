//! How much combat the arena decides in a second of a core: one JSON object. `cargo xtask bench costs` makes a page of it.
//!
//! `combat PLAYERS`: at 64 Hz everybody sends an input at each tick. First all walk to one place, then three of four inputs are
//! attacks and skills at whoever is there, and the rest go on towards the place, since who dies comes back elsewhere. What is
//! counted are those three of four; the time is that of the whole step, with everything else that a tick has to do.
#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a measuring program reads the clock and prints"
)]

use std::time::{Duration, Instant};

use gameserver_game::arena::Arena;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::rules::ArenaRules;
use gameserver_game::{Command, Entity, Game, Output, RandomStream, Setup};

const TICK_HZ: u32 = 64;
/// From the far end of the map it is a way of seventy seconds.
const WAY_TICKS: u32 = 75 * TICK_HZ;
const MEASURED_TICKS: u32 = 10 * TICK_HZ;
/// In thousandths of a unit.
const PLACE: (i32, i32) = (520_000, 520_000);
const SKILLS: [u32; 4] = [0, 1001, 1002, 1003];

struct Fight {
    arena: Arena,
    random: RandomStream,
    players: u32,
    /// Whom there is to hit: ids of players and NPCs as of the last tick.
    targets: Vec<u32>,
    commands: Vec<Command<Intent>>,
    output: Output,
    elapsed: Duration,
    decided: usize,
    carried_out: usize,
}

impl Fight {
    fn new(players: u32) -> Self {
        // no new match puts everybody elsewhere
        let rules = ArenaRules { match_ms: 3_600_000, score_limit: u32::MAX, ..ArenaRules::of(players) };
        let mut arena = Arena::with_rules(Setup { capacity: players, tick_hz: TICK_HZ, seed: 1 }, rules);
        (0..players).for_each(|player| arena.join(player, player.into()));
        let notices = Arena::notices_max(players, players as usize);
        Self {
            arena,
            random: RandomStream::new(2),
            players,
            targets: Vec::new(),
            commands: Vec::with_capacity(players as usize),
            output: Output::with_capacity(players as usize, notices),
            elapsed: Duration::ZERO,
            decided: 0,
            carried_out: 0,
        }
    }

    fn choose(&mut self, player: u32, is_fighting: bool) -> Intent {
        let random = &mut self.random;
        if is_fighting && random.below(4) > 0 {
            let count = u32::try_from(self.targets.len()).unwrap_or(1).max(1);
            let target = self.targets.get(random.below(count) as usize).copied().unwrap_or(0);
            return Intent::Cast { skill: SKILLS[random.below(4) as usize], target };
        }
        let Some(own) = self.arena.own(player) else { return Intent::Stop };
        let mut toward = |place: i32, from: i32| {
            let stray = random.below(6000).cast_signed() - 3000;
            (from + (place - from).clamp(-4000, 4000) + stray).clamp(0, 1_000_000)
        };
        Intent::Move { x: toward(PLACE.0, own.x), y: toward(PLACE.1, own.y) }
    }

    fn tick(&mut self, is_fighting: bool) {
        self.commands.clear();
        for player in 0..self.players {
            let intent = self.choose(player, is_fighting);
            self.commands.push(Command { player, sequence: 1, rewind_ticks: 6, intent });
        }
        self.output.clear();
        let started = Instant::now();
        self.arena.step(&self.commands, &mut self.output);
        let step = started.elapsed();
        if is_fighting {
            self.elapsed += step;
            for outcome in &self.output.outcomes {
                let is_cast = matches!(self.commands[outcome.player as usize].intent, Intent::Cast { .. });
                self.decided += usize::from(is_cast);
                self.carried_out += usize::from(is_cast && outcome.result.is_ok());
            }
        }
        let bodies = self.players + self.arena.rules().npcs;
        let is_body = |&(index, _): &(u32, Entity)| index < bodies;
        self.targets.clear();
        self.targets.extend(self.arena.entities().filter(is_body).map(|(_, entity)| entity.id));
    }
}

fn main() {
    let players = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    let mut fight = Fight::new(players);
    (0..WAY_TICKS).for_each(|_| fight.tick(false));
    (0..MEASURED_TICKS).for_each(|_| fight.tick(true));
    let Fight { arena, elapsed, decided, carried_out, .. } = &fight;
    assert!(arena.violations().is_empty(), "the world is not sound: {:?}", arena.violations());
    println!(
        "{{\"players\":{players},\"decided\":{decided},\"carried_out\":{carried_out},\"seconds\":{}}}",
        elapsed.as_secs_f64()
    );
}
