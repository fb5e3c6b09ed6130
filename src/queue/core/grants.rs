//! Granting what is due, in order.

use core::pin::Pin;

use super::{Core, not_yet};
use crate::{
    gcra::Decision,
    lane::Lane,
    queue::{
        entry::{Entry, Kind, NEVER, Outcome, Place, Sums},
        wake_batch::WakeBatch,
    },
};

/// An alarm that is no later than this is in time.
const IN_TIME_NS: u64 = 1_000;

/// When the first waiter is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// The batch is full; there may be more to grant.
    More,
    /// There is none, or it is a final part that is due here and waits for another limit.
    Unknown,
    /// At this clock reading.
    At(u64),
}

impl Core {
    /// Grants the due waiters in order, as far as the batch has room. Refuses waiters that will miss their deadlines.
    pub(crate) fn grant_due(&mut self, batch: &mut WakeBatch) -> Next {
        if self.tat < self.floor {
            // Permits older than `catch_up` are lost. Every waiter is due later by that, so check deadlines again.
            self.recheck = true;
        }
        while let Some(front) = self.list.front_mut() {
            if batch.is_full() {
                return Next::More;
            }
            let (cost, deadline_ns, lane) = (front.cost, front.deadline_ns, front.lane);
            let decision = self.decide(self.floor, cost);
            let Some(front) = self.list.front_mut() else { break };
            if let Kind::FinalPart { woken } = &mut front.kind {
                let due = matches!(decision, Decision::Admit(_));
                // It is due here later than other queues assume. Wake the final round so that it tells them
                // (`keep_final_part` raises `final_due_ns`, which ends this).
                let later = match decision {
                    Decision::Admit(_) => false,
                    Decision::NotBefore(tick) => {
                        self.frame.reading_at(tick) > self.final_due_ns[lane.index()]
                    }
                };
                if later || (due && !*woken) {
                    batch.push(front.waker.clone());
                }
                *woken = due;
                if due {
                    return if self.refuse_late(batch) { Next::Unknown } else { Next::More };
                }
            }
            let outcome = match decision {
                Decision::Admit(tat) => {
                    self.admit(tat, self.floor);
                    Outcome::Granted(self.grant(cost))
                }
                Decision::NotBefore(tick) => {
                    let due_ns = self.frame.reading_at(tick);
                    if due_ns <= deadline_ns {
                        return if self.refuse_late(batch) { Next::At(due_ns) } else { Next::More };
                    }
                    Outcome::Denied(not_yet(due_ns, deadline_ns))
                }
            };
            if let Some(entry) = self.list.resolve_front(outcome) {
                self.sums.subtract(&entry);
                batch.push(entry.waker);
            }
            if self.list.is_empty() {
                self.drained();
            }
        }
        Next::Unknown
    }

    /// Refuses the waiters that will miss their deadlines, if some may. Returns whether the batch had room for all.
    fn refuse_late(&mut self, batch: &mut WakeBatch) -> bool {
        if !self.recheck || self.sums.all().deadlines == 0 {
            self.recheck = false;
            return true;
        }
        let frame = self.frame;
        let mut all = true;
        let final_ticks = Lane::ALL.map(|lane| self.final_tick(lane));
        let mut lane = None;
        let mut ahead = u128::from(self.tat.max(self.floor));
        self.sweep(|entry| {
            if lane.replace(entry.lane) != Some(entry.lane) {
                ahead = ahead.max(final_ticks[entry.lane.index()]);
            }
            let tat = ahead + u128::from(entry.cost);
            let due_ns = if entry.deadline_ns == NEVER { 0 } else { frame.conforms_at(tat) };
            if due_ns > entry.deadline_ns {
                if !batch.is_full() {
                    batch.push(entry.waker.take());
                    return Some(Outcome::Denied(not_yet(due_ns, entry.deadline_ns)));
                }
                all = false;
            }
            ahead = tat;
            None
        });
        self.recheck = !all;
        all
    }

    /// Shows all entries to `judge`, from front to back, and resolves those for which it returns an outcome. `judge` may
    /// change the cost of an entry, and takes the waker of an entry that it resolves.
    pub(super) fn sweep(&mut self, mut judge: impl FnMut(&mut Entry) -> Option<Outcome>) {
        let mut sums = Sums::default();
        self.list.sweep(|entry| {
            let outcome = judge(entry);
            if outcome.is_none() {
                sums.add(entry);
            }
            outcome
        });
        self.sums = sums;
    }

    /// The queue has become empty. A late alarm leaves credit for a while, an alarm in time leaves none.
    pub(super) fn drained(&mut self) {
        let scale = self.frame.scale();
        let late = self.now.saturating_sub(self.tat) > scale.span(IN_TIME_NS);
        let credit_ns = if late { scale.reading_at(scale.catch_up) } else { 0 };
        self.credit_until_ns = self.now_ns.saturating_add(credit_ns);
    }

    pub(crate) fn first_cost(&mut self) -> Option<u64> {
        self.list.front_mut().map(|front| front.cost)
    }

    pub(crate) fn cost_of(&mut self, place: Pin<&Place>) -> Option<u64> {
        self.list.entry_mut(place).map(|entry| entry.cost)
    }
}
