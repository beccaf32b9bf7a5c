//! What a server sends to a player: itself, who is near, and what was refused.

use super::{
    BufferTooSmall, DecodeError, SliceWriter, open_message, read_array, read_array_of, read_int, write_array,
    write_int, write_uint,
};
use crate::RejectReason;

/// Type of the message.
const SNAPSHOT: u8 = 1;
const FIELDS: usize = 9;

/// Most entities in one snapshot, the player's own apart.
pub const MAX_ENTITIES: usize = 32;
/// Most rejected inputs in one snapshot.
pub const MAX_REJECTED: usize = 32;
/// Most bytes of one encoded entity.
pub const ENTITY_BYTES_MAX: usize = 16;

/// Something in the world that a player can see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entity {
    /// Never reused while a server runs.
    pub id: u32,
    /// East, thousandths of a unit.
    pub x: i32,
    /// North, thousandths of a unit.
    pub y: i32,
}

/// An input that was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which input.
    pub sequence: u32,
    /// Why.
    pub reason: RejectReason,
}

/// The fields of a snapshot that are the player's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHead {
    /// Tick whose outcome this is.
    pub tick: u64,
    /// When it was sent, microseconds since the server's start.
    pub server_time_us: u64,
    /// Newest input whose outcome is decided; 0 for none.
    pub last_input_sequence: u32,
    /// The player's own entity.
    pub entity_id: u32,
    /// The player's own position, thousandths of a unit.
    pub x: i32,
    /// See `x`.
    pub y: i32,
}

/// Writes one entity as it stands in snapshots and returns its length, at most [`ENTITY_BYTES_MAX`].
pub fn encode_entity(buffer: &mut [u8], entity: &Entity) -> Result<usize, BufferTooSmall> {
    let mut writer = SliceWriter::new(buffer);
    write_array(&mut writer, 3)?;
    write_uint(&mut writer, entity.id.into())?;
    write_int(&mut writer, entity.x)?;
    write_int(&mut writer, entity.y)?;
    Ok(writer.position)
}

/// Writes a snapshot and returns its length. `entity_runs` are the bytes of `entity_count` entities that
/// [`encode_entity`] wrote, so that an entity is encoded once however many players see it.
pub fn encode_snapshot<'a>(
    buffer: &mut [u8],
    head: &SnapshotHead,
    rejected: impl ExactSizeIterator<Item = Rejected>,
    entity_count: usize,
    entity_runs: impl IntoIterator<Item = &'a [u8]>,
) -> Result<usize, BufferTooSmall> {
    let mut writer = SliceWriter::new(buffer);
    write_array(&mut writer, FIELDS)?;
    write_uint(&mut writer, SNAPSHOT.into())?;
    write_uint(&mut writer, head.tick)?;
    write_uint(&mut writer, head.server_time_us)?;
    write_uint(&mut writer, head.last_input_sequence.into())?;
    write_uint(&mut writer, head.entity_id.into())?;
    write_int(&mut writer, head.x)?;
    write_int(&mut writer, head.y)?;
    write_array(&mut writer, rejected.len())?;
    for rejected in rejected {
        write_array(&mut writer, 2)?;
        write_uint(&mut writer, rejected.sequence.into())?;
        write_uint(&mut writer, rejected.reason.code().into())?;
    }
    write_array(&mut writer, entity_count)?;
    for run in entity_runs {
        writer.append(run)?;
    }
    Ok(writer.position)
}

/// What a client learns from one snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The player's own part.
    pub head: SnapshotHead,
    /// Inputs that were refused and whose refusal the client has not acknowledged.
    pub rejected: Vec<Rejected>,
    /// What is near.
    pub entities: Vec<Entity>,
}

impl Snapshot {
    /// Reads a snapshot into `self`, whose lists are reused. On an error `self` holds nothing of use.
    pub fn decode_into(&mut self, message: &[u8]) -> Result<(), DecodeError> {
        let mut bytes = open_message(message, SNAPSHOT, FIELDS)?;
        self.rejected.clear();
        self.entities.clear();
        self.head = SnapshotHead {
            tick: read_int(&mut bytes)?,
            server_time_us: read_int(&mut bytes)?,
            last_input_sequence: read_int(&mut bytes)?,
            entity_id: read_int(&mut bytes)?,
            x: read_int(&mut bytes)?,
            y: read_int(&mut bytes)?,
        };
        for _ in 0..read_array(&mut bytes, MAX_REJECTED)? {
            read_array_of(&mut bytes, 2)?;
            let sequence = read_int(&mut bytes)?;
            let reason = RejectReason::from_code(read_int(&mut bytes)?).ok_or(DecodeError::Value)?;
            self.rejected.push(Rejected { sequence, reason });
        }
        for _ in 0..read_array(&mut bytes, MAX_ENTITIES)? {
            read_array_of(&mut bytes, 3)?;
            let (id, x, y) = (read_int(&mut bytes)?, read_int(&mut bytes)?, read_int(&mut bytes)?);
            self.entities.push(Entity { id, x, y });
        }
        if bytes.remaining_slice().is_empty() { Ok(()) } else { Err(DecodeError::Trailing) }
    }
}
