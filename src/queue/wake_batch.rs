//! Wakers that are taken under the lock, and woken after it is released.

use arrayvec::ArrayVec;
use core::task::Waker;

use super::panics::end_panics;

/// The most wakers of one lock hold. Small in models, so that they reach a second batch.
const CAPACITY: usize = if cfg!(all(test, tidegate_loom)) { 2 } else { 32 };

#[derive(Debug)]
pub(crate) struct WakeBatch(ArrayVec<Waker, CAPACITY>);

impl WakeBatch {
    pub(crate) const fn new() -> Self {
        Self(ArrayVec::new_const())
    }

    pub(crate) const fn is_full(&self) -> bool {
        self.0.len() == CAPACITY
    }

    /// Adds a waker. The caller makes sure that there is room.
    pub(crate) fn push(&mut self, waker: Option<Waker>) {
        if let Some(waker) = waker {
            self.0.push(waker);
        }
    }

    /// Moves them to a list, for a caller that holds a lock and wakes them later.
    #[cfg(feature = "keyed")]
    pub(crate) fn move_to(&mut self, later: &mut Vec<Waker>) {
        later.extend(self.0.drain(..));
    }

    /// Wakes them all, in order. The caller holds no lock.
    ///
    /// A waker that panics does not keep the others from being woken. Its panic ends here: it would hit the thread that
    /// runs the hand-off, such as another task's poll or the runtime's timer.
    pub(crate) fn wake(&mut self) {
        for waker in self.0.drain(..) {
            end_panics(|| waker.wake());
        }
    }
}

impl Drop for WakeBatch {
    fn drop(&mut self) {
        // A hand-off that panics wakes the waiters that it has granted, too.
        self.wake();
    }
}

#[cfg(all(test, not(tidegate_loom)))]
mod tests;
