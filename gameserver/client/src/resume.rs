//! The token with which a player comes back to its server without a backend.

use std::net::SocketAddr;
use std::time::Duration;

use gameserver_protocol::message::ResumeToken;
use gameserver_protocol::{ConnectToken, Now};

/// The newest resume token of a session.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    newest: Option<(ResumeToken, Duration)>,
}

impl Resume {
    /// Keeps the token in `message` unless a newer one is here; says whether the message was one at all.
    pub(crate) fn take(&mut self, now: Now, message: &[u8]) -> bool {
        let Ok(token) = ResumeToken::decode(message) else { return false };
        // datagrams overtake each other; servers send tokens seconds apart
        if self.newest.as_ref().is_none_or(|(newest, _)| newest.expire_unix <= token.expire_unix) {
            self.newest = Some((token, now.monotonic));
        }
        true
    }

    /// The token to come back to `server` with, while there is time for that.
    pub(crate) fn connect_token(
        &self,
        now: Now,
        protocol_id: u64,
        server: SocketAddr,
    ) -> Option<ConnectToken> {
        let (token, received) = self.newest.as_ref()?;
        token.connect_token(protocol_id, server, now.monotonic.saturating_sub(*received))
    }
}
