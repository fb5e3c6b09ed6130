//! Waiters that have become late are refused at once, wherever they stand.

use super::*;

/// One a second, with a burst of one and no catch-up; the waiters are due after 1, 2 and 3 seconds, the second one in time
/// by half a second.
fn rig() -> (Rig, [usize; 3]) {
    let mut rig = Rig::of("1/s burst 1 initial 0 catch-up 0s");
    let waiters = [NEVER, START + 5 * SECOND / 2, NEVER].map(|deadline_ns| rig.join(1, deadline_ns));
    assert_eq!(rig.grant_due(), Next::At(START + SECOND));
    (rig, waiters)
}

/// Which of them were refused, and how late they would have been.
fn late(rig: &Rig, waiters: [usize; 3]) -> [Option<u64>; 3] {
    waiters.map(|waiter| match rig.granted(waiter) {
        Some(Outcome::Denied(denied)) => Some(denied.retry_after().unwrap().as_nanos() as u64),
        _ => None,
    })
}

#[test]
fn nobody_is_late_as_long_as_nothing_happens() {
    let (mut rig, waiters) = rig();
    rig.now_ns += SECOND;
    assert_eq!(rig.grant_due(), Next::At(START + 2 * SECOND));
    assert_eq!(late(&rig, waiters), [None; 3]);
}

#[test]
fn a_charge_makes_a_waiter_late() {
    let (mut rig, waiters) = rig();
    let permit = rig.permits(1) as u64;
    rig.step(|core| core.charge(permit / 2).unwrap());
    assert_eq!(rig.grant_due(), Next::At(START + 3 * SECOND / 2));
    assert_eq!(late(&rig, waiters), [None; 3], "just in time");
    rig.step(|core| core.charge(permit / 4).unwrap());
    assert_eq!(rig.grant_due(), Next::At(START + 7 * SECOND / 4));
    assert_eq!(late(&rig, waiters), [None, Some(SECOND / 4), None]);
    assert_eq!(rig.core.waiting(), 2);
}

#[test]
fn a_slower_quota_makes_a_waiter_late() {
    let (mut rig, waiters) = rig();
    let slower = quota("1 per 2s burst 1 catch-up 0s");
    let mut refused = Vec::new();
    rig.step(|core| {
        core.rescale(slower, Scale::new(&slower).unwrap(), crate::quota::Inherit::AsIs, &mut refused)
    })
    .unwrap();
    assert_eq!(rig.grant_due(), Next::At(START + 2 * SECOND));
    assert_eq!(late(&rig, waiters), [None, Some(3 * SECOND / 2), None]);
}

/// What was not made up for is lost to all that wait.
#[test]
fn a_late_hand_off_makes_a_waiter_late() {
    let (mut rig, waiters) = rig();
    rig.now_ns += 7 * SECOND / 4;
    assert_eq!(rig.grant_due(), Next::At(START + 11 * SECOND / 4));
    assert_eq!(late(&rig, waiters), [None, Some(SECOND / 4), None]);
    assert!(matches!(rig.granted(waiters[0]), Some(Outcome::Granted(_))));
}

#[test]
fn the_part_of_a_call_makes_a_waiter_late() {
    let (mut rig, waiters) = rig();
    let final_part = rig.join_front(1);
    assert_eq!(rig.grant_due(), Next::At(START + SECOND));
    assert_eq!(late(&rig, waiters), [None, Some(SECOND / 2), None]);
    rig.leave(final_part);
}

/// It was due here after a second, and waited for another limit for another half.
#[test]
fn the_part_of_a_call_that_waits_for_another_limit_makes_a_waiter_late() {
    let mut rig = Rig::of("1/s burst 1 initial 0 catch-up 0s");
    let final_part = rig.join_front(1);
    let waiters = [NEVER, START + 13 * SECOND / 4, NEVER].map(|deadline_ns| rig.join(1, deadline_ns));
    rig.now_ns += 3 * SECOND / 2;
    assert!(rig.with(final_part, Core::take_final_part).is_some());
    assert_eq!(rig.grant_due(), Next::At(START + 5 * SECOND / 2));
    assert_eq!(late(&rig, waiters), [None, Some(SECOND / 4), None]);
}

/// The bucket counts as empty after a step back, and the deadlines move with it.
#[test]
fn a_step_back_of_the_clock_makes_a_waiter_late() {
    let mut rig = Rig::of("1/s burst 4 initial 2 catch-up 0s");
    // Due after one second and after two.
    let waiters =
        [(3, NEVER), (1, START + 5 * SECOND / 2), (1, NEVER)].map(|(n, deadline)| rig.join(n, deadline));
    rig.now_ns -= 20 * SECOND;
    let now_ns = rig.now_ns;
    assert_eq!(rig.grant_due(), Next::At(now_ns + 3 * SECOND));
    assert_eq!(late(&rig, waiters), [None, Some(3 * SECOND / 2), None]);
}

#[test]
fn a_sweep_goes_on_where_the_batch_was_full() {
    let mut rig = Rig::of("1/s burst 1 initial 0 catch-up 0s");
    let first = rig.join(1, NEVER);
    let waiters: Vec<_> = (2..72).map(|n| rig.join(1, START + n * SECOND)).collect();
    assert_eq!(rig.grant_due(), Next::At(START + SECOND));
    let permit = rig.permits(1) as u64;
    rig.step(|core| core.charge(100 * permit).unwrap());
    let mut rounds = 1;
    while rig.grant_due() == Next::More {
        rounds += 1;
    }
    assert_eq!((rounds, rig.core.waiting()), (3, 1));
    assert_eq!(rig.granted(first), None);
    let denied = |waiter: &usize| matches!(rig.granted(*waiter), Some(Outcome::Denied(_)));
    assert!(waiters.iter().all(denied));
}

#[test]
fn a_place_that_becomes_free_lets_later_waiters_come_earlier() {
    let (mut rig, waiters) = rig();
    assert!(rig.leave(waiters[0]));
    rig.now_ns += SECOND;
    assert_eq!(rig.grant_due(), Next::At(START + 2 * SECOND));
    assert!(matches!(rig.granted(waiters[1]), Some(Outcome::Granted(_))));
}
