//! The limit on packets that are opened in vain for one peer.

use crate::rate::{Bucket, Rate};

/// Packets of one peer that do not authenticate, a second and at once, before it is looked closer at what is opened.
const FORGED: Rate = Rate::new(64, 256);
/// How far from the newest sequence of a peer its own packets may be: a minute of them.
const NEAR: u64 = 4096;

/// Limits how many packets are opened in the name of one peer.
///
/// Who forges a player's address makes the server open each packet, for less than receiving it costs. After
/// a burst of those only sequences are tried that may be the player's next, which nobody knows who does not see its
/// packets; and no more of them than a player may send. So a stranger shuts nobody out, and who sees the packets on
/// their way costs no more than a player does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Openings {
    forged: Bucket,
    tries: Bucket,
    /// Newest sequence that authenticated; 0 before the first.
    newest: u64,
}

impl Openings {
    /// Whether a packet with this sequence may be tried; `tries` is what a player may send.
    pub(crate) fn may_try(&mut self, sequence: u64, tries: Rate, now_ns: u64) -> bool {
        if self.forged.has_one(FORGED, now_ns) {
            return true;
        }
        let is_near = self.newest == 0 || sequence.abs_diff(self.newest) < NEAR;
        is_near && self.tries.spend(tries, now_ns)
    }

    /// The packet was what it seemed to be.
    pub(crate) fn opened(&mut self, sequence: u64) {
        self.newest = self.newest.max(sequence);
    }

    /// It was not.
    pub(crate) fn failed(&mut self, now_ns: u64) {
        // one that is over the limit was tried because it is near, and is counted there
        let _counted = self.forged.spend(FORGED, now_ns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIES: Rate = Rate::new(10, 20);
    const SECOND: u64 = 1_000_000_000;

    /// How many of `sequences` are tried at one moment, all in vain.
    fn tried(openings: &mut Openings, sequences: impl Iterator<Item = u64>, now_ns: u64) -> usize {
        let mut count = 0;
        for sequence in sequences {
            if openings.may_try(sequence, TRIES, now_ns) {
                count += 1;
                openings.failed(now_ns);
            }
        }
        count
    }

    #[test]
    fn after_a_burst_only_the_next_of_a_peer_are_tried_and_no_more_than_it_may_send() {
        let mut openings = Openings::default();
        openings.opened(1 << 60);
        assert_eq!(tried(&mut openings, 0..10_000, 0), 256);
        assert_eq!(tried(&mut openings, 1 << 40..(1 << 40) + 10_000, 0), 0, "far from the peer's own");
        assert_eq!(tried(&mut openings, 1 << 60..(1 << 60) + 4000, 0), 20);
        assert_eq!(tried(&mut openings, 1 << 60..(1 << 60) + 4000, SECOND), 64 + 10, "and so on each second");
    }

    #[test]
    fn a_stranger_who_knows_no_sequence_shuts_nobody_out() {
        let mut openings = Openings::default();
        openings.opened(1 << 60);
        for packet in 1..1000 {
            let now_ns = packet * SECOND / 10;
            tried(&mut openings, 0..1000, now_ns);
            assert!(openings.may_try((1 << 60) + packet, TRIES, now_ns), "packet {packet}");
            openings.opened((1 << 60) + packet);
        }
    }

    #[test]
    fn before_anything_authenticated_every_sequence_may_be_the_next() {
        let mut openings = Openings::default();
        assert_eq!(tried(&mut openings, 1 << 50..(1 << 50) + 1000, 0), 256 + 20);
    }
}
