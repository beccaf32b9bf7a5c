//! Why a trial gave no figures, where that is known to be the server's doing: whoever started the bench reads it in the file of the results.

use std::error::Error;
use std::fmt;

use serde_json::{Value, json};

/// What a server did instead of letting everyone play.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// It was gone before anybody was in, so nothing is known of how many it holds.
    NotStarted(String),
    /// Not everyone got in within the limit.
    TooFew { joined: u64, players: u32 },
    /// It ended, or answers nobody who asks for its figures.
    ServerEnded(String),
}

impl Failure {
    /// What keeps bots from waiting for the rest of them; `ended` is how the server did, if it did.
    pub(super) fn while_joining(
        joined: u64,
        players: u32,
        ended: Option<String>,
        is_over: bool,
    ) -> Option<Self> {
        match ended {
            Some(how) if joined == 0 => Some(Self::NotStarted(how)),
            Some(how) => Some(Self::ServerEnded(how)),
            None => is_over.then_some(Self::TooFew { joined, players }),
        }
    }

    /// As it stands in the file of the results.
    pub(super) fn json(&self) -> Value {
        match self {
            Self::NotStarted(how) => json!({ "not_started": how }),
            Self::TooFew { joined, players } => json!({ "joined": joined, "players": players }),
            Self::ServerEnded(how) => json!({ "server_ended": how }),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted(how) => write!(f, "the server was gone before anybody had joined: {how}"),
            Self::TooFew { joined, players } => write!(f, "only {joined} of {players} bots joined"),
            Self::ServerEnded(how) => write!(f, "the server ended under the bots: {how}"),
        }
    }
}

impl Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waits_for_bots_gives_up_when_the_server_is_gone_or_time_is() {
        let gone = || Some("signal: 6".to_owned());
        for (rule, joined, ended, is_over, expected) in [
            ("there is time", 3, None, false, None),
            ("time is over", 3, None, true, Some(r#"{"joined":3,"players":10}"#)),
            ("gone before anybody was in", 0, gone(), false, Some(r#"{"not_started":"signal: 6"}"#)),
            ("gone with some of them", 3, gone(), false, Some(r#"{"server_ended":"signal: 6"}"#)),
            ("gone, and time is over", 3, gone(), true, Some(r#"{"server_ended":"signal: 6"}"#)),
        ] {
            let failure = Failure::while_joining(joined, 10, ended, is_over);
            let told = failure.map(|failure| failure.json().to_string());
            assert_eq!(told.as_deref(), expected, "{rule}");
        }
    }
}
