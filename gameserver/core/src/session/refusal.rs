//! Reasons for which a datagram is ignored.

use std::fmt;

use gameserver_protocol::PacketError;

/// Why a datagram was ignored. Its sender is not told, since that may be forged; it is counted under a label
/// ([`Refusal::as_str`]), which stands beside the sentence that a person may read (its `Display`) in `docs/refusals.md`.
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

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Malformed => "Not a packet of the protocol",
            Self::OtherProtocol => "Another game or another version of it",
            Self::NoSession => "No session at this address",
            Self::Unexpected => "A packet that may not be sent now",
            Self::Replayed => "Received before, or too old to tell",
            Self::Forged => "Does not authenticate",
            Self::TooManyForged => "Not tried: too many that did not authenticate",
            Self::TooManyPackets => "More packets than a player has use for",
            Self::BadMessage => "Authentic, but no message of the game",
            Self::NoKey => "The server has no key yet",
            Self::OverBudget => "Too many requests that led nowhere, or too many returns",
            Self::TokenExpired => "The token has expired",
            Self::TokenLifetime => "The token is good for too long",
            Self::TokenForged => "The token is not sealed with this server's key",
            Self::OtherServer => "The token names other servers",
            Self::TokenReused => "The token was used before",
            Self::AlreadyConnected => "The player or the address is connected already",
            Self::ResumeOutdated => "The resume token is outdated",
            Self::Moving => "The player's session elsewhere ends first: ask again",
            Self::Busy => "The shared tables are taken: ask again",
            Self::TooManyHandshakes => "Too many others are on their way in",
            Self::ChallengeForged => "The answer is to no challenge of this server",
        })
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
    use std::collections::BTreeSet;

    use gameserver_protocol::RejectReason;

    use super::*;

    #[test]
    fn numbers_follow_the_list() {
        for (number, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(refusal as usize, number, "{refusal:?}");
        }
    }

    #[test]
    fn each_refusal_has_a_label_and_a_sentence_of_its_own() {
        let labels: BTreeSet<_> = Refusal::ALL.iter().map(|refusal| refusal.as_str()).collect();
        let sentences: BTreeSet<_> = Refusal::ALL.iter().map(ToString::to_string).collect();
        assert_eq!((labels.len(), sentences.len()), (Refusal::ALL.len(), Refusal::ALL.len()));
        let is_sentence = |text: &String| text.starts_with(|first: char| first.is_ascii_uppercase());
        assert!(sentences.iter().all(is_sentence), "{sentences:?}");
    }

    /// Who looks at metrics meets labels: the page beside them says what each means, in the words of the enums.
    #[test]
    fn the_page_of_refusals_has_the_sentence_of_each_label() {
        let page = include_str!("../../../../docs/refusals.md");
        let refusals = Refusal::ALL.iter().map(|refusal| (refusal.as_str(), refusal.to_string()));
        let rejects = RejectReason::ALL.iter().map(|reason| (reason.as_str(), reason.to_string()));
        for (label, sentence) in refusals.chain(rejects) {
            let row = format!("| `{label}` | {sentence} |");
            assert!(page.lines().any(|line| line == row), "no row in docs/refusals.md: {row}");
        }
    }
}
