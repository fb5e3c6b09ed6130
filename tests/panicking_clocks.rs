//! A clock may panic: the panic hits only the caller that read the clock.

use std::{
    future::Future,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate::{AcquireAll, AllOf, Clock, ManualClock, PerCore, Quota, RateLimiter};

#[path = "panicking_clocks/groups.rs"]
mod groups;

const SECOND: Duration = Duration::from_secs(1);

/// A clock that the test moves. It panics once, at the reading that the test chooses.
#[derive(Clone, Debug, Default)]
struct Fragile {
    clock: ManualClock,
    /// The readings up to the one that panics, which is counted; 0 if none will.
    left: Arc<AtomicUsize>,
}

impl Fragile {
    fn panic_once(&self) {
        self.left.store(1, Ordering::Relaxed);
    }

    /// Runs `call`, which the reading of this number hits, and tells whether it made so many readings.
    fn panics_in(&self, reading: usize, call: impl FnOnce()) -> bool {
        self.left.store(reading, Ordering::Relaxed);
        drop(catch_unwind(AssertUnwindSafe(call)));
        self.left.swap(0, Ordering::Relaxed) == 0
    }
}

impl Clock for Fragile {
    fn now(&self) -> u64 {
        let left = self.left.load(Ordering::Relaxed);
        self.left.store(left.saturating_sub(1), Ordering::Relaxed);
        if left == 1 {
            // The panic hook is spared.
            resume_unwind(Box::new("a clock that panics, on purpose"));
        }
        self.clock.now()
    }

    fn wake_at(&self, deadline: u64, waker: &Waker) -> bool {
        self.clock.wake_at(deadline, waker)
    }
}

/// One permit a second, and none to begin with.
fn limiter(clock: &Fragile) -> RateLimiter<Fragile> {
    RateLimiter::with_clock(Quota::per_second(1).with_burst(3).with_initial(0), clock.clone())
}

fn poll<F: Future>(waiter: &mut Pin<Box<F>>) -> Poll<F::Output> {
    waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

/// It waits, leaves while the clock panics, and leaves nothing behind.
fn leaves<F: Future>(waiter: F, limiter: &RateLimiter<Fragile>) {
    let Fragile { clock, .. } = limiter.clock().clone();
    let mut waiter = Box::pin(waiter);
    assert!(poll(&mut waiter).is_pending());
    let mut behind = Box::pin(limiter.acquire());
    assert!(poll(&mut behind).is_pending());
    let waiting = limiter.waiting();
    limiter.clock().panic_once();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(waiter))).is_err());
    assert_eq!(limiter.waiting(), waiting - 1);
    clock.advance(SECOND);
    // The next caller that waits finds the alarm late, and serves the waiter before it.
    let mut last = Box::pin(limiter.acquire());
    assert!(poll(&mut last).is_pending());
    assert!(poll(&mut behind).is_ready());
    clock.advance(SECOND);
    assert!(poll(&mut last).is_ready());
    clock.advance(SECOND);
    assert_eq!(limiter.try_acquire(), Ok(()));
}

#[test]
fn a_waiter_that_leaves_is_out_of_the_queue() {
    let limiter = limiter(&Fragile::default());
    leaves(limiter.acquire_n(3), &limiter);
}

#[test]
fn a_group_that_leaves_is_out_of_all_queues() {
    let clock = Fragile::default();
    let (a, b) = (limiter(&clock), limiter(&clock));
    leaves(AllOf::new().and(&a, 3).and(&b, 1).acquire(), &a);
    assert_eq!((a.waiting(), b.waiting()), (0, 0));
}

/// The permits that it held are lost, but its claim is not: the next `Local` gets as large a share.
#[test]
fn a_share_can_be_had_again() {
    let clock = Fragile::default();
    let limiter = RateLimiter::with_clock(Quota::per_second(80), clock.clone());
    let per_core = PerCore::builder(&limiter).slots(1).share(10).build().unwrap();
    let share = || {
        let mut local = per_core.local();
        local.try_acquire().unwrap();
        let before = limiter.available();
        (local, before)
    };
    let (local, before) = share();
    clock.panic_once();
    assert!(catch_unwind(AssertUnwindSafe(|| drop(local))).is_err());
    clock.clock.advance(SECOND);
    let (_local, again) = share();
    assert_eq!(again, before);
}
