//! That the search finds nothing where there is nothing to find: histories with one answer that is wrong, beside the
//! ones in which it is right.

use std::time::Duration;

use tidegate::Quota;

use super::{
    checker::{self, Entry, is_linearizable},
    spec::{Answer, Call, Spec},
};

/// A call, its answer, and the tickets before and after it.
pub(crate) type Row<S> = (<S as checker::Spec>::Call, <S as checker::Spec>::Answer, u64, u64);

pub(crate) fn assert_order_by<S: checker::Spec, const N: usize>(
    spec: &S,
    threads: [&[Row<S>]; N],
    there_is_one: bool,
) {
    let entry = |&(call, answer, from, to): &Row<S>| Entry { call, answer, from, to };
    let history = threads.map(|rows| rows.iter().map(entry).collect()).into();
    assert_eq!(is_linearizable(spec, &history), there_is_one, "{threads:?}");
}

/// One permit in ten nanoseconds, burst two.
fn quota(initial: u64) -> Quota {
    Quota::new(1, Duration::from_nanos(10)).with_burst(2).with_initial(initial)
}

fn assert_order<const N: usize>(initial: u64, threads: [&[Row<Spec>]; N], there_is_one: bool) {
    assert_order_by(&Spec::new(&quota(initial)), threads, there_is_one);
}

const TAKEN: Answer = Answer::Done;
const DONE: Answer = Answer::Done;

#[test]
fn a_permit_is_taken_twice() {
    let refused = Answer::Wait(10);
    for (second, right) in [(refused, true), (TAKEN, false), (Answer::Wait(9), false), (Answer::Never, false)]
    {
        // At once, and one after the other.
        for from in [1, 3] {
            let threads: [&[Row<Spec>]; 2] =
                [&[(Call::Try(1), TAKEN, 0, 2)], &[(Call::Try(1), second, from, 4)]];
            assert_order(1, threads, right);
        }
    }
}

#[test]
fn one_is_refused_what_is_there() {
    // A charge at the same time may be the reason, one that comes later not.
    for (from, right) in [(1, true), (3, false)] {
        let charge = (Call::Charge(1), Answer::Wait(0), from, 4);
        assert_order(2, [&[(Call::Try(2), Answer::Wait(10), 0, 2)], &[charge]], right);
    }
}

#[test]
fn a_refund_is_lost() {
    for (left, right) in [(1, true), (0, false), (2, false)] {
        let threads: [&[Row<Spec>]; 3] = [
            &[(Call::Refund(1), DONE, 2, 4), (Call::Available, Answer::Count(left), 6, 7)],
            &[(Call::Try(2), TAKEN, 0, 1)],
            &[(Call::Available, Answer::Count(0), 3, 5)],
        ];
        assert_order(2, threads, right);
    }
}

#[test]
fn the_time_is_older_than_the_call() {
    for (from, right) in [(1, true), (3, false)] {
        let threads: [&[Row<Spec>]; 2] =
            [&[(Call::Advance(10), DONE, 0, 2)], &[(Call::Available, Answer::Count(0), from, 4)]];
        assert_order(0, threads, right);
    }
}

/// It has read the clock, and another goes on from a later time: it may be refused, although it would have been
/// admitted by the time that it has read before the other came, and by the later time after. But the wait that it
/// is told is that from the time it has read.
#[test]
fn a_call_may_decide_by_a_time_that_has_passed() {
    let right = [TAKEN, Answer::Wait(20)];
    for answer in [TAKEN, Answer::Wait(20), Answer::Wait(10), Answer::Wait(30), Answer::Never] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Try(1), answer, 0, 5)],
            &[(Call::Advance(20), DONE, 1, 2), (Call::Try(1), TAKEN, 3, 4)],
        ];
        assert_order(2, threads, right.contains(&answer));
    }
}

#[test]
fn an_advance_counts_twice() {
    for (count, right) in [(1, true), (2, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Advance(10), DONE, 0, 3)],
            &[(Call::UpTo(2), Answer::Count(0), 1, 2), (Call::UpTo(2), Answer::Count(count), 4, 5)],
        ];
        assert_order(0, threads, right);
    }
}

/// To a quota that is twice as fast, or to one that has a smaller burst.
fn assert_order_with_changes<const N: usize>(initial: u64, threads: [&[Row<Spec>]; N], there_is_one: bool) {
    let fast = Quota::new(1, Duration::from_nanos(5)).with_burst(2);
    let small = quota(0).with_burst(1).with_initial(0);
    assert_order_by(&Spec::with(&[quota(initial), fast, small]), threads, there_is_one);
}

#[test]
fn a_change_of_quota_loses_what_was_taken_meanwhile() {
    for (left, right) in [(1, true), (2, false), (0, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Change(1), DONE, 0, 2), (Call::Available, Answer::Count(left), 4, 5)],
            &[(Call::Try(1), TAKEN, 1, 3)],
        ];
        assert_order_with_changes(2, threads, right);
    }
}

#[test]
fn the_past_counts_at_the_new_rate() {
    for (from, left, right) in [(2, 1, true), (2, 2, false), (2, 0, false), (0, 2, true), (0, 0, false)] {
        // After the clock was moved, or at the same time.
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Advance(10), DONE, 0, 1)],
            &[(Call::Change(1), DONE, from, 3), (Call::Available, Answer::Count(left), 4, 5)],
        ];
        assert_order_with_changes(0, threads, right);
    }
}

#[test]
fn more_than_a_burst_survives_a_change() {
    for (second, right) in [(Answer::Wait(10), true), (TAKEN, false), (Answer::Wait(5), false)] {
        let calls: &[Row<Spec>] =
            &[(Call::Change(2), DONE, 0, 1), (Call::Try(1), TAKEN, 2, 3), (Call::Try(1), second, 4, 5)];
        assert_order_with_changes(2, [calls], right);
    }
    // One that begins before the change may still be decided by the larger burst.
    for (from, right) in [(1, true), (3, false)] {
        let threads: [&[Row<Spec>]; 2] =
            [&[(Call::Change(2), DONE, 0, 2)], &[(Call::Try(2), TAKEN, from, 4)]];
        assert_order_with_changes(2, threads, right);
    }
}
