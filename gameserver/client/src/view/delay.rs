//! How far in the past others are drawn: as little as can be without running out of news.

use std::collections::VecDeque;

use crate::slew::{Line, SlewLimits, Slewed};

/// Bounds of the delay, in seconds.
const DELAY: (f64, f64) = (0.05, 0.25);
/// Time goes this much faster or slower for those who are drawn when the delay changes.
const SLEW: f64 = 0.1;
/// How old the newest news were is noted in spans of this many seconds …
const SPAN_SECONDS: f64 = 0.5;
/// … of which so many are remembered.
const SPANS: usize = 8;

/// The delay follows how old the newest snapshot was whenever the next came: with it nothing of the last four
/// seconds would have been missed but for the worst half second.
#[derive(Clone, Debug)]
pub(crate) struct ViewDelay {
    hz: f64,
    /// Beginning of each span, and the most that news were behind in it, in ticks.
    spans: VecDeque<(f64, f64)>,
    delay: Slewed,
}

impl ViewDelay {
    pub(crate) fn new(tick_hz: u32) -> Self {
        let hz = f64::from(tick_hz.max(1));
        let delay = Slewed::on(Line { at: 0.0, value: DELAY.1 * hz / 2.0, per_second: 0.0 });
        Self { hz, spans: VecDeque::with_capacity(SPANS + 1), delay }
    }

    /// Notes that the newest snapshot was `behind` ticks old when the next arrived.
    pub(crate) fn observe(&mut self, now: f64, behind: f64) {
        match self.spans.back_mut() {
            Some((begin, most)) if now - *begin < SPAN_SECONDS => *most = most.max(behind),
            _ => self.spans.push_back((now, behind)),
        }
        if self.spans.len() > SPANS {
            self.spans.pop_front();
        }
        let (mut most, mut second) = (f64::MIN, f64::MIN);
        for &(_, behind) in &self.spans {
            second = second.max(behind.min(most));
            most = most.max(behind);
        }
        let wanted = if self.spans.len() < SPANS { most } else { second };
        let value = wanted.clamp(DELAY.0 * self.hz, DELAY.1 * self.hz);
        let limits = SlewLimits { per_second: SLEW * self.hz, seconds: 0.5, step: f64::INFINITY };
        self.delay.follow(Line { at: now, value, per_second: 0.0 }, now, &limits);
    }

    /// The delay in ticks.
    pub(crate) fn ticks(&self, now: f64) -> f64 {
        self.delay.value_at(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: f64 = 64.0;

    /// The delay in milliseconds after ten seconds of snapshots that come so many milliseconds after the one before
    /// was sent.
    fn delay(behind_ms: impl Fn(u32) -> f64) -> f64 {
        let mut delay = ViewDelay::new(64);
        let mut last = delay.ticks(0.0);
        for step in 0..200 {
            let now = f64::from(step) * 0.05;
            delay.observe(now, behind_ms(step) * HZ / 1000.0);
            let ticks = delay.ticks(now);
            assert!((ticks - last).abs() <= 0.1 * HZ * 0.05 + 1e-9, "from {last} to {ticks} at {now}");
            last = ticks;
        }
        last / HZ * 1000.0
    }

    #[test]
    fn the_delay_is_how_old_news_become_within_its_bounds() {
        for (name, ms, expected) in [
            ("a near server", 20.0, 50.0),
            ("a far one", 130.0, 130.0),
            ("one that hardly sends", 900.0, 250.0),
        ] {
            let found = delay(|_| ms);
            assert!((found - expected).abs() < 1.0, "{name}: {found} ms");
        }
    }

    #[test]
    fn a_snapshot_that_is_lost_now_and_then_is_allowed_for_and_a_single_stall_is_not() {
        let lossy = delay(|step| if step % 15 == 0 { 150.0 } else { 100.0 });
        assert!((lossy - 150.0).abs() < 1.0, "{lossy} ms");
        let stalled = delay(|step| if step == 180 { 400.0 } else { 100.0 });
        assert!((stalled - 100.0).abs() < 1.0, "{stalled} ms");
    }
}
