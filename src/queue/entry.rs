//! The entries of the queue, and their outcomes.

use core::task::Waker;

use super::{ledger::Receipt, list::Node};
use crate::{error::Denied, permits::Permits};

pub(crate) type Place = Node<Entry, Outcome>;

/// As a deadline: none. As a due time: not known.
pub(crate) const NEVER: u64 = u64::MAX;

#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) permits: Permits,
    /// The same in ticks.
    pub(super) cost: u64,
    /// The latest acceptable due time, or `NEVER`.
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

/// What happens to an entry that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Single,
    /// A part of a call for several limits, at the front of each of their queues. Its waker wakes the final round,
    /// which takes all parts at once.
    FinalPart {
        /// It is due, and its waker has been woken for that. The waker is woken again only after the part was not due.
        woken: bool,
    },
}

impl Kind {
    pub(super) const fn is_final(self) -> bool {
        matches!(self, Self::FinalPart { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Granted(Grant),
    /// It is too late for its deadline, or above the burst of a new quota.
    Denied(Denied),
}

/// Granted permits, and the receipt to give them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// In ticks.
    pub(super) cost: u64,
    pub(super) receipt: Receipt,
}

impl Grant {
    /// The grant without the permits that have been `used`.
    pub(super) fn without(self, used: Permits) -> Self {
        Self { cost: self.cost.saturating_sub(self.receipt.ticks(used)), ..self }
    }
}

/// Sums over the entries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sum {
    /// The ticks that they ask for. A single cost may have 62 bits.
    pub(super) ticks: u128,
    pub(super) deadlines: usize,
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
