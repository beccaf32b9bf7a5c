//! What a server knows of the way to a player: what has arrived there, and how long it takes.

use std::time::Duration;

use gameserver_protocol::message::InputsHead;
use gameserver_protocol::{Now, micros};

use crate::gaps::Gaps;

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
    /// Snapshots of which nothing has been heard.
    unheard: Gaps,
}

/// What a message says of the snapshots before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Heard {
    /// Whether it acknowledges any that were not before.
    pub(crate) is_new: bool,
    /// Round trip of one, microseconds.
    pub(crate) round_trip_us: Option<u64>,
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
            unheard: Gaps::default(),
        }
    }
}

impl Link {
    /// Takes what came with a message while `tick` was the newest.
    pub(crate) fn receive(&mut self, now: Now, tick: u64, head: &InputsHead) -> Heard {
        // newer in a circle of 2^16 numbers
        if self.stamp == 0 || (1..1 << 15).contains(&head.stamp.wrapping_sub(self.stamp)) {
            self.stamp = head.stamp;
            self.stamped = now.monotonic;
            self.view_lag_ticks = head.view_lag_ticks.into();
        }
        // a client can only have seen what was sent
        if head.ack_tick <= self.ack_tick || head.ack_tick > tick {
            return Heard::default();
        }
        (self.ack_tick, self.ack_bits) = (head.ack_tick, head.ack_bits);
        self.unheard.heard(self.arrived(self.unheard.newest()));
        let (sent_tick, sent_us) = self.sent[slot_of(head.ack_tick)];
        let round_trip_us = (sent_tick == head.ack_tick)
            .then(|| micros(now.monotonic).saturating_sub(sent_us + u64::from(head.ack_hold_us)));
        if let Some(round_trip_us) = round_trip_us {
            self.smooth(round_trip_us);
        }
        Heard { is_new: true, round_trip_us }
    }

    fn smooth(&mut self, round_trip_us: u64) {
        self.round_trip_us = match self.round_trip_us {
            0 => round_trip_us.max(1),
            smoothed => (7 * smoothed + round_trip_us) / 8,
        };
    }

    /// The snapshot of `tick` is on its way. Returns how many of those before are given up as lost by that.
    pub(crate) fn record_sent(&mut self, now: Now, tick: u64) -> u64 {
        self.sent[slot_of(tick)] = (tick, micros(now.monotonic));
        self.unheard.send(tick)
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
        assert!(link.receive(at(0), 10, &head(1, 10, 0b101)).is_new);
        assert_eq!(link.arrived(10), 0b1011);
        assert_eq!(link.arrived(12), 0b10_1100);
        assert_eq!(link.arrived(10 + 64), 0);
        let nothing = Heard::default();
        assert_eq!(link.receive(at(0), 12, &head(2, 9, u64::MAX)), nothing, "older news");
        assert_eq!(
            link.receive(at(0), 12, &head(3, 13, u64::MAX)),
            nothing,
            "a snapshot that was never sent"
        );
        assert_eq!(link.arrived(10), 0b1011);
    }

    #[test]
    fn a_round_trip_leaves_out_what_the_client_waited() {
        let mut link = Link::default();
        link.record_sent(at(1000), 7);
        let heard = link.receive(at(31_000), 8, &InputsHead { ack_hold_us: 10_000, ..head(1, 7, 0) });
        assert_eq!((heard.round_trip_us, link.round_trip_us()), (Some(20_000), 20_000));
        link.record_sent(at(40_000), 71);
        link.receive(at(50_000), 71, &InputsHead { ack_hold_us: 99_999, ..head(2, 71, 0) });
        assert_eq!(
            link.round_trip_us(),
            17_500,
            "who claims to have waited longer than it took waited not at all"
        );
    }

    #[test]
    fn a_snapshot_that_no_acknowledgement_names_is_lost_when_64_more_were_sent() {
        for (name, bits, expected) in [
            ("all arrive", u64::MAX, 0),
            ("the third before each acknowledged one is named by those before and after", !0b100, 0),
            ("only what is acknowledged itself has arrived", 0, 75),
        ] {
            let mut link = Link::default();
            let mut lost = 0;
            for tick in 1..=164 {
                lost += link.record_sent(at(tick), tick);
                if bits != 0 || tick % 4 == 0 {
                    link.receive(at(tick), tick, &head(u16::try_from(tick).unwrap(), tick, bits));
                }
            }
            assert_eq!(lost, expected, "{name}");
        }
        let mut silent = Link::default();
        let lost: u64 = (1..=164).map(|tick| silent.record_sent(at(tick), tick)).sum();
        assert_eq!(lost, 100, "who says nothing has heard nothing");
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
