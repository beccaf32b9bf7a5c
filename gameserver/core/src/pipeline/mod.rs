//! From an authentic message to commands for the zone: decode, rate limit, buffer, release at the input's tick.

use std::time::Duration;

use gameserver_protocol::message::{Inputs, Intent, MAX_INPUTS, MAX_REJECTED, Rejected};
use gameserver_protocol::{Now, RejectReason, micros};

use crate::counters::Counters;
use crate::rate::{Bucket, Rate};
use crate::ring::Ring;
use crate::session::{Refusal, nanos};
use gameserver_contract::Histogram;

/// Inputs of one player that one tick carries out at most; a backlog is worked off at this pace.
const MAX_INPUTS_PER_TICK: usize = 8;

/// What the zone is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    pub(crate) player: u32,
    pub(crate) sequence: u32,
    pub(crate) intent: Intent,
}

/// Limits that are the same for all players.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    inputs: Rate,
    /// How far ahead of the zone an input's tick may lie: one second.
    ticks_ahead: u64,
}

impl Limits {
    pub(crate) fn new(tick_hz: u32) -> Self {
        // twice what a client sends that makes one input a tick
        let inputs = Rate::new(tick_hz.saturating_mul(2), tick_hz.max(32));
        Self { inputs, ticks_ahead: tick_hz.into() }
    }
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    sequence: u32,
    tick: u64,
    intent: Intent,
    arrived: Duration,
}

impl Default for Waiting {
    fn default() -> Self {
        Self { sequence: 0, tick: 0, intent: Intent::Move { x: 0, y: 0 }, arrived: Duration::ZERO }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rejection {
    rejected: Rejected,
    /// First tick whose snapshot tells of it.
    tick: u64,
}

impl Default for Rejection {
    fn default() -> Self {
        Self { rejected: Rejected { sequence: 0, reason: RejectReason::OutOfBounds }, tick: 0 }
    }
}

/// One player's inputs, from their arrival until the player knows what became of them.
///
/// An outcome is never lost: while there is no room to keep another rejection, inputs wait.
#[derive(Clone, Debug, Default)]
pub(crate) struct Player {
    newest_received: u32,
    newest_decided: u32,
    ack_tick: u64,
    rate: Bucket,
    waiting: Ring<Waiting, MAX_INPUTS>,
    rejections: Ring<Rejection, MAX_REJECTED>,
    /// Arrival of inputs decided since the last snapshot.
    decided: Ring<Duration, MAX_INPUTS>,
}

impl Player {
    /// Takes an inputs message that arrived while `tick` was the newest.
    pub(crate) fn receive(
        &mut self,
        now: Now,
        tick: u64,
        message: &[u8],
        limits: &Limits,
        counters: &mut Counters,
    ) -> Result<(), Refusal> {
        let inputs = Inputs::decode(message).map_err(|_malformed| Refusal::BadMessage)?;
        // a client can only have seen what was sent
        self.acknowledge(inputs.ack_tick.min(tick));
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
            } else {
                self.waiting.push(Waiting {
                    sequence: input.sequence,
                    tick: input.tick,
                    intent: input.intent,
                    arrived: now.monotonic,
                });
            }
        }
        Ok(())
    }

    /// Releases the inputs that are due at `tick` as commands of `player`. Returns whether some are left that
    /// were due, because `commands` is full.
    pub(crate) fn release(
        &mut self,
        player: u32,
        tick: u64,
        commands: &mut Vec<Command>,
        max: usize,
    ) -> bool {
        // every release may end in a rejection, and each of those needs a place
        let room = (MAX_REJECTED - self.rejections.len()).min(MAX_INPUTS_PER_TICK);
        for _ in 0..room {
            match self.waiting.front() {
                Some(due) if due.tick <= tick => {
                    if commands.len() == max {
                        return true;
                    }
                    let Waiting { sequence, intent, arrived, .. } = *due;
                    self.waiting.pop();
                    self.newest_decided = sequence;
                    self.decided.push(arrived);
                    commands.push(Command { player, sequence, intent });
                }
                _ => break,
            }
        }
        false
    }

    /// The input was refused; snapshots from `tick` on say so until the client has one.
    pub(crate) fn reject(&mut self, sequence: u32, reason: RejectReason, tick: u64, counters: &mut Counters) {
        counters.record_reject(reason);
        let kept = self.rejections.push(Rejection { rejected: Rejected { sequence, reason }, tick });
        debug_assert!(kept, "inputs wait while there is no room for a rejection");
    }

    fn acknowledge(&mut self, ack_tick: u64) {
        self.ack_tick = self.ack_tick.max(ack_tick);
        while self.rejections.front().is_some_and(|rejection| rejection.tick <= self.ack_tick) {
            self.rejections.pop();
        }
    }

    pub(crate) fn newest_decided(&self) -> u32 {
        self.newest_decided
    }

    pub(crate) fn rejected(&self) -> impl ExactSizeIterator<Item = Rejected> {
        self.rejections.iter().map(|rejection| rejection.rejected)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The player's snapshot is on its way: records how long its inputs took.
    pub(crate) fn record_latency(&mut self, now: Now, input_latency_us: &mut Histogram) {
        while let Some(arrived) = self.decided.pop() {
            input_latency_us.record(micros(now.monotonic.saturating_sub(arrived)));
        }
    }
}
