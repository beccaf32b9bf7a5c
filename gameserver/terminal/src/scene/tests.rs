//! What a moment is made of.

use super::samples::{me, other, scene, spectator};
use super::*;
use gameserver_client::Entity;

fn drawn(kind: u8, fields: [i32; 4]) -> Other {
    let entity = Entity { id: 9, kind, x: 1, y: 2, fields };
    Other::from(Drawn { index: 3, entity, x: 1.5, y: 2.5 })
}

#[test]
fn what_the_server_tells_of_others_is_read_and_what_is_not_known_is_not_guessed() {
    for (code, kind, is_alive) in [
        (1, Kind::Player, true),
        (2, Kind::Npc, true),
        (3, Kind::Item(ItemKind::Potion), false),
        (4, Kind::Item(ItemKind::ManaPotion), false),
        (5, Kind::Item(ItemKind::Coin), false),
        (6, Kind::Unknown, false),
        (0, Kind::Unknown, false),
    ] {
        let other = drawn(code, [40, 0, 3, 7]);
        assert_eq!((other.kind, other.is_alive(), other.place), (kind, is_alive, (1.5, 2.5)), "{code}");
        assert_eq!((other.health, other.kills, other.aims_at), (40, 3, 7), "{code}");
    }
    assert!(!drawn(1, [0, 1, 0, 0]).is_alive(), "it is dead");
    assert_eq!(drawn(1, [0, 0, 0, -1]).aims_at, u32::MAX, "an id of the upper half");
}

#[test]
fn the_nearest_are_first_and_a_follower_looks_from_where_the_followed_is_drawn() {
    let others = vec![
        other(5, Kind::Npc, 510.0, 500.0),
        other(4, Kind::Npc, 490.0, 500.0),
        other(3, Kind::Player, 501.0, 500.0),
    ];
    let ids = |scene: Scene| scene.others.iter().map(|other| other.id).collect::<Vec<_>>();
    assert_eq!(ids(scene(Eye::Player(me()), others.clone())), [3, 4, 5]);
    let followed = spectator(5, others.clone());
    assert_eq!(followed.centre(), Some((51_000.0, 50_000.0)));
    assert_eq!(ids(followed), [5, 3, 4]);
    assert_eq!(spectator(77, others).centre(), Some((50_000.0, 50_000.0)), "whom it does not see");
}
