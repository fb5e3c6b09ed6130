//! The final parts of calls for several limits: each stands at the front of its lane until its round takes all parts at
//! once.
//!
//! Waiters behind a final part are due later than the sums say if it also waits for another limit: a bucket that is full
//! meanwhile accrues nothing. So the round tells each of its queues when it expects to take all parts
//! ([`Core::keep_final_part`]), and due times behind the part count from then ([`Core::final_tick`]).

use core::{pin::Pin, task::Waker};

use super::Core;
use crate::{
    gcra::{Decision, MAX_TAT},
    lane::Lane,
    permits::Permits,
    queue::entry::{Entry, Grant, Kind, NEVER, Place},
};

impl Core {
    /// Adds a final part at the front of its lane, behind earlier final parts.
    pub(crate) fn join_front(
        &mut self,
        place: Pin<&Place>,
        permits: Permits,
        cost: u64,
        lane: Lane,
        waker: Waker,
    ) {
        if self.sums.of(lane).final_parts == 0 {
            // The stored time belongs to parts that have left.
            self.final_due_ns[lane.index()] = 0;
        }
        let kind = Kind::FinalPart { woken: true };
        let entry = Entry { permits, cost, deadline_ns: NEVER, lane, waker: Some(waker), kind };
        self.sums.add(&entry);
        self.list.push_after_leading(place, lane, entry, |entry| entry.kind.is_final());
        // All waiters behind it are due later.
        self.recheck = true;
    }

    /// The round of this part has not tried to take it after all: the next hand-off that finds the part due wakes the round.
    pub(crate) fn wake_final_part_when_due(&mut self, place: Pin<&Place>) {
        if let Some(entry) = self.list.entry_mut(place) {
            entry.kind = Kind::FinalPart { woken: false };
        }
    }

    /// Whether a final part conforms now, and is the first in the queue.
    pub(crate) fn is_final_part_due(&mut self, place: Pin<&Place>) -> bool {
        let Some(cost) = self.list.entry_mut(place).map(|entry| entry.cost) else { return false };
        let first = self.list.is_front(place);
        let decision = self.decide(self.floor, cost);
        first && matches!(decision, Decision::Admit(_))
    }

    /// Takes the permits of a final part that is due, and removes the part from the queue.
    pub(crate) fn take_final_part(&mut self, place: Pin<&Place>) -> Option<(Grant, Option<Waker>)> {
        let cost = self.list.entry_mut(place)?.cost;
        let Decision::Admit(tat) = self.decide(self.floor, cost) else { return None };
        let entry = self.leave(place)?;
        // As in `grant_due`.
        self.recheck |= self.tat < self.floor;
        self.admit(tat, self.floor);
        if self.list.is_empty() {
            self.drained();
        }
        Some((self.grant(cost), entry.waker))
    }

    /// The clock reading at which a final part conforms here, after the final parts ahead of it.
    pub(crate) fn final_part_due_ns(&mut self, place: Pin<&Place>) -> u64 {
        let own = self.list.entry_mut(place).map(core::ptr::from_mut);
        let mut tat = u128::from(self.tat.max(self.floor));
        self.list.visit(|entry| {
            tat += u128::from(entry.cost);
            own != Some(core::ptr::from_mut(entry))
        });
        self.frame.conforms_at(tat)
    }

    /// The final round has tried to take this part, which stays, and is taken at `all_due_ns` at the earliest. If the part
    /// is not due here, its round is woken again when it is.
    pub(crate) fn keep_final_part(&mut self, place: Pin<&Place>, all_due_ns: u64) {
        let woken = self.is_final_part_due(place);
        let Some(entry) = self.list.entry_mut(place) else { return };
        entry.kind = Kind::FinalPart { woken };
        let lane = entry.lane;
        let known_ns = &mut self.final_due_ns[lane.index()];
        // The only final part may also be taken earlier than was thought.
        let due_ns = if self.sums.of(lane).final_parts == 1 { all_due_ns } else { all_due_ns.max(*known_ns) };
        // If later, all waiters behind it are due later, too.
        self.recheck |= due_ns > *known_ns;
        *known_ns = due_ns;
    }

    /// The tick at which the final parts of a lane are expected to be taken, or zero. If the bucket is full by then, the TAT of
    /// the waiters behind them counts from then.
    pub(super) fn final_tick(&self, lane: Lane) -> u128 {
        if self.sums.of(lane).final_parts == 0 {
            return 0;
        }
        self.frame.wide_tick(self.final_due_ns[lane.index()]).min(MAX_TAT.into())
    }
}
