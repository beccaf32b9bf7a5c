//! Inputs on their way: repeated until the server has said what became of them.

use std::collections::VecDeque;

use gameserver_protocol::message::{
    FieldList, Fields, Input, InputsHead, MAX_INPUTS, MAX_MESSAGE_BYTES, Rejected, encode_inputs,
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

/// An input that the server has not said the outcome of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unsettled<I> {
    input: Input,
    /// What the game can predict of it, if it is one of the game.
    pub(crate) intent: Option<I>,
    /// The tick at which the server is likely to carry it out.
    pub(crate) due: u64,
}

/// Inputs that the server has not said the outcome of. They are all in every message until it does.
#[derive(Debug)]
pub(crate) struct UnsettledInputs<I> {
    inputs: VecDeque<Unsettled<I>>,
    newest: u32,
}

impl<I> Default for UnsettledInputs<I> {
    fn default() -> Self {
        Self { inputs: VecDeque::with_capacity(MAX_INPUTS + 1), newest: 0 }
    }
}

impl<I: Fields + Copy> UnsettledInputs<I> {
    /// Adds an input and returns its sequence. The oldest are given up when there are more than a message can hold.
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
        self.inputs.push_back(Unsettled { input, intent, due });
        while self.inputs.len() > 1 && !self.is_sendable() {
            if let Some(oldest) = self.inputs.pop_front() {
                on_given_up(Event::GivenUp { input_seq: oldest.input.sequence });
            }
        }
        self.newest
    }

    fn is_sendable(&self) -> bool {
        let mut room = [0; MAX_MESSAGE_BYTES];
        self.inputs.len() <= MAX_INPUTS && self.encode(&mut room, &LONGEST_HEAD).is_some()
    }

    /// Writes the message with all of them and returns its length.
    pub(crate) fn encode(&self, body: &mut [u8], head: &InputsHead) -> Option<usize> {
        encode_inputs(body, head, self.inputs.iter().map(|unsettled| &unsettled.input)).ok()
    }

    /// Settles what the snapshot of `tick` tells of: inputs up to `decided` and those that were refused. Returns
    /// whether one was refused.
    pub(crate) fn settle(
        &mut self,
        tick: u64,
        decided: u32,
        rejected: &[Rejected],
        mut on_event: impl FnMut(Event),
    ) -> bool {
        let mut was_rejected = false;
        self.inputs.retain(|Unsettled { input, .. }| {
            let input_seq = input.sequence;
            if let Some(rejected) = rejected.iter().find(|rejected| rejected.sequence == input_seq) {
                was_rejected = true;
                on_event(Event::Rejected { input_seq, reason: rejected.reason });
                return false;
            }
            if input_seq <= decided {
                on_event(Event::Confirmed { input_seq, tick });
            }
            input_seq > decided
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

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_protocol::RejectReason;
    use gameserver_protocol::message::Inputs;

    const REASON: RejectReason = RejectReason::MoveTooFar;

    fn sequences(inputs: &UnsettledInputs<FieldList>) -> Vec<u32> {
        let mut body = [0; MAX_MESSAGE_BYTES];
        let len = inputs.encode(&mut body, &LONGEST_HEAD).expect("all fit into a message");
        let message = Inputs::decode(&body[..len]).expect("a message");
        message.iter().map(|input| input.expect("an input").sequence).collect()
    }

    /// So many inputs of which the last does `arguments`, and those that were given up.
    fn pushed(count: usize, arguments: &[i64]) -> (UnsettledInputs<FieldList>, Vec<Event>) {
        let (mut inputs, mut given_up) = (UnsettledInputs::default(), Vec::new());
        for _ in 0..count {
            inputs.push(0, 0, FieldList::new(arguments), |event| given_up.push(event));
        }
        (inputs, given_up)
    }

    fn settle(inputs: &mut UnsettledInputs<FieldList>, decided: u32, rejected: &[u32]) -> Vec<Event> {
        let rejected: Vec<_> =
            rejected.iter().map(|&sequence| Rejected { sequence, reason: REASON }).collect();
        let mut events = Vec::new();
        inputs.settle(9, decided, &rejected, |event| events.push(event));
        events
    }

    #[test]
    fn an_input_is_settled_once_as_confirmed_or_rejected() {
        let (mut inputs, _) = pushed(3, &[1, 2]);
        assert_eq!(
            settle(&mut inputs, 2, &[1]),
            [
                Event::Rejected { input_seq: 1, reason: REASON },
                Event::Confirmed { input_seq: 2, tick: 9 },
                Event::Corrected { tick: 9 },
            ]
        );
        assert_eq!(settle(&mut inputs, 2, &[1]), [], "the same news again is no news");
        assert_eq!(sequences(&inputs), [3]);
    }

    #[test]
    fn a_rejection_may_come_before_older_inputs_are_decided() {
        let (mut inputs, _) = pushed(2, &[1, 2]);
        let events = settle(&mut inputs, 0, &[2]);
        assert_eq!(events[0], Event::Rejected { input_seq: 2, reason: REASON });
        assert_eq!(sequences(&inputs), [1]);
    }

    #[test]
    fn the_oldest_are_given_up_when_more_are_open_than_a_message_holds() {
        for (name, arguments, kept) in
            [("small ones", &[1, 2][..], MAX_INPUTS), ("the longest, of 76 bytes", &[i64::MIN; 8], 15)]
        {
            let (inputs, given_up) = pushed(MAX_INPUTS + 1, arguments);
            let first = u32::try_from(MAX_INPUTS + 1 - kept).expect("small");
            assert_eq!(sequences(&inputs), (first + 1..=33).collect::<Vec<_>>(), "{name}");
            let expected: Vec<_> = (1..=first).map(|input_seq| Event::GivenUp { input_seq }).collect();
            assert_eq!(given_up, expected, "{name}");
        }
    }
}
