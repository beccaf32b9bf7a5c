//! The boards of all zones of a process: what it shows as one.

use std::sync::Arc;

use super::board::{Board, Distribution, Figure, Total};

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

    /// Everything that was recorded so far, in whichever zone.
    pub(crate) fn total(&self, distribution: Distribution) -> Total {
        self.iter().map(|board| board.total(distribution)).fold(Total::default(), |sum, more| sum.plus(&more))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_shows_is_that_of_its_zones_together() {
        let (boards, one) = (Boards::blank(3, &[]), Boards::blank(1, &[]));
        for (zone, board) in (1..).zip(boards.iter()) {
            board.set(Figure::Joins, zone);
            for value in [zone, 1000 * zone] {
                board.record(Distribution::TickWork, value);
                one.iter().for_each(|one| one.record(Distribution::TickWork, value));
            }
        }
        assert_eq!((boards.sum(Figure::Joins), boards.sum(Figure::Leaves)), (6, 0));
        assert_eq!(boards.total(Distribution::TickWork), one.total(Distribution::TickWork));
        assert_eq!(boards.total(Distribution::TickFlush), Total::default());
    }
}
