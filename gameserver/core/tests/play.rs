//! Players in the game over good and bad networks.

mod common;

use std::time::Duration;

use common::{Network, World};
use gameserver_client::{ClientState, Event};

fn all_connected(world: &World) -> bool {
    world
        .players
        .iter()
        .all(|player| player.client.state() == ClientState::Connected && player.client.snapshot().is_some())
}

#[test]
fn a_player_joins_moves_and_is_confirmed() {
    let mut world = World::new(1, Network { delay_ms: 20, ..Network::default() });
    let player = world.add_player();
    world.run_until(all_connected);
    let start = world.players[player].client.snapshot().unwrap().head;
    let now = world.now();
    let (x, y) = (start.x, if start.y > 500_000 { start.y - 5000 } else { start.y + 5000 });
    let input_seq = world.players[player].client.send_move(now, x, y);
    world.run(Duration::from_secs(1));
    let confirmed = world.players[player]
        .events
        .iter()
        .find(|event| matches!(event, Event::Confirmed { input_seq: seq, .. } if *seq == input_seq));
    assert!(confirmed.is_some(), "{:?}", world.players[player].events);
    let end = world.players[player].client.snapshot().unwrap().head;
    assert_eq!((end.x, end.y), (x, y), "half a second of walking was enough");
    assert_eq!(world.server.counters().inputs_applied, 1);
}
