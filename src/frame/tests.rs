//! The published scale on its own; what several threads see of it is for the models.

use super::*;
use crate::quota::Quota;

const SECOND: u64 = 1_000_000_000;

fn scale(text: &str) -> Scale {
    Scale::new(&text.parse().unwrap()).unwrap()
}

fn frame(text: &str, now_ns: u64) -> Frame {
    Frame::first(scale(text), now_ns).0
}

#[test]
fn a_frame_is_read_as_it_was_written() {
    let first = frame("3/s burst 7", 5 * SECOND);
    let second = Frame::next(scale("1000000007/s"), 9 * SECOND, 12_345, 7).0;
    let published = Published::new(&first);
    assert_eq!(published.read(), Some(first));
    assert_eq!(published.read_with(|| 7), Some((first, 7)));
    published.publish(&second, || {
        assert_eq!(published.read(), None);
        assert_eq!(published.read_with(|| panic!("there is no frame to go with")), None::<(_, ())>);
    });
    assert_eq!((published.read(), second.base()), (Some(second), 12_346));
}

#[test]
fn what_is_read_along_is_of_the_same_frame() {
    let frame = frame("3/s", 0);
    let published = Published::new(&frame);
    assert_eq!(published.read_with(|| published.publish(&frame, || {})), None);
    assert_eq!(published.read_with(|| ()), Some((frame, ())));
}

#[test]
fn the_origin_lies_a_catch_up_and_the_skew_back() {
    let scale = scale("10/s burst 20 catch-up 1s");
    let now_ns = 10 * SECOND;
    let (frame, tick) = Frame::first(scale, now_ns);
    assert_eq!(frame.origin_ns, now_ns - SECOND - SKEW_NS);
    assert_eq!(tick, scale.catch_up + scale.span(SKEW_NS));
    assert_eq!(frame.tick(now_ns), Some(tick));
    assert_eq!((frame.tick(frame.origin_ns), frame.tick(frame.origin_ns - 1)), (Some(0), None));
    assert_eq!(frame.reading_at(tick), now_ns);
    assert_eq!(frame.waiters_floor(tick), tick - scale.catch_up);
    // Not before the clock's own zero.
    let (early, tick) = Frame::first(scale, SECOND / 2);
    assert_eq!((early.origin_ns, tick), (0, scale.span(SECOND / 2)));
    assert_eq!(early.waiters_floor(tick), 0);
}

#[test]
fn the_origin_lies_half_a_horizon_back_at_the_most() {
    let quota = Quota::per_second(1)
        .with_burst(1_500_000_000)
        .with_catch_up(core::time::Duration::from_secs(4_000_000_000));
    let scale = Scale::new(&quota).unwrap();
    let now_ns = 10_000_000_000_000_000_000;
    let (frame, tick) = Frame::first(scale, now_ns);
    assert_eq!(frame.origin_ns, now_ns - frame.horizon_ns / 2);
    assert_eq!(frame.tick(now_ns), Some(tick));
}

#[test]
fn ticks_count_from_the_base_up_to_the_horizon() {
    for (text, base) in [("3/s burst 7", 0), ("3/s burst 7", 1 << 60), ("1000000007/s", 1 << 61)] {
        let scale = scale(text);
        let (frame, now) = Frame::next(scale, 50 * SECOND, base - u64::from(base > 0), 0);
        assert!(frame.base() == base || base == 0, "{text}");
        assert_eq!(frame.tick(50 * SECOND), Some(now));
        assert_eq!(frame.tick(frame.origin_ns), Some(frame.base()));
        assert_eq!(frame.tick(frame.origin_ns - 1), None);
        assert_eq!(frame.wide_tick(frame.origin_ns - 1), frame.base().into());
        let last = frame.tick(frame.origin_ns + frame.horizon_ns).unwrap();
        assert!(u128::from(last) + 2 * u128::from(scale.limit) <= u128::from(MAX_TAT), "{text}");
        let beyond_ns = frame.origin_ns + frame.horizon_ns + 1;
        assert_eq!(frame.tick(beyond_ns), None);
        assert!(frame.wide_tick(beyond_ns) > u128::from(last));
        assert!(frame.horizon_ns >= MIN_HORIZON_NS, "{text} {base}");
        // A tick is reached at the first reading that shows it.
        for tick in [now, now + 1, now + scale.per_permit, now + 3 * scale.per_permit + 1] {
            let instant_ns = frame.reading_at(tick);
            assert!(
                frame.tick(instant_ns) >= Some(tick) && frame.tick(instant_ns - 1) < Some(tick),
                "{text} {tick}"
            );
        }
        assert_eq!(frame.reading_at(frame.base()), frame.origin_ns);
    }
}

#[test]
fn a_tat_conforms_a_burst_before() {
    let frame = frame("1/s burst 2", 100 * SECOND);
    let limit = u128::from(frame.scale.limit);
    assert_eq!([frame.conforms_at(0), frame.conforms_at(limit)], [frame.origin_ns; 2]);
    assert_eq!(frame.conforms_at(limit + u128::from(frame.scale.per_permit)), frame.origin_ns + SECOND);
    assert_eq!(frame.conforms_at(u128::MAX), u64::MAX);
}

#[test]
fn a_tat_is_told_how_far_it_is_ahead_of_any_reading() {
    let frame = frame("1000/s burst 5", 100 * SECOND);
    let rate = frame.scale.rate_whole;
    for (before_ns, ticks) in [(0, 0), (1, rate), (SKEW_NS, SKEW_NS * rate), (SECOND, SECOND * rate)] {
        let now_ns = frame.origin_ns - before_ns;
        assert_eq!(frame.ahead(3, now_ns), i128::from(3 + ticks));
        assert_eq!(frame.tick(now_ns), (before_ns == 0).then_some(0));
    }
    let now = frame.tick(100 * SECOND).unwrap();
    assert_eq!([now, now + 5].map(|tat| frame.ahead(tat, 100 * SECOND)), [0, 5]);
    assert!(frame.ahead(MAX_TAT, u64::MAX) < 0);
    // During a pause each reading counts as its end.
    let paused = frame.with_pause(101 * SECOND);
    let at_its_end = frame.ahead(now, 101 * SECOND);
    assert!(at_its_end < 0);
    assert_eq!([0, 100 * SECOND, 101 * SECOND].map(|now_ns| paused.ahead(now, now_ns)), [at_its_end; 3]);
}

#[test]
fn a_tat_is_ahead_by_whole_ticks_on_a_scale_whose_readings_are_none() {
    let frame = frame("1000000007/s burst 5", 100 * SECOND);
    assert!(!frame.scale.is_exact());
    for now_ns in [100 * SECOND, 100 * SECOND + 1, frame.origin_ns + frame.horizon_ns] {
        let now = frame.tick(now_ns).unwrap();
        assert_eq!([now, now + 5].map(|tat| frame.ahead(tat, now_ns)), [0, 5]);
    }
}

#[test]
fn a_tat_is_beyond_the_limit_only_if_it_is_so_by_more_than_the_skew() {
    let frame = frame("1000/s burst 5", 100 * SECOND);
    let now = frame.tick(100 * SECOND).unwrap();
    let most = frame.scale.limit + frame.scale.span(SKEW_NS);
    assert!(!frame.is_beyond_limit(now + most, now) && frame.is_beyond_limit(now + most + 1, now));
    assert!(!frame.is_beyond_limit(0, now));
}

/// A call that finds an old word with a newer frame decides to admit, and a waiter's floor is clamped likewise.
#[test]
fn all_ticks_of_a_frame_are_above_the_numbers_of_the_one_before() {
    let (old, now) = Frame::first(scale("10/s burst 4"), 20 * SECOND);
    let highest = now + old.scale.limit;
    let (new, now) = Frame::next(scale("1000/s burst 1 catch-up 1s"), 20 * SECOND, highest, 0);
    assert!(new.base() > highest);
    assert_eq!(new.tick(new.origin_ns - 1), None);
    for now_ns in [new.origin_ns, 20 * SECOND] {
        let tick = new.tick(now_ns).unwrap();
        assert!(tick > highest && new.waiters_floor(tick) > highest);
    }
    assert!(new.waiters_floor(now) < now);
}

/// How many publications there are until the base starts anew, each with an empty bucket.
fn publications(scale: Scale) -> u64 {
    let (_, mut now) = Frame::first(scale, 100 * SECOND);
    for count in 1..1_000_000 {
        let (frame, next) = Frame::next(scale, 100 * SECOND, now + scale.limit, scale.limit);
        now = next;
        // It lasts for an hour, and longer.
        assert!(frame.tick(100 * SECOND + MIN_HORIZON_NS).is_some(), "after {count}");
        if frame.base() == 0 {
            return count;
        }
    }
    1_000_000
}

#[test]
fn there_is_room_for_a_thousand_publications() {
    let at_most = |permits, secs| Quota::at_most(permits, core::time::Duration::from_secs(secs));
    let quotas = ["10/s", "100/s burst 20", "1000/s", "12345/s", "1000000/s", "1001/s", "3/s", "7/min"];
    let fast = ["1000000000/s burst 10000000", "2000000/s", "14562623488/s burst 1048576"];
    let slow = ["1/day", "1/30day", "1000/h burst 50", "1/s burst 1000000", "100/s burst 20 catch-up 1s"];
    let plain = quotas.into_iter().chain(fast).chain(slow).map(|text| text.parse().unwrap());
    let windows = [at_most(100, 1), at_most(1_000, 60), at_most(90_000, 60).with_burst(1_500)];
    for quota in plain.chain(windows) {
        let scale = Scale::new(&quota).unwrap();
        let count = publications(scale);
        assert!(count >= 1_000, "{quota}: {count}");
    }
}

/// An exact scale is preferred to more publications.
#[test]
fn the_finest_exact_scales_leave_room_for_fewer_publications() {
    // Bursts that take decades, a year, or three months to fill; the fastest of the rates that have no scale but the
    // finest; one a nanosecond; and a burst of very many permits.
    for (text, count) in [
        ("1/s burst 1000000000", 2),
        ("1/365day", 144),
        ("1/90day", 591),
        ("999983/s", 998),
        ("1000000000/s", 998),
        ("1000000/s burst 1000000000000", 2),
    ] {
        let scale = scale(text);
        assert_eq!(scale.rate_fraction, 0, "{text}");
        assert_eq!(publications(scale), count, "{text}");
    }
}

#[test]
fn the_base_starts_anew_when_less_than_an_hour_is_left() {
    let scale = scale("10/s burst 3");
    let room = scale.span(MIN_HORIZON_NS + scale.reading_at(scale.catch_up) + SKEW_NS);
    for ahead in [0, 5 * scale.per_permit] {
        let most = MAX_TAT - 1 - ahead - room - 2 * scale.limit;
        assert_eq!(Frame::next(scale, 9 * SECOND, most, ahead).0.base(), most + 1);
        assert_eq!(Frame::next(scale, 9 * SECOND, most + 1, ahead).0.base(), 0);
    }
    assert_eq!(Frame::next(scale, 9 * SECOND, MAX_TAT, 0), Frame::first(scale, 9 * SECOND));
}
