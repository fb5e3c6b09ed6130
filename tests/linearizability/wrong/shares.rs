//! Histories of shares that are wrong, beside the ones that are right.

use super::{
    shares::{Answer, Call, Spec},
    wrong::{Row, assert_order_by},
};

/// So many permits, of which shares of two may be drawn.
fn assert_order<const N: usize>(permits: u64, slots: usize, threads: [&[Row<Spec>]; N], there_is_one: bool) {
    assert_order_by(&Spec::new(permits, slots, N, 2), threads, there_is_one);
}

const TAKEN: Answer = Answer::Done;
const REFUSED: Answer = Answer::Wait(1_000);

#[test]
fn a_parked_permit_is_taken_twice() {
    for (last, right) in [(REFUSED, true), (TAKEN, false), (Answer::Wait(2_000), false)] {
        for slots in [1, 2] {
            // With a share drawn for the first, and the two others at once.
            let threads: [&[Row<Spec>]; 3] =
                [&[(Call::ByCore, TAKEN, 0, 1)], &[(Call::ByCore, TAKEN, 2, 4)], &[(Call::Try, last, 3, 5)]];
            assert_order(2, slots, threads, right);
        }
    }
}

#[test]
fn one_is_refused_what_is_parked() {
    // While a share is on its way there may be none; not once it is parked.
    for (to, right) in [(3, true), (1, false)] {
        for slots in [1, 2] {
            for call in [Call::Try, Call::ByCore, Call::ByHand] {
                let threads: [&[Row<Spec>]; 2] = [
                    &[(Call::ByCore, TAKEN, 0, to), (Call::Available, Answer::Count(1), 6, 7)],
                    &[(call, REFUSED, 2, 5)],
                ];
                assert_order(2, slots, threads, right);
            }
        }
    }
}

#[test]
fn a_share_is_lost() {
    for (left, right) in [(3, true), (1, false), (2, false), (4, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::ByCore, TAKEN, 0, 2), (Call::Available, Answer::Count(left), 4, 5)],
            &[(Call::ByCore, TAKEN, 1, 3)],
        ];
        assert_order(5, 2, threads, right);
    }
}

#[test]
fn a_hand_gives_back_what_it_has_used() {
    for (held, left, right) in [(1, 2, true), (1, 3, false), (1, 1, false), (0, 2, false), (3, 2, false)] {
        let calls: &[Row<Spec>] = &[
            (Call::ByHand, Answer::Held(held + 1), 0, 1),
            (Call::ByHand, Answer::Held(1), 2, 3),
            (Call::GiveBack, Answer::Held(0), 4, 5),
            (Call::Available, Answer::Count(left), 6, 7),
        ];
        assert_order(4, 1, [calls], right);
    }
}

#[test]
fn one_takes_what_is_in_the_hand_of_another() {
    for (second, right) in [(REFUSED, true), (TAKEN, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::ByHand, Answer::Held(1), 0, 1), (Call::ByHand, Answer::Held(0), 4, 5)],
            &[(Call::Try, second, 2, 3)],
        ];
        assert_order(2, 1, threads, right);
    }
    // A `Local` that holds permits is not refused.
    for (held, right) in [(0, true), (1, false)] {
        let calls: &[Row<Spec>] = &[(Call::ByHand, Answer::Held(held), 0, 1), (Call::ByHand, REFUSED, 2, 3)];
        assert_order(1 + held, 1, [calls], right);
    }
}

#[test]
fn what_comes_with_time_comes_twice_or_not_at_all() {
    // Half of a permit is there, after or while a reading is made.
    for (from, told, right) in [
        (2, Answer::Wait(500), true),
        (2, REFUSED, false),
        (0, REFUSED, true),
        (0, Answer::Wait(500), true),
        (0, Answer::Wait(250), false),
        (2, TAKEN, false),
    ] {
        for call in [Call::Try, Call::ByCore, Call::ByHand] {
            let answer = if call == Call::ByHand && told == TAKEN { Answer::Held(0) } else { told };
            let threads: [&[Row<Spec>]; 2] =
                [&[(Call::Advance(500), TAKEN, 0, 1)], &[(call, answer, from, 3)]];
            assert_order(0, 2, threads, right);
        }
    }
    // What is parked stays there, and what comes is added.
    for (left, right) in [(3, true), (2, false), (4, false)] {
        let threads: [&[Row<Spec>]; 2] = [
            &[(Call::Advance(1_500), TAKEN, 2, 3)],
            &[(Call::ByCore, TAKEN, 0, 1), (Call::Available, Answer::Count(left), 4, 5)],
        ];
        assert_order(3, 2, threads, right);
    }
}
