//! What one player is told about others, and what it is known to know.

use gameserver_protocol::message::{Cell, Change, MAX_BACK, SnapshotWriter, encode_cell};

use super::Told;
use super::cells::{CellBytes, Cells};
use super::grid::Grid;
use super::history::{History, low};
use super::tracked::{DUE, Entry, Heard, List, News, Tracked};

/// Entities that one viewer is told about at a time; in a crowd the nearest.
pub(super) const SEEN_MAX: usize = 128;
/// Snapshots in which a newcomer is told the world around it, beyond the budget: the baseline on joining.
const FRESH: u32 = 16;
/// How far one sees, in rings of cells of 50 units: as far as the longest skill reaches.
const RINGS: u32 = 6;
/// While it is on its way for less than this, the same is not told again: ticks, before a round trip is known.
const RESEND_TICKS: u32 = 8;

/// What a viewer knows of everything around it.
#[derive(Debug)]
pub(crate) struct Viewer {
    list: List,
    /// Tick of the newest snapshot; 0 before the first.
    sent_tick: u64,
    /// The turn that it had last.
    turn: u64,
    /// Snapshots so far, up to [`FRESH`].
    written: u32,
}

/// Where a viewer stands, and which entity it is itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Viewpoint {
    pub(crate) x: i32,
    pub(crate) y: i32,
    /// Index of its own entity, of which it is told elsewhere.
    pub(crate) own: Option<u32>,
}

/// What is common to the viewers of a zone, so that looking around allocates nothing.
#[derive(Debug)]
pub(super) struct Scratch {
    /// By index: in which pass it was last seen, and in which ring.
    seen: Vec<u32>,
    pass: u32,
    /// By ring: how urgent news gets each tick.
    weights: [u16; RINGS as usize + 1],
    candidates: Vec<u32>,
    news: Box<News>,
}

const RING_BITS: u32 = 4;

impl Scratch {
    pub(super) fn new(capacity: usize, tick_hz: u32) -> Self {
        let mut weights = [DUE; RINGS as usize + 1];
        for (weight, ring) in weights.iter_mut().zip(0..) {
            *weight = weight_of(ring, tick_hz);
        }
        Self {
            seen: vec![0; capacity],
            pass: 0,
            weights,
            candidates: Vec::with_capacity(SEEN_MAX),
            news: Box::new(News::new()),
        }
    }

    fn begin_pass(&mut self) {
        self.pass += 1;
        if self.pass >> (u32::BITS - RING_BITS) != 0 {
            self.seen.fill(0);
            self.pass = 1;
        }
        self.candidates.clear();
    }

    fn ring(&self, index: u32) -> Option<u32> {
        let seen = self.seen[index as usize];
        (seen >> RING_BITS == self.pass).then_some(seen & ((1 << RING_BITS) - 1))
    }
}

/// How often news of a ring is told: each turn within 100 units, then ten, five and three times a second or, since turns are whole,
/// a little less, but twice at least; and never so seldom that what was told last is beyond what acknowledgements name.
fn weight_of(ring: u32, tick_hz: u32) -> u16 {
    let a_second = match ring {
        0 | 1 => return DUE,
        2 | 3 => 10,
        4 | 5 => 5,
        _ => 3,
    };
    let weight = (u32::from(DUE) * a_second).div_ceil(tick_hz.max(1));
    u16::try_from(weight).unwrap_or(DUE).clamp(DUE / 48, DUE)
}

impl Viewer {
    pub(super) fn new() -> Self {
        Self { list: List::new(), sent_tick: 0, turn: 0, written: 0 }
    }

    /// Nobody looks any more.
    pub(crate) fn clear(&mut self) {
        self.list.clear();
        self.sent_tick = 0;
        self.turn = 0;
        self.written = 0;
    }

    /// Whether it still has to be told the world around it for the first time.
    pub(in crate::replication) fn is_fresh(&self) -> bool {
        self.written < FRESH
    }

    /// Whether it is told of others at this turn: once each, and in all of the first snapshots.
    pub(crate) fn is_due(&self, turn: u64) -> bool {
        turn > self.turn || self.is_fresh()
    }

    /// Finds out who is around.
    pub(super) fn look_around(
        &mut self,
        from: Viewpoint,
        history: &History,
        grid: &Grid,
        scratch: &mut Scratch,
    ) {
        scratch.begin_pass();
        let Scratch { seen, pass, candidates, .. } = scratch;
        let own = from.own.unwrap_or(u32::MAX);
        grid.around(from.x, from.y, own, RINGS, |index, ring| {
            if index != own {
                seen[index as usize] = *pass << RING_BITS | ring;
                candidates.push(index);
            }
            candidates.len() < SEEN_MAX
        });
        for mut entry in self.list.iter_mut() {
            let index = entry.tracked.index;
            match scratch.ring(index) {
                Some(ring) => {
                    entry.is_seen(history.mark(index).id, scratch.weights[ring as usize]);
                    scratch.seen[index as usize] = 0;
                }
                None => entry.vanish(),
            }
        }
        for at in 0..scratch.candidates.len() {
            let index = scratch.candidates[at];
            if let Some(ring) = scratch.ring(index)
                && !self.list.is_full()
            {
                let tracked = Tracked::new(index, history.mark(index).id);
                self.list.push(tracked, scratch.weights[ring as usize]);
            }
        }
    }

    /// Whether it has not looked around yet.
    pub(super) fn is_new(&self) -> bool {
        self.sent_tick == 0
    }

    /// Adds to a snapshot what the viewer does not know, the most urgent first, up to `budget` bytes.
    pub(super) fn write(
        &mut self,
        told: Told,
        budget: usize,
        history: &History,
        cells: &mut Cells,
        scratch: &mut Scratch,
        writer: &mut SnapshotWriter<'_>,
    ) {
        let tick = history.tick();
        let passed = u32::try_from(tick - self.sent_tick).unwrap_or(u32::MAX);
        self.sent_tick = tick;
        self.turn = told.turn;
        self.written = (self.written + 1).min(FRESH);
        let resend = match told.round_trip_ticks {
            0 => RESEND_TICKS,
            ticks => (ticks + 2).min(MAX_BACK.into()),
        };
        let heard = Heard { tick: low(tick), arrived: told.arrived, resend };
        self.list.find_news(passed, heard, history, &mut scratch.news);
        for &place in scratch.news.in_order(tick) {
            let mut entry = self.list.entry(place);
            let Entry { tracked, .. } = &entry;
            let back = u64::from(low(tick).wrapping_sub(tracked.known));
            let mut gone = [0; GONE_BYTES];
            let cell = if tracked.is_gone() {
                let cell = Cell { index: tracked.index, change: Change::Gone };
                let (len, elements) = encode_cell(&mut gone, &cell).unwrap_or((0, 0));
                CellBytes { bytes: &gone, len, elements }
            } else if tracked.known == 0 || back > u64::from(MAX_BACK) {
                cells.change(history, tracked.index, 0)
            } else {
                cells.change(history, tracked.index, back)
            };
            if writer.len() + cell.len > budget || writer.push(cell.bytes, cell.len, cell.elements).is_err() {
                break;
            }
            entry.record_sent(low(tick));
        }
        self.list.forget(&mut scratch.news);
    }
}

/// Bytes of the news that an entity is gone at most, and room for a copy of fixed length.
const GONE_BYTES: usize = 16;
