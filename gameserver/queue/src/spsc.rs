//! The two ends of a queue with one producer and one consumer.

use std::fmt;
use std::sync::Arc;

use rtrb::{PushError, RingBuffer};

use crate::Word;

/// Makes both ends.
pub(crate) fn ends<T>(capacity: usize) -> (Producer<T>, Consumer<T>) {
    let (producer, consumer) = RingBuffer::new(capacity);
    let refused = Arc::new(Word::new());
    (Producer { items: producer, refused: Arc::clone(&refused) }, Consumer { items: consumer, refused })
}

/// Where items go in. It may move to another thread, but belongs to one at a time.
pub struct Producer<T> {
    items: rtrb::Producer<T>,
    /// This end alone writes it.
    refused: Arc<Word>,
}

impl<T> Producer<T> {
    /// Queues an item, in a bounded number of steps.
    ///
    /// # Errors
    /// The item itself, when the queue is full.
    pub fn push(&mut self, item: T) -> Result<(), T> {
        self.items.push(item).map_err(|PushError::Full(item)| {
            self.refused.add(1);
            item
        })
    }

    /// Items that wait, or fewer: the consumer may have popped some meanwhile.
    pub fn len(&self) -> usize {
        self.capacity() - self.items.slots()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that the queue can hold.
    pub fn capacity(&self) -> usize {
        self.items.buffer().capacity()
    }

    /// Items that were given back because the queue was full.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Whether the consumer is gone: what is queued now, nobody pops.
    pub fn is_abandoned(&self) -> bool {
        self.items.is_abandoned()
    }
}

/// Where items come out. It may move to another thread, but belongs to one at a time.
pub struct Consumer<T> {
    items: rtrb::Consumer<T>,
    refused: Arc<Word>,
}

impl<T> Consumer<T> {
    /// The oldest item, in a bounded number of steps.
    pub fn pop(&mut self) -> Option<T> {
        self.items.pop().ok()
    }

    /// Items that wait, or more: the producer may have pushed some meanwhile.
    pub fn len(&self) -> usize {
        self.items.slots()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Items that the queue can hold.
    pub fn capacity(&self) -> usize {
        self.items.buffer().capacity()
    }

    /// Items that the producer had back because the queue was full: what this end has missed, unless they were pushed again.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Whether the producer is gone: what is queued now is the last.
    pub fn is_abandoned(&self) -> bool {
        self.items.is_abandoned()
    }
}

impl<T> fmt::Debug for Producer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(formatter, "Producer", self.len(), self.capacity(), self.refused())
    }
}

impl<T> fmt::Debug for Consumer<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(formatter, "Consumer", self.len(), self.capacity(), self.refused())
    }
}

/// Never an item: there may be a secret in it.
fn write(
    formatter: &mut fmt::Formatter<'_>,
    name: &str,
    len: usize,
    capacity: usize,
    refused: u64,
) -> fmt::Result {
    let mut debug = formatter.debug_struct(name);
    debug.field("len", &len).field("capacity", &capacity).field("refused", &refused).finish()
}
