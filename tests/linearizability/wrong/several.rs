//! Histories of several limits at once that are wrong, beside the ones that are right.

use std::time::Duration;

use tidegate::Quota;

use super::{
    several::{Call, Spec},
    spec::{Answer, Call as One},
    wrong::{Row, assert_order_by},
};

/// Bursts of three, of which so many are there at first. A permit takes 1000 ns to come to the first, 300 to the
/// second.
fn assert_order<const N: usize>(levels: [u64; 2], threads: [&[Row<Spec>]; N], there_is_one: bool) {
    let quota = |(ns, level)| Quota::new(1, Duration::from_nanos(ns)).with_burst(3).with_initial(level);
    let quotas = [(1_000, levels[0]), (300, levels[1])].map(quota);
    assert_order_by(&Spec::new(&quotas), threads, there_is_one);
}

const TAKEN: Answer = Answer::Done;

const fn all(first: u64, second: u64) -> Call {
    Call::All([first, second, 0])
}

/// What is left of each, looked at from then on.
fn left(counts: [i64; 2], from: u64) -> [Row<Spec>; 2] {
    [(0, from), (1, from + 2)]
        .map(|(i, from)| (Call::Of(i, One::Available), Answer::Count(counts[i]), from, from + 1))
}

#[test]
fn some_of_all_is_taken() {
    // As seen after it, or while it is under way.
    for (levels, answer, counts, after, meanwhile) in [
        ([2, 2], TAKEN, [1, 0], true, true),
        ([2, 2], TAKEN, [1, 2], false, false),
        ([2, 2], TAKEN, [2, 0], false, true),
        ([2, 2], TAKEN, [2, 2], false, true),
        ([2, 1], TAKEN, [1, 1], false, false),
        ([2, 1], Answer::Wait(300), [2, 1], true, true),
        ([2, 1], Answer::Wait(300), [1, 1], false, false),
        ([0, 2], Answer::Wait(1_000), [0, 2], true, true),
        ([0, 2], Answer::Wait(1_000), [0, 0], false, false),
    ] {
        let [first, second] = left(counts, 2);
        assert_order(levels, [&[(all(1, 2), answer, 0, 1), first, second]], after);
        assert_order(levels, [&[(all(1, 2), answer, 0, 6)], &[first, second]], meanwhile);
    }
}

#[test]
fn it_takes_what_was_never_there_at_once() {
    // The one permit of the first goes before one of the second comes; or maybe after, and then it may be taken.
    for (from, paid, answer, right) in [
        (3, 0, TAKEN, false),
        (3, 1_000, TAKEN, false),
        (3, 0, Answer::Wait(300), true),
        (3, 0, Answer::Wait(1_000), true),
        (1, 0, TAKEN, false),
        (1, 1_000, TAKEN, true),
        (1, 1_000, Answer::Wait(1_000), false),
    ] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(all(1, 1), answer, 0, 5)],
            &[(Call::Of(0, One::Charge(1)), Answer::Wait(paid), 1, 2)],
            &[(Call::Of(1, One::Refund(1)), TAKEN, from, 4)],
        ];
        assert_order([1, 0], threads, right);
    }
}

#[test]
fn some_of_all_is_charged() {
    for (counts, paid, after, meanwhile) in [
        ([-2, 1], 2_000, true, true),
        ([-2, 1], 300, false, false),
        ([-2, 2], 2_000, false, false),
        ([1, 1], 2_000, false, true),
        ([1, 2], 2_000, false, true),
    ] {
        let [first, second] = left(counts, 2);
        let charge = Call::ChargeAll([3, 1, 0]);
        assert_order([1, 2], [&[(charge, Answer::Wait(paid), 0, 1), first, second]], after);
        assert_order([1, 2], [&[(charge, Answer::Wait(paid), 0, 6)], &[first, second]], meanwhile);
    }
}

#[test]
fn it_is_told_another_wait_than_the_longest() {
    for (amounts, wait, right) in [
        ([1, 1], 1_000, true),
        ([1, 1], 300, false),
        ([1, 1], 1_300, false),
        ([2, 1], 2_000, true),
        ([0, 3], 900, true),
        ([0, 3], 1_000, false),
    ] {
        assert_order([0, 0], [&[(all(amounts[0], amounts[1]), Answer::Wait(wait), 0, 1)]], right);
    }
    // Never is longer than any.
    for (answer, right) in [(Answer::Never, true), (Answer::Wait(1_000), false), (TAKEN, false)] {
        let [first, second] = left([0, 3], 2);
        assert_order([0, 3], [&[(all(1, 4), answer, 0, 1), first, second]], right);
    }
}

/// Each limit is decided by a reading of its own, of which the later is no earlier. By the first the wait is 1000 ns,
/// by the second 1200, and after 300 of them so much less.
#[test]
fn the_time_of_one_limit_is_older_than_the_call_or_than_that_of_another() {
    for (from, waits) in [(5, vec![900]), (2, vec![900, 1_000, 1_200])] {
        for wait in [600, 700, 900, 1_000, 1_200] {
            let threads: [&[Row<Spec>]; 2] = [
                &[(Call::Of(0, One::Advance(300)), TAKEN, 3, 4)],
                &[
                    (Call::Of(1, One::Charge(1)), Answer::Wait(300), 0, 1),
                    (all(1, 3), Answer::Wait(wait), from, 6),
                ],
            ];
            assert_order([0, 0], threads, waits.contains(&wait));
        }
    }
}
