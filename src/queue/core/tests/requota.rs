//! Another quota.

use super::*;
use crate::{error::QuotaError, quota::Inherit};

fn rescale(rig: &mut Rig, text: &str, inherit: Inherit) -> usize {
    let (quota, mut refused) = (quota(text), Vec::new());
    rig.step(|core| core.rescale(quota, Scale::new(&quota).unwrap(), inherit, &mut refused)).unwrap();
    refused.len()
}

#[test]
fn the_level_is_inherited_as_it_was_asked_for() {
    for (inherit, text, level) in [
        (Inherit::AsIs, "1000/s burst 20", 4),
        (Inherit::AsIs, "1000/s burst 3", 3),
        (Inherit::Additively, "1000/s burst 20", 14),
        (Inherit::Additively, "1000/s burst 3", -3),
        (Inherit::Proportionally, "1000/s burst 20", 8),
        (Inherit::Reset, "1000/s burst 20 initial 7", 7),
    ] {
        let mut rig = Rig::of("10/s burst 10");
        rig.take(6).unwrap();
        rescale(&mut rig, text, inherit);
        assert_eq!(rig.level(), rig.permits(level), "{inherit:?} {text}");
    }
}

#[test]
fn a_level_is_rounded_down_to_a_tick() {
    let mut rig = Rig::of("1/s burst 5 initial 0");
    rig.now_ns += 1_999;
    // A tick was a nanosecond's worth, and is a thousand times as much.
    rescale(&mut rig, "1000/s burst 5", Inherit::AsIs);
    let level = rig.level();
    assert_eq!((level, rig.permits(1)), (1, 1_000_000));
}

#[test]
fn waiters_are_priced_anew_and_refused_if_they_ask_for_too_much() {
    let mut rig = Rig::of("10/s burst 10 initial 0");
    let waiters = [2, 7, 3].map(|permits| rig.join(permits, NEVER));
    assert_eq!(rescale(&mut rig, "100/s burst 5", Inherit::AsIs), 1);
    assert!(rig.core.take_alarm_void());
    let never = crate::TooMany::new(7.into(), 5, 5).into();
    assert_eq!(waiters.map(|waiter| rig.granted(waiter)), [None, Some(Outcome::Denied(never)), None]);
    assert_eq!(rig.grant_due(), Next::At(START + SECOND / 50));
    rig.now_ns += SECOND / 20;
    assert_eq!(rig.grant_due(), Next::Unknown);
}

#[test]
fn a_grant_goes_back_under_another_quota_if_the_level_was_kept() {
    for (inherit, text, back) in [
        (Inherit::AsIs, "1000/s burst 10", true),
        (Inherit::AsIs, "1000/s burst 20", true),
        (Inherit::Additively, "1000/s burst 20", false),
        (Inherit::Reset, "1000/s burst 10", false),
    ] {
        let mut rig = Rig::of("10/s burst 10");
        rig.take(3).unwrap();
        let grant = rig.take(4).unwrap();
        rescale(&mut rig, text, inherit);
        assert_eq!(rig.step(|core| core.is_whole(&grant)), back, "{inherit:?} {text}");
        let before = rig.level();
        assert_eq!(rig.step(|core| core.give_back(grant)), back);
        let after = rig.level();
        assert_eq!(after - before, if back { rig.permits(4) } else { 0 }, "{inherit:?} {text}");
    }
}

/// Of 10 permits 7 are taken, 4 of them by a grant that goes back. Without that grant a burst of 5 would have had 5 and
/// not 3.
#[test]
fn what_a_smaller_burst_cuts_off_does_not_go_back() {
    let mut rig = Rig::of("10/s burst 10");
    rig.take(3).unwrap();
    let grant = rig.take(4).unwrap();
    rescale(&mut rig, "10/s burst 5", Inherit::AsIs);
    let before = rig.level();
    assert_eq!(before, rig.permits(3));
    rig.step(|core| core.give_back(grant));
    let after = rig.level();
    assert!(after <= rig.permits(5), "{after}");
}

#[test]
fn a_debt_that_the_word_cannot_hold_is_named_and_changes_nothing() {
    let mut rig = Rig::of("1/s burst 1000000000 initial 100000000");
    let before = (rig.word, rig.core.frame);
    let yearly = quota("1 per 31536000s burst 1");
    let scale = Scale::new(&yearly).unwrap();
    let error =
        rig.step(|core| core.rescale(yearly, scale, Inherit::Additively, &mut Vec::new())).unwrap_err();
    assert!(matches!(error, QuotaError::DebtTooDeep { permits: 899_999_999, max: 1.. }), "{error:?}");
    assert_eq!((rig.word, rig.core.frame, rig.thaw.unwrap().frame), (before.0, before.1, None));
    assert_eq!(rig.core.quota(), quota("1/s burst 1000000000 initial 100000000"));
}

#[test]
fn what_is_set_aside_waits_for_the_waiters_that_need_it() {
    let mut rig = Rig::of("10/s burst 10 initial 0");
    let waiter = rig.join(8, NEVER);
    assert!(rig.step(|core| core.defer_set_aside(4)));
    assert_eq!(rig.core.largest_request(), 6);
    rig.step(|core| {
        assert_eq!(core.cost(7.into()), Err(crate::TooMany::new(7.into(), 10, 6).into()));
        assert!(core.cost(6.into()).is_ok());
        assert_eq!(core.take_deferred(), None);
    });
    rig.now_ns += SECOND;
    assert_eq!(rig.grant_due(), Next::Unknown);
    assert!(rig.granted(waiter).is_some());
    assert_eq!(rig.step(Core::take_deferred), Some(4));
    assert_eq!(rig.step(Core::take_deferred), None);
    assert!(!rig.step(|core| core.defer_set_aside(4)), "nobody needs it");
}
