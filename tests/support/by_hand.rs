//! A limiter by a clock that is moved by hand, and futures that are polled by hand.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tidegate::{ManualClock, Quota, RateLimiter};

pub(crate) fn limiter(quota: Quota) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}
