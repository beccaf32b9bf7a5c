//! What became of each input of one session, as the server wrote it down and as its player was told.

use std::collections::VecDeque;

use gameserver_client::Event;
use gameserver_game::RejectReason;

use crate::game::Done;
use crate::{Broken, Rule};

/// Microseconds after which an input is settled, whatever is lost on the way.
const SETTLED_WITHIN_US: u64 = 8_000_000;

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
    result: Option<Result<(), RejectReason>>,
}

/// The inputs of one session.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    open: VecDeque<Open>,
    newest_sent: u32,
    newest_done: u32,
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
        self.open.push_back(Open { sequence, sent_us, result: None });
    }

    /// The game has decided an input. Returns how long after its sending, microseconds; `None` if its player has given
    /// it up.
    pub(crate) fn done(&mut self, done: &Done, now_us: u64) -> Result<Option<u64>, Broken> {
        let Done { sequence, result, .. } = *done;
        if sequence <= self.newest_done {
            return Err(broken(format!("input {sequence} is carried out after {}", self.newest_done)));
        }
        if sequence > self.newest_sent {
            return Err(broken(format!("input {sequence} is carried out and was never sent")));
        }
        self.newest_done = sequence;
        let open = self.open.iter_mut().find(|open| open.sequence == sequence);
        Ok(open.map(|open| {
            open.result = Some(result);
            now_us.saturating_sub(open.sent_us)
        }))
    }

    /// The player was told something.
    pub(crate) fn told(&mut self, event: Event) -> Result<(), Broken> {
        let (sequence, told) = match event {
            Event::Confirmed { input_seq, .. } => (input_seq, Some(Ok(()))),
            Event::Rejected { input_seq, reason } => (input_seq, Some(Err(reason))),
            Event::GivenUp { input_seq } => (input_seq, None),
            Event::Corrected { .. } | Event::Notice(_) => return Ok(()),
        };
        let Some(at) = self.open.iter().position(|open| open.sequence == sequence) else {
            return Err(broken(format!("{event:?} of an input that was settled before, or never sent")));
        };
        let result = self.open.remove(at).and_then(|open| open.result);
        self.settled += 1;
        let is_true = match (told, result) {
            (None, _) => true,
            (Some(told), Some(result)) => told == result,
            (Some(Ok(())), None) => self.is_spectator,
            (Some(Err(reason)), None) => BEFORE_THE_GAME.contains(&reason),
        };
        if is_true { Ok(()) } else { Err(broken(format!("{event:?}, but the game said {result:?}"))) }
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
