//! A game that is not the arena keeps its rules through the same trait, which is all that servers and clients know.

#[path = "../examples/tag.rs"]
#[expect(dead_code, reason = "the example's own main is not run here")]
mod tag;

use gameserver_game::{Command, Fields, Game, Output, RandomStream, RejectReason, Setup};
use tag::{Tag, Walk};

const SETUP: Setup = Setup { capacity: 12, tick_hz: 20, seed: 3 };

/// One tick of any game, as a server does it: intents come as numbers, and what players know goes out as numbers.
/// Each player's prediction has to be what the server did.
fn play<G: Game>(game: &mut G, wishes: &[(u32, Vec<i64>)], output: &mut Output) {
    let read = |(player, numbers): &(u32, Vec<i64>)| {
        let intent = G::Intent::from_fields(numbers)?;
        Some(Command { player: *player, sequence: 1, rewind_ticks: 0, intent })
    };
    let commands: Vec<_> = wishes.iter().filter_map(read).collect();
    let before: Vec<_> = (0..SETUP.capacity).map(|player| game.own(player)).collect();
    output.clear();
    game.step(&commands, output);
    for (player, own) in (0..).zip(before) {
        let Some((mut predicted, own)) = own.zip(game.own(player)) else { continue };
        let intents = commands.iter().filter(|command| command.player == player);
        let intents: Vec<_> = intents.map(|command| command.intent).collect();
        G::predict(SETUP.tick_hz, game.tick(), &mut predicted, &intents);
        assert_eq!(predicted, own);
        let told = own.to_fields();
        assert_eq!(G::Own::from_fields(told.as_slice()), Some(own));
    }
    assert_eq!(game.violations(), Vec::<String>::new());
}

fn anywhere(random: &mut RandomStream) -> Vec<i64> {
    let mut along = || i64::from(random.below(400)) + 2000;
    vec![0, along(), along()]
}

#[test]
fn one_is_it_as_long_as_anybody_plays_and_it_goes_from_one_to_the_next() {
    let (mut tag, mut random, mut output) = (Tag::new(SETUP), RandomStream::new(4), Output::default());
    let mut passed = 0;
    for tick in 0..3000_u32 {
        match tick % 100 {
            0 => (0..12).filter(|&player| player != 5).for_each(|player| tag.join(player, 1)),
            90 => tag.leave(tag.it),
            _ => {}
        }
        let before = tag.it;
        let wishes: Vec<_> = (0..12).map(|player| (player, anywhere(&mut random))).collect();
        play(&mut tag, &wishes, &mut output);
        let its = tag.entities().filter(|(_, entity)| entity.fields[0] == 1);
        assert_eq!(its.map(|(slot, _)| slot).collect::<Vec<_>>(), [tag.it], "after tick {tick}");
        assert_eq!(output.notices.len(), usize::from(tag.it != before && tick % 100 != 90), "it is told");
        passed += output.notices.len();
    }
    assert!(passed > 30, "it was passed on {passed} times");
}

#[test]
fn nobody_leaves_the_map_and_strange_numbers_say_nothing() {
    let (mut tag, mut output) = (Tag::new(SETUP), Output::default());
    tag.join(0, 1);
    let wishes = [vec![0, 5001, 0], vec![0, -1, 0], vec![0, 5000, 0], vec![1, 0, 0], vec![0, 1]];
    let wishes: Vec<_> = wishes.into_iter().map(|numbers| (0, numbers)).collect();
    play(&mut tag, &wishes, &mut output);
    let results: Vec<_> = output.outcomes.iter().map(|outcome| outcome.result).collect();
    assert_eq!(results, [Err(RejectReason::OutOfBounds), Err(RejectReason::OutOfBounds), Ok(())]);
    assert_eq!(Walk::from_fields(&[0, i64::MAX, 0]), None);
    assert_eq!(Tag::entity_capacity(12), 12);
}

#[test]
fn the_same_seed_and_commands_give_the_same_game() {
    let hash = |seed| {
        let (mut tag, mut output) = (Tag::new(Setup { seed, ..SETUP }), Output::default());
        let mut random = RandomStream::new(5);
        (0..12).for_each(|player| tag.join(player, 1));
        for _ in 0..50 {
            let wishes: Vec<_> = (0..12).map(|player| (player, anywhere(&mut random))).collect();
            play(&mut tag, &wishes, &mut output);
        }
        tag.state_hash()
    };
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2));
}
