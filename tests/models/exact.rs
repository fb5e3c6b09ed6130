//! Every decision, wait and level of one limiter, as exact rational arithmetic says.
//!
//! The quotas are common ones: a few permits in a window from milliseconds to years. The model is a bucket in
//! whole numbers of a unit that divides a nanosecond and a millionth of a permit.

use std::{task::Poll, time::Duration};

use num_integer::Integer;
use tidegate::{ChargeError, Denied, NotYet, Permits, Quota, RateLimiter};

use super::{clock::TestClock, tasks::Limiter};
use crate::{Outcome, each_seed, ensure, failures, percent, pick, random::Random};

const HISTORIES: u64 = 30_000;
/// Enough for the wrong model.
const FEW: u64 = 2_000;

const MILLION: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;
const YEAR: u64 = 31_557_600 * SECOND;
const HOUR: u128 = 3_600 * SECOND as u128;

/// The range of the limiter's word, in ticks.
const WORD: u128 = 1 << 62;

/// The ticks of a permit, and the finest part of a permit that is a whole number of them; `None` if the word has no
/// room for two bursts and an hour in whole ticks.
fn exact_ticks(permits: u64, period_ns: u64, burst: u64) -> Option<(u128, u64)> {
    let common = permits.gcd(&period_ns);
    let (n, p) = (u128::from(permits / common), u128::from(period_ns / common));
    [MILLION, 1_000, 10, 1].into_iter().find_map(|grain| {
        let k = u128::from(grain) / u128::from(grain).gcd(&p);
        let span = 2 * u128::from(burst) * p * k + n * k * HOUR;
        (span < WORD).then_some((p * k, grain))
    })
}

fn quota(random: &mut Random) -> (Quota, u128, u64) {
    loop {
        let some = 1 + random.below(10 * SECOND);
        let period_ns = pick(
            random,
            &[
                some,
                some,
                MILLION,
                10 * MILLION,
                SECOND,
                SECOND,
                10 * SECOND,
                60 * SECOND,
                3_600 * SECOND,
                86_400 * SECOND,
                YEAR,
            ],
        );
        let few = 1 + random.below(12);
        let permits = pick(random, &[few, few, few, 30, 60, 100, 1_000]);
        let few = 1 + random.below(40);
        let burst = pick(random, &[1, permits, few, few, 100, 1_000]);
        let fills_in = u128::from(burst) * u128::from(period_ns) / u128::from(permits);
        let exact = exact_ticks(permits, period_ns, burst);
        if let Some((ticks, grain)) = exact.filter(|_| fills_in <= 100 * u128::from(YEAR)) {
            return (Quota::new(permits, Duration::from_nanos(period_ns)).with_burst(burst), ticks, grain);
        }
    }
}

/// A bucket in exact arithmetic.
#[derive(Clone, Debug)]
struct Model {
    /// The units of a nanosecond, and of a millionth of a permit.
    nanosecond: i128,
    millionth: i128,
    burst: i128,
    level: i128,
}

impl Model {
    fn new(quota: &Quota) -> Self {
        let nanosecond = i128::from(quota.permits() * MILLION);
        let millionth = quota.period().as_nanos() as i128;
        let burst = millionth * i128::from(quota.burst() * MILLION);
        Self { nanosecond, millionth, burst, level: burst }
    }

    fn pass(&mut self, ns: u64) {
        self.level = (self.level + self.nanosecond * i128::from(ns)).min(self.burst);
    }

    fn units(&self, millionths: u64) -> i128 {
        self.millionth * i128::from(millionths)
    }

    /// The nanoseconds until the level is so many units, rounded up.
    fn wait(&self, level: i128) -> u128 {
        Integer::div_ceil(&(level - self.level), &self.nanosecond).max(0) as u128
    }

    fn available(&self) -> i128 {
        Integer::div_floor(&self.level, &self.units(MILLION))
    }
}

fn permits(millionths: u64) -> Permits {
    // The nearest millionth is the one that was meant.
    Permits::try_from(millionths as f64 / MILLION as f64).unwrap()
}

struct History<'a> {
    random: &'a mut Random,
    clock: TestClock,
    limiter: Limiter,
    quota: Quota,
    /// The ticks of a permit.
    ticks: u128,
    /// The finest amount that is exact, in millionths.
    finest: u64,
    model: Model,
    /// How much the model forgets of each charge, in millionths: a model that is wrong.
    forgets: u64,
    log: Vec<(&'static str, u64)>,
}

impl<'a> History<'a> {
    fn new(random: &'a mut Random, forgets: u64) -> Self {
        let (quota, ticks, grain) = quota(random);
        let clock = TestClock::starting_at(pick(random, &[0, 123_456_789, 3_600 * SECOND]));
        Self {
            random,
            limiter: RateLimiter::with_clock(quota, clock.clone()),
            quota,
            ticks,
            finest: MILLION / grain,
            model: Model::new(&quota),
            forgets,
            clock,
            log: Vec::new(),
        }
    }

    fn note(&mut self, what: &'static str, n: u64) {
        self.log.push((what, n));
    }

    /// An amount in millionths: whole permits, and parts.
    fn amount(&mut self) -> u64 {
        let most = self.quota.burst() + 1;
        let some = self.random.below(most + 1);
        let whole = pick(self.random, &[1, 2, some, some]);
        if percent(self.random, 70) {
            return whole * MILLION;
        }
        let parts = 1 + self.random.below(3 * MILLION);
        (parts / self.finest * self.finest).max(self.finest)
    }

    fn advance(&mut self, ns: u64) {
        self.clock.advance(ns, || {});
        self.model.pass(ns);
    }

    /// Onto a border of the model, or a nanosecond beside it.
    fn advance_a_while(&mut self) {
        let of = self.model.burst - self.model.level;
        let permit = self.model.units(MILLION);
        let part = permit * i128::from(self.random.below(3_000)) / 1_000;
        let until = pick(self.random, &[permit, permit, part, part, of, 2 * of, 1]);
        let ns = Integer::div_ceil(&until, &self.model.nanosecond) as u64;
        let beside = self.random.below(3);
        self.note("time passes", ns);
        self.advance((ns + beside).saturating_sub(1));
    }

    fn attempt(&mut self) -> Outcome {
        let n = self.amount();
        self.note("tries millionths", n);
        let outcome = self.limiter.try_acquire_n(permits(n));
        let cost = self.model.units(n);
        if cost > self.model.burst {
            ensure!(outcome.is_err_and(|denied| denied.is_never()), "{n} above the burst: {outcome:?}");
        } else if n == 0 || self.model.level >= cost {
            ensure!(outcome.is_ok(), "{n} were there: {outcome:?}");
            self.model.level -= cost;
        } else {
            let wait = Duration::from_nanos(self.model.wait(cost) as u64);
            ensure!(outcome == Err(Denied::NotYet(NotYet::after(wait))), "{n}: {outcome:?}, not {wait:?}");
        }
        Ok(())
    }

    /// Waits in the queue, and is granted at its nanosecond.
    fn wait(&mut self) -> Outcome {
        let n = self.amount().min(self.quota.burst() * MILLION);
        self.note("waits for millionths", n);
        let limiter = self.limiter.clone();
        let mut call = Box::pin(async move { limiter.acquire_n(permits(n)).await });
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        let mut poll = move || call.as_mut().poll(&mut cx);
        let cost = self.model.units(n);
        let wait = if n == 0 { 0 } else { self.model.wait(cost) as u64 };
        let start = self.model.level;
        let polled = poll();
        ensure!(polled.is_ready() == (wait == 0), "{n} after {wait} ns: {polled:?}");
        if wait > 0 {
            let behind = self.limiter.time_until(permits(self.finest)).unwrap().as_nanos();
            let all = self.model.wait(cost + self.model.units(self.finest));
            ensure!(behind == all, "{} behind {n} after {behind} ns, not {all}", self.finest);
            self.advance(wait - 1);
            let early = self.limiter.waiting();
            ensure!(early == 1, "{n} granted a nanosecond too early");
            self.advance(1);
            ensure!(self.limiter.waiting() == 0, "{n} not granted in time");
            ensure!(poll() == Poll::Ready(Ok(())), "{n} granted, but not told");
        }
        // A waiter's grant is dated at its time, which may lie within the last nanosecond: nothing overflows till then.
        self.model.level = start + self.model.nanosecond * i128::from(wait) - cost;
        Ok(())
    }

    fn charge(&mut self) -> Outcome {
        let n = pick(self.random, &[1, 1, 2, 3]) * self.amount();
        self.note("charge millionths", n);
        match self.limiter.charge(permits(n)) {
            Ok(paid) => self.charged(n, paid),
            Err(ChargeError::DebtTooDeep { requested, most }) => {
                ensure!(requested == permits(n), "{requested} was not asked for");
                self.debt_too_deep(n, most.into())
            }
            Err(denied) => Err(format!("{n}: {denied}")),
        }
    }

    fn charged(&mut self, n: u64, paid: Duration) -> Outcome {
        self.model.level -= self.model.units(n.saturating_sub(self.forgets));
        let wait = self.model.wait(0);
        ensure!(paid.as_nanos() == wait, "{n} paid after {paid:?}, not {wait} ns");
        Ok(())
    }

    /// Such a refusal is right if the word, whose numbers are below 2^62, has no room for the debt. What it says can be
    /// charged, and no permit more.
    fn debt_too_deep(&mut self, n: u64, most: Permits) -> Outcome {
        let most = most.whole();
        ensure!(n > most * MILLION, "{n} is too much, but {most} permits are not");
        let missing = (self.model.burst - self.model.level + self.model.units(n)) as u128;
        let tick = self.model.units(MILLION) as u128 / self.ticks;
        let ticks = missing / tick;
        // The present stands a burst and a catch-up above zero at most.
        let catch_up = self.quota.catch_up().as_nanos() * self.ticks * u128::from(self.quota.permits());
        let catch_up = catch_up / self.quota.period().as_nanos();
        let present = u128::from(self.quota.burst()) * self.ticks + catch_up;
        ensure!(ticks + present >= WORD, "the word has room for {n}");
        let debt = self.model.units(n) - self.model.level;
        ensure!(debt > self.model.burst, "{n} is less than a burst of debt");

        let paid = self.limiter.charge(most).map_err(|denied| format!("not even {most}: {denied}"))?;
        self.charged(most * MILLION, paid)?;
        ensure!(self.limiter.charge(1).is_err(), "one more than {most} can be charged");
        Ok(())
    }

    fn step(&mut self) -> Outcome {
        match self.random.below(100) {
            0..30 => self.advance_a_while(),
            30..60 => self.attempt()?,
            60..75 => self.wait()?,
            75..87 => self.charge()?,
            87..97 => {
                let n = self.amount();
                self.note("refund millionths", n);
                self.limiter.refund(permits(n)).unwrap();
                self.model.level = (self.model.level + self.model.units(n)).min(self.model.burst);
            }
            _ => {
                self.note("reset", 0);
                self.limiter.reset();
                self.model.level = self.model.burst;
            }
        }
        self.compare()
    }

    fn compare(&self) -> Outcome {
        let (limiter, model) = (&self.limiter, &self.model);
        let available = i128::from(limiter.available());
        ensure!(available == model.available(), "{available} there, not {}", model.available());
        let full = limiter.time_until_full().as_nanos();
        ensure!(full == model.wait(model.burst), "full after {full} ns, not {}", model.wait(model.burst));
        for n in [self.finest, MILLION, self.quota.burst() * MILLION] {
            let (told, wait) =
                (limiter.time_until(permits(n)).unwrap().as_nanos(), model.wait(model.units(n)));
            ensure!(told == wait, "{n} there after {told} ns, not {wait}");
        }
        Ok(())
    }
}

fn history(random: &mut Random, forgets: u64) -> Outcome {
    let mut history = History::new(random, forgets);
    for _ in 0..5 + history.random.below(40) {
        if let Err(why) = history.step() {
            return Err(format!("{why}; {} by {:?}: {:?}", history.quota, history.model, history.log));
        }
    }
    Ok(())
}

#[test]
fn every_decision_wait_and_level_is_exact() {
    each_seed(HISTORIES, |random| history(random, 0));
}

#[test]
fn a_millionth_of_a_permit_is_missed() {
    let found = failures(FEW, |random| history(random, 1));
    assert!(found > FEW as usize / 2, "{found} of {FEW}");
}

/// The debt that seven permits a year can have is 146 permits less a burst.
#[test]
fn a_debt_that_does_not_fit_is_refused_exactly() {
    each_seed(200, |random| {
        let mut history = History::new(random, 0);
        let quota = Quota::new(7, Duration::from_nanos(YEAR)).with_burst(35);
        (history.ticks, history.finest) =
            exact_ticks(7, YEAR, 35).map(|(ticks, grain)| (ticks, MILLION / grain)).unwrap();
        history.limiter = RateLimiter::with_clock(quota, history.clock.clone());
        (history.quota, history.model) = (quota, Model::new(&quota));
        for _ in 0..40 {
            history.charge()?;
            history.compare()?;
        }
        // So many charges cannot all fit.
        let deep = history.log.iter().map(|&(_, n)| n).sum::<u64>() > 150 * MILLION;
        ensure!(deep && history.limiter.charge(20).is_err(), "no refusal: {:?}", history.log);
        Ok(())
    });
}
