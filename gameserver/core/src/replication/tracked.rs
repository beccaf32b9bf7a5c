//! Whom a viewer is told about: a list of fixed length, by columns.
//!
//! A list is gone through for each snapshot, and most of what is in it is not due. So how urgent each is stands in columns of its own,
//! of which many are taken at once, and what decides about one that is due is arithmetic instead of branches: a CPU cannot foresee
//! which of a crowd have moved, and each time that it guesses wrong costs as much as three of them.

use super::history::{History, Mark};
use super::viewer::SEEN_MAX;

/// Those who are seen, and those who have still to be told to be gone.
pub(super) const TRACKED_MAX: usize = SEEN_MAX + 64;
const _: () = assert!(TRACKED_MAX < PLACES, "a place in the list is a byte");
/// As many as a byte can name, so that looking one up needs no check.
const PLACES: usize = 1 << u8::BITS;
/// One piece of news is due when this much has come together.
pub(super) const DUE: u16 = 256;
/// Levels of urgency that are told apart.
const LEVELS: usize = 16;
const LEVEL_MAX: u8 = 15;

/// What a viewer knows of one entity.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tracked {
    pub(super) index: u32,
    /// [`GONE`]: not to be seen any more, and the viewer has still to hear it.
    id: u32,
    /// Bit k: the snapshot of k ticks before `sent_tick` told of it; those that have arrived and those before are left
    /// out.
    sent: u64,
    /// The low half of the tick to which `sent` refers.
    sent_tick: u32,
    /// The low half of the newest tick as of which the viewer is known to know it; 0 for never.
    pub(super) known: u32,
}

/// A list of these is what a flush reads most of, and no cache of a core holds those of a thousand viewers.
const _: () = assert!(size_of::<Tracked>() == 24);

/// Id of those that are not to be seen any more; no entity has it.
const GONE: u32 = 0;

impl Tracked {
    /// One of whom the viewer knows nothing.
    pub(super) fn new(index: u32, id: u32) -> Self {
        Self { index, id, sent: 0, sent_tick: 0, known: 0 }
    }

    /// Not to be seen any more; the viewer has still to hear it.
    #[inline]
    pub(super) fn is_gone(&self) -> bool {
        self.id == GONE
    }

    /// Takes note of which snapshots have arrived. Returns whether one of those was among them that told of it.
    #[inline]
    fn hear(&mut self, tick: u32, arrived: u64) -> bool {
        let heard = self.sent & arrived.checked_shr(tick.wrapping_sub(self.sent_tick)).unwrap_or(0);
        let back = heard.trailing_zeros();
        // of none heard this leaves all as it is
        self.sent &= 1_u64.checked_shl(back).unwrap_or(0).wrapping_sub(1);
        self.known = if heard == 0 { self.known } else { self.sent_tick.wrapping_sub(back) };
        heard != 0
    }

    /// For how many ticks the same has been on its way; more than any `resend` when nothing is.
    #[inline]
    fn sent_for(&self, tick: u32) -> u32 {
        tick.wrapping_sub(self.sent_tick).saturating_add(self.sent.trailing_zeros())
    }

    /// Whether the viewer has to be told how it looks since the tick `changed`.
    #[inline]
    #[expect(
        clippy::needless_bitwise_bool,
        reason = "whether a player has moved cannot be foreseen, see above"
    )]
    fn has_changed(&self, tick: u32, resend: u32, changed: u32) -> bool {
        let unchanged_for = tick.wrapping_sub(changed);
        let sent_for = self.sent_for(tick);
        let is_known = (self.known != 0) & (tick.wrapping_sub(self.known) <= unchanged_for);
        let is_on_its_way = (sent_for < resend) & (sent_for <= unchanged_for);
        !(is_known | is_on_its_way)
    }

    /// The snapshot of `tick` tells of it.
    #[inline]
    fn record_sent(&mut self, tick: u32) {
        self.sent = self.sent.checked_shl(tick.wrapping_sub(self.sent_tick)).unwrap_or(0) | 1;
        self.sent_tick = tick;
    }
}

/// What a viewer has heard when it is to be told more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Heard {
    /// Low half of the newest tick.
    pub(super) tick: u32,
    /// Bit k: the snapshot of k ticks ago has arrived.
    pub(super) arrived: u64,
    /// While it has been on its way for less than this, the same is not told again: ticks, fewer than 64.
    pub(super) resend: u32,
}

/// Of whom there is news: places in a list, and how urgent each is.
#[derive(Debug)]
pub(super) struct News {
    due: [u8; PLACES],
    found: [(u8, u8); PLACES],
    len: u8,
    counts: [u8; LEVELS],
    order: Vec<u8>,
    /// Places of those that are gone and known to be.
    over: Vec<u8>,
}

impl News {
    pub(super) fn new() -> Self {
        Self {
            due: [0; PLACES],
            found: [(0, 0); PLACES],
            len: 0,
            counts: [0; LEVELS],
            order: Vec::with_capacity(TRACKED_MAX),
            over: Vec::with_capacity(TRACKED_MAX),
        }
    }

    fn clear(&mut self) {
        self.len = 0;
        self.counts = [0; LEVELS];
        self.over.clear();
    }

    /// Adds a place if `is_news`.
    #[inline]
    fn add(&mut self, at: u8, level: u8, is_news: bool) {
        self.found[usize::from(self.len)] = (at, level);
        self.len += u8::from(is_news);
        self.counts[usize::from(level) % LEVELS] += u8::from(is_news);
    }

    /// The places, the most urgent first; among equals each tick begins with another.
    pub(super) fn in_order(&mut self, tick: u64) -> &[u8] {
        let Self { found, len, counts, order, .. } = self;
        let found = &found[..usize::from(*len)];
        let (mut ends, mut place) = (*counts, 0);
        for end in ends.iter_mut().rev() {
            place += std::mem::replace(end, place);
        }
        order.clear();
        order.resize(found.len(), 0);
        let first = usize::try_from(tick.wrapping_mul(37)).unwrap_or(0) % found.len().max(1);
        for &(at, level) in found[first..].iter().chain(&found[..first]) {
            let end = &mut ends[usize::from(level) % LEVELS];
            order[usize::from(*end)] = at;
            *end += 1;
        }
        order
    }
}

/// Everyone whom a viewer is told about.
#[derive(Debug)]
pub(super) struct List {
    tracked: Vec<Tracked>,
    /// By place: how urgent news is, in parts of [`DUE`].
    due: Vec<u16>,
    /// By place: what is added to it each tick, at most [`DUE`].
    weights: Vec<u16>,
}

/// One of a list.
#[derive(Debug)]
pub(super) struct Entry<'a> {
    pub(super) tracked: &'a mut Tracked,
    due: &'a mut u16,
    weight: &'a mut u16,
}

impl Entry<'_> {
    /// It is in sight, and its index stands for the entity with this id now.
    pub(super) fn is_seen(&mut self, id: u32, weight: u16) {
        if self.tracked.id != id {
            *self.tracked = Tracked::new(self.tracked.index, id);
            *self.due = DUE;
        }
        *self.weight = weight;
    }

    /// It is not to be seen any more. What was sent so far says nothing about whether the viewer has heard that.
    pub(super) fn vanish(&mut self) {
        if !self.tracked.is_gone() {
            *self.tracked = Tracked::new(self.tracked.index, GONE);
            (*self.due, *self.weight) = (DUE, DUE);
        }
    }

    /// The snapshot of `tick` tells of it.
    #[inline]
    pub(super) fn record_sent(&mut self, tick: u32) {
        *self.due = 0;
        self.tracked.record_sent(tick);
    }
}

impl List {
    pub(super) fn new() -> Self {
        Self {
            tracked: Vec::with_capacity(TRACKED_MAX),
            due: Vec::with_capacity(TRACKED_MAX),
            weights: Vec::with_capacity(TRACKED_MAX),
        }
    }

    pub(super) fn clear(&mut self) {
        self.tracked.clear();
        self.due.clear();
        self.weights.clear();
    }

    pub(super) fn is_full(&self) -> bool {
        self.tracked.len() == TRACKED_MAX
    }

    /// Takes one in of whom news is due at once.
    pub(super) fn push(&mut self, tracked: Tracked, weight: u16) {
        self.tracked.push(tracked);
        self.due.push(DUE);
        self.weights.push(weight);
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = Entry<'_>> {
        let columns = self.tracked.iter_mut().zip(&mut self.due).zip(&mut self.weights);
        columns.map(|((tracked, due), weight)| Entry { tracked, due, weight })
    }

    #[inline]
    pub(super) fn entry(&mut self, place: u8) -> Entry<'_> {
        let at = usize::from(place);
        Entry { tracked: &mut self.tracked[at], due: &mut self.due[at], weight: &mut self.weights[at] }
    }

    /// Lets go of those that are gone and known to be; their places are others' then.
    pub(super) fn forget(&mut self, news: &mut News) {
        // from the end, so that places before keep theirs
        while let Some(place) = news.over.pop() {
            let at = usize::from(place);
            self.tracked.swap_remove(at);
            self.due.swap_remove(at);
            self.weights.swap_remove(at);
        }
    }

    /// After `passed` more ticks: takes note of what has arrived, and finds those of whom there is something to tell.
    pub(super) fn find_news(&mut self, passed: u32, heard: Heard, history: &History, news: &mut News) {
        self.pass_time(passed);
        news.clear();
        for nth in 0..self.find_due(&mut news.due) {
            let place = news.due[usize::from(nth)];
            let Entry { tracked, due, .. } = self.entry(place);
            let Mark { id, changed } = history.mark(tracked.index);
            let is_heard = tracked.hear(heard.tick, heard.arrived);
            if tracked.is_gone() || tracked.id != id {
                self.part(place, is_heard, heard, news);
            } else {
                let level = (*due / DUE - 1).min(LEVEL_MAX.into());
                let is_news = tracked.has_changed(heard.tick, heard.resend, changed);
                news.add(place, u8::try_from(level).unwrap_or(LEVEL_MAX), is_news);
            }
        }
    }

    /// The entity at this place is not there any more, which the viewer may have heard.
    fn part(&mut self, place: u8, is_heard: bool, heard: Heard, news: &mut News) {
        let mut entry = self.entry(place);
        if entry.tracked.is_gone() && is_heard {
            news.over.push(place);
            return;
        }
        entry.vanish();
        news.add(place, LEVEL_MAX, entry.tracked.sent_for(heard.tick) >= heard.resend);
    }

    fn pass_time(&mut self, passed: u32) {
        // with no more than this it stays below 2^16, and everything is due by then
        let passed = u16::try_from(passed).unwrap_or(u16::MAX).min(u16::MAX / DUE);
        for (due, weight) in self.due.iter_mut().zip(&self.weights) {
            *due = due.saturating_add(weight.wrapping_mul(passed));
        }
    }

    /// Puts the places of those that are due into `places`. Returns how many there are.
    fn find_due(&self, places: &mut [u8; PLACES]) -> u8 {
        let mut found = 0_u8;
        for (place, &due) in (0_u8..).zip(&self.due) {
            places[usize::from(found)] = place;
            found += u8::from(due >= DUE);
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_protocol::message::Entity;

    /// Entities of these ids at tick 100, by index; those of odd ids have just moved, the others at tick 90.
    fn history(ids: &[u32]) -> History {
        let mut history = History::new(ids.len());
        for tick in 1..=100 {
            let x = |id: u32| i32::from(tick >= if id % 2 == 1 { 100 } else { 90 });
            let entity = |&id: &u32| Entity { id, x: x(id), ..Entity::default() };
            history.record(tick, (0..).zip(ids.iter().map(entity)));
        }
        history
    }

    fn list(ids: &[u32], weight: u16) -> List {
        let mut list = List::new();
        for (index, &id) in (0..).zip(ids) {
            list.push(Tracked::new(index, id), weight);
        }
        list
    }

    fn found(list: &mut List, passed: u32, arrived: u64, history: &History) -> Vec<u8> {
        let mut news = News::new();
        list.find_news(passed, Heard { tick: 100, arrived, resend: 8 }, history, &mut news);
        let mut places = news.in_order(0).to_vec();
        places.sort_unstable();
        list.forget(&mut news);
        places
    }

    #[test]
    fn there_is_news_of_what_has_changed_since_it_was_heard_and_is_not_on_its_way() {
        for (name, sent_at, arrived_at, changed, expected) in [
            ("never told", &[][..], &[][..], 1, true),
            ("on its way as it is", &[95], &[], 90, false),
            ("on its way for too long", &[92], &[], 90, true),
            ("on its way, and has changed since", &[95], &[], 97, true),
            ("has arrived as it is", &[92], &[92], 90, false),
            ("has arrived in the very tick", &[92], &[92], 92, false),
            ("has arrived, and has changed since", &[92], &[92], 93, true),
            ("the change is on its way", &[92, 97], &[92], 96, false),
            ("the change got lost", &[85, 92], &[85], 90, true),
            ("the newer of both has arrived", &[85, 92], &[85, 92], 90, false),
            ("long ago, and nothing since", &[40], &[40], 30, false),
            ("too long ago for an acknowledgement to name it", &[30], &[30], 20, true),
        ] {
            let mut tracked = Tracked::new(0, 7);
            for &tick in sent_at {
                tracked.record_sent(tick);
            }
            let arrived = arrived_at.iter().map(|tick| 1_u64.checked_shl(100 - tick).unwrap_or(0)).sum();
            tracked.hear(100, arrived);
            assert_eq!(tracked.has_changed(100, 8, changed), expected, "{name}");
            assert!(!tracked.hear(100, arrived), "{name}: the same is heard once");
        }
    }

    #[test]
    fn who_is_not_due_is_not_looked_at_until_it_is() {
        let ids = [1, 3, 5];
        let (history, mut list) = (history(&ids), list(&ids, 100));
        assert_eq!(found(&mut list, 0, 0, &history), [0, 1, 2], "whoever is new is due");
        list.entry(1).record_sent(99);
        for (passed, expected) in [(1, &[0, 2][..]), (1, &[0, 2]), (1, &[0, 1, 2])] {
            assert_eq!(found(&mut list, passed, 0, &history), expected);
        }
        for passed in [3, 255, 256, 65_536, u32::MAX] {
            let mut list = self::list(&ids, DUE);
            list.entry(1).record_sent(99);
            list.entry(1).tracked.sent = 0;
            assert_eq!(found(&mut list, passed, 0, &history), [0, 1, 2], "{passed} ticks later");
        }
    }

    #[test]
    fn what_is_gone_is_told_until_it_is_heard_and_let_go_of_then() {
        let ids = [1, 3, 5, 7, 9];
        let mut list = list(&ids, DUE);
        // two have left, and another is where one of them was
        let history = history(&[1, 0, 6, 7, 9]);
        assert_eq!(found(&mut list, 1, 0, &history), [0, 1, 2, 3, 4]);
        let gone = |list: &mut List| -> Vec<_> {
            list.iter_mut().filter(|entry| entry.tracked.is_gone()).map(|entry| entry.tracked.index).collect()
        };
        assert_eq!(gone(&mut list), [1, 2]);
        for (entry, weight) in list.iter_mut().zip(10..) {
            *entry.weight = weight;
            *entry.due = DUE;
        }
        for place in [1, 2] {
            list.entry(place).record_sent(98);
        }
        assert_eq!(found(&mut list, 30, 0, &history), [0, 3, 4], "it is on its way");
        assert_eq!(found(&mut list, 30, 0b100, &history), [0, 3, 4], "it is heard");
        let left: Vec<_> = list.iter_mut().map(|entry| (entry.tracked.index, *entry.weight)).collect();
        assert_eq!(left, [(0, 10), (3, 13), (4, 14)], "the others are still there, each as it was");
    }

    #[test]
    fn the_most_urgent_come_first_and_equals_take_turns() {
        let mut news = News::new();
        for (place, level) in [(10, 0), (11, 15), (12, 3), (13, 3), (14, 3), (15, 0)] {
            news.add(place, level, true);
            news.add(99, level, false);
        }
        // a tick moves the beginning by 37 places of six, so by one
        assert_eq!(news.in_order(0), [11, 12, 13, 14, 10, 15]);
        assert_eq!(news.in_order(3), [11, 13, 14, 12, 15, 10]);
        assert_eq!(News::new().in_order(5), [0_u8; 0]);
    }
}
