//! Whatever players send, the world stays sound; and an unsound world is recognised.

use super::*;
use crate::arena::items::ItemKind;
use crate::arena::round::{Leaver, Phase};
use gameserver_protocol::message::Fields;
use proptest::prelude::*;

/// Numbers of an intent: mostly ones that mean something.
fn numbers() -> impl Strategy<Value = Vec<i64>> {
    let around = 480_000_i64..520_000;
    let skill = prop_oneof![Just(0_i64), 1001_i64..1004, 2001_i64..2003, any::<i64>()];
    prop_oneof![
        4 => (around.clone(), around).prop_map(|(x, y)| vec![0, x, y]),
        4 => (skill, 0_i64..60).prop_map(|(skill, target)| vec![1, skill, target]),
        2 => (0_i64..60).prop_map(|item| vec![2, item]),
        2 => (1_i64..4).prop_map(|kind| vec![3, kind]),
        1 => prop::collection::vec(any::<i64>(), 0..8),
    ]
}

#[derive(Clone, Debug)]
enum Deed {
    Act(u32, u32, Vec<i64>),
    Join(u32, u64),
    Leave(u32),
}

fn deed() -> impl Strategy<Value = Deed> {
    let player = 0_u32..5;
    prop_oneof![
        30 => (player.clone(), any::<u32>(), numbers())
            .prop_map(|(player, rewind, numbers)| Deed::Act(player, rewind % 40, numbers)),
        1 => (player.clone(), 0_u64..8).prop_map(|(player, client)| Deed::Join(player, client)),
        1 => player.prop_map(Deed::Leave),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn whatever_players_send_the_world_stays_sound(
        seed: u64,
        hz in prop_oneof![Just(20_u32), Just(64), Just(1000), 1_u32..200],
        ticks in prop::collection::vec(prop::collection::vec(deed(), 0..10), 1..150),
    ) {
        let rules = ArenaRules { npcs: 8, items: 32, players_min: 2, match_ms: 1000, score_limit: 2 };
        let setup = Setup { capacity: 4, tick_hz: hz, seed };
        let mut arena = Arena::with_rules(setup, rules);
        (0..4).for_each(|player| arena.join(player, player.into()));
        for deeds in ticks {
            // close enough for everything to happen
            for (row, body) in (0..).zip(&mut arena.bodies) {
                if body.is_there() && (body.x - MIDDLE.0).abs().max((body.y - MIDDLE.1).abs()) > 20_000 {
                    (body.x, body.y) = (MIDDLE.0, MIDDLE.1 + row);
                    body.stop();
                }
            }
            for item in arena.items.slots.iter_mut().filter(|item| item.id != 0) {
                (item.x, item.y) = MIDDLE;
            }
            let mut commands = Vec::new();
            for deed in deeds {
                match deed {
                    Deed::Act(player, rewind_ticks, mut numbers) => {
                        if let [1 | 2, .., name] = &mut numbers[..] && *name % 2 == 1 {
                            // the newest: mostly items
                            *name = i64::from(arena.ids.last).saturating_sub(*name / 2);
                        }
                        if let Some(intent) = Intent::from_fields(&numbers) {
                            commands.push(Command { player, sequence: 1, rewind_ticks, intent });
                        }
                    }
                    Deed::Join(player, client) => arena.join(player, client),
                    Deed::Leave(player) => arena.leave(player),
                }
            }
            let mut output = Output::default();
            arena.step(&commands, &mut output);
            prop_assert!(output.notices.len() <= Arena::notices_max(4, commands.len()));
            prop_assert_eq!(arena.violations(), Vec::<String>::new(), "after tick {}", arena.tick());
            for player in 0..4 {
                if let Some(own) = arena.own(player) {
                    prop_assert_eq!(Own::from_fields(own.to_fields().as_slice()), Some(own));
                }
            }
        }
    }
}

/// An arena in the middle of a match, in which something of everything is the case.
pub(super) fn busy() -> Arena {
    let rules = ArenaRules { npcs: 8, items: 32, players_min: 2, match_ms: 60_000, score_limit: 9 };
    let mut arena = arena_with(rules, 4);
    wait(&mut arena, 30 * HZ);
    for player in 0..4 {
        put(&mut arena, player, MIDDLE);
    }
    let bleed = Intent::Cast { skill: 1001, target: id(&arena, 1) };
    let haste = Intent::Cast { skill: 2001, target: 0 };
    let walk = Intent::Move { x: MIDDLE.0 + 9000, y: MIDDLE.1 };
    let (results, _) = step(&mut arena, &[(0, bleed), (2, haste), (2, walk)]);
    assert_eq!(results, [Ok(()); 3]);
    arena.players[3].deaths = 1;
    arena.leave(3);
    assert_sound(&arena);
    arena
}

/// What is found, and what was done.
type Case<'a> = (&'a str, &'a dyn Fn(&mut Arena));

#[test]
fn each_way_in_which_a_world_can_be_unsound_is_recognised() {
    let busy = busy();
    let lying = busy.items.slots.iter().position(|item| item.id != 0).expect("something lies");
    let cases: [Case<'_>; 30] = [
        ("are given", &|arena| _ = arena.ids.give(0)),
        ("name", &|arena| arena.bodies[1].id = arena.bodies[0].id),
        ("name", &|arena| arena.ids.free(arena.bodies[0].id)),
        ("name", &|arena| arena.items.slots[lying].id += 1),
        ("health of body 0 is 101", &|arena| arena.bodies[0].health = 101),
        ("health of body 0 is -1", &|arena| arena.bodies[0].health = -1),
        ("were lost", &|arena| arena.bodies[0].health -= 1),
        ("place", &|arena| arena.bodies[0].x = -1),
        ("place", &|arena| arena.bodies[0].target_y = 1_000_001),
        ("walk", &|arena| arena.bodies[0].x += 157),
        ("walk", &|arena| arena.bodies[2].x += 79),
        ("walk", &|arena| arena.bodies[8].y = arena.bodies[8].last_y + 95),
        ("effect", &|arena| arena.bodies[1].effects.0[0] += 1),
        ("mana of player 0 is 101", &|arena| arena.players[0].mana = 101),
        ("were spent", &|arena| arena.players[0].mana -= 1),
        ("cooldown", &|arena| arena.players[0].ready[1] += 1),
        ("cooldown", &|arena| arena.players[0].casts[0] = 62),
        ("the next move", &|arena| arena.players[0].next_move = 4 * arena.clock.tick + 25),
        ("bag", &|arena| arena.players[0].bag[0] = 6),
        ("return", &|arena| arena.players[0].respawn_at = 1),
        ("npc 0 has", &|arena| arena.npcs[0].respawn_at = 1),
        ("npc 0 is not there", &|arena| arena.bodies[8].id = 0),
        ("npc 0 hits", &|arena| arena.npcs[0].ready = arena.clock.tick + 65),
        ("items: of", &|arena| arena.players[0].bag[2] += 1),
        ("items: of", &|arena| arena.items.used[0] += 1),
        ("the count says", &|arena| arena.items.lying += 1),
        ("off the map", &|arena| arena.items.slots[lying].x = -5),
        ("damage", &|arena| arena.players[0].dealt -= 1),
        ("match: 3 players", &|arena| arena.round.players = 4),
        ("match: Running until", &|arena| arena.round.end += 1_000_000),
    ];
    for (expected, corrupt) in cases {
        let mut arena = busy.clone();
        corrupt(&mut arena);
        let found = arena.violations();
        assert!(found.iter().any(|finding| finding.contains(expected)), "{expected}: {found:?}");
    }
}

#[test]
fn a_wrong_ranking_and_too_many_scores_of_the_gone_are_recognised() {
    let mut arena = busy();
    arena.round.ranking = vec![0];
    assert!(arena.violations()[0].contains("a ranking while"));
    (arena.round.phase, arena.round.end) = (Phase::Ended, 0);
    assert_sound(&arena);
    arena.players[1].kills = 1;
    arena.round.ranking = vec![0, 1];
    assert!(arena.violations()[0].contains("ranked"));
    arena.round.ranking = vec![1, 0];
    arena.round.leavers = vec![Leaver { client_id: 1, kills: 0, deaths: 0 }; 9];
    assert!(arena.violations()[0].contains("9 scores"));
}

#[test]
fn whoever_has_too_much_of_anything_is_found_out_for_each_kind() {
    for kind in ItemKind::ALL {
        let mut arena = busy();
        arena.players[1].bag[kind.index()] = kind.carried_max() + 1;
        let found = arena.violations();
        assert!(found.iter().any(|finding| finding.contains(&format!("{kind:?}"))), "{found:?}");
    }
}
