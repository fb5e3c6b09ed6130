//! Wakers taken under the lock, to be woken after it is released.

use core::task::Waker;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// How many are woken between two holds of the lock. Small in models, so that they see a second batch.
const CAPACITY: usize = if cfg!(all(test, tidegate_loom)) { 2 } else { 32 };

/// A fixed number of wakers; no allocation.
#[derive(Debug)]
pub(crate) struct WakeBatch {
    wakers: [Option<Waker>; CAPACITY],
    len: usize,
}

impl WakeBatch {
    pub(crate) fn new() -> Self {
        Self { wakers: [const { None }; CAPACITY], len: 0 }
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.len == CAPACITY
    }

    /// Adds a waker. The caller has seen that there is room.
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        if waker.is_some() {
            self.wakers[self.len] = waker;
            self.len += 1;
        }
    }

    /// Wakes them all, in order. The caller holds no lock.
    ///
    /// A waker that panics does not keep the others from being woken. Its panic has been reported by the
    /// panic hook and goes no further: it would hit whoever happens to run the hand-off, such as another
    /// task's poll or the runtime's timer.
    pub(crate) fn wake(&mut self) {
        for waker in self.wakers[..self.len].iter_mut().filter_map(Option::take) {
            // Unwind safe: a waker is consumed whole, and nothing of ours is touched inside.
            drop(catch_unwind(AssertUnwindSafe(|| waker.wake())));
        }
        self.len = 0;
    }
}

impl Drop for WakeBatch {
    fn drop(&mut self) {
        // On the way out of an unwinding hand-off, too, those who were granted hear of it.
        self.wake();
    }
}
