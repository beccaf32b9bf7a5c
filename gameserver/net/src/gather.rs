//! How long a receive that waits lets datagrams gather, so that one wake-up serves many and none is lost.

use std::time::Duration;

/// Datagrams that are let gather, about. A socket buffer of the kernel's own size (208 KiB) has room for some 270 short ones, and
/// what comes while these are taken in is to have room as well.
const ENOUGH: u32 = 64;
/// The shortest time is this part of the longest.
const SHORTEST: u32 = 16;

/// A time that grows shorter as more comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gather {
    longest: Duration,
    time: Duration,
}

impl Gather {
    pub(crate) fn new(longest: Duration) -> Self {
        Self { longest, time: longest }
    }

    /// For the next wait.
    pub(crate) fn time(&self) -> Duration {
        self.time
    }

    /// So many datagrams came in a wait that was to gather for [`Self::time`]: the next gathers such that about [`ENOUGH`] would come.
    /// One that was `wait` long at most, and shorter than that, says nothing.
    pub(crate) fn learn(&mut self, wait: Duration, came: usize) {
        if wait < self.time {
            return;
        }
        let came = u32::try_from(came).unwrap_or(u32::MAX).max(1);
        self.time = (self.time * ENOUGH / came).clamp(self.longest / SHORTEST, self.longest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_micros(1000);

    #[test]
    fn the_more_comes_the_shorter_it_gathers_and_never_longer_than_it_may() {
        for (a_millisecond, expected_us) in
            [(0, 1000), (20, 1000), (64, 1000), (128, 500), (220, 290), (640, 100), (100_000, 62)]
        {
            let mut gather = Gather::new(LONGEST);
            for _ in 0..20 {
                let came = a_millisecond * gather.time().as_micros() / 1000;
                gather.learn(LONGEST, usize::try_from(came).unwrap());
                gather.learn(gather.time() / 10, 1);
            }
            let time = gather.time().as_micros();
            assert!(time.abs_diff(expected_us) <= 10, "{a_millisecond} a millisecond: {time} us");
        }
    }

    #[test]
    fn after_a_flood_it_gathers_as_long_as_before() {
        let mut gather = Gather::new(LONGEST);
        gather.learn(LONGEST, 4096);
        assert_eq!(gather.time(), LONGEST / SHORTEST);
        gather.learn(LONGEST, 2);
        assert_eq!(gather.time(), LONGEST);
    }

    #[test]
    fn one_that_may_not_gather_does_not() {
        let mut gather = Gather::new(Duration::ZERO);
        gather.learn(LONGEST, 1);
        assert_eq!(gather.time(), Duration::ZERO);
    }
}
