//! Pausing: nothing is admitted until a clock reading, and nothing accrues meanwhile. Closing: a pause without end, whose
//! callers are told.

use core::task::Waker;

use super::Core;
use crate::{error::Denied, queue::entry::Outcome};

impl Core {
    /// Whether a pause lasts at the reading of this step.
    pub(crate) const fn is_paused(&self) -> bool {
        self.now_ns < self.frame.resumes_ns()
    }

    /// Pauses until `until_ns`. A pause that ends later stays as it is. Returns whether anything changed.
    pub(crate) fn pause(&mut self, until_ns: u64) -> bool {
        let later = until_ns > self.frame.effective(self.now_ns) && !self.is_closed;
        if later {
            self.set_end_of_pause(until_ns);
        }
        later
    }

    /// Ends a pause now. With `from_empty` the bucket goes on from empty, or from the debt that it has. Returns whether
    /// there was a pause. `woken` gets the wakers of the final rounds in this queue: they tell the other queues that the
    /// pause ends earlier.
    pub(crate) fn resume(&mut self, from_empty: bool, woken: &mut Vec<Waker>) -> bool {
        if !self.is_paused() || self.is_closed {
            return false;
        }
        self.list.visit(|entry| {
            let is_final = entry.kind.is_final();
            if is_final {
                // An `Arc` of the round: cloning it runs nothing foreign.
                woken.extend(entry.waker.clone());
            }
            is_final
        });
        self.set_end_of_pause(0);
        if from_empty {
            self.tat = self.tat.max(self.now + self.frame.scale().limit);
            self.ledger.close();
        }
        true
    }

    /// Refuses all waiters, and all calls from now on. `refused` gets the wakers of the waiters.
    pub(crate) fn refuse_all(&mut self, refused: &mut Vec<Waker>) {
        self.pause(u64::MAX);
        self.is_closed = true;
        self.sweep(|entry| {
            refused.extend(entry.waker.take());
            Some(Outcome::Denied(Denied::Closed))
        });
    }

    /// Moves the end of a pause, or begins one. The level stays as it is, without the credit of a late alarm: that would
    /// accrue during the pause. A debt for which the word barely had room may lose the catch-up.
    fn set_end_of_pause(&mut self, resumes_ns: u64) {
        self.ledger.compare(self.tat, self.now);
        let ahead = self.tat.saturating_sub(self.now);
        self.credit_until_ns = 0;
        self.frame = self.frame.with_pause(resumes_ns);
        self.reframe(*self.frame.scale(), ahead.into());
        // All waiters are due at other times.
        self.recheck = true;
        self.alarm_is_void = true;
    }
}
