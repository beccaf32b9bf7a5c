//! What became of each input of one session, as the server wrote it down and as its player was told.

use std::collections::VecDeque;

use gameserver_client::Event;
use gameserver_game::RejectReason;
use gameserver_protocol::message::{Input, Inputs};

use crate::game::Done;
use crate::load::{Due, PATIENCE_TICKS};
use crate::{Broken, Rule, TICK_HZ, TICK_US};

/// Microseconds after which an input is settled, whatever is lost on the way.
const SETTLED_WITHIN_US: u64 = 8_000_000;
/// Inputs of one player that a tick carries out at most.
const INPUTS_A_TICK: usize = 8;

/// Reasons of the server's own, which the game never hears of.
const BEFORE_THE_GAME: [RejectReason; 5] = [
    RejectReason::RateLimited,
    RejectReason::TickTooFarAhead,
    RejectReason::UnknownAction,
    RejectReason::NotYours,
    RejectReason::Overloaded,
];

#[derive(Clone, Copy, Debug)]
struct Open {
    sequence: u32,
    sent_us: u64,
    /// Since it has reached the server.
    due: Option<Due>,
    result: Option<Result<(), RejectReason>>,
}

impl Open {
    /// Whether it has reached the server, and the game has not decided it.
    fn waits(&self) -> Option<Due> {
        self.due.filter(|_| self.result.is_none())
    }
}

/// The inputs of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    open: VecDeque<Open>,
    newest_sent: u32,
    newest_arrived: u32,
    newest_done: u32,
    newest_given_up: u32,
    /// That of the newest that has reached the server: what comes after it is not carried out before it.
    due_tick: u64,
    /// Its inputs never reach a game.
    is_spectator: bool,
    pub(crate) settled: u64,
}

fn broken(what: String) -> Broken {
    Broken { rule: Rule::SettlesOnce, what }
}

impl Ledger {
    /// That of a new session after this one.
    pub(crate) fn next(&self, is_spectator: bool) -> Self {
        Self { is_spectator, settled: self.settled, ..Self::default() }
    }

    pub(crate) fn sent(&mut self, sequence: u32, sent_us: u64) {
        self.newest_sent = sequence;
        self.open.push_back(Open { sequence, sent_us, due: None, result: None });
    }

    /// Whether something was sent that has not reached the server.
    pub(crate) fn awaits_arrivals(&self) -> bool {
        self.newest_arrived < self.newest_sent && !self.is_spectator
    }

    /// A message has reached a zone whose newest tick is `tick`.
    pub(crate) fn arrived(&mut self, boot: u32, zone: usize, tick: u64, message: &Inputs<'_>) {
        for Input { sequence, tick: aimed, .. } in message.iter().flatten() {
            // what is aimed at a tick too far ahead is refused at once
            if sequence <= self.newest_arrived || aimed > tick + u64::from(TICK_HZ) {
                continue;
            }
            self.newest_arrived = sequence;
            self.due_tick = aimed.max(tick + 1).max(self.due_tick);
            let waiting = self.open.iter().filter(|open| open.waits().is_some()).count();
            let due = Due { boot, zone, tick: self.due_tick, is_behind: waiting >= INPUTS_A_TICK };
            if let Some(open) = self.open.iter_mut().find(|open| open.sequence == sequence) {
                open.due = Some(due);
            }
        }
    }

    /// Whether an input waits in this tick of this zone.
    pub(crate) fn waits_in(&self, boot: u32, zone: usize, tick: u64) -> bool {
        let mut waiting = self.open.iter().filter_map(Open::waits);
        waiting.any(|due| due.boot == boot && due.waits_in(zone, tick))
    }

    /// The game has decided an input in this tick. Returns for how long it was under way until it was due, microseconds; `None`
    /// if its player has given it up.
    pub(crate) fn done(&mut self, done: &Done, tick: u64, now_us: u64) -> Result<Option<u64>, Broken> {
        let Done { sequence, result, .. } = *done;
        if sequence <= self.newest_done {
            return Err(broken(format!("input {sequence} is carried out after {}", self.newest_done)));
        }
        if sequence > self.newest_sent {
            return Err(broken(format!("input {sequence} is carried out and was never sent")));
        }
        self.newest_done = sequence;
        let Some(open) = self.open.iter_mut().find(|open| open.sequence == sequence) else {
            if sequence <= self.newest_given_up {
                return Ok(None);
            }
            return Err(broken(format!("input {sequence} is carried out after its player heard of it")));
        };
        let Some(due) = open.due else {
            return Err(broken(format!("input {sequence} is carried out and has not come")));
        };
        open.result = Some(result);
        let waited = tick.saturating_sub(due.tick);
        if waited >= PATIENCE_TICKS && !due.is_behind {
            let what = format!("input {sequence} is carried out in tick {tick}: {due:?}");
            return Err(Broken { rule: Rule::Patience, what });
        }
        Ok(Some(now_us.saturating_sub(open.sent_us + waited * TICK_US)))
    }

    /// The player was told something. Returns of an input that was refused because ticks were full when it was due.
    pub(crate) fn told(&mut self, event: Event) -> Result<Option<Due>, Broken> {
        let (sequence, told) = match event {
            Event::Confirmed { input_seq, .. } => (input_seq, Some(Ok(()))),
            Event::Rejected { input_seq, reason } => (input_seq, Some(Err(reason))),
            Event::GivenUp { input_seq } => (input_seq, None),
            Event::Corrected { .. } | Event::Notice(_) => return Ok(None),
        };
        let Some(at) = self.open.iter().position(|open| open.sequence == sequence) else {
            return Err(broken(format!("{event:?} of an input that was settled before, or never sent")));
        };
        let Open { due, result, .. } = self.open[at];
        self.open.remove(at);
        self.settled += 1;
        let is_true = match (told, result) {
            (None, _) => true,
            (Some(told), Some(result)) => told == result,
            (Some(Ok(())), None) => self.is_spectator,
            (Some(Err(reason)), None) => BEFORE_THE_GAME.contains(&reason),
        };
        match told {
            _ if !is_true => Err(broken(format!("{event:?}, but the game said {result:?}"))),
            None => {
                self.newest_given_up = sequence;
                Ok(None)
            }
            Some(Err(RejectReason::Overloaded)) => {
                let due = due.ok_or_else(|| broken(format!("{event:?}, and it has not come")))?;
                Ok(Some(due))
            }
            Some(_) => Ok(None),
        }
    }

    /// Nothing stays open for ever.
    pub(crate) fn check(&self, now_us: u64) -> Result<(), Broken> {
        let is_late = |open: &&Open| now_us.saturating_sub(open.sent_us) > SETTLED_WITHIN_US;
        match self.open.iter().find(is_late) {
            Some(open) => Err(broken(format!("{open:?} is not settled yet"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use gameserver_game::arena::intents::Intent;
    use gameserver_protocol::message::{FieldList, InputsHead, encode_inputs};

    use super::*;

    /// A ledger of somebody who has sent inputs 1 to `sent`, of which the first have reached zone 0 in its tick 10, aimed at 12.
    fn ledger(sent: u32, arrived: u32) -> Ledger {
        let mut ledger = Ledger::default();
        (1..=sent).for_each(|sequence| ledger.sent(sequence, 0));
        let input = |sequence| Input { sequence, tick: 12, intent: FieldList::new(&[1]) };
        let inputs: Vec<_> = (1..=arrived).map(input).collect();
        let mut body = [0; 1000];
        let len = encode_inputs(&mut body, &InputsHead::default(), inputs.iter()).expect("it fits");
        ledger.arrived(1, 0, 10, &Inputs::decode(&body[..len]).expect("a message"));
        ledger
    }

    fn done(sequence: u32) -> Done {
        Done { slot: 0, sequence, intent: Intent::Stop, result: Ok(()) }
    }

    fn refused(input_seq: u32) -> Event {
        Event::Rejected { input_seq, reason: RejectReason::Overloaded }
    }

    #[test]
    fn an_input_that_was_refused_as_overloaded_is_carried_out_no_more() {
        let mut ledger = ledger(2, 2);
        let due = ledger.told(refused(1)).expect("for once").expect("it was due");
        assert_eq!((due.tick, due.zone, due.is_behind), (12, 0, false));
        let broken = ledger.done(&done(1), 20, 0).expect_err("its player has heard that it is not");
        assert_eq!(broken.rule, Rule::SettlesOnce);
        ledger.told(Event::GivenUp { input_seq: 2 }).expect("its player may");
        assert_eq!(ledger.done(&done(2), 13, 0), Ok(None), "what is given up may come true all the same");
    }

    #[test]
    fn what_has_not_come_is_neither_carried_out_nor_refused() {
        let mut ledger = ledger(2, 0);
        assert_eq!(ledger.told(refused(1)).expect_err("not there").rule, Rule::SettlesOnce);
        assert_eq!(ledger.done(&done(2), 20, 0).expect_err("not there").rule, Rule::SettlesOnce);
    }

    #[test]
    fn an_input_waits_for_an_eighth_of_a_second_unless_it_is_behind_others_of_its_player() {
        for (name, sequence, tick, expected) in [
            ("at once", 1, 12, Ok(Some(0))),
            ("the eighth tick", 1, 19, Ok(Some(0))),
            ("the ninth", 1, 20, Err(Rule::Patience)),
            ("of nine the last waits for the others as well", 9, 20, Ok(Some(0))),
        ] {
            let mut ledger = ledger(9, 9);
            let took = ledger.done(&done(sequence), tick, 0).map_err(|broken| broken.rule);
            assert_eq!(took, expected, "{name}");
        }
    }

    #[test]
    fn an_input_is_under_way_until_it_is_due() {
        let took = ledger(1, 1).done(&done(1), 15, 100_000 + 3 * TICK_US);
        assert_eq!(took, Ok(Some(100_000)), "and then it waits for its share");
    }
}
