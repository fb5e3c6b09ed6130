//! Claim: a permit is granted once, however many threads run the hand-off, take permits or give them back. A waiter
//! that sees RESOLVED sees the whole grant, and may be dropped at once without the lock.

use core::{task::Waker, time::Duration};

use loom::thread;

use super::{
    Limiter, ModelClock, SECOND, check, drive, limiter, poll, queued, spawn_drive, spawn_try, waiter,
};
use crate::Quota;

#[test]
fn two_hand_offs_grant_one_permit_once() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let (mut first, mut second) = (queued(&limiter, 1), queued(&limiter, 1));
        clock.set(SECOND);
        let other = spawn_drive(&limiter);
        drive(&limiter);
        other.join().unwrap();
        assert!(poll(&mut first, Waker::noop()));
        assert!(!poll(&mut second, Waker::noop()));
        assert_eq!(limiter.waiting(), 1);
    });
}

/// One permit has come, one is given back, and a call that does not wait gets neither.
#[test]
fn time_and_a_refund_grant_one_each() {
    check(1, || {
        let clock = ModelClock::new();
        let limiter = limiter(3, 0, &clock);
        let mut waiters = [1, 1, 1].map(|n| queued(&limiter, n));
        clock.set(SECOND);
        let refund = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1).unwrap())
        };
        let taken = spawn_try(&limiter);
        drive(&limiter);
        refund.join().unwrap();
        assert!(!taken.join().unwrap(), "past the waiters");
        let granted = waiters.each_mut().map(|waiter| poll(waiter, Waker::noop()));
        assert_eq!(granted, [true, true, false]);
        assert_eq!(limiter.available(), 0);
    });
}

/// The waiter is polled without being woken. So only RESOLVED orders its poll after the hand-off.
#[test]
fn a_waiter_that_sees_its_grant_sees_all_of_it() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let mut waiter = queued(&limiter, 1);
        clock.set(SECOND);
        let other = spawn_drive(&limiter);
        let granted = poll(&mut waiter, Waker::noop());
        if granted {
            drop(waiter);
            other.join().unwrap();
        } else {
            other.join().unwrap();
            assert!(poll(&mut waiter, Waker::noop()));
        }
        assert_eq!(limiter.available(), 0);
    });
}

/// A late timer leaves credit for three; two threads, of two tasks each, take it with and without the lock.
#[test]
fn the_credit_of_a_drained_queue_is_taken_once() {
    check(2, || {
        let clock = ModelClock::new();
        let quota = Quota::per_second(1_000_000)
            .with_burst(1)
            .with_initial(0)
            .with_catch_up(Duration::from_micros(4));
        let limiter = Limiter::with_clock(quota, clock.clone());
        let mut late = queued(&limiter, 1);
        clock.set(4_000);
        drive(&limiter);
        assert!(poll(&mut late, Waker::noop()));

        let served = |mut waiters: [_; 2]| {
            waiters.iter_mut().filter_map(|w| poll(w, Waker::noop()).then_some(())).count()
        };
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || served([waiter(&limiter, 1), waiter(&limiter, 1)]))
        };
        let mine = served([waiter(&limiter, 1), waiter(&limiter, 1)]);
        assert_eq!(mine + other.join().unwrap(), 3);
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}
