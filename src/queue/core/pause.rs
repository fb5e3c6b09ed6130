//! Pausing: nothing is admitted until a clock reading, and nothing accrues meanwhile. Blocking: a pause until another quota
//! comes. Closing: a pause for good, whose callers are told.

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
        if until_ns <= self.now_ns.max(self.pause_ends_ns) {
            return false;
        }
        self.pause_ends_ns = until_ns;
        self.apply_pause()
    }

    /// Ends a pause now. With `from_empty` the bucket goes on from empty, or from the debt that it has. Returns whether
    /// anything changed.
    pub(crate) fn resume(&mut self, from_empty: bool) -> bool {
        self.pause_ends_ns = 0;
        let resumed = self.apply_pause();
        if resumed && from_empty && !self.quota.is_unlimited() {
            self.tat = self.tat.max(self.now + self.frame.scale().limit);
            self.ledger.close();
        }
        resumed
    }

    /// Blocks the limiter: a pause until another quota is set. Returns whether anything changed.
    pub(crate) fn block(&mut self) -> bool {
        self.is_blocked = true;
        self.apply_pause()
    }

    /// Another quota is in force. Returns whether the limiter was blocked.
    pub(crate) fn unblock(&mut self) -> bool {
        self.is_blocked = false;
        if self.pause_ends_ns <= self.now_ns {
            self.pause_ends_ns = 0;
        }
        self.apply_pause()
    }

    /// Refuses all waiters, and all calls from now on. `refused` gets the wakers of the waiters.
    pub(crate) fn refuse_all(&mut self, refused: &mut Vec<Waker>) {
        self.is_closed = true;
        self.apply_pause();
        self.sweep(|entry| {
            refused.extend(entry.waker.take());
            Some(Outcome::Denied(Denied::Closed))
        });
    }

    /// Moves the end of the pause to what is asked for. Returns whether it moved.
    fn apply_pause(&mut self) -> bool {
        let for_good = self.is_blocked || self.is_closed;
        let resumes_ns = if for_good { u64::MAX } else { self.pause_ends_ns };
        let moves = resumes_ns != self.frame.resumes_ns();
        if moves {
            self.set_end_of_pause(resumes_ns);
        }
        moves
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
