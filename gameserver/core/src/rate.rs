//! Rates with bursts, for limits by player and by address.

/// How often something may happen: a rate with bursts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    interval_ns: u64,
    tolerance_ns: u64,
}

impl Rate {
    /// `per_second` in the long run, `burst` at once. Both must be positive.
    pub(crate) const fn new(per_second: u32, burst: u32) -> Self {
        Self::spaced(1_000_000_000 / per_second as u64, burst)
    }

    /// Once in so many seconds in the long run, `burst` at once. Both must be positive.
    pub(crate) const fn once_in(seconds: u32, burst: u32) -> Self {
        Self::spaced(1_000_000_000 * seconds as u64, burst)
    }

    /// How many there are in so much time, without bursts.
    pub(crate) const fn in_time(self, ns: u64) -> u64 {
        ns / self.interval_ns
    }

    const fn spaced(interval_ns: u64, burst: u32) -> Self {
        Self { interval_ns, tolerance_ns: interval_ns * (burst as u64 - 1) }
    }
}

/// What is left of a [`Rate`], as the time at which the next event would be due if all came evenly (the generic
/// cell rate algorithm): one number, no refilling.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bucket {
    due_ns: u64,
}

impl Bucket {
    /// Whether there is one to take.
    pub(crate) fn has_one(self, rate: Rate, now_ns: u64) -> bool {
        self.due_ns.saturating_sub(now_ns) <= rate.tolerance_ns
    }

    /// Whether nothing is taken.
    pub(crate) fn is_whole(self, now_ns: u64) -> bool {
        self.due_ns <= now_ns
    }

    /// Takes one, or says that nothing is left.
    #[inline]
    pub(crate) fn spend(&mut self, rate: Rate, now_ns: u64) -> bool {
        let due = self.due_ns.max(now_ns);
        if due - now_ns > rate.tolerance_ns {
            return false;
        }
        self.due_ns = due + rate.interval_ns;
        true
    }

    /// Gives back what the last [`Bucket::spend`] took.
    pub(crate) fn refund(&mut self, rate: Rate) {
        self.due_ns = self.due_ns.saturating_sub(rate.interval_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn spend_at(bucket: &mut Bucket, rate: Rate, now_ns: u64) -> usize {
        (0..1000).take_while(|_| bucket.spend(rate, now_ns)).count()
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        let (rate, mut bucket) = (Rate::new(10, 5), Bucket::default());
        assert_eq!(spend_at(&mut bucket, rate, 0), 5);
        assert_eq!(spend_at(&mut bucket, rate, SECOND / 10), 1);
        assert_eq!(spend_at(&mut bucket, rate, SECOND / 10 + 1), 0);
        assert_eq!(spend_at(&mut bucket, rate, 10 * SECOND), 5, "rest is saved up to one burst only");
    }

    #[test]
    fn a_rate_may_be_slower_than_once_a_second() {
        let (rate, mut bucket) = (Rate::once_in(10, 4), Bucket::default());
        assert_eq!(spend_at(&mut bucket, rate, 0), 4);
        assert_eq!(spend_at(&mut bucket, rate, 10 * SECOND - 1), 0);
        assert_eq!(spend_at(&mut bucket, rate, 10 * SECOND), 1);
    }

    #[test]
    fn what_is_refunded_can_be_spent_again() {
        let (rate, mut bucket) = (Rate::new(1, 1), Bucket::default());
        for _ in 0..100 {
            assert!(bucket.spend(rate, 0));
            bucket.refund(rate);
        }
    }
}
