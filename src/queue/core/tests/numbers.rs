//! Frames: the origin moves and the level stays, and a number does not repeat before the numbers are used up.

use super::*;
use crate::quota::Inherit;

fn rescale(rig: &mut Rig, text: &str) {
    let quota = quota(text);
    rig.step(|core| core.rescale(quota, Scale::new(&quota).unwrap(), Inherit::AsIs, &mut Vec::new()))
        .unwrap();
}

/// A permit a day, and one charged a day: by a level, by none, and in debt. It takes too many days for Miri.
#[cfg(not(miri))]
#[test]
fn the_origin_moves_and_the_level_stays() {
    let day_ns = 86_400 * SECOND;
    for taken in [0, 1, 2, 7] {
        let mut rig = Rig::of("1/day burst 2");
        let permit = rig.permits(1) as u64;
        rig.step(|core| core.charge(taken * permit).unwrap());
        let (mut days, mut moves) = (0, 0);
        while moves < 2 {
            days += 1;
            rig.now_ns += day_ns;
            rig.step(|core| core.charge(permit).unwrap());
            assert_eq!(rig.word.tat() - rig.core.now, taken.max(1) * permit, "day {days}");
            moves += usize::from(rig.thaw.unwrap().frame.is_some());
        }
        // A waiter is due in so many days.
        let waiter = rig.join(2, NEVER);
        let frame = rig.core.frame;
        let due_ns = rig.now_ns + taken.max(1) * day_ns;
        assert_eq!(rig.grant_due(), Next::At(due_ns));
        rig.now_ns = due_ns;
        assert_eq!(rig.grant_due(), Next::Unknown);
        assert!(rig.granted(waiter).is_some() && rig.core.frame == frame);
    }
}

/// In a queue whose hand-off has not run for a hundred years.
#[test]
fn a_waiter_is_granted_at_the_reading_at_which_the_origin_moves() {
    let mut rig = Rig::of("1/day burst 2 initial 0");
    let waiters = [2, 1].map(|permits| rig.join(permits, NEVER));
    rig.now_ns += 150 * 365 * 86_400 * SECOND;
    let due_ns = rig.now_ns + 86_400 * SECOND - 10 * MS;
    assert_eq!(rig.grant_due(), Next::At(due_ns));
    assert!(rig.thaw.unwrap().frame.is_some());
    assert_eq!(waiters.map(|waiter| rig.granted(waiter).is_some()), [true, false]);
}

/// The check is in the rig: each published base is above all numbers so far, unless they are used up.
#[test]
fn numbers_do_not_repeat_before_they_are_used_up() {
    for [first, second] in [
        ["10/s", "1000/s"],
        ["100/s burst 20", "10/s burst 3"],
        ["1000000/s", "12345/s"],
        ["1/day", "1000000000/s burst 10000000"],
    ] {
        let mut rig = Rig::of(first);
        let mut anew = 0;
        let publications = if cfg!(miri) { 50 } else { 3_000 };
        for n in 0..publications {
            // Empty each time.
            let largest = rig.core.largest_request();
            rig.now_ns += MS;
            while rig.take(largest).is_ok() {}
            let before = rig.word.tat();
            rescale(&mut rig, if n % 2 == 0 { second } else { first });
            let base = rig.core.frame.base();
            if base == 0 {
                anew += 1;
                assert!(n > 1_000, "{first} {second}: anew after {n}");
            } else {
                assert!(base > before);
            }
        }
        assert!(anew <= 2, "{first} {second}");
    }
}

#[test]
fn the_base_starts_anew_when_the_numbers_are_used_up_and_the_level_stays() {
    // A burst that takes thirty years to fill.
    let mut rig = Rig::of("1/s burst 1000000000 initial 5");
    let mut anew = 0;
    for _ in 0..8 {
        rescale(&mut rig, "1/s burst 1000000000");
        anew += usize::from(rig.core.frame.base() == 0);
        let level = rig.level();
        assert_eq!(level, rig.permits(5));
    }
    assert!(anew >= 2, "{anew}");
}

#[test]
fn a_charge_late_in_the_life_of_a_frame_finds_the_room_of_a_fresh_one() {
    let mut rig = Rig::of("1000/s burst 5");
    let permit = rig.permits(1) as u64;
    // Numbers are used up by debts that a reset forgives.
    let most = rig.step(|core| core.charge(u64::MAX)).unwrap_err();
    for _ in 0..5 {
        assert_eq!(rig.step(|core| core.charge(most - permit)), Ok(()));
        assert!(rig.thaw.unwrap().in_debt);
        let paid_ns = rig.step(|core| core.paid_ns());
        assert!(paid_ns > rig.now_ns + 10 * 365 * 86_400 * SECOND);
        rig.step(|core| core.charge(2 * permit)).unwrap_err();
        rig.step(Core::reset);
        assert_eq!(rig.level(), rig.permits(5));
    }
}

/// The numbers start anew, and nothing that was in the word before is further ahead for it.
#[test]
fn a_grant_does_not_go_back_after_an_age_at_the_reading_at_which_the_origin_moves() {
    let mut rig = Rig::of("1/day burst 2");
    let permit = rig.permits(1) as u64;
    let grant = rig.take(1).unwrap();
    // The latest reading by which a call without the lock can take anything.
    let mut last_ns = (START, u64::MAX);
    while last_ns.1 - last_ns.0 > 1 {
        let middle_ns = last_ns.0 + (last_ns.1 - last_ns.0) / 2;
        let within = rig.core.frame.tick(middle_ns).is_some();
        *(if within { &mut last_ns.0 } else { &mut last_ns.1 }) = middle_ns;
    }
    let now = rig.core.frame.tick(last_ns.0).unwrap();
    rig.word = rig.word.with_tat(now + 2 * permit);
    rig.now_ns = last_ns.1;
    assert!(!rig.step(|core| core.give_back(grant)));
    assert_eq!((rig.thaw.unwrap().frame.unwrap().base(), rig.level()), (0, 1));
}
