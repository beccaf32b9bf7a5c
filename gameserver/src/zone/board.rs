//! Figures that a zone thread shows and the control thread reads, without a lock.
//!
//! Each figure is one word with one writer. A reader sees every figure exactly, but figures among each other may be a tick
//! apart; nothing that reads them needs more than that a later one shows those before it
//! (`whoever_reads_that_an_order_was_carried_out_sees_what_came_of_it` of `gameserver-queue`).

use gameserver_contract::HistogramDelta;
use gameserver_contract::histogram::{BUCKETS, Histogram};
use gameserver_queue::Word;

/// A single number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Figure {
    PacketsIn,
    PacketsOut,
    BytesIn,
    BytesOut,
    SocketOverflows,
    Filtered,
    FromStrangers,
    Truncated,
    Rearms,
    SendErrors,
    PacketsLost,
    AnswersDropped,
    TokensTried,
    PacketsTried,
    Players,
    /// Whether the kernel filters what strangers send: a [`super::FilterState`].
    Filter,
    Joins,
    Leaves,
    Denials,
    Moves,
    Resumes,
    ResumeTokens,
    Timeouts,
    Snapshots,
    SnapshotsLost,
    Inputs,
    InputsLate,
    InputsRepeated,
    InputsDeferred,
    CommandsDeferred,
    NoticesDropped,
    CellsUnkept,
    RefusedHandshakes,
    RejectedInputs,
    LateTicks,
    /// CPU time of the thread, microseconds.
    CpuUs,
    /// When the newest tick began, microseconds on the clock of the process.
    TickedAtUs,
    /// Ticks since the start: a sign of life.
    Ticks,
    /// 1 when players can connect at all.
    HasKey,
    /// 1 when the drain is complete.
    Drained,
    /// Orders carried out: tells whether `Drained` speaks of the newest.
    OrdersApplied,
    /// Orders given; the control thread writes it.
    OrdersGiven,
    /// Orders for which there was no room; the control thread writes it.
    OrdersRefused,
}

const FIGURES: usize = Figure::OrdersRefused as usize + 1;

/// A distribution of microseconds, or of inputs for `QueueDepth`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub(crate) enum Distribution {
    TickWait,
    TickReceive,
    TickWork,
    TickFlush,
    TickLateness,
    InputLatency,
    RoundTrip,
    QueueDepth,
}

const DISTRIBUTIONS: usize = Distribution::QueueDepth as usize + 1;
const DISTRIBUTION_WORDS: usize = BUCKETS + 1;

/// The shared words of one zone.
#[derive(Debug)]
pub(crate) struct Board {
    figures: [Word; FIGURES],
    distributions: [[Word; DISTRIBUTION_WORDS]; DISTRIBUTIONS],
    rejects: Box<[(&'static str, Word)]>,
}

impl Board {
    /// A board with one word for each of the reject labels.
    pub(crate) fn new(labels: impl Iterator<Item = &'static str>) -> Self {
        Self {
            figures: [const { Word::new() }; FIGURES],
            distributions: [const { [const { Word::new() }; DISTRIBUTION_WORDS] }; DISTRIBUTIONS],
            rejects: labels.map(|label| (label, Word::new())).collect(),
        }
    }

    /// Shows a figure. Only the zone thread calls this, or the control thread for a figure of its own.
    pub(crate) fn set(&self, figure: Figure, value: u64) {
        self.figures[figure as usize].set(value);
    }

    /// Shows the counts by reject label, in the order of [`Board::new`]. Only the zone thread calls this.
    pub(crate) fn set_rejects(&self, counts: impl Iterator<Item = u64>) {
        for ((_, word), count) in self.rejects.iter().zip(counts) {
            word.set(count);
        }
    }

    /// Adds what was recorded since the last time. Only the zone thread calls this.
    pub(crate) fn add(&self, distribution: Distribution, recorded: &Histogram) {
        let words = &self.distributions[distribution as usize];
        for (word, &more) in words.iter().zip(recorded.counts()) {
            if more > 0 {
                word.add(more);
            }
        }
        words[BUCKETS].add(recorded.sum());
    }

    /// Adds one value. Only the zone thread calls this.
    pub(crate) fn record(&self, distribution: Distribution, value: u64) {
        let words = &self.distributions[distribution as usize];
        let bucket = gameserver_contract::histogram::BOUNDS.partition_point(|&bound| bound < value);
        words[bucket].add(1);
        words[BUCKETS].add(value);
    }

    pub(crate) fn get(&self, figure: Figure) -> u64 {
        self.figures[figure as usize].get()
    }

    pub(crate) fn rejects(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.rejects.iter().map(|(label, word)| (*label, word.get()))
    }

    /// Everything recorded so far.
    pub(crate) fn total(&self, distribution: Distribution) -> Total {
        let words = &self.distributions[distribution as usize];
        Total(std::array::from_fn(|index| words[index].get()))
    }
}

/// A distribution since the start: counts by bucket, then the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Total([u64; DISTRIBUTION_WORDS]);

impl Default for Total {
    fn default() -> Self {
        Self([0; DISTRIBUTION_WORDS])
    }
}

impl Total {
    pub(crate) fn counts(&self) -> &[u64] {
        &self.0[..BUCKETS]
    }

    pub(crate) fn sum(&self) -> u64 {
        self.0[BUCKETS]
    }

    /// What was recorded after `earlier`.
    pub(crate) fn since(&self, earlier: &Self) -> HistogramDelta {
        let buckets = (0_u8..)
            .zip(self.counts().iter().zip(earlier.counts()))
            .map(|(bucket, (now, before))| (bucket, now.saturating_sub(*before)))
            .filter(|&(_, count)| count > 0)
            .map(|(bucket, count)| (bucket, u32::try_from(count).unwrap_or(u32::MAX)))
            .collect();
        HistogramDelta { buckets, sum: self.sum().saturating_sub(earlier.sum()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board() -> Board {
        Board::new(["a", "b"].into_iter())
    }

    #[test]
    fn a_recorded_value_and_an_added_histogram_land_in_the_same_bucket() {
        let (recorded, added) = (board(), board());
        for value in [0, 1, 7, 900, 12_582_912, u64::from(u32::MAX)] {
            recorded.record(Distribution::TickWork, value);
            let mut histogram = Histogram::default();
            histogram.record(value);
            added.add(Distribution::TickWork, &histogram);
        }
        assert_eq!(recorded.total(Distribution::TickWork), added.total(Distribution::TickWork));
        assert_eq!(recorded.total(Distribution::TickFlush), Total::default());
    }

    #[test]
    fn a_delta_holds_just_what_came_after() {
        let board = board();
        board.record(Distribution::QueueDepth, 5);
        let before = board.total(Distribution::QueueDepth);
        board.record(Distribution::QueueDepth, 100);
        let mut expected = Histogram::default();
        expected.record(100);
        assert_eq!(board.total(Distribution::QueueDepth).since(&before), expected.take_delta());
    }

    #[test]
    fn figures_and_rejects_are_shown_under_their_own_name() {
        let board = board();
        board.set(Figure::Players, 3);
        board.set_rejects([0, 9].into_iter());
        assert_eq!((board.get(Figure::Players), board.get(Figure::Joins)), (3, 0));
        assert_eq!(board.rejects().collect::<Vec<_>>(), [("a", 0), ("b", 9)]);
    }
}
