//! What a server knows of the way to a player: what has arrived there, and how long it takes.

use std::time::Duration;

use gameserver_protocol::message::InputsHead;
use gameserver_protocol::{Now, micros};

/// Snapshots whose sending is remembered: as many as an acknowledgement can name.
const REMEMBERED: usize = 64;

/// Acknowledgements, echoes and the round trip of one player.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    ack_tick: u64,
    /// Bit k: the snapshot of `ack_tick - 1 - k` has arrived.
    ack_bits: u64,
    stamp: u16,
    stamped: Duration,
    view_lag_ticks: u32,
    /// Smoothed, microseconds; 0 before the first measurement.
    round_trip_us: u64,
    /// By tick: when its snapshot was sent, microseconds.
    sent: [(u64, u64); REMEMBERED],
}

impl Default for Link {
    fn default() -> Self {
        Self {
            ack_tick: 0,
            ack_bits: 0,
            stamp: 0,
            stamped: Duration::ZERO,
            view_lag_ticks: 0,
            round_trip_us: 0,
            sent: [(0, 0); REMEMBERED],
        }
    }
}

impl Link {
    /// Takes what came with a message while `tick` was the newest. Returns whether an acknowledgement is new.
    pub(crate) fn receive(&mut self, now: Now, tick: u64, head: &InputsHead) -> bool {
        // newer in a circle of 2^16 numbers
        if self.stamp == 0 || (1..1 << 15).contains(&head.stamp.wrapping_sub(self.stamp)) {
            self.stamp = head.stamp;
            self.stamped = now.monotonic;
            self.view_lag_ticks = head.view_lag_ticks.into();
        }
        // a client can only have seen what was sent
        if head.ack_tick <= self.ack_tick || head.ack_tick > tick {
            return false;
        }
        (self.ack_tick, self.ack_bits) = (head.ack_tick, head.ack_bits);
        let (sent_tick, sent_us) = self.sent[slot_of(head.ack_tick)];
        if sent_tick == head.ack_tick {
            let answered_us = sent_us + u64::from(head.ack_hold_us);
            self.measure(micros(now.monotonic).saturating_sub(answered_us));
        }
        true
    }

    fn measure(&mut self, round_trip_us: u64) {
        self.round_trip_us = match self.round_trip_us {
            0 => round_trip_us.max(1),
            smoothed => (7 * smoothed + round_trip_us) / 8,
        };
    }

    /// The snapshot of `tick` is on its way.
    pub(crate) fn record_sent(&mut self, now: Now, tick: u64) {
        self.sent[slot_of(tick)] = (tick, micros(now.monotonic));
    }

    /// The newest snapshot that has arrived; 0 for none.
    pub(crate) fn ack_tick(&self) -> u64 {
        self.ack_tick
    }

    /// Which of the last 64 snapshots have arrived: bit k is that of `tick - k`.
    pub(crate) fn arrived(&self, tick: u64) -> u64 {
        match tick.checked_sub(self.ack_tick) {
            Some(ago @ 0..64) if self.ack_tick > 0 => (self.ack_bits << 1 | 1) << ago,
            _ => 0,
        }
    }

    /// The newest message's number and how long ago it arrived, microseconds; zeros before the first.
    pub(crate) fn echo(&self, now: Now) -> (u16, u32) {
        let held = micros(now.monotonic.saturating_sub(self.stamped));
        if self.stamp == 0 { (0, 0) } else { (self.stamp, u32::try_from(held).unwrap_or(u32::MAX)) }
    }

    /// Smoothed round trip, microseconds; 0 before the first measurement.
    pub(crate) fn round_trip_us(&self) -> u64 {
        self.round_trip_us
    }

    /// Smoothed round trip in whole ticks; 0 before the first measurement.
    pub(crate) fn round_trip_ticks(&self, tick_hz: u32) -> u32 {
        let ticks = self.round_trip_us.saturating_mul(tick_hz.into()).div_ceil(1_000_000);
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }

    /// How far behind its inputs the player draws others, as it says.
    pub(crate) fn view_lag_ticks(&self) -> u32 {
        self.view_lag_ticks
    }
}

fn slot_of(tick: u64) -> usize {
    usize::try_from(tick % REMEMBERED as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(microseconds: u64) -> Now {
        Now { monotonic: Duration::from_micros(microseconds), unix: Duration::ZERO }
    }

    fn head(stamp: u16, ack_tick: u64, ack_bits: u64) -> InputsHead {
        InputsHead { stamp, ack_tick, ack_bits, ..InputsHead::default() }
    }

    #[test]
    fn what_has_arrived_is_told_from_any_later_tick() {
        let mut link = Link::default();
        assert_eq!(link.arrived(10), 0);
        assert!(link.receive(at(0), 10, &head(1, 10, 0b101)));
        assert_eq!(link.arrived(10), 0b1011);
        assert_eq!(link.arrived(12), 0b10_1100);
        assert_eq!(link.arrived(10 + 64), 0);
        assert!(!link.receive(at(0), 12, &head(2, 9, u64::MAX)), "older news");
        assert!(!link.receive(at(0), 12, &head(3, 13, u64::MAX)), "a snapshot that was never sent");
        assert_eq!(link.arrived(10), 0b1011);
    }

    #[test]
    fn a_round_trip_leaves_out_what_the_client_waited() {
        let mut link = Link::default();
        link.record_sent(at(1000), 7);
        link.receive(at(31_000), 8, &InputsHead { ack_hold_us: 10_000, ..head(1, 7, 0) });
        assert_eq!(link.round_trip_us(), 20_000);
        link.record_sent(at(40_000), 71);
        link.receive(at(50_000), 71, &InputsHead { ack_hold_us: 99_999, ..head(2, 71, 0) });
        assert_eq!(
            link.round_trip_us(),
            17_500,
            "who claims to have waited longer than it took waited not at all"
        );
    }

    #[test]
    fn the_newest_message_is_given_back_also_when_numbers_begin_again() {
        let mut link = Link::default();
        assert_eq!(link.echo(at(5)), (0, 0));
        link.receive(at(100), 1, &head(65_535, 0, 0));
        link.receive(at(200), 1, &head(65_530, 0, 0));
        assert_eq!(link.echo(at(300)), (65_535, 200));
        link.receive(at(400), 1, &head(1, 0, 0));
        assert_eq!(link.echo(at(450)), (1, 50));
    }
}
