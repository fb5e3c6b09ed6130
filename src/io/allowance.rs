//! The bytes that one direction of a stream may pass.

use core::{
    fmt,
    task::{Context, Poll, ready},
};
use std::io;

use crate::{AllOf, Denied, Limit, Permits, asking::Asking};

/// The bytes that a stream takes at a time, unless it is told another number.
pub(super) const QUANTUM: usize = 8 * 1024;

/// Bytes that have been granted and have not passed yet, and the call that waits for more.
pub(super) struct Allowance {
    asking: Asking,
    left: usize,
}

impl Allowance {
    pub(super) fn new(limit: &(impl Limit + ?Sized)) -> Self {
        Self { asking: Asking::new(limit), left: 0 }
    }

    /// The bytes that are held.
    pub(super) const fn left(&self) -> usize {
        self.left
    }

    /// Waits until at least one byte is held, and returns how many are.
    pub(super) fn poll_some(&mut self, quantum: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Denied>> {
        self.poll_at_least(1, quantum, cx)
    }

    /// Waits until at least so many bytes are held, a quantum at a time, and returns how many are.
    pub(super) fn poll_at_least(
        &mut self,
        least: usize,
        quantum: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Denied>> {
        while self.left < least {
            let byte = Permits::from(1);
            let granted = ready!(self.asking.poll((quantum as u64).into(), byte, cx))?;
            // No quantum is larger than a `usize`. Far from overflow on 64 bits; on 32 bits, permits beyond 4 GiB would be lost.
            self.left = self.left.saturating_add(granted.whole() as usize);
        }
        Poll::Ready(Ok(self.left))
    }

    /// Counts bytes that have passed.
    pub(super) const fn spend(&mut self, bytes: usize) {
        // A writer may claim to have taken more than it was given.
        self.left = self.left.saturating_sub(bytes);
    }

    /// Returns what has not been used.
    pub(super) fn give_back(&mut self) {
        let left = core::mem::take(&mut self.left);
        if left > 0 {
            let refunded = AllOf::new().and(self.asking.limit(), left as u64).refund();
            debug_assert!(refunded.is_ok(), "as much was granted before");
        }
    }
}

impl Drop for Allowance {
    fn drop(&mut self) {
        self.give_back();
    }
}

impl fmt::Debug for Allowance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Allowance").field("left", &self.left).finish_non_exhaustive()
    }
}

/// The error of a read or a write that the limit refuses.
pub(super) fn refused(denied: Denied) -> io::Error {
    io::Error::other(denied)
}
