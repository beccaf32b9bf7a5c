//! A queue of fixed size that allocates when it is made and never again.

/// A first-in-first-out buffer of at most `N`, kept in place.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T, const N: usize> {
    /// Apart, so that what holds several queues has their lengths side by side: most are empty whenever they are looked at.
    items: Box<[Option<T>; N]>,
    head: usize,
    len: usize,
}

impl<T: Copy, const N: usize> Default for Ring<T, N> {
    fn default() -> Self {
        Self { items: Box::new([None; N]), head: 0, len: 0 }
    }
}

impl<T: Copy, const N: usize> Ring<T, N> {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len == N
    }

    /// Adds `item` at the end, or says that there is no room.
    pub(crate) fn push(&mut self, item: T) -> bool {
        if self.is_full() {
            return false;
        }
        self.items[(self.head + self.len) % N] = Some(item);
        self.len += 1;
        true
    }

    pub(crate) fn front(&self) -> Option<&T> {
        if self.len == 0 { None } else { self.items[self.head].as_ref() }
    }

    /// The one that was added last.
    pub(crate) fn back(&self) -> Option<&T> {
        let last = self.len.checked_sub(1)?;
        self.items[(self.head + last) % N].as_ref()
    }

    pub(crate) fn pop(&mut self) -> Option<T> {
        let item = *self.front()?;
        self.head = (self.head + 1) % N;
        self.len -= 1;
        Some(item)
    }

    /// Nothing is in it any more.
    pub(crate) fn clear(&mut self) {
        (self.head, self.len) = (0, 0);
    }

    /// Oldest first.
    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        let item = |index: usize| self.items[(self.head + index) % N].as_ref();
        (0..self.len).map(move |index| item(index).expect("places before the end hold an item"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_the_order_they_came_however_often_it_wraps() {
        let mut ring = Ring::<u32, 3>::default();
        for round in 0..10 {
            assert!(ring.push(round) && ring.push(round + 1));
            assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [round, round + 1]);
            assert_eq!(ring.back(), Some(&(round + 1)));
            assert_eq!((ring.pop(), ring.pop(), ring.pop()), (Some(round), Some(round + 1), None));
            assert_eq!(ring.back(), None);
        }
    }

    #[test]
    fn nothing_is_left_in_one_that_was_cleared() {
        let mut ring = Ring::<u32, 3>::default();
        (0..3).for_each(|item| assert!(ring.push(item)));
        ring.pop();
        ring.clear();
        assert_eq!((ring.len(), ring.front(), ring.back(), ring.iter().count()), (0, None, None, 0));
        assert!(ring.push(7));
        assert_eq!(ring.iter().copied().collect::<Vec<_>>(), [7]);
    }

    #[test]
    fn a_full_ring_takes_nothing_more() {
        let mut ring = Ring::<u32, 2>::default();
        assert!(ring.push(1) && ring.push(2));
        assert!(!ring.push(3));
        assert_eq!(ring.pop(), Some(1));
    }
}
