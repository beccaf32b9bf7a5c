//! How early a player's inputs come, and how early they should. Times are in parts of a tick, of which one has [`PARTS`].

use gameserver_protocol::message::TICK_PARTS;

pub(crate) const PARTS: i64 = TICK_PARTS as i64;
/// Ticks over which the smallest spare time is taken.
const WINDOW_TICKS: u64 = 32;
/// Spare time at least: 3 ms at 64 Hz, for what a wake-up and a few other datagrams before take.
const TARGET_MIN: i64 = 3;
/// Spare time at most: a quarter of a second at 64 Hz, beyond which play feels worse than an input now and then that
/// comes late.
const TARGET_MAX: i64 = 16 * PARTS;
/// What inputs add to the spare time that is wanted that are late after a window without any. Little: where few are late, all
/// others would wait for what is added, and be told later than for an input now and then that is.
const STEP: i64 = PARTS / 8;
/// After this long without a late input, what was added shrinks by a quarter.
const CALM_SECONDS: u64 = 2;
/// How much too early is left alone: it costs less than swinging to and fro.
const TOLERANCE: i64 = 3;
/// How much a client is told to hurry at most, either way: nearly eight ticks.
const HURRY_MAX: i64 = i8::MAX as i64;

/// Follows how long before their tick a player's inputs arrive, and how long it takes for none to be late: more
/// after a late one, less after a calm while. So the buffer grows with loss and jitter and shrinks when they are over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    target: i64,
    /// The smallest spare times in this window and in the one before.
    smallest: Smallest,
    smallest_before: Smallest,
    window_end: u64,
    /// When an input was last late, or the target last lowered.
    calm_since: u64,
    raised_at: u64,
}

/// The smallest two of some spare times. One of a window may be late: it is carried out a tick later than its player saw it,
/// which costs less than to have all others wait for its like.
#[derive(Clone, Copy, Debug, Default)]
struct Smallest {
    least: Option<i64>,
    next: Option<i64>,
}

impl Smallest {
    fn add(&mut self, spare: i64) {
        let Some(least) = self.least else {
            self.least = Some(spare);
            return;
        };
        self.least = Some(least.min(spare));
        let other = least.max(spare);
        self.next = Some(self.next.map_or(other, |next| next.min(other)));
    }

    /// The smallest but one, or the only one.
    fn but_one(self) -> Option<i64> {
        self.next.or(self.least)
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            target: TARGET_MIN,
            smallest: Smallest::default(),
            smallest_before: Smallest::default(),
            window_end: 0,
            calm_since: 0,
            raised_at: 0,
        }
    }
}

impl Timing {
    /// An input for the tick `aimed` has arrived when `tick` had been the newest for `since`. Returns whether it is late.
    pub(crate) fn record(&mut self, tick: u64, since: i64, aimed: u64) -> bool {
        self.turn_window(tick);
        let is_late = aimed <= tick;
        let ticks = i64::try_from(aimed).unwrap_or(i64::MAX).saturating_sub_unsigned(tick);
        let spare = ticks.saturating_mul(PARTS).saturating_sub(since);
        // a tick that is overdue takes an input as any does that has not begun
        let spare = if is_late { spare.min(-1) } else { spare.max(0) };
        self.smallest.add(spare);
        if !is_late {
            return false;
        }
        self.calm_since = tick;
        // one raise a window: what is late together is late for one reason; and none while it goes on, since a client that
        // does as it is told takes a while
        let was_in_time = self.smallest_before.but_one().is_none_or(|spare| spare >= 0);
        let is_one_of_several = self.smallest.but_one().is_some_and(|spare| spare < 0);
        if was_in_time && is_one_of_several && (tick >= self.raised_at + WINDOW_TICKS || self.raised_at == 0)
        {
            self.target = (self.target + STEP).min(TARGET_MAX);
            self.raised_at = tick.max(1);
        }
        true
    }

    /// By how much the client should aim earlier; later if negative.
    pub(crate) fn hurry(&mut self, tick: u64, tick_hz: u32) -> i8 {
        self.turn_window(tick);
        if tick.saturating_sub(self.calm_since) >= CALM_SECONDS * u64::from(tick_hz) {
            self.target -= (self.target - TARGET_MIN + 3) / 4;
            self.calm_since = tick;
        }
        let smallest = match (self.smallest.but_one(), self.smallest_before.but_one()) {
            (Some(now), Some(before)) => now.min(before),
            (Some(spare), None) | (None, Some(spare)) => spare,
            (None, None) => return 0,
        };
        let hurry = (self.target - smallest).clamp(-HURRY_MAX, HURRY_MAX);
        if (-TOLERANCE..0).contains(&hurry) { 0 } else { i8::try_from(hurry).unwrap_or(0) }
    }

    fn turn_window(&mut self, tick: u64) {
        if tick >= self.window_end {
            let is_next = tick < self.window_end + WINDOW_TICKS;
            let before = std::mem::take(&mut self.smallest);
            self.smallest_before = if is_next { before } else { Smallest::default() };
            self.window_end = tick + WINDOW_TICKS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HZ: u32 = 64;

    /// Plays `ticks` ticks in which each input has so much time to spare, and returns the last word on hurrying.
    fn play(timing: &mut Timing, ticks: std::ops::Range<u64>, spare: impl Fn(u64) -> i64) -> i8 {
        let mut hurry = 0;
        for tick in ticks {
            let (aimed, since) = (spare(tick).div_euclid(PARTS) + 1, PARTS - spare(tick).rem_euclid(PARTS));
            timing.record(tick, since, tick.saturating_add_signed(aimed));
            hurry = timing.hurry(tick, HZ);
        }
        hurry
    }

    #[test]
    fn a_client_is_told_to_come_as_early_as_its_inputs_need() {
        for (name, spare, expected) in [
            ("just right", 3, 0),
            ("a little too early is left alone", 6, 0),
            ("too early", 12, -9),
            ("a tick and more too early", 40, -37),
            ("much too early", 40 * PARTS, -127),
            ("no time to spare", 0, 3),
            ("hardly any", 1, 2),
        ] {
            assert_eq!(play(&mut Timing::default(), 100..200, |_| spare), expected, "{name}");
        }
    }

    #[test]
    fn an_input_for_a_tick_that_is_overdue_is_in_time() {
        let mut timing = Timing::default();
        assert!(!timing.record(100, PARTS + 5, 101));
        assert_eq!(timing.hurry(100, HZ), 3, "with nothing to spare");
        assert!(timing.record(100, 0, 100), "of a tick that has begun it is not");
    }

    #[test]
    fn a_late_input_makes_it_hurry_by_what_it_was_late_and_more_if_it_happens_again() {
        let mut timing = Timing::default();
        assert!(timing.record(100, 4, 99));
        assert_eq!(
            timing.hurry(100, HZ),
            20 + 5,
            "a tick and a quarter late, and from now on an eighth of a tick more to spare"
        );
        assert_eq!(play(&mut timing, 101..200, |_| -20), 25, "and no more while it has not done so");
        assert_eq!(play(&mut timing, 200..300, |_| 5), 0);
        assert_eq!(play(&mut timing, 300..301, |_| -1), 0, "one that is late is left alone");
        assert_eq!(play(&mut timing, 301..302, |_| -1), 8, "two are not");
    }

    #[test]
    fn the_spare_time_shrinks_again_when_nothing_is_late_any_more() {
        let mut timing = Timing::default();
        play(&mut timing, 100..400, |tick| if tick % 80 < 2 { -20 } else { 8 * PARTS });
        let wanted = timing.target;
        assert!(wanted > TARGET_MIN + 2 * STEP, "{wanted}");
        play(&mut timing, 400..400 + 64 * 60, |_| 8 * PARTS);
        assert_eq!(timing.target, TARGET_MIN);
    }

    #[test]
    fn who_sends_nothing_is_told_nothing() {
        let mut timing = Timing::default();
        timing.record(100, 0, 90);
        assert_ne!(timing.hurry(101, HZ), 0);
        assert_eq!(timing.hurry(100 + 3 * WINDOW_TICKS, HZ), 0);
    }
}
