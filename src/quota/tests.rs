//! The constructors and setters, and their errors.

use core::time::Duration;

use proptest::prelude::*;

use super::*;

#[test]
fn values_that_make_no_sense_are_errors() {
    let second = Duration::from_secs(1);
    assert_eq!(Quota::try_new(0, second), Err(QuotaError::ZeroPermits));
    assert_eq!(Quota::try_new(5, Duration::ZERO), Err(QuotaError::ZeroPeriod));
    let quota = Quota::per_second(5);
    assert_eq!(quota.try_with_burst(0), Err(QuotaError::ZeroBurst));
    assert_eq!(quota.try_with_initial(6), Err(QuotaError::InitialAboveBurst { initial: 6, burst: 5 }));
    assert_eq!(
        Quota::at_most(5, second).try_with_burst(6),
        Err(QuotaError::BurstAboveWindow { burst: 6, permits: 5 })
    );
    // The longest period is the one that the error names.
    let longest = Duration::from_nanos(u64::MAX - 1);
    assert!(Quota::try_new(1, longest).is_ok() && Quota::try_at_most(1, longest).is_ok());
    for period in [longest + Duration::from_nanos(1), Duration::MAX] {
        let error = Quota::try_new(1, period).unwrap_err().to_string();
        assert!(error.contains(&format!("{period:?}")) && error.contains("2^64 - 2 ns"), "{error}");
    }
}

#[test]
fn constants_equal_what_is_made_at_run_time() {
    const SECOND: Duration = Duration::from_secs(1);
    const QUOTAS: [Quota; 8] = [
        Quota::new(5, SECOND),
        Quota::per_second(100).with_burst(20).with_initial(3).with_catch_up(Duration::ZERO),
        Quota::per_minute(7),
        Quota::per_hour(1000),
        Quota::per_day(3),
        Quota::every(SECOND),
        Quota::at_most(10, SECOND),
        Quota::at_most(10, SECOND).with_burst(10),
    ];
    let texts = [
        "5/s",
        "100/s burst 20 initial 3 catch-up 0ns",
        "7/min",
        "1000/h",
        "3/day",
        "1/s",
        "at most 10/s",
        "at most 10/s burst 10",
    ];
    assert_eq!(QUOTAS.map(|quota| quota.to_string()), texts);
}

#[test]
fn literals_panic_with_the_reason_and_the_remedy() {
    type Literal = fn(Duration) -> Quota;
    let second = Duration::from_secs(1);
    let literals: [(Literal, &str); 8] = [
        (|second| Quota::new(0, second), "a quota of 0 permits: write at least 1"),
        (|_| Quota::per_day(0), "a quota of 0 permits: write at least 1"),
        (|_| Quota::every(Duration::ZERO), "a period of 0 ns: write at least 1 ns"),
        (|_| Quota::every(Duration::MAX), "write at most 2^64 - 2 ns"),
        (|_| Quota::per_second(1).with_burst(0), "a burst of 0 permits: write at least 1"),
        (|second| Quota::at_most(5, second).with_burst(6), "write at most those permits"),
        (|_| Quota::per_second(5).with_initial(6), "lower it or raise the burst"),
        (|_| Quota::per_second(5).with_catch_up(Duration::MAX), "write at most 2^64 - 2 ns"),
    ];
    for (literal, reason) in literals {
        let panic = std::panic::catch_unwind(|| literal(second)).unwrap_err();
        let message = panic.downcast_ref::<&str>().map_or_else(
            || panic.downcast_ref::<String>().expect("a panic with a text").clone(),
            |&text| text.to_owned(),
        );
        assert!(message.contains(reason), "{message}");
    }
}

#[test]
fn one_permit_every_interval() {
    for interval in [Duration::from_nanos(1), Duration::from_millis(1500), Duration::from_nanos(u64::MAX - 1)]
    {
        let quota = Quota::every(interval);
        assert_eq!((quota.permits(), quota.period(), quota.burst()), (1, interval, 1));
        assert_eq!(quota.interval(), interval);
        assert_eq!(Quota::try_every(interval), Ok(quota));
    }
    assert_eq!(Quota::try_every(Duration::ZERO), Err(QuotaError::ZeroPeriod));
}

#[test]
fn the_default_catch_up_of_a_window_is_a_hundredth_within_limits() {
    for (window_ns, catch_up_ns) in [
        (1, 1),
        (1_999_999, 1_999_999),
        (2_000_000, 2_000_000),
        (200_000_099, 2_000_000),
        (200_000_100, 2_000_001),
        (999_999_999, 9_999_999),
        (1_000_000_100, 10_000_000),
        (u64::MAX - 1, 10_000_000),
    ] {
        let quota = Quota::at_most(1, Duration::from_nanos(window_ns));
        assert_eq!(quota.catch_up(), Duration::from_nanos(catch_up_ns), "{window_ns}");
    }
}

proptest! {
    /// The limiter grants the next permit after exactly this time.
    #[test]
    fn the_interval_is_what_a_limiter_keeps(
        at_most: bool,
        permits in 1_u64..2000,
        period_ns in 1_u64..10_000_000_000,
        burst in 1_u64..2000,
    ) {
        let period = Duration::from_nanos(period_ns);
        let quota = if at_most { Quota::at_most(permits, period) } else { Quota::new(permits, period) };
        let quota = quota.try_with_burst(burst).unwrap_or(quota);
        let clock = crate::ManualClock::new();
        let limiter = crate::RateLimiter::with_clock(quota, clock.clone());
        limiter.try_acquire_n(quota.burst()).unwrap();
        prop_assert_eq!(limiter.time_until(1).unwrap(), quota.interval());
    }
}
