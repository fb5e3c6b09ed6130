//! Claim: no call passes a waiter. Once a waiter is in the queue, a call that does not wait is refused until
//! the waiter has been granted, although permits come with time.

use core::task::Waker;

use loom::thread;

use super::{ModelClock, SECOND, check, drive, limiter, poll, queued, spawn_try, waiter};

#[test]
fn a_try_call_does_not_overtake_a_waiter() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let mut waiter = queued(&limiter, 2);
        // One permit has come: enough for the try call, not for the waiter.
        clock.set(SECOND);
        let barger = spawn_try(&limiter);
        // Meanwhile another thread runs the hand-off, which freezes and thaws the word.
        drive(&limiter);
        assert!(!barger.join().unwrap());
        clock.set(2 * SECOND);
        drive(&limiter);
        assert!(poll(&mut waiter, Waker::noop()));
    });
}

#[test]
fn a_waiter_and_a_try_call_share_one_permit_in_either_order() {
    check(3, || {
        let limiter = limiter(1, 1, &ModelClock::new());
        let barger = spawn_try(&limiter);
        let mut waiter = waiter(&limiter, 1);
        let granted = poll(&mut waiter, Waker::noop());
        assert!(granted != barger.join().unwrap(), "exactly one of the two");
    });
}

/// The waiter joins at the same time: a later call is refused, and an earlier call is admitted.
#[test]
fn a_waiter_that_has_joined_is_first() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 1, &clock);
        let joins = {
            let limiter = limiter.clone();
            thread::spawn(move || queued(&limiter, 2))
        };
        let before = limiter.try_acquire().is_ok();
        let mut waiter = joins.join().unwrap();
        assert!(limiter.try_acquire().is_err(), "it has passed the waiter");
        clock.set(if before { 2 } else { 1 } * SECOND);
        drive(&limiter);
        assert!(poll(&mut waiter, Waker::noop()));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// Permits that come between two grants are for the second waiter, also at the end of a batch.
#[test]
fn a_call_takes_nothing_at_the_end_of_a_batch() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(3, 0, &clock);
        let mut waiters = [1, 1, 1].map(|n| queued(&limiter, n));
        clock.set(3 * SECOND);
        let barger = spawn_try(&limiter);
        drive(&limiter);
        assert!(!barger.join().unwrap(), "past the waiters");
        drive(&limiter);
        assert!(waiters.iter_mut().all(|waiter| poll(waiter, Waker::noop())));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}
