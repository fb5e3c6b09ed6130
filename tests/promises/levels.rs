//! The quota changes again and again, between calls, under a clock that also steps back: the level is what exact
//! arithmetic says, at any rate, for all the ways in which a limiter is used.

use std::time::Duration;

use num_bigint::BigInt;
use proptest::prelude::*;
use tidegate::{ChargeError, Clock, Inherit, ManualClock, Quota, QuotaError, RateLimiter};

use super::{
    exact::{self, SMALL_STEP_NS, permits},
    inexact,
    oracle::{MILLION, Oracle},
    subjects::{Alone, Contended, InHand, InSlots, Queued, Subject, taken_and_brought_back},
};
use crate::nanos;

const YEAR_NS: u64 = 31_557_600_000_000_000;

/// Amounts are in millionths of a permit. (For "a permit" see `unit`.)
#[derive(Clone, Copy, Debug)]
enum Step {
    /// In thousandths of the time of one permit, and so many nanoseconds on top.
    Advance(u64, u64),
    /// In thousandths of the time that fills the bucket.
    Fill(u64),
    Back(u64),
    Try(u64),
    Charge(u64),
    Refund(u64),
    Change(Quota, Inherit),
}

/// A few a second, some with a burst of which a part is set aside where permits are parked.
fn plain() -> impl Strategy<Value = Quota> {
    let period_ms = prop_oneof![Just(1_000_u64), Just(700), Just(3_000)];
    (1_u64..8, period_ms, prop_oneof![1_u64..12, 12_u64..300])
        .prop_map(|(permits, ms, burst)| Quota::new(permits, Duration::from_millis(ms)).with_burst(burst))
}

/// From one a year to a trillion a second, and not exact.
fn any_quota() -> impl Strategy<Value = Quota> {
    prop_oneof![2 => plain(), 2 => exact::quota(), 1 => exact::ends(), 1 => inexact::quota()]
}

fn inherit() -> impl Strategy<Value = Inherit> {
    prop_oneof![
        Just(Inherit::AsIs),
        Just(Inherit::Additively),
        Just(Inherit::Proportionally),
        Just(Inherit::Reset),
    ]
}

fn steps(quota: impl Strategy<Value = Quota>) -> impl Strategy<Value = Vec<Step>> {
    let amount = || {
        prop_oneof![
            4 => (1_u64..12).prop_map(|n| n * MILLION),
            1 => (12_u64..200).prop_map(|n| n * MILLION),
            2 => 0..4 * MILLION,
        ]
    };
    let step = prop_oneof![
        4 => (0..6_000_u64, 0..3_u64).prop_map(|(part, more)| Step::Advance(part, more)),
        1 => (0..2_000_u64).prop_map(Step::Fill),
        1 => (1..SMALL_STEP_NS).prop_map(Step::Back),
        4 => amount().prop_map(Step::Try),
        1 => amount().prop_map(Step::Charge),
        1 => amount().prop_map(Step::Refund),
        3 => (quota, inherit()).prop_map(|(to, inherit)| Step::Change(to, inherit)),
    ];
    prop::collection::vec(step, 1..60)
}

/// What a nanosecond brings, if that is more than one permit, or a part of the burst.
fn unit(quota: &Quota) -> u64 {
    let unit = u128::from(quota.permits()) / quota.period().as_nanos();
    unit.min(u128::from(quota.burst() / 10)).max(1) as u64
}

/// The subject and its oracle side by side.
struct Pair<S> {
    subject: S,
    clock: ManualClock,
    oracle: Oracle,
    highest_ns: u64,
}

impl<S: Subject> Pair<S> {
    fn new(quota: Quota) -> Self {
        let clock = ManualClock::starting_at(7_000_000_123);
        let mut subject = S::new(RateLimiter::with_clock(quota, clock.clone()));
        let mut oracle = Oracle::new(&quota, clock.now()).up_to(subject.most()).within_tick_of(&quota);
        subject.look(&mut oracle);
        Self { subject, highest_ns: clock.now(), clock, oracle }
    }

    fn amount(&self, millionths: u64) -> u64 {
        let all = millionths * unit(&self.subject.limiter().quota());
        if S::PRICED { all } else { all / MILLION * MILLION }
    }

    fn set(&mut self, now_ns: u64) {
        self.clock.set(now_ns);
        self.subject.pass_to(&mut self.oracle, now_ns);
        self.highest_ns = self.highest_ns.max(now_ns);
    }

    /// By so many thousandths of what so many permits take, but not beyond ten years in all, so that no origin moves
    /// by itself.
    fn advance(&mut self, thousandths: u64, of: u64, more_ns: u64) {
        let quota = self.subject.limiter().quota();
        let ns = quota.period().as_nanos() * u128::from(thousandths) * u128::from(of);
        let ns = ns.div_ceil(u128::from(quota.permits()) * 1_000);
        self.set(self.clock.now() + ns.min((YEAR_NS / 7).into()) as u64 + more_ns);
    }

    fn attempt(&mut self, n: u64) -> Result<u64, TestCaseError> {
        let (before, held, ahead) = (self.subject.beside(), self.subject.held(), self.subject.ahead());
        let never = n.saturating_sub(held) > self.subject.most() * MILLION;
        let with_ease = before == 0 && n > 0 && !never && self.oracle.fits_with_ease(n);
        let outcome = if with_ease {
            self.subject.take_with_ease(permits(n))
        } else {
            self.subject.try_acquire_n(permits(n))
        };
        let right = match outcome {
            _ if n == 0 => outcome.is_ok(),
            Err(denied) if denied.is_never() => never,
            _ if never => false,
            _ if ahead > 0 => outcome.is_err(),
            _ if before >= n => outcome.is_ok(),
            _ => self.oracle.agrees(n - before, outcome.is_ok()),
        };
        prop_assert!(right, "{n} of {}: {outcome:?}", self.oracle.available_with(before));
        match outcome {
            Ok(()) => Ok(n),
            Err(denied) => {
                if let Some(told) = denied.retry_after() {
                    self.check_wait(before, ahead + n, told)?;
                }
                Ok(0)
            }
        }
    }

    fn check_wait(&self, beside: u64, n: u64, told: Duration) -> Result<(), TestCaseError> {
        let (least, most) = self.oracle.wait_with_within(beside, n, told);
        let wait = nanos(told);
        prop_assert!(least <= wait && wait <= most, "{wait}, not {least} to {most} ns");
        Ok(())
    }

    fn change(&mut self, to: &Quota, inherit: Inherit) -> Result<(), TestCaseError> {
        if self.oracle.available() < BigInt::ZERO {
            // What a clock that is back makes look like a debt is none that is taken along.
            self.set(self.highest_ns);
        }
        let from = self.subject.limiter().quota();
        match self.subject.limiter().set_quota_with(*to, inherit) {
            Ok(()) => {
                prop_assert_eq!(self.subject.limiter().quota(), *to);
                self.oracle.change(&from, to, self.subject.most(), inherit);
            }
            Err(error) => {
                let mut changed = self.oracle.clone();
                changed.change(&from, to, to.burst(), inherit);
                let burst = BigInt::from(to.burst());
                prop_assert!(matches!(error, QuotaError::DebtTooDeep { .. }), "{error}");
                prop_assert!(changed.available() < -burst, "room for a burst of debt");
                prop_assert_eq!(self.subject.limiter().quota(), from);
            }
        }
        Ok(())
    }

    fn apply(&mut self, step: Step) -> Result<(), TestCaseError> {
        let (mut before, mut taken) = (self.subject.beside(), 0);
        match step {
            Step::Advance(thousandths, more_ns) => {
                self.advance(thousandths, unit(&self.subject.limiter().quota()), more_ns);
            }
            Step::Fill(thousandths) => {
                let burst = self.subject.limiter().quota().burst();
                self.advance(thousandths, burst, 0);
            }
            Step::Back(by_ns) => {
                self.set((self.clock.now() - by_ns).max(self.highest_ns - SMALL_STEP_NS));
            }
            Step::Try(n) => taken = self.attempt(self.amount(n))?,
            Step::Charge(n) => match self.subject.limiter().charge(permits(self.amount(n))) {
                Ok(_) => taken = self.amount(n),
                Err(denied) => {
                    let mut deeper = self.oracle.clone();
                    deeper.take(self.amount(n));
                    let burst = BigInt::from(self.subject.limiter().quota().burst());
                    prop_assert!(matches!(denied, ChargeError::DebtTooDeep { .. }), "{denied}");
                    prop_assert!(deeper.available() < -burst, "room for a burst of debt");
                }
            },
            Step::Refund(n) => {
                self.subject.limiter().refund(permits(self.amount(n))).unwrap();
                self.oracle.refund(self.amount(n));
            }
            Step::Change(to, inherit) => {
                self.change(&to, inherit)?;
                if inherit == Inherit::Reset && self.subject.limiter().quota() == to {
                    // What was parked is none any more.
                    prop_assert_eq!(self.subject.parked(), 0);
                    before = self.subject.held();
                }
            }
        }
        self.oracle.moved(before, self.subject.beside(), taken);
        self.subject.look(&mut self.oracle);
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        let (least, most) = self.oracle.available_within(self.subject.parked());
        let level = BigInt::from(self.subject.limiter().available());
        prop_assert!(least <= level && level <= most, "{level}, not {least} to {most}");
        for n in [if S::PRICED { 1 } else { MILLION }, MILLION] {
            let told = self.subject.limiter().time_until(permits(n)).unwrap();
            self.check_wait(self.subject.parked(), self.subject.ahead() + n, told)?;
        }
        Ok(())
    }
}

fn keeps_the_level<S: Subject>(first: Quota, steps: &[Step]) -> Result<(), TestCaseError> {
    let mut pair = Pair::<S>::new(first);
    for &step in steps {
        pair.apply(step).map_err(|error| TestCaseError::fail(format!("{error} after {step:?}")))?;
    }
    Ok(())
}

proptest! {
    #[test]
    fn the_level_is_that_of_the_exact_model(first in any_quota(), steps in steps(any_quota())) {
        keeps_the_level::<Alone>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_while_somebody_waits(
        first in any_quota(),
        steps in steps(any_quota()),
    ) {
        keeps_the_level::<Queued>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_by_slots(first in any_quota(), steps in steps(any_quota())) {
        keeps_the_level::<InSlots>(first, &steps)?;
    }

    #[test]
    fn the_level_is_that_of_the_exact_model_by_hand(first in any_quota(), steps in steps(any_quota())) {
        keeps_the_level::<InHand>(first, &steps)?;
    }
}

#[test]
fn the_level_is_that_of_the_exact_model_under_contention() {
    proptest!(|(first in any_quota(), steps in steps(any_quota()))| {
        keeps_the_level::<Contended>(first, &steps)?;
    });
    assert!(taken_and_brought_back() > 0, "nothing was written meanwhile");
}
