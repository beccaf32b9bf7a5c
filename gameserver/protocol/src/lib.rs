//! What a game client and a game server say to each other.
//!
//! Two layers, both without sockets, clocks or threads; bytes, time and randomness are passed in:
//!
//! - **Session**: [netcode 1.02](https://github.com/mas-bandwidth/netcode/blob/main/STANDARD.md). A backend mints a
//!   [`ConnectToken`] with the key that it shares with one server; request, challenge and response prove the
//!   client's address; from then on every datagram is sealed with ChaCha20-Poly1305 under keys of that token
//!   ([`PacketKey`]) and guarded by a [`ReplayWindow`].
//! - **Game**: MessagePack arrays in payload packets, see [`message`]. `docs/wire.md` is for clients in other languages.
//!
//! Invariants:
//! - Nothing here allocates per packet; decoding never panics and caps every length.
//! - Peers of another [`PROTOCOL_VERSION`] never get past the first datagram: the version is part of
//!   [`PROTOCOL_ID`], which every packet authenticates.

#![forbid(unsafe_code)]

mod bytes;
mod challenge;
mod key;
mod key_stream;
pub mod message;
mod packet;
mod reject;
mod replay;
mod time;
mod token;

pub use challenge::{CHALLENGE_TOKEN_BYTES, ChallengeKey, ChallengeToken};
pub use key::{KEY_BYTES, Key, derive_key, derive_server_key};
pub use key_stream::KeyStream;
pub use packet::{
    CHALLENGE_BODY_BYTES, KEEP_ALIVE_BODY_BYTES, MAX_DATAGRAM_BYTES, MAX_PAYLOAD_BYTES, PacketError,
    PacketHeader, PacketKey, PacketKind, REQUEST_BYTES, RequestError, RequestPacket, TAG_BYTES, body_offset,
    challenge_body, keep_alive_body, parse_challenge_body, write_request,
};
pub use reject::RejectReason;
pub use replay::{REPLAY_WINDOW, ReplayWindow};
pub use time::{Now, Transmit, first_sequence, micros, nanos};
pub use token::{
    CONNECT_TOKEN_BYTES, ConnectToken, ConnectTokenClaims, PRIVATE_TOKEN_BYTES, PrivateToken, ResumeMark,
    SPECTATOR, ServerAddresses, TOKEN_NONCE_BYTES, TOKEN_RANDOM_BYTES, TokenError, USER_DATA_BYTES, UserData,
};

/// Version of the game messages. Raised with every change that an older peer could not read.
pub const PROTOCOL_VERSION: u32 = 3;

/// Protocol id of every connect token and packet: `CRNW` in ASCII and the [`PROTOCOL_VERSION`].
pub const PROTOCOL_ID: u64 = 0x4352_4E57_0000_0000 | PROTOCOL_VERSION as u64;

/// Version of the session protocol, as it stands in tokens, requests and associated data.
pub(crate) const VERSION_INFO: &[u8; 13] = b"NETCODE 1.02\0";
