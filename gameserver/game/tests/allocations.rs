//! After warm-up neither a step nor a look at the world allocates, however many players there are and whatever they do.

use gameserver_allocations::{Counting, count};
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::items::ItemKind;
use gameserver_game::arena::notices::Notice;
use gameserver_game::arena::rules::ArenaRules;
use gameserver_game::arena::{Arena, NPC_KIND};
use gameserver_game::{Command, Entity, Game, Output, RandomStream, Setup};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PLAYERS: u32 = 200;

/// What somebody does: the first few go for what lies nearest, and all turn on one after the other.
fn intent(random: &mut RandomStream, arena: &Arena, seen: &[Entity], player: u32, victim: u32) -> Intent {
    let Some(own) = arena.own(player) else { return Intent::Stop };
    let (x, y) = Arena::place(&own);
    let items = seen.iter().filter(|entity| entity.kind > NPC_KIND && player < 40);
    let nearest = items.min_by_key(|item| item.x.abs_diff(x) + item.y.abs_diff(y));
    match (random.below(8), nearest) {
        (0..3, _) => Intent::Cast { skill: 1001 + random.below(3), target: victim },
        (3, _) => Intent::Cast { skill: 2001 + random.below(2), target: 0 },
        (4, _) => Intent::Use { kind: ItemKind::ALL[random.below(3) as usize] },
        (5, Some(item)) => Intent::PickUp { item: item.id },
        (_, Some(item)) => {
            let way = |from: i32, to: i32| from + (to * 10 - from).clamp(-7000, 7000);
            Intent::Move { x: way(own.x, item.x), y: way(own.y, item.y) }
        }
        _ => Intent::Stop,
    }
}

/// One test in this file, since others would allocate at the same time.
#[test]
fn steps_joins_and_leaves_allocate_nothing_through_whole_matches() {
    let rules = ArenaRules { match_ms: 15_000, score_limit: 5, ..ArenaRules::of(PLAYERS) };
    let mut arena = Arena::with_rules(Setup { capacity: PLAYERS, tick_hz: 20, seed: 1 }, rules);
    let mut output = Output::with_capacity(PLAYERS as usize, Arena::notices_max(PLAYERS, PLAYERS as usize));
    let mut random = RandomStream::new(2);
    let (mut counted, mut told, mut seen) = (0, [0; 11], Vec::with_capacity(1000));
    for tick in 0..2400 {
        let victim = seen.get(tick as usize / 20 % 200).map_or(0, |entity: &Entity| entity.id);
        let commands: Vec<_> = (0..PLAYERS)
            .map(|player| Command {
                player,
                sequence: 1,
                rewind_ticks: random.below(8),
                intent: intent(&mut random, &arena, &seen, player, victim),
            })
            .collect();
        output.clear();
        seen.clear();
        let before = count();
        match tick % 40 {
            0 => {
                let comes = |player: &u32| tick == 0 || player % 20 == tick / 40 % 20;
                (0..PLAYERS).filter(comes).for_each(|player| arena.join(player, u64::from(player % 180)));
            }
            30 => (0..5).for_each(|_| arena.leave(random.below(PLAYERS))),
            _ => {}
        }
        arena.step(&commands, &mut output);
        seen.extend(arena.entities().map(|(_, entity)| entity));
        counted += count() - before;
        for (_, notice) in &output.notices {
            assert!(Notice::read(notice).is_some());
            told[usize::from(notice.code)] += 1;
        }
    }
    assert_eq!(arena.violations(), Vec::<String>::new());
    assert!(told[1..].iter().all(|&count| count > 0), "everything happened: {told:?}");
    assert_eq!(counted, 0, "allocations in 2400 ticks");
}
