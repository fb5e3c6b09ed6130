//! The time scale and the decision on their own.

use core::time::Duration;

use super::*;

fn scale(text: &str) -> Scale {
    Scale::new(&text.parse().unwrap()).unwrap()
}

/// The longest time that the first frame of such a scale can convert.
fn horizon_ns(scale: &Scale) -> u64 {
    scale.longest(MAX_TAT - 2 * scale.limit)
}

#[test]
fn rates_that_people_write_have_exact_scales() {
    for text in ["100/s", "3/s", "7/min", "1000/h", "1/day", "999983/s", "1/365day", "1000000000/s", "7/10ns"]
    {
        let scale = scale(text);
        assert_eq!(scale.rate_fraction, 0, "{text}");
        assert!(horizon_ns(&scale) >= MIN_HORIZON_NS, "{text}");
    }
    // A trillion a second: a thousand permits to a nanosecond.
    assert_eq!(scale("1000000000000/s").rate_fraction, 0);
    // N is too large for an exact scale; still no coarser than a tenth of a nanosecond.
    let odd = scale("1000000007/s");
    assert!(odd.rate_fraction != 0 && odd.rate_whole >= 10);
}

#[test]
fn a_millionth_of_a_permit_is_a_whole_number_of_ticks_up_to_a_million_a_second() {
    for text in ["1/day", "3/s", "100/s", "1000000/s", "1000000000/s burst 1000000"] {
        assert_eq!(scale(text).per_permit % 1_000_000, 0, "{text}");
    }
}

/// No finer than that, or it would not last: by the finest that the word can hold, its origin would have to be moved
/// every few hours.
#[test]
fn an_exact_scale_is_no_finer_than_it_needs_to_be() {
    for (text, per_permit) in [
        ("1000/s", 1_000_000),
        ("3/s", 1_000_000_000),
        ("1000000000/s burst 1000000", 1_000_000),
        ("1000000000/s", 1_000_000),
        ("1/day", 86_400_000_000_000),
        ("4/ns", 1_000),
        ("7/10ns", 1_000_000),
    ] {
        assert_eq!(scale(text).per_permit, per_permit, "{text}");
    }
}

#[test]
fn instant_is_the_inverse_of_tick() {
    for text in ["3/s", "7/min", "999983/s", "1000000007/s", "1000000000000/s", "1/day burst 4294967295"] {
        let scale = scale(text);
        for tick in [0, 1, 2, 12_345, scale.per_permit, scale.per_permit * 7 + 1, scale.limit / 2 + 3] {
            let ns = scale.reading_at(tick);
            if ns > horizon_ns(&scale) || ns == u64::MAX {
                continue;
            }
            assert!(scale.tick(ns) >= tick, "{text} {tick}");
            assert!(ns == 0 || scale.tick(ns - 1) < tick, "{text} {tick}");
        }
        // Every tick around a permit, and the last that the word can hold.
        for ns in (1..2_000).chain([horizon_ns(&scale) - 1, horizon_ns(&scale)]).filter(|&ns| ns < u64::MAX) {
            let tick = scale.tick(ns);
            assert!(scale.reading_at(tick) <= ns && scale.reading_at(tick + 1) > ns, "{text} {ns}");
        }
    }
    // Less than a tick to a nanosecond.
    let slow = scale("1/day burst 4294967295");
    assert_eq!((slow.rate_whole, slow.reading_at(u64::MAX)), (0, u64::MAX));
}

#[test]
fn the_horizon_leaves_room_for_two_bursts() {
    for text in ["1/s", "999983/s", "1000000007/s", "1000000000000/s", "1/day burst 4294967295", "1/ns"] {
        let scale = scale(text);
        let horizon_ns = horizon_ns(&scale);
        assert!(horizon_ns >= MIN_HORIZON_NS, "{text}");
        let last = scale.tick(horizon_ns);
        assert!(u128::from(last) + 2 * u128::from(scale.limit) <= u128::from(MAX_TAT), "{text}");
        // It is the longest, unless no clock shows more.
        let beyond = horizon_ns.checked_add(1).map_or(u128::MAX / 2, |ns| scale.wide_tick(ns));
        assert!(beyond + 2 * u128::from(scale.limit) > u128::from(MAX_TAT), "{text}");
    }
}

#[test]
fn what_the_word_cannot_hold_is_refused_with_its_limit() {
    let second = Duration::from_secs(1);
    let error = Scale::new(&Quota::new(1, second).with_burst(u64::MAX)).unwrap_err();
    let QuotaError::BurstTooDeep { burst, max } = error else { panic!("{error}") };
    assert_eq!(burst, u64::MAX);
    assert!(Scale::new(&Quota::new(1, second).with_burst(max)).is_ok(), "{max}");
    assert!(Scale::new(&Quota::new(1, second).with_burst(max + 1)).is_err(), "{max}");
    // Also where an exact scale holds more than another, or is the only one.
    for (permits, period_ns) in
        [(1, 1), (3, 2), (31, 2), (1_000, 1), (1_000_000, 1), (1_000_000_007, 1_000_000_000)]
    {
        let quota = Quota::new(permits, Duration::from_nanos(period_ns));
        let error = Scale::new(&quota.with_burst(u64::MAX)).unwrap_err();
        let QuotaError::BurstTooDeep { max, .. } = error else { panic!("{quota}: {error}") };
        assert!(Scale::new(&quota.with_burst(max)).is_ok(), "{quota}: {max}");
        assert!(Scale::new(&quota.with_burst(max + 1)).is_err(), "{quota}: {max}");
    }
    for (permits, period_ns) in [(u64::MAX, 1), (1_000_000_000_000_001, 1_000_000_000), (2_000_003, 1)] {
        let error =
            Scale::new(&Quota::new(permits, Duration::from_nanos(period_ns)).with_burst(1)).unwrap_err();
        assert!(matches!(error, QuotaError::RateTooHigh { .. }), "{error}");
        assert!(error.to_string().contains("2^62 in 10 years"), "{error}");
        let in_ten_years = u128::from(permits) * LONG_HORIZON_NS / u128::from(period_ns);
        assert!(in_ten_years > 1 << 62, "{error}: it is not");
    }
}

#[test]
fn at_most_fills_its_window_and_not_one_more() {
    let window = Duration::from_secs(1);
    for (permits, burst) in [(1, 1), (10, 1), (10, 4), (10, 10), (997, 13)] {
        let quota = Quota::at_most(permits, window).with_burst(burst);
        let (n, p) = quota.rate();
        let span = window.as_nanos() + quota.catch_up().as_nanos();
        assert_eq!(u128::from(burst) + u128::from(n) * span / p, u128::from(permits));
    }
}

#[test]
fn decisions_on_the_border() {
    // Level exactly enough, and one tick short.
    assert_eq!(decide(100, 50, 50, 10, 60), Decision::Admit(110));
    assert_eq!(decide(101, 50, 50, 10, 60), Decision::NotBefore(51));
    // Idle: counted from now; busy: from the arrival time, but no earlier than the floor.
    assert_eq!(decide(10, 50, 50, 10, 10), Decision::Admit(60));
    assert_eq!(decide(10, 50, 0, 10, 10), Decision::Admit(20));
    assert_eq!(decide(10, 50, 30, 10, 10), Decision::Admit(40));
    // The largest numbers do not overflow.
    let top = MAX_TAT;
    assert_eq!(decide(top, 0, 0, top / 2, top / 2), Decision::NotBefore(top));
}
