//! Who is near whom: entities by cell, already encoded, so that sight is copying.

use std::ops::Range;

use gameserver_protocol::message::{BufferTooSmall, ENTITY_BYTES_MAX, Entity, MAX_ENTITIES, encode_entity};

use super::rules::{CELL_SIZE, MAP_SIZE};

const CELLS_A_SIDE: usize = (MAP_SIZE / CELL_SIZE) as usize + 1;
const CELLS: usize = CELLS_A_SIDE * CELLS_A_SIDE;
/// Most runs of one player's sight: its own cell around itself, and eight neighbours.
const RUNS: usize = 10;

/// Neighbours of a cell, the nearer ones first.
const NEIGHBOURS: [(isize, isize); 8] =
    [(-1, 0), (1, 0), (0, -1), (0, 1), (-1, -1), (1, -1), (-1, 1), (1, 1)];

/// Who is in which cell, and each entity's bytes as they stand in snapshots, laid out cell by cell, so that what a
/// player sees is a handful of runs to copy. Rebuilt once a tick.
#[derive(Debug)]
pub(crate) struct Grid {
    /// First rank of each cell; an entity's rank is its place in cell order.
    first: Vec<u32>,
    /// Rank by player slot.
    rank: Vec<u32>,
    cell: Vec<u16>,
    /// Where the bytes of each rank start, and the end of the last.
    offset: Vec<u32>,
    bytes: Vec<u8>,
    /// By rank, while building.
    sorted: Vec<Entity>,
}

/// What a player sees: entities as runs of encoded bytes.
#[derive(Clone, Debug)]
pub(crate) struct Sight {
    pub(crate) count: usize,
    runs: [(u32, u32); RUNS],
    len: usize,
}

impl Grid {
    pub(crate) fn new(capacity: usize) -> Self {
        let nobody = Entity { id: 0, x: 0, y: 0 };
        Self {
            first: vec![0; CELLS + 1],
            rank: vec![0; capacity],
            cell: vec![0; capacity],
            offset: vec![0; capacity + 1],
            bytes: vec![0; capacity * ENTITY_BYTES_MAX],
            sorted: vec![nobody; capacity],
        }
    }

    /// Sorts `entities` into cells (a counting sort, so the order within a cell is the given one) and encodes each
    /// once.
    pub(crate) fn rebuild(
        &mut self,
        entities: impl Iterator<Item = (u32, Entity)> + Clone,
    ) -> Result<(), BufferTooSmall> {
        self.first.fill(0);
        for (slot, entity) in entities.clone() {
            let cell = cell_of(entity.x) + CELLS_A_SIDE * cell_of(entity.y);
            self.cell[slot as usize] = u16::try_from(cell).unwrap_or(0);
            self.first[cell + 1] += 1;
        }
        for cell in 0..CELLS {
            self.first[cell + 1] += self.first[cell];
        }
        // `first` of a cell is used as its next free rank and ends as the first rank of the next cell
        let mut count = 0;
        for (slot, entity) in entities {
            let next = &mut self.first[usize::from(self.cell[slot as usize])];
            self.rank[slot as usize] = *next;
            self.sorted[*next as usize] = entity;
            *next += 1;
            count += 1;
        }
        self.first.copy_within(0..CELLS, 1);
        self.first[0] = 0;
        let mut end = 0;
        for (rank, entity) in self.sorted[..count].iter().enumerate() {
            end += encode_entity(&mut self.bytes[end..], entity)?;
            self.offset[rank + 1] = u32::try_from(end).map_err(|_too_long| BufferTooSmall)?;
        }
        Ok(())
    }

    /// What the player in `slot` sees: up to [`MAX_ENTITIES`] others, those of its own cell first (from the player
    /// on, so that in a crowd different players see different ones, and each the same ones from tick to tick), then
    /// those of the cells around.
    pub(crate) fn sight(&self, slot: u32) -> Sight {
        let mut sight = Sight { count: 0, runs: [(0, 0); RUNS], len: 0 };
        let (own, rank) = (usize::from(self.cell[slot as usize]), self.rank[slot as usize]);
        let cell = self.ranks_of(own);
        sight.add(rank + 1..cell.end);
        sight.add(cell.start..rank);
        for (dx, dy) in NEIGHBOURS {
            let column = (own % CELLS_A_SIDE).checked_add_signed(dx).filter(|&column| column < CELLS_A_SIDE);
            let row = (own / CELLS_A_SIDE).checked_add_signed(dy).filter(|&row| row < CELLS_A_SIDE);
            if let Some((column, row)) = column.zip(row) {
                sight.add(self.ranks_of(column + CELLS_A_SIDE * row));
            }
        }
        sight
    }

    /// The encoded entities of `sight`.
    pub(crate) fn runs<'a>(&'a self, sight: &'a Sight) -> impl Iterator<Item = &'a [u8]> {
        sight.runs[..sight.len].iter().map(|&(start, end)| {
            let place = |rank: u32| self.offset[rank as usize] as usize;
            &self.bytes[place(start)..place(end)]
        })
    }

    fn ranks_of(&self, cell: usize) -> Range<u32> {
        self.first[cell]..self.first[cell + 1]
    }
}

impl Sight {
    fn add(&mut self, ranks: Range<u32>) {
        let room = u32::try_from(MAX_ENTITIES - self.count).unwrap_or(0);
        let taken = u32::try_from(ranks.len()).unwrap_or(0).min(room);
        if taken > 0 {
            self.runs[self.len] = (ranks.start, ranks.start + taken);
            self.len += 1;
            self.count += taken as usize;
        }
    }
}

fn cell_of(coordinate: i32) -> usize {
    usize::try_from(coordinate / CELL_SIZE).unwrap_or(0).min(CELLS_A_SIDE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_protocol::message::{Snapshot, SnapshotHead, encode_snapshot};
    use std::collections::BTreeSet;

    fn grid_of(places: &[(i32, i32)]) -> (Grid, Vec<Entity>) {
        let entities: Vec<_> = (1..).zip(places).map(|(id, &(x, y))| Entity { id, x, y }).collect();
        let mut grid = Grid::new(places.len());
        grid.rebuild((0..).zip(entities.iter().copied())).expect("there is room");
        (grid, entities)
    }

    /// What a client would make of the sight of the player in `slot`.
    fn seen_by(grid: &Grid, slot: u32) -> Vec<Entity> {
        let (mut buffer, sight) = ([0; 1200], grid.sight(slot));
        let head = SnapshotHead::default();
        let len = encode_snapshot(&mut buffer, &head, std::iter::empty(), sight.count, grid.runs(&sight));
        let mut snapshot = Snapshot::default();
        snapshot.decode_into(&buffer[..len.expect("there is room")]).expect("a snapshot");
        snapshot.entities
    }

    #[test]
    fn one_sees_the_own_cell_and_the_eight_around_it_but_not_oneself() {
        let (grid, entities) =
            grid_of(&[(75_000, 75_000), (99_999, 50_000), (0, 0), (149_999, 149_999), (150_000, 75_000)]);
        assert_eq!(seen_by(&grid, 0), [entities[1], entities[2], entities[3]]);
        assert_eq!(seen_by(&grid, 4), [entities[3]]);
    }

    #[test]
    fn the_corners_of_the_map_have_fewer_neighbours() {
        let (grid, entities) = grid_of(&[(0, 0), (MAP_SIZE, MAP_SIZE), (MAP_SIZE, 0), (49_999, 50_000)]);
        assert_eq!(seen_by(&grid, 0), [entities[3]]);
        assert_eq!(seen_by(&grid, 1), []);
        assert_eq!(seen_by(&grid, 2), []);
    }

    #[test]
    fn in_a_crowd_everyone_sees_the_most_and_is_seen_by_as_many() {
        let (grid, entities) = grid_of(&[(10, 10); 1000]);
        let mut seen = vec![0; entities.len() + 1];
        for slot in 0..1000 {
            let others = seen_by(&grid, slot);
            let ids: BTreeSet<_> = others.iter().map(|other| other.id).collect();
            assert_eq!(ids.len(), MAX_ENTITIES);
            assert!(!ids.contains(&(slot + 1)));
            for id in ids {
                seen[id as usize] += 1;
            }
        }
        assert!(seen[1..].iter().all(|&count| count == MAX_ENTITIES), "nobody is invisible");
    }

    #[test]
    fn a_rebuilt_grid_has_forgotten_who_is_gone() {
        let (mut grid, entities) = grid_of(&[(1, 1), (2, 2), (3, 3)]);
        grid.rebuild([(0, entities[0]), (2, entities[2])].into_iter()).expect("there is room");
        assert_eq!(seen_by(&grid, 0), [entities[2]]);
        assert_eq!(seen_by(&grid, 2), [entities[0]]);
    }
}
