//! A long wild match, in which everything happens that can.

use super::*;
use crate::arena::items::ItemKind;
use std::collections::BTreeSet;

const PLAYERS: u32 = 8;

/// Somebody's wish, as often sensible as not.
fn wish(random: &mut RandomStream, arena: &Arena, player: u32) -> Intent {
    let body = &arena.bodies[player as usize];
    let seen: Vec<_> = arena.entities().map(|(_, entity)| entity).collect();
    let any = seen[random.below(u32::try_from(seen.len()).expect("few")) as usize].id;
    let item = arena.items.slots.iter().find(|item| item.id != 0).map_or(any, |item| item.id);
    let mut way = |most: u32| random.below(2 * most + 1).cast_signed() - most.cast_signed();
    let (near, far) = ((way(5000), way(5000)), (way(2_000_000), way(2_000_000)));
    let to = |(x, y): (i32, i32)| Intent::Move { x: body.x + x, y: body.y + y };
    match random.below(20) {
        0..4 => Intent::Cast { skill: 0, target: any },
        4..7 => Intent::Cast { skill: 1001 + random.below(3), target: any },
        7 => Intent::Cast { skill: 2001 + random.below(2), target: any },
        8 => Intent::Cast { skill: random.below(3000), target: random.below(1000) },
        9..12 => Intent::PickUp { item },
        12 => Intent::PickUp { item: any },
        // half of them are thrifty
        13 if player < PLAYERS / 2 => Intent::Use { kind: ItemKind::ALL[random.below(3) as usize] },
        14 => Intent::Stop,
        15 => to(far),
        _ => to(near),
    }
}

/// Keeps everybody and everything where something happens.
fn gather(arena: &mut Arena, random: &mut RandomStream) {
    for body in arena.bodies.iter_mut().filter(|body| body.is_there()) {
        if !is_near((body.x, body.y)) {
            let mut along = |middle: i32| middle + random.below(10_000).cast_signed();
            (body.x, body.y) = (along(MIDDLE.0), along(MIDDLE.1));
            body.stop();
        }
    }
    for item in arena.items.slots.iter_mut().filter(|item| item.id != 0) {
        let body = &arena.bodies[random.below(PLAYERS) as usize];
        (item.x, item.y) = (body.x, body.y);
    }
}

fn is_near((x, y): (i32, i32)) -> bool {
    (x - MIDDLE.0).abs().max((y - MIDDLE.1).abs()) < 45_000
}

#[test]
fn everything_happens_that_can_and_the_world_stays_sound() {
    let rules = ArenaRules { players_min: 2, match_ms: 60_000, score_limit: 12, npcs: 8, items: 32 };
    let mut arena = Arena::with_rules(Setup { capacity: PLAYERS, tick_hz: 20, seed: 11 }, rules);
    let mut random = RandomStream::new(12);
    let (mut refusals, mut told, mut used) = (BTreeSet::new(), BTreeSet::new(), 0);
    for tick in 0..6000 {
        match tick % 100 {
            0 => (0..PLAYERS).for_each(|player| {
                if !arena.has_joined(player) {
                    arena.join(player, player.into());
                }
            }),
            70 => arena.leave(random.below(PLAYERS)),
            _ => {}
        }
        gather(&mut arena, &mut random);
        let mut acts: Vec<_> = (0..2 * PLAYERS + random.below(20)).map(|_| random.below(PLAYERS)).collect();
        // one at a time is in a hurry
        acts.extend([tick / 100 % PLAYERS; 30].iter().filter(|_| tick % 10 == 0));
        let commands = acts.into_iter().map(|player| Command {
            player,
            sequence: 1,
            rewind_ticks: random.below(10),
            intent: wish(&mut random, &arena, player),
        });
        let mut output = Output::default();
        arena.step(&commands.collect::<Vec<_>>(), &mut output);
        assert_eq!(arena.violations(), Vec::<String>::new(), "after tick {tick}");
        refusals.extend(output.outcomes.iter().filter_map(|outcome| outcome.result.err()));
        told.extend(output.notices.iter().map(|(_, notice)| notice.code));
        used = arena.items.used.iter().sum();
    }
    let of_the_game = RejectReason::ALL.into_iter().filter(|reason| {
        // these are said before a game is asked
        !matches!(
            reason,
            RejectReason::RateLimited
                | RejectReason::TickTooFarAhead
                | RejectReason::NotYours
                | RejectReason::Overloaded
        )
    });
    assert_eq!(refusals, of_the_game.collect(), "every refusal");
    assert_eq!(told, (1..=10).collect(), "every notice");
    assert!(used > 100, "{used} items were used");
    let dealt = (arena.npcs.iter().map(|npc| npc.dealt).sum::<u64>(), arena.gone_dealt);
    assert!(dealt.0 > 1000 && dealt.1 > 100, "by NPCs and by the gone: {dealt:?}");
}
