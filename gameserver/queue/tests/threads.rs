//! Both kinds of queue between real threads: nothing is lost, doubled or out of order, and what was refused is counted.

#![cfg(not(loom))]

use std::thread;

use gameserver_queue::LockFreeQueue;

const ITEMS: u64 = 200_000;

/// Tries until it is taken; how often it was not.
fn insist<T>(mut item: T, mut push: impl FnMut(T) -> Result<(), T>) -> u64 {
    let mut refused = 0;
    while let Err(back) = push(item) {
        item = back;
        refused += 1;
        thread::yield_now();
    }
    refused
}

#[test]
fn one_producer_and_one_consumer_lose_double_and_reorder_nothing() {
    let (mut producer, mut consumer) = LockFreeQueue::spsc(61);
    let pushing = thread::spawn(move || {
        // boxed, so that an item that came out twice would be freed twice
        let refused: u64 = (0..ITEMS).map(|item| insist(Box::new(item), |item| producer.push(item))).sum();
        (refused, producer.refused())
    });
    let mut expected = 0;
    while expected < ITEMS {
        match consumer.pop() {
            Some(item) => {
                assert_eq!(*item, expected);
                expected += 1;
            }
            None => thread::yield_now(),
        }
        assert!(consumer.len() <= 61);
    }
    let (refused, counted) = pushing.join().unwrap();
    assert_eq!((refused, counted), (counted, consumer.refused()));
    assert_eq!(consumer.pop(), None);
}

#[test]
fn three_producers_and_two_consumers_share_every_item_once_and_each_producers_in_order() {
    const PRODUCERS: u64 = 3;
    let queue = LockFreeQueue::mpmc(61);
    let (refused, popped) = thread::scope(|scope| {
        let pushing = [0, 1, 2].map(|producer| {
            let queue = &queue;
            let push = move |item| insist((producer, item), |item| queue.push(item));
            scope.spawn(move || (0..ITEMS / PRODUCERS).map(push).sum::<u64>())
        });
        let popping = [(); 2].map(|()| {
            let queue = &queue;
            scope.spawn(move || {
                let mut popped: Vec<(u64, u64)> = Vec::new();
                // until a goodbye: there is one for each consumer, behind all items
                loop {
                    match queue.pop() {
                        Some((u64::MAX, _)) => return popped,
                        Some(item) => popped.push(item),
                        None => thread::yield_now(),
                    }
                }
            })
        });
        let refused: u64 = pushing.map(|thread| thread.join().unwrap()).iter().sum();
        let goodbyes: u64 = (0..2).map(|_| insist((u64::MAX, 0), |item| queue.push(item))).sum();
        (refused + goodbyes, popping.map(|thread| thread.join().unwrap()))
    });
    assert_eq!(queue.refused(), refused);
    for popped in &popped {
        for producer in 0..PRODUCERS {
            let of_one = popped.iter().filter(|(from, _)| *from == producer).map(|(_, item)| *item);
            assert!(of_one.is_sorted_by(|one, next| one < next), "producer {producer}");
        }
    }
    let mut all = popped.concat();
    all.sort_unstable();
    let expected: Vec<_> = (0..PRODUCERS)
        .flat_map(|producer| (0..ITEMS / PRODUCERS).map(move |item| (producer, item)))
        .collect();
    assert_eq!(all.len(), expected.len());
    assert!(all == expected, "an item is lost or doubled");
}

#[test]
fn whoever_pushes_to_nobody_is_not_held_up() {
    let (mut producer, consumer) = LockFreeQueue::spsc(8);
    thread::spawn(move || drop(consumer)).join().unwrap();
    assert!(producer.is_abandoned());
    let taken = (0..100).filter(|&item| producer.push(item).is_ok()).count();
    assert_eq!((taken, producer.refused()), (8, 92));
}
