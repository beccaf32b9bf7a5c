//! What threads hand each other without waiting: bounded queues, and numbers with one writer.
//!
//! [`LockFreeQueue::spsc`] is a ring of one producer and one consumer, each of which is done in a bounded number of steps
//! whatever the other does: it is what leads to and from a thread that ticks. [`LockFreeQueue::mpmc`] is for any number of
//! both. There whoever pops spins while the producer before it is in the middle of a push, interrupted or not, so a thread
//! that ticks does not pop from it. `docs/adr/0016-queues.md` says why these and no others.
//!
//! Invariants:
//! - A queue holds as many items as it was made for. Who pushes to a full one has its item back and is counted.
//! - Nothing blocks, and after a queue was made nothing allocates (`tests/allocations.rs`).
//! - Items of a producer come out in the order in which they went in, each once (`tests/threads.rs`).
//! - Who sees a later [`Word`] of a writer sees those before it at least as new (`tests/loom.rs`).

#![forbid(unsafe_code)]

mod spsc;
mod sync;
mod word;

use std::fmt;

use crossbeam_queue::ArrayQueue;

pub use spsc::{Consumer, Producer};
pub use word::Word;

use sync::{AtomicU64, Ordering};

/// Items that a queue may hold.
pub const CAPACITY_MAX: usize = 1 << 20;

/// A bounded queue of any number of producers and consumers, shared by reference.
pub struct LockFreeQueue<T> {
    items: ArrayQueue<T>,
    refused: AtomicU64,
}

impl<T> LockFreeQueue<T> {
    /// A queue for any number of producers and consumers.
    ///
    /// # Panics
    /// When `capacity` is 0 or above [`CAPACITY_MAX`].
    pub fn mpmc(capacity: usize) -> Self {
        Self { items: ArrayQueue::new(checked(capacity)), refused: AtomicU64::new(0) }
    }

    /// Both ends of a queue with one producer and one consumer.
    ///
    /// # Panics
    /// When `capacity` is 0 or above [`CAPACITY_MAX`].
    pub fn spsc(capacity: usize) -> (Producer<T>, Consumer<T>) {
        spsc::ends(checked(capacity))
    }

    /// Queues an item.
    ///
    /// # Errors
    /// The item itself, when the queue is full.
    pub fn push(&self, item: T) -> Result<(), T> {
        self.items.push(item).inspect_err(|_| {
            self.refused.fetch_add(1, Ordering::Relaxed);
        })
    }

    /// The oldest item.
    pub fn pop(&self) -> Option<T> {
        self.items.pop()
    }

    /// Items that wait; while others push or pop, as many as there were at some moment of the call.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Items that it can hold.
    pub fn capacity(&self) -> usize {
        self.items.capacity()
    }

    /// Items that were given back because it was full.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

impl<T> fmt::Debug for LockFreeQueue<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (len, capacity, refused) = (self.len(), self.capacity(), self.refused());
        let mut debug = formatter.debug_struct("LockFreeQueue");
        debug.field("len", &len).field("capacity", &capacity).field("refused", &refused).finish()
    }
}

fn checked(capacity: usize) -> usize {
    assert!(
        (1..=CAPACITY_MAX).contains(&capacity),
        "a queue holds 1 to {CAPACITY_MAX} items, not {capacity}"
    );
    capacity
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// Either kind, by the same calls.
    type Calls<'a> = (Box<dyn FnMut(u32) -> Result<(), u32> + 'a>, Box<dyn FnMut() -> Option<u32> + 'a>);

    fn both(capacity: usize, mut test: impl FnMut(&str, Calls<'_>)) {
        let shared = LockFreeQueue::mpmc(capacity);
        test("mpmc", (Box::new(|item| shared.push(item)), Box::new(|| shared.pop())));
        let (mut producer, mut consumer) = LockFreeQueue::spsc(capacity);
        test("spsc", (Box::new(move |item| producer.push(item)), Box::new(move || consumer.pop())));
    }

    #[test]
    fn a_full_queue_gives_the_item_back_and_keeps_what_it_has_in_order() {
        for capacity in [1, 2, 3, 7, 64] {
            both(capacity, |kind, (mut push, mut pop)| {
                let full = u32::try_from(capacity).unwrap();
                // more than once around, from every place
                for round in 0..=full {
                    assert_eq!(pop(), None, "{kind} of {capacity}");
                    for item in 0..full {
                        assert_eq!(push(item), Ok(()), "{kind} of {capacity}");
                    }
                    assert_eq!(push(1000 + round), Err(1000 + round), "{kind} of {capacity}");
                    assert_eq!(pop(), Some(0));
                    assert_eq!(push(full), Ok(()), "{kind} of {capacity}: one place is free");
                    for item in 1..=full {
                        assert_eq!(pop(), Some(item), "{kind} of {capacity}");
                    }
                }
            });
        }
    }

    #[test]
    fn a_queue_says_how_full_it_is_and_how_often_it_was() {
        let shared = LockFreeQueue::mpmc(3);
        let (mut producer, mut consumer) = LockFreeQueue::spsc(3);
        for item in 0..5 {
            let _full = shared.push(item);
            let _full = producer.push(item);
        }
        shared.pop();
        consumer.pop();
        assert_eq!((shared.len(), shared.capacity(), shared.refused()), (2, 3, 2));
        assert_eq!((producer.len(), producer.capacity(), producer.refused()), (2, 3, 2));
        assert_eq!((consumer.len(), consumer.capacity(), consumer.refused()), (2, 3, 2));
        assert!(!shared.is_empty() && !producer.is_empty() && !consumer.is_empty());
        assert_eq!(format!("{shared:?}"), "LockFreeQueue { len: 2, capacity: 3, refused: 2 }");
        while consumer.pop().is_some() {}
        assert!(producer.is_empty() && consumer.is_empty());
    }

    #[test]
    fn who_is_left_knows_that_the_other_end_is_gone() {
        let (mut producer, consumer) = LockFreeQueue::spsc(1);
        assert!(!producer.is_abandoned());
        drop(consumer);
        assert!(producer.is_abandoned());
        assert_eq!((producer.push(1), producer.push(2)), (Ok(()), Err(2)));

        let (mut producer, mut consumer) = LockFreeQueue::spsc(1);
        producer.push(1).unwrap();
        drop(producer);
        assert!(consumer.is_abandoned());
        assert_eq!((consumer.pop(), consumer.pop()), (Some(1), None), "what was pushed is still there");
    }

    #[test]
    fn what_is_left_is_dropped_once() {
        let item = std::sync::Arc::new(());
        let shared = LockFreeQueue::mpmc(4);
        let (mut producer, mut consumer) = LockFreeQueue::spsc(4);
        for _ in 0..3 {
            shared.push(item.clone()).unwrap();
            producer.push(item.clone()).unwrap();
        }
        drop((shared.pop(), consumer.pop()));
        assert_eq!(std::sync::Arc::strong_count(&item), 5);
        drop((shared, producer));
        assert_eq!(std::sync::Arc::strong_count(&item), 3, "a consumer keeps what is queued");
        drop(consumer);
        assert_eq!(std::sync::Arc::strong_count(&item), 1);
    }

    #[test]
    fn a_capacity_out_of_range_is_a_mistake_of_the_code() {
        for capacity in [0, CAPACITY_MAX + 1] {
            assert!(std::panic::catch_unwind(|| LockFreeQueue::<u8>::mpmc(capacity)).is_err(), "{capacity}");
            assert!(std::panic::catch_unwind(|| LockFreeQueue::<u8>::spsc(capacity)).is_err(), "{capacity}");
        }
        assert_eq!(LockFreeQueue::<u8>::mpmc(CAPACITY_MAX).capacity(), CAPACITY_MAX);
    }
}
