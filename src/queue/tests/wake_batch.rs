//! Wakers taken under the lock.

use core::task::Waker;
use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use super::waiters::Counter;
use crate::queue::wake_batch::WakeBatch;

/// Those who were granted hear of it, also if whoever granted them does not get that far.
#[test]
fn all_are_woken_once_even_on_the_way_out_of_a_panic() {
    let counter = Arc::new(Counter::default());
    let woken = || counter.count();
    let waker = || Some(Waker::from(Arc::clone(&counter)));
    let mut batch = WakeBatch::new();
    batch.push(None);
    assert!(batch.is_empty());
    while !batch.is_full() {
        batch.push(waker());
    }
    assert_eq!(woken(), 0);
    batch.wake();
    assert!(woken() > 1 && batch.is_empty());
    let before = woken();
    batch.push(waker());
    let unwound = catch_unwind(AssertUnwindSafe(move || {
        let _batch = batch;
        panic!("on purpose");
    }));
    assert!(unwound.is_err());
    assert_eq!(woken(), before + 1);
}
