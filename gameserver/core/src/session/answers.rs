//! Answers to handshakes that wait to be sent.

use std::collections::VecDeque;
use std::net::SocketAddr;

use crate::counters::Counters;

/// Bytes of a denial: prefix, eight bytes of sequence and the tag.
pub(super) const DENIED_BYTES: usize = 1 + 8 + 16;

/// An answer to a handshake. Challenges and keep-alives are sealed when they are sent, so that one which became
/// pointless meanwhile costs nothing.
#[derive(Clone, Debug)]
pub(super) enum Answer {
    Challenge(SocketAddr),
    KeepAlive(SocketAddr),
    Denied { to: SocketAddr, bytes: [u8; DENIED_BYTES] },
}

/// Answers waiting to be sent, at most as many as there can be handshakes.
#[derive(Debug)]
pub(super) struct Answers {
    waiting: VecDeque<Answer>,
    capacity: usize,
}

impl Answers {
    pub(super) fn new(capacity: usize) -> Self {
        Self { waiting: VecDeque::with_capacity(capacity), capacity }
    }

    pub(super) fn push(&mut self, answer: Answer, counters: &mut Counters) {
        if self.waiting.len() == self.capacity {
            // the client repeats itself ten times a second
            counters.answers_dropped += 1;
        } else {
            self.waiting.push_back(answer);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn pop(&mut self) -> Option<Answer> {
        self.waiting.pop_front()
    }
}
