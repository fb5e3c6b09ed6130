//! What the queue's lock guards: the waiters, and what has to be remembered about the word.

use core::{pin::Pin, task::Waker, time::Duration};

use super::{
    doubt::Doubt,
    gate::Gate,
    list::{List, Node, Verdict},
    rounds::Rounds,
    slack::Slack,
    timer::{Runtime, Timer, current_runtime},
};
use crate::{
    error::Denied,
    gcra::{MAX_TAT, Scale},
    meter::{Meter, UNTOLD},
    permits::Permits,
    published::Frame,
    quota::Quota,
};

/// A waiter's place in the queue.
pub(super) type Place = Node<Entry, Outcome>;

/// What a waiter asks for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub(super) permits: Permits,
    /// The longest that it is ready to wait.
    pub(super) max_wait: Option<Duration>,
    /// Whether it is a blocked thread, which can keep the time.
    pub(super) thread: bool,
    /// If it waits in other queues, too.
    pub(super) gate: Option<Gate>,
}

/// What stands in the queue.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) permits: Permits,
    /// The same in ticks.
    pub(super) cost: u64,
    /// The clock reading by which it has to be due; `NEVER` if it waits for as long as it takes.
    pub(super) deadline_ns: u64,
    pub(super) waker: Option<Waker>,
    /// In which round it is served.
    pub(super) round: u64,
    /// The runtime it was polled on, as far as anybody asked.
    pub(super) runtime: Runtime,
    /// Whether it is a blocked thread.
    pub(super) thread: bool,
    /// If it waits in other queues, too.
    pub(super) gate: Option<Gate>,
}

impl Entry {
    /// Its waker, to ask for a timer: once, until it is polled again. A gate keeps its own, for that is what
    /// lets it go when it is due.
    pub(super) fn ask_for_a_timer(&mut self) -> Option<Waker> {
        let Some(gate) = &mut self.gate else { return self.waker.take() };
        let asked = core::mem::replace(&mut gate.asked, true);
        if asked { None } else { self.waker.clone() }
    }
}

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// What a waiter is left with when it is taken out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Granted(Grant),
    /// It cannot be served any more as it wants to be.
    Denied(Denied),
}

/// What a grant leaves with the waiter: all that is needed to give it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) cost: u64,
    /// The ticks to one permit when it was made.
    pub(super) per_permit: u64,
    /// When it was made, for `slack`.
    pub(super) moment: u64,
}

impl Grant {
    /// What it cost by a scale that may be another one by now, rounded down.
    pub(super) fn cost_by(&self, scale: &Scale) -> u64 {
        if scale.per_permit == self.per_permit {
            return self.cost;
        }
        let cost = u128::from(self.cost) * u128::from(scale.per_permit) / u128::from(self.per_permit);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

/// A blocked thread that wakes for the alarm.
#[derive(Debug)]
pub(super) struct Keeper {
    /// The address of its place, by which it is known: a waker need not be equal to its clone.
    pub(super) place: usize,
    pub(super) waker: Waker,
}

/// What those in the queue come to.
#[derive(Debug, Default)]
pub(super) struct Sum {
    /// What they ask for. A single cost may have 62 bits.
    pub(super) ticks: u128,
    /// How many are blocked threads.
    pub(super) threads: usize,
    /// How many have a deadline.
    pub(super) deadlines: usize,
    /// How many wait in other queues, too.
    pub(super) gates: usize,
}

impl Sum {
    fn add(&mut self, entry: &Entry) {
        self.ticks += u128::from(entry.cost);
        self.threads += usize::from(entry.thread);
        self.deadlines += usize::from(entry.deadline_ns != NEVER);
        self.gates += usize::from(entry.gate.is_some());
    }

    pub(super) fn subtract(&mut self, entry: &Entry) {
        self.ticks -= u128::from(entry.cost);
        self.threads -= usize::from(entry.thread);
        self.deadlines -= usize::from(entry.deadline_ns != NEVER);
        self.gates -= usize::from(entry.gate.is_some());
    }
}

/// Whether the hand-off is running (see `hand_off.rs`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HandOff {
    Idle,
    Running,
    Called,
}

/// What the lock guards.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) quota: Quota,
    /// How many there are who may park permits at cores.
    pub(super) users: usize,
    pub(super) list: List<Entry, Outcome>,
    /// Over those in the list.
    pub(super) sum: Sum,
    /// No gate in here has been promised to go later than this.
    pub(super) promised_ns: u64,
    pub(super) slack: Slack,
    /// The arrival time when QUEUED was last cleared.
    pub(super) closed: u64,
    /// Whether the queue had then left credit: also if QUEUED was not cleared.
    pub(super) lingers: bool,
    /// How many want QUEUED to stay set.
    pub(super) holds: usize,
    pub(super) doubt: Option<Doubt>,
    pub(super) rounds: Rounds,
    pub(super) timer: Timer,
    /// The clock reading for which an alarm is set.
    pub(super) armed: Option<u64>,
    /// Whether the clock has alarms of its own, as far as is known.
    pub(super) rings: bool,
    /// The blocked thread that wakes for the alarm, if one does.
    pub(super) keeper: Option<Keeper>,
    /// Whether some of these may have become impossible to meet.
    pub(super) recheck: bool,
    pub(super) hand_off: HandOff,
}

impl Inner {
    /// For a word of that arrival time.
    pub(super) fn new(quota: Quota, tat: u64) -> Self {
        Self {
            quota,
            users: 0,
            list: List::new(),
            sum: Sum::default(),
            promised_ns: 0,
            slack: Slack::new(),
            closed: tat,
            lingers: false,
            holds: 0,
            doubt: None,
            rounds: Rounds::default(),
            timer: Timer::default(),
            armed: None,
            rings: false,
            keeper: None,
            recheck: false,
            hand_off: HandOff::Idle,
        }
    }

    /// Puts a waiter at the back. QUEUED is set. Whether those who are held back can now go on.
    pub(super) fn join(
        &mut self,
        place: Pin<&Place>,
        request: Request,
        cost: u64,
        deadline_ns: u64,
        waker: Waker,
    ) -> bool {
        let Request { permits, thread, gate, .. } = request;
        // A timer that can be relied on needs nobody to take its place, and to ask for a runtime costs more
        // than all the rest.
        let runtime = if thread || self.timer.is_steady() { None } else { current_runtime() };
        let round = self.rounds.next();
        // A gate is not released by a hand-off, so that it is not one who was.
        let go_on = gate.is_none() && self.rounds.joined(deadline_ns);
        let entry = Entry { permits, cost, deadline_ns, waker: Some(waker), round, runtime, thread, gate };
        self.sum.add(&entry);
        self.list.push_back(place, entry);
        go_on
    }

    /// The blocked thread that keeps the time, or the first that could, to be woken when the alarm changes.
    pub(super) fn timekeeper(&mut self) -> Option<Waker> {
        if self.keeper.is_some() || self.sum.threads == 0 {
            return self.keeper.as_ref().map(|keeper| keeper.waker.clone());
        }
        let mut found = None;
        self.list.visit(|entry| {
            if entry.thread {
                found.clone_from(&entry.waker);
            }
            found.is_none()
        });
        found
    }

    /// Takes the waiter at the front out, with that outcome.
    pub(super) fn settle_front(&mut self, outcome: Outcome) -> Option<Waker> {
        let entry = self.list.grant_front(outcome)?;
        self.sum.subtract(&entry);
        entry.waker
    }

    /// Takes a waiter out that was not settled yet.
    pub(super) fn remove(&mut self, place: Pin<&Place>) -> Option<Entry> {
        let entry = self.list.remove(place)?;
        self.sum.subtract(&entry);
        if entry.gate.is_none() {
            self.rounds.left();
        }
        Some(entry)
    }

    /// Shows everybody to `judge`, from front to back, and takes those out whom it has an outcome for. It may
    /// change what they ask for, and has to take the wakers of those who go.
    pub(super) fn sweep(&mut self, mut judge: impl FnMut(&mut Entry) -> Option<Outcome>) {
        let mut sum = Sum::default();
        self.list.sweep(|entry| {
            if let Some(outcome) = judge(entry) {
                return Verdict::Go(outcome);
            }
            sum.add(entry);
            Verdict::Stay
        });
        self.sum = sum;
    }

    /// What newcomers find ahead of them, in ticks. When the last gate goes as promised, the bucket may be empty.
    pub(super) fn ahead(&self, frame: &Frame, tat: u64) -> u128 {
        if self.sum.gates == 0 {
            return self.sum.ticks;
        }
        let then =
            u128::from(frame.tick(self.promised_ns).unwrap_or(MAX_TAT)) + u128::from(frame.scale.limit);
        self.sum.ticks.max(then.saturating_sub(tat.into()))
    }

    /// Tells those without the lock how much those ask for who wait. Where gates do, that is not all that newcomers have
    /// to know, so that they need the lock.
    pub(super) fn report_queued(&self, meter: &Meter) {
        let told = if self.sum.gates > 0 { None } else { u64::try_from(self.sum.ticks).ok() };
        meter.set_queued(told.unwrap_or(UNTOLD));
    }
}
