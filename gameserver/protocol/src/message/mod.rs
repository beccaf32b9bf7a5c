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
//! | 1 | number of this message, from 1, beginning again after 65 535 | uint16 |
//! | 2 | newest snapshot tick that the client has, 0 for none | uint64 |
//! | 3 | which of the 64 ticks before that it has, bit 0 for the one just before | uint64 |
//! | 4 | microseconds since the newest arrived | uint32 |
//! | 5 | how many ticks before an input's tick the world was that its player saw | uint8 |
//! | 6 | inputs, oldest first, sequences growing, at most 32 | array of *input* |
//!
//! An *input* is `[sequence uint32 from 1, tick uint64, intent]`: everything that the client has sent and not seen
//! acknowledged is repeated, the newest 32 of it, so a lost datagram costs nothing but its delay. The tick is the one at which the
//! client wants it to happen; 0 or a past one is as soon as possible. An *intent* is an array of at most 8 integers
//! whose first is a code of the game. A spectator's intents are those of no game ([`Watch`]), and so is what it is told
//! about itself ([`Watched`]).
//!
//! Server to client, **snapshot** (type 1):
//!
//! | key | field | type |
//! |---|---|---|
//! | 0 | type = 1 | uint |
//! | 1 | tick | uint64 |
//! | 2 | microseconds from the moment at which the tick was due to the sending of this | uint32 |
//! | 3 | number of the newest message that the server has of the client, 0 for none | uint16 |
//! | 4 | microseconds since that message arrived | uint32 |
//! | 5 | newest input sequence whose outcome is decided, 0 for none | uint32 |
//! | 6 | by how many sixteenths of a tick the client should aim its inputs earlier; later if negative | int8 |
//! | 7 | what the player is told about itself, at most 16 integers of the game | array of int64 |
//! | 8 | news, at most 32 + 16 | array of *rejected* and *notice* |
//! | 9 | what has changed around the player: *cells* one after the other, at most 1200 elements; `nil`: this one tells nothing of others | array or nil |
//!
//! A *rejected* is `[sequence uint32, reason uint8]`: every input up to field 5 was applied unless some snapshot says
//! so. Reasons are [`crate::RejectReason`] codes. A *notice* is `[number uint32 from 1, code uint8, int64, int64, int64]`,
//! something that happened, in codes of the game. Both are repeated until the client has acknowledged a snapshot with
//! them.
//!
//! A *cell* is the index of an entity (uint32) and one of
//! - `nil`: the entity is not to be seen any more;
//! - `0, id uint32, kind uint8, x int32, y int32`, four int32 of the game: all of it, whatever was known;
//! - `back uint8 from 1 to 63, mask uint8` and a number for each bit of the mask: what is different from the state of
//!   `back` ticks ago, which the client has acknowledged. Bits 0 and 1 are the ways east and north, as 0, -1, 1, -2, 2 …
//!   told by 0, 1, 2, 3, 4 …; bits 2 to 5 the new values of the four figures.
//!
//! So a client keeps what it knew of each entity (of each id) for the last 64 ticks, also when it is told all of it again,
//! and forgets it when it is gone. What is not named among cells has not changed, or not by enough to be told now. A server
//! may tell of others less often than of the player itself.
//!
//! Server to client, **resume token** (type 2), a datagram of its own: `[2, bin]` with 1132 bytes, little-endian as in
//! connect tokens: create and expire time (uint64 each), nonce (24 bytes), sealed part (1024), time-out in seconds
//! (int32), the keys of both directions (32 each). With the protocol id and address that the client knows it is a
//! connect token ([`ResumeToken`]).
//!
//! Places are hundredths of a unit. A message is at most [`MAX_MESSAGE_BYTES`], so that with the
//! session's 25 bytes around it a datagram stays within 1200.
//!
//! Whoever writes a client in another language begins with `docs/wire.md`. Golden vectors are in
//! `gameserver/protocol/vectors`, an implementation in Go in `gameserver/protocol/tests/second`.

mod cell;
mod fields;
mod inputs;
mod resume;
mod snapshot;
mod watch;

use std::io::{self, Write};

use rmp::decode::bytes::{Bytes, BytesReadError};
use rmp::decode::{NumValueReadError, ValueReadError};
use thiserror::Error;

pub use cell::{CELL_BYTES_MAX, Cell, Change, Delta, ENTITY_FIELDS, Entity, MAX_BACK, encode_cell};
pub use fields::{FieldList, Fields, MAX_ARGUMENTS, MAX_OWN_FIELDS};
pub use inputs::{Input, InputIter, Inputs, InputsHead, MAX_INPUTS, encode_inputs};
pub use resume::{RESUME_MESSAGE_BYTES, ResumeToken};
pub use snapshot::{
    MAX_CELL_ELEMENTS, MAX_NOTICES, MAX_REJECTED, Notice, Rejected, Snapshot, SnapshotHead, SnapshotWriter,
    TICK_PARTS,
};
pub use watch::{Watch, Watched};

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

/// The shortest form of a number, as rmp writes it. A snapshot has some 25 of them and each of its cells a few, and rmp takes several
/// times as long for one, since it writes the marker and what follows each for itself.
#[inline]
fn write_uint(writer: &mut SliceWriter<'_>, value: u64) -> WriteResult {
    const U8: u8 = 0xCC;
    const U16: u8 = 0xCD;
    const U32: u8 = 0xCE;
    let [.., third, second, first, last] = value.to_be_bytes();
    match value {
        0..=0x7F => writer.append(&[last]),
        0x80..=0xFF => writer.append(&[U8, last]),
        0x100..=0xFFFF => writer.append(&[U16, first, last]),
        0x1_0000..=0xFFFF_FFFF => writer.append(&[U32, third, second, first, last]),
        _ => rmp::encode::write_uint(writer, value).map(drop).map_err(|_full| BufferTooSmall),
    }
}

#[inline]
fn write_int(writer: &mut SliceWriter<'_>, value: i64) -> WriteResult {
    match u64::try_from(value) {
        Ok(value) => write_uint(writer, value),
        Err(_negative) => rmp::encode::write_sint(writer, value).map(drop).map_err(|_full| BufferTooSmall),
    }
}

fn write_nil(writer: &mut SliceWriter<'_>) -> WriteResult {
    rmp::encode::write_nil(writer).map_err(|_full| BufferTooSmall)
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

    int!(u8, u16, u32, u64, i8, i32, i64);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut SliceWriter<'_>) -> WriteResult) -> Vec<u8> {
        let mut buffer = [0; 16];
        let mut writer = SliceWriter::new(&mut buffer);
        write(&mut writer).expect("there is room");
        let len = writer.position;
        buffer[..len].to_vec()
    }

    fn check(value: i64) {
        let mut expected = Vec::new();
        rmp::encode::write_sint(&mut expected, value).expect("memory");
        assert_eq!(written(|writer| write_int(writer, value)), expected, "{value}");
        let (value, mut expected) = (value.cast_unsigned(), Vec::new());
        rmp::encode::write_uint(&mut expected, value).expect("memory");
        assert_eq!(written(|writer| write_uint(writer, value)), expected, "{value}");
    }

    #[test]
    fn numbers_are_as_short_as_rmp_writes_them_on_either_side_of_each_length() {
        for end in [0_i64, 32, 0x80, 0x100, 0x8000, 0x1_0000, 1 << 31, 1 << 32, i64::MAX] {
            for value in [end.saturating_sub(1), end, end.saturating_add(1)] {
                check(value);
                check(-value);
            }
        }
        check(i64::MIN);
    }

    #[test]
    fn a_number_for_which_there_is_no_room_is_refused() {
        for value in [0x7F, 0xFF, 0xFFFF, 0xFFFF_FFFF, u64::MAX] {
            let len = written(|writer| write_uint(writer, value)).len();
            let mut buffer = vec![0; len - 1];
            assert!(write_uint(&mut SliceWriter::new(&mut buffer), value).is_err(), "{value} in {}", len - 1);
        }
    }

    proptest! {
        #[test]
        fn any_number_is_written_as_rmp_writes_it(value in any::<i64>(), shift in 0_u32..64) {
            check(value >> shift);
        }
    }
}
