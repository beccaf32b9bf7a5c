//! What a game says in whole numbers: intents, and what a player knows of itself.

use rmp::decode::bytes::Bytes;

use super::{DecodeError, SliceWriter, WriteResult, read_array, read_int, write_array, write_int};

/// Most numbers of one intent, its code included.
pub const MAX_ARGUMENTS: usize = 8;
/// Most numbers by which a player is told about itself.
pub const MAX_OWN_FIELDS: usize = 16;

/// Something of a game that stands in messages as an array of whole numbers.
pub trait Fields: Sized {
    /// The numbers, at most [`MAX_ARGUMENTS`] for an intent and [`MAX_OWN_FIELDS`] for a player's own state.
    fn to_fields(&self) -> FieldList;

    /// What the numbers say; `None` when they say nothing that this game knows.
    fn from_fields(fields: &[i64]) -> Option<Self>;
}

/// A few whole numbers, kept in place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldList {
    values: [i64; MAX_OWN_FIELDS],
    len: usize,
}

impl Default for FieldList {
    fn default() -> Self {
        Self { values: [0; MAX_OWN_FIELDS], len: 0 }
    }
}

impl std::fmt::Debug for FieldList {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.as_slice().fmt(formatter)
    }
}

impl FieldList {
    /// These numbers.
    ///
    /// # Panics
    /// When there are more than [`MAX_OWN_FIELDS`]: how many there are is the game's own constant.
    pub fn new(fields: &[i64]) -> Self {
        let mut values = [0; MAX_OWN_FIELDS];
        values[..fields.len()].copy_from_slice(fields);
        Self { values, len: fields.len() }
    }

    /// The numbers, in order.
    pub fn as_slice(&self) -> &[i64] {
        &self.values[..self.len]
    }

    pub(super) fn write(&self, writer: &mut SliceWriter<'_>) -> WriteResult {
        write_array(writer, self.len)?;
        self.as_slice().iter().try_for_each(|&value| write_int(writer, value))
    }

    /// Reads an array of at most `max` numbers.
    pub(super) fn read(bytes: &mut Bytes<'_>, max: usize) -> Result<Self, DecodeError> {
        let mut list = Self { values: [0; MAX_OWN_FIELDS], len: read_array(bytes, max)? };
        for value in &mut list.values[..list.len] {
            *value = read_int(bytes)?;
        }
        Ok(list)
    }
}

impl Fields for FieldList {
    fn to_fields(&self) -> FieldList {
        *self
    }

    fn from_fields(fields: &[i64]) -> Option<Self> {
        (fields.len() <= MAX_OWN_FIELDS).then(|| Self::new(fields))
    }
}
