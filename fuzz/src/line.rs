//! A limiter with waiters in exact arithmetic: first come, first served, each at the nanosecond at which it
//! conforms. Whole permits, and textbook GCRA: no catch-up. When the quota changes, the level is rounded down to a tick.

use std::collections::{HashSet, VecDeque};

use tidegate::{Inherit, Quota};

use super::model::Model;

const MILLION: u64 = 1_000_000;

/// What a waiter is left with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Granted,
    /// Too late for its deadline by so much.
    Late(u64),
    /// It asks for more than there can be.
    Never,
}

/// Who stands in line.
#[derive(Clone, Copy, Debug)]
struct Waiter {
    id: usize,
    permits: u64,
    deadline_ns: u64,
}

#[derive(Clone, Copy, Debug)]
enum Change {
    /// By a waiter that may give it back, or for good.
    Take(u64, Option<usize>),
    Charge(u64),
    Refund(u64),
    Reset,
    Quota(Quota, Quota, Inherit),
}

/// What changed, and when.
#[derive(Clone, Copy, Debug)]
struct Note {
    now_ns: u64,
    change: Change,
    /// Whether the lock may not have been taken for it.
    unlocked: bool,
}

impl Note {
    const fn is_change(&self) -> bool {
        matches!(self.change, Change::Quota(..))
    }

    /// Whether what was granted before can be given back after it. Where all of the level is made anew, nothing of it is
    /// anybody's any more.
    const fn keeps_grants(&self) -> bool {
        !matches!(self.change, Change::Quota(_, _, Inherit::Proportionally | Inherit::Reset))
    }
}

/// One limiter.
#[derive(Clone, Debug)]
pub struct Line {
    /// As it was at first.
    start: Model,
    model: Model,
    now_ns: u64,
    waiting: VecDeque<Waiter>,
    notes: Vec<Note>,
    /// Whose permits have gone back.
    given_back: HashSet<usize>,
    /// Who was settled, when, and how, in order.
    pub settled: Vec<(usize, u64, Settled)>,
}

impl Line {
    pub fn new(model: Model, now_ns: u64) -> Self {
        Self {
            start: model.clone(),
            model,
            now_ns,
            waiting: VecDeque::new(),
            notes: Vec::new(),
            given_back: HashSet::new(),
            settled: Vec::new(),
        }
    }

    fn note(&mut self, change: Change, unlocked: bool) {
        let now_ns = self.now_ns;
        apply(&mut self.model, now_ns, change);
        self.notes.push(Note { now_ns, change, unlocked });
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

    /// How long until a newcomer has them, after all who wait.
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

    /// A newcomer takes them, if nobody waits and they are there.
    pub fn take(&mut self, permits: u64) -> bool {
        let fits = permits == 0 || (self.waiting.is_empty() && self.until(permits) == 0);
        if fits {
            self.note(Change::Take(permits, None), true);
        }
        fits
    }

    pub fn join(&mut self, id: usize, permits: u64, deadline_ns: u64) {
        self.waiting.push_back(Waiter { id, permits, deadline_ns });
    }

    /// How long until the debt is paid.
    pub fn charge(&mut self, permits: u64) -> i128 {
        self.note(Change::Charge(permits), true);
        let paid = self.model.time_until_paid(self.now_ns);
        self.hand_off();
        paid
    }

    pub fn refund(&mut self, permits: u64) {
        self.note(Change::Refund(permits), false);
        self.hand_off();
    }

    pub fn reset(&mut self) {
        self.note(Change::Reset, false);
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

    /// Grants whoever is due, and turns those away who are too late.
    fn hand_off(&mut self) {
        while let Some(&head) = self.waiting.front() {
            let due_ns = self.now_ns + self.until(head.permits);
            let outcome = if due_ns == self.now_ns {
                self.note(Change::Take(head.permits, Some(head.id)), false);
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

    /// Takes them as one who may give them back, if nobody waits and they are there.
    pub fn reserve(&mut self, id: usize, permits: u64) -> bool {
        let fits = permits == 0 || (self.waiting.is_empty() && self.until(permits) == 0);
        if fits {
            self.note(Change::Take(permits, Some(id)), false);
        }
        fits
    }

    /// Another quota: whoever asks for more than its burst is turned away first.
    pub fn change(&mut self, from: Quota, to: Quota, inherit: Inherit) {
        self.note(Change::Quota(from, to, inherit), false);
        for waiter in std::mem::take(&mut self.waiting) {
            if self.is_never(waiter.permits) {
                self.settled.push((waiter.id, self.now_ns, Settled::Never));
            } else {
                self.waiting.push_back(waiter);
            }
        }
        self.hand_off();
    }

    /// One leaves who was not settled.
    pub fn leave(&mut self, id: usize) {
        self.waiting.retain(|waiter| waiter.id != id);
        self.hand_off();
    }

    /// The same line if the permits of one who was granted go back.
    pub fn with_given_back(&self, id: usize) -> Self {
        let mut line = self.clone();
        line.model.take_back(self.granted(id) * MILLION);
        line.given_back.insert(id);
        line.hand_off();
        line
    }

    /// How many were granted to one.
    fn granted(&self, id: usize) -> u64 {
        let granted = self.notes.iter().find_map(|note| match note.change {
            Change::Take(permits, Some(by)) if by == id => Some(permits),
            _ => None,
        });
        granted.expect("it was granted")
    }

    /// As it would be after so many notes if none of these had ever been granted, nor those who have given back.
    fn without(&self, ids: &[usize], notes: usize) -> Model {
        let mut model = self.start.clone();
        for note in &self.notes[..notes] {
            match note.change {
                Change::Take(_, Some(by)) if ids.contains(&by) || self.given_back.contains(&by) => {}
                change => apply(&mut model, note.now_ns, change),
            }
        }
        model
    }

    /// Whether the permits of one who was granted may go back: whether as much would be there without it. Else the
    /// bucket would have been full in the meantime, and what goes back is a second burst.
    pub fn may_give_back(&self, id: usize) -> bool {
        self.without(&[id], self.notes.len()).is_at_least(
            &self.model,
            self.granted(id) * MILLION,
            self.now_ns,
        )
    }

    /// Whether they have to go back: whether nothing else would be different, and the limiter has kept all that it
    /// needs to find that out. It has only so much room, and calls without the lock leave less than all to know.
    pub fn has_to_give_back(&self, id: usize) -> bool {
        let by_id = |note: &Note| matches!(note.change, Change::Take(_, Some(by)) if by == id);
        let at = self.notes.iter().position(by_id).expect("it was granted");
        let since = &self.notes[at..];
        let cost = self.granted(id) * MILLION;
        // A change of quota cuts off what may have been different.
        let same = |i: usize| {
            let (without, with) = (self.without(&[id], at + i), self.without(&[], at + i));
            without.is_without(&with, cost, since[i].now_ns)
        };
        since.len() < 30
            && since.iter().all(|note| !note.unlocked && note.keeps_grants())
            && (0..since.len()).filter(|&i| since[i].is_change()).all(same)
            && self.without(&[id], self.notes.len()).is_without(&self.model, cost, self.now_ns)
    }
}

fn apply(model: &mut Model, now_ns: u64, change: Change) {
    match change {
        Change::Take(permits, _) | Change::Charge(permits) => model.charge(permits * MILLION, now_ns),
        Change::Refund(permits) => model.refund(permits * MILLION, now_ns),
        Change::Reset => model.reset(now_ns),
        Change::Quota(from, to, inherit) => model.change(&from, &to, inherit, now_ns),
    }
}
