//! After warm-up a client allocates nothing, whatever it receives, sends and draws.
#![expect(unsafe_code, reason = "a global allocator that counts can only be written with unsafe")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use common::world::{BAD, World};

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is passed on unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as our caller promised.
        unsafe { System.realloc(pointer, layout, new_size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test in this file, since others would allocate at the same time.
#[test]
fn snapshots_inputs_and_frames_allocate_nothing() {
    let mut world = World::new(1, BAD).with_others(6);
    world.meter = || ALLOCATIONS.load(Ordering::Relaxed);
    world.run(10.0);
    assert!(world.metered > 0, "the lists have grown");
    let (before, frames) = (world.metered, world.client.stats().frames);
    world.run(20.0);
    assert!(world.client.stats().frames > frames + 1000 && world.seen == 7, "all are drawn");
    assert_eq!(world.metered, before, "allocations in twenty seconds");
}
