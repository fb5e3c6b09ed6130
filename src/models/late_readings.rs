//! Claim: the lock holder's clock reading, made after the freeze, is never older than the reading of a call whose
//! exchange came before the freeze, although the clock gives other threads old readings. So no such call makes it look
//! as if the clock had stepped back, and no level is lost or made by it.

use loom::thread;

use super::{ModelClock, SECOND, check, limiter, spawn_try};

/// Later than any burst here, so that a reading from before looks like a step back.
const LATER: u64 = 100 * SECOND;

/// The call takes the only permit available at that time. By an older reading the bucket would go on with a full burst
/// too many.
#[test]
fn a_call_before_the_freeze_is_no_step_back() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let other = {
            let (clock, limiter) = (clock.clone(), limiter.clone());
            thread::spawn(move || {
                clock.set(LATER);
                limiter.try_acquire().unwrap();
            })
        };
        limiter.refund(0).unwrap();
        other.join().unwrap();
        assert_eq!(limiter.available(), 0);
    });
}

/// As above, but another thread than the caller moved the clock.
#[test]
fn nor_is_a_call_that_saw_the_time_of_a_third_thread() {
    check(2, || {
        let clock = ModelClock::new();
        let limiter = limiter(1, 0, &clock);
        let ticker = {
            let clock = clock.clone();
            thread::spawn(move || clock.set(LATER))
        };
        let other = spawn_try(&limiter);
        limiter.refund(0).unwrap();
        let taken = other.join().unwrap();
        ticker.join().unwrap();
        assert_eq!(limiter.available(), i64::from(!taken));
    });
}

/// By an older reading the returned permits would be clamped at the wrong time.
#[test]
fn a_reservation_beside_a_later_call_is_made_and_given_back_in_time() {
    check(3, || {
        let clock = ModelClock::new();
        let limiter = limiter(2, 2, &clock);
        let other = {
            let (clock, limiter) = (clock.clone(), limiter.clone());
            thread::spawn(move || {
                clock.set(LATER);
                limiter.try_acquire().is_ok()
            })
        };
        // The grant goes back at once, except for permits that have overflowed since.
        drop(limiter.try_reserve(2));
        let taken = other.join().unwrap();
        assert_eq!(limiter.available(), 2 - i64::from(taken));
    });
}
