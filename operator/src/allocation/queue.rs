//! Who waits for which key, in the order in which they came.

use operator_core::allocation::Key;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;
use tokio::sync::oneshot;

use super::words::{Asked, Outcome};

/// Keys that are waited for at most.
pub(super) const WAITING_MAX: usize = 8192;
/// Callers that wait for one key at most: one caller asks again, and there are not many of those.
const CALLERS_MAX: usize = 16;
/// For a server to answer and for replicas to write that down, however short a caller waits for one to become free.
pub(super) const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Everybody who waits.
#[derive(Default)]
pub(super) struct Queue {
    waiting: HashMap<Key, Waiting>,
    /// By their place, those whom nobody serves: they are to be asked for again.
    unserved: BTreeMap<u64, Key>,
    next_place: u64,
}

struct Waiting {
    asked: Asked,
    place: u64,
    /// Why nobody serves it.
    why: Why,
    callers: Vec<Caller>,
}

/// Why nobody serves a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// No server that fits is free.
    NoServer,
    /// Nobody is known who allocates.
    NoAllocator,
}

/// Somebody who waits.
#[derive(Debug)]
pub(super) struct Caller {
    answer: oneshot::Sender<Outcome>,
    /// By when a server is to be free.
    free_by: Duration,
    /// Another replica passed it on.
    pub(super) is_of_other: bool,
}

impl Caller {
    pub(super) fn new(answer: oneshot::Sender<Outcome>, free_by: Duration, is_of_other: bool) -> Self {
        Self { answer, free_by, is_of_other }
    }

    /// A caller that is gone has its answer when it asks again.
    pub(super) fn tell(self, outcome: Outcome) {
        drop(self.answer.send(outcome));
    }

    /// What it is told now, if its time is over.
    fn verdict(&self, now: Duration, is_in_vain: bool) -> Option<Outcome> {
        if is_in_vain && now >= self.free_by {
            Some(Outcome::NoServer)
        } else {
            (now >= self.free_by + ANSWER_MAX).then_some(Outcome::TooLate)
        }
    }
}

impl Queue {
    /// Somebody asks for a key; whether it is one that nobody waits for yet. Tells those at once who cannot wait here.
    pub(super) fn join(&mut self, asked: Asked, caller: Caller) -> bool {
        if let Some(waiting) = self.waiting.get_mut(&asked.key) {
            waiting.callers.retain(|caller| !caller.answer.is_closed());
            if waiting.asked != asked {
                caller.tell(Outcome::Differs);
            } else if waiting.callers.len() >= CALLERS_MAX {
                caller.tell(Outcome::Busy);
            } else {
                waiting.callers.push(caller);
            }
            return false;
        }
        if self.waiting.len() >= WAITING_MAX {
            caller.tell(Outcome::Busy);
            return false;
        }
        let place = self.next_place;
        self.next_place += 1;
        self.waiting
            .insert(asked.key.clone(), Waiting { asked, place, why: Why::NoServer, callers: vec![caller] });
        true
    }

    /// Keys that are waited for.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// What was asked for under this key.
    pub(super) fn asked(&self, key: &Key) -> Option<&Asked> {
        self.waiting.get(key).map(|waiting| &waiting.asked)
    }

    /// For how long a server is still waited for, by whoever waits longest.
    pub(super) fn wait(&self, now: Duration, key: &Key) -> Duration {
        let callers = self.waiting.get(key).into_iter().flat_map(|waiting| &waiting.callers);
        callers.map(|caller| caller.free_by.saturating_sub(now)).max().unwrap_or_default()
    }

    /// Whether somebody waits for a server of the same kind, for whom none was free.
    pub(super) fn is_behind(&self, asked: &Asked) -> bool {
        let others = self.unserved.values().filter_map(|key| self.waiting.get(key));
        others.filter(|other| other.why == Why::NoServer).any(|other| other.asked.is_alike(asked))
    }

    /// Answers those whom other replicas passed on; forgets the key if nobody else waits.
    pub(super) fn turn_others_away(&mut self, key: &Key, outcome: &Outcome) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        for caller in waiting.callers.extract_if(.., |caller| caller.is_of_other) {
            caller.tell(outcome.clone());
        }
        if waiting.callers.is_empty() {
            self.answer(key, outcome);
        }
    }

    /// Nobody serves this key, which is to be asked for again soon. Answers those whose time is over.
    pub(super) fn put_off(&mut self, now: Duration, key: &Key, why: Why) {
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        waiting.why = why;
        self.unserved.insert(waiting.place, key.clone());
        self.tell_overdue(now, key);
    }

    /// The same as it was before it was taken.
    pub(super) fn put_back(&mut self, key: &Key) {
        if let Some(waiting) = self.waiting.get(key) {
            self.unserved.insert(waiting.place, key.clone());
        }
    }

    /// Answers everybody who waits for this key.
    pub(super) fn answer(&mut self, key: &Key, outcome: &Outcome) {
        let Some(waiting) = self.waiting.remove(key) else { return };
        self.unserved.remove(&waiting.place);
        for caller in waiting.callers {
            caller.tell(outcome.clone());
        }
    }

    /// Whether nobody serves this key.
    pub(super) fn is_unserved(&self, key: &Key) -> bool {
        self.waiting.get(key).is_some_and(|waiting| self.unserved.contains_key(&waiting.place))
    }

    /// Takes those whom nobody serves, first come first.
    pub(super) fn take_unserved(&mut self) -> Vec<Key> {
        std::mem::take(&mut self.unserved).into_values().collect()
    }

    /// Answers everybody whose time is over; for which keys nobody waits any more.
    pub(super) fn tell_all_overdue(&mut self, now: Duration) -> Vec<Key> {
        let mut keys: Vec<Key> = self.waiting.keys().cloned().collect();
        keys.retain(|key| {
            self.tell_overdue(now, key);
            !self.waiting.contains_key(key)
        });
        keys
    }

    fn tell_overdue(&mut self, now: Duration, key: &Key) {
        let is_unserved = self.is_unserved(key);
        let Some(waiting) = self.waiting.get_mut(key) else { return };
        let is_in_vain = waiting.why == Why::NoServer && is_unserved;
        for caller in std::mem::take(&mut waiting.callers) {
            match caller.verdict(now, is_in_vain) {
                Some(outcome) => caller.tell(outcome),
                None if caller.answer.is_closed() => {}
                None => waiting.callers.push(caller),
            }
        }
        if waiting.callers.is_empty() {
            let place = waiting.place;
            self.unserved.remove(&place);
            self.waiting.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use operator_core::allocation::Spread;

    fn asked(key: &str) -> Asked {
        Asked {
            key: key.into(),
            namespace: "games".to_owned(),
            labels: BTreeMap::new(),
            selectors: Vec::new(),
            spread: Spread::Packed,
        }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// Joins, and where the answer comes.
    fn join(queue: &mut Queue, asked: Asked, free_by: u64) -> (bool, oneshot::Receiver<Outcome>) {
        let (tell, answer) = oneshot::channel();
        (queue.join(asked, Caller::new(tell, at(free_by), false)), answer)
    }

    #[test]
    fn whoever_asks_again_waits_for_the_same_answer() {
        let mut queue = Queue::default();
        let (is_new, mut first) = join(&mut queue, asked("a"), 1);
        let (is_new_again, mut second) = join(&mut queue, asked("a"), 5);
        assert_eq!((is_new, is_new_again), (true, false));
        queue.answer(&"a".into(), &Outcome::NoServer);
        assert_eq!(
            (first.try_recv().unwrap(), second.try_recv().unwrap()),
            (Outcome::NoServer, Outcome::NoServer)
        );
        assert!(join(&mut queue, asked("a"), 1).0, "it is a new question");
    }

    #[test]
    fn something_else_under_the_same_key_is_a_mistake_that_is_told() {
        let mut queue = Queue::default();
        let (_, mut first) = join(&mut queue, asked("a"), 1);
        let (is_new, mut other) = join(&mut queue, Asked { spread: Spread::Distributed, ..asked("a") }, 1);
        assert!(!is_new && first.try_recv().is_err());
        assert_eq!(other.try_recv().unwrap(), Outcome::Differs);
    }

    #[test]
    fn there_is_room_for_so_many_keys_and_callers_and_the_rest_is_told_so() {
        let mut queue = Queue::default();
        let mut waiting = Vec::new();
        for number in 0..WAITING_MAX {
            waiting.push(join(&mut queue, asked(&number.to_string()), 1).1);
        }
        assert_eq!(join(&mut queue, asked("one more"), 1).1.try_recv().unwrap(), Outcome::Busy);
        for _ in 1..CALLERS_MAX {
            waiting.push(join(&mut queue, asked("0"), 1).1);
        }
        assert_eq!(join(&mut queue, asked("0"), 1).1.try_recv().unwrap(), Outcome::Busy);
        // who has hung up makes room
        drop(waiting);
        let (_, mut again) = join(&mut queue, asked("0"), 1);
        assert!(again.try_recv().is_err());
        assert_eq!(queue.tell_all_overdue(at(0)).len(), WAITING_MAX - 1);
    }

    #[test]
    fn those_whom_nobody_serves_are_asked_for_again_in_the_order_in_which_they_came() {
        let mut queue = Queue::default();
        let _waiting: Vec<_> = ["c", "a", "b"].map(|key| join(&mut queue, asked(key), 9).1).into();
        for key in ["b", "a", "c"] {
            queue.put_off(at(2), &key.into(), Why::NoServer);
        }
        assert!(queue.is_unserved(&"a".into()) && queue.is_behind(&asked("d")));
        assert!(!queue.is_behind(&Asked { namespace: "other".to_owned(), ..asked("d") }));
        assert_eq!(queue.take_unserved(), ["c".into(), "a".into(), "b".into()]);
        assert!(!queue.is_unserved(&"a".into()), "it is being served");
        queue.put_back(&"a".into());
        assert_eq!(queue.take_unserved(), ["a".into()]);
    }

    #[test]
    fn everybody_is_answered_in_time_by_what_is_known_then() {
        for (name, why, free_by, looks_at, expected) in [
            ("nobody waits for a server", Some(Why::NoServer), 0, 0, Some(Outcome::NoServer)),
            ("one is waited for", Some(Why::NoServer), 3, 2, None),
            ("in vain", Some(Why::NoServer), 3, 3, Some(Outcome::NoServer)),
            ("nobody allocates, which may be over soon", Some(Why::NoAllocator), 0, 4, None),
            ("and is not", Some(Why::NoAllocator), 0, 5, Some(Outcome::TooLate)),
            ("a server does not answer yet", None, 0, 4, None),
            ("nor in time", None, 0, 5, Some(Outcome::TooLate)),
        ] {
            let mut queue = Queue::default();
            let (_, mut answer) = join(&mut queue, asked("a"), free_by);
            // somebody else waits longer
            let (_, mut other) = join(&mut queue, asked("a"), 99);
            if let Some(why) = why {
                queue.put_off(at(0), &"a".into(), why);
            }
            queue.tell_all_overdue(at(looks_at));
            assert_eq!((answer.try_recv().ok(), other.try_recv().ok()), (expected, None), "{name}");
        }
    }

    #[test]
    fn what_another_replica_passed_on_is_turned_away_and_what_was_asked_here_waits_on() {
        let mut queue = Queue::default();
        let of_other = |queue: &mut Queue, key| {
            let (tell, answer) = oneshot::channel();
            queue.join(asked(key), Caller::new(tell, at(9), true));
            answer
        };
        let mut passed_on = of_other(&mut queue, "a");
        let (_, mut own) = join(&mut queue, asked("a"), 9);
        queue.turn_others_away(&"a".into(), &Outcome::Elsewhere(None));
        assert_eq!(passed_on.try_recv().unwrap(), Outcome::Elsewhere(None));
        assert!(own.try_recv().is_err() && queue.asked(&"a".into()).is_some());
        let _alone = of_other(&mut queue, "b");
        queue.turn_others_away(&"b".into(), &Outcome::Elsewhere(None));
        assert_eq!(queue.asked(&"b".into()), None, "nobody waits");
    }
}
