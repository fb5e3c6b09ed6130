//! One random history of a limiter, and the bucket beside it from which what went unused was never taken.

use std::{collections::VecDeque, mem, task::Poll, time::Duration};

use tidegate::{AcquireError, Inherit, Quota, RateLimiter};

use super::{
    super::{
        clock::TestClock,
        tasks::{Call, Granted, Limiter},
    },
    bucket::{Bucket, PERMIT},
    held::{Held, Kept},
    rules::{Ledger, Rule},
};
use crate::{Outcome, ensure, percent, pick, random::Random};

pub(super) const MS: u64 = 1_000_000;

pub(super) fn quota(every_ms: i64, burst: i64, catch_up_ns: u64) -> Quota {
    Quota::new(1, Duration::from_millis(every_ms as u64))
        .with_burst(burst as u64)
        .with_catch_up(Duration::from_nanos(catch_up_ns))
}

/// What went back of what could have, in units.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    pub(super) back: i64,
    pub(super) of: i64,
}

struct History<'a> {
    random: &'a mut Random,
    rule: Rule,
    clock: TestClock,
    limiter: Limiter,
    catch_up_ns: u64,
    /// The bucket from which what went unused was never taken.
    model: Bucket,
    waiting: VecDeque<(i64, Call)>,
    held: Vec<Held>,
    /// Until then a waiter may be dated before its time, though the queue is empty.
    credit_until: u64,
    ledger: Ledger,
    share: Share,
    /// What has happened: when, what, and how much.
    log: Vec<(u64, &'static str, i64)>,
}

impl<'a> History<'a> {
    fn new(random: &'a mut Random, rule: Rule) -> Self {
        let (every_ms, burst) = (1 + random.below(8) as i64, 1 + random.below(8) as i64);
        let initial = pick(random, &[burst, burst, burst / 2, 0]);
        let catch_up_ns = pick(random, &[0, 3, 10, 30]) * MS;
        let clock = TestClock::starting_at(pick(random, &[0, MS, 3_600_000 * MS]));
        let quota = quota(every_ms, burst, catch_up_ns).with_initial(initial as u64);
        Self {
            random,
            rule,
            limiter: RateLimiter::with_clock(quota, clock.clone()),
            catch_up_ns,
            model: Bucket::new(every_ms, burst, initial),
            waiting: VecDeque::new(),
            held: Vec::new(),
            credit_until: 0,
            ledger: Ledger::new(rule),
            share: Share::default(),
            log: vec![
                (every_ms as u64, "every ms, burst", burst),
                (catch_up_ns, "catch-up, initial", initial),
            ],
            clock,
        }
    }

    fn note(&mut self, what: &'static str, n: i64) {
        self.log.push((self.clock.steady(), what, n));
    }

    /// The earliest time that a waiter's grant can be dated at, from the present on.
    fn floor(&self) -> i64 {
        if self.waiting.is_empty() && self.clock.steady() > self.credit_until { 0 } else { self.late() }
    }

    fn late(&self) -> i64 {
        -self.model.units(self.catch_up_ns)
    }

    /// By how much the limiter's arrival time is ahead of the present; zero if it is not.
    fn ahead(&self) -> i64 {
        self.model.units(self.limiter.time_until_full().as_nanos() as u64)
    }

    /// Looks which waiters have been granted: the first of the queue. The model does not take what goes unused.
    fn observe(&mut self) -> Outcome {
        self.observe_before(0)
    }

    /// As [`observe`](Self::observe), after another call has taken `n` permits behind them.
    fn observe_before(&mut self, n: i64) -> Outcome {
        let granted = self.waiting.len() - self.limiter.waiting();
        if granted == 0 {
            return Ok(());
        }
        let (floor, ahead) = (self.late(), self.ahead());
        self.ledger.rise(floor);
        let mut later: i64 = self.waiting.iter().take(granted).map(|(n, _)| n * PERMIT).sum();
        later += n * PERMIT;
        for _ in 0..granted {
            let (n, call) = self.waiting.pop_front().unwrap();
            later -= n * PERMIT;
            self.granted(n, call, floor, Some(ahead - later).filter(|&end| ahead > 0 && end > 0))?;
        }
        if self.waiting.is_empty() {
            self.credit_until = self.clock.steady() + self.catch_up_ns;
        }
        Ok(())
    }

    fn granted(&mut self, n: i64, mut call: Call, floor: i64, end: Option<i64>) -> Outcome {
        self.note("granted", n);
        let room = self.ledger.grant(end);
        let used = percent(self.random, 55);
        if used {
            self.use_up(n, floor)?;
        }
        if !used && (matches!(call, Call::Acquire(_)) || percent(self.random, 50)) {
            self.held.push(Held { n, kept: Kept::Untold(call), used, room });
            return Ok(());
        }
        match call.poll() {
            Poll::Ready(Ok(None)) => {}
            Poll::Ready(Ok(Some(reservation))) => {
                self.held.push(Held { n, kept: Kept::Reservation(reservation), used, room });
            }
            other => return Err(format!("not in the queue, but {:?}", other.map_ok(drop))),
        }
        Ok(())
    }

    fn use_up(&mut self, n: i64, floor: i64) -> Outcome {
        self.note("of which in use", n);
        self.model.take(n, floor);
        ensure!(self.model.conforms(), "{n} permits were not there: {:?}", self.log);
        Ok(())
    }

    /// A call has found the queue empty, and permits there.
    fn taken(&mut self, n: i64, granted: Granted, floor: i64) -> Outcome {
        self.ledger.rise(floor);
        let Some(reservation) = granted else { return self.use_up(n, floor) };
        let room = self.ledger.grant(Some(self.ahead()).filter(|&end| end > 0));
        let used = percent(self.random, 40);
        if used {
            self.use_up(n, floor)?;
        }
        self.held.push(Held { n, kept: Kept::Reservation(reservation), used, room });
        Ok(())
    }

    fn join(&mut self, n: i64) -> Outcome {
        self.note("asks", n);
        let reserves = percent(self.random, 50);
        let mut call =
            if reserves { Call::reserve(&self.limiter, n) } else { Call::acquire(&self.limiter, n) };
        let polled = call.poll();
        if polled.is_pending() {
            self.waiting.push_back((n, call));
            return Ok(());
        }
        // Waiters that were due went first.
        self.observe_before(if matches!(polled, Poll::Ready(Ok(_))) { n } else { 0 })?;
        let floor = self.floor();
        match polled {
            Poll::Pending => {}
            Poll::Ready(Ok(granted)) => {
                ensure!(self.waiting.is_empty(), "it passed the queue: {:?}", self.log);
                self.taken(n, granted, floor)?;
            }
            Poll::Ready(Err(denied)) => return Err(format!("{n} permits: {denied}, {:?}", self.log)),
        }
        Ok(())
    }

    fn attempt(&mut self, n: i64) -> Outcome {
        let reserves = percent(self.random, 50);
        self.note(if reserves { "tries to reserve" } else { "tries" }, n);
        let taken = if reserves {
            self.limiter.try_reserve(n).ok().map(Some)
        } else {
            self.limiter.try_acquire_n(n).ok().map(|()| None)
        };
        self.observe_before(if taken.is_some() { n } else { 0 })?;
        let Some(reservation) = taken else { return Ok(()) };
        ensure!(self.waiting.is_empty(), "it passed the queue: {:?}", self.log);
        self.taken(n, reservation, 0)
    }

    /// The alarm rings, so that all due waiters are granted before the next step.
    fn ring(&mut self) -> Outcome {
        self.clock.ring();
        self.observe()
    }

    fn advance(&mut self) -> Outcome {
        let permit_ns = self.model.every_ms as u64 * MS;
        let ns = match self.random.below(8) {
            0 => permit_ns / 2,
            1 | 2 => permit_ns,
            3 => 2 * permit_ns,
            4 => 1 + self.random.below(permit_ns),
            5 | 6 => self.catch_up_ns,
            _ => self.random.below(30) * permit_ns,
        };
        self.note("time passes", ns as i64);
        if percent(self.random, 30) {
            self.clock.advance_silently(ns);
            self.passed(ns);
            return Ok(());
        }
        let (clock, mut before) = (self.clock.clone(), self.clock.steady());
        let mut outcome = Ok(());
        clock.advance(ns, || {
            let now = clock.steady();
            self.passed(now - mem::replace(&mut before, now));
            if outcome.is_ok() {
                outcome = self.observe();
            }
        });
        self.passed(clock.steady() - before);
        outcome
    }

    fn passed(&mut self, ns: u64) {
        self.model.pass(ns);
        self.ledger.pass(self.model.units(ns));
    }

    fn change(&mut self) -> Outcome {
        self.ring()?;
        let (every_ms, burst) = (1 + self.random.below(8) as i64, 1 + self.random.below(8) as i64);
        let is_exact = percent(self.random, 85);
        let inherit = if is_exact { Inherit::AsIs } else { Inherit::Proportionally };
        self.note(if is_exact { "every ms" } else { "in proportion, every ms" }, every_ms);
        self.note("burst", burst);
        self.limiter.set_quota_with(quota(every_ms, burst, self.catch_up_ns), inherit).unwrap();
        let floor = self.floor();
        self.ledger.change(self.model.burst, burst, is_exact);
        self.model.change(every_ms, burst, inherit, floor);
        // They ask for too much.
        for (n, mut call) in mem::take(&mut self.waiting) {
            if n <= burst {
                self.waiting.push_back((n, call));
            } else {
                let told = call.poll().map_ok(drop);
                ensure!(
                    matches!(told, Poll::Ready(Err(AcquireError::TooMany(_)))),
                    "{n} of {burst}: {told:?}"
                );
            }
        }
        self.observe()
    }

    /// Gives back what is not used, or spends what is.
    fn end(&mut self, which: usize) -> Outcome {
        let Held { n, kept, used, room } = self.held.swap_remove(which);
        if used {
            return kept.spend();
        }
        self.note("given back", n);
        let before = self.ahead();
        let quiet = self.waiting.is_empty();
        let floor = if quiet { 0 } else { self.late() };
        if self.rule == Rule::Limiter {
            drop(kept);
        } else {
            kept.spend()?;
            let millionths = self.ledger.back(n, room, floor) / (PERMIT / 1_000_000);
            self.limiter.refund(millionths as f64 / 1e6).unwrap();
        }
        if quiet {
            self.share.back += before - self.ahead();
            self.share.of += n * PERMIT;
        }
        self.observe()
    }

    fn step(&mut self) -> Outcome {
        let n = 1 + self.random.below(self.model.burst as u64) as i64;
        let most = 1 + self.random.below(2 * self.model.burst as u64) as i64;
        match self.random.below(100) {
            0..25 => self.advance()?,
            25..45 => self.attempt(n)?,
            45..65 => self.join(n)?,
            65..69 => {
                self.ring()?;
                self.note("charge", most);
                self.limiter.charge(most).unwrap();
                self.ledger.rise(0);
                self.model.take(most, 0);
            }
            69..74 => {
                self.ring()?;
                self.note("refund", most);
                self.ledger.refund(self.ahead(), Some(most));
                self.limiter.refund(most).unwrap();
                self.model.refund(most);
            }
            74..76 => {
                self.ring()?;
                self.note("reset", 0);
                self.ledger.refund(self.ahead(), None);
                self.limiter.reset();
                self.model.reset();
            }
            76..82 => self.change()?,
            82..86 if !self.waiting.is_empty() => {
                let which = self.random.below(self.waiting.len() as u64) as usize;
                let left = self.waiting.remove(which);
                self.note("leaves", left.as_ref().map_or(0, |&(n, _)| n));
                drop(left);
            }
            _ if !self.held.is_empty() => {
                let which = self.random.below(self.held.len() as u64) as usize;
                self.end(which)?;
            }
            _ => {}
        }
        self.observe()?;
        self.compare()?;
        self.observe()
    }

    /// The limiter holds no more than the model.
    fn compare(&self) -> Outcome {
        let model = &self.model;
        ensure!(self.ahead() >= model.ahead.max(0), "{} above {model:?}: {:?}", self.ahead(), self.log);
        let available = self.limiter.available();
        ensure!(available <= model.available(), "{available} there by {model:?}: {:?}", self.log);
        if !self.waiting.is_empty() {
            // What is before the present counts too, for waiters.
            let queued: i64 = self.waiting.iter().map(|(n, _)| n * PERMIT).sum();
            let wait = model.units(self.limiter.time_until(1).unwrap().as_nanos() as u64);
            let least = model.ahead.max(self.late()) + queued + PERMIT - model.burst * PERMIT;
            ensure!(wait >= least, "wait {wait}, not {least}, by {model:?}: {:?}", self.log);
        }
        Ok(())
    }
}

pub(super) fn history(random: &mut Random, rule: Rule) -> Outcome<Share> {
    let mut history = History::new(random, rule);
    for _ in 0..5 + history.random.below(60) {
        history.step()?;
    }
    Ok(history.share)
}
