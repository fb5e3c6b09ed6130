//! Clocks that are not monotonic.

use std::time::Duration;

use tidegate::{Clock, Inherit, ManualClock, PerCore, Quota, RateLimiter};

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

/// The same whatever else is called meanwhile. That may take permits of its own, or change the rate.
#[test]
fn a_step_back_costs_no_more_whatever_is_called_meanwhile() {
    type Call = fn(&RateLimiter<ManualClock>);
    let ten = Quota::per_second(10);
    let calls: [(&str, Call); 9] = [
        ("nothing", |_| ()),
        ("the same quota", |limiter| limiter.set_quota(Quota::per_second(10)).unwrap()),
        ("one more each time", |limiter| {
            let burst = limiter.quota().burst() + 1;
            limiter.set_quota_with(Quota::per_second(10).with_burst(burst), Inherit::Additively).unwrap();
        }),
        ("proportionally", |limiter| {
            limiter.set_quota_with(Quota::per_second(10), Inherit::Proportionally).unwrap();
        }),
        ("a refund", |limiter| limiter.refund(0.001).unwrap()),
        ("a charge", |limiter| {
            limiter.charge(0.001).unwrap();
        }),
        ("a charge that is too large", |limiter| {
            limiter.charge(u64::MAX).unwrap_err();
        }),
        ("a refund and a charge", |limiter| {
            limiter.refund(0.5).unwrap();
            limiter.charge(0.5).unwrap();
        }),
        ("shares that come and go", |limiter| drop(PerCore::new(limiter))),
    ];
    for (what, call) in calls {
        let (limiter, clock) = at(0, ten);
        clock.set(3600 * SECOND);
        assert_eq!(drain(&limiter), 10, "{what}");
        clock.set(10 * SECOND);
        assert!(limiter.try_acquire().is_err(), "{what}");
        let mut waited = Duration::ZERO;
        while limiter.try_acquire().is_err() {
            clock.advance(Duration::from_millis(100));
            waited += Duration::from_millis(100);
            assert!(waited < Duration::from_secs(4), "{what}");
            call(&limiter);
        }
        // A second to fill, a permit, and what is charged until then, half as much as comes.
        let more = if what == "a refund and a charge" { 12 } else { 2 };
        assert!(waited <= Duration::from_millis(1_000 + 100 * more), "{what}: {waited:?}");
    }
}

/// And if charges are all there is: what they take counts as taken, and not as a debt for good.
#[test]
fn a_step_back_costs_those_no_more_who_only_charge() {
    for back_to in [10, 3_590] {
        let (limiter, clock) = at(0, Quota::per_second(10));
        clock.set(3_600 * SECOND);
        assert_eq!(drain(&limiter), 10);
        clock.set(back_to * SECOND);
        for _ in 0..3_000 {
            limiter.charge(1).unwrap();
            clock.advance(Duration::from_secs(1));
        }
        assert_eq!(drain(&limiter), 10, "{back_to}");
    }
}

/// The same for a caller that charges, and comes back after the wait that `charge` returns.
#[test]
fn a_step_back_costs_those_no_more_who_wait_until_a_debt_is_paid() {
    for back_to in [10, 3_590] {
        for shares in [false, true] {
            let (limiter, clock) = at(0, Quota::per_second(10));
            let _shares = shares.then(|| PerCore::new(&limiter));
            clock.set(3_600 * SECOND);
            let all = drain(&limiter);
            clock.set(back_to * SECOND);
            for _ in 0..2 {
                let told = limiter.charge(all).unwrap();
                // A second to fill, and another for what was charged.
                assert!(told <= Duration::from_secs(2) + SKEW, "{back_to}, {shares}: {told:?}");
                clock.advance(told);
                assert!(limiter.available() >= 0, "{back_to}, {shares}: {}", limiter.available());
            }
        }
    }
}

/// What has come while the clock was doubted is no more than a burst, and stays so by a larger one.
#[test]
fn a_larger_burst_after_a_step_back_is_not_full() {
    let (limiter, clock) = at(0, Quota::per_second(1_000_000).with_burst(10));
    clock.set(1000 * SECOND);
    assert_eq!(drain(&limiter), 10);
    clock.set(500 * SECOND);
    assert!(limiter.try_acquire().is_err());
    // Long full, and still doubted.
    clock.advance(Duration::from_micros(990));
    limiter.set_quota(Quota::per_second(10).with_burst(1000)).unwrap();
    clock.advance(Duration::from_secs(2));
    assert!(limiter.try_acquire_n(31).is_err());
    clock.advance(Duration::from_secs(99));
    assert!(limiter.try_acquire_n(1000).is_ok());
}

/// What is charged while the clock is doubted counts when it is followed, also by a reading from before the origin,
/// by which a debt looks less deep than it is.
#[test]
fn a_charge_after_a_step_back_is_not_forgotten() {
    for back_to in [10, 3_590] {
        let (limiter, clock) = at(3_600 * SECOND, Quota::per_second(10));
        // Once deep in debt, which is paid.
        limiter.charge(1_000).unwrap();
        clock.advance(Duration::from_secs(200));
        // The origin comes up to the present.
        limiter.set_quota(Quota::per_second(10)).unwrap();
        assert_eq!(drain(&limiter), 10);
        clock.set(back_to * SECOND);
        let mut told = limiter.try_acquire().unwrap_err().retry_after().unwrap();
        // Just before it would be followed.
        clock.advance(told.saturating_sub(Duration::from_millis(10)));
        limiter.charge(500).unwrap();
        clock.advance(Duration::from_millis(20));
        let mut waited = Duration::ZERO;
        while let Err(denied) = limiter.try_acquire() {
            told = denied.retry_after().unwrap();
            waited += told;
            clock.advance(told);
        }
        assert!(waited > Duration::from_secs(49), "{back_to}: {waited:?}");
    }
}

/// What was charged in doubt is paid once the clock has been followed, and puts off nothing after the next step.
#[test]
fn steps_back_do_not_add_up() {
    let (limiter, clock) = at(0, Quota::per_second(10));
    for step in 1..=50 {
        clock.set(step * 10_000 * SECOND);
        assert_eq!(drain(&limiter), 10, "{step}");
        clock.set(clock.now() - 5_000 * SECOND);
        assert!(limiter.try_acquire().is_err(), "{step}");
        limiter.charge(1).unwrap();
        let mut waited = Duration::ZERO;
        while let Err(denied) = limiter.try_acquire() {
            let told = denied.retry_after().unwrap();
            waited += told;
            clock.advance(told);
        }
        // A second to fill, a debt of one, and one that is asked for.
        assert!(waited <= Duration::from_millis(1_200) + SKEW, "{step}: {waited:?}");
    }
}

/// A report notices a step back as well: the bucket is empty at the new time, and full when that has passed.
#[test]
fn reports_go_by_a_clock_that_has_stepped_back() {
    type Look = fn(&RateLimiter<ManualClock>) -> bool;
    let looks: [(&str, Look); 4] = [
        ("has_capacity", |limiter| limiter.has_capacity(1)),
        ("available", |limiter| limiter.available() > 0),
        ("time_until", |limiter| limiter.time_until(1) == Ok(Duration::ZERO)),
        ("time_until_full", |limiter| limiter.time_until_full().is_zero()),
    ];
    for (what, look) in looks {
        for back_to in [10, 3_590] {
            let (limiter, clock) = at(0, Quota::per_second(10));
            clock.set(3_600 * SECOND);
            assert_eq!(drain(&limiter), 10, "{what}");
            clock.set(back_to * SECOND);
            assert!(!look(&limiter), "{what}");
            clock.advance(Duration::from_secs(1));
            assert!(look(&limiter), "{what}");
            assert_eq!(limiter.charge(10), Ok(Duration::ZERO), "{what}");
            assert!(!look(&limiter), "{what}");
        }
    }
}

/// Where nothing was ever charged, there is no debt: not by coming and going of a quota with ticks of whole permits.
#[test]
fn changes_of_quota_make_no_debt() {
    let (limiter, clock) = at(0, Quota::per_second(1));
    for _ in 0..100 {
        // A prime, of which a permit is a tick.
        limiter.set_quota(Quota::per_second(9_999_999_967).with_burst(1)).unwrap();
        limiter.set_quota(Quota::per_second(1)).unwrap();
    }
    clock.set(1000 * SECOND);
    assert_eq!(drain(&limiter), 1);
    clock.set(500 * SECOND);
    let told = limiter.try_acquire().unwrap_err().retry_after().expect("not never");
    assert!(told <= Duration::from_secs(1) + SKEW, "{told:?}");
    clock.advance(told);
    assert!(limiter.try_acquire().is_ok());
}

/// The same for a caller that calls all the time, and so keeps the limiter busy with refusals.
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

/// The same for a waiter.
#[test]
fn a_step_back_while_somebody_waits() {
    for back_ns in [2 * SECOND, 999 * SECOND] {
        let (limiter, clock) = at(0, Quota::per_second(10));
        clock.set(1000 * SECOND);
        assert_eq!(drain(&limiter), 10);
        let mut line = Line::new(&clock);
        line.wait(limiter.acquire_owned());
        clock.set(1000 * SECOND - back_ns);
        // The next call notices the step.
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
        let (limiter, clock) = at(5 * SECOND, Quota::per_second(1_000).with_burst(5));
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
