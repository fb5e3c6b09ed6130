//! Another rate for a live limiter.

use std::time::Duration;

use tidegate::{Quota, QuotaError};

use super::support::{Line, MILLI, SECOND, manual};

/// 100 a second, idle for 50 s, then set to 1,000: 5,000 have been earned. async-speed-limit gives 50,000, as
/// though the new rate had been there all the time.
#[test]
fn the_past_counts_at_the_old_rate() {
    for (old, new) in [(100, 1_000), (1_000, 100), (100, 7)] {
        let (limiter, clock) = manual(Quota::per_second(old).with_burst(100_000).with_initial(0));
        clock.advance(Duration::from_secs(50));
        limiter.set_quota(Quota::per_second(new).with_burst(100_000)).unwrap();
        assert_eq!(limiter.available(), 50 * old as i64, "{old} to {new}");
        clock.advance(Duration::from_secs(1));
        assert_eq!(limiter.try_acquire_up_to(u64::MAX), 50 * old + new, "{old} to {new}");
    }
}

/// Waiters are timed anew: the time so far counts at the old rate, the rest at the new rate.
#[test]
fn those_who_wait_are_timed_anew() {
    let (limiter, clock) = manual(Quota::per_second(10).with_burst(5).with_initial(0));
    let mut line = Line::new(&clock);
    let waiter = limiter.acquire_n_owned(5);
    let five = line.wait(async { waiter.await.unwrap() });
    let one = line.wait(limiter.acquire_owned());
    clock.advance(Duration::from_millis(200));
    limiter.set_quota(Quota::per_second(100).with_burst(5)).unwrap();
    clock.advance(Duration::from_secs(1));
    assert_eq!(line.granted(), [(five, SECOND / 5 + 30 * MILLI), (one, SECOND / 5 + 40 * MILLI)]);
}

/// A debt that the new quota has no room for is an error, which names the most there is room for; nothing
/// changes then.
#[test]
fn a_debt_that_does_not_fit_is_an_error() {
    let quota = Quota::per_second(1_000);
    let (limiter, _) = manual(quota);
    limiter.charge(1_001_000).unwrap();
    let error = limiter.set_quota(Quota::per_day(1)).unwrap_err();
    let QuotaError::DebtTooDeep { permits, max } = error else { panic!("{error}") };
    assert_eq!(permits, 1_000_000);
    assert!(error.to_string().contains("1000000") && error.to_string().contains(&max.to_string()), "{error}");
    assert_eq!((limiter.quota(), limiter.available()), (quota, -1_000_000));
    limiter.refund(permits - max - 1).unwrap();
    assert!(limiter.set_quota(Quota::per_day(1)).is_err());
    limiter.refund(1).unwrap();
    limiter.set_quota(Quota::per_day(1)).unwrap();
    assert_eq!(limiter.available(), -(max as i64));
}
