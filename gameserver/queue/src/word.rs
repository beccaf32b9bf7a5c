//! A number with one writer.

use crate::sync::{AtomicU64, Ordering};

/// A number that one thread writes and any thread reads, without a lock and without a read-modify-write.
///
/// Words of one writer are seen in order: who reads what [`Word::set`] wrote sees all that the writer wrote before, to
/// whichever word, at least as new. Among each other they may be apart otherwise.
#[derive(Debug)]
pub struct Word(AtomicU64);

impl Word {
    /// A word that is 0.
    #[cfg(not(loom))]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// A word that is 0.
    #[cfg(loom)]
    pub fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Writes the number, and shows with it all that this thread wrote before. The one writer alone calls this.
    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Release);
    }

    /// Adds to the number, around the end if need be; shows by itself nothing that was written before. The one writer alone calls
    /// this, so a load and a store are enough: a read-modify-write would lock the cache line for nothing.
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

impl Default for Word {
    fn default() -> Self {
        Self::new()
    }
}
