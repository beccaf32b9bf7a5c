//! The search for the most players with which a server holds.

use super::trial::Verdict;

/// With how many it begins.
const FIRST: u32 = 1000;
/// What holds and what fails may be apart by this factor in the end, in percent.
const CLOSE: u32 = 115;
/// The longest step while one side is not known, in percent.
const DOUBLE: u32 = 200;
/// Fewer are not tried.
const LEAST: u32 = 10;
/// In how many trials of one number the load may be late before that number counts as out of reach.
const VOID_MAX: u32 = 2;
/// In how many trials a number must fail that does not fail by far: a machine has hiccups, and two seconds are short.
const FAILURES: u32 = 2;

/// Goes up or down until it holds on one side and fails on the other, and then to the middle: by doubling and halving when
/// nothing is known, and by steps that begin short around what was found before.
#[derive(Debug, Clone)]
pub(super) struct Search {
    first: u32,
    most: u32,
    /// How far the next step goes while one side is not known, in percent.
    step: u32,
    holds: Option<u32>,
    fails: Option<u32>,
    voids: u32,
    failures: u32,
    /// Whether the upper side is a number that the load could not carry or the server cannot have.
    is_bound: bool,
}

impl Search {
    /// Of up to `most` players; `before` is about where the answer was before, if anywhere.
    pub(super) fn new(most: u32, before: Option<u32>) -> Self {
        Self {
            first: before.unwrap_or(FIRST).max(LEAST).min(most),
            most,
            step: if before.is_some() { CLOSE } else { DOUBLE },
            holds: None,
            fails: None,
            voids: 0,
            failures: 0,
            is_bound: false,
        }
    }

    /// How many to try next; none when it is known well enough.
    pub(super) fn next(&self) -> Option<u32> {
        match (self.holds, self.fails) {
            (None, None) => Some(self.first),
            (Some(holds), None) => {
                (holds < self.most).then(|| (holds * self.step / 100).max(holds + 1).min(self.most))
            }
            (None, Some(fails)) => (fails > LEAST).then(|| (fails * 100).div_ceil(self.step).max(LEAST)),
            (Some(holds), Some(fails)) => {
                let is_far = fails * 100 > holds * CLOSE && fails > holds + 1;
                is_far.then(|| u32::midpoint(holds, fails))
            }
        }
    }

    pub(super) fn learn(&mut self, players: u32, verdict: &Verdict) {
        match verdict {
            Verdict::Holds => {
                self.lengthen();
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
        self.lengthen();
        self.fails = Some(players);
        self.is_bound = is_bound;
        (self.voids, self.failures) = (0, 0);
    }

    /// Who is still on the same side after a step was further away than thought.
    fn lengthen(&mut self) {
        if self.holds.is_some() || self.fails.is_some() {
            self.step = (self.step * self.step / 100).min(DOUBLE);
        }
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
    fn search(most: u32, before: Option<u32>, capacity: u32) -> (Search, u32) {
        let (mut search, mut trials) = (Search::new(most, before), 0);
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
            for before in [None, Some(10), Some(900), Some(9000)] {
                let (search, trials) = search(8000, before, capacity);
                let found = search.found();
                assert!(
                    found <= capacity && (found + 1) * CLOSE >= capacity * 100,
                    "{capacity} from {before:?}: {found}"
                );
                assert!(trials <= 16 && !search.is_bound(), "{capacity} from {before:?}: {trials}");
            }
        }
    }

    #[test]
    fn where_the_answer_is_as_before_two_trials_say_so_and_five_where_it_is_near() {
        for before in [10, 87, 1000, 3333] {
            assert_eq!(search(8000, Some(before), before + before / 20).1, 2, "as before: {before}");
        }
        for (capacity, most) in [(1200, 5), (850, 5), (500, 7), (2000, 7)] {
            let (_, trials) = search(8000, Some(1000), capacity);
            assert!(trials <= most, "{capacity}: {trials}");
        }
    }

    #[test]
    fn one_that_holds_with_all_that_it_may_have_is_bound_and_one_that_never_holds_has_none() {
        let (all, _) = search(1024, None, 5000);
        assert_eq!((all.found(), all.is_bound()), (1024, true));
        let (none, _) = search(8000, None, 5);
        assert_eq!((none.found(), none.is_bound()), (0, false));
    }

    #[test]
    fn a_void_trial_is_tried_again_and_one_that_stays_void_is_a_bound_of_the_load() {
        let mut search = Search::new(8000, None);
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
        let mut search = Search::new(8000, None);
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
