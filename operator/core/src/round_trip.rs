//! Round trips to another region: their moving median, what is lost of the probes, and the figure that is shown.

use std::collections::VecDeque;
use std::time::Duration;

/// Round trips that the median is taken of.
pub const MEDIAN_OF: usize = 31;
/// Probes that the loss is taken of.
pub const LOSS_OF: usize = 30;
/// A probe that has no answer after this long is lost.
pub const LOST_AFTER: Duration = Duration::from_secs(1);
/// Milliseconds by which the shown figure may be off, however short the round trip is.
const SHOWN_OFF_MS_MIN: u32 = 2;
/// Part of the shown figure by which it may be off.
const SHOWN_OFF_PART: u32 = 5;

/// The last [`MEDIAN_OF`] round trips.
#[derive(Clone, Debug, Default)]
pub struct RoundTrips(VecDeque<Duration>);

impl RoundTrips {
    /// Adds the newest one.
    pub fn add(&mut self, took: Duration) {
        self.0.truncate(MEDIAN_OF - 1);
        self.0.push_front(took);
    }

    /// The middle one; of an even number the longer of the two.
    pub fn median(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.0.iter().copied().collect();
        sorted.sort_unstable();
        sorted.get(sorted.len() / 2).copied()
    }
}

/// Probes to one responder. Times are on the caller's monotonic clock.
#[derive(Clone, Debug, Default)]
pub struct Probes {
    number: u32,
    /// The newest first.
    sent: VecDeque<Probe>,
    round_trips: RoundTrips,
    answered_at: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    number: u32,
    sent_at: Duration,
    answered: bool,
}

impl Probes {
    /// Number of the next probe, which is sent at `now`.
    pub fn send(&mut self, now: Duration) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.sent.truncate(LOSS_OF);
        self.sent.push_front(Probe { number: self.number, sent_at: now, answered: false });
        self.number
    }

    /// An answer came. One that is late, that came before or that was never asked for says nothing.
    pub fn answer(&mut self, now: Duration, number: u32) {
        let waits = |probe: &&mut Probe| {
            probe.number == number && !probe.answered && now.saturating_sub(probe.sent_at) <= LOST_AFTER
        };
        if let Some(probe) = self.sent.iter_mut().find(waits) {
            probe.answered = true;
            self.round_trips.add(now.saturating_sub(probe.sent_at));
            self.answered_at = Some(now);
        }
    }

    /// When the last answer came.
    pub fn answered_at(&self) -> Option<Duration> {
        self.answered_at
    }

    /// The median of the round trips.
    pub fn median(&self) -> Option<Duration> {
        self.round_trips.median()
    }

    /// Probes of the last [`LOSS_OF`] without an answer, and all of those; what may still be answered does not count.
    pub fn lost(&self, now: Duration) -> (u32, u32) {
        let is_over = |probe: &&Probe| probe.answered || now.saturating_sub(probe.sent_at) > LOST_AFTER;
        self.sent
            .iter()
            .filter(is_over)
            .take(LOSS_OF)
            .fold((0, 0), |(lost, all), probe| (lost + u32::from(!probe.answered), all + 1))
    }
}

/// The figure that is shown of a median, in whole milliseconds and at least one: what is shown already stays until it is off
/// by more than a fifth and more than 2 ms, so that noise changes nothing.
pub fn show_ms(shown: Option<u32>, median: Duration) -> u32 {
    let rounded = u32::try_from((median.as_micros() + 500) / 1000).unwrap_or(u32::MAX).max(1);
    let stays = |shown: &u32| shown.abs_diff(rounded) <= (shown / SHOWN_OFF_PART).max(SHOWN_OFF_MS_MIN);
    shown.filter(stays).unwrap_or(rounded)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_median_is_of_the_last_ones_and_few_outliers_do_not_move_it() {
        let mut round_trips = RoundTrips::default();
        assert_eq!(round_trips.median(), None);
        for number in 0..100 {
            round_trips.add(if number % 3 == 0 { ms(900) } else { ms(35) });
        }
        assert_eq!(round_trips.median(), Some(ms(35)));
        (0..MEDIAN_OF).for_each(|_| round_trips.add(ms(70)));
        assert_eq!(round_trips.median(), Some(ms(70)), "what is older does not count");
        assert_eq!(round_trips.0.len(), MEDIAN_OF);
    }

    /// Sends one each second; those for which `is_answered` is true are answered after 20 ms.
    fn probe(count: u32, is_answered: impl Fn(u32) -> bool) -> (Probes, Duration) {
        let (mut probes, mut now) = (Probes::default(), Duration::ZERO);
        for _ in 0..count {
            let number = probes.send(now);
            if is_answered(number) {
                probes.answer(now + ms(20), number);
            }
            now += SECOND;
        }
        (probes, now)
    }

    #[test]
    fn loss_is_counted_over_the_last_thirty_that_are_over() {
        for (name, count, every, expected) in [
            ("nothing sent", 0, 1, (0, 0)),
            ("all answered", 100, 1, (0, 30)),
            ("every second one", 100, 2, (15, 30)),
            ("a few so far", 5, 1, (0, 5)),
        ] {
            let (probes, now) = probe(count, |number| number % every == 0);
            assert_eq!(probes.lost(now + SECOND), expected, "{name}");
        }
        let (mut probes, now) = probe(100, |_| true);
        probes.send(now);
        assert_eq!(probes.lost(now + ms(500)), (0, 30), "one that is under way is not lost");
        assert_eq!(probes.lost(now + ms(1500)), (1, 30), "and then it is");
        assert_eq!(probes.sent.len(), LOSS_OF + 1, "no more is remembered");
    }

    #[test]
    fn only_a_first_answer_in_time_to_what_was_asked_counts() {
        let mut probes = Probes::default();
        let number = probes.send(SECOND);
        for (name, at, answered) in [("never asked for", ms(1010), number + 1), ("late", ms(2001), number)] {
            probes.answer(at, answered);
            assert_eq!((probes.answered_at(), probes.median()), (None, None), "{name}");
        }
        probes.answer(ms(1030), number);
        probes.answer(ms(1500), number);
        assert_eq!((probes.answered_at(), probes.median()), (Some(ms(1030)), Some(ms(30))), "not twice");
    }

    #[test]
    fn noise_does_not_move_what_is_shown() {
        for (name, shown, median_us, expected) in [
            ("first", None, 35_400, 35),
            ("half up", None, 35_500, 36),
            ("never nothing", None, 80, 1),
            ("two milliseconds off", Some(3), 1_200, 3),
            ("three", Some(4), 1_200, 1),
            ("a fifth off", Some(35), 42_000, 35),
            ("more than a fifth", Some(35), 43_000, 43),
            ("shorter", Some(100), 79_000, 79),
        ] {
            assert_eq!(show_ms(shown, Duration::from_micros(median_us)), expected, "{name}");
        }
    }
}
