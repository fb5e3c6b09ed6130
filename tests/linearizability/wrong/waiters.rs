//! Histories with waiters that are wrong, beside the ones that are right.

use super::{
    waiters::{Answer, Call, Spec},
    wrong::{Row, assert_order_by},
};

/// Of a burst of three, so many are there at first.
fn assert_order<const N: usize>(level: u64, threads: [&[Row<Spec>]; N], there_is_one: bool) {
    assert_order_by(&Spec { burst: 3, level }, threads, there_is_one);
}

const DONE: Answer = Answer::Done;
const PENDING: Answer = Answer::Pending;

#[test]
fn who_waits_is_passed_by() {
    for call in [Call::Try(1), Call::UpTo(1), Call::Within(1)] {
        let (taken, refused) = match call {
            Call::UpTo(_) => (Answer::Count(1), Answer::Count(0)),
            _ => (DONE, Answer::Wait(2_000)),
        };
        // A call that begins before a waiter joins, or after.
        for (from, answer, right) in
            [(0, taken, true), (2, taken, false), (0, refused, true), (2, refused, true)]
        {
            let threads: [&[Row<Spec>]; 2] = [&[(Call::Join(2), PENDING, 0, 1)], &[(call, answer, from, 3)]];
            assert_order(1, threads, right);
        }
    }
}

#[test]
fn the_second_is_served_first() {
    for (from, right) in [(1, true), (3, false)] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(Call::Join(1), PENDING, 0, 2), (Call::Poll, PENDING, 9, 10)],
            &[(Call::Join(1), PENDING, from, 4), (Call::Poll, DONE, 7, 8)],
            &[(Call::Refund(1), DONE, 5, 6)],
        ];
        assert_order(0, threads, right);
    }
}

#[test]
fn one_who_fits_passes_a_larger_one() {
    for (small, right) in [(PENDING, true), (DONE, false)] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(Call::Join(3), PENDING, 0, 1)],
            &[(Call::Join(1), PENDING, 2, 3), (Call::Poll, small, 6, 7)],
            &[(Call::Refund(2), DONE, 4, 5)],
        ];
        assert_order(0, threads, right);
    }
}

#[test]
fn who_is_due_is_not_served() {
    for come in [Call::Refund(1), Call::Reset] {
        for (answer, to, right) in [(DONE, 3, true), (PENDING, 3, false), (PENDING, 5, true)] {
            let threads: [&[Row<Spec>]; 2] =
                [&[(Call::Join(1), PENDING, 0, 1), (Call::Poll, answer, 4, 6)], &[(come, DONE, 2, to)]];
            assert_order(0, threads, right);
        }
    }
    // Of two calls that overlap one may leave it to the other.
    for (poll, right) in [(10, false), (4, true)] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(Call::Join(2), PENDING, 0, 1), (Call::Poll, PENDING, poll, 11)],
            &[(Call::Refund(1), DONE, 2, 9)],
            &[(Call::Refund(1), DONE, 3, 5)],
        ];
        assert_order(0, threads, right);
    }
}

#[test]
fn the_head_leaves_and_the_next_waits_on() {
    for (answer, right) in [(DONE, true), (PENDING, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Join(3), PENDING, 0, 1), (Call::Leave, DONE, 4, 5)],
            &[(Call::Join(1), PENDING, 2, 3), (Call::Poll, answer, 6, 7)],
        ];
        assert_order(2, threads, right);
    }
}

#[test]
fn a_grant_is_lost_or_comes_back_twice() {
    for (left, right) in [(2, true), (0, false), (1, false), (3, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Join(2), PENDING, 0, 1), (Call::Leave, DONE, 4, 5)],
            &[(Call::Refund(2), DONE, 2, 3), (Call::Available, Answer::Count(left), 6, 7)],
        ];
        assert_order(0, threads, right);
    }
}

/// The bucket was full after the grant, so the grant has cost no other caller a permit.
#[test]
fn a_grant_comes_back_as_a_second_burst() {
    for (left, right) in [(0, true), (1, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Join(1), PENDING, 0, 1), (Call::Leave, DONE, 8, 9)],
            &[
                (Call::Refund(1), DONE, 2, 3),
                (Call::Reset, DONE, 4, 5),
                (Call::Try(3), DONE, 6, 7),
                (Call::Available, Answer::Count(left), 10, 11),
            ],
        ];
        assert_order(0, threads, right);
    }
}
