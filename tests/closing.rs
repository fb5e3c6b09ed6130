//! A limiter is closed: waiters and later calls are told where they can be.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{pin::pin, task::Poll, thread, time::Duration};

use by_hand::{limiter, poll};
use tidegate::{AcquireError, AllOf, Denied, ManualClock, PerCore, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn waiters_are_told() {
    let (limiter, clock) = limiter(Quota::per_second(1).with_burst(1).with_initial(0));
    let mut told = pin!(limiter.acquire_n(1));
    let mut hasty = pin!(limiter.acquire_within(1, 10 * SECOND));
    let mut reserving = pin!(limiter.reserve(1));
    let mut untold = pin!(limiter.acquire());
    assert!(poll(told.as_mut()).is_pending() && poll(hasty.as_mut()).is_pending());
    assert!(poll(reserving.as_mut()).is_pending() && poll(untold.as_mut()).is_pending());
    assert!(!limiter.is_closed());
    limiter.close();
    limiter.close();
    assert!(limiter.is_closed());
    assert_eq!(limiter.waiting(), 0);
    assert_eq!(poll(told), Poll::Ready(Err(AcquireError::Closed)));
    assert_eq!(poll(hasty), Poll::Ready(Err(Denied::Closed)));
    assert!(matches!(poll(reserving), Poll::Ready(Err(AcquireError::Closed))));
    for _ in 0..3 {
        assert!(poll(untold.as_mut()).is_pending(), "it cannot fail");
        clock.advance(100 * SECOND);
    }
}

#[test]
fn a_waiter_that_is_due_is_granted_before() {
    let (limiter, _) = limiter(Quota::per_second(1).with_burst(3));
    limiter.pause_for(SECOND);
    let mut waiting = pin!(limiter.acquire_n(2));
    assert!(poll(waiting.as_mut()).is_pending());
    limiter.resume();
    limiter.close();
    assert_eq!(poll(waiting), Poll::Ready(Ok(())));
}

#[test]
fn later_calls_are_refused() {
    let (limiter, clock) = limiter(Quota::per_second(100));
    let per_core = PerCore::builder(&limiter).slots(1).share(5).build().unwrap();
    let mut local = per_core.local();
    per_core.try_acquire().unwrap();
    local.try_acquire().unwrap();
    let reservation = limiter.try_reserve(3).unwrap();
    limiter.close();
    for _ in 0..2 {
        assert_eq!(limiter.try_acquire(), Err(Denied::Closed));
        assert_eq!(limiter.try_acquire_n(1_000), Err(Denied::Closed));
        assert_eq!(per_core.try_acquire(), Err(Denied::Closed));
        assert_eq!(local.try_acquire(), Err(Denied::Closed));
        assert_eq!(limiter.try_acquire_up_to(5), 0);
        assert!(limiter.try_reserve(1).is_err() && !limiter.has_capacity(1));
        assert_eq!(limiter.time_until(1), Err(AcquireError::Closed));
        assert_eq!(limiter.blocking_acquire_n(1), Err(AcquireError::Closed));
        assert_eq!(limiter.blocking_acquire_within(1, SECOND), Err(Denied::Closed));
        assert_eq!(poll(pin!(per_core.acquire_n(1))), Poll::Ready(Err(AcquireError::Closed)));
        assert_eq!(poll(pin!(local.acquire_n(1))), Poll::Ready(Err(AcquireError::Closed)));
        assert!(poll(pin!(local.acquire())).is_pending() && poll(pin!(per_core.acquire())).is_pending());
        clock.advance(10 * SECOND);
        limiter.resume();
        limiter.pause_for(SECOND);
        limiter.set_quota(Quota::per_second(1_000)).unwrap();
    }
    assert!(Denied::Closed.is_never() && Denied::Closed.retry_after().is_none());
    drop(reservation);
    limiter.refund(1).unwrap();
}

#[test]
fn several_limits_are_refused_by_the_one_that_is_closed() {
    let (first, clock) = limiter(Quota::per_second(1).with_burst(1).with_initial(0));
    let second = RateLimiter::with_clock(Quota::per_second(10), clock.clone());
    let both = AllOf::new().and(&first, 1).and(&second, 1);
    let mut waiting = pin!(both.acquire());
    assert!(poll(waiting.as_mut()).is_pending());
    second.close();
    let denied = both.try_acquire().unwrap_err();
    assert_eq!((denied.limit(), denied.denied()), (1, Denied::Closed));
    clock.advance(SECOND);
    let Poll::Ready(Err(denied)) = poll(waiting) else { panic!("the second limit is closed") };
    assert_eq!((denied.limit(), denied.denied()), (1, Denied::Closed));
    // What the first had granted is back.
    assert_eq!(first.available(), 1);
}

#[test]
fn threads_are_told() {
    let limiter = RateLimiter::new(Quota::per_hour(1).with_initial(0));
    thread::scope(|scope| {
        let told = scope.spawn(|| limiter.blocking_acquire_n(1));
        let reserving = scope.spawn(|| limiter.blocking_reserve(1).map(drop));
        let untold = scope.spawn(|| limiter.blocking_acquire());
        while limiter.waiting() < 3 {
            thread::yield_now();
        }
        limiter.close();
        assert_eq!(told.join().unwrap(), Err(AcquireError::Closed));
        assert_eq!(reserving.join().unwrap(), Err(AcquireError::Closed));
        let panic = untold.join().unwrap_err();
        assert!(panic.downcast_ref::<String>().unwrap().contains("closed limiter"));
    });
}

/// A pause cannot end later than the end of time.
#[test]
fn a_limiter_is_closed_at_the_end_of_time_too() {
    let clock = ManualClock::starting_at(u64::MAX);
    let limiter = RateLimiter::with_clock(Quota::per_second(10), clock);
    limiter.close();
    assert_eq!(limiter.try_acquire(), Err(Denied::Closed));
}
