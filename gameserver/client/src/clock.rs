//! Which tick the server is at.
//!
//! Every snapshot tells when it was sent, in ticks and microseconds of the server, and so how long it took if the
//! clocks agreed; the message that it answers tells the same of the other way. Neither way is faster than its
//! fastest datagram, so the fastest of the last four seconds each way say how the clocks differ (the clock filter of
//! NTP, with the two ways apart: both are seldom fast at once). What they cannot say is how the round trip divides
//! between the two ways: the estimate may be off by as much as half of the fastest round trip, when one way takes
//! all of it. For when to send an input that does not matter: the same error stands in both ends of the sum.

use std::collections::VecDeque;

use crate::round_trip::Echo;
use crate::slew::{Line, SlewLimits, Slewed};

/// How much faster or slower than real time the shown clock goes to correct itself.
const SLEW: f64 = 0.05;
/// A correction takes at least this many seconds.
const SLEW_SECONDS: f64 = 0.5;
/// Further off than this, in seconds, the clock steps.
const STEP_SECONDS: f64 = 0.5;
/// The fastest datagrams are looked for in spans of this many seconds …
const SPAN_SECONDS: f64 = 0.5;
/// … of which so many are remembered, …
const SPANS: usize = 8;
/// … unless they began longer ago than this: nothing has arrived for a while.
const SPAN_SECONDS_KEPT: f64 = 4.5;
/// Newest snapshots that are looked at by themselves: when they contradict the older ones, the server has let ticks
/// go and the older ones tell of a time that is no more.
const RECENT: usize = 8;
/// By how much, in seconds, they must contradict them, besides a quarter of the jitter.
const CONTRADICTION: f64 = 0.002;
/// Estimates, one each [`SPAN_SECONDS`], over which the rates of the two clocks are compared: half a minute.
const RATE_HISTORY: usize = 60;
/// Fewer say nothing of the rates.
const RATE_HISTORY_MIN: usize = 20;
/// No two clocks differ by more than this.
const RATE_MAX: f64 = 0.001;

/// A snapshot as the clock sees it. All times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// The tick at which it was sent, with its fraction.
    pub(crate) tick: f64,
    /// When it arrived.
    pub(crate) arrived: f64,
    /// The message that it answers.
    pub(crate) echo: Option<Echo>,
}

/// How far the server's clock is ahead of the client's, as the fastest datagrams of one way have it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fastest {
    /// On the way to the server: its arrival there less its sending here. On the way back: its arrival here less
    /// its sending there.
    took: f64,
    /// When, by the client's clock.
    at: f64,
}

/// The fastest datagrams of some time.
#[derive(Clone, Copy, Debug, Default)]
struct Ways {
    there: Option<Fastest>,
    back: Option<Fastest>,
}

/// What the fastest datagrams say.
#[derive(Clone, Copy, Debug)]
struct Estimate {
    /// By how many seconds the server's clock is ahead.
    offset: f64,
    round_trip: f64,
}

impl Ways {
    /// As it would have been measured at `now`, when the server's clock gains `rate` seconds a second.
    fn merge(&mut self, other: &Self, now: f64, rate: f64) {
        let faster = |mine: &mut Option<Fastest>, other: Option<Fastest>, gain: f64| {
            let Some(other) = other else { return };
            let moved = Fastest { took: other.took + gain * (now - other.at), at: now };
            if mine.is_none_or(|mine| moved.took < mine.took) {
                *mine = Some(moved);
            }
        };
        faster(&mut self.there, other.there, rate);
        faster(&mut self.back, other.back, -rate);
    }

    fn estimate(&self) -> Option<Estimate> {
        let (there, back) = (self.there?.took, self.back?.took);
        Some(Estimate { offset: (there - back) / 2.0, round_trip: there + back })
    }
}

/// The server's tick clock as the client knows it.
///
/// The shown clock ([`ServerClock::tick_at`]) corrects itself by at most 5 % of real time and never goes back, unless
/// it is more than half a second off: then it steps.
#[derive(Clone, Debug)]
pub(crate) struct ServerClock {
    hz: f64,
    recent: VecDeque<Ways>,
    /// Each with its beginning.
    spans: VecDeque<(f64, Ways)>,
    /// Seconds that the server's clock gains in one of ours.
    rate: f64,
    offsets: VecDeque<(f64, f64)>,
    line: Option<Line>,
    shown: Option<Slewed>,
    round_trip: f64,
    steps: u64,
}

impl ServerClock {
    pub(crate) fn new(tick_hz: u32) -> Self {
        Self {
            hz: f64::from(tick_hz.max(1)),
            recent: VecDeque::with_capacity(RECENT + 1),
            spans: VecDeque::with_capacity(SPANS + 1),
            rate: 0.0,
            offsets: VecDeque::with_capacity(RATE_HISTORY + 1),
            line: None,
            shown: None,
            round_trip: 0.0,
            steps: 0,
        }
    }

    /// Takes a snapshot; `jitter` is the mean deviation of the round trip.
    pub(crate) fn observe(&mut self, sample: Sample, jitter: f64) {
        let now = sample.arrived;
        let server = sample.tick / self.hz;
        self.recent.push_back(Ways {
            there: sample.echo.map(|echo| Fastest { took: server - echo.hold - echo.sent, at: echo.sent }),
            back: Some(Fastest { took: now - server, at: now }),
        });
        while let Some(&(begin, _)) = self.spans.front()
            && now - begin > SPAN_SECONDS_KEPT
        {
            self.spans.pop_front();
        }
        let by = CONTRADICTION + jitter / 4.0;
        let recent = self.merge_recent(now, by);
        let mut older = Ways::default();
        self.spans.iter().for_each(|(_, ways)| older.merge(ways, now, self.rate));
        if contradict(&recent, &older, by) {
            self.forget();
            older = Ways::default();
        }
        older.merge(&recent, now, self.rate);
        // back before it was sent: what is left is of two times
        if let Some(estimate) = older.estimate().filter(|estimate| estimate.round_trip > -by) {
            self.follow(estimate, now);
        }
        if self.recent.len() > RECENT
            && let Some(ways) = self.recent.pop_front()
        {
            self.keep(&ways, now);
        }
    }

    /// What the recent ones say together. Those are let go of that are of another time than the newest: a datagram would be back
    /// before it was sent. A server whose ticks are late all the time leaves only one or two.
    fn merge_recent(&mut self, now: f64, by: f64) -> Ways {
        loop {
            let mut recent = Ways::default();
            self.recent.iter().for_each(|ways| recent.merge(ways, now, self.rate));
            let is_possible = recent.estimate().is_none_or(|estimate| estimate.round_trip > -by);
            if is_possible || self.recent.len() == 1 {
                return recent;
            }
            self.recent.pop_front();
            self.forget();
        }
    }

    /// What is known but for the recent ones is of a time that is no more.
    fn forget(&mut self) {
        self.spans.clear();
        self.offsets.clear();
    }

    /// Puts what is not recent any more into its span.
    fn keep(&mut self, ways: &Ways, now: f64) {
        if self.spans.back().is_none_or(|&(begin, _)| now - begin >= SPAN_SECONDS) {
            if self.spans.len() == SPANS {
                self.spans.pop_front();
                self.compare_rates(now);
            }
            self.spans.push_back((now, Ways::default()));
        }
        if let Some((_, span)) = self.spans.back_mut() {
            span.merge(ways, now, self.rate);
        }
    }

    /// Notes where the server's clock is and fits a straight line through where it has been.
    fn compare_rates(&mut self, now: f64) {
        let Some(line) = self.line else { return };
        if self.offsets.len() == RATE_HISTORY {
            self.offsets.pop_front();
        }
        self.offsets.push_back((now, line.value_at(now) / self.hz - now));
        if self.offsets.len() < RATE_HISTORY_MIN {
            return;
        }
        let sum = self.offsets.iter().fold((0.0, 0.0, 0.0), |(count, times, offsets), &(at, offset)| {
            (count + 1.0, times + at, offsets + offset)
        });
        let mean = (sum.1 / sum.0, sum.2 / sum.0);
        let (mut product, mut square) = (0.0, 0.0);
        for &(at, offset) in &self.offsets {
            product += (at - mean.0) * (offset - mean.1);
            square += (at - mean.0) * (at - mean.0);
        }
        self.rate = (product / square).clamp(-RATE_MAX, RATE_MAX);
    }

    fn follow(&mut self, estimate: Estimate, now: f64) {
        let line = Line {
            at: now,
            value: (now + estimate.offset) * self.hz,
            per_second: self.hz * (1.0 + self.rate),
        };
        self.line = Some(line);
        self.round_trip = estimate.round_trip.max(0.0);
        let limits =
            SlewLimits { per_second: SLEW * self.hz, seconds: SLEW_SECONDS, step: STEP_SECONDS * self.hz };
        match &mut self.shown {
            None => self.shown = Some(Slewed::on(line)),
            Some(shown) => self.steps += u64::from(shown.follow(line, now, &limits)),
        }
    }

    /// The tick that the server is at, as it is shown: without jumps. `None` before the first round trip.
    pub(crate) fn tick_at(&self, now: f64) -> Option<f64> {
        self.shown.map(|shown| shown.value_at(now))
    }

    /// The best estimate of the same, whatever it was before.
    pub(crate) fn line(&self) -> Option<Line> {
        self.line
    }

    /// The fastest round trip of the last seconds, in seconds.
    pub(crate) fn fastest_round_trip(&self) -> f64 {
        self.round_trip
    }

    /// How often the clock was more than half a second off and stepped.
    pub(crate) fn steps(&self) -> u64 {
        self.steps
    }
}

/// Whether one way has become slower and the other faster than ever, as when the server's clock was put.
fn contradict(recent: &Ways, older: &Ways, by: f64) -> bool {
    let change = |recent: Option<Fastest>, older: Option<Fastest>| Some(recent?.took - older?.took);
    let there = change(recent.there, older.there);
    let back = change(recent.back, older.back);
    matches!((there, back), (Some(there), Some(back))
        if there < -by && back > by || there > by && back < -by)
}

#[cfg(test)]
mod tests;
