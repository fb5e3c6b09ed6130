//! Wakers that call the limiter, panic, or are replaced, and futures and runtimes that are gone.
//!
//! Everything is deterministic: the test moves the clock, or time is tokio's paused time.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicPtr, AtomicU64, Ordering},
        mpsc,
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use tidegate::{AcquireError, AcquireNOwned, Clock, ManualClock, Quota, RateLimiter};

use self::hooked::{Hooked, On};

#[path = "wakers/calling_back.rs"]
mod calling_back;
#[path = "wakers/forgotten.rs"]
mod forgotten;
#[path = "wakers/hooked.rs"]
mod hooked;
#[path = "wakers/moving.rs"]
mod moving;
#[path = "wakers/panicking.rs"]
mod panicking;
#[path = "wakers/replaced.rs"]
mod replaced;
#[path = "wakers/storm.rs"]
mod storm;

const SECOND: Duration = Duration::from_secs(1);

type Limiter = RateLimiter<ManualClock>;
type Waiter<C = ManualClock> = Pin<Box<AcquireNOwned<C>>>;

/// One permit a second, and none to begin with.
fn limiter(burst: u64) -> (Limiter, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).with_burst(burst).with_initial(0);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

fn poll<F: Future>(waiter: &mut Pin<Box<F>>, waker: &Waker) -> Poll<F::Output> {
    waiter.as_mut().poll(&mut Context::from_waker(waker))
}

/// A waiter in the queue, with a waker that does nothing.
fn queued<C: Clock>(limiter: &RateLimiter<C>, n: u64) -> Waiter<C> {
    queued_by(limiter, n, Waker::noop())
}

fn queued_by<C: Clock>(limiter: &RateLimiter<C>, n: u64, waker: &Waker) -> Waiter<C> {
    let mut waiter = Box::pin(limiter.acquire_n_owned(n));
    assert!(poll(&mut waiter, waker).is_pending(), "no permit yet");
    waiter
}

fn is_granted<C: Clock>(waiter: &mut Waiter<C>) -> bool {
    poll(waiter, Waker::noop()) == Poll::Ready(Ok(()))
}

/// Runs a test that would hang if code of others were run under the lock, and fails instead.
fn never_hangs(test: impl FnOnce() + Send + 'static) {
    if cfg!(miri) {
        // It finds deadlocks itself.
        return test();
    }
    let (done, wait) = mpsc::channel();
    let thread = thread::spawn(move || {
        test();
        done.send(()).unwrap();
    });
    let waited = wait.recv_timeout(Duration::from_secs(60));
    assert_ne!(waited, Err(mpsc::RecvTimeoutError::Timeout), "a deadlock");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

/// Calls that take the lock.
fn look_into(limiter: &Limiter) {
    let _ = limiter.waiting();
    let _ = limiter.try_acquire();
    limiter.refund(0).unwrap();
}
