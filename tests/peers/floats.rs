//! Time as a float, and a last-seen time kept apart from the level.

use tidegate::{ManualClock, Quota, RateLimiter};

use super::support::SECOND;

/// A burst of 10 at 10^9/s admits 10 at one instant however long the clock has run, and one more each
/// nanosecond. folly and Envoy keep time as a double of seconds: after 365 days 10,000 of 10,000.
#[test]
fn long_uptime() {
    for days in [0, 30, 365, 10 * 365, 54 * 365, 500 * 365] {
        let clock = ManualClock::starting_at(days * 86_400 * SECOND);
        let limiter = RateLimiter::with_clock(Quota::per_second(SECOND).with_burst(10), clock.clone());
        let admitted = (0..10_000).filter(|_| limiter.try_acquire().is_ok()).count();
        assert_eq!(admitted, 10, "after {days} days");
        for _ in 0..100 {
            clock.set(tidegate::Clock::now(&clock) + 1);
            assert!(limiter.try_acquire().is_ok() && limiter.try_acquire().is_err(), "after {days} days");
        }
    }
}

/// The same of a limiter that has lived that long itself.
#[test]
fn long_life() {
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(Quota::per_second(SECOND).with_burst(10), clock.clone());
    for days in [30, 365, 10 * 365, 54 * 365, 500 * 365] {
        clock.set(days * 86_400 * SECOND);
        let admitted = (0..10_000).filter(|_| limiter.try_acquire().is_ok()).count();
        assert_eq!(admitted, 10, "after {days} days");
        clock.set(days * 86_400 * SECOND + 3);
        assert_eq!(limiter.try_acquire_up_to(100), 3, "after {days} days");
    }
}

/// 10/s with a burst of 3, asked in turn at 1 s and at 0: the way forward counts as time, and the way back grants nothing.
/// Go's x/time/rate rewinds its last-seen time on each older call, and admits 2,000 of 2,000.
#[test]
fn alternating_readings_mint_nothing_on_the_way_back() {
    for created_ns in [0, SECOND] {
        let clock = ManualClock::starting_at(created_ns);
        let limiter = RateLimiter::with_clock(Quota::per_second(10).with_burst(3), clock.clone());
        for round in 0..1_000 {
            clock.set(SECOND);
            let forward = (0..10).filter(|_| limiter.try_acquire().is_ok()).count();
            assert_eq!(forward, 3, "round {round}, created at {created_ns}");
            clock.set(0);
            assert!(limiter.try_acquire().is_err(), "round {round}, created at {created_ns}");
        }
    }
}

/// Readings a little apart, as threads have them: a
/// second admits what a second is worth, and the burst.
#[test]
fn skewed_readings_mint_nothing() {
    let clock = ManualClock::starting_at(SECOND);
    let limiter = RateLimiter::with_clock(Quota::per_second(1_000).with_burst(3), clock.clone());
    let mut admitted = 0;
    for ms in 0..=1_000 {
        for back_ns in [0, 300_000, 900_000, 999_999, 0] {
            clock.set(SECOND + ms * 1_000_000 - back_ns);
            admitted += u32::from(limiter.try_acquire().is_ok());
        }
    }
    assert_eq!(admitted, 3 + 1_000);
}
