//! The game's messages: MessagePack arrays in payload packets, positional ("keyed") fields, one message a
//! datagram. Any language with a MessagePack library can speak it; there are no maps, floats or strings.
//!
//! Field 0 of every message is its type. Integers may use any MessagePack width that holds them. Lengths and
//! array sizes are exact: what is longer or shorter than documented is malformed, and a new field is a new
//! [`crate::PROTOCOL_VERSION`].
//!
//! Client to server, **inputs** (type 0):
//!
//! | key | field | type |
//! |---|---|---|
//! | 0 | type = 0 | uint |
//! | 1 | newest snapshot tick that the client has, 0 for none | uint64 |
//! | 2 | inputs, oldest first, sequences growing, at most 32 | array of *input* |
//!
//! An *input* is `[sequence uint32 from 1, tick uint64, intent]`: everything that the client has sent and not seen
//! acknowledged is repeated, so a lost datagram costs nothing but its delay. The tick is the one at which the
//! client wants it to happen; 0 or a past one is as soon as possible. An *intent* is an array whose field 0 says
//! what: **move** is `[0, x int32, y int32]`.
//!
//! Server to client, **snapshot** (type 1):
//!
//! | key | field | type |
//! |---|---|---|
//! | 0 | type = 1 | uint |
//! | 1 | tick | uint64 |
//! | 2 | server time when it was sent, microseconds since the server's start | uint64 |
//! | 3 | newest input sequence whose outcome is decided, 0 for none | uint32 |
//! | 4 | the player's own entity id | uint32 |
//! | 5, 6 | the player's own position x, y | int32 |
//! | 7 | rejected inputs, at most 32 | array of `[sequence uint32, reason uint8]` |
//! | 8 | entities near the player, at most 32 | array of `[id uint32, x int32, y int32]` |
//!
//! Every input up to field 3 was applied unless field 7 of some snapshot names it; a rejection is repeated until
//! the client has acknowledged a snapshot with it. Reasons are [`crate::RejectReason`] codes.
//!
//! Server to client, **resume token** (type 2), a datagram of its own: `[2, bin]` with 1132 bytes, little-endian as in
//! connect tokens: create and expire time (uint64 each), nonce (24 bytes), sealed part (1024), time-out in seconds
//! (int32), the keys of both directions (32 each). With the protocol id and address that the client knows it is a
//! connect token ([`ResumeToken`]).
//!
//! Positions are thousandths of a unit. A message is at most [`MAX_MESSAGE_BYTES`], so that with the session's 25
//! bytes around it a datagram stays within 1200.

mod inputs;
mod resume;
mod snapshot;

use std::io::{self, Write};

use rmp::decode::bytes::{Bytes, BytesReadError};
use rmp::decode::{NumValueReadError, ValueReadError};
use thiserror::Error;

pub use inputs::{Input, InputIter, Inputs, Intent, MAX_INPUTS, encode_inputs};
pub use resume::{RESUME_MESSAGE_BYTES, ResumeToken};
pub use snapshot::{
    ENTITY_BYTES_MAX, Entity, MAX_ENTITIES, MAX_REJECTED, Rejected, Snapshot, SnapshotHead, encode_entity,
    encode_snapshot,
};

/// Most bytes of a message.
pub const MAX_MESSAGE_BYTES: usize = 1200 - 25;

/// Why a message cannot be read.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum DecodeError {
    /// The bytes end inside a value.
    #[error("message is truncated")]
    Truncated,
    /// Not the type that the field must have, or a number out of its range.
    #[error("message has a value of the wrong type or range")]
    Value,
    /// An array of a size that its place does not allow.
    #[error("message has an array of the wrong size")]
    ArrayLength,
    /// No such type of message.
    #[error("message type is unknown")]
    MessageType,
    /// No such intent.
    #[error("intent is unknown")]
    Intent,
    /// Sequences that do not grow, or zero.
    #[error("input sequences do not grow")]
    Order,
    /// Bytes after the end.
    #[error("message has trailing bytes")]
    Trailing,
    /// Longer than any message.
    #[error("message is too long")]
    TooLong,
}

/// The buffer is too small for the message.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("buffer is too small for the message")]
pub struct BufferTooSmall;

/// Writes MessagePack into a slice. (The writer that rmp has for slices is several times slower.)
struct SliceWriter<'a> {
    buffer: &'a mut [u8],
    position: usize,
}

impl<'a> SliceWriter<'a> {
    fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, position: 0 }
    }
}

impl SliceWriter<'_> {
    #[inline]
    fn append(&mut self, bytes: &[u8]) -> Result<(), BufferTooSmall> {
        let end = self.position + bytes.len();
        self.buffer.get_mut(self.position..end).ok_or(BufferTooSmall)?.copy_from_slice(bytes);
        self.position = end;
        Ok(())
    }
}

impl Write for SliceWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes).map_err(|BufferTooSmall| io::ErrorKind::WriteZero.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type WriteResult = Result<(), BufferTooSmall>;

fn write_uint(writer: &mut SliceWriter<'_>, value: u64) -> WriteResult {
    rmp::encode::write_uint(writer, value).map(drop).map_err(|_full| BufferTooSmall)
}

fn write_int(writer: &mut SliceWriter<'_>, value: i32) -> WriteResult {
    rmp::encode::write_sint(writer, i64::from(value)).map(drop).map_err(|_full| BufferTooSmall)
}

fn write_array(writer: &mut SliceWriter<'_>, len: usize) -> WriteResult {
    let len = u32::try_from(len).map_err(|_too_long| BufferTooSmall)?;
    rmp::encode::write_array_len(writer, len).map(drop).map_err(|_full| BufferTooSmall)
}

fn read_int<T: num_like::Int>(bytes: &mut Bytes<'_>) -> Result<T, DecodeError> {
    T::read(bytes).map_err(|error| match error {
        NumValueReadError::InvalidMarkerRead(_) | NumValueReadError::InvalidDataRead(_) => {
            DecodeError::Truncated
        }
        NumValueReadError::TypeMismatch(_) | NumValueReadError::OutOfRange => DecodeError::Value,
    })
}

/// Reads an array header of at most `max` elements.
fn read_array(bytes: &mut Bytes<'_>, max: usize) -> Result<usize, DecodeError> {
    let len = rmp::decode::read_array_len(bytes).map_err(|error| match error {
        ValueReadError::InvalidMarkerRead(_) | ValueReadError::InvalidDataRead(_) => DecodeError::Truncated,
        ValueReadError::TypeMismatch(_) => DecodeError::Value,
    })?;
    usize::try_from(len).ok().filter(|&len| len <= max).ok_or(DecodeError::ArrayLength)
}

/// Reads an array header of just `len` elements.
fn read_array_of(bytes: &mut Bytes<'_>, len: usize) -> Result<(), DecodeError> {
    if read_array(bytes, len)? == len { Ok(()) } else { Err(DecodeError::ArrayLength) }
}

fn open_message(message: &[u8], message_type: u8, fields: usize) -> Result<Bytes<'_>, DecodeError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(DecodeError::TooLong);
    }
    let mut bytes = Bytes::new(message);
    let len = read_array(&mut bytes, 16)?;
    if read_int::<u8>(&mut bytes)? != message_type {
        return Err(DecodeError::MessageType);
    }
    if len == fields { Ok(bytes) } else { Err(DecodeError::ArrayLength) }
}

/// The integer types that messages use.
mod num_like {
    use super::{Bytes, BytesReadError, NumValueReadError};

    pub(super) trait Int: Sized {
        fn read(bytes: &mut Bytes<'_>) -> Result<Self, NumValueReadError<BytesReadError>>;
    }

    macro_rules! int {
        ($($int:ty),*) => {$(
            impl Int for $int {
                #[inline]
                fn read(bytes: &mut Bytes<'_>) -> Result<Self, NumValueReadError<BytesReadError>> {
                    rmp::decode::read_int(bytes)
                }
            }
        )*};
    }

    int!(u8, u32, u64, i32);
}
