//! Random calls against exact rational arithmetic.

#[path = "support/late_clock.rs"]
mod late_clock;

mod promises {
    mod drift;
    mod exact;
    mod inexact;
    mod late_drops;
    mod late_timers;
    mod levels;
    pub(crate) mod oracle;
    mod pauses;
    mod requota;
    mod steps_back;
    mod subjects;
    pub(crate) mod waiter;
    pub(crate) mod windows;
    mod within;
}

use std::{task::Poll, time::Duration};

use num_bigint::BigInt;
use num_rational::BigRational;
use num_traits::{ToPrimitive, Zero};
use proptest::prelude::*;
use tidegate::{ChargeError, Clock, ManualClock, Quota, RateLimiter};

use self::promises::{
    oracle,
    waiter::Waiter,
    windows::{Log, check_windows},
};

/// A bucket in exact arithmetic.
#[derive(Clone, Debug)]
struct Model {
    /// Permits a nanosecond.
    rate: BigRational,
    burst: BigRational,
    level: BigRational,
}

fn ratio(n: u128, d: u128) -> BigRational {
    BigRational::new(BigInt::from(n), BigInt::from(d))
}

impl Model {
    fn new(quota: &Quota) -> Self {
        let burst = ratio(quota.burst().into(), 1);
        Self { rate: ratio(quota.permits().into(), quota.period().as_nanos()), level: burst.clone(), burst }
    }

    fn advance(&mut self, ns: u64) {
        let level = &self.level + &self.rate * ratio(ns.into(), 1);
        self.level = level.min(self.burst.clone());
    }

    fn take(&mut self, n: &BigRational) -> bool {
        let fits = self.level >= *n;
        if fits {
            self.level -= n;
        }
        fits
    }

    /// Nanoseconds until the level is `n`, rounded up.
    fn wait(&self, n: &BigRational) -> BigInt {
        let missing = n - &self.level;
        if missing <= BigRational::zero() {
            BigInt::zero()
        } else {
            (missing / &self.rate).ceil().to_integer()
        }
    }

    fn available(&self) -> BigInt {
        self.level.floor().to_integer()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    Take(u64),
    TakeUpTo(u64),
    Charge(u64),
    Refund(u64),
    Reset,
}

/// Rates with a small N in lowest terms, for which every decision is exact.
fn exact_quota() -> impl Strategy<Value = Quota> {
    let period = prop_oneof![
        Just(1_000_000_000_u64),
        Just(60_000_000_000),
        Just(86_400_000_000_000),
        Just(31_557_600_000_000_000),
        1_u64..10_000_000_000
    ];
    let permits = prop_oneof![1_u64..10, 1_u64..1_000, Just(999_983_u64), Just(1_000_000_u64)];
    (permits, period, 1_u64..200)
        // Room for two bursts and an hour in the word.
        .prop_filter("no exact scale", |&(permits, period, burst)| {
            2 * u128::from(burst) * u128::from(period) + u128::from(permits) * 3_600_000_000_000 < 1 << 62
        })
        .prop_map(|(permits, period, burst)| {
            Quota::new(permits, Duration::from_nanos(period)).with_burst(burst)
        })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        // In thousandths of the time of one permit, made nanoseconds below; and odd nanoseconds.
        4 => (0_u64..3_000).prop_map(Op::Advance),
        5 => (0_u64..12).prop_map(Op::Take),
        1 => (0_u64..40).prop_map(Op::TakeUpTo),
        1 => (0_u64..30).prop_map(Op::Charge),
        1 => (0_u64..30).prop_map(Op::Refund),
        1 => Just(Op::Reset),
    ]
}

fn nanos(wait: Duration) -> BigInt {
    BigInt::from(wait.as_nanos())
}

/// Charges so many permits. If the limiter says that it cannot hold such a debt, the word has no room for it, and what
/// the limiter says that can be charged is the most.
fn charge(limiter: &RateLimiter<ManualClock>, model: &mut Model, n: u64) -> Result<(), TestCaseError> {
    let mut charged = |n: u64, paid: Duration| {
        model.level -= ratio(n.into(), 1);
        prop_assert_eq!(nanos(paid), model.wait(&BigRational::zero()));
        Ok(())
    };
    let (requested, most) = match limiter.charge(n) {
        Ok(paid) => return charged(n, paid),
        Err(ChargeError::DebtTooDeep { requested, most }) => (requested, most),
        Err(denied) => return Err(TestCaseError::fail(denied.to_string())),
    };
    prop_assert_eq!(requested, n.into());
    prop_assert!(n > most, "{n} is too much, but {most} permits are not");
    let paid = limiter.charge(most).expect("the most that can be charged");
    charged(most, paid)?;
    prop_assert!(limiter.charge(1).is_err(), "one more than {most} can be charged");

    // The numbers of the word are below 2^62 ticks. The present stands a burst and a catch-up above zero at most.
    let quota = limiter.quota();
    let deeper = &model.level - ratio((n - most).into(), 1);
    let until_full = (&model.burst - &deeper) / &model.rate;
    let present = &model.burst / &model.rate + ratio(quota.catch_up().as_nanos(), 1);
    let word = ratio(oracle::word_ns(&quota).expect("an exact scale").into(), 1);
    prop_assert!(until_full + present >= word, "the word has room for {n}");
    prop_assert!(deeper < -&model.burst, "{n} is less than a burst of debt");
    Ok(())
}

/// The word has room for 146 permits, at seven a year: a burst of 35, and a debt of 111.
#[test]
fn a_debt_that_the_word_cannot_hold_is_refused() {
    let quota = Quota::new(7, Duration::from_secs(31_557_600)).with_burst(35);
    let limiter = RateLimiter::with_clock(quota, ManualClock::starting_at(123_456_789));
    let mut model = Model::new(&quota);
    for n in [10_u64, 2, 1, 9, 4, 8] {
        limiter.try_acquire_n(n).unwrap();
        assert!(model.take(&ratio(n.into(), 1)));
    }
    for n in [26, 19, 24, 16, 28] {
        charge(&limiter, &mut model, n).unwrap();
    }
    assert_eq!(limiter.available(), -111);
}

proptest! {
    #[test]
    fn every_decision_wait_and_level_is_exact(quota in exact_quota(), ops in prop::collection::vec(op(), 1..60)) {
        let clock = ManualClock::starting_at(123_456_789);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let mut model = Model::new(&quota);
        let one = ratio(quota.period().as_nanos(), quota.permits().into());
        for op in ops {
            match op {
                Op::Advance(thousandths) => {
                    // Straight onto a border, or beside it.
                    let ns = (&one * ratio(thousandths.into(), 1000)).ceil().to_integer().to_u64().unwrap();
                    let ns = ns.saturating_sub(thousandths % 2);
                    clock.advance(Duration::from_nanos(ns));
                    model.advance(ns);
                }
                Op::Take(n) => {
                    let exact = ratio(n.into(), 1);
                    let wait = model.wait(&exact);
                    let fits = n <= quota.burst();
                    // Taking none is admitted even in debt.
                    let admitted = n == 0 || (fits && model.take(&exact));
                    match limiter.try_acquire_n(n) {
                        Ok(()) => prop_assert!(admitted, "{n} of {}", model.level),
                        Err(denied) => {
                            prop_assert!(!admitted, "{n} of {}: {denied}", model.level);
                            prop_assert_eq!(denied.is_never(), !fits);
                            if let Some(retry_after) = denied.retry_after() {
                                prop_assert_eq!(nanos(retry_after), wait);
                            }
                        }
                    }
                }
                Op::TakeUpTo(most) => {
                    let count = model.available().to_u64().unwrap_or(0).min(most);
                    prop_assert_eq!(limiter.try_acquire_up_to(most), count);
                    model.take(&ratio(count.into(), 1));
                }
                Op::Charge(n) => charge(&limiter, &mut model, n)?,
                Op::Refund(n) => {
                    limiter.refund(n).unwrap();
                    model.level = (&model.level + ratio(n.into(), 1)).min(model.burst.clone());
                }
                Op::Reset => {
                    limiter.reset();
                    model.level = model.burst.clone();
                }
            }
            prop_assert_eq!(BigInt::from(limiter.available()), model.available());
            prop_assert_eq!(nanos(limiter.time_until_full()), model.wait(&model.burst));
            prop_assert_eq!(limiter.has_capacity(1), model.level >= ratio(1, 1));
        }
    }

    #[test]
    fn fractions_are_exact(weights in prop::collection::vec((0_u32..3_000_000, 0_u64..30_000_000), 1..60)) {
        let clock = ManualClock::new();
        let quota = Quota::per_second(100).with_burst(5);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let mut model = Model::new(&quota);
        for (millionths, ns) in weights {
            let weight = f64::from(millionths) / 1e6;
            let exact = ratio(millionths.into(), 1_000_000);
            let wait = model.wait(&exact);
            let admitted = model.take(&exact);
            let outcome = limiter.try_acquire_n(weight);
            prop_assert_eq!(outcome.is_ok(), admitted, "{} of {}", weight, model.level);
            if let Err(denied) = outcome {
                prop_assert_eq!(nanos(denied.retry_after().unwrap()), wait);
            }
            clock.advance(Duration::from_nanos(ns));
            model.advance(ns);
        }
    }

    /// Where no exact scale lasts, a wait is off by at most a nanosecond, after decades as at once.
    #[test]
    fn rates_beyond_any_exact_scale_do_not_drift(
        permits in 1_000_000_007_u64..9_000_000_000,
        years in 0_u64..60,
        steps in prop::collection::vec((1_u64..50, 0_u64..100), 1..60),
    ) {
        let clock = ManualClock::new();
        let quota = Quota::per_second(permits).with_burst(40);
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let mut model = Model::new(&quota);
        clock.advance(Duration::from_secs(years * 31_557_600));
        model.advance(years * 31_557_600_000_000_000);
        for (n, ns) in steps {
            let exact = ratio(n.into(), 1);
            // A tick is below a seventh of a nanosecond: 10 years in 62 bits, and at worst one tick to a permit
            // where nearly two would fit.
            let tick = &model.rate * ratio(1, 7);
            let close = (&model.level - &exact) < tick && (&exact - &model.level) < tick;
            let admitted = limiter.try_acquire_n(n).is_ok();
            if n > 40 {
                prop_assert!(!admitted);
            } else if admitted == (model.level >= exact) || close {
                if admitted {
                    model.level -= exact;
                }
            } else {
                prop_assert!(false, "{n} of {}: {admitted}", model.level.to_f64().unwrap());
            }
            clock.advance(Duration::from_nanos(ns));
            model.advance(ns);
        }
    }

    /// In every window, waiters and try calls together get at most `burst + rate * w`, in whatever order they come,
    /// are served and leave; and waiters are served in the order of arrival. Whatever catch-up is allowed: where no
    /// alarm is late, there is nothing to catch up.
    #[test]
    fn every_window_is_within_the_bound(
        burst in 1_u64..8,
        catch_up_ms in 0_u64..50,
        steps in prop::collection::vec((0_u8..6, 1_u64..8, 0_u64..40), 1..80),
    ) {
        let quota = Quota::per_second(100).with_burst(burst).with_catch_up(Duration::from_millis(catch_up_ms));
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        let mut waiters: Vec<(u64, Waiter<ManualClock>)> = Vec::new();
        let (mut arrivals, mut last_served) = (0_u64, None);
        let mut admitted = Log::new();
        for (kind, n, ms) in steps {
            match kind {
                0 => if limiter.try_acquire_n(n).is_ok() {
                    prop_assert!(waiters.is_empty(), "a newcomer passed those who wait");
                    admitted.push((clock.now(), n));
                },
                1 | 2 if n <= burst => {
                    waiters.push((arrivals, Waiter::new(&limiter, n)));
                    arrivals += 1;
                }
                3 if !waiters.is_empty() => drop(waiters.remove(n as usize % waiters.len())),
                _ => clock.advance(Duration::from_millis(ms)),
            }
            let mut i = 0;
            while i < waiters.len() {
                let (number, waiter) = &mut waiters[i];
                if waiter.poll() == Poll::Ready(Ok(())) {
                    prop_assert!(last_served < Some(*number), "out of order");
                    last_served = Some(*number);
                    admitted.push((waiter.told_at().unwrap(), waiter.n));
                    drop(waiters.remove(i));
                } else {
                    i += 1;
                }
            }
        }
        // Each when it was granted, where the clock stopped on its way.
        check_windows(&quota, 0, &admitted)?;
    }
}

#[test]
fn idle_for_a_thousand_years_is_just_a_full_bucket() {
    for text in ["1/day", "3/s", "999983/s", "1000000007/s", "1000000000000/s", "1/365day"] {
        let quota: Quota = text.parse().unwrap();
        let clock = ManualClock::new();
        let limiter = RateLimiter::with_clock(quota, clock.clone());
        for _ in 0..20 {
            assert_eq!(limiter.try_acquire_up_to(u64::MAX), quota.burst(), "{text}");
            assert!(limiter.try_acquire().is_err(), "{text}");
            clock.advance(Duration::from_secs(25 * 31_557_600));
        }
    }
}

#[test]
fn a_scale_of_hours_keeps_its_level_from_one_origin_to_the_next() {
    // A trillion a second: its word lasts for hours. Each step is a bit more than the bucket earns.
    let quota = Quota::per_second(1_000_000_000_000).with_burst(1_000_000);
    let clock = ManualClock::new();
    let limiter = RateLimiter::with_clock(quota, clock.clone());
    assert_eq!(limiter.try_acquire_up_to(u64::MAX), 1_000_000);
    let mut taken = 0;
    for step in 0..200_u64 {
        // In debt by fifty minutes, earned back in fifty minutes less a nanosecond.
        limiter.charge(3_000 * 1_000_000_000_000_u64).unwrap();
        clock.advance(Duration::from_nanos(3_000 * 1_000_000_000 - 1));
        assert_eq!(limiter.available(), -1_000, "step {step}");
        clock.advance(Duration::from_nanos(2));
        taken += limiter.try_acquire_up_to(u64::MAX);
    }
    assert_eq!(taken, 200 * 1_000);
}
