//! After it was made, a queue allocates for nothing, full, empty or around its end.

#![cfg(not(loom))]

use gameserver_allocations::{Counting, count};
use gameserver_queue::LockFreeQueue;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Item = [u64; 8];

/// Allocations of pushing until it is full and more, and popping until it is empty and more, three times around.
fn allocations(mut push: impl FnMut(Item) -> Result<(), Item>, mut pop: impl FnMut() -> Option<Item>) -> u64 {
    let before = count();
    for _ in 0..3 {
        let taken = (0..100).filter(|&item| push([item; 8]).is_ok()).count();
        let popped = (0..100).filter(|_| pop().is_some()).count();
        assert_eq!((taken, popped), (61, 61));
    }
    count() - before
}

#[test]
fn no_queue_allocates_after_it_was_made() {
    let made = count();
    let shared = LockFreeQueue::mpmc(61);
    let (mut producer, mut consumer) = LockFreeQueue::spsc(61);
    assert!(count() > made, "the count is real");
    assert_eq!(allocations(|item| shared.push(item), || shared.pop()), 0, "mpmc");
    assert_eq!(allocations(|item| producer.push(item), || consumer.pop()), 0, "spsc");
}
