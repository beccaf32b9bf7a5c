//! From an authentic message to commands for the game: decode, rate limit, buffer, release at the input's tick.

mod link;
mod shares;
mod timing;

use std::time::Duration;

use gameserver_game::{Command, REWIND_MAX_MS};
use gameserver_protocol::message::{
    Fields, Inputs, MAX_INPUTS, MAX_NOTICES, MAX_REJECTED, Notice, Rejected, Watch,
};
use gameserver_protocol::{Now, RejectReason, micros, nanos};

use crate::counters::{Counters, Histograms};
use crate::rate::{Bucket, Rate};
use crate::ring::Ring;
use crate::session::Refusal;
use crate::spectator::Camera;
pub(crate) use link::Link;
use shares::MAX_INPUTS_PER_TICK;
pub(crate) use shares::{Demand, Patience};
pub(crate) use timing::PARTS;
use timing::Timing;

/// Limits that are the same for all players.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    inputs: Rate,
    tick_hz: u32,
    /// How far ahead of the zone an input's tick may lie: one second.
    ticks_ahead: u64,
    /// What interpolation adds to how far a shot may reach back.
    interpolation_us: u64,
}

impl Limits {
    pub(crate) fn new(tick_hz: u32, interpolation: Duration) -> Self {
        // twice what a client sends that makes one input a tick
        let inputs = Rate::new(tick_hz.saturating_mul(2), tick_hz.max(32));
        Self { inputs, tick_hz, ticks_ahead: tick_hz.into(), interpolation_us: micros(interpolation) }
    }

    /// How many ticks back the world is judged for a player: what it claims, but no more than its measured delay and
    /// interpolation explain, and never more than [`REWIND_MAX_MS`].
    fn rewind_ticks(&self, claimed: u64, round_trip_us: u64) -> u32 {
        let ticks = |us: u64| us.saturating_mul(self.tick_hz.into()) / 1_000_000;
        let explained = ticks((round_trip_us / 2).saturating_add(self.interpolation_us));
        u32::try_from(claimed.min(explained).min(ticks(u64::from(REWIND_MAX_MS) * 1000))).unwrap_or(0)
    }
}

/// When a message arrived.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) now: Now,
    /// The newest tick then.
    pub(crate) tick: u64,
    /// For how long it had been the newest, in parts of a tick.
    pub(crate) since: i64,
}

#[derive(Clone, Copy, Debug)]
struct Waiting<I> {
    sequence: u32,
    /// The tick that it is aimed at.
    tick: u64,
    /// The first tick that may carry it out: it is there, and so are those before it.
    due: u64,
    intent: I,
    arrived: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Rejection {
    rejected: Rejected,
    /// First tick whose snapshot tells of it.
    tick: u64,
}

/// One player's inputs, from their arrival until the player knows what became of them, and what else it is told
/// until it has heard it.
///
/// An outcome is never lost: while there is no room to keep another rejection, inputs wait.
#[derive(Clone, Debug)]
pub(crate) struct Player<I> {
    newest_received: u32,
    newest_decided: u32,
    pub(crate) link: Link,
    timing: Timing,
    rate: Bucket,
    waiting: Ring<Waiting<I>, MAX_INPUTS>,
    rejections: Ring<Rejection, MAX_REJECTED>,
    /// With the first tick whose snapshot tells of each.
    notices: Ring<(u64, Notice), MAX_NOTICES>,
    newest_notice: u32,
    /// Arrival of inputs decided since the last snapshot.
    decided: Ring<Duration, MAX_INPUTS>,
    /// Whether there is something that no snapshot has told yet: an outcome or a notice.
    has_untold: bool,
    /// Where it looks, if it only looks on.
    pub(crate) camera: Option<Camera>,
}

impl<I: Copy> Default for Player<I> {
    fn default() -> Self {
        Self {
            newest_received: 0,
            newest_decided: 0,
            link: Link::default(),
            timing: Timing::default(),
            rate: Bucket::default(),
            waiting: Ring::default(),
            rejections: Ring::default(),
            notices: Ring::default(),
            newest_notice: 0,
            decided: Ring::default(),
            has_untold: false,
            camera: None,
        }
    }
}

impl<I: Fields + Copy> Player<I> {
    /// Blank again, for whoever is there next; in the same memory.
    pub(crate) fn restart(&mut self) {
        let Self {
            newest_received,
            newest_decided,
            link,
            timing,
            rate,
            waiting,
            rejections,
            notices,
            newest_notice,
            decided,
            has_untold,
            camera,
        } = self;
        (*newest_received, *newest_decided, *newest_notice) = (0, 0, 0);
        (*link, *timing, *rate) = (Link::default(), Timing::default(), Bucket::default());
        waiting.clear();
        rejections.clear();
        notices.clear();
        decided.clear();
        (*has_untold, *camera) = (false, None);
    }

    /// Takes an inputs message.
    pub(crate) fn receive(
        &mut self,
        Arrival { now, tick, since }: Arrival,
        message: &[u8],
        limits: &Limits,
        counters: &mut Counters,
        histograms: &mut Histograms,
    ) -> Result<(), Refusal> {
        let inputs = Inputs::decode(message).map_err(|_malformed| Refusal::BadMessage)?;
        let heard = self.link.receive(now, tick, &inputs.head);
        if heard.is_new {
            self.forget_acknowledged();
        }
        if let Some(round_trip_us) = heard.round_trip_us {
            histograms.round_trip_us.record(round_trip_us);
        }
        for input in &inputs {
            let input = input.map_err(|_malformed| Refusal::BadMessage)?;
            if input.sequence <= self.newest_received {
                counters.inputs_repeated += 1;
                continue;
            }
            if self.waiting.is_full() || self.rejections.is_full() {
                counters.inputs_deferred += 1;
                continue;
            }
            self.newest_received = input.sequence;
            if !self.rate.spend(limits.inputs, nanos(now.monotonic)) {
                self.reject(input.sequence, RejectReason::RateLimited, tick + 1, counters);
            } else if input.tick > tick.saturating_add(limits.ticks_ahead) {
                self.reject(input.sequence, RejectReason::TickTooFarAhead, tick + 1, counters);
            } else if let Some(camera) = &mut self.camera {
                match Watch::from_fields(input.intent.as_slice()) {
                    Some(watch) => {
                        camera.watch(watch);
                        self.newest_decided = input.sequence;
                        self.has_untold = true;
                    }
                    None => self.reject(input.sequence, RejectReason::NotYours, tick + 1, counters),
                }
            } else if let Some(intent) = I::from_fields(input.intent.as_slice()) {
                if input.tick > 0 {
                    counters.inputs_late += u64::from(self.timing.record(tick, since, input.tick));
                }
                let after = self.waiting.back().map_or(0, |before| before.due);
                self.waiting.push(Waiting {
                    sequence: input.sequence,
                    tick: input.tick,
                    due: input.tick.max(tick + 1).max(after),
                    intent,
                    arrived: now.monotonic,
                });
            } else {
                self.reject(input.sequence, RejectReason::UnknownAction, tick + 1, counters);
            }
        }
        Ok(())
    }

    /// How many inputs `tick` may carry out: those that are due, as long as there is room for their outcome.
    pub(crate) fn due(&self, tick: u64) -> usize {
        // every one may end in a rejection, and each of those needs a place
        let room = self.room().min(MAX_INPUTS_PER_TICK);
        self.waiting.iter().take(room).take_while(|waiting| waiting.due <= tick).count()
    }

    fn room(&self) -> usize {
        MAX_REJECTED - self.rejections.len()
    }

    /// Releases the oldest `count` inputs as commands of `player`, of those that are [due](Player::due) at `tick`.
    pub(crate) fn release(
        &mut self,
        player: u32,
        tick: u64,
        count: usize,
        limits: &Limits,
        commands: &mut Vec<Command<I>>,
    ) {
        for _ in 0..count {
            let Some(Waiting { sequence, intent, arrived, tick: aimed, .. }) = self.waiting.pop() else {
                return;
            };
            self.decide(sequence, arrived);
            let late = if aimed == 0 { 0 } else { tick - aimed };
            let claimed = late + u64::from(self.link.view_lag_ticks());
            let rewind_ticks = limits.rewind_ticks(claimed, self.link.round_trip_us());
            commands.push(Command { player, sequence, rewind_ticks, intent });
        }
    }

    /// Refuses the inputs that were due at tick `last` or before, except where `released` of this tick need the room for
    /// their outcome.
    pub(crate) fn shed(&mut self, last: u64, tick: u64, released: usize, counters: &mut Counters) {
        while self.room() > released
            && let Some(&Waiting { sequence, arrived, .. }) =
                self.waiting.front().filter(|waiting| waiting.due <= last)
        {
            self.waiting.pop();
            self.decide(sequence, arrived);
            self.reject(sequence, RejectReason::Overloaded, tick, counters);
        }
    }

    fn decide(&mut self, sequence: u32, arrived: Duration) {
        self.newest_decided = sequence;
        self.decided.push(arrived);
        self.has_untold = true;
    }

    /// The input was refused; snapshots from `tick` on say so until the client has one.
    pub(crate) fn reject(&mut self, sequence: u32, reason: RejectReason, tick: u64, counters: &mut Counters) {
        counters.record_reject(reason);
        let kept = self.rejections.push(Rejection { rejected: Rejected { sequence, reason }, tick });
        self.has_untold = true;
        debug_assert!(kept, "inputs wait while there is no room for a rejection");
    }

    /// Snapshots from `tick` on tell of this until the client has one. When there is no room for more the oldest is
    /// let go of, and counted: the state that comes with it is told all the same.
    pub(crate) fn notify(&mut self, tick: u64, what: gameserver_game::Notice, counters: &mut Counters) {
        if self.notices.is_full() {
            self.notices.pop();
            counters.notices_dropped += 1;
        }
        self.newest_notice += 1;
        let gameserver_game::Notice { code, figures } = what;
        self.notices.push((tick, Notice { number: self.newest_notice, code, figures }));
        self.has_untold = true;
    }

    fn forget_acknowledged(&mut self) {
        let ack_tick = self.link.ack_tick();
        while self.rejections.front().is_some_and(|rejection| rejection.tick <= ack_tick) {
            self.rejections.pop();
        }
        while self.notices.front().is_some_and(|&(tick, _)| tick <= ack_tick) {
            self.notices.pop();
        }
    }

    pub(crate) fn newest_decided(&self) -> u32 {
        self.newest_decided
    }

    pub(crate) fn hurry(&mut self, tick: u64, tick_hz: u32) -> i8 {
        self.timing.hurry(tick, tick_hz)
    }

    pub(crate) fn rejected(&self) -> impl ExactSizeIterator<Item = Rejected> {
        self.rejections.iter().map(|rejection| rejection.rejected)
    }

    pub(crate) fn notices(&self) -> impl ExactSizeIterator<Item = Notice> {
        self.notices.iter().map(|&(_, notice)| notice)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Whether there is something that no snapshot has told yet.
    pub(crate) fn has_untold(&self) -> bool {
        self.has_untold
    }

    /// When the oldest input arrived that was decided since the last snapshot.
    pub(crate) fn oldest_decided(&self) -> Option<Duration> {
        self.decided.front().copied()
    }

    /// The player's snapshot of `tick` is on its way: records how long its inputs took.
    pub(crate) fn record_sent(
        &mut self,
        now: Now,
        tick: u64,
        counters: &mut Counters,
        histograms: &mut Histograms,
    ) {
        self.has_untold = false;
        counters.snapshots += 1;
        counters.snapshots_lost += self.link.record_sent(now, tick);
        while let Some(arrived) = self.decided.pop() {
            histograms.input_latency_us.record(micros(now.monotonic.saturating_sub(arrived)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shot_reaches_back_as_far_as_claimed_measured_and_allowed() {
        let limits = Limits::new(64, Duration::from_millis(100));
        for (name, claimed, round_trip_ms, expected) in [
            ("a little", 3, 50, 3),
            ("nothing is claimed", 0, 200, 0),
            ("more than the delay explains", 60, 20, 7),
            ("before the first measurement", 60, 0, 6),
            ("more than a quarter of a second", 60, 1000, 16),
            ("any number at all", u64::MAX, u64::MAX / 2000, 16),
        ] {
            assert_eq!(limits.rewind_ticks(claimed, round_trip_ms * 1000), expected, "{name}");
        }
    }
}
