//! How many people of each region want to play at a time: days that come later from region to region, and sudden crowds.

use super::PLAYERS_MAX;
use super::chance::{Chance, mix};

/// A day of the simulation. Everything else goes at its own pace, so crowds grow and go 48 times as fast as in life.
pub const DAY_SECONDS: u64 = 1800;

/// Players at night of those at the best hour, per mille.
const NIGHT: u64 = 250;
/// Most players of days, without sudden crowds.
const DAYS_MAX: u64 = PLAYERS_MAX as u64 * 3 / 4;
/// Most players of one sudden crowd; they follow one another.
const LAUNCH_MAX: u32 = PLAYERS_MAX / 4;
/// A sudden crowd comes within so long, and goes within the other.
const LAUNCH_RISES_FOR: u64 = 40;
const LAUNCH_FALLS_FOR: u64 = 400;
/// From its beginning to its end.
pub(super) const LAUNCH_SECONDS: u64 = LAUNCH_RISES_FOR + LAUNCH_FALLS_FOR;
/// From nobody to the crowd of the hour, at the beginning.
const OPENS_WITHIN: u64 = 60;
/// How far a crowd jitters below its size, per mille, and how often.
const JITTER: u64 = 10;
const JITTER_SECONDS: u64 = 7;

/// All crowds of a run.
pub(super) struct Waves {
    seed: u64,
    has_days: bool,
    /// Players of each region at its best hour, and how much later that comes than at the first region.
    regions: Vec<(u64, u64)>,
    /// The last sudden crowd: where, since when, how many.
    launch: Option<(usize, u64, u64)>,
}

impl Waves {
    pub(super) fn new(chance: &mut Chance, seed: u64, count: usize, has_days: bool) -> Self {
        let mut region = |at: usize| {
            let size = if has_days { 20 + u64::from(chance.below(80)) } else { 100 };
            (size, DAY_SECONDS * at as u64 / count as u64)
        };
        let regions = (0..count).map(&mut region).collect();
        let mut waves = Self { seed, has_days, regions, launch: None };
        let sum = |waves: &Self, now| (0..count).map(|at| waves.of_day(at, now)).sum::<u64>();
        // sizes so large that their rounding does not matter
        waves.regions.iter_mut().for_each(|(size, _)| *size *= 10_000);
        let most = (0..DAY_SECONDS).map(|now| sum(&waves, now)).max().unwrap_or(1);
        waves.regions.iter_mut().for_each(|(size, _)| *size = *size * DAYS_MAX / most);
        waves
    }

    fn of_day(&self, at: usize, now: u64) -> u64 {
        let (size, later) = self.regions[at];
        if !self.has_days {
            return size;
        }
        // 0 at night, 1000 at the best hour, flat at both
        let hour = (now + later) % DAY_SECONDS;
        let rise = hour.min(DAY_SECONDS - hour) * 2000 / DAY_SECONDS;
        let smooth = rise * rise * (3000 - 2 * rise) / 1_000_000;
        size * (NIGHT * 1000 + (1000 - NIGHT) * smooth) / 1_000_000
    }

    /// A crowd comes all at once, if the one before has gone.
    pub(super) fn launch(&mut self, chance: &mut Chance, at: usize, now: u64) -> bool {
        let is_over = !self.is_launching(now);
        if is_over {
            self.launch = Some((at, now, u64::from(LAUNCH_MAX / 2 + chance.below(LAUNCH_MAX / 2))));
        }
        is_over
    }

    /// Whether a sudden crowd is there.
    pub(super) fn is_launching(&self, now: u64) -> bool {
        self.launch.is_some_and(|(_, since, _)| now < since + LAUNCH_SECONDS)
    }

    fn launched(&self, at: usize, now: u64) -> u64 {
        let Some((_, since, size)) = self.launch.filter(|&(of, ..)| of == at) else { return 0 };
        let age = now - since;
        if age < LAUNCH_RISES_FOR {
            size * age / LAUNCH_RISES_FOR
        } else {
            let left = LAUNCH_FALLS_FOR.saturating_sub(age - LAUNCH_RISES_FOR);
            size * left / LAUNCH_FALLS_FOR
        }
    }

    /// People of the region who want to play now.
    pub(super) fn wanted(&self, at: usize, now: u64) -> u32 {
        let whole = self.of_day(at, now) * now.min(OPENS_WITHIN) / OPENS_WITHIN + self.launched(at, now);
        let jitter = mix(self.seed ^ mix(at as u64) ^ mix(now / JITTER_SECONDS)) % (JITTER + 1);
        u32::try_from(whole * (1000 - jitter) / 1000).unwrap()
    }
}
