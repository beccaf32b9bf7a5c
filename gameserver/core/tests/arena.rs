//! The game that is served, over a bad network: players see themselves where the server has them.

mod common;

use std::time::Duration;

use common::{Client, Network, World, config, place};
use gameserver_client::Event;
use gameserver_core::ServerConfig;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::notices::Notice;

/// Across an ocean, over a bad radio link.
const BAD: Network = Network { loss_percent: 5, duplicate_percent: 0, delay_ms: 25, jitter_ms: 50 };
const PLAYERS: usize = 6;
const WARM_UP: Duration = Duration::from_secs(15);
const END: Duration = Duration::from_secs(60);
const FRAME_MS: u128 = 16;

/// The server did something to the player, or did not do what it was asked for, that its client could not know of.
fn is_disagreement(event: &Event) -> bool {
    match event {
        Event::Rejected { .. } | Event::Corrected { .. } => true,
        Event::Notice(notice) => matches!(
            Notice::read(notice),
            Some(
                Notice::EffectBegun { .. }
                    | Notice::Died { .. }
                    | Notice::Respawned { .. }
                    | Notice::MatchStarted { .. }
                    | Notice::MatchEnded { .. }
            )
        ),
        Event::Confirmed { .. } | Event::GivenUp { .. } => false,
    }
}

/// Walks about, stands still now and then, and attacks nobody.
fn act(world: &mut World, index: usize) {
    let now = world.now();
    let is_due = world.players[index].client.next_input_at(now).is_some_and(|due| due <= now.monotonic);
    if !is_due || world.players[index].client.own().is_none() || !world.random.percent(30) {
        return;
    }
    let (x, y) = place(&world.players[index].client);
    let intent = if world.random.percent(10) {
        Intent::Stop
    } else {
        let mut way = || i32::try_from(world.random.below(12_000)).expect("few") - 6000;
        Intent::Move { x: x + way(), y: y + way() }
    };
    world.players[index].client.send(now, intent);
}

fn corrections(client: &Client) -> u64 {
    client.stats().corrections
}

#[test]
fn in_the_arena_a_player_sees_itself_where_the_server_has_it_unless_the_server_did_what_it_could_not_know() {
    let (mut frames, mut wrong, mut excused) = (0_u64, 0, 0);
    for seed in 1..=2 {
        let mut world = World::with_config(seed, BAD, ServerConfig { capacity: PLAYERS, ..config() });
        (0..PLAYERS).for_each(|_| _ = world.add_player());
        while world.elapsed < END {
            let before: Vec<_> = world.players.iter().map(|player| corrections(&player.client)).collect();
            world.step();
            for (index, before) in before.into_iter().enumerate() {
                act(&mut world, index);
                let now = world.now();
                let player = &mut world.players[index];
                let is_disagreed = player.events.drain(..).any(|event| is_disagreement(&event));
                let is_frame = world.elapsed.as_millis().is_multiple_of(FRAME_MS);
                let is_drawn = is_frame && player.client.frame(now).is_some();
                if world.elapsed >= WARM_UP {
                    frames += u64::from(is_drawn);
                    let more = corrections(&player.client) - before;
                    *(if is_disagreed { &mut excused } else { &mut wrong }) += more;
                }
            }
        }
    }
    println!("{wrong} corrections, {excused} with a reason, in {frames} frames");
    assert!(frames > 2 * PLAYERS as u64 * 2500, "{frames} frames");
    assert!(wrong * 1000 <= frames, "{wrong} corrections in {frames} frames, and {excused} with a reason");
}
