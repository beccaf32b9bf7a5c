//! Where the player is by its own inputs, before the server has said so.

use gameserver_game::Game;

use crate::inputs::UnsettledInputs;
use crate::ticks::{moment, tick_before};

/// Milliseconds that are predicted beyond what the server confirmed, besides what the client is ahead of it: when the
/// server is silent for longer the player stands.
const REPLAY_MS: u64 = 250;
/// Seconds that a client is ahead and that are predicted at most: the way there, the way back and what inputs are early by.
const AHEAD_MAX_SECONDS: f64 = 2.0;
/// A correction that is drawn is smoothed over so many seconds.
const SMOOTHING: f64 = 0.1;
/// A correction by more than this, hundredths of a unit, is not smoothed: the player was put elsewhere.
const SNAP: f64 = 500.0;

/// A place, in hundredths of a unit.
type Place = (f64, f64);

/// The player at a tick, and where it was a tick before.
#[derive(Debug)]
struct Predicted<O> {
    tick: u64,
    own: O,
    place: Place,
    before: Place,
}

impl<O> Predicted<O> {
    /// Between the two ticks.
    fn place_at(&self, fraction: f64) -> Place {
        let between = |before: f64, after: f64| before + (after - before) * fraction;
        (between(self.before.0, self.place.0), between(self.before.1, self.place.1))
    }
}

/// What the server confirmed, and what the inputs of which it has not spoken make of it.
pub(crate) struct Prediction<G: Game> {
    tick_hz: u32,
    confirmed: Option<(u64, G::Own)>,
    /// As of the last frame; `None` before one.
    predicted: Option<Predicted<G::Own>>,
    /// How far between its two ticks it was drawn.
    fraction: f64,
    /// Jumps of the client's time until the last frame.
    jumps: u64,
    /// How far from what is predicted the player was drawn at `offset_since`.
    offset: Place,
    offset_since: f64,
    intents: Vec<G::Intent>,
}

impl<G: Game> Prediction<G> {
    pub(crate) fn new(tick_hz: u32) -> Self {
        Self {
            tick_hz,
            confirmed: None,
            predicted: None,
            fraction: 0.0,
            jumps: 0,
            offset: (0.0, 0.0),
            offset_since: 0.0,
            intents: Vec::new(),
        }
    }

    pub(crate) fn confirmed(&self) -> Option<(u64, &G::Own)> {
        self.confirmed.as_ref().map(|(tick, own)| (*tick, own))
    }

    pub(crate) fn predicted(&self) -> Option<(u64, &G::Own)> {
        self.predicted.as_ref().map(|predicted| (predicted.tick, &predicted.own))
    }

    /// Takes what the server confirmed and returns by how far the newest drawn tick was predicted wrongly,
    /// hundredths of a unit. What was drawn goes over to what is predicted now, at once when an input was refused.
    pub(crate) fn confirm(
        &mut self,
        now: f64,
        tick: u64,
        own: G::Own,
        inputs: &UnsettledInputs<G::Intent>,
        was_rejected: bool,
    ) -> f64 {
        self.confirmed = Some((tick, own));
        let Some(before) = self.predicted.take() else { return 0.0 };
        let after = self.replay(before.tick, inputs);
        let mut distance = 0.0;
        if let Some(after) = &after
            && after.tick == before.tick
        {
            distance = (before.place.0 - after.place.0).hypot(before.place.1 - after.place.1);
            self.shift(now, before.place_at(self.fraction), after.place_at(self.fraction));
        }
        if was_rejected || distance > SNAP {
            self.offset = (0.0, 0.0);
        }
        self.predicted = after;
        distance
    }

    /// Predicts until the client's time `at` and returns where the player is drawn. `ahead` is by how many ticks
    /// that time was ahead of what is confirmed when that came, and `jumps` how often it has jumped.
    pub(crate) fn draw(
        &mut self,
        now: f64,
        at: f64,
        ahead: f64,
        jumps: u64,
        inputs: &UnsettledInputs<G::Intent>,
    ) -> Option<Place> {
        let confirmed = self.confirmed.as_ref()?.0;
        let replay_ms = u64::from(self.tick_hz) * REPLAY_MS;
        let ahead = tick_before(ahead.min(f64::from(self.tick_hz) * AHEAD_MAX_SECONDS)) + 1;
        let furthest = confirmed.saturating_add(replay_ms.div_ceil(1000)).saturating_add(ahead);
        let tick = tick_before(at).clamp(confirmed, furthest);
        let before = self.predicted.take().map(|before| before.place_at(self.fraction));
        let predicted = self.replay(tick, inputs)?;
        self.fraction = (at - moment(tick)).clamp(0.0, 1.0);
        let place = predicted.place_at(self.fraction);
        if let Some(before) = before.filter(|_| jumps != self.jumps) {
            self.shift(now, before, place);
        }
        self.jumps = jumps;
        self.predicted = Some(predicted);
        let offset = self.offset_at(now);
        Some((place.0 + offset.0, place.1 + offset.1))
    }

    /// Goes on drawing from `before`, although the player is at `after`.
    fn shift(&mut self, now: f64, before: Place, after: Place) {
        let left = self.offset_at(now);
        self.offset = (left.0 + before.0 - after.0, left.1 + before.1 - after.1);
        self.offset_since = now;
    }

    fn offset_at(&self, now: f64) -> Place {
        let left = (1.0 - (now - self.offset_since) / SMOOTHING).clamp(0.0, 1.0);
        (self.offset.0 * left, self.offset.1 * left)
    }

    /// The player at a tick: what was confirmed, and every open input at the tick at which it is due.
    fn replay(&mut self, to: u64, inputs: &UnsettledInputs<G::Intent>) -> Option<Predicted<G::Own>> {
        let (confirmed, own) = self.confirmed.as_ref()?;
        let mut own = own.clone();
        let place = place::<G>(&own);
        let (mut place, mut before) = (place, place);
        let mut open = inputs.iter().peekable();
        for tick in (*confirmed..to).map(|before| before + 1) {
            self.intents.clear();
            // in their order: none overtakes another
            while let Some(unsettled) = open.next_if(|unsettled| unsettled.due <= tick) {
                self.intents.extend(unsettled.intent);
            }
            G::predict(self.tick_hz, tick, &mut own, &self.intents);
            before = std::mem::replace(&mut place, self::place::<G>(&own));
        }
        Some(Predicted { tick: to.max(*confirmed), own, place, before })
    }
}

fn place<G: Game>(own: &G::Own) -> Place {
    let (x, y) = G::place(own);
    (x.into(), y.into())
}

#[cfg(test)]
mod tests;
