//! Waiters polled by hand under a manual clock.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    time::Duration,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Wake,
};

use crate::{
    AcquireN, Denied, Inherit, ManualClock, Quota, QuotaError, RateLimiter, TokioClock, gcra::Scale,
    queue::WaitQueue,
};

pub(super) const SECOND: Duration = Duration::from_secs(1);

/// How often it was woken.
#[derive(Default)]
pub(super) struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Counter {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

pub(super) fn limiter(burst: u64, initial: u64) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(burst).initial(initial);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

pub(super) type Waiter<'a> = Pin<Box<AcquireN<'a, ManualClock>>>;

pub(super) fn poll(waiter: &mut Waiter<'_>) -> Poll<Result<(), Denied>> {
    waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

pub(super) fn queued(limiter: &RateLimiter<ManualClock>, n: u64) -> Waiter<'_> {
    let mut waiter = Box::pin(limiter.acquire_n(n));
    assert!(poll(&mut waiter).is_pending());
    waiter
}

#[test]
fn waiters_are_granted_in_order_at_their_time() {
    let (limiter, clock) = limiter(3, 0);
    let mut large = queued(&limiter, 3);
    let mut small = queued(&limiter, 1);
    clock.advance(2 * SECOND);
    assert!(poll(&mut large).is_pending() && poll(&mut small).is_pending());
    clock.advance(SECOND);
    assert!(poll(&mut large).is_ready() && poll(&mut small).is_pending());
    clock.advance(SECOND);
    assert!(poll(&mut small).is_ready());
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[test]
fn try_calls_are_refused_while_somebody_waits_and_told_when() {
    let (limiter, clock) = limiter(3, 0);
    let waiter = queued(&limiter, 3);
    clock.advance(SECOND);
    let denied = limiter.try_acquire().unwrap_err();
    // Three for the waiter and one more, of which one second has passed; the burst is no help.
    assert_eq!(denied.retry_after(), Some(3 * SECOND));
    assert_eq!(limiter.time_until(1), Ok(3 * SECOND));
    assert!(!limiter.has_capacity(1));
    assert_eq!(limiter.try_acquire_up_to(1), 0);
    drop(waiter);
    assert!(limiter.has_capacity(1));
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn a_dropped_head_lets_the_next_go_at_once() {
    let (limiter, clock) = limiter(3, 0);
    let large = queued(&limiter, 3);
    let mut small = queued(&limiter, 1);
    clock.advance(SECOND);
    drop(large);
    assert!(poll(&mut small).is_ready());
}

#[test]
fn an_alarm_for_one_who_left_is_moved_up() {
    let (limiter, clock) = limiter(3, 0);
    drop(queued(&limiter, 3));
    let mut small = queued(&limiter, 1);
    clock.advance(SECOND);
    assert_eq!(limiter.waiting(), 0, "left to the alarm of the other");
    assert!(poll(&mut small).is_ready());
}

#[test]
fn a_waiter_that_is_never_polled_again_costs_its_grant_and_delays_nobody_else() {
    let (limiter, clock) = limiter(1, 0);
    let _parked = queued(&limiter, 1);
    let mut second = queued(&limiter, 1);
    clock.advance(2 * SECOND);
    assert!(poll(&mut second).is_ready());
}

#[test]
fn the_latest_waker_is_woken_and_no_other() {
    let (limiter, clock) = limiter(1, 0);
    let mut waiter = Box::pin(limiter.acquire_n(1));
    let (old, new) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    for counter in [&old, &new] {
        let waker = Waker::from(Arc::clone(counter));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    assert_eq!(Arc::strong_count(&old), 1, "the replaced waker is dropped");
    clock.advance(SECOND);
    assert_eq!((old.count(), new.count()), (0, 1));
}

#[test]
fn more_waiters_than_a_batch_are_all_woken() {
    let (limiter, clock) = limiter(100, 0);
    let counter = Arc::new(Counter::default());
    let waker = Waker::from(Arc::clone(&counter));
    let mut waiters: Vec<_> = (0..100).map(|_| Box::pin(limiter.acquire_n(1))).collect();
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    }
    limiter.reset();
    assert_eq!(counter.count(), 100);
    clock.advance(SECOND);
    for waiter in &mut waiters {
        assert!(poll(waiter).is_ready());
    }
}

#[test]
fn a_waker_that_panics_keeps_nobody_waiting() {
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("a waker that panics, on purpose");
        }
    }
    let (limiter, clock) = limiter(2, 0);
    let mut first = Box::pin(limiter.acquire_n(1));
    let panics = Waker::from(Arc::new(Panics));
    assert!(first.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
    let mut second = queued(&limiter, 1);
    clock.advance(2 * SECOND);
    assert!(poll(&mut first).is_ready() && poll(&mut second).is_ready());
}

#[test]
fn a_waker_may_call_back_into_the_limiter() {
    struct Reenters(RateLimiter<ManualClock>, AtomicUsize);
    impl Wake for Reenters {
        fn wake(self: Arc<Self>) {
            self.1.fetch_add(usize::from(self.0.try_acquire().is_ok()), Ordering::Relaxed);
            let mut waiter = Box::pin(self.0.acquire_n(1));
            let _ = waiter.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
    let (limiter, clock) = limiter(1, 0);
    let mut waiter = Box::pin(limiter.acquire_n(1));
    let waker = Waker::from(Arc::new(Reenters(limiter.clone(), AtomicUsize::new(0))));
    assert!(waiter.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    clock.advance(SECOND);
    assert!(poll(&mut waiter).is_ready());
    assert_eq!(limiter.waiting(), 0);
}

#[test]
fn nothing_is_taken_for_zero_or_for_never() {
    let (limiter, clock) = limiter(2, 1);
    let mut none = Box::pin(limiter.acquire_n(0));
    assert_eq!(poll(&mut none), Poll::Ready(Ok(())));
    // Nor does it share in the credit of an idle bucket.
    clock.advance(5 * SECOND);
    let mut none = Box::pin(limiter.acquire_n(0));
    assert_eq!(poll(&mut none), Poll::Ready(Ok(())));
    assert_eq!(limiter.try_acquire_n(1), Ok(()));
    let mut never = Box::pin(limiter.acquire_n(3));
    assert!(matches!(poll(&mut never), Poll::Ready(Err(Denied::Never { .. }))));
    let mut invalid = Box::pin(limiter.acquire_n(-1));
    assert!(matches!(poll(&mut invalid), Poll::Ready(Err(Denied::Invalid(_)))));
    assert_eq!(limiter.available(), 1);
    // In debt it does not wait for that to be paid.
    limiter.charge(9).unwrap();
    let mut none = Box::pin(limiter.acquire_n(0));
    assert_eq!(poll(&mut none), Poll::Ready(Ok(())));
    assert!(limiter.try_reserve(0).is_ok());
    assert_eq!(limiter.available(), -8);
}

#[test]
fn a_stalled_hand_off_catches_up_no_more_than_allowed() {
    // The clock jumps without ringing its alarm, as for a runtime that stalled.
    let clock = Stalling::default();
    let quota = Quota::per_second(1000).burst(5).initial(0);
    let limiter = RateLimiter::with_clock(quota.catch_up(Duration::from_millis(20)), clock.clone());
    let mut waiters: Vec<_> = (0..100).map(|_| Box::pin(limiter.acquire_n(1))).collect();
    let mut cx = Context::from_waker(Waker::noop());
    for waiter in &mut waiters {
        assert!(waiter.as_mut().poll(&mut cx).is_pending());
    }
    clock.0.store(10_000_000_000, Ordering::Relaxed);
    limiter.refund(0).unwrap();
    // A burst of 5, and 20 for 20 ms at 1000/s.
    assert_eq!(limiter.waiting(), 100 - 25);
}

/// A clock whose alarms never ring.
#[derive(Clone, Debug, Default)]
struct Stalling(Arc<std::sync::atomic::AtomicU64>);

impl crate::Clock for Stalling {
    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn wake_at(&self, _: u64, _: &Waker) -> bool {
        true
    }
}

#[test]
fn after_a_step_back_one_comes_in_when_told_and_in_about_the_time_a_bucket_takes_to_fill() {
    // Ten a second, burst of one, empty.
    for (back_ms, wait_ms) in [(0, 100), (1, 101), (20, 120), (100, 200), (102, 202), (103, 101), (900, 101)]
    {
        let clock = ManualClock::starting_at(1_000_000_000);
        let limiter = RateLimiter::with_clock(Quota::per_second(10).burst(1).initial(0), clock.clone());
        clock.set(1_000_000_000 - back_ms * 1_000_000);
        let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        assert_eq!(retry_after, Duration::from_millis(wait_ms), "{back_ms} ms back");
        clock.advance(retry_after);
        assert_eq!(limiter.try_acquire(), Ok(()), "{back_ms} ms back");
    }
}

#[test]
fn a_charge_under_a_clock_that_is_behind_is_no_great_debt() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(100), clock.clone());
    clock.advance(Duration::from_secs(90_000));
    limiter.try_acquire().unwrap();
    clock.set(10_000_000_000);
    limiter.charge(1).unwrap();
    let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(retry_after <= Duration::from_millis(1_011), "{retry_after:?}");
    // Another charge in the meantime makes it begin anew, and costs what it costs.
    clock.advance(Duration::from_millis(500));
    limiter.charge(1).unwrap();
    let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(retry_after <= Duration::from_millis(1_021), "{retry_after:?}");
    clock.advance(retry_after);
    assert_eq!(limiter.try_acquire(), Ok(()));
}

#[test]
fn the_largest_requests_can_all_wait() {
    let clock = ManualClock::new();
    // Each asks for about an eighth of what a word holds.
    let quota: Quota = "1000000000/s burst 1000000000000 initial 0".parse().unwrap();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut waiters: Vec<_> = (0..40).map(|_| queued(&limiter, quota.max_burst())).collect();
    assert!(limiter.try_acquire().unwrap_err().retry_after().unwrap() > Duration::from_secs(1000));
    for waiter in &mut waiters {
        clock.advance(Duration::from_secs(1000));
        assert!(poll(waiter).is_ready());
    }
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[test]
fn a_refusal_leaves_the_word_as_it_was() {
    let clock = ManualClock::new();
    let quota = Quota::per_second(1).burst(2);
    let queue = WaitQueue::new(quota, Scale::new(&quota).unwrap(), clock.clone());
    queue.try_take(2.into()).unwrap();
    let before = queue.meter.word.load();
    clock.advance(SECOND / 2);
    assert!(queue.try_take(1.into()).is_err());
    assert!(queue.try_take(3.into()).is_err());
    assert_eq!(queue.try_take_up_to(1), 0);
    assert_eq!(queue.meter.word.load(), before);
}

#[test]
fn another_quota_under_a_clock_that_is_behind_is_no_great_debt() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(1).burst(1), clock.clone());
    clock.advance(1_000 * SECOND);
    limiter.try_acquire().unwrap();
    // Also where that would be more than the word can hold.
    clock.set(500_000_000_000);
    for quota in ["2/s burst 1", "1/s burst 1", "1000000/s burst 1000000000000", "2/s burst 1"] {
        limiter.set_quota(quota.parse().unwrap()).unwrap();
    }
    // In the time that a bucket takes to fill.
    let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(retry_after <= Duration::from_millis(502), "{retry_after:?}");
    clock.advance(retry_after);
    assert_eq!(limiter.try_acquire(), Ok(()));
    assert!(limiter.try_acquire().is_err());
}

#[test]
fn a_debt_that_another_quota_cannot_hold_is_named() {
    let (limiter, _) = limiter(1_000_000_000, 100_000_000);
    let yearly = "1 per 31536000s burst 1".parse().unwrap();
    let error = limiter.set_quota_with(yearly, Inherit::Additively).unwrap_err();
    assert!(matches!(error, QuotaError::DebtTooDeep { permits: 899_999_999, max: 1.. }), "{error:?}");
    assert_eq!(limiter.available(), 100_000_000);
}

#[tokio::test(start_paused = true)]
async fn an_alarm_that_was_held_up_on_its_way_takes_no_timer_along() {
    let limiter = RateLimiter::with_clock(Quota::per_second(1).burst(1).initial(0), TokioClock::new());
    // Polled once, and never again.
    let mut waiter = Box::pin(limiter.acquire());
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    // That of an earlier time.
    limiter.queue().alarm_rang();
    tokio::time::sleep(2 * SECOND).await;
    assert_eq!(limiter.waiting(), 0);
}
