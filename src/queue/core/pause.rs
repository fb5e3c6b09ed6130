//! Pausing: nothing is admitted until a clock reading, and nothing accrues meanwhile.

use super::Core;

impl Core {
    /// Whether a pause lasts at the reading of this step.
    pub(crate) const fn is_paused(&self) -> bool {
        self.now_ns < self.frame.resumes_ns()
    }

    /// Pauses until `until_ns`. A pause that ends later stays as it is.
    pub(crate) fn pause(&mut self, until_ns: u64) {
        if until_ns > self.frame.effective(self.now_ns) {
            self.resume_at(until_ns);
        }
    }

    /// Ends a pause now. With `from_empty` the bucket goes on from empty, or from the debt that it has.
    pub(crate) fn resume(&mut self, from_empty: bool) {
        if !self.is_paused() {
            return;
        }
        self.resume_at(0);
        if from_empty {
            self.tat = self.tat.max(self.now + self.frame.scale().limit);
            self.ledger.close();
        }
    }

    /// Moves the end of a pause, or begins one. The level stays as it is, without the credit of a late alarm: that would
    /// accrue during the pause.
    fn resume_at(&mut self, resumes_ns: u64) {
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
