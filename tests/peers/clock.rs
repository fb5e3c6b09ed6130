//! Clocks that are not monotonic.

use std::time::Duration;

use tidegate::{Clock, ManualClock, Quota, RateLimiter};

use super::support::{Line, MILLI, Numbers, SECOND, drain};

/// How long after the clock was first seen to be behind a limiter may be unusable beyond its depth.
const SKEW: Duration = Duration::from_millis(1);

fn at(t_ns: u64, quota: Quota) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::starting_at(t_ns);
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

/// 10/s, used at t = 1000 s; the clock steps back 2 s, or to zero. Within the time in which the bucket
/// fills, a second, and a millisecond, of the first refusal it is usable again, and the refusal says so.
/// governor (issue 299) is denied for as long as the clock stepped back, and took production down.
#[test]
fn a_step_back_costs_no_more_than_a_bucket() {
    for created_ns in [0, 999 * SECOND, 1000 * SECOND] {
        for takes in [1, 10] {
            for back_ns in [2 * SECOND, 10 * SECOND, 999 * SECOND, 1000 * SECOND] {
                let (limiter, clock) = at(created_ns, Quota::per_second(10));
                clock.set(1000 * SECOND);
                limiter.try_acquire_n(takes).unwrap();
                clock.set(1000 * SECOND - back_ns);
                let case = format!("created at {created_ns}, {takes} taken, {back_ns} back");
                // What was left may still be there.
                assert!(takes + drain(&limiter) <= 10, "{case}");
                let told = limiter.try_acquire().unwrap_err().retry_after().expect("not never");
                assert!(told <= Duration::from_secs(1) + SKEW, "{case}: told {told:?}");
                clock.advance(told);
                assert!(limiter.try_acquire().is_ok(), "{case}: not after {told:?}");
                // Once full, and from here on the rate is the rate.
                assert!(drain(&limiter) < 10, "{case}");
                clock.advance(Duration::from_secs(1));
                assert_eq!(drain(&limiter), 10, "{case}");
            }
        }
    }
}

/// The same for one who asks all the time, and so keeps the limiter busy with refusals.
#[test]
fn a_step_back_under_constant_calls() {
    let (limiter, clock) = at(0, Quota::per_second(10));
    clock.set(1000 * SECOND);
    assert_eq!(drain(&limiter), 10);
    clock.set(998 * SECOND);
    let first_ns = clock.now();
    assert!(limiter.try_acquire().is_err());
    while limiter.try_acquire().is_err() {
        clock.advance(Duration::from_micros(100));
        let waited = Duration::from_nanos(clock.now() - first_ns);
        assert!(waited <= Duration::from_secs(1) + SKEW, "still refused after {waited:?}");
    }
}

/// And for one who waits.
#[test]
fn a_step_back_while_somebody_waits() {
    for back_ns in [2 * SECOND, 999 * SECOND] {
        let (limiter, clock) = at(0, Quota::per_second(10));
        clock.set(1000 * SECOND);
        assert_eq!(drain(&limiter), 10);
        let mut line = Line::new(&clock);
        line.wait(limiter.acquire_owned());
        clock.set(1000 * SECOND - back_ns);
        // Somebody who comes notices.
        line.wait(limiter.acquire_owned());
        assert!(limiter.try_acquire().is_err());
        clock.advance(Duration::from_secs(1) + SKEW + Duration::from_millis(200));
        let granted: Vec<_> = line.granted().into_iter().map(|(id, _)| id).collect();
        assert_eq!(granted, [0, 1], "{back_ns} back");
    }
}

/// Steps back mint nothing: over any course of steps the admissions are bounded by the time that the clock
/// has gone forward, and one burst.
#[test]
fn steps_back_mint_nothing() {
    let mut numbers = Numbers(3);
    for _ in 0..200 {
        let (limiter, clock) = at(5 * SECOND, Quota::per_second(1_000).burst(5));
        let (mut forward_ns, mut admitted) = (0, 0);
        for _ in 0..500 {
            // Within the five milliseconds of the bucket, or beyond.
            let most = numbers.one_of([MILLI, 4 * MILLI, 30 * MILLI]);
            let by_ns = numbers.below(most);
            if numbers.below(2) == 0 {
                clock.set(clock.now().saturating_sub(by_ns));
            } else {
                clock.advance(Duration::from_nanos(by_ns));
                forward_ns += by_ns;
            }
            admitted += drain(&limiter);
        }
        let bound = 5 + forward_ns / MILLI;
        assert!(admitted <= bound, "{admitted} in {forward_ns} ns forward");
        // It is usable in between, and not only safe.
        assert!(admitted > 5);
    }
}

/// A clock that goes on a second behind, and comes forward again before the bucket can have filled: it is not followed,
/// and only what was earned meanwhile is there.
#[test]
fn a_short_stay_behind_mints_nothing() {
    let (limiter, clock) = at(10 * SECOND, Quota::per_second(1_000).burst(5));
    let mut admitted = drain(&limiter);
    for stay in 0..100 {
        let now_ns = 10 * SECOND + stay * 4 * MILLI;
        for ms in 0..=4 {
            clock.set(now_ns - SECOND + ms * MILLI);
            admitted += drain(&limiter);
        }
        clock.set(now_ns + 4 * MILLI);
        admitted += drain(&limiter);
    }
    assert_eq!(admitted, 5 + 400);
}

/// A clock that jumps far ahead fills the bucket and no more; one that jumps ahead and back again within
/// the burst's time is forgotten.
#[test]
fn a_jump_ahead_fills_the_bucket_once() {
    let (limiter, clock) = at(0, Quota::per_second(10));
    assert_eq!(drain(&limiter), 10);
    clock.set(1 << 62);
    assert_eq!(drain(&limiter), 10);
    clock.set(SECOND);
    let told = limiter.try_acquire().unwrap_err().retry_after().expect("not never");
    assert!(told <= Duration::from_secs(1) + SKEW, "told {told:?}");
    clock.advance(told);
    assert!(limiter.try_acquire().is_ok());
}
