//! A waiter is due and still waits, for its alarm is late. Calls that do not wait, a charge, a longest wait, and a change of
//! quota find what they would find if it had been served in time.

#[path = "support/late_clock.rs"]
mod late_clock;

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    time::Duration,
};

use late_clock::LateClock;
use tidegate::{AcquireOwned, AllOf, Denied, Inherit, NotYet, PerCore, Quota, RateLimiter};

const MILLI: Duration = Duration::from_millis(1);

type Waiters = Vec<Pin<Box<AcquireOwned<LateClock>>>>;

/// Four waiters of a limiter of 1,000 a second, which were due at 1, 2, 3 and 4 ms. It is 4 ms now.
fn four_due() -> (RateLimiter<LateClock>, Waiters) {
    let clock = LateClock::default();
    let limiter =
        RateLimiter::with_clock(Quota::per_second(1_000).with_burst(1).with_initial(0), clock.clone());
    let mut waiters: Waiters = (0..4).map(|_| Box::pin(limiter.acquire_owned())).collect();
    assert_eq!(count_served(&mut waiters), 0);
    clock.now.store(4_000_000, Relaxed);
    (limiter, waiters)
}

fn count_served(waiters: &mut [Pin<Box<AcquireOwned<LateClock>>>]) -> usize {
    let mut cx = Context::from_waker(Waker::noop());
    waiters.iter_mut().filter_map(|waiter| waiter.as_mut().poll(&mut cx).is_ready().then_some(())).count()
}

#[test]
fn a_waiter_that_is_due_when_the_quota_changes_is_granted_by_the_old_one() {
    let (limiter, mut waiters) = four_due();
    limiter.set_quota(Quota::per_hour(1)).unwrap();
    assert_eq!(count_served(&mut waiters), 4);
}

#[test]
fn a_waiter_that_is_due_when_the_quota_starts_anew_is_granted_by_the_old_one() {
    let (limiter, mut waiters) = four_due();
    limiter.set_quota_with(Quota::per_hour(1).with_initial(0), Inherit::Reset).unwrap();
    assert_eq!(count_served(&mut waiters), 4);
}

/// It was due before the charge, and in time.
fn a_charge_takes_nothing_from_who_is_due(charge: impl Fn(&RateLimiter<LateClock>)) {
    let clock = LateClock::default();
    let quota = Quota::per_second(1_000).with_burst(5).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiter = Box::pin(limiter.acquire_within_owned(1, 2 * MILLI));
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    clock.now.store(1_500_000, Relaxed);
    charge(&limiter);
    assert_eq!(waiter.as_mut().poll(&mut cx), Poll::Ready(Ok(())));
    assert_eq!(limiter.available(), -100);
}

#[test]
fn a_charge_before_a_late_alarm_takes_nothing_from_who_is_due() {
    a_charge_takes_nothing_from_who_is_due(|limiter| assert!(limiter.charge(100).is_ok()));
    // Of several limits, too.
    let other = RateLimiter::new(Quota::per_second(1_000));
    a_charge_takes_nothing_from_who_is_due(|limiter| {
        assert!(AllOf::new().and(&other, 1).and(limiter, 100).charge().is_ok());
    });
}

/// An alarm that is later than the catch-up has cost some of the time.
#[test]
fn a_refusal_behind_a_late_alarm_says_when_to_come_back() {
    let clock = LateClock::default();
    let quota = Quota::per_second(10).with_burst(1).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiters: Vec<_> = (0..3).map(|_| Box::pin(limiter.acquire_owned())).collect();
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    clock.now.store(150_000_000, Relaxed);
    let retry_after = limiter.time_until(1).unwrap();
    assert_eq!(limiter.try_acquire(), Err(Denied::NotYet(NotYet::after(retry_after))));
    let until = 150_000_000 + retry_after.as_nanos() as u64;
    for now in (150_000_000..=until).step_by(10_000_000) {
        clock.now.store(now, Relaxed);
        clock.ring();
    }
    clock.now.store(until, Relaxed);
    clock.ring();
    assert_eq!(limiter.try_acquire(), Ok(()), "told {retry_after:?}");
}

#[test]
fn what_there_is_capacity_for_is_not_refused_behind_a_late_alarm() {
    let clock = LateClock::default();
    let quota = Quota::per_second(1_000).with_burst(5).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    let mut waiter = Box::pin(limiter.acquire_owned());
    assert!(waiter.as_mut().poll(&mut cx).is_pending());
    clock.now.store(3_000_000, Relaxed);
    assert_eq!(limiter.has_capacity(1), limiter.try_acquire().is_ok());
}

/// What hungry tasks get of 100,000 permits, a thousand of which come between two alarms. `hungry` makes a task, which counts.
fn counted_of_100_000<F: Future>(hungry: impl Fn(PerCore<LateClock>, &'static AtomicU64) -> F) -> u64 {
    let clock = LateClock::default();
    let quota = Quota::per_second(1_000_000).with_burst(100).with_initial(0);
    let per_core = PerCore::new(&RateLimiter::with_clock(quota, clock.clone()));
    let count: &AtomicU64 = Box::leak(Box::default());
    let mut tasks: Vec<_> = (0..8).map(|_| Box::pin(hungry(per_core.clone(), count))).collect();
    for millis in 0..=100 {
        clock.now.store(millis * 1_000_000, Relaxed);
        clock.ring();
        for task in &mut tasks {
            assert!(task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        }
    }
    count.load(Relaxed)
}

/// A share is a call that does not wait. So a task that draws one would end the credit, which makes up for late alarms.
#[test]
fn hungry_tasks_that_draw_shares_get_the_full_rate_in_spite_of_late_alarms() {
    let count = counted_of_100_000(|per_core, count| async move {
        loop {
            per_core.acquire().await;
            count.fetch_add(1, Relaxed);
        }
    });
    assert!((99_900..=100_100).contains(&count), "{count}");
    let count = counted_of_100_000(|per_core, count| async move {
        let mut local = per_core.local();
        loop {
            local.acquire().await;
            count.fetch_add(1, Relaxed);
        }
    });
    assert!((99_900..=100_100).contains(&count), "{count}");
}
