//! Waiters that the test polls.

use super::*;
use crate::AcquireNOwned;

#[test]
fn waiters_are_granted_in_order_at_their_time() {
    let (limiter, clock) = manual("1/s burst 3 initial 0");
    let (mut large, mut small) = (queued(&limiter, 3), queued(&limiter, 1));
    clock.advance(secs(2));
    assert!(poll(&mut large).is_pending() && poll(&mut small).is_pending());
    clock.advance(secs(1));
    assert!(poll(&mut large).is_ready() && poll(&mut small).is_pending());
    clock.advance(secs(1));
    assert!(poll(&mut small).is_ready());
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[test]
fn calls_that_do_not_wait_are_refused_behind_waiters_and_told_when() {
    let (limiter, clock) = manual("1/s burst 3 initial 0");
    let waiter = queued(&limiter, 3);
    clock.advance(secs(1));
    // Three for the waiter and one more, of which one second has passed; the burst is no help.
    assert_eq!(limiter.try_acquire(), Err(Denied::NotYet(crate::NotYet::after(secs(3)))));
    assert_eq!(limiter.time_until(1), Ok(secs(3)));
    assert_eq!((limiter.has_capacity(1), limiter.try_acquire_up_to(1)), (false, 0));
    drop(waiter);
    assert!(limiter.has_capacity(1));
    assert!(limiter.try_acquire().is_ok());
}

#[test]
fn a_waiter_that_is_never_polled_again_delays_no_other() {
    let (limiter, clock) = manual("1/s burst 1 initial 0");
    let (_parked, mut second) = (queued(&limiter, 1), queued(&limiter, 1));
    clock.advance(secs(2));
    assert!(poll(&mut second).is_ready());
}

#[test]
fn a_grant_that_was_not_taken_up_goes_on_to_the_next() {
    let (limiter, clock) = manual("1/s burst 1 initial 0");
    let (first, mut second) = (queued(&limiter, 1), queued(&limiter, 1));
    clock.advance(secs(1));
    assert!(poll(&mut second).is_pending());
    drop(first);
    assert!(poll(&mut second).is_ready());
}

#[test]
fn the_latest_waker_is_woken_and_no_other() {
    let (limiter, clock) = manual("1/s burst 1 initial 0");
    let mut waiter = Box::pin(limiter.acquire_n(1));
    let (old, new) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
    for counter in [&old, &new, &new] {
        assert!(poll_with(&mut waiter, &Waker::from(Arc::clone(counter))).is_pending());
    }
    assert_eq!((Arc::strong_count(&old), Arc::strong_count(&new)), (1, 2), "the replaced waker is dropped");
    clock.advance(secs(1));
    assert_eq!((old.count(), new.count()), (0, 1));
    assert_eq!(Arc::strong_count(&new), 1);
    assert!(poll(&mut waiter).is_ready());
}

#[test]
fn a_waiter_may_be_polled_as_often_as_it_likes() {
    let (limiter, clock) = dialed("1/s burst 1 initial 0");
    let mut waiter = queued(&limiter, 1);
    for _ in 0..10 {
        assert!(poll(&mut waiter).is_pending());
    }
    assert_eq!((limiter.waiting(), clock.deadlines().len()), (1, 1));
}

#[test]
fn nothing_is_taken_for_zero_or_for_never() {
    let (limiter, clock) = manual("1/s burst 2 initial 1");
    let ready = |limiter: &RateLimiter<ManualClock>, n: i64| poll(&mut Box::pin(limiter.acquire_n(n)));
    assert_eq!(ready(&limiter, 0), Poll::Ready(Ok(())));
    // Nor does it share in the credit of an idle bucket.
    clock.advance(secs(5));
    assert_eq!(ready(&limiter, 0), Poll::Ready(Ok(())));
    assert_eq!(limiter.try_acquire_n(1), Ok(()));
    assert!(matches!(ready(&limiter, 3), Poll::Ready(Err(crate::AcquireError::TooMany(_)))));
    assert!(matches!(ready(&limiter, -1), Poll::Ready(Err(crate::AcquireError::Invalid(_)))));
    assert_eq!(limiter.available(), 1);
    // In debt it does not wait for that to be paid, nor behind waiters.
    limiter.charge(9).unwrap();
    let _waiter = queued(&limiter, 1);
    assert_eq!(ready(&limiter, 0), Poll::Ready(Ok(())));
    assert!(limiter.try_reserve(0).is_ok());
    assert_eq!((limiter.available(), limiter.waiting()), (-8, 1));
}

#[test]
fn a_deadline_is_met_to_the_nanosecond_or_refused_at_once() {
    let late = |ns| Poll::Ready(Err(Denied::NotYet(crate::NotYet::after(Duration::from_nanos(ns)))));
    let (limiter, clock) = manual("1/s burst 3 initial 0");
    let within = |n: u64, ns| Box::pin(limiter.acquire_within(n, Duration::from_nanos(ns)));
    assert_eq!(poll(&mut within(1, SECOND - 1)), late(1));
    let mut first = within(1, SECOND);
    assert_eq!(poll(&mut first), Poll::Pending);
    // After the first.
    assert_eq!(poll(&mut within(2, 3 * SECOND - 2)), late(2));
    let mut second = within(2, 3 * SECOND);
    assert_eq!((poll(&mut second), limiter.waiting()), (Poll::Pending, 2));
    clock.advance(secs(1));
    assert_eq!((poll(&mut first), poll(&mut second)), (Poll::Ready(Ok(())), Poll::Pending));
    // One that can no longer be served is told so at once, and by how much.
    limiter.charge(2).unwrap();
    assert_eq!((poll(&mut second), limiter.waiting()), (late(2 * SECOND), 0));
}

#[test]
fn the_largest_requests_can_all_wait() {
    // Each asks for about an eighth of what a word holds.
    let (limiter, clock) = manual("1000000000/s burst 1000000000000 initial 0");
    let mut waiters: Vec<_> = (0..40).map(|_| queued(&limiter, 1_000_000_000_000)).collect();
    assert!(limiter.try_acquire().unwrap_err().retry_after().unwrap() > secs(1000));
    for waiter in &mut waiters {
        clock.advance(secs(1000));
        assert!(poll(waiter).is_ready());
    }
    assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
}

#[test]
fn a_refusal_leaves_the_word_as_it_was() {
    let (limiter, clock) = manual("1/s burst 2");
    limiter.try_acquire_n(2).unwrap();
    let before = limiter.driver().meter().bits();
    clock.advance(Duration::from_millis(500));
    assert!(limiter.try_acquire().is_err() && limiter.try_acquire_n(3).is_err());
    assert_eq!(limiter.try_acquire_up_to(1), 0);
    assert_eq!(limiter.driver().meter().bits(), before);
}

/// A waiter holds the limiter, or borrows it.
#[test]
fn an_owned_waiter_outlives_the_handle() {
    let (limiter, clock) = manual("1/s burst 1 initial 0");
    let mut waiter: Pin<Box<AcquireNOwned<ManualClock>>> = Box::pin(limiter.acquire_n_owned(1));
    drop(limiter);
    assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    clock.advance(secs(1));
    assert_eq!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())));
}
