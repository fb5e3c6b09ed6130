//! Claim: a waiter may be dropped at any moment (before, while or after it is granted, at any place in the queue, and
//! while the quota changes). No permit is lost or made, and the waiter behind it is granted.

use core::task::Waker;

use loom::{future::block_on, thread};

use super::{ModelClock, SECOND, check, limiter, poll, queued, spawn_drive};
use crate::Quota;

#[test]
fn dropping_a_waiter_races_its_grant() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let waiter = queued(&limiter, 1);
        clock.set(SECOND);
        let other = spawn_drive(&limiter);
        drop(waiter);
        other.join().unwrap();
        assert_eq!(limiter.waiting(), 0);
        assert_eq!(limiter.available(), 1, "the permit went back");
    });
}

#[test]
fn the_next_in_line_gets_what_a_dropped_waiter_gives_back() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let first = queued(&limiter, 1);
        let ringing = clock.spawn_ring();
        let other = thread::spawn(move || drop(first));
        block_on(limiter.acquire_n_owned(1)).unwrap();
        other.join().unwrap();
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
        assert!(limiter.available() >= 0, "nothing was invented: {}", limiter.available());
    });
}

/// No alarm rings. The first waiter may be granted before it is dropped, or not.
#[test]
fn the_grant_of_a_dropped_waiter_goes_on_to_the_next() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let (first, mut second) = (queued(&limiter, 1), queued(&limiter, 1));
        clock.set(SECOND);
        let other = spawn_drive(&limiter);
        drop(first);
        other.join().unwrap();
        assert!(poll(&mut second, Waker::noop()));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// It is neither the first nor the last, and all three are due.
#[test]
fn one_in_the_middle_leaves_as_all_are_granted() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(3, 0, &clock);
        let [mut first, middle, mut last] = [1, 1, 1].map(|n| queued(&limiter, n));
        clock.set(3 * SECOND);
        let other = spawn_drive(&limiter);
        drop(middle);
        other.join().unwrap();
        assert!(poll(&mut first, Waker::noop()) && poll(&mut last, Waker::noop()));
        assert_eq!((limiter.waiting(), limiter.available()), (0, 1));
    });
}

/// It is granted by the old quota or the new one, or gone before: it keeps nothing.
#[test]
fn one_leaves_as_the_rate_changes() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let (leaves, mut stays) = (queued(&limiter, 2), queued(&limiter, 1));
        clock.set(2 * SECOND);
        let change = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.set_quota(Quota::per_second(2).with_burst(2)).unwrap())
        };
        drop(leaves);
        change.join().unwrap();
        assert!(poll(&mut stays, Waker::noop()), "two are there, and it asks for one");
        assert_eq!((limiter.waiting(), limiter.available()), (0, 1));
    });
}

/// One after the other, on one thread, as they are granted on another.
#[test]
fn two_leave_as_both_are_granted() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let (first, second) = (queued(&limiter, 1), queued(&limiter, 1));
        clock.set(2 * SECOND);
        let other = spawn_drive(&limiter);
        drop(first);
        drop(second);
        other.join().unwrap();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 2));
    });
}
