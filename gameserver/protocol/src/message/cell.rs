//! What a player is told about one entity: all of it, what has changed, or that it is gone.

use rmp::decode::bytes::Bytes;

use super::{BufferTooSmall, DecodeError, SliceWriter, read_int, write_int, write_nil, write_uint};

/// Figures of an entity besides its place; what they mean is up to the game.
pub const ENTITY_FIELDS: usize = 4;
/// Most bytes of an encoded cell.
pub const CELL_BYTES_MAX: usize = 48;
/// How many ticks ago the state may be from which a change is told.
pub const MAX_BACK: u8 = 63;

/// Something in the world that a player can see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entity {
    /// Never reused while a server runs; 0 is nobody's.
    pub id: u32,
    /// What it is, in the codes of the game.
    pub kind: u8,
    /// East, hundredths of a unit.
    pub x: i32,
    /// North, hundredths of a unit.
    pub y: i32,
    /// What else there is to see, in the figures of the game.
    pub fields: [i32; ENTITY_FIELDS],
}

/// News of the entity with this index. An index is used again for another entity when the first is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// Whose news.
    pub index: u32,
    /// What news.
    pub change: Change,
}

/// News of an entity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is not to be seen any more.
    Gone,
    /// All that is to be known, whatever the client knew.
    Full(Entity),
    /// What is different from the state of `back` ticks before the snapshot's, which the client has acknowledged.
    Since {
        /// Ticks back, 1 to [`MAX_BACK`].
        back: u8,
        /// What is different.
        delta: Delta,
    },
}

/// The difference of two states of one entity.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// How far it went east, hundredths of a unit.
    pub dx: i32,
    /// How far it went north.
    pub dy: i32,
    /// New values of the figures that have changed.
    pub fields: [Option<i32>; ENTITY_FIELDS],
}

impl Delta {
    /// From `before` to `after`, which must be the same entity.
    pub fn between(before: &Entity, after: &Entity) -> Self {
        let fields = std::array::from_fn(|field| {
            (before.fields[field] != after.fields[field]).then_some(after.fields[field])
        });
        Self { dx: after.x.wrapping_sub(before.x), dy: after.y.wrapping_sub(before.y), fields }
    }

    /// `before` after this difference.
    pub fn apply(&self, before: &Entity) -> Entity {
        Entity {
            x: before.x.wrapping_add(self.dx),
            y: before.y.wrapping_add(self.dy),
            fields: std::array::from_fn(|field| self.fields[field].unwrap_or(before.fields[field])),
            ..*before
        }
    }

    fn mask(&self) -> u8 {
        let parts = [self.dx != 0, self.dy != 0].into_iter().chain(self.fields.iter().map(Option::is_some));
        parts.zip(0..).fold(0, |mask, (changed, bit)| mask | u8::from(changed) << bit)
    }
}

/// Writes a cell and returns its length, at most [`CELL_BYTES_MAX`], and of how many elements it is.
pub fn encode_cell(buffer: &mut [u8], cell: &Cell) -> Result<(usize, usize), BufferTooSmall> {
    let mut writer = SliceWriter::new(buffer);
    write_uint(&mut writer, cell.index.into())?;
    let elements = match &cell.change {
        Change::Gone => {
            write_nil(&mut writer)?;
            2
        }
        Change::Full(entity) => {
            write_uint(&mut writer, 0)?;
            write_uint(&mut writer, entity.id.into())?;
            write_uint(&mut writer, entity.kind.into())?;
            write_int(&mut writer, entity.x.into())?;
            write_int(&mut writer, entity.y.into())?;
            for &field in &entity.fields {
                write_int(&mut writer, field.into())?;
            }
            6 + ENTITY_FIELDS
        }
        Change::Since { back, delta } => {
            let mask = delta.mask();
            write_uint(&mut writer, (*back).into())?;
            write_uint(&mut writer, mask.into())?;
            for way in [delta.dx, delta.dy] {
                if way != 0 {
                    write_uint(&mut writer, zigzag(way).into())?;
                }
            }
            for &field in delta.fields.iter().flatten() {
                write_int(&mut writer, field.into())?;
            }
            3 + mask.count_ones() as usize
        }
    };
    Ok((writer.position, elements))
}

/// Reads a cell and returns it with the number of elements that it took.
pub(super) fn read_cell(bytes: &mut Bytes<'_>) -> Result<(Cell, usize), DecodeError> {
    let index = read_int(bytes)?;
    let first = bytes.remaining_slice().first().ok_or(DecodeError::Truncated)?;
    if *first == NIL {
        rmp::decode::read_nil(bytes).map_err(|_checked| DecodeError::Value)?;
        return Ok((Cell { index, change: Change::Gone }, 2));
    }
    match read_int::<u8>(bytes)? {
        0 => {
            let mut entity = Entity {
                id: read_int(bytes)?,
                kind: read_int(bytes)?,
                x: read_int(bytes)?,
                y: read_int(bytes)?,
                ..Entity::default()
            };
            for field in &mut entity.fields {
                *field = read_int(bytes)?;
            }
            Ok((Cell { index, change: Change::Full(entity) }, 6 + ENTITY_FIELDS))
        }
        back @ 1..=MAX_BACK => {
            let mask: u8 = read_int(bytes)?;
            if u32::from(mask) >> (2 + ENTITY_FIELDS) != 0 {
                return Err(DecodeError::Value);
            }
            let part = |bit: usize| mask & 1 << bit != 0;
            let mut delta = Delta::default();
            if part(0) {
                delta.dx = unzigzag(read_int(bytes)?);
            }
            if part(1) {
                delta.dy = unzigzag(read_int(bytes)?);
            }
            for (field, bit) in delta.fields.iter_mut().zip(2..) {
                if part(bit) {
                    *field = Some(read_int(bytes)?);
                }
            }
            Ok((Cell { index, change: Change::Since { back, delta } }, 3 + mask.count_ones() as usize))
        }
        _ => Err(DecodeError::Value),
    }
}

const NIL: u8 = 0xC0;

/// Small numbers of either sign as small ones without: 0, -1, 1, -2, 2 … as 0, 1, 2, 3, 4 …, so that they take one
/// byte up to 63 either way.
fn zigzag(value: i32) -> u32 {
    (value << 1 ^ value >> 31).cast_unsigned()
}

fn unzigzag(value: u32) -> i32 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_ways_are_small_numbers_and_all_come_back() {
        for (value, expected) in [(0, 0), (-1, 1), (1, 2), (-64, 127), (63, 126), (i32::MIN, u32::MAX)] {
            assert_eq!(zigzag(value), expected);
            assert_eq!(unzigzag(expected), value);
        }
    }

    #[test]
    fn a_difference_leads_from_the_one_state_to_the_other() {
        let before = Entity { id: 1, kind: 2, x: 5, y: i32::MIN, fields: [1, 2, 3, 4] };
        let after = Entity { x: -5, y: i32::MAX, fields: [1, -2, 3, 0], ..before };
        let delta = Delta::between(&before, &after);
        assert_eq!(delta.fields, [None, Some(-2), None, Some(0)]);
        assert_eq!(delta.apply(&before), after);
        assert_eq!(Delta::between(&after, &after), Delta::default());
    }
}
