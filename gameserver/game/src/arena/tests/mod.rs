//! What takes more than one room of the arena to see.

mod alone;
mod combat;
mod hostile;
mod items;
mod long;
mod matches;
mod npcs;
mod state;

use super::effects::Effect;
use super::notices::Notice;
use super::rules::HEALTH_MAX;
use super::*;
use crate::game::Audience;

const HZ: u32 = 64;
const MIDDLE: (i32, i32) = (500_000, 500_000);

type Told = Vec<(Option<u32>, Notice)>;
type Results = Vec<Result<(), RejectReason>>;

/// Rules without NPCs, items and matches.
fn quiet() -> ArenaRules {
    ArenaRules { npcs: 0, items: 0, players_min: u32::MAX, ..ArenaRules::of(8) }
}

/// An arena by these rules with so many players in the middle, all seen there for long.
fn arena_with(rules: ArenaRules, players: u32) -> Arena {
    let mut arena = Arena::with_rules(Setup { capacity: 8, tick_hz: HZ, seed: 5 }, rules);
    arena.clock.tick = 1000;
    for player in 0..players {
        arena.join(player, u64::from(player) + 100);
        put(&mut arena, player as usize, MIDDLE);
    }
    arena
}

fn arena(players: u32) -> Arena {
    arena_with(quiet(), players)
}

/// Puts a body somewhere as if it had been there for long.
fn put(arena: &mut Arena, index: usize, place: (i32, i32)) {
    arena.bodies[index].appear(place, HEALTH_MAX, 0);
    let width = arena.bodies.len();
    arena.history.places[index..].iter_mut().step_by(width).for_each(|kept| *kept = place);
}

fn id(arena: &Arena, index: usize) -> u32 {
    arena.bodies[index].id
}

/// A step with these commands, of whom, how far back, and what.
fn step_with(arena: &mut Arena, commands: &[(u32, u32, Intent)]) -> (Results, Told) {
    let command = |&(player, rewind_ticks, intent)| Command { player, sequence: 1, rewind_ticks, intent };
    let commands: Vec<_> = commands.iter().map(command).collect();
    let mut output = Output::default();
    arena.step(&commands, &mut output);
    let whom = |audience| match audience {
        Audience::Player(player) => Some(player),
        Audience::Everyone => None,
    };
    let notices = output.notices.iter().map(|(audience, told)| (whom(*audience), Notice::read(told)));
    let notices = notices.map(|(whom, notice)| (whom, notice.expect("a notice of this game")));
    (output.outcomes.iter().map(|outcome| outcome.result).collect(), notices.collect())
}

/// A step in which players act on what they see now.
fn step(arena: &mut Arena, commands: &[(u32, Intent)]) -> (Results, Told) {
    let commands: Vec<_> = commands.iter().map(|&(player, intent)| (player, 1, intent)).collect();
    step_with(arena, &commands)
}

/// So many steps without commands, and all that was told.
fn wait(arena: &mut Arena, ticks: u32) -> Told {
    (0..ticks).flat_map(|_| step(arena, &[]).1).collect()
}

fn assert_sound(arena: &Arena) {
    assert_eq!(arena.violations(), Vec::<String>::new());
}

#[test]
fn commands_of_those_who_are_not_there_have_no_outcome() {
    let mut arena = arena(2);
    arena.leave(0);
    arena.leave(0);
    arena.leave(77);
    let stop = |player| Command { player, sequence: 2, rewind_ticks: 0, intent: Intent::Stop };
    let mut output = Output::default();
    arena.step(&[stop(0), stop(1), stop(2), stop(u32::MAX)], &mut output);
    assert_eq!(output.outcomes, [Outcome { player: 1, sequence: 2, result: Ok(()) }]);
}

#[test]
fn everyone_comes_in_on_the_map_with_an_id_that_is_never_used_again() {
    let (mut arena, mut ids) = (arena(0), std::collections::BTreeSet::new());
    for round in 0..1000 {
        arena.join(3, round);
        let (index, entity) = arena.entities().next().expect("one is there");
        assert_eq!((index, entity.kind), (3, PLAYER_KIND));
        assert!(ids.insert(entity.id), "{} again", entity.id);
        assert!((0..=100_000).contains(&entity.x) && (0..=100_000).contains(&entity.y));
        assert_sound(&arena);
        if round % 2 == 0 {
            arena.leave(3);
        }
    }
}

#[test]
fn others_see_hundredths_health_effects_score_and_aim() {
    let mut arena = arena(2);
    put(&mut arena, 1, (500_019, 499_999));
    arena.players[0].kills = 3;
    let cast = Intent::Cast { skill: 1002, target: id(&arena, 1) };
    assert_eq!(step(&mut arena, &[(0, cast)]).0, [Ok(())]);
    let (ids, seen) = ([id(&arena, 0), id(&arena, 1)], |arena: &Arena| -> Vec<Entity> {
        arena.entities().map(|(_, entity)| entity).collect()
    });
    let victim_id = ids[1].cast_signed();
    assert_eq!(
        seen(&arena),
        [
            Entity { id: ids[0], kind: 1, x: 50_000, y: 50_000, fields: [100, 0, 3, victim_id] },
            Entity { id: ids[1], kind: 1, x: 50_001, y: 49_999, fields: [94, Effect::Slow.bit(), 0, 0] },
        ]
    );
    wait(&mut arena, HZ);
    arena.bodies[1].suffer(HEALTH_MAX);
    arena.players[1].respawn_at = 5000;
    let [attacker, victim] = seen(&arena)[..] else { panic!("two are there") };
    assert_eq!(attacker.fields, [100, 0, 3, 0], "no more aim after a second");
    assert_eq!(victim.fields, [0, DEAD_BIT, 0, 0]);
}
