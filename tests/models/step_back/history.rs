//! One random history under a clock that steps back and forward.

use std::{collections::VecDeque, mem};

use super::{
    super::{clock::TestClock, window::Window},
    rate::{PERMIT, Rate, SKEW},
    rules::Rules,
    subject::Subject,
};
use crate::{Outcome, ensure, percent, pick, random::Random};

const MS: u64 = 1_000_000;
const HOUR: u64 = 3_600_000 * MS;

struct History<'a> {
    random: &'a mut Random,
    clock: TestClock,
    subject: Subject,
    catch_up_ns: u64,
    skews: [u64; 3],
    rates: [Rate; 2],
    rate: Rate,
    believed: u64,
    /// How often the rate has changed.
    changes: i64,
    /// By how much the arrival time is ahead of the present at most, whichever thread has moved it. Only what is beyond
    /// a burst matters: a debt.
    ahead: i64,
    /// The same, when a call last took the queue's lock: what a step back brings back at most.
    noted: i64,
    waiting: VecDeque<i64>,
    window: Window,
    log: Vec<(u64, &'static str, i64)>,
}

impl<'a> History<'a> {
    fn new(random: &'a mut Random, rules: Option<Rules>) -> Self {
        let mut rates = [Rate::random(random), Rate::random(random)];
        if percent(random, 70) {
            rates[1].permit_ns = rates[0].permit_ns;
        }
        let catch_up_ns = pick(random, &[0, 0, 100_000, 10 * MS]);
        let clock = TestClock::starting_at(pick(random, &[0, 10_000 * MS, 3 * HOUR]));
        let skews = [(); 3].map(|()| random.below(SKEW + 1));
        clock.call_from(skews[0]);
        Self {
            subject: Subject::new(rules, rates[0], catch_up_ns, clock.clone()),
            window: Window::new(rates.map(Rate::per_ns).into_iter().max().unwrap()),
            log: vec![(catch_up_ns, "catch-up", 0)],
            random,
            clock,
            catch_up_ns,
            skews,
            rates,
            rate: rates[0],
            believed: 0,
            changes: 0,
            ahead: rates[0].skew(),
            noted: rates[0].skew(),
            waiting: VecDeque::new(),
        }
    }

    fn note(&mut self, what: &'static str, n: i64) {
        self.log.push((self.clock.steady(), what, n));
    }

    fn admitted(&mut self, n: i64) {
        self.note("admitted", n);
        self.window.admit(self.believed, n * PERMIT);
        let skew = self.rate.skew();
        self.ahead = (self.ahead.max(skew) + n * PERMIT).min(self.rate.full() + skew);
        // It was under the lock, or it has moved the arrival time from what was noted.
        self.notes();
    }

    fn observe(&mut self) -> Outcome {
        for _ in self.subject.waiting()..self.waiting.len() {
            let n = self.waiting.pop_front().unwrap();
            self.subject.first_looks().map_err(|why| format!("{why}: {:?}", self.log))?;
            self.admitted(n);
        }
        self.may_have_noticed();
        Ok(())
    }

    fn passed(&mut self, ns: u64) {
        self.believed += ns;
        self.ahead -= self.rate.units(ns);
    }

    fn advance(&mut self, ns: u64) -> Outcome {
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

    fn step_back(&mut self, ns: u64) {
        let before = self.clock.steady();
        let ns = ns.min(before);
        self.note("steps back", ns as i64);
        self.ahead += self.rate.units(ns);
        self.clock.step_back(ns);
    }

    /// How far the arrival time may be ahead of the present when a call has noticed a step back. A step of less than
    /// the skew is not noticed, and the thread that notices may be ahead of the one that noted.
    fn most(&self) -> i64 {
        self.noted.max(self.rate.full()) + 2 * self.rate.skew()
    }

    /// A call notices a step back.
    fn notices(&mut self) {
        self.ahead = self.ahead.min(self.most());
    }

    /// A call may have noticed a step back, and noted what it has found.
    fn may_have_noticed(&mut self) {
        self.noted = self.noted.max(self.ahead.min(self.most()));
    }

    /// A call has taken the lock, and noted what it leaves.
    fn notes(&mut self) {
        self.noted = self.ahead;
    }

    fn call(&mut self) -> Outcome {
        // By the reading of this thread waiters may be due, and then they go first.
        self.advance(0)?;
        let n =
            1 + self.random.below(self.rates.map(|rate| rate.burst).into_iter().min().unwrap().min(3) as u64);
        let n = n as i64;
        match self.random.below(100) {
            0..50 => {
                // Behind waiters it may be refused without a look at the clock.
                if self.waiting.is_empty() {
                    self.notices();
                }
                if self.subject.try_acquire(n) {
                    self.observe()?;
                    self.admitted(n);
                }
            }
            50..60 => {
                let charged = 1 + self.random.below(20) as i64;
                self.note("charge", charged);
                self.notices();
                self.subject.charge(charged);
                // Waiters that were due went first.
                self.observe()?;
                self.window.charge(self.believed, charged * PERMIT);
                self.ahead = self.ahead.max(self.rate.skew()) + charged * PERMIT;
                self.notes();
            }
            60..78 => {
                self.notices();
                if self.subject.acquire(n) {
                    self.observe()?;
                    self.admitted(n);
                } else {
                    self.note("waits", n);
                    self.waiting.push_back(n);
                }
                self.notes();
            }
            78..83 => {
                let refunded = 1 + self.random.below(3) as i64;
                self.note("refund", refunded);
                self.notices();
                self.window.give_back(self.believed, refunded * PERMIT);
                self.subject.refund(refunded);
                self.ahead = (self.ahead - refunded * PERMIT).max(self.ahead.min(self.rate.skew()));
                self.notes();
            }
            83..90 => {
                let to = pick(self.random, &self.rates);
                self.note("every ns", to.permit_ns as i64);
                self.note("burst", to.burst);
                self.notices();
                self.subject.set_rate(to, self.catch_up_ns);
                // A full bucket keeps the level of the old burst.
                self.ahead = (self.ahead.max(0) + to.full() - self.rate.full()).max(0) + to.skew();
                self.changes += i64::from(to.permit_ns != self.rate.permit_ns);
                self.rate = to;
                self.notes();
            }
            90..94 if !self.waiting.is_empty() => {
                let which = self.random.below(self.waiting.len() as u64) as usize;
                self.waiting.remove(which);
                self.subject.leave(which);
            }
            _ => self.subject.look(),
        }
        Ok(())
    }

    fn step(&mut self) -> Outcome {
        let (permit_ns, burst_ns) = (self.rate.permit_ns, self.rate.burst_ns());
        self.call_from_some_thread();
        match self.random.below(100) {
            0..27 => {
                let some = self.random.below(5 * burst_ns);
                let ns = [0, 1_000, permit_ns / 3, permit_ns, 3 * permit_ns, burst_ns, some];
                let ns = pick(self.random, &ns);
                self.note("time passes", ns as i64);
                self.advance(ns)?;
            }
            27..37 => {
                let some = self.random.below(2 * burst_ns);
                let ns = [
                    SKEW / 2,
                    2 * SKEW,
                    permit_ns,
                    burst_ns / 2,
                    burst_ns + 2 * SKEW,
                    1_000 * MS,
                    HOUR,
                    some,
                ];
                let ns = pick(self.random, &ns);
                self.step_back(ns);
            }
            37..40 => {
                let ns = pick(self.random, &[2 * SKEW, permit_ns, burst_ns, 10_000 * MS, HOUR]);
                self.note("steps forward", ns as i64);
                self.clock.advance_silently(ns);
                self.passed(ns);
                self.clock.ring();
            }
            _ => self.call()?,
        }
        self.observe()
    }

    fn call_from_some_thread(&mut self) {
        self.clock.call_from(pick(self.random, &self.skews));
    }

    fn keeps_the_bound(&self) -> Outcome {
        let burst = self.rates.map(Rate::full).into_iter().max().unwrap();
        let per_ns = self.rates.map(Rate::per_ns).into_iter().max().unwrap();
        // Two nanoseconds of rounding. And at each change of the rate what one thread counts by the old one another may
        // count by the new one.
        let bound = burst + (self.catch_up_ns + 2 * SKEW + 2) as i64 * per_ns;
        let bound = bound + self.changes * SKEW as i64 * per_ns;
        let highest = self.window.highest();
        ensure!(highest <= bound, "{highest} in a window, not {bound}: {:?}", self.log);
        Ok(())
    }

    /// From here on the clock is steady, and there are no other calls. A call that tries again and again, or a waiter,
    /// is granted in time.
    fn recovers(&mut self) -> Outcome {
        while self.waiting.pop_back().is_some() {
            self.subject.leave(self.waiting.len());
        }
        self.may_have_noticed();
        self.notices();
        let cost_ns = self.rate.permit_ns;
        let debt_ns = (self.ahead + PERMIT - self.rate.full()).max(0) / self.rate.per_ns();
        let step_ns = cost_ns / 7;
        let allowed_ns = cost_ns.max(debt_ns as u64) + 2 + step_ns;
        let waits = percent(self.random, 50);
        if waits && self.subject.acquire(1) {
            return Ok(());
        }
        let mut passed_ns = 0;
        loop {
            self.call_from_some_thread();
            let admitted = if waits { self.subject.waiting() == 0 } else { self.subject.try_acquire(1) };
            if admitted {
                self.admitted(1);
                return Ok(());
            }
            ensure!(
                passed_ns <= allowed_ns,
                "waits {passed_ns} ns, not {allowed_ns}, {}: {:?}",
                if waits { "in the queue" } else { "trying" },
                self.log
            );
            self.clock.advance(step_ns, || {});
            self.believed += step_ns;
            passed_ns += step_ns;
        }
    }
}

/// Whether the bound was kept, and whether the limiter recovers; of the limiter, unless there are rules for a model.
pub(super) fn history(random: &mut Random, rules: Option<Rules>) -> [Outcome; 2] {
    let mut history = History::new(random, rules);
    for _ in 0..3 + history.random.below(60) {
        if let Err(why) = history.step() {
            return [Err(why), Ok(())];
        }
    }
    [history.keeps_the_bound(), history.recovers()]
}
