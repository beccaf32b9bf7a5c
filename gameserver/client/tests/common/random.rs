//! Chance for tests, here and in `gameserver-core`.

use gameserver_game::RandomStream;

/// A source of numbers.
#[derive(Clone, Debug)]
pub struct Random(RandomStream);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(RandomStream::new(seed))
    }

    pub fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// -1, 0 or 1.
    pub fn sign(&mut self) -> i32 {
        i32::try_from(self.below(3)).expect("small") - 1
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.next().to_le_bytes()[0])
    }
}
