//! Grants that go back, as far as that changes nothing else.

use core::{
    future::Future,
    task::{Context, Waker},
    time::Duration,
};

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use super::waiters::{SECOND, limiter, poll, queued};
use crate::{Clock, Inherit, ManualClock, Quota, RateLimiter, gcra::Scale, queue::WaitQueue, word::Mode};

/// A clock that stands still, and panics once, after so many readings.
#[derive(Debug, Default)]
pub(super) struct Fragile(pub(super) AtomicUsize);

impl Clock for Fragile {
    fn now(&self) -> u64 {
        if self.0.load(Relaxed) > 0 && self.0.fetch_sub(1, Relaxed) == 1 {
            // The panic hook is spared.
            resume_unwind(Box::new("a clock that panics, on purpose"));
        }
        0
    }
}

#[test]
fn a_granted_waiter_that_is_dropped_hands_its_permit_on() {
    let (limiter, clock) = limiter(1, 0);
    let first = queued(&limiter, 1);
    let mut second = queued(&limiter, 1);
    clock.advance(SECOND);
    drop(first);
    assert!(poll(&mut second).is_ready());
    assert_eq!(limiter.available(), 0);
}

#[test]
fn a_granted_waiter_that_is_dropped_alone_gives_its_permit_back() {
    let (limiter, clock) = limiter(1, 0);
    let waiter = queued(&limiter, 1);
    clock.advance(SECOND);
    assert_eq!(limiter.available(), 0);
    drop(waiter);
    assert_eq!(limiter.available(), 1);
}

/// What calls without the lock have found before it was granted is nothing to it.
#[test]
fn a_grant_goes_back_whatever_was_taken_before_it_without_waiting() {
    for (initial, before) in [(3, 0), (4, 1)] {
        let (limiter, _clock) = limiter(4, initial);
        assert_eq!(limiter.try_acquire_up_to(before), before);
        limiter.try_acquire_n(2).unwrap();
        limiter.refund(1).unwrap();
        let waiter = queued(&limiter, 3);
        limiter.refund(1).unwrap();
        limiter.refund(1).unwrap();
        limiter.try_acquire().unwrap();
        drop(waiter);
        assert_eq!(limiter.available(), 3);
    }
}

/// To count from another origin is no look at the bucket. It is in debt all the time; but what was compared without
/// the lock may have been so at any time since.
#[test]
fn a_grant_goes_back_after_the_origin_has_moved() {
    const RATE: u64 = 999_983;
    for unlocked in [false, true] {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(Quota::per_second(RATE).burst(RATE).initial(0), clock.clone());
        let origin = || limiter.queue().meter.published.frame().origin_ns;
        let waiter = queued(&limiter, 7);
        clock.advance(SECOND);
        // A charge that leads into debt takes the lock; a call that finds credit does not.
        let other = queued(&limiter, RATE);
        limiter.charge(1_000 * RATE).unwrap();
        drop(other);
        if unlocked {
            limiter.refund(1_000 * RATE).unwrap();
            limiter.try_acquire().unwrap();
            limiter.charge(1_000 * RATE).unwrap();
        }
        let first = origin();
        while origin() == first {
            clock.advance(100 * SECOND);
            limiter.charge(100 * RATE).unwrap();
        }
        let debt = limiter.available();
        assert!(debt < -998 * RATE as i64, "{debt}");
        drop(waiter);
        assert_eq!(limiter.available() - debt, if unlocked { 0 } else { 7 });
    }
}

/// With a later reading than that of the drop, calls without the lock have found the bucket full. The two may also be
/// closer to each other than those of two threads may be.
#[test]
fn a_grant_that_goes_back_after_the_clock_has_is_no_second_burst() {
    const THEN_NS: u64 = 1_000_000_000_000;
    for (rate, held, micros, parts) in
        [(10_000, 90, 9_900, 1), (10_000, 90, 900, 1), (1, 100, 100_000_000, 1), (1, 50, 100_000_000, 2)]
    {
        let clock = ManualClock::starting_at(THEN_NS);
        let quota = Quota::per_second(rate).burst(100).catch_up(Duration::ZERO);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let reserved = limiter.try_reserve(held).unwrap();
        clock.advance(Duration::from_micros(micros));
        let later = clock.now();
        let part = limiter.available() as u64 / parts;
        for _ in 0..parts {
            limiter.try_acquire_n(part).unwrap();
            limiter.queue().locked(|_| ());
        }
        clock.set(THEN_NS);
        drop(reserved);
        clock.set(later);
        let taken = parts * part + limiter.try_acquire_up_to(u64::MAX);
        assert!(taken <= 100, "{taken} at {micros}");
    }
}

/// The bucket is taken to have been empty when the clock stepped back, whatever had been granted before.
#[test]
fn nothing_goes_back_once_a_clock_has_been_followed() {
    let clock = ManualClock::starting_at(1_000_000_000_000);
    let limiter = RateLimiter::with_clock(Quota::per_second(1).burst(10), clock.clone());
    let reserved = limiter.try_reserve(5).unwrap();
    clock.set(500_000_000_000);
    while let Err(denied) = limiter.try_acquire() {
        clock.advance(denied.retry_after().unwrap());
    }
    let there = limiter.available();
    drop(reserved);
    assert_eq!(limiter.available(), there);
}

/// Nothing is compared.
#[test]
fn a_refund_of_nothing_is_nothing() {
    let (limiter, clock) = limiter(10, 10);
    let reserved = limiter.try_reserve(5).unwrap();
    clock.advance(3 * SECOND);
    limiter.refund(0).unwrap();
    drop(reserved);
    assert_eq!(limiter.available(), 10);
}

#[test]
fn grants_dropped_long_after_their_busy_period_are_no_burst() {
    let (limiter, clock) = limiter(100, 0);
    let mut waiters: Vec<_> = (0..100).map(|_| queued(&limiter, 1)).collect();
    clock.advance(100 * SECOND);
    assert_eq!(limiter.waiting(), 0);
    clock.advance(3600 * SECOND);
    assert_eq!(limiter.try_acquire_up_to(100), 100);
    // A hundred abandoned grants of an hour ago.
    waiters.clear();
    assert_eq!(limiter.available(), 0);
}

#[test]
fn what_is_built_on_a_stale_step_is_kept() {
    let quota = Quota::per_second(1).burst(2);
    let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), ManualClock::new());
    let [before, after, last] = [(); 3].map(|()| {
        let tat = queue.meter.word.load().tat();
        let _ = queue.try_take(1.into());
        tat
    });
    for (from, to, left) in [(before, after, 0), (after, last, 1)] {
        queue.undo(Some((from, to)));
        assert_eq!(queue.available(), left);
    }
}

#[test]
fn a_grant_that_is_dropped_late_is_no_second_burst() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(10).initial(0).catch_up(Duration::ZERO);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let first = queued(&limiter, 10);
    let mut second = queued(&limiter, 10);
    clock.advance(20 * SECOND);
    assert!(poll(&mut second).is_ready());
    // Granted at 10 s: without it the bucket would have been full before the second came.
    drop(first);
    assert_eq!(limiter.available(), 0);
}

#[test]
fn an_arrival_time_that_comes_back_is_no_proof_that_nothing_happened() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(10).catch_up(Duration::ZERO);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    limiter.try_acquire_n(10).unwrap();
    let (older, newer) = (queued(&limiter, 5), queued(&limiter, 5));
    clock.advance(10 * SECOND);
    assert_eq!(limiter.waiting(), 0);
    // The older goes back; a newcomer takes as much, almost too late; the newer must not go back as well.
    drop(older);
    clock.advance(Duration::from_millis(4_900));
    let start = limiter.available();
    limiter.try_acquire_n(5).unwrap();
    drop(newer);
    assert_eq!(5 + limiter.try_acquire_up_to(u64::MAX), u64::try_from(start).unwrap());
}

#[test]
fn a_refund_fills_no_more_than_a_burst_for_those_who_wait_either() {
    let clock = ManualClock::starting_at(100_000_000_000);
    let quota = Quota::per_second(1).burst(2).initial(0).catch_up(SECOND);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let (mut first, mut second) = (queued(&limiter, 2), queued(&limiter, 2));
    limiter.refund(10).unwrap();
    assert!(poll(&mut first).is_ready());
    clock.advance(3 * SECOND / 2);
    assert!(poll(&mut second).is_pending(), "what was beyond a burst has come back as catch-up");
    clock.advance(SECOND / 2);
    assert!(poll(&mut second).is_ready());
}

#[test]
fn a_grant_from_before_a_refund_is_no_second_burst() {
    let (limiter, _clock) = limiter(4, 4);
    let all = limiter.try_reserve(4).unwrap();
    // But for the reservation the bucket would have been full, and this nothing.
    limiter.refund(3).unwrap();
    limiter.try_reserve(3).unwrap().spend();
    drop(all);
    assert_eq!(limiter.available(), 0);
}

#[test]
fn a_reset_makes_earlier_grants_worthless() {
    let (limiter, clock) = limiter(1, 0);
    let granted = queued(&limiter, 1);
    clock.advance(SECOND);
    limiter.reset();
    limiter.try_acquire().unwrap();
    drop(granted);
    assert!(limiter.try_acquire().is_err());
}

#[test]
fn a_waiter_that_left_early_costs_nobody_a_permit_later() {
    for someone_left in [false, true] {
        let (limiter, clock) = limiter(10, 0);
        if someone_left {
            drop(queued(&limiter, 1));
        }
        let mut waiters: Vec<_> = (0..30).map(|_| queued(&limiter, 1)).collect();
        for _ in 0..12 {
            clock.advance(SECOND);
        }
        assert_eq!(limiter.waiting(), 18);
        drop(waiters.remove(0));
        assert_eq!(limiter.waiting(), 17, "someone left: {someone_left}");
    }
}

#[test]
fn calls_without_the_lock_spoil_only_grants_from_before() {
    let (limiter, clock) = limiter(10, 5);
    let mut before = Box::pin(limiter.acquire_n(6));
    assert!(poll(&mut before).is_pending());
    clock.advance(SECOND);
    // Granted; the bucket is empty, then has three, of which two go without the lock.
    clock.advance(3 * SECOND);
    limiter.try_acquire_n(2).unwrap();
    let mut waiters: Vec<_> = (0..30).map(|_| queued(&limiter, 2)).collect();
    for _ in 0..15 {
        clock.advance(SECOND);
    }
    assert_eq!(limiter.waiting(), 30 - 8);
    drop(waiters.remove(0));
    assert_eq!(limiter.waiting(), 30 - 8 - 1, "what it had was handed on");
}

/// Beyond the horizon of its scale, a limiter counts from another origin; the calls without the lock that came
/// before are not forgotten.
#[test]
fn a_new_origin_is_no_second_burst() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1_000_000_000_000).burst(1_000_000).catch_up(Duration::ZERO);
    let horizon_ns = Scale::new(&quota).unwrap().horizon_ns;
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 1_000_000);
    let mut granted = Box::pin(limiter.acquire_n(1_000_000));
    assert!(granted.as_mut().poll(&mut cx).is_pending());
    limiter.reset();
    clock.advance(Duration::from_nanos(horizon_ns - 500));
    limiter.try_acquire_n(1_000_000).unwrap();
    clock.advance(Duration::from_nanos(600));
    drop(granted);
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 600_000);
}

/// Between the two readings of the clock QUEUED stays set.
#[test]
fn a_clock_that_panics_keeps_nobody_from_the_fast_path() {
    let quota = Quota::per_second(1).burst(5);
    let calls: [fn(&WaitQueue<Fragile>); 2] = [
        |queue| {
            let grant = queue.locked(|locked| locked.take(locked.frame.scale.per_permit, true)).unwrap();
            queue.give_back(grant);
        },
        |queue| queue.set_quota(Quota::per_second(2).burst(5), Inherit::default()).unwrap(),
    ];
    for (call, readings) in calls.into_iter().zip([3, 2]) {
        let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), Fragile::default());
        queue.clock.0.store(readings, Relaxed);
        assert!(catch_unwind(AssertUnwindSafe(|| call(&queue))).is_err());
        assert_eq!(queue.clock.0.load(Relaxed), 0, "it panicked for another reason");
        assert_eq!(queue.try_take(1.into()), Ok(()));
        assert!(!queue.meter.word.load().is(Mode::Queued));
    }
}

/// The bucket had half a permit of room when somebody else took one. That is as much by another scale, although it is
/// fewer ticks, and not enough for a grant from before.
#[test]
fn what_others_have_left_room_for_is_converted() {
    let (limiter, clock) = limiter(2, 0);
    let waiter = queued(&limiter, 1);
    clock.advance(SECOND * 5 / 2);
    assert_eq!(limiter.try_acquire(), Ok(()));
    limiter.set_quota(Quota::per_second(1_000).burst(2)).unwrap();
    assert!(limiter.has_capacity(0.5));
    drop(waiter);
    assert!(!limiter.has_capacity(0.6), "a permit was made");
}
