//! After warm-up a client allocates nothing, whatever it receives, sends and draws.

mod common;

use common::world::{BAD, World};
use gameserver_allocations::{Counting, count};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test in this file, since others would allocate at the same time.
#[test]
fn snapshots_inputs_and_frames_allocate_nothing() {
    let mut world = World::new(1, BAD).with_others(6);
    world.meter = count;
    world.run(10.0);
    assert!(world.metered > 0, "the lists have grown");
    let (before, frames) = (world.metered, world.client.stats().frames);
    world.run(20.0);
    assert!(world.client.stats().frames > frames + 1000 && world.seen == 7, "all are drawn");
    assert_eq!(world.metered, before, "allocations in twenty seconds");
}
