//! Waiting allocates nothing per waiter, and calls that do not wait allocate nothing at all.
//!
//! Allocations are counted per thread.

use std::{
    future::Future,
    pin::Pin,
    sync::atomic::{AtomicU64, Ordering},
    task::{Context, Poll, Waker},
    time::Duration,
};

use tidegate::{AcquireWithin, AllOf, Clock, Denied, ManualClock, Quota, RateLimiter};

const WAITERS: usize = 1000;
const SECOND: Duration = Duration::from_secs(1);

/// How often `f` allocates.
fn allocations(f: impl FnOnce()) -> u64 {
    allocation_counter::measure(f).count_total
}

/// A pinned place for a waiter.
type Slot<'a, C> = Pin<Box<Option<AcquireWithin<'a, C>>>>;

fn places<'a, C: Clock>() -> Vec<Slot<'a, C>> {
    (0..WAITERS).map(|_| Box::pin(None)).collect()
}

fn poll<C: Clock>(slot: &mut Slot<'_, C>, cx: &mut Context<'_>) -> Poll<Result<(), Denied>> {
    slot.as_mut().as_pin_mut().map_or(Poll::Pending, |waiter| waiter.poll(cx))
}

/// All join the queue: for one permit, for two, or for one with a longest wait.
fn join<'a, C: Clock>(slots: &mut [Slot<'a, C>], limiter: &'a RateLimiter<C>, cx: &mut Context<'_>) {
    for (i, slot) in slots.iter_mut().enumerate() {
        slot.set(Some(match i % 3 {
            0 => limiter.acquire_within(1, Duration::MAX),
            1 => limiter.acquire_within(2, Duration::MAX),
            _ => limiter.acquire_within(1, 3000 * SECOND),
        }));
        assert!(poll(slot, cx).is_pending());
    }
    assert_eq!(limiter.waiting(), WAITERS);
}

/// The alarm grants a part, another waker comes for the rest, some leave, and the rest are granted.
fn one_life<'a>(slots: &mut [Slot<'a, ManualClock>], limiter: &'a RateLimiter<ManualClock>, other: &Waker) {
    let mut cx = Context::from_waker(Waker::noop());
    join(slots, limiter, &mut cx);
    limiter.clock().advance(100 * SECOND);
    let mut ready = 0;
    for slot in slots.iter_mut() {
        ready += usize::from(poll(slot, &mut Context::from_waker(other)) == Poll::Ready(Ok(())));
    }
    assert_eq!(ready, WAITERS - limiter.waiting());
    assert!(ready > 50, "{ready}");
    // From the front, the middle and the back; and one that is granted and does not know.
    limiter.refund(1).unwrap();
    for i in [ready, ready + 1, WAITERS / 2, WAITERS - 1] {
        slots[i].set(None);
    }
    // At once, in many batches.
    limiter.reset();
    limiter.clock().advance(2000 * SECOND);
    for slot in slots.iter_mut() {
        slot.set(None);
    }
    assert_eq!(limiter.waiting(), 0);
    limiter.try_acquire_up_to(u64::MAX);
}

#[test]
fn the_allocator_counts() {
    assert_eq!(allocations(|| drop(Box::new(1))), 1);
}

/// While its lock has not been taken.
#[test]
fn a_limiter_is_small() {
    let quota = Quota::per_second(100);
    drop(RateLimiter::new(quota));
    let made = allocation_counter::measure(|| std::mem::forget(RateLimiter::new(quota)));
    assert!(made.count_total == 1 && made.bytes_total <= 640, "{made:?}");
    println!("{} bytes", made.bytes_total);
    assert!(size_of::<RateLimiter>() <= 2 * size_of::<usize>());
}

#[test]
fn waiters_allocate_nothing() {
    let quota = Quota::per_second(1).with_burst(500).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, ManualClock::new());
    let mut slots = places();
    let other = Waker::from(std::sync::Arc::new(Nothing));
    one_life(&mut slots, &limiter, &other);
    assert_eq!(allocations(|| one_life(&mut slots, &limiter, &other)), 0);
}

struct Nothing;

impl std::task::Wake for Nothing {
    fn wake(self: std::sync::Arc<Self>) {}
}

#[test]
fn waiters_who_are_turned_away_or_dropped_in_the_queue_allocate_nothing() {
    let quota = Quota::per_second(1).with_burst(500).with_initial(0);
    let limiter = RateLimiter::with_clock(quota, ManualClock::new());
    let mut slots = places();
    let mut round = || {
        let mut cx = Context::from_waker(Waker::noop());
        join(&mut slots, &limiter, &mut cx);
        // All that have a deadline come too late now, but for the first few.
        limiter.charge(2500).unwrap();
        let denied = slots.iter_mut().filter_map(|slot| match poll(slot, &mut cx) {
            Poll::Ready(denied) => Some(denied.unwrap_err()),
            Poll::Pending => None,
        });
        let _ = denied.count();
        assert!(limiter.blocking_acquire_within(1, SECOND).is_err());
        for slot in slots.iter_mut().rev() {
            slot.set(None);
        }
        assert_eq!(limiter.waiting(), 0);
        limiter.reset();
        limiter.try_acquire_up_to(u64::MAX);
    };
    round();
    assert_eq!(allocations(round), 0);
}

/// A clock that goes on by a microsecond whenever it is read.
#[derive(Debug, Default)]
struct Stepping(AtomicU64);

impl Clock for Stepping {
    fn now(&self) -> u64 {
        self.0.fetch_add(1000, Ordering::Relaxed)
    }
}

#[test]
fn a_blocked_thread_allocates_nothing() {
    let limiter =
        RateLimiter::with_clock(Quota::new(1, Duration::from_micros(20)).with_burst(1), Stepping::default());
    let round = || {
        for _ in 0..10 {
            limiter.blocking_acquire();
            limiter.blocking_acquire_within(1, SECOND).unwrap();
        }
    };
    // The thread's parker is made here.
    round();
    assert_eq!(allocations(round), 0);
}

#[test]
fn calls_that_do_not_wait_allocate_nothing() {
    let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(10), ManualClock::new());
    let calls = || {
        for _ in 0..20 {
            let _ = limiter.try_acquire();
            let _ = limiter.try_acquire_n(0.5);
            let _ = limiter.try_acquire_n(11);
            let _ = limiter.try_acquire_up_to(3);
            let _ = limiter.charge(2);
            limiter.refund(1.5).unwrap();
            let _ = (limiter.has_capacity(1), limiter.available(), limiter.time_until(1));
            let _ = (limiter.time_until_full(), limiter.waiting(), limiter.quota(), limiter.clone());
            limiter.clock().advance(Duration::from_millis(150));
        }
        limiter.reset();
        let mut waiter = std::pin::pin!(limiter.acquire());
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    };
    // The first call that takes the lock makes the slow path.
    calls();
    assert_eq!(allocations(calls), 0);
    // Also while there is a waiter. The clock allocates once, for its alarms.
    limiter.try_acquire_up_to(u64::MAX);
    let mut waiter = std::pin::pin!(limiter.acquire_n(10));
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(allocations(calls), 0);
}

/// Up to four limits, and more.
#[test]
fn a_try_of_several_limits_allocates_nothing() {
    for count in [1, 2, 4, 20] {
        let clock = ManualClock::new();
        let quota = Quota::per_second(10).with_burst(10);
        let limiters: Vec<_> = (0..count).map(|_| RateLimiter::with_clock(quota, clock.clone())).collect();
        let all = limiters.iter().fold(AllOf::new(), |all, limiter| all.and(limiter, 4));
        let never = all.clone().and(&limiters[0], 7);
        let calls = || {
            assert!(all.try_acquire().is_ok());
            assert!(all.try_acquire().is_ok());
            assert!(all.try_acquire().is_err());
            assert!(never.try_acquire().is_err());
            clock.advance(SECOND);
        };
        // The first that locks the limits makes their slow paths.
        calls();
        assert_eq!(allocations(calls), 0, "{count}");
        // Also while there is a waiter. The clock allocates once, for its alarms.
        limiters[0].try_acquire_up_to(u64::MAX);
        let mut waiter = std::pin::pin!(limiters[0].acquire_n(10));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert_eq!(allocations(|| assert!(all.try_acquire().is_err())), 0, "{count}");
        // It is served and the alarm is over.
        assert_eq!(allocations(|| clock.advance(2 * SECOND)), 0, "{count}");
        // The first that locks the limits makes their slow paths.
        calls();
        assert_eq!(allocations(calls), 0, "{count}");
    }
}
