//! Items: who can pick them up, and that none is lost.

use super::*;
use crate::arena::items::ItemKind;
use crate::arena::rules::{ITEM_LIES_MS, PICK_UP_RANGE};
use RejectReason::{CannotAct, InventoryFull, NoSuchTarget, OutOfRange};

/// An arena with one player, and a coin so far east of it that appeared by magic.
fn arena_with_coin(way: i32) -> (Arena, u32) {
    let mut arena = arena_with(ArenaRules { items: 32, ..quiet() }, 1);
    arena.drop_item((MIDDLE.0 + way, MIDDLE.1));
    let item = &mut arena.items.slots[0];
    item.kind = ItemKind::Coin;
    arena.items.made = [0, 0, 1];
    let id = item.id;
    (arena, id)
}

fn pick_up(item: u32) -> (u32, Intent) {
    (0, Intent::PickUp { item })
}

#[test]
fn what_lies_near_is_picked_up_once() {
    let (mut arena, item) = arena_with_coin(PICK_UP_RANGE);
    let (results, told) = step(&mut arena, &[pick_up(item), pick_up(item)]);
    assert_eq!(results, [Ok(()), Err(NoSuchTarget)]);
    assert_eq!(told, [(Some(0), Notice::ItemAcquired { kind: ItemKind::Coin, held: 1, item })]);
    assert_eq!(arena.own(0).expect("there").bag, [0, 0, 1]);
    assert_sound(&arena);
    let (results, _) = step(&mut arena, &[(0, Intent::Use { kind: ItemKind::Coin }), pick_up(item)]);
    assert_eq!(results, [Ok(()), Err(NoSuchTarget)]);
    assert_eq!(arena.items.used, [0, 0, 1]);
    assert_sound(&arena);
}

#[test]
fn what_lies_too_far_or_is_no_item_is_not_picked_up() {
    let (mut arena, item) = arena_with_coin(PICK_UP_RANGE + 1);
    let player = id(&arena, 0);
    for (id, expected) in [(item, OutOfRange), (player, NoSuchTarget), (0, NoSuchTarget), (77, NoSuchTarget)]
    {
        assert_eq!(step(&mut arena, &[pick_up(id)]).0, [Err(expected)], "{id}");
    }
}

#[test]
fn the_dead_pick_nothing_up_and_whoever_has_enough_no_more() {
    let (mut arena, item) = arena_with_coin(0);
    arena.players[0].bag[2] = ItemKind::Coin.carried_max();
    assert_eq!(step(&mut arena, &[pick_up(item)]).0, [Err(InventoryFull)]);
    arena.bodies[0].suffer(HEALTH_MAX);
    arena.players[0].respawn_at = 5000;
    assert_eq!(step(&mut arena, &[pick_up(item)]).0, [Err(CannotAct)]);
}

#[test]
fn what_nobody_picks_up_is_gone_after_a_minute() {
    let (mut arena, item) = arena_with_coin(500);
    wait(&mut arena, ITEM_LIES_MS / 1000 * HZ - 1);
    assert!(arena.entities().any(|(_, entity)| entity.id == item));
    wait(&mut arena, 1);
    assert!(!arena.entities().any(|(_, entity)| entity.id == item));
    assert_eq!(arena.items.expired[2], 1);
    assert_sound(&arena);
}

#[test]
fn things_appear_until_half_of_the_ground_is_used_and_so_it_stays() {
    let mut arena = arena_with(ArenaRules { items: 32, ..quiet() }, 0);
    wait(&mut arena, 70 * HZ);
    let made: u64 = arena.items.made.iter().sum();
    for _ in 0..100 {
        wait(&mut arena, HZ);
        assert!((10..=16).contains(&arena.items.lying), "{}", arena.items.lying);
        assert_sound(&arena);
    }
    assert!(arena.items.made.iter().sum::<u64>() > made + 20, "they come and go");
    assert!(arena.items.made.iter().all(|&made| made > 0), "of every kind");
}

#[test]
fn what_a_player_had_is_gone_with_it_and_accounted_for() {
    let (mut arena, item) = arena_with_coin(0);
    step(&mut arena, &[pick_up(item)]);
    arena.leave(0);
    assert_eq!(arena.items.expired, [0, 0, 1]);
    assert_sound(&arena);
}
