//! What a client knows of the entities around its player.

mod delay;
mod track;

use std::collections::VecDeque;

use gameserver_protocol::message::{Cell, Change, Entity};
use thiserror::Error;

pub(crate) use delay::ViewDelay;
pub use track::Drawn;
use track::{Record, Track};

use crate::ticks::moment;

/// Entities that a client keeps at most, those included that have gone lately.
pub const MAX_ENTITIES: usize = 4096;
/// Ticks of which the states are kept at least: the server tells what has changed since one of them.
const HISTORY_TICKS: u64 = 64;
/// Milliseconds of which they are kept at least: so far back are they drawn, and then some.
const HISTORY_MS: u64 = 400;
/// Where nobody can come so fast by walking or flying, in units a second: who does is put there, and drawn so.
const TELEPORT_SPEED: f64 = 100.0;
/// Seconds for which an entity goes on as it went when there is no news of any.
const EXTRAPOLATION: f64 = 0.1;
/// Applied snapshots over which the densest ticks between two of them are looked for, twice.
const SPACING_SNAPSHOTS: u32 = 32;

/// Why a snapshot was not applied.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum ViewError {
    /// A change from a state that the client does not have. The server must not send it.
    #[error("change of entity {index} is from a state that is not known")]
    NoBase {
        /// Whose.
        index: u32,
    },
    /// More entities than a client keeps.
    #[error("more than {MAX_ENTITIES} entities")]
    TooMany,
}

/// The densest ticks between two of a kind lately: between how many the server sends one.
#[derive(Clone, Copy, Debug)]
struct Spacing {
    newest: Option<u64>,
    this: u64,
    last: u64,
    seen: u32,
}

impl Spacing {
    const NONE: Self = Self { newest: None, this: u64::MAX, last: u64::MAX, seen: 0 };

    /// Notes that there was one at `tick`; returns how many ticks before that the one before was, 0 for the first.
    fn note(&mut self, tick: u64) -> u64 {
        let Some(before) = self.newest.replace(tick) else { return 0 };
        self.this = self.this.min(tick - before);
        self.seen += 1;
        if self.seen == SPACING_SNAPSHOTS {
            *self = Self { last: self.this, newest: self.newest, ..Self::NONE };
        }
        tick - before
    }

    /// `None` before there are two.
    fn ticks(&self) -> Option<u64> {
        Some(self.this.min(self.last)).filter(|&ticks| ticks < u64::MAX)
    }
}

/// The entities that the player sees, with what is known of their last ticks.
///
/// A snapshot is applied as a whole or not at all, and only what was applied is acknowledged.
#[derive(Clone, Debug)]
pub struct View {
    limits: Limits,
    /// Index of an entity and place of its track, by index.
    order: Vec<(u32, usize)>,
    tracks: Vec<Track>,
    free: Vec<usize>,
    /// Who is gone since when, oldest first.
    gone: VecDeque<(u64, u32)>,
    /// What a snapshot makes of each entity that it names, while it is checked.
    pending: Vec<(u32, Option<Entity>)>,
    /// Snapshots that were applied.
    snapshots: Spacing,
    /// Those of them that told of others.
    news: Spacing,
    /// Which of the 64 ticks before the newest were applied; bit 0 is the one just before.
    before: u64,
}

/// What depends on the rate of ticks.
#[derive(Clone, Copy, Debug)]
struct Limits {
    history_ticks: u64,
    extrapolation_ticks: f64,
    /// In hundredths of a unit a tick.
    teleport_step: f64,
}

impl View {
    /// An empty view of a world with so many ticks a second.
    pub fn new(tick_hz: u32) -> Self {
        let hz = f64::from(tick_hz.max(1));
        let limits = Limits {
            history_ticks: HISTORY_TICKS.max((u64::from(tick_hz) * HISTORY_MS).div_ceil(1000)),
            extrapolation_ticks: EXTRAPOLATION * hz,
            teleport_step: TELEPORT_SPEED * 100.0 / hz,
        };
        Self {
            limits,
            order: Vec::new(),
            tracks: Vec::new(),
            free: Vec::new(),
            gone: VecDeque::new(),
            pending: Vec::new(),
            snapshots: Spacing::NONE,
            news: Spacing::NONE,
            before: 0,
        }
    }

    /// Applies the cells of the snapshot of `tick`, which must be newer than all before; or none of them. Without cells it
    /// tells nothing of others.
    pub(crate) fn apply(&mut self, tick: u64, cells: Option<&[Cell]>) -> Result<(), ViewError> {
        debug_assert!(self.newest_tick().is_none_or(|newest| tick > newest), "older snapshots are ignored");
        self.forget_gone(tick);
        self.check(tick, cells.unwrap_or_default())?;
        let step = if cells.is_some() { self.news.note(tick) } else { 0 };
        let mut pending = std::mem::take(&mut self.pending);
        for (index, state) in pending.drain(..) {
            if state.is_none() {
                self.gone.push_back((tick, index));
            }
            let oldest = tick.saturating_sub(self.limits.history_ticks);
            self.track_mut(index).push(Record { tick, step, state }, oldest);
        }
        self.pending = pending;
        let step = self.snapshots.note(tick);
        if step > 0 {
            // the newest so far is one of those before now
            self.before = self.before.checked_shl(u32::try_from(step).unwrap_or(u32::MAX)).unwrap_or(0)
                | 1_u64.checked_shl(u32::try_from(step - 1).unwrap_or(u32::MAX)).unwrap_or(0);
        }
        Ok(())
    }

    /// Fills `pending` with what the cells make of their entities.
    fn check(&mut self, tick: u64, cells: &[Cell]) -> Result<(), ViewError> {
        self.pending.clear();
        let mut room = MAX_ENTITIES - self.order.len();
        for &Cell { index, change } in cells {
            let track = self.track(index);
            if change == Change::Gone && track.is_none_or(|track| track.newest().is_none()) {
                continue; // not known and not to be known
            }
            if track.is_none() {
                room = room.checked_sub(1).ok_or(ViewError::TooMany)?;
            }
            let state = match change {
                Change::Gone => None,
                Change::Full(entity) => Some(entity),
                Change::Since { back, delta } => {
                    let base = tick.checked_sub(back.into()).filter(|&base| self.is_applied(base));
                    let state = base.and_then(|base| track?.state_at(base));
                    Some(delta.apply(state.ok_or(ViewError::NoBase { index })?))
                }
            };
            self.pending.push((index, state));
        }
        Ok(())
    }

    fn is_applied(&self, tick: u64) -> bool {
        let Some(back) = self.newest_tick().and_then(|newest| newest.checked_sub(tick)) else { return false };
        back == 0 || back <= 64 && self.before & 1 << (back - 1) != 0
    }

    /// Lets go of the tracks of who has been gone for as long as states are kept.
    fn forget_gone(&mut self, tick: u64) {
        while let Some(&(since, index)) = self.gone.front()
            && tick.saturating_sub(since) > self.limits.history_ticks
        {
            self.gone.pop_front();
            let Ok(at) = self.order.binary_search_by_key(&index, |&(index, _)| index) else { continue };
            let track = self.order[at].1;
            if self.tracks[track].is_gone_since(since) {
                self.tracks[track].clear();
                self.free.push(track);
                self.order.remove(at);
            }
        }
    }

    fn track(&self, index: u32) -> Option<&Track> {
        let at = self.order.binary_search_by_key(&index, |&(index, _)| index).ok()?;
        Some(&self.tracks[self.order[at].1])
    }

    fn track_mut(&mut self, index: u32) -> &mut Track {
        let track = match self.order.binary_search_by_key(&index, |&(index, _)| index) {
            Ok(at) => self.order[at].1,
            Err(at) => {
                let track = self.free.pop().unwrap_or_else(|| {
                    self.tracks.push(Track::default());
                    self.tracks.len() - 1
                });
                self.order.insert(at, (index, track));
                track
            }
        };
        &mut self.tracks[track]
    }

    /// Tick of the newest snapshot that was applied.
    pub fn newest_tick(&self) -> Option<u64> {
        self.snapshots.newest
    }

    /// Which of the 64 ticks before [`View::newest_tick`] were applied; bit 0 is the one just before.
    pub fn applied_before(&self) -> u64 {
        self.before
    }

    /// Ticks between two snapshots of the server, as the densest of the last ones were; `None` before there are two.
    pub fn ticks_between_snapshots(&self) -> Option<u64> {
        self.snapshots.ticks()
    }

    /// The same of those that tell of others; the server may tell of them less often than of the player itself.
    pub fn ticks_between_news(&self) -> Option<u64> {
        self.news.ticks()
    }

    /// What is known of an entity now.
    pub fn get(&self, index: u32) -> Option<&Entity> {
        self.track(index)?.newest()
    }

    /// What is known of all entities now, by index.
    pub fn entities(&self) -> impl Iterator<Item = (u32, &Entity)> {
        self.order.iter().filter_map(|&(index, track)| Some((index, self.tracks[track].newest()?)))
    }

    /// All entities as they were at a moment, in ticks, by index: between two known states on the way from the one
    /// to the other. Of a moment that is newer than all news they are drawn where they would be if they had gone on
    /// for a tenth of a second.
    pub fn at(&self, tick: f64) -> impl Iterator<Item = Drawn> {
        self.order.iter().filter_map(move |&(index, track)| self.draw(index, &self.tracks[track], tick))
    }

    /// One entity as [`View::at`] gives it.
    pub fn get_at(&self, index: u32, tick: f64) -> Option<Drawn> {
        self.draw(index, self.track(index)?, tick)
    }

    fn draw(&self, index: u32, track: &Track, tick: f64) -> Option<Drawn> {
        let newest = self.news.newest?;
        let spacing = moment(self.ticks_between_news().unwrap_or(1));
        track.draw(index, tick, newest, spacing, &self.limits)
    }
}

#[cfg(test)]
mod tests;
