//! Granting what is due, in order.

use core::{pin::Pin, task::Waker};

use super::{Caller, Core, not_yet};
use crate::{
    gcra::{Decision, decide},
    queue::{
        entry::{Entry, Grant, Kind, NEVER, Outcome, Place, Sum},
        list::Verdict,
        wake_batch::WakeBatch,
    },
};

/// A timer that is no later than this is in time.
const IN_TIME_NS: u64 = 1_000;

/// When the first waiter is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Nobody waits.
    Empty,
    /// The batch is full; there may be more to grant.
    More,
    /// The first is the part of a call for several limits. It is due here, and waits for another limit.
    FinalPart,
    /// At this clock reading.
    At(u64),
}

impl Core {
    /// Grants every waiter that is due, in order, as far as the batch has room, and refuses those that can no
    /// longer be served in time.
    pub(crate) fn grant_due(&mut self, batch: &mut WakeBatch) -> Next {
        let limit = self.frame.scale().limit;
        if self.tat < self.floor {
            // What has not been made up for in time is lost, and all come later for it.
            self.recheck = true;
        }
        while let Some(front) = self.list.front_mut() {
            if batch.is_full() {
                return Next::More;
            }
            let (cost, deadline_ns) = (front.cost, front.deadline_ns);
            let decision = decide(self.tat, self.now, self.floor, cost, limit);
            if let Kind::FinalPart { woken } = &mut front.kind {
                let due = matches!(decision, Decision::Admit(_));
                // Put off for longer than those behind it in other queues know.
                let later = match decision {
                    Decision::Admit(_) => false,
                    Decision::NotBefore(tick) => self.frame.instant(tick) > self.final_due_ns,
                };
                if later || (due && !*woken) {
                    batch.push(front.waker.clone());
                }
                *woken = due;
                if due {
                    return if self.refuse_late(batch) { Next::FinalPart } else { Next::More };
                }
            }
            let outcome = match decision {
                Decision::Admit(tat) => {
                    self.admit(tat, self.floor);
                    Outcome::Granted(self.grant(cost))
                }
                Decision::NotBefore(tick) => {
                    let due_ns = self.frame.instant(tick);
                    if due_ns <= deadline_ns {
                        return if self.refuse_late(batch) { Next::At(due_ns) } else { Next::More };
                    }
                    Outcome::Denied(not_yet(due_ns, deadline_ns))
                }
            };
            if let Some(entry) = self.list.settle_front(outcome) {
                self.sum.subtract(&entry);
                batch.push(entry.waker);
            }
            if self.list.is_empty() {
                self.drained();
            }
        }
        Next::Empty
    }

    /// Refuses the waiters that can no longer be served in time, if something has happened that makes them late.
    /// Whether the batch had room for all.
    fn refuse_late(&mut self, batch: &mut WakeBatch) -> bool {
        if !self.recheck || self.sum.deadlines == 0 {
            self.recheck = false;
            return true;
        }
        let frame = self.frame;
        let mut all = true;
        let mut ahead = self.first_base();
        self.sweep(|entry| {
            let then = ahead + u128::from(entry.cost);
            let due_ns = if entry.deadline_ns == NEVER { 0 } else { frame.conforms_at(then) };
            if due_ns > entry.deadline_ns {
                if !batch.is_full() {
                    batch.push(entry.waker.take());
                    return Some(Outcome::Denied(not_yet(due_ns, entry.deadline_ns)));
                }
                all = false;
            }
            ahead = then;
            None
        });
        self.recheck = !all;
        all
    }

    /// Shows all entries to `judge`, from front to back, and takes those out that it has an outcome for. It may
    /// change what they ask for, and takes the wakers of those that go.
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

    /// The queue has run empty: a late timer leaves credit for a while, a timer in time leaves none.
    fn drained(&mut self) {
        let scale = self.frame.scale();
        let late = self.now.saturating_sub(self.tat) > scale.span(IN_TIME_NS);
        let credit_ns = if late { scale.instant(scale.catch_up) } else { 0 };
        self.credit_until_ns = self.now_ns.saturating_add(credit_ns);
    }

    /// What the first waiter asks for.
    pub(crate) fn first_cost(&mut self) -> Option<u64> {
        self.list.front_mut().map(|front| front.cost)
    }

    // === the part of a call for several limits ===

    /// What the part of a call asks for here, if it is in the queue.
    pub(crate) fn cost_of(&mut self, place: Pin<&Place>) -> Option<u64> {
        self.list.entry_mut(place).map(|entry| entry.cost)
    }

    /// The part of a call has not been looked at after all: the next hand-off that finds it due wakes it.
    pub(crate) fn forget_look(&mut self, place: Pin<&Place>) {
        if let Some(entry) = self.list.entry_mut(place) {
            entry.kind = Kind::FinalPart { woken: false };
        }
    }

    /// Whether the part of a call conforms here and now. It stands at the front, behind other such parts only.
    pub(crate) fn is_final_part_due(&mut self, place: Pin<&Place>) -> bool {
        let Some(cost) = self.list.entry_mut(place).map(|entry| entry.cost) else { return false };
        let first = self.list.is_front(place);
        let decision = decide(self.tat, self.now, self.floor, cost, self.frame.scale().limit);
        first && matches!(decision, Decision::Admit(_))
    }

    /// Takes the part of a call that is due, out of the queue.
    pub(crate) fn take_final_part(&mut self, place: Pin<&Place>) -> Option<(Grant, Option<Waker>)> {
        let entry = self.leave(place)?;
        // What has passed while it waited for another limit is lost, and all behind it come later for it.
        self.recheck |= self.tat < self.floor;
        let grant = self.take(entry.cost, Caller::Waiter).ok();
        if self.list.is_empty() {
            self.drained();
        }
        grant.map(|grant| (grant, entry.waker))
    }

    /// When the part of a call conforms here, after all such parts ahead of it: the clock reading.
    pub(crate) fn final_part_due_ns(&mut self, place: Pin<&Place>) -> u64 {
        let own = self.list.entry_mut(place).map(core::ptr::from_mut);
        let mut then = u128::from(self.tat.max(self.floor));
        self.list.visit(|entry| {
            then += u128::from(entry.cost);
            own != Some(core::ptr::from_mut(entry))
        });
        self.frame.conforms_at(then)
    }

    /// The part of a call has been looked at and stays: it goes at this clock reading at the earliest. It is looked at
    /// again when it comes to be due here.
    pub(crate) fn keep_final_part(&mut self, place: Pin<&Place>, all_due_ns: u64) {
        let due = self.is_final_part_due(place);
        if let Some(entry) = self.list.entry_mut(place) {
            entry.kind = Kind::FinalPart { woken: due };
        }
        if all_due_ns > self.final_due_ns {
            self.final_due_ns = all_due_ns;
            // All behind it come later.
            self.recheck = true;
        }
    }
}
