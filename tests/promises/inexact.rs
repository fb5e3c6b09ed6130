//! The same calls where no exact scale lasts: off by a tick at most, and no more with every call.

use std::time::Duration;

use num_bigint::BigInt;
use proptest::prelude::*;
use tidegate::{Clock, ManualClock, Quota, QuotaError, RateLimiter};

use super::{
    exact::{SMALL_STEP_NS, permits},
    oracle::{MILLION, Oracle, Tick, grain, inexact_ticks},
    subjects::{Alone, Contended, InHand, InSlots, Queued, Subject, taken_and_brought_back},
};
use crate::nanos;

const YEAR_NS: u64 = 31_557_600_000_000_000;

/// Amounts are in millionths of a permit.
#[derive(Clone, Debug)]
enum Op {
    /// In thousandths of the time of one permit.
    Advance(u64),
    /// In thousandths of the time that fills the bucket.
    Fill(u64),
    StepBack(u64),
    Take(u64),
    Charge(u64),
    Refund(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Whole permits, and odd fractions.
    let amount = || prop_oneof![(0..15_u64).prop_map(|n| n * MILLION), 0..4 * MILLION];
    let op = prop_oneof![
        4 => (0..3_000_u64).prop_map(Op::Advance),
        2 => (0..2_000_u64).prop_map(Op::Fill),
        1 => (1..SMALL_STEP_NS).prop_map(Op::StepBack),
        5 => amount().prop_map(Op::Take),
        1 => amount().prop_map(Op::Charge),
        1 => amount().prop_map(Op::Refund),
    ];
    prop::collection::vec(op, 1..60)
}

pub(super) fn quota() -> impl Strategy<Value = Quota> {
    let fast = (1_000_003..14_000_000_000_u64, Just(1_000_000_000_u64), 1..1_000_u64);
    let slow = (1..3_u64, Just(YEAR_NS), 200..100_000_u64);
    prop_oneof![fast, slow]
        .prop_map(|(permits, period, burst)| {
            Quota::new(permits, Duration::from_nanos(period)).with_burst(burst)
        })
        .prop_filter("an exact scale", |quota| grain(quota).is_none())
}

fn stays_close<S: Subject>(quota: Quota, ops: &[Op]) -> Result<(), TestCaseError> {
    let clock = ManualClock::starting_at(7_000_000_123);
    let mut subject = S::new(RateLimiter::with_clock(quota, clock.clone()));
    let most = subject.most();
    let mut oracle = Oracle::new(&quota, clock.now()).up_to(most).within_tick_of(&quota);
    subject.look(&mut oracle);
    let mut highest_ns = clock.now();
    let amount = |millionths: u64| if S::PRICED { millionths } else { millionths / MILLION * MILLION };
    for op in ops {
        let (before, ahead) = (subject.beside(), subject.ahead());
        let mut taken = 0;
        match *op {
            Op::Advance(thousandths) | Op::Fill(thousandths) => {
                let permits = if matches!(op, Op::Fill(_)) { most } else { 1 };
                let ns = quota.period().as_nanos() * u128::from(thousandths) * u128::from(permits);
                let ns = ns.div_ceil(u128::from(quota.permits()) * 1_000) as u64;
                // Short of ten years in all.
                clock.advance(Duration::from_nanos(ns.min(YEAR_NS / 7)));
                subject.pass_to(&mut oracle, clock.now());
            }
            Op::StepBack(by_ns) => {
                clock.set((clock.now() - by_ns).max(highest_ns - SMALL_STEP_NS));
                subject.pass_to(&mut oracle, clock.now());
            }
            Op::Take(n) => {
                let n = amount(n);
                let with_ease = before == 0 && n > 0 && oracle.fits_with_ease(n);
                let outcome = if with_ease {
                    subject.take_with_ease(permits(n))
                } else {
                    subject.try_acquire_n(permits(n))
                };
                match outcome {
                    Ok(()) => {
                        // The `Local` may take the permits that it holds, also while the word is in debt.
                        let there = n == 0 || before >= n || oracle.agrees(n - before, true);
                        prop_assert!(there, "{} millionths of {}", n, oracle.available_with(before));
                        prop_assert!(n == 0 || ahead == 0, "a newcomer passed the queue");
                        taken = n;
                    }
                    Err(denied) if denied.is_never() => prop_assert!(n > most * MILLION),
                    Err(denied) => {
                        let missing = n > before && oracle.agrees(n - before, false);
                        let there = oracle.available_with(before);
                        prop_assert!(ahead > 0 || missing, "{} millionths of {}: {}", n, there, denied);
                        let told = denied.retry_after().unwrap();
                        let (least, longest) = oracle.wait_with_within(before, ahead + n, told);
                        let right = least <= nanos(told) && nanos(told) <= longest;
                        prop_assert!(right, "{:?}, not {} to {} ns", told, least, longest);
                    }
                }
            }
            Op::Charge(n) => {
                subject.limiter().charge(permits(amount(n))).unwrap();
                taken = amount(n);
            }
            Op::Refund(n) => {
                subject.limiter().refund(permits(amount(n))).unwrap();
                oracle.refund(amount(n));
            }
        }
        highest_ns = highest_ns.max(clock.now());
        oracle.moved(before, subject.beside(), taken);
        subject.look(&mut oracle);
        let (least, more) = oracle.available_within(subject.parked());
        let found = BigInt::from(subject.limiter().available());
        prop_assert!(least <= found && found <= more, "{} is not from {} to {}", found, least, more);
        let full = subject.limiter().time_until_full();
        let far_ns = (10 * YEAR_NS).saturating_add(full.as_nanos() as u64);
        let tick = Tick { parts: inexact_ticks(&quota).unwrap(), far_ns };
        let (least, longest) = oracle.wait_within(most * MILLION, tick);
        // As far as a clock can show it.
        let least = least.min(BigInt::from(u64::MAX - clock.now()));
        let right = least <= nanos(full) && nanos(full) <= longest;
        prop_assert!(right, "{:?}, not {} to {} ns", full, least, longest);
        for n in [if S::PRICED { 1 } else { MILLION }, 2 * MILLION].map(|n| n.min(most * MILLION)) {
            let told = subject.limiter().time_until(permits(n)).unwrap();
            let (least, longest) = oracle.wait_with_within(subject.parked(), subject.ahead() + n, told);
            let right = least <= nanos(told) && nanos(told) <= longest;
            prop_assert!(right, "{:?}, not {} to {} ns", told, least, longest);
        }
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_call_stays_within_a_tick(quota in quota(), ops in ops()) {
        stays_close::<Alone>(quota, &ops)?;
    }

    #[test]
    fn every_call_stays_within_a_tick_while_somebody_waits(quota in quota(), ops in ops()) {
        stays_close::<Queued>(quota, &ops)?;
    }

    #[test]
    fn every_call_stays_within_a_tick_by_slots(quota in quota(), ops in ops()) {
        stays_close::<InSlots>(quota, &ops)?;
    }

    #[test]
    fn every_call_stays_within_a_tick_by_hand(quota in quota(), ops in ops()) {
        stays_close::<InHand>(quota, &ops)?;
    }
}

#[test]
fn every_call_stays_within_a_tick_under_contention() {
    proptest!(|(quota in quota(), ops in ops())| stays_close::<Contended>(quota, &ops)?);
    assert!(taken_and_brought_back() > 0, "nothing was written meanwhile");
}

#[test]
fn a_trillion_a_second_is_exact_and_what_no_word_can_hold_is_refused() {
    let trillion = Quota::per_second(1_000_000_000_000);
    assert_eq!(grain(&trillion.with_burst(1_000)), Some(1_000));
    let limiter = RateLimiter::try_with_clock(trillion, ManualClock::new()).unwrap();
    assert_eq!(limiter.available(), 1_000_000_000_000);
    let refused = |quota: Quota| RateLimiter::try_with_clock(quota, ManualClock::new()).unwrap_err();
    // A rate without an exact scale, in a word that would not last for ten years.
    let (permits, period) = (999_999_999_989, Duration::from_secs(1));
    assert_eq!(
        refused(Quota::per_second(permits).with_burst(1)),
        QuotaError::RateTooHigh { permits, period }
    );
    let (permits, period) = (1_000_000_000_000, Duration::from_nanos(1));
    assert_eq!(
        refused(Quota::new(permits, period).with_burst(1)),
        QuotaError::RateTooHigh { permits, period }
    );
    // A live limiter keeps what it has.
    limiter.set_quota(Quota::new(permits, period).with_burst(1)).unwrap_err();
    assert_eq!((limiter.quota(), limiter.available()), (trillion, 1_000_000_000_000));
}
