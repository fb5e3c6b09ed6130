//! Decades of constant use. The bucket is kept in debt, so that it never fills, and no error is forgotten.

use std::time::Duration;

use num_bigint::BigInt;
use num_traits::{Signed, ToPrimitive};
use proptest::prelude::*;
use tidegate::{Clock, ManualClock, Quota, RateLimiter};

use super::oracle::{MILLION, Oracle, grain, word_ns};

const HALF_A_YEAR_NS: u64 = 15_778_800_000_000_000;

/// Permits of so much time, rounded up.
fn earned(quota: &Quota, ns: u64) -> u64 {
    let permits = u128::from(quota.permits()) * u128::from(ns);
    permits.div_ceil(quota.period().as_nanos()) as u64
}

/// So many charges of about `step_ns` each, earned back in about that time; how far the limiter's answers
/// were ever from the oracle's, in nanoseconds.
fn keep_busy(quota: Quota, step_ns: u64, odd_ns: &[u64]) -> BigInt {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut oracle = Oracle::new(&quota, 0);
    let mut worst = BigInt::ZERO;
    for odd_ns in odd_ns {
        let cost = earned(&quota, step_ns);
        let told = limiter.charge(cost).unwrap();
        oracle.take(BigInt::from(cost) * MILLION);
        let off = BigInt::from(told.as_nanos()) - oracle.wait_until_paid();
        worst = worst.max(off.abs());
        clock.advance(Duration::from_nanos(step_ns - odd_ns));
        oracle.set_now(clock.now());
        for n in [1, quota.burst()] {
            let told = limiter.time_until(n).unwrap();
            worst = worst.max((BigInt::from(told.as_nanos()) - oracle.wait(n * MILLION)).abs());
        }
        assert!(oracle.wait_until_full().is_positive(), "the bucket is to be busy");
    }
    worst
}

proptest! {
    #[test]
    fn exact_rates_are_exact_for_decades(
        (quota, word_ns) in (
            prop_oneof![1..10_u64, 1..1_000_u64, Just(999_983_u64)],
            prop::sample::select(vec![1_u64, 60, 3600, 86_400]),
        )
            .prop_map(|(permits, seconds)| Quota::new(permits, Duration::from_secs(seconds)).with_burst(1).with_initial(0))
            .prop_filter_map("no exact scale", |quota| Some((quota, word_ns(&quota)?))),
        odd_ns in prop::collection::vec(0..3_u64, 30..60),
    ) {
        // Decades, or a dozen words if they are shorter.
        prop_assert_eq!(keep_busy(quota, HALF_A_YEAR_NS.min(word_ns / 4), &odd_ns), BigInt::ZERO);
    }

    /// A tick is at most a quarter of a nanosecond here, and what is told is rounded up to a whole one.
    #[test]
    fn all_others_are_within_a_nanosecond_after_decades(
        quota in prop_oneof![1_000_000_007..9_000_000_000_u64, 3_000_001..9_999_999_u64]
            .prop_map(|permits| Quota::per_second(permits).with_burst(40).with_initial(0))
            .prop_filter("an exact scale", |quota| grain(quota).is_none()),
        odd_ns in prop::collection::vec(0..3_u64, 20..60),
    ) {
        let worst = keep_busy(quota, HALF_A_YEAR_NS, &odd_ns);
        prop_assert!(worst <= 1.into(), "{} ns", worst.to_f64().unwrap());
    }
}

/// At a trillion a second a word lasts for hours only: hundreds of them in a row lose nothing.
#[test]
fn no_horizon_is_noticed() {
    let quota = Quota::per_second(1_000_000_000_000).with_burst(1_000).with_initial(0);
    let odd_ns: Vec<u64> = (0..2_000).map(|i| i % 2).collect();
    assert_eq!(keep_busy(quota, 1_800_000_000_000, &odd_ns), BigInt::ZERO);
}

/// A charge that is refused changes nothing, and so does not move the origin.
#[test]
fn charges_that_are_refused_add_nothing() {
    let quota = Quota::per_second(3_000_001).with_burst(1).with_initial(0);
    assert_eq!(grain(&quota), None);
    let clock = ManualClock::starting_at(1_000_000_000);
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    let mut oracle = Oracle::new(&quota, clock.now());
    limiter.charge(3_000_001).unwrap();
    oracle.take(3_000_001 * MILLION);
    for _ in 0..100_000 {
        clock.advance(Duration::from_nanos(1));
        limiter.charge(u64::MAX).unwrap_err();
    }
    oracle.set_now(clock.now());
    let told = BigInt::from(limiter.time_until(1).unwrap().as_nanos());
    let off: BigInt = told - oracle.wait(MILLION);
    assert!(off.abs() <= 1.into(), "{off} ns");
}
