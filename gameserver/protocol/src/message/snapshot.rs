//! What a server sends to a player: itself, what happened, and what has changed around it.

use rmp::decode::bytes::Bytes;

use super::cell::{Cell, read_cell};
use super::fields::{FieldList, MAX_OWN_FIELDS};
use super::{
    BufferTooSmall, DecodeError, SliceWriter, open_message, read_array, read_int, write_array, write_int,
    write_uint,
};
use crate::RejectReason;

/// Type of the message.
const SNAPSHOT: u8 = 1;
const FIELDS: usize = 10;

/// Parts of a tick in which a client is told to hurry.
pub const TICK_PARTS: u8 = 16;
/// Most elements of the list of cells, which bounds what a reader has to hold.
pub const MAX_CELL_ELEMENTS: usize = 1200;
/// Most rejected inputs in one snapshot.
pub const MAX_REJECTED: usize = 32;
/// Most notices in one snapshot.
pub const MAX_NOTICES: usize = 16;

/// An input that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which input.
    pub sequence: u32,
    /// Why.
    pub reason: RejectReason,
}

/// Something that happened, of which the player is told once: the server repeats it until it has heard that it
/// arrived, and the client lets go of what it knows by its number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notice {
    /// Counts a session's notices, from 1.
    pub number: u32,
    /// What happened, in the codes of the game.
    pub code: u8,
    /// Figures that go with it.
    pub figures: [i64; 3],
}

/// The fields of a snapshot that are the player's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHead {
    /// Tick whose outcome this is.
    pub tick: u64,
    /// Microseconds from the moment at which the tick was due to the sending of this.
    pub age_us: u32,
    /// [`super::InputsHead::stamp`] of the newest message that the server has of the client; 0 for none.
    pub echo_stamp: u16,
    /// Microseconds since that message arrived.
    pub echo_hold_us: u32,
    /// Newest input whose outcome is decided; 0 for none.
    pub last_input_sequence: u32,
    /// By how much earlier the client should aim its inputs, or later if negative: in parts of a tick, see [`TICK_PARTS`].
    pub hurry: i8,
}

/// Writes a snapshot piece by piece, so that whoever writes it can see how much room is left.
pub struct SnapshotWriter<'a> {
    writer: SliceWriter<'a>,
    /// Where the number of elements of the cells stands.
    count_at: usize,
    elements: usize,
}

impl<'a> SnapshotWriter<'a> {
    /// Writes everything but the cells.
    pub fn new(
        buffer: &'a mut [u8],
        head: &SnapshotHead,
        own: &FieldList,
        rejected: impl ExactSizeIterator<Item = Rejected>,
        notices: impl ExactSizeIterator<Item = Notice>,
    ) -> Result<Self, BufferTooSmall> {
        let mut writer = SliceWriter::new(buffer);
        write_array(&mut writer, FIELDS)?;
        write_uint(&mut writer, SNAPSHOT.into())?;
        write_uint(&mut writer, head.tick)?;
        write_uint(&mut writer, head.age_us.into())?;
        write_uint(&mut writer, head.echo_stamp.into())?;
        write_uint(&mut writer, head.echo_hold_us.into())?;
        write_uint(&mut writer, head.last_input_sequence.into())?;
        write_int(&mut writer, head.hurry.into())?;
        own.write(&mut writer)?;
        write_array(&mut writer, rejected.len() + notices.len())?;
        for rejected in rejected {
            write_array(&mut writer, 2)?;
            write_uint(&mut writer, rejected.sequence.into())?;
            write_uint(&mut writer, rejected.reason.code().into())?;
        }
        for notice in notices {
            write_array(&mut writer, 5)?;
            write_uint(&mut writer, notice.number.into())?;
            write_uint(&mut writer, notice.code.into())?;
            for figure in notice.figures {
                write_int(&mut writer, figure)?;
            }
        }
        // the number of elements is known at the end: an array header of fixed size keeps its place
        writer.append(&[ARRAY_16, 0, 0])?;
        let count_at = writer.position - 2;
        Ok(Self { writer, count_at, elements: 0 })
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.writer.position
    }

    /// False: there is always a head.
    pub fn is_empty(&self) -> bool {
        false
    }

    /// Adds what [`super::encode_cell`] has made: the first `len` of `bytes`, which are `elements` elements. (What is
    /// behind them in `bytes` may be anything; a copy of fixed length is several times faster.)
    #[inline]
    pub fn push(&mut self, bytes: &[u8], len: usize, elements: usize) -> Result<(), BufferTooSmall> {
        if self.elements + elements > MAX_CELL_ELEMENTS {
            return Err(BufferTooSmall);
        }
        let end = self.writer.position;
        let (from, to) =
            (bytes.first_chunk::<COPIED>(), self.writer.buffer[end..].first_chunk_mut::<COPIED>());
        match (from, to) {
            (Some(from), Some(to)) if len <= COPIED => {
                *to = *from;
                self.writer.position += len;
            }
            _ => self.writer.append(bytes.get(..len).ok_or(BufferTooSmall)?)?,
        }
        self.elements += elements;
        Ok(())
    }

    /// Completes a snapshot that tells nothing of others, and returns its length.
    pub fn finish_without_cells(self) -> usize {
        debug_assert!(self.elements == 0, "cells were added");
        self.writer.buffer[self.count_at - 1] = NIL;
        self.count_at
    }

    /// Completes the snapshot and returns its length.
    pub fn finish(self) -> usize {
        let count = u16::try_from(self.elements).unwrap_or(u16::MAX).to_be_bytes();
        self.writer.buffer[self.count_at..self.count_at + 2].copy_from_slice(&count);
        self.writer.position
    }
}

const ARRAY_16: u8 = 0xDC;
const NIL: u8 = 0xC0;
/// Bytes that are copied at once: most cells are shorter.
const COPIED: usize = 16;

/// What a client learns from one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The player's own part.
    pub head: SnapshotHead,
    /// What the player is told about itself, in the figures of the game.
    pub own: FieldList,
    /// Inputs that were refused and whose refusal the client has not acknowledged.
    pub rejected: Vec<Rejected>,
    /// What happened and the client has not acknowledged.
    pub notices: Vec<Notice>,
    /// What has changed around it.
    pub cells: Vec<Cell>,
    /// Whether this snapshot tells of others at all. If so, whom `cells` does not name has not changed, or not by enough.
    pub tells_of_others: bool,
}

impl Snapshot {
    /// Reads a snapshot into `self`, whose lists are reused. On an error `self` holds nothing of use.
    pub fn decode_into(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let mut bytes = self.decode_own_part(message)?;
        let rest = bytes.remaining_slice();
        if rest.first() == Some(&NIL) {
            return if rest.len() == 1 { Ok(()) } else { Err(DecodeError::Trailing) };
        }
        self.tells_of_others = true;
        let mut left = read_array(&mut bytes, MAX_CELL_ELEMENTS)?;
        while left > 0 {
            let (cell, elements) = read_cell(&mut bytes)?;
            left = left.checked_sub(elements).ok_or(DecodeError::ArrayLength)?;
            self.cells.push(cell);
        }
        if bytes.remaining_slice().is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }

    /// Reads all but the cells, which are neither looked at nor checked: for whoever makes load and has no eyes.
    pub fn decode_blindly_into(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        self.decode_own_part(message).map(drop)
    }

    /// Reads what comes before the cells, and returns the rest.
    fn decode_own_part<'a>(&mut self, message: &'a [u8]) -> Result<Bytes<'a>, DecodeError> {
        let mut bytes = open_message(message, SNAPSHOT, FIELDS)?;
        self.rejected.clear();
        self.notices.clear();
        self.cells.clear();
        self.tells_of_others = false;
        self.head = SnapshotHead {
            tick: read_int(&mut bytes)?,
            age_us: read_int(&mut bytes)?,
            echo_stamp: read_int(&mut bytes)?,
            echo_hold_us: read_int(&mut bytes)?,
            last_input_sequence: read_int(&mut bytes)?,
            hurry: read_int(&mut bytes)?,
        };
        self.own = FieldList::read(&mut bytes, MAX_OWN_FIELDS)?;
        for _ in 0..read_array(&mut bytes, MAX_REJECTED + MAX_NOTICES)? {
            self.decode_news(&mut bytes)?;
        }
        Ok(bytes)
    }

    fn decode_news(&mut self, bytes: &mut Bytes<'_>) -> Result<(), DecodeError> {
        match read_array(bytes, 5)? {
            2 => {
                let sequence = read_int(bytes)?;
                let reason = RejectReason::from_code(read_int(bytes)?).ok_or(DecodeError::Value)?;
                self.rejected.push(Rejected { sequence, reason });
                Ok(())
            }
            5 => {
                let (number, code) = (read_int(bytes)?, read_int(bytes)?);
                let figures = [read_int(bytes)?, read_int(bytes)?, read_int(bytes)?];
                self.notices.push(Notice { number, code, figures });
                Ok(())
            }
            _ => Err(DecodeError::ArrayLength),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Change, encode_cell};

    #[test]
    fn what_does_not_fit_leaves_a_snapshot_as_it_was() {
        let (mut buffer, mut bytes) = ([0; 64], [0; 48]);
        let cell = Cell { index: 70_000, change: Change::Gone };
        let (len, elements) = encode_cell(&mut bytes, &cell).expect("there is room");
        let head = SnapshotHead::default();
        for room in 14..48 {
            let (none, nothing) = ([].into_iter(), [].into_iter());
            let mut writer =
                SnapshotWriter::new(&mut buffer[..room], &head, &FieldList::default(), none, nothing)
                    .expect("there is room for a head");
            let fits = (room - writer.len()) / len;
            let pushed = (0..9).take_while(|_| writer.push(&bytes, len, elements).is_ok()).count();
            assert_eq!(pushed, fits.min(9), "{room} bytes");
            let written = writer.finish();
            let mut snapshot = Snapshot::default();
            assert_eq!(snapshot.decode_into(&buffer[..written]), Ok(()));
            assert_eq!(snapshot.cells, vec![cell; pushed]);
        }
    }
}
