//! Tasks without a runtime: futures that the test polls.

use std::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tidegate::{AcquireError, AcquireNOwned, RateLimiter, Reservation};

use super::clock::TestClock;

pub(super) type Limiter = RateLimiter<TestClock>;

/// A call that waits.
pub(super) enum Call {
    Acquire(Pin<Box<AcquireNOwned<TestClock>>>),
    Reserve(Pin<Box<dyn Future<Output = Result<Reservation<TestClock>, AcquireError>>>>),
}

/// What it comes to: the permits, or a reservation of them.
pub(super) type Granted = Option<Reservation<TestClock>>;

impl Call {
    pub(super) fn acquire(limiter: &Limiter, n: i64) -> Self {
        Self::Acquire(Box::pin(limiter.acquire_n_owned(n)))
    }

    pub(super) fn reserve(limiter: &Limiter, n: i64) -> Self {
        let limiter = limiter.clone();
        Self::Reserve(Box::pin(async move { limiter.reserve(n).await }))
    }

    pub(super) fn poll(&mut self) -> Poll<Result<Granted, AcquireError>> {
        let mut cx = Context::from_waker(Waker::noop());
        match self {
            Self::Acquire(call) => call.as_mut().poll(&mut cx).map_ok(|()| None),
            Self::Reserve(call) => call.as_mut().poll(&mut cx).map_ok(Some),
        }
    }
}
