//! The state of a limiter across restarts of its program.

use std::time::Duration;

use proptest::prelude::*;
use tidegate::{ManualClock, PerCore, Quota, RateLimiter, SavedState};

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

fn limiter(quota: Quota) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::new();
    (RateLimiter::with_clock(quota, clock.clone()), clock)
}

/// As a text and back: all that a program can store.
fn stored(limiter: &RateLimiter<ManualClock>) -> SavedState {
    limiter.save().to_string().parse().unwrap()
}

fn restored(saved: &SavedState, downtime: Duration) -> (RateLimiter<ManualClock>, ManualClock) {
    let clock = ManualClock::starting_at(7);
    (RateLimiter::restored_with_clock(saved, clock.clone(), downtime).unwrap(), clock)
}

#[test]
fn one_a_day_stays_one_a_day_with_a_restart_every_six_hours() {
    // Half of the time it is down.
    let (mut limiter, mut clock) = limiter(Quota::per_day(1));
    let mut taken = 0;
    for _ in 0..40 {
        for _ in 0..3 {
            taken += limiter.try_acquire_up_to(10);
            clock.advance(HOUR);
        }
        (limiter, clock) = restored(&stored(&limiter), 3 * HOUR);
    }
    assert_eq!(taken, 10);
}

#[test]
fn a_debt_and_a_pause_are_kept() {
    let (limiter, clock) = limiter(Quota::per_second(10));
    limiter.charge(1_000).unwrap();
    limiter.pause_for(600 * SECOND);
    clock.advance(100 * SECOND);
    let (limiter, _) = restored(&stored(&limiter), 200 * SECOND);
    assert_eq!(limiter.available(), -990);
    assert_eq!(limiter.time_until(1).unwrap(), 300 * SECOND + 99 * SECOND + SECOND / 10);
    // When the pause has ended meanwhile, the time since then counts.
    let (limiter, _) = restored(&stored(&limiter), 350 * SECOND);
    assert_eq!((limiter.paused_until(), limiter.available()), (None, -490));
}

#[test]
fn a_closed_or_blocked_limiter_is_restored_open() {
    let (limiter, _) = limiter(Quota::per_second(10));
    limiter.try_acquire_n(4).unwrap();
    limiter.pause_for(60 * SECOND);
    limiter.close();
    let (limiter, _) = restored(&stored(&limiter), 60 * SECOND);
    assert_eq!(limiter.available(), 6);
    limiter.try_acquire().unwrap();

    limiter.set_quota(Quota::BLOCKED).unwrap();
    let (limiter, clock) = restored(&stored(&limiter), HOUR);
    assert!(limiter.try_acquire().is_err());
    limiter.set_quota(Quota::per_second(10)).unwrap();
    assert_eq!(limiter.available(), 0);
    clock.advance(SECOND);
    assert_eq!(limiter.available(), 10);
}

#[test]
fn parked_permits_and_what_is_set_aside_are_neither_lost_nor_doubled() {
    let (limiter, _) = limiter(Quota::per_hour(1_000_000));
    let per_core = PerCore::new(&limiter);
    for _ in 0..1_000 {
        per_core.try_acquire().unwrap();
    }
    let before = limiter.available();
    let (after, _) = restored(&stored(&limiter), Duration::ZERO);
    assert_eq!(after.available(), before);
    drop(per_core);
    assert_eq!(limiter.available(), before);
}

/// The text of a state, with the checksum that belongs to it.
fn sealed(text: &str) -> String {
    let sum = text
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{text} #{sum:016x}")
}

#[test]
fn the_system_clock_tells_the_age() {
    let (limiter, _) = limiter(Quota::per_day(1));
    let saved = limiter.save();
    assert!(saved.age() < HOUR);
    assert_eq!(saved.quota(), Quota::per_day(1));
    let text = saved.to_string();
    let (text, _) = text.split_once(" #").unwrap();
    let at = text.split(' ').nth(2).unwrap();
    let then: u64 = at.parse().unwrap();
    let saved_at = |then: u64| sealed(&text.replace(at, &then.to_string())).parse::<SavedState>().unwrap();
    let earlier = saved_at(then - 3_600_000_000_000);
    assert!(earlier.age() >= HOUR && earlier.age() < 2 * HOUR);
    assert_eq!(saved_at(then + 3_600_000_000_000).age(), Duration::ZERO);
    assert!(RateLimiter::restored(&earlier).is_ok());
}

#[test]
fn another_text_is_refused_with_what_was_expected() {
    let good = "tidegate-1 at 5 missing 1/2 paused 0 of 100/s burst 20";
    assert_eq!(sealed(good).parse::<SavedState>().unwrap().to_string(), sealed(good));
    assert!(format!("{}\n", sealed(good)).parse::<SavedState>().is_ok());
    for (bad, expected) in [
        (sealed(&good.replace("-1", "-2")), "tidegate-1 at the start"),
        (String::new(), "tidegate-1 at the start"),
        (good.to_owned(), "a checksum at the end"),
        (sealed(good).replace("20", "21"), "its checksum"),
        (sealed(&good.replace(" of ", " off ")), "\"of\" before the quota"),
        (sealed(&good.replace("100/s", "100/fortnight")), "a quota after \"of\""),
        (sealed(&good.replace("at 5", "5")), "\"at\" and the time"),
        (sealed(&good.replace("missing", "there")), "\"missing\" and a fraction"),
        (sealed(&good.replace("1/2", "1")), "a fraction after \"missing\""),
        (sealed(&good.replace("1/2", "1/0")), "denominator above zero"),
        (sealed(&good.replace("1/2", "-1/2")), "whole numbers below 2^64"),
        (sealed(&good.replace("paused 0", "paused 0 closed 1")), "after the nanoseconds"),
        (sealed(&good.replace("paused 0", "")), "\"paused\" and nanoseconds"),
    ] {
        let error = bad.parse::<SavedState>().unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("start from a new limiter"), "{bad}: {error}");
    }
}

#[test]
fn a_text_that_is_cut_or_altered_is_refused() {
    let (limiter, _) = limiter(Quota::per_day(10).with_burst(5));
    let text = limiter.save().to_string();
    for at in 0..text.len() {
        assert!(text[..at].parse::<SavedState>().is_err(), "{}", &text[..at]);
        for other in ["0", "7", " ", "a"] {
            let altered = format!("{}{other}{}", &text[..at], &text[at + 1..]);
            assert!(altered == text || altered.parse::<SavedState>().is_err(), "{altered}");
        }
    }
}

#[test]
fn a_debt_that_no_limiter_can_hold_is_an_error() {
    let text = sealed(&format!("tidegate-1 at 5 missing {}/1 paused 0 of 100/s", u64::MAX));
    let saved: SavedState = text.parse().unwrap();
    let error = RateLimiter::restored(&saved).unwrap_err().to_string();
    assert!(error.contains("a debt of"), "{error}");
}

#[cfg(feature = "serde")]
#[test]
fn it_is_stored_by_serde() {
    let (limiter, _) = limiter(Quota::per_day(7));
    limiter.try_acquire_n(2.5).unwrap();
    let saved = limiter.save();
    let json = serde_json::to_string(&saved).unwrap();
    assert_eq!(serde_json::from_str::<SavedState>(&json).unwrap(), saved);
    assert!(
        serde_json::from_str::<SavedState>("\"tidegate-9\"").unwrap_err().to_string().contains("tidegate-1")
    );
}

proptest! {
    /// A limiter that is restored without downtime goes on as if it had not stopped.
    #[test]
    fn a_restored_limiter_goes_on_exactly(
        rate in prop_oneof![Just("10/s burst 7"), Just("3/s"), Just("1/day"), Just("7/13s burst 100"), Just("at most 5/s")],
        steps in prop::collection::vec((0u64..3_000_000_000, 0u64..6, any::<bool>(), 0u64..2_000_000_000), 1..40),
    ) {
        let quota: Quota = rate.parse().unwrap();
        let (whole, whole_clock) = limiter(quota);
        let (mut parts, mut parts_clock) = limiter(quota);
        let mut restarts = 0;
        for (ns, n, restarted, downtime_ns) in steps {
            whole_clock.advance(Duration::from_nanos(ns));
            parts_clock.advance(Duration::from_nanos(ns));
            if restarted {
                let downtime = Duration::from_nanos(downtime_ns);
                whole_clock.advance(downtime);
                (parts, parts_clock) = restored(&stored(&parts), downtime);
                restarts += 1;
            }
            // Each restart may lose up to two ticks, and gains nothing.
            let (expected, level) = (whole.time_until_full(), parts.time_until_full());
            let tick = Duration::from_nanos(1 + quota.interval().as_nanos() as u64 / 1_000_000);
            prop_assert!(level + tick >= expected && level <= expected + tick * 3 * restarts + tick, "{level:?} {expected:?}");
            if whole.has_capacity(n) && parts.has_capacity(n) {
                whole.try_acquire_n(n).unwrap();
                parts.try_acquire_n(n).unwrap();
            }
        }
    }
}
