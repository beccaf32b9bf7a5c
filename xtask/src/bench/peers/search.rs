//! The search for the most players with which a server holds.

use super::trial::Verdict;

/// What holds and what fails may be apart by this factor in the end, in percent.
pub(super) const CLOSE: u32 = 108;
/// The first step, in percent: halves of a step that is its square are close.
const STEP: u32 = 107;
/// The longest step while one side is not known, in percent.
const DOUBLE: u32 = 200;
/// Fewer are not tried.
const LEAST: u32 = 10;
/// In how many trials of one number the load may be late before that number counts as out of reach: where a machine wakes a CPU late, every
/// third trial is void for no other reason.
pub(super) const VOID_MAX: u32 = 4;
/// In how many trials a number must fail that does not fail by far: a machine has hiccups, and two seconds are short.
const FAILURES: u32 = 2;

/// Goes up or down, by steps that begin short, until it holds on one side and fails on the other, and then to the middle.
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
    /// The least number that failed: the upper side may be one that the load could not carry, which says nothing of the server.
    failed: Option<u32>,
}

impl Search {
    /// Of up to `most` players, from `start` on.
    pub(super) fn new(most: u32, start: u32) -> Self {
        Self {
            first: start.max(LEAST).min(most),
            most,
            step: STEP,
            holds: None,
            fails: None,
            voids: 0,
            failures: 0,
            failed: None,
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
                    self.failed = Some(self.failed.map_or(players, |failed| failed.min(players)));
                    self.bound(players);
                }
            }
            Verdict::Void => {
                self.voids += 1;
                if self.voids >= VOID_MAX {
                    self.bound(players);
                }
            }
        }
    }

    /// No more than these are tried from here on.
    fn bound(&mut self, players: u32) {
        self.lengthen();
        self.fails = Some(players);
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

    /// The fewest players that failed; none if more may hold than could be tried.
    pub(super) fn failed(&self) -> Option<u32> {
        self.failed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(by_far: bool) -> Verdict {
        Verdict::Fails { why: "p99".to_owned(), by_far }
    }

    /// What is found of a server that holds with up to `capacity`, and in how many trials.
    fn search(most: u32, start: u32, capacity: u32) -> (Search, u32) {
        let (mut search, mut trials) = (Search::new(most, start), 0);
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
            for start in [10, 900, 9000] {
                let (search, trials) = search(8000, start, capacity);
                let (holds, fails) = (search.found(), search.failed().unwrap());
                assert!(holds <= capacity && capacity < fails, "{capacity} from {start}: {holds} to {fails}");
                assert!(
                    fails * 100 <= holds * CLOSE || fails == holds + 1,
                    "{capacity} from {start}: {holds} to {fails}"
                );
                assert!(trials <= 19, "{capacity} from {start}: {trials}");
            }
        }
    }

    #[test]
    fn where_the_answer_is_as_thought_two_trials_say_so_and_four_where_it_is_near() {
        for start in [100, 375, 1000, 3333] {
            assert_eq!(search(8000, start, start + start / 20).1, 2, "as thought: {start}");
            assert_eq!(search(8000, start, start - start / 20).1, 2, "a little less than thought: {start}");
        }
        for (capacity, most) in [(1140, 4), (880, 4), (1300, 6), (770, 6), (500, 8), (2000, 8)] {
            let (_, trials) = search(8000, 1000, capacity);
            assert!(trials <= most, "{capacity}: {trials}");
        }
    }

    #[test]
    fn of_one_that_holds_with_all_that_it_may_have_nothing_failed_and_one_that_never_holds_has_none() {
        let (all, _) = search(1024, 1000, 5000);
        assert_eq!((all.found(), all.failed()), (1024, None));
        let (none, _) = search(8000, 1000, 5);
        assert_eq!((none.found(), none.failed()), (0, Some(LEAST)));
    }

    #[test]
    fn a_void_trial_is_tried_again_and_one_that_stays_void_is_a_bound_of_the_load() {
        let mut search = Search::new(8000, 1000);
        search.learn(1000, &Verdict::Void);
        assert_eq!(search.next(), Some(1000));
        search.learn(1000, &Verdict::Holds);
        for _ in 0..VOID_MAX {
            assert_eq!(search.next(), Some(1070));
            search.learn(1070, &Verdict::Void);
        }
        assert_eq!((search.next(), search.found(), search.failed()), (None, 1000, None));
        search.learn(1060, &fails(true));
        assert_eq!(search.failed(), Some(1060));
    }

    #[test]
    fn what_failed_stays_known_when_the_load_cannot_carry_what_is_below() {
        let mut search = Search::new(8000, 1000);
        search.learn(1000, &Verdict::Holds);
        search.learn(1200, &fails(true));
        for _ in 0..VOID_MAX {
            assert_eq!(search.next(), Some(1100));
            search.learn(1100, &Verdict::Void);
        }
        assert_eq!((search.found(), search.failed()), (1000, Some(1200)));
        search.learn(1050, &fails(true));
        assert_eq!(search.failed(), Some(1050));
    }

    #[test]
    fn what_fails_closely_is_tried_once_more_and_holds_if_it_holds_then() {
        let mut search = Search::new(8000, 1000);
        search.learn(1000, &fails(false));
        assert_eq!(search.next(), Some(1000));
        search.learn(1000, &Verdict::Holds);
        for _ in 0..FAILURES {
            assert_eq!(search.next(), Some(1070));
            search.learn(1070, &fails(false));
        }
        assert_eq!((search.next(), search.failed()), (None, Some(1070)));
    }
}
