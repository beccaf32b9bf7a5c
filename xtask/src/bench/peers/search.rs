//! The search for the most players with which a server holds.

use std::collections::BTreeMap;

use super::figures::Verdict;

/// What holds and what fails may be apart by this factor in the end, in percent.
pub(super) const CLOSE: u32 = 108;
/// Steps while one side is not known, in percent; the last one again and again. Halves of the first are close.
const STEPS: [u32; 5] = [115, 115, 132, 175, 200];
/// Fewer are not tried.
const LEAST: u32 = 10;
/// In how many trials of one number the load may be late or fail before that number counts as out of reach: where a machine wakes a CPU
/// late, every third trial is void for no other reason.
pub(super) const VOID_MAX: u32 = 4;
/// In how many trials a number must fail that does not fail by far: a machine has hiccups, and two seconds are short.
const FAILURES: u32 = 2;

/// Goes up or down, by steps that get longer, until it holds on one side and fails on the other, and then to the middle. What is found in the
/// end to fail, and not by far, must do so again; if it holds then, the one failure is forgotten and the search goes on above.
#[derive(Debug, Clone)]
pub(super) struct Search {
    first: u32,
    most: u32,
    /// Steps that did not lead to the other side.
    steps: usize,
    holds: Option<u32>,
    /// Numbers above that failed, and how often.
    failed: BTreeMap<u32, u32>,
    /// The least number that the load could not carry, which says nothing of the server.
    out_of_reach: Option<u32>,
    /// Trials of one number in a row that were void.
    voids_in_a_row: u32,
    voids: u32,
}

impl Search {
    /// Of up to `most` players, from `start` on.
    pub(super) fn new(most: u32, start: u32) -> Self {
        Self {
            first: start.max(LEAST).min(most),
            most,
            steps: 0,
            holds: None,
            failed: BTreeMap::new(),
            out_of_reach: None,
            voids_in_a_row: 0,
            voids: 0,
        }
    }

    /// How many to try next; none when it is known well enough.
    pub(super) fn next(&self) -> Option<u32> {
        let step = STEPS[self.steps.min(STEPS.len() - 1)];
        let next = match (self.holds, self.bound()) {
            (None, None) => Some(self.first),
            (Some(holds), None) => {
                (holds < self.most).then(|| (holds * step / 100).max(holds + 1).min(self.most))
            }
            (None, Some(bound)) => (bound > LEAST).then(|| (bound * 100).div_ceil(step).max(LEAST)),
            (Some(holds), Some(bound)) => {
                let is_far = bound * 100 > holds * CLOSE && bound > holds + 1;
                is_far.then(|| u32::midpoint(holds, bound))
            }
        };
        next.or_else(|| self.unsure())
    }

    pub(super) fn learn(&mut self, players: u32, verdict: &Verdict) {
        let was_open = self.is_open();
        match verdict {
            Verdict::Holds => {
                self.holds = self.holds.max(Some(players));
                // what once failed with fewer was a hiccup
                self.failed = self.failed.split_off(&(players + 1));
            }
            Verdict::Fails { by_far, .. } => {
                *self.failed.entry(players).or_default() += if *by_far { FAILURES } else { 1 };
            }
            Verdict::Void { .. } => {
                self.voids_in_a_row += 1;
                self.voids += 1;
                if self.voids_in_a_row < VOID_MAX {
                    return;
                }
                // whether it fails where it did only once is never known: the load cannot carry as many
                self.failed.retain(|failed, failures| *failed < players || *failures >= FAILURES);
                self.out_of_reach = Some(self.out_of_reach.map_or(players, |other| other.min(players)));
            }
        }
        self.voids_in_a_row = 0;
        if was_open && self.is_open() {
            // further away than thought
            self.steps += 1;
        }
    }

    /// Whether only one side is known.
    fn is_open(&self) -> bool {
        self.holds.is_none() != self.bound().is_none()
    }

    /// No more than these are tried.
    fn bound(&self) -> Option<u32> {
        let failed = self.failed.keys().next().copied();
        [failed, self.out_of_reach].into_iter().flatten().min()
    }

    /// The fewest players that failed, if they may hold the next time.
    fn unsure(&self) -> Option<u32> {
        self.failed
            .first_key_value()
            .filter(|(_, failures)| **failures < FAILURES)
            .map(|(players, _)| *players)
    }

    /// The most players that held; 0 if none did.
    pub(super) fn found(&self) -> u32 {
        self.holds.unwrap_or(0)
    }

    /// The fewest players that failed; none if more may hold than could be tried.
    pub(super) fn failed(&self) -> Option<u32> {
        self.failed.keys().next().copied()
    }

    /// Trials that say nothing.
    pub(super) fn voids(&self) -> u32 {
        self.voids
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fails(by_far: bool) -> Verdict {
        Verdict::Fails { why: "p99".to_owned(), by_far }
    }

    fn void() -> Verdict {
        Verdict::Void { why: "the load was late".to_owned() }
    }

    /// What is found of a server that holds with up to `capacity`, and in how many trials. It fails by far with a third more.
    fn search(most: u32, start: u32, capacity: u32) -> (Search, u32) {
        let (mut search, mut trials) = (Search::new(most, start), 0);
        while let Some(players) = search.next() {
            assert!((LEAST..=most).contains(&players), "{players}");
            let fails = fails(players > capacity * 4 / 3);
            search.learn(players, &if players <= capacity { Verdict::Holds } else { fails });
            trials += 1;
            assert!(trials < 100, "{capacity} from {start} has no end");
        }
        (search, trials)
    }

    /// Tells a search what became of the numbers that it tries.
    fn told(mut search: Search, trials: &[(u32, Verdict)]) -> Search {
        for (players, verdict) in trials {
            assert_eq!(search.next(), Some(*players));
            search.learn(*players, verdict);
        }
        search
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
                assert!(trials <= 17, "{capacity} from {start}: {trials}");
            }
        }
    }

    #[test]
    fn where_the_answer_is_as_thought_a_search_takes_five_trials_wherever_it_begins() {
        let trials: Vec<u32> = (850..=1180).map(|start| search(8000, start, 1000).1).collect();
        let mean = f64::from(trials.iter().sum::<u32>()) / 331.0;
        assert!(mean < 5.3, "{mean}");
        assert!(trials.iter().all(|trials| *trials <= 8), "{trials:?}");
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
        let search = Search::new(8000, 1000);
        let search = told(search, &[(1000, void()), (1000, Verdict::Holds), (1150, void()), (1150, void())]);
        let search = told(search, &[(1150, void()), (1150, void()), (1075, Verdict::Holds)]);
        assert_eq!((search.next(), search.found(), search.failed()), (None, 1075, None));
        assert_eq!(search.voids(), 5);
    }

    #[test]
    fn voids_count_in_a_row_and_not_over_several_numbers() {
        let rare = [(1000, void()), (1000, void()), (1000, Verdict::Holds), (1150, void()), (1150, void())];
        let search = told(Search::new(8000, 1000), &rare);
        assert_eq!(search.next(), Some(1150));
    }

    #[test]
    fn what_failed_stays_known_when_the_load_cannot_carry_what_is_below() {
        let search = told(Search::new(8000, 1000), &[(1000, Verdict::Holds), (1150, fails(true))]);
        let search = told(search, &[(1075, void()), (1075, void()), (1075, void()), (1075, void())]);
        assert_eq!((search.next(), search.found(), search.failed()), (None, 1000, Some(1150)));
    }

    #[test]
    fn what_fails_by_far_is_known_at_once_and_what_fails_closely_when_it_does_so_again_in_the_end() {
        let close = [(1000, fails(false)), (870, Verdict::Holds), (935, Verdict::Holds)];
        let search = told(Search::new(8000, 1000), &close);
        assert_eq!(search.next(), Some(1000));
        let search = told(search, &[(1000, fails(false))]);
        assert_eq!((search.next(), search.found(), search.failed()), (None, 935, Some(1000)));
        let by_far = [(1000, fails(true)), (870, Verdict::Holds), (935, Verdict::Holds)];
        assert_eq!(told(Search::new(8000, 1000), &by_far).next(), None);
    }

    #[test]
    fn what_failed_closely_and_holds_the_next_time_was_a_hiccup_and_the_search_goes_on_above() {
        let hiccup =
            [(1000, fails(false)), (870, Verdict::Holds), (935, Verdict::Holds), (1000, Verdict::Holds)];
        let search = told(Search::new(8000, 1000), &hiccup);
        assert_eq!((search.found(), search.failed()), (1000, None));
        assert!(search.next().unwrap() > 1000);
        // below what failed before
        let two = [(1000, Verdict::Holds), (1150, fails(true)), (1075, fails(false)), (1075, Verdict::Holds)];
        let search = told(Search::new(8000, 1000), &two);
        assert_eq!((search.next(), search.found(), search.failed()), (None, 1075, Some(1150)));
    }

    #[test]
    fn what_failed_once_and_then_cannot_be_tried_is_not_known_to_fail() {
        let search = told(Search::new(8000, 1000), &[(1000, Verdict::Holds), (1150, fails(false))]);
        let search = told(search, &[(1075, Verdict::Holds), (1150, void()), (1150, void()), (1150, void())]);
        let search = told(search, &[(1150, void())]);
        assert_eq!((search.next(), search.found(), search.failed()), (None, 1075, None));
    }

    #[test]
    fn above_what_the_load_can_carry_nothing_is_tried_again_and_only_what_is_known_to_fail_stays() {
        for (rule, above, failed) in
            [("failed closely", fails(false), None), ("failed by far", fails(true), Some(1150))]
        {
            let search = told(Search::new(8000, 1000), &[(1000, Verdict::Holds), (1150, above)]);
            let search = told(search, &[(1075, void()), (1075, void()), (1075, void()), (1075, void())]);
            assert_eq!((search.next(), search.found(), search.failed()), (None, 1000, failed), "{rule}");
        }
        // what failed below is tried again
        let below = [(1000, void()), (1000, void()), (1000, void()), (1000, void()), (870, fails(false))];
        let holds = [(757, Verdict::Holds), (813, Verdict::Holds)];
        let search = told(told(Search::new(8000, 1000), &below), &holds);
        assert_eq!((search.next(), search.failed()), (Some(870), Some(870)));
    }
}
