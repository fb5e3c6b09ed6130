//! A limiter on one thread whose rules for a clock that stepped back can be left out, one at a time.
//!
//! With these the histories of `step_back.rs` show that the bound and the recovery can be kept, and that they are lost
//! without any one of the rules.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard},
    task::{Wake, Waker},
};

use tidegate::Clock;

use super::{
    super::clock::TestClock,
    rate::{PERMIT, Rate, SKEW},
};

/// What is done about a step back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rules {
    /// A locked reading that lies too far behind the arrival time is a step back: the bucket counts as empty, or as deep
    /// in debt as it was known to be.
    All,
    /// A refusal never takes the lock.
    NoLockToRefuse,
    /// A reading before the origin is taken for the origin.
    NothingBeforeTheOrigin,
    /// The debt counts although calls have moved the arrival time since it was noted.
    OldDebts,
    /// A step back forgives a debt.
    NoDebts,
    /// A step back fills the bucket.
    Full,
}

#[derive(Clone, Debug)]
pub(super) struct Model(Arc<Shared>);

#[derive(Debug)]
struct Shared(Mutex<State>);

#[derive(Debug)]
struct State {
    rules: Rules,
    clock: TestClock,
    rate: Rate,
    catch_up_ns: u64,
    /// The frame: the tick of the origin, and its clock reading. The unit is that of `PERMIT`.
    base: i64,
    origin_ns: u64,
    /// The arrival time, and the highest that it ever was.
    word: i64,
    highest: i64,
    /// The arrival time that the last holder of the lock left, and how far that was ahead of its present.
    left: i64,
    debt: i64,
    waiting: VecDeque<i64>,
}

impl State {
    fn tick(&self, now_ns: u64) -> i64 {
        self.base + self.rate.units(now_ns.saturating_sub(self.origin_ns))
    }

    /// How far ahead of the present the arrival time may rightfully be.
    fn most(&self) -> i64 {
        let full = self.rate.full();
        match self.rules {
            Rules::Full => 0,
            Rules::NoDebts => full,
            Rules::OldDebts => full.max(self.debt),
            _ if self.word != self.left => full,
            _ => full.max(self.debt),
        }
    }

    fn publish(&mut self, rate: Rate, now_ns: u64, ahead: i64) {
        self.highest = self.highest.max(self.word);
        self.base = self.highest + 1;
        self.rate = rate;
        self.origin_ns = now_ns - now_ns.min(rate.burst_ns() + self.catch_up_ns);
        self.word = (self.tick(now_ns) + ahead).max(self.base);
    }

    /// What the lock holder does first: it finds out whether the clock has stepped back. Returns the present.
    fn look(&mut self, now_ns: u64) -> i64 {
        let most = self.most();
        if now_ns + SKEW < self.origin_ns && self.rules != Rules::NothingBeforeTheOrigin {
            self.publish(self.rate, now_ns, most);
        }
        let now = self.tick(now_ns);
        if self.word - now > most.max(self.rate.full()) + self.rate.skew() {
            self.word = now + most;
        }
        now
    }

    fn floor(&self, now: i64) -> i64 {
        now - self.rate.units(self.catch_up_ns)
    }

    fn take(&mut self, cost: i64, now: i64, floor: i64) -> bool {
        let new = self.word.max(floor) + cost;
        let admitted = new <= now + self.rate.full();
        if admitted {
            self.word = new;
        }
        admitted
    }

    fn grant_due(&mut self, now: i64) {
        while let Some(&cost) = self.waiting.front() {
            if !self.take(cost, now, self.floor(now)) {
                return;
            }
            self.waiting.pop_front();
        }
    }

    fn leave(&mut self, now: i64) {
        (self.left, self.debt) = (self.word, self.word - now);
    }
}

/// The alarm.
impl Wake for Shared {
    fn wake(self: Arc<Self>) {
        Model(self).look();
    }
}

impl Model {
    pub(super) fn new(rules: Rules, rate: Rate, catch_up_ns: u64, clock: TestClock) -> Self {
        let now_ns = clock.now();
        let mut state = State {
            rules,
            clock,
            rate,
            catch_up_ns,
            base: 0,
            origin_ns: 0,
            word: 0,
            highest: 0,
            left: 0,
            debt: 0,
            waiting: VecDeque::new(),
        };
        state.publish(rate, now_ns, 0);
        Self(Arc::new(Shared(Mutex::new(state))))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.0.lock().unwrap()
    }

    /// Runs with the lock held, and sets the alarm for the first waiter.
    fn locked<R>(&self, run: impl FnOnce(&mut State, i64) -> R) -> R {
        let (outcome, alarm, clock) = {
            let mut state = self.lock();
            let now_ns = state.clock.now();
            let now = state.look(now_ns);
            state.grant_due(now);
            let outcome = run(&mut state, now);
            // The frame may be another one.
            let now = state.tick(now_ns);
            state.grant_due(now);
            state.leave(now);
            let alarm = state.waiting.front().map(|cost| {
                let due = state.word.max(state.floor(now)) + cost - state.rate.full() - now;
                now_ns + (due as u64).div_ceil(state.rate.per_ns() as u64)
            });
            (outcome, alarm, state.clock.clone())
        };
        if let Some(at) = alarm {
            clock.wake_at(at, &Waker::from(Arc::clone(&self.0)));
        }
        outcome
    }

    pub(super) fn try_acquire(&self, n: i64) -> bool {
        let decided = {
            let mut state = self.lock();
            let now_ns = state.clock.now();
            let now = state.tick(now_ns);
            if state.waiting.is_empty() && state.take(n * PERMIT, now, now) {
                return true;
            }
            let behind = state.word - now > state.rate.full() || now_ns + SKEW < state.origin_ns;
            state.waiting.is_empty() && (!behind || state.rules == Rules::NoLockToRefuse)
        };
        !decided && self.locked(|state, now| state.waiting.is_empty() && state.take(n * PERMIT, now, now))
    }

    /// Whether it is granted at once; else it waits.
    pub(super) fn acquire(&self, n: i64) -> bool {
        self.locked(|state, now| {
            if state.waiting.is_empty() && state.take(n * PERMIT, now, now) {
                return true;
            }
            state.waiting.push_back(n * PERMIT);
            false
        })
    }

    pub(super) fn leave(&self, which: usize) {
        self.lock().waiting.remove(which);
        self.look();
    }

    pub(super) fn charge(&self, n: i64) {
        self.locked(|state, now| state.word = state.word.max(now) + n * PERMIT);
    }

    pub(super) fn refund(&self, n: i64) {
        self.locked(|state, now| state.word = (state.word - n * PERMIT).max(state.word.min(now)));
    }

    pub(super) fn set_rate(&self, to: Rate) {
        self.locked(|state, now| {
            let ahead = (state.word - now + to.full() - state.rate.full()).max(0);
            let now_ns = state.clock.now();
            state.publish(to, now_ns, ahead);
        });
    }

    pub(super) fn waiting(&self) -> usize {
        self.lock().waiting.len()
    }

    pub(super) fn look(&self) {
        self.locked(|_, _| {});
    }
}
