//! Claim: every waiter is granted. While there are waiters an alarm is set, or a thread is just setting it, however
//! arrivals, the alarm, calls that do not wait, and the hand-off interleave. At the end no waiter is left.

use loom::{future::block_on, thread};

use super::{ModelClock, check, limiter, spawn_try};

/// Two waiters, one on a thread of its own, and a third thread that rings the alarm.
fn waiters(preemptions: usize, amounts: [u64; 2]) {
    check(preemptions, move || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let ringing = clock.spawn_ring();
        let [mine, others] = amounts.map(|n| limiter.acquire_n_owned(n));
        let other = thread::spawn(move || block_on(others).unwrap());
        block_on(mine).unwrap();
        other.join().unwrap();
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
        // The clock jumped exactly by the time of the permits, and all permits were taken.
        assert_eq!(limiter.available(), 0);
    });
}

#[test]
fn two_waiters_are_granted() {
    waiters(1, [1, 1]);
}

#[test]
fn a_large_and_a_small_waiter_are_granted() {
    waiters(1, [2, 1]);
}

/// The smallest model of a wakeup.
#[test]
fn one_waiter_is_granted() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let ringing = clock.spawn_ring();
        block_on(limiter.acquire_n_owned(1)).unwrap();
        ringing.finish();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// The call takes the permit, is refused because of the waiter, or grants the waiter.
#[test]
fn a_waiter_beside_a_call_is_granted() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 1, &clock);
        let ringing = clock.spawn_ring();
        let other = spawn_try(&limiter);
        block_on(limiter.acquire_n_owned(1)).unwrap();
        other.join().unwrap();
        ringing.finish();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}

/// No alarm rings: it would not help before the charge is refunded.
#[test]
fn a_waiter_beside_a_refund_is_granted() {
    check(3, || {
        let limiter = limiter(1, 0, &ModelClock::new());
        let refund = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1).unwrap())
        };
        block_on(limiter.acquire_n_owned(1)).unwrap();
        refund.join().unwrap();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}
