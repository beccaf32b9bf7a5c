//! Reasons for which a datagram is ignored.

use gameserver_protocol::PacketError;

/// Why a datagram was ignored. Nobody is told, since the sender may be forged; it is counted by this label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Refusal {
    /// No packet of the session protocol: wrong length or first byte.
    Malformed,
    /// Another game, or another version of it.
    OtherProtocol,
    /// A sealed packet from an address without a session.
    NoSession,
    /// A kind of packet that its sender may not send now.
    Unexpected,
    /// Received before, or too old to tell.
    Replayed,
    /// Does not authenticate.
    Forged,
    /// Not even tried: too many packets in this player's name did not authenticate.
    TooManyForged,
    /// More datagrams than a player has use for.
    TooManyPackets,
    /// Authentic, but no message of the game.
    BadMessage,
    /// Handshake: this server has no key yet.
    NoKey,
    /// Handshake: too many requests that led nowhere, from this port, address, network or everywhere; or a player who
    /// comes back too often.
    OverBudget,
    /// Handshake: the token has expired.
    TokenExpired,
    /// Handshake: the token would be good for longer than tokens are minted for.
    TokenLifetime,
    /// Handshake: the token was not sealed with this server's key.
    TokenForged,
    /// Handshake: the token names other servers.
    OtherServer,
    /// Handshake: the token was used from another address, or its session has ended.
    TokenReused,
    /// Handshake: the player or the address is connected already.
    AlreadyConnected,
    /// Handshake: the resume token is older than the one with which the player came back, or the player said goodbye.
    ResumeOutdated,
    /// Handshake: the player's session at another server of this process is to end first; the client asks again.
    Moving,
    /// Handshake: another thread was at the tables that all servers share; the client asks again.
    Busy,
    /// Handshake: too many others are under way.
    TooManyHandshakes,
    /// Handshake: the answer to a challenge is not what this server sent.
    ChallengeForged,
}

impl Refusal {
    /// Every reason, in the order of its numbers.
    pub const ALL: [Self; 22] = [
        Self::Malformed,
        Self::OtherProtocol,
        Self::NoSession,
        Self::Unexpected,
        Self::Replayed,
        Self::Forged,
        Self::TooManyForged,
        Self::TooManyPackets,
        Self::BadMessage,
        Self::NoKey,
        Self::OverBudget,
        Self::TokenExpired,
        Self::TokenLifetime,
        Self::TokenForged,
        Self::OtherServer,
        Self::TokenReused,
        Self::AlreadyConnected,
        Self::ResumeOutdated,
        Self::Moving,
        Self::Busy,
        Self::TooManyHandshakes,
        Self::ChallengeForged,
    ];

    /// Label in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::OtherProtocol => "other_protocol",
            Self::NoSession => "no_session",
            Self::Unexpected => "unexpected_packet",
            Self::Replayed => "replayed",
            Self::Forged => "forged",
            Self::TooManyForged => "too_many_forged",
            Self::TooManyPackets => "too_many_packets",
            Self::BadMessage => "bad_message",
            Self::NoKey => "no_key",
            Self::OverBudget => "over_budget",
            Self::TokenExpired => "token_expired",
            Self::TokenLifetime => "token_lifetime",
            Self::TokenForged => "token_forged",
            Self::OtherServer => "other_server",
            Self::TokenReused => "token_reused",
            Self::AlreadyConnected => "already_connected",
            Self::ResumeOutdated => "resume_outdated",
            Self::Moving => "moving",
            Self::Busy => "busy",
            Self::TooManyHandshakes => "too_many_handshakes",
            Self::ChallengeForged => "challenge_forged",
        }
    }

    /// Whether a connection request or response was refused, rather than a packet of a session or plain noise.
    pub const fn is_of_handshake(self) -> bool {
        self as u8 >= Self::NoKey as u8
    }
}

impl From<PacketError> for Refusal {
    fn from(error: PacketError) -> Self {
        match error {
            PacketError::Forged => Self::Forged,
            PacketError::TooShort
            | PacketError::Prefix
            | PacketError::BodyLength
            | PacketError::BufferTooSmall => Self::Malformed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_list() {
        for (number, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, number, "{refusal:?}");
        }
    }
}
