//! Claim: while no call is under way, OWNED is set exactly if there are waiters, and the sum that calls read without
//! the lock is the sum of these waiters. The TAT is then the exact sum of all takes and returns, so no change of the
//! word overwrote another, with the lock or without.

use core::task::Waker;

use loom::thread;

use super::{Limiter, ModelClock, SECOND, check, limiter, poll, queued, spawn_drive, spawn_try, waiter};
use crate::lane::Lane;

const OWNED: u64 = 1;
const CREDIT: u64 = 2;

/// Checks the word while no call is under way, after `taken` permits were taken since the bucket was full at time zero,
/// and while waiters ask for `waiting` permits.
fn assert_quiet(limiter: &Limiter, taken: u64, waiting: u64) {
    let (word, asked) =
        (limiter.driver().meter().bits(), limiter.driver().meter().queued_ticks(Lane::Normal));
    assert_eq!(word & OWNED, u64::from(waiting > 0));
    assert_eq!(word & CREDIT, 0);
    assert_eq!(limiter.waiting() > 0, waiting > 0);
    let per_permit = limiter.driver().with(|core| core.frame().scale().per_permit);
    assert_eq!(word >> 2, taken * per_permit);
    assert_eq!(asked, waiting * per_permit);
}

#[test]
fn one_comes_as_the_last_is_granted() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let mut first = queued(&limiter, 1);
        clock.set(SECOND);
        let other = spawn_drive(&limiter);
        let second = queued(&limiter, 1);
        other.join().unwrap();
        assert!(poll(&mut first, Waker::noop()));
        assert_quiet(&limiter, 3, 1);
        drop(second);
        drop(limiter.try_reserve(0));
        assert_quiet(&limiter, 3, 0);
    });
}

#[test]
fn the_last_leaves_as_another_tries() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let waiter = queued(&limiter, 2);
        clock.set(SECOND);
        let other = spawn_try(&limiter);
        drop(waiter);
        let taken = other.join().unwrap();
        assert_quiet(&limiter, 2 + u64::from(taken), 0);
    });
}

#[test]
fn one_comes_as_another_tries() {
    check(2, || {
        let limiter = limiter(2, 1, &ModelClock::new());
        let other = spawn_try(&limiter);
        let refund = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1).unwrap())
        };
        let mut waiter = waiter(&limiter, 2);
        let granted = poll(&mut waiter, Waker::noop());
        let taken = other.join().unwrap();
        refund.join().unwrap();
        let granted = granted || poll(&mut waiter, Waker::noop());
        // One permit was taken at first. The permit that came back went to one caller, or is still available.
        assert!(!(granted && taken), "three of two");
        assert_quiet(&limiter, u64::from(taken) + 2 * u64::from(granted), if granted { 0 } else { 2 });
    });
}

#[test]
fn a_grant_goes_back_as_another_tries() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(4, 0, &clock);
        let granted = queued(&limiter, 2);
        // One more is available, so the other may take it just before, during and after the step.
        clock.set(3 * SECOND);
        super::drive(&limiter);
        let other = spawn_try(&limiter);
        drop(granted);
        let taken = other.join().unwrap();
        assert_quiet(&limiter, 4 + u64::from(taken), 0);
    });
}
