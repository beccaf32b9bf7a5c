//! NPCs: whom they go after, and what is left of them.

use super::*;
use crate::arena::rules::{NPC_DAMAGE, NPC_HEALTH_MAX, NPC_LEASH, NPC_RESPAWN_MS, NPC_SIGHT};

/// Index of the first NPC.
const NPC: usize = 8;

/// An arena with one player in the middle and one NPC so far east of it.
fn arena_with_npc(way: i32) -> Arena {
    let mut arena = arena_with(ArenaRules { npcs: 1, items: 32, ..quiet() }, 1);
    arena.bodies[NPC].appear((MIDDLE.0 + way, MIDDLE.1), NPC_HEALTH_MAX, 0);
    arena
}

fn way(arena: &Arena) -> i32 {
    arena.bodies[NPC].x - MIDDLE.0
}

#[test]
fn an_npc_comes_to_whom_it_sees_and_hits_again_and_again() {
    let mut arena = arena_with_npc(NPC_SIGHT);
    let told = wait(&mut arena, HZ / 4);
    assert_eq!(told, []);
    assert!(way(&arena) < NPC_SIGHT, "it has seen the player within a quarter of a second");
    assert_eq!(arena.entities().nth(1).expect("the NPC").1.fields[3], id(&arena, 0).cast_signed());
    // 35 units at six a second
    let told = wait(&mut arena, 7 * HZ);
    let by = id(&arena, NPC);
    let hit = (Some(0), Notice::HitTaken { by, amount: NPC_DAMAGE, skill: 0 });
    assert!(matches!(told.len(), 1..=3) && told.iter().all(|notice| *notice == hit), "{told:?}");
    let told = wait(&mut arena, 30 * HZ);
    assert!(told.contains(&(Some(0), Notice::Died { by })));
    assert!(arena.npcs[0].dealt >= 100);
    assert_sound(&arena);
}

#[test]
fn nobody_is_seen_from_too_far_away_and_whoever_is_gone_is_let_go() {
    let mut arena = arena_with_npc(NPC_SIGHT + 1);
    arena.npc_chance = RandomStream::new(0);
    wait(&mut arena, 3);
    assert_eq!(arena.npcs[0].victim, 0);
    for case in ["far", "dead", "gone"] {
        let mut arena = arena_with_npc(20_000);
        wait(&mut arena, HZ / 4);
        assert_eq!(arena.npcs[0].victim, id(&arena, 0));
        match case {
            "far" => put(&mut arena, 0, (MIDDLE.0 - NPC_LEASH, MIDDLE.1)),
            "dead" => _ = (arena.bodies[0].suffer(HEALTH_MAX), arena.players[0].respawn_at = 9999),
            _ => arena.leave(0),
        }
        wait(&mut arena, 1);
        assert_eq!(arena.npcs[0].victim, 0, "{case}");
        let place = way(&arena);
        wait(&mut arena, 1);
        assert_eq!(way(&arena), place, "{case}: it has stopped");
    }
}

#[test]
fn a_stunned_npc_neither_walks_nor_hits() {
    let mut arena = arena_with_npc(20_000);
    wait(&mut arena, HZ / 4);
    let stun = Intent::Cast { skill: 1003, target: id(&arena, NPC) };
    assert_eq!(step_with(&mut arena, &[(0, 0, stun)]).0, [Ok(())]);
    let place = way(&arena);
    wait(&mut arena, HZ - 1);
    assert_eq!(way(&arena), place);
    wait(&mut arena, 2);
    assert!(way(&arena) < place);
}

#[test]
fn a_dead_npc_leaves_an_item_and_after_ten_seconds_another_comes() {
    let mut arena = arena_with_npc(10_000);
    arena.bodies[NPC].suffer(NPC_HEALTH_MAX - 10);
    arena.gone_dealt = u64::from((NPC_HEALTH_MAX - 10).unsigned_abs());
    let (old, lying) = (id(&arena, NPC), arena.items.lying);
    put_history(&mut arena);
    let attack = Intent::Cast { skill: 0, target: old };
    let (results, told) = step_with(&mut arena, &[(0, 0, attack)]);
    assert_eq!(results, [Ok(())]);
    assert_eq!(told, [(Some(0), Notice::HitDealt { whom: old, amount: 10, skill: 0 })]);
    assert_eq!((arena.items.lying, arena.players[0].kills), (lying + 1, 0), "NPCs do not count");
    let (index, item) = arena.entities().last().expect("an item");
    assert_eq!((item.x, item.y), ((MIDDLE.0 + 10_000) / 10, MIDDLE.1 / 10));
    assert!(index >= 16 && (3..=5).contains(&item.kind), "{index}: {item:?}");
    wait(&mut arena, NPC_RESPAWN_MS / 1000 * HZ - 1);
    assert_eq!((id(&arena, NPC), arena.bodies[NPC].health), (old, 0));
    wait(&mut arena, 1);
    assert_eq!(arena.bodies[NPC].health, NPC_HEALTH_MAX);
    assert_ne!(id(&arena, NPC), old);
    assert_sound(&arena);
}

fn put_history(arena: &mut Arena) {
    (985..=1000).for_each(|tick| arena.history.record(tick, &arena.bodies));
}

#[test]
fn npcs_wander_over_the_map_when_nobody_is_there() {
    let mut arena = arena_with(ArenaRules { npcs: 8, ..quiet() }, 0);
    let places = |arena: &Arena| -> Vec<_> { arena.entities().map(|(_, npc)| (npc.x, npc.y)).collect() };
    let before = places(&arena);
    for _ in 0..30 {
        wait(&mut arena, HZ);
        assert_sound(&arena);
    }
    let after = places(&arena);
    assert!(before.iter().zip(&after).all(|(before, after)| before != after), "{before:?} {after:?}");
}
