//! The lock-free half on its own.

use super::*;

const NOW: u64 = 100_000_000_000;
const MS: u64 = 1_000_000;

/// A meter at a clock reading of `NOW`, with a TAT so many ticks ahead of it.
fn meter(text: &str, ahead: u64) -> (Meter, Frame, u64) {
    let (frame, now) = Frame::first(Scale::new(&text.parse().unwrap()).unwrap(), NOW);
    (Meter::new(&frame, now + ahead), frame, now)
}

/// Ends a step at that reading, with a word and no waiters.
fn thaw(state: State, now_ns: u64) -> Thaw {
    Thaw { frame: None, state, now_ns, in_debt: false, credit_until_ns: 0, queued: [0; Lane::COUNT] }
}

fn tat(meter: &Meter) -> u64 {
    meter.word.load().tat()
}

#[test]
fn a_draw_brings_as_many_whole_permits_as_there_are() {
    let (meter, frame, now) = meter("1000/s burst 10", 0);
    let cost = frame.scale().per_permit;
    assert_eq!(meter.draw(1.into(), 4, NOW), Taken::Yes(4));
    assert_eq!(tat(&meter), now + 5 * cost);
    // Half a permit is left over.
    assert_eq!(meter.draw(Permits::of_millionths(1_500_000), 9, NOW), Taken::Yes(3));
    assert_eq!(tat(&meter), now + 9 * cost + cost / 2);
    assert_eq!(meter.draw(1.into(), 9, NOW), Taken::NotYet(NotYet::after_ns(MS / 2)));
    assert_eq!(meter.draw(11.into(), 0, NOW), Taken::Slow, "more than a burst");
}

#[test]
fn a_call_is_admitted_when_it_was_told() {
    let (meter, ..) = meter("1000/s burst 1", 0);
    assert_eq!(meter.draw(1.into(), 0, NOW), Taken::Yes(0));
    assert_eq!(meter.draw(1.into(), 0, NOW), Taken::NotYet(NotYet::after_ns(MS)));
    assert_eq!(meter.draw(1.into(), 0, NOW + MS - 1), Taken::NotYet(NotYet::after_ns(1)));
    assert_eq!(meter.draw(1.into(), 0, NOW + MS), Taken::Yes(0));
}

/// Nor does it share in the credit of an idle bucket.
#[test]
fn nothing_is_taken_for_nothing() {
    let (meter, ..) = meter("1000/s", 0);
    let before = meter.word.load();
    assert_eq!(meter.draw(Permits::ZERO, 9, NOW + MS), Taken::Yes(0));
    assert!(meter.take_as_waiter(Permits::ZERO, NOW + MS));
    assert_eq!(meter.take_up_to(0, NOW + MS), Some(0));
    assert_eq!(meter.word.load(), before);
}

#[test]
fn as_many_whole_permits_are_taken_as_conform() {
    let (meter, frame, now) = meter("1000/s burst 10", 0);
    let cost = frame.scale().per_permit;
    assert_eq!(meter.take_up_to(3, NOW), Some(3));
    assert_eq!(meter.draw(Permits::of_millionths(500_000), 0, NOW), Taken::Yes(0));
    assert_eq!([meter.take_up_to(99, NOW), meter.take_up_to(99, NOW)], [Some(6), Some(0)]);
    assert_eq!(tat(&meter), now + 9 * cost + cost / 2);
}

#[test]
fn a_charge_without_the_lock_makes_no_debt() {
    let (meter, frame, now) = meter("1000/s burst 10", 0);
    let cost = frame.scale().per_permit;
    assert!(
        meter.draw_reporting(7.into(), NOW).is_some()
            && meter.draw_reporting(4.into(), NOW).is_none()
            && meter.draw_reporting(11.into(), NOW).is_none()
    );
    assert_eq!(tat(&meter), now + 7 * cost);
    assert_eq!(tat(&meter), now + 7 * cost);
}

/// A word three permits late, of which catch-up lets callers have two that would wait otherwise.
#[test]
fn credit_is_for_callers_that_would_wait_and_until_it_ends() {
    for (credit, until_ns, taken) in
        [(true, NOW + 1, true), (true, NOW, false), (true, NOW - 1, false), (false, NOW + 1, false)]
    {
        let (meter, frame, now) = meter("1000/s burst 5 catch-up 2ms", 0);
        let cost = frame.scale().per_permit;
        let state = State::new(now - 3 * cost, false, credit);
        meter.thaw(&Thaw { credit_until_ns: until_ns, ..thaw(state, NOW) });
        assert_eq!(meter.take_up_to(9, NOW), Some(5), "five by the present");
        meter.word.thaw(state);
        assert!(meter.take_as_waiter(5.into(), NOW));
        assert_eq!(tat(&meter), if taken { now + 3 * cost } else { now + 5 * cost }, "{credit} {until_ns}");
        assert_eq!(meter.take_as_waiter(2.into(), NOW), taken, "{credit} {until_ns}");
    }
}

#[test]
fn an_owned_word_is_left_to_the_lock() {
    let (meter, frame, now) = meter("1000/s burst 5", 0);
    let state = State::new(now, true, false);
    meter.thaw(&Thaw { queued: [7; Lane::COUNT], ..thaw(state, NOW) });
    assert!(meter.is_owned());
    assert_eq!(meter.draw(1.into(), 0, NOW), Taken::Slow);
    assert_eq!(meter.take_up_to(1, NOW), None);
    assert!(!meter.take_as_waiter(1.into(), NOW) && meter.draw_reporting(1.into(), NOW).is_none());
    assert!(meter.snapshot(NOW).is_none());
    assert_eq!(meter.word.load(), state);
    let behind = meter.behind_waiters(Lane::Normal, NOW).unwrap();
    assert_eq!((behind.frame, behind.tat, behind.now), (frame, now + 7, now));
}

#[test]
fn behind_waiters_it_takes_the_lock_if_it_cannot_be_told() {
    let (meter, frame, now) = meter("1000/s burst 5", 0);
    let told = |state, ticks| {
        meter.thaw(&Thaw { queued: [ticks; Lane::COUNT], ..thaw(state, NOW) });
        meter.behind_waiters(Lane::Normal, NOW).is_some()
    };
    let owned = |tat| State::new(tat, true, false);
    assert!(told(owned(now), 1));
    assert!(!told(State::new(now, false, false), 1), "the word is nobody's");
    assert!(!told(owned(now), 0), "nobody waits, as far as is told");
    assert!(!told(owned(now), UNTOLD));
    // The credit that is left depends on the time of the lock holder.
    let floor = frame.waiters_floor(now);
    assert!(told(owned(floor), 1) && !told(owned(floor - 1), 1));
    // A waiter that leaves takes its part of the sum along.
    assert!(told(owned(now), 5));
    meter.set_queued([2; Lane::COUNT]);
    assert_eq!(meter.behind_waiters(Lane::Normal, NOW).unwrap().tat, now + 2);
}

#[test]
fn waiters_of_lower_lanes_are_not_counted() {
    let (meter, frame, now) = meter("1000/s burst 5", 0);
    let told = |tat, queued, lane| {
        meter.thaw(&Thaw { queued, ..thaw(State::new(tat, true, false), NOW) });
        meter.behind_waiters(lane, NOW).map(|behind| behind.tat)
    };
    let tat = now + 5;
    assert_eq!(
        Lane::ALL.map(|lane| told(tat, [0, 3, 10], lane)),
        [0, 3, 10].map(|queued| Some(tat + queued))
    );
    let floor = frame.waiters_floor(now);
    assert_eq!(Lane::ALL.map(|lane| told(floor, [0, 0, 10], lane)), [floor, floor, floor + 10].map(Some));
    assert_eq!(Lane::ALL.map(|lane| told(tat, [0, 0, UNTOLD], lane)), [Some(tat), Some(tat), None]);
}

#[test]
fn nothing_is_decided_beyond_the_horizon() {
    let (meter, ..) = meter("1000/s burst 5", 0);
    assert_eq!(meter.draw(1.into(), 0, u64::MAX), Taken::Slow);
    assert_eq!(meter.take_up_to(1, u64::MAX), None);
    assert!(meter.draw_reporting(1.into(), u64::MAX).is_none() && meter.snapshot(u64::MAX).is_none());
}

/// By whatever word: the bucket is not taken for full there, nor for empty.
#[test]
fn nothing_is_decided_before_the_origin() {
    let (meter, frame, now) = meter("1000/s burst 5", 0);
    let (limit, origin_ns) = (frame.scale().limit, frame.reading_at(frame.base()));
    for tat in [frame.base(), frame.base() + limit, now, now + limit] {
        let state = State::new(tat, false, true);
        meter.thaw(&Thaw { credit_until_ns: u64::MAX, ..thaw(state, NOW) });
        let early_ns = origin_ns - 1;
        assert_eq!(meter.draw(1.into(), 9, early_ns), Taken::Slow);
        assert_eq!(meter.take_up_to(1, early_ns), None);
        assert!(
            !meter.take_as_waiter(1.into(), early_ns) && meter.draw_reporting(1.into(), early_ns).is_none()
        );
        assert!(meter.snapshot(early_ns).is_none());
        assert_eq!(meter.word.load(), state);
        meter.thaw(&Thaw { queued: [1; Lane::COUNT], ..thaw(State::new(tat, true, false), NOW) });
        assert!(meter.behind_waiters(Lane::Normal, early_ns).is_none());
    }
    meter.thaw(&thaw(State::new(frame.base(), false, false), NOW));
    assert_eq!(meter.draw(1.into(), 0, origin_ns), Taken::Yes(0));
}

/// Point 1 of the rule for clocks that step back: a refusal is left to the lock if the word is further ahead than it can
/// be.
#[test]
fn a_refusal_by_a_clock_that_seems_to_have_stepped_back_is_left_to_the_lock() {
    let (meter, frame, now) = meter("1000/s burst 5", 0);
    let (limit, skew) = (frame.scale().limit, frame.skew());
    let refused = |ahead| {
        meter.word.thaw(State::new(now + ahead, false, false));
        let taken = meter.draw(1.into(), 0, NOW);
        let slow = taken == Taken::Slow;
        assert_eq!(slow, meter.take_up_to(1, NOW).is_none(), "{ahead}");
        assert_eq!(slow, meter.snapshot(NOW).is_none(), "{ahead}");
        taken
    };
    assert_eq!(refused(limit), Taken::NotYet(NotYet::after_ns(MS)));
    assert_eq!(refused(limit + skew), Taken::NotYet(NotYet::after_ns(2 * MS)));
    assert_eq!(refused(limit + skew + 1), Taken::Slow);
    // A debt is known by its word and the reading of the thaw that left it.
    let deep = State::new(now + 9 * limit, false, false);
    let debt = Thaw { in_debt: true, ..thaw(deep, NOW) };
    meter.thaw(&debt);
    assert_eq!(meter.draw(1.into(), 0, NOW), Taken::NotYet(NotYet::after_ns(41 * MS)));
    meter.thaw(&Thaw { now_ns: NOW + SKEW_NS, ..debt });
    assert!(matches!(meter.draw(1.into(), 0, NOW), Taken::NotYet(_)));
    meter.thaw(&Thaw { now_ns: NOW + SKEW_NS + 1, ..debt });
    assert_eq!(meter.draw(1.into(), 0, NOW), Taken::Slow, "behind that reading");
    meter.thaw(&debt);
    meter.word.thaw(deep.with_tat(deep.tat() + 1));
    assert_eq!(meter.draw(1.into(), 0, NOW), Taken::Slow, "of another word");
}

/// A caller that would wait goes to the lock because of waiters, but only after a while because of a step.
#[test]
fn a_step_that_leaves_no_waiters_is_waited_for() {
    let (meter, _, now) = meter("1000/s", 0);
    assert!(!meter.is_owned_beyond_a_step());
    let state = meter.freeze();
    assert!(meter.is_owned_beyond_a_step(), "the lock holder may be preempted");
    meter.thaw(&Thaw { queued: [1; Lane::COUNT], ..thaw(State::new(now, true, false), NOW) });
    assert!(meter.is_owned_beyond_a_step());
    std::thread::scope(|scope| {
        meter.thaw(&Thaw { queued: [0; Lane::COUNT], ..thaw(State::new(now, true, false), NOW) });
        let freed = scope.spawn(|| while meter.is_owned_beyond_a_step() {});
        meter.thaw_unchanged(state);
        freed.join().unwrap();
    });
}

/// A report makes no exchange that could fail.
#[test]
fn a_report_tells_an_old_word_from_a_new_one() {
    let (meter, old, now) = meter("1000/s burst 5", 7);
    assert_eq!(meter.snapshot(NOW).unwrap().tat, now + 7);
    let (frame, now) = Frame::next(*old.scale(), NOW, now + 7, 0);
    meter.published.publish(&frame, || {
        assert!(meter.snapshot(NOW).is_none(), "it is just being replaced");
        assert_eq!(meter.draw(1.into(), 0, NOW), Taken::Slow);
    });
    assert!(meter.snapshot(NOW).is_none(), "the word is from before");
    meter.word.thaw(State::new(now, false, false));
    assert_eq!(meter.snapshot(NOW).unwrap().frame, frame);
}

/// The lock holder publishes between the decision and the exchange, once or many times; the numbers of the word do not repeat.
#[test]
fn no_permits_are_taken_by_a_frame_that_has_been_replaced() {
    for publications in [1, 2, 3, 4, 9] {
        let (meter, frame, mut now) = meter("1000/s burst 5", 0);
        let state = meter.word.load();
        let Change::Set(new, _) = meter.change(state, 1.into(), 0, NOW, false) else { panic!() };
        let mut highest = meter.freeze().tat();
        for _ in 0..publications {
            let next;
            (next, now) = Frame::next(*frame.scale(), NOW, highest, 0);
            highest = now;
            meter.published.publish(&next, || {});
        }
        meter.thaw_unchanged(State::new(highest, false, false));
        assert!(!meter.word.exchange(state, new), "{publications}");
        assert_eq!(meter.take_again(1.into(), 0, NOW, false), Taken::Yes(0));
        assert_eq!(tat(&meter), now + frame.scale().per_permit, "{publications}");
    }
}

#[test]
fn a_charge_goes_beyond_the_burst_but_not_beyond_the_word() {
    assert_eq!(charged(10, 7, 5), Some(15));
    assert_eq!(charged(7, 10, 5), Some(15));
    assert_eq!([charged(MAX_TAT - 5, 0, 5), charged(MAX_TAT - 5, 0, 6)], [Some(MAX_TAT), None]);
    assert_eq!(charged(1, 0, u64::MAX), None);
}
