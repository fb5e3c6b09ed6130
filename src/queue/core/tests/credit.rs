//! The credit that a late hand-off leaves, and for how long.

use super::*;

/// A thousand a second with a catch-up of 10 ms and a burst of one, and a waiter that is due in a millisecond.
fn with_waiter() -> (Rig, usize) {
    let mut rig = Rig::of("1000/s burst 1 initial 0");
    let waiter = rig.join(1, NEVER);
    assert_eq!(rig.grant_due(), Next::At(START + MS));
    (rig, waiter)
}

#[test]
fn a_queue_that_drains_late_leaves_credit_to_callers_that_would_wait() {
    let (mut rig, waiter) = with_waiter();
    rig.now_ns += 5 * MS;
    assert_eq!(rig.grant_due(), Next::Unknown);
    assert!(matches!(rig.granted(waiter), Some(Outcome::Granted(_))));
    assert!(rig.word.has_credit());
    assert_eq!(rig.thaw.unwrap().credit_until_ns, START + 15 * MS);
    // Four permits have come in meanwhile, beside the one of the burst.
    for _ in 0..4 {
        assert!(rig.take_as_waiter(1).is_ok());
    }
    assert!(!rig.word.has_credit());
    assert_eq!(rig.take_as_waiter(1).unwrap_err(), START + 6 * MS);
}

#[test]
fn calls_that_do_not_wait_are_decided_by_textbook_gcra() {
    let (mut rig, _) = with_waiter();
    rig.now_ns += 5 * MS;
    rig.grant_due();
    assert!(rig.take(1).is_ok());
    assert_eq!(rig.take(1), Err(START + 6 * MS));
}

#[test]
fn the_credit_ends_after_the_catch_up() {
    for (later_ns, taken) in [(10 * MS - 1, 11), (10 * MS, 1), (20 * MS, 1)] {
        let (mut rig, _) = with_waiter();
        rig.now_ns += 5 * MS;
        rig.grant_due();
        rig.now_ns += later_ns;
        let mut count = 0;
        while rig.take_as_waiter(1).is_ok() {
            count += 1;
        }
        assert_eq!(count, taken, "{later_ns} ns later");
        assert!(!rig.word.has_credit());
    }
}

#[test]
fn a_queue_that_drains_in_time_leaves_no_credit() {
    for (late_ns, credit) in [(0, false), (1_000, false), (1_001, true)] {
        let (mut rig, _) = with_waiter();
        // The TAT is a permit after it was due.
        rig.now_ns += 2 * MS + late_ns;
        assert_eq!(rig.grant_due(), Next::Unknown);
        assert_eq!(rig.word.has_credit(), credit, "{late_ns} ns late");
    }
}

/// Nothing can be had at any time, and what has come in meanwhile is not lost for it.
#[test]
fn nothing_dated_anew_changes_nothing() {
    let (mut rig, waiter) = with_waiter();
    let nothing = rig.step(|core| core.take(0, Caller::Try(Lane::Normal))).unwrap();
    let before = rig.word.tat();
    rig.now_ns += SECOND;
    let renewed = rig.step(|core| {
        assert!(core.is_whole(&nothing));
        core.renew(nothing)
    });
    assert_eq!((renewed.cost, rig.word.tat()), (0, before));
    assert_eq!(rig.grant_due(), Next::Unknown);
    assert!(rig.granted(waiter).is_some());
}

/// As if it had gone back, and were taken now.
#[test]
fn a_grant_dated_anew_is_good_from_now_on() {
    let mut rig = Rig::of("10/s burst 10");
    rig.take(3).unwrap();
    let grant = rig.take(4).unwrap();
    rig.now_ns += SECOND / 10;
    let before = rig.word;
    let renewed = rig.step(|core| {
        assert!(core.is_whole(&grant));
        core.renew(grant)
    });
    assert_eq!(rig.word, before);
    rig.now_ns += 3 * SECOND / 10;
    // Seven were taken, and four have come in.
    assert!(!rig.step(|core| core.is_whole(&renewed)), "without it the bucket would have overflowed");
    let level = rig.level();
    assert!(rig.step(|core| core.give_back(renewed)));
    assert_eq!(rig.level() - level, rig.permits(3));
}

/// A hand-off that is late by more than the catch-up has lost the rest.
#[test]
fn no_more_is_made_up_for_than_the_catch_up() {
    let mut rig = Rig::of("1000/s burst 5 initial 0");
    let waiters: Vec<_> = (0..100).map(|_| rig.join(1, NEVER)).collect();
    rig.now_ns += 10 * SECOND;
    assert_eq!(rig.grant_due(), Next::At(rig.now_ns + MS));
    let granted = waiters.iter().filter(|&&waiter| rig.granted(waiter).is_some()).count();
    assert_eq!(granted, 5 + 10);
    assert!(waiters[..15].iter().all(|&waiter| rig.granted(waiter).is_some()), "in order");
}

#[test]
fn a_batch_has_no_room_for_all() {
    let mut rig = Rig::of("1000/s burst 100 initial 0");
    let waiters: Vec<_> = (0..70).map(|_| rig.join(1, NEVER)).collect();
    rig.now_ns += 70 * MS;
    let rounds: Vec<_> = (0..3).map(|_| rig.grant_due()).collect();
    assert_eq!(rounds, [Next::More, Next::More, Next::Unknown]);
    assert!(waiters.iter().all(|&waiter| rig.granted(waiter).is_some()));
}
