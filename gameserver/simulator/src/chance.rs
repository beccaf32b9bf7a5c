//! Seeded chance: one stream for each concern, so that drawing for one does not shift another.

use gameserver_game::{RandomStream, mix};

/// What chance is drawn for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Concern {
    /// Secrets of a boot of the process.
    Boot = 1,
    /// When servers crash and drain.
    Faults,
    /// Clocks and ways of players.
    Players,
    /// What each player does.
    Mind,
    /// What becomes of datagrams to the server.
    Up,
    /// What becomes of datagrams from the server.
    Down,
    /// What hostile players do besides playing.
    Hostile,
    /// How much of everything there is.
    Limits,
}

/// A stream of chance.
#[derive(Clone, Debug)]
pub(crate) struct Chance(RandomStream);

impl Chance {
    /// The stream of a concern, and of one of many who are concerned.
    pub(crate) fn new(seed: u64, concern: Concern, whose: u64) -> Self {
        Self(RandomStream::new(mix(mix(seed ^ (concern as u64) << 56) ^ whose)))
    }

    /// Below `bound`, which must be positive.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        self.0.below(bound)
    }

    /// Both ends included.
    pub(crate) fn between(&mut self, least: i32, most: i32) -> i32 {
        least + self.below(most.abs_diff(least) + 1).cast_signed()
    }

    /// Whether something happens that happens so many times in a thousand.
    pub(crate) fn permille(&mut self, permille: u32) -> bool {
        self.below(1000) < permille
    }

    /// Any bytes.
    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        std::array::from_fn(|_| self.0.next_u64().to_le_bytes()[0])
    }
}
