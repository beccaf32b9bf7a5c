//! The boards of all zones of a process: what it shows as one.

use std::sync::Arc;

use super::board::{Board, Figure};

/// By number of the zone, and never empty.
#[derive(Clone, Debug)]
pub(crate) struct Boards(Arc<[Arc<Board>]>);

impl Boards {
    pub(super) fn new(boards: impl Iterator<Item = Arc<Board>>) -> Self {
        Self(boards.collect())
    }

    /// Boards of so many zones in which nothing has happened.
    #[cfg(test)]
    pub(crate) fn blank(zones: usize, labels: &[&'static str]) -> Self {
        Self::new((0..zones).map(|_| Arc::new(Board::new(labels.iter().copied()))))
    }

    /// Each zone's, in their order.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Board> {
        self.0.iter().map(|board| &**board)
    }

    /// A figure of all zones together.
    pub(crate) fn sum(&self, figure: Figure) -> u64 {
        self.iter().map(|board| board.get(figure)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_of_a_process_is_that_of_its_zones_together() {
        let boards = Boards::blank(3, &[]);
        for (zone, board) in (1..).zip(boards.iter()) {
            board.set(Figure::Joins, zone);
        }
        assert_eq!((boards.sum(Figure::Joins), boards.sum(Figure::Leaves)), (6, 0));
    }
}
