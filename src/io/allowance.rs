//! The bytes that one direction of a stream may pass.

use core::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll, ready},
};
use std::io;

use crate::{AcquireAny, AllOf, Denied, Limit};

/// The bytes that a stream takes at a time, unless it is told another number.
pub(super) const QUANTUM: usize = 8 * 1024;

/// Bytes that have been granted and have not passed yet, and the call that waits for more.
pub(super) struct Allowance {
    limit: AllOf,
    left: usize,
    /// Stays between the polls of its owner, so that a stream keeps its place in the queue.
    acquire: Pin<Box<Option<AcquireAny>>>,
    asked: usize,
}

impl Allowance {
    pub(super) fn new(limit: &(impl Limit + ?Sized)) -> Self {
        Self { limit: AllOf::new().and(limit, 1), left: 0, acquire: Box::pin(None), asked: 0 }
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
            let granted = ready!(self.poll_quantum(quantum, cx))?;
            // Far from overflow on 64 bits. On 32 bits, permits beyond 4 GiB would be lost.
            self.left = self.left.saturating_add(granted);
        }
        Poll::Ready(Ok(self.left))
    }

    fn poll_quantum(&mut self, quantum: usize, cx: &mut Context<'_>) -> Poll<Result<usize, Denied>> {
        let mut ask = quantum;
        loop {
            if self.acquire.is_none() {
                self.asked = ask;
                self.acquire.set(Some(self.limit.acquire_n((ask as u64).into())));
            }
            let Some(acquire) = self.acquire.as_mut().as_pin_mut() else { unreachable!("it was just set") };
            let granted = ready!(acquire.poll(cx));
            self.acquire.set(None);
            match granted {
                Ok(()) => return Poll::Ready(Ok(self.asked)),
                Err(denied) => match less_than(self.asked, &denied) {
                    Some(less) => ask = less,
                    None => return Poll::Ready(Err(denied)),
                },
            }
        }
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
            let refunded = AllOf::new().and(&self.limit, left as u64).refund();
            debug_assert!(refunded.is_ok(), "as much was granted before");
        }
    }
}

/// What to ask for after a refusal because the request is above a burst; `None` if there is nothing less to ask for.
fn less_than(asked: usize, denied: &Denied) -> Option<usize> {
    let Denied::TooMany(too_many) = denied else { return None };
    if asked <= 1 {
        return None;
    }
    // A limit of several may take more than one permit for a byte.
    let (asked_wide, requested) = (asked as u128, u128::from(too_many.requested().whole()).max(1));
    let most = asked_wide * u128::from(too_many.largest()) / requested;
    // At least one less at each refusal, so that this ends.
    Some((most as usize).clamp(1, asked - 1))
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
