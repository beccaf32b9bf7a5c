//! Hashing of what strangers choose, with a key of each boot.

use std::fmt;
use std::hash::{BuildHasher, Hasher};

use gameserver_game::mix;

/// Makes hashers for tables keyed by what strangers send: seeded, so that nobody can aim at one slot, and a few
/// nanoseconds each. (The standard library's random state would draw from the operating system.)
#[derive(Clone, Copy)]
pub(crate) struct KeyedState {
    seed: u64,
    multiplier: u64,
}

impl fmt::Debug for KeyedState {
    /// Without the seed: who knows it can aim.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeyedState").finish_non_exhaustive()
    }
}

impl KeyedState {
    pub(crate) fn new(key: &[u8; 32]) -> Self {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| key[at + byte]));
        // odd, so that no input bit is multiplied away
        Self { seed: word(0), multiplier: mix(word(8)) | 1 }
    }
}

impl BuildHasher for KeyedState {
    type Hasher = KeyedHasher;

    fn build_hasher(&self) -> KeyedHasher {
        KeyedHasher { state: self.seed, multiplier: self.multiplier }
    }
}

/// Folds each word into the state by a 64 x 64 -> 128 bit product whose halves are combined.
#[derive(Clone)]
pub(crate) struct KeyedHasher {
    state: u64,
    multiplier: u64,
}

impl KeyedHasher {
    #[inline]
    fn fold(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.multiplier);
        let bytes = product.to_le_bytes();
        let half = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at + byte]));
        self.state = (half(0) ^ half(8)).wrapping_add(0x9E37_79B9_7F4A_7C15);
    }
}

impl Hasher for KeyedHasher {
    #[inline]
    fn finish(&self) -> u64 {
        mix(self.state)
    }

    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.fold(value.into());
    }

    #[inline]
    fn write_u16(&mut self, value: u16) {
        self.fold(value.into());
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.fold(value.into());
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.fold(value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::net::SocketAddr;

    fn addresses() -> impl Iterator<Item = SocketAddr> {
        (0..10_000_u16).map(|port| SocketAddr::from(([10, 0, 0, 1], port)))
    }

    #[test]
    fn neighbouring_addresses_spread_over_a_table() {
        let state = KeyedState::new(&[7; 32]);
        let slots: BTreeSet<_> = addresses().map(|address| state.hash_one(address) % 4096).collect();
        assert!(slots.len() > 3500, "{} of 4096 slots used", slots.len());
        let hashes: BTreeSet<_> = addresses().map(|address| state.hash_one(address)).collect();
        assert_eq!(hashes.len(), 10_000);
    }

    #[test]
    fn another_key_spreads_differently() {
        let (one, two) = (KeyedState::new(&[7; 32]), KeyedState::new(&[8; 32]));
        let same = addresses().filter(|address| one.hash_one(address) % 4096 == two.hash_one(address) % 4096);
        assert!(same.count() < 50);
    }
}
