//! A waiter that notes when it is granted, however late it looks.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

use tidegate::{AcquireError, AcquireNOwned, Clock, RateLimiter};

const NEVER: u64 = u64::MAX;

/// Notes when it is first woken, which is when its waiter is granted or refused.
#[derive(Debug)]
struct Told<C> {
    clock: C,
    at: AtomicU64,
}

impl<C: Clock> Wake for Told<C> {
    fn wake(self: Arc<Self>) {
        let now = self.clock.now();
        // Relaxed: all of it is on one thread.
        let _ = self.at.compare_exchange(NEVER, now, Ordering::Relaxed, Ordering::Relaxed);
    }
}

pub(crate) struct Waiter<C: Clock> {
    pub(crate) n: u64,
    told: Arc<Told<C>>,
    future: Pin<Box<AcquireNOwned<C>>>,
}

impl<C: Clock + Clone> Waiter<C> {
    pub(crate) fn new(limiter: &RateLimiter<C>, n: u64) -> Self {
        let told = Arc::new(Told { clock: limiter.clock().clone(), at: AtomicU64::new(NEVER) });
        Self { n, told, future: Box::pin(limiter.acquire_n_owned(n)) }
    }

    /// When it was granted or refused.
    pub(crate) fn told_at(&self) -> Option<u64> {
        // Relaxed: as above.
        Some(self.told.at.load(Ordering::Relaxed)).filter(|&at| at != NEVER)
    }

    /// Whether it has been granted or refused.
    pub(crate) fn is_told(&self) -> bool {
        self.told_at().is_some()
    }

    pub(crate) fn poll(&mut self) -> Poll<Result<(), AcquireError>> {
        let (waker, told) = (Waker::from(Arc::clone(&self.told)), self.is_told());
        let outcome = self.future.as_mut().poll(&mut Context::from_waker(&waker));
        assert!(!told || outcome.is_ready(), "woken for nothing");
        if outcome.is_ready() {
            // At once, if it was not woken before.
            waker.wake();
        }
        outcome
    }
}
