//! Claim: a call for several limits takes all or nothing, however two such calls, the alarms, single callers, and calls
//! that leave interleave. Two calls that name the limits in opposite orders do not wait for each other. A call that is
//! due in all limits is woken, and a call that leaves keeps no permit.

use core::{
    future::Future,
    pin::Pin,
    task::{Context, Waker},
};

use loom::{future::block_on, thread};

use super::{Limiter, ModelClock, SECOND, check, drive, queued, spawn_drive};
use crate::{AcquireAll, AllOf};

/// One permit a second, burst one.
fn limiter(clock: &ModelClock, initial: u64) -> Limiter {
    super::limiter(1, initial, clock)
}

fn both(a: &Limiter, b: &Limiter) -> AllOf {
    AllOf::new().and(a, 1).and(b, 1)
}

type Waiter = Pin<Box<AcquireAll>>;

/// Whether it has been granted.
fn poll(waiter: &mut Waiter) -> bool {
    waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

#[test]
fn two_in_opposite_orders_take_all_or_nothing() {
    check(3, || {
        let (a, b) = (limiter(&ModelClock::new(), 1), limiter(&ModelClock::new(), 1));
        let other = {
            let all = both(&a, &b);
            thread::spawn(move || all.try_acquire().is_ok())
        };
        let one = both(&b, &a).try_acquire().is_ok();
        let other = other.join().unwrap();
        assert!(one || other, "it was there, and nobody has it");
        assert!(!(one && other), "both have it");
        assert_eq!((a.available(), b.available()), (0, 0));
    });
}

#[test]
fn one_that_waits_and_one_that_does_not_take_all_or_nothing() {
    check(2, || {
        let (a, b) = (limiter(&ModelClock::new(), 1), limiter(&ModelClock::new(), 1));
        let other = {
            let all = both(&a, &b);
            thread::spawn(move || all.try_acquire().is_ok())
        };
        let one = {
            // Polled once, then dropped.
            let mut waiter = Box::pin(both(&b, &a).acquire());
            poll(&mut waiter)
        };
        let other = other.join().unwrap();
        assert!(!(one && other), "both have it");
        let left = 1 - i64::from(one || other);
        assert_eq!((a.available(), b.available()), (left, left));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    });
}

/// If a single call takes a part without the lock, nothing is taken from the other limit.
#[test]
fn a_single_call_takes_a_part_or_comes_too_late() {
    check(3, || {
        let (a, b) = (limiter(&ModelClock::new(), 1), limiter(&ModelClock::new(), 1));
        let single = super::spawn_try(&b);
        let all = both(&a, &b).try_acquire().is_ok();
        assert!(single.join().unwrap() != all, "exactly one of the two");
        assert_eq!((a.available(), b.available()), (i64::from(!all), 0));
    });
}

#[test]
fn a_call_that_is_due_in_all_is_woken() {
    check(2, || {
        let clock = ModelClock::new();
        let (a, b) = (limiter(&clock, 0), limiter(&ModelClock::new(), 1));
        let ringing = clock.spawn_ring();
        block_on(both(&b, &a).acquire()).unwrap();
        ringing.finish();
        assert_eq!((a.available(), b.available()), (0, 0));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    });
}

#[test]
fn a_call_that_leaves_takes_nothing_along() {
    check(2, || {
        let clock = ModelClock::new();
        let (a, b) = (limiter(&clock, 0), limiter(&ModelClock::new(), 1));
        let mut waiter = Box::pin(both(&a, &b).acquire());
        assert!(!poll(&mut waiter));
        // The call may be granted meanwhile.
        let ringing = clock.spawn_ring();
        drop(waiter);
        ringing.finish();
        assert_eq!((a.available(), b.available()), (1, 1));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
    });
}

/// A call in its final round, at eight seconds: the part of `a` is due, and the part of `b` a second later.
fn last_round(clock: &ModelClock) -> (Limiter, Limiter, Waiter) {
    let (a, b) = (limiter(clock, 0), limiter(clock, 0));
    b.charge(5).unwrap();
    let mut waiter = Box::pin(both(&a, &b).acquire());
    assert!(!poll(&mut waiter), "it waits for the scarcer first");
    // The call is granted its part of `b`. The charge leaves no permit in `a`.
    clock.set(6 * SECOND);
    a.charge(2).unwrap();
    drive(&b);
    assert!(!poll(&mut waiter), "it waits for the other");
    // Its permit of `b` has overflowed meanwhile, and another caller takes the available permit.
    clock.set(8 * SECOND);
    b.try_acquire().unwrap();
    drive(&a);
    assert!(!poll(&mut waiter));
    assert_eq!((a.waiting(), b.waiting()), (1, 1), "it stands in both queues");
    (a, b, waiter)
}

#[test]
fn a_last_round_that_leaves_as_it_is_due_takes_nothing_along() {
    check(2, || {
        let clock = ModelClock::new();
        let (a, b, waiter) = last_round(&clock);
        clock.set(9 * SECOND);
        let other = spawn_drive(&b);
        drop(waiter);
        other.join().unwrap();
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
        assert_eq!((a.available(), b.available()), (1, 1));
    });
}

#[test]
fn a_last_round_that_is_due_is_granted_by_any_hand_off() {
    check(2, || {
        let clock = ModelClock::new();
        let (a, b, mut waiter) = last_round(&clock);
        clock.set(9 * SECOND);
        let other = spawn_drive(&a);
        drive(&b);
        other.join().unwrap();
        assert!(poll(&mut waiter));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
        assert_eq!((a.available(), b.available()), (0, 0));
    });
}

#[test]
fn a_last_round_is_woken_when_its_parts_are_due() {
    check(1, || {
        let clock = ModelClock::new();
        let (a, b, waiter) = last_round(&clock);
        let ringing = clock.spawn_ring();
        block_on(waiter).unwrap();
        ringing.finish();
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
        assert_eq!((a.available(), b.available()), (0, 0));
    });
}

/// The single waiter is behind the round. It must be granted, whether the round leaves or is granted first.
#[test]
fn a_single_waiter_behind_a_last_round_goes_on_when_it_leaves() {
    check(2, || {
        let clock = ModelClock::new();
        let (a, b, waiter) = last_round(&clock);
        let mut single = queued(&a, 1);
        // The part of `a` is due already, so the single waiter is granted as soon as the round is gone.
        let other = spawn_drive(&a);
        drop(waiter);
        other.join().unwrap();
        assert!(super::poll(&mut single, Waker::noop()));
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
        assert_eq!((a.available(), b.available()), (0, 0));
    });
}

#[test]
fn a_single_waiter_behind_a_last_round_goes_on_when_it_is_granted() {
    check(1, || {
        let clock = ModelClock::new();
        let (a, b, mut waiter) = last_round(&clock);
        let single = queued(&b, 1);
        let ringing = clock.spawn_ring();
        block_on(single).unwrap();
        assert!(poll(&mut waiter), "the single waiter has passed it");
        ringing.finish();
        assert_eq!((a.waiting(), b.waiting()), (0, 0));
        assert_eq!(b.available(), 0);
    });
}
