//! Wakers taken under the lock.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    task::Wake,
};

use super::*;

#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

struct Panics;

impl Wake for Panics {
    fn wake(self: Arc<Self>) {
        panic!("a waker that panics, on purpose");
    }
}

/// A waiter that was granted hears of it, also if the thread that granted it does not get that far.
#[test]
fn all_are_woken_once_even_on_the_way_out_of_a_panic() {
    let counter = Arc::new(Counter::default());
    let woken = || counter.0.load(Relaxed);
    let waker = || Some(Waker::from(Arc::clone(&counter)));
    let mut batch = WakeBatch::new();
    batch.push(None);
    let mut pushed = 0;
    while !batch.is_full() {
        batch.push(waker());
        pushed += 1;
    }
    assert_eq!((woken(), pushed), (0, CAPACITY));
    batch.wake();
    assert_eq!((woken(), batch.is_full()), (CAPACITY, false));
    batch.wake();
    batch.push(waker());
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _batch = batch;
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert_eq!((woken(), Arc::strong_count(&counter)), (CAPACITY + 1, 1));
}

#[test]
fn a_waker_that_panics_keeps_no_other_from_being_woken() {
    let counter = Arc::new(Counter::default());
    let mut batch = WakeBatch::new();
    for waker in
        [Waker::from(Arc::new(Panics)), Waker::from(Arc::clone(&counter)), Waker::from(Arc::new(Panics))]
    {
        batch.push(Some(waker));
    }
    batch.wake();
    assert_eq!(counter.0.load(Relaxed), 1);
}
