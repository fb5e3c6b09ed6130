use crate::queue::rounds::{HOLD_NS, Rounds, SHORT_NS};

const NOW: u64 = 1_000_000_000;

/// Two have been released now, and one is back.
fn one_is_back() -> Rounds {
    let mut rounds = Rounds::default();
    rounds.fall_short();
    assert_eq!(rounds.hold(0, NOW), None);
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
    rounds.fall_short();
    assert_eq!(rounds.hold(0, NOW), None);
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
    rounds.fall_short();
    assert_eq!(rounds.hold(0, NOW), None);
    rounds.passed(NOW);
    assert_eq!(rounds.next(), 2);
    assert_eq!(rounds.awaits_until(NOW), Some(NOW + HOLD_NS));
    rounds.passed(NOW + 1);
    assert!(!rounds.hold_newcomer(NOW + 1));
}

#[test]
fn nobody_is_held_back_where_permits_are_not_short() {
    let mut rounds = one_is_back();
    rounds.released(NOW + SHORT_NS - 1);
    rounds.released(NOW + SHORT_NS - 1);
    assert!(rounds.hold(rounds.next(), NOW + SHORT_NS - 1).is_some());
    assert_eq!(rounds.hold(rounds.next(), NOW + SHORT_NS), None);
}
