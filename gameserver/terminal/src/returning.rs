//! Coming back to a server that was lost: what to try, and when to say that it is over.

use std::time::Duration;

use gameserver_client::{ClientState, DisconnectReason};

use crate::words;

/// A server sends something each tick; who hears nothing for this long comes back by its resume token.
const SILENCE: Duration = Duration::from_secs(3);

/// How the session at hand was begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// By a token of our own making.
    ByToken,
    /// By a resume token, after one was lost.
    ByResume,
    /// By a token of our own making, after that failed.
    Again,
}

/// What to do about a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Stay,
    /// Come back by the resume token that is there.
    Resume,
    /// Come with a new token of our own making.
    JoinAgain,
    End(String),
}

/// What is to be done about a session that was `begun` so, has been silent for so long, and has a resume token or none.
/// Whoever was sent away or let in nowhere stays away; the person at the keys may try again.
pub(crate) fn next_step(begun: Begun, state: ClientState, silence: Duration, has_token: bool) -> Step {
    match state {
        ClientState::Connected if silence >= SILENCE && has_token => Step::Resume,
        ClientState::Connected | ClientState::Connecting => Step::Stay,
        ClientState::Denied => Step::End(words::DENIED.to_owned()),
        ClientState::Disconnected { reason: DisconnectReason::TimedOut } if has_token => Step::Resume,
        ClientState::Disconnected { reason: DisconnectReason::TimedOut } => Step::JoinAgain,
        ClientState::Disconnected { reason } => match (begun, reason) {
            (_, DisconnectReason::ByServer | DisconnectReason::ByClient) => {
                Step::End(words::end(reason).to_owned())
            }
            (Begun::ByResume, _) => Step::JoinAgain,
            _ => Step::End(words::end(reason).to_owned()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ClientState::{Connected, Connecting, Denied};
    use DisconnectReason::{ByClient, ByServer, RequestTimedOut, ResponseTimedOut, TimedOut, TokenExpired};

    #[test]
    fn a_lost_server_is_come_back_to_and_whoever_is_sent_away_stays_away() {
        let over = |reason| ClientState::Disconnected { reason };
        let end = |reason| Step::End(words::end(reason).to_owned());
        for (name, begun, state, seconds, has_token, expected) in [
            ("joining takes its time", Begun::ByToken, Connecting, 9, false, Step::Stay),
            ("all is well", Begun::ByToken, Connected, 0, true, Step::Stay),
            ("a pause", Begun::ByToken, Connected, 2, true, Step::Stay),
            ("silence", Begun::ByToken, Connected, 3, true, Step::Resume),
            ("silence before there is a token", Begun::ByToken, Connected, 3, false, Step::Stay),
            ("silence again", Begun::ByResume, Connected, 3, true, Step::Resume),
            ("lost with a token", Begun::ByToken, over(TimedOut), 10, true, Step::Resume),
            ("lost without one", Begun::ByToken, over(TimedOut), 10, false, Step::JoinAgain),
            ("the way back fails", Begun::ByResume, over(RequestTimedOut), 10, false, Step::JoinAgain),
            ("half of it", Begun::ByResume, over(ResponseTimedOut), 10, false, Step::JoinAgain),
            ("too late", Begun::ByResume, over(TokenExpired), 10, false, Step::JoinAgain),
            ("and again", Begun::Again, over(RequestTimedOut), 10, false, end(RequestTimedOut)),
            ("never let in", Begun::ByToken, over(RequestTimedOut), 10, false, end(RequestTimedOut)),
            ("sent away", Begun::ByToken, over(ByServer), 0, true, end(ByServer)),
            ("sent away after a return", Begun::ByResume, over(ByServer), 0, true, end(ByServer)),
            ("left", Begun::ByToken, over(ByClient), 0, true, end(ByClient)),
            ("full", Begun::ByResume, Denied, 0, false, Step::End(words::DENIED.to_owned())),
        ] {
            let step = next_step(begun, state, Duration::from_secs(seconds), has_token);
            assert_eq!(step, expected, "{name}");
        }
    }
}
