//! Whatever is booked, and however far ahead, the limiter gets exactly that.

use core::time::Duration;
use std::sync::Arc;

use super::{Ledger, Mail, NANOS};
use crate::{ManualClock, Quota, fleet::tests::random::Random};

fn mail() -> Arc<Mail> {
    Arc::new(Mail::new(Arc::default()))
}

fn ledger(quota: Quota) -> (Ledger<ManualClock>, ManualClock) {
    let clock = ManualClock::starting_at(5_000_000_000);
    let ledger =
        Ledger::new(&quota, quota.burst(), 1_000_000, Arc::new(clock.clone()), mail(), Duration::ZERO)
            .unwrap();
    (ledger, clock)
}

/// What the limiter has and is to accrue, in nanos.
fn held(ledger: &Ledger<ManualClock>) -> i128 {
    ledger.see().held()
}

#[test]
fn what_is_admitted_and_held_is_what_was_booked() {
    let quotas = [
        Quota::per_second(1000).with_burst(5_000),
        Quota::per_minute(7).with_burst(1_000),
        Quota::per_second(999_983).with_burst(100_000),
        Quota::at_most(300, Duration::from_secs(1)).with_burst(200),
        Quota::new(1_000_003, Duration::from_nanos(1_000_000_007)).with_burst(900_000),
    ];
    for (seed, quota) in quotas.into_iter().enumerate() {
        let mut random = Random(seed as u64);
        let (mut ledger, clock) = ledger(quota);
        let limiter = ledger.limiter().clone();
        let mut booked = 0;
        for step in 0..3_000 {
            match random.below(6) {
                0 | 1 => clock.advance(Duration::from_micros(random.below(200_000))),
                2 => booked -= i128::from(limiter.try_acquire_up_to(1 + random.below(100))),
                3 => {
                    // A whole number, as the permits of leases.
                    let back = booked.clamp(0, 3);
                    ledger.withdraw(back * NANOS);
                    booked -= back;
                }
                _ => {
                    let room = i128::from(quota.burst()) - booked;
                    let permits = random.below(50).min(room.max(0) as u64);
                    let ahead_ns = random.below(100_000_000) * random.below(2);
                    ledger.book(permits, ahead_ns);
                    booked += i128::from(permits);
                }
            }
            // Less what is carried, and what the limiter rounds away where its ticks are coarse; never more.
            let off = booked * NANOS - held(&ledger);
            let coarse = quota.permits() > 500_000;
            let most = if coarse { NANOS } else { NANOS / 100_000 };
            assert!((-NANOS / 100_000..=most).contains(&off), "{quota}, step {step}: off by {off}");
        }
        // All of it can be used, once it has accrued.
        clock.advance(Duration::from_secs(1_000_000));
        let rest = booked.max(0) as u64;
        assert!(limiter.try_acquire_up_to(u64::MAX).abs_diff(rest) <= 1, "{quota}: {rest}");
        assert!(limiter.try_acquire().is_err());
    }
}

#[test]
fn time_without_a_lease_makes_no_permits() {
    let (mut ledger, clock) = ledger(Quota::per_second(1000));
    let limiter = ledger.limiter().clone();
    clock.advance(Duration::from_secs(3600));
    assert!(limiter.try_acquire().is_err());
    ledger.book(10, 5_000_000);
    // Half at once, and half in 5 ms at 1000 a second.
    assert_eq!(limiter.try_acquire_up_to(100), 5);
    clock.advance(Duration::from_millis(3));
    assert_eq!(limiter.try_acquire_up_to(100), 3);
    clock.advance(Duration::from_secs(3600));
    assert_eq!(limiter.try_acquire_up_to(100), 2);
    clock.advance(Duration::from_secs(3600));
    assert!(limiter.try_acquire().is_err());
}

#[test]
fn booking_nothing_has_time_go_on_without_permits() {
    let (mut ledger, clock) = ledger(Quota::per_second(1000));
    let limiter = ledger.limiter().clone();
    for _ in 0..100 {
        ledger.book(0, 50_000_000);
        clock.advance(Duration::from_millis(50));
        assert_eq!(limiter.try_acquire_up_to(100), 0);
    }
    ledger.book(1, 0);
    assert_eq!(limiter.try_acquire_up_to(100), 1);
}

#[test]
fn a_pause_keeps_what_is_paid_for_until_its_end() {
    let (mut ledger, clock) = ledger(Quota::per_second(1000));
    let limiter = ledger.limiter().clone();
    ledger.book(10, 10_000_000);
    clock.advance(Duration::from_millis(4));
    ledger.pause(1_000_000_000);
    // The same pause, told again a little later.
    clock.advance(Duration::from_millis(500));
    ledger.pause(500_500_000);
    assert_eq!(limiter.try_acquire_up_to(100), 0);
    // Permits that are booked meanwhile wait, too.
    ledger.book(5, 0);
    clock.advance(Duration::from_millis(499));
    assert_eq!(limiter.try_acquire_up_to(100), 0);
    clock.advance(Duration::from_millis(1));
    assert_eq!(limiter.try_acquire_up_to(100), 9);
    clock.advance(Duration::from_secs(60));
    assert_eq!(limiter.try_acquire_up_to(100), 6);
    assert!(limiter.try_acquire().is_err());
}

#[test]
fn what_is_booked_ahead_comes_at_the_rate_just_in_time() {
    let (mut ledger, clock) = ledger(Quota::per_second(1000));
    let limiter = ledger.limiter().clone();
    // Two are there; six more are booked, until 20 ms from now.
    ledger.book(2, 0);
    assert_eq!(limiter.try_acquire_up_to(2), 2);
    ledger.book(6, 20_000_000);
    clock.advance(Duration::from_millis(14));
    assert_eq!(limiter.try_acquire_up_to(100), 0);
    for _ in 0..6 {
        clock.advance(Duration::from_millis(1));
        assert_eq!(limiter.try_acquire_up_to(100), 1);
    }
    clock.advance(Duration::from_secs(60));
    assert_eq!(limiter.try_acquire_up_to(100), 0);
}

#[test]
fn quotas_that_could_not_be_booked_ahead_are_refused() {
    let clock = || Arc::new(ManualClock::new());
    let fast = Quota::new(1_000_000_000, Duration::from_secs(1)).with_burst(1);
    let slow = Quota::new(1, Duration::from_secs(86_400 * 365)).with_burst(35);
    for (quota, seconds) in [(fast, 8), (slow, 70 * 365 * 86_400)] {
        let ahead_us = seconds * 1_000_000;
        let mut ledger =
            Ledger::new(&quota, quota.burst(), ahead_us, clock(), mail(), Duration::ZERO).unwrap();
        let ahead_ns = ahead_us * 1000;
        ledger.book(1, ahead_ns);
        assert_eq!(ledger.covered_ns(), ahead_ns, "{quota}");
        assert_eq!((held(&ledger) + 1).div_euclid(NANOS), 1, "{quota}");
    }
    assert!(Ledger::new(&fast, 1, 86_400_000_000, clock(), mail(), Duration::ZERO).is_err());
}
