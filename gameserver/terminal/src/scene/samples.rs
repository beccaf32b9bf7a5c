//! Moments for tests.

use std::time::Duration;

use gameserver_client::Watched;
use gameserver_game::arena::own::Own;

use super::{Eye, Kind, Me, Other, Scene};

/// Somebody alive and well at a place in units.
pub(crate) fn other(id: u32, kind: Kind, x: f64, y: f64) -> Other {
    let health = if kind == Kind::Npc { 60 } else { 100 };
    Other { id, kind, place: (x * 100.0, y * 100.0), health, bits: 0, kills: 0, aims_at: 0 }
}

/// What a player in the middle of the map, who stands, knows of itself.
pub(crate) fn own() -> Own {
    let (x, y) = (500_000, 500_000);
    Own { x, y, target_x: x, target_y: y, health: 100, mana: 100, ..Own::default() }
}

/// That player, with nothing that is not confirmed.
pub(crate) fn me() -> Me {
    Me { confirmed: own(), predicted: Some(own()), drawn: (50_000.0, 50_000.0) }
}

pub(crate) fn scene(eye: Eye, others: Vec<Other>) -> Scene {
    let mut scene = Scene {
        eye,
        others,
        tick: 1234,
        tick_hz: 64,
        round_trip: Some(Duration::from_micros(2100)),
        silence: Duration::ZERO,
        open_inputs: 0,
        corrections: 0,
    };
    scene.put_nearest_first();
    scene
}

/// A spectator who looks at the middle.
pub(crate) fn spectator(follows: u32, others: Vec<Other>) -> Scene {
    scene(Eye::Spectator(Watched { x: 50_000, y: 50_000, follows }), others)
}
