//! How many bots play at which moment of a ramp, and how they are shared between regions.

use std::time::Duration;

/// How many bots should play when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ramp {
    /// At the top.
    pub(crate) players: u32,
    pub(crate) up: Duration,
    pub(crate) hold: Duration,
    pub(crate) down: Duration,
    /// Begin again, after as long at none as at the top.
    pub(crate) cycle: bool,
}

impl Ramp {
    /// Bots wanted after `elapsed`; `None` when the ramp is over.
    pub(crate) fn target(&self, elapsed: Duration) -> Option<u32> {
        let top = self.up + self.hold;
        let bottom = top + self.down;
        let elapsed = if self.cycle { modulo(elapsed, bottom + self.hold) } else { elapsed };
        if elapsed < self.up {
            Some(part(self.players, elapsed, self.up))
        } else if elapsed < top {
            Some(self.players)
        } else if elapsed < bottom {
            Some(self.players - part(self.players, elapsed.saturating_sub(top), self.down))
        } else {
            self.cycle.then_some(0)
        }
    }
}

/// The share of region number `index` of `count` in `total`.
pub(crate) fn share(total: u32, index: usize, count: usize) -> u32 {
    let (index, count) =
        (u32::try_from(index).unwrap_or(u32::MAX), u32::try_from(count).unwrap_or(u32::MAX).max(1));
    total / count + u32::from(index < total % count)
}

fn part(whole: u32, elapsed: Duration, of: Duration) -> u32 {
    let scaled = u128::from(whole) * elapsed.as_micros();
    scaled.checked_div(of.as_micros()).and_then(|part| u32::try_from(part).ok()).unwrap_or(whole)
}

fn modulo(elapsed: Duration, period: Duration) -> Duration {
    let micros = elapsed.as_micros().checked_rem(period.as_micros()).unwrap_or(0);
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    fn ramp(cycle: bool) -> Ramp {
        Ramp { players: 100, up: 10 * S, hold: 20 * S, down: 5 * S, cycle }
    }

    #[test]
    fn bots_come_stay_and_go_as_told() {
        let cases =
            [(0, Some(0)), (5, Some(50)), (10, Some(100)), (29, Some(100)), (31, Some(80)), (35, None)];
        for (seconds, target) in cases {
            assert_eq!(ramp(false).target(seconds * S), target, "{seconds} s");
        }
    }

    #[test]
    fn a_cycle_rests_at_none_and_begins_again() {
        for (seconds, target) in [(34, 20), (35, 0), (54, 0), (60, 50), (65, 100), (55 * 1000 + 5, 50)] {
            assert_eq!(ramp(true).target(seconds * S), Some(target), "{seconds} s");
        }
    }

    #[test]
    fn a_ramp_of_no_length_is_a_step() {
        let step = Ramp { players: 7, up: Duration::ZERO, hold: Duration::ZERO, down: S, cycle: true };
        assert_eq!(step.target(Duration::ZERO), Some(7));
        let nothing = Ramp { down: Duration::ZERO, ..step };
        assert_eq!(nothing.target(9 * S), Some(0));
    }

    #[test]
    fn shares_add_up_and_differ_by_one_at_most() {
        let shares: Vec<_> = (0..3).map(|region| share(601, region, 3)).collect();
        assert_eq!(shares, [201, 200, 200]);
    }
}
