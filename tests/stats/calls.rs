//! Each kind of call is counted once.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate::{AllOf, Lane, ManualClock, PerCore, Quota, RateLimiter, Stats};

type Limiter = RateLimiter<ManualClock>;
/// Returns whether it was admitted.
type Call = fn(&Limiter) -> bool;

fn limiter(burst: u64) -> (ManualClock, Limiter) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).with_burst(burst);
    (clock.clone(), RateLimiter::with_clock(quota, clock).watched("test"))
}

fn poll<F: Future + ?Sized>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Admitted, refused, and waited.
fn calls(limiter: &Limiter) -> (u64, u64, u64) {
    let Stats { admitted, refused, waited, .. } = limiter.stats().unwrap();
    (admitted, refused, waited)
}

/// Granted, too late, cancelled, and waiting.
fn waits(limiter: &Limiter) -> (u64, u64, u64, usize) {
    let Stats { granted, too_late, cancelled, waiting, .. } = limiter.stats().unwrap();
    (granted, too_late, cancelled, waiting)
}

#[test]
fn a_call_that_is_decided_at_once_counts_once_whatever_it_is() {
    let kinds: [(&str, Call); 9] = [
        ("try_acquire", |limiter| limiter.try_acquire().is_ok()),
        ("try_acquire_n", |limiter| limiter.try_acquire_n(1).is_ok()),
        ("try_acquire_up_to", |limiter| limiter.try_acquire_up_to(1) == 1),
        ("try_acquire_reporting", |limiter| limiter.try_acquire_reporting(1).is_ok()),
        ("try_reserve", |limiter| limiter.try_reserve(1).map(tidegate::Reservation::spend).is_ok()),
        ("acquire_within", |limiter| {
            poll(pin!(limiter.acquire_within(1, Duration::ZERO))) == Poll::Ready(Ok(()))
        }),
        ("reserve_within", |limiter| match poll(pin!(limiter.reserve_within(1, Duration::ZERO))) {
            Poll::Ready(reserved) => reserved.map(tidegate::Reservation::spend).is_ok(),
            Poll::Pending => panic!("it waits"),
        }),
        ("blocking_acquire_within", |limiter| limiter.blocking_acquire_within(1, Duration::ZERO).is_ok()),
        ("AllOf", |limiter| AllOf::new().and(limiter, 1).try_acquire().is_ok()),
    ];
    for (name, call) in kinds {
        let (_, limiter) = limiter(1);
        assert!(call(&limiter), "{name}");
        assert_eq!(calls(&limiter), (1, 0, 0), "{name}, admitted");
        assert!(!call(&limiter), "{name}");
        assert_eq!(calls(&limiter), (1, 1, 0), "{name}, refused");
        // The same behind a waiter, where the lock holder decides.
        let mut waiter = pin!(limiter.acquire());
        assert!(poll(waiter.as_mut()).is_pending());
        assert!(!call(&limiter), "{name}");
        assert_eq!(calls(&limiter), (1, 2, 1), "{name}, refused behind a waiter");
    }
}

#[test]
fn invalid_requests_and_requests_above_the_burst_count_as_refused() {
    let (_, limiter) = limiter(2);
    assert!(limiter.try_acquire_n(3).is_err());
    assert!(poll(pin!(limiter.acquire_n(3))).is_ready());
    assert!(poll(pin!(limiter.acquire_n(-1))).is_ready());
    assert_eq!(calls(&limiter), (0, 3, 0));
    assert_eq!(calls(&limiter), (0, 3, 0), "reading counts nothing");
}

#[test]
fn a_waiter_counts_when_it_joins_and_when_it_ends() {
    let (clock, limiter) = limiter(1);
    limiter.try_acquire().unwrap();
    let mut granted = Box::pin(limiter.acquire());
    let mut late = Box::pin(limiter.acquire_within(1, Duration::from_secs(2)));
    let mut cancelled = Box::pin(limiter.lane(Lane::Background).acquire_owned());
    assert!(poll(granted.as_mut()).is_pending());
    assert!(poll(late.as_mut()).is_pending());
    assert!(poll(cancelled.as_mut()).is_pending());
    assert_eq!((calls(&limiter), waits(&limiter)), ((1, 0, 3), (0, 0, 0, 3)));
    // It goes ahead of them, and one of them has a longest wait.
    limiter.charge(1).unwrap();
    assert!(poll(late.as_mut()).is_ready());
    drop(cancelled);
    assert_eq!(waits(&limiter), (0, 1, 1, 1));
    clock.advance(Duration::from_secs(3));
    assert!(poll(granted.as_mut()).is_ready());
    let stats = limiter.stats().unwrap();
    assert_eq!(waits(&limiter), (1, 1, 1, 0));
    assert_eq!((stats.waits.count(), stats.waits.longest()), (1, Duration::from_secs(3)));
    assert_eq!(
        (stats.waits.sum(), stats.waits.mean()),
        (Duration::from_secs(3), Some(Duration::from_secs(3)))
    );
    assert_eq!((stats.charged, stats.available), (1, 1));
}

#[test]
fn a_grant_that_is_dropped_before_it_is_polled_counts_as_cancelled() {
    let (clock, limiter) = limiter(1);
    limiter.try_acquire().unwrap();
    let mut waiter = Box::pin(limiter.acquire());
    assert!(poll(waiter.as_mut()).is_pending());
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.waiting(), 0, "it was granted");
    drop(waiter);
    assert_eq!((waits(&limiter), limiter.available()), ((0, 0, 1, 0), 1));
}

#[test]
fn what_goes_back_counts_and_so_do_pauses() {
    let (_, limiter) = limiter(10);
    drop(limiter.try_reserve(4).unwrap());
    limiter.try_reserve(4).unwrap().settle(3).unwrap();
    limiter.try_reserve(4).unwrap().settle(4).unwrap();
    limiter.refund(1).unwrap();
    assert_eq!(limiter.stats().unwrap().given_back, 3);
    limiter.pause_for(Duration::from_secs(1));
    limiter.resume();
    limiter.set_quota(Quota::BLOCKED).unwrap();
    assert_eq!(limiter.stats().unwrap().pauses, 2);
}

#[test]
fn a_call_for_several_limits_counts_at_each_of_them_or_at_the_one_that_refuses() {
    let (clock, wide) = limiter(3);
    let narrow = RateLimiter::with_clock(Quota::per_second(1), clock.clone()).watched("narrow");
    let call = AllOf::new().and(&wide, 1).and(&narrow, 1);
    call.try_acquire().unwrap();
    call.try_acquire().unwrap_err();
    assert_eq!((calls(&wide), calls(&narrow)), ((1, 0, 0), (1, 1, 0)));
    let mut waiting = pin!(call.acquire());
    assert!(poll(waiting.as_mut()).is_pending());
    assert_eq!((calls(&wide), calls(&narrow)), ((1, 0, 0), (1, 1, 1)));
    clock.advance(Duration::from_secs(1));
    assert!(poll(waiting.as_mut()).is_ready());
    assert_eq!((calls(&wide), calls(&narrow)), ((2, 0, 0), (1, 1, 1)));
    assert_eq!(waits(&narrow), (1, 0, 0, 0));
    let reserved = AllOf::new().and(&wide, 1).try_reserve().unwrap();
    drop(reserved);
    assert_eq!((calls(&wide), wide.stats().unwrap().given_back), ((3, 0, 0), 1));
}

#[test]
fn calls_through_shares_count_at_the_limiter_which_shows_what_is_parked() {
    let limiter = RateLimiter::with_clock(Quota::per_second(8_000), ManualClock::new()).watched("shared");
    let per_core = PerCore::builder(&limiter).slots(2).share(100).build().unwrap();
    for _ in 0..50 {
        per_core.try_acquire().unwrap();
    }
    let stats = limiter.stats().unwrap();
    assert_eq!((stats.admitted, stats.parked, stats.stolen), (50, 51.into(), 0.into()));
    // More than the limiter has: the parked permits are moved to the word.
    limiter.try_acquire_n(6_950).unwrap();
    assert!(limiter.stats().unwrap().stolen > 0.into());
    per_core.try_acquire_n(7_000).unwrap_err();
    assert_eq!(calls(&limiter), (51, 1, 0));
    limiter.reset();
    let mut local = per_core.local();
    // One draw: the others are served from what it holds.
    for _ in 0..50 {
        local.try_acquire().unwrap();
    }
    assert_eq!(calls(&limiter), (52, 1, 0));
}

#[test]
#[should_panic(expected = "the limiter is watched already, by the name \"test\"")]
fn a_limiter_has_one_watch() {
    let (_, limiter) = limiter(1);
    let _ = limiter.watched("again");
}

#[test]
fn a_limiter_that_is_not_watched_has_no_stats() {
    let limiter = RateLimiter::new(Quota::per_second(1));
    let handle = limiter.clone();
    assert_eq!((limiter.stats(), limiter.name()), (None, None));
    let limiter = limiter.watched("late");
    handle.try_acquire().unwrap();
    assert_eq!((limiter.stats().unwrap().admitted, handle.name()), (1, Some("late")));
}
