//! The entries of the queue, and their outcomes.

use core::{task::Waker, time::Duration};

use super::{ledger::Receipt, list::Node};
use crate::{error::Denied, lane::Lane, permits::Permits};

pub(crate) type Place = Node<Entry, Outcome>;

/// As a deadline: none. As a due time: not known.
pub(crate) const NEVER: u64 = u64::MAX;

/// What a waiter asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) permits: Permits,
    pub(crate) lane: Lane,
    pub(crate) max_wait: Option<Duration>,
}

#[derive(Debug)]
pub(crate) struct Entry {
    pub(super) permits: Permits,
    /// The same in ticks.
    pub(super) cost: u64,
    /// The latest acceptable due time, or `NEVER`.
    pub(super) deadline_ns: u64,
    pub(super) lane: Lane,
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

/// Sums over entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) entries: usize,
    /// The ticks that they ask for. A single cost may have 62 bits.
    pub(super) ticks: u128,
    pub(super) deadlines: usize,
    pub(super) final_parts: usize,
}

/// For each lane, the sum over its entries and those of higher lanes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Sums([Sum; Lane::COUNT]);

impl Sums {
    pub(super) fn add(&mut self, entry: &Entry) {
        for sum in &mut self.0[entry.lane.index()..] {
            sum.entries += 1;
            sum.ticks += u128::from(entry.cost);
            sum.deadlines += usize::from(entry.deadline_ns != NEVER);
            sum.final_parts += usize::from(entry.kind.is_final());
        }
    }

    pub(super) fn subtract(&mut self, entry: &Entry) {
        for sum in &mut self.0[entry.lane.index()..] {
            sum.entries -= 1;
            sum.ticks -= u128::from(entry.cost);
            sum.deadlines -= usize::from(entry.deadline_ns != NEVER);
            sum.final_parts -= usize::from(entry.kind.is_final());
        }
    }

    /// The sum of a lane and of all higher lanes.
    pub(super) const fn up_to(&self, lane: Lane) -> &Sum {
        &self.0[lane.index()]
    }

    pub(super) const fn all(&self) -> &Sum {
        self.up_to(Lane::LAST)
    }

    /// The sum of a lane alone.
    pub(super) fn of(&self, lane: Lane) -> Sum {
        let sum = *self.up_to(lane);
        let higher = lane.index().checked_sub(1).map_or_else(Sum::default, |higher| self.0[higher]);
        Sum {
            entries: sum.entries - higher.entries,
            ticks: sum.ticks - higher.ticks,
            deadlines: sum.deadlines - higher.deadlines,
            final_parts: sum.final_parts - higher.final_parts,
        }
    }
}
