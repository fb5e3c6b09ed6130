//! Claim: whoever waits is granted. While somebody waits an alarm is set, or is just being set, whichever
//! way arrivals, the alarm and the hand-off interleave; at the end nobody is left, and QUEUED is clear once
//! somebody has looked.

use loom::{future::block_on, thread};

use super::{ModelClock, check, queue};
use crate::queue::AcquireNOwned;

/// Two waiters, each on its own thread, and a third that rings the alarm.
fn waiters(preemptions: usize, amounts: [u64; 2]) {
    check(preemptions, move || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        let waiters = amounts.map(|n| {
            let queue = queue.clone();
            thread::spawn(move || block_on(AcquireNOwned::new(queue, Ok(n.into()), None)).unwrap())
        });
        for waiter in waiters {
            waiter.join().unwrap();
        }
        clock.finish();
        alarm.join().unwrap();
        assert_eq!(queue.waiting(), 0);
        // The clock jumped exactly as far as the permits took, and all of them were taken.
        assert_eq!(queue.available(), 0);
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

/// The smallest of them, which ends without a bound.
#[test]
fn one_waiter_is_granted() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        block_on(AcquireNOwned::new(queue.clone(), Ok(1.into()), None)).unwrap();
        clock.finish();
        alarm.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 0));
    });
}
