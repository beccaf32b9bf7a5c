//! A table of fixed size by slot number.

use crate::looks;

/// A table of fixed size whose slots keep their number while they are taken. Allocates only when it is made.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Option<T>>,
    /// Free slots; the last is taken next.
    free: Vec<u32>,
}

impl<T> Slab<T> {
    pub(crate) fn new(capacity: usize) -> Self {
        let count = u32::try_from(capacity).expect("tables are bounded by the configuration");
        Self {
            slots: std::iter::repeat_with(|| None).take(capacity).collect(),
            free: (0..count).rev().collect(),
        }
    }

    /// Puts `value` into the free slot that was given back last, or returns `None` when all are taken.
    pub(crate) fn insert(&mut self, value: T) -> Option<u32> {
        let slot = self.free.pop()?;
        self.slots[slot as usize] = Some(value);
        Some(slot)
    }

    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let value = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some(value)
    }

    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        looks::count();
        self.slots.get(slot as usize)?.as_ref()
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        looks::count();
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// How many slots there are.
    pub(crate) fn capacity(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.free.is_empty()
    }

    /// Taken slots in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0..)
            .zip(&self.slots)
            .filter_map(|(slot, value)| Some((slot, value.as_ref()?)))
            .inspect(|_| looks::count())
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        (0..)
            .zip(&mut self.slots)
            .filter_map(|(slot, value)| Some((slot, value.as_mut()?)))
            .inspect(|_| looks::count())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_count_from_zero_and_come_back() {
        let mut slab = Slab::new(2);
        assert_eq!((slab.insert('a'), slab.insert('b'), slab.insert('c')), (Some(0), Some(1), None));
        assert!(slab.is_full());
        assert_eq!(slab.remove(0), Some('a'));
        assert_eq!(slab.remove(0), None, "a slot is given back once");
        assert_eq!(slab.len(), 1);
        assert_eq!(slab.insert('d'), Some(0));
        assert_eq!(slab.iter().collect::<Vec<_>>(), [(0, &'d'), (1, &'b')]);
    }
}
