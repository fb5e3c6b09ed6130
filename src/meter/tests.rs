//! The lock-free half on its own: what comes between the look at the word and the exchange is done by the step.

use super::*;
use crate::gcra::MAX_TAT;

const NOW: u64 = 100_000_000_000;

/// A meter at a clock reading of `NOW`, with an arrival time so many ticks ahead of it.
fn meter(text: &str, ahead: u64) -> (Meter, Frame, u64) {
    let (frame, now) = Frame::at(Scale::new(&text.parse().unwrap()).unwrap(), NOW);
    (Meter::new(frame, now + ahead), frame, now)
}

/// A step that takes a tick while there are so many publications.
fn take_during(meter: &Meter, frame: Frame, publications: usize) -> Fast<&'static str> {
    meter.fast(NOW, |state, _, _| {
        (0..publications).for_each(|_| meter.published.publish(frame, || {}));
        Step::Set(state.with_tat(state.tat() + 1), "taken")
    })
}

#[test]
fn a_step_by_a_scale_that_has_been_replaced_twice_is_stale() {
    for publications in [0, 1] {
        let (meter, frame, now) = meter("1000/s", 0);
        assert!(matches!(take_during(&meter, frame, publications), Fast::Done("taken", by) if by == frame));
        assert_eq!(meter.word.load().tat(), now + 1);
    }
    let (meter, frame, now) = meter("1000/s", 0);
    let stale = take_during(&meter, frame, 2);
    assert!(matches!(stale, Fast::Stale { before, after } if (before, after) == (now, now + 1)));
}

#[test]
fn a_step_that_takes_nothing_has_to_be_by_the_scale_of_now() {
    for publications in [0, 1, 2] {
        let (meter, frame, _) = meter("1000/s", 0);
        let fast = meter.fast(NOW, |_, _, _| {
            (0..publications).for_each(|_| meter.published.publish(frame, || {}));
            Step::Keep(())
        });
        assert_eq!(matches!(fast, Fast::Done((), _)), publications == 0);
        assert_eq!(matches!(fast, Fast::Slow), publications > 0);
    }
}

#[test]
fn what_is_taken_by_a_scale_that_has_been_replaced_twice_is_named() {
    let (meter, frame, now) = meter("1000/s", 0);
    let swap = |publications| {
        meter.swap(1.into(), 2, NOW, |_, _, now, _| {
            (0..publications).for_each(|_| meter.published.publish(frame, || {}));
            Some(now)
        })
    };
    let cost = frame.scale.per_permit;
    assert_eq!([swap(0), swap(1)], [Ok(2), Ok(2)]);
    assert_eq!(swap(2), Err(Some((now + 6 * cost, now + 9 * cost))));
}

#[test]
fn a_draw_brings_as_many_whole_permits_as_there_are() {
    let (meter, frame, now) = meter("1000/s burst 10", 0);
    let cost = frame.scale.per_permit;
    assert_eq!(meter.draw(1.into(), 4, NOW), Ok(4));
    assert_eq!(meter.word.load().tat(), now + 5 * cost);
    // Half a permit is left over.
    assert_eq!(meter.draw(Permits::of_millionths(1_500_000), 9, NOW), Ok(3));
    assert_eq!(meter.word.load().tat(), now + 9 * cost + cost / 2);
    assert_eq!(meter.draw(1.into(), 9, NOW), Err(None));
}

/// It is left to the slow path, which has nothing to write for it.
#[test]
fn nothing_is_taken_for_nothing() {
    let (meter, ..) = meter("1000/s", 0);
    let before = meter.word.load();
    assert_eq!(meter.take_at_once(Permits::ZERO, NOW + 1_000_000), Err(None));
    assert!(matches!(meter.take(Permits::ZERO, NOW + 1_000_000), Fast::Done(Taken::Yes, _)));
    assert_eq!(meter.word.load(), before);
}

/// Three permits late, of which catch-up lets those who would wait have two.
#[test]
fn credit_is_for_those_who_would_wait_while_it_lingers() {
    for (mode, until_ns, taken) in [
        (Mode::Linger, NOW + 1, true),
        (Mode::Linger, NOW, false),
        (Mode::Linger, NOW - 1, false),
        (Mode::Queued, NOW + 1, false),
        (Mode::Odd, NOW + 1, false),
    ] {
        let (meter, frame, now) = meter("1000/s burst 5 catch-up 2ms", 0);
        let cost = frame.scale.per_permit;
        let state = State::new(now - 3 * cost, mode);
        meter.word.thaw(state);
        meter.set_linger_until_ns(until_ns);
        assert_eq!(meter.take_at_once(1.into(), NOW), Err(None));
        assert_eq!(meter.take_as_waiter(1.into(), NOW).is_ok(), taken, "{mode:?} {until_ns}");
        let after = if taken { state.with_tat(now - cost) } else { state };
        assert_eq!(meter.word.load(), after, "{mode:?} {until_ns}");
    }
}

#[test]
fn a_debt_is_no_deeper_than_what_was_charged() {
    let (meter, ..) = meter("1000/s", 0);
    let noted = |ticks, cost| {
        meter.note_debt(ticks, cost);
        meter.debt()
    };
    assert_eq!([noted(10, 20), noted(5, 20), noted(100, 20), noted(30, 1)], [10, 10, 30, 30]);
}

#[test]
fn a_clock_is_behind_if_the_word_is_further_ahead_than_it_can_be() {
    let (meter, frame, now) = meter("1000/s burst 5", 0);
    let (limit, skew) = (frame.scale.limit, frame.scale.span(SKEW_NS));
    for debt in [0, 1_000] {
        meter.set_debt(debt);
        for ahead in [0, limit, limit + 1, limit + debt + skew] {
            assert!(!meter.is_behind(&frame, NOW, now + ahead), "{debt} {ahead}");
        }
        assert!(meter.is_behind(&frame, NOW, now + limit + debt + skew + 1), "{debt}");
    }
    // Also if it is from before the origin, or by that alone.
    for early_ns in [0, 1, SKEW_NS / 2] {
        let most = limit + 1_000 + skew - frame.scale.span(early_ns);
        let behind = |tat| meter.is_behind(&frame, frame.origin_ns - early_ns, tat);
        assert_eq!([behind(most), behind(most + 1)], [false, true], "{early_ns}");
    }
    assert!(!meter.is_behind(&frame, frame.origin_ns - SKEW_NS, 0));
    assert!(meter.is_behind(&frame, frame.origin_ns - SKEW_NS - 1, 0));
    // Nor is the end of time, but another reading from beyond the horizon may be.
    assert!(!meter.is_behind(&frame, u64::MAX, MAX_TAT));
    meter.set_debt(0);
    let beyond = frame.scale.horizon_ns + 1;
    let ahead = |tat| meter.is_behind(&frame, frame.origin_ns + beyond, tat);
    assert!(frame.scale.span(beyond) + limit + skew < MAX_TAT);
    assert_eq!([0, 1].map(|more| ahead(frame.scale.span(beyond) + limit + skew + more)), [false, true]);
}

#[test]
fn a_doubt_is_noted_and_dropped() {
    let (meter, ..) = meter("1000/s", 0);
    let doubted = |doubt| {
        meter.set_doubted(doubt);
        meter.doubted()
    };
    assert_eq!([doubted(false), doubted(true), doubted(true), doubted(false)], [false, true, true, false]);
}

#[test]
fn the_wait_ends_when_the_clock_shows_the_tick() {
    let (_, frame, now) = meter("1000/s", 0);
    assert_eq!(wait_until(&frame, now + frame.scale.per_permit, NOW), Duration::from_millis(1));
    assert_eq!(wait_until(&frame, now, NOW + 1), Duration::ZERO);
}
