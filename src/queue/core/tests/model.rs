//! A model of the core: one bucket in exact arithmetic, in *atoms*, of which there are 10^9 to a permit, and as many to
//! a nanosecond as there are permits to a second. It knows no frames: the TAT is so many atoms ahead of the present.
//!
//! Beside it there is a second bucket, which never saw the permits that go unused. What goes back must not make ours
//! fuller than that. How much that is to the tick: `model/history.rs`.

mod history;
mod queue;

use std::collections::VecDeque;

pub(super) use self::history::Held;
use self::history::History;
use super::*;
use crate::quota::Inherit;

pub(super) const PERMIT: i128 = 1_000_000_000;

/// What the readings of two threads may differ by.
const SKEW: i128 = SKEW_NS as i128;

#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The number of its place.
    pub(super) place: usize,
    pub(super) atoms: i128,
    pub(super) deadline_ns: u64,
    pub(super) lane: Lane,
    /// Of a final part: whether its waker has been woken since it was not due.
    pub(super) final_part: Option<bool>,
    pub(super) unused: bool,
}

/// The result of a hand-off.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// Of the grants that go unused it is that one.
    Granted(Option<usize>),
    /// Late by so many nanoseconds.
    Late(u64),
}

pub(super) struct Model {
    quota: Quota,
    /// Atoms to a nanosecond, and to a tick.
    rate: i128,
    unit: i128,
    pub(super) limit: i128,
    /// The reading before which the clock has stepped back.
    pub(super) origin_ns: u64,
    now_ns: u64,
    /// The TAT of ours and of the other bucket, and ours as the last thaw left it, all from the present.
    pub(super) ahead: i128,
    other: i128,
    left: i128,
    /// How far ahead ours was then.
    left_ahead: i128,
    /// Rounded down with every change of quota.
    slop: i128,
    pub(super) floor: i128,
    pub(super) credit_until_ns: u64,
    pub(super) queue: VecDeque<Waiting>,
    /// By lane.
    final_due_ns: [u64; Lane::COUNT],
    pub(super) held: Vec<Held>,
    history: History,
}

pub(super) const fn ceil(atoms: i128, rate: i128) -> i128 {
    -((-atoms).div_euclid(rate))
}

impl Model {
    pub(super) fn new(quota: Quota, now_ns: u64) -> Self {
        let mut model = Self {
            quota,
            rate: 0,
            unit: 0,
            limit: 0,
            origin_ns: 0,
            now_ns,
            ahead: i128::from(quota.burst() - quota.initial()) * PERMIT,
            other: 0,
            left: 0,
            left_ahead: 0,
            slop: 0,
            floor: 0,
            credit_until_ns: 0,
            queue: VecDeque::new(),
            final_due_ns: [0; Lane::COUNT],
            held: Vec::new(),
            history: History::default(),
        };
        model.set_quota(quota);
        model.publish();
        (model.other, model.left, model.left_ahead) = (model.ahead, model.ahead, model.ahead);
        model
    }

    fn set_quota(&mut self, quota: Quota) {
        let scale = Scale::new(&quota).unwrap();
        assert!(scale.rate_fraction == 0 && PERMIT as u64 % scale.per_permit == 0, "{quota}");
        self.quota = quota;
        self.rate = i128::from(quota.permits());
        self.unit = PERMIT / i128::from(scale.per_permit);
        self.limit = i128::from(quota.burst()) * PERMIT;
    }

    /// A frame begins here. No TAT lies before its origin.
    pub(super) fn publish(&mut self) {
        let back_ns = (self.quota.catch_up_ns() + SKEW_NS).min(self.now_ns);
        self.origin_ns = self.now_ns - back_ns;
        self.ahead = self.ahead.max(-i128::from(back_ns) * self.rate);
        self.forget_time();
    }

    const fn catch_up(&self) -> i128 {
        self.quota.catch_up_ns() as i128
    }

    fn waiters_floor(&self) -> i128 {
        let since_origin = i128::from(self.now_ns - self.origin_ns);
        -self.catch_up().min(since_origin) * self.rate
    }

    /// The first reading by which so many atoms have passed.
    pub(super) fn instant(&self, atoms: i128) -> u64 {
        let ns = i128::from(self.now_ns) + ceil(atoms, self.rate);
        ns.max(self.origin_ns.into()).try_into().unwrap_or(u64::MAX)
    }

    // === a step ===

    /// Without the lock: the clock shows that, and permits are taken if they conform.
    pub(super) fn take_fast(&mut self, now_ns: u64, atoms: i128) -> bool {
        let behind = self.passed(now_ns);
        let new = (self.ahead - behind).max(0) + atoms;
        if new > self.limit {
            return false;
        }
        self.ahead = new + behind;
        self.others(|other| other.max(behind) + atoms);
        self.note_step_back(now_ns < self.now_ns);
        self.log(now_ns.saturating_sub(self.now_ns), atoms);
        true
    }

    /// What passes from the last step to a reading, in atoms; less than none if that lies before.
    fn passed(&self, now_ns: u64) -> i128 {
        (i128::from(now_ns) - i128::from(self.now_ns)) * self.rate
    }

    pub(super) fn open(&mut self, now_ns: u64, changed: bool) {
        let most = if changed { self.limit } else { self.limit.max(self.left_ahead) };
        let step_ns = self.now_ns.saturating_sub(now_ns);
        let passed = self.passed(now_ns);
        self.pass(self.now_ns, now_ns, passed);
        self.now_ns = now_ns;
        self.ahead -= passed;
        self.left -= passed;
        self.others(|other| other - passed);
        if self.ahead > most + SKEW * self.rate {
            self.restart(most, step_ns);
        }
        if now_ns < self.origin_ns {
            self.publish();
        }
        if changed {
            self.note(self.left);
        }
        let busy = !self.queue.is_empty() || now_ns < self.credit_until_ns;
        self.floor = if busy { self.waiters_floor() } else { 0 };
    }

    fn restart(&mut self, most: i128, step_ns: u64) {
        (self.ahead, self.other) = (most, most);
        self.close_books();
        self.credit_until_ns = 0;
        for waiting in &mut self.queue {
            if waiting.deadline_ns != NEVER {
                waiting.deadline_ns = waiting.deadline_ns.saturating_sub(step_ns);
            }
        }
        self.final_due_ns = self.final_due_ns.map(|due_ns| due_ns.saturating_sub(step_ns));
    }

    pub(super) fn close(&mut self) {
        (self.left, self.left_ahead) = (self.ahead, self.ahead.max(0));
        // The level is no higher than that of the bucket without what goes unused.
        let floor = self.waiters_floor();
        assert!(
            self.ahead.max(floor) + self.slop >= self.other.max(floor),
            "{} ahead, without what goes unused {}",
            self.ahead,
            self.other
        );
    }

    pub(super) fn has_credit(&self) -> bool {
        self.ahead < 0 && self.now_ns < self.credit_until_ns
    }

    /// How far the TAT is ahead, as far as that makes a difference.
    pub(super) fn matters(&self, ahead: i128) -> i128 {
        ahead.max(self.waiters_floor())
    }

    fn admit(&mut self, new: i128, floor: i128, atoms: i128, unused: bool) {
        self.compare(floor);
        self.ahead = new;
        let other = self.other;
        self.others(|other| other.max(floor) + atoms);
        self.log(0, atoms);
        if unused {
            self.other = other;
            self.hold(atoms);
        }
    }

    // === without waiting ===

    pub(super) fn take(&mut self, atoms: i128, caller: Caller, unused: bool) -> Result<(), u64> {
        if atoms == 0 {
            return Ok(());
        }
        let (floor, lane) = match caller {
            Caller::Try(lane) => (0, lane),
            Caller::Waiter(lane) => (self.floor, lane),
        };
        if self.has_waiters_before(lane) {
            return Err(self.turn(atoms, lane));
        }
        let new = self.ahead.max(floor) + atoms;
        if new > self.limit {
            return Err(self.instant(new - self.limit));
        }
        self.admit(new, floor, atoms, unused);
        Ok(())
    }

    pub(super) fn charge(&mut self, atoms: i128) {
        if atoms > 0 {
            self.compare(0);
            self.ahead = self.ahead.max(0) + atoms;
            self.others(|other| other.max(0) + atoms);
        }
    }

    pub(super) fn refund(&mut self, atoms: i128) {
        let above = self.ahead > 0;
        let lowered = |ahead: i128| (ahead - atoms).max(ahead.min(0));
        self.all(lowered);
        if above {
            self.forget_time();
            self.compare(0);
        }
        self.forget_log();
    }

    pub(super) fn reset(&mut self) {
        (self.ahead, self.other) = (self.ahead.min(0), self.other.min(0));
        self.close_books();
        self.forget_log();
    }

    // === another quota ===

    /// Replaces the quota; the places of the waiters that ask for too much.
    pub(super) fn rescale(&mut self, quota: Quota, inherit: Inherit) -> Vec<usize> {
        let (limit, floor) = (self.limit, self.floor);
        self.compare(floor);
        self.ahead = self.ahead.max(floor);
        let credit = self.ahead < 0;
        self.set_quota(quota);
        let (new_limit, unit) = (self.limit, self.unit);
        let tick = |atoms: i128| atoms.div_euclid(unit) * unit;
        let most = new_limit + if credit { self.catch_up() * self.rate } else { 0 };
        let convert = |ahead: i128| {
            let level = limit - ahead.max(floor);
            let level = match inherit {
                Inherit::AsIs => tick(level),
                Inherit::Additively => new_limit + tick(level - limit),
                Inherit::Proportionally => (level * new_limit).div_euclid(limit * unit) * unit,
                Inherit::Reset => i128::from(quota.initial()) * PERMIT,
            };
            new_limit - level.min(most)
        };
        self.all(convert);
        self.slop += self.unit;
        self.publish();
        self.floor = 0;
        if inherit == Inherit::AsIs {
            self.convert_books();
            self.compare(0);
        } else {
            self.close_books();
            self.other = self.ahead;
        }
        self.forget_log();
        self.forget_steps();
        let refused = |waiting: &&Waiting| waiting.atoms > self.limit;
        let places = self.queue.iter().filter(refused).map(|waiting| waiting.place).collect();
        self.queue.retain(|waiting| waiting.atoms <= self.limit);
        places
    }
}
