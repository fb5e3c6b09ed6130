//! Rounding and overflow.

use std::time::Duration;

use tidegate::{AcquireError, ChargeError, ManualClock, Quota, RateLimiter};

use super::support::{SECOND, drain, manual};

/// Takes in chunks until there is nothing left.
fn drain_in_chunks(limiter: &RateLimiter<ManualClock>, chunk: u64) -> u64 {
    let mut taken = 0;
    loop {
        match limiter.try_acquire_up_to(chunk) {
            0 => return taken,
            n => taken += n,
        }
    }
}

/// A rate that does not divide the second comes out exactly: N after a second for N per second. governor
/// counts whole nanoseconds to a cell, and gives 1,000,000,000 for 600,000,000, and 11 % too many for
/// 300,000,007.
#[test]
fn high_rates_are_exact() {
    for rate in [600_000_000, 300_000_007, 999_999_937, 1_000_000_007, 333_333_333] {
        let (limiter, clock) = manual(Quota::per_second(rate));
        assert_eq!(drain_in_chunks(&limiter, 7_000_003), rate);
        for _ in 0..3 {
            clock.advance(Duration::from_secs(1));
            assert_eq!(drain_in_chunks(&limiter, 7_000_003), rate, "{rate}/s");
        }
    }
}

/// And they come out exactly however the second is cut up.
#[test]
fn high_rates_are_exact_in_small_steps() {
    for rate in [600_000_000, 300_000_007] {
        let (limiter, clock) = manual(Quota::per_second(rate).with_initial(0));
        let mut taken = 0;
        for _ in 0..SECOND / 999_983 {
            clock.advance(Duration::from_nanos(999_983));
            taken += drain_in_chunks(&limiter, u64::MAX);
        }
        clock.advance(Duration::from_nanos(SECOND % 999_983));
        taken += drain_in_chunks(&limiter, u64::MAX);
        assert_eq!(taken, rate);
    }
}

/// A bucket of `u32::MAX` at one a day holds 4,294,967,295, taken at once or bit by bit. governor's time
/// wraps: 121,186.
#[test]
fn a_deep_bucket_that_fills_slowly_is_as_deep_as_it_says() {
    let all = u64::from(u32::MAX);
    let (limiter, _) = manual(Quota::per_day(1).with_burst(all));
    assert!(limiter.try_acquire_n(all + 1).unwrap_err().is_never());
    assert!(limiter.try_acquire_n(u32::MAX).is_ok());
    assert!(limiter.try_acquire().is_err());
    assert_eq!(limiter.available(), 0);

    for chunk in [all, 1 << 20, 1_000_003] {
        let (limiter, clock) = manual(Quota::per_day(1).with_burst(all));
        assert_eq!(drain_in_chunks(&limiter, chunk), all);
        clock.advance(Duration::from_secs(86_399));
        assert_eq!(limiter.try_acquire_up_to(u64::MAX), 0);
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.try_acquire_up_to(u64::MAX), 1);
    }
}

/// A bucket of 5,124,097 at one an hour gives as many, one by one. governor: one, or a panic in its
/// constructor.
#[test]
fn a_deep_bucket_gives_all_it_has_one_by_one() {
    let (limiter, clock) = manual(Quota::per_hour(1).with_burst(5_124_097));
    assert_eq!(drain(&limiter), 5_124_097);
    clock.advance(Duration::from_nanos(3600 * SECOND - 1));
    assert_eq!(drain(&limiter), 0);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(drain(&limiter), 1);
}

/// 7 per 10 ns admit 7 at once, and the next after 10/7 ns, rounded up. gcra counts 1 ns to a permit and
/// admits 10.
#[test]
fn less_than_two_nanoseconds_to_a_permit() {
    let (limiter, clock) = manual(Quota::new(7, Duration::from_nanos(10)));
    assert_eq!(drain(&limiter), 7);
    let mut after = Vec::new();
    for _ in 0..10 {
        clock.advance(Duration::from_nanos(1));
        after.push(drain(&limiter));
    }
    // floor(0.7 t), step by step.
    assert_eq!(after, [0, 1, 1, 0, 1, 1, 0, 1, 1, 1]);
    clock.advance(Duration::from_nanos(10));
    assert_eq!(drain(&limiter), 7);
}

/// Two permits to a nanosecond: still as many as there are and not one more. gcra's interval rounds to zero,
/// and it admits everything.
#[test]
fn two_permits_to_a_nanosecond() {
    let (limiter, clock) = manual(Quota::per_second(2 * SECOND).with_burst(5));
    assert_eq!(drain(&limiter), 5);
    for _ in 0..1_000 {
        clock.advance(Duration::from_nanos(1));
        assert_eq!(drain(&limiter), 2);
    }
    let (limiter, clock) = manual(Quota::per_second(2 * SECOND));
    assert!(limiter.try_acquire_n(2 * SECOND).is_ok());
    assert!(limiter.try_acquire().is_err());
    clock.advance(Duration::from_secs(1));
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 2 * SECOND);
}

/// One a second, polled every 1,999 ns for 20 s: 20. ratelimit throws the remainder of each poll away: 10.
#[test]
fn frequent_polls_lose_nothing() {
    let (limiter, clock) = manual(Quota::per_second(1));
    let step = Duration::from_nanos(1_999);
    let mut granted = 0;
    for _ in 0..(20 * SECOND).div_ceil(1_999) {
        granted += u32::from(limiter.try_acquire().is_ok());
        clock.advance(step);
    }
    assert_eq!(granted, 20);
}

/// The same of the level itself, with room to spare so that lateness is not the bucket's overflow.
#[test]
fn frequent_reports_lose_nothing() {
    let (limiter, clock) = manual(Quota::per_second(1).with_burst(30).with_initial(0));
    for i in 0..(20 * SECOND / 19_999) {
        assert_eq!(limiter.available(), (i * 19_999 / SECOND) as i64);
        assert!(limiter.try_acquire_n(30).is_err());
        clock.advance(Duration::from_nanos(19_999));
    }
    clock.set(20 * SECOND - 1);
    assert_eq!(limiter.available(), 19);
    clock.set(20 * SECOND);
    assert_eq!(drain(&limiter), 20);
}

/// More than a burst is never admitted, up to the largest number there is, and takes nothing. ratelimit's
/// cost saturates, and the call is admitted.
#[test]
fn amounts_near_the_largest_number() {
    let quotas = [
        Quota::per_second(10),
        Quota::per_day(1).with_burst(u64::from(u32::MAX)),
        Quota::per_second(2 * SECOND),
        Quota::new(7, Duration::from_nanos(10)),
    ];
    for quota in quotas {
        let (limiter, clock) = manual(quota);
        let level = limiter.available();
        for n in [quota.burst() + 1, 1 << 62, (1 << 63) - 1, 1 << 63, u64::MAX - 1, u64::MAX] {
            let denied = limiter.try_acquire_n(n).unwrap_err();
            assert!(denied.is_never() && denied.retry_after().is_none(), "{n}: {denied:?}");
            assert!(limiter.time_until(n).is_err_and(|error| matches!(error, AcquireError::TooMany(_))));
            assert!(!limiter.has_capacity(n));
        }
        assert!(limiter.try_acquire_n(1.8e19).unwrap_err().is_never());
        assert_eq!(limiter.available(), level);
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.available(), level);
        // What may be charged has a limit too, which is named.
        let denied = limiter.charge(u64::MAX).unwrap_err();
        let ChargeError::DebtTooDeep { requested, most } = denied else { panic!("{denied:?}") };
        let named = [requested, most.into()].map(|n| denied.to_string().contains(&n.to_string()));
        assert!(requested == u64::MAX.into() && named == [true; 2], "{denied}");
        assert!(most >= quota.burst(), "{denied}");
        assert_eq!(limiter.available(), level);
        limiter.charge(most).unwrap();
        assert!(limiter.charge(1).is_err());
        limiter.reset();
        // A refund of everything fills the bucket and no more.
        limiter.try_acquire().unwrap();
        limiter.refund(u64::MAX).unwrap();
        assert_eq!(limiter.available(), level);
    }
}

/// A minute amount is an amount. async-speed-limit panics on `new(1e-20).consume(1)` with its mutex held,
/// and on every call from then on.
#[test]
fn amounts_near_nothing() {
    let (limiter, _) = manual(Quota::per_hour(1));
    for n in [1e-20, f64::MIN_POSITIVE, 5e-324] {
        assert!(limiter.try_acquire_n(n).is_ok());
    }
    // It is not nothing: a whole permit is no longer there.
    assert!(limiter.try_acquire().is_err());
    assert!(limiter.try_acquire_n(0.5).is_ok());
    for n in [-1e-20, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        assert!(limiter.try_acquire_n(n).is_err());
        assert!(limiter.charge(n).is_err());
        assert!(limiter.refund(n).is_err());
    }
    assert!(limiter.try_acquire_n(0.25).is_ok());
}

/// `per_second(2)` is two in a second. `tower_governor`'s is one every two seconds.
#[test]
fn per_second_counts_permits() {
    let (limiter, clock) = manual(Quota::per_second(2).with_burst(1).with_initial(0));
    let mut granted = 0;
    for _ in 0..10 {
        clock.advance(Duration::from_millis(500));
        granted += drain(&limiter);
    }
    assert_eq!(granted, 10);
}

/// Every quota there is either works or says why not; none panics, wraps, or admits more than its burst at
/// one instant. governor panics in constructors of debug builds, and wraps in others.
#[test]
fn extreme_quotas() {
    let permits = [0, 1, 7, 1_000_000_007, u64::from(u32::MAX), 1 << 62, u64::MAX - 1, u64::MAX];
    let periods =
        [0, 1, 10, SECOND, 86_400 * SECOND, 1 << 62, u64::MAX - 3, u64::MAX - 2, u64::MAX - 1, u64::MAX];
    let bursts = [0, 1, 2, 1_000_003, u64::from(u32::MAX), 1 << 61, 1 << 62, u64::MAX];
    let (mut built, mut rejected) = (0, 0);
    for n in permits {
        for period in periods {
            for burst in bursts {
                let clock = ManualClock::new();
                let limiter = Quota::try_new(n, Duration::from_nanos(period))
                    .and_then(|quota| quota.try_with_burst(burst))
                    .and_then(|quota| RateLimiter::try_with_clock(quota, clock.clone()));
                match limiter {
                    Err(error) => {
                        rejected += 1;
                        assert!(error.to_string().chars().any(|c| c.is_ascii_digit()), "unclear: {error}");
                    }
                    Ok(limiter) => {
                        built += 1;
                        exercise(&limiter, &clock, burst);
                    }
                }
            }
        }
    }
    assert!(Quota::try_new(1, Duration::MAX).is_err());
    assert!(built > 100 && rejected > 100, "{built} built, {rejected} rejected");
}

fn exercise(limiter: &RateLimiter<ManualClock>, clock: &ManualClock, burst: u64) {
    let quota = limiter.quota();
    for now in [0, 1, SECOND, 1 << 62, u64::MAX - 1, u64::MAX] {
        clock.set(now);
        assert!(limiter.available() <= i64::try_from(burst).unwrap_or(i64::MAX), "{quota} at {now}");
        if now == 0 {
            assert!(limiter.has_capacity(burst), "{quota}");
            assert!(limiter.try_acquire_n(burst).is_ok(), "{quota}");
            assert!(limiter.try_acquire().is_err_and(|denied| !denied.is_never()), "{quota}");
        }
        for n in [0, 1, burst, u64::MAX - 1, u64::MAX] {
            if n > burst {
                assert!(limiter.try_acquire_n(n).is_err_and(|denied| denied.is_never()), "{quota}");
            }
            let _ = limiter.time_until(n);
            assert!(limiter.try_acquire_up_to(n) <= n.min(burst), "{quota} at {now}");
            // All that was there has been taken.
            if n == u64::MAX {
                assert!(limiter.try_acquire().is_err(), "{quota} at {now}");
            }
        }
        let _ = (limiter.time_until_full(), limiter.charge(1), limiter.charge(u64::MAX), limiter.refund(1));
    }
}
