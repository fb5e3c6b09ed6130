//! Where other limiters disagree with each other: nothing at all, the first level, the longest wait.

use std::time::Duration;

use tidegate::{Clock, Quota, RateLimiter};

use super::support::{LateClock, Line, MILLI, manual};

/// Zero permits are had at once and change nothing: in a full bucket, an empty one, in debt, beside waiters.
/// In .NET they are had only if there is a permit to be had.
#[test]
fn nothing_is_had_at_once() {
    fn check<C: Clock + Clone>(limiter: &RateLimiter<C>, line: &mut Line<C>, case: &str) {
        let (level, waiting) = (limiter.available(), limiter.waiting());
        assert!(limiter.try_acquire_n(0).is_ok() && limiter.has_capacity(0), "{case}");
        assert_eq!(limiter.time_until(0), Ok(Duration::ZERO), "{case}");
        let (waiter, in_time) = (limiter.acquire_n_owned(0), limiter.acquire_within_owned(0, Duration::ZERO));
        assert!(line.join(async { waiter.await.unwrap() }).1, "{case}: it waits");
        assert!(line.join(async { in_time.await.unwrap() }).1, "{case}: it waits");
        limiter.blocking_acquire_n(0).unwrap();
        limiter.refund(0).unwrap();
        limiter.charge(0).unwrap();
        assert_eq!((limiter.available(), limiter.waiting()), (level, waiting), "{case}");
    }
    let (limiter, clock) = manual(Quota::per_second(1).with_burst(2));
    let mut line = Line::new(&clock);
    check(&limiter, &mut line, "full");
    clock.advance(Duration::from_secs(3));
    check(&limiter, &mut line, "full for long");
    limiter.try_acquire_n(2).unwrap();
    check(&limiter, &mut line, "empty");
    limiter.charge(2).unwrap();
    check(&limiter, &mut line, "in debt");
    let one = line.wait(limiter.acquire_owned());
    check(&limiter, &mut line, "behind a waiter");
    clock.advance(Duration::from_secs(10));
    assert_eq!(line.granted(), [(one, 6_000 * MILLI)]);

    // And in the credit that a late alarm has left.
    let clock = LateClock::default();
    let limiter =
        RateLimiter::with_clock(Quota::per_second(1_000).with_burst(1).with_initial(0), clock.clone());
    let mut line = Line::new(&clock);
    let one = line.wait(limiter.acquire_owned());
    clock.advance(5 * MILLI);
    clock.ring();
    assert_eq!(line.granted(), [(one, 5 * MILLI)]);
    check(&limiter, &mut line, "in credit");
}

/// It starts full, or at any level from zero to the burst.
#[test]
fn it_starts_at_the_level_that_is_asked_for() {
    assert_eq!(manual(Quota::per_second(10)).0.available(), 10);
    for level in 0..=10 {
        let (limiter, clock) = manual(Quota::per_second(10).with_initial(level));
        assert_eq!(limiter.try_acquire_up_to(100), level);
        clock.advance(Duration::from_millis(100));
        assert_eq!(limiter.try_acquire_up_to(100), 1, "from {level}");
    }
}

/// The longest wait is inclusive: a turn that comes at its very end is waited for, one that comes a nanosecond
/// later is not.
#[test]
fn the_longest_wait_is_inclusive() {
    let (limiter, clock) = manual(Quota::per_second(3).with_burst(1).with_initial(0));
    let mut line = Line::new(&clock);
    let early = limiter.acquire_within_owned(1, Duration::from_nanos(333_333_333));
    let (_, ready) = line.join(async {
        assert_eq!(early.await.unwrap_err().retry_after(), Some(Duration::from_nanos(1)));
    });
    assert!(ready, "it waits in vain");
    let waiter = limiter.acquire_within_owned(1, Duration::from_nanos(333_333_334));
    let in_time = line.wait(async { waiter.await.unwrap() });
    clock.advance(Duration::from_secs(1));
    assert_eq!(line.granted(), [(in_time, 333_333_334)]);
}
