//! Who is where on a square map, by cell: for whoever asks only those who are near.

/// Indices sorted by the cell that they are in, of `SIDE` by `SIDE`, by columns and rows from 0. Allocates when it is made and
/// never again; what is outside of the map is in the cell at the edge.
#[derive(Clone, Debug)]
pub struct ByCell<const SIDE: i32> {
    /// Cells in a row, and rows.
    lines: usize,
    /// First rank of each cell, and the end of the last; an index's rank is its place in the order of cells.
    first: Vec<u32>,
    /// Cell by index.
    cell: Vec<u32>,
    /// Indices by rank.
    sorted: Vec<u32>,
}

impl<const SIDE: i32> ByCell<SIDE> {
    /// For a map from 0 to `map`, both included, and indices below `capacity`.
    pub fn new(map: i32, capacity: usize) -> Self {
        let lines = usize::try_from(map / SIDE).unwrap_or(0) + 1;
        Self { lines, first: vec![0; lines * lines + 1], cell: vec![0; capacity], sorted: vec![0; capacity] }
    }

    /// Takes indices with their places: a counting sort, so that within a cell the given order stays.
    pub fn rebuild(&mut self, places: impl Iterator<Item = (u32, (i32, i32))> + Clone) {
        self.first.fill(0);
        for (index, (x, y)) in places.clone() {
            let cell = self.line_of(x) + self.lines * self.line_of(y);
            self.cell[index as usize] = u32::try_from(cell).unwrap_or(0);
            self.first[cell + 1] += 1;
        }
        let cells = self.first.len() - 1;
        for cell in 0..cells {
            self.first[cell + 1] += self.first[cell];
        }
        // `first` of a cell is used as its next free rank and ends as the first rank of the next cell
        for (index, _) in places {
            let next = &mut self.first[self.cell[index as usize] as usize];
            self.sorted[*next as usize] = index;
            *next += 1;
        }
        self.first.copy_within(0..cells, 1);
        self.first[0] = 0;
    }

    /// How many cells there are in a row, and rows.
    pub fn lines(&self) -> usize {
        self.lines
    }

    /// Column of the cell in which an x is, or row of that in which a y is.
    pub fn line_of(&self, coordinate: i32) -> usize {
        usize::try_from(coordinate / SIDE).unwrap_or(0).min(self.lines - 1)
    }

    /// Indices in the cells of a row from one column to another, both included: those lie one after the other.
    pub fn in_row(&self, from: usize, to: usize, row: usize) -> &[u32] {
        let start = self.lines * row;
        &self.sorted[self.first[start + from] as usize..self.first[start + to + 1] as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(places: &[(u32, (i32, i32))]) -> ByCell<10> {
        let mut cells = ByCell::new(30, 10);
        // what was there before is forgotten
        cells.rebuild((0..10).map(|index| (index, (5, 5))));
        cells.rebuild(places.iter().copied());
        cells
    }

    #[test]
    fn each_index_is_in_the_cell_of_its_place_in_the_given_order() {
        let places = [(7, (0, 0)), (2, (9, 9)), (3, (10, 9)), (1, (9, 10)), (0, (19, 0)), (9, (30, 30))];
        let cells = cells(&places);
        assert_eq!(cells.lines(), 4, "what is at the end of the map has a cell");
        for (column, row, expected) in
            [(0, 0, &[7, 2][..]), (1, 0, &[3, 0]), (0, 1, &[1]), (3, 3, &[9]), (2, 2, &[])]
        {
            assert_eq!(cells.in_row(column, column, row), expected, "column {column}, row {row}");
        }
        assert_eq!(cells.in_row(0, 3, 0), [7, 2, 3, 0], "a row, cell by cell");
        assert_eq!(cells.in_row(1, 2, 0), [3, 0]);
    }

    #[test]
    fn what_is_outside_of_the_map_is_at_its_edge() {
        let cells = cells(&[(0, (-1, -100)), (1, (i32::MIN, i32::MAX)), (2, (31, 400)), (3, (i32::MAX, 5))]);
        for (column, row, expected) in [(0, 0, 0), (0, 3, 1), (3, 3, 2), (3, 0, 3)] {
            assert_eq!(cells.in_row(column, column, row), [expected], "column {column}, row {row}");
        }
    }
}
