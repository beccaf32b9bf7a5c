//! One number for the state: every part of it counts, and nothing else does.

use super::hostile::busy;
use super::*;
use crate::arena::items::ItemKind;
use crate::arena::round::{Leaver, Phase};

/// Something that is different.
type Change = fn(&mut Arena);

const BODIES: &[Change] = &[
    |arena| arena.clock.tick += 1,
    |arena| arena.clock.hz += 1,
    |arena| arena.bodies[0].id += 1,
    |arena| arena.bodies[0].x += 1,
    |arena| arena.bodies[0].y += 1,
    |arena| arena.bodies[0].target_x += 1,
    |arena| arena.bodies[0].target_y += 1,
    |arena| arena.bodies[0].last_x += 1,
    |arena| arena.bodies[0].last_y += 1,
    |arena| arena.bodies[0].health += 1,
    |arena| arena.bodies[0].effects.0[0] += 1,
    |arena| arena.bodies[0].effects.0[4] += 1,
    |arena| arena.bodies[0].bled_by += 1,
    |arena| arena.bodies[0].seen_from += 1,
    |arena| arena.bodies[0].given += 1,
    |arena| arena.bodies[0].lost += 1,
];

const PLAYERS: &[Change] = &[
    |arena| arena.players[0].client_id += 1,
    |arena| arena.players[0].next_move += 1,
    |arena| arena.players[0].ready[5] += 1,
    |arena| arena.players[0].casts[5] += 1,
    |arena| arena.players[0].mana += 1,
    |arena| arena.players[0].mana_given += 1,
    |arena| arena.players[0].bag[0] += 1,
    |arena| arena.players[0].bag[1] += 1,
    |arena| arena.players[0].bag[2] += 1,
    |arena| arena.players[0].kills += 1,
    |arena| arena.players[0].deaths += 1,
    |arena| arena.players[0].respawn_at += 1,
    |arena| arena.players[0].dealt += 1,
    |arena| arena.players[0].aimed_at += 1,
    |arena| arena.players[0].aim_ends += 1,
    |arena| arena.players[0].fresh_at += 1,
];

const REST: &[Change] = &[
    |arena| arena.npcs[0].victim += 1,
    |arena| arena.npcs[0].ready += 1,
    |arena| arena.npcs[0].respawn_at += 1,
    |arena| arena.npcs[0].dealt += 1,
    |arena| arena.items.slots[0].id += 1,
    |arena| arena.items.slots[0].x += 1,
    |arena| arena.items.slots[0].y += 1,
    |arena| arena.items.slots[31].expires += 1,
    |arena| {
        let kind = &mut arena.items.slots[0].kind;
        *kind = if *kind == ItemKind::Coin { ItemKind::Potion } else { ItemKind::Coin };
    },
    |arena| arena.items.cursor += 1,
    |arena| arena.items.lying += 1,
    |arena| arena.items.made[2] += 1,
    |arena| arena.items.used[2] += 1,
    |arena| arena.items.expired[2] += 1,
    |arena| arena.ids.last += 1,
    |arena| arena.history.places[5].0 += 1,
    |arena| arena.history.places[5].1 += 1,
    |arena| arena.round.phase = Phase::Ended,
    |arena| arena.round.end += 1,
    |arena| arena.round.players += 1,
    |arena| arena.round.leavers.push(Leaver { client_id: 0, kills: 0, deaths: 0 }),
    |arena| arena.round.ranking.push(0),
    |arena| _ = arena.spawns.next_u64(),
    |arena| _ = arena.npc_chance.next_u64(),
    |arena| _ = arena.item_chance.next_u64(),
    |arena| arena.gone_dealt += 1,
    |arena| arena.gone_lost += 1,
    |arena| arena.round.leavers[0].client_id += 1,
    |arena| arena.round.leavers[0].kills += 1,
    |arena| arena.round.leavers[0].deaths += 1,
];

#[test]
fn every_part_of_the_state_shows_in_its_hash() {
    let busy = busy();
    let mut hashes = std::collections::BTreeSet::from([busy.state_hash()]);
    assert_eq!(busy.clone().state_hash(), busy.state_hash());
    for (number, change) in [BODIES, PLAYERS, REST].concat().into_iter().enumerate() {
        let mut arena = busy.clone();
        change(&mut arena);
        assert!(hashes.insert(arena.state_hash()), "change {number}");
    }
}

/// A crowd that does a bit of everything for so many ticks.
fn history_of(seed: u64, ticks: u32) -> Arena {
    let mut arena = Arena::new(Setup { capacity: 100, tick_hz: HZ, seed });
    let mut random = RandomStream::new(9);
    let skills = [0, 1001, 1002, 1003];
    let mut output = Output::default();
    for tick in 0..ticks {
        match tick {
            // the first step begins a match and puts everyone somewhere
            1 => (0..100).for_each(|player| put(&mut arena, player, MIDDLE)),
            _ if tick % 50 == 0 => (0..100).for_each(|player| {
                if !arena.has_joined(player) {
                    arena.join(player, player.into());
                }
            }),
            _ if tick % 50 == 40 => (90..95).for_each(|player| arena.leave(player)),
            _ => {}
        }
        let commands: Vec<_> = (0..100)
            .map(|player| {
                let body = &arena.bodies[player as usize];
                let mut step = || random.below(20_000).cast_signed() - 10_000;
                let place = (body.x + step(), body.y + step());
                let intent = match random.below(8) {
                    0 => Intent::Cast {
                        skill: skills[random.below(4) as usize],
                        target: 15 + random.below(40),
                    },
                    1 => Intent::Cast { skill: 2001 + random.below(2), target: 0 },
                    2 => Intent::PickUp { item: random.below(400) },
                    3 => Intent::Use { kind: ItemKind::ALL[random.below(3) as usize] },
                    _ => Intent::Move { x: place.0, y: place.1 },
                };
                Command { player, sequence: tick, rewind_ticks: random.below(20), intent }
            })
            .collect();
        output.clear();
        arena.step(&commands, &mut output);
    }
    arena
}

/// The number was written down once; debug and release builds and other machines must find it again.
#[test]
fn a_known_history_has_a_known_hash() {
    let arena = history_of(7, 500);
    assert_sound(&arena);
    assert!(arena.players.iter().any(|player| player.kills > 0), "there was a fight");
    assert_eq!(arena.state_hash(), 667_713_129_265_193_178);
}

#[test]
fn the_seed_is_all_the_chance_there_is() {
    let hash = |seed| history_of(seed, 60).state_hash();
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}
