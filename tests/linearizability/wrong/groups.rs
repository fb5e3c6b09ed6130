//! Histories with groups that are wrong, beside the ones that are right.

use super::{
    groups_spec::{Answer, Call, Spec},
    wrong::{Row, assert_order_by},
};

const DONE: Answer = Answer::Done;
const PENDING: Answer = Answer::Pending;
const NOT_YET: Answer = Answer::NotYet;

const fn join_all(first: u64, second: u64) -> Call {
    Call::JoinAll([first, second, 0])
}

/// Bursts of three, of which so many are there at first. One call after the other, each by that thread.
fn assert_order(levels: [u64; 2], calls: &[(usize, Call, Answer)], there_is_one: bool) {
    let mut threads: [Vec<Row<Spec>>; 3] = Default::default();
    for (at, &(thread, call, answer)) in (0..).step_by(2).zip(calls) {
        threads[thread].push((call, answer, at, at + 1));
    }
    let spec = Spec(levels.map(|level| (3, level)).into());
    assert_order_by(&spec, [&threads[0], &threads[1], &threads[2]], there_is_one);
}

/// What is left of a limiter.
const fn left(i: usize, count: i64) -> (usize, Call, Answer) {
    (1, Call::Available(i), Answer::Count(count))
}

#[test]
fn some_of_all_is_granted() {
    for (answer, counts, right) in [
        (DONE, [0, 1], true),
        (PENDING, [1, 2], false),
        (DONE, [0, 2], false),
        (DONE, [1, 1], false),
        (DONE, [0, 0], false),
    ] {
        let calls = [
            (0, join_all(1, 1), PENDING),
            (2, Call::Refund(0, 1), DONE),
            (0, Call::Poll, answer),
            left(0, counts[0]),
            left(1, counts[1]),
        ];
        assert_order([0, 2], &calls, right);
    }
}

/// It waits for one limit, and holds nothing of the other, or it holds that and waits for the first.
#[test]
fn it_holds_what_it_has_not_been_granted() {
    for (counts, right) in [([0, 2], true), ([0, 1], true), ([0, 0], false), ([1, 2], false)] {
        let calls = [(0, join_all(1, 1), PENDING), left(0, counts[0]), left(1, counts[1])];
        assert_order([0, 2], &calls, right);
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
            assert_order([0, 2], &calls, counts == [come as i64, 2]);
        }
    }
}

/// It waits for the first, and then for the second, of which it may be granted what comes there. What it holds of the
/// first has come in the meantime as well, so that the bucket would have been full without it.
fn until_the_last_round(then: &[(usize, Call, Answer)], right: bool) {
    let calls = [
        (0, join_all(3, 3), PENDING),
        (2, Call::Refund(0, 3), DONE),
        left(0, 0),
        (0, Call::Poll, PENDING),
        (2, Call::Refund(0, 3), DONE),
        (2, Call::Try(0, 3), DONE),
        (2, Call::Refund(1, 3), DONE),
    ];
    let calls: Vec<_> = calls.into_iter().chain(then.iter().copied()).collect();
    assert_order([0, 0], &calls, right);
}

#[test]
fn it_uses_what_is_worth_nothing_any_more() {
    for (answer, counts, right) in
        [(PENDING, [0, 3], true), (DONE, [0, 0], false), (PENDING, [3, 3], false), (PENDING, [0, 0], false)]
    {
        until_the_last_round(&[(0, Call::Poll, answer), left(0, counts[0]), left(1, counts[1])], right);
    }
    // From the front it takes all at once, without being polled.
    for (counts, right) in [([0, 0], true), ([3, 3], false), ([3, 0], false), ([0, 3], false)] {
        let calls = [
            (0, Call::Poll, PENDING),
            (2, Call::Refund(0, 3), DONE),
            left(0, counts[0]),
            left(1, counts[1]),
            (0, Call::Poll, DONE),
        ];
        until_the_last_round(&calls, right);
    }
}

#[test]
fn somebody_passes_it_in_its_last_round() {
    for (call, answer, right) in [
        (Call::Try(1, 1), NOT_YET, true),
        (Call::Try(1, 1), DONE, false),
        (Call::TryAll([0, 1, 0]), NOT_YET, true),
        (Call::TryAll([0, 1, 0]), DONE, false),
        (Call::Join(1, 1), PENDING, true),
        (Call::Join(1, 1), DONE, false),
        (join_all(0, 1), PENDING, true),
        (join_all(0, 1), DONE, false),
    ] {
        until_the_last_round(&[(0, Call::Poll, PENDING), (1, call, answer)], right);
    }
    // Not one that has come before it either.
    for (group, single, right) in [(DONE, PENDING, true), (PENDING, DONE, false), (DONE, DONE, false)] {
        let calls = [
            (1, Call::Join(0, 1), PENDING),
            (0, Call::Poll, PENDING),
            (2, Call::Refund(0, 3), DONE),
            (0, Call::Poll, group),
            (1, Call::Poll, single),
        ];
        until_the_last_round(&calls, right);
    }
}

#[test]
fn what_it_leaves_in_its_last_round_is_lost_or_comes_twice() {
    for (counts, right) in [([0, 3], true), ([0, 0], false), ([3, 3], false)] {
        let calls =
            [(0, Call::Poll, PENDING), (0, Call::Leave, DONE), left(0, counts[0]), left(1, counts[1])];
        until_the_last_round(&calls, right);
    }
    // Granted, and it has not heard of it.
    for (counts, right) in [([3, 3], true), ([0, 3], false), ([3, 0], false), ([0, 0], false)] {
        let calls = [
            (0, Call::Poll, PENDING),
            (2, Call::Refund(0, 3), DONE),
            (0, Call::Leave, DONE),
            left(0, counts[0]),
            left(1, counts[1]),
        ];
        until_the_last_round(&calls, right);
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
        // Nothing is left of the second, which it has taken.
        assert_order([0, 1], &calls, right);
    }
}

#[test]
fn a_newcomer_passes_a_group() {
    for (call, answer, right) in [
        (Call::TryAll([1, 1, 0]), NOT_YET, true),
        (Call::TryAll([1, 1, 0]), DONE, false),
        (Call::Try(0, 1), NOT_YET, true),
        (Call::Try(0, 1), DONE, false),
        // It does not stand in the other, which has permits, but may hold one of them.
        (Call::Try(1, 1), DONE, true),
        (Call::Try(1, 1), NOT_YET, false),
    ] {
        assert_order([0, 2], &[(0, join_all(1, 1), PENDING), (1, call, answer)], right);
    }
}
