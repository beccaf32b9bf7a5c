//! What a player sends: its intents, with what it has heard of the server so far.

use rmp::decode::bytes::Bytes;

use super::fields::{FieldList, MAX_ARGUMENTS};
use super::{
    BufferTooSmall, DecodeError, SliceWriter, open_message, read_array, read_array_of, read_int, write_array,
    write_uint,
};

/// Type of the message.
const INPUTS: u8 = 0;
const FIELDS: usize = 7;

/// Most inputs in one message.
pub const MAX_INPUTS: usize = 32;

/// What goes with the inputs of a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InputsHead {
    /// Number of this message, from 1; begins again after 65 535. The server gives the newest back, by which the
    /// client measures the round trip.
    pub stamp: u16,
    /// Newest snapshot tick that the client has; 0 for none.
    pub ack_tick: u64,
    /// Which of the 64 ticks before `ack_tick` it has: bit 0 is the one just before.
    pub ack_bits: u64,
    /// Microseconds since the snapshot of `ack_tick` arrived.
    pub ack_hold_us: u32,
    /// How many ticks before the tick of an input the world was that its player saw: what it draws others by.
    pub view_lag_ticks: u8,
}

/// One intent of one player at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Counts a session's inputs, from 1.
    pub sequence: u32,
    /// The tick at which the client wants it to happen; a past one is as soon as possible.
    pub tick: u64,
    /// What to do, in the numbers of the game: a code and its arguments, at most [`MAX_ARGUMENTS`] together.
    pub intent: FieldList,
}

/// Writes an inputs message and returns its length. `inputs` must be at most [`MAX_INPUTS`], oldest first.
pub fn encode_inputs<'a>(
    buffer: &mut [u8],
    head: &InputsHead,
    inputs: impl ExactSizeIterator<Item = &'a Input>,
) -> Result<usize, BufferTooSmall> {
    let mut writer = SliceWriter::new(buffer);
    write_array(&mut writer, FIELDS)?;
    write_uint(&mut writer, INPUTS.into())?;
    write_uint(&mut writer, head.stamp.into())?;
    write_uint(&mut writer, head.ack_tick)?;
    write_uint(&mut writer, head.ack_bits)?;
    write_uint(&mut writer, head.ack_hold_us.into())?;
    write_uint(&mut writer, head.view_lag_ticks.into())?;
    write_array(&mut writer, inputs.len())?;
    for input in inputs {
        write_array(&mut writer, 3)?;
        write_uint(&mut writer, input.sequence.into())?;
        write_uint(&mut writer, input.tick)?;
        input.intent.write(&mut writer)?;
    }
    Ok(writer.position)
}

/// An inputs message whose inputs are read one by one, without an allocation.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// What goes with them.
    pub head: InputsHead,
    encoded: Bytes<'a>,
    len: usize,
}

impl<'a> Inputs<'a> {
    /// Reads the front of the message. Inputs are checked as they are read.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut bytes = open_message(message, INPUTS, FIELDS)?;
        let head = InputsHead {
            stamp: read_int(&mut bytes)?,
            ack_tick: read_int(&mut bytes)?,
            ack_bits: read_int(&mut bytes)?,
            ack_hold_us: read_int(&mut bytes)?,
            view_lag_ticks: read_int(&mut bytes)?,
        };
        let len = read_array(&mut bytes, MAX_INPUTS)?;
        Ok(Self { head, encoded: bytes, len })
    }

    /// The inputs, oldest first. The first error ends the iteration.
    pub fn iter(&self) -> InputIter<'a> {
        InputIter { bytes: self.encoded, left: self.len, newest: 0, done: false }
    }
}

impl<'a> IntoIterator for &Inputs<'a> {
    type Item = Result<Input, DecodeError>;
    type IntoIter = InputIter<'a>;

    fn into_iter(self) -> InputIter<'a> {
        self.iter()
    }
}

/// Reads the inputs of a message.
#[derive(Clone, Debug)]
pub struct InputIter<'a> {
    bytes: Bytes<'a>,
    left: usize,
    newest: u32,
    done: bool,
}

impl InputIter<'_> {
    fn read(&mut self) -> Result<Input, DecodeError> {
        read_array_of(&mut self.bytes, 3)?;
        let (sequence, tick) = (read_int(&mut self.bytes)?, read_int(&mut self.bytes)?);
        if sequence <= self.newest {
            return Err(DecodeError::Order);
        }
        self.newest = sequence;
        Ok(Input { sequence, tick, intent: FieldList::read(&mut self.bytes, MAX_ARGUMENTS)? })
    }
}

impl Iterator for InputIter<'_> {
    type Item = Result<Input, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.left == 0 {
            self.done = true;
            let trailing = !self.bytes.remaining_slice().is_empty();
            return trailing.then_some(Err(DecodeError::Trailing));
        }
        self.left -= 1;
        let input = self.read();
        self.done = input.is_err();
        Some(input)
    }
}
