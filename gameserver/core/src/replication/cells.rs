//! News of entities in bytes, each made once a tick for all who know the same.

use gameserver_protocol::message::{CELL_BYTES_MAX, Cell, Change, Delta, MAX_BACK, encode_cell};

use super::history::{History, low};

/// Room for bytes, an entity: what is made for players with a few different round trips. When it is used up,
/// what is made is not kept.
const BYTES_AN_ENTITY: usize = 256;
const BACKS: usize = MAX_BACK as usize + 1;

/// What there is to say about one entity to one who knows it as of a tick.
#[derive(Clone, Copy, Debug, Default)]
struct Made {
    /// Tick at which it was made, its low half; another one's is of no use.
    tick: u32,
    start: u32,
    len: u8,
    elements: u8,
}

/// By entity and by how many ticks ago the state was that a player has.
#[derive(Debug)]
pub(crate) struct Cells {
    entities: usize,
    made: Vec<Made>,
    bytes: Vec<u8>,
    used: usize,
    /// What was made and could not be kept.
    pub(crate) unkept: u64,
}

impl Cells {
    pub(crate) fn new(capacity: usize) -> Self {
        let bytes = vec![0; capacity * BYTES_AN_ENTITY + CELL_BYTES_MAX];
        Self { entities: capacity, made: vec![Made::default(); capacity * BACKS], bytes, used: 0, unkept: 0 }
    }

    /// A new tick: nothing is made yet.
    pub(crate) fn restart(&mut self) {
        self.used = 0;
    }

    /// What has changed since `back` ticks before the newest; all of the entity when `back` is 0.
    #[inline]
    pub(crate) fn change(&mut self, history: &History, index: u32, back: u64) -> CellBytes<'_> {
        let tick = low(history.tick());
        // those of the same age side by side: the players' round trips are few, the entities many
        let place = usize::try_from(back).unwrap_or(0) * self.entities + index as usize;
        let known = self.made[place];
        let made = if known.tick == tick { known } else { self.make(history, index, back, place) };
        CellBytes {
            bytes: &self.bytes[made.start as usize..],
            len: made.len.into(),
            elements: made.elements.into(),
        }
    }

    fn make(&mut self, history: &History, index: u32, back: u64, place: usize) -> Made {
        let newest = history.newest(index);
        let change = match u8::try_from(back) {
            Ok(back @ 1..) => {
                Change::Since { back, delta: Delta::between(history.before(back.into(), index), newest) }
            }
            _ => Change::Full(*newest),
        };
        let room = self.bytes.len() - CELL_BYTES_MAX;
        let start = self.used.min(room);
        let cell = Cell { index, change };
        let (len, elements) = encode_cell(&mut self.bytes[start..], &cell).unwrap_or((0, 0));
        let made = Made {
            tick: low(history.tick()),
            start: u32::try_from(start).unwrap_or(0),
            len: u8::try_from(len).unwrap_or(0),
            elements: u8::try_from(elements).unwrap_or(0),
        };
        if start < room {
            self.used = start + len;
            self.made[place] = made;
        } else {
            self.unkept += 1;
        }
        made
    }
}

/// A cell as it stands in snapshots: the first `len` of `bytes`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CellBytes<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) len: usize,
    pub(crate) elements: usize,
}

#[cfg(test)]
mod tests {
    use super::*;
    use gameserver_protocol::message::Entity;

    fn history() -> History {
        let mut history = History::new(300);
        for tick in 1..=3_i32 {
            let entities =
                (0..300).map(|index| (index, Entity { id: index + 1, x: 100 * tick, ..Entity::default() }));
            history.record(tick.unsigned_abs().into(), entities);
        }
        history
    }

    #[test]
    fn what_is_kept_is_what_would_be_made_anew() {
        let (history, mut cells) = (history(), Cells::new(300));
        cells.restart();
        let mut expected = [0; CELL_BYTES_MAX];
        let change = Change::Since { back: 2, delta: Delta { dx: 200, ..Delta::default() } };
        let (len, elements) = encode_cell(&mut expected, &Cell { index: 5, change }).expect("there is room");
        for _ in 0..2 {
            let cell = cells.change(&history, 5, 2);
            assert_eq!((&cell.bytes[..cell.len], cell.elements), (&expected[..len], elements));
        }
        assert_eq!(cells.used, len, "made once");
    }

    #[test]
    fn when_the_room_is_used_up_everything_is_still_said() {
        let history = history();
        let mut cells = Cells { bytes: vec![0; 2 * CELL_BYTES_MAX], ..Cells::new(300) };
        cells.restart();
        for index in 0..300 {
            let cell = cells.change(&history, index, 0);
            assert!(cell.len > 9 && cell.elements == 10, "entity {index}");
        }
        assert!(cells.unkept > 200);
    }
}
