//! Deterministic chance, for everything but keys.

/// A stream of pseudo-random numbers (SplitMix64): for games, never for keys. One per concern, so that
/// drawing for one does not shift another.
#[derive(Clone, Debug)]
pub struct RandomStream(u64);

impl RandomStream {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        mix(self.0)
    }

    /// What the next numbers come from.
    pub fn state(&self) -> u64 {
        self.0
    }

    /// Uniform below `bound`, which must be positive (the bias of one part in 2^32 does not matter here).
    pub fn below(&mut self, bound: u32) -> u32 {
        let high = self.next_u64() >> 32;
        // the product of two 32-bit numbers, shifted right by 32, is below `bound`
        u32::try_from((high * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

/// Spreads every bit of `value` over all of them.
pub const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_numbers() {
        // Reference output of SplitMix64 for seed 1234567.
        let mut stream = RandomStream::new(1_234_567);
        assert_eq!(stream.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(stream.next_u64(), 3_203_168_211_198_807_973);
    }

    #[test]
    fn draws_stay_below_the_bound_and_reach_its_ends() {
        let mut stream = RandomStream::new(1);
        let draws: Vec<_> = (0..1000).map(|_| stream.below(10)).collect();
        assert_eq!(draws.iter().max(), Some(&9));
        assert_eq!(draws.iter().min(), Some(&0));
    }
}
