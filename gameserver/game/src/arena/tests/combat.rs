//! Hits: who can be hit, from where, by what was seen, and what comes of it.

use super::*;
use crate::arena::rules::RESPAWN_MS;
use RejectReason::{CannotAct, NoSuchTarget, NotEnoughMana, OutOfRange, SkillOnCooldown, UnknownAction};

fn cast(arena: &Arena, skill: u32, target: usize) -> Intent {
    Intent::Cast { skill, target: id(arena, target) }
}

/// `D9`: "1001/1002/1003 range 50/150/300, else 30; target exists".
#[test]
fn a_skill_reaches_its_range_and_no_further() {
    for (skill, range) in [(0, 30_000), (1001, 50_000), (1002, 150_000), (1003, 300_000)] {
        for (way, expected) in [(range, Ok(())), (range + 1, Err(OutOfRange)), (0, Ok(()))] {
            let mut arena = arena(2);
            put(&mut arena, 1, (MIDDLE.0 - way, MIDDLE.1));
            let command = (0, cast(&arena, skill, 1));
            assert_eq!(step(&mut arena, &[command]).0, [expected], "{skill} at {way}");
            assert_eq!(arena.bodies[1].health < HEALTH_MAX, expected.is_ok());
            assert_sound(&arena);
        }
    }
}

#[test]
fn only_what_lives_and_is_somebody_else_can_be_hit_and_only_with_skills_that_there_are() {
    let rules = ArenaRules { npcs: 8, items: 32, ..quiet() };
    let mut arena = arena_with(rules, 3);
    (8..16).for_each(|npc| put(&mut arena, npc, MIDDLE));
    arena.drop_item(MIDDLE);
    let item = arena.items.slots[0].id;
    arena.bodies[2].suffer(HEALTH_MAX);
    arena.players[2].respawn_at = 5000;
    let left = id(&arena, 1);
    arena.leave(1);
    for (skill, target, expected) in [
        (0, 0, Err(NoSuchTarget)),
        (0, u32::MAX, Err(NoSuchTarget)),
        (0, left, Err(NoSuchTarget)),
        (0, item, Err(NoSuchTarget)),
        (0, id(&arena, 0), Err(NoSuchTarget)),
        (0, id(&arena, 2), Err(NoSuchTarget)),
        (1, id(&arena, 8), Err(UnknownAction)),
        (u32::MAX, 0, Err(UnknownAction)),
        (0, id(&arena, 8), Ok(())),
        (1001, id(&arena, 9), Ok(())),
        (2001, 0, Ok(())),
    ] {
        let result = step(&mut arena, &[(0, Intent::Cast { skill, target })]).0;
        assert_eq!(result, [expected], "{skill} at {target}");
    }
}

#[test]
fn a_cast_costs_mana_and_waits_for_its_cooldown() {
    let mut arena = arena(2);
    for (skill, wait_ticks, expected) in [
        (1003, 0, Ok(())),
        (1003, 0, Err(SkillOnCooldown)),
        (1003, 637, Err(SkillOnCooldown)),
        (1003, 0, Ok(())),
        (1003, 640, Ok(())),
    ] {
        wait(&mut arena, wait_ticks);
        let command = (0, cast(&arena, skill, 1));
        assert_eq!(step(&mut arena, &[command]).0, [expected]);
        assert_sound(&arena);
    }
    arena.players[0].ready = [0; 6];
    arena.players[0].mana = 29;
    let command = (0, cast(&arena, 1003, 1));
    assert_eq!(step(&mut arena, &[command]).0, [Err(NotEnoughMana)]);
}

#[test]
fn effects_do_what_they_are_for_to_whoever_is_hit() {
    let mut arena = arena(3);
    let walk = Intent::Move { x: MIDDLE.0 + 5000, y: MIDDLE.1 };
    let [slow, stun] = [cast(&arena, 1002, 1), cast(&arena, 1003, 2)];
    let (results, told) = step(&mut arena, &[(1, walk), (2, walk), (0, slow), (0, stun)]);
    assert_eq!(results, [Ok(()); 4]);
    let by = id(&arena, 0);
    assert!(told.contains(&(Some(1), Notice::EffectBegun { effect: Effect::Slow, ms: 2000, by })));
    assert!(told.contains(&(Some(2), Notice::EffectBegun { effect: Effect::Stun, ms: 1000, by })));
    let far = Intent::Move { x: MIDDLE.0 + 9000, y: MIDDLE.1 };
    let attack = cast(&arena, 0, 0);
    let (results, _) = step(&mut arena, &[(1, far), (2, far), (1, attack), (2, attack)]);
    let refused = [RejectReason::MoveTooFar, RejectReason::CannotMove, CannotAct];
    assert_eq!(results, [Err(refused[0]), Err(refused[1]), Ok(()), Err(refused[2])]);
    wait(&mut arena, 62);
    assert_eq!(arena.bodies[1].x, MIDDLE.0 + 5000, "a second at half of the speed");
    assert_eq!(arena.bodies[2].x, MIDDLE.0, "a stun ends a walk");
    assert_eq!(step(&mut arena, &[(2, far)]).0, [Ok(())]);
    assert_sound(&arena);
}

#[test]
fn a_hit_is_told_to_both_and_a_shield_halves_it() {
    let mut arena = arena(2);
    let (shield, attack) = (Intent::Cast { skill: 2002, target: 0 }, cast(&arena, 0, 1));
    let (results, told) = step(&mut arena, &[(1, shield), (0, attack)]);
    assert_eq!(results, [Ok(()), Ok(())]);
    let (by, whom) = (id(&arena, 0), id(&arena, 1));
    assert_eq!(
        told,
        [
            (Some(1), Notice::EffectBegun { effect: Effect::Shield, ms: 4000, by: whom }),
            (Some(0), Notice::HitDealt { whom, amount: 5, skill: 0 }),
            (Some(1), Notice::HitTaken { by, amount: 5, skill: 0 }),
        ]
    );
}

#[test]
fn whoever_dies_is_out_for_five_seconds_and_comes_back_whole() {
    let mut arena = arena(2);
    arena.bodies[1].suffer(95);
    arena.gone_dealt = 95;
    let (by, whom) = (id(&arena, 0), id(&arena, 1));
    let attack = cast(&arena, 0, 1);
    let (_, told) = step(&mut arena, &[(0, attack)]);
    assert!(told.contains(&(Some(1), Notice::Died { by })));
    assert!(told.contains(&(Some(0), Notice::Killed { whom, kills: 1 })));
    assert_eq!((arena.players[0].kills, arena.players[1].deaths), (1, 1));
    let move_on = (1, Intent::Move { x: MIDDLE.0, y: MIDDLE.1 });
    let act_on = (1, cast(&arena, 0, 0));
    assert_eq!(step(&mut arena, &[move_on, act_on]).0, [Err(RejectReason::CannotMove), Err(CannotAct)]);
    arena.players[1].mana = 0;
    arena.players[1].mana_given = 0;
    arena.bodies[1].effects.begin(Effect::Haste, arena.clock);
    assert_eq!(wait(&mut arena, RESPAWN_MS * HZ / 1000 - 2), []);
    assert_eq!(arena.bodies[1].health, 0);
    assert!(matches!(wait(&mut arena, 1)[..], [(Some(1), Notice::Respawned { .. })]));
    assert_eq!((arena.bodies[1].health, arena.players[1].mana), (HEALTH_MAX, 100));
    assert_eq!(id(&arena, 1), whom, "it is the same player");
    assert_eq!(arena.bodies[1].effects.bits(arena.tick()), 0);
    assert_sound(&arena);
}

#[test]
fn whoever_dies_of_a_hit_comes_under_nothing_and_walks_no_further() {
    let mut arena = arena(2);
    let walk = Intent::Move { x: MIDDLE.0 + 9000, y: MIDDLE.1 };
    step(&mut arena, &[(1, walk)]);
    arena.bodies[1].suffer(96);
    arena.gone_dealt = 96;
    (arena.bodies[1].target_x, arena.bodies[1].target_y) = (MIDDLE.0 + 9000, MIDDLE.1);
    let (place, slow) = (arena.bodies[1].x, cast(&arena, 1002, 1));
    let (_, told) = step(&mut arena, &[(0, slow)]);
    assert!(!told.iter().any(|(_, notice)| matches!(notice, Notice::EffectBegun { .. })), "{told:?}");
    wait(&mut arena, 10);
    let own = arena.own(1).expect("there");
    assert_eq!((own.x, own.target_x, own.effects), (place, place, [0; 5]));
}

#[test]
fn whoever_bleeds_to_death_was_killed_by_who_began_it_and_by_nobody_when_that_one_has_left() {
    for has_left in [false, true] {
        let mut arena = arena(3);
        arena.bodies[1].suffer(90);
        arena.gone_dealt = 90;
        let (by, bleed) = (id(&arena, 0), cast(&arena, 1001, 1));
        step(&mut arena, &[(0, bleed)]);
        assert_eq!(arena.bodies[1].health, 2);
        if has_left {
            arena.leave(0);
            arena.join(0, 5);
        }
        let told = wait(&mut arena, HZ);
        assert!(told.contains(&(Some(1), Notice::Died { by })));
        let killed =
            told.iter().any(|(whom, notice)| *whom == Some(0) && matches!(notice, Notice::Killed { .. }));
        assert_eq!((killed, arena.players[0].kills), (!has_left, u32::from(!has_left)));
        assert_sound(&arena);
    }
}

/// The target passes through the range of the attack in one tick only: at tick 1012 it was there.
#[test]
fn a_hit_is_judged_by_where_the_target_was_seen() {
    let mut arena = arena(2);
    for tick in 1001..1020 {
        let way = if tick == 1012 { 30_000 } else { 30_001 };
        let body = &mut arena.bodies[1];
        (body.x, body.y) = (MIDDLE.0 + way, MIDDLE.1);
        body.stop();
        step(&mut arena, &[]);
        assert_eq!(arena.tick(), tick);
    }
    // the step is number 1020: what is seen at rewind 1 is the end of 1019
    for (rewind, expected) in [
        (0, Err(OutOfRange)),
        (1, Err(OutOfRange)),
        (7, Err(OutOfRange)),
        (8, Ok(())),
        (9, Err(OutOfRange)),
        (16, Err(OutOfRange)),
        (17, Err(OutOfRange)),
        (u32::MAX, Err(OutOfRange)),
    ] {
        let mut arena = arena.clone();
        let attack = cast(&arena, 0, 1);
        assert_eq!(step_with(&mut arena, &[(0, rewind, attack)]).0, [expected], "{rewind} ticks back");
    }
}

#[test]
fn nothing_is_seen_further_back_than_a_quarter_of_a_second() {
    for (seen_at, expected) in [(1004, Ok(())), (1003, Err(OutOfRange))] {
        let mut arena = arena(2);
        for tick in 1001..1020 {
            let way = if tick == seen_at { 1000 } else { 40_000 };
            let body = &mut arena.bodies[1];
            (body.x, body.y) = (MIDDLE.0 + way, MIDDLE.1);
            body.stop();
            step(&mut arena, &[]);
        }
        for rewind in [1020 - seen_at, 16, 17, 1000] {
            let mut arena = arena.clone();
            let attack = cast(&arena, 0, 1);
            let result = step_with(&mut arena, &[(0, rewind, attack)]).0;
            let is_seen = rewind >= 16;
            assert_eq!(result, [if is_seen { expected } else { Err(OutOfRange) }], "{rewind} ticks back");
        }
    }
}

#[test]
fn an_attacker_is_where_it_is_now() {
    let mut arena = arena(2);
    for _ in 0..5 {
        step(&mut arena, &[]);
    }
    let body = &mut arena.bodies[0];
    (body.x, body.y) = (MIDDLE.0 + 30_001, MIDDLE.1);
    body.stop();
    let attack = cast(&arena, 0, 1);
    assert_eq!(step_with(&mut arena, &[(0, 5, attack)]).0, [Err(OutOfRange)]);
}

#[test]
fn whoever_was_not_yet_there_or_dead_when_it_was_seen_cannot_be_hit() {
    let mut arena = arena(1);
    step(&mut arena, &[]);
    arena.join(1, 7);
    let place = (arena.bodies[1].x, arena.bodies[1].y);
    put(&mut arena, 0, place);
    let attack = |arena: &mut Arena, rewind| {
        arena.players[0].ready[0] = 0;
        let attack = cast(arena, 0, 1);
        step_with(arena, &[(0, rewind, attack)]).0[0]
    };
    assert_eq!(attack(&mut arena, 0), Err(NoSuchTarget), "nobody has seen it yet");
    assert_eq!(attack(&mut arena, 2), Err(NoSuchTarget));
    assert_eq!(attack(&mut arena, 2), Ok(()));
    arena.bodies[1].suffer(HEALTH_MAX);
    arena.players[1].respawn_at = arena.tick() + 1;
    step(&mut arena, &[]);
    let place = (arena.bodies[1].x, arena.bodies[1].y);
    let body = &mut arena.bodies[0];
    (body.x, body.y) = place;
    body.stop();
    assert_eq!(attack(&mut arena, 2), Err(NoSuchTarget), "it was dead then");
    assert_eq!(attack(&mut arena, 2), Ok(()), "it was back then");
}
