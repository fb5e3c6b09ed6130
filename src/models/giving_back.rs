//! Claim: only the lock holder lowers the TAT, and it overwrites no call that raises the TAT without the lock. Permits
//! that a refund, a reservation or a reset gives back are available once, beside any calls, and are no second burst.

use loom::thread;

use super::{ModelClock, SECOND, check, drive, limiter, queued, spawn_try};

#[test]
fn a_refund_is_there_once_beside_calls() {
    check(3, || {
        let limiter = limiter(3, 1, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || (0..2).filter(|_| limiter.try_acquire().is_ok()).count())
        };
        limiter.refund(1).unwrap();
        let taken = other.join().unwrap();
        assert!(taken >= 1, "one was there all along");
        assert_eq!(taken as i64 + limiter.available(), 2);
    });
}

#[test]
fn a_charge_and_a_refund_both_count() {
    check(3, || {
        let limiter = limiter(5, 2, &ModelClock::new());
        let charge = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.charge(4).unwrap())
        };
        limiter.refund(1).unwrap();
        charge.join().unwrap();
        assert_eq!(limiter.available(), -1);
    });
}

#[test]
fn a_reservation_goes_back_beside_calls() {
    check(3, || {
        let limiter = limiter(3, 3, &ModelClock::new());
        let reserved = limiter.try_reserve(2).unwrap();
        let other = thread::spawn(move || drop(reserved));
        let taken = (0..2).filter(|_| limiter.try_acquire().is_ok()).count();
        other.join().unwrap();
        assert_eq!(taken as i64 + limiter.available(), 3);
    });
}

/// The grant is made at one second; without it the bucket would have been full at two. A call at three, without the
/// lock, finds the bucket full. The returned permits must not be available again then, also if the return began before.
#[test]
fn a_grant_that_goes_back_late_is_no_second_burst() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 0, &clock);
        let granted = queued(&limiter, 1);
        clock.set(SECOND);
        drive(&limiter);
        let leaves = thread::spawn(move || drop(granted));
        clock.set(3 * SECOND);
        // A burst less one permit, so that the TAT does not show when the call came.
        let taken = usize::from(limiter.try_acquire().is_ok());
        leaves.join().unwrap();
        let left = usize::try_from(limiter.available()).unwrap();
        assert_eq!(taken + left, 2, "{taken} taken");
    });
}

#[test]
fn two_grants_go_back_as_another_tries() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(4, 0, &clock);
        let (first, second) = (queued(&limiter, 1), queued(&limiter, 1));
        clock.set(2 * SECOND);
        drive(&limiter);
        let other = spawn_try(&limiter);
        let leaves = thread::spawn(move || drop(first));
        drop(second);
        leaves.join().unwrap();
        let taken = other.join().unwrap();
        assert_eq!(i64::from(taken) + limiter.available(), 2);
    });
}

#[test]
fn a_reset_beside_a_call_leaves_a_full_burst_or_one_less() {
    check(3, || {
        let limiter = limiter(2, 1, &ModelClock::new());
        let other = spawn_try(&limiter);
        limiter.reset();
        assert!(other.join().unwrap());
        let left = limiter.available();
        assert!(left == 2 || left == 1, "{left} left");
    });
}
