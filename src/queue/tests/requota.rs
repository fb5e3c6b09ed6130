//! What becomes of the word, and of what is known about it, when the quota changes.

use core::time::Duration;

use super::{
    locked::{MS, START, limiter},
    waiters::queued,
};
use crate::{Denied, Inherit, gcra::MAX_TAT};

/// What does not fit is cut off: it is no credit for those who wait.
#[test]
fn more_than_a_smaller_burst_is_just_full() {
    for initial in [10, 9, 5] {
        let (limiter, _clock) = limiter(&format!("1000/s burst 10 initial {initial}"));
        limiter.set_quota("1000/s burst 5".parse().unwrap()).unwrap();
        limiter.queue().locked(|locked| assert_eq!(locked.tat, locked.now, "{initial}"));
    }
}

/// Credit of a drained queue goes on, as far as the new quota makes up for lateness.
#[test]
fn credit_is_kept_as_far_as_is_made_up_for() {
    for (catch_up, kept) in [(9, 3), (3, 3), (2, 2), (0, 0)] {
        let (limiter, _clock) = limiter("1000/s burst 5 catch-up 7ms");
        let queue = limiter.queue();
        let credit = queue.locked(|locked| {
            locked.tat = locked.now - 3 * locked.frame.scale.per_permit;
            locked.meter.set_linger_until_ns(START + 7 * MS);
            locked.now - locked.tat
        });
        limiter.set_quota(format!("1000/s burst 5 catch-up {catch_up}ms").parse().unwrap()).unwrap();
        queue.locked(|locked| assert_eq!(locked.now - locked.tat, credit / 3 * kept, "{catch_up}"));
    }
}

#[test]
fn the_deepest_debt_that_the_word_can_hold_stays() {
    let (limiter, _clock) = limiter("1000/s burst 5");
    limiter.queue().locked(|locked| {
        let most = locked.chargeable();
        assert_eq!(locked.charge(most), Some(MAX_TAT));
    });
    let debt = limiter.available();
    assert_eq!(limiter.set_quota("1000/s burst 5".parse().unwrap()), Ok(()));
    assert_eq!(limiter.available(), debt);
}

/// But for a grant of five the bucket would have had five more, of which only so many would have fitted.
#[test]
fn a_grant_goes_back_if_it_would_have_fitted_the_new_burst() {
    for (burst, inherit, fits) in [
        (11, Inherit::AsIs, true),
        (10, Inherit::AsIs, true),
        (9, Inherit::AsIs, false),
        (5, Inherit::AsIs, false),
        (4, Inherit::AsIs, false),
        // What is missing from the burst stays the same.
        (5, Inherit::Additively, true),
        // It would have been another part of the whole.
        (10, Inherit::Proportionally, false),
    ] {
        let (limiter, _clock) = limiter("1000/s burst 10");
        let grant = limiter.queue().try_hold(5.into()).unwrap();
        limiter.set_quota_with(format!("1000/s burst {burst}").parse().unwrap(), inherit).unwrap();
        let fitted = limiter.queue().locked(|locked| locked.hold_for(grant));
        assert_eq!(fitted, fits, "{burst} {inherit:?}");
    }
}

/// In a busy period it would have been credit, beyond a full burst.
#[test]
fn a_grant_goes_back_if_it_would_have_been_credit() {
    for (catch_up, then, missing, burst, inherit, fits) in [
        (3, 3, 2, 10, Inherit::AsIs, true),
        // Beyond what is made up for, by the old quota or the new one.
        (2, 20, 2, 10, Inherit::AsIs, false),
        (20, 2, 2, 10, Inherit::AsIs, false),
        (20, 20, 2, 11, Inherit::AsIs, true),
        // The burst would have been full at first, and what is beyond the new one is cut off.
        (20, 20, 2, 9, Inherit::AsIs, false),
        (20, 20, 2, 9, Inherit::Additively, true),
        // The queue has left credit already.
        (20, 20, -1, 9, Inherit::AsIs, true),
        (20, 4, -1, 9, Inherit::AsIs, false),
    ] {
        let (limiter, _clock) = limiter(&format!("1000/s burst 10 initial 0 catch-up {catch_up}ms"));
        let queue = limiter.queue();
        let _busy = (missing > 0).then(|| queued(&limiter, 10));
        let grant = queue.locked(|locked| {
            let per_permit = locked.frame.scale.per_permit;
            locked.tat = locked.now.saturating_add_signed(missing * per_permit as i64);
            locked.meter.set_linger_until_ns(START + 20 * MS);
            locked.grant(5 * per_permit)
        });
        let quota = format!("1000/s burst {burst} catch-up {then}ms").parse().unwrap();
        limiter.set_quota_with(quota, inherit).unwrap();
        let fitted = queue.locked(|locked| locked.hold_for(grant));
        assert_eq!(fitted, fits, "{catch_up} {then} {missing} {burst} {inherit:?}");
    }
}

/// A smaller burst with as much missing is a deeper debt, which is no reason to doubt the clock.
#[test]
fn a_debt_that_a_change_has_made_deeper_is_a_rightful_one() {
    let (limiter, clock) = limiter("1000/s burst 10");
    limiter.charge(15).unwrap();
    limiter.set_quota_with("1000/s burst 1".parse().unwrap(), Inherit::Additively).unwrap();
    assert_eq!(limiter.available(), -14);
    let due = |ms| Err(Denied::NotYet { retry_after: Duration::from_millis(ms) });
    assert_eq!(limiter.try_acquire(), due(15));
    clock.advance(Duration::from_millis(10));
    assert_eq!((limiter.try_acquire(), limiter.available()), (due(5), -4));
}

/// A level that is there is none: a clock that steps back is followed no later for it.
#[test]
fn a_change_without_a_debt_makes_none() {
    let (limiter, clock) = limiter("1000/s burst 5");
    limiter.set_quota("1000/s burst 5".parse().unwrap()).unwrap();
    limiter.try_acquire_n(5).unwrap();
    clock.set(START - 100 * MS);
    // As long as it takes to fill, a difference of readings, and a tick.
    let retry_after = limiter.try_acquire().unwrap_err().retry_after().unwrap();
    assert!(retry_after <= Duration::from_nanos(6 * MS + 1), "{retry_after:?}");
}
