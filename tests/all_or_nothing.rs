//! Quotas that admit every call or none, from the start and live.

#[path = "support/by_hand.rs"]
mod by_hand;

use std::{pin::pin, task::Poll, time::Duration};

use by_hand::{limiter, poll};
use tidegate::{AllOf, Denied, Inherit, PerCore, Quota, QuotaError, RateLimiter};

const SECOND: Duration = Duration::from_secs(1);
const YEAR: Duration = Duration::from_secs(365 * 86_400);

#[test]
fn unlimited_admits_whatever_is_asked_for() {
    let (limiter, _) = limiter(Quota::UNLIMITED);
    for n in [1_u64, 1_000, 1_000_000_000, 100_000_000_000_000] {
        for _ in 0..5 {
            limiter.try_acquire_n(n).unwrap();
            assert_eq!(poll(pin!(limiter.acquire())), Poll::Ready(()));
        }
    }
    // Also for years: nothing wears off.
    let (limiter, clock) = by_hand::limiter(Quota::UNLIMITED);
    for _ in 0..500 {
        clock.advance(YEAR);
        assert_eq!(limiter.try_acquire_n(1_000_000_000_000_u64), Ok(()));
    }
}

#[test]
fn blocked_admits_nobody() {
    let (limiter, clock) = limiter(Quota::BLOCKED);
    let per_core = PerCore::new(&limiter);
    for _ in 0..3 {
        assert!(limiter.try_acquire().unwrap_err().retry_after() > Some(200 * YEAR));
        assert!(per_core.try_acquire().is_err() && AllOf::new().and(&limiter, 1).try_acquire().is_err());
        assert!(limiter.blocking_acquire_within(1, 10 * YEAR).is_err());
        assert_eq!((limiter.try_acquire_up_to(5), limiter.available()), (0, 0));
        assert!(poll(pin!(limiter.acquire())).is_pending());
        clock.advance(100 * YEAR);
    }
    assert!(!limiter.try_acquire_n(1_000_000).unwrap_err().is_never());
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn a_limit_that_is_lifted_grants_all_waiters() {
    let (limiter, clock) = limiter(Quota::per_hour(1));
    limiter.try_acquire().unwrap();
    let mut waiters = [pin!(limiter.acquire_n(1)), pin!(limiter.acquire_n(1))];
    assert!(waiters.iter_mut().all(|waiter| poll(waiter.as_mut()).is_pending()));
    limiter.set_quota(Quota::UNLIMITED).unwrap();
    assert!(waiters.iter_mut().all(|waiter| poll(waiter.as_mut()) == Poll::Ready(Ok(()))));
    assert_eq!(limiter.quota().to_string(), "unlimited");
    limiter.try_acquire_n(1_000_000).unwrap();

    // What follows starts with a full bucket, and then goes by its rate.
    for inherit in [Inherit::AsIs, Inherit::Additively, Inherit::Proportionally, Inherit::Reset] {
        limiter.set_quota_with(Quota::per_second(10), inherit).unwrap();
        assert_eq!(limiter.available(), 10, "{inherit:?}");
        limiter.try_acquire_n(10).unwrap();
        assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(SECOND / 10));
        limiter.set_quota_with(Quota::UNLIMITED, inherit).unwrap();
        clock.advance(SECOND);
    }
}

#[test]
fn waiters_wait_on_while_a_limiter_is_blocked() {
    let (limiter, clock) = limiter(Quota::per_second(10).with_catch_up(Duration::ZERO));
    limiter.try_acquire_n(10).unwrap();
    let mut patient = pin!(limiter.acquire_n(5));
    let mut large = pin!(limiter.acquire_n(10));
    let mut hurried = pin!(limiter.acquire_within(1, 10 * SECOND));
    assert!(poll(patient.as_mut()).is_pending() && poll(large.as_mut()).is_pending());
    assert!(poll(hurried.as_mut()).is_pending());

    limiter.set_quota(Quota::BLOCKED).unwrap();
    assert!(matches!(poll(hurried.as_mut()), Poll::Ready(Err(Denied::NotYet(_)))));
    clock.advance(1_000 * SECOND);
    assert!(poll(patient.as_mut()).is_pending());
    assert_eq!(limiter.waiting(), 2);

    // The next quota starts from the level of before: the bucket was empty.
    limiter.set_quota(Quota::per_second(5)).unwrap();
    assert_eq!(limiter.available(), 0);
    assert!(matches!(poll(large.as_mut()), Poll::Ready(Err(_))), "more than the burst");
    clock.advance(SECOND);
    assert_eq!(poll(patient.as_mut()), Poll::Ready(Ok(())));
}

#[test]
fn the_level_is_kept_while_a_limiter_is_blocked() {
    for inherit in [Inherit::AsIs, Inherit::Additively, Inherit::Proportionally, Inherit::Reset] {
        let (limiter, clock) = limiter(Quota::per_second(1_000_000));
        limiter.try_acquire_n(999_996).unwrap();
        limiter.set_quota_with(Quota::BLOCKED, inherit).unwrap();
        clock.advance(SECOND);
        limiter.set_quota(Quota::per_second(10)).unwrap();
        assert_eq!(limiter.available(), 4, "{inherit:?}");
        assert_eq!(limiter.time_until_full(), SECOND * 6 / 10);
    }
    // One that was blocked from the start is empty.
    for inherit in [Inherit::AsIs, Inherit::Additively, Inherit::Proportionally] {
        let (limiter, clock) = limiter(Quota::BLOCKED);
        clock.advance(SECOND);
        limiter.set_quota_with(Quota::per_second(10), inherit).unwrap();
        assert_eq!(limiter.available(), 0, "{inherit:?}");
        clock.advance(SECOND);
        assert_eq!(limiter.available(), 10, "{inherit:?}");
    }
}

#[test]
fn what_slots_and_locals_hold_is_not_taken_while_a_limiter_is_blocked() {
    let (limiter, clock) = limiter(Quota::per_second(1_000_000));
    let per_core = PerCore::new(&limiter);
    let mut local = per_core.local();
    local.try_acquire().unwrap();
    per_core.try_acquire().unwrap();
    limiter.set_quota(Quota::BLOCKED).unwrap();
    for _ in 0..2 {
        assert!(
            per_core.try_acquire().is_err() && local.try_acquire().is_err() && limiter.try_acquire().is_err()
        );
        clock.advance(SECOND);
    }
    limiter.set_quota(Quota::UNLIMITED).unwrap();
    assert!(per_core.try_acquire().is_ok() && local.try_acquire().is_ok());
    // What was drawn without a limit does not count under one.
    limiter.set_quota(Quota::per_second(10)).unwrap();
    assert_eq!((0..1_000).filter(|_| local.try_acquire().is_ok()).count(), 10);
}

#[test]
fn no_call_on_a_blocked_limiter_admits() {
    let (limiter, clock) = limiter(Quota::per_second(10));
    let reservation = limiter.try_reserve(4).unwrap();
    limiter.set_quota(Quota::BLOCKED).unwrap();
    let none =
        || assert_eq!((limiter.try_acquire_n(0.000_001).is_ok(), limiter.try_acquire_up_to(9)), (false, 0));
    none();
    limiter.refund(3).unwrap();
    none();
    limiter.reset();
    none();
    limiter.set_available(5);
    none();
    drop(reservation);
    limiter.pause_for(SECOND);
    limiter.resume_gently();
    none();
    clock.advance(200 * YEAR);
    none();
    assert_eq!(limiter.quota(), Quota::BLOCKED);
    limiter.charge(8).unwrap();
    limiter.set_quota(Quota::per_second(10)).unwrap();
    assert_eq!(limiter.available(), -3);
}

#[test]
fn a_debt_does_not_outlive_an_unlimited_quota() {
    let (limiter, clock) = limiter(Quota::per_second(10));
    limiter.charge(100_000).unwrap();
    limiter.set_quota(Quota::UNLIMITED).unwrap();
    limiter.set_quota(Quota::per_second(10)).unwrap();
    clock.advance(SECOND);
    assert_eq!(limiter.available(), 10);
}

#[test]
fn nothing_empties_an_unlimited_limiter() {
    let (limiter, clock) = limiter(Quota::UNLIMITED);
    limiter.pause_for(SECOND);
    limiter.resume_gently();
    limiter.try_acquire_n(1_000_000_000_u64).unwrap();
    limiter.set_available(0);
    limiter.try_acquire_n(1_000_000_000_u64).unwrap();
    clock.advance(SECOND);
}

#[test]
fn a_pause_holds_an_unlimited_limiter_too() {
    let (limiter, clock) = limiter(Quota::UNLIMITED);
    limiter.pause_for(SECOND);
    assert_eq!(limiter.try_acquire().unwrap_err().retry_after(), Some(SECOND));
    limiter.set_quota(Quota::BLOCKED).unwrap();
    limiter.resume();
    assert!(limiter.try_acquire().is_err(), "the end of a pause does not lift the block");
    limiter.pause_for(SECOND);
    assert_eq!(limiter.paused_until(), Some(u64::MAX));
    limiter.set_quota(Quota::UNLIMITED).unwrap();
    assert!(limiter.try_acquire().is_err(), "the quota does not end the pause");
    clock.advance(SECOND);
    limiter.try_acquire().unwrap();
}

#[test]
fn they_have_no_parts_to_set() {
    for quota in [Quota::BLOCKED, Quota::UNLIMITED] {
        assert_eq!(quota.try_with_burst(5), Err(QuotaError::Fixed));
        assert_eq!(quota.try_with_initial(0), Err(QuotaError::Fixed));
        assert_eq!(quota.try_with_catch_up(SECOND), Err(QuotaError::Fixed));
        assert!(RateLimiter::try_new(quota).is_ok());
    }
    assert_eq!((Quota::BLOCKED.permits(), Quota::BLOCKED.initial()), (0, 0));
}
