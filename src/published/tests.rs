//! The published scale on its own; what several threads see of it is for the models.

use super::*;

fn scale(text: &str) -> Scale {
    Scale::new(&text.parse().unwrap()).unwrap()
}

fn frame(text: &str, now_ns: u64) -> Frame {
    Frame::at(scale(text), now_ns).0
}

#[test]
fn a_frame_is_read_as_it_was_written() {
    let (first, second) = (frame("3/s burst 7", 5_000_000_000), frame("1000000007/s", 9_000_000_000));
    let published = Published::new(first);
    assert_eq!((published.read().unwrap().1, published.frame()), (first, first));
    published.publish(second, || assert!(published.read().is_none()));
    assert_eq!((published.read().unwrap().1, published.frame()), (second, second));
}

#[test]
fn editions_are_even_and_odd_in_turn() {
    let frame = frame("3/s", 0);
    let published = Published::new(frame);
    for mode in [Mode::Even, Mode::Odd, Mode::Even, Mode::Odd] {
        let (edition, _) = published.read().unwrap();
        assert_eq!((edition, edition.clear()), (published.edition(), mode));
        published.publish(frame, || {});
    }
}

/// An exchange counts up to the beginning of the second publication since; where the word lingers, of the first.
#[test]
fn no_more_than_one_publication_may_have_come_between() {
    let frame = frame("3/s", 0);
    let published = Published::new(frame);
    let (edition, _) = published.read().unwrap();
    let check = |sequence, counts, lingering| {
        assert_eq!(published.read().is_some(), sequence % 2 == 0, "{sequence}");
        assert_eq!(published.is_current(edition), sequence == 0, "{sequence}");
        for mode in [Mode::Even, Mode::Odd] {
            assert_eq!(published.counts(edition, mode), counts, "{sequence}");
        }
        assert_eq!(published.counts(edition, Mode::Linger), lingering, "{sequence}");
    };
    check(0, true, true);
    published.publish(frame, || check(1, true, false));
    check(2, true, false);
    published.publish(frame, || check(3, true, false));
    check(4, false, false);
    // Nor of what was before the edition.
    let (later, _) = published.read().unwrap();
    assert!(published.is_current(later));
    published.publish(frame, || {});
    published.publish(frame, || {
        assert!(published.counts(later, Mode::Even) && !published.is_current(later));
    });
}

#[test]
fn the_origin_lies_a_burst_and_a_catch_up_back() {
    let scale = scale("10/s burst 20 catch-up 1s");
    let now_ns = 10_000_000_000;
    let (frame, tick) = Frame::at(scale, now_ns);
    assert_eq!(frame.origin_ns, now_ns - 3_000_000_000);
    assert_eq!(tick, scale.limit + scale.catch_up);
    assert_eq!(frame.tick(now_ns), Some(tick));
    assert_eq!((frame.tick(frame.origin_ns), frame.tick(0)), (Some(0), Some(0)));
    assert_eq!(frame.instant(tick), now_ns);
    // Not before the clock's own zero.
    let (early, tick) = Frame::at(scale, 1_000_000_000);
    assert_eq!((early.origin_ns, tick), (0, scale.limit / 2));
}

#[test]
fn the_origin_lies_half_a_horizon_back_at_the_most() {
    let scale = scale("1/s burst 1500000000");
    let now_ns = 10_000_000_000_000_000_000;
    assert!(scale.instant(scale.limit) > scale.horizon_ns / 2);
    let (frame, tick) = Frame::at(scale, now_ns);
    assert_eq!(frame.origin_ns, now_ns - scale.horizon_ns / 2);
    assert_eq!(frame.tick(now_ns), Some(tick));
}

#[test]
fn an_arrival_time_conforms_a_burst_before() {
    let frame = frame("1/s burst 2", 100_000_000_000);
    let limit = u128::from(frame.scale.limit);
    assert_eq!([frame.instant_of(0), frame.instant_of(limit)], [frame.origin_ns; 2]);
    assert_eq!(frame.instant_of(limit + u128::from(frame.scale.per_permit)), frame.origin_ns + 1_000_000_000);
    assert_eq!(frame.instant_of(u128::MAX), u64::MAX);
}
