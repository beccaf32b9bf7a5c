//! Inputs on their way: repeated until the server has said what became of them.

use std::collections::VecDeque;

use gameserver_protocol::message::{Input, Intent, MAX_INPUTS, Snapshot};

use crate::client::Event;

/// Inputs that the server has not said the outcome of. They are repeated in every message until it does.
#[derive(Debug, Default)]
pub(crate) struct UnsettledInputs {
    inputs: VecDeque<Input>,
    newest: u32,
}

impl UnsettledInputs {
    /// Adds an input and returns its sequence. When too many are unsettled the oldest is given up; it is returned
    /// as well.
    pub(crate) fn push(&mut self, tick: u64, intent: Intent) -> (u32, Option<Input>) {
        let given_up = if self.inputs.len() == MAX_INPUTS { self.inputs.pop_front() } else { None };
        self.newest += 1;
        self.inputs.push_back(Input { sequence: self.newest, tick, intent });
        (self.newest, given_up)
    }

    /// Settles what `snapshot` tells of.
    pub(crate) fn settle(&mut self, snapshot: &Snapshot, mut on_event: impl FnMut(Event)) {
        let head = &snapshot.head;
        let mut was_rejected = false;
        self.inputs.retain(|input| {
            let rejected = snapshot.rejected.iter().find(|rejected| rejected.sequence == input.sequence);
            if let Some(rejected) = rejected {
                was_rejected = true;
                on_event(Event::Rejected { input_seq: input.sequence, reason: rejected.reason });
                return false;
            }
            if input.sequence <= head.last_input_sequence {
                let (tick, x, y) = (head.tick, head.x, head.y);
                on_event(Event::Confirmed { input_seq: input.sequence, tick, x, y });
                return false;
            }
            true
        });
        if was_rejected {
            on_event(Event::Corrected { tick: head.tick, x: head.x, y: head.y });
        }
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &Input> {
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
    use gameserver_protocol::message::{Rejected, SnapshotHead};

    const MOVE: Intent = Intent::Move { x: 1, y: 2 };

    fn snapshot(last_input_sequence: u32, rejected: &[u32]) -> Snapshot {
        let reason = RejectReason::MoveTooFar;
        Snapshot {
            head: SnapshotHead { tick: 9, last_input_sequence, x: 5, y: 6, ..SnapshotHead::default() },
            rejected: rejected.iter().map(|&sequence| Rejected { sequence, reason }).collect(),
            entities: Vec::new(),
        }
    }

    fn settle(inputs: &mut UnsettledInputs, snapshot: &Snapshot) -> Vec<Event> {
        let mut events = Vec::new();
        inputs.settle(snapshot, |event| events.push(event));
        events
    }

    #[test]
    fn an_input_is_settled_once_as_confirmed_or_rejected() {
        let mut inputs = UnsettledInputs::default();
        for _ in 0..3 {
            inputs.push(0, MOVE);
        }
        let snapshot = snapshot(2, &[1]);
        assert_eq!(
            settle(&mut inputs, &snapshot),
            [
                Event::Rejected { input_seq: 1, reason: RejectReason::MoveTooFar },
                Event::Confirmed { input_seq: 2, tick: 9, x: 5, y: 6 },
                Event::Corrected { tick: 9, x: 5, y: 6 },
            ]
        );
        assert_eq!(settle(&mut inputs, &snapshot), [], "the same news again is no news");
        assert_eq!(inputs.iter().map(|input| input.sequence).collect::<Vec<_>>(), [3]);
    }

    #[test]
    fn a_rejection_may_come_before_older_inputs_are_decided() {
        let mut inputs = UnsettledInputs::default();
        inputs.push(0, MOVE);
        inputs.push(0, MOVE);
        let events = settle(&mut inputs, &snapshot(0, &[2]));
        assert_eq!(events[0], Event::Rejected { input_seq: 2, reason: RejectReason::MoveTooFar });
        assert_eq!(inputs.iter().map(|input| input.sequence).collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn the_oldest_is_given_up_when_too_many_are_open() {
        let mut inputs = UnsettledInputs::default();
        let given_up: Vec<_> = (0..=MAX_INPUTS).filter_map(|_| inputs.push(0, MOVE).1).collect();
        assert_eq!(given_up.iter().map(|input| input.sequence).collect::<Vec<_>>(), [1]);
        assert_eq!(inputs.iter().len(), MAX_INPUTS);
    }
}
