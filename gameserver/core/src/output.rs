//! In which order players are sent their snapshots.

/// Whose snapshot is next. Each tick starts with another player, so that nobody is always last.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlushOrder {
    start: u32,
    sent: u32,
    slots: u32,
}

impl FlushOrder {
    /// A new tick: everyone is due.
    pub(crate) fn restart(&mut self, tick: u64, slots: u32) {
        // Steps of nearly the golden section spread the starts evenly over the slots, whatever their number.
        let turn = u128::from(tick.wrapping_mul(0x9E37_79B9_7F4A_7C15)) * u128::from(slots);
        let start = u32::try_from(turn >> 64).unwrap_or(0);
        *self = Self { start, sent: 0, slots };
    }
}

impl Iterator for FlushOrder {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        if self.sent == self.slots {
            return None;
        }
        let slot = (self.start + self.sent) % self.slots;
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
        let (mut order, mut starts) = (FlushOrder::default(), BTreeSet::new());
        for tick in 1..=100 {
            order.restart(tick, 10);
            let slots: Vec<_> = order.clone().collect();
            starts.insert(slots[0]);
            assert_eq!(slots.iter().copied().collect::<BTreeSet<_>>(), (0..10).collect());
            assert_eq!(slots.len(), 10);
        }
        assert_eq!(starts.len(), 10, "each slot is first at some tick");
    }
}
