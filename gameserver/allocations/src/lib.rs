//! An allocator that counts, for tests of what must not allocate.
//!
//! A test's program takes it as its own, and asks around what it watches:
//!
//! ```
//! #[global_allocator]
//! static ALLOCATOR: gameserver_allocations::Counting = gameserver_allocations::Counting;
//!
//! let before = gameserver_allocations::count();
//! drop(Vec::<u8>::with_capacity(1));
//! assert_eq!(gameserver_allocations::count() - before, 1);
//! ```
//!
//! Each thread counts for itself, so what others do at the same time does not show.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

thread_local! {
    // needs no room of its own and no end, so an allocator may use it at any moment of a thread's life
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks it for.
#[derive(Debug)]
pub struct Counting;

/// Times that this thread has asked for memory, or for more of it, since it began.
pub fn count() -> u64 {
    COUNT.with(Cell::get)
}

fn record() {
    COUNT.with(|count| count.set(count.get() + 1));
}

#[expect(unsafe_code, reason = "an allocator is unsafe by its trait")]
// SAFETY: every call is passed on to the system's allocator as it came; counting touches no memory but the counter.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        record();
        // SAFETY: the caller keeps the contract of `alloc`, which is the system's too.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        record();
        // SAFETY: the caller keeps the contract of `alloc_zeroed`, which is the system's too.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout, through the calls around.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        record();
        // SAFETY: `pointer` came from the system's allocator with this layout, and the caller keeps the rest.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}
