//! Who is near whom: entities by cell of a grid.

use gameserver_game::ByCell;
use gameserver_protocol::message::Entity;

/// Side of a cell, hundredths of a unit: 50 units.
const CELL_SIZE: i32 = 5_000;
/// Hundredths in a unit.
const GRAIN: i32 = 100;

/// Who is in which cell. Rebuilt once a tick.
#[derive(Debug)]
pub(crate) struct Grid(ByCell<CELL_SIZE>);

impl Grid {
    /// A grid over a square map for entities with indices below `capacity`.
    pub(crate) fn new(map_units: i32, capacity: usize) -> Self {
        Self(ByCell::new(map_units.saturating_mul(GRAIN), capacity))
    }

    /// Takes everybody, by index.
    pub(crate) fn rebuild(&mut self, entities: impl Iterator<Item = (u32, Entity)> + Clone) {
        self.0.rebuild(entities.map(|(index, entity)| (index, (entity.x, entity.y))));
    }

    /// Calls `visit` with the indices around a place, ring by ring outwards (0 is the cell itself) up to `rings`, until
    /// it returns false. Within the innermost cell it begins after `from`, so that in a crowd different viewers see
    /// different ones, and each the same ones from tick to tick.
    pub(crate) fn around(
        &self,
        x: i32,
        y: i32,
        from: u32,
        rings: u32,
        mut visit: impl FnMut(u32, u32) -> bool,
    ) {
        let (column, row) = (self.0.line_of(x), self.0.line_of(y));
        let own = self.0.in_row(column, column, row);
        let split = own.partition_point(|&index| index <= from);
        if !own[split..].iter().chain(&own[..split]).all(|&index| visit(index, 0)) {
            return;
        }
        let side = self.0.lines();
        for ring in 1..=rings {
            let distance = ring as usize;
            let lines = |middle: usize| middle.saturating_sub(distance)..=(middle + distance).min(side - 1);
            let columns = lines(column);
            for line in lines(row) {
                let mut visit_cells =
                    |from, to| self.0.in_row(from, to, line).iter().all(|&index| visit(index, ring));
                let goes_on = if line.abs_diff(row) == distance {
                    visit_cells(*columns.start(), *columns.end())
                } else {
                    let (left, right) = (column.checked_sub(distance), column + distance);
                    left.is_none_or(|left| visit_cells(left, left))
                        && (right >= side || visit_cells(right, right))
                };
                if !goes_on {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(entities: &[(u32, i32, i32)], x: i32, y: i32, from: u32, rings: u32) -> Vec<(u32, u32)> {
        let mut grid = Grid::new(1000, 100);
        let entity = |&(index, x, y): &(u32, i32, i32)| (index, Entity { id: 1, x, y, ..Entity::default() });
        grid.rebuild(entities.iter().map(entity));
        let mut seen = Vec::new();
        grid.around(x, y, from, rings, |index, ring| {
            seen.push((index, ring));
            true
        });
        seen
    }

    #[test]
    fn nearer_rings_come_first_and_far_ones_not_at_all() {
        let entities = [(1, 50_000, 50_000), (2, 50_000, 56_000), (3, 61_000, 50_000), (4, 99_999, 50_000)];
        assert_eq!(seen(&entities, 50_001, 50_001, 0, 2), [(1, 0), (2, 1), (3, 2)]);
    }

    #[test]
    fn each_entity_is_seen_once_from_anywhere_when_the_rings_cover_the_map() {
        let entities: Vec<_> = (0..100)
            .map(|index: u32| {
                let place = index.cast_signed() * 1010;
                (index, place, 100_000 - place)
            })
            .collect();
        for (x, y) in [(0, 0), (100_000, 100_000), (100_000, 0), (50_000, 50_000), (-5, 200_000)] {
            let mut indices: Vec<_> =
                seen(&entities, x, y, 0, 21).into_iter().map(|(index, _)| index).collect();
            indices.sort_unstable();
            assert_eq!(indices, (0..100).collect::<Vec<_>>(), "from ({x}, {y})");
        }
    }

    #[test]
    fn in_a_crowd_each_begins_with_those_after_itself() {
        let crowd: Vec<_> = (0..10).map(|index| (index, 10, 10)).collect();
        let order: Vec<_> = seen(&crowd, 10, 10, 6, 0).into_iter().map(|(index, _)| index).collect();
        assert_eq!(order, [7, 8, 9, 0, 1, 2, 3, 4, 5, 6]);
    }
}
