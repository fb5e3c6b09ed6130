//! Claim: a change of quota admits nothing extra and loses nothing, whichever way it meets those who take
//! permits, or wait for them. (That a word which looks as it did before the change deceives nobody is the claim
//! of `scale_change.rs`.)

use loom::{future::block_on, thread};

use super::{ModelClock, SECOND, check, queue, queued};
use crate::{Inherit, Quota};

/// The quota of the models, with another burst.
fn burst(burst: u64) -> Quota {
    Quota::per_second(1).burst(burst)
}

/// Two calls while the burst grows from two to three; what is left, besides what they took.
fn taken_and_left(inherit: Inherit, sum: i64) {
    check(1, move || {
        let clock = ModelClock::new();
        let queue = queue(2, 2, &clock);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || (0..2).filter(|_| queue.try_take(1.into()).is_ok()).count())
        };
        queue.set_quota(burst(3), inherit).unwrap();
        let taken = other.join().unwrap() as i64;
        assert_eq!(taken + queue.available(), sum, "{taken} taken");
        assert_eq!(queue.quota(), burst(3));
    });
}

#[test]
fn the_level_is_kept() {
    taken_and_left(Inherit::AsIs, 2);
}

#[test]
fn a_larger_burst_adds_what_it_is_larger_by() {
    taken_and_left(Inherit::Additively, 3);
}

/// A waiter who is turned away has taken nothing; one who is granted has.
#[test]
fn a_waiter_is_granted_or_turned_away() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let waiter = {
            let queue = queue.clone();
            thread::spawn(move || queue.wait_blocking(2.into(), None))
        };
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        // Two permits never fit from here on; but they may have been granted before.
        queue.set_quota(burst(1), Inherit::AsIs).unwrap();
        match waiter.join().unwrap() {
            // By the new quota it would have left a debt.
            Ok(()) => assert_eq!(queue.available(), 0, "it has taken two"),
            Err(denied) => {
                assert!(denied.is_never());
                assert!(queue.available() >= 0, "it has taken nothing");
            }
        }
        clock.finish();
        alarm.join().unwrap();
        assert_eq!(queue.waiting(), 0);
    });
}

/// With the ticks of the one and the burst of the other it would look as if two never fit.
#[test]
fn a_refusal_is_by_one_quota_or_the_other() {
    check(1, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.try_take(2.into()).unwrap_err())
        };
        queue.set_quota(Quota::per_second(1_000).burst(2), Inherit::AsIs).unwrap();
        assert!(!other.join().unwrap().is_never());
    });
}

/// The smallest of them, which ends without a bound.
#[test]
fn what_is_given_back_meanwhile_is_kept() {
    check(3, || {
        let clock = ModelClock::new();
        let queue = queue(2, 0, &clock);
        let refund = {
            let queue = queue.clone();
            thread::spawn(move || queue.refund(1.into()))
        };
        queue.set_quota(burst(3), Inherit::AsIs).unwrap();
        refund.join().unwrap();
        assert_eq!((queue.available(), queue.quota()), (1, burst(3)));
    });
}

/// A debt is noted in ticks of the scale it is made by: one of four permits is none of four million.
#[test]
fn a_debt_is_as_deep_as_it_was() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(1, 1, &clock);
        let other = {
            let queue = queue.clone();
            thread::spawn(move || queue.charge(5.into()).unwrap())
        };
        queue.set_quota(Quota::per_second(1_000_000).burst(1), Inherit::AsIs).unwrap();
        other.join().unwrap();
        let deepest = queue.meter.debt() / queue.meter.published.frame().scale.per_permit;
        assert_eq!((deepest, queue.available()), (4, -4));
    });
}

/// It stays, and its alarm comes up with its turn: after half a second, unless it had rung after a second already.
#[test]
fn a_waiter_that_stays_is_granted_in_time_by_the_new_quota() {
    check(2, || {
        let clock = ModelClock::new();
        let queue = queue(1, 0, &clock);
        let waiter = queued(&queue, 1);
        let waiter = thread::spawn(move || block_on(waiter).unwrap());
        let alarm = {
            let clock = clock.clone();
            thread::spawn(move || clock.ring())
        };
        queue.set_quota(Quota::per_second(2).burst(1), Inherit::AsIs).unwrap();
        let changed_ns = clock.rung();
        waiter.join().unwrap();
        let granted_ns = clock.rung();
        assert!(granted_ns <= changed_ns.max(SECOND / 2), "at {granted_ns}, with the change at {changed_ns}");
        clock.finish();
        alarm.join().unwrap();
        assert_eq!((queue.waiting(), queue.available()), (0, 0));
    });
}
