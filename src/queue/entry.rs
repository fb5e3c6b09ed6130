//! What stands in the queue, and what a waiter is left with when it is taken out.

use core::task::Waker;

use super::{ledger::Receipt, list::Node};
use crate::{error::Denied, permits::Permits};

/// A waiter's place in the queue.
pub(crate) type Place = Node<Entry, Outcome>;

/// No deadline.
pub(crate) const NEVER: u64 = u64::MAX;

/// What stands in the queue.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) permits: Permits,
    /// The same in ticks.
    pub(super) cost: u64,
    /// The clock reading by which it has to be due; `NEVER` if it waits for as long as it takes.
    pub(super) deadline_ns: u64,
    pub(super) waker: Option<Waker>,
    pub(super) kind: Kind,
}

impl Entry {
    pub(super) fn has_waker(&self, waker: &Waker) -> bool {
        self.waker.as_ref().is_some_and(|known| known.will_wake(waker))
    }

    pub(crate) fn into_waker(self) -> Option<Waker> {
        self.waker
    }

    pub(super) const fn replace_waker(&mut self, waker: Waker) -> Option<Waker> {
        self.waker.replace(waker)
    }
}

/// How an entry goes on when it is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// It is granted.
    Single,
    /// It stands at the front of the queues of several limits, and takes its part of all at once. When it is due, its
    /// waker is woken to look at the other limits.
    FinalPart {
        /// Whether it was due when it was last looked at, and its waker has been woken since it was not.
        woken: bool,
    },
}

impl Kind {
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::FinalPart { .. })
    }
}

/// What a waiter is left with when it is taken out of the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Granted(Grant),
    /// It cannot be served any more as it asked to be.
    Denied(Denied),
}

/// Permits that were granted, and all that is needed to give them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// In ticks.
    pub(super) cost: u64,
    pub(super) receipt: Receipt,
}

/// What the entries come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    /// What they ask for. A single cost may have 62 bits.
    pub(super) ticks: u128,
    /// How many have a deadline.
    pub(super) deadlines: usize,
    /// How many are final parts.
    pub(super) final_parts: usize,
}

impl Sum {
    pub(super) fn add(&mut self, entry: &Entry) {
        self.ticks += u128::from(entry.cost);
        self.deadlines += usize::from(entry.deadline_ns != NEVER);
        self.final_parts += usize::from(entry.kind.is_final());
    }

    pub(super) fn subtract(&mut self, entry: &Entry) {
        self.ticks -= u128::from(entry.cost);
        self.deadlines -= usize::from(entry.deadline_ns != NEVER);
        self.final_parts -= usize::from(entry.kind.is_final());
    }
}
