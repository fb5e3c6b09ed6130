//! Claim: a change of quota admits nothing extra and loses nothing, whichever way it meets calls that take
//! permits or give them back, and waiters; a call is admitted, and charged, by one quota or the other.

use core::time::Duration;

use loom::{future::block_on, thread};

use super::{ModelClock, SECOND, check, limiter, queued, spawn_try};
use crate::{Inherit, Quota};

/// The quota of the models, with another burst.
fn burst(burst: u64) -> Quota {
    Quota::per_second(1).with_burst(burst)
}

/// Two calls while the burst grows from two to three. Returns the level plus the permits taken.
fn taken_and_left(inherit: Inherit, sum: i64) {
    check(1, move || {
        let limiter = limiter(2, 2, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || (0..2).filter(|_| limiter.try_acquire().is_ok()).count())
        };
        limiter.set_quota_with(burst(3), inherit).unwrap();
        let taken = other.join().unwrap() as i64;
        assert_eq!(taken + limiter.available(), sum, "{taken} taken");
        assert_eq!(limiter.quota(), burst(3));
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

/// The level in permits is kept. The call is charged once, by the quota that was in force at its exchange.
#[test]
fn a_call_is_charged_once_beside_two_changes() {
    check(0, || {
        let limiter = limiter(2, 2, &ModelClock::new());
        let other = spawn_try(&limiter);
        for rate in [1_000, 2] {
            limiter.set_quota(Quota::per_second(rate).with_burst(2)).unwrap();
        }
        assert!(other.join().unwrap(), "there were two all along");
        assert_eq!(limiter.available(), 1);
    });
}

/// A permit comes after a second by the first quota, after a millisecond by the second, and after half a second by
/// the third.
#[test]
fn a_refusal_is_by_one_of_three_quotas() {
    check(0, || {
        let limiter = limiter(2, 0, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire().unwrap_err().retry_after())
        };
        limiter.set_quota(Quota::per_second(1_000).with_burst(3)).unwrap();
        limiter.set_quota(Quota::per_second(2).with_burst(2)).unwrap();
        let told = other.join().unwrap();
        assert!([1_000, 1, 500].map(|ms| Some(Duration::from_millis(ms))).contains(&told), "{told:?}");
    });
}

/// With the ticks of one quota and the burst of the other, two permits would never fit.
#[test]
fn a_request_that_fits_by_both_quotas_is_never_refused_for_good() {
    check(1, || {
        let limiter = limiter(2, 0, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_n(2).unwrap_err())
        };
        limiter.set_quota(Quota::per_second(1_000).with_burst(2)).unwrap();
        assert!(!other.join().unwrap().is_never());
    });
}

/// A refused waiter has taken nothing; a granted waiter has taken its permits.
#[test]
fn a_waiter_is_granted_or_turned_away() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let waiter = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.blocking_acquire_n(2))
        };
        let ringing = clock.spawn_ring();
        // By the new quota two permits never fit, but the waiter may have been granted before.
        limiter.set_quota(burst(1)).unwrap();
        match waiter.join().unwrap() {
            // By the new quota the grant would have left a debt.
            Ok(()) => assert_eq!(limiter.available(), 0, "it has taken two"),
            Err(denied) => {
                assert!(matches!(denied, crate::AcquireError::TooMany(_)));
                assert!(limiter.available() >= 0, "it has taken nothing");
            }
        }
        ringing.finish();
        assert_eq!(limiter.waiting(), 0);
    });
}

/// The smallest model of a change of quota.
#[test]
fn what_is_given_back_meanwhile_is_kept() {
    check(3, || {
        let limiter = limiter(2, 0, &ModelClock::new());
        let refund = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.refund(1).unwrap())
        };
        limiter.set_quota(burst(3)).unwrap();
        refund.join().unwrap();
        assert_eq!((limiter.available(), limiter.quota()), (1, burst(3)));
    });
}

/// The waiter stays. Its alarm is set for the new due time: half a second, unless the alarm rang at a second before.
#[test]
fn a_waiter_that_stays_is_granted_in_time_by_the_new_quota() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let waiter = queued(&limiter, 1);
        let waiter = thread::spawn(move || block_on(waiter).unwrap());
        let ringing = clock.spawn_ring();
        limiter.set_quota(Quota::per_second(2).with_burst(1)).unwrap();
        let changed_ns = clock.rung();
        waiter.join().unwrap();
        let granted_ns = clock.rung();
        assert!(granted_ns <= changed_ns.max(SECOND / 2), "at {granted_ns}, with the change at {changed_ns}");
        ringing.finish();
        assert_eq!((limiter.waiting(), limiter.available()), (0, 0));
    });
}
