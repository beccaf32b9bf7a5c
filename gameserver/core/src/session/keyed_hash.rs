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
    use std::cell::Cell;
    use std::collections::{BTreeSet, HashMap};
    use std::hash::Hash;
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

    thread_local! {
        static COMPARISONS: Cell<usize> = const { Cell::new(0) };
    }

    /// An address that counts how often it is compared.
    #[derive(Eq)]
    struct Counted(SocketAddr);

    impl PartialEq for Counted {
        fn eq(&self, other: &Self) -> bool {
            COMPARISONS.set(COMPARISONS.get() + 1);
            self.0 == other.0
        }
    }

    impl Hash for Counted {
        fn hash<H: Hasher>(&self, state: &mut H) {
            self.0.hash(state);
        }
    }

    /// What finding the session of a packet costs: one hash, and comparisons that do not grow with the sessions. Players
    /// behind one address, players at one port each, and whoever has no session.
    #[test]
    fn a_session_is_found_by_as_many_comparisons_among_ten_thousand_as_among_ten() {
        let host =
            |number: u16| SocketAddr::from(([10, number.to_be_bytes()[0], number.to_be_bytes()[1], 1], 7));
        let port = |number: u16| SocketAddr::from(([10, 0, 0, 1], number));
        for (name, place) in [("hosts", &host as &dyn Fn(u16) -> SocketAddr), ("ports", &port)] {
            for sessions in [10, 100, 1000, 10_000_u16] {
                let mut table = HashMap::with_capacity_and_hasher(2 * 20_064, KeyedState::new(&[7; 32]));
                table.extend((0..sessions).map(|number| (Counted(place(number)), number)));
                COMPARISONS.set(0);
                assert!((0..sessions).all(|number| table.get(&Counted(place(number))) == Some(&number)));
                let found = COMPARISONS.replace(0);
                assert!((0..sessions).all(|number| !table.contains_key(&Counted(place(20_000 + number)))));
                let missed = COMPARISONS.get();
                let sessions = usize::from(sessions);
                assert!(found <= sessions + sessions / 20, "{name}: {found} comparisons for {sessions}");
                assert!(missed <= 1 + sessions / 20, "{name}: {missed} comparisons for {sessions} strangers");
            }
        }
    }

    #[test]
    fn another_key_spreads_differently() {
        let (one, two) = (KeyedState::new(&[7; 32]), KeyedState::new(&[8; 32]));
        let same = addresses().filter(|address| one.hash_one(address) % 4096 == two.hash_one(address) % 4096);
        assert!(same.count() < 50);
    }
}
