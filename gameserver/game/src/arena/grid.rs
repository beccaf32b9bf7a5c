//! Who is near: living players by cell of the map, so that an NPC that looks around asks only its neighbours.

use super::body::Body;
use super::movement::distance_squared;
use super::rules::{MAP_SIZE, NPC_SIGHT};
use crate::ByCell;

/// Side of a cell: 50 units, so that what an NPC sees is in its own cell and the eight around it.
const CELL_SIZE: i32 = 50_000;
const _: () = assert!(NPC_SIGHT <= CELL_SIZE);

/// Made anew each tick; nothing in it outlasts one.
#[derive(Clone, Debug)]
pub(crate) struct Grid(ByCell<CELL_SIZE>);

impl Grid {
    pub(crate) fn new(players: usize) -> Self {
        Self(ByCell::new(MAP_SIZE, players))
    }

    /// Takes the living of `players`, by their slots.
    pub(crate) fn rebuild(&mut self, players: &[Body]) {
        let alive = (0..).zip(players).filter(|(_, body)| body.is_alive());
        self.0.rebuild(alive.map(|(slot, body)| (slot, (body.x, body.y))));
    }

    /// Slot of the living player who is nearest to `place` within `range`, at most a cell's side; of those equally
    /// near the one whose slot is lowest.
    pub(crate) fn nearest(&self, players: &[Body], place: (i32, i32), range: i32) -> Option<usize> {
        let span = |coordinate: i32| {
            let line = |way| self.0.line_of(way);
            (line(coordinate.saturating_sub(range)), line(coordinate.saturating_add(range)))
        };
        let ((from, to), (top, bottom)) = (span(place.0), span(place.1));
        let mut best = (i64::from(range) * i64::from(range) + 1, u32::MAX);
        for row in top..=bottom {
            for &slot in self.0.in_row(from, to, row) {
                let body = &players[slot as usize];
                best = best.min((distance_squared(place, (body.x, body.y)), slot));
            }
        }
        (best.1 != u32::MAX).then_some(best.1 as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::RandomStream;

    fn bodies(places: &[(i32, i32)]) -> Vec<Body> {
        let at = |&(x, y)| Body { x, y, health: 1, ..Body::default() };
        places.iter().map(at).collect()
    }

    #[test]
    fn the_nearest_is_found_wherever_it_is_as_by_asking_everyone() {
        let mut random = RandomStream::new(3);
        for round in 0..200 {
            let around = if round % 2 == 0 { MAP_SIZE } else { 120_000 }.cast_unsigned();
            let mut place =
                || (random.below(around + 1).cast_signed(), random.below(around + 1).cast_signed());
            let places: Vec<_> = (0..200).map(|_| place()).collect();
            let (mut players, mut grid) = (bodies(&places), Grid::new(200));
            players.iter_mut().step_by(3).for_each(|body| body.health = 0);
            grid.rebuild(&players);
            for _ in 0..50 {
                let from = place();
                let alive = (0..200).filter(|&slot: &usize| players[slot].is_alive());
                let near = alive.map(|slot| (distance_squared(from, places[slot]), slot));
                let near = near.filter(|&(squared, _)| squared <= i64::from(NPC_SIGHT).pow(2)).min();
                assert_eq!(grid.nearest(&players, from, NPC_SIGHT), near.map(|(_, slot)| slot));
            }
        }
    }

    #[test]
    fn of_equally_near_ones_the_lowest_slot_is_meant_and_the_range_is_included() {
        let players = bodies(&[(140_000, 100_000), (100_000, 140_000), (60_000, 100_000)]);
        let mut grid = Grid::new(3);
        grid.rebuild(&players);
        assert_eq!(grid.nearest(&players, (100_000, 100_000), 40_000), Some(0));
        assert_eq!(grid.nearest(&players, (100_000, 100_000), 39_999), None);
    }

    #[test]
    fn the_corners_of_the_map_belong_to_it() {
        let players = bodies(&[(0, 0), (MAP_SIZE, MAP_SIZE)]);
        let mut grid = Grid::new(2);
        grid.rebuild(&players);
        assert_eq!(grid.nearest(&players, (0, 0), NPC_SIGHT), Some(0));
        assert_eq!(grid.nearest(&players, (MAP_SIZE, MAP_SIZE), NPC_SIGHT), Some(1));
        assert_eq!(grid.nearest(&players, (0, MAP_SIZE), NPC_SIGHT), None);
    }
}
