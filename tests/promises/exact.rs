//! Every call, at rates from one a year to a trillion a second, under a clock that also steps back.

use std::time::Duration;

use num_bigint::BigInt;
use proptest::prelude::*;
use tidegate::{Clock, Denied, ManualClock, Permits, Quota, RateLimiter};

use super::oracle::{MILLION, Oracle, grain};

const YEAR_NS: u64 = 31_557_600_000_000_000;
/// Short of what a limiter takes for a clock that has been set back.
const SMALL_STEP_NS: u64 = 1_000_000;

#[derive(Clone, Debug)]
enum Op {
    /// So many thousandths of the time of one permit, and so many nanoseconds on top.
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

fn quota() -> impl Strategy<Value = Quota> {
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
    (permits, period, 1..60_u64, any::<prop::sample::Index>())
        .prop_map(|(permits, period, burst, initial)| {
            let initial = initial.index(burst as usize + 1) as u64;
            Quota::new(permits, Duration::from_nanos(period)).burst(burst).initial(initial)
        })
        .prop_filter("no exact scale", |quota| grain(quota).is_some())
}

/// The limiter and its oracle side by side.
struct Pair {
    limiter: RateLimiter<ManualClock>,
    clock: ManualClock,
    oracle: Oracle,
    quota: Quota,
    /// The finest amount that is exact, in millionths.
    finest: u64,
    highest_ns: u64,
}

fn nanos(wait: Duration) -> BigInt {
    BigInt::from(wait.as_nanos())
}

fn permits(millionths: u64) -> Permits {
    // The nearest millionth is the one that was meant.
    Permits::try_from(millionths as f64 / MILLION as f64).unwrap()
}

impl Pair {
    fn new(quota: Quota) -> Self {
        let start = 7_000_000_123;
        let clock = ManualClock::starting_at(start);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let finest = MILLION / grain(&quota).unwrap();
        Self { limiter, clock, oracle: Oracle::new(&quota, start), quota, finest, highest_ns: start }
    }

    fn set(&mut self, now_ns: u64) {
        self.clock.set(now_ns);
        self.oracle.set_now(now_ns);
        self.highest_ns = self.highest_ns.max(now_ns);
    }

    fn step(&mut self, by_ns: u64) {
        self.set(self.clock.now().saturating_add(by_ns));
    }

    fn take(&mut self, millionths: u64) -> Result<Option<Duration>, TestCaseError> {
        let outcome = self.limiter.try_acquire_n(permits(millionths));
        let level = self.oracle.available();
        if millionths > self.quota.max_burst() * MILLION {
            prop_assert!(outcome.is_err_and(|denied| matches!(denied, Denied::Never { .. })), "never");
            prop_assert!(!self.limiter.has_capacity(permits(millionths)));
            return Ok(None);
        }
        prop_assert_eq!(outcome.is_ok(), self.oracle.fits(millionths), "{} of {}", millionths, level);
        match outcome {
            Ok(()) => {
                self.oracle.take(millionths);
                Ok(None)
            }
            Err(denied) => {
                let wait = denied.retry_after().unwrap();
                prop_assert_eq!(nanos(wait), self.oracle.wait(millionths));
                prop_assert_eq!(self.limiter.time_until(permits(millionths)), Ok(wait));
                Ok(Some(wait))
            }
        }
    }

    fn apply(&mut self, op: &Op) -> Result<(), TestCaseError> {
        let exact = |millionths: u64| millionths / self.finest * self.finest;
        match *op {
            Op::Advance(thousandths, more) => {
                let one = self.quota.period().as_nanos() * u128::from(thousandths);
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
                if let Some(wait) = self.take(n)? {
                    self.step(wait.as_nanos() as u64 - 1);
                    let early = self.limiter.try_acquire_n(permits(n));
                    prop_assert_eq!(early.unwrap_err().retry_after(), Some(Duration::from_nanos(1)));
                    self.step(1);
                    prop_assert!(self.take(n)?.is_none(), "told to come back now");
                }
            }
            Op::TakeUpTo(most) => {
                let count = self.oracle.available().max(BigInt::ZERO).min(most.into());
                let taken = self.limiter.try_acquire_up_to(most);
                prop_assert_eq!(BigInt::from(taken), count);
                self.oracle.take(taken * MILLION);
            }
            Op::Charge(n) => {
                let n = exact(n);
                match self.limiter.charge(permits(n)) {
                    Ok(debt) => {
                        self.oracle.take(n);
                        prop_assert_eq!(nanos(debt), self.oracle.wait_until_paid());
                    }
                    Err(denied) => {
                        let mut deeper = self.oracle.clone();
                        deeper.take(n);
                        let burst = BigInt::from(self.quota.max_burst());
                        prop_assert!(matches!(denied, Denied::DebtTooDeep { .. }), "{}", denied);
                        prop_assert!(deeper.available() < -burst, "room for a burst of debt");
                    }
                }
            }
            Op::Refund(n) => {
                let n = exact(n);
                self.limiter.refund(permits(n)).unwrap();
                self.oracle.refund(n);
            }
            Op::Reset => {
                self.limiter.reset();
                self.oracle.reset();
            }
        }
        self.compare()
    }

    fn compare(&self) -> Result<(), TestCaseError> {
        prop_assert_eq!(BigInt::from(self.limiter.available()), self.oracle.available());
        prop_assert_eq!(nanos(self.limiter.time_until_full()), self.oracle.wait_until_full());
        for n in [0, self.finest, MILLION] {
            prop_assert_eq!(self.limiter.has_capacity(permits(n)), self.oracle.fits(n), "{} millionths", n);
            let wait = self.limiter.time_until(permits(n)).unwrap();
            prop_assert_eq!(nanos(wait), self.oracle.wait(n), "{} millionths", n);
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn every_call_agrees_with_exact_arithmetic(quota in quota(), ops in ops()) {
        let mut pair = Pair::new(quota);
        for op in &ops {
            pair.apply(op)?;
        }
    }

    /// The same after a thousand idle years, in which the word of a fast limiter has been renewed.
    #[test]
    fn a_thousand_years_later_too(quota in quota(), centuries in 1..6_u64, ops in ops()) {
        let mut pair = Pair::new(quota);
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
