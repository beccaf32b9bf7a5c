//! What a server sends a player so that it can come back without a backend.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::{BufferTooSmall, DecodeError, SliceWriter, open_message, write_array, write_uint};
use crate::bytes::{Reader, Writer};
use crate::{ConnectToken, Key, PRIVATE_TOKEN_BYTES, ServerAddresses, TOKEN_NONCE_BYTES};

/// Type of the message.
const RESUME: u8 = 2;
const FIELDS: usize = 2;
/// Bytes of field 1.
const BODY_BYTES: usize = 8 + 8 + TOKEN_NONCE_BYTES + PRIVATE_TOKEN_BYTES + 4 + 32 + 32;
/// Bytes of the message: an array of two, the type, and a head of three bytes.
pub const RESUME_MESSAGE_BYTES: usize = 1 + 1 + 3 + BODY_BYTES;

const _: () =
    assert!(RESUME_MESSAGE_BYTES <= super::MAX_MESSAGE_BYTES, "a datagram of its own, within 1200 bytes");

/// A connect token of a server's own making, without what its bearer knows already: which game, and where the
/// server is. Whoever has it can take the player's place, as with any connect token.
#[derive(Clone, PartialEq, Eq)]
pub struct ResumeToken {
    /// When it was minted, seconds since the Unix epoch.
    pub create_unix: u64,
    /// When it expires, seconds since the Unix epoch.
    pub expire_unix: u64,
    /// Nonce of the sealed part.
    pub nonce: [u8; TOKEN_NONCE_BYTES],
    /// The sealed part.
    pub private_token: [u8; PRIVATE_TOKEN_BYTES],
    /// Seconds of silence after which a peer is given up; negative: never.
    pub timeout_seconds: i32,
    /// Seals what the client sends.
    pub client_to_server_key: Key,
    /// Seals what the server sends.
    pub server_to_client_key: Key,
}

impl fmt::Debug for ResumeToken {
    /// Without the keys, so that a token may be logged.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ResumeToken").field("expire_unix", &self.expire_unix).finish_non_exhaustive()
    }
}

impl ResumeToken {
    /// Writes the message and returns its length, [`RESUME_MESSAGE_BYTES`].
    pub fn encode(&self, buffer: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = SliceWriter::new(buffer);
        write_array(&mut writer, FIELDS)?;
        write_uint(&mut writer, RESUME.into())?;
        let len = u32::try_from(BODY_BYTES).map_err(|_too_long| BufferTooSmall)?;
        rmp::encode::write_bin_len(&mut writer, len).map_err(|_full| BufferTooSmall)?;
        let start = writer.position;
        let body = buffer.get_mut(start..start + BODY_BYTES).ok_or(BufferTooSmall)?;
        let mut writer = Writer::new(body);
        writer.u64(self.create_unix);
        writer.u64(self.expire_unix);
        writer.bytes(&self.nonce);
        writer.bytes(&self.private_token);
        writer.u32(self.timeout_seconds.cast_unsigned());
        writer.bytes(&self.client_to_server_key);
        writer.bytes(&self.server_to_client_key);
        Ok(start + BODY_BYTES)
    }

    /// Reads the message.
    pub fn decode(message: &[u8]) -> Result<Self, DecodeError> {
        let mut bytes = open_message(message, RESUME, FIELDS)?;
        let len = rmp::decode::read_bin_len(&mut bytes).map_err(|error| match error {
            rmp::decode::ValueReadError::TypeMismatch(_) => DecodeError::Value,
            _ => DecodeError::Truncated,
        })?;
        if usize::try_from(len) != Ok(BODY_BYTES) {
            return Err(DecodeError::ArrayLength);
        }
        let rest = bytes.remaining_slice();
        let mut reader = Reader::new(rest);
        let mut read = || {
            Some(Self {
                create_unix: reader.u64()?,
                expire_unix: reader.u64()?,
                nonce: reader.array()?,
                private_token: reader.array()?,
                timeout_seconds: reader.u32()?.cast_signed(),
                client_to_server_key: reader.array()?,
                server_to_client_key: reader.array()?,
            })
        };
        let token = read().ok_or(DecodeError::Truncated)?;
        if rest.len() > BODY_BYTES {
            return Err(DecodeError::Trailing);
        }
        if token.create_unix > token.expire_unix { Err(DecodeError::Value) } else { Ok(token) }
    }

    /// How long it was good when it was minted.
    pub fn lifetime(&self) -> Duration {
        Duration::from_secs(self.expire_unix.saturating_sub(self.create_unix))
    }

    /// The connect token to come back to `server` with, `age` after this one was received. A client counts a token's
    /// lifetime from when it gets it, so it is told what is left; `None` when that is nothing.
    pub fn connect_token(&self, protocol_id: u64, server: SocketAddr, age: Duration) -> Option<ConnectToken> {
        let left = self.lifetime().checked_sub(age)?.as_secs();
        if left == 0 {
            return None;
        }
        Some(ConnectToken {
            protocol_id,
            create_unix: self.expire_unix - left,
            expire_unix: self.expire_unix,
            nonce: self.nonce,
            private_token: Box::new(self.private_token),
            timeout_seconds: self.timeout_seconds,
            server_addresses: ServerAddresses::new(&[server]).ok()?,
            client_to_server_key: self.client_to_server_key,
            server_to_client_key: self.server_to_client_key,
        })
    }
}
