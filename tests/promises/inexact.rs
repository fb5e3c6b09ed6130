//! The same calls where no exact scale lasts: off by a tick at most, and no more with every call.

use std::time::Duration;

use num_bigint::BigInt;
use num_traits::Signed;
use proptest::prelude::*;
use tidegate::{Clock, ManualClock, Quota, QuotaError, RateLimiter};

use super::{
    oracle::{MILLION, Oracle, Tick, grain, inexact_ticks},
    subjects::{Alone, Contended, InHand, InSlots, Queued, Subject},
};
use crate::nanos;

const YEAR_NS: u64 = 31_557_600_000_000_000;

/// In whole permits, as fractions are rounded up to a tick.
#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    /// In thousandths of the time that fills the bucket.
    Fill(u64),
    Take(u64),
    Charge(u64),
    Refund(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        // In thousandths of the time of one permit.
        4 => (0..3_000_u64).prop_map(Op::Advance),
        2 => (0..2_000_u64).prop_map(Op::Fill),
        5 => (0..15_u64).prop_map(Op::Take),
        1 => (0..15_u64).prop_map(Op::Charge),
        1 => (0..15_u64).prop_map(Op::Refund),
    ];
    prop::collection::vec(op, 1..60)
}

fn quota() -> impl Strategy<Value = Quota> {
    let fast = (1_000_003..14_000_000_000_u64, Just(1_000_000_000_u64), 1..1_000_u64);
    let slow = (1..3_u64, Just(YEAR_NS), 200..100_000_u64);
    prop_oneof![fast, slow]
        .prop_map(|(permits, period, burst)| Quota::new(permits, Duration::from_nanos(period)).burst(burst))
        .prop_filter("an exact scale", |quota| grain(quota).is_none())
}

fn stays_close<S: Subject>(quota: Quota, ops: &[Op]) -> Result<(), TestCaseError> {
    let clock = ManualClock::starting_at(7_000_000_123);
    let mut subject = S::new(RateLimiter::with_clock(quota, clock.clone()));
    let most = subject.limiter().quota().max_burst();
    let most = u64::try_from(subject.limiter().available()).unwrap().min(most);
    // The rate is rounded in its 64th binary place, which comes to less than a fiftieth of a tick in ten years.
    let ticks = inexact_ticks(&quota).unwrap();
    let parts = ticks - ticks / 50;
    let tick = Tick { parts: ticks, far_ns: 10 * YEAR_NS };
    let mut oracle = Oracle::new(&quota.burst(most), clock.now()).within(tick);
    subject.look(&mut oracle);
    let tick_ns = quota.period().as_nanos() as u64 / quota.permits() / parts;
    let close = |wait: Duration, exact: BigInt| {
        // As far as a clock can show it.
        let exact = exact.min(BigInt::from(u64::MAX - clock.now()));
        // It adds more to a wait for decades; and both are rounded up.
        let far = (wait.as_nanos() * u128::from(tick_ns)) >> 64;
        (nanos(wait) - exact).abs() <= (u128::from(tick_ns) + far + 2).into()
    };
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
            Op::Take(n) => {
                let (least, more) = oracle.available_within(before);
                match subject.try_acquire_n(n.into()) {
                    Ok(()) => {
                        // What is in hand is there even where the word is in debt.
                        let there = before >= n * MILLION || more >= n.into();
                        prop_assert!(there, "{} of {}", n, more);
                        prop_assert!(n == 0 || ahead == 0, "a newcomer passed the queue");
                        taken = n * MILLION;
                    }
                    Err(denied) if denied.is_never() => prop_assert!(n > most),
                    Err(denied) => {
                        prop_assert!(ahead > 0 || least < n.into(), "{} of {}: {}", n, least, denied);
                        let exact = oracle.wait_with(before, ahead + n * MILLION);
                        prop_assert!(close(denied.retry_after().unwrap(), exact));
                    }
                }
            }
            Op::Charge(n) => {
                subject.limiter().charge(n).unwrap();
                taken = n * MILLION;
            }
            Op::Refund(n) => {
                subject.limiter().refund(n).unwrap();
                oracle.refund(n * MILLION);
            }
        }
        oracle.moved(before, subject.beside() + taken);
        subject.look(&mut oracle);
        let (least, more) = oracle.available_within(subject.parked());
        let found = BigInt::from(subject.limiter().available());
        prop_assert!(least <= found && found <= more, "{} is not from {} to {}", found, least, more);
        let full = subject.limiter().time_until_full();
        let tick = Tick { far_ns: tick.far_ns.saturating_add(full.as_nanos() as u64), ..tick };
        let (least, more) = oracle.wait_within(most * MILLION, tick);
        // As far as a clock can show it.
        let least = least.min(BigInt::from(u64::MAX - clock.now()));
        prop_assert!(least <= nanos(full) && nanos(full) <= more, "{:?}, not {} to {} ns", full, least, more);
        let wait = subject.limiter().time_until(1).unwrap();
        prop_assert!(close(wait, oracle.wait_with(subject.parked(), subject.ahead() + MILLION)));
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_call_stays_within_a_tick(quota in quota(), ops in ops()) {
        stays_close::<Alone>(quota, &ops)?;
    }

    #[test]
    fn every_call_stays_within_a_tick_under_contention(quota in quota(), ops in ops()) {
        stays_close::<Contended>(quota, &ops)?;
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
fn a_trillion_a_second_is_exact_and_what_no_word_can_hold_is_refused() {
    let trillion = Quota::per_second(1_000_000_000_000);
    assert_eq!(grain(&trillion.burst(1_000)), Some(1_000));
    let limiter = RateLimiter::try_with_clock(trillion, ManualClock::new()).unwrap();
    assert_eq!(limiter.available(), 1_000_000_000_000);
    let refused = |quota: Quota| RateLimiter::try_with_clock(quota, ManualClock::new()).unwrap_err();
    // A rate without an exact scale, in a word that would not last for ten years.
    let (permits, period) = (999_999_999_989, Duration::from_secs(1));
    assert_eq!(refused(Quota::per_second(permits).burst(1)), QuotaError::RateTooHigh { permits, period });
    let (permits, period) = (1_000_000_000_000, Duration::from_nanos(1));
    assert_eq!(refused(Quota::new(permits, period).burst(1)), QuotaError::RateTooHigh { permits, period });
    // A live limiter keeps what it has.
    limiter.set_quota(Quota::new(permits, period).burst(1)).unwrap_err();
    assert_eq!((limiter.quota(), limiter.available()), (trillion, 1_000_000_000_000));
}
