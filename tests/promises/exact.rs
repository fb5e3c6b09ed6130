//! Every call, at rates from one a year to a trillion a second, under a clock that also steps back, for all the
//! ways in which a limiter is used.

use std::time::Duration;

use num_bigint::BigInt;
use proptest::prelude::*;
use tidegate::{ChargeError, Clock, Denied, ManualClock, Permits, Quota, RateLimiter};

use super::{
    oracle::{MILLION, Oracle, grain},
    subjects::{Alone, Contended, InHand, InSlots, Queued, Subject, taken_and_brought_back},
};

const YEAR_NS: u64 = 31_557_600_000_000_000;
/// Short of what a limiter takes for a clock that has been set back.
pub(super) const SMALL_STEP_NS: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Op {
    /// So many thousandths of the time of one permit, and so many nanoseconds on top. (For "one" see `Pair::unit`.)
    Advance(u64, u64),
    StepBack(u64),
    Take(u64),
    /// Takes; if refused, comes back a nanosecond too early, and then in time.
    TakePatiently(u64),
    TakeUpTo(u64),
    Charge(u64),
    Refund(u64),
    Reset,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    // In millionths of a permit: whole permits, and odd fractions.
    let amount = || prop_oneof![(0..15_u64).prop_map(|n| n * MILLION), 0..4 * MILLION];
    let op = prop_oneof![
        4 => (0..3_000_u64, 0..3_u64).prop_map(|(part, more)| Op::Advance(part, more)),
        1 => (1..SMALL_STEP_NS).prop_map(Op::StepBack),
        4 => amount().prop_map(Op::Take),
        3 => amount().prop_map(Op::TakePatiently),
        1 => (0..40_u64).prop_map(Op::TakeUpTo),
        1 => amount().prop_map(Op::Charge),
        1 => amount().prop_map(Op::Refund),
        1 => Just(Op::Reset),
    ];
    prop::collection::vec(op, 1..50)
}

pub(super) fn quota() -> impl Strategy<Value = Quota> {
    let period = prop_oneof![
        Just(YEAR_NS),
        Just(86_400_000_000_000),
        Just(60_000_000_000),
        Just(1_000_000_000_u64),
        1..10_000_000_000_u64,
    ];
    let permits = prop_oneof![
        1..12_u64,
        1..2_000_u64,
        prop::sample::select(vec![999_983, 1_000_000, 2_000_000_000, 1_000_000_000_000_u64]),
    ];
    let burst = prop_oneof![1..60_u64, 100..1_000_u64];
    (permits, period, burst, any::<prop::sample::Index>())
        .prop_map(|(permits, period, burst, initial)| {
            let initial = initial.index(burst as usize + 1) as u64;
            Quota::new(permits, Duration::from_nanos(period)).with_burst(burst).with_initial(initial)
        })
        .prop_filter("no exact scale", |quota| grain(quota).is_some())
}

/// One a year, and a trillion a second, of which a nanosecond brings a thousand.
pub(super) fn ends() -> impl Strategy<Value = Quota> {
    let year = (1..70_u64).prop_map(|burst| Quota::new(1, Duration::from_nanos(YEAR_NS)).with_burst(burst));
    let trillion = prop_oneof![1_000..20_000_u64, 20_000..1_000_000_u64]
        .prop_map(|burst| Quota::per_second(1_000_000_000_000).with_burst(burst));
    (prop_oneof![year, trillion], any::<prop::sample::Index>())
        .prop_map(|(quota, initial)| quota.with_initial(initial.index(quota.burst() as usize + 1) as u64))
}

/// The subject and its oracle side by side.
struct Pair<S> {
    subject: S,
    clock: ManualClock,
    oracle: Oracle,
    quota: Quota,
    /// The largest amount that can be asked for, in millionths.
    most: u64,
    /// The finest amount that is taken, in millionths: any, or the finest that is a whole number of ticks.
    finest: u64,
    /// What one of an operation stands for: what a nanosecond brings, if that is more, or a part of the burst.
    unit: u64,
    highest_ns: u64,
}

fn nanos(wait: Duration) -> BigInt {
    BigInt::from(wait.as_nanos())
}

pub(super) fn permits(millionths: u64) -> Permits {
    // The nearest millionth is the one that was meant.
    Permits::try_from(millionths as f64 / MILLION as f64).unwrap()
}

impl<S: Subject> Pair<S> {
    fn new(quota: Quota) -> Self {
        let start = 7_000_000_123;
        let clock = ManualClock::starting_at(start);
        let mut subject = S::new(RateLimiter::with_clock(quota, clock.clone()));
        let most = subject.most();
        let finest = if S::PRICED { 1 } else { MILLION / grain(&quota).unwrap() };
        let unit = u128::from(quota.permits()) / quota.period().as_nanos();
        let unit = unit.min(u128::from(quota.burst() / 10)).max(1) as u64;
        let mut oracle = Oracle::new(&quota, start).up_to(most);
        subject.look(&mut oracle);
        Self { subject, clock, oracle, quota, most: most * MILLION, finest, unit, highest_ns: start }
    }

    /// So many were taken, and what is beside the word was `before`: the rest has gone to or fro.
    fn moved(&mut self, before: u64, taken: u64) -> Result<(), TestCaseError> {
        let after = self.subject.beside() + taken;
        let from_word = after.saturating_sub(before);
        prop_assert!(self.oracle.fits(from_word), "{} were not there", from_word);
        self.oracle.moved(before, self.subject.beside(), taken);
        Ok(())
    }

    fn set(&mut self, now_ns: u64) {
        self.clock.set(now_ns);
        self.subject.pass_to(&mut self.oracle, now_ns);
        self.highest_ns = self.highest_ns.max(now_ns);
    }

    fn step(&mut self, by_ns: u64) {
        self.set(self.clock.now().saturating_add(by_ns));
    }

    fn take(&mut self, millionths: u64) -> Result<Option<Duration>, TestCaseError> {
        let (before, held, ahead) = (self.subject.beside(), self.subject.held(), self.subject.ahead());
        let fits = before >= millionths || self.oracle.fits(millionths - before);
        let admitted = millionths == 0 || (fits && ahead == 0);
        let with_ease = before == 0 && millionths > 0 && self.oracle.fits_with_ease(millionths);
        let outcome = if with_ease {
            self.subject.take_with_ease(permits(millionths))
        } else {
            self.subject.try_acquire_n(permits(millionths))
        };
        if millionths.saturating_sub(held) > self.most {
            prop_assert!(outcome.is_err_and(|denied| matches!(denied, Denied::TooMany(_))), "never");
            prop_assert!(!self.subject.limiter().has_capacity(permits(millionths)));
            return Ok(None);
        }
        let level = self.oracle.available_with(before);
        prop_assert_eq!(outcome.is_ok(), admitted, "{} of {}", millionths, level);
        match outcome {
            Ok(()) => {
                self.moved(before, millionths)?;
                Ok(None)
            }
            Err(denied) => {
                self.moved(before, 0)?;
                let wait = denied.retry_after().unwrap();
                prop_assert_eq!(
                    nanos(wait),
                    self.oracle.wait_with(self.subject.beside(), ahead + millionths)
                );
                Ok(Some(wait))
            }
        }
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let (finest, unit) = (self.finest, self.unit);
        let exact = |millionths: u64| millionths * unit / finest * finest;
        match *op {
            Op::Advance(thousandths, more) => {
                let one = self.quota.period().as_nanos() * u128::from(thousandths * unit);
                let ns = one.div_ceil(u128::from(self.quota.permits()) * 1000) as u64;
                self.step(ns + more);
            }
            Op::StepBack(by_ns) => {
                let now = self.clock.now() - by_ns;
                self.set(now.max(self.highest_ns - SMALL_STEP_NS));
            }
            Op::Take(n) => {
                self.take(exact(n))?;
            }
            Op::TakePatiently(n) => {
                let n = exact(n);
                let wait = self.take(n)?;
                if let Some(wait) = wait.filter(|_| self.subject.ahead() == 0) {
                    self.step(wait.as_nanos() as u64 - 1);
                    let early = self.subject.try_acquire_n(permits(n));
                    prop_assert_eq!(early.unwrap_err().retry_after(), Some(Duration::from_nanos(1)));
                    self.step(1);
                    prop_assert!(self.take(n)?.is_none(), "told to come back now");
                }
            }
            Op::TakeUpTo(most) => {
                let most = most * unit;
                let (before, parked) = (self.subject.beside(), self.subject.parked());
                // What is parked is there even where the word is in debt, by a clock that has stepped back.
                let there = if self.oracle.available() < BigInt::ZERO {
                    BigInt::from(parked / MILLION)
                } else {
                    self.oracle.available_with(parked)
                };
                let count = if self.subject.ahead() > 0 { BigInt::ZERO } else { there.min(most.into()) };
                let taken = self.subject.limiter().try_acquire_up_to(most);
                prop_assert_eq!(BigInt::from(taken), count);
                self.moved(before, taken * MILLION)?;
            }
            Op::Charge(n) => {
                let (n, before) = (exact(n), self.subject.beside());
                match self.subject.limiter().charge(permits(n)) {
                    Ok(debt) => {
                        self.oracle.take(n);
                        // Out of what is parked first.
                        self.moved(before, 0)?;
                        prop_assert_eq!(nanos(debt), self.oracle.wait_until_paid());
                    }
                    Err(denied) => {
                        let mut deeper = self.oracle.clone();
                        deeper.take(n);
                        let burst = BigInt::from(self.quota.burst());
                        prop_assert!(matches!(denied, ChargeError::DebtTooDeep { .. }), "{}", denied);
                        prop_assert!(deeper.available() < -burst, "room for a burst of debt");
                    }
                }
            }
            Op::Refund(n) => {
                let n = exact(n);
                self.subject.limiter().refund(permits(n)).unwrap();
                self.oracle.refund(n);
            }
            Op::Reset => {
                self.subject.limiter().reset();
                self.oracle.reset();
            }
        }
        self.subject.look(&mut self.oracle);
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (limiter, parked) = (self.subject.limiter(), self.subject.parked());
        prop_assert_eq!(BigInt::from(limiter.available()), self.oracle.available_with(parked));
        prop_assert_eq!(nanos(limiter.time_until_full()), self.oracle.wait_until_full());
        for n in [0, self.finest, MILLION] {
            let ahead = if n == 0 { 0 } else { self.subject.ahead() };
            let wait = self.oracle.wait_with(parked, ahead + n);
            prop_assert_eq!(limiter.has_capacity(permits(n)), wait == BigInt::ZERO, "{} millionths", n);
            prop_assert_eq!(nanos(limiter.time_until(permits(n)).unwrap()), wait, "{} millionths", n);
        }
        Ok(())
    }
}

fn agrees<S: Subject>(quota: Quota, ops: &[Op]) -> Result<(), TestCaseError> {
    let mut pair = Pair::<S>::new(quota);
    for op in ops {
        pair.apply(op)?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn every_call_agrees_with_exact_arithmetic(quota in quota(), ops in ops()) {
        agrees::<Alone>(quota, &ops)?;
    }

    #[test]
    fn every_call_agrees_while_somebody_waits(quota in quota(), ops in ops()) {
        agrees::<Queued>(quota, &ops)?;
    }

    #[test]
    fn every_call_agrees_by_slots(quota in quota(), ops in ops()) {
        agrees::<InSlots>(quota, &ops)?;
    }

    #[test]
    fn every_call_agrees_by_hand(quota in quota(), ops in ops()) {
        agrees::<InHand>(quota, &ops)?;
    }

    #[test]
    fn every_call_agrees_at_both_ends(quota in ends(), ops in ops()) {
        agrees::<Alone>(quota, &ops)?;
        agrees::<Contended>(quota, &ops)?;
        agrees::<Queued>(quota, &ops)?;
        agrees::<InSlots>(quota, &ops)?;
        agrees::<InHand>(quota, &ops)?;
    }

    /// The same after a thousand idle years, in which the word of a fast limiter has been renewed.
    #[test]
    fn a_thousand_years_later_too(quota in quota(), centuries in 1..6_u64, ops in ops()) {
        let mut pair = Pair::<Alone>::new(quota);
        for _ in 0..centuries {
            pair.apply(&Op::Take(MILLION))?;
            pair.step(100 * YEAR_NS);
            pair.compare()?;
        }
        for op in &ops {
            pair.apply(op)?;
        }
    }
}

#[test]
fn every_call_agrees_under_contention() {
    proptest!(|(quota in quota(), ops in ops())| agrees::<Contended>(quota, &ops)?);
    assert!(taken_and_brought_back() > 0, "nothing was written meanwhile");
}
