//! The search for the most players with which a server holds.

use super::trial::Verdict;

/// With how many it begins.
const FIRST: u32 = 1000;
/// What holds and what fails may be apart by this factor in the end.
const CLOSE: f64 = 1.15;
/// Fewer are not tried.
const LEAST: u32 = 10;
/// In how many trials of one number the load may be late before that number counts as out of reach.
const VOID_MAX: u32 = 2;
/// In how many trials a number must fail that does not fail by far: a machine has hiccups, and two seconds are short.
const FAILURES: u32 = 2;

/// Doubles or halves until it holds on one side and fails on the other, and then goes to the middle.
#[derive(Debug, Clone)]
pub(super) struct Search {
    most: u32,
    holds: Option<u32>,
    fails: Option<u32>,
    voids: u32,
    failures: u32,
    /// Whether the upper side is a number that the load could not carry or the server cannot have.
    is_bound: bool,
}

impl Search {
    pub(super) fn new(most: u32) -> Self {
        Self { most, holds: None, fails: None, voids: 0, failures: 0, is_bound: false }
    }

    /// How many to try next; none when it is known well enough.
    pub(super) fn next(&self) -> Option<u32> {
        match (self.holds, self.fails) {
            (None, None) => Some(FIRST.min(self.most)),
            (Some(holds), None) => (holds < self.most).then(|| (holds * 2).min(self.most)),
            (None, Some(fails)) => (fails > LEAST).then(|| (fails / 2).max(LEAST)),
            (Some(holds), Some(fails)) => {
                let is_far = f64::from(fails) > f64::from(holds) * CLOSE && fails > holds + 1;
                is_far.then(|| u32::midpoint(holds, fails))
            }
        }
    }

    pub(super) fn learn(&mut self, players: u32, verdict: &Verdict) {
        match verdict {
            Verdict::Holds => {
                self.holds = self.holds.max(Some(players));
                (self.voids, self.failures) = (0, 0);
            }
            Verdict::Fails { by_far, .. } => {
                self.failures += 1;
                if *by_far || self.failures >= FAILURES {
                    self.fail(players, false);
                }
            }
            Verdict::Void => {
                self.voids += 1;
                if self.voids >= VOID_MAX {
                    self.fail(players, true);
                }
            }
        }
    }

    fn fail(&mut self, players: u32, is_bound: bool) {
        self.fails = Some(players);
        self.is_bound = is_bound;
        (self.voids, self.failures) = (0, 0);
    }

    /// The most players that held; 0 if none did.
    pub(super) fn found(&self) -> u32 {
        self.holds.unwrap_or(0)
    }

    /// Whether more may hold than could be tried.
    pub(super) fn is_bound(&self) -> bool {
        self.is_bound || self.fails.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(by_far: bool) -> Verdict {
        Verdict::Fails { why: "p99".to_owned(), by_far }
    }

    /// What is found of a server that holds with up to `capacity`, and in how many trials.
    fn search(most: u32, capacity: u32) -> (Search, u32) {
        let (mut search, mut trials) = (Search::new(most), 0);
        while let Some(players) = search.next() {
            assert!((LEAST..=most).contains(&players), "{players}");
            search.learn(players, &if players <= capacity { Verdict::Holds } else { fails(true) });
            trials += 1;
        }
        (search, trials)
    }

    #[test]
    fn it_comes_close_to_any_capacity_in_a_few_trials() {
        for capacity in [10, 17, 95, 400, 999, 1000, 1600, 5999] {
            let (search, trials) = search(8000, capacity);
            let found = search.found();
            assert!(
                found <= capacity && f64::from(found) * CLOSE + 1.0 >= f64::from(capacity),
                "{capacity}: {found}"
            );
            assert!(trials <= 12 && !search.is_bound(), "{capacity}: {trials}");
        }
    }

    #[test]
    fn one_that_holds_with_all_that_it_may_have_is_bound_and_one_that_never_holds_has_none() {
        let (all, _) = search(1024, 5000);
        assert_eq!((all.found(), all.is_bound()), (1024, true));
        let (none, _) = search(8000, 5);
        assert_eq!((none.found(), none.is_bound()), (0, false));
    }

    #[test]
    fn a_void_trial_is_tried_again_and_one_that_stays_void_is_a_bound_of_the_load() {
        let mut search = Search::new(8000);
        search.learn(1000, &Verdict::Void);
        assert_eq!(search.next(), Some(1000));
        search.learn(1000, &Verdict::Holds);
        for _ in 0..VOID_MAX {
            assert_eq!(search.next(), Some(2000));
            search.learn(2000, &Verdict::Void);
        }
        assert_eq!(search.next(), Some(1500));
        search.learn(1500, &Verdict::Holds);
        search.learn(1750, &Verdict::Holds);
        assert_eq!((search.next(), search.found(), search.is_bound()), (None, 1750, true));
        search.learn(1800, &fails(true));
        assert!(!search.is_bound());
    }

    #[test]
    fn what_fails_closely_is_tried_once_more_and_holds_if_it_holds_then() {
        let mut search = Search::new(8000);
        search.learn(1000, &fails(false));
        assert_eq!(search.next(), Some(1000));
        search.learn(1000, &Verdict::Holds);
        for _ in 0..FAILURES {
            assert_eq!(search.next(), Some(2000));
            search.learn(2000, &fails(false));
        }
        assert_eq!(search.next(), Some(1500));
    }
}
