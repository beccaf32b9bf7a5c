//! The numbers of the game. Distances are thousandths of a unit.

/// The map is a square from 0 to this, both included: 1000 units.
pub const MAP_SIZE: i32 = 1_000_000;
/// How far a player walks in a second: 10 units.
pub const WALK_SPEED: i32 = 10_000;
/// How far a move's target may be: what a player walks in a second.
pub const MAX_MOVE_DISTANCE: i32 = WALK_SPEED;
/// Between two moves, in quarters of a tick: a little less than a tick, so that a client which sends one a tick by
/// its own, slightly faster clock never runs into it.
pub const MOVE_COOLDOWN_QUARTERS: u64 = 3;
/// Moves that may come at once after a pause, because the network bunches them.
pub const MOVE_BURST: u64 = 8;
/// Side of a cell of the spatial grid: 50 units. A player sees its own cell and the eight around it.
pub const CELL_SIZE: i32 = 50_000;
