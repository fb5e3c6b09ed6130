//! Histories with waiters and a clock that moves that are wrong, beside the ones that are right.

use super::{
    timed_spec::{Answer, Call, Spec},
    wrong::{Row, assert_order_by},
};

/// How long a permit takes to come.
const ONE: u64 = 1_000;

/// A burst of three, of which there is nothing at first, and no credit.
const EMPTY: Spec = Spec { permit: ONE, burst: 3, level: 0, catch_up: 0 };

fn assert_order<const N: usize>(threads: [&[Row<Spec>]; N], there_is_one: bool) {
    assert_order_by(&EMPTY, threads, there_is_one);
}

const DONE: Answer = Answer::Done;
const PENDING: Answer = Answer::Pending;

/// Alarms rang after so many halves of a permit.
fn stops<const N: usize>(halves: [u64; N]) -> Answer {
    Answer::Stops(halves.into_iter().fold(0, |all, half| all | 1 << half))
}

#[test]
fn an_alarm_rings_early_or_late_or_not_at_all() {
    for (by, rang, answer, right) in [
        (ONE, stops([2]), DONE, true),
        (ONE, stops([2]), PENDING, false),
        (ONE, stops([]), DONE, true),
        (ONE / 2, stops([]), PENDING, true),
        (ONE / 2, stops([1]), DONE, false),
        (2 * ONE, stops([2]), DONE, true),
        (2 * ONE, stops([3]), DONE, false),
        (2 * ONE, stops([]), PENDING, false),
        (2 * ONE, stops([]), DONE, false),
    ] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Advance(by), rang, 2, 3)],
            &[(Call::Join(1, None), PENDING, 0, 1), (Call::Poll, answer, 4, 5)],
        ];
        assert_order(threads, right);
    }
}

#[test]
fn the_second_is_served_first() {
    for (first, second, right) in [(DONE, PENDING, true), (PENDING, DONE, false), (DONE, DONE, false)] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(Call::Advance(ONE), stops([2]), 4, 5)],
            &[(Call::Join(1, None), PENDING, 0, 1), (Call::Poll, first, 6, 7)],
            &[(Call::Join(1, None), PENDING, 2, 3), (Call::Poll, second, 8, 9)],
        ];
        assert_order(threads, right);
    }
}

/// A waiter that comes while the clock passes its time is served late. What has come meanwhile is not lost, as far as
/// it is made up for.
#[test]
fn a_late_grant_has_another_date() {
    for (catch_up, left, right) in
        [(0, 1, true), (0, 2, false), (ONE, 2, true), (ONE, 1, false), (2 * ONE, 2, true)]
    {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Advance(4 * ONE), stops([]), 0, 3)],
            &[(Call::Join(1, None), PENDING, 1, 4), (Call::Available, Answer::Count(left), 5, 6)],
        ];
        let spec = Spec { burst: 2, level: 0, catch_up, ..EMPTY };
        assert_order_by(&spec, threads, right);
    }
}

#[test]
fn a_deadline_is_taken_for_another() {
    // Of one that comes, of one that is passed by a charge, and of one that the charge leaves in time.
    for (wait, told, right) in [
        (ONE / 2, Answer::Wait(ONE / 2), true),
        (ONE / 2, Answer::Wait(ONE), false),
        (ONE / 2, PENDING, false),
        (ONE, PENDING, true),
        (ONE, Answer::Wait(1), false),
    ] {
        let calls: &[Row<Spec>] = &[(Call::Join(1, Some(wait)), told, 0, 1)];
        assert_order([calls], right);
    }
    for (wait, answer, right) in [
        (ONE, Answer::Wait(ONE), true),
        (ONE, PENDING, false),
        (ONE, DONE, false),
        (2 * ONE, PENDING, true),
        (2 * ONE, Answer::Wait(1), false),
    ] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Join(1, Some(wait)), PENDING, 0, 1), (Call::Poll, answer, 4, 5)],
            &[(Call::Charge(1), Answer::Wait(ONE), 2, 3)],
        ];
        assert_order(threads, right);
    }
}

#[test]
fn a_newcomer_passes_or_waits_for_nobody() {
    for (call, answer, right) in [
        (Call::Try(1), DONE, false),
        (Call::Try(1), Answer::Wait(2 * ONE), true),
        (Call::UpTo(1), Answer::Count(0), true),
        (Call::UpTo(1), Answer::Count(1), false),
        (Call::Within(1), Answer::Wait(3 * ONE), true),
        (Call::Within(1), Answer::Wait(ONE), false),
    ] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(Call::Advance(ONE), stops([]), 2, 3)],
            &[(Call::Join(3, None), PENDING, 0, 1)],
            &[(call, answer, 4, 5)],
        ];
        assert_order(threads, right);
    }
}

#[test]
fn a_grant_is_lost_or_comes_back_as_a_second_burst() {
    let until_it_leaves = |calls: &[(Call, Answer)], left: i64, right: bool| {
        let first = [(Call::Join(1, None), PENDING), (Call::Advance(ONE), stops([2]))];
        let last = [(Call::Leave, DONE), (Call::Available, Answer::Count(left))];
        let calls = first.into_iter().chain(calls.iter().copied()).chain(last);
        let rows: Vec<Row<Spec>> =
            (0..).step_by(2).zip(calls).map(|(i, (call, answer))| (call, answer, i, i + 1)).collect();
        assert_order([&rows], right);
    };
    for (left, right) in [(1, true), (0, false), (2, false)] {
        until_it_leaves(&[], left, right);
        // Not full, and known not to have been.
        until_it_leaves(&[(Call::Refund(1), DONE), (Call::Try(1), DONE)], left, right);
    }
    // It was full meanwhile.
    for (left, right) in [(0, true), (1, false)] {
        until_it_leaves(&[(Call::Advance(6 * ONE), stops([])), (Call::Try(3), DONE)], left, right);
    }
    // It was not, and is by now. The call without the lock counts as decided by now.
    for (left, right) in [(1, false), (2, true), (3, false)] {
        let since = [(Call::Refund(1), DONE), (Call::Try(1), DONE), (Call::Advance(2 * ONE), stops([]))];
        until_it_leaves(&since, left, right);
    }
}
