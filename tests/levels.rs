//! The level that an admission leaves, and the bound on waiters.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{
    pin::pin,
    sync::atomic::{AtomicU64, Ordering},
    task::Poll,
    time::Duration,
};

use by_hand::{limiter, poll};
use tidegate::{AllOf, Clock, Denied, PerCore, Quota, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_admission_reports_what_it_leaves() {
    let (limiter, clock) = limiter(Quota::per_second(3).with_burst(5));
    for left in [4, 3, 2, 1, 0] {
        let level = limiter.try_acquire_reporting(1).unwrap();
        assert_eq!(level.available(), left);
        assert_eq!((level, level.available()), (limiter.level(), limiter.available()));
        assert_eq!(level.time_until_full(), limiter.time_until_full());
        // A third of a second, rounded up to a nanosecond.
        assert_eq!(level.time_until_next(), Duration::from_nanos(333_333_334));
    }
    let denied = limiter.try_acquire_reporting(1).unwrap_err();
    assert_eq!(Some(limiter.level().time_until_next()), denied.retry_after());
    clock.advance(SECOND / 2);
    // One and a half permits have come.
    let level = limiter.level();
    assert_eq!((level.available(), level.time_until_next()), (1, Duration::from_nanos(166_666_667)));
    limiter.charge(4).unwrap();
    let level = limiter.level();
    assert_eq!((level.available(), level.time_until_next()), (-3, Duration::from_nanos(166_666_667)));
    clock.advance(100 * SECOND);
    let level = limiter.level();
    assert_eq!(
        (level.available(), level.time_until_next(), level.time_until_full()),
        (5, Duration::ZERO, Duration::ZERO)
    );
    assert_eq!(limiter.try_acquire_reporting(0).unwrap().available(), 5);
    assert!(limiter.try_acquire_reporting(6).unwrap_err().is_never());
    assert!(limiter.try_acquire_reporting(-1).is_err());
}

#[test]
fn an_admission_through_the_lock_or_from_a_slot_reports_too() {
    let (limiter, _) = limiter(Quota::per_hour(1_000_000));
    let per_core = PerCore::new(&limiter);
    per_core.try_acquire().unwrap();
    let all = limiter.available() as u64;
    // More than the word has, so that parked permits are needed.
    let level = limiter.try_acquire_reporting(limiter.largest_request() - 1).unwrap();
    assert_eq!(level.available() as u64, all - (limiter.largest_request() - 1));
    assert_eq!(level.available(), limiter.available());
}

#[test]
fn a_pause_is_part_of_the_times() {
    let (limiter, _) = limiter(Quota::per_second(10));
    limiter.pause_for(30 * SECOND);
    let level = limiter.level();
    assert_eq!(
        (level.available(), level.time_until_full(), level.time_until_next()),
        (10, 30 * SECOND, 30 * SECOND)
    );
    limiter.set_available(9);
    assert_eq!(limiter.level().time_until_next(), 30 * SECOND + SECOND / 10);
}

/// Counts its readings.
#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Clock for Counting {
    fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed);
        1_000_000_000
    }
}

#[test]
fn one_clock_reading_does() {
    let limiter = RateLimiter::with_clock(Quota::per_second(10), Counting::default());
    let before = limiter.clock().0.load(Ordering::Relaxed);
    let level = limiter.try_acquire_reporting(3).unwrap();
    assert_eq!((level.available(), level.time_until_full()), (7, SECOND * 3 / 10));
    assert_eq!(limiter.clock().0.load(Ordering::Relaxed), before + 1);
}

#[test]
fn a_full_queue_refuses_calls_with_a_longest_wait() {
    let (limiter, clock) = limiter(Quota::per_second(1));
    assert_eq!(limiter.max_waiters(), usize::MAX);
    limiter.set_max_waiters(2);
    assert_eq!(limiter.max_waiters(), 2);
    limiter.try_acquire().unwrap();
    let mut first = pin!(limiter.acquire_within(1, Duration::MAX));
    let mut second = pin!(limiter.acquire());
    assert!(poll(first.as_mut()).is_pending() && poll(second.as_mut()).is_pending());

    let full = |denied: Denied| match denied {
        Denied::QueueFull(full) => (full.max_waiters(), full.retry_after()),
        other => panic!("{other:?}"),
    };
    let mut third = pin!(limiter.acquire_within(1, Duration::MAX));
    let Poll::Ready(Err(denied)) = poll(third.as_mut()) else { panic!() };
    assert_eq!(full(denied), (2, 3 * SECOND));
    assert_eq!((denied.retry_after(), denied.is_never()), (Some(3 * SECOND), false));
    assert_eq!(
        denied.to_string(),
        "rate limited: retry after 3s (the queue is full: at most 2 callers may wait)"
    );
    assert_eq!(full(limiter.blocking_acquire_within(1, Duration::MAX).unwrap_err()).0, 2);
    assert_eq!(full(limiter.blocking_reserve_within(1, Duration::MAX).unwrap_err()).0, 2);
    let all = AllOf::new().and(&limiter, 1);
    assert_eq!(full(all.blocking_acquire_within(Duration::MAX).unwrap_err().denied()).0, 2);
    // A call that would be too late anyway is told so.
    assert!(matches!(limiter.blocking_acquire_within(1, SECOND), Err(Denied::NotYet(_))));

    // Calls without a longest wait are not refused.
    let mut fourth = pin!(limiter.acquire_n(1));
    assert!(poll(fourth.as_mut()).is_pending());
    assert_eq!(limiter.waiting(), 3);

    // A place becomes free.
    clock.advance(2 * SECOND);
    assert_eq!((poll(first.as_mut()), poll(second.as_mut())), (Poll::Ready(Ok(())), Poll::Ready(())));
    let mut fifth = pin!(limiter.acquire_within(1, Duration::MAX));
    assert!(poll(fifth.as_mut()).is_pending());
    // With a smaller bound, the callers that wait already stay.
    limiter.set_max_waiters(0);
    assert_eq!(limiter.waiting(), 2);
    clock.advance(2 * SECOND);
    assert_eq!((poll(fourth.as_mut()), poll(fifth.as_mut())), (Poll::Ready(Ok(())), Poll::Ready(Ok(()))));
    // Nobody may wait, but an available permit is granted.
    clock.advance(SECOND);
    assert_eq!(poll(pin!(limiter.acquire_within(1, SECOND))), Poll::Ready(Ok(())));
}
