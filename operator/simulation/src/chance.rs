//! Chance that follows from a seed.

/// Numbers that follow from a seed (SplitMix64).
pub(super) struct Chance(pub(super) u64);

impl Chance {
    /// One of so many, from 0.
    pub(super) fn below(&mut self, count: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        u32::try_from(mix(self.0) % u64::from(count)).unwrap()
    }

    pub(super) fn index(&mut self, count: usize) -> usize {
        self.below(u32::try_from(count).unwrap()) as usize
    }

    pub(super) fn seconds(&mut self, least: u64, more: u32) -> u64 {
        least + u64::from(self.below(more))
    }

    pub(super) fn is_one_in(&mut self, count: u32) -> bool {
        self.below(count) == 0
    }
}

/// A number in which each bit depends on all of this one.
pub(super) fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}
