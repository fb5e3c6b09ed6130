//! The quota changes again and again, between calls, waiters, and waiters who leave: the level is what exact
//! arithmetic says, for all the ways in which a limiter is used, and no window sees more than the larger quota allows.

use std::{task::Poll, time::Duration};

use num_bigint::BigInt;
use num_rational::Ratio;
use proptest::prelude::*;
use tidegate::{Clock, Inherit, ManualClock, Quota, RateLimiter};

use super::{
    oracle::{MILLION, Oracle},
    subjects::{Alone, Contended, InHand, InSlots, Queued, Subject},
    waiter::Waiter,
    windows::{Log, check_windows},
};
use crate::nanos;

type Exact = Ratio<i128>;

/// Permits in so many milliseconds, and a burst.
type Plain = (u64, u64, u64);

#[derive(Clone, Copy, Debug)]
enum Step {
    Advance(u64),
    Try(u64),
    Charge(u64),
    Refund(u64),
    Change(Plain, Inherit),
    Join(u64),
    Drop(usize),
    Look(usize),
}

fn quota((permits, period_ms, burst): Plain) -> Quota {
    Quota::new(permits, Duration::from_millis(period_ms)).burst(burst).catch_up(Duration::ZERO)
}

fn plain() -> impl Strategy<Value = Plain> {
    with_burst(1_u64..12)
}

fn with_burst(burst: impl Strategy<Value = u64>) -> impl Strategy<Value = Plain> {
    (1_u64..8, prop_oneof![Just(1_000_u64), Just(700), Just(3_000)], burst)
}

/// Some with a burst of which a part is set aside where permits are parked.
fn plain_or_large() -> impl Strategy<Value = Plain> {
    with_burst(prop_oneof![1_u64..12, 12_u64..300])
}

fn inherit() -> impl Strategy<Value = Inherit> {
    prop_oneof![
        Just(Inherit::AsIs),
        Just(Inherit::Additively),
        Just(Inherit::Proportionally),
        Just(Inherit::Reset),
    ]
}

fn amount() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 1_u64..12, 1 => 12_u64..200]
}

/// What takes place without waiting.
fn calls() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_u64..3_000).prop_map(Step::Advance),
        1 => (3_000_u64..90_000).prop_map(Step::Advance),
        4 => amount().prop_map(Step::Try),
        1 => amount().prop_map(Step::Charge),
        1 => amount().prop_map(Step::Refund),
        3 => (plain_or_large(), inherit()).prop_map(|(to, inherit)| Step::Change(to, inherit)),
    ];
    prop::collection::vec(step, 1..60)
}

/// With waiters, and with changes that keep what there is, or else what is missing.
fn waits() -> impl Strategy<Value = Vec<Step>> {
    prop_oneof![Just(Inherit::AsIs), Just(Inherit::Additively)].prop_flat_map(waits_with)
}

fn waits_with(inherit: Inherit) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        3 => (0_u64..2_000).prop_map(Step::Advance),
        2 => (0_u64..3).prop_map(|s| Step::Advance(s * 1_000)),
        2 => (1_u64..12).prop_map(Step::Try),
        4 => (1_u64..6).prop_map(Step::Join),
        3 => (0_usize..100).prop_map(Step::Drop),
        2 => (0_usize..100).prop_map(Step::Look),
        2 => plain().prop_map(move |to| Step::Change(to, inherit)),
    ];
    prop::collection::vec(step, 1..60)
}

fn whole(n: u64) -> Exact {
    Exact::from_integer(n.into())
}

/// Each change rounds down by less than a tick, and nothing else rounds.
fn keeps_the_level<S: Subject>(first: Plain, steps: &[Step]) -> Result<(), TestCaseError> {
    let quota = |(permits, period_ms, burst): Plain| {
        Quota::new(permits, Duration::from_millis(period_ms)).burst(burst)
    };
    let clock = ManualClock::starting_at(7_000_000_123);
    let mut subject = S::new(RateLimiter::with_clock(quota(first), clock.clone()));
    let mut oracle = Oracle::new(&quota(first), clock.now()).up_to(subject.most());
    subject.look(&mut oracle);
    for step in steps {
        let (mut before, mut taken) = (subject.beside(), 0);
        match *step {
            Step::Advance(ms) => {
                clock.advance(Duration::from_millis(ms));
                subject.pass_to(&mut oracle, clock.now());
            }
            Step::Try(n) => {
                let (millionths, held, ahead) = (n * MILLION, subject.held(), subject.ahead());
                let never = millionths.saturating_sub(held) > subject.most() * MILLION;
                let outcome = subject.try_acquire_n(n.into());
                let right = match outcome {
                    Err(denied) if denied.is_never() => never,
                    _ if never => false,
                    Err(_) if ahead > 0 => true,
                    _ if ahead > 0 => false,
                    _ if before >= millionths => outcome.is_ok(),
                    _ => oracle.agrees(millionths - before, outcome.is_ok()),
                };
                prop_assert!(right, "{n} of {}: {outcome:?}", oracle.available_with(before));
                match outcome {
                    Ok(()) => taken = millionths,
                    Err(denied) => {
                        if let Some(wait) = denied.retry_after() {
                            let (least, most) = oracle.wait_with_within(before, ahead + millionths, wait);
                            let wait = nanos(wait);
                            prop_assert!(least <= wait && wait <= most, "{wait}, not {least} to {most} ns");
                        }
                    }
                }
            }
            Step::Charge(n) => {
                subject.limiter().charge(n).unwrap();
                taken = n * MILLION;
            }
            Step::Refund(n) => {
                subject.limiter().refund(n).unwrap();
                oracle.refund(n * MILLION);
            }
            Step::Change(to, inherit) => {
                let (from, to) = (subject.limiter().quota(), quota(to));
                subject.limiter().set_quota_with(to, inherit).unwrap();
                prop_assert_eq!(subject.limiter().quota(), to);
                oracle.change(&from, &to, subject.most(), inherit);
                if inherit == Inherit::Reset {
                    // What was parked is none any more.
                    prop_assert_eq!(subject.parked(), 0);
                    before = subject.held();
                }
            }
            _ => {}
        }
        oracle.moved(before, subject.beside() + taken);
        subject.look(&mut oracle);
        let (least, most) = oracle.available_within(subject.parked());
        let level = BigInt::from(subject.limiter().available());
        prop_assert!(least <= level && level <= most, "{level}, not {least} to {most} after {step:?}");
        let wait = subject.limiter().time_until(1).unwrap();
        let (least, most) = oracle.wait_with_within(subject.parked(), subject.ahead() + MILLION, wait);
        let wait = nanos(wait);
        prop_assert!(least <= wait && wait <= most, "{wait}, not {least} to {most} ns after {step:?}");
    }
    Ok(())
}

/// Runs steps with waiters. What was used, by those who wait as of when it was granted to them; and what was earned.
fn run(limiter: &RateLimiter<ManualClock>, first: Plain, steps: &[Step]) -> (Log, Exact) {
    let clock = limiter.clock();
    let mut waiters: Vec<Waiter<'_, ManualClock>> = Vec::new();
    let (mut used, mut tried) = (Log::new(), Log::new());
    let (mut rate, mut earned) = (first, whole(0));
    let mut look = |waiter: &mut Waiter<'_, ManualClock>| {
        match waiter.poll() {
            Poll::Ready(Ok(())) => used.push((waiter.told_at().unwrap(), waiter.n)),
            Poll::Ready(Err(denied)) => assert!(denied.is_never(), "{denied}"),
            Poll::Pending => return false,
        }
        true
    };
    for &step in steps {
        match step {
            Step::Advance(ms) => {
                clock.advance(Duration::from_millis(ms));
                earned += whole(rate.0) * whole(ms) / whole(rate.1);
            }
            Step::Try(n) if limiter.try_acquire_n(n).is_ok() => tried.push((clock.now(), n)),
            Step::Change(to, inherit) => {
                limiter.set_quota_with(quota(to), inherit).unwrap();
                rate = to;
            }
            Step::Join(n) => {
                let mut waiter = Waiter::new(limiter, n);
                if !look(&mut waiter) {
                    waiters.push(waiter);
                }
            }
            Step::Drop(i) if !waiters.is_empty() => drop(waiters.remove(i % waiters.len())),
            Step::Look(i) if !waiters.is_empty() => {
                let i = i % waiters.len();
                if look(&mut waiters[i]) {
                    waiters.remove(i);
                }
            }
            _ => {}
        }
    }
    // Those who are granted and have not looked.
    waiters.iter_mut().filter(|waiter| waiter.is_told()).for_each(|waiter| assert!(look(waiter)));
    used.append(&mut tried);
    used.sort_unstable();
    (used, earned)
}

proptest! {
    #[test]
    fn the_level_is_that_of_the_exact_model(first in plain_or_large(), steps in calls()) {
        keeps_the_level::<Alone>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_under_contention(first in plain_or_large(), steps in calls()) {
        keeps_the_level::<Contended>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_while_somebody_waits(first in plain_or_large(), steps in calls()) {
        keeps_the_level::<Queued>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_by_slots(first in plain_or_large(), steps in calls()) {
        keeps_the_level::<InSlots>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_by_hand(first in plain_or_large(), steps in calls()) {
        keeps_the_level::<InHand>(first, &steps)?;
    }

    /// However often the quota changes, if always in the same way.
    #[test]
    fn no_window_sees_more_than_the_larger_quota_allows(first in plain(), steps in waits()) {
        let limiter = RateLimiter::with_clock(quota(first).initial(0), ManualClock::new());
        let (used, _) = run(&limiter, first, &steps);
        let quotas = steps.iter().filter_map(|step| match step {
            Step::Change(to, _) => Some(*to),
            _ => None,
        });
        let all: Vec<_> = quotas.chain([first]).collect();
        let rate = |&(permits, period_ms, _): &Plain| whole(permits) / whole(period_ms);
        let (permits, period_ms, _) = all.iter().copied().max_by_key(rate).unwrap();
        let burst = all.iter().map(|&(.., burst)| burst).max().unwrap();
        check_windows(&quota((permits, period_ms, burst)), 0, &used)?;
    }

    /// A bucket too large to fill keeps its books through changes and cancellations.
    #[test]
    fn nothing_is_lost_where_the_bucket_is_never_full(first in plain(), steps in waits()) {
        let large = |(permits, period_ms, _): Plain| (permits, period_ms, 1_000_000);
        let steps: Vec<_> = steps
            .iter()
            .map(|step| match *step {
                Step::Change(to, _) => Step::Change(large(to), Inherit::AsIs),
                other => other,
            })
            .collect();
        let limiter = RateLimiter::with_clock(quota(large(first)).initial(0), ManualClock::new());
        let (used, earned) = run(&limiter, large(first), &steps);
        prop_assert_eq!(limiter.waiting(), 0);
        let taken = used.iter().map(|(_, n)| n).sum::<u64>();
        let level = earned - whole(taken);
        let slack = Exact::new(steps.len() as i128, 1_000);
        let found = Exact::from_integer(limiter.available().into());
        prop_assert!(found <= level && found >= (level - slack).floor(), "{found} of {level}");
    }
}
