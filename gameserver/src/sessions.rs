//! Which sessions this server was allocated for: what it takes, what it says of that, and when one is over.
//!
//! Invariants:
//! - Whatever an operator hears is saved before ([`keeper`]), so a process that starts again in the same pod keeps its word.
//! - A session ends by who is here and by the clock alone ([`stay`]); nobody has to say so.

mod keeper;
mod stay;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use gameserver_contract::{Claims, Judgement, Key, ServerMessage, Verdict, is_key};

pub(crate) use keeper::KeepError;
use keeper::Keeper;
use stay::Stay;
pub(crate) use stay::{End, Patience};

/// What an allocator asks of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Greet { reign: u64 },
    Propose { reign: u64, key: Key },
    Release { reign: u64, key: Key },
}

/// The sessions of this server.
#[derive(Debug)]
pub(crate) struct Sessions {
    keeper: Keeper,
    patience: Patience,
    stays: BTreeMap<Key, Stay>,
}

impl Sessions {
    /// Takes up what an earlier process of the same pod has saved in `directory`; without one a restart forgets. `limit` is how many
    /// there may be at once.
    pub(crate) fn open(
        now: Duration,
        directory: Option<&Path>,
        pod_uid: &str,
        limit: u32,
        patience: Patience,
    ) -> Self {
        let keeper = Keeper::open(directory, pod_uid, limit);
        let mut sessions = Self { keeper, patience, stays: BTreeMap::new() };
        sessions.follow(now);
        sessions
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u32 {
        u32::try_from(self.keeper.claims().held().len()).unwrap_or(u32::MAX)
    }

    /// What it holds, for a stream that begins.
    pub(crate) fn holding(&self) -> ServerMessage {
        ServerMessage::Holding(self.keeper.claims().holding())
    }

    /// An allocator asks; what it is told, if anything. A server that `is_open` takes new sessions.
    ///
    /// # Errors
    /// What is to be said cannot be saved, so it must not be said, and nothing has changed.
    pub(crate) fn ask(
        &mut self,
        now: Duration,
        ask: Ask,
        is_open: bool,
    ) -> Result<Option<ServerMessage>, KeepError> {
        let said = match ask {
            Ask::Greet { reign } => {
                self.keeper.change(|claims| claims.greeted(reign))?;
                Some(self.holding())
            }
            Ask::Propose { reign, key } => {
                let judgement = self.keeper.change(|claims| judge(claims, reign, &key, is_open))?;
                Some(ServerMessage::Judged { key, judgement })
            }
            Ask::Release { reign, key } => {
                self.keeper.change(|claims| claims.release(reign, &key))?;
                None
            }
        };
        self.follow(now);
        Ok(said)
    }

    /// So many players are here; which sessions are over, and why.
    ///
    /// # Errors
    /// As for [`Self::ask`]: they are found again the next time.
    pub(crate) fn look(&mut self, now: Duration, players: u64) -> Result<Vec<(Key, End)>, KeepError> {
        let mut over = Vec::new();
        for (key, stay) in &mut self.stays {
            over.extend(stay.look(now, players, self.patience).map(|end| (key.clone(), end)));
        }
        if !over.is_empty() {
            self.keeper.change(|claims| over.iter().for_each(|(key, _)| _ = claims.end(key)))?;
            self.follow(now);
        }
        Ok(over)
    }

    /// One stay for each session.
    fn follow(&mut self, now: Duration) {
        let claims = self.keeper.claims();
        self.stays.retain(|key, _| claims.holds(key));
        for key in claims.held() {
            self.stays.entry(key.clone()).or_insert_with(|| Stay::begin(now));
        }
    }
}

/// An allocator that proposes what is no key is answered as by a server without room.
fn judge(claims: &mut Claims, reign: u64, key: &Key, is_open: bool) -> Judgement {
    if is_key(key) {
        claims.propose(reign, key, is_open)
    } else {
        claims.greeted(reign);
        Judgement { reign: claims.reign(), verdict: Verdict::Full }
    }
}

#[cfg(test)]
mod tests;
