//! Claim: however calls that do not wait interleave, without the lock or under it, exactly the permits of the level are
//! admitted, and none is lost.

use loom::thread;

use super::{ModelClock, check, limiter, spawn_try};

#[test]
fn two_threads_share_a_burst_of_three() {
    check(3, || {
        let limiter = limiter(3, 3, &ModelClock::new());
        let threads: Vec<_> = (0..2)
            .map(|_| {
                let limiter = limiter.clone();
                thread::spawn(move || (0..2).filter(|_| limiter.try_acquire().is_ok()).count())
            })
            .collect();
        let admitted: usize = threads.into_iter().map(|thread| thread.join().unwrap()).sum();
        assert_eq!(admitted, 3);
        assert_eq!(limiter.available(), 0);
    });
}

#[test]
fn a_large_request_is_all_or_nothing() {
    check(3, || {
        let limiter = limiter(3, 3, &ModelClock::new());
        let large = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_n(3).is_ok())
        };
        let small = limiter.try_acquire().is_ok();
        let large = large.join().unwrap();
        assert!(small != large, "one of the two fits: small {small}, large {large}");
        assert_eq!(limiter.available(), if large { 0 } else { 2 });
    });
}

#[test]
fn as_many_as_are_there_are_taken_in_one_step() {
    check(3, || {
        let limiter = limiter(2, 2, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || limiter.try_acquire_up_to(2))
        };
        let mine = limiter.try_acquire_up_to(2);
        let others = other.join().unwrap();
        assert!([(2, 0), (0, 2)].contains(&(mine, others)), "{mine} and {others}");
        assert_eq!(limiter.available(), 0);
    });
}

/// A reservation is made under the lock.
#[test]
fn calls_under_the_lock_and_without_share_a_burst() {
    check(3, || {
        let limiter = limiter(2, 2, &ModelClock::new());
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || (0..2).filter(|_| limiter.try_acquire().is_ok()).count())
        };
        let reserved = limiter.try_reserve(1).map(crate::Reservation::spend).is_ok();
        let others = other.join().unwrap();
        assert_eq!(others + usize::from(reserved), 2);
        assert_eq!(limiter.available(), 0);
    });
}

#[test]
fn two_calls_under_the_lock_share_a_burst() {
    check(3, || {
        let limiter = limiter(1, 1, &ModelClock::new());
        let reserve =
            |limiter: &super::Limiter| limiter.try_reserve(1).map(crate::Reservation::spend).is_ok();
        let other = {
            let limiter = limiter.clone();
            thread::spawn(move || reserve(&limiter))
        };
        let mine = reserve(&limiter);
        assert!(mine != other.join().unwrap(), "exactly one of the two");
        assert_eq!(limiter.available(), 0);
    });
}

#[test]
fn a_charge_and_a_take_both_count() {
    check(3, || {
        let limiter = limiter(3, 3, &ModelClock::new());
        let other = spawn_try(&limiter);
        limiter.charge(4).unwrap();
        let taken = other.join().unwrap();
        assert_eq!(limiter.available(), -1 - i64::from(taken));
    });
}
