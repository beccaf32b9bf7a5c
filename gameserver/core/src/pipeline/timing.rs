//! How early a player's inputs come, and how early they should.

/// Ticks over which the smallest spare time is taken.
const WINDOW_TICKS: u64 = 32;
/// Spare ticks at least: an input that arrives while its tick is under way is late.
const TARGET_MIN: i64 = 1;
/// Spare ticks at most: a quarter of a second at 64 Hz, beyond which play feels worse than an input now and then that
/// comes late.
const TARGET_MAX: i64 = 16;
/// The spare time shrinks by a tick after this long without a late input.
const CALM_SECONDS: u64 = 5;
/// Ticks by which a client is told to hurry at most, either way.
const HURRY_MAX: i64 = 8;

/// Follows how many ticks before their own a player's inputs arrive, and how many it takes for none to be late: more
/// after a late one, fewer after a calm while. So the buffer grows with loss and jitter and shrinks when they are over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    target: i64,
    /// Smallest spare time in this window and in the one before.
    smallest: Option<i64>,
    smallest_before: Option<i64>,
    window_end: u64,
    /// When an input was last late, or the target last lowered.
    calm_since: u64,
    raised_at: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            target: TARGET_MIN,
            smallest: None,
            smallest_before: None,
            window_end: 0,
            calm_since: 0,
            raised_at: 0,
        }
    }
}

impl Timing {
    /// An input for the tick `aimed` has arrived while `tick` was the newest. Returns whether it is late.
    pub(crate) fn record(&mut self, tick: u64, aimed: u64) -> bool {
        self.turn_window(tick);
        let spare = i64::try_from(aimed).unwrap_or(i64::MAX).saturating_sub_unsigned(tick + 1);
        self.smallest = Some(self.smallest.map_or(spare, |smallest| smallest.min(spare)));
        if spare >= 0 {
            return false;
        }
        self.calm_since = tick;
        // one raise a window: what is late together is late for one reason
        if tick >= self.raised_at + WINDOW_TICKS || self.raised_at == 0 {
            self.target = (self.target + 1).min(TARGET_MAX);
            self.raised_at = tick.max(1);
        }
        true
    }

    /// By how many ticks the client should aim earlier; later if negative.
    pub(crate) fn hurry(&mut self, tick: u64, tick_hz: u32) -> i8 {
        self.turn_window(tick);
        if tick.saturating_sub(self.calm_since) >= CALM_SECONDS * u64::from(tick_hz) {
            self.target = (self.target - 1).max(TARGET_MIN);
            self.calm_since = tick;
        }
        let smallest = match (self.smallest, self.smallest_before) {
            (Some(now), Some(before)) => now.min(before),
            (Some(spare), None) | (None, Some(spare)) => spare,
            (None, None) => return 0,
        };
        let hurry = (self.target - smallest).clamp(-HURRY_MAX, HURRY_MAX);
        // a tick too early costs less than swinging to and fro
        if hurry == -1 { 0 } else { i8::try_from(hurry).unwrap_or(0) }
    }

    fn turn_window(&mut self, tick: u64) {
        if tick >= self.window_end {
            let is_next = tick < self.window_end + WINDOW_TICKS;
            self.smallest_before = self.smallest.take().filter(|_| is_next);
            self.window_end = tick + WINDOW_TICKS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 64;

    /// Plays `ticks` ticks in which each input has `spare` ticks, and returns the last word on hurrying.
    fn play(timing: &mut Timing, ticks: std::ops::Range<u64>, spare: impl Fn(u64) -> i64) -> i8 {
        let mut hurry = 0;
        for tick in ticks {
            timing.record(tick, (tick + 1).saturating_add_signed(spare(tick)));
            hurry = timing.hurry(tick, HZ);
        }
        hurry
    }

    #[test]
    fn a_client_is_told_to_come_as_early_as_its_inputs_need() {
        for (name, spare, expected) in [
            ("just right", 1, 0),
            ("one too early is left alone", 2, 0),
            ("too early", 4, -3),
            ("much too early", 40, -8),
            ("no time to spare", 0, 1),
        ] {
            assert_eq!(play(&mut Timing::default(), 100..200, |_| spare), expected, "{name}");
        }
    }

    #[test]
    fn a_late_input_makes_it_hurry_by_what_it_was_late_and_more_the_longer_it_goes_on() {
        let mut timing = Timing::default();
        assert!(timing.record(100, 99));
        assert_eq!(timing.hurry(100, HZ), 4, "two ticks late, and from now on two to spare");
        assert!(play(&mut timing, 101..200, |_| -1) > 4);
    }

    #[test]
    fn the_spare_time_shrinks_again_when_nothing_is_late_any_more() {
        let mut timing = Timing::default();
        play(&mut timing, 100..400, |tick| if tick % 40 == 0 { -1 } else { 8 });
        let wanted = timing.target;
        assert!(wanted > 4, "{wanted}");
        play(&mut timing, 400..400 + 64 * 60, |_| 8);
        assert_eq!(timing.target, TARGET_MIN);
    }

    #[test]
    fn who_sends_nothing_is_told_nothing() {
        let mut timing = Timing::default();
        timing.record(100, 90);
        assert_ne!(timing.hurry(101, HZ), 0);
        assert_eq!(timing.hurry(100 + 3 * WINDOW_TICKS, HZ), 0);
    }
}
