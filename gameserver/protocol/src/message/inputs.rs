//! What a player sends: its intents, with the newest snapshot that it has.

use rmp::decode::bytes::Bytes;

use super::{
    BufferTooSmall, DecodeError, SliceWriter, open_message, read_array, read_array_of, read_int, write_array,
    write_int, write_uint,
};

/// Type of the message.
const INPUTS: u8 = 0;
const FIELDS: usize = 3;
const INTENT_MOVE: u8 = 0;

/// Most inputs in one message.
pub const MAX_INPUTS: usize = 32;

/// What a player wants to do. The server decides whether it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Intent {
    /// Walk to a place, in thousandths of a unit.
    Move {
        /// East.
        x: i32,
        /// North.
        y: i32,
    },
}

/// One intent of one player at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Counts a session's inputs, from 1.
    pub sequence: u32,
    /// The tick at which the client wants it to happen; a past one is as soon as possible.
    pub tick: u64,
    /// What to do.
    pub intent: Intent,
}

/// Writes an inputs message and returns its length. `inputs` must be at most [`MAX_INPUTS`], oldest first.
pub fn encode_inputs<'a>(
    buffer: &mut [u8],
    ack_tick: u64,
    inputs: impl ExactSizeIterator<Item = &'a Input>,
) -> Result<usize, BufferTooSmall> {
    let mut writer = SliceWriter::new(buffer);
    write_array(&mut writer, FIELDS)?;
    write_uint(&mut writer, INPUTS.into())?;
    write_uint(&mut writer, ack_tick)?;
    write_array(&mut writer, inputs.len())?;
    for input in inputs {
        write_array(&mut writer, 3)?;
        write_uint(&mut writer, input.sequence.into())?;
        write_uint(&mut writer, input.tick)?;
        match input.intent {
            Intent::Move { x, y } => {
                write_array(&mut writer, 3)?;
                write_uint(&mut writer, INTENT_MOVE.into())?;
                write_int(&mut writer, x)?;
                write_int(&mut writer, y)?;
            }
        }
    }
    Ok(writer.position)
}

/// An inputs message whose inputs are read one by one, without an allocation.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// Newest snapshot tick that the client has; 0 for none.
    pub ack_tick: u64,
    encoded: Bytes<'a>,
    len: usize,
}

impl<'a> Inputs<'a> {
    /// Reads the front of the message. Inputs are checked as they are read.
    pub fn decode(message: &'a [u8]) -> Result<Self, DecodeError> {
        let mut bytes = open_message(message, INPUTS, FIELDS)?;
        let ack_tick = read_int(&mut bytes)?;
        let len = read_array(&mut bytes, MAX_INPUTS)?;
        Ok(Self { ack_tick, encoded: bytes, len })
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
        let fields = read_array(&mut self.bytes, 8)?;
        let intent = match read_int::<u8>(&mut self.bytes)? {
            INTENT_MOVE if fields == 3 => {
                Intent::Move { x: read_int(&mut self.bytes)?, y: read_int(&mut self.bytes)? }
            }
            INTENT_MOVE => return Err(DecodeError::ArrayLength),
            _ => return Err(DecodeError::Intent),
        };
        Ok(Input { sequence, tick, intent })
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
