//! The bytes that one direction of a stream may pass.

use core::{
    fmt,
    num::NonZeroUsize,
    task::{Context, Poll, ready},
    time::Duration,
};
use std::io;

use crate::{AllOf, Denied, Limit, Permits, asking::Asking};

/// How many bytes a stream takes at a time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Quantum(Option<NonZeroUsize>);

impl Quantum {
    /// What accrues in 50 ms, up to 8 KiB.
    pub(super) const BY_RATE: Self = Self(None);
    const MOST: usize = 8 * 1024;
    const PACE: Duration = Duration::from_millis(50);

    #[track_caller]
    pub(super) const fn of(bytes: usize) -> Self {
        assert!(bytes > 0, "a quantum of zero bytes would let nothing pass: write 1 or more");
        Self(NonZeroUsize::new(bytes))
    }

    /// The bytes to ask this limit for.
    fn of_limit(self, limit: &AllOf) -> usize {
        if let Some(bytes) = self.0 {
            return bytes.get();
        }
        // No stream waits for what is available: a slow limit with a large burst is asked as a fast one.
        let accrue = usize::try_from(limit.times_within(Self::PACE)).unwrap_or(Self::MOST);
        if accrue >= Self::MOST || AllOf::new().and(limit, Self::MOST as u64).has_capacity() {
            return Self::MOST;
        }
        accrue.max(1)
    }
}

impl fmt::Debug for Quantum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(bytes) => bytes.fmt(f),
            None => f.write_str("by rate"),
        }
    }
}

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
    pub(super) fn poll_some(
        &mut self,
        quantum: Quantum,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, Denied>> {
        if self.left == 0 {
            let byte = Permits::from(1);
            let bytes = if self.asking.is_under_way() { 0 } else { quantum.of_limit(self.asking.limit()) };
            let granted = ready!(self.asking.poll((bytes as u64).into(), byte, cx))?;
            // No quantum is larger than a `usize`.
            self.left = granted.whole() as usize;
        }
        Poll::Ready(Ok(self.left))
    }

    /// Counts bytes that have passed.
    pub(super) const fn spend(&mut self, bytes: usize) {
        // A writer may claim to have taken more than it was given.
        self.left = self.left.saturating_sub(bytes);
    }

    /// Returns what has not been used, and leaves the queue.
    pub(super) fn give_back(&mut self) {
        self.asking.give_up();
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
