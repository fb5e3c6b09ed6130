//! Claim: a call that finds a debt in the word also finds the note of the thaw about it. So for as long as the debt
//! lasts, the call is refused without the lock, and does not mistake the debt for a step back of the clock.

use core::time::Duration;

use loom::thread;

use super::{ModelClock, SECOND, check, limiter};
use crate::{NotYet, meter::Taken};

const OWNED: u64 = 1;

/// One permit a second, burst one: the permits are gone, and four more.
#[test]
fn a_call_that_finds_a_debt_needs_no_lock() {
    check(3, || {
        let limiter = limiter(1, 1, &ModelClock::new());
        let before = limiter.driver().meter().bits();
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || {
                let meter = limiter.driver().meter();
                let found = meter.bits();
                if found != before && found & OWNED == 0 {
                    // No thread changes the word any more.
                    assert_eq!(meter.draw(1.into(), 0, 0), Taken::NotYet(NotYet::after_ns(5 * SECOND)));
                }
            })
        };
        // In one step.
        limiter.driver().with(|core| core.charge(core.cost(1.into()).unwrap() * 5)).unwrap();
        other.join().unwrap();
    });
}

#[test]
fn a_refusal_beside_a_charge_is_right_before_or_after() {
    check(3, || {
        let limiter = limiter(1, 0, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire().unwrap_err().retry_after())
        };
        limiter.charge(4).unwrap();
        let told = other.join().unwrap();
        assert!([1, 5].map(|s| Some(Duration::from_secs(s))).contains(&told), "{told:?}");
        assert_eq!(limiter.available(), -4);
    });
}

/// A debt is counted by the frame in which it is noted: one of four permits is none of four million.
#[test]
fn a_debt_is_as_deep_as_it_was_after_a_change_of_quota() {
    check(2, || {
        let limiter = limiter(1, 1, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.charge(5).unwrap())
        };
        limiter.set_quota(crate::Quota::per_second(1_000_000).with_burst(1)).unwrap();
        other.join().unwrap();
        assert_eq!(limiter.available(), -4);
        // By the lock holder, too, which would take the word for ahead of the clock.
        limiter.refund(0).unwrap();
        assert_eq!(limiter.available(), -4);
    });
}

/// The debt counts only while the word is what the thaw has left: a part of it is paid back, and the rest is as it was.
#[test]
fn a_debt_that_is_lowered_beside_a_call_stays_one() {
    check(3, || {
        let limiter = limiter(1, 1, &ModelClock::new());
        limiter.charge(5).unwrap();
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire().unwrap_err().retry_after())
        };
        limiter.refund(2).unwrap();
        let told = other.join().unwrap();
        assert!([3, 5].map(|s| Some(Duration::from_secs(s))).contains(&told), "{told:?}");
        assert_eq!(limiter.available(), -2);
    });
}
