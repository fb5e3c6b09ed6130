use super::locked::{START, limiter};
use crate::queue::{
    locked::Locked,
    rounds::{HOLD_NS, Rounds},
};

const NOW: u64 = 1_000_000_000;

/// Two have been released now, and one is back.
fn one_is_back() -> Rounds {
    let mut rounds = Rounds::default();
    let first = rounds.next();
    for _ in 0..2 {
        assert_eq!(rounds.hold(first, NOW), None);
        rounds.released(NOW);
    }
    assert!(!rounds.joined());
    rounds
}

#[test]
fn the_next_round_waits_for_those_who_were_released() {
    let mut rounds = one_is_back();
    let second = rounds.next();
    assert_eq!(rounds.hold(second, NOW), Some(NOW + HOLD_NS));
    assert_eq!(rounds.hold(second, NOW + HOLD_NS - 1), Some(NOW + HOLD_NS));
    // Still the round after the one that is served.
    assert_eq!(rounds.next(), second);
    assert!(rounds.joined());
    assert_eq!(rounds.hold(second, NOW), None);
    assert_eq!(rounds.next(), second + 1);
}

#[test]
fn it_does_not_wait_for_long() {
    let mut rounds = one_is_back();
    assert_eq!(rounds.hold(rounds.next(), NOW + HOLD_NS), None);
    // Nor for longer if one of it is released: those who did not come back are not counted any more.
    rounds.released(NOW + HOLD_NS);
    assert!(!rounds.joined());
    assert_eq!(rounds.hold(rounds.next(), NOW + HOLD_NS), None);
}

#[test]
fn each_release_prolongs_it() {
    let mut rounds = one_is_back();
    rounds.released(NOW + HOLD_NS - 1);
    assert_eq!(rounds.hold(rounds.next(), NOW + HOLD_NS), Some(NOW + 2 * HOLD_NS - 1));
}

#[test]
fn a_clock_that_has_stepped_back_prolongs_nothing() {
    let mut rounds = one_is_back();
    assert_eq!(rounds.awaits_until(NOW), Some(NOW + HOLD_NS));
    assert_eq!(rounds.awaits_until(NOW - 1), None);
    assert_eq!(rounds.hold(rounds.next(), NOW - 1), None);
}

/// The one who comes counts as one who is back.
#[test]
fn a_newcomer_waits_for_the_others() {
    let mut rounds = Rounds::default();
    assert_eq!(rounds.hold(1, NOW), None);
    rounds.released(NOW);
    assert!(!rounds.hold_newcomer(NOW));
    rounds.released(NOW);
    assert!(rounds.hold_newcomer(NOW));
    assert_eq!(rounds.held_until(), Some(NOW + HOLD_NS));
    assert!(!rounds.joined());
    assert!(rounds.joined());
}

/// Who is served at once is back, and released again, in a round of its own.
#[test]
fn who_passes_is_one_who_was_released() {
    let mut rounds = Rounds::default();
    rounds.passed(NOW);
    assert_eq!(rounds.next(), 2);
    assert_eq!(rounds.awaits_until(NOW), Some(NOW + HOLD_NS));
    rounds.passed(NOW + 1);
    assert!(!rounds.hold_newcomer(NOW + 1));
}

/// Under the lock of a limiter, by alarms that are precise or not, after so many have been released.
fn after_releases<T>(quota: &str, rings: bool, released: usize, f: impl FnOnce(&mut Locked<'_>) -> T) -> T {
    let (limiter, _clock) = limiter(quota);
    limiter.queue().locked(|locked| {
        locked.inner.rings = rings;
        (0..released).for_each(|_| locked.inner.rounds.released(START));
        f(locked)
    })
}

const SLOW: &str = "1000/s burst 5";
const FAST: &str = "1000000/s burst 5";

#[test]
fn there_are_rounds_where_timers_are_late_and_permits_slow() {
    for (quota, rings, rounds) in
        [(SLOW, false, true), (SLOW, true, false), (FAST, false, false), (FAST, true, false)]
    {
        after_releases(quota, rings, 1, |locked| {
            let until_ns = rounds.then_some(START + HOLD_NS);
            assert_eq!(locked.awaits_until(), until_ns);
            assert_eq!([false, true].map(|credit| locked.awaits_others(credit)), [rounds; 2]);
            let next = locked.inner.rounds.next();
            assert_eq!(locked.hold(next), until_ns);
            let begun = if rounds { next } else { next + 1 };
            assert_eq!(locked.inner.rounds.next(), begun, "the round has begun, or not");
        });
        after_releases(quota, rings, 0, |locked| {
            assert_eq!(locked.awaits_until(), None);
            assert_eq!([false, true].map(|credit| locked.awaits_others(credit)), [false, rounds]);
        });
    }
}

#[test]
fn a_deadline_in_the_queue_holds_nobody_back() {
    after_releases(SLOW, false, 1, |locked| {
        let next = locked.inner.rounds.next();
        locked.inner.sum.deadlines = 1;
        assert_eq!(locked.hold(next), None);
        locked.inner.sum.deadlines = 0;
        assert_eq!(locked.inner.rounds.next(), next + 1);
    });
}

#[test]
fn a_newcomer_takes_its_turn() {
    let cost = |locked: &Locked<'_>| locked.frame.scale.per_permit;
    // Two have been released, of whom the newcomer may be one.
    for (rings, released, deadline, takes) in
        [(false, 2, false, false), (false, 1, false, true), (false, 2, true, true), (true, 2, false, true)]
    {
        after_releases(SLOW, rings, released, |locked| {
            let (cost, next) = (cost(locked), locked.inner.rounds.next());
            assert_eq!(locked.take_in_turn(cost, deadline).is_some(), takes);
            assert_eq!(locked.inner.rounds.held_until().is_some(), !takes);
            assert_eq!(locked.inner.rounds.next(), next + u64::from(takes), "it begins a round");
        });
    }
    // Nothing can be had at any time, and is no turn.
    after_releases(SLOW, false, 2, |locked| {
        let next = locked.inner.rounds.next();
        assert!(locked.take_in_turn(0, false).is_some());
        assert_eq!((locked.inner.rounds.next(), locked.inner.rounds.held_until()), (next, None));
    });
    // Who would have to wait in any case is not held back by others.
    after_releases(SLOW, false, 2, |locked| {
        let cost = cost(locked);
        locked.tat = locked.now + locked.frame.scale.limit;
        assert!(locked.take_in_turn(cost, false).is_none());
        assert_eq!(locked.inner.rounds.held_until(), None);
    });
}
