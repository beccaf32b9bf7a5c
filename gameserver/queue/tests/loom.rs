//! What we wrote of threads ourselves, in every order in which they may run and see each other's writes: words, and the counts
//! of what was refused. The rings are tested by those who wrote them; here each of their calls is one step.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p gameserver-queue --test loom`; without that there is nothing in it.

#![cfg(loom)]

use std::sync::Arc;

use gameserver_queue::{LockFreeQueue, Word};
use loom::thread;

#[test]
fn who_sees_a_later_word_sees_those_before_it() {
    loom::model(|| {
        let words = Arc::new([Word::new(), Word::new(), Word::new()]);
        let written = Arc::clone(&words);
        let writer = thread::spawn(move || {
            written[0].set(1);
            written[1].add(2);
            written[2].set(3);
            written[0].set(4);
        });
        let last = words[2].get();
        let (first, added) = (words[0].get(), words[1].get());
        if last == 3 {
            assert!(first >= 1 && added == 2, "{first}, {added}");
        }
        if first == 4 {
            assert_eq!((added, words[2].get()), (2, 3));
        }
        writer.join().unwrap();
        assert_eq!(words.each_ref().map(Word::get), [4, 2, 3]);
    });
}

#[test]
fn a_word_loses_no_addition_and_never_goes_back() {
    loom::model(|| {
        let word = Arc::new(Word::new());
        let written = Arc::clone(&word);
        let writer = thread::spawn(move || (0..3).for_each(|_| written.add(1)));
        let other = Arc::clone(&word);
        let reader = thread::spawn(move || (other.get(), other.get()));
        let (before, after) = reader.join().unwrap();
        assert!(before <= after && after <= 3, "{before}, {after}");
        writer.join().unwrap();
        assert_eq!(word.get(), 3);
    });
}

#[test]
fn whoever_reads_that_an_order_was_carried_out_sees_what_came_of_it() {
    loom::model(|| {
        let (mut orders, mut waiting) = LockFreeQueue::spsc(4);
        // as the board of a zone: what came of the orders, and after it how many were carried out
        let board = Arc::new((Word::new(), Word::new()));
        let shown = Arc::clone(&board);
        let zone = thread::spawn(move || {
            let mut applied = 0;
            for _tick in 0..2 {
                while let Some(order) = waiting.pop() {
                    shown.0.set(order);
                    applied += 1;
                }
                shown.1.set(applied);
            }
        });
        let mut sent = 0;
        for order in [10, 20] {
            orders.push(order).unwrap();
            sent += 1;
            if board.1.get() == sent {
                assert_eq!(board.0.get(), order, "carried out, and the board speaks of the order before");
            }
        }
        zone.join().unwrap();
    });
}

#[test]
fn what_several_producers_have_back_is_counted_to_the_last_one() {
    loom::model(|| {
        let queue = Arc::new(LockFreeQueue::mpmc(1));
        let producers = [1, 2].map(|number| {
            let queue = Arc::clone(&queue);
            thread::spawn(move || (0..2).filter(|_| queue.push(number).is_err()).count() as u64)
        });
        thread::yield_now();
        let popped = u64::from(queue.pop().is_some());
        let refused: u64 = producers.map(|producer| producer.join().unwrap()).iter().sum();
        assert_eq!(queue.refused(), refused);
        assert_eq!(popped + refused + queue.len() as u64, 4);
    });
}

#[test]
fn both_ends_read_the_same_count_of_what_was_refused() {
    loom::model(|| {
        let (mut producer, mut consumer) = LockFreeQueue::spsc(1);
        let pushing = thread::spawn(move || {
            let refused = (0..3).filter(|&item| producer.push(item).is_err()).count() as u64;
            assert_eq!(producer.refused(), refused);
            refused
        });
        let before = consumer.refused();
        let popped = u64::from(consumer.pop().is_some());
        let between = consumer.refused();
        assert!(before <= between && between <= 2, "{before}, {between}");
        let refused = pushing.join().unwrap();
        assert_eq!(consumer.refused(), refused);
        assert_eq!(popped + refused + consumer.len() as u64, 3);
    });
}
