//! Matches: when they begin and end, what counts, and who has won.

use super::*;
use crate::arena::items::ItemKind;
use crate::arena::round::Phase;
use RejectReason::{CannotAct, CannotMove};

const MATCH_TICKS: u32 = 2 * HZ;

fn short() -> ArenaRules {
    ArenaRules { players_min: 2, match_ms: 2000, score_limit: 3, ..quiet() }
}

fn phase(arena: &Arena) -> Phase {
    arena.own(0).expect("there").phase
}

/// A match of these players in its first tick, all of them in the middle.
fn match_of(players: u32) -> Arena {
    let mut arena = arena_with(short(), players);
    step(&mut arena, &[]);
    (0..players).for_each(|player| put(&mut arena, player as usize, MIDDLE));
    arena
}

#[test]
fn a_match_begins_with_enough_players_and_from_zero() {
    let mut arena = arena_with(short(), 1);
    arena.players[0].kills = 5;
    arena.bodies[0].suffer(20);
    arena.gone_dealt = 20;
    assert_eq!(wait(&mut arena, 10), []);
    assert_eq!(phase(&arena), Phase::Waiting);
    arena.join(1, 1);
    arena.players[1].bag = [1, 2, 3];
    arena.items.made = [1, 2, 3];
    let told = wait(&mut arena, 1);
    assert_eq!(told.last(), Some(&(None, Notice::MatchStarted { ms: 2000, players: 2 })));
    let [(Some(0), Notice::Respawned { x, y }), (Some(1), Notice::Respawned { .. }), _] = told[..] else {
        panic!("{told:?}");
    };
    assert_eq!(Arena::place(&arena.own(0).expect("there")), (x, y));
    assert_eq!((arena.players[0].kills, arena.bodies[0].health), (0, HEALTH_MAX));
    assert_eq!((arena.players[1].bag, arena.items.expired), ([0; 3], [1, 2, 3]));
    assert_eq!(phase(&arena), Phase::Running);
    assert_sound(&arena);
}

#[test]
fn a_match_ends_in_time_with_everyone_ranked_by_kills_then_deaths_then_slot() {
    let mut arena = match_of(5);
    for (player, kills, deaths) in [(0, 1, 2), (1, 2, 2), (2, 1, 1), (3, 2, 2), (4, 0, 0)] {
        (arena.players[player].kills, arena.players[player].deaths) = (kills, deaths);
    }
    assert_eq!(wait(&mut arena, MATCH_TICKS - 1), []);
    let ended = |player, rank, kills, deaths| (Some(player), Notice::MatchEnded { rank, kills, deaths });
    let won = Notice::MatchWon { id: id(&arena, 1), kills: 2, players: 5 };
    assert_eq!(
        wait(&mut arena, 1),
        [
            ended(1, 1, 2, 2),
            ended(3, 2, 2, 2),
            ended(2, 3, 1, 1),
            ended(0, 4, 1, 2),
            ended(4, 5, 0, 0),
            (None, won)
        ]
    );
    assert_eq!(arena.ranking(), [1, 3, 2, 0, 4]);
    assert_sound(&arena);
    arena.leave(3);
    assert_eq!(arena.ranking(), [1, 2, 0, 4]);
    assert_sound(&arena);
}

#[test]
fn a_match_ends_when_somebody_has_kills_enough() {
    let mut arena = match_of(2);
    arena.players[0].kills = 2;
    arena.bodies[1].suffer(95);
    arena.gone_dealt = 95;
    let attack = Intent::Cast { skill: 0, target: id(&arena, 1) };
    step(&mut arena, &[(0, attack)]);
    assert_eq!(phase(&arena), Phase::Running);
    assert_eq!(arena.own(0).expect("there").phase_left, 0, "everyone knows that it ends with the next tick");
    let told = wait(&mut arena, 1);
    assert_eq!(told[0], (Some(0), Notice::MatchEnded { rank: 1, kills: 3, deaths: 0 }));
    assert_eq!(phase(&arena), Phase::Ended);
}

#[test]
fn while_a_result_is_shown_the_world_stands_still() {
    let mut arena = match_of(3);
    wait(&mut arena, MATCH_TICKS - 2);
    let (bleed, walk) = (
        Intent::Cast { skill: 1001, target: id(&arena, 1) },
        Intent::Move { x: MIDDLE.0 + 9000, y: MIDDLE.1 },
    );
    let dead = &mut arena.bodies[2];
    dead.suffer(HEALTH_MAX);
    arena.gone_dealt = 100;
    arena.players[2].respawn_at = arena.clock.tick + 3;
    assert_eq!(step(&mut arena, &[(0, bleed), (1, walk)]).0, [Ok(()), Ok(())]);
    step(&mut arena, &[]);
    assert_eq!(phase(&arena), Phase::Ended);
    let places =
        |arena: &Arena| -> Vec<_> { arena.bodies.iter().map(|body| (body.x, body.y, body.health)).collect() };
    let before = places(&arena);
    let refused = [
        (walk, CannotMove),
        (Intent::Stop, CannotMove),
        (bleed, CannotAct),
        (Intent::PickUp { item: 1 }, CannotAct),
        (Intent::Use { kind: ItemKind::Potion }, CannotAct),
        (Intent::Cast { skill: 2001, target: 0 }, CannotAct),
    ];
    for (intent, expected) in refused {
        assert_eq!(step(&mut arena, &[(0, intent)]).0, [Err(expected)], "{intent:?}");
    }
    assert_eq!(wait(&mut arena, 10 * HZ - 7), []);
    assert_eq!(places(&arena), before);
    assert_sound(&arena);
    let told = wait(&mut arena, 1);
    assert_eq!(told.last(), Some(&(None, Notice::MatchStarted { ms: 2000, players: 3 })));
    assert_eq!((phase(&arena), arena.ranking()), (Phase::Running, &[][..]));
    assert_eq!(arena.bodies[2].health, HEALTH_MAX);
}

#[test]
fn a_match_goes_on_as_long_as_anybody_is_there() {
    let mut arena = match_of(2);
    arena.leave(1);
    wait(&mut arena, 5);
    assert_eq!(phase(&arena), Phase::Running);
    arena.leave(0);
    wait(&mut arena, 1);
    assert_eq!(arena.round.phase, Phase::Waiting);
}

#[test]
fn after_a_result_players_are_waited_for_when_there_are_too_few() {
    let mut arena = match_of(2);
    wait(&mut arena, MATCH_TICKS);
    arena.players[0].kills = 4;
    arena.leave(1);
    wait(&mut arena, 10 * HZ);
    assert_eq!((phase(&arena), arena.players[0].kills), (Phase::Waiting, 0));
    assert_sound(&arena);
}

#[test]
fn whoever_comes_again_during_a_match_has_its_score_and_after_it_none() {
    let mut arena = match_of(2);
    (arena.players[1].kills, arena.players[1].deaths) = (1, 2);
    let score = |arena: &Arena, player: usize| (arena.players[player].kills, arena.players[player].deaths);
    arena.leave(1);
    arena.join(5, 55);
    arena.join(4, 101);
    assert_eq!((score(&arena, 4), score(&arena, 5)), ((1, 2), (0, 0)));
    arena.leave(4);
    wait(&mut arena, MATCH_TICKS + 10 * HZ);
    assert_eq!(phase(&arena), Phase::Running);
    arena.join(1, 101);
    assert_eq!(score(&arena, 1), (0, 0));
}

#[test]
fn of_too_many_who_left_the_first_are_forgotten() {
    let mut arena = match_of(2);
    for client in 0..9 {
        arena.join(7, client);
        arena.players[7].deaths = 1;
        arena.leave(7);
    }
    assert_eq!(arena.round.leavers.len(), 8);
    assert_sound(&arena);
    for (player, client, expected) in [(4, 0, 0), (5, 1, 1), (6, 8, 1)] {
        arena.join(player, client);
        assert_eq!(arena.players[player as usize].deaths, expected, "client {client}");
    }
}
