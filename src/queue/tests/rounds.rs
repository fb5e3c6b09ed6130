use core::{
    future::Future,
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};
use std::sync::atomic::Ordering::Relaxed;

use super::{
    alarms,
    locked::{START, limiter},
};
use crate::{
    gcra::Scale,
    published::Frame,
    queue::{
        hand_off::By,
        inner::{NEVER, Request},
        locked::Locked,
        rounds::{HOLD_NS, Rounds, SHORT_NS, go_at_once},
        wait_queue::LATE_NS,
    },
    quota::Quota,
};

const NOW: u64 = 1_000_000_000;

pub(super) fn never() -> u64 {
    NEVER
}

/// Two have been released now, and one is back.
fn one_is_back() -> Rounds {
    let mut rounds = Rounds::default();
    rounds.fall_short();
    assert_eq!(rounds.hold(0, NOW, never), None);
    let first = rounds.next();
    for _ in 0..2 {
        assert_eq!(rounds.hold(first, NOW, never), None);
        rounds.released(NOW);
    }
    assert!(!rounds.joined(NEVER));
    rounds
}

#[test]
fn the_next_round_waits_for_those_who_were_released() {
    let mut rounds = one_is_back();
    let second = rounds.next();
    assert_eq!(rounds.hold(second, NOW, never), Some(NOW + HOLD_NS));
    assert_eq!(rounds.hold(second, NOW + HOLD_NS - 1, never), Some(NOW + HOLD_NS));
    // Still the round after the one that is served.
    assert_eq!(rounds.next(), second);
    assert!(rounds.joined(NEVER));
    assert_eq!(rounds.hold(second, NOW, never), None);
    assert_eq!(rounds.next(), second + 1);
}

#[test]
fn it_does_not_wait_for_long() {
    let mut rounds = one_is_back();
    assert_eq!(rounds.hold(rounds.next(), NOW + HOLD_NS, never), None);
    // Nor for longer if one of it is released: those who did not come back are not counted any more.
    rounds.released(NOW + HOLD_NS);
    assert!(!rounds.joined(NEVER));
    assert_eq!(rounds.hold(rounds.next(), NOW + HOLD_NS, never), None);
}

#[test]
fn each_release_prolongs_it() {
    let mut rounds = one_is_back();
    rounds.released(NOW + HOLD_NS - 1);
    assert_eq!(rounds.hold(rounds.next(), NOW + HOLD_NS, never), Some(NOW + 2 * HOLD_NS - 1));
}

#[test]
fn a_clock_that_has_stepped_back_prolongs_nothing() {
    let mut rounds = one_is_back();
    rounds.left();
    assert_eq!(rounds.may_hold_until(NOW), Some(NOW + HOLD_NS));
    assert_eq!(rounds.may_hold_until(NOW - 1), None);
    assert_eq!(rounds.hold(rounds.next(), NOW - 1, never), None);
    // Nor does one that has stepped back to when permits were short already.
    rounds.released(NOW + 2);
    assert_eq!(rounds.may_hold_until(NOW + 2), Some(NOW + 2 + HOLD_NS));
    assert_eq!(rounds.may_hold_until(NOW + 1), None);
}

/// Whoever is due goes on when others come first for a moment; the rounds after that are as before.
#[test]
fn nobody_is_held_back_until_those_who_are_due_have_been_served() {
    let mut rounds = one_is_back();
    rounds.forget();
    assert_eq!(rounds.held_until(), None);
    for _ in 0..2 {
        assert_eq!(rounds.hold(rounds.next(), NOW, never), None);
        rounds.released(NOW);
    }
    rounds.settled();
    assert_eq!(rounds.hold(rounds.next(), NOW, never), Some(NOW + HOLD_NS));
}

/// From when somebody is due who has waited for that, for a while.
#[test]
fn hungry_callers_share_while_permits_are_short() {
    after_releases(SLOW, false, 1, |locked| {
        for (now_ns, shared) in
            [(START - 1, false), (START, true), (START + SHORT_NS - 1, true), (START + SHORT_NS, false)]
        {
            locked.now_ns = now_ns;
            assert_eq!(locked.is_shared(), shared);
        }
        locked.now_ns = START;
    });
}

/// The one who comes counts as one who is back.
#[test]
fn a_newcomer_waits_for_the_others() {
    let mut rounds = Rounds::default();
    rounds.fall_short();
    assert_eq!(rounds.hold(0, NOW, never), None);
    assert_eq!(rounds.hold(1, NOW, never), None);
    rounds.released(NOW);
    assert!(!rounds.hold_newcomer(NOW, NEVER));
    rounds.released(NOW);
    assert!(rounds.hold_newcomer(NOW, NEVER));
    assert_eq!(rounds.held_until(), Some(NOW + HOLD_NS));
    assert!(!rounds.joined(NEVER));
    assert!(rounds.joined(NEVER));
}

/// Who is served at once is back, and released again, in a round of its own.
#[test]
fn who_passes_is_one_who_was_released() {
    let mut rounds = Rounds::default();
    rounds.fall_short();
    assert_eq!(rounds.hold(0, NOW, never), None);
    rounds.passed(NOW);
    assert_eq!(rounds.next(), 2);
    // The next may be the same again.
    assert_eq!(rounds.may_hold_until(NOW), None);
    rounds.released(NOW);
    assert_eq!(rounds.may_hold_until(NOW), Some(NOW + HOLD_NS));
    rounds.passed(NOW + 1);
    assert!(rounds.hold_newcomer(NOW + 1, NEVER));
    assert!(!rounds.joined(NEVER));
    assert!(rounds.joined(NEVER));
}

#[test]
fn nobody_is_held_back_beyond_a_deadline() {
    let served_ns = NOW + HOLD_NS + LATE_NS;
    for (deadline_ns, held) in [(served_ns, true), (served_ns - 1, false)] {
        let mut rounds = one_is_back();
        let next = rounds.next();
        assert_eq!(rounds.hold(next, NOW, || deadline_ns).is_some(), held);
        // That of one who joins them, too; the others are not asked again.
        let mut rounds = one_is_back();
        rounds.left();
        assert!(rounds.hold(next, NOW, never).is_some());
        assert_eq!(rounds.joined(deadline_ns), !held);
        assert_eq!(rounds.hold(next, NOW, || unreachable!()).is_some(), held);
        // And that of one who comes to an empty queue.
        let mut rounds = one_is_back();
        rounds.left();
        assert_eq!(rounds.hold_newcomer(NOW, deadline_ns), held);
    }
}

/// Who joins and leaves again was none of those who were released, or is still to come.
#[test]
fn who_leaves_is_as_much_awaited_as_before() {
    let mut rounds = one_is_back();
    let next = rounds.next();
    assert!(rounds.hold(next, NOW, never).is_some());
    assert!(rounds.joined(NEVER));
    rounds.left();
    assert!(rounds.hold(next, NOW, never).is_some());
}

#[test]
fn nobody_is_held_back_where_permits_are_not_short() {
    let mut rounds = one_is_back();
    rounds.released(NOW + SHORT_NS - 1);
    rounds.released(NOW + SHORT_NS - 1);
    assert!(rounds.hold(rounds.next(), NOW + SHORT_NS - 1, never).is_some());
    assert_eq!(rounds.hold(rounds.next(), NOW + SHORT_NS, never), None);
}

/// Ten permits a millisecond, a burst of one, and what is kept for 10 ms.
#[test]
fn a_round_goes_at_once_if_all_of_it_can_or_something_would_be_lost() {
    let quota = Quota::per_second(10_000).burst(1);
    let frame = Frame { origin_ns: 0, scale: Scale::new(&quota).unwrap() };
    let ticks = |permits: u64| permits * frame.scale.per_permit;
    let owed = |permits: u64, round: u64| {
        let tat = frame.tick(NOW).unwrap() - ticks(permits);
        go_at_once(&frame, tat, NOW, ticks(round).into())
    };
    // The burst is there as well.
    assert!(owed(9, 10) && !owed(8, 10));
    assert!(owed(0, 1) && !owed(0, 2));
    // In two milliseconds the oldest of 80 would be 10 ms old.
    assert!(!owed(80, 1_000) && owed(81, 1_000));
}

/// Under the lock of a limiter, by alarms that are precise or not, after so many have been released.
fn after_releases<T>(quota: &str, rings: bool, released: usize, f: impl FnOnce(&mut Locked<'_>) -> T) -> T {
    let (limiter, _clock) = limiter(quota);
    limiter.queue().locked(|locked| {
        locked.inner.rings = rings;
        locked.inner.rounds.fall_short();
        assert_eq!(locked.inner.rounds.hold(0, START, never), None);
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
        after_releases(quota, rings, 2, |locked| {
            let until_ns = rounds.then_some(START + HOLD_NS);
            assert_eq!(locked.may_hold_until(), until_ns);
            assert_eq!([false, true].map(|credit| locked.awaits_others(credit)), [rounds; 2]);
            let next = locked.inner.rounds.next();
            assert_eq!(locked.hold(next), until_ns);
            let begun = if rounds { next } else { next + 1 };
            assert_eq!(locked.inner.rounds.next(), begun, "the round has begun, or not");
        });
        after_releases(quota, rings, 0, |locked| {
            assert_eq!(locked.may_hold_until(), None);
            assert_eq!([false, true].map(|credit| locked.awaits_others(credit)), [false, rounds]);
        });
    }
}

#[test]
fn a_newcomer_takes_its_turn() {
    let cost = |locked: &Locked<'_>| locked.frame.scale.per_permit;
    // Two have been released, of whom the newcomer may be one.
    for (rings, released, deadline, takes) in [
        (false, 2, NEVER, false),
        (false, 1, NEVER, true),
        (false, 2, START + HOLD_NS + LATE_NS, false),
        (false, 2, START + HOLD_NS + LATE_NS - 1, true),
        (true, 2, NEVER, true),
    ] {
        after_releases(SLOW, rings, released, |locked| {
            let (cost, next) = (cost(locked), locked.inner.rounds.next());
            assert_eq!(locked.take_in_turn(cost, deadline, true).is_some(), takes);
            assert_eq!(locked.inner.rounds.held_until().is_some(), !takes);
            assert_eq!(locked.inner.rounds.next(), next + u64::from(takes), "it begins a round");
        });
    }
    // Nothing can be had at any time, and is no turn.
    after_releases(SLOW, false, 2, |locked| {
        let next = locked.inner.rounds.next();
        assert!(locked.take_in_turn(0, NEVER, true).is_some());
        assert_eq!((locked.inner.rounds.next(), locked.inner.rounds.held_until()), (next, None));
    });
    // Who would have to wait in any case is not held back by others.
    after_releases(SLOW, false, 2, |locked| {
        let cost = cost(locked);
        locked.tat = locked.now + locked.frame.scale.limit;
        assert!(locked.take_in_turn(cost, NEVER, true).is_none());
        assert_eq!(locked.inner.rounds.held_until(), None);
    });
    // Nor for the sake of one who was, and has left.
    after_releases(SLOW, false, 2, |locked| {
        let cost = cost(locked);
        assert!(locked.take_in_turn(cost, NEVER, true).is_none());
        assert!(locked.inner.rounds.held_until().is_some());
        locked.tat = locked.now + locked.frame.scale.limit;
        assert!(locked.take_in_turn(cost, NEVER, true).is_none());
        assert_eq!(locked.inner.rounds.held_until(), None);
    });
    // Nor if nobody could time it.
    after_releases(SLOW, false, 2, |locked| {
        assert!(locked.take_in_turn(cost(locked), NEVER, false).is_some());
        assert_eq!(locked.inner.rounds.held_until(), None);
    });
}

/// When all are back and not all can go, some have to wait for their time. Who merely joins those who are held back
/// shows nothing.
#[test]
fn permits_are_short_if_not_all_who_are_back_can_go() {
    for (released, last, short) in [(2, 5, true), (3, 1, false)] {
        let queue = alarms::queue(Quota::per_second(1_000).burst(5));
        queue.clock.0.store(NOW, Relaxed);
        queue.locked(|locked| {
            locked.tat = locked.now;
            locked.inner.rounds.fall_short();
            assert_eq!(locked.inner.rounds.hold(0, NOW, never), None);
            (0..released).for_each(|_| locked.inner.rounds.released(NOW));
        });
        let places = [1, last].map(|permits| {
            let place = Box::pin(queue.place());
            let request = Request { permits: permits.into(), max_wait: None, thread: true, gate: None };
            queue.enter(place.as_ref(), request, Waker::noop(), NOW).unwrap();
            place
        });
        let held = queue.waiting();
        queue.clock.0.store(NOW + HOLD_NS, Relaxed);
        queue.drive(By::Other);
        let left = queue.waiting();
        let shared = [NOW + SHORT_NS - 1, NOW + SHORT_NS]
            .map(|now_ns| queue.locked_at(now_ns, |locked| locked.is_shared()));
        for place in &places {
            queue.leave(place.as_ref());
        }
        assert_eq!((held, left), (2, usize::from(short)));
        // As seen since then, or since before.
        assert_eq!(shared, [true, short]);
    }
}

/// Of those who wait already, too; and nobody where somebody waits for other limits as well.
#[test]
fn whose_longest_wait_is_near_is_not_held_back() {
    for (wait_ns, gates, held) in
        [(HOLD_NS + LATE_NS, 0, true), (HOLD_NS + LATE_NS - 1, 0, false), (HOLD_NS + LATE_NS, 1, false)]
    {
        let (limiter, _clock) = limiter("1000/s burst 5 initial 0");
        let mut waiter = pin!(limiter.acquire_within(1, Duration::from_nanos(wait_ns)));
        assert!(waiter.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        limiter.queue().locked(|locked| {
            locked.inner.rings = false;
            locked.inner.rounds.fall_short();
            assert_eq!(locked.inner.rounds.hold(0, START, never), None);
            (0..2).for_each(|_| locked.inner.rounds.released(START));
            locked.inner.sum.gates = gates;
            let next = locked.inner.rounds.next();
            assert_eq!(locked.hold(next).is_some(), held);
            (locked.inner.sum.gates, locked.inner.rings) = (0, true);
        });
    }
}
