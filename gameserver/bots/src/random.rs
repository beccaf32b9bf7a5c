//! Chance for walks and starts; nothing that must be secret.

use gameserver_game::RandomStream;

/// Where a bot walks and when it starts.
#[derive(Clone, Debug)]
pub(crate) struct Random(RandomStream);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(RandomStream::new(seed))
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Between `-most` and `most`, both included.
    pub(crate) fn within(&mut self, most: i32) -> i32 {
        let span = 2 * u64::from(most.unsigned_abs()) + 1;
        let offset = i32::try_from(self.next() % span).unwrap_or(0);
        offset.wrapping_sub(most)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_cover_their_range_and_nothing_beyond() {
        let mut random = Random::new(1);
        let drawn: Vec<_> = (0..1000).map(|_| random.within(3)).collect();
        assert_eq!((drawn.iter().min(), drawn.iter().max()), (Some(&-3), Some(&3)));
    }
}
