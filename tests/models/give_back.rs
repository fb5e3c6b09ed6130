//! Permits that go back: dropped reservations, and waiters that leave after they were granted.
//!
//! The model is a bucket from which every permit that went unused was never taken. The limiter must never hold more
//! than that bucket, whatever was called in between: else what went back was permits made from nothing.

mod bucket;
mod held;
mod history;
mod rules;

use std::{task::Poll, time::Duration};

use tidegate::{ManualClock, Quota, RateLimiter};

use self::{
    bucket::{Bucket, PERMIT},
    history::{MS, Share, history, quota},
    rules::Rule,
};
use super::{clock::TestClock, tasks::Call};
use crate::{Outcome, each_seed, ensure, failures, pick, random::Random};

const HISTORIES: u64 = 30_000;
/// Enough for the wrong rules.
const FEW: u64 = 6_000;

fn returned(histories: u64, rule: Rule) -> f64 {
    let mut sum = Share::default();
    each_seed(histories, |random| {
        let share = history(random, rule)?;
        sum.back += share.back / 1_000;
        sum.of += share.of / 1_000;
        Ok(())
    });
    sum.back as f64 / sum.of as f64
}

#[test]
fn what_goes_back_is_never_more_than_was_taken() {
    returned(HISTORIES, Rule::Limiter);
}

/// A limiter that gave nothing back would be safe.
#[test]
fn as_much_goes_back_as_by_the_right_rule() {
    let (limiter, right) = (returned(FEW, Rule::Limiter), returned(FEW, Rule::Right));
    // The two draw different histories as soon as one gives back more than the other.
    assert!(limiter > right - 0.03, "{limiter:.3} of what was not used goes back, not {right:.3}");
}

#[test]
fn wrong_rules_are_found() {
    assert_eq!(failures(FEW, |random| history(random, Rule::Right).map(drop)), 0);
    for rule in [Rule::All, Rule::WithoutRefunds, Rule::WithoutBursts] {
        let found = failures(FEW, |random| history(random, rule).map(drop));
        assert!(found > 0, "{rule:?} passes");
    }
}

/// 10 permits were there, 4 have been reserved, and one taken: 9 are there once the reservation is dropped. Half a permit
/// that came in between would have found the bucket full without the reservation.
#[test]
fn a_reservation_goes_back_although_another_call_took_a_permit() {
    for pause_ms in [0, 50] {
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(Quota::per_second(10), clock.clone());
        let reservation = limiter.try_reserve(4).unwrap();
        limiter.try_acquire().unwrap();
        clock.advance(Duration::from_millis(pause_ms));
        drop(reservation);
        assert_eq!(limiter.available(), 9, "after {pause_ms} ms");
    }
}

/// A grant after which calls took some, and some time passed. What the time since would have brought to a full bucket
/// is lost, and no more.
fn alone(random: &mut Random) -> Outcome {
    let (every_ms, burst) = (1 + random.below(8) as i64, 2 + random.below(8) as i64);
    let clock = TestClock::starting_at(pick(random, &[0, 3_600_000 * MS]));
    let limiter = RateLimiter::with_clock(quota(every_ms, burst, 10 * MS), clock.clone());
    let mut model = Bucket::new(every_ms, burst, burst);
    let before = random.below(2 * burst as u64) as i64;
    limiter.charge(before).unwrap();
    model.take(before, 0);

    let n = 1 + random.below(burst as u64) as i64;
    let mut call = Call::reserve(&limiter, n);
    let mut polled = call.poll();
    if polled.is_pending() {
        let ns = limiter.time_until(burst).unwrap().as_nanos() as u64 - (burst * every_ms) as u64 * MS;
        clock.advance(ns, || {});
        model.pass(ns);
        polled = call.poll();
    }
    let Poll::Ready(Ok(Some(reservation))) = polled else {
        return Err(format!("{n} of {model:?}: {:?}", polled.map_ok(drop)));
    };
    let ahead = |model: &Bucket| model.units(limiter.time_until_full().as_nanos() as u64);
    let end = ahead(&model);
    ensure!(end == model.ahead.max(0) + n * PERMIT, "{end} after {n}, by {model:?}");

    let others = random.below(burst as u64) as i64;
    let taken = others > 0 && limiter.try_acquire_n(others).is_ok();
    let within_a_burst = random.below((burst * every_ms) as u64 * MS);
    let ns = pick(random, &[0, 0, every_ms as u64 * MS, within_a_burst]);
    clock.advance(ns, || {});
    let full = ahead(&model);
    if taken {
        model.take(others, 0);
    }
    model.pass(ns);
    drop(reservation);

    let back = full - ahead(&model);
    let least = (n * PERMIT).min(end - model.units(ns)).max(0);
    ensure!(back >= least, "{back} of {n} went back, not {least}, after {ns} ns and {others} by {model:?}");
    ensure!(taken || ahead(&model) == model.ahead.max(0), "{} went back, not as by {model:?}", back);
    ensure!(ahead(&model) >= model.ahead.max(0), "{back} of {n} went back by {model:?}");
    Ok(())
}

#[test]
fn all_of_it_goes_back_while_the_bucket_would_not_have_overflowed() {
    each_seed(HISTORIES / 3, alone);
}
