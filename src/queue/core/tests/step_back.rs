//! A clock that steps back: the four points of the rule, each of which is needed; and what moves with the step.

use super::*;

/// Ten a second with a burst of two, both taken.
fn empty() -> Rig {
    let mut rig = Rig::of("10/s burst 2");
    assert!(rig.take(2).is_ok());
    rig
}

#[test]
fn the_bucket_goes_on_from_empty_at_the_new_time() {
    for back_ns in [2 * MS, SECOND, 50 * SECOND, START] {
        let mut rig = empty();
        rig.now_ns -= back_ns;
        assert_eq!(rig.take(1), Err(rig.now_ns + SECOND / 10), "{back_ns} ns back");
        // The way forward again counts as time, and no more than the burst is there in the end.
        rig.now_ns += SECOND / 10;
        assert!(rig.take(1).is_ok());
        rig.now_ns += 200 * SECOND;
        assert!(rig.take(2).is_ok() && rig.take(1).is_err());
    }
}

/// Also if it was full: the TAT is clamped to no less than what it was.
#[test]
fn a_step_back_makes_no_permits() {
    for initial in [0, 1, 2] {
        for back_ns in [MS / 2, MS, 2 * MS, 300 * MS, START] {
            let mut rig = Rig::of(&format!("10/s burst 2 initial {initial}"));
            rig.now_ns -= back_ns;
            let level = rig.level();
            assert!(level <= rig.permits(initial), "{initial} {back_ns}: {level}");
        }
    }
}

#[test]
fn readings_that_differ_by_no_more_than_the_skew_are_no_step() {
    let mut rig = empty();
    rig.now_ns -= SKEW_NS;
    assert_eq!(rig.take(1), Err(START + SECOND / 10));
    assert!(!rig.core.needs_hand_off());
    let mut rig = empty();
    rig.now_ns -= SKEW_NS + 1;
    assert_eq!(rig.take(1), Err(rig.now_ns + SECOND / 10));
    assert!(rig.core.take_alarm_void());
}

/// Point 1: the debt is published, so that calls without the lock can tell it from a step.
#[test]
fn a_debt_is_told_from_a_step_and_published() {
    let mut rig = empty();
    let permit = rig.permits(1) as u64;
    assert!(!rig.thaw.unwrap().in_debt);
    rig.step(|core| core.charge(100 * permit).unwrap());
    assert!(rig.thaw.unwrap().in_debt);
    rig.now_ns += SECOND;
    assert_eq!(rig.take(1), Err(START + 101 * SECOND / 10));
    assert!(rig.thaw.unwrap().in_debt && !rig.core.needs_hand_off());
    // It moves with the step.
    rig.now_ns -= SECOND / 2;
    assert_eq!(rig.take(1), Err(rig.now_ns + 91 * SECOND / 10));
    assert!(rig.core.needs_hand_off());
}

/// Point 2: time does not stand still before the origin of the frame.
#[test]
fn a_reading_before_the_origin_begins_a_new_frame() {
    let mut rig = empty();
    let origin_ns = rig.core.frame.reading_at(rig.core.frame.base());
    rig.now_ns = origin_ns;
    rig.step(|_| ());
    assert_eq!(rig.thaw.unwrap().frame, None);
    // A nanosecond before, it is no step.
    rig.now_ns -= 1;
    rig.step(|_| ());
    let frame = rig.thaw.unwrap().frame.unwrap();
    assert!(frame.base() > 0 && frame.tick(rig.now_ns).unwrap() > frame.base());
    rig.now_ns = origin_ns + SECOND / 10 - 1;
    assert_eq!(rig.take(1), Err(origin_ns + SECOND / 10));
    rig.now_ns += 1;
    assert!(rig.take(1).is_ok());
}

/// The level stays, to the nanosecond, as long as it is no step: else a late reading would make permits, or cost some.
#[test]
fn the_level_stays_before_the_origin() {
    // One a second, so that the bucket is never further ahead than a burst.
    for back_ns in [11 * MS + 1, 12 * MS, SECOND, 5 * SECOND] {
        let mut rig = Rig::of("1/s burst 20");
        rig.take(4).unwrap();
        let (before, word) = (rig.level(), rig.word);
        rig.now_ns -= back_ns;
        let after = rig.level();
        assert_eq!(before - after, rig.permits(1) * back_ns as i64 / SECOND as i64, "{back_ns}");
        assert!(rig.thaw.unwrap().frame.is_some() && rig.word.tat() > word.tat());
        assert!(!rig.core.take_alarm_void());
        // And a level that is above full.
        let mut rig = Rig::of("1/s burst 20");
        let waiter = rig.join(20, NEVER);
        rig.now_ns -= back_ns;
        assert_eq!(rig.grant_due(), if back_ns > 20 * SECOND { Next::More } else { Next::At(START) });
        rig.leave(waiter);
    }
}

/// What was taken without the lock is compared with the present by the frame that it was taken in.
#[test]
fn a_grant_from_before_a_late_reading_goes_back() {
    let mut rig = Rig::of("1/s burst 12");
    let permit = rig.permits(1) as u64;
    let grant = rig.take(3).unwrap();
    rig.word = rig.word.with_tat(rig.word.tat() + permit);
    rig.now_ns = rig.core.frame.reading_at(rig.core.frame.base()) - 1;
    assert!(rig.step(|core| core.is_whole(&grant)));
    assert!(rig.thaw.unwrap().frame.is_some());
}

/// Point 3: the debt counts only as long as the word is as the thaw left it.
#[test]
fn a_debt_does_not_count_for_another_word() {
    let mut rig = empty();
    let permit = rig.permits(1) as u64;
    rig.step(|core| core.charge(100 * permit).unwrap());
    let left = rig.word;
    // A call without the lock, after the debt was paid; then the clock steps back.
    rig.now_ns += 20 * SECOND;
    let now = rig.core.frame.tick(rig.now_ns).unwrap();
    rig.word = left.with_tat(now + permit);
    rig.now_ns -= 10 * SECOND;
    assert_eq!(rig.take(1), Err(rig.now_ns + SECOND / 10), "a burst, and not the debt of long ago");
}

/// Point 4: credit, deadlines and what final parts wait for are clock readings.
#[test]
fn what_is_a_clock_reading_moves_with_the_step() {
    let mut rig = Rig::of("1000/s burst 2 initial 0");
    let waiter = rig.join(1, NEVER);
    rig.now_ns += 5 * MS;
    assert_eq!(rig.grant_due(), Next::Unknown);
    assert!(rig.granted(waiter).is_some() && rig.word.has_credit());
    assert!(rig.take_as_waiter(1).is_ok());
    rig.now_ns -= 10 * SECOND;
    rig.step(|_| ());
    assert_eq!(rig.thaw.unwrap().credit_until_ns, 0);
    assert!(!rig.word.has_credit());

    let deadline_ns = rig.now_ns + SECOND;
    let waiters = [deadline_ns, NEVER].map(|deadline_ns| rig.join(1, deadline_ns));
    rig.now_ns -= 20 * SECOND;
    let due_ns = rig.now_ns + MS;
    assert_eq!(rig.grant_due(), Next::At(due_ns));
    assert!(rig.core.take_alarm_void());
    let mut deadlines = Vec::new();
    rig.core.list.visit(|entry| {
        deadlines.push(entry.deadline_ns);
        true
    });
    assert_eq!(deadlines, [deadline_ns - 20 * SECOND, NEVER]);
    assert!(waiters.iter().all(|&waiter| rig.granted(waiter).is_none()));
}

#[test]
fn nothing_goes_back_from_before_a_step() {
    let mut rig = Rig::of("10/s burst 9");
    let grant = rig.take(4).unwrap();
    rig.now_ns -= 3 * SECOND;
    assert!(!rig.step(|core| core.is_whole(&grant)));
    assert!(!rig.step(|core| core.give_back(grant)));
    rig.now_ns += SECOND;
    let later = rig.take(4).unwrap();
    assert!(rig.step(|core| core.give_back(later)));
}
