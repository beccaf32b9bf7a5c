//! In which order the tasks of placed Fleets share the time of a turn, so that what hangs keeps no other from being done.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// A task that takes as long as this is slow: it is broken off, and has more time in its next turn.
const SLOW: Duration = Duration::from_secs(3);
/// Time for a task that is known to be slow; as long as one request may take.
const SLOW_MAX: Duration = Duration::from_secs(15);
/// So many turns after one of those do without others: between two of them a region that is lost is agreed on.
const RESTS: u64 = 3;
/// So many turns in a row may be filled by what is quick; the next begins with the others.
const FULL_MAX: u64 = 3;
/// Every so many turns the others come by how long they have waited, not step by step.
const FAIR_EACH: u64 = 4;

/// What is done with a Fleet, in this order: what stands on it before its status, which makes another version of it; shares before
/// copies, because players wait for them; and what is deleted before what has its name now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    LookAfter,
    Share,
    Bury,
    Copy,
}

/// One task.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) step: Step,
    /// Home, namespace, name and uid.
    pub(super) fleet: String,
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?} {}", self.step, self.fleet)
    }
}

/// When a task was tried, or seen for the first time, and how it went.
#[derive(Clone, Copy)]
struct Tried {
    turn: u64,
    pace: Pace,
}

/// In this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pace {
    Quick,
    Unknown,
    Slow,
}

/// Remembers when each task was tried.
#[derive(Default)]
pub(super) struct Agenda {
    turn: u64,
    tried: BTreeMap<Key, Tried>,
    /// First turn that may have something slow again.
    rests_until: u64,
    /// Turns in a row that had no time for the others.
    full: u64,
    /// Times that the others had a turn.
    begun: u64,
}

impl Agenda {
    /// Begins a turn with these tasks, and forgets all others. First comes what is known to be quick, and of that what an earlier turn
    /// had no time for; then what is new or was slow, step by step.
    pub(super) fn begin<T>(&mut self, tasks: &BTreeMap<Key, T>) -> Vec<Key> {
        self.turn += 1;
        self.tried.retain(|key, _| tasks.contains_key(key));
        let (mut quick, mut others) = (Vec::new(), Vec::new());
        for key in tasks.keys() {
            let new = Tried { turn: self.turn, pace: Pace::Unknown };
            let tried = *self.tried.entry(key.clone()).or_insert(new);
            if tried.pace == Pace::Quick { &mut quick } else { &mut others }.push((key, tried));
        }
        // the keys are in their order already
        quick.sort_by_key(|(_, tried)| tried.turn);
        let is_fair = self.begun.is_multiple_of(FAIR_EACH);
        others.sort_by_key(|(key, tried)| ((!is_fair).then_some((key.step, tried.pace)), tried.turn));
        if self.turn < self.rests_until {
            others.clear();
        } else if !others.is_empty() {
            self.full += 1;
        }
        let in_order = if self.full > FULL_MAX { [others, quick].concat() } else { [quick, others].concat() };
        in_order.into_iter().map(|(key, _)| key.clone()).collect()
    }

    fn pace(&self, key: &Key) -> Pace {
        self.tried.get(key).map_or(Pace::Unknown, |tried| tried.pace)
    }

    /// Time that it may take in this turn.
    pub(super) fn time_for(&self, key: &Key) -> Duration {
        if self.pace(key) == Pace::Slow { SLOW_MAX } else { SLOW }
    }

    /// It was tried in this turn, and took so long.
    pub(super) fn count(&mut self, key: &Key, took: Duration) {
        let (before, pace) = (self.pace(key), if took < SLOW { Pace::Quick } else { Pace::Slow });
        self.tried.insert(key.clone(), Tried { turn: self.turn, pace });
        if before != Pace::Quick {
            (self.full, self.begun) = (0, self.begun + 1);
        }
        if (before, pace) == (Pace::Slow, Pace::Slow) {
            self.rests_until = self.turn + 1 + RESTS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANGS: u64 = 1_000_000;

    type Tasks = BTreeMap<Key, Duration>;

    fn tasks(kinds: &[(Step, &str, u32, u64)]) -> Tasks {
        let mut tasks = Tasks::new();
        for &(step, name, count, ms) in kinds {
            let key = |number| Key { step, fleet: format!("{name} {number:03}") };
            tasks.extend((0..count).map(|number| (key(number), Duration::from_millis(ms))));
        }
        tasks
    }

    /// Takes turns of three seconds, the last task of each to its end. Answers for how long at most one of these Fleets had to wait.
    fn longest_wait(agenda: &mut Agenda, tasks: &Tasks, fleet: &str, turns: u64) -> Duration {
        let (mut now, mut most, mut done_at) = (Duration::ZERO, Duration::ZERO, BTreeMap::new());
        for _ in 0..turns {
            let until = now + Duration::from_secs(3);
            for key in agenda.begin(tasks) {
                if now >= until {
                    break;
                }
                let took = tasks[&key].min(agenda.time_for(&key));
                now += took;
                agenda.count(&key, took);
                let before: Duration = done_at.insert(key.clone(), now).unwrap_or_default();
                most = if key.fleet.starts_with(fleet) { most.max(now.saturating_sub(before)) } else { most };
            }
            now += Duration::from_secs(1);
        }
        let never = tasks.keys().filter(|key| key.fleet.starts_with(fleet) && !done_at.contains_key(key));
        assert_eq!(never.collect::<Vec<_>>(), Vec::<&Key>::new());
        most
    }

    #[test]
    fn shares_wait_for_one_that_hangs_and_what_hangs_has_its_turn() {
        use Step::{Copy, Share};
        let quick = (Share, "quick", 20, 10);
        for (name, kinds, fleet, seconds) in [
            ("nothing hangs", &[quick][..], "quick", 2),
            ("copies hang", &[quick, (Copy, "hangs", 12, HANGS)], "quick", 17),
            ("and have their turn", &[quick, (Copy, "hangs", 12, HANGS)], "hangs", 300),
            ("a share hangs", &[quick, (Share, "hangs", 1, HANGS)], "quick", 20),
            ("shares hang", &[quick, (Share, "hangs", 12, HANGS)], "quick", 70),
            ("and have their turn", &[quick, (Share, "hangs", 12, HANGS)], "hangs", 300),
            ("and copies beside them", &[(Share, "hangs", 12, HANGS), (Copy, "copy", 10, 10)], "copy", 900),
            ("more than a turn has time for", &[(Share, "quick", 120, 50)], "quick", 20),
            ("and new copies beside them", &[(Share, "quick", 120, 50), (Copy, "copy", 10, 50)], "copy", 60),
            ("and some that hang", &[(Share, "quick", 120, 50), (Copy, "hangs", 3, HANGS)], "hangs", 300),
        ] {
            let waited = longest_wait(&mut Agenda::default(), &tasks(kinds), fleet, 600);
            assert!(waited <= Duration::from_secs(seconds), "{name}: {waited:?}");
        }
    }

    /// A failover is no time to wait for what hangs, also just after it has been seen for the first time.
    #[test]
    fn a_share_that_was_slow_once_waits_for_no_copy_that_hangs() {
        let mut agenda = Agenda::default();
        let calm = tasks(&[(Step::Share, "arena", 1, HANGS)]);
        agenda.begin(&calm);
        agenda.count(calm.keys().next().unwrap(), SLOW);
        let storm = tasks(&[(Step::Share, "arena", 1, 10), (Step::Copy, "hangs", 12, HANGS)]);
        let waited = longest_wait(&mut agenda, &storm, "arena", 20);
        assert!(waited <= Duration::from_secs(50), "{waited:?}");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut agenda = Agenda::default();
        let all = tasks(&[(Step::Share, "a", 1, HANGS), (Step::Share, "b", 1, 10)]);
        let first = |agenda: &mut Agenda| {
            (0..=RESTS).find_map(|_| agenda.begin(&all).first().cloned()).unwrap().fleet
        };
        for key in agenda.begin(&all) {
            agenda.count(&key, all[&key]);
        }
        assert_eq!(first(&mut agenda), "b 000");
        agenda.begin(&Tasks::new());
        assert_eq!(first(&mut agenda), "a 000", "as if it had never been");
    }
}
