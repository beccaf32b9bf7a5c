//! How early a player's inputs come, and how early they should. Times are in parts of a tick, of which one has [`PARTS`].

use gameserver_protocol::message::TICK_PARTS;

pub(crate) const PARTS: i64 = TICK_PARTS as i64;
/// Arrivals are remembered for so many ticks: a client waits for as long until it follows again what is asked of it.
const REMEMBERED_TICKS: usize = u64::BITS as usize;
/// What is late within so many ticks is late for one reason.
const WINDOW_TICKS: u64 = 32;
/// How late an arrival counts for at most where others were in time: four ticks, 62 ms at 64 Hz. What was held up for longer was
/// held up by something that passes; everything after it would come too early for a while.
const HELD_UP_MAX: i64 = 4 * PARTS;
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
/// How much too early is left alone, or put right one part at a time where the arrivals are as many as can be: it costs less than
/// swinging to and fro.
const LITTLE_EARLY: i8 = 3;
/// How much a client is told to hurry at most, either way: nearly eight ticks.
const HURRY_MAX: i64 = i8::MAX as i64;

/// Follows how long before their tick a player's inputs arrive, and how long it takes for none to be late: more
/// after a late one, less after a calm while. So the buffer grows with loss and jitter and shrinks when they are over.
#[derive(Clone, Debug)]
pub(crate) struct Timing {
    target: i64,
    arrivals: Arrivals,
    /// What the arrivals had to spare at least, as of the newest.
    least: i64,
    /// When an input was last late, or the target last lowered.
    calm_since: u64,
    raised_at: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self { target: TARGET_MIN, arrivals: Arrivals::default(), least: 0, calm_since: 0, raised_at: 0 }
    }
}

impl Timing {
    /// An input for the tick `aimed` has arrived when `tick` had been the newest for `since`. Returns whether it is late.
    pub(crate) fn record(&mut self, tick: u64, since: i64, aimed: u64) -> bool {
        let is_late = aimed <= tick;
        let ticks = i64::try_from(aimed).unwrap_or(i64::MAX).saturating_sub_unsigned(tick);
        let spare = ticks.saturating_mul(PARTS).saturating_sub(since);
        // a tick that is overdue takes an input as any does that has not begun
        self.arrivals.add(tick, if is_late { spare.min(-1) } else { spare.max(0) });
        self.least = self.arrivals.least(u64::MAX).unwrap_or(0);
        if is_late {
            self.calm_since = tick;
            self.raise(tick);
        }
        is_late
    }

    /// One raise a window, and none while what is late goes on, since a client that does as it is told takes a while.
    fn raise(&mut self, tick: u64) {
        const WINDOW: u64 = (1 << WINDOW_TICKS) - 1;
        let was_in_time = self.arrivals.least(!WINDOW).is_none_or(|spare| spare >= 0);
        let is_one_of_several = self.arrivals.least(WINDOW).is_some_and(|spare| spare < 0);
        if was_in_time && is_one_of_several && (tick >= self.raised_at + WINDOW_TICKS || self.raised_at == 0)
        {
            self.target = (self.target + STEP).min(TARGET_MAX);
            self.raised_at = tick.max(1);
        }
    }

    /// By how much the client should aim earlier; later if negative.
    pub(crate) fn hurry(&mut self, tick: u64, tick_hz: u32) -> i8 {
        if tick.saturating_sub(self.calm_since) >= CALM_SECONDS * u64::from(tick_hz) {
            self.target -= (self.target - TARGET_MIN + 3) / 4;
            self.calm_since = tick;
        }
        if self.arrivals.are_old(tick) {
            return 0;
        }
        let hurry = (self.target - self.least).clamp(-HURRY_MAX, HURRY_MAX);
        match i8::try_from(hurry).unwrap_or(0) {
            -1 => 0,
            little if (-LITTLE_EARLY..0).contains(&little) => {
                -i8::from(self.arrivals.are_as_many_as_can_be())
            }
            much => much,
        }
    }
}

/// What inputs had to spare that arrived lately: the least of each tick, since what was held up together comes together and is
/// held up once.
#[derive(Clone, Debug)]
struct Arrivals {
    newest: u64,
    /// Bit k: inputs arrived at the tick `newest - k`.
    there: u64,
    /// By tick modulo their number.
    spare: [i16; REMEMBERED_TICKS],
}

impl Default for Arrivals {
    fn default() -> Self {
        Self { newest: 0, there: 0, spare: [0; REMEMBERED_TICKS] }
    }
}

impl Arrivals {
    /// `tick` is the newest or a later one.
    fn add(&mut self, tick: u64, spare: i64) {
        let by = u32::try_from(tick.saturating_sub(self.newest)).unwrap_or(u32::MAX);
        self.there = self.there.checked_shl(by).unwrap_or(0);
        self.newest = tick.max(self.newest);
        let spare = i16::try_from(spare).unwrap_or(if spare < 0 { i16::MIN } else { i16::MAX });
        let place = &mut self.spare[Self::place(self.newest)];
        *place = if self.there & 1 == 0 { spare } else { spare.min(*place) };
        self.there |= 1;
    }

    /// The smallest spare time of the ticks whose bits are `among`, with one of them left alone, or two of 64. What is left alone
    /// may be late: it is carried out a tick later than its player saw it, which costs less than to have all others wait for its like.
    fn least(&self, among: u64) -> Option<i64> {
        let mut left = self.there & among;
        let found = left.count_ones();
        let (mut smallest, mut most) = ([i16::MAX; 3], i16::MIN);
        while left != 0 {
            let spare = self.spare[Self::place(self.newest - u64::from(left.trailing_zeros()))];
            most = most.max(spare);
            let mut larger = spare;
            for place in &mut smallest {
                (*place, larger) = ((*place).min(larger), (*place).max(larger));
            }
            left &= left - 1;
        }
        let left_alone = match found {
            0 => return None,
            1 => 0,
            2..64 => 1,
            _ => 2,
        };
        Some(i64::from(smallest[left_alone]).max(i64::from(most.min(0)) - HELD_UP_MAX))
    }

    /// Whether there was one in each tick. The least of fewer goes up and down more.
    fn are_as_many_as_can_be(&self) -> bool {
        self.there == u64::MAX
    }

    fn are_old(&self, tick: u64) -> bool {
        self.there == 0 || self.newest + REMEMBERED_TICKS as u64 <= tick
    }

    fn place(tick: u64) -> usize {
        usize::try_from(tick % REMEMBERED_TICKS as u64).unwrap_or(0)
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
            ("hardly too early is left alone", 4, 0),
            ("a little too early is put right bit by bit", 6, -1),
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
    fn a_little_too_early_is_left_alone_where_inputs_are_few() {
        for (spare, expected) in [(6, 0), (7, -4)] {
            let mut timing = Timing::default();
            (100..200).step_by(3).for_each(|tick| {
                timing.record(tick, PARTS - spare, tick + 1);
            });
            assert_eq!(timing.hurry(199, HZ), expected, "{spare}");
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
        assert_eq!(
            play(&mut timing, 301..302, |_| -1),
            2,
            "two of 64 ask for an eighth of a tick more to spare"
        );
        assert_eq!(play(&mut timing, 302..303, |_| -1), 8, "three are not left alone");
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
    fn what_was_held_up_counts_once_and_by_no_more_than_four_ticks() {
        let held_up = |ticks: &[u64], for_ticks: u64| {
            let mut timing = Timing::default();
            play(&mut timing, 100..150, |_| 5);
            for &tick in ticks {
                (0..for_ticks).for_each(|ago| {
                    timing.record(tick, 10, tick - ago);
                });
            }
            timing.hurry(ticks[ticks.len() - 1], HZ)
        };
        assert_eq!(held_up(&[150], 20), 0, "what comes at once");
        assert_eq!(held_up(&[150, 151], 3), 5 + 42, "what comes in two ticks, two and a half late");
        assert_eq!(held_up(&[150, 151], 20), 5 + 64, "much later than that");
        let mut timing = Timing::default();
        assert_eq!(
            play(&mut timing, 100..200, |_| -6 * PARTS),
            5 + 6 * 16,
            "whose inputs are all late is far off"
        );
    }

    #[test]
    fn one_of_few_is_left_alone_and_two_of_64() {
        for (ticks, late, expected) in [(1, 1, -20), (20, 1, 5), (20, 2, -20), (64, 2, 5), (64, 3, -20)] {
            let mut arrivals = Arrivals::default();
            for tick in 0..ticks {
                arrivals
                    .add(100 + tick, if tick % 2 == 1 && tick / 2 < late || ticks == 1 { -20 } else { 5 });
            }
            assert_eq!(arrivals.least(u64::MAX), Some(expected), "{late} of {ticks}");
        }
        assert_eq!(Arrivals::default().least(u64::MAX), None);
    }

    #[test]
    fn who_sends_nothing_is_told_nothing() {
        let mut timing = Timing::default();
        timing.record(100, 0, 90);
        assert_ne!(timing.hurry(101, HZ), 0);
        assert_eq!(timing.hurry(100 + 3 * WINDOW_TICKS, HZ), 0);
    }
}
