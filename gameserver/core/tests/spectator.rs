//! Those who only look on: what they see, where they may look, and that they are not in the world.

mod common;

use std::time::Duration;

use common::{Network, World, place};
use gameserver_client::{ClientState, Event, RejectReason, Watch, Watched};
use gameserver_core::Game;
use gameserver_game::arena::intents::Intent;
use gameserver_game::arena::{PLAYER_KIND, rules::MAP_SIZE};

const SECOND: Duration = Duration::from_secs(1);
/// The middle of the map, hundredths of a unit.
const MIDDLE: i32 = MAP_SIZE / 20;

/// Two players, who are in the game, and a spectator, who is last.
fn watched_world() -> World {
    // over a good network they come in their order, so that slots are known
    let mut world = World::new(5, Network::default());
    world.add_player();
    world.add_player();
    let spectator = world.add_spectator();
    world.run_until(|world| {
        let are_in = world.players[..spectator].iter().all(|player| player.client.own().is_some());
        are_in && world.players[spectator].client.watched().is_some()
    });
    // a match has begun, with everyone elsewhere
    world.run(SECOND);
    world
}

/// Id and place in hundredths of a unit of a player, as the world has them.
fn truth(world: &World, player: u32) -> (u32, i32, i32) {
    let found = world.server.game().entities().find(|&(index, _)| index == player);
    let (_, entity) = found.expect("the player is there");
    (entity.id, entity.x, entity.y)
}

fn ask(world: &mut World, watch: Watch) -> u32 {
    let client = &mut world.players[2].client;
    client.watch(watch).expect("it is a spectator's client")
}

/// Ids of the players whom the spectator sees.
fn seen(world: &World) -> Vec<u32> {
    let entities = world.players[2].client.view().entities();
    entities.filter(|(_, entity)| entity.kind == PLAYER_KIND).map(|(_, entity)| entity.id).collect()
}

#[test]
fn a_spectator_looks_at_the_middle_is_not_in_the_world_and_is_told_what_happens_to_all() {
    let world = watched_world();
    let spectator = &world.players[2];
    assert_eq!(spectator.client.watched(), Some(Watched { x: MIDDLE, y: MIDDLE, follows: 0 }));
    assert!(spectator.client.own().is_none() && !world.server.game().has_joined(2));
    assert_eq!(spectator.client.stats().own_unreadable, 0);
}

#[test]
fn a_spectator_sees_the_place_that_it_asks_for_and_follows_whom_it_asks_for_over_a_bad_network() {
    let mut world = watched_world();
    world.network = Network { loss_percent: 20, duplicate_percent: 20, delay_ms: 20, jitter_ms: 30 };
    let (id, x, y) = truth(&world, 0);
    let sequence = ask(&mut world, Watch::Place { x, y });
    world.run(SECOND);
    let client = &world.players[2].client;
    assert_eq!(client.watched(), Some(Watched { x, y, follows: 0 }));
    assert!(seen(&world).contains(&id), "{:?}", seen(&world));
    let is_it = |event: &Event| matches!(event, Event::Confirmed { input_seq, .. } if *input_seq == sequence);
    assert_eq!(world.players[2].events.iter().filter(|event| is_it(event)).count(), 1);

    ask(&mut world, Watch::Entity { id });
    let (now, (x, y)) = (world.now(), place(&world.players[0].client));
    let x = if x > MAP_SIZE / 2 { x - 9000 } else { x + 9000 };
    world.players[0].client.send_soon(now, Intent::Move { x, y });
    world.run(2 * SECOND);
    let (_, east, north) = truth(&world, 0);
    assert_eq!((east, north), (x / 10, y / 10), "it has walked there");
    let watched = world.players[2].client.watched();
    assert_eq!(watched, Some(Watched { x: east, y: north, follows: id }));
}

#[test]
fn a_spectator_stays_where_it_lost_whom_it_followed() {
    let mut world = watched_world();
    let (id, x, y) = truth(&world, 1);
    ask(&mut world, Watch::Entity { id });
    world.run(SECOND);
    assert_eq!(world.players[2].client.watched(), Some(Watched { x, y, follows: id }));
    world.players[1].client.disconnect();
    world.run(SECOND);
    assert_eq!(world.players[2].client.watched(), Some(Watched { x, y, follows: 0 }));
}

#[test]
fn what_is_asked_for_before_the_first_tick_is_done() {
    let mut world = World::new(5, Network::default());
    let spectator = world.add_spectator();
    world.run_until(|world| world.players[spectator].client.state() == ClientState::Connected);
    assert!(world.players[spectator].client.snapshot().is_none(), "no tick has told it anything");
    let asked = world.players[spectator].client.watch(Watch::Place { x: 1, y: 2 });
    assert_eq!(asked, Some(1));
    world.run(SECOND);
    assert_eq!(world.players[spectator].client.watched(), Some(Watched { x: 1, y: 2, follows: 0 }));
}

#[test]
fn spectators_play_not_and_players_do_not_ask_where_to_look() {
    let mut world = watched_world();
    let now = world.now();
    let sequence = world.players[2].client.send_soon(now, Intent::Stop);
    world.run(SECOND);
    let refused = Event::Rejected { input_seq: sequence, reason: RejectReason::NotYours };
    assert!(world.players[2].events.contains(&refused), "{:?}", world.players[2].events);
    assert_eq!(world.players[0].client.watch(Watch::Entity { id: 1 }), None);
    assert_eq!(world.players[0].client.unsettled_inputs(), 0);
}
