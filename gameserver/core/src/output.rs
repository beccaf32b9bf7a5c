//! In which order players are sent their snapshots.

use std::time::Duration;

/// Whose snapshot is next: players whose inputs were decided in this tick come first, those before others whose oldest such
/// input arrived before theirs, so that the time that a flush takes is added to short waits and not to long ones. Among the
/// rest each tick begins with another player, so that nobody is always last.
#[derive(Clone, Debug)]
pub(crate) struct FlushOrder {
    /// Whose inputs were decided since the last flush, and when the oldest of each arrived.
    waiting: Vec<(Duration, u32)>,
    /// By slot: whether it is in `waiting`.
    is_waiting: Vec<bool>,
    order: Vec<u32>,
    sent: usize,
}

impl FlushOrder {
    pub(crate) fn new(slots: usize) -> Self {
        Self {
            waiting: Vec::with_capacity(slots),
            is_waiting: vec![false; slots],
            order: Vec::with_capacity(slots),
            sent: 0,
        }
    }

    /// An input of the player in `slot` was decided that arrived at this time. Once for each player and tick.
    pub(crate) fn answer(&mut self, slot: u32, arrived: Duration) {
        if let Some(is_waiting) = self.is_waiting.get_mut(slot as usize)
            && !std::mem::replace(is_waiting, true)
        {
            self.waiting.push((arrived, slot));
        }
    }

    /// A new tick: everyone is due.
    pub(crate) fn restart(&mut self, tick: u64) {
        let Self { waiting, is_waiting, order, sent } = self;
        waiting.sort_unstable();
        order.clear();
        order.extend(waiting.drain(..).map(|(_, slot)| slot));
        let slots = u32::try_from(is_waiting.len()).unwrap_or(u32::MAX);
        // Steps of nearly the golden section spread the starts evenly over the slots, whatever their number.
        let turn = u128::from(tick.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * u128::from(slots);
        let start = u32::try_from(turn >> 64).unwrap_or(0);
        let rest = (start..slots).chain(0..start);
        order.extend(rest.filter(|&slot| !std::mem::take(&mut is_waiting[slot as usize])));
        *sent = 0;
    }
}

impl Iterator for FlushOrder {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let slot = *self.order.get(self.sent)?;
        self.sent += 1;
        Some(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_slot_comes_once_a_tick_and_the_first_one_changes() {
        let (mut order, mut starts) = (FlushOrder::new(10), BTreeSet::new());
        for tick in 1..=100 {
            order.restart(tick);
            let slots: Vec<_> = order.clone().collect();
            starts.insert(slots[0]);
            assert_eq!(slots.iter().copied().collect::<BTreeSet<_>>(), (0..10).collect());
            assert_eq!(slots.len(), 10);
        }
        assert_eq!(starts.len(), 10, "each slot is first at some tick");
    }

    #[test]
    fn whose_input_has_waited_longest_is_answered_first() {
        let mut order = FlushOrder::new(6);
        for tick in 1..=20 {
            for (slot, arrived_ms) in [(3, 7), (0, 9), (5, 2)] {
                order.answer(slot, Duration::from_millis(arrived_ms));
            }
            order.restart(tick);
            let slots: Vec<_> = order.by_ref().collect();
            assert_eq!(slots[..3], [5, 3, 0], "{slots:?}");
            assert_eq!(slots[3..].iter().copied().collect::<BTreeSet<_>>(), BTreeSet::from([1, 2, 4]));
            order.restart(tick);
            assert_eq!(order.clone().count(), 6, "an answer is given once");
        }
    }
}
