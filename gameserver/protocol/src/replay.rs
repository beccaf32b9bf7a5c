//! The window by which no sealed packet counts twice.

/// Sequences that a window remembers: four seconds at 64 packets a second.
pub const REPLAY_WINDOW: u64 = 256;

const WORDS: usize = 4;

/// Refuses packets that were received before or are too old to tell.
///
/// Ask [`ReplayWindow::is_replay`] before opening a packet and call [`ReplayWindow::advance`] only after it opened,
/// or a forged header could push the window past honest packets.
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    newest: u64,
    /// One bit a sequence, at `sequence % 256`; bits of sequences above `newest` are clear.
    received: [u64; WORDS],
}

impl ReplayWindow {
    /// Whether `sequence` was received before or lies behind the window.
    pub fn is_replay(&self, sequence: u64) -> bool {
        // Written as a subtraction because `sequence + REPLAY_WINDOW` wraps near the top of the range.
        if self.newest >= REPLAY_WINDOW && sequence <= self.newest - REPLAY_WINDOW {
            return true;
        }
        let (word, bit) = place(sequence);
        sequence <= self.newest && self.received[word] & bit != 0
    }

    /// Newest sequence that was received; 0 for none.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// Marks `sequence` as received.
    pub fn advance(&mut self, sequence: u64) {
        if sequence > self.newest {
            if sequence - self.newest >= REPLAY_WINDOW {
                self.received = [0; WORDS];
            } else {
                for skipped in self.newest + 1..=sequence {
                    let (word, bit) = place(skipped);
                    self.received[word] &= !bit;
                }
            }
            self.newest = sequence;
        }
        let (word, bit) = place(sequence);
        self.received[word] |= bit;
    }
}

fn place(sequence: u64) -> (usize, u64) {
    let index = sequence % REPLAY_WINDOW;
    // index < 256, so the word is < 4
    (usize::try_from(index / 64).unwrap_or(0), 1 << (index % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_fresh_window_takes_any_first_sequence() {
        for first in [0, 1, 255, 256, 1 << 60, u64::MAX] {
            let mut window = ReplayWindow::default();
            assert!(!window.is_replay(first), "{first}");
            window.advance(first);
            assert!(window.is_replay(first), "{first}");
        }
    }

    #[test]
    fn the_top_of_the_range_does_not_wrap() {
        let mut window = ReplayWindow::default();
        window.advance(u64::MAX - 10);
        assert!(!window.is_replay(u64::MAX));
        assert!(!window.is_replay(u64::MAX - 11));
        assert!(window.is_replay(u64::MAX - 10 - REPLAY_WINDOW));
    }

    proptest! {
        /// The bit ring answers as a set of everything received would.
        #[test]
        fn the_window_agrees_with_a_set(base in any::<u64>(), steps in prop::collection::vec(0_u64..600, 1..300)) {
            let base = base.min(u64::MAX - 1000);
            let (mut window, mut seen, mut newest) = (ReplayWindow::default(), BTreeSet::new(), 0);
            for step in steps {
                let sequence = base + step;
                let expected = seen.contains(&sequence) || newest >= REPLAY_WINDOW && sequence <= newest - REPLAY_WINDOW;
                prop_assert_eq!(window.is_replay(sequence), expected);
                if !expected {
                    window.advance(sequence);
                    seen.insert(sequence);
                    newest = newest.max(sequence);
                }
            }
        }
    }
}
