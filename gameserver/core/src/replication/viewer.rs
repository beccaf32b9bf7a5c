//! What one player is told about others, and what it is known to know.

use gameserver_protocol::message::{Cell, Change, MAX_BACK, SnapshotWriter, encode_cell};

use super::Told;
use super::cells::{CellBytes, Cells};
use super::grid::Grid;
use super::history::{History, Mark, low};

/// Entities that one viewer is told about at a time; in a crowd the nearest.
pub(super) const SEEN_MAX: usize = 128;
/// With those that it has still to hear are gone.
const TRACKED_MAX: usize = SEEN_MAX + 64;
const _: () =
    assert!(TRACKED_MAX <= u8::MAX as usize, "a place in the list is a byte in the order of urgency");
/// Snapshots in which a newcomer is told the world around it, beyond the budget: the baseline on joining.
const FRESH: u32 = 16;
/// How far one sees, in rings of cells of 50 units: as far as the longest skill reaches.
const RINGS: u32 = 6;
/// One piece of news is due when this much has come together.
const DUE: u16 = 256;
/// Levels of urgency that are told apart.
const LEVELS: usize = 16;
const LEVEL_MAX: u8 = 15;
/// While it is on its way for less than this, the same is not told again: ticks, before a round trip is known.
const RESEND_TICKS: u32 = 8;

/// One entity that a viewer is told about.
#[derive(Clone, Copy, Debug)]
struct Tracked {
    index: u32,
    id: u32,
    /// Bit k: the snapshot of k ticks before `sent_tick` told of it; those that have arrived and those before are left
    /// out.
    sent: u64,
    /// The low half of the tick to which `sent` refers.
    sent_tick: u32,
    /// The low half of the newest tick as of which the viewer is known to know it; 0 for never.
    known: u32,
    /// How urgent news is, in parts of [`DUE`].
    due: u16,
    /// What is added to it each tick.
    weight: u16,
    /// Not to be seen any more; the viewer has still to hear it.
    is_gone: bool,
}

/// What a viewer knows of everything around it.
#[derive(Debug, Default)]
pub(crate) struct Viewer {
    tracked: Vec<Tracked>,
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
    candidates: Vec<u32>,
    /// Places in a viewer's list of whom there is news, and how urgent it is.
    news: Vec<(u8, u8)>,
    /// Places in a viewer's list, the most urgent first.
    order: Vec<u8>,
}

const RING_BITS: u32 = 4;

impl Scratch {
    pub(super) fn new(capacity: usize) -> Self {
        Self {
            seen: vec![0; capacity],
            pass: 0,
            candidates: Vec::with_capacity(SEEN_MAX),
            news: Vec::with_capacity(TRACKED_MAX),
            order: Vec::with_capacity(TRACKED_MAX),
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

    /// Puts the places of `news` into `order`, the most urgent first; among equals each tick begins with another.
    fn put_in_order(&mut self, counts: [usize; LEVELS], tick: u64) {
        let Self { news, order, .. } = self;
        let mut ends = counts;
        let mut place = 0;
        for end in ends.iter_mut().rev() {
            place += std::mem::replace(end, place);
        }
        order.clear();
        order.resize(place, 0);
        let first = usize::try_from(tick.wrapping_mul(37)).unwrap_or(0) % news.len().max(1);
        for &(at, level) in news[first..].iter().chain(&news[..first]) {
            let end = &mut ends[usize::from(level)];
            order[*end] = at;
            *end += 1;
        }
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
        Self { tracked: Vec::with_capacity(TRACKED_MAX), sent_tick: 0, turn: 0, written: 0 }
    }

    /// Nobody looks any more.
    pub(crate) fn clear(&mut self) {
        self.tracked.clear();
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
        tick_hz: u32,
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
        for tracked in &mut self.tracked {
            let id = history.mark(tracked.index).id;
            match scratch.ring(tracked.index) {
                Some(ring) => {
                    if tracked.id != id || tracked.is_gone {
                        *tracked = Tracked { id, ..Tracked::new(tracked.index) };
                    }
                    tracked.weight = weight_of(ring, tick_hz);
                    scratch.seen[tracked.index as usize] = 0;
                }
                None => tracked.vanish(),
            }
        }
        for at in 0..scratch.candidates.len() {
            let index = scratch.candidates[at];
            if let Some(ring) = scratch.ring(index)
                && self.tracked.len() < TRACKED_MAX
            {
                let (id, weight) = (history.mark(index).id, weight_of(ring, tick_hz));
                self.tracked.push(Tracked { id, weight, ..Tracked::new(index) });
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
        let counts = self.find_news(passed, told.arrived, resend, history, scratch);
        scratch.put_in_order(counts, tick);
        for &at in &scratch.order {
            let tracked = &mut self.tracked[usize::from(at)];
            let back = u64::from(low(tick).wrapping_sub(tracked.known));
            let mut gone = [0; GONE_BYTES];
            let cell = if tracked.is_gone {
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
            tracked.due = 0;
            tracked.record_sent(low(tick));
        }
    }

    /// Takes note of the time since the last snapshot and of what has arrived, lets go of what is gone and known to be,
    /// and puts into `scratch.news` of whom there is something to tell. Returns how many there are of each urgency.
    fn find_news(
        &mut self,
        passed: u32,
        arrived: u64,
        resend: u32,
        history: &History,
        scratch: &mut Scratch,
    ) -> [usize; LEVELS] {
        let tick = low(history.tick());
        let mut counts = [0; LEVELS];
        scratch.news.clear();
        let mut at = 0;
        while let Some(tracked) = self.tracked.get_mut(at) {
            match tracked.news(passed, arrived, resend, tick, history) {
                News::Heard => {
                    self.tracked.swap_remove(at);
                    continue;
                }
                News::None => {}
                News::Due(level) => {
                    counts[usize::from(level)] += 1;
                    scratch.news.push((u8::try_from(at).unwrap_or(0), level));
                }
            }
            at += 1;
        }
        counts
    }
}

/// Bytes of the news that an entity is gone at most, and room for a copy of fixed length.
const GONE_BYTES: usize = 16;

impl Tracked {
    fn new(index: u32) -> Self {
        Self { index, id: 0, sent: 0, sent_tick: 0, known: 0, due: DUE, weight: DUE, is_gone: false }
    }

    /// It is not to be seen any more. What was sent so far says nothing about whether the viewer has heard that.
    fn vanish(&mut self) {
        if !self.is_gone {
            *self = Self { id: self.id, is_gone: true, ..Self::new(self.index) };
        }
    }

    /// What there is to tell at `tick`, after `passed` more ticks.
    #[inline]
    fn news(&mut self, passed: u32, arrived: u64, resend: u32, tick: u32, history: &History) -> News {
        let more = u32::from(self.weight).saturating_mul(passed);
        self.due = self.due.saturating_add(u16::try_from(more).unwrap_or(u16::MAX));
        if self.due < DUE {
            return News::None;
        }
        let Mark { id, changed } = history.mark(self.index);
        let heard = self.sent & arrived.checked_shr(tick.wrapping_sub(self.sent_tick)).unwrap_or(0);
        if heard != 0 {
            if self.is_gone {
                return News::Heard;
            }
            let back = heard.trailing_zeros();
            self.sent &= (1 << back) - 1;
            self.known = self.sent_tick.wrapping_sub(back);
        }
        if !self.is_gone && id != self.id {
            self.vanish();
        }
        let sent_for = if self.sent == 0 {
            u32::MAX
        } else {
            tick.wrapping_sub(self.sent_tick) + self.sent.trailing_zeros()
        };
        if self.is_gone {
            return if sent_for < resend { News::None } else { News::Due(LEVEL_MAX) };
        }
        let unchanged_for = tick.wrapping_sub(changed);
        let is_known = self.known != 0 && tick.wrapping_sub(self.known) <= unchanged_for;
        if is_known || sent_for < resend && sent_for <= unchanged_for {
            return News::None;
        }
        News::Due(u8::try_from(self.due / DUE - 1).unwrap_or(LEVEL_MAX).min(LEVEL_MAX))
    }

    /// The snapshot of `tick` tells of it.
    #[inline]
    fn record_sent(&mut self, tick: u32) {
        self.sent = self.sent.checked_shl(tick.wrapping_sub(self.sent_tick)).unwrap_or(0) | 1;
        self.sent_tick = tick;
    }
}

/// What there is to tell of one entity.
enum News {
    /// Nothing now.
    None,
    /// It is gone, and the viewer has heard it.
    Heard,
    /// Something, this urgent.
    Due(u8),
}
