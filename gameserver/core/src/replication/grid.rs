//! Who is near whom: entities by cell of a grid.

use std::ops::Range;

use gameserver_protocol::message::Entity;

/// Side of a cell, hundredths of a unit: 50 units.
const CELL_SIZE: i32 = 5_000;
/// Hundredths in a unit.
const GRAIN: i32 = 100;

/// Who is in which cell. Rebuilt once a tick.
#[derive(Debug)]
pub(crate) struct Grid {
    side: usize,
    /// First rank of each cell; an entity's rank is its place in the order of cells.
    first: Vec<u32>,
    /// Cell by index.
    cell: Vec<u32>,
    /// Indices by rank.
    sorted: Vec<u32>,
}

impl Grid {
    /// A grid over a square map for entities with indices below `capacity`.
    pub(crate) fn new(map_units: i32, capacity: usize) -> Self {
        let side = usize::try_from(map_units.saturating_mul(GRAIN) / CELL_SIZE).unwrap_or(0) + 1;
        Self { side, first: vec![0; side * side + 1], cell: vec![0; capacity], sorted: vec![0; capacity] }
    }

    /// Sorts entities into cells by a counting sort, so that within a cell the given order stays.
    pub(crate) fn rebuild(&mut self, entities: impl Iterator<Item = (u32, Entity)> + Clone) {
        self.first.fill(0);
        for (index, entity) in entities.clone() {
            let cell = self.cell_at(entity.x, entity.y);
            self.cell[index as usize] = u32::try_from(cell).unwrap_or(0);
            self.first[cell + 1] += 1;
        }
        let cells = self.first.len() - 1;
        for cell in 0..cells {
            self.first[cell + 1] += self.first[cell];
        }
        // `first` of a cell is used as its next free rank and ends as the first rank of the next cell
        for (index, _) in entities {
            let next = &mut self.first[self.cell[index as usize] as usize];
            self.sorted[*next as usize] = index;
            *next += 1;
        }
        self.first.copy_within(0..cells, 1);
        self.first[0] = 0;
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
        let own = self.members(self.cell_at(x, y));
        let split = own.partition_point(|&index| index <= from);
        if !own[split..].iter().chain(&own[..split]).all(|&index| visit(index, 0)) {
            return;
        }
        let (column, row) = (self.line_of(x), self.line_of(y));
        for ring in 1..=rings {
            if !self
                .ring(column, row, ring)
                .all(|cell| self.members(cell).iter().all(|&index| visit(index, ring)))
            {
                return;
            }
        }
    }

    /// The cells at just this distance, nearer sides first: those on the map.
    fn ring(&self, column: usize, row: usize, ring: u32) -> impl Iterator<Item = usize> {
        let (side, distance) = (self.side, ring as usize);
        let lines = move |middle: usize| -> Range<usize> {
            middle.saturating_sub(distance)..(middle + distance + 1).min(side)
        };
        let is_edge = move |at: usize, middle: usize| at.abs_diff(middle) == distance;
        lines(row).flat_map(move |r| {
            let whole = is_edge(r, row);
            lines(column).filter(move |&c| whole || is_edge(c, column)).map(move |c| c + side * r)
        })
    }

    fn members(&self, cell: usize) -> &[u32] {
        &self.sorted[self.first[cell] as usize..self.first[cell + 1] as usize]
    }

    fn line_of(&self, place: i32) -> usize {
        usize::try_from(place / CELL_SIZE).unwrap_or(0).min(self.side - 1)
    }

    fn cell_at(&self, x: i32, y: i32) -> usize {
        self.line_of(x) + self.side * self.line_of(y)
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
