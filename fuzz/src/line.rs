//! A limiter with waiters in exact arithmetic: first come, first served, each at the nanosecond at which it conforms.
//! Whole permits, and textbook GCRA: no catch-up. When the quota changes, the level is rounded down to a tick.

use std::collections::VecDeque;

use tidegate::{Inherit, Quota};

use super::model::Model;

const MILLION: u64 = 1_000_000;

/// The outcome of a waiter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Granted,
    /// Too late for its deadline by so much.
    Late(u64),
    /// It asks for more than the burst.
    Never,
}

/// A waiter in the queue.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: usize,
    permits: u64,
    deadline_ns: u64,
}

/// By how much the arrival time was ahead of a time that it was compared with, in units of the model.
#[derive(Clone, Copy, Debug)]
struct Comparison {
    ahead: i128,
    /// The same, but for what was taken without the lock: that may count as compared as late as when the lock is held
    /// next, which may be by the time that something goes back.
    least: Least,
}

#[derive(Clone, Copy, Debug)]
enum Least {
    Ahead(i128),
    /// The arrival time.
    Until(i128),
}

impl Comparison {
    fn locked(ahead: i128) -> Self {
        let ahead = ahead.max(0);
        Self { ahead, least: Least::Ahead(ahead) }
    }

    fn least(&self, now: i128) -> i128 {
        match self.least {
            Least::Ahead(ahead) => ahead,
            Least::Until(tat) => (tat - now).clamp(0, self.ahead),
        }
    }
}

/// A grant that may go back.
#[derive(Clone, Copy, Debug)]
struct Grant {
    id: usize,
    permits: u64,
    /// How many comparisons came before it.
    comparisons: usize,
}

/// How many notes of comparisons the limiter keeps. Beyond that it makes one note of two, and may give back less.
const MOST_NOTES: usize = 16;

/// One limiter.
#[derive(Clone, Debug)]
pub struct Line {
    model: Model,
    now_ns: u64,
    waiting: VecDeque<Waiter>,
    comparisons: Vec<Comparison>,
    /// Whether the limiter may have made one note of two that still count.
    is_merged: bool,
    grants: Vec<Grant>,
    /// Which waiters were settled, when, and how, in order.
    pub settled: Vec<(usize, u64, Settled)>,
}

impl Line {
    pub fn new(model: Model, now_ns: u64) -> Self {
        Self {
            model,
            now_ns,
            waiting: VecDeque::new(),
            comparisons: Vec::new(),
            is_merged: false,
            grants: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// Permits are taken: with the lock, or without.
    fn charge_now(&mut self, permits: u64, is_locked: bool) {
        if permits > 0 {
            let (ahead, tat) = self.model.ahead(self.now_ns);
            let mut comparison = Comparison::locked(ahead);
            if !is_locked {
                comparison.least = Least::Until(tat);
            }
            self.note(comparison);
            self.model.charge(permits * MILLION, self.now_ns);
        }
    }

    fn grant(&mut self, id: usize, permits: u64) {
        self.charge_now(permits, true);
        self.grants.push(Grant { id, permits, comparisons: self.comparisons.len() });
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub fn available(&self) -> i128 {
        self.model.available(self.now_ns)
    }

    pub fn time_until_full(&self) -> i128 {
        self.model.time_until_full(self.now_ns)
    }

    pub fn is_never(&self, permits: u64) -> bool {
        self.model.is_never(permits * MILLION)
    }

    /// The arrival time is compared with now.
    fn compare(&mut self) {
        self.note(Comparison::locked(self.model.ahead(self.now_ns).0));
    }

    fn note(&mut self, comparison: Comparison) {
        self.comparisons.push(comparison);
        let notes = self.notes();
        self.is_merged = notes > MOST_NOTES || (self.is_merged && notes > 1);
    }

    /// How many notes the limiter needs at most. A comparison drops the notes that are as far ahead or further.
    fn notes(&self) -> usize {
        // `None`: of permits taken without the lock, which need one note at most, of a distance that is not known here.
        let mut notes: Vec<Option<i128>> = Vec::new();
        for comparison in &self.comparisons {
            match comparison.least {
                Least::Ahead(ahead) => {
                    while notes
                        .last()
                        .is_some_and(|&note| ahead == 0 || note.is_some_and(|note| note >= ahead))
                    {
                        notes.pop();
                    }
                    notes.push(Some(ahead));
                }
                Least::Until(_) if notes.last() != Some(&None) => notes.push(None),
                Least::Until(_) => {}
            }
        }
        notes.len()
    }

    /// How long a new waiter waits for the permits, behind all waiters.
    pub fn time_until(&self, permits: u64) -> u64 {
        if permits == 0 {
            return 0;
        }
        let ahead: u64 = self.waiting.iter().map(|waiter| waiter.permits).sum();
        self.until(ahead + permits)
    }

    fn until(&self, permits: u64) -> u64 {
        self.model.time_until(permits * MILLION, self.now_ns) as u64
    }

    /// A new caller takes the permits, if there are no waiters and the permits are available.
    pub fn take(&mut self, permits: u64) -> bool {
        let fits = permits == 0 || (self.waiting.is_empty() && self.until(permits) == 0);
        if fits {
            self.charge_now(permits, false);
        }
        fits
    }

    pub fn join(&mut self, id: usize, permits: u64, deadline_ns: u64) {
        self.waiting.push_back(Waiter { id, permits, deadline_ns });
    }

    /// How long until the debt is paid.
    pub fn charge(&mut self, permits: u64) -> i128 {
        // What makes a debt takes the lock. That it may have been without makes no difference that has to be known.
        self.charge_now(permits, false);
        let paid = self.model.time_until_paid(self.now_ns);
        self.hand_off();
        paid
    }

    pub fn refund(&mut self, permits: u64) {
        if self.model.ahead(self.now_ns).0 > 0 {
            self.model.refund(permits * MILLION, self.now_ns);
            self.compare();
        }
        self.hand_off();
    }

    pub fn reset(&mut self) {
        self.model.reset(self.now_ns);
        self.note(Comparison::locked(0));
        self.hand_off();
    }

    /// Moves the clock, and grants on the way.
    pub fn advance_to(&mut self, then_ns: u64) {
        while let Some(head) = self.waiting.front() {
            let due_ns = self.now_ns + self.until(head.permits);
            if due_ns > then_ns {
                break;
            }
            self.now_ns = due_ns;
            self.hand_off();
        }
        self.now_ns = then_ns;
    }

    /// When the head is due.
    pub fn due_ns(&self) -> Option<u64> {
        self.waiting.front().map(|head| self.now_ns + self.until(head.permits))
    }

    /// Grants the waiters that are due, and refuses the waiters that are too late.
    fn hand_off(&mut self) {
        while let Some(&head) = self.waiting.front() {
            let due_ns = self.now_ns + self.until(head.permits);
            let outcome = if due_ns == self.now_ns {
                self.grant(head.id, head.permits);
                Settled::Granted
            } else if due_ns > head.deadline_ns {
                Settled::Late(due_ns - head.deadline_ns)
            } else {
                break;
            };
            self.waiting.pop_front();
            self.settled.push((head.id, self.now_ns, outcome));
        }
        let mut ahead = 0;
        for waiter in std::mem::take(&mut self.waiting) {
            let due_ns = self.now_ns + self.until(ahead + waiter.permits);
            if due_ns > waiter.deadline_ns {
                let late = Settled::Late(due_ns - waiter.deadline_ns);
                self.settled.push((waiter.id, self.now_ns, late));
            } else {
                ahead += waiter.permits;
                self.waiting.push_back(waiter);
            }
        }
    }

    /// Takes the permits as a reservation, if there are no waiters and the permits are available.
    pub fn reserve(&mut self, id: usize, permits: u64) -> bool {
        let fits = permits == 0 || (self.waiting.is_empty() && self.until(permits) == 0);
        if fits {
            self.grant(id, permits);
        }
        fits
    }

    /// Another quota: the waiters that ask for more than its burst are refused first.
    pub fn change(&mut self, from: Quota, to: Quota, inherit: Inherit) {
        self.compare();
        let (model, now) = (self.model.clone(), self.model.now(self.now_ns));
        self.model.change(&from, &to, inherit, self.now_ns);
        for comparison in &mut self.comparisons {
            let least = model.convert(comparison.least(now), &from, &self.model, &to);
            let ahead = model.convert(comparison.ahead, &from, &self.model, &to);
            *comparison = Comparison { ahead, least: Least::Ahead(least) };
        }
        if inherit == Inherit::AsIs {
            self.compare();
        } else {
            self.note(Comparison::locked(0));
        }
        for waiter in std::mem::take(&mut self.waiting) {
            if self.is_never(waiter.permits) {
                self.settled.push((waiter.id, self.now_ns, Settled::Never));
            } else {
                self.waiting.push_back(waiter);
            }
        }
        self.hand_off();
    }

    /// A waiter leaves that was neither granted nor refused.
    pub fn leave(&mut self, id: usize) {
        self.waiting.retain(|waiter| waiter.id != id);
        self.hand_off();
    }

    /// How much of what one was granted goes back, in units of the model: at least, and at most. Where all since was
    /// with the lock, and the limiter has kept all that it needs, that is the same.
    pub fn given_back(&mut self, id: usize) -> (i128, i128) {
        self.compare();
        let Some(&Grant { permits, comparisons, .. }) = self.grants.iter().find(|grant| grant.id == id)
        else {
            return (0, 0);
        };
        let (now, all) = (self.model.now(self.now_ns), self.model.cost(permits * MILLION));
        let since = &self.comparisons[comparisons..];
        let most = since.iter().map(|comparison| comparison.ahead).fold(all, i128::min);
        let least = since.iter().map(|comparison| comparison.least(now)).fold(all, i128::min);
        (if self.is_merged { 0 } else { least }, most)
    }

    /// The same line if so much of what one was granted goes back.
    pub fn with_given_back(&self, id: usize, units: i128) -> Self {
        let mut line = self.clone();
        let Some(at) = line.grants.iter().position(|grant| grant.id == id) else { return line };
        let Grant { comparisons, .. } = line.grants.remove(at);
        for comparison in &mut line.comparisons[comparisons..] {
            comparison.ahead = (comparison.ahead - units).max(0);
            comparison.least = match comparison.least {
                Least::Ahead(ahead) => Least::Ahead((ahead - units).max(0)),
                Least::Until(tat) => Least::Until(tat - units),
            };
        }
        line.model.take_back(units);
        line.hand_off();
        line
    }
}
