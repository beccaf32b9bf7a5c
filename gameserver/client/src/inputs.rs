//! Inputs on their way: repeated until the server has said what became of them.

use std::collections::VecDeque;

use gameserver_protocol::message::{
    FieldList, Fields, Input, InputsHead, MAX_INPUTS, MAX_MESSAGE_BYTES, Rejected, SnapshotHead,
    encode_inputs,
};

use crate::events::Event;

/// The longest head that there can be.
const LONGEST_HEAD: InputsHead = InputsHead {
    stamp: u16::MAX,
    ack_tick: u64::MAX,
    ack_bits: u64::MAX,
    ack_hold_us: u32::MAX,
    view_lag_ticks: u8::MAX,
};

/// Inputs that may be open: four seconds of them at 64 a second.
pub const MAX_OPEN: usize = 256;

/// An input that the server has not said the outcome of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsettled<I> {
    input: Input,
    /// What the game can predict of it, if it is one of the game.
    pub(crate) intent: Option<I>,
    /// The tick at which the server is likely to carry it out.
    pub(crate) due: u64,
    /// The newest message that may have held it, if later ones do not.
    held_until: Option<u16>,
}

/// Inputs that the server has not said the outcome of. The newest are in every message, as many as it holds.
///
/// Those before them stay open. What a snapshot says has been decided is true of an input as long as the newest message
/// that the server had then still held it: only a later one can have made the server pass it over. That such a message has
/// arrived is no receipt: where a server has no room for an input it waits for it to be repeated.
#[derive(Debug)]
pub(crate) struct UnsettledInputs<I> {
    inputs: VecDeque<Unsettled<I>>,
    newest: u32,
    /// Number of the newest message.
    newest_message: u16,
}

impl<I> Default for UnsettledInputs<I> {
    fn default() -> Self {
        Self { inputs: VecDeque::with_capacity(MAX_OPEN + 1), newest: 0, newest_message: 0 }
    }
}

impl<I: Fields + Copy> UnsettledInputs<I> {
    /// Adds an input and returns its sequence. The oldest is given up when too many are open.
    pub(crate) fn push(&mut self, tick: u64, due: u64, intent: I, on_given_up: impl FnMut(Event)) -> u32 {
        self.push_fields(tick, due, intent.to_fields(), Some(intent), on_given_up)
    }

    /// The same with an input that is none of the game, to be carried out as soon as possible.
    pub(crate) fn push_foreign(&mut self, fields: FieldList, on_given_up: impl FnMut(Event)) -> u32 {
        self.push_fields(0, 0, fields, None, on_given_up)
    }

    fn push_fields(
        &mut self,
        tick: u64,
        due: u64,
        fields: FieldList,
        intent: Option<I>,
        mut on_given_up: impl FnMut(Event),
    ) -> u32 {
        self.newest += 1;
        let input = Input { sequence: self.newest, tick, intent: fields };
        self.inputs.push_back(Unsettled { input, intent, due, held_until: None });
        if self.inputs.len() > MAX_OPEN
            && let Some(oldest) = self.inputs.pop_front()
        {
            on_given_up(Event::GivenUp { input_seq: oldest.input.sequence });
        }
        while self.held().len() > 1 && !self.is_sendable() {
            let oldest = self.first_held();
            self.inputs[oldest].held_until = Some(self.newest_message);
        }
        self.newest
    }

    /// Where those begin that are in messages: one that was left out stays out, however few there are again.
    fn first_held(&self) -> usize {
        self.inputs.partition_point(|unsettled| unsettled.held_until.is_some())
    }

    fn held(&self) -> impl ExactSizeIterator<Item = &Input> {
        self.inputs.range(self.first_held()..).map(|unsettled| &unsettled.input)
    }

    fn is_sendable(&self) -> bool {
        let mut room = [0; MAX_MESSAGE_BYTES];
        let held = self.held();
        held.len() <= MAX_INPUTS && encode_inputs(&mut room, &LONGEST_HEAD, held).is_ok()
    }

    /// Writes the next message and returns its length.
    pub(crate) fn encode(&mut self, body: &mut [u8], head: &InputsHead) -> Option<usize> {
        self.newest_message = head.stamp;
        encode_inputs(body, head, self.held()).ok()
    }

    /// Settles what a snapshot tells of: inputs up to the one that it names and those that were `rejected`. Returns
    /// whether one was.
    pub(crate) fn settle(
        &mut self,
        head: &SnapshotHead,
        rejected: &[Rejected],
        mut on_event: impl FnMut(Event),
    ) -> bool {
        let &SnapshotHead { tick, last_input_sequence: decided, echo_stamp, .. } = head;
        let mut was_rejected = false;
        self.inputs.retain(|&Unsettled { input: Input { sequence: input_seq, .. }, held_until, .. }| {
            let outcome = if let Some(rejected) = rejected.iter().find(|one| one.sequence == input_seq) {
                was_rejected = true;
                Event::Rejected { input_seq, reason: rejected.reason }
            } else if held_until.is_some_and(|newest| is_newer(echo_stamp, newest)) {
                Event::GivenUp { input_seq }
            } else if input_seq <= decided {
                Event::Confirmed { input_seq, tick }
            } else {
                return true;
            };
            on_event(outcome);
            false
        });
        if was_rejected {
            on_event(Event::Corrected { tick });
        }
        was_rejected
    }

    /// Those that are open, oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Unsettled<I>> {
        self.inputs.iter()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inputs.is_empty()
    }
}

/// Whether a message was sent after another, in the circle of their numbers.
fn is_newer(message: u16, than: u16) -> bool {
    (1..1 << 15).contains(&message.wrapping_sub(than))
}

#[cfg(test)]
mod tests;
