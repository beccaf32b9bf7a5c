//! Where the searches of a run begin. Each run has a grid of its own at each rate, and everyone in it the same: runs that all tried the same
//! numbers would agree by that alone.

use std::fs::File;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::checkout::digest;

/// Percent of what is thought with which a search begins, at least and at most. Far above it our own bots are late, and such a trial is
/// tried again for nothing.
pub(super) const PERCENT: [u32; 2] = [85, 118];

/// What the grids of a run follow from; kept with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seed(u32);

impl Seed {
    /// A new one.
    pub(super) fn draw() -> Result<Self> {
        let mut bytes = [0; 4];
        let source = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
        source.context("failed to get random bytes from the system")?;
        Ok(Self(u32::from_be_bytes(bytes)))
    }

    /// With how many players a search begins at this rate, of about `thought` that the server is thought to hold.
    pub(super) fn start(self, thought: u32, tick_hz: u32) -> u32 {
        let [least, most] = PERCENT.map(|percent| percent * 10);
        let drawn = digest([&self.0.to_be_bytes()[..], &tick_hz.to_be_bytes()]);
        let drawn = drawn.get(..8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).unwrap_or(0);
        thought * (least + drawn % (most - least + 1)) / 1000
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::peers::contenders::RATES;

    #[test]
    fn a_start_is_within_its_bounds_and_follows_from_seed_and_rate_alone() {
        let all: Vec<u32> =
            (0..300).flat_map(|seed| RATES.map(|rate| Seed(seed).start(1000, rate))).collect();
        assert!(all.iter().all(|start| (850..=1180).contains(start)));
        // all of the way and not a part of it
        let (least, most) = (all.iter().min().unwrap(), all.iter().max().unwrap());
        assert!(*least < 855 && *most > 1175, "{least} to {most}");
        let low = all.iter().filter(|start| **start < 1015).count();
        assert!((500..700).contains(&low), "{low} of 1200 are in the lower half");
        assert_eq!(Seed(7).start(1000, 64), Seed(7).start(1000, 64));
    }

    #[test]
    fn runs_and_rates_begin_elsewhere_and_all_of_one_run_and_rate_at_the_same_part_of_what_is_thought() {
        let starts = RATES.map(|rate| Seed(1).start(100_000, rate));
        let other = RATES.map(|rate| Seed(2).start(100_000, rate));
        for (at, start) in starts.into_iter().enumerate() {
            assert!(!starts[..at].contains(&start) && !other.contains(&start), "{starts:?} {other:?}");
            assert_eq!(Seed(1).start(1000, RATES[at]), start / 100);
        }
    }
}
