//! Histories with groups that are wrong, beside the ones that are right.

use super::{
    groups_spec::{Call, Quota, Spec},
    timed_spec::Answer,
    wrong::{Row, assert_order_by},
};

/// Bursts of three, of which so many are there at first. A permit takes 1000 ns to come to the first, 500 to the
/// second.
fn spec(levels: [u64; 2]) -> Spec {
    let quota = |(permit, level)| Quota { permit, burst: 3, level };
    Spec([(1_000, levels[0]), (500, levels[1])].map(quota).into())
}

const DONE: Answer = Answer::Done;
const PENDING: Answer = Answer::Pending;

const fn join_all(first: u64, second: u64) -> Call {
    Call::JoinAll([first, second, 0])
}

/// One call after the other, each by that thread.
fn assert_order<const N: usize>(levels: [u64; 2], calls: [(usize, Call, Answer); N], there_is_one: bool) {
    let mut threads: [Vec<Row<Spec>>; 3] = Default::default();
    for (at, (thread, call, answer)) in (0..).step_by(2).zip(calls) {
        threads[thread].push((call, answer, at, at + 1));
    }
    assert_order_by(&spec(levels), [&threads[0], &threads[1], &threads[2]], there_is_one);
}

/// What is left of a limiter.
const fn left(i: usize, count: i64) -> (usize, Call, Answer) {
    (1, Call::Available(i), Answer::Count(count))
}

#[test]
fn some_of_all_is_granted() {
    for (held, answer, counts, right) in [
        (0, DONE, [0, 1], true),
        (0, PENDING, [1, 2], false),
        (0, DONE, [0, 2], false),
        (0, DONE, [1, 1], false),
        (1, DONE, [0, 1], false),
    ] {
        let calls = [
            (0, join_all(1, 1), PENDING),
            // It holds nothing of one while it waits for the other.
            left(1, 2 - held),
            (2, Call::Refund(0, 1), DONE),
            (0, Call::Poll, answer),
            left(0, counts[0]),
            left(1, counts[1]),
        ];
        assert_order([0, 2], calls, right);
    }
}

#[test]
fn who_leaves_takes_something_along() {
    // Before it was granted, and after.
    for come in [0, 1] {
        for counts in [[0, 1], [0, 2], [1, 1], [1, 2], [2, 2]] {
            let calls = [
                (0, join_all(1, 1), PENDING),
                (2, Call::Refund(0, come), DONE),
                (0, Call::Leave, DONE),
                left(0, counts[0]),
                left(1, counts[1]),
            ];
            assert_order([0, 2], calls, counts == [come as i64, 2]);
        }
    }
    // It gives back to one after the other, and first to the first.
    for (second, first, right) in [(1, 0, true), (1, 1, true), (2, 1, true), (2, 0, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(join_all(1, 1), PENDING, 0, 1), (Call::Leave, DONE, 4, 9)],
            &[
                (Call::Refund(0, 1), DONE, 2, 3),
                (Call::Available(1), Answer::Count(second), 5, 6),
                (Call::Available(0), Answer::Count(first), 7, 8),
            ],
        ];
        assert_order_by(&spec([0, 2]), threads, right);
    }
}

#[test]
fn who_has_left_is_waited_for() {
    for (answer, right) in [(DONE, true), (Answer::Wait(1_000), false)] {
        let calls = [(0, join_all(3, 1), PENDING), (0, Call::Leave, DONE), (1, Call::Try(0, 2), answer)];
        assert_order([2, 0], calls, right);
    }
}

#[test]
fn it_is_passed_by_one_who_puts_it_off() {
    // It is due in the first, and promised to go in 500 ns, when it is due in the second.
    for (of_first, n, answer, right) in [
        (1, 2, DONE, true),
        (1, 2, PENDING, false),
        (2, 1, DONE, true),
        (2, 2, PENDING, true),
        (2, 2, DONE, false),
        (3, 1, PENDING, true),
        (3, 1, DONE, false),
    ] {
        let calls = [
            (0, join_all(of_first, 1), PENDING),
            (1, Call::Try(1, 1), DONE),
            (1, Call::Refund(0, 3), DONE),
            (2, Call::Join(0, n), PENDING),
            (2, Call::Poll, answer),
            (0, Call::Poll, PENDING),
            (1, Call::Refund(1, 1), DONE),
            (0, Call::Poll, DONE),
        ];
        assert_order([0, 1], calls, right);
    }
}

/// A charge makes it late. It looks when it is polled, and is promised no later time.
#[test]
fn a_promise_that_stands_is_put_off() {
    for (n, answer, right) in [(1, DONE, true), (2, PENDING, true), (2, DONE, false)] {
        let calls = [
            (0, join_all(2, 1), PENDING),
            (1, Call::Try(1, 1), DONE),
            (1, Call::Refund(0, 3), DONE),
            (1, Call::Charge(1, 2), Answer::Wait(1_000)),
            (0, Call::Poll, PENDING),
            (2, Call::Join(0, n), PENDING),
            (2, Call::Poll, answer),
        ];
        assert_order([0, 1], calls, right);
    }
}

#[test]
fn who_came_later_is_served_first() {
    for (group, single, right) in
        [(DONE, PENDING, true), (PENDING, DONE, false), (DONE, DONE, false), (PENDING, PENDING, false)]
    {
        let calls = [
            (0, join_all(1, 1), PENDING),
            (2, Call::Join(0, 1), PENDING),
            (1, Call::Refund(0, 1), DONE),
            (0, Call::Poll, group),
            (2, Call::Poll, single),
        ];
        assert_order([0, 1], calls, right);
    }
}

#[test]
fn it_is_served_early_or_late() {
    for (by, answer, counts, right) in [
        (500, PENDING, [0, 1], true),
        (500, DONE, [0, 0], false),
        (1_000, DONE, [0, 1], true),
        (1_000, PENDING, [1, 2], false),
        (1_000, DONE, [1, 2], false),
        (1_500, DONE, [0, 2], true),
    ] {
        let calls = [
            (0, join_all(1, 1), PENDING),
            (1, Call::Advance(by), DONE),
            (0, Call::Poll, answer),
            left(0, counts[0]),
            left(1, counts[1]),
        ];
        assert_order([0, 0], calls, right);
    }
}

#[test]
fn a_newcomer_passes_a_group_or_is_told_too_little() {
    for (call, answer, right) in [
        (Call::TryAll([1, 1, 0]), Answer::Wait(2_000), true),
        (Call::TryAll([1, 1, 0]), Answer::Wait(1_000), false),
        (Call::TryAll([1, 1, 0]), DONE, false),
        (Call::Try(0, 1), Answer::Wait(1_000), false),
        // It does not stand in the other yet.
        (Call::Try(1, 2), DONE, true),
        (Call::Try(1, 2), Answer::Wait(500), false),
    ] {
        assert_order([0, 2], [(0, join_all(1, 1), PENDING), (1, call, answer)], right);
    }
}
