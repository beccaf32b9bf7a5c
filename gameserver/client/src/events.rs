//! What a client has to tell, each once and in order.

use std::collections::VecDeque;

use gameserver_game::Notice;
use gameserver_protocol::RejectReason;

/// Events that wait for [`crate::Client::poll_event`] at most; then the oldest goes.
const MAX_EVENTS: usize = 1024;
/// Notices before the newest whose numbers are remembered.
const REMEMBERED: u32 = 64;

/// What the server let the client know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The input was carried out.
    Confirmed {
        /// Which input.
        input_seq: u32,
        /// Tick of the first snapshot that said so.
        tick: u64,
    },
    /// The input was refused.
    Rejected {
        /// Which input.
        input_seq: u32,
        /// Why.
        reason: RejectReason,
    },
    /// After rejections: whatever was drawn on their account must snap back to [`crate::Client::own`].
    Corrected {
        /// Tick of the snapshot that brought them.
        tick: u64,
    },
    /// Something happened.
    Notice(Notice),
    /// The input was given up: a message that had no room for it any more has arrived, so that the server may have passed it over,
    /// or 256 newer ones are open. It may have been carried out, and the client will not learn it.
    GivenUp {
        /// Which input.
        input_seq: u32,
    },
}

/// Events that nobody has asked for yet.
#[derive(Debug, Default)]
pub(crate) struct Events {
    waiting: VecDeque<Event>,
    dropped: u64,
}

impl Events {
    pub(crate) fn push(&mut self, event: Event) {
        if self.waiting.len() == MAX_EVENTS {
            self.waiting.pop_front();
            self.dropped += 1;
        }
        self.waiting.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<Event> {
        self.waiting.pop_front()
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped
    }
}

/// Numbers of notices that were told of: the server repeats a notice until it has heard that it arrived.
#[derive(Debug, Default)]
pub(crate) struct SeenNotices {
    newest: u32,
    /// Which of those before the newest were seen; bit 0 is the one just before.
    before: u64,
}

impl SeenNotices {
    /// Whether the notice with this number is news. What is long past is none.
    pub(crate) fn is_news(&mut self, number: u32) -> bool {
        if number > self.newest {
            let ahead = number - self.newest;
            self.before =
                self.before.checked_shl(ahead).unwrap_or(0) | 1_u64.checked_shl(ahead - 1).unwrap_or(0);
            self.newest = number;
            return true;
        }
        let back = self.newest - number;
        if back == 0 || back > REMEMBERED || self.before & 1 << (back - 1) != 0 {
            return false;
        }
        self.before |= 1 << (back - 1);
        number > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_is_news_once_whatever_the_order() {
        let mut seen = SeenNotices::default();
        for (number, is_news) in [
            (1, true),
            (1, false),
            (4, true),
            (2, true),
            (2, false),
            (3, true),
            (1, false),
            (70, true),
            (6, true),
            (6, false),
            (5, false),
            (u32::MAX, true),
            (70, false),
            (0, false),
        ] {
            assert_eq!(seen.is_news(number), is_news, "{number}");
        }
        assert!(!SeenNotices::default().is_news(0), "they are counted from one");
    }
}
