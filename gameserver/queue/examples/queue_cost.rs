//! What an item costs by way of each kind of queue: `cargo run --release -p gameserver-queue --example queue_cost`.
//!
//! Items of 64 bytes, 1024 places. *Same*: one thread pushes and pops, 100 items lie between. *Across*: one thread pushes as
//! fast as it can, another pops, each on a CPU of its own. The kinds take turns, so that they share the same minutes. Where it
//! may, it runs before every other program, for some seconds.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a measuring program prints, and stops when it cannot measure"
)]

use std::hint::{black_box, spin_loop};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use gameserver_queue::LockFreeQueue;
use gameserver_sys::{Clock, observe_cpus, pin_current_thread, run_current_thread_first};

type Item = [u64; 8];

const CAPACITY: usize = 1024;
const DEPTH: u64 = 100;
const ITEMS: u64 = 1_000_000;
const ROUNDS: usize = 5;

struct Kind {
    name: &'static str,
    /// Nanoseconds an item, on the same thread and across threads on these CPUs.
    run: fn(&[usize]) -> (f64, f64),
    same: Vec<f64>,
    across: Vec<f64>,
}

fn spsc() -> (impl FnMut(Item) -> bool + Send, impl FnMut() -> Option<Item>) {
    let (mut producer, mut consumer) = LockFreeQueue::spsc(CAPACITY);
    (move |item| producer.push(item).is_ok(), move || consumer.pop())
}

fn bare_rtrb() -> (impl FnMut(Item) -> bool + Send, impl FnMut() -> Option<Item>) {
    let (mut producer, mut consumer) = rtrb::RingBuffer::new(CAPACITY);
    (move |item| producer.push(item).is_ok(), move || consumer.pop().ok())
}

fn mpmc() -> (impl FnMut(Item) -> bool + Send, impl FnMut() -> Option<Item>) {
    let queue = Arc::new(LockFreeQueue::mpmc(CAPACITY));
    let other = Arc::clone(&queue);
    (move |item| queue.push(item).is_ok(), move || other.pop())
}

fn bare_array_queue() -> (impl FnMut(Item) -> bool + Send, impl FnMut() -> Option<Item>) {
    let queue = Arc::new(ArrayQueue::new(CAPACITY));
    let other = Arc::clone(&queue);
    (move |item| queue.push(item).is_ok(), move || other.pop())
}

fn channel() -> (impl FnMut(Item) -> bool + Send, impl FnMut() -> Option<Item>) {
    let (sender, receiver) = sync_channel(CAPACITY);
    (move |item| sender.try_send(item).is_ok(), move || receiver.try_recv().ok())
}

fn nanoseconds_each(took: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a few millions")]
    let items = ITEMS as f64;
    took.as_secs_f64() * 1e9 / items
}

fn same((mut push, mut pop): (impl FnMut(Item) -> bool, impl FnMut() -> Option<Item>)) -> f64 {
    for item in 0..DEPTH {
        assert!(push([item; 8]));
    }
    let clock = Clock::start();
    for item in 0..ITEMS {
        assert!(push(black_box([item; 8])));
        assert!(black_box(pop()).is_some());
    }
    nanoseconds_each(clock.monotonic())
}

fn across(
    (mut push, mut pop): (impl FnMut(Item) -> bool + Send, impl FnMut() -> Option<Item>),
    cpus: &[usize],
) -> f64 {
    let both = Barrier::new(2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            pin_current_thread(cpus[1]).unwrap();
            let _first = run_current_thread_first();
            both.wait();
            for item in 0..ITEMS {
                while !push([item; 8]) {
                    spin_loop();
                }
            }
        });
        both.wait();
        let clock = Clock::start();
        for expected in 0..ITEMS {
            let item = loop {
                match pop() {
                    Some(item) => break item,
                    None => spin_loop(),
                }
            };
            assert_eq!(item[0], expected);
        }
        nanoseconds_each(clock.monotonic())
    })
}

fn spread(values: &mut [f64]) -> String {
    values.sort_unstable_by(f64::total_cmp);
    format!("{:.1} / {:.1} / {:.1}", values[0], values[values.len() / 2], values[values.len() - 1])
}

fn main() {
    let cpus = observe_cpus().unwrap().allowed;
    assert!(cpus.len() > 1, "two CPUs are needed, one for each end");
    pin_current_thread(cpus[0]).unwrap();
    let is_first = run_current_thread_first().is_ok();
    let kind = |name, run| Kind { name, run, same: Vec::new(), across: Vec::new() };
    let mut kinds = [
        kind("LockFreeQueue::spsc", |cpus| (same(spsc()), across(spsc(), cpus))),
        kind("rtrb by itself", |cpus| (same(bare_rtrb()), across(bare_rtrb(), cpus))),
        kind("LockFreeQueue::mpmc", |cpus| (same(mpmc()), across(mpmc(), cpus))),
        kind("ArrayQueue by itself", |cpus| (same(bare_array_queue()), across(bare_array_queue(), cpus))),
        kind("std sync_channel", |cpus| (same(channel()), across(channel(), cpus))),
    ];
    for _ in 0..ROUNDS {
        for kind in &mut kinds {
            let (same, across) = (kind.run)(&cpus);
            kind.same.push(same);
            kind.across.push(across);
        }
    }
    println!("{}", if is_first { "before every other program" } else { "beside other programs" });
    println!("| ns an item, min / median / max of {ROUNDS} | same thread | across threads |");
    println!("|---|--:|--:|");
    for kind in &mut kinds {
        println!("| {} | {} | {} |", kind.name, spread(&mut kind.same), spread(&mut kind.across));
    }
}
