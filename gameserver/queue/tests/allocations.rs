//! After it was made, a queue allocates for nothing, full, empty or around its end.

#![cfg(not(loom))]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use gameserver_queue::LockFreeQueue;

/// The system's allocator, which counts what the calling thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory but the counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout, through `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

type Item = [u64; 8];

/// Allocations of pushing until it is full and more, and popping until it is empty and more, three times around.
fn allocations(mut push: impl FnMut(Item) -> Result<(), Item>, mut pop: impl FnMut() -> Option<Item>) -> u64 {
    let before = ALLOCATIONS.with(Cell::get);
    for _ in 0..3 {
        let taken = (0..100).filter(|&item| push([item; 8]).is_ok()).count();
        let popped = (0..100).filter(|_| pop().is_some()).count();
        assert_eq!((taken, popped), (61, 61));
    }
    ALLOCATIONS.with(Cell::get) - before
}

#[test]
fn no_queue_allocates_after_it_was_made() {
    let made = ALLOCATIONS.with(Cell::get);
    let shared = LockFreeQueue::mpmc(61);
    let (mut producer, mut consumer) = LockFreeQueue::spsc(61);
    assert!(ALLOCATIONS.with(Cell::get) > made, "the count is real");
    assert_eq!(allocations(|item| shared.push(item), || shared.pop()), 0, "mpmc");
    assert_eq!(allocations(|item| producer.push(item), || consumer.pop()), 0, "spsc");
}
