//! How long it takes to the server and back, told by the numbers of messages that the server gives back.

use std::time::Duration;

use crate::ticks::{duration, micros};

/// Messages whose sending is remembered: at 64 a second, those of four seconds.
const REMEMBERED: usize = 256;

/// A message of the client that the server has heard of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Echo {
    /// When it was sent, in seconds.
    pub(crate) sent: f64,
    /// How long the server had it when it said so.
    pub(crate) hold: f64,
}

/// The round trip as RFC 6298 smooths it, from one measurement for each message.
#[derive(Clone, Debug)]
pub(crate) struct RoundTrip {
    /// When each of the last messages was sent, in seconds, by its number.
    sent: Box<[Option<(u16, f64)>; REMEMBERED]>,
    newest: u16,
    /// The newest message that was measured.
    measured: u16,
    /// Smoothed round trip and its mean deviation, in seconds.
    smoothed: Option<(f64, f64)>,
}

impl Default for RoundTrip {
    fn default() -> Self {
        Self { sent: Box::new([None; REMEMBERED]), newest: 0, measured: 0, smoothed: None }
    }
}

impl RoundTrip {
    /// Numbers a message that is sent now: 1 to 65 535, then 1 again.
    pub(crate) fn stamp(&mut self, now: f64) -> u16 {
        self.newest = self.newest.checked_add(1).unwrap_or(1);
        self.sent[usize::from(self.newest) % REMEMBERED] = Some((self.newest, now));
        self.newest
    }

    /// Takes what a snapshot that arrives now says of the client's messages.
    pub(crate) fn observe(&mut self, stamp: u16, hold_us: u32, now: f64) -> Option<Echo> {
        let (remembered, sent) = self.sent[usize::from(stamp) % REMEMBERED]?;
        let hold = micros(hold_us);
        let sample = now - sent - hold;
        if remembered != stamp || sample < 0.0 {
            return None;
        }
        if self.measured != stamp {
            self.measured = stamp;
            self.smoothed = Some(match self.smoothed {
                None => (sample, sample / 2.0),
                Some((mean, deviation)) => {
                    (mean + (sample - mean) / 8.0, deviation + ((sample - mean).abs() - deviation) / 4.0)
                }
            });
        }
        Some(Echo { sent, hold })
    }

    /// The smoothed round trip.
    pub(crate) fn mean(&self) -> Option<Duration> {
        self.smoothed.map(|(mean, _)| duration(mean))
    }

    /// By how much it differs on average, in seconds.
    pub(crate) fn jitter(&self) -> f64 {
        self.smoothed.map_or(0.0, |(_, deviation)| deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_at_the_server_does_not_count() {
        let mut round_trip = RoundTrip::default();
        let stamp = round_trip.stamp(1.0);
        assert_eq!(round_trip.observe(stamp, 20_000, 1.07), Some(Echo { sent: 1.0, hold: 0.02 }));
        let mean = round_trip.mean().expect("one measurement");
        assert!(mean.abs_diff(Duration::from_millis(50)) < Duration::from_micros(1), "{mean:?}");
    }

    #[test]
    fn it_is_smoothed_over_messages_and_not_over_how_often_one_is_told_of() {
        let mut round_trip = RoundTrip::default();
        let first = round_trip.stamp(0.0);
        round_trip.observe(first, 0, 0.1);
        for _ in 0..10 {
            round_trip.observe(first, 0, 0.5);
        }
        assert_eq!(round_trip.mean(), Some(Duration::from_millis(100)));
        let second = round_trip.stamp(1.0);
        round_trip.observe(second, 0, 1.18);
        assert_eq!(round_trip.mean(), Some(Duration::from_millis(110)), "an eighth of the way");
        assert!((round_trip.jitter() - 0.0575).abs() < 1e-9, "a quarter of the way from 50 to 80 ms");
    }

    #[test]
    fn what_the_server_cannot_know_is_no_measurement() {
        let mut round_trip = RoundTrip::default();
        for _ in 0..300 {
            round_trip.stamp(1.0);
        }
        for (name, stamp, hold_us, now) in [
            ("none", 0, 0, 2.0),
            ("forgotten", 40, 0, 2.0),
            ("never sent", 301, 0, 2.0),
            ("held for longer than it is away", 300, 2_000_000, 2.0),
        ] {
            assert_eq!(round_trip.observe(stamp, hold_us, now), None, "{name}");
        }
        assert_eq!(round_trip.mean(), None);
    }

    #[test]
    fn numbers_begin_again_and_leave_zero_out() {
        let mut round_trip = RoundTrip::default();
        let stamps: Vec<_> = (0..65_536).map(|_| round_trip.stamp(0.0)).collect();
        assert_eq!((stamps[0], stamps[65_534], stamps[65_535]), (1, 65_535, 1));
    }
}
