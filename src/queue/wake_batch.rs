//! Wakers taken under the lock, to be woken after it is released.

use core::task::Waker;
use std::panic::{AssertUnwindSafe, catch_unwind};

use arrayvec::ArrayVec;

/// How many are woken between two holds of the lock. Small in models, so that they see a second batch.
const CAPACITY: usize = if cfg!(all(test, tidegate_loom)) { 2 } else { 32 };

/// A fixed number of wakers; no allocation.
#[derive(Debug)]
pub(crate) struct WakeBatch(ArrayVec<Waker, CAPACITY>);

impl WakeBatch {
    pub(crate) const fn new() -> Self {
        Self(ArrayVec::new_const())
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() == CAPACITY
    }

    /// Adds a waker. The caller has seen that there is room.
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.0.push(waker);
        }
    }

    /// Wakes them all, in order. The caller holds no lock.
    ///
    /// A waker that panics does not keep the others from being woken. Its panic has been reported by the
    /// panic hook and goes no further: it would hit whoever happens to run the hand-off, such as another
    /// task's poll or the runtime's timer.
    pub(crate) fn wake(&mut self) {
        for waker in self.0.drain(..) {
            // Unwind safe: a waker is consumed whole, and nothing of ours is touched inside.
            if let Err(payload) = catch_unwind(AssertUnwindSafe(|| waker.wake())) {
                // To drop it may panic, too.
                drop(catch_unwind(AssertUnwindSafe(|| drop(payload))));
            }
        }
    }
}

impl Drop for WakeBatch {
    fn drop(&mut self) {
        // On the way out of an unwinding hand-off, too, those who were granted hear of it.
        self.wake();
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
